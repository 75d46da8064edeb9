//! Plume's and dbcop's histories: what is read of them, what is said of malformed ones, and what cannot be asked of them.
#![allow(clippy::unwrap_used)]

use schism_checker::{
    CheckError, Options, check,
    history::{F, Format, History, Loaded, Outcome, ReadOptions, read_any},
};

fn read(text: &str) -> Result<Loaded, String> {
    read_any(text.as_bytes(), None, &ReadOptions::default()).map_err(|problems| problems.to_string())
}

/// Each transaction: its process, outcome and value.
fn txns(history: &History) -> Vec<(u32, Outcome, String)> {
    assert!(history.ops().all(|op| *op.f == F::Txn));
    history.ops().map(|op| (op.process, op.outcome, history.value_of(&op).to_json().to_string())).collect()
}

/// The same history in plume's text, in both shapes of dbcop's JSON of today, and in that of before.
#[test]
fn every_dialect_says_the_same() {
    let plume = "w(1,0,0,0)\nw(2,0,0,0)
w(1,5,1,10)
r(2,0,2,7)
r(2,0,1,10)\t
r(1,5,2,8)
 w( 2, 9, 2, -1 )
r(1,3,2,-1)
w(2,6,2,8)";
    let tagged = r#"{"params":{"id":0,"n_node":2},"info":"generated","start":"","end":"","data":[
        [{"events":[{"Write":{"variable":1,"version":5}},{"Read":{"variable":2,"version":null}}],"committed":true}],
        [{"events":[{"Read":{"variable":2,"version":0}}],"committed":true},
         {"events":[{"Read":{"variable":1,"version":5}},{"Write":{"variable":2,"version":6}}],"committed":true},
         {"events":[{"Write":{"variable":2,"version":9}}],"committed":false}]]}"#;
    let compact = r#"[[{"events":[["w",1,5],["r",2,null]],"committed":true}],
        [{"events":[["r",2,0]],"committed":true},{"events":[["r",1,5],["w",2,6]],"committed":true},
         {"events":[["w",2,9]],"committed":false}]]"#;
    let old = |write: bool, variable: u64, value: u64, success: bool| {
        format!(r#"{{"write":{write},"variable":{variable},"value":{value},"success":{success}}}"#)
    };
    let old = format!(
        r#"{{"params":{{}},"data":[[{{"events":[{},{}],"success":true}}],
            [{{"events":[{}],"success":true}},{{"events":[{},{},{},{}],"success":true}}]]}}"#,
        old(true, 1, 5, true),
        old(false, 2, 0, true),
        old(false, 2, 0, true),
        old(false, 1, 5, true),
        old(true, 2, 9, false),
        old(false, 1, 9, false),
        old(true, 2, 6, true),
    );
    let committed = [(1, r#"[["w",1,5],["r",2,null]]"#), (2, r#"[["r",2,null]]"#), (2, r#"[["r",1,5],["w",2,6]]"#)];
    for text in [plume, tagged, compact, &old] {
        let loaded = read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!((loaded.warnings.len(), &*loaded.history.header().workload), (0, "rw-register"), "{text}");
        let all = txns(&loaded.history);
        let mut ok: Vec<(u32, &str)> =
            all.iter().filter(|txn| txn.1 == Outcome::Ok).map(|txn| (txn.0, &*txn.2)).collect();
        ok.sort_by_key(|txn| txn.0);
        assert_eq!(ok, committed, "{text}");
        let aborted: Vec<(u32, &str)> =
            all.iter().filter(|txn| txn.1 == Outcome::Fail).map(|txn| (txn.0, &*txn.2)).collect();
        assert_eq!(aborted[0], (2, r#"[["w",2,9]]"#), "{text}");
        // Of two operations of transaction -1 nobody knows whether they are of one.
        let others = if text == plume { vec![(2, r#"[["r",1,null]]"#)] } else { vec![] };
        assert_eq!(aborted[1..], others, "{text}");
    }
}

/// As the EDN reader gives the same transactions, so that a checker need not know the format.
#[test]
fn transactions_have_the_shape_of_edn() {
    let edn = "{:type :invoke :process 3 :f :txn :value [[:r 1 nil] [:w 2 7] [:r 4 nil]]}
               {:type :ok :process 3 :f :txn :value [[:r 1 2] [:w 2 7] [:r 4 nil]]}
               {:type :invoke :process 3 :f :txn :value [[:r 1 nil]]} {:type :ok :process 3 :f :txn :value [[:r 1 nil]]}";
    let options = ReadOptions { workload: Some("rw-register".into()) };
    let edn = read_any(edn.as_bytes(), None, &options).unwrap().history;
    let plume = read("r(1,2,3,0)\nw(2,7,3,0)\nr(4,0,3,0)\nr(1,0,3,1)\n").unwrap().history;
    let values = |history: &History| history.ops().map(|op| history.value_of(&op).into_owned()).collect::<Vec<_>>();
    assert_eq!(values(&plume), values(&edn));
    assert!(edn.has_real_time() && !plume.has_real_time());
}

/// dbcop: 0 is what a key holds at first where nobody writes it, else a value like any other.
#[test]
fn dbcops_zero() {
    let text = r#"[[{"events":[["w",1,0],["r",2,0],["r",1,0]],"committed":true}]]"#;
    assert_eq!(txns(&read(text).unwrap().history)[0].2, r#"[["w",1,0],["r",2,null],["r",1,0]]"#);
    // Variables may have names.
    let text = r#"[[{"events":[["w","x",1],["r","y",null]],"committed":true}],[]]"#;
    assert_eq!(txns(&read(text).unwrap().history)[0].2, r#"[["w","x",1],["r","y",null]]"#);
}

#[test]
fn what_is_asked_of_real_time_is_refused() {
    let mut history = read("w(1,5,1,10)\nr(1,5,2,8)\n").unwrap().history;
    let asked = |history: &History| match check(history, &Options::default()) {
        Err(CheckError::NoRealTime { model }) => Some(model),
        _ => None,
    };
    assert_eq!(asked(&history).as_deref(), Some("strict-serializable"));
    for (model, refused) in [
        ("serializable", false),
        ("strong-session-serializable", false),
        ("strong-snapshot-isolation", true),
        ("strict-serializable", true),
    ] {
        history.set_consistency_models(vec!["read-committed".into(), model.into()]);
        assert_eq!(asked(&history).is_some(), refused, "{model}");
    }
    let why = read_any(&b"w(1,5,1,10)"[..], None, &ReadOptions { workload: Some("register".into()) }).unwrap_err();
    assert_eq!(
        why.to_string(),
        "sessions of transactions of reads and writes: the model is rw-register, and not register"
    );
}

#[test]
fn each_problem_is_named_with_its_place() {
    let ok = "w(1,2,3,4)\n";
    for (text, says) in [
        ("x(1,2,3,4)", "line 2, column 1 (event 1): expected r(key,value,session,txn) or w(key,value,session,txn)"),
        ("r 1,2,3,4)", "line 2, column 3 (event 1): expected `(`"),
        ("r(1,-2,3,4)", "line 2, column 5 (event 1): expected a natural number"),
        ("r(1,2,3)", "line 2, column 8 (event 1): expected `,`"),
        ("r(1,2,3,4,5)", "line 2, column 10 (event 1): expected `)`"),
        ("r(1,2,3,4) w", "line 2, column 12 (event 1): expected the end of the line"),
        ("r(1,2,3,-2)", "line 2, column 9 (event 1): a transaction's number is a natural one, or -1: aborted"),
        ("r(9223372036854775808,2,3,4)", "line 2, column 3 (event 1): a number that does not fit into 63 bits"),
        ("r(1,2,4294967296,5)", "line 2 (event 1): 4294967296 is no session number: they are from 0 to 4294967295"),
        ("r(1,2,9,4)", "line 2 (event 1): transaction 4 is of session 3, and not of 9"),
        ("w(1,0,3,4)", "line 2 (event 1): a write of 0, which stands for what a key holds at first"),
    ] {
        let why = read_any(format!("{ok}{text}\n{ok}").as_bytes(), Some(Format::Plume), &ReadOptions::default());
        let why = why.unwrap_err().to_string();
        assert_eq!((why.starts_with(says), why.lines().count()), (true, 1), "{text}: {why}");
    }
    let why = read(&format!("{ok}{}", "r(1)\n".repeat(30))).unwrap_err();
    assert_eq!((why.lines().count(), why.lines().last()), (21, Some("and 10 more problems")), "{why}");
    let why = read(&format!("{ok}r{}", "(".repeat(5000))).unwrap_err();
    assert_eq!(why, "line 2 (event 1): longer than 1024 bytes: no operation");

    let txn = r#"{"events":[["w",1,2]],"committed":true}"#;
    for (text, says) in [
        (
            format!("[[{txn},{{}}]]"),
            "event 1: session 1, transaction 2: expected {\"events\": […], \"committed\": true or false}",
        ),
        (
            format!("[[{txn}],[{{\"events\":[[\"w\",1]],\"committed\":true}}]]"),
            "event 1: session 2, transaction 1: no read or write: [\"w\",1]",
        ),
        (
            format!("[[{txn},{{\"events\":[[\"w\",1,null]],\"committed\":true}}]]"),
            "event 1: session 1, transaction 2: no read or write: ",
        ),
        (
            format!("[[{txn}],\n7]"),
            "line 2, column 2: invalid type: integer `7`, expected a session: an array of transactions",
        ),
        (format!("{{\"data\":[[{txn}]],\"data\":[]}}"), "line 1, column 59: data twice"),
        (r#"{"info":"x"}"#.into(), "line 1, column 12: missing field `data`"),
        ("[[]]".into(), "no operation in the file"),
        (format!("[[{txn}]] x"), "line 1, column 45: trailing characters"),
    ] {
        let why = read(&text).unwrap_err();
        assert!(why.starts_with(says), "{text}: {why}");
    }
}

/// A file that was cut anywhere is read up to its last whole operation (transaction), with a warning.
#[test]
fn a_cut_file_is_read_to_its_last_whole_operation() {
    let text: String = (1..6).map(|at| format!("w({at},{at},{at},{at})\n")).collect();
    for end in 2..text.len() {
        let cut = &text[..end];
        let Ok(loaded) = read(cut) else {
            assert!(!cut.contains(')'));
            continue;
        };
        assert_eq!(loaded.history.len(), cut.matches(')').count(), "{cut}");
        assert_eq!(loaded.warnings.is_empty(), cut.trim_end().ends_with(')'), "{cut}");
    }
    let txn = r#"{"events":[["w",1,2]],"committed":true}"#;
    let text = format!("[[{txn},{txn}],[{txn}]]");
    for end in 2..text.len() {
        let cut = &text[..end];
        let Ok(loaded) = read(cut) else {
            assert!(!cut.contains('}'));
            continue;
        };
        assert_eq!((loaded.history.len(), loaded.warnings.len()), (cut.matches('}').count(), 1), "{cut}");
    }
}

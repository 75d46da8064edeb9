//! Histories of other tools: what is read of them, and what is said of malformed ones.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use schism_checker::{
    Details, Validity, check,
    history::{Format, Loaded, Outcome, ReadOptions, Value, read_any, write_event_edn},
};

fn read(model: &str, text: &str) -> Result<Loaded, String> {
    let options = ReadOptions { workload: Some(model.into()) };
    read_any(text.as_bytes(), None, &options).map_err(|problems| problems.to_string())
}

fn verdict(model: &str, text: &str) -> (Validity, String) {
    let loaded = read(model, text).unwrap_or_else(|why| panic!("{text}: {why}"));
    let checks = check(&loaded.history, &schism_checker::Options::default()).unwrap();
    assert_eq!(checks.len(), 1, "of another tool's history only its own check");
    let said = checks[0].findings.first().map_or_else(String::new, |finding| finding.sentence.clone());
    (checks[0].valid, said)
}

/// The same three operations in every notation.
#[test]
fn every_format_says_the_same() {
    let bare = "{:type :invoke, :f :write, :value 3, :process 0, :time 1000000}
                {:type :ok, :f :write, :value 3, :process 0, :time 2000000}
                {:process :nemesis, :type :info, :f :start, :value [\"n1\" {\"n1\" \"ERR …\"}]}
                {:type :invoke, :f :read, :value nil, :process 1 :time 3000000}
                {:type :ok, :f :read, :value 4, :process 1, :time 4000000 :error [:odd \"]\"]}";
    let tagged = bare.replace("{:type", "#jepsen.history.Op{:index 7, :type");
    let keyed = bare
        .replace(":value 3", ":value [9 3]")
        .replace(":value nil", ":value [9 nil]")
        .replace(":value 4", ":value [9 4]");
    let tuples = keyed.replace(":value [9", ":value #jepsen.independent.Tuple[9");
    let json = r#"{"type":"invoke","f":"write","value":3,"process":0,"time":1000000}
                  {"type":"ok","f":"write","value":3,"process":0,"time":2000000}
                  {"type":"info","f":"start","value":null,"process":"nemesis"}
                  {"type":":invoke","f":":read","value":null,"process":1,"time":3000000}
                  {"type":"ok","f":"read","value":4,"process":1,"time":4000000}"#;
    let log = "INFO  jepsen.core - nothing of the history
INFO  jepsen.util - 0\t:invoke\t:write\t3
INFO  jepsen.util - 0\t:ok\t:write\t3
INFO  jepsen.util - :nemesis\t:info\t:start\tnil
INFO  jepsen.util - 1\t:invoke\t:read\tnil
INFO  jepsen.util - 1\t:ok\t:read\t4\n";
    let said = "rocess 1 read 4 at 0.004 s, but nothing had written 4 before that read ended.";
    for (text, start) in [
        (bare.to_owned(), "P"),
        (format!("[{bare}]"), "P"),
        (format!("  ({tagged})"), "P"),
        // Joined files: what follows the first vector counts.
        (format!("[]\n[{bare}]"), "P"),
        (keyed, "Key 9: p"),
        (tuples, "Key 9: p"),
        (json.to_owned(), "P"),
        (format!("[{}]", json.replace("}\n", "},\n")), "P"),
    ] {
        assert_eq!(verdict("cas-register", &text), (Validity::Invalid, format!("{start}{said}")), "{text}");
        assert_eq!(verdict("register", &text.replace('4', "3")).0, Validity::Valid, "{text}");
    }
    // A log has no times.
    assert_eq!(verdict("register", log), (Validity::Invalid, format!("P{}", said.replace("0.004", "0.000"))));
}

#[test]
fn values_of_any_kind_are_told_apart_and_by_name() {
    for (value, other) in [
        (":a", "\":a\""),
        ("\"a\"", ":a"),
        ("[1 2 3]", "[1 2]"),
        ("1.5", "1"),
        ("-9223372036854775808", "0"),
        ("1/3", "0.3"),
    ] {
        let text = format!(
            "{{:type :invoke :process 0 :f :write :value [:k {value}]}}
             {{:type :ok :process 0 :f :write :value [:k {value}]}}
             {{:type :invoke :process 0 :f :cas :value [:k [{value} {other}]]}}
             {{:type :ok :process 0 :f :cas :value [:k [{value} {other}]]}}
             {{:type :invoke :process 0 :f :read :value [:k nil]}}
             {{:type :ok :process 0 :f :read :value [:k {value}]}}"
        );
        let (valid, said) = verdict("cas-register", &text);
        assert_eq!(valid, Validity::Invalid, "{text}");
        assert!(said.starts_with("Key :k: process 0 read "), "{said}");
        assert_eq!(
            verdict("cas-register", &text.replace(&format!("{value} {other}"), &format!("{value} {value}"))).0,
            Validity::Valid
        );
    }
    // nil is a value of its own: what was there at first.
    assert_eq!(
        verdict(
            "cas-register",
            "{:type :invoke :process 0 :f :cas :value [nil 1]} {:type :ok :process 0 :f :cas :value [nil 1]}"
        )
        .0,
        Validity::Valid
    );
    assert_eq!(verdict("cas-register", "{:type :invoke :process 0 :f :write :value 2} {:type :ok :process 0 :f :write :value 2} {:type :invoke :process 0 :f :cas :value [nil 1]} {:type :ok :process 0 :f :cas :value [nil 1]}").0, Validity::Invalid);
}

#[test]
fn sets_and_lists() {
    let set = "{:type :invoke :process 0 :f :add :value :x} {:type :ok :process 0 :f :add :value :x}
               {:type :invoke :process 1 :f :read :value nil} {:type :ok :process 1 :f :read :value #{:x}}";
    assert_eq!(verdict("set", set).0, Validity::Valid);
    assert_eq!(verdict("set", &set.replace("#{:x}", "#{}")).0, Validity::Invalid);
    let lists = "{:type :invoke :process 0 :value [[:append :x 1] [:r :y nil]]} {:type :ok :process 0 :value [[:append :x 1] [:r :y []]]}
                 {:type :invoke :process 0 :f :txn :value [[:r :x]]} {:type :ok :process 0 :f :txn :value [[:r :x [1]]]}";
    assert_eq!(verdict("list-append", lists).0, Validity::Valid);
    assert_eq!(verdict("list-append", &lists.replace("[1]", "[1 1]")).0, Validity::Invalid);
}

/// One of our own files, held against another model than its own, is refused and not judged.
#[test]
fn a_history_of_something_else_is_refused() {
    let history = schism_checker::history::notation::history("mutex", "0: w 1 5; 1: r 1 5").unwrap();
    let refused = check(&history, &schism_checker::Options::default()).unwrap_err().to_string();
    assert_eq!(refused, "event 0: write: the model has no f write; it has acquire and release");
}

#[test]
fn models_beside_registers() {
    let ops = |ops: &[(&str, &str)]| -> String {
        ops.iter()
            .map(|(f, rest)| {
                format!("{{:type :invoke :process 0 :f {f} {rest}}}\n{{:type :ok :process 0 :f {f} {rest}}}\n")
            })
            .collect()
    };
    // Texts that look like numbers are texts, and so are quotes.
    for (first, second, both) in [("1", "2", "12"), ("a", "b", "ab"), ("\\\"", "1", "\\\"1"), (":a", "b", ":ab")] {
        let key = ":key \"7\" :value";
        let text = ops(&[
            (":put", &format!("{key} \"{first}\"")),
            (":append", &format!("{key} \"{second}\"")),
            (":get", &format!("{key} \"{both}\"")),
            (":get", ":key \"8\" :value nil"),
        ]);
        assert_eq!(verdict("kv", &text).0, Validity::Valid, "{text}");
        let json = text
            .replace("{:type :", "{\"type\":\"")
            .replace(" :process 0 :f :", "\",\"process\":0,\"f\":\"")
            .replace(" :key ", "\",\"key\":")
            .replace(" :value ", ",\"value\":")
            .replace("nil", "null");
        assert_eq!(verdict("kv", &json).0, Validity::Valid, "{json}");
        assert_eq!(verdict("kv", &text.replace(&format!("\"{both}\""), "\"x\"")).0, Validity::Invalid);
    }
    let queue = ops(&[
        (":enqueue", ":value 1"),
        (":enqueue", ":value :two"),
        (":dequeue", ":value 1"),
        (":dequeue", ":value :two"),
        (":dequeue", ":value nil"),
    ]);
    assert_eq!(verdict("fifo-queue", &queue).0, Validity::Valid);
    let (valid, said) = verdict("fifo-queue", &queue.replacen(":dequeue :value 1", ":dequeue :value :two", 2));
    assert_eq!(
        (valid, said.as_str()),
        (
            Validity::Invalid,
            "Process 0's dequeue :two ended ok at 0.000 s, but :two was put in once and was also given to another."
        )
    );
    assert_eq!(
        verdict("unordered-queue", &queue.replacen(":dequeue :value 1", ":dequeue :value :two", 2)).0,
        Validity::Invalid
    );
    let lock = ops(&[(":acquire", ""), (":release", ""), (":acquire", "")]);
    assert_eq!(verdict("mutex", &lock).0, Validity::Valid);
    assert_eq!(verdict("mutex", &ops(&[(":acquire", ""), (":acquire", "")])).0, Validity::Invalid);
    assert!(
        read("mutex", &ops(&[(":lock", "")]))
            .unwrap_err()
            .starts_with("line 1 (event 0): lock: the model has no f lock; it has acquire and release")
    );
    assert!(
        read("multi-register", &ops(&[(":txn", ":value [[:frob :x 1]]")]))
            .unwrap_err()
            .contains("the value must be a list of [:read register value]")
    );
}

/// As Porcupine's tests write them: the key beside the value, the text of a key never put empty.
#[test]
fn porcupines_kv_logs() {
    let log = "{:process 0, :type :invoke, :f :append, :key \"0\", :value \"x 0 0 y\"}
{:process 1, :type :invoke, :f :get, :key \"5\", :value nil}
{:process 1, :type :ok, :f :get, :key \"5\", :value \"\"}
{:process 0, :type :ok, :f :append, :key \"0\", :value \"x 0 0 y\"}
{:process 2, :type :invoke, :f :append, :key \"0\", :value \"x 2 0 y\"}
{:process 0, :type :invoke, :f :get, :key \"0\", :value nil}
{:process 0, :type :ok, :f :get, :key \"0\", :value \"x 0 0 yx 2 0 y\"}
{:process 1, :type :invoke, :f :put, :key \"0\", :value \"x 1 1 y\"}
{:process 1, :type :ok, :f :put, :key \"0\", :value \"x 1 1 y\"}
{:process 1, :type :invoke, :f :get, :key \"0\", :value nil}
{:process 1, :type :ok, :f :get, :key \"0\", :value \"x 1 1 y\"}
";
    assert_eq!(verdict("kv", log).0, Validity::Valid);
    let (valid, said) = verdict("kv", &log.replace("\"x 0 0 yx 2 0 y\"", "\"x 2 0 yx 0 0 y\""));
    assert_eq!((valid, said.starts_with("Key \"0\": process 0's get ")), (Validity::Invalid, true), "{said}");
    assert_eq!(verdict("kv", &log.replace("\"5\", :value \"\"", "\"5\", :value \"x\"")).0, Validity::Invalid);
}

#[test]
fn each_problem_is_named_with_its_place() {
    let ok = "{:type :invoke :process 0 :f :write :value 1}\n{:type :ok :process 0 :f :write :value 1}\n";
    for (text, says) in [
        ("{:process 0 :f :read}", "line 3 (event 2): an operation without :type"),
        (
            "{:type :done :process 0 :f :read}",
            "line 3 (event 2): :done is no :type; they are :invoke, :ok, :fail and :info",
        ),
        ("{:type :invoke :f :read}", "line 3 (event 2): an operation without :process"),
        ("{:type :invoke :process -1 :f :read}", "line 3 (event 2): -1 is no process number"),
        ("{:type :invoke :process 0}", "line 3 (event 2): an operation without :f"),
        ("{:type :invoke :process 0 :f :frob}", "line 3 (event 2): frob: the workload has no such f"),
        (
            "{:type :ok :process 0 :f :write :value 1}",
            "line 3 (event 2): process 0 completes an operation that ended with event 1",
        ),
        (
            "{:type :ok :process 5 :f :write :value 1}",
            "line 3 (event 2): process 5 completes an operation that it never invoked",
        ),
        (
            "{:type :invoke :process 0 :f :read}\n{:type :invoke :process 0 :f :read}",
            "line 4 (event 3): process 0 invokes while its operation of event 2 is in flight",
        ),
        (
            "{:type :invoke :process 0 :f :write :value 1}\n{:type :ok :process 0 :f :write :value 2}",
            "line 4 (event 3): write ends ok with another value",
        ),
        ("{:type :invoke :process 0 :f :cas :value 1}", "line 3 (event 2): cas: the value of a cas must be"),
        ("\n  ] {}", "line 4, column 3: expected an operation: a map"),
        ("{:type :invoke :process 0 :f :read :value [1 )}", "line 3, column 46: `)` where `]` closes"),
    ] {
        let why = read("cas-register", &format!("{ok}{text}\n{ok}")).unwrap_err();
        assert_eq!(
            why.lines().next().unwrap().split_at_checked(says.len()).map(|(start, _)| start),
            Some(says),
            "{text}: {why}"
        );
    }
    // All of them, and what follows is read all the same.
    let why = read("cas-register", &format!("{ok}{}{ok}", "{:type :ok}\n".repeat(30))).unwrap_err();
    assert_eq!((why.lines().count(), why.lines().last()), (21, Some("and 10 more problems")), "{why}");
    for (text, says) in [
        ("", "the file is empty"),
        (" \n", "the file is empty"),
        ("; nothing\n", "no operation in the file"),
        ("[", "no operation"),
        ("hello", "begins like no history"),
    ] {
        assert!(read("register", text).unwrap_err().contains(says), "{text}");
    }
    assert!(
        read_any(&b"{:type :ok}"[..], None, &ReadOptions::default()).unwrap_err().to_string().contains("no header")
    );
}

#[test]
fn time_is_only_for_show() {
    let text = "{:type :invoke :process 0 :f :write :value 1 :time 9} {:type :ok :process 0 :f :write :value 1 :time 5 :index nil}
                {:type :invoke :process 1 :f :write :value 2 :time 4}";
    let loaded = read("register", text).unwrap();
    assert_eq!(
        loaded.warnings,
        ["time goes backwards at event 1 and 1 more times: the order of the events counts, not their times"]
    );
    assert_eq!(loaded.history.ops().map(|op| op.outcome).collect::<Vec<_>>(), [Outcome::Ok, Outcome::Info]);
}

/// A file that was cut anywhere is read up to its last whole operation, with a warning.
#[test]
fn a_cut_file_is_read_to_its_last_whole_operation() {
    let op = |at: u32| format!("{{:type :invoke, :process {at}, :f :write, :value {at} :error \"a]}}\"}}\n");
    let text: String = (0..5).map(op).collect();
    for (around, text) in [(false, text.clone()), (true, format!("[{text}]"))] {
        for end in 1..text.len() {
            let Ok(loaded) = read("register", &text[..end]) else { continue };
            let whole = text[..end].matches("}\"}").count();
            assert_eq!(loaded.history.len(), whole, "{}", &text[..end]);
            let between = text[..end].trim_end().ends_with("\"}");
            assert_eq!(loaded.warnings.is_empty(), between && !around, "{:?} {}", loaded.warnings, &text[..end]);
        }
    }
}

/// Pieces of a megabyte meet in the middle of operations.
#[test]
fn a_file_of_many_pieces_is_read_whole() {
    let mut text = String::new();
    for at in 0..40_000 {
        text += &format!(
            "{{:type :invoke, :process {0}, :f :write, :value {at}}}\n{{:type :ok, :process {0}, :f :write, :value {at}}}\n",
            at % 7
        );
    }
    let history = read("register", &text).unwrap().history;
    assert_eq!(history.len(), 40_000);
    assert!(
        history
            .ops()
            .enumerate()
            .all(|(at, op)| op.value == &Value::keyed(0, Some(at as i64)) && op.outcome == Outcome::Ok)
    );
    let broken = text.replacen(":value 39000}", ":value }", 1);
    assert!(
        read("register", &broken).unwrap_err().starts_with("line 78001, column 47: "),
        "{:?}",
        read("register", &broken)
    );
}

proptest! {
    /// What we write as EDN we read again.
    #[test]
    fn our_edn_comes_back(values in prop::collection::vec((0_u8..3, 0_i64..5, 0_i64..9, 0_u8..4), 1..40)) {
        let mut text = String::new();
        for (process, (f, key, value, end)) in (0..).zip(values) {
            let ops = ["w", "r", "cas"][usize::from(f)];
            let arguments = match f { 0 => format!("{key} {value}"), 1 => format!("{key}"), _ => format!("{key} {value} 7") };
            text += &format!("{process}> {ops} {arguments}\n");
            text += &match (end, f) {
                (0, 1) => format!("{process}+ {value}\n"),
                (0, _) => format!("{process}+\n"),
                (1, _) => format!("{process}- !40001\n"),
                (2, _) => format!("{process}? !timeout @n1\n"),
                _ => String::new(),
            };
        }
        let (_, events) = schism_checker::history::notation::parse("register", &text).unwrap();
        let mut edn = Vec::new();
        events.iter().for_each(|event| write_event_edn(&mut edn, event));
        let native = schism_checker::history::notation::history("register", &text).unwrap();
        let options = ReadOptions { workload: Some("register".into()) };
        let back = read_any(&edn[..], Some(Format::Edn), &options).unwrap().history;
        prop_assert_eq!(back.len(), native.len());
        for (ours, theirs) in native.ops().zip(back.ops()) {
            prop_assert_eq!((ours.process, ours.f, ours.outcome, ours.value, ours.invoke_index, ours.complete_index, ours.complete_ns, ours.node), (theirs.process, theirs.f, theirs.outcome, theirs.value, theirs.invoke_index, theirs.complete_index, theirs.complete_ns, theirs.node));
        }
        let valid = |history| match &check(history, &schism_checker::Options::default()).unwrap()[0].details {
            Details::Linearizability(result) => result.invalid_keys.iter().map(|key| key.key).collect::<Vec<_>>(),
            _ => vec![],
        };
        prop_assert_eq!(valid(&native), valid(&back));
    }

    #[test]
    fn any_text_is_read_without_panic(text in "[\\[{}()#_:;\"\\\\ a-z0-9\\n]{0,200}", at in any::<prop::sample::Index>()) {
        let whole = format!("{{:type :invoke :process 0 :f :write :value 1}}\n{text}\n{{:type :ok :process 0 :f :write}}");
        for format in Format::NAMES {
            let options = ReadOptions { workload: Some("cas-register".into()) };
            let _ = read_any(whole.as_bytes(), Some(format.1), &options);
            let _ = read_any(&whole.as_bytes()[at.index(whole.len())..], Some(format.1), &options);
        }
    }
}

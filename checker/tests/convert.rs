//! What is written in other formats, to the letter, and what is refused.
#![allow(clippy::unwrap_used)]

use schism_checker::history::{History, ReadOptions, Target, convert, read_any_for_conversion};

fn read(model: &str, text: &str) -> History {
    let options = ReadOptions { workload: Some(model.into()) };
    read_any_for_conversion(text.as_bytes(), None, &options).unwrap_or_else(|why| panic!("{text}: {why}")).history
}

/// What is written, and what is said to be left out.
fn written(history: &History, target: Target) -> (String, Vec<String>) {
    let mut out = Vec::new();
    let left_out = convert(history, target, &mut out).unwrap_or_else(|why| panic!("{why}"));
    (String::from_utf8(out).unwrap(), left_out)
}

#[track_caller]
fn refused(model: &str, text: &str, target: Target, says: &str) {
    let mut out = Vec::new();
    let why = convert(&read(model, text), target, &mut out).unwrap_err().to_string();
    assert!(why.starts_with(says) && out.is_empty(), "{text}: {why}");
}

const REGISTER: &str = "{:type :invoke :process 0 :f :write :value 3}
{:type :invoke :process 1 :f :cas :value [3 4]}
{:type :ok :process 0 :f :write :value 3}
{:type :info :process :nemesis :f :start :value {:cut [\"n1\"]}}
{:type :fail :process 1 :f :cas :value [3 4]}
{:type :invoke :process 1 :f :cas :value [3 5]}
{:type :info :process 1 :f :cas :value [3 5] :error :timeout}
{:type :invoke :process 2 :f :read :value nil}
{:type :info :process 2 :f :read :value nil}
{:type :invoke :process 2 :f :read :value nil}
{:type :ok :process 2 :f :read :value nil}
{:type :invoke :process 3 :f :write :value 6}
";

#[test]
fn registers_as_porcupine_reads_them() {
    let (text, left_out) = written(&read("register", REGISTER), Target::Porcupine);
    let expected = "0 :invoke :write 3
0 :ok :write 3
1 :invoke :cas [3,5]
1 :info :cas :timed-out
2 :invoke :read nil
2 :fail :read :timed-out
2 :invoke :read nil
2 :ok :read nil
3 :invoke :write 6
";
    let line = |line: &str| format!("INFO  jepsen.util - {}\n", line.replace(' ', "\t").replace(',', " "));
    assert_eq!(text, expected.lines().map(line).collect::<String>());
    let lost = ["left out: 1 operation that failed", "left out: 1 event of faults, claims, phases and the like"];
    assert_eq!(left_out, lost);
    let keyed = REGISTER.replace(":value 3", ":value [:x 3]").replace(":value 6", ":value [:x 6]");
    let keyed = keyed.replace(":value [3", ":value [:x [3").replace("4]", "4]]").replace("5]", "5]]");
    let keyed = keyed.replace(":read :value nil", ":read :value [:x nil]");
    let (again, left_out) = written(&read("register", &keyed), Target::Porcupine);
    assert_eq!(
        (again, left_out.last().map(String::as_str)),
        (text, Some("left out: 1 event of faults, claims, phases and the like"))
    );
    assert_eq!(left_out[1], "left out: the key, which is :x for all operations");
}

#[test]
fn what_porcupine_does_not_read_is_refused() {
    let to = Target::Porcupine;
    refused("register", &REGISTER.replace("6", "-6"), to, "event 11: process 3's write: -6 is no natural number");
    refused("register", &REGISTER.replace("6", ":six"), to, "event 11: process 3's write: :six is no natural number");
    refused("register", &REGISTER.replace("6", "nil"), to, "event 11: process 3's write: it writes or expects nil");
    refused(
        "register",
        &REGISTER.replace(":process 3", ":process 1"),
        to,
        "event 11: process 1's write: nobody knows how the process' operation of event 5 ended",
    );
    let keyed = "{:type :invoke :process 0 :f :write :value [1 3]} {:type :invoke :process 1 :f :write :value [2 3]}";
    let says = "event 1: process 1's write: a log is of one register, and this is key 2 after key 1";
    refused("register", keyed, to, says);
    let lists = "{:type :invoke :process 0 :f :txn :value [[:append 1 2]]}";
    let says = "Porcupine's logs are of a register or of a kv store, not of list-append (event 0: txn)";
    refused("list-append", lists, to, says);
    let kv = "{:type :invoke :process 0 :f :put :key \"a\" :value \"b\\\"\"}";
    refused("kv", kv, to, "event 0: process 0's put: \"b\\\"\" would have to be escaped");
}

#[test]
fn kv_stores_as_porcupine_reads_them() {
    let log = "{:process 0, :type :invoke, :f :append, :key \"0\", :value \"x 0 0 y\"}
{:process 1, :type :invoke, :f :get, :key \"5\", :value nil}
{:process 1, :type :ok, :f :get, :key \"5\", :value \"\"}
{:process 0, :type :ok, :f :append, :key \"0\", :value \"x 0 0 y\"}
{:process 0, :type :invoke, :f :put, :key \"a\", :value \"1\"}
";
    assert_eq!(written(&read("kv", log), Target::Porcupine), (log.into(), vec![]));
    let unanswered = format!("{log}{{:process 2, :type :invoke, :f :get, :key \"5\", :value nil}}\n");
    let left_out = vec!["left out: 1 get without an answer".into()];
    assert_eq!(written(&read("kv", &unanswered), Target::Porcupine), (log.into(), left_out));
}

/// What Elle reads comes back as it was, from our own format too; a map's keywords have lost their colon.
#[test]
fn reads_by_predicate_as_elle_has_them() {
    let edn = "{:index 0, :time 0, :type :invoke, :process 9, :f :init, :value {5 3, 6 1}}
{:index 1, :time 0, :type :ok, :process 9, :f :init, :value {5 3, 6 1}}
{:index 2, :time 0, :type :invoke, :process 1, :f :txn, :value [[:insert 7 2] [:rp [:mod 2 1] nil] [:rp :true nil] [:r 5 nil]]}
{:index 3, :time 0, :type :invoke, :process 2, :f :txn, :value [[:w 5 4] [:delete 6] [:rp [:= 4] nil]]}
{:index 4, :time 0, :type :ok, :process 1, :f :txn, :value [[:insert 7 2] [:rp [:mod 2 1] {5 3, 6 1}] [:rp :true {}] [:r 5 3]]}
{:index 5, :time 0, :type :info, :process 2, :f :txn, :value [[:w 5 4] [:delete 6] [:rp [:= 4] nil]]}
";
    let in_universe = edn
        .replace(":value {5 3, 6 1}", ":value [8 {5 3, 6 1}]")
        .replace(":value [[", ":value [8 [[")
        .replace("]]}", "]]]}");
    for edn in [edn, &in_universe] {
        let history = read("closed-predicate", edn);
        assert_eq!(written(&history, Target::Edn), (edn.to_owned(), vec![]));
        let ours = written(&history, Target::Jsonl).0;
        let again = read_any_for_conversion(ours.as_bytes(), None, &ReadOptions::default()).unwrap().history;
        assert_eq!(written(&again, Target::Edn), (edn.to_owned(), vec![]), "{ours}");
        assert_eq!(again.digest(), history.digest());
    }
    let keywords = edn.replace(" 5 ", " :x ").replace("{5 ", "{:x ");
    let history = read("closed-predicate", &keywords);
    assert_eq!(written(&history, Target::Edn).0, edn.replace(" 5 ", " \"x\" ").replace("{5 ", "{\"x\" "));
}

#[test]
fn transactions_as_plume_reads_them() {
    let txns = "{:type :invoke :process 4 :value [[:w 1 7] [:r 2 nil]] :f :txn} {:type :ok :process 4 :value [[:w 1 7] [:r 2 nil]]}
{:type :invoke :process 5 :f :txn :value [[:r 1 nil] [:w 3 8]]} {:type :fail :process 5}
{:type :invoke :process 5 :f :txn :value [[:r 1 nil]]} {:type :info :process 5}
{:type :invoke :process 4 :f :txn :value []} {:type :ok :process 4 :value []}
{:type :invoke :process 6 :f :txn :value [[:r 1 nil]]} {:type :ok :process 6 :value [[:r 1 7]]}";
    let (text, left_out) = written(&read("rw-register", txns), Target::Plume);
    assert_eq!(text, "w(1,7,4,0)\nr(2,0,4,0)\nw(3,8,5,-1)\nr(1,7,6,1)\n");
    assert_eq!(
        left_out,
        [
            "left out: 1 transaction without operations",
            "left out: 1 read of an aborted transaction",
            "left out: 1 read without an answer",
            "left out: what happened first in different processes, of which plume's sessions say nothing"
        ]
    );
    // What has no real time loses none, and keeps saying so.
    let history = read_any_for_conversion(text.as_bytes(), None, &ReadOptions::default()).unwrap().history;
    assert_eq!(written(&history, Target::Plume), (text, vec![]));
    assert!(written(&history, Target::Edn).0.lines().all(|line| line.ends_with(", :real-time? false}")));
    let mut out = Vec::new();
    let why = convert(&history, Target::Porcupine, &mut out).unwrap_err().to_string();
    assert!(why.starts_with("Porcupine's logs are of a register"), "{why}");

    let to = Target::Plume;
    refused(
        "rw-register",
        &txns.replace(":fail", ":info"),
        to,
        "event 2: process 5's txn: nobody knows whether it happened",
    );
    refused(
        "rw-register",
        &txns.replace("7", "0"),
        to,
        "event 0: process 4's txn: its value 0 is what a key holds at first",
    );
    refused(
        "rw-register",
        &txns.replace("[:w 1 7]", "[:w :x 7]"),
        to,
        "event 0: process 4's txn: \":x\" is no natural number",
    );
    let lists = "{:type :invoke :process 0 :f :txn :value [[:append 1 2]]}";
    refused("list-append", lists, to, "event 0: process 0's txn: [\"append\",1,2]: plume has reads and writes only");
    refused("register", REGISTER, to, "event 1: process 1's cas: plume has transactions of reads and writes only");
}

/// Keys, words and numbers come back from our own format, for its header has what stands behind numbers.
#[test]
fn another_tools_history_in_our_own_format() {
    let text =
        "{:type :invoke :process 0 :f :write :value :a :time 5}\n{:type :ok :process 0 :f :write :value :a :time 7}";
    let (jsonl, _) = written(&read("register", text), Target::Jsonl);
    let header = r#"{"schism-history":1,"workload":"register","target":"","seed":0,"clients":0,"nodes":[],"origin":{"keyed":false,"names-processes":true,"real-time":true,"symbols":[":a"]}}"#;
    assert_eq!(jsonl.lines().next(), Some(header));
    let back = read_any_for_conversion(jsonl.as_bytes(), None, &ReadOptions::default()).unwrap().history;
    let edn = "{:index 0, :time 5, :type :invoke, :process 0, :f :write, :value :a}
{:index 1, :time 7, :type :ok, :process 0, :f :write, :value :a}\n";
    assert_eq!(written(&back, Target::Edn), (edn.into(), vec![]));
    let twice = jsonl.replace("[\":a\"]", "[\":a\",\":a\"]");
    let why = read_any_for_conversion(twice.as_bytes(), None, &ReadOptions::default()).unwrap_err().to_string();
    assert!(why.starts_with("line 1: malformed header: the symbol \":a\" twice"), "{why}");
}

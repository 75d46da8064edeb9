//! Transactions by hand: what is told where Elle tells otherwise, and what a certificate of it says.
#![allow(clippy::unwrap_used)]

mod support;

use schism_checker::{
    Check, Details, Validity,
    history::{ReadOptions, Target, convert, read_any_for_conversion},
    isolation::{self, Settings},
    verify::{Certificate, Verification},
};

fn asked(model: &str) -> Settings {
    Settings { consistency_models: Some(vec![model.into()]), ..Settings::default() }
}

/// The check, and whether its certificate holds.
fn check(workload: &str, edn: &str, settings: &Settings) -> (Check, Option<bool>) {
    let history = support::foreign(workload, edn).unwrap();
    let check = isolation::check(&history, settings);
    let Details::Isolation(found) = &check.details else { panic!("another result") };
    let mut certificate = Vec::new();
    isolation::write_certificate(&history, settings, check.valid, found, &mut certificate).unwrap();
    let holds = match Certificate::open(&certificate[..]).unwrap().verify(&history).unwrap() {
        Verification::Holds { valid, .. } => Some(valid == check.valid),
        Verification::DoesNotHold(_) => Some(false),
        Verification::Undecided(_) => None,
    };
    (check, holds)
}

fn kinds(check: &Check) -> Vec<&str> {
    let Details::Isolation(found) = &check.details else { panic!("another result") };
    found.anomaly_types.iter().map(String::as_str).collect()
}

/// A client tries again what failed, and what is read then is what the second attempt wrote.
#[test]
fn a_value_tried_again_is_the_second_attempts() {
    let tried_again =
        "{:type :invoke :process 0 :f :txn :value [[:w x 1]]} {:type :fail :process 0 :f :txn :value [[:w x 1]]}
        {:type :invoke :process 0 :f :txn :value [[:w x 1]]} {:type :ok :process 0 :f :txn :value [[:w x 1]]}
        {:type :invoke :process 1 :f :txn :value [[:r x nil]]} {:type :ok :process 1 :f :txn :value [[:r x 1]]}";
    let (ours, holds) = check("rw-register", tried_again, &asked("strict-serializable"));
    assert_eq!((ours.valid, holds), (Validity::Valid, Some(true)), "{}", ours.summary);
    let elles = check("rw-register", tried_again, &Settings { elle: true, ..asked("strict-serializable") }).0;
    assert_eq!(kinds(&elles), ["G1a"]);
    let (never, holds) =
        check("rw-register", &tried_again.replacen(":type :ok", ":type :fail", 1), &asked("read-committed"));
    assert_eq!((never.valid, holds), (Validity::Invalid, Some(true)));
    assert!(kinds(&never).contains(&"G1a"), "{}", never.summary);
    // Likewise a value that one transaction overwrote and another wrote last.
    let overwritten = "{:type :invoke :process 0 :f :txn :value [[:w x 1] [:w x 2]]} {:type :ok :process 0 :f :txn :value [[:w x 1] [:w x 2]]}
        {:type :invoke :process 0 :f :txn :value [[:w x 1]]} {:type :info :process 0 :f :txn :value [[:w x 1]]}
        {:type :invoke :process 1 :f :txn :value [[:r x nil]]} {:type :ok :process 1 :f :txn :value [[:r x 1]]}";
    assert!(!kinds(&check("rw-register", overwritten, &asked("read-committed")).0).contains(&"G1b"));
    let by_nobody_else = overwritten.replace(":type :info", ":type :fail");
    assert!(kinds(&check("rw-register", &by_nobody_else, &asked("read-committed")).0).contains(&"G1b"));
}

/// An element that failed at first and was appended again is the second attempt's: nothing less is inferred from it, and it is
/// no intermediate state of the first.
#[test]
fn an_element_tried_again_is_the_second_attempts() {
    let first = "{:type :invoke :process 0 :f :txn :value [[:append 1 10] [:append 1 11]]}
        {:type :fail :process 0 :f :txn :value [[:append 1 10] [:append 1 11]]}";
    let again = "{:type :invoke :process 0 :f :txn :value [[:append 1 10]]}
        {:type :ok :process 0 :f :txn :value [[:append 1 10]]}
        {:type :invoke :process 1 :f :txn :value [[:r 1 nil] [:append 2 20]]}
        {:type :invoke :process 2 :f :txn :value [[:r 2 nil] [:append 1 12]]}
        {:type :ok :process 1 :f :txn :value [[:r 1 [10]] [:append 2 20]]}
        {:type :ok :process 2 :f :txn :value [[:r 2 []] [:append 1 12]]}
        {:type :invoke :process 1 :f :txn :value [[:r 1 nil] [:r 2 nil]]}
        {:type :ok :process 1 :f :txn :value [[:r 1 [10 12]] [:r 2 [20]]]}";
    let (alone, _) = check("list-append", again, &asked("serializable"));
    assert_eq!(kinds(&alone), ["G2-item"]);
    let (after_failure, holds) = check("list-append", &format!("{first}\n{again}"), &asked("serializable"));
    assert_eq!((after_failure.valid, holds), (Validity::Invalid, Some(true)), "{}", after_failure.summary);
    assert!(kinds(&after_failure).contains(&"G2-item") && !kinds(&after_failure).contains(&"G1b"));
}

/// What a valid history allows is no order, and is said to be none.
#[test]
fn an_allowed_cycle_is_certified_by_nothing() {
    let skew = "{:type :invoke :process 0 :f :txn :value [[:r 1 nil] [:append 2 20]]}
        {:type :invoke :process 1 :f :txn :value [[:r 2 nil] [:append 1 10]]}
        {:type :ok :process 0 :f :txn :value [[:r 1 []] [:append 2 20]]}
        {:type :ok :process 1 :f :txn :value [[:r 2 []] [:append 1 10]]}
        {:type :invoke :process 0 :f :txn :value [[:r 1 nil] [:r 2 nil]]}
        {:type :ok :process 0 :f :txn :value [[:r 1 [10]] [:r 2 [20]]]}";
    let (allowed, holds) = check("list-append", skew, &asked("snapshot-isolation"));
    assert_eq!((allowed.valid, holds), (Validity::Valid, None), "{}", allowed.summary);
    let (refuted, holds) = check("list-append", skew, &asked("serializable"));
    assert_eq!((refuted.valid, kinds(&refuted), holds), (Validity::Invalid, vec!["G2-item"], Some(true)));
}

/// What an indeterminate transaction read says nothing while it may have been rolled back; once somebody read what it
/// appended, it counts.
#[test]
fn reads_of_an_indeterminate_transaction_count_once_it_happened() {
    let torn = |read: &str| {
        format!(
            "{{:type :invoke :process 0 :f :txn :value [[:append x 1] [:append y 1]]}}
            {{:type :invoke :process 1 :f :txn :value [[:r x nil] [:r y nil] [:append z 1]]}}
            {{:type :ok :process 0 :f :txn :value [[:append x 1] [:append y 1]]}}
            {{:type :info :process 1 :f :txn :value [[:r x [1]] [:r y []] [:append z 1]]}}
            {{:type :invoke :process 2 :f :txn :value [[:r z nil] [:r y nil]]}}
            {{:type :ok :process 2 :f :txn :value [[:r z {read}] [:r y [1]]]}}"
        )
    };
    let (unseen, holds) = check("list-append", &torn("[]"), &asked("serializable"));
    assert_eq!((unseen.valid, holds), (Validity::Valid, Some(true)), "{}", unseen.summary);
    let (seen, holds) = check("list-append", &torn("[1]"), &asked("serializable"));
    assert_eq!((seen.valid, kinds(&seen), holds), (Validity::Invalid, vec!["G-single-item"], Some(true)));
    // Nor does what nobody wrote, before it is known to have happened.
    for read in ["[1 7]", "[1 1]"] {
        let of = |seen: &str| {
            torn(seen).replace(
                ":info :process 1 :f :txn :value [[:r x [1]]",
                &format!(":info :process 1 :f :txn :value [[:r x {read}]"),
            )
        };
        assert_eq!(check("list-append", &of("[]"), &asked("serializable")).0.valid, Validity::Valid, "{read}");
        let (seen, holds) = check("list-append", &of("[1]"), &asked("read-uncommitted"));
        assert_eq!((seen.valid, holds), (Validity::Invalid, Some(true)), "{}", seen.summary);
    }
}

/// What the database says of its own order is the version order of each key.
#[test]
fn versions_in_the_order_that_the_database_tells() {
    let history = |first: i64, second: i64| {
        format!(
            "{{:type :invoke, :process 0, :f :txn, :value [[:r :x nil] [:w :y 2]]}}
            {{:type :invoke, :process 1, :f :txn, :value [[:w :x 3] [:w :y 4]]}}
            {{:type :ok, :process 0, :f :txn, :value [[:r :x nil] [:w :y 2]], :order {first}}}
            {{:type :ok, :process 1, :f :txn, :value [[:w :x 3] [:w :y 4]], :order {second}}}"
        )
    };
    let told = Settings { transaction_order: true, ..asked("serializable") };
    // It wrote y after the other, of whose x it saw nothing.
    let (after, holds) = check("rw-register", &history(8, 7), &told);
    assert_eq!((after.valid, kinds(&after), holds), (Validity::Invalid, vec!["G-single-item"], None));
    assert!(after.findings[0].sentence.contains("transaction-order"), "{}", after.findings[0].sentence);
    // One of which nobody knows whether it happened lies between.
    let between =
        "{:type :invoke, :process 2, :f :txn, :value [[:w :y 9]]} {:type :info, :process 2, :f :txn, :order 8}";
    let far = format!("{between} {}", history(9, 7));
    assert_eq!(kinds(&check("rw-register", &far, &told).0), ["G-single-item"]);
    for fine in [history(7, 8), history(7, 7)] {
        assert_eq!(check("rw-register", &fine, &told).0.valid, Validity::Valid, "{fine}");
    }
    assert_eq!(check("rw-register", &history(8, 7), &asked("serializable")).0.valid, Validity::Valid);
    // It is kept when the history is written down in another format.
    let options = ReadOptions { workload: Some("rw-register".into()) };
    let read = read_any_for_conversion(history(8, 7).as_bytes(), None, &options).unwrap().history;
    for target in [Target::Jsonl, Target::Edn] {
        let mut written = Vec::new();
        convert(&read, target, &mut written).unwrap();
        let again = support::foreign("rw-register", std::str::from_utf8(&written).unwrap()).unwrap();
        assert!(again.tells_order(), "{target:?}");
        assert_eq!(isolation::check(&again, &told).valid, Validity::Invalid, "{target:?}");
    }
}

/// Of an element that two appended it is not told whose it is, and so it is not what an edge is told by.
#[test]
fn an_edge_is_told_by_what_is_certain() {
    let twice = "{:type :invoke, :process 0, :f :txn, :value [[:append 1 1][:append 0 2][:r 0 nil]]}
        {:type :ok, :process 0, :f :txn, :value [[:append 1 1][:append 0 2][:r 0 [8, 2]]]}
        {:type :invoke, :process 2, :f :txn, :value [[:append 1 7][:append 0 8]]}
        {:type :ok, :process 2, :f :txn, :value [[:append 1 7][:append 0 8]]}
        {:type :invoke, :process 3, :f :txn, :value [[:append 1 1][:append 1 10][:r 1 nil]]}
        {:type :ok, :process 3, :f :txn, :value [[:append 1 1][:append 1 10][:r 1 [7, 1, 10]]]}";
    let (found, holds) = check("list-append", twice, &asked("strict-serializable"));
    assert_eq!((found.valid, holds), (Validity::Invalid, Some(true)), "{}", found.summary);
    assert!(found.summary.contains("G0-realtime"), "{}", found.summary);
}

/// One that failed appended an element twice: what was read is aborted, and intermediate besides; both are shown.
#[test]
fn an_element_that_a_failed_transaction_appended_twice() {
    let twice = "{:type :invoke :process 0 :f :txn :value [[:append 1 1] [:append 1 1]]}
        {:type :fail :process 0 :f :txn :value [[:append 1 1] [:append 1 1]]}
        {:type :invoke :process 1 :f :txn :value [[:r 1 nil]]} {:type :ok :process 1 :f :txn :value [[:r 1 [1]]]}";
    let (found, holds) = check("list-append", twice, &asked("read-committed"));
    assert_eq!((found.valid, holds), (Validity::Invalid, Some(true)), "{}", found.summary);
    assert!(kinds(&found).contains(&"G1a"), "{}", found.summary);
}

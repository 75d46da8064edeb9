//! closed-predicate by hand: the cases that Elle's authors thought of, and what they would say to more of them.
#![allow(clippy::unwrap_used)]

mod support;

use schism_checker::{
    Check, Details, Validity,
    isolation::{self, IsolationResult, Settings},
    verify::{Certificate, Verification},
};

fn asked(model: &str) -> Settings {
    Settings { consistency_models: Some(vec![model.into()]), ..Settings::default() }
}

fn elles(model: &str) -> Settings {
    Settings { elle: true, ..asked(model) }
}

fn result(check: &Check) -> &IsolationResult {
    let Details::Isolation(found) = &check.details else { panic!("another result") };
    found
}

/// Kinds of anomalies that refute what is asked for; the certificate of them holds.
#[track_caller]
fn kinds(edn: &str, settings: &Settings) -> (Validity, Vec<String>) {
    let history = support::foreign("closed-predicate", edn).unwrap();
    let check = isolation::check(&history, settings);
    let mut certificate = Vec::new();
    isolation::write_certificate(&history, settings, check.valid, result(&check), &mut certificate).unwrap();
    let verified = Certificate::open(&certificate[..]).unwrap().verify(&history).unwrap();
    // Elle's leniency with a transaction's own writes is its own.
    match verified {
        _ if settings.elle => {}
        Verification::Holds { valid, .. } => assert_eq!(valid, check.valid, "{edn}"),
        Verification::Undecided(why) => assert_ne!(check.valid, WRONG, "{why} {edn}"),
        Verification::DoesNotHold(why) => panic!("{why} {edn}"),
    }
    let refuting = result(&check).anomaly_types.iter().filter(|kind| *kind != "empty-transaction-graph");
    (check.valid, refuting.cloned().collect())
}

/// Transactions that all run at the same time, each `[mops]` as Elle's tests have them; before them `init`, if any.
fn concurrent(init: Option<&str>, txns: &[&str]) -> String {
    let mut edn = String::new();
    if let Some(rows) = init {
        edn.push_str(&format!(
            "{{:process 99 :type :invoke :f :init :value {rows}}} {{:process 99 :type :ok :f :init :value {rows}}}\n"
        ));
    }
    for kind in ["invoke", "ok"] {
        for (process, txn) in txns.iter().enumerate() {
            edn.push_str(&format!("{{:process {process} :type :{kind} :f :txn :value {txn}}}\n"));
        }
    }
    edn
}

const WRONG: Validity = Validity::Invalid;

#[track_caller]
fn assert_kinds(edn: &str, settings: &Settings, expected: &[&str]) {
    assert_eq!(kinds(edn, settings), (WRONG, expected.iter().map(ToString::to_string).collect()), "{edn}");
}

#[test]
fn what_was_got_and_what_was_not() {
    // Each got what the other wrote.
    let seen = concurrent(None, &["[[:w :x 1] [:rp :true {:x 1, :y 2}]]", "[[:w :y 2] [:rp :true {:x 1, :y 2}]]"]);
    assert_kinds(&seen, &asked("serializable"), &["G1c"]);
    // Each got nothing but its own: phantoms.
    let phantoms = concurrent(None, &["[[:rp :true {}] [:insert :x 1]]", "[[:rp :true {}] [:insert :y 2]]"]);
    assert_kinds(&phantoms, &asked("serializable"), &["G2"]);
    assert_eq!(kinds(&phantoms, &asked("repeatable-read")).0, Validity::Valid);
    assert_eq!(kinds(&phantoms, &asked("snapshot-isolation")).0, Validity::Valid);
    // Both rows were deleted: each met the other's deletion.
    let deleted = concurrent(Some("{:x 0 :y 0}"), &["[[:delete :x] [:rp :true {}]]", "[[:delete :y] [:rp :true {}]]"]);
    assert_kinds(&deleted, &asked("serializable"), &["G1c"]);
    let overwritten =
        concurrent(Some("{:x 0 :y 0}"), &["[[:rp [:= 0] {:x 0}] [:w :x 1]]", "[[:rp [:= 0] {:y 0}] [:w :y 1]]"]);
    assert_kinds(&overwritten, &asked("serializable"), &["G1c"]);
    let not_yet = concurrent(Some("{:x 0 :y 0}"), &["[[:rp [:= 1] {}] [:w :x 1]]", "[[:rp [:= 1] {}] [:w :y 1]]"]);
    assert_kinds(&not_yet, &asked("serializable"), &["G2"]);
    // Of a row that got what it still has, nobody overlooked anything.
    let fits = concurrent(Some("{:x 0 :y 0}"), &["[[:rp [:mod 2 0] {:x 0, :y 0}] [:w :x 1]]", "[[:r :x 1]]"]);
    assert_eq!(kinds(&fits, &asked("serializable")).0, Validity::Valid);
}

/// Elle's tests expect these answers, and of what a transaction did not see of its own writes none.
#[test]
fn by_elles_rules() {
    let own = concurrent(None, &["[[:w :x 1] [:rp :true {}]]", "[[:w :y 2] [:rp :true {}]]"]);
    assert_kinds(&own, &elles("strict-serializable"), &["G2"]);
    assert_kinds(&own, &asked("strict-serializable"), &["G2", "internal"]);
    let seen = concurrent(None, &["[[:w :x 1] [:rp :true {:y 2}]]", "[[:w :y 2] [:rp :true {:x 1}]]"]);
    assert_kinds(&seen, &elles("strict-serializable"), &["G1c"]);
    // A row that got what was overwritten by what it would have got as well: Elle does not look.
    let row = concurrent(
        Some("{:x 0 :y 0}"),
        &["[[:rp [:mod 2 0] {:x 0, :y 0}] [:w :y 3]]", "[[:w :x 2] [:rp [:mod 2 0] {:y 0, :x 2}]]"],
    );
    assert_eq!(kinds(&row, &elles("serializable")).0, Validity::Valid);
    assert_kinds(&row, &asked("serializable"), &["G2-item"]);
}

#[test]
fn items_and_predicates() {
    // x was deleted by T1, which read z from T3, which read y from T2, which read that x is gone.
    let items = concurrent(
        Some("{:x 0 :z 0}"),
        &["[[:r :z 3] [:delete :x]]", "[[:r :x nil] [:insert :y 2]]", "[[:r :y 2] [:w :z 3]]"],
    );
    assert_kinds(&items, &asked("read-committed"), &["G1c"]);
    let history = support::foreign("closed-predicate", &items).unwrap();
    let check = isolation::check(&history, &elles("strict-serializable"));
    assert_eq!(result(&check).not, ["read-committed"]);
    // z was never seen, though it was there from the beginning.
    let skew = concurrent(Some("{:x 0 :z 0}"), &["[[:delete :x] [:insert :y 1]]", "[[:r :y 1] [:r :z nil]]"]);
    assert_kinds(&skew, &asked("consistent-view"), &["G-single-item"]);
    // The same row by predicate and by key.
    let both = concurrent(Some("{7 1}"), &["[[:rp [:mod 2 0] {}] [:r 7 nil]]"]);
    assert_kinds(&both, &asked("serializable"), &["G-single-item"]);
    // One of the two overlooked rows was looked for by predicate.
    let mixed = concurrent(Some("{:x 0}"), &["[[:rp [:= 5] {}] [:w :x 1]]", "[[:r :x 0] [:insert :y 5]]"]);
    assert_kinds(&mixed, &asked("serializable"), &["G2"]);
    assert_eq!(kinds(&mixed, &asked("repeatable-read")).0, Validity::Valid);
    let single = concurrent(None, &["[[:insert :x 1] [:insert :y 2]]", "[[:rp [:= 2] {}] [:r :x 1]]"]);
    assert_kinds(&single, &asked("snapshot-isolation"), &["G-single"]);
    assert_eq!(kinds(&single, &asked("repeatable-read")).0, Validity::Valid);
    // Two readers, each of whom lacks the row that the other has.
    let fork =
        concurrent(None, &["[[:insert :x 1]]", "[[:insert :y 2]]", "[[:rp :true {:x 1}]]", "[[:rp :true {:y 2}]]"]);
    assert_kinds(&fork, &asked("snapshot-isolation"), &["G-nonadjacent"]);
}

#[test]
fn what_must_have_been_there() {
    let missed = concurrent(Some("{5 3}"), &["[[:rp [:mod 2 1] {}] [:rp [:= 3] {}]]"]);
    assert_kinds(&missed, &asked("strict-serializable"), &["G-single-realtime", "predicate-read-miss"]);
    assert_kinds(&missed, &elles("strict-serializable"), &["predicate-read-miss"]);
    let history = support::foreign("closed-predicate", &missed).unwrap();
    let found = isolation::check(&history, &elles("serializable"));
    assert_eq!(result(&found).anomaly_counts["predicate-read-miss"], 2);
    assert_eq!(result(&found).not, ["serializable"]);
    // A version that does not satisfy the predicate may be what was met.
    let overwritten = concurrent(Some("{5 3}"), &["[[:rp [:= 3] {}]]", "[[:w 5 4]]"]);
    assert_eq!(kinds(&overwritten, &asked("serializable")).0, Validity::Valid);
    let failed = "{:process 9 :type :invoke :f :init :value {5 3}} {:process 9 :type :ok :f :init :value {5 3}}
        {:process 0 :type :invoke :f :txn :value [[:w 5 4] [:delete 6]]} {:process 0 :type :fail :f :txn :value [[:w 5 4]]}
        {:process 1 :type :invoke :f :txn :value [[:rp [:= 3] nil]]} {:process 1 :type :ok :f :txn :value [[:rp [:= 3] {}]]}";
    assert_kinds(failed, &asked("serializable"), &["predicate-read-miss"]);
}

#[test]
fn reads_of_what_should_not_be_read() {
    let failed = |read: &str| {
        format!(
            "{{:process 9 :type :invoke :f :init :value {{5 3}}}} {{:process 9 :type :ok :f :init :value {{5 3}}}}
            {{:process 0 :type :invoke :f :txn :value [[:delete 5] [:insert 6 1]]}} {{:process 0 :type :fail :f :txn}}
            {{:process 1 :type :invoke :f :txn :value [{read}]}} {{:process 1 :type :ok :f :txn :value [{read}]}}"
        )
    };
    assert_kinds(&failed("[:r 6 1]"), &asked("read-committed"), &["G1a"]);
    assert_kinds(&failed("[:rp :true {5 3, 6 1}]"), &asked("read-committed"), &["G1a"]);
    assert_kinds(&failed("[:r 5 nil]"), &asked("read-committed"), &["G1a"]);
    let overwrote = concurrent(None, &["[[:insert :x 1] [:w :x 2]]", "[[:r :x 1]]"]);
    assert_kinds(&overwrote, &asked("read-committed"), &["G1b"]);
    let own = concurrent(Some("{:x 0}"), &["[[:r :x 1] [:w :x 1]]"]);
    assert_kinds(&own, &asked("read-committed"), &["future-read"]);
    // What it deleted later it should have got before.
    let own = concurrent(Some("{:x 0}"), &["[[:rp :true {}] [:delete :x]]"]);
    assert_kinds(&own, &asked("serializable"), &["G-single", "predicate-read-miss"]);
    assert_kinds(
        &concurrent(None, &["[[:r :x 1]]", "[[:insert :y 1]]", "[[:r :y 1]]"]),
        &asked("read-uncommitted"),
        &["garbage-read"],
    );
    let wrong_row = concurrent(Some("{:x 1}"), &["[[:rp [:= 2] {:x 1}]]"]);
    assert_kinds(&wrong_row, &asked("read-uncommitted"), &["garbage-read"]);
}

#[test]
fn within_a_transaction() {
    for txn in [
        "[[:insert :y 1] [:r :y nil]]",
        "[[:r :x 0] [:r :x nil]]",
        "[[:delete :x] [:rp :true {:x 0}]]",
        "[[:w :x 5] [:rp [:= 5] {}]]",
        "[[:w :x 5] [:rp [:= 0] {:x 0}]]",
        "[[:r :x 0] [:rp [:= 0] {}]]",
        "[[:rp :true {:x 0}] [:rp [:= 0] {}]]",
        "[[:rp :true {:x 0}] [:r :x nil]]",
        "[[:rp :true [[:x 0] [:x 1]]]]",
    ] {
        let history = support::foreign("closed-predicate", &concurrent(Some("{:x 0}"), &[txn, "[[:w :x 1]]"])).unwrap();
        let check = isolation::check(&history, &asked("serializable"));
        assert!(result(&check).anomaly_types.contains(&"internal".to_owned()), "{txn}: {}", check.summary);
    }
    for txn in [
        "[[:insert :y 1] [:r :y 1] [:rp [:= 1] {:y 1}] [:rp [:= 2] {}] [:delete :y] [:rp :true {:x 0}] [:r :y nil]]",
        "[[:r :x 0] [:w :x 4] [:rp [:= 0] {}] [:rp [:mod 4 0] {:x 4}]]",
    ] {
        assert_eq!(kinds(&concurrent(Some("{:x 0}"), &[txn]), &asked("serializable")).0, Validity::Valid, "{txn}");
    }
}

/// A row that several wrote is no row of the workload; what can still be told of it is.
#[test]
fn a_row_that_was_written_more_than_once() {
    let lost = concurrent(Some("{:x 0}"), &["[[:r :x 0] [:w :x 1]]", "[[:rp [:= 0] {:x 0}] [:w :x 2]]"]);
    assert_kinds(&lost, &asked("snapshot-isolation"), &["lost-update"]);
    let in_turn = concurrent(Some("{:x 0}"), &["[[:r :x 0] [:w :x 1]]", "[[:r :x 1] [:w :x 2]]", "[[:r :x 2]]"]);
    let history = support::foreign("closed-predicate", &in_turn).unwrap();
    assert_eq!(isolation::check(&history, &asked("serializable")).valid, Validity::Valid);
    let twice = concurrent(Some("{:x 0}"), &["[[:w :x 1]]", "[[:w :x 1]]", "[[:r :x 1]]"]);
    assert_eq!(kinds(&twice, &asked("serializable")), (Validity::Unknown, vec!["duplicate-writes".to_owned()]));
}

/// Inserted, written over and deleted once each, a row tells the order of its versions.
#[test]
fn a_row_that_is_inserted_written_and_deleted() {
    let life = ["[[:insert :x 1]]", "[[:w :x 2]]", "[[:delete :x]]"];
    let with = |more: &[&str]| concurrent(None, &[&life[..], more].concat());
    // It met the insertion, and so not what was written over it, nor the deletion; the others likewise.
    assert_kinds(
        &with(&["[[:r :x 1] [:insert :y 1]]", "[[:r :y nil] [:r :x 2]]"]),
        &asked("serializable"),
        &["G2-item"],
    );
    assert_eq!(
        kinds(&with(&["[[:r :x 2] [:insert :y 1]]", "[[:r :y nil] [:r :x 1]]"]), &asked("serializable")).0,
        Validity::Valid
    );
    // Without the insertion only the first two rows of what remains are known not to be in doubt.
    let unborn =
        concurrent(None, &["[[:w :x 2]]", "[[:delete :x]]", "[[:r :x 2] [:insert :y 1]]", "[[:r :y nil] [:r :x nil]]"]);
    let history = support::foreign("closed-predicate", &unborn).unwrap();
    assert_eq!(isolation::check(&history, &asked("serializable")).valid, Validity::Valid);
    // A row that was there from the beginning is not inserted again.
    let again = concurrent(
        Some("{:x 0}"),
        &["[[:insert :x 1]]", "[[:w :x 2]]", "[[:r :x 2] [:insert :y 1]]", "[[:r :y nil] [:r :x 1]]"],
    );
    let history = support::foreign("closed-predicate", &again).unwrap();
    assert_eq!(isolation::check(&history, &asked("serializable")).valid, Validity::Valid);
}

/// Nothing is inferred from a beginning that is not certain.
#[test]
fn a_universe_begins_with_its_init() {
    let late =
        "{:process 1 :type :invoke :f :txn :value [[:r 5 nil]]} {:process 1 :type :ok :f :txn :value [[:r 5 nil]]}
        {:process 9 :type :invoke :f :init :value {5 3}} {:process 9 :type :ok :f :init :value {5 3}}";
    let lost = "{:process 9 :type :invoke :f :init :value {5 3}} {:process 9 :type :info :f :init :value {5 3}}
        {:process 1 :type :invoke :f :txn :value [[:r 5 nil]]} {:process 1 :type :ok :f :txn :value [[:r 5 nil]]}";
    let again = "{:process 9 :type :invoke :f :init :value {5 3}} {:process 9 :type :ok :f :init :value {5 3}}
        {:process 9 :type :invoke :f :init :value {6 3}} {:process 9 :type :ok :f :init :value {6 3}}";
    for edn in [late, lost, again] {
        let history = support::foreign("closed-predicate", edn).unwrap();
        let check = isolation::check(&history, &asked("serializable"));
        assert_eq!(check.valid, Validity::Unknown, "{edn}");
        assert!(check.reason.as_deref().unwrap_or_default().contains("init (event"), "{:?}", check.reason);
    }
}

/// jepsen.mysql has many universes in one history, each with its own keys.
#[test]
fn universes_do_not_mix() {
    let universe = |name: u32, txns: &[&str]| {
        let txns: Vec<String> = txns.iter().map(|txn| format!("[{name} {txn}]")).collect();
        let txns: Vec<&str> = txns.iter().map(String::as_str).collect();
        concurrent(Some(&format!("[{name} {{5 3}}]")), &txns)
    };
    let fine = universe(1, &["[[:w 5 4]]"]) + &universe(2, &["[[:rp [:= 3] {5 3}] [:r 5 3]]"]);
    assert_eq!(kinds(&fine, &asked("serializable")).0, Validity::Valid);
    let waits = "{:process 3 :type :invoke :f :await-init :value [1 [[:r 5 nil]]]}
        {:process 3 :type :ok :f :await-init :value [1 [[:r 5 nil]]]}\n";
    assert_eq!(kinds(&(fine.clone() + waits), &asked("serializable")).0, Validity::Valid);
    let phantoms =
        universe(1, &["[]"]) + &universe(2, &["[[:rp [:= 9] {}] [:insert 6 1]]", "[[:r 6 nil] [:insert 7 9]]"]);
    assert_kinds(&phantoms, &asked("serializable"), &["G2"]);
    let history = support::foreign("closed-predicate", &phantoms).unwrap();
    let check = isolation::check(&history, &asked("serializable"));
    let sentence = &result(&check).anomalies["G2"][0].sentence;
    assert!(sentence.contains("key 7 of universe 2"), "{sentence}");
}

#[test]
fn what_is_no_transaction_is_said() {
    for value in [
        "[[:rp [:mod 0 0] nil]]",
        "[[:rp [:mod 3 3] nil]]",
        "[[:rp :false nil]]",
        "[[:insert 1 nil]]",
        "[[:w 1 :a]]",
        "[[:rp :true {1 :a}]]",
        "[[:append 1 2]]",
        "7",
    ] {
        let edn = format!("{{:process 1 :type :invoke :f :txn :value {value}}}");
        assert!(support::foreign("closed-predicate", &edn).is_err(), "{value}");
    }
    let elsewhere = "{:process 1 :type :invoke :f :txn :value [1 [[:r 5 nil]]]}
        {:process 1 :type :ok :f :txn :value [2 [[:r 5 nil]]]}";
    assert!(support::foreign("closed-predicate", elsewhere).unwrap_err().contains("another universe"));
}

//! More dependencies than there is memory for.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fmt::Write as _;

use schism_checker::{
    Check, Details, Validity,
    isolation::{self, IsolationResult, Settings},
};

/// One transaction after the other; `before`: those that come first.
fn check(before: &[&str], edges_max: usize) -> Check {
    let mut txns: Vec<String> = before.iter().map(|txn| (*txn).into()).collect();
    // Each reads what the one before it appended: 999 dependencies.
    txns.push("[:append 0 1]".into());
    txns.extend((1..1000).map(|at| format!("[:r {} [1]] [:append {at} 1]", at - 1)));
    let mut text = String::new();
    for (process, txn) in txns.iter().enumerate() {
        writeln!(text, "{{:type :invoke, :process {process}, :f :txn, :value [{txn}]}}").unwrap();
        writeln!(text, "{{:type :ok, :process {process}, :f :txn, :value [{txn}]}}").unwrap();
    }
    let history = support::foreign("list-append", &text).unwrap();
    isolation::check(&history, &Settings { edges_max, ..Settings::default() })
}

#[test]
fn dependencies_without_room_leave_it_undecided() {
    assert_eq!(check(&[], 999).valid, Validity::Valid);
    let undecided = check(&[], 100);
    assert_eq!(undecided.valid, Validity::Unknown);
    let reason = undecided.reason.unwrap();
    assert!(reason.contains("more than 100 dependencies: 899 were left out"), "{reason}");
    // Nor is it said that nothing depends on anything.
    assert!(!check(&[], 0).reason.unwrap().contains("nothing in the history depends"));
}

#[test]
fn what_is_found_in_the_rest_is_found() {
    let circle = ["[:append :a 1] [:r :b [1]]", "[:append :b 1] [:r :a [1]]"];
    let refuted = check(&circle, 100);
    assert_eq!(refuted.valid, Validity::Invalid);
    assert!(refuted.summary.contains("G1c"), "{}", refuted.summary);
    let Details::Isolation(result) = refuted.details else { panic!("another result") };
    assert!(result.anomaly_types.contains(&"cycle-search-timeout".into()), "{:?}", result.anomaly_types);
}

/// `count` transactions find a key empty and as many write it, one after the other; `stale`: those that write come first.
fn readers_and_writers(model: &str, count: usize, stale: bool, edges_max: usize) -> (Validity, IsolationResult) {
    let (write, empty) = if model == "list-append" { ("append", "[]") } else { ("w", "nil") };
    let mut text = String::new();
    for process in 0..2 * count {
        let (invoked, ok) = if (process < count) == stale {
            let write = format!("[:{write} :x {process}]");
            (write.clone(), write)
        } else {
            ("[:r :x nil]".into(), format!("[:r :x {empty}]"))
        };
        writeln!(text, "{{:type :invoke, :process {process}, :f :txn, :value [{invoked}]}}").unwrap();
        writeln!(text, "{{:type :ok, :process {process}, :f :txn, :value [{ok}]}}").unwrap();
    }
    let history = support::foreign(model, &text).unwrap();
    let check = isolation::check(&history, &Settings { edges_max, ..Settings::default() });
    let Details::Isolation(result) = check.details else { panic!("another result") };
    (check.valid, result)
}

#[test]
fn all_that_found_nothing_before_all_that_wrote() {
    for model in ["list-append", "rw-register"] {
        let (valid, result) = readers_and_writers(model, 2000, false, 10_000);
        assert_eq!((valid, result.edges), (Validity::Valid, 4_000_000), "{model}");
        let (valid, result) = readers_and_writers(model, 100, true, 20_000);
        assert_eq!((valid, result.edges, result.largest_component), (Validity::Invalid, 10_000, 200), "{model}");
        assert_eq!(result.anomaly_types, ["G-single-item-realtime"], "{model}");
        assert!(result.anomalies["G-single-item-realtime"][0].steps.iter().any(|step| step.kind == "rw"), "{model}");
        // There is room for the hub, but not for what it stands for in the component.
        let (valid, result) = readers_and_writers(model, 100, true, 5_000);
        assert_eq!(valid, Validity::Invalid, "{model}");
        let left_out = &result.anomalies["cycle-search-timeout"][0].sentence;
        assert!(left_out.contains("5000 were left out"), "{model}: {left_out}");
    }
}

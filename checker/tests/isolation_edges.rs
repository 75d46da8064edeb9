//! More dependencies than there is memory for.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::fmt::Write as _;

use schism_checker::{
    Check, Details, Validity,
    isolation::{self, Settings},
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

//! Each checker on histories that a person can check, and against its plain definition.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use proptest::prelude::*;
use schism_checker::{
    Check, CheckError, Details, Options, Validity,
    availability::{self, Availability},
    check,
    divergence::{final_state, final_state::DivergenceResult, split_brain, split_brain::SplitBrainResult},
    durability::{set, set::SetResult},
    history::{ClaimedRole, F, History, Outcome, notation},
    isolation::{list_append, list_append::ListAppendResult},
    linearizability::{self, Budget},
};

fn history(workload: &str, text: &str) -> History {
    notation::history(workload, text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

fn set_of(text: &str) -> (Check, SetResult) {
    let check = set::check(&history("set", text));
    let Details::Set(result) = check.details.clone() else { panic!("another result") };
    (check, result)
}

fn lost(result: &SetResult) -> Vec<i64> {
    result.lost.iter().map(|lost| lost.element).collect()
}

#[test]
fn set_good() {
    for text in [
        "0: add 1 @n1; 0: read [1] final @n1",
        // A replica lags, even at the end: that is divergence.
        "claim n1 primary; claim n2 replica; 0: add 1 @n1; 0: read [1] final @n1; 1: read [] final @n2",
        // A read concurrent with the add need not hold it.
        "0> add 1; 1> read; 0+; 1+ []; 2: read [1] final",
        // Indeterminate, and there; indeterminate, and not.
        "0: add 3; 0> add 1; 0?; 1> add 2; 1?; 2: read [1 3] final",
        "0: add 3; 0> add 1; 0-; 2: read [3] final",
        // Two primaries at the end, and one of them has it.
        "claim n1 primary; claim n2 primary; 0: add 1 @n1; 0: read [1] final @n1; 1: read [] final @n2",
        // No final reads: the last of two reads that overlap holds it.
        "0: add 1; 1> read; 2> read; 1+ []; 2+ [1]; 3: read [1]",
    ] {
        let (check, result) = set_of(text);
        assert_eq!(check.valid, Validity::Valid, "{text}: {check:?}");
        assert_eq!(result.rpo.ops, 0);
    }
}

#[test]
fn set_bad() {
    for (text, elements) in [
        ("0: add 1 @n1; 0: add 2 @n1; 0: read [1] final @n1", vec![2]),
        ("claim n1 primary; claim n2 replica; 0: add 1 @n1; 0: read [] final @n1; 1: read [1] final @n2", vec![1]),
        // Both primaries lack it.
        ("claim n1 primary; claim n2 primary; 0: add 1 @n1; 0: read [] final @n1; 1: read [] final @n2", vec![1]),
        // Nobody claims anything, and nobody has it.
        ("0: add 1 @n1; 0: read [] final @n1; 1: read [] final @n2", vec![1]),
        // No final reads.
        ("0: add 1; 1: read [1]; 1: read []", vec![1]),
        // No primary, but every node was read.
        ("claim n1 neither; claim n2 replica; 0: add 1 @n1; 0: read [] final @n1; 1: read [] final @n2", vec![1]),
    ] {
        let (check, result) = set_of(text);
        assert_eq!((check.valid, lost(&result)), (Validity::Invalid, elements), "{text}: {check:?}");
        assert_eq!(check.findings[0].kind, "lost-write");
    }
    let (check, result) = set_of("0> add 1; 0-; 0: add 2; 1: read [1 2 2 9] final");
    assert_eq!((result.unexpected, result.duplicated), (vec![1, 9], vec![(2, 2)]));
    assert_eq!(check.valid, Validity::Invalid);
    // Read before it was invoked.
    assert_eq!(set_of("0: add 1; 1: read [1 2]; 0: add 2; 1: read [1 2] final").1.unexpected, [2]);
    // Never acknowledged, but seen and then gone.
    let (check, result) = set_of("0: add 2; 0> add 1; 1: read [1 2]; 0?; 1: read [2] final");
    assert_eq!((check.valid, result.vanished), (Validity::Invalid, vec![1]));
}

#[test]
fn set_undecided() {
    for (text, reason) in [
        ("0: add 1", "no read ended ok"),
        ("0> add 1; 0?; 1: read [1] final", "no add was acknowledged"),
        (
            "0: add 1; 1: read [1]; 0: add 2",
            "nothing can be said of 1 acknowledged element: no read that counts was invoked after",
        ),
        (
            "claim n1 primary; claim n2 replica; 0: add 1 @n1; 1: read [] final @n2",
            "n1 claims to be primary and has no final read",
        ),
        (
            "nodes=n1,n2; claim n1 neither; 0: add 1 @n1; 1: read [] final @n1",
            "no node claims to be primary, and n2 has no final read",
        ),
        // A stale replica's read, no final ones.
        (
            "claim n1 primary; claim n2 replica; 0: add 1 @n1; 1: read [] @n2",
            "nothing can be said of 1 acknowledged element: no read that counts was invoked after",
        ),
        // Either read may have been the first.
        (
            "0: add 1; 1> read; 2> read; 2+ [1]; 1+ []",
            "nothing can be said of 1 acknowledged element: no read that counts was invoked after",
        ),
    ] {
        let (check, result) = set_of(text);
        assert_eq!((check.valid, check.reason.as_deref()), (Validity::Unknown, Some(reason)), "{text}");
        assert!(result.lost.is_empty());
    }
}

#[test]
fn set_figures() {
    let (check, result) = set_of(
        "0: add 1 @n1 t=100
         0> add 2 @n1 t=200; 0+ @n1 t=210
         fault 7 kill injected n1 t=300
         1: read [1 2] @n1 t=400
         1: read [1] @n2 t=500
         0> add 3 @n2 t=600; 0+ @n2 t=650
         0> add 4 @n2 t=700; 0+ @n2 t=800
         1: read [4] @n2 t=900
         1: read [1 4] @n2 final t=1000",
    );
    assert_eq!(lost(&result), [2, 3]);
    let two = &result.lost[0];
    assert_eq!(two.last_seen, Some((401_000_000, Some("n1".into()))));
    assert_eq!(two.first_missing, Some((501_000_000, Some("n2".into()))));
    assert_eq!(result.lost[1].last_seen, None);
    assert_eq!((result.attempted, result.acknowledged, result.stable, result.stale), (4, 4, 2, 1));
    assert!((result.stale_max_ms - (900.0 - 101.0)).abs() < 1e-6, "{}", result.stale_max_ms);
    assert!((result.rpo.window_s - 0.44).abs() < 1e-9);
    let by: Vec<_> = result.rpo.by_fault.iter().map(|of| (of.fault_id, of.ops)).collect();
    assert_eq!(by, [(None, 1), (Some(7), 1)]);
    assert_eq!(
        check.findings[0].sentence,
        "Process 0 was told ok for add 2 by n1 at 0.210 s; the final read of every primary lacks it (last seen at \
         0.401 s on n1)."
    );
    assert_eq!(check.summary, "2 of 4 acknowledged adds lost (50.00 %).");
}

/// The definition, element by element and read by read.
fn naive_set(history: &History) -> (Vec<i64>, Vec<i64>, Vec<i64>, u64, u64) {
    let reads: Vec<_> = history.ops().filter(|op| *op.f == F::Read && op.outcome == Outcome::Ok).collect();
    let holds = |at: usize, element: i64| reads[at].value.as_ints().unwrap().contains(&element);
    let mut elements: Vec<i64> =
        history.ops().filter(|op| *op.f == F::Add).filter_map(|op| op.value.as_int()).collect();
    elements.sort_unstable();
    let (mut lost, mut vanished, mut unexpected, mut stable, mut stale) = (vec![], vec![], vec![], 0, 0);
    let finals: Vec<usize> = (0..reads.len())
        .filter(|at| reads[*at].is_final)
        .filter(|at| {
            !(0..reads.len()).any(|other| {
                reads[other].is_final
                    && reads[other].node == reads[*at].node
                    && reads[other].complete_index > reads[*at].complete_index
            })
        })
        .collect();
    for element in elements {
        let add = history.ops().find(|op| *op.f == F::Add && op.value.as_int() == Some(element)).unwrap();
        let holding: Vec<usize> = (0..reads.len()).filter(|at| holds(*at, element)).collect();
        if holding.iter().any(|at| add.outcome == Outcome::Fail || reads[*at].complete_index < Some(add.invoke_index)) {
            unexpected.push(element);
        }
        let ok = add.complete_index.filter(|_| add.outcome == Outcome::Ok);
        let first_read = holding.iter().filter_map(|at| reads[*at].complete_index).min();
        let Some(known) = [ok, first_read].into_iter().flatten().min() else { continue };
        let lacking: Vec<usize> =
            (0..reads.len()).filter(|at| !holds(*at, element) && reads[*at].invoke_index > known).collect();
        if lacking
            .iter()
            .any(|absent| holding.iter().any(|held| reads[*held].complete_index > reads[*absent].complete_index))
        {
            stale += 1;
        }
        if add.outcome == Outcome::Fail {
            continue;
        }
        let (held, gone) = if finals.is_empty() {
            let held_until = holding.iter().filter_map(|at| reads[*at].complete_index).max().unwrap_or(0);
            let gone = lacking.iter().any(|at| reads[*at].invoke_index > held_until);
            let last = lacking.iter().chain(&holding).max_by_key(|at| reads[**at].complete_index);
            let read_since = reads.iter().any(|read| read.invoke_index > known);
            (read_since && last.is_some_and(|at| holds(*at, element)), gone)
        } else {
            let held = finals.iter().any(|at| holds(*at, element));
            (held, !held && finals.iter().all(|at| reads[*at].invoke_index > known))
        };
        if gone {
            if ok.is_some() { lost.push(element) } else { vanished.push(element) }
        } else if held {
            stable += 1;
        }
    }
    lost.sort_unstable();
    (lost, vanished, unexpected, stable, stale)
}

/// Small set histories: each step some client acts; reads return some of what was tried.
fn set_text() -> impl Strategy<Value = String> {
    (prop::collection::vec((0_usize..4, 0_u8..10, any::<u16>()), 1..24), 0_u8..3).prop_map(|(steps, finals)| {
        let mut text = String::new();
        // What each client has in flight: an add or a read.
        let mut open: [Option<bool>; 4] = [None; 4];
        let mut next = 1;
        let some = |next: i64, mask: u16| {
            let held: Vec<String> =
                (1..next).filter(|at| mask >> (at % 16) & 1 == 1).map(|at| (at * 1000).to_string()).collect();
            format!("[{}]", held.join(" "))
        };
        for (client, what, mask) in steps {
            match open[client].take() {
                None if what < 5 => {
                    text += &format!("{client}> add {}\n", next * 1000);
                    next += 1;
                    open[client] = Some(true);
                }
                None => {
                    text += &format!("{client}> read\n");
                    open[client] = Some(false);
                }
                Some(true) => text += &format!("{client}{}\n", ["+", "+", "+", "-", "?"][usize::from(what % 5)]),
                Some(false) => text += &format!("{client}+ {}\n", some(next, mask | mask.rotate_left(5))),
            }
        }
        for node in 0..finals {
            text +=
                &format!("9: read {} final @n{node}\n", some(next, 0b1011_1101_1110_0111_u16.rotate_left(node.into())));
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn set_as_defined(text in set_text()) {
        let history = history("set", &text);
        let Details::Set(result) = set::check(&history).details else { panic!("another result") };
        let mut found = lost(&result);
        found.sort_unstable();
        let unexpected: Vec<i64> = result.unexpected.clone();
        prop_assert_eq!((found, result.vanished, unexpected, result.stable, result.stale), naive_set(&history), "{}", text);
    }
}

fn split_brain_of(text: &str) -> (Check, SplitBrainResult) {
    let check = split_brain::check(&history("set", text));
    let Details::SplitBrain(result) = check.details.clone() else { panic!("another result") };
    (check, result)
}

#[test]
fn split_brain_tables() {
    // A clean failover there and back.
    let (check, result) = split_brain_of(
        "claim n1 primary; claim n2 replica; 0: add 1 @n1; claim n1 replica; claim n2 primary; 0: add 2 @n2
         claim n2 replica; claim n1 primary; 0: add 3 @n1",
    );
    assert_eq!((check.valid, result.dual_claim_s), (Validity::Valid, 0.0), "{check:?}");
    // n1 is only asked again after n2 was promoted: its claim is not stretched to the answer.
    let (check, _) = split_brain_of(
        "claim n1 primary t=1; 0: add 1 @n1 t=2; claim n2 primary t=10; 0: add 2 @n2 t=11; claim n1 replica asked=9 t=20
         0: add 3 @n2 t=21",
    );
    assert_eq!(check.valid, Validity::Valid, "{check:?}");
    // Both claim, but only one acknowledges.
    let (check, result) = split_brain_of("claim n1 primary; claim n2 primary; 0: add 1 @n1; 0: add 2 @n1");
    assert_eq!((check.valid, result.windows.len()), (Validity::Valid, 0));
    assert!(result.dual_claim_s > 0.0);
    // Both acknowledge, turn by turn.
    let (check, result) = split_brain_of(
        "claim n1 primary t=1; claim n2 primary t=10; 0: add 1 @n1 t=20; 1: add 2 @n2 t=30; 0: add 3 @n1 t=40
         1: add 4 @n2 t=50; claim n1 replica asked=60 t=61",
    );
    assert_eq!((check.valid, result.windows.len()), (Validity::Invalid, 1));
    let window = &result.windows[0];
    assert_eq!((window.start_ns, window.end_ns, window.acknowledged), (31_000_000, 41_000_000, [2, 2]));
    assert_eq!((window.claims_start_ns, window.claims_end_ns), (10_000_000, 60_000_000));
    // Nobody was asked.
    assert_eq!(split_brain_of("0: add 1 @n1; 0: add 2 @n1").0.valid, Validity::Valid);
    assert_eq!(split_brain_of("0: add 1 @n1; 0: add 2 @n2").0.reason.as_deref(), Some("no claims recorded"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Two writes of two nodes accuse exactly if at every moment of both, both nodes' last and next polls say primary.
    #[test]
    fn split_brain_as_defined(steps in prop::collection::vec((0_u8..6, 0_u8..3, 0_u8..3), 1..25)) {
        let mut text = String::new();
        let mut open = [false; 3];
        for (what, node, process) in steps {
            let busy = &mut open[usize::from(process)];
            match what {
                0 | 1 => text += &format!("claim n{node} primary\n"),
                2 => text += &format!("claim n{node} replica\n"),
                _ if *busy => { *busy = false; text += &format!("{process}+ @n{process}\n"); }
                _ => { *busy = true; text += &format!("{process}> add 1\n"); }
            }
        }
        let history = history("set", &text);
        let claims = history.claims();
        let primary_throughout = |node: &str, start: u64, end: u64| {
            let before = claims.iter().rev().find(|claim| claim.value.node == node && claim.time_ns <= start);
            let steady = claims.iter().all(|claim| {
                claim.value.node != node || claim.time_ns < start || claim.value.asked_ns >= end
                    || claim.value.role == ClaimedRole::Primary
            });
            before.is_some_and(|claim| claim.value.role == ClaimedRole::Primary) && steady
        };
        let writes: Vec<_> = history.ops().filter(|op| op.outcome == Outcome::Ok).collect();
        let mut expected = false;
        for a in &writes {
            for b in &writes {
                let (Some(first), Some(second)) = (a.node, b.node) else { continue };
                let start = a.invoke_ns.min(b.invoke_ns);
                let end = a.complete_ns.unwrap().max(b.complete_ns.unwrap());
                expected |= first != second
                    && primary_throughout(first, start, end) && primary_throughout(second, start, end);
            }
        }
        let check = split_brain::check(&history);
        prop_assert_eq!(check.valid == Validity::Invalid, expected, "{}", text);
    }
}

fn divergence_of(workload: &str, text: &str) -> (Check, DivergenceResult) {
    let check = final_state::check(&history(workload, text));
    let Details::Divergence(result) = check.details.clone() else { panic!("another result") };
    (check, result)
}

#[test]
fn divergence_tables() {
    let (check, result) = divergence_of(
        "set",
        "claim n1 primary; 0: add 1 @n1; 0: add 2 @n1; 1: read [1 2] final @n1; 1: read [1] final @n2",
    );
    assert_eq!(check.valid, Validity::Invalid);
    assert_eq!(
        result.differences[0].values,
        [(2.into(), vec!["n1".to_owned()]), (serde_json::Value::Null, vec!["n2".to_owned()])]
    );
    assert_eq!(result.differences[0].written_by[0].1, "process 0: add 2, acknowledged by n1 at 0.005 s");
    assert_eq!((&*result.nodes[0].role, result.nodes[0].size, &*result.nodes[1].role), ("primary", 2, "unknown"));

    assert_eq!(divergence_of("set", "0: add 1; 1: read [1] final @n1; 1: read [1] final @n2").0.valid, Validity::Valid);
    let (check, _) = divergence_of("set", "nodes=n1,n2; 0: add 1; 1: read [1] final @n1; 1> read final @n2; 1-");
    assert_eq!(check.reason.as_deref(), Some("n2 had no successful final read"));
    assert_eq!(divergence_of("set", "nodes=n1; 0: add 1 @n1").0.valid, Validity::Valid);

    let (check, result) = divergence_of(
        "register",
        "0: w 1 5 @n1; 0: w 2 6 @n1; 1: r 1 5 final @n1; 1: r 2 6 final @n1; 1: r 1 5 final @n2; 1: r 2 nil final @n2",
    );
    assert_eq!((check.valid, result.differences.len(), result.differences[0].key), (Validity::Invalid, 1, Some(2)));
    assert_eq!(
        check.findings[0].sentence,
        "Key 2: 6 on n1; null on n2 (process 0: write 6, acknowledged by n1 at 0.004 s)."
    );

    let (check, result) = divergence_of(
        "list-append",
        "0: txn a 1 5, a 1 6 @n1; 1: txn r 1 [5 6], r 2 [] final @n1; 1: txn r 1 [5], r 2 nil final @n2",
    );
    assert_eq!((check.valid, result.differences.len()), (Validity::Invalid, 1));
    assert_eq!(result.differences[0].written_by.len(), 1);
}

/// An element, the nodes that hold it, and those that do not.
type Differing = (i64, Vec<String>, Vec<String>);

/// The definition for sets, element by element and node by node.
fn naive_set_divergence(history: &History) -> (Validity, Vec<Differing>) {
    let nodes = &history.header().nodes;
    let last_state = |node: &str| {
        let reads = history.ops().filter(|op| op.is_final && op.outcome == Outcome::Ok && op.node == Some(node));
        reads.max_by_key(|op| op.complete_index).map(|op| op.value.as_ints().unwrap().into_owned())
    };
    let states: Vec<(&String, Vec<i64>)> = nodes.iter().filter_map(|node| Some((node, last_state(node)?))).collect();
    let mut differences = Vec::new();
    for element in 0..100 {
        let named = |holds: bool| {
            let nodes = states.iter().filter(|(_, state)| state.contains(&element) == holds);
            nodes.map(|(node, _)| (*node).clone()).collect::<Vec<String>>()
        };
        if !named(true).is_empty() && !named(false).is_empty() {
            differences.push((element, named(true), named(false)));
        }
    }
    let valid = if !differences.is_empty() {
        Validity::Invalid
    } else if states.len() < nodes.len() && nodes.len() > 1 {
        Validity::Unknown
    } else {
        Validity::Valid
    };
    (valid, differences)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn set_divergence_as_defined(
        adds in prop::collection::vec(0_u8..3, 0..6),
        finals in prop::collection::vec((0_u8..3, 0_u8..8, 0_u8..64), 0..6),
        nodes in 1_usize..4,
    ) {
        let mut text = format!("nodes={}\n", ["n0", "n1", "n2"][..nodes].join(","));
        for (element, how) in adds.iter().enumerate() {
            text += &format!("0> add {element}\n0{} @n0\n", ["+", "-", "?"][usize::from(*how)]);
        }
        for (node, how, mask) in finals {
            let node = usize::from(node) % nodes;
            // Most nodes hold what all of them hold.
            let mask = if how < 5 { 0b01_1011 } else { mask };
            let held: Vec<String> = (0..6).filter(|at| mask >> at & 1 == 1).map(|at| at.to_string()).collect();
            let end = if how == 0 { "-".to_owned() } else { format!("+ [{}]", held.join(" ")) };
            text += &format!("1> read final @n{node}\n1{end} final @n{node}\n");
        }
        let (check, result) = divergence_of("set", &text);
        let found: Vec<_> = result.differences.iter().map(|difference| {
            (difference.values[0].0.as_i64().unwrap(), difference.values[0].1.clone(), difference.values[1].1.clone())
        }).collect();
        prop_assert_eq!((check.valid, found), naive_set_divergence(&history("set", &text)), "{}", text);
        for difference in &result.differences {
            let element = difference.values[0].0.as_i64().unwrap() as usize;
            prop_assert_eq!(difference.written_by.len(), usize::from(element < adds.len()), "{}", text);
        }
    }

    /// Registers and lists: of each key, which nodes hold the same; and who wrote what only some hold.
    #[test]
    fn keyed_divergence_as_defined(
        finals in prop::collection::vec((0_u8..3, 0_i64..2, prop::option::weighted(0.8, 0_u8..3)), 0..8),
        lists in any::<bool>(),
    ) {
        // Register: key k is written 1 and then 2. List: 1 and 2 are appended to it.
        let mut text = "nodes=n0,n1,n2\n".to_owned();
        for (key, value) in [(0, 1), (0, 2), (1, 1), (1, 2)] {
            text += &if lists { format!("0: txn a {key} {value}\n") } else { format!("0: w {key} {value}\n") };
        }
        let spelled = ["nil", "1", "2"];
        let listed = ["[]", "[1]", "[1 2]"];
        let mut held: std::collections::BTreeMap<(i64, u8), usize> = std::collections::BTreeMap::new();
        for (node, key, value) in finals {
            let mark = if value.is_some() { "+" } else { "-" };
            let at = value.map_or(0, usize::from);
            let (asks, says) = if lists {
                (format!("txn r {key}"), format!("txn r {key} {}", listed[at]))
            } else {
                (format!("r {key}"), spelled[at].to_owned())
            };
            let says = if value.is_some() { says } else { String::new() };
            text += &format!("1> {asks} final @n{node}\n1{mark} {says} final @n{node}\n");
            if value.is_some() {
                held.insert((key, node), at);
            }
        }
        let workload = if lists { "list-append" } else { "register" };
        let (check, result) = divergence_of(workload, &text);
        let mut differing = Vec::new();
        for key in 0..2 {
            let mut of_key: Vec<usize> = held.iter().filter(|((of, _), _)| *of == key).map(|(_, at)| *at).collect();
            of_key.sort_unstable();
            of_key.dedup();
            if of_key.len() > 1 {
                // Values that somebody wrote and that not all hold: a register's own, a list's elements beyond the
                // shortest list.
                let written = if lists {
                    of_key[of_key.len() - 1] - of_key[0]
                } else {
                    of_key.iter().filter(|at| **at > 0).count()
                };
                differing.push((key, of_key.len(), written));
            }
        }
        let found: Vec<_> = result.differences.iter()
            .map(|difference| (difference.key.unwrap(), difference.values.len(), difference.written_by.len()))
            .collect();
        prop_assert_eq!(&found, &differing, "{}", text);
        let read = |node: u8| held.keys().any(|(_, of)| *of == node);
        let expected = match (differing.is_empty(), (0..3).all(read)) {
            (false, _) => Validity::Invalid,
            (true, false) => Validity::Unknown,
            (true, true) => Validity::Valid,
        };
        prop_assert_eq!(check.valid, expected, "{}", text);
    }
}

fn list_append_of(models: &str, text: &str) -> (Check, ListAppendResult) {
    let check = list_append::check(&history("list-append", &format!("models={models}\n{text}")));
    let Details::ListAppend(result) = check.details.clone() else { panic!("another result") };
    (check, result)
}

#[test]
fn list_append_tables() {
    let write_skew = "0> txn r 1, a 2 1; 1> txn r 2, a 1 1; 0+ txn r 1 nil, a 2 1; 1+ txn r 2 nil, a 1 1
                      2: txn r 1 [1], r 2 [1] final";
    let lost_update = "0> txn r 1, a 1 1; 1> txn r 1, a 1 2; 0+ txn r 1 [], a 1 1; 1+ txn r 1 [], a 1 2
                       2: txn r 1 [1 2] final";
    let internal = "0: txn a 1 1, r 1 []; 2: txn r 1 [1] final";
    let aborted = "0> txn a 1 1; 0-; 1: txn r 1 [1]; 2: txn r 1 [1] final";
    let incompatible = "0: txn a 1 1; 0: txn a 1 2; 1: txn r 1 [2]; 2: txn r 1 [1 2] final";
    let lost = "0: txn a 1 1; 0: txn a 1 2; 2: txn r 1 [2] final";
    let garbage = "0: txn a 1 1; 2: txn r 1 [1 7] final";
    let duplicate = "0: txn a 1 1; 2: txn r 1 [1 1] final";
    // Each anomaly, with the models that allow it and the ones that do not.
    for (kind, text, allow, forbid) in [
        ("write-skew", write_skew, "snapshot-isolation,read-committed", "serializable"),
        ("lost-update", lost_update, "read-committed", "snapshot-isolation"),
        ("internal", internal, "read-committed,repeatable-read", "snapshot-isolation"),
        ("G1a", aborted, "read-uncommitted", "read-committed"),
        ("incompatible-order", incompatible, "read-uncommitted", "read-committed"),
        ("lost-append", lost, "", "read-uncommitted"),
        ("garbage-read", garbage, "", "read-uncommitted"),
        ("duplicate-elements", duplicate, "", "read-uncommitted"),
    ] {
        let (check, result) = list_append_of(forbid, text);
        assert_eq!(
            (check.valid, &result.refuting[..]),
            (Validity::Invalid, &[kind.to_owned()][..]),
            "{kind}: {check:?}"
        );
        assert_eq!(list_append_of("strict-serializable", text).0.valid, Validity::Invalid, "{kind}");
        if !allow.is_empty() {
            let (check, result) = list_append_of(allow, text);
            assert_eq!(check.valid, Validity::Valid, "{kind}: {check:?}");
            assert!(result.anomalies.iter().any(|anomaly| anomaly.kind == kind), "{kind}");
        }
    }
    for good in [
        "0: txn a 1 1, r 1 [1]; 1: txn r 1 [1], a 1 2, r 1 [1 2]; 2: txn r 1 [1 2] final",
        // Indeterminate elements are legitimate, there or not.
        "0> txn a 1 1; 0?; 1> txn a 1 2; 1?; 2: txn r 1 [2]; 3: txn a 1 3; 2: txn r 1 [2 3] final",
        // A replica lags.
        "claim n1 primary; claim n2 replica; 0: txn a 1 1 @n1; 1: txn r 1 [1] final @n1; 1: txn r 1 [] final @n2",
        // Concurrent, and one of the two saw the other.
        "0> txn r 1, a 2 1; 1> txn r 2, a 1 1; 0+ txn r 1 nil, a 2 1; 1+ txn r 2 [1], a 1 1; 2: txn r 1 [1], r 2 [1] final",
    ] {
        let (check, _) = list_append_of("strict-serializable", good);
        assert_eq!(check.valid, Validity::Valid, "{good}: {check:?}");
    }
    // An old snapshot is no loss where none was asked to be fresh.
    let old = "0: txn a 1 1; 1: txn r 1 [1]; 1: txn r 1 []";
    assert_eq!(list_append_of("snapshot-isolation", old).0.valid, Validity::Valid);
    assert_eq!(list_append_of("strict-serializable", old).1.refuting, ["lost-append"]);
    assert_eq!(list_append_of("linear-ish", "0: txn a 1 1; 1: txn r 1 [1] final").0.valid, Validity::Unknown);
    assert_eq!(list_append::known_models().len(), 6);
}

#[test]
fn linearizability_tables() {
    for (text, valid, words) in [
        ("0: w 1 5; 1: r 1 5; 0: cas 1 5 6; 1: r 1 6", Validity::Valid, ""),
        ("0> w 1 5; 1: r 1 nil; 1: r 1 5; 0+", Validity::Valid, ""),
        (
            "0: w 1 7; 0: w 1 9; 3: r 1 7 @n2",
            Validity::Invalid,
            "process 3 read 7 on n2 at 0.006 s, but 9 had been written and acknowledged by process 0 at 0.004 s, before that read began, and nothing wrote 7 after",
        ),
        (
            "0: r 1 3",
            Validity::Invalid,
            "process 0 read 3 at 0.002 s, but nothing had written 3 before that read ended",
        ),
        (
            "0: w 1 5; 1: r 1 nil",
            Validity::Invalid,
            "process 1 read nil at 0.004 s, but 5 had been written and acknowledged by process 0 at 0.002 s, before that read began, and nothing wrote nil after",
        ),
        (
            "0: w 1 5; 1: cas 1 4 6",
            Validity::Invalid,
            "process 1 changed 4 to 6 at 0.004 s, but nothing had written 4 before that change ended",
        ),
        // Once indeterminate, a write may still happen much later, but only once.
        ("0> w 1 5; 0?; 1: w 1 6; 1: r 1 6; 1: r 1 5", Validity::Valid, ""),
        ("0> w 1 5; 0?; 1: w 1 6; 1: r 1 5; 1: w 1 7; 1: r 1 5", Validity::Invalid, "process 1 read 5"),
        // A replica's final read is divergence's business.
        (
            "claim n1 primary; claim n2 replica; 0: w 1 5 @n1; 1: r 1 5 final @n1; 1: r 1 nil final @n2",
            Validity::Valid,
            "",
        ),
        (
            "claim n1 primary; claim n2 replica; 0: w 1 5 @n1; 1: r 1 nil final @n1; 1: r 1 5 final @n2",
            Validity::Invalid,
            "process 1 read nil",
        ),
        ("0> w 1 5; 0?", Validity::Unknown, ""),
    ] {
        let check = linearizability::check(&history("register", text), &Budget::default());
        assert_eq!(check.valid, valid, "{text}: {check:?}");
        let Details::Linearizability(result) = &check.details else { panic!("another result") };
        let explanation = result.invalid_keys.first().map_or("", |key| &key.explanation);
        assert!(explanation.starts_with(words), "{explanation}");
    }
    let starved = Budget { steps_per_key: 0, ..Budget::default() };
    let check = linearizability::check(&history("register", "0: w 1 5; 0: w 1 6; 0: w 1 5; 1: r 1 5"), &starved);
    assert_eq!(check.valid, Validity::Unknown);
}

#[test]
fn rto_counts_no_acknowledgement_of_the_victim() {
    let measured: Availability = availability::measure(&history(
        "set",
        "clients=2
         0> add 1 t=0; 0+ @n1 t=10
         1> add 2 t=20; 1+ @n1 t=30
         fault 3 partition injected n1 t=100
         0> add 3 t=110; 0+ @n1 t=120
         1> add 4 t=125; 1? !timeout t=200
         3> add 5 t=210; 3+ @n2 t=250
         0> add 6 t=300; 0? !timeout t=400
         fault 3 partition healed t=500
         2> add 7 t=510; 2+ @n1 t=600
         9: read [1] final @n1 t=9000",
    ));
    let fault = &measured.faults[0];
    assert_eq!((fault.fault_id, fault.start_ns, fault.end_ns), (3, 100_000_000, Some(500_000_000)));
    assert_eq!(fault.first_error_ms, Some(100.0));
    assert_eq!(fault.rto_write.cluster_s, Some(0.15));
    assert_eq!((fault.rto_write.client_max_s, fault.rto_write.clients_never), (Some(0.5), 0));
    assert_eq!((fault.failed, fault.indeterminate), (0, 2));
    assert_eq!(fault.latency_before_ms.count, 2);
    assert_eq!((fault.latency_during_ms.count, fault.latency_after_ms.count), (2, 1));
    assert!((fault.ok_per_s_before - 20.0).abs() < 1e-9);
    assert!((fault.throughput_loss_percent - 75.0).abs() < 1e-9);
    assert_eq!((&*measured.errors[0].class, measured.errors[0].count), ("timeout", 2));
    assert_eq!(measured.steady_latency_ms.count, 2);
}

#[test]
fn a_node_with_a_wrong_clock_serves_on() {
    let written = |kind: &str| {
        let text = format!(
            "clients=1
             0> add 1 t=0; 0+ @n1 t=10
             fault 0 {kind} injected n1 t=100
             0> add 2 t=110; 0+ @n1 t=120
             fault 0 {kind} healed t=500
             0> add 3 t=510; 0+ @n1 t=600
             9: read [1] final @n1 t=9000"
        );
        availability::measure(&history("set", &text)).faults[0].rto_write.cluster_s
    };
    assert_eq!(written("partition"), Some(0.5));
    for kind in ["skew", "drift", "strobe", "clock-freeze"] {
        assert_eq!(written(kind), Some(0.02), "{kind}");
    }
}

#[test]
fn recovery_and_activity() {
    let recovery = |text: &str| availability::recovery_check(&history("set", text));
    assert_eq!(recovery("0: add 1").valid, Validity::Valid);
    assert_eq!(recovery("fault 0 kill injected n1; recovery true 120").valid, Validity::Valid);
    assert_eq!(recovery("fault 0 kill injected n1; recovery false 120").valid, Validity::Unknown);
    let cut = recovery("fault 0 kill injected n1");
    assert_eq!(cut.reason.as_deref(), Some("the run ended before recovery was observed"));
    let activity = |text: &str| availability::activity_check(&history("set", text)).reason;
    assert_eq!(activity("0: add 1"), None);
    assert_eq!(activity("0> add 1; 0-"), Some("no operation ended ok".into()));
    assert_eq!(activity(&format!("{}1: read []", "0> add 1; 0-;".repeat(10))), Some("no add ever ended ok".into()));
    assert_eq!(activity(&format!("{}1: read []", "0> add 1; 0-;".repeat(9))), None);
}

/// A lock's history, one event a line: milliseconds, process, type, f, class of the error, node.
fn lock_history(workload: &str, events: &[&str]) -> History {
    let header = serde_json::json!({
        "schism-history": 1, "workload": workload, "target": "t", "seed": 1, "clients": 2, "nodes": ["n1", "n2"],
    });
    let lines = events.iter().enumerate().map(|(index, event)| {
        let words: Vec<&str> = event.split(' ').collect();
        let time_ns = words[0].parse::<u64>().unwrap() * 1_000_000;
        let mut line = match words[1] {
            "claim" => serde_json::json!({"process": "monitor", "type": "info", "f": "claim",
                "value": {"node": words[2], "role": "primary", "asked-ns": time_ns}}),
            "fault" => serde_json::json!({"process": "nemesis", "type": "info", "f": "pause", "value": {"id": 1,
                "kind": "pause", "stage": words[2], "target": "primary", "victims": ["n1"], "detail": "", "verified": ""}}),
            process => serde_json::json!({"process": process.parse::<u64>().unwrap(), "type": words[2], "f": words[3]}),
        };
        if let Some(class) = words.iter().find_map(|word| word.strip_prefix('!')) {
            line["error"] = serde_json::json!({"class": class, "text": ""});
        }
        if let Some(node) = words.iter().find_map(|word| word.strip_prefix('@')) {
            line["node"] = node.into();
        }
        (line["index"], line["time_ns"]) = (index.into(), time_ns.into());
        line.to_string()
    });
    let text: Vec<String> = [header.to_string()].into_iter().chain(lines).collect();
    let file = text.join("\n") + "\n";
    schism_checker::history::read(file.as_bytes(), &schism_checker::history::ReadOptions::default()).unwrap().history
}

#[test]
fn a_lock_that_is_taken_is_an_answer_and_its_end_no_state() {
    let events = [
        "0 0 invoke acquire",
        "1 0 ok acquire @n1",
        "2 1 invoke acquire",
        "3 1 fail acquire @n1 !lock-taken",
        "100 fault injected",
        "110 1 invoke acquire",
        "120 1 fail acquire @n1 !connect",
        "200 fault healed",
        "210 1 invoke acquire",
        "220 1 fail acquire @n1 !lock-taken",
        "230 0 invoke release",
        "240 0 ok release @n1",
    ];
    for workload in ["mutex", "fenced-lock"] {
        let measured = availability::measure(&lock_history(workload, &events));
        let fault = &measured.faults[0];
        assert_eq!(fault.first_error_ms, Some(20.0), "{workload}");
        assert_eq!((fault.rto_write.cluster_s, fault.rto_write.clients_never), (Some(0.12), 0));
        assert_eq!((fault.failed, fault.latency_before_ms.count, fault.latency_after_ms.count), (1, 2, 2));
        let counts: Vec<(u64, u64)> = measured.counts.iter().map(|count| (count.ok, count.fail)).collect();
        assert_eq!(counts, [(1, 3), (1, 0)], "outcomes are counted as they are");
    }
    let checks = check(&lock_history("mutex", &events), &Options::default()).unwrap();
    let divergence = checks.iter().find(|check| check.name == "divergence").unwrap();
    assert_eq!((divergence.valid, &*divergence.summary), (Validity::Valid, "A lock has no final state to compare."));

    let both = ["0 claim n1", "1 claim n2", "2 0 invoke acquire", "3 0 ok acquire @n1", "4 1 invoke acquire"];
    for (node, expected) in [("n1", Validity::Valid), ("n2", Validity::Invalid)] {
        let last = format!("5 1 ok acquire @{node}");
        let events: Vec<&str> = both.iter().copied().chain([&*last]).collect();
        let checks = check(&lock_history("mutex", &events), &Options::default()).unwrap();
        assert_eq!((&*checks[0].name, checks[0].valid), ("linearizability", Validity::Invalid), "two hold it");
        assert_eq!((&*checks[1].name, checks[1].valid), ("split-brain", expected), "two nodes grant it");
    }
}

#[test]
fn each_workload_has_its_checkers() {
    let names = |workload: &str| {
        let checks = check(&history(workload, ""), &Options::default()).unwrap();
        checks.into_iter().map(|check| check.name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("set"), "set split-brain divergence recovery activity");
    for workload in ["register", "mutex", "fenced-lock"] {
        assert_eq!(names(workload), "linearizability split-brain divergence recovery activity");
    }
    assert_eq!(names("list-append"), "list-append isolation split-brain divergence recovery activity");
    let unknown = check(&history("wiki", ""), &Options::default());
    assert_eq!(unknown, Err(CheckError::UnknownWorkload { workload: "wiki".into() }));
}

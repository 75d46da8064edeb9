//! The search against every order there is.

use proptest::prelude::*;

use super::{
    model::{CasRegister, Model, RegisterOp, ValueId},
    partition::{Call, NEVER, Part, drop_unobserved},
    recheck::is_linearization,
    search::{Allowance, Answer, search},
    shrink::{shrink, shrink_proven},
    zones::{self, Zoned},
};

const AMPLE: Allowance = Allowance { steps: 10_000_000, memo_bytes: 100_000_000 };

/// By definition: some order of the completed calls and of any of the others, that respects real time and the model.
pub(super) fn brute(calls: &[Call]) -> bool {
    brute_from(calls, 0)
}

fn brute_from(calls: &[Call], initial: ValueId) -> bool {
    fn from(calls: &[Call], done: u32, state: ValueId) -> bool {
        let open = |at: &usize| done >> at & 1 == 0;
        if (0..calls.len()).filter(open).all(|at| calls[at].ret == NEVER) {
            return true;
        }
        let first_return = (0..calls.len()).filter(open).map(|at| calls[at].ret).min().unwrap_or(NEVER);
        (0..calls.len()).filter(open).any(|at| {
            calls[at].invoke < first_return
                && CasRegister.step(state, calls[at].op).is_some_and(|state| from(calls, done | 1 << at, state))
        })
    }
    from(calls, 0, initial)
}

fn agree(calls: &[Call]) -> Result<(), String> {
    let expected = brute(calls);
    let (answer, _) = search(&CasRegister, 0, calls, AMPLE);
    match (&answer, expected) {
        (Answer::Linearizable(order), true) if is_linearization(&CasRegister, 0, calls, order) => {}
        (Answer::NotLinearizable { .. }, false) => {}
        _ => return Err(format!("{expected}, but {answer:?} for {calls:?}")),
    }
    let mut part = Part { calls: calls.to_vec(), values: vec![1, 2, 3, 4, 5, 6] };
    drop_unobserved(&mut part);
    let (dropped, _) = search(&CasRegister, 0, &part.calls, AMPLE);
    if matches!(dropped, Answer::Linearizable(_)) != expected {
        return Err(format!("{expected}, but {dropped:?} without unobserved calls for {calls:?}"));
    }
    // As `partition` leaves out what tells nothing.
    part.calls.retain(|call| call.ret != NEVER || !matches!(call.op, RegisterOp::Read(_)));
    drop_unobserved(&mut part);
    agree_zones(&part, expected).map_err(|why| format!("{why} for {calls:?}"))?;
    if expected && matches!(zones::decide(&zones::unambiguous(&part)), Zoned::Contradiction(_)) {
        return Err(format!("its unambiguous values accuse {calls:?}"));
    }
    // What a window alone proves without the search must be true, wherever it is looked for.
    for stuck_at in 0..calls.len() as u32 {
        let part = Part { calls: calls.to_vec(), values: vec![1, 2, 3, 4, 5, 6] };
        if expected && shrink(&part, stuck_at, false).is_some() {
            return Err(format!("a window at {stuck_at} accuses {calls:?}"));
        }
    }
    if let Answer::NotLinearizable { stuck_at } = answer {
        let evidence = shrink(&Part { calls: calls.to_vec(), values: vec![1, 2, 3, 4, 5, 6] }, stuck_at, true);
        let Some(evidence) = evidence else { return Err(format!("no evidence for {calls:?}")) };
        if brute(&evidence.calls) {
            return Err(format!("evidence {:?} is linearizable for {calls:?}", evidence.calls));
        }
    }
    Ok(())
}

/// The zones, where they decide, say the same, and prove it. `part` is without unobserved calls.
fn agree_zones(part: &Part, expected: bool) -> Result<(), String> {
    match zones::decide(part) {
        Zoned::Ambiguous => Ok(()),
        Zoned::Linearizable(order) if expected && is_linearization(&CasRegister, 0, &part.calls, &order) => Ok(()),
        Zoned::Contradiction(contradiction) if !expected => {
            let calls: Vec<Call> = contradiction.calls.iter().map(|at| part.calls[*at as usize]).collect();
            let evidence = shrink_proven(part, calls.clone(), contradiction.is_window);
            let Some(evidence) = evidence else { return Err(format!("{calls:?} do not contradict each other")) };
            for calls in [&calls, &evidence.calls] {
                // A chain that is longer than the evidence goes back may have begun with any value.
                let possible = if evidence.is_window {
                    first_values(calls, part).any(|initial| brute_from(calls, initial))
                } else {
                    brute(calls)
                };
                if possible {
                    return Err(format!("evidence {calls:?} is linearizable"));
                }
            }
            Ok(())
        }
        zoned => Err(format!("{expected}, but {zoned:?}")),
    }
}

/// What a register may have held before these calls of a part whose values are produced once: none that they produce.
fn first_values<'c>(calls: &'c [Call], part: &Part) -> impl Iterator<Item = ValueId> + 'c {
    let all = 0..=part.values.len() as ValueId + 1;
    all.filter(|value| calls.iter().all(|call| call.op.produces() != Some(*value)))
}

/// Calls from a word of digits: at each event, which process acts; a process at rest invokes its next operation, one
/// that is not returns.
fn interleave(ops: &[(RegisterOp, bool)], choices: &[usize]) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut index = 0;
    let mut choices = choices.iter().copied().cycle();
    while calls.len() < ops.len() || !open.is_empty() {
        index += 1;
        let choice = choices.next().unwrap_or(0) % (open.len() + usize::from(calls.len() < ops.len()));
        if choice < open.len() {
            let at = open.remove(choice);
            calls[at].ret = index;
        } else {
            let (op, is_ok) = ops[calls.len()];
            if is_ok {
                open.push(calls.len());
            }
            calls.push(Call { op, invoke: index, ret: NEVER, id: calls.len() as u32 });
        }
    }
    calls
}

/// Every way in which `n` calls may overlap.
fn overlaps(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![(vec![], 0_usize, 0_usize)];
    for _ in 0..2 * n {
        all = all
            .into_iter()
            .flat_map(|(choices, begun, open): (Vec<usize>, usize, usize)| {
                (0..open + usize::from(begun < n)).map(move |choice| {
                    let mut choices = choices.clone();
                    choices.push(choice);
                    if choice < open { (choices, begun, open - 1) } else { (choices, begun + 1, open + 1) }
                })
            })
            .collect();
    }
    all.into_iter().map(|(choices, ..)| choices).collect()
}

#[test]
fn agrees_with_every_order_on_all_histories_of_three_calls() {
    let mut ops = vec![];
    for a in 0..3 {
        ops.push((RegisterOp::Read(a), true));
        for is_ok in [true, false] {
            if a > 0 {
                ops.push((RegisterOp::Write(a), is_ok));
            }
            for b in 1..3 {
                ops.push((RegisterOp::Cas(a, b), is_ok));
            }
        }
    }
    let overlaps = overlaps(3);
    let mut checked = 0_u32;
    for first in &ops {
        for second in &ops {
            for third in &ops {
                let mut seen = std::collections::BTreeSet::new();
                for choices in &overlaps {
                    let calls = interleave(&[*first, *second, *third], choices);
                    if seen.insert(calls.iter().map(|call| (call.invoke, call.ret)).collect::<Vec<_>>()) {
                        agree(&calls).unwrap();
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 30_000, "{checked}");
}

fn op(values: u32) -> impl Strategy<Value = (RegisterOp, bool)> {
    prop_oneof![
        3 => (0..=values).prop_map(|value| (RegisterOp::Read(value), true)),
        3 => (1..=values, prop::bool::weighted(0.7)).prop_map(|(value, is_ok)| (RegisterOp::Write(value), is_ok)),
        2 => (0..=values, 1..=values, prop::bool::weighted(0.7))
            .prop_map(|(old, new, is_ok)| (RegisterOp::Cas(old, new), is_ok)),
    ]
}

/// A history that a register could have produced: each call takes effect at once, somewhere between its ends.
fn lawful(ops: &[(RegisterOp, bool)], choices: &[usize]) -> Vec<Call> {
    let mut calls = interleave(ops, choices);
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by_key(|at| if calls[*at].ret == NEVER { calls[*at].invoke } else { calls[*at].ret });
    let mut state = 0;
    for at in order {
        let op = match calls[at].op {
            RegisterOp::Read(_) => RegisterOp::Read(state),
            RegisterOp::Cas(_, new) => RegisterOp::Cas(state, new),
            write @ RegisterOp::Write(_) => write,
        };
        calls[at].op = op;
        state = op.produces().unwrap_or(state);
    }
    calls
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_every_order_on_random_histories(
        ops in prop::collection::vec(op(2), 1..9),
        choices in prop::collection::vec(0_usize..8, 16),
    ) {
        agree(&interleave(&ops, &choices)).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn agrees_with_every_order_on_nearly_lawful_histories(
        ops in prop::collection::vec(op(3), 1..9),
        choices in prop::collection::vec(0_usize..8, 16),
        damage in prop::option::of((any::<prop::sample::Index>(), op(3))),
    ) {
        let mut calls = lawful(&ops, &choices);
        if let Some((at, (op, _))) = damage {
            let at = at.index(calls.len());
            calls[at].op = op;
        } else {
            prop_assert!(brute(&calls));
        }
        agree(&calls).map_err(TestCaseError::fail)?;
    }
}

/// Every value is produced by one call at most: the zones decide.
fn unique(calls: &mut [Call], producers: &[prop::sample::Index]) {
    let written: Vec<ValueId> = (1..=calls.len() as ValueId).collect();
    for (at, call) in calls.iter_mut().enumerate() {
        // What is observed: nil, or what some call writes, mostly one that was invoked before.
        let observed = || {
            let index = producers[at % producers.len()].index(written.len() + at + 1);
            if index > written.len() { written[(index - written.len()) % (at + 1)] } else { index as ValueId }
        };
        call.op = match call.op {
            RegisterOp::Read(_) => RegisterOp::Read(observed()),
            RegisterOp::Write(_) => RegisterOp::Write(written[at]),
            RegisterOp::Cas(..) => RegisterOp::Cas(observed(), written[at]),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn zones_agree_with_every_order(
        ops in prop::collection::vec(op(2), 1..9),
        choices in prop::collection::vec(0_usize..8, 16),
        producers in prop::collection::vec(any::<prop::sample::Index>(), 8),
        is_lawful in any::<bool>(),
        damage in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let mut calls = interleave(&ops, &choices);
        unique(&mut calls, &producers);
        if is_lawful {
            let ops: Vec<_> = calls.iter().map(|call| (call.op, call.ret != NEVER)).collect();
            calls = lawful(&ops, &choices);
            if let Some((at, value)) = damage {
                let (at, value) = (at.index(calls.len()), value.index(calls.len() + 1) as ValueId);
                calls[at].op = match calls[at].op {
                    RegisterOp::Cas(_, new) => RegisterOp::Cas(value, new),
                    RegisterOp::Read(_) => RegisterOp::Read(value),
                    write @ RegisterOp::Write(_) => write,
                };
            }
        }
        let expected = brute(&calls);
        let mut part = Part { calls, values: (1..=8).collect() };
        part.calls.retain(|call| call.ret != NEVER || !matches!(call.op, RegisterOp::Read(_)));
        drop_unobserved(&mut part);
        prop_assert_ne!(zones::decide(&part), Zoned::Ambiguous);
        agree_zones(&part, expected).map_err(TestCaseError::fail)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Longer histories than every order can be tried of: lawful ones are never accused, not even by a window.
    #[test]
    fn lawful_histories_are_linearizable(
        ops in prop::collection::vec(op(3), 20..80),
        choices in prop::collection::vec(0_usize..8, 40..160),
    ) {
        let calls = lawful(&ops, &choices);
        let (answer, _) = search(&CasRegister, 0, &calls, AMPLE);
        let Answer::Linearizable(order) = answer else { return Err(TestCaseError::fail(format!("{answer:?}"))) };
        prop_assert!(is_linearization(&CasRegister, 0, &calls, &order));
        let part = Part { calls: calls.clone(), values: vec![1, 2, 3, 4, 5, 6] };
        for stuck_at in 0..calls.len() as u32 {
            prop_assert!(shrink(&part, stuck_at, false).is_none(), "{stuck_at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Longer ones, with chains of cas that evidence does not follow to their beginning: zones and search agree, and
    /// what is shown as evidence is impossible by the search's word.
    #[test]
    fn zones_agree_with_the_search(
        ops in prop::collection::vec(op(2), 20..80),
        cas_percent in prop_oneof![Just(0_usize), Just(50), Just(95)],
        choices in prop::collection::vec(0_usize..8, 40..160),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..30), 0..3),
    ) {
        let unique = |(at, (op, is_ok)): (usize, (RegisterOp, bool))| {
            let new = at as ValueId + 1;
            match op {
                RegisterOp::Read(value) => (RegisterOp::Read(value), is_ok),
                _ if at * 37 % 100 < cas_percent => (RegisterOp::Cas(0, new), is_ok),
                _ => (RegisterOp::Write(new), is_ok),
            }
        };
        let ops: Vec<_> = ops.into_iter().enumerate().map(unique).collect();
        let mut calls = lawful(&ops, &choices);
        for (at, back) in damage {
            // A read or cas that observes what was there some time before.
            let at = at.index(calls.len());
            let earlier: Vec<ValueId> = calls[..at].iter().filter_map(|call| call.op.produces()).collect();
            let value = earlier.len().checked_sub(back).map_or(0, |index| earlier[index]);
            calls[at].op = match calls[at].op {
                RegisterOp::Cas(_, new) => RegisterOp::Cas(value, new),
                RegisterOp::Read(_) => RegisterOp::Read(value),
                write @ RegisterOp::Write(_) => write,
            };
        }
        let mut part = Part { calls, values: (1..=80).collect() };
        drop_unobserved(&mut part);
        let (answer, _) = search(&CasRegister, 0, &part.calls, AMPLE);
        match zones::decide(&part) {
            Zoned::Linearizable(order) => {
                prop_assert!(matches!(answer, Answer::Linearizable(_)), "{answer:?}");
                prop_assert!(is_linearization(&CasRegister, 0, &part.calls, &order));
            }
            Zoned::Contradiction(contradiction) => {
                prop_assert!(matches!(answer, Answer::NotLinearizable { .. }), "{answer:?}");
                let calls = contradiction.calls.iter().map(|at| part.calls[*at as usize]).collect();
                let evidence = shrink_proven(&part, calls, contradiction.is_window).expect("evidence");
                let any = first_values(&evidence.calls, &part);
                for initial in any.filter(|initial| evidence.is_window || *initial == 0) {
                    let (answer, _) = search(&CasRegister, initial, &evidence.calls, AMPLE);
                    prop_assert!(matches!(answer, Answer::NotLinearizable { .. }), "{initial} {:?}", evidence.calls);
                }
            }
            Zoned::Ambiguous => prop_assert!(false, "every value is written once"),
        }
    }
}

//! Linearizability of any model, with evidence.

use std::collections::BTreeMap;

use super::{
    Budget, NonlinearizableKey, Window, evidence_op,
    general::{Call, is_linearization, search},
    keys::{self, KeyDecision, KeyOutcome},
    models::{Model, ModelOp},
    monitors::Monitored,
    partition::NEVER,
    search::{Allowance, Answer},
    shrink_model::{shrink, whole},
    verdict,
    witness::{Contradiction, KeyWitness, Witness},
};
use crate::{
    Check,
    history::{History, Outcome, Value},
    say,
};

/// Steps to look whether a monitor's evidence is none after all, and operations that are not too many for that.
const RECHECK_STEPS_MAX: u64 = 200_000;
const RECHECK_CALLS_MAX: usize = 400;
/// Operations that the explanation names beside the one that got stuck.
const TOLD_MAX: usize = 4;
/// Operations shown of evidence, the latest.
const SHOWN_MAX: usize = 1000;

/// What may decide a key's calls before the search.
pub(crate) type Monitor = fn(&[Call<'_>]) -> Monitored;

/// Checks a history against a model.
pub fn check_model<M: Model + Sync>(history: &History, name: &str, model: &M, budget: &Budget) -> Check {
    check_with(history, name, model, None, budget, None)
}

/// The same, of a model that may have a monitor; puts what bears out the decision on each key into `keep`.
pub(crate) fn check_with<M: Model + Sync>(
    history: &History,
    name: &str,
    model: &M,
    monitor: Option<Monitor>,
    budget: &Budget,
    keep: Option<&mut Vec<KeyWitness>>,
) -> Check {
    let is_kept = keep.is_some();
    let mut by_key: BTreeMap<Option<String>, Vec<Call<'_>>> = BTreeMap::new();
    for op in history.ops().filter(|op| op.outcome != Outcome::Fail) {
        let is_ok = op.outcome == Outcome::Ok;
        let model_op = ModelOp::of(&op);
        // What an indeterminate read would have answered tells nothing.
        if !is_ok && model.is_read(&model_op) {
            continue;
        }
        let ret = op.complete_index.filter(|_| is_ok).map_or(NEVER, |index| index as u32);
        let call = Call { op: model_op, invoke: op.invoke_index as u32, ret, id: op.id as u32 };
        by_key.entry(model.key(&model_op)).or_default().push(call);
    }
    let keys: Vec<(i64, Option<String>, Vec<Call<'_>>)> =
        (0..).zip(by_key).map(|(number, (key, calls))| (number, key, calls)).collect();
    let outcomes = keys::decide_all(&keys, budget, |(number, key, calls), allowance| {
        let mut witness = None;
        // Calls that contradict each other before the event `before`.
        let mut invalid = |shown: &[Call<'_>], before: u32, explanation: String| {
            let named = || whole(model, calls, shown, before).iter().map(|call| call.id).collect();
            witness = is_kept.then(|| Witness::Contradiction(Contradiction { ops: named(), from: 0, before }));
            let last = &shown[shown.len().saturating_sub(SHOWN_MAX)..];
            KeyDecision::Nonlinearizable(Box::new(NonlinearizableKey {
                key: *number,
                key_name: key.clone(),
                ops: last.iter().filter_map(|call| evidence_op(history, call.id, in_words(&call.op))).collect(),
                explanation,
                window: Window::of(0, before, false),
            }))
        };
        let monitored = monitor.map_or(Monitored::NotApplicable, |monitor| monitor(calls));
        if let Monitored::Contradiction(found) = &monitored {
            let shown: Vec<Call<'_>> = found.calls.iter().map(|at| calls[*at as usize]).collect();
            // A verdict that its own evidence does not bear out is none: let the search decide.
            if is_possible(model, &shown) {
                debug_assert!(false, "no contradiction: {found:?}");
            } else {
                let shown_by = &calls[found.shown_by as usize];
                let explanation = format!("{}, but {}", ended(history, shown_by), found.why);
                let decision = invalid(&shown, found.before, explanation);
                return KeyOutcome { ops: calls.len() as u64, steps: calls.len() as u64, decision, witness };
            }
        }
        let (answer, steps) = match monitored {
            Monitored::Linearizable(order) => (Answer::Linearizable(order), calls.len() as u64),
            Monitored::Contradiction(_) | Monitored::NotApplicable => search(model, calls, allowance),
        };
        let decision = match answer {
            Answer::Linearizable(order) if is_linearization(model, calls, &order) => {
                let id_of = |at: u32| calls[at as usize].id;
                witness = is_kept.then(|| Witness::order(&order, id_of, calls.iter().map(|call| call.id)));
                KeyDecision::Linearizable
            }
            Answer::Linearizable(_) => KeyDecision::unconfirmed(),
            Answer::OutOfBudget { shortage, stuck_at } => {
                let returned = |call: &&Call<'_>| call.ret <= calls[stuck_at as usize].ret && call.ret != NEVER;
                KeyDecision::gave_up(shortage, calls.iter().filter(returned).count(), calls.len())
            }
            Answer::NotLinearizable { stuck_at } => {
                let stuck = &calls[stuck_at as usize];
                let evidence = shrink(model, calls, stuck);
                let explanation = explain(history, stuck, &evidence);
                invalid(&evidence, stuck.ret.saturating_add(1), explanation)
            }
        };
        KeyOutcome { ops: calls.len() as u64, steps, decision, witness }
    });
    let names = keys.into_iter().map(|(number, key, _)| (number, key));
    verdict(history, name, names.zip(outcomes), keep)
}

/// Whether the search finds an order for a monitor's evidence. (Evidence too large for it is not disproven.)
fn is_possible<M: Model>(model: &M, shown: &[Call<'_>]) -> bool {
    let allowance = Allowance { steps: RECHECK_STEPS_MAX, memo_bytes: 50_000_000 };
    shown.len() <= RECHECK_CALLS_MAX && matches!(search(model, shown, allowance).0, Answer::Linearizable(_))
}

/// What an operation does, in words.
fn in_words(op: &ModelOp<'_>) -> String {
    match op.value {
        Value::Nil => op.f.to_owned(),
        value => format!("{} {}", op.f, value_in_words(&value.to_json())),
    }
}

/// A value much as EDN writes it.
pub(super) fn value_in_words(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::Null => "nil".into(),
        serde_json::Value::String(word) => word.clone(),
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(value_in_words).collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}

/// The contradiction, told by the operations that it takes.
fn explain(history: &History, stuck: &Call<'_>, evidence: &[Call<'_>]) -> String {
    let did = ended(history, stuck);
    let others: Vec<String> = evidence
        .iter()
        .filter(|call| call.id != stuck.id)
        .filter_map(|call| {
            let op = history.op(call.id as usize)?;
            let how = match op.complete_ns.filter(|_| call.ret != NEVER) {
                Some(ns) => format!("ended at {}", say::seconds(ns)),
                None => "in flight, or indeterminate".into(),
            };
            Some(format!("process {}'s {} ({how})", op.process, in_words(&call.op)))
        })
        .collect();
    match others.len() {
        0 => format!("{did}, but nothing that had been invoked by then makes that possible"),
        1..=TOLD_MAX => {
            format!("{did}, but with {} no order agrees with that, real time and the model", say::list(&others))
        }
        others => format!(
            "{did}, but no order of the {} up to then agrees with that, with real time and with the model",
            say::count(others as u64 + 1, "operation"),
        ),
    }
}

/// That an operation ended ok, and when.
fn ended(history: &History, call: &Call<'_>) -> String {
    let Some(op) = history.op(call.id as usize) else { return String::new() };
    format!(
        "process {}'s {}{} ended ok at {}",
        op.process,
        in_words(&call.op),
        say::on(op.node),
        say::seconds(op.complete_ns.unwrap_or(op.invoke_ns)),
    )
}

//! Is there one order of the operations, consistent with real time, that a single object could have produced?
//!
//! Herlihy & Wing, "Linearizability: a correctness condition for concurrent objects" (1990). Keys are independent; real
//! time is the order of events in the history, not their clock readings. An indeterminate operation may happen at any time
//! after its invocation, or never.
//!
//! Registers, which begin as nil, are decided here; the other [`models`] by [`check_model`], as are a user's own.
//!
//! Not checked: final reads of nodes that are not primary (see divergence).

mod any_model;
pub(crate) mod certificate;
#[cfg(test)]
mod exhaustive_tests;
mod general;
#[cfg(test)]
mod general_tests;
mod keys;
mod memo;
mod model;
pub mod models;
mod monitors;
mod partition;
mod picture;
mod recheck;
mod search;
mod shrink;
mod shrink_model;
#[cfg(test)]
mod tests;
mod witness;
mod zones;

pub use any_model::check_model;
pub(crate) use certificate::Line as CertificateLine;
pub use certificate::{CERTIFICATE_VERSION, CertificateHeader, write_certificate};
pub(crate) use partition::counted_final_reads;
pub use picture::{Obstacle, Picture, PictureStep, picture};
pub use witness::KeyWitness;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::{
    keys::{KeyDecision, KeyOutcome},
    model::{CasRegister, RegisterOp},
    partition::{Call, NEVER, Part},
    search::{Allowance, Answer, Shortage},
    shrink::Evidence,
    witness::{Contradiction, Witness},
    zones::Zoned,
};
use crate::{
    Check, Details, Validity,
    history::{History, Op, Outcome},
    say::{self, Findings},
};

/// What the search may cost, in work and not in time: the verdict must not depend on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Steps for one key. A step is a choice tried or an event passed, about 100 ns.
    pub steps_per_key: u64,
    /// Steps for all keys together.
    pub steps_total: u64,
    /// What the configurations remembered may take, of all keys that are decided at the same time.
    pub memo_bytes: usize,
}

impl Default for Budget {
    /// Seconds in all, and little beside what a run keeps in memory.
    fn default() -> Self {
        Self { steps_per_key: 30_000_000, steps_total: 100_000_000, memo_bytes: 135_000_000 }
    }
}

impl Budget {
    /// About so much time for all keys together, in steps of 100 ns: a slower machine takes longer, but says the same.
    /// And so much memory.
    #[must_use]
    pub const fn about(time: Duration, memory_bytes: usize) -> Self {
        let steps = (time.as_millis() as u64).saturating_mul(10_000);
        Self { steps_per_key: steps, steps_total: steps, memo_bytes: memory_bytes }
    }
}

/// The answer over all independent keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinearizabilityResult {
    /// The sequential model: `cas-register`, `mutex`, ….
    pub model: String,
    /// Keys checked.
    pub keys: u64,
    /// Operations considered.
    pub ops: u64,
    /// Keys of which it is known whether they are linearizable.
    #[serde(default)]
    pub keys_decided: u64,
    /// Their operations.
    #[serde(default)]
    pub ops_decided: u64,
    /// Keys with no linearization, each with its evidence.
    pub invalid_keys: Vec<NonlinearizableKey>,
    /// Keys whose search exceeded its budget: (key, reason).
    pub unknown_keys: Vec<(i64, String)>,
    /// Search steps taken.
    pub steps: u64,
}

/// Evidence that one key's history has no linearization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NonlinearizableKey {
    /// The key; 0 where the history has none.
    pub key: i64,
    /// The key of another tool's history that is no integer: its text, of which `key` is the number here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// A subset of the key's operations that alone cannot be linearized, by invocation time: none can be
    /// left out without becoming linearizable (as far as the budget for that allowed, and of models other than registers
    /// as far as the model tells what operations concern); of other models the last thousand of it.
    pub ops: Vec<EvidenceOp>,
    /// The contradiction in words.
    pub explanation: String,
    /// The part of the history in which they contradict each other.
    #[serde(default, skip_serializing_if = "Window::is_all")]
    pub window: Window,
}

/// A part of the history: operations that are in flight at its ends may have happened or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Window {
    /// Index of the event with which it begins; `None`: with the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_index: Option<u64>,
    /// Index of the event before which it ends; `None`: with the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_index: Option<u64>,
    /// What the object held at first is left open: whatever it was, they contradict each other. (Where the window begins
    /// with the history: whatever it was of what they do not write themselves.)
    #[serde(default)]
    pub is_open: bool,
}

impl Window {
    fn of(from: u32, before: u32, is_open: bool) -> Self {
        Self {
            from_index: (from > 0).then_some(u64::from(from)),
            before_index: (before != NEVER).then_some(u64::from(before)),
            is_open,
        }
    }

    /// The whole history.
    fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// An operation as evidence shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EvidenceOp {
    /// Process number.
    pub process: u32,
    /// The operation in words: `write 3`, `read 2`, `cas 1 -> 2`.
    pub op: String,
    /// `ok` or `info`.
    pub outcome: String,
    /// The serving node.
    pub node: Option<String>,
    /// Invocation time.
    pub invoke_ns: u64,
    /// Completion time; `None` while indeterminate.
    pub complete_ns: Option<u64>,
    /// Index of the invocation event.
    pub invoke_index: u64,
    /// Index of the completion event.
    pub complete_index: Option<u64>,
}

/// Checks a register workload: `read`, `write` and `cas` on independent keys.
#[must_use]
pub fn check(history: &History, budget: &Budget) -> Check {
    check_keeping(history, budget, None)
}

/// The same; puts what bears out the decision on each key into `keep`.
pub(crate) fn check_keeping(history: &History, budget: &Budget, keep: Option<&mut Vec<KeyWitness>>) -> Check {
    let is_kept = keep.is_some();
    let keys = partition::keys(history);
    let outcomes = keys::decide_all(&keys, budget, |(key, op_ids), allowance| {
        let part = partition::part_of(history, op_ids);
        let (decision, steps) = decide(&part, allowance);
        let mut witness = None;
        let decision = match decision {
            Decision::Linearizable(order) if recheck::is_linearization(&CasRegister, 0, &part.calls, &order) => {
                let id_of = |at: u32| part.calls[at as usize].id;
                witness = is_kept.then(|| Witness::order(&order, id_of, op_ids.iter().copied()));
                KeyDecision::Linearizable
            }
            Decision::Linearizable(_) | Decision::Unproven => KeyDecision::unconfirmed(),
            Decision::Undecided(shortage, stuck_at) => {
                let returned = |call: &&Call| call.ret <= part.calls[stuck_at as usize].ret && call.ret != NEVER;
                KeyDecision::gave_up(shortage, part.calls.iter().filter(returned).count(), part.calls.len())
            }
            Decision::Nonlinearizable(evidence) => {
                let ops = evidence.calls.iter().map(|call| call.id).collect();
                let (from, before) = (evidence.from, evidence.before);
                witness = is_kept.then_some(Witness::Contradiction(Contradiction { ops, from, before }));
                let shown = |call: &Call| evidence_op(history, call.id, in_words(history, &part, call));
                KeyDecision::Nonlinearizable(Box::new(NonlinearizableKey {
                    key: *key,
                    key_name: history.is_symbol(*key).then(|| history.spell(*key).into_owned()),
                    ops: evidence.calls.iter().filter_map(shown).collect(),
                    explanation: explain(history, &part, &evidence),
                    window: Window::of(from, before, evidence.is_window),
                }))
            }
        };
        KeyOutcome { ops: part.calls.len() as u64, steps, decision, witness }
    });
    let names = keys.iter().map(|(key, _)| {
        let name = history.is_keyed().then(|| history.spell(*key).into_owned());
        (*key, name)
    });
    verdict(history, "cas-register", names.zip(outcomes), keep)
}

/// The verdict over all keys, each given by its number and the name by which sentences call it, if they call it anything.
fn verdict(
    history: &History,
    model: &str,
    keys: impl Iterator<Item = ((i64, Option<String>), KeyOutcome)>,
    mut keep: Option<&mut Vec<KeyWitness>>,
) -> Check {
    let mut result = LinearizabilityResult { model: model.into(), ..LinearizabilityResult::default() };
    let mut findings = Findings::default();
    let mut first_unknown = None;
    for ((key, name), outcome) in keys {
        result.keys += 1;
        result.ops += outcome.ops;
        result.steps = result.steps.saturating_add(outcome.steps);
        if let Some(kept) = &mut keep {
            kept.push(KeyWitness { key: name.clone(), witness: outcome.witness });
        }
        match outcome.decision {
            KeyDecision::Linearizable => {
                result.keys_decided += 1;
                result.ops_decided += outcome.ops;
            }
            KeyDecision::Undecided { reason, .. } => {
                let named = |name: &String| format!("such as key {name}: {reason}");
                first_unknown.get_or_insert_with(|| name.as_ref().map_or(reason.clone(), named));
                // A key that is no number is told by its name.
                let reason = match name.filter(|name| *name != key.to_string()) {
                    Some(name) => format!("({name}) {reason}"),
                    None => reason,
                };
                result.unknown_keys.push((key, reason));
            }
            KeyDecision::Nonlinearizable(shown) => {
                result.keys_decided += 1;
                result.ops_decided += outcome.ops;
                let indexes = shown.ops.iter().filter_map(|op| op.complete_index.or(Some(op.invoke_index)));
                let explanation = &shown.explanation;
                findings.push("nonlinearizable", indexes.collect(), || match &name {
                    Some(name) => format!("Key {name}: {explanation}."),
                    None => format!("{}.", say::capital(explanation)),
                });
                result.invalid_keys.push(*shown);
            }
        }
    }
    let reason = if let Some(first) = first_unknown {
        Some(format!(
            "{} of {} and {} of {} decided; not {first}",
            result.keys_decided,
            say::count(result.keys, "key"),
            result.ops_decided,
            say::count(result.ops, "operation"),
        ))
    } else if history.is_foreign() || history.ops().any(|op| op.outcome == Outcome::Ok) {
        // Of a run of our own, nothing observed is nothing proven. Of another tool's history only this was asked: whether
        // it is linearizable; and one in which nothing happened is.
        None
    } else {
        Some("no operation ended ok".into())
    };
    let valid = match (&reason, result.invalid_keys.is_empty()) {
        (_, false) => Validity::Invalid,
        (Some(_), true) => Validity::Unknown,
        (None, true) => Validity::Valid,
    };
    let keys = say::count(result.keys, "key");
    let summary = match (valid, &reason) {
        (Validity::Invalid, _) => format!("{} of {keys} not linearizable.", result.invalid_keys.len()),
        (_, Some(reason)) => format!("Undecided: {reason}."),
        _ => format!("{} on {keys} linearizable.", say::count(result.ops, "operation")),
    };
    findings.into_check("linearizability", valid, reason, summary, Details::Linearizability(result))
}

/// What became of one key's part.
#[derive(Debug)]
enum Decision {
    /// A linearization: positions in `calls`.
    Linearizable(Vec<u32>),
    /// There is none, and this shows it.
    Nonlinearizable(Evidence),
    /// The search gave up, where it was at the return of the call at this position.
    Undecided(Shortage, u32),
    /// The search says that there is none, and no evidence bears it out: a defect.
    Unproven,
}

/// A look for values out of nowhere: the commonest violation, and with the shortest evidence. Then the zones, where no
/// value is produced twice; else the search. Gives the steps taken too.
fn decide(part: &Part, allowance: Allowance) -> (Decision, u64) {
    let looked_at = part.calls.len() as u64;
    let shrunk = |stuck_at: u32, shortage: Option<Shortage>| {
        let or = || shortage.map_or(Decision::Unproven, |shortage| Decision::Undecided(shortage, stuck_at));
        shrink::shrink(part, stuck_at, shortage.is_none()).map_or_else(or, Decision::Nonlinearizable)
    };
    if let Some(at) = out_of_nowhere(part) {
        return (shrunk(at, None), looked_at);
    }
    let proven = |part: &Part, contradiction: &zones::Contradiction| {
        let calls = contradiction.calls.iter().map(|at| part.calls[*at as usize]).collect();
        let evidence = shrink::shrink_proven(part, calls, contradiction.is_window);
        // A verdict that its own evidence does not bear out is none: let the search decide.
        debug_assert!(evidence.is_some(), "no contradiction: {contradiction:?}");
        evidence.map(Decision::Nonlinearizable)
    };
    match zones::decide(part) {
        Zoned::Linearizable(order) => return (Decision::Linearizable(order), looked_at),
        Zoned::Contradiction(contradiction) => {
            if let Some(decision) = proven(part, &contradiction) {
                return (decision, looked_at);
            }
        }
        // What is impossible of some values is impossible.
        Zoned::Ambiguous => {
            let unambiguous = zones::unambiguous(part);
            if let Zoned::Contradiction(contradiction) = zones::decide(&unambiguous)
                && let Some(decision) = proven(&unambiguous, &contradiction)
            {
                return (decision, looked_at);
            }
        }
    }
    let (answer, steps) = search::search(&CasRegister, 0, &part.calls, allowance);
    let decision = match answer {
        Answer::Linearizable(order) => Decision::Linearizable(order),
        Answer::OutOfBudget { shortage, stuck_at } => shrunk(stuck_at, Some(shortage)),
        Answer::NotLinearizable { stuck_at } => shrunk(stuck_at, None),
    };
    (decision, steps)
}

/// A completed call that observes what nothing had produced before it returned.
fn out_of_nowhere(part: &Part) -> Option<u32> {
    // The first invocation of each value's producers.
    let mut produced: Vec<u32> = vec![NEVER; part.values.len() + 1];
    produced[0] = 0;
    for call in &part.calls {
        if let Some(value) = call.op.produces() {
            let first = &mut produced[value as usize];
            *first = (*first).min(call.invoke);
        }
    }
    let nowhere =
        |call: &Call| call.ret != NEVER && call.op.observes().is_some_and(|value| produced[value as usize] > call.ret);
    part.calls.iter().position(nowhere).map(|at| at as u32)
}

/// An operation of the history as evidence, with what it does in words.
fn evidence_op(history: &History, id: u32, op_in_words: String) -> Option<EvidenceOp> {
    let op = history.op(id as usize)?;
    Some(EvidenceOp {
        process: op.process,
        op: op_in_words,
        outcome: op.outcome.name().into(),
        node: op.node.map(Into::into),
        invoke_ns: op.invoke_ns,
        complete_ns: op.complete_ns,
        invoke_index: op.invoke_index,
        complete_index: op.complete_index,
    })
}

/// What a call does.
fn in_words(history: &History, part: &Part, call: &Call) -> String {
    let name = |value| part.value(value).map_or("nil".into(), |value| history.spell(value));
    match call.op {
        RegisterOp::Read(value) => format!("read {}", name(value)),
        RegisterOp::Write(value) => format!("write {}", name(value)),
        RegisterOp::Cas(old, new) => format!("cas {} -> {}", name(old), name(new)),
    }
}

/// The contradiction in words.
fn explain(history: &History, part: &Part, evidence: &Evidence) -> String {
    let name = |value| part.value(value).map_or("nil".into(), |value| history.spell(value));
    let stuck = &evidence.stuck;
    let (Some(op), Some(value)) = (history.op(stuck.id as usize), stuck.op.observes()) else {
        return format!("no order of these {} operations agrees with real time", evidence.calls.len());
    };
    let ended = |op: &Op<'_>| say::seconds(op.complete_ns.unwrap_or(op.invoke_ns));
    let verb = match stuck.op {
        RegisterOp::Cas(_, new) => format!("changed {} to {}", name(value), name(new)),
        _ => format!("read {}", name(value)),
    };
    let did = format!("process {} {verb}{} at {}", op.process, say::on(op.node), ended(&op));
    let word = if matches!(stuck.op, RegisterOp::Cas(..)) { "change" } else { "read" };
    let producers: Vec<&Call> = evidence
        .calls
        .iter()
        .filter(|call| call.op.produces() == Some(value) && call.id != stuck.id && call.invoke < stuck.ret)
        .collect();
    if producers.is_empty() && value != 0 && !evidence.is_window {
        return format!("{did}, but nothing had written {} before that {word} ended", name(value));
    }
    // The last operation before it that leaves another value, and after which nothing restores this one.
    let overwritten = evidence
        .calls
        .iter()
        .filter(|call| {
            call.ret < stuck.invoke
                && call.op.produces().or(call.op.observes()) != Some(value)
                && producers.iter().all(|producer| producer.ret < call.invoke)
        })
        .max_by_key(|call| call.ret);
    if let Some((call, other)) = overwritten.and_then(|call| Some((call, history.op(call.id as usize)?))) {
        let (left, how) = match call.op {
            RegisterOp::Read(left) => (left, "read"),
            RegisterOp::Write(left) | RegisterOp::Cas(_, left) => (left, "written and acknowledged"),
        };
        return format!(
            "{did}, but {} had been {how} by process {}{} at {}, before that {word} began, and nothing wrote {} after",
            name(left),
            other.process,
            say::on(other.node),
            ended(&other),
            name(value),
        );
    }
    format!(
        "{did}, but no order of these {} operations that agrees with real time leaves {} there",
        evidence.calls.len(),
        name(value)
    )
}

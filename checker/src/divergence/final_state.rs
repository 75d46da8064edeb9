//! Divergence: the nodes' final states compared, key by key, with the operations behind each difference.
//!
//! The last successful final read of each node (of each node and key) counts. Where a node was read but a key was not,
//! that node is left out for that key. Final reads are taken after healing and recovery, one node at a time, with no
//! writes between; so two nodes that differ will not meet again by themselves within the time that was waited.
//!
//! A lock has no final state: who holds it in the end says nothing of what happened, and no run reads it.
//!
//! Not checked: which of the differing nodes is right.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    Check, Details, Validity, authority,
    history::{ClaimedRole, F, History, MopRef, Op, Outcome, Predicate},
    say::{self, Findings},
};

/// The comparison.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DivergenceResult {
    /// Nodes whose final read succeeded, with the role each claimed at that time (`primary`, `replica`, …) and how
    /// many elements or keys it returned.
    pub nodes: Vec<NodeState>,
    /// Nodes that had no successful final read.
    pub unread_nodes: Vec<String>,
    /// Differences. Complete.
    pub differences: Vec<Difference>,
}

/// One node's final state in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeState {
    /// The node.
    pub node: String,
    /// Its claim when it was read.
    pub role: String,
    /// Elements (set) or keys (register, list-append) read.
    pub size: u64,
}

/// One key or element on which nodes disagree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The key; `None` for the set, which has one.
    pub key: Option<i64>,
    /// Each value and the nodes that hold it. For a set: the element, and `null` for the nodes without it.
    pub values: Vec<(serde_json::Value, Vec<String>)>,
    /// The operation that wrote each value, where known: (event index of its completion or invocation, sentence).
    pub written_by: Vec<(u64, String)>,
}

/// Checks the final reads of a set, register or list-append workload.
#[must_use]
pub fn check(history: &History) -> Check {
    if matches!(&*history.header().workload, "mutex" | "fenced-lock") {
        let summary = "A lock has no final state to compare.".to_owned();
        let details = Details::Divergence(DivergenceResult::default());
        return Findings::default().into_check("divergence", Validity::Valid, None, summary, details);
    }
    let finals: Vec<Op<'_>> = history.ops().filter(|op| op.is_final && matches!(op.f, F::Read | F::Txn)).collect();
    let mut finals_ok: Vec<Op<'_>> =
        finals.iter().filter(|op| op.outcome == Outcome::Ok && op.node.is_some()).copied().collect();
    finals_ok.sort_by_key(|op| op.complete_index);
    let read: BTreeSet<&str> = finals_ok.iter().filter_map(|op| op.node).collect();
    let expected: BTreeSet<&str> = history
        .header()
        .nodes
        .iter()
        .map(String::as_str)
        .chain(history.claims().iter().map(|claim| claim.value.node.as_str()))
        .chain(finals.iter().filter_map(|op| op.node))
        .collect();
    let mut result = DivergenceResult {
        unread_nodes: expected.difference(&read).map(|node| (*node).into()).collect(),
        ..DivergenceResult::default()
    };

    let is_set = history.header().workload == "set";
    let sizes = if is_set {
        compare_sets(history, &finals_ok, &mut result)
    } else {
        compare_keys(history, &finals_ok, &mut result)
    };
    for node in &read {
        let last = finals_ok.iter().rfind(|op| op.node == Some(*node));
        let role = last.and_then(|op| authority::role_at(history, node, op.complete_index.unwrap_or(op.invoke_index)));
        result.nodes.push(NodeState {
            node: (*node).into(),
            role: role.map_or("unknown", role_name).into(),
            size: sizes.get(node).copied().unwrap_or(0),
        });
    }
    verdict(result, expected.len())
}

const fn role_name(role: ClaimedRole) -> &'static str {
    match role {
        ClaimedRole::Primary => "primary",
        ClaimedRole::Replica => "replica",
        ClaimedRole::Neither => "neither",
        ClaimedRole::Unreachable => "unreachable",
    }
}

/// Element by element. Gives how many each node holds.
fn compare_sets<'h>(history: &'h History, finals: &[Op<'h>], result: &mut DivergenceResult) -> BTreeMap<&'h str, u64> {
    let mut states: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for op in finals.iter().filter(|op| *op.f == F::Read) {
        if let (Some(node), Some(elements)) = (op.node, op.value.as_ints()) {
            let mut elements = elements.into_owned();
            elements.sort_unstable();
            elements.dedup();
            states.insert(node, elements);
        }
    }
    let mut cursors: Vec<(&str, &[i64])> = states.iter().map(|(node, elements)| (*node, elements.as_slice())).collect();
    // All sorted lists side by side: the smallest element that any still holds, and who holds it.
    while let Some(element) = cursors.iter().filter_map(|(_, rest)| rest.first()).min().copied() {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for (node, rest) in &mut cursors {
            if rest.first() == Some(&element) {
                *rest = &rest[1..];
                with.push(*node);
            } else {
                without.push(*node);
            }
        }
        if !without.is_empty() {
            let names = |nodes: Vec<&str>| nodes.into_iter().map(Into::into).collect::<Vec<String>>();
            result.differences.push(Difference {
                key: None,
                values: vec![(element.into(), names(with)), (serde_json::Value::Null, names(without))],
                written_by: Vec::new(),
            });
        }
    }
    let mut behind: FxHashMap<i64, usize> =
        result.differences.iter().enumerate().filter_map(|(at, d)| Some((d.values[0].0.as_i64()?, at))).collect();
    for op in history.ops().filter(|op| *op.f == F::Add) {
        if let Some(at) = op.value.as_int().and_then(|element| behind.remove(&element)) {
            result.differences[at].written_by.push(written(&op, &format!("add {}", op.value.as_int().unwrap_or(0))));
        }
    }
    states.into_iter().map(|(node, elements)| (node, elements.len() as u64)).collect()
}

/// Key by key. Gives how many keys each node was read for.
fn compare_keys<'h>(history: &'h History, finals: &[Op<'h>], result: &mut DivergenceResult) -> BTreeMap<&'h str, u64> {
    // What each node holds for each key: a register's value, or a list.
    let mut states: BTreeMap<i64, BTreeMap<&str, serde_json::Value>> = BTreeMap::new();
    // By universe and node: the rows there. Of a run of ours no two universes share a key.
    let mut universes: BTreeMap<(u32, &str), &[(i64, i64)]> = BTreeMap::new();
    // By universe: the keys that any node holds.
    let mut keys: BTreeMap<u32, BTreeSet<i64>> = BTreeMap::new();
    for op in finals {
        let Some(node) = op.node else { continue };
        if let (F::Read, Some((key, value))) = (op.f, op.value.as_keyed()) {
            states.entry(key).or_default().insert(node, value.into());
        }
        for mop in op.mops() {
            match mop {
                // No list and an empty one are both a list to which nothing was appended.
                MopRef::Read { key, list } => {
                    states.entry(key).or_default().insert(node, list.unwrap_or_default().into());
                }
                MopRef::Get { key, value } => {
                    states.entry(key).or_default().insert(node, value.into());
                }
                MopRef::Select { predicate: Predicate::True, rows: Some(rows) } => {
                    let universe = history.txns().universe_of(op.id);
                    universes.insert((universe, node), rows);
                    keys.entry(universe).or_default().extend(rows.iter().map(|(key, _)| *key));
                }
                MopRef::Append { .. }
                | MopRef::Write { .. }
                | MopRef::Insert { .. }
                | MopRef::Delete { .. }
                | MopRef::Select { .. } => {}
            }
        }
    }
    // A row that one node has, and another, asked for all of them, has not.
    for ((universe, node), rows) in universes {
        for key in keys.get(&universe).into_iter().flatten() {
            let value = rows.iter().find(|(of, _)| of == key).map(|(_, value)| *value);
            states.entry(*key).or_default().insert(node, value.into());
        }
    }
    let mut sizes = BTreeMap::new();
    let mut differing: BTreeMap<i64, usize> = BTreeMap::new();
    for (key, by_node) in &states {
        let mut values: Vec<(serde_json::Value, Vec<String>)> = Vec::new();
        for (node, value) in by_node {
            *sizes.entry(*node).or_insert(0) += 1;
            match values.iter_mut().find(|(known, _)| known == value) {
                Some((_, nodes)) => nodes.push((*node).into()),
                None => values.push((value.clone(), vec![(*node).into()])),
            }
        }
        if values.len() > 1 {
            differing.insert(*key, result.differences.len());
            result.differences.push(Difference { key: Some(*key), values, written_by: Vec::new() });
        }
    }
    write_behind(history, &differing, result);
    sizes
}

/// Finds the operations behind the values on which nodes differ. Of a register's value that was written several times,
/// the last operation is named. Of lists, those that appended what only some lists hold.
fn write_behind(history: &History, differing: &BTreeMap<i64, usize>, result: &mut DivergenceResult) {
    if differing.is_empty() {
        return;
    }
    // Elements that some lists of a key hold and others lack.
    let mut holders: FxHashMap<(usize, i64), usize> = FxHashMap::default();
    for at in differing.values() {
        for (list, _) in &result.differences[*at].values {
            let elements: BTreeSet<i64> =
                list.as_array().into_iter().flatten().filter_map(serde_json::Value::as_i64).collect();
            for element in elements {
                *holders.entry((*at, element)).or_insert(0) += 1;
            }
        }
    }
    let mut last: BTreeMap<(usize, i64), (u64, String)> = BTreeMap::new();
    for op in history.ops().filter(|op| op.outcome != Outcome::Fail) {
        let register_write = match op.f {
            F::Write => op.value.as_keyed().and_then(|(key, value)| Some((key, value?))),
            F::Cas => op.value.as_cas().and_then(|(key, _, new)| Some((key, new?))),
            _ => None,
        };
        if let Some((key, value)) = register_write
            && let Some(at) = differing.get(&key)
            && result.differences[*at].values.iter().any(|(held, _)| held.as_i64() == Some(value))
        {
            last.insert((*at, value), written(&op, &format!("{} {value}", op.f.name())));
        }
        for mop in op.mops() {
            if let MopRef::Write { key, value } | MopRef::Insert { key, value } = mop
                && let Some(at) = differing.get(&key)
                && result.differences[*at].values.iter().any(|(held, _)| held.as_i64() == Some(value))
            {
                last.insert((*at, value), written(&op, &format!("write {value}")));
            }
            if let MopRef::Append { key, element } = mop
                && let Some(at) = differing.get(&key)
            {
                let held_by = holders.get(&(*at, element)).copied().unwrap_or(0);
                if held_by > 0 && held_by < result.differences[*at].values.len() {
                    last.insert((*at, element), written(&op, &format!("append {element}")));
                }
            }
        }
    }
    for ((at, _), by) in last {
        result.differences[at].written_by.push(by);
    }
}

fn written(op: &Op<'_>, what: &str) -> (u64, String) {
    let index = op.complete_index.unwrap_or(op.invoke_index);
    let at = say::seconds(op.complete_ns.unwrap_or(op.invoke_ns));
    let how = match op.outcome {
        Outcome::Ok => "acknowledged",
        Outcome::Fail => "failed",
        Outcome::Info => "indeterminate",
    };
    (index, format!("process {}: {what}, {how}{} at {at}", op.process, say::by(op.node)))
}

fn verdict(result: DivergenceResult, expected: usize) -> Check {
    let mut findings = Findings::default();
    for difference in &result.differences {
        let indexes = difference.written_by.iter().map(|(index, _)| *index).collect();
        findings.push("divergence", indexes, || {
            let sides: Vec<String> = difference
                .values
                .iter()
                .map(|(value, nodes)| match (difference.key, value) {
                    (None, serde_json::Value::Null) => format!("{} without it", nodes.join(", ")),
                    (None, element) => format!("element {element} on {}", nodes.join(", ")),
                    (Some(_), value) => format!("{} on {}", short(value), nodes.join(", ")),
                })
                .collect();
            let key = difference.key.map_or_else(String::new, |key| format!("Key {key}: "));
            let by = difference.written_by.last().map_or_else(String::new, |(_, sentence)| format!(" ({sentence})"));
            format!("{key}{}{by}.", sides.join("; "))
        });
    }
    // A single node cannot differ from any other, read or not.
    let reason = (!result.unread_nodes.is_empty() && expected > 1)
        .then(|| format!("{} had no successful final read", say::list(&result.unread_nodes)));
    let nodes = say::count(result.nodes.len() as u64, "node");
    let (valid, summary) = match (&reason, result.differences.len()) {
        (None, 0) if expected <= 1 => (Validity::Valid, "A single node has no other to differ from.".to_owned()),
        (None, 0) => (Validity::Valid, format!("The final reads of {nodes} agree.")),
        (Some(reason), 0) => (Validity::Unknown, format!("Undecided: {reason}.")),
        (_, differences) => {
            let what = if result.differences.iter().any(|d| d.key.is_some()) { "key" } else { "element" };
            (Validity::Invalid, format!("{nodes} differ in {} after recovery.", say::count(differences as u64, what)))
        }
    };
    findings.into_check("divergence", valid, reason, summary, Details::Divergence(result))
}

/// A value in at most a few words.
fn short(value: &serde_json::Value) -> String {
    match value.as_array() {
        Some(list) if list.len() > 6 => {
            let tail: Vec<String> = list[list.len() - 4..].iter().map(ToString::to_string).collect();
            format!("[… {}] ({} elements)", tail.join(" "), list.len())
        }
        Some(list) => format!("[{}]", list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        None => value.to_string(),
    }
}

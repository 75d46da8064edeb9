//! Whose word counts: which of the reads that end a run tell what the database holds.
//!
//! A replica may lag behind, and a deposed primary may hold what nobody will see again. So the final reads of the nodes
//! that claim to be primary count, where nodes claim anything at all.

use std::collections::BTreeSet;

use crate::history::{ClaimedRole, History, Op};

/// What `node` last said of itself at or before the event `index`.
pub(crate) fn role_at(history: &History, node: &str, index: u64) -> Option<ClaimedRole> {
    let claims = history.claims();
    let end = claims.partition_point(|claim| claim.index <= index);
    claims[..end].iter().rev().find(|claim| claim.value.node == node).map(|claim| claim.value.role)
}

/// Which of these final reads (all `ok`) count, or why none can.
///
/// Without claims all do. With claims, those of primaries. Where a node that claims to be primary was not read, or no
/// node claims it and some were not read, nothing can be called lost: the element may be on the node that is missing.
pub(crate) fn authoritative<'h>(history: &'h History, finals: &[Op<'h>]) -> Result<Vec<Op<'h>>, String> {
    if history.claims().is_empty() || finals.is_empty() {
        return Ok(finals.to_vec());
    }
    let index_of = |op: &Op<'_>| op.complete_index.unwrap_or(op.invoke_index);
    let end = finals.iter().map(index_of).max().unwrap_or(0);
    let read: BTreeSet<&str> = finals.iter().filter_map(|op| op.node).collect();
    let known: BTreeSet<&str> = history
        .header()
        .nodes
        .iter()
        .map(String::as_str)
        .chain(history.claims().iter().map(|claim| claim.value.node.as_str()))
        .collect();
    for node in &known {
        if role_at(history, node, end) == Some(ClaimedRole::Primary) && !read.contains(node) {
            return Err(format!("{node} claims to be primary and has no final read"));
        }
    }
    let is_primary =
        |op: &&Op<'h>| op.node.is_some_and(|node| role_at(history, node, index_of(op)) == Some(ClaimedRole::Primary));
    let primaries: Vec<Op<'h>> = finals.iter().filter(is_primary).copied().collect();
    if !primaries.is_empty() {
        return Ok(primaries);
    }
    match known.iter().find(|node| !read.contains(*node)) {
        None => Ok(finals.to_vec()),
        Some(node) => Err(format!("no node claims to be primary, and {node} has no final read")),
    }
}

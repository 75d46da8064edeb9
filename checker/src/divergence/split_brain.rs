//! Split brain: windows in which two nodes acknowledged writes as primary.
//!
//! A claim is only known at the polls. A node counts as primary from the time of the event that first said so until
//! the moment at which the first poll was sent that said otherwise: within these it claimed to be primary at every poll,
//! so a change in between would have to go there and back. A write counts where it was invoked and acknowledged within
//! the overlap of both nodes' claims. Both bounds err towards silence: in a clean failover, where n1 steps down before n2
//! is promoted, the claims as polled may touch, but no two acknowledgements can lie within both.
//!
//! Not checked: whether the writes of one side were lost (see the set and list-append checks), and split brain between
//! two polls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Check, Details, Validity,
    history::{ClaimedRole, F, History, MopRef, Op, Outcome},
    say::{self, Findings},
};

/// All windows of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SplitBrainResult {
    /// Windows in which two nodes claimed to be primary and both acknowledged writes, by start.
    pub windows: Vec<SplitBrainWindow>,
    /// Their total length in seconds (overlaps counted once).
    pub total_s: f64,
    /// The longest in seconds.
    pub longest_s: f64,
    /// Time in seconds in which two nodes claimed to be primary, whether or not both acknowledged writes.
    pub dual_claim_s: f64,
    /// True when the history has claims at all; without them nothing can be said.
    pub claims_observed: bool,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SplitBrainWindow {
    /// First acknowledgement after which both sides are known to have acknowledged.
    pub start_ns: u64,
    /// Last acknowledgement of the side that stopped first.
    pub end_ns: u64,
    /// The two nodes.
    pub nodes: [String; 2],
    /// Writes each acknowledged within both nodes' overlapping claims.
    pub acknowledged: [u64; 2],
    /// The overlap of their claims.
    pub claims_start_ns: u64,
    /// End of that overlap.
    pub claims_end_ns: u64,
    /// Events that prove it: the first and last acknowledged write of each side.
    pub event_indexes: Vec<u64>,
}

/// Whether an operation writes: an add, a write, a cas, a transaction that appends, or what changes a lock's holder.
pub(crate) fn is_write(op: &Op<'_>) -> bool {
    match op.f {
        F::Add | F::Write | F::Cas => true,
        F::Other(name) if matches!(&**name, "acquire" | "release") => true,
        // What a universe of closed predicates begins with has micro-operations, too.
        F::Txn | F::Other(_) => op.mops().any(|mop| match mop {
            MopRef::Append { .. } | MopRef::Write { .. } | MopRef::Insert { .. } | MopRef::Delete { .. } => true,
            MopRef::Read { .. } | MopRef::Get { .. } | MopRef::Select { .. } => false,
        }),
        F::Read => false,
    }
}

/// An acknowledged write.
#[derive(Debug, Clone, Copy)]
struct Ack {
    invoke_ns: u64,
    ok_ns: u64,
    ok_index: u64,
}

/// Times in which each node is known to have claimed to be primary.
fn claims(history: &History) -> BTreeMap<&str, Vec<(u64, u64)>> {
    let mut since: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    let mut intervals: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for event in history.claims() {
        let claim = &event.value;
        let open = since.entry(&claim.node).or_default();
        match (claim.role == ClaimedRole::Primary, *open) {
            (true, None) => *open = Some(event.time_ns),
            (false, Some(start)) => {
                *open = None;
                let end = claim.asked_ns.min(event.time_ns);
                if end > start {
                    intervals.entry(&claim.node).or_default().push((start, end));
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    for (node, open) in since {
        if let Some(start) = open
            && history.time_end_ns() > start
        {
            intervals.entry(node).or_default().push((start, history.time_end_ns()));
        }
    }
    intervals
}

/// Total length of intervals, overlaps counted once.
fn union_ns(mut intervals: Vec<(u64, u64)>) -> u64 {
    intervals.sort_unstable();
    let (mut total, mut reached) = (0, 0);
    for (start, end) in intervals {
        total += end.saturating_sub(start.max(reached));
        reached = reached.max(end);
    }
    total
}

/// Checks a history of any workload.
#[must_use]
pub fn check(history: &History) -> Check {
    let claims = claims(history);
    let mut result = SplitBrainResult { claims_observed: !history.claims().is_empty(), ..SplitBrainResult::default() };
    let dual: Vec<(u64, u64)> = dual_claims(&claims).map(|(_, interval)| interval).collect();
    let mut acks: BTreeMap<&str, Vec<Ack>> = BTreeMap::new();
    for op in history.ops().filter(|op| op.outcome == Outcome::Ok && is_write(op)) {
        if let (Some(node), Some(ok_ns), Some(ok_index)) = (op.node, op.complete_ns, op.complete_index) {
            let of_node = acks.entry(node).or_default();
            // The others cannot be in a window, and are nearly all of a long run.
            if dual.iter().any(|(start, end)| *start <= op.invoke_ns && ok_ns <= *end) {
                of_node.push(Ack { invoke_ns: op.invoke_ns, ok_ns, ok_index });
            }
        }
    }
    for list in acks.values_mut() {
        list.sort_unstable_by_key(|ack| ack.ok_index);
    }

    for ([first, second], (start, end)) in dual_claims(&claims) {
        let sides = [first, second].map(|node| within(acks.get(node).map_or(&[], Vec::as_slice), start, end));
        if let [Some(left), Some(right)] = &sides {
            let mut event_indexes =
                vec![left.first.ok_index, left.last.ok_index, right.first.ok_index, right.last.ok_index];
            event_indexes.sort_unstable();
            event_indexes.dedup();
            let start_ns = left.first.ok_ns.max(right.first.ok_ns);
            result.windows.push(SplitBrainWindow {
                start_ns,
                // Where one side was done before the other began, the window is that moment.
                end_ns: left.last.ok_ns.min(right.last.ok_ns).max(start_ns),
                nodes: [first.into(), second.into()],
                acknowledged: [left.count, right.count],
                claims_start_ns: start,
                claims_end_ns: end,
                event_indexes,
            });
        }
    }
    result.windows.sort_by(|a, b| (a.start_ns, a.end_ns, &a.nodes).cmp(&(b.start_ns, b.end_ns, &b.nodes)));
    result.dual_claim_s = say::as_seconds(union_ns(dual));
    result.total_s = say::as_seconds(union_ns(result.windows.iter().map(|w| (w.start_ns, w.end_ns)).collect()));
    result.longest_s =
        say::as_seconds(result.windows.iter().map(|window| window.end_ns - window.start_ns).max().unwrap_or(0));
    verdict(result, acks.len())
}

/// Pairs of nodes, and the intervals in which both claim to be primary.
fn dual_claims<'c>(claims: &'c BTreeMap<&str, Vec<(u64, u64)>>) -> impl Iterator<Item = ([&'c str; 2], (u64, u64))> {
    claims.iter().enumerate().flat_map(move |(at, (first, of_first))| {
        claims.iter().skip(at + 1).flat_map(move |(second, of_second)| {
            overlaps(of_first, of_second).into_iter().map(move |interval| ([*first, *second], interval))
        })
    })
}

/// Where both are primary. Intervals of one node are in order and apart.
fn overlaps(first: &[(u64, u64)], second: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (mut at, mut other) = (0, 0);
    let mut found = Vec::new();
    while let (Some(a), Some(b)) = (first.get(at), second.get(other)) {
        let (start, end) = (a.0.max(b.0), a.1.min(b.1));
        if start < end {
            found.push((start, end));
        }
        if a.1 <= b.1 {
            at += 1;
        } else {
            other += 1;
        }
    }
    found
}

/// The acknowledged writes of one side within an overlap.
struct Side {
    first: Ack,
    last: Ack,
    count: u64,
}

fn within(acks: &[Ack], start: u64, end: u64) -> Option<Side> {
    // Ordered by event, hence by time.
    let from = acks.partition_point(|ack| ack.ok_ns < start);
    let mut inside =
        acks[from..].iter().take_while(|ack| ack.ok_ns <= end).filter(|ack| ack.invoke_ns >= start).copied();
    let first = inside.next()?;
    let mut side = Side { first, last: first, count: 1 };
    for ack in inside {
        side.last = ack;
        side.count += 1;
    }
    Some(side)
}

fn verdict(result: SplitBrainResult, acknowledging_nodes: usize) -> Check {
    let mut findings = Findings::default();
    for window in &result.windows {
        findings.push("split-brain", window.event_indexes.clone(), || {
            format!(
                "{} and {} both claimed to be primary from {} to {}, and acknowledged {} and {} in that time.",
                window.nodes[0],
                window.nodes[1],
                say::seconds(window.claims_start_ns),
                say::seconds(window.claims_end_ns),
                say::count(window.acknowledged[0], "write"),
                say::count(window.acknowledged[1], "write"),
            )
        });
    }
    let (valid, reason, summary) = if !result.windows.is_empty() {
        let windows = say::count(result.windows.len() as u64, "window");
        let summary =
            format!("{windows} in which two nodes acknowledged writes as primary, {:.3} s in all.", result.total_s);
        (Validity::Invalid, None, summary)
    } else if result.claims_observed {
        let summary = if result.dual_claim_s > 0.0 {
            format!(
                "Two nodes claimed to be primary for {:.3} s, but no two acknowledged writes in that time.",
                result.dual_claim_s
            )
        } else {
            "No two nodes claimed to be primary at once.".into()
        };
        (Validity::Valid, None, summary)
    } else if acknowledging_nodes >= 2 {
        (Validity::Unknown, Some("no claims recorded".into()), "Undecided: no claims recorded.".into())
    } else {
        (Validity::Valid, None, "No claims recorded, and no two nodes acknowledged writes.".into())
    };
    findings.into_check("split-brain", valid, reason, summary, Details::SplitBrain(result))
}

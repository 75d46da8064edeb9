//! Lists to which each value is appended once: O(n log n) beside reading the answers.
//!
//! The longest read gives the order of what it holds; every other read must be the beginning of it. So each call has its
//! place, but for appends that no read shows: they come after all reads, in any order, or, if they are indeterminate, not
//! at all.

use rustc_hash::FxHashMap;

use super::{Call, Contradiction, Monitored, NEVER, blocks::in_order, said, text};
use crate::linearizability::models::list;

/// Decides a history of `append` and `read`.
pub(crate) fn append_list(calls: &[Call<'_>]) -> Monitored {
    decide(calls).unwrap_or_else(|decided| decided)
}

fn decide(calls: &[Call<'_>]) -> Result<Monitored, Monitored> {
    let mut append_of: FxHashMap<String, u32> = FxHashMap::default();
    let mut longest: (Option<u32>, Vec<String>) = (None, Vec::new());
    for (at, call) in (0..).zip(calls) {
        if call.op.f == "append" {
            if append_of.insert(text(call.op.value), at).is_some() {
                return Err(Monitored::NotApplicable);
            }
        } else if let Some(values) = list(call.op.value).filter(|values| values.len() >= longest.1.len()) {
            longest = (Some(at), values);
        }
    }
    let (longest_at, longest) = longest;
    let appends =
        |values: &[String]| values.iter().filter_map(|value| append_of.get(value).copied()).collect::<Vec<_>>();
    let mut place: FxHashMap<&str, u64> = FxHashMap::default();
    for (position, value) in (0_u64..).zip(&longest) {
        let Some(read_at) = longest_at else { break };
        let mut involved = appends(&longest);
        let Some(append_at) = append_of.get(value) else {
            return Err(Contradiction::of(involved, read_at, format!("{} was never appended", said(value))));
        };
        if place.insert(value, position).is_some() {
            return Err(Contradiction::of(involved, read_at, format!("{} was only appended once", said(value))));
        }
        if calls[*append_at as usize].invoke > calls[read_at as usize].ret {
            involved.push(*append_at);
            return Err(Contradiction::of(involved, read_at, format!("{} was only appended after that", said(value))));
        }
    }
    let mut blocks = Vec::with_capacity(calls.len());
    for (at, call) in (0..).zip(calls) {
        if call.op.f == "append" {
            match place.get(text(call.op.value).as_str()) {
                Some(position) => blocks.push((2 * position + 1, at)),
                None if call.ret != NEVER => blocks.push((2 * longest.len() as u64 + 1, at)),
                None => {}
            }
            continue;
        }
        let values = list(call.op.value).unwrap_or_default();
        if !longest.starts_with(&values) {
            let mut involved = appends(&longest);
            involved.extend(appends(&values));
            involved.extend(longest_at);
            let differs = values.iter().zip(&longest).find(|(value, other)| value != other);
            let why = differs.map_or_else(
                || "no list began so".into(),
                |(value, other)| format!("another read has {} where this one has {}", said(other), said(value)),
            );
            return Err(Contradiction::of(involved, at, why));
        }
        blocks.push((2 * values.len() as u64, at));
    }
    in_order(calls, blocks).map(Monitored::Linearizable).map_err(|(later, earlier)| {
        let op = |at: u32| &calls[at as usize].op;
        let said_of = |at: u32| said(&text(op(at).value));
        let (shown_by, why) = match (op(earlier).f, op(later).f) {
            ("read", "append") => {
                (earlier, format!("{} had been appended before it began, and is not there", said_of(later)))
            }
            ("read", _) => (earlier, "a read that had ended before it began holds more".into()),
            (_, "read") => (later, format!("it holds {}, which was only appended after that", said_of(earlier))),
            _ => {
                let [first, second] = [later, earlier].map(said_of);
                let why = format!("{first} had been appended before {second}, and does not come before it");
                (longest_at.unwrap_or(earlier), why)
            }
        };
        // Those two, and what says which comes first.
        let mut involved = appends(&longest);
        involved.extend(longest_at.into_iter().chain([earlier, later]));
        Contradiction::of(involved, shown_by, why)
    })
}

//! Sets that are only added to and read as a whole: O(n log n) beside reading the answers.
//!
//! What reads hold must grow: of any two reads one holds all that the other does. So reads come in an order, those that
//! hold the same in any, and of the adds of an element one comes before the first read that holds it and all come after the
//! last that lacks it. It may as well be the add that was invoked first which comes before (exchange it with the one that
//! does); the others, which change nothing then, go as late as they can.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::{Call, Contradiction, Monitored, NEVER, blocks::in_order, said, text};
use crate::linearizability::models::list;

/// Decides a history of `add` and `read`.
pub(crate) fn grow_only_set(calls: &[Call<'_>]) -> Monitored {
    decide(calls).unwrap_or_else(|decided| decided)
}

fn decide(calls: &[Call<'_>]) -> Result<Monitored, Monitored> {
    let mut adds: FxHashMap<String, Vec<u32>> = FxHashMap::default();
    let mut reads: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (at, call) in (0..).zip(calls) {
        if call.op.f == "add" {
            adds.entry(text(call.op.value)).or_default().push(at);
        } else {
            reads.entry(held(call).len()).or_default().push(at);
        }
    }
    let adds_of = |elements: &mut dyn Iterator<Item = &String>| -> Vec<u32> {
        elements.filter_map(|element| adds.get(element)).flatten().copied().collect()
    };
    // Read by read, from the smallest: what it holds, and what is new in it.
    let mut blocks = Vec::with_capacity(calls.len());
    let mut first_block: FxHashMap<String, u64> = FxHashMap::default();
    let mut before: (Option<u32>, BTreeSet<String>) = (None, BTreeSet::new());
    let mut block = 0;
    for at in reads.into_values().flatten() {
        let holds = held(&calls[at as usize]);
        if let Some(element) = before.1.difference(&holds).next() {
            let why =
                format!("another read holds {}, which it lacks, and lacks something that it holds", said(element));
            let involved = adds_of(&mut before.1.union(&holds)).into_iter().chain(before.0).collect();
            return Err(Contradiction::of(involved, at, why));
        }
        if holds.len() > before.1.len() {
            block += 2;
            for element in holds.difference(&before.1) {
                if !adds.contains_key(element) {
                    let involved = adds_of(&mut holds.iter());
                    return Err(Contradiction::of(involved, at, format!("{} was never added", said(element))));
                }
                first_block.insert(element.clone(), block - 1);
            }
        }
        blocks.push((block, at));
        before = (Some(at), holds);
    }
    // Of what no read holds all completed adds come after all reads.
    let mut repeated: Vec<(u64, u32)> = Vec::new();
    for (element, of_element) in &adds {
        let (block, needed) = first_block.get(element).map_or((block + 1, false), |block| (*block, true));
        for (number, at) in of_element.iter().enumerate() {
            match calls[*at as usize].ret {
                _ if needed && number == 0 => blocks.push((block, *at)),
                NEVER => {}
                _ if needed => repeated.push((block, *at)),
                _ => blocks.push((block, *at)),
            }
        }
    }
    let contradiction = |later: u32, earlier: u32| {
        let op = |at: u32| &calls[at as usize].op;
        let element_of = |at: u32| text(op(at).value);
        let (shown_by, why) = match (op(earlier).f, op(later).f) {
            ("read", "add") => {
                (earlier, format!("{} had been added before it began, and is not there", said(&element_of(later))))
            }
            ("read", _) => (earlier, "a read that had ended before it began holds more".into()),
            (_, "read") => (later, format!("it holds {}, which was only added after that", said(&element_of(earlier)))),
            // Some read holds the one and not the other: it is the last that lacks the later.
            _ => {
                let block = first_block.get(&element_of(later)).copied().unwrap_or(u64::MAX);
                let lacks = |at: &&(u64, u32)| at.0 < block && op(at.1).f == "read";
                let read = blocks.iter().filter(lacks).max().map_or(earlier, |(_, at)| *at);
                let (there, missing) = (said(&element_of(earlier)), said(&element_of(later)));
                (read, format!("it holds {there} and lacks {missing}, which had been added before {there}"))
            }
        };
        // The reads say which comes first; and whatever they hold was added.
        let mut involved: Vec<u32> = [earlier, later, shown_by].into();
        let shown: Vec<BTreeSet<String>> =
            involved.iter().filter(|at| op(**at).f == "read").map(|at| held(&calls[*at as usize])).collect();
        involved.extend(shown.iter().flat_map(|holds| adds_of(&mut holds.iter())));
        for at in [earlier, later].into_iter().filter(|at| op(*at).f == "add") {
            involved.extend(adds_of(&mut [element_of(at)].iter()));
        }
        Contradiction::of(involved, shown_by, why)
    };
    let order = in_order(calls, blocks.clone()).map_err(|(later, earlier)| contradiction(later, earlier))?;
    with_repeated(calls, order, &blocks, repeated)
        .map(Monitored::Linearizable)
        .map_err(|(later, earlier)| contradiction(later, earlier))
}

/// What a read holds.
fn held(call: &Call<'_>) -> BTreeSet<String> {
    list(call.op.value).unwrap_or_default().into_iter().collect()
}

/// Inserts each repeated add, given with a block which it must not come before, just before the first call that was
/// invoked after it had returned.
fn with_repeated(
    calls: &[Call<'_>],
    order: Vec<u32>,
    blocks: &[(u64, u32)],
    mut repeated: Vec<(u64, u32)>,
) -> Result<Vec<u32>, (u32, u32)> {
    if repeated.is_empty() {
        return Ok(order);
    }
    repeated.sort_unstable_by_key(|(_, at)| (calls[*at as usize].ret, *at));
    // The last invocation so far grows along the order, so of adds by their return the first is due first.
    let block_of: FxHashMap<u32, u64> = blocks.iter().map(|(block, at)| (*at, *block)).collect();
    let mut whole = Vec::with_capacity(order.len() + repeated.len());
    let mut due = repeated.into_iter().peekable();
    for at in order {
        let invoke = calls[at as usize].invoke;
        while let Some((block, add)) = due.next_if(|(_, add)| calls[*add as usize].ret < invoke) {
            if block_of[&at] < block {
                return Err((add, at));
            }
            whole.push(add);
        }
        whole.push(at);
    }
    whole.extend(due.map(|(_, add)| add));
    Ok(whole)
}

//! Bags: what is put in comes out in any order. Values are independent of each other, as long as nobody finds the bag
//! empty: O(n log n), however often a value is put in.
//!
//! Of one value it is enough to count. Let each put happen when it is invoked and each take when it returns: if then some
//! take finds none left, so it does in every order. Where a dequeue was answered "empty", each value must be put in only
//! once, and no dequeue be indeterminate (`residence`).

use rustc_hash::FxHashMap;

use super::{Call, Contradiction, Moment, Monitored, NEVER, Span, in_time, items::Items, said, text};
use crate::history::Value;

/// Decides a history of `enqueue` and `dequeue`.
pub(crate) fn unordered_queue(calls: &[Call<'_>]) -> Monitored {
    let is_empty = |call: &Call<'_>| call.op.f != "enqueue" && call.ret != NEVER && *call.op.value == Value::Nil;
    if calls.iter().any(is_empty) { with_empties(calls).unwrap_or_else(|decided| decided) } else { counted(calls) }
}

fn counted(calls: &[Call<'_>]) -> Monitored {
    let mut placed: Vec<(Moment, u32)> = Vec::with_capacity(calls.len());
    for (at, call) in (0..).zip(calls) {
        match (call.op.f, Span::of(call)) {
            ("enqueue", span) => placed.push((span.invoke, at)),
            // An indeterminate dequeue may not have happened, and nobody needs it.
            (_, span) if call.ret != NEVER => placed.push((span.ret, at)),
            _ => {}
        }
    }
    let order = in_time(placed);
    let mut inside: FxHashMap<String, u64> = FxHashMap::default();
    for at in &order {
        let call = &calls[*at as usize];
        let count = inside.entry(text(call.op.value)).or_default();
        if call.op.f == "enqueue" {
            *count += 1;
        } else if *count > 0 {
            *count -= 1;
        } else {
            let value = text(call.op.value);
            let name = said(&value);
            let of_value = (0..).zip(calls).filter(|(_, other)| {
                (other.ret != NEVER || other.op.f == "enqueue")
                    && other.invoke < call.ret
                    && (other.op.f == "enqueue" || other.ret <= call.ret)
                    && text(other.op.value) == value
            });
            let involved: Vec<u32> = of_value.map(|(at, _)| at).collect();
            let why = if involved.len() == 1 {
                format!("{name} had never been put in")
            } else {
                format!("every {name} that had been put in was given to others by then")
            };
            return Contradiction::of(involved, *at, why);
        }
    }
    Monitored::Linearizable(order)
}

fn with_empties(calls: &[Call<'_>]) -> Result<Monitored, Monitored> {
    let items = Items::of(calls, "enqueue")?;
    if !items.loose.is_empty() {
        return Err(Monitored::NotApplicable);
    }
    let moments = items.empty_moments(calls, "queue")?;
    let mut walls = moments.clone();
    walls.sort_unstable();
    let mut placed: Vec<(Moment, u32)> = moments.into_iter().zip(items.empties).collect();
    for item in &items.items {
        // Inside from the last wall before the take can begin, or from its put.
        let wall = item.last_empty(&walls);
        placed.push((item.put.invoke.max(wall), item.put_at));
        placed.extend(item.take_at.map(|at| (item.take.invoke.max(wall), at)));
    }
    Ok(Monitored::Linearizable(in_time(placed)))
}

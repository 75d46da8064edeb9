//! When a collection may be found empty.
//!
//! An item that was put in and not yet taken out is inside: certainly so from the put's return to the take's invocation,
//! its *residence*. A take that was answered "empty" happened at a moment within no residence; and if it has such a
//! moment, the items can be told apart into those before it and those after. (Henzinger, Sezgin & Vafeiadis,
//! "Aspect-oriented linearizability proofs", CONCUR 2013, say it of queues as VWit.)

use super::{Moment, Span};

/// From the return of an item's put to the invocation of its take, and which item it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Residence {
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) item: u32,
}

/// For each of these takes a moment at which nothing needs to be inside. Else the first that has none, and items of which
/// always one was inside.
pub(super) fn empty_moments(
    mut residences: Vec<Residence>,
    empties: &[Span],
) -> Result<Vec<Moment>, (usize, Vec<u32>)> {
    residences.retain(|residence| residence.from < residence.to);
    residences.sort_unstable_by_key(|residence| residence.from);
    // Residences joined while they overlap.
    let mut joined: Vec<(Moment, Moment)> = Vec::new();
    for residence in &residences {
        match joined.last_mut() {
            Some((_, to)) if residence.from < *to => *to = residence.to.max(*to),
            _ => joined.push((residence.from, residence.to)),
        }
    }
    let mut moments = Vec::with_capacity(empties.len());
    for (at, empty) in empties.iter().enumerate() {
        let mut moment = empty.invoke + 1;
        // The last that began before it; the next begins after its end.
        let before = joined.partition_point(|(from, _)| *from < moment);
        if let Some((_, to)) = before.checked_sub(1).map(|last| joined[last])
            && to > moment
        {
            moment = to + 1;
        }
        if moment > empty.ret {
            return Err((at, cover(&residences, *empty)));
        }
        moments.push(moment);
    }
    Ok(moments)
}

/// Few items of which one is inside at each moment of the span.
fn cover(residences: &[Residence], empty: Span) -> Vec<u32> {
    let mut items = Vec::new();
    let (mut moment, mut next) = (empty.invoke + 1, 0);
    while moment < empty.ret {
        let mut longest: Option<Residence> = None;
        while let Some(residence) = residences.get(next).filter(|residence| residence.from < moment) {
            if longest.is_none_or(|longest| longest.to < residence.to) {
                longest = Some(*residence);
            }
            next += 1;
        }
        let Some(longest) = longest.filter(|longest| longest.to > moment) else { break };
        items.push(longest.item);
        moment = longest.to + 1;
    }
    items
}

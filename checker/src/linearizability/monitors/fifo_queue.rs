//! Queues, first in first out, into which no value is put twice: O(n log n).
//!
//! Henzinger, Sezgin & Vafeiadis, "Aspect-oriented linearizability proofs", CONCUR 2013: such a history is linearizable
//! unless a value is taken that was not put in (VFresh) or is taken twice (VRepet), unless a value was put in before
//! another and, if at all, taken out after it (VOrd), and unless a dequeue finds nothing although always something was
//! inside (VWit). The order of the values is then built by taking, again and again, one whose put can be the next put and
//! whose take can be the next take.
//!
//! *Indeterminate dequeues* may have taken something that nobody else took. Of two values that nobody took, the one put in
//! before a value that was taken must have gone before that: it has a deadline. Each deadline needs an indeterminate
//! dequeue that was invoked before it; as such a dequeue never returns, any will do, so the earliest is given to the
//! earliest deadline. Beside dequeues that find nothing this is not enough, for then also the moment at which a value goes
//! counts: then the search decides.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{
    Call, Contradiction, END, Moment, Monitored, Span, in_time,
    items::{Item, Items},
    said,
};

/// Decides a history of `enqueue` and `dequeue`.
pub(crate) fn fifo_queue(calls: &[Call<'_>]) -> Monitored {
    decide(calls).unwrap_or_else(|decided| decided)
}

fn decide(calls: &[Call<'_>]) -> Result<Monitored, Monitored> {
    let mut items = Items::of(calls, "enqueue")?;
    if !items.loose.is_empty() {
        if !items.empties.is_empty() {
            return Err(Monitored::NotApplicable);
        }
        give_loose(&mut items, calls)?;
    }
    in_turn(&items)?;
    // The moments at which the queue is empty part the values.
    let moments = items.empty_moments(calls, "queue")?;
    let mut walls = moments.clone();
    walls.sort_unstable();
    // Of one moment: first the dequeue that finds nothing, then the puts after it, then the takes, for a value is taken at
    // its put's moment at the earliest.
    let mut placed: Vec<(Moment, u32)> = moments.into_iter().zip(items.empties.iter().copied()).collect();
    let mut takes: Vec<(Moment, u32)> = Vec::new();
    let (mut put, mut take) = (0, 0);
    for number in order(&items.items, &walls) {
        let item = &items.items[number as usize];
        let wall = item.last_empty(&walls);
        put = put.max(item.put.invoke).max(wall);
        placed.push((put, item.put_at));
        if let Some(at) = item.take_at {
            take = put.max(take).max(item.take.invoke);
            takes.push((take, at));
        }
    }
    placed.extend(takes);
    Ok(Monitored::Linearizable(in_time(placed)))
}

/// Gives indeterminate dequeues to values that must have gone.
fn give_loose(items: &mut Items, calls: &[Call<'_>]) -> Result<(), Monitored> {
    // By the invocation of the put, the earliest return of a take of it or of any value put in after.
    let mut taken: Vec<(Moment, Moment, u32)> = (0..)
        .zip(&items.items)
        .filter(|(_, item)| item.take_at.is_some())
        .map(|(number, item)| (item.put.invoke, item.take.ret, number))
        .collect();
    taken.sort_unstable();
    for at in (1..taken.len()).rev() {
        if taken[at].1 < taken[at - 1].1 {
            (taken[at - 1].1, taken[at - 1].2) = (taken[at].1, taken[at].2);
        }
    }
    let mut deadlines: Vec<(Moment, u32, u32)> = Vec::new();
    for (number, item) in (0..).zip(&items.items).filter(|(_, item)| item.take_at.is_none()) {
        let after = taken.partition_point(|(invoke, ..)| *invoke < item.put.ret);
        deadlines.extend(taken.get(after).map(|(_, ret, because_of)| (*ret, number, *because_of)));
    }
    deadlines.sort_unstable();
    let mut loose = items.loose.iter();
    for (given, (deadline, number, because_of)) in deadlines.iter().enumerate() {
        let at = loose.next().filter(|at| Span::of(&calls[**at as usize]).invoke < *deadline);
        let Some(at) = at else {
            let (gone, later) = (&items.items[*number as usize], &items.items[*because_of as usize]);
            let shown_by = later.take_at.unwrap_or(later.put_at);
            let why = match given {
                0 => format!("{} had been put in before, and nobody took it out", said(&gone.value)),
                _ => format!(
                    "{} values had been put in before that nobody was given, {} among them, and only {given} dequeues \
                     may have taken one",
                    given + 1,
                    said(&gone.value)
                ),
            };
            let involved = deadlines[..=given].iter().flat_map(|(_, number, because_of)| [*number, *because_of]);
            let mut shown = items.calls_of(involved);
            shown.extend(items.loose.iter().filter(|at| Span::of(&calls[**at as usize]).invoke < *deadline));
            return Err(Contradiction::of(shown, shown_by, why));
        };
        let item = &mut items.items[*number as usize];
        item.take_at = Some(*at);
        item.take = Span { ret: END, invoke: Span::of(&calls[*at as usize]).invoke.max(item.put.invoke) };
    }
    Ok(())
}

/// VOrd: no value was put in before another and taken after it.
fn in_turn(items: &Items) -> Result<(), Monitored> {
    let items_ref = &items.items;
    let by = |key: fn(&Item) -> Moment| {
        let mut order: Vec<u32> = (0..items_ref.len() as u32).collect();
        order.sort_unstable_by_key(|number| key(&items_ref[*number as usize]));
        order
    };
    let mut put_before = by(|item| item.put.ret).into_iter().peekable();
    let mut latest: Option<&Item> = None;
    for number in by(|item| item.put.invoke) {
        let item = &items_ref[number as usize];
        while let Some(before) = put_before.next_if(|before| items_ref[*before as usize].put.ret < item.put.invoke) {
            let before = &items_ref[before as usize];
            if latest.is_none_or(|latest| latest.take.invoke < before.take.invoke) {
                latest = Some(before);
            }
        }
        if let Some(latest) = latest
            && item.take.ret < latest.take.invoke
        {
            let taken = if latest.take_at.is_some() { "was only taken out after that" } else { "was never taken out" };
            let why = format!("{} had been put in before {}, and {taken}", said(&latest.value), said(&item.value));
            let shown_by = item.take_at.unwrap_or(item.put_at);
            return Err(Contradiction::of(latest.calls().chain(item.calls()).collect(), shown_by, why));
        }
    }
    Ok(())
}

/// The values in an order in which they can be put in as well as taken out, those before each wall first.
fn order(items: &[Item], walls: &[Moment]) -> Vec<u32> {
    let wall = |item: &Item| walls.partition_point(|wall| *wall < item.take.invoke);
    let mut numbers: Vec<u32> = (0..items.len() as u32).collect();
    numbers.sort_by_key(|number| wall(&items[*number as usize]));
    let mut order = Vec::with_capacity(items.len());
    for part in numbers.chunk_by(|a, b| wall(&items[*a as usize]) == wall(&items[*b as usize])) {
        // What can be the next put: it was invoked before any of the rest returned. And likewise the next take.
        let mut puts = Front::of(part, |number| items[number as usize].put);
        let mut takes = Front::of(part, |number| items[number as usize].take);
        let mut reached = vec![0_u8; part.len()];
        let place = |number: u32| part.binary_search(&number).unwrap_or_default();
        let mut ready: Vec<u32> = Vec::new();
        let mut done = vec![false; part.len()];
        for _ in part {
            let next_puts = puts.reach(|number| done[place(number)]);
            let next_takes = takes.reach(|number| done[place(number)]);
            for number in next_puts.into_iter().chain(next_takes) {
                reached[place(number)] += 1;
                if reached[place(number)] == 2 {
                    ready.push(number);
                }
            }
            // (There always is one, by VOrd.)
            let Some(number) = ready.pop() else { break };
            done[place(number)] = true;
            order.push(number);
        }
    }
    order
}

/// Spans of which those can be next that were invoked before any of the rest returned.
struct Front {
    /// By invocation, the last first.
    rest: Vec<(Moment, u32)>,
    returns: BinaryHeap<Reverse<(Moment, u32)>>,
}

impl Front {
    fn of(numbers: &[u32], span: impl Fn(u32) -> Span) -> Self {
        let mut rest: Vec<(Moment, u32)> = numbers.iter().map(|number| (span(*number).invoke, *number)).collect();
        rest.sort_unstable_by(|a, b| b.cmp(a));
        let returns = numbers.iter().map(|number| Reverse((span(*number).ret, *number))).collect();
        Self { rest, returns }
    }

    /// Those that can be next now and could not before.
    fn reach(&mut self, is_done: impl Fn(u32) -> bool) -> Vec<u32> {
        while self.returns.peek().is_some_and(|Reverse((_, number))| is_done(*number)) {
            self.returns.pop();
        }
        let Some(Reverse((first, _))) = self.returns.peek().copied() else { return Vec::new() };
        let mut reached = Vec::new();
        while let Some((_, number)) = self.rest.pop_if(|(invoke, _)| *invoke < first) {
            reached.push(number);
        }
        reached
    }
}

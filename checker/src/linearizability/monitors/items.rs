//! The puts and takes of a collection, by value.

use rustc_hash::FxHashMap;

use super::{
    Call, Contradiction, END, Moment, Monitored, NEVER, Span,
    residence::{Residence, empty_moments},
    said, text,
};
use crate::history::Value;

/// A value that was put in once.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) value: String,
    /// The put's position in the calls.
    pub(super) put_at: u32,
    pub(super) put: Span,
    /// The take's position; `None`: nobody took it out, or nobody was told.
    pub(super) take_at: Option<u32>,
    /// Of an item that nobody took out: at the end of all.
    pub(super) take: Span,
}

impl Item {
    /// The calls.
    pub(super) fn calls(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.put_at).chain(self.take_at)
    }

    fn residence(&self, item: u32) -> Residence {
        Residence { from: self.put.ret, to: self.take.invoke, item }
    }

    /// The last of these moments, ascending, at which nothing was inside before the take can have begun; 0: none.
    pub(super) fn last_empty(&self, walls: &[Moment]) -> Moment {
        let before = walls.partition_point(|wall| *wall < self.take.invoke);
        before.checked_sub(1).map_or(0, |last| walls[last])
    }
}

/// What a history did to a collection.
#[derive(Debug)]
pub(super) struct Items {
    pub(super) items: Vec<Item>,
    /// Takes that found nothing: positions.
    pub(super) empties: Vec<u32>,
    /// Takes of which nobody knows whether they took something, and what: positions by invocation.
    pub(super) loose: Vec<u32>,
}

/// After all events, so that what is never taken out is taken out last.
const NEVER_TAKEN: Span = Span { invoke: END + 2, ret: END + 4 };

impl Items {
    /// The calls by value; or what is already decided: the values are put in more than once (not applicable), or a take
    /// of what had not been put in or was taken already.
    ///
    /// A put that nobody was told of and whose value nobody took may be left out: it may never have happened.
    ///
    /// An item's put is cut off at its take's return, and its take begins at its put's invocation at the earliest: nothing
    /// else is possible.
    pub(super) fn of(calls: &[Call<'_>], put: &str) -> Result<Self, Monitored> {
        let mut by_value: FxHashMap<String, u32> = FxHashMap::default();
        let mut items = Self { items: Vec::new(), empties: Vec::new(), loose: Vec::new() };
        for (at, call) in (0_u32..).zip(calls).filter(|(_, call)| call.op.f == put) {
            let value = text(call.op.value);
            if by_value.insert(value.clone(), items.items.len() as u32).is_some() {
                return Err(Monitored::NotApplicable);
            }
            items.items.push(Item { value, put_at: at, put: Span::of(call), take_at: None, take: NEVER_TAKEN });
        }
        for (at, call) in (0_u32..).zip(calls).filter(|(_, call)| call.op.f != put) {
            match call.op.value {
                _ if call.ret == NEVER => items.loose.push(at),
                Value::Nil => items.empties.push(at),
                value => {
                    let value = text(value);
                    let Some(item) = by_value.get(&value).map(|item| &mut items.items[*item as usize]) else {
                        return Err(Contradiction::of(Vec::new(), at, format!("{} was never put in", said(&value))));
                    };
                    if let Some(other) = item.take_at {
                        let why = format!("{} was put in once and was also given to another", said(&value));
                        return Err(Contradiction::of(vec![item.put_at, other], at, why));
                    }
                    item.take_at = Some(at);
                    item.take = Span::of(call);
                    if item.take.ret < item.put.invoke {
                        let why = format!("{} was only put in after that", said(&value));
                        return Err(Contradiction::of(vec![item.put_at], at, why));
                    }
                    item.put.ret = item.put.ret.min(item.take.ret);
                    item.take.invoke = item.take.invoke.max(item.put.invoke);
                }
            }
        }
        items.items.retain(|item| item.take_at.is_some() || item.put.ret != END);
        Ok(items)
    }

    /// For each take that found nothing a moment at which nothing needs to be inside; or items of which always one was.
    /// `collection`: what it is called.
    pub(super) fn empty_moments(&self, calls: &[Call<'_>], collection: &str) -> Result<Vec<Moment>, Monitored> {
        let empties: Vec<Span> = self.empties.iter().map(|at| Span::of(&calls[*at as usize])).collect();
        let residences = (0..).zip(&self.items).map(|(number, item)| item.residence(number)).collect();
        empty_moments(residences, &empties).map_err(|(empty, inside)| {
            let why = format!("the {collection} was never empty meanwhile");
            Contradiction::of(self.calls_of(inside), self.empties[empty], why)
        })
    }

    /// The calls of these items.
    pub(super) fn calls_of(&self, items: impl IntoIterator<Item = u32>) -> Vec<u32> {
        items.into_iter().flat_map(|item| self.items[item as usize].calls()).collect()
    }
}

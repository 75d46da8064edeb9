//! Operations of a model that no order explains. What is shared with the check is the model itself: what one operation
//! does, which ones change nothing, and which parts of the object they concern.

use std::marker::PhantomData;

use rustc_hash::FxHashSet;

use super::explore::{ATTEMPTS_MAX, Explored, Steps, Tried, explore};
use crate::{
    history::{Op, Outcome},
    linearizability::models::{Model, ModelOp},
};

/// A model, to try orders on.
pub(crate) struct Object<'m, 'h, M> {
    model: &'m M,
    ops: PhantomData<&'h ()>,
}

impl<'m, M> Object<'m, '_, M> {
    pub(crate) const fn new(model: &'m M) -> Self {
        Self { model, ops: PhantomData }
    }
}

impl<'h, M: Model> Steps for Object<'_, 'h, M> {
    type Op = ModelOp<'h>;
    type State = M::State;

    fn step(&self, state: &M::State, op: &ModelOp<'h>, next: &mut Vec<M::State>) {
        self.model.step(state, op, next);
    }

    fn heap_bytes(&self, state: &M::State) -> usize {
        self.model.heap_bytes(state)
    }
}

/// Index of the event of an operation's return; [`u64::MAX`]: it is indeterminate.
pub(crate) fn return_of(op: &Op<'_>) -> u64 {
    op.complete_index.filter(|_| op.outcome == Outcome::Ok).unwrap_or(u64::MAX)
}

/// The operations up to an event; those in flight then may have happened or not (where they ended ok, with the answer that
/// they gave).
pub(crate) fn until<'h, M: Model>(model: &M, ops: &[Op<'h>], before: u64) -> Vec<Tried<ModelOp<'h>>> {
    let mut tried = Vec::new();
    for op in ops.iter().filter(|op| op.invoke_index < before) {
        let (happening, mut ret) = (ModelOp::of(op), return_of(op));
        let is_read = model.is_read(&happening);
        if ret >= before {
            if is_read {
                continue;
            }
            ret = u64::MAX;
        }
        tried.push(Tried { op: happening, invoke: op.invoke_index, ret, is_read });
    }
    tried
}

/// Whether the named operations are impossible up to an event, and `all` others of the key can be left out without making
/// them so. `None`: too large to try. An error says which operation is missing.
pub(super) fn impossible<M: Model>(
    model: &M,
    all: &[Op<'_>],
    named: &[Op<'_>],
    before: u64,
) -> Result<Option<bool>, String> {
    if let Some(op) = named.iter().find(|op| op.invoke_index >= before) {
        return Err(format!("the operation of event {} is not in the window", op.invoke_index));
    }
    let tried = until(model, named, before);
    let is_named: FxHashSet<u64> = named.iter().map(|op| op.invoke_index).collect();
    let mut kept: Option<FxHashSet<String>> = Some(FxHashSet::default());
    for op in &tried {
        match (&mut kept, model.concerns(&op.op)) {
            (Some(parts), Some(of_op)) => parts.extend(of_op),
            _ => kept = None,
        }
    }
    let others: Vec<Op<'_>> = all.iter().filter(|op| !is_named.contains(&op.invoke_index)).copied().collect();
    for op in until(model, &others, before).iter().filter(|op| !op.is_read) {
        let parts = model.concerns(&op.op).filter(|parts| !parts.is_empty());
        let apart = parts.zip(kept.as_ref()).is_some_and(|(parts, kept)| parts.iter().all(|part| !kept.contains(part)));
        if !apart {
            return Err(format!("the operation of event {} is left out, and may matter", op.invoke));
        }
    }
    Ok(match explore(&Object::new(model), M::State::default(), &tried, ATTEMPTS_MAX) {
        Explored::Order(_) => Some(false),
        Explored::None(_) => Some(true),
        Explored::TooLarge(_) => None,
    })
}

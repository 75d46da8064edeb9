//! Where operations come from.

use std::fmt::Debug;

use schism_checker::history::{Event, F, Value};

use super::{Context, Generator, Step};
use crate::op::Op;

/// A generator that has ended. Has no size, so that boxing one allocates nothing.
#[derive(Debug, Clone, Copy)]
struct Nothing;

impl Generator for Nothing {
    fn next(self: Box<Self>, _ctx: &Context<'_>) -> Step {
        Step::Done
    }

    fn update(self: Box<Self>, _ctx: &Context<'_>, _event: &Event) -> Box<dyn Generator> {
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(*self)
    }
}

/// Ends at once. Allocates nothing: combinators leave one behind while they work on what they hold.
#[must_use]
pub fn nothing() -> Box<dyn Generator> {
    Box::new(Nothing)
}

/// Takes the generator out to ask it, leaving [`nothing`].
pub(crate) fn take(place: &mut Box<dyn Generator>) -> Box<dyn Generator> {
    std::mem::replace(place, nothing())
}

/// Passes an event to the generator in `place`.
pub(crate) fn update_in(place: &mut Box<dyn Generator>, ctx: &Context<'_>, event: &Event) {
    *place = take(place).update(ctx, event);
}

/// These operations in order, each by whoever has been idle longest.
#[must_use]
pub fn ops(list: Vec<(F, Value)>) -> Box<dyn Generator> {
    Box::new(Ops { list, position: 0 })
}

#[derive(Debug, Clone)]
struct Ops {
    list: Vec<(F, Value)>,
    position: usize,
}

impl Generator for Ops {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        let Some((f, value)) = self.list.get(self.position).cloned() else { return Step::Done };
        let Some(client) = ctx.free.first() else { return Step::Pending { until_ns: None, next: self } };
        self.position += 1;
        Step::Op { op: Op::new(client, f, value), time_ns: ctx.time_ns, next: self }
    }

    fn update(self: Box<Self>, _ctx: &Context<'_>, _event: &Event) -> Box<dyn Generator> {
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// The operations of one slot, endless: a function of what it was made from and of how often it was asked.
pub(crate) trait Script: Debug + Clone + Send + 'static {
    /// The slot's next operation.
    fn next_op(&mut self) -> (F, Value);
}

/// Every slot follows its own script, whatever the others do.
pub(crate) fn scripts<S: Script>(scripts: Vec<S>) -> Box<dyn Generator> {
    Box::new(Scripts { scripts })
}

#[derive(Debug, Clone)]
struct Scripts<S> {
    scripts: Vec<S>,
}

impl<S: Script> Generator for Scripts<S> {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        let Some(client) = ctx.free.first() else { return Step::Pending { until_ns: None, next: self } };
        let (f, value) = self.scripts[client as usize].next_op();
        Step::Op { op: Op::new(client, f, value), time_ns: ctx.time_ns, next: self }
    }

    fn update(self: Box<Self>, _ctx: &Context<'_>, _event: &Event) -> Box<dyn Generator> {
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

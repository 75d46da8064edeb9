//! How many.

use schism_checker::history::{Event, EventType};

use super::{Context, Generator, Step, source};

/// Ends after this many operations.
#[must_use]
pub fn op_limit(ops: u64, inner: Box<dyn Generator>) -> Box<dyn Generator> {
    Box::new(OpLimit { ops_left: ops, inner })
}

#[derive(Debug, Clone)]
struct OpLimit {
    ops_left: u64,
    inner: Box<dyn Generator>,
}

impl Generator for OpLimit {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        if self.ops_left == 0 {
            return Step::Done;
        }
        match source::take(&mut self.inner).next(ctx) {
            Step::Op { op, time_ns, next } => {
                self.ops_left -= 1;
                self.inner = next;
                Step::Op { op, time_ns, next: self }
            }
            Step::Pending { until_ns, next } => {
                self.inner = next;
                Step::Pending { until_ns, next: self }
            }
            Step::Done => Step::Done,
        }
    }

    fn update(mut self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator> {
        source::update_in(&mut self.inner, ctx, event);
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// Goes on until one of its operations ends `ok`, whoever did it; operations still in flight then are left to end.
/// For "until each client had one `ok`", wrap it in [`each_process`](super::each_process).
#[must_use]
pub fn until_ok(inner: Box<dyn Generator>) -> Box<dyn Generator> {
    Box::new(UntilOk { succeeded: false, in_flight: Vec::new(), inner })
}

#[derive(Debug, Clone)]
struct UntilOk {
    succeeded: bool,
    /// Processes whose operation came from here: an `ok` of somebody else's does not count.
    in_flight: Vec<u32>,
    inner: Box<dyn Generator>,
}

impl Generator for UntilOk {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        if self.succeeded {
            return Step::Done;
        }
        match source::take(&mut self.inner).next(ctx) {
            Step::Op { op, time_ns, next } => {
                self.in_flight.push(ctx.process_of[op.client as usize]);
                self.inner = next;
                Step::Op { op, time_ns, next: self }
            }
            Step::Pending { until_ns, next } => {
                self.inner = next;
                Step::Pending { until_ns, next: self }
            }
            Step::Done => Step::Done,
        }
    }

    fn update(mut self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator> {
        if event.kind != EventType::Invoke
            && let Some(process) = event.process.client()
            && let Some(position) = self.in_flight.iter().position(|&ours| ours == process)
        {
            self.in_flight.swap_remove(position);
            self.succeeded |= event.kind == EventType::Ok;
        }
        source::update_in(&mut self.inner, ctx, event);
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

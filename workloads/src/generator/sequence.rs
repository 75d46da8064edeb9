//! One after the other.

use std::collections::VecDeque;

use schism_checker::history::Event;

use super::{Context, Generator, Step, source};

/// These in order, each as soon as the one before has nothing more to give: its last operations may be in flight.
#[must_use]
pub fn concat(parts: Vec<Box<dyn Generator>>) -> Box<dyn Generator> {
    Box::new(Sequence { parts: parts.into(), barrier: false, waiting: false })
}

/// `first`, and then `second`.
#[must_use]
pub fn then(first: Box<dyn Generator>, second: Box<dyn Generator>) -> Box<dyn Generator> {
    concat(vec![first, second])
}

/// These in order with a barrier before each: it begins when every worker it may use is free, so that nothing of one
/// phase overlaps anything of the next.
#[must_use]
pub fn phases(parts: Vec<Box<dyn Generator>>) -> Box<dyn Generator> {
    Box::new(Sequence { parts: parts.into(), barrier: true, waiting: true })
}

#[derive(Debug, Clone)]
struct Sequence {
    parts: VecDeque<Box<dyn Generator>>,
    barrier: bool,
    /// The front part has not begun yet, and may not before everybody is free.
    waiting: bool,
}

impl Generator for Sequence {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        loop {
            let everybody_free = ctx.free.len() == ctx.clients as usize;
            let Some(front) = self.parts.front_mut() else { return Step::Done };
            if self.waiting && !everybody_free {
                return Step::Pending { until_ns: None, next: self };
            }
            self.waiting = false;
            match source::take(front).next(ctx) {
                Step::Op { op, time_ns, next } => {
                    *front = next;
                    return Step::Op { op, time_ns, next: self };
                }
                Step::Pending { until_ns, next } => {
                    *front = next;
                    return Step::Pending { until_ns, next: self };
                }
                Step::Done => {
                    self.parts.pop_front();
                    self.waiting = self.barrier;
                }
            }
        }
    }

    /// Only the part that runs hears of events: a later one has not begun, and what the barrier waits for is not its.
    fn update(mut self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator> {
        if let Some(front) = self.parts.front_mut().filter(|_| !self.waiting) {
            source::update_in(front, ctx, event);
        }
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

//! When: rates and deadlines.

use schism_checker::history::Event;
use schism_seed::{Seed, Stream};

use super::{Context, Generator, Step, source};

/// How far behind its schedule a staggered generator may be and still make up for it. Timers wake a millisecond or so
/// late, and at 2,000 operations per second that alone would cost most of the rate; but a database that stalled for
/// seconds must not be answered with seconds' worth of operations at once.
const CATCH_UP_NS: u64 = 20_000_000;

/// Spaces operations out: `rate_per_s` of them per second in total, with exponential gaps (as of many independent
/// users) drawn from the stream `timing`. 0: as fast as possible.
///
/// It is an upper bound: with every worker busy, fewer happen.
///
/// # Panics
/// When the rate is negative or not a number: a bug of the caller.
#[must_use]
pub fn stagger(rate_per_s: f64, seed: Seed, inner: Box<dyn Generator>) -> Box<dyn Generator> {
    assert!(rate_per_s >= 0.0, "a rate of {rate_per_s} operations per second");
    if rate_per_s == 0.0 {
        return inner;
    }
    Box::new(Stagger { gap_mean_ns: 1e9 / rate_per_s, stream: seed.stream("timing"), due_ns: None, inner })
}

#[derive(Debug, Clone)]
struct Stagger {
    gap_mean_ns: f64,
    stream: Stream,
    due_ns: Option<u64>,
    inner: Box<dyn Generator>,
}

impl Generator for Stagger {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        match source::take(&mut self.inner).next(ctx) {
            Step::Op { op, time_ns, next } => {
                let earliest_ns = time_ns.saturating_sub(CATCH_UP_NS);
                let due_ns = self.due_ns.map_or(time_ns, |due_ns| due_ns.max(earliest_ns));
                // 1 - u is in (0, 1], so the logarithm is finite.
                let gap_ns = -(1.0 - self.stream.unit_f64()).ln() * self.gap_mean_ns;
                self.due_ns = Some(due_ns + gap_ns as u64);
                self.inner = next;
                Step::Op { op, time_ns: time_ns.max(due_ns), next: self }
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

/// Ends this long after it was first asked. An operation due at that moment or later is dropped.
#[must_use]
pub fn time_limit(limit_ns: u64, inner: Box<dyn Generator>) -> Box<dyn Generator> {
    Box::new(TimeLimit { limit_ns, deadline_ns: None, inner })
}

#[derive(Debug, Clone)]
struct TimeLimit {
    limit_ns: u64,
    deadline_ns: Option<u64>,
    inner: Box<dyn Generator>,
}

impl Generator for TimeLimit {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        let deadline_ns = *self.deadline_ns.get_or_insert(ctx.time_ns.saturating_add(self.limit_ns));
        if ctx.time_ns >= deadline_ns {
            return Step::Done;
        }
        match source::take(&mut self.inner).next(ctx) {
            Step::Op { op, time_ns, next } if time_ns < deadline_ns => {
                self.inner = next;
                Step::Op { op, time_ns, next: self }
            }
            Step::Op { .. } | Step::Done => Step::Done,
            // The deadline is a reason to be asked again even if nothing else happens: what follows must begin then.
            Step::Pending { until_ns, next } => {
                self.inner = next;
                Step::Pending { until_ns: super::earlier(until_ns, Some(deadline_ns)), next: self }
            }
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

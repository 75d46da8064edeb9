//! Who: workers divided among generators.

use std::ops::Range;

use schism_checker::history::Event;

use super::{Context, Free, Generator, Step, source};
use crate::op::Op;

/// A generator that has workers of its own. What it gave may wait here while another's is due sooner: since nobody
/// else uses its workers, the slot stays free.
#[derive(Debug, Clone)]
struct Branch {
    generator: Box<dyn Generator>,
    ready: Option<(Op, u64)>,
    done: bool,
}

/// What a branch has to offer.
enum Offer {
    At(u64),
    Later(Option<u64>),
    Done,
}

impl Branch {
    const fn new(generator: Box<dyn Generator>) -> Self {
        Self { generator, ready: None, done: false }
    }

    fn offer(&mut self, ctx: &Context<'_>) -> Offer {
        if let Some((_, time_ns)) = self.ready {
            return Offer::At(time_ns);
        }
        if self.done {
            return Offer::Done;
        }
        match source::take(&mut self.generator).next(ctx) {
            Step::Op { op, time_ns, next } => {
                self.generator = next;
                self.ready = Some((op, time_ns));
                Offer::At(time_ns)
            }
            Step::Pending { until_ns, next } => {
                self.generator = next;
                Offer::Later(until_ns)
            }
            Step::Done => {
                self.done = true;
                Offer::Done
            }
        }
    }
}

/// The soonest offer of several branches.
#[derive(Default)]
struct Soonest {
    branch: Option<(usize, u64)>,
    until_ns: Option<u64>,
    anybody_left: bool,
}

impl Soonest {
    /// Returns true when nothing can be sooner.
    fn consider(&mut self, index: usize, offer: Offer, now_ns: u64) -> bool {
        match offer {
            Offer::At(time_ns) => {
                self.anybody_left = true;
                if self.branch.is_none_or(|(_, best_ns)| time_ns < best_ns) {
                    self.branch = Some((index, time_ns));
                }
                time_ns <= now_ns
            }
            Offer::Later(until_ns) => {
                self.anybody_left = true;
                self.until_ns = super::earlier(self.until_ns, until_ns);
                false
            }
            Offer::Done => false,
        }
    }

    /// The answer: of `branches`, the one chosen, or nothing yet, or the end.
    fn step<G: Generator + 'static>(self, mut next: Box<G>, branches: impl FnOnce(&mut G) -> &mut Vec<Branch>) -> Step {
        let chosen = self.branch.and_then(|(index, _)| branches(&mut next)[index].ready.take());
        match chosen {
            Some((op, time_ns)) => Step::Op { op, time_ns, next },
            None if self.anybody_left => Step::Pending { until_ns: self.until_ns, next },
            None => Step::Done,
        }
    }
}

/// Gives the first so many workers to the first generator, the next to the second, and so on; the rest of them to
/// `others`. Ends when all have ended.
#[must_use]
pub fn reserve(shares: Vec<(u32, Box<dyn Generator>)>, others: Box<dyn Generator>) -> Box<dyn Generator> {
    let mut start = 0_u32;
    let mut groups = Vec::with_capacity(shares.len() + 1);
    let mut branches = Vec::with_capacity(shares.len() + 1);
    for (count, generator) in shares {
        groups.push(start..start.saturating_add(count));
        branches.push(Branch::new(generator));
        start = start.saturating_add(count);
    }
    groups.push(start..u32::MAX);
    branches.push(Branch::new(others));
    Box::new(Reserve { groups, branches, free: Free::none(), first: 0 })
}

/// Only these worker slots.
#[must_use]
pub fn on_clients(slots: Range<u32>, generator: Box<dyn Generator>) -> Box<dyn Generator> {
    let branches = vec![Branch::new(generator)];
    Box::new(Reserve { groups: vec![slots], branches, free: Free::none(), first: 0 })
}

#[derive(Debug, Clone)]
struct Reserve {
    groups: Vec<Range<u32>>,
    branches: Vec<Branch>,
    /// Scratch: the free workers of one group.
    free: Free,
    /// Asked first, in turn: with all of them due at once, none may starve.
    first: usize,
}

/// How many of the workers visible in `ctx` are in `group`. Exact where no narrower combinator is outside, which is
/// how shares are used: a reserve inside another would have to know the outer one's slots.
fn size(group: &Range<u32>, ctx: &Context<'_>) -> u32 {
    let workers = u32::try_from(ctx.process_of.len()).unwrap_or(u32::MAX);
    (group.end.min(workers)).saturating_sub(group.start).min(ctx.clients)
}

impl Generator for Reserve {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        let mut soonest = Soonest::default();
        let count = self.branches.len();
        let first = self.first;
        self.first = (first + 1) % count;
        for index in (0..count).map(|offset| (first + offset) % count) {
            let Self { groups, branches, free, .. } = &mut *self;
            let group = &groups[index];
            free.refill(ctx.free, |slot| group.contains(&slot));
            let offer = branches[index].offer(&ctx.narrow(size(group, ctx), free));
            if soonest.consider(index, offer, ctx.time_ns) {
                break;
            }
        }
        soonest.step(self, |reserve| &mut reserve.branches)
    }

    fn update(mut self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator> {
        let Some(slot) = ctx.slot_of(event) else { return self };
        let Self { groups, branches, free, .. } = &mut *self;
        for (group, branch) in groups.iter().zip(branches).filter(|(group, _)| group.contains(&slot)) {
            free.refill(ctx.free, |slot| group.contains(&slot));
            source::update_in(&mut branch.generator, &ctx.narrow(size(group, ctx), free), event);
        }
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// Every client gets its own copy, and sees itself alone in it. Ends when all copies have.
#[must_use]
pub fn each_process(template: Box<dyn Generator>) -> Box<dyn Generator> {
    Box::new(EachProcess { template, copies: Vec::new() })
}

#[derive(Debug, Clone)]
struct EachProcess {
    template: Box<dyn Generator>,
    copies: Vec<Branch>,
}

impl EachProcess {
    fn copy_of(&mut self, client: u32) -> &mut Branch {
        while self.copies.len() <= client as usize {
            self.copies.push(Branch::new(self.template.clone_box()));
        }
        &mut self.copies[client as usize]
    }
}

impl Generator for EachProcess {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        let mut soonest = Soonest::default();
        for client in ctx.free.iter() {
            let free = Free::only(client);
            let offer = self.copy_of(client).offer(&ctx.narrow(1, &free));
            if soonest.consider(client as usize, offer, ctx.time_ns) {
                break;
            }
        }
        // A busy client may have more to do when it comes back.
        soonest.anybody_left |= ctx.free.len() < ctx.clients as usize;
        soonest.step(self, |each| &mut each.copies)
    }

    fn update(mut self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator> {
        if let Some(slot) = ctx.slot_of(event) {
            let (free, none) = (Free::only(slot), Free::none());
            let free = if ctx.free.contains(slot) { &free } else { &none };
            let copy = self.copy_of(slot);
            source::update_in(&mut copy.generator, &ctx.narrow(1, free), event);
        }
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

/// Whichever of these has the soonest operation; the one asked first changes in turn, so that generators with
/// operations always due share evenly. Ends when all have ended.
///
/// They share all workers: what the others would have done is asked anew afterwards, by then perhaps for another
/// worker. That takes a copy of each per operation, so `any` is for the top of a stack and small generators (a
/// nemesis beside clients), not for the path of a hundred thousand operations per second.
#[must_use]
pub fn any(branches: Vec<Box<dyn Generator>>) -> Box<dyn Generator> {
    Box::new(Any { branches, first: 0 })
}

#[derive(Debug, Clone)]
struct Any {
    branches: Vec<Box<dyn Generator>>,
    first: usize,
}

impl Generator for Any {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        let count = self.branches.len();
        let mut best: Option<(usize, Op, u64, Box<dyn Generator>)> = None;
        let mut soonest = Soonest::default();
        for index in (0..count).map(|offset| (self.first + offset) % count) {
            let offer = match self.branches[index].clone_box().next(ctx) {
                Step::Op { op, time_ns, next } => {
                    if best.as_ref().is_none_or(|(_, _, best_ns, _)| time_ns < *best_ns) {
                        best = Some((index, op, time_ns, next));
                    }
                    Offer::At(time_ns)
                }
                // Kept: a generator may start its clock when it is first asked.
                Step::Pending { until_ns, next } => {
                    self.branches[index] = next;
                    Offer::Later(until_ns)
                }
                Step::Done => Offer::Done,
            };
            if soonest.consider(index, offer, ctx.time_ns) {
                break;
            }
        }
        match best {
            Some((index, op, time_ns, next)) => {
                self.branches[index] = next;
                self.first = (index + 1) % count;
                Step::Op { op, time_ns, next: self }
            }
            None if soonest.anybody_left => Step::Pending { until_ns: soonest.until_ns, next: self },
            None => Step::Done,
        }
    }

    fn update(mut self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator> {
        for branch in &mut self.branches {
            source::update_in(branch, ctx, event);
        }
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

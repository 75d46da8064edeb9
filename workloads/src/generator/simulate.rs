//! Runs a generator without threads, sockets or clock.

use std::{cmp::Reverse, collections::BinaryHeap, ops::RangeInclusive};

use schism_checker::history::{Event, EventType, OpError, Process};
use schism_seed::{Seed, Stream};

use super::{Context, Free, Generator, Step};
use crate::op::Op;

/// How imagined operations end: each takes as long as is drawn from a range, and ends `fail` or `info` with the given
/// probabilities, `ok` otherwise, with the invoked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latency {
    /// From invocation to completion.
    pub range_ns: RangeInclusive<u64>,
    /// So many in a thousand fail.
    pub fail_permille: u32,
    /// So many in a thousand end indeterminate.
    pub info_permille: u32,
}

impl Latency {
    /// Every operation takes this long and ends `ok`.
    #[must_use]
    pub const fn fixed(ns: u64) -> Self {
        Self { range_ns: ns..=ns, fail_permille: 0, info_permille: 0 }
    }
}

/// The history that this generator makes with this many clients, completions drawn from the stream `simulate`. The
/// generator has to end by itself: wrap it in [`op_limit`](super::op_limit) or [`time_limit`](super::time_limit).
///
/// # Panics
/// When the generator breaks its contract: it gives an operation to a busy client, or waits for an event while
/// nothing is in flight.
#[must_use]
pub fn simulate(generator: Box<dyn Generator>, clients: u32, latency: &Latency, seed: Seed) -> Vec<Event> {
    let mut world = World::new(clients, latency, seed);
    let mut generator = generator;
    loop {
        generator = match generator.next(&world.context()) {
            Step::Op { op, time_ns, next } => {
                let next = world.complete_until(next, time_ns);
                world.invoke(next, op)
            }
            Step::Pending { until_ns, next } => world.wait(next, until_ns),
            Step::Done => break,
        };
    }
    let _ended = world.complete_until(super::nothing(), u64::MAX);
    world.history
}

struct World<'a> {
    latency: &'a Latency,
    stream: Stream,
    time_ns: u64,
    clients: u32,
    free: Free,
    process_of: Vec<u32>,
    /// By completion time, then by order of invocation.
    in_flight: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// The completion each busy slot will have.
    outcomes: Vec<Option<Event>>,
    history: Vec<Event>,
}

impl<'a> World<'a> {
    fn new(clients: u32, latency: &'a Latency, seed: Seed) -> Self {
        Self {
            latency,
            stream: seed.stream("simulate"),
            time_ns: 0,
            clients,
            free: Free::all(clients),
            process_of: (0..clients).collect(),
            in_flight: BinaryHeap::new(),
            outcomes: vec![None; clients as usize],
            history: Vec::new(),
        }
    }

    fn context(&self) -> Context<'_> {
        Context { time_ns: self.time_ns, clients: self.clients, free: &self.free, process_of: &self.process_of }
    }

    fn record(&mut self, generator: Box<dyn Generator>, mut event: Event) -> Box<dyn Generator> {
        event.index = self.history.len() as u64;
        event.time_ns = self.time_ns;
        let next = generator.update(&self.context(), &event);
        self.history.push(event);
        next
    }

    fn invoke(&mut self, generator: Box<dyn Generator>, op: Op) -> Box<dyn Generator> {
        let slot = op.client;
        self.free.take(slot);
        let invocation = Event {
            index: 0,
            time_ns: 0,
            process: Process::Client(self.process_of[slot as usize]),
            kind: EventType::Invoke,
            f: op.f,
            value: op.value,
            error: None,
            node: op.node,
            is_final: op.is_final,
            order: None,
        };
        let span = self.latency.range_ns.end().saturating_sub(*self.latency.range_ns.start());
        let drawn_ns = self.latency.range_ns.start() + self.stream.below(span.saturating_add(1));
        let kind = self.draw_kind();
        let error = (kind != EventType::Ok).then(|| OpError { class: "simulated".into(), text: "".into() });
        self.outcomes[slot as usize] = Some(Event { kind, error, ..invocation.clone() });
        let due_ns = self.time_ns.saturating_add(drawn_ns);
        self.in_flight.push(Reverse((due_ns, self.history.len() as u64, slot)));
        self.record(generator, invocation)
    }

    fn draw_kind(&mut self) -> EventType {
        let drawn = self.stream.below(1_000) as u32;
        if drawn < self.latency.fail_permille {
            EventType::Fail
        } else if drawn < self.latency.fail_permille.saturating_add(self.latency.info_permille) {
            EventType::Info
        } else {
            EventType::Ok
        }
    }

    /// Completes what is due by `time_ns`, then moves the clock there if it is not past.
    fn complete_until(&mut self, mut generator: Box<dyn Generator>, time_ns: u64) -> Box<dyn Generator> {
        while let Some(&Reverse((due_ns, _, slot))) = self.in_flight.peek() {
            if due_ns > time_ns {
                break;
            }
            self.in_flight.pop();
            generator = self.complete(generator, due_ns, slot);
        }
        self.time_ns = self.time_ns.max(time_ns);
        generator
    }

    fn complete(&mut self, generator: Box<dyn Generator>, due_ns: u64, slot: u32) -> Box<dyn Generator> {
        self.time_ns = self.time_ns.max(due_ns);
        let completion = self.outcomes[slot as usize].take();
        let completion = completion.expect("a slot in flight has an outcome");
        let crashed = completion.kind == EventType::Info;
        self.free.put(slot);
        let next = self.record(generator, completion);
        if crashed {
            self.process_of[slot as usize] += self.clients;
        }
        next
    }

    /// Moves to the next completion or to `until_ns`, whichever is first.
    fn wait(&mut self, generator: Box<dyn Generator>, until_ns: Option<u64>) -> Box<dyn Generator> {
        let due_ns = self.in_flight.peek().map(|&Reverse((due_ns, ..))| due_ns);
        let next_ns = super::earlier(until_ns.map(|until_ns| until_ns.max(self.time_ns)), due_ns);
        let next_ns = next_ns.unwrap_or_else(|| panic!("waits for an event that cannot come: {generator:?}"));
        assert!(due_ns.is_some() || next_ns > self.time_ns, "waits for a moment that is past: {generator:?}");
        self.complete_until(generator, next_ns)
    }
}

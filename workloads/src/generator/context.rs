//! What a generator sees of the world: time and who is free, as plain data.

use std::collections::VecDeque;

use schism_checker::history::{Event, Process};

/// The moment at which a generator is asked.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Monotonic nanoseconds since the run started.
    pub time_ns: u64,
    /// How many workers this generator may use: all, unless a combinator such as [`reserve`](super::reserve) narrowed
    /// it. Slots are not renumbered by narrowing.
    pub clients: u32,
    /// The free ones among them, longest idle first.
    pub free: &'a Free,
    /// The process that each worker slot runs now; never narrowed.
    pub process_of: &'a [u32],
}

impl<'a> Context<'a> {
    /// The same moment as seen by a generator that may use only these workers.
    #[must_use]
    pub const fn narrow(&self, clients: u32, free: &'a Free) -> Self {
        Self { time_ns: self.time_ns, clients, free, process_of: self.process_of }
    }

    /// The worker slot that an event of a client belongs to; `None` for the side channels.
    #[must_use]
    pub fn slot_of(&self, event: &Event) -> Option<u32> {
        let workers = u32::try_from(self.process_of.len()).ok().filter(|&workers| workers > 0)?;
        match event.process {
            Process::Client(process) => Some(process % workers),
            Process::Nemesis | Process::Monitor | Process::Harness => None,
        }
    }
}

/// Free worker slots, longest idle first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Free(Slots);

/// One slot is the case of [`each_process`](super::each_process) and [`mix`](super::mix), once per operation: it
/// must not allocate.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slots {
    One(u32),
    Queue(VecDeque<u32>),
}

impl Free {
    /// All of `0..clients`, in order.
    #[must_use]
    pub fn all(clients: u32) -> Self {
        Self(Slots::Queue((0..clients).collect()))
    }

    /// Nobody.
    #[must_use]
    pub const fn none() -> Self {
        Self(Slots::Queue(VecDeque::new()))
    }

    /// This one alone. Does not allocate.
    #[must_use]
    pub const fn only(slot: u32) -> Self {
        Self(Slots::One(slot))
    }

    /// The slot that has been idle longest.
    #[must_use]
    pub fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    /// All free slots, longest idle first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (front, back) = match &self.0 {
            Slots::One(slot) => (std::slice::from_ref(slot), &[][..]),
            Slots::Queue(queue) => queue.as_slices(),
        };
        front.iter().chain(back).copied()
    }

    /// Whether this slot is free.
    #[must_use]
    pub fn contains(&self, slot: u32) -> bool {
        self.iter().any(|free| free == slot)
    }

    /// How many are free.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Slots::One(_) => 1,
            Slots::Queue(queue) => queue.len(),
        }
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot begins an operation.
    ///
    /// # Panics
    /// When it is not free: an operation given to a busy worker is a bug of a generator or of the loop.
    pub fn take(&mut self, slot: u32) {
        let queue = self.queue();
        let position = queue.iter().position(|&free| free == slot);
        let taken = position.and_then(|position| queue.remove(position));
        assert!(taken.is_some(), "client {slot} was given an operation while it is busy");
    }

    /// The slot's operation completed.
    ///
    /// # Panics
    /// When it is free already: an operation that completes twice is a bug of the loop.
    pub fn put(&mut self, slot: u32) {
        assert!(!self.contains(slot), "client {slot} completed an operation that it did not have");
        self.queue().push_back(slot);
    }

    /// Keeps what `from` has and `wanted` allows, in the same order, reusing memory.
    pub(crate) fn refill(&mut self, from: &Self, wanted: impl Fn(u32) -> bool) {
        let queue = self.queue();
        queue.clear();
        queue.extend(from.iter().filter(|&slot| wanted(slot)));
    }

    fn queue(&mut self) -> &mut VecDeque<u32> {
        if let Slots::One(slot) = self.0 {
            self.0 = Slots::Queue(VecDeque::from([slot]));
        }
        match &mut self.0 {
            Slots::Queue(queue) => queue,
            Slots::One(_) => unreachable!("it was turned into a queue above"),
        }
    }
}

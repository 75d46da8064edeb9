//! Searches an order of one key's operations: Wing & Gong, "Testing and verifying concurrent objects" (1993), with the
//! just-in-time order and the memoisation of Lowe, "Testing for linearizability" (2017).
//!
//! The history is gone through event by event. A call makes its operation *pending*. At a return whose operation is not
//! yet linearized, and only there, pending operations are linearized, one after the other, until it is among them; each
//! choice is a frame of an explicit stack, to come back to. A *configuration* is where in the history we are, the state,
//! which of the pending operations are linearized, and how many indeterminate ones were used: never a set over the
//! whole history. A configuration met before led nowhere, and so does one that used more than one met before.
//!
//! Six rules make the search small. Each keeps at least one linearization if there is any.
//!
//! 1. *A read that is possible is linearized at once.* It does not change the state, so in any linearization that
//!    continues from here it can be moved to this point: it is pending already, and everything else stays in order.
//! 2. *Of pending operations that do the same, the one that returns first goes first.* In a linearization that has the
//!    other one first, exchange the two: both are pending now; the one returning first moves to an earlier place, and
//!    the other to a place which is before the first one's return, hence before its own. An indeterminate operation
//!    returns last of all.
//! 3. *An indeterminate operation is used only where its value is observed next*: by a read (rule 1) or by a
//!    compare-and-set. Otherwise the next operation is a write, which does not need it; leave it out.
//! 4. *Where the operation that returns needs a value that no pending operation and no indeterminate one produces*, and
//!    it is not there, nothing helps: operations invoked later come too late.
//! 5. *A value that completed operations still have to observe is not left if nothing is left that produces it.*
//! 6. *Before a write, every pending completed write goes whose value nobody left can observe.* In a linearization that
//!    has it later, move it to just before this write, which hides it; where it stood, nobody observed it, so what came
//!    next was a write and is possible without it.
//!
//! Not here: independent keys (`partition`), and keys of which every value is produced once at most (`zones`).

use std::fmt;

use rustc_hash::FxHashMap;

use super::{
    memo::{Class, Memo, UsedSet, intern, use_one},
    model::{Model, RegisterOp, ValueId},
    partition::{Call, NEVER, events},
};

/// What a search may cost: counted in work, so that the answer does not depend on the machine's speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Choices tried and events passed.
    pub(crate) steps: u64,
    /// What the configurations remembered may take.
    pub(crate) memo_bytes: usize,
}

/// How a search ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A linearization: positions in `calls`.
    Linearizable(Vec<u32>),
    /// There is none. No attempt came past the return of this call; what it contradicts may come later, for the search
    /// looks ahead (rule 5).
    NotLinearizable {
        /// Position in `calls`.
        stuck_at: u32,
    },
    /// Not decided.
    OutOfBudget {
        /// Of what there was too little.
        shortage: Shortage,
        /// Position in `calls`: no attempt came past its return so far.
        stuck_at: u32,
    },
}

/// Why a search gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// More steps were needed than so many.
    Steps(u64),
    /// More memory was needed than so many bytes.
    Memory(usize),
    /// More operations were in flight at once than so many.
    Slots(usize),
}

impl fmt::Display for Shortage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps(steps) => write!(out, "more than {steps} steps"),
            Self::Memory(bytes) => write!(out, "configurations of more than {} MB", bytes / 1_000_000),
            Self::Slots(slots) => write!(out, "more than {slots} operations are in flight at once"),
        }
    }
}

/// Searches a linearization of `calls`, which are ordered by invocation, from the state `initial`. Gives the steps taken
/// too.
pub(crate) fn search<M>(model: &M, initial: ValueId, calls: &[Call], allowance: Allowance) -> (Answer, u64)
where
    M: Model<State = ValueId, Op = RegisterOp>,
{
    let prepared = Prepared::of(calls);
    match prepared.slots {
        0..=64 => Search::<M, 1>::new(model, initial, calls, &prepared, allowance).run(),
        65..=256 => Search::<M, 4>::new(model, initial, calls, &prepared, allowance).run(),
        257..=1024 => Search::<M, 16>::new(model, initial, calls, &prepared, allowance).run(),
        _ => (Answer::OutOfBudget { shortage: Shortage::Slots(1024), stuck_at: 0 }, 0),
    }
}

struct Prepared {
    /// Calls and returns in order: position in `calls` * 2, + 1 for a return.
    events: Vec<u32>,
    /// The place of a call among those pending with it; given again after its return. Not used if it never returns.
    slot: Vec<u16>,
    slots: usize,
    class: Vec<Class>,
    /// By class, its indeterminate calls by invocation.
    indeterminate: Vec<Vec<u32>>,
    /// Classes with indeterminate calls, by the value they produce.
    producers: Vec<Vec<Class>>,
    class_op: Vec<RegisterOp>,
    /// By value, the position of the last event at which it may be observed; 0 if it never is.
    last_observed: Vec<u32>,
    /// By value: how many completed calls observe it, how many calls of any kind do, and how many produce it.
    uses: Vec<Uses>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Uses {
    must_observe: u32,
    may_observe: u32,
    produce: u32,
}

impl Prepared {
    fn of(calls: &[Call]) -> Self {
        let events = events(calls.iter().map(|call| (call.invoke, call.ret)));

        let mut classes: FxHashMap<RegisterOp, Class> = FxHashMap::default();
        let mut prepared = Self {
            events: Vec::new(),
            slot: vec![0; calls.len()],
            slots: 0,
            class: Vec::with_capacity(calls.len()),
            indeterminate: Vec::new(),
            producers: Vec::new(),
            class_op: Vec::new(),
            last_observed: Vec::new(),
            uses: Vec::new(),
        };
        for call in calls {
            for value in [call.op.observes(), call.op.produces()].into_iter().flatten() {
                if prepared.uses.len() <= value as usize {
                    prepared.uses.resize(value as usize + 1, Uses::default());
                }
            }
            count_uses(&mut prepared.uses, call, 1);
        }
        prepared.producers.resize(prepared.uses.len(), Vec::new());
        prepared.last_observed.resize(prepared.uses.len(), 0);
        for (at, call) in (0_u32..).zip(calls) {
            let class = *classes.entry(call.op).or_insert(prepared.class_op.len() as Class);
            if class as usize == prepared.class_op.len() {
                prepared.class_op.push(call.op);
                prepared.indeterminate.push(Vec::new());
            }
            prepared.class.push(class);
            if call.ret == NEVER {
                let of_class = &mut prepared.indeterminate[class as usize];
                if let (true, Some(value)) = (of_class.is_empty(), call.op.produces()) {
                    prepared.producers[value as usize].push(class);
                }
                of_class.push(at);
            }
        }
        let mut free: Vec<u16> = Vec::new();
        for (position, event) in (0_u32..).zip(&events) {
            let at = (event / 2) as usize;
            let call = &calls[at];
            if let Some(value) = call.op.observes() {
                let last = &mut prepared.last_observed[value as usize];
                *last = if call.ret == NEVER { NEVER } else { position.max(*last) };
            }
            if event % 2 == 1 {
                free.push(prepared.slot[at]);
            } else if call.ret != NEVER {
                prepared.slot[at] = free.pop().unwrap_or_else(|| {
                    prepared.slots += 1;
                    (prepared.slots - 1).min(usize::from(u16::MAX)) as u16
                });
            }
        }
        prepared.events = events;
        prepared
    }
}

/// Adds a call to the uses of its values, or with -1 takes it away.
fn count_uses(uses: &mut [Uses], call: &Call, by: i32) {
    if let Some(of) = call.op.observes().and_then(|value| uses.get_mut(value as usize)) {
        of.may_observe = of.may_observe.wrapping_add_signed(by);
        if call.ret != NEVER {
            of.must_observe = of.must_observe.wrapping_add_signed(by);
        }
    }
    if let Some(of) = call.op.produces().and_then(|value| uses.get_mut(value as usize)) {
        of.produce = of.produce.wrapping_add_signed(by);
    }
}

/// A point to which the search may come back.
#[derive(Clone, Copy)]
struct Frame<const W: usize> {
    configuration: Configuration<W>,
    order_len: u32,
    /// The next candidate to try.
    next: u32,
    /// Where its list begins among the candidates; [`NEVER`]: it is not made yet.
    listed_from: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Configuration<const W: usize> {
    /// Position among the events: a return.
    position: u32,
    state: ValueId,
    /// Pending operations that are linearized, by slot.
    linearized: [u64; W],
    /// Which indeterminate operations were used: an index into `used_sets`.
    used: u32,
    /// The last operation was indeterminate and nobody has observed it yet (rule 3).
    unobserved: bool,
}

struct Search<'c, M, const W: usize> {
    model: &'c M,
    calls: &'c [Call],
    prepared: &'c Prepared,
    allowance: Allowance,
    steps: u64,
    now: Configuration<W>,
    /// The pending call of each slot.
    occupant: Vec<u32>,
    occupied: [u64; W],
    /// By class: how many of its indeterminate calls were invoked so far.
    invoked: Vec<u32>,
    order: Vec<u32>,
    /// Of the calls that are not linearized yet, whether invoked or not.
    uses: Vec<Uses>,
    frames: Vec<Frame<W>>,
    memo: Memo<Configuration<W>>,
    /// Each a sorted list of (class, how many of it were used).
    used_sets: Vec<UsedSet>,
    used_ids: FxHashMap<UsedSet, u32>,
    /// Those of the frames that have a list of them, one list after the other.
    candidates: Vec<u32>,
}

impl<'c, M, const W: usize> Search<'c, M, W>
where
    M: Model<State = ValueId, Op = RegisterOp>,
{
    fn new(model: &'c M, initial: ValueId, calls: &'c [Call], prepared: &'c Prepared, allowance: Allowance) -> Self {
        Self {
            model,
            calls,
            prepared,
            allowance,
            steps: 0,
            now: Configuration { position: 0, state: initial, linearized: [0; W], used: 0, unobserved: false },
            occupant: vec![0; prepared.slots],
            occupied: [0; W],
            invoked: vec![0; prepared.class_op.len()],
            order: Vec::with_capacity(calls.len()),
            uses: prepared.uses.clone(),
            frames: Vec::new(),
            memo: Memo::default(),
            used_sets: vec![Box::default()],
            used_ids: FxHashMap::from_iter([(Box::default(), 0)]),
            candidates: Vec::new(),
        }
    }

    fn run(mut self) -> (Answer, u64) {
        // A hash table is at worst less than half full, and has its old half beside it while it grows.
        let entries_max = self.allowance.memo_bytes / (3 * Memo::<Configuration<W>>::ENTRY_BYTES);
        let mut deepest = 0;
        let mut stuck_at = 0;
        loop {
            // On, to the next return that needs a choice.
            let Some(blocked) = self.advance() else { return (Answer::Linearizable(self.order), self.steps) };
            if self.now.position >= deepest {
                (deepest, stuck_at) = (self.now.position, blocked);
            }
            if self.memo.insert(Configuration { used: 0, ..self.now }, self.now.used, &self.used_sets) {
                let order_len = self.order.len() as u32;
                self.frames.push(Frame { configuration: self.now, order_len, next: 0, listed_from: NEVER });
            }
            if self.memo.len() + self.used_sets.len() > entries_max {
                let shortage = Shortage::Memory(self.allowance.memo_bytes);
                return (Answer::OutOfBudget { shortage, stuck_at }, self.steps);
            }
            // The next choice that is left.
            loop {
                if self.steps > self.allowance.steps {
                    let shortage = Shortage::Steps(self.allowance.steps);
                    return (Answer::OutOfBudget { shortage, stuck_at }, self.steps);
                }
                let Some(frame) = self.frames.last_mut() else {
                    return (Answer::NotLinearizable { stuck_at }, self.steps);
                };
                let (target, next) = (*frame, frame.next as usize);
                frame.next += 1;
                self.back_to(&target);
                if let Some(candidate) = self.candidate(next) {
                    self.linearize(candidate);
                    break;
                }
                if let Some(frame) = self.frames.pop() {
                    self.candidates.truncate(frame.listed_from as usize);
                }
            }
        }
    }

    /// Passes calls, and returns of what is linearized. Gives the call at whose return a choice is needed; `None` at
    /// the end.
    fn advance(&mut self) -> Option<u32> {
        while let Some(event) = self.prepared.events.get(self.now.position as usize) {
            let at = event / 2;
            let call = &self.calls[at as usize];
            let slot = usize::from(self.prepared.slot[at as usize]);
            let (word, mask) = (slot / 64, 1_u64 << (slot % 64));
            if event % 2 == 0 {
                if call.ret == NEVER {
                    self.invoked[self.prepared.class[at as usize] as usize] += 1;
                } else {
                    self.occupant[slot] = at;
                    self.occupied[word] |= mask;
                    if call.op == RegisterOp::Read(self.now.state) {
                        self.now.linearized[word] |= mask;
                        self.place(at);
                    }
                }
            } else {
                if self.now.linearized[word] & mask == 0 {
                    return Some(at);
                }
                self.now.linearized[word] &= !mask;
                self.occupied[word] &= !mask;
            }
            self.now.position += 1;
            self.steps += 1;
        }
        None
    }

    /// Undoes everything since a frame.
    fn back_to(&mut self, frame: &Frame<W>) {
        while self.now.position > frame.configuration.position {
            self.now.position -= 1;
            let event = self.prepared.events[self.now.position as usize];
            let at = event / 2;
            let slot = usize::from(self.prepared.slot[at as usize]);
            let (word, mask) = (slot / 64, 1_u64 << (slot % 64));
            if event % 2 == 1 {
                self.occupant[slot] = at;
                self.occupied[word] |= mask;
            } else if self.calls[at as usize].ret == NEVER {
                self.invoked[self.prepared.class[at as usize] as usize] -= 1;
            } else {
                self.occupied[word] &= !mask;
            }
        }
        self.now = frame.configuration;
        for at in self.order.drain(frame.order_len as usize..) {
            count_uses(&mut self.uses, &self.calls[at as usize], 1);
        }
    }

    /// Puts a call at the end of the order.
    fn place(&mut self, at: u32) {
        self.order.push(at);
        count_uses(&mut self.uses, &self.calls[at as usize], -1);
    }

    /// Pending calls that are not linearized, by slot: those of one word.
    fn open(&self, word: usize) -> u64 {
        self.occupied[word] & !self.now.linearized[word]
    }

    /// Rule 5: whether `op` leaves a value that is still needed and never comes back.
    fn strands(&self, op: RegisterOp) -> bool {
        let state = self.now.state;
        let Some(of) = self.uses.get(state as usize) else { return false };
        let observes = u32::from(op.observes() == Some(state));
        op.produces().is_some_and(|value| value != state) && of.must_observe > observes && of.produce == 0
    }

    /// Linearizes a pending call, and every read that it makes possible.
    fn linearize(&mut self, at: u32) {
        self.steps += 1;
        let call = &self.calls[at as usize];
        let indeterminate = call.ret == NEVER;
        if matches!(call.op, RegisterOp::Write(_)) {
            self.linearize_hidden_writes(at);
        }
        self.place(at);
        if indeterminate {
            self.now.used = self.use_one(self.prepared.class[at as usize]);
        } else {
            let slot = usize::from(self.prepared.slot[at as usize]);
            self.now.linearized[slot / 64] |= 1 << (slot % 64);
        }
        if let Some(state) = self.model.step(self.now.state, call.op) {
            self.now.state = state;
        }
        let before = self.order.len();
        for word in 0..W {
            let mut rest = self.open(word);
            while rest != 0 {
                let slot = word * 64 + rest.trailing_zeros() as usize;
                rest &= rest - 1;
                if self.calls[self.occupant[slot] as usize].op == RegisterOp::Read(self.now.state) {
                    self.now.linearized[word] |= 1 << (slot % 64);
                    self.place(self.occupant[slot]);
                }
            }
        }
        self.now.unobserved = indeterminate && self.order.len() == before;
    }

    /// Rule 6, before the write `except`.
    fn linearize_hidden_writes(&mut self, except: u32) {
        for word in 0..W {
            let mut rest = self.open(word);
            while rest != 0 {
                let slot = word * 64 + rest.trailing_zeros() as usize;
                rest &= rest - 1;
                let at = self.occupant[slot];
                if let RegisterOp::Write(value) = self.calls[at as usize].op
                    && at != except
                    && self.uses.get(value as usize).is_some_and(|uses| uses.may_observe == 0)
                {
                    self.now.linearized[word] |= 1 << (slot % 64);
                    self.place(at);
                }
            }
        }
    }

    /// The used set with one more of `class`. Classes whose value can be observed no more are left out: whether they
    /// were used makes no difference from here on.
    fn use_one(&mut self, class: Class) -> u32 {
        let used = use_one(&self.used_sets[self.now.used as usize], class, |class| {
            let value = self.prepared.class_op[class as usize].produces();
            value.is_some_and(|value| self.prepared.last_observed[value as usize] >= self.now.position.max(1))
        });
        intern(used, &mut self.used_sets, &mut self.used_ids)
    }

    /// The candidate number `next` of the configuration we are in, which is that of the last frame.
    fn candidate(&mut self, next: usize) -> Option<u32> {
        let blocked = self.prepared.events[self.now.position as usize] / 2;
        let op = self.calls[blocked as usize].op;
        let possible = self.model.step(self.now.state, op).is_some() && self.may_follow(op) && !self.strands(op);
        if next == 0 && possible {
            // Nearly always right, and found without a look at the others.
            return Some(blocked);
        }
        let frame = self.frames.last_mut()?;
        if frame.listed_from == NEVER {
            frame.listed_from = self.candidates.len() as u32;
            let list = self.list_candidates(blocked, possible);
            self.candidates.extend(list);
        }
        let from = self.frames.last()?.listed_from as usize;
        self.candidates.get(from + next).copied()
    }

    /// Rule 3: after an indeterminate operation that no read has observed, only what observes it.
    fn may_follow(&self, op: RegisterOp) -> bool {
        !self.now.unobserved || op.observes() == Some(self.now.state)
    }

    fn list_candidates(&self, blocked: u32, possible: bool) -> Vec<u32> {
        let mut list = Vec::new();
        let wanted = self.calls[blocked as usize].op.observes().filter(|value| *value != self.now.state);
        // Values that would be observed at once, and the classes seen (rule 2).
        let mut observable: Vec<ValueId> = Vec::new();
        let mut seen: Vec<Class> = Vec::new();
        for word in 0..W {
            let mut rest = self.open(word);
            while rest != 0 {
                let at = self.occupant[word * 64 + rest.trailing_zeros() as usize];
                rest &= rest - 1;
                let call = &self.calls[at as usize];
                if let Some(value) = call.op.observes()
                    && !observable.contains(&value)
                {
                    observable.push(value);
                }
                let class = self.prepared.class[at as usize];
                if call.op.produces().is_none() {
                    continue;
                }
                match seen.iter().position(|known| *known == class) {
                    None => {
                        seen.push(class);
                        list.push(at);
                    }
                    Some(known) if call.ret < self.calls[list[known] as usize].ret => list[known] = at,
                    Some(_) => {}
                }
            }
        }
        // Of the indeterminate ones, those that produce such a value, or the value that another such one expects.
        let used = &self.used_sets[self.now.used as usize];
        let mut next = 0;
        while let Some(value) = observable.get(next).copied() {
            next += 1;
            for class in &self.prepared.producers[value as usize] {
                let times = used.binary_search_by_key(class, |(known, _)| *known).map_or(0, |at| used[at].1);
                if times >= self.invoked[*class as usize] {
                    continue;
                }
                let op = self.prepared.class_op[*class as usize];
                if let Some(old) = op.observes()
                    && !observable.contains(&old)
                {
                    observable.push(old);
                }
                if !seen.contains(class) {
                    seen.push(*class);
                    list.push(self.prepared.indeterminate[*class as usize][times as usize]);
                }
            }
        }
        // Rule 4.
        if let Some(value) = wanted
            && !list.iter().any(|at| self.calls[*at as usize].op.produces() == Some(value))
        {
            list.clear();
        }
        list.retain(|at| {
            let call = &self.calls[*at as usize];
            match self.model.step(self.now.state, call.op) {
                None => false,
                Some(_) if self.strands(call.op) => false,
                // One that changes nothing is not observed.
                Some(state) if call.ret == NEVER => state != self.now.state && self.may_follow(call.op),
                Some(_) => self.may_follow(call.op),
            }
        });
        // The one that returns is in the list unless one of its class returns at the same time, which cannot be.
        list.sort_by_key(|at| {
            let call = &self.calls[*at as usize];
            (*at != blocked || !possible, wanted.is_none() || call.op.produces() != wanted, call.ret, *at)
        });
        list
    }
}

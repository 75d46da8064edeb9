//! Any model: Wing & Gong, "Testing and verifying concurrent objects" (1993), with the just-in-time order and the
//! memoisation of Lowe, "Testing for linearizability" (2017). Registers have a search of their own (`search`), which knows
//! more of them.
//!
//! The history is gone through event by event. At the return of a call that is not yet linearized, and only there, pending
//! calls are linearized, one after the other, until it is among them; each choice is a frame of an explicit stack.
//!
//! Three rules keep at least one linearization if there is any:
//!
//! 1. *A read that is possible is linearized at once*: it changes nothing, so it can be moved here from later on.
//! 2. *Of pending calls that are the same, the one that returns first goes first*: exchange the two. An indeterminate call
//!    returns last of all.
//! 3. *An indeterminate call that changes nothing is left out*: it may never have happened.
//!
//! And of two configurations that differ only in the indeterminate calls used, the one that used fewer can do whatever the
//! other can (`memo`).

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::{
    memo::{Class, Memo, UsedSet, intern, use_one},
    models::{Model, ModelOp, text},
    partition::{NEVER, events},
    search::{Allowance, Answer, Shortage},
};

/// One operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'h> {
    pub(crate) op: ModelOp<'h>,
    /// Event index of the invocation.
    pub(crate) invoke: u32,
    /// Event index of the ok completion; [`NEVER`]: it is indeterminate.
    pub(crate) ret: u32,
    /// The operation in the history.
    pub(crate) id: u32,
}

/// Calls in flight at once that are told apart.
const SLOTS_MAX: usize = 256;

type Bits = [u64; SLOTS_MAX / 64];

/// An index into the states met.
type StateId = u32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Configuration {
    /// Position among the events: a return.
    position: u32,
    state: StateId,
    /// Pending calls that are linearized, by slot.
    linearized: Bits,
}

struct Frame {
    configuration: Configuration,
    used: u32,
    order_len: usize,
    candidates: Vec<(u32, StateId)>,
}

/// Searches a linearization of calls that are ordered by invocation. Gives the steps taken too.
pub(crate) fn search<M: Model>(model: &M, calls: &[Call<'_>], allowance: Allowance) -> (Answer, u64) {
    let Some(search) = Search::new(model, calls, allowance) else {
        return (Answer::OutOfBudget { shortage: Shortage::Slots(SLOTS_MAX), stuck_at: 0 }, 0);
    };
    search.run()
}

struct Search<'c, M: Model> {
    model: &'c M,
    calls: &'c [Call<'c>],
    allowance: Allowance,
    /// Calls and returns in order: position in `calls` * 2, + 1 for a return.
    events: Vec<u32>,
    /// The place of a call among those pending with it. Not used if it never returns.
    slot: Vec<u8>,
    class: Vec<Class>,
    /// By class, its indeterminate calls by invocation.
    indeterminate: BTreeMap<Class, Vec<u32>>,
    states: Vec<M::State>,
    state_ids: FxHashMap<M::State, StateId>,
    /// What both take.
    states_bytes: usize,
    steps: u64,
    now: Configuration,
    used: u32,
    /// The pending call of each slot.
    occupant: [u32; SLOTS_MAX],
    occupied: Bits,
    order: Vec<u32>,
    memo: Memo<Configuration>,
    used_sets: Vec<UsedSet>,
    used_ids: FxHashMap<UsedSet, u32>,
}

impl<'c, M: Model> Search<'c, M> {
    /// `None`: too many calls are in flight at once.
    fn new(model: &'c M, calls: &'c [Call<'c>], allowance: Allowance) -> Option<Self> {
        let events = events(calls.iter().map(|call| (call.invoke, call.ret)));
        let mut classes: FxHashMap<(&str, String, bool, u32), Class> = FxHashMap::default();
        let mut class = Vec::with_capacity(calls.len());
        let mut indeterminate: BTreeMap<Class, Vec<u32>> = BTreeMap::new();
        for (at, call) in (0_u32..).zip(calls) {
            let next = classes.len() as Class;
            let process = if model.is_about_processes() { call.op.process } else { 0 };
            let same = (call.op.f, text(call.op.value), call.op.is_ok, process);
            let of = *classes.entry(same).or_insert(next);
            class.push(of);
            if call.ret == NEVER {
                indeterminate.entry(of).or_default().push(at);
            }
        }
        let mut slot = vec![0; calls.len()];
        let (mut free, mut slots): (Vec<u8>, usize) = (Vec::new(), 0);
        for event in &events {
            let at = (event / 2) as usize;
            if event % 2 == 1 {
                free.push(slot[at]);
            } else if calls[at].ret != NEVER {
                slot[at] = match free.pop() {
                    Some(free) => free,
                    None => {
                        slots += 1;
                        u8::try_from(slots - 1).ok()?
                    }
                };
            }
        }
        let initial = M::State::default();
        Some(Self {
            model,
            calls,
            allowance,
            events,
            slot,
            class,
            indeterminate,
            state_ids: FxHashMap::from_iter([(initial.clone(), 0)]),
            states: vec![initial],
            states_bytes: 0,
            steps: 0,
            now: Configuration { position: 0, state: 0, linearized: Bits::default() },
            used: 0,
            occupant: [0; SLOTS_MAX],
            occupied: Bits::default(),
            order: Vec::new(),
            memo: Memo::default(),
            used_sets: vec![UsedSet::default()],
            used_ids: FxHashMap::from_iter([(UsedSet::default(), 0)]),
        })
    }

    fn run(mut self) -> (Answer, u64) {
        let mut frames: Vec<Frame> = Vec::new();
        let (mut deepest, mut stuck_at) = (0, 0);
        loop {
            let Some(blocked) = self.advance() else { return (Answer::Linearizable(self.order), self.steps) };
            if self.now.position >= deepest {
                (deepest, stuck_at) = (self.now.position, blocked);
            }
            let set = &self.used_sets;
            if self.memo.insert(self.now, self.used, set) {
                let candidates = self.candidates(blocked);
                let (configuration, used, order_len) = (self.now, self.used, self.order.len());
                frames.push(Frame { configuration, used, order_len, candidates });
            }
            // A hash table is at worst less than half full, and has its old half beside it while it grows.
            let memo_bytes = 3 * Memo::<Configuration>::ENTRY_BYTES * (self.memo.len() + self.used_sets.len());
            let shortage = if memo_bytes + self.states_bytes > self.allowance.memo_bytes {
                Some(Shortage::Memory(self.allowance.memo_bytes))
            } else if self.steps > self.allowance.steps {
                Some(Shortage::Steps(self.allowance.steps))
            } else {
                None
            };
            if let Some(shortage) = shortage {
                return (Answer::OutOfBudget { shortage, stuck_at }, self.steps);
            }
            // The next choice that is left.
            loop {
                let Some(frame) = frames.last_mut() else { return (Answer::NotLinearizable { stuck_at }, self.steps) };
                let (configuration, used, order_len) = (frame.configuration, frame.used, frame.order_len);
                // The best comes last.
                let choice = frame.candidates.pop();
                self.back_to(configuration);
                self.used = used;
                self.order.truncate(order_len);
                let Some((at, state)) = choice else {
                    frames.pop();
                    continue;
                };
                self.linearize(at, state);
                break;
            }
        }
    }

    fn bit(&self, at: u32) -> (usize, u64) {
        let slot = usize::from(self.slot[at as usize]);
        (slot / 64, 1 << (slot % 64))
    }

    /// Passes calls, and returns of what is linearized. Gives the call at whose return a choice is needed; `None` at the
    /// end.
    fn advance(&mut self) -> Option<u32> {
        while let Some(event) = self.events.get(self.now.position as usize) {
            let at = event / 2;
            let (word, mask) = self.bit(at);
            if event % 2 == 1 {
                if self.now.linearized[word] & mask == 0 {
                    return Some(at);
                }
                self.now.linearized[word] &= !mask;
                self.occupied[word] &= !mask;
            } else if self.calls[at as usize].ret != NEVER {
                self.occupant[usize::from(self.slot[at as usize])] = at;
                self.occupied[word] |= mask;
                self.read_now(at);
            }
            self.now.position += 1;
            self.steps += 1;
        }
        None
    }

    /// Rule 1.
    fn read_now(&mut self, at: u32) {
        let op = &self.calls[at as usize].op;
        if self.model.is_read(op) && !self.after(self.now.state, at).is_empty() {
            let (word, mask) = self.bit(at);
            self.now.linearized[word] |= mask;
            self.order.push(at);
        }
    }

    /// Undoes the events since a configuration.
    fn back_to(&mut self, configuration: Configuration) {
        while self.now.position > configuration.position {
            self.now.position -= 1;
            let event = self.events[self.now.position as usize];
            let at = event / 2;
            let (word, mask) = self.bit(at);
            if event % 2 == 1 {
                self.occupant[usize::from(self.slot[at as usize])] = at;
                self.occupied[word] |= mask;
            } else if self.calls[at as usize].ret != NEVER {
                self.occupied[word] &= !mask;
            }
        }
        self.now = configuration;
    }

    /// The states that a call may leave behind.
    fn after(&mut self, state: StateId, at: u32) -> Vec<StateId> {
        self.steps += 1;
        let mut next = Vec::new();
        self.model.step(&self.states[state as usize], &self.calls[at as usize].op, &mut next);
        next.into_iter()
            .map(|state| {
                let id = self.states.len() as StateId;
                *self.state_ids.entry(state).or_insert_with_key(|state| {
                    self.states.push(state.clone());
                    self.states_bytes += 4 * size_of::<M::State>() + 2 * self.model.heap_bytes(state);
                    id
                })
            })
            .collect()
    }

    fn open(&self) -> Vec<u32> {
        let mut open = Vec::new();
        for word in 0..self.occupied.len() {
            let mut rest = self.occupied[word] & !self.now.linearized[word];
            while rest != 0 {
                open.push(self.occupant[word * 64 + rest.trailing_zeros() as usize]);
                rest &= rest - 1;
            }
        }
        open
    }

    fn linearize(&mut self, at: u32, state: StateId) {
        self.order.push(at);
        self.now.state = state;
        if self.calls[at as usize].ret == NEVER {
            let class = self.class[at as usize];
            let used = use_one(&self.used_sets[self.used as usize], class, |_| true);
            self.used = intern(used, &mut self.used_sets, &mut self.used_ids);
        } else {
            let (word, mask) = self.bit(at);
            self.now.linearized[word] |= mask;
        }
        for at in self.open() {
            self.read_now(at);
        }
    }

    /// What may come next where `blocked` returns, the best last: with the state after it.
    fn candidates(&mut self, blocked: u32) -> Vec<(u32, StateId)> {
        // Rule 2: of each class, the first to return.
        let mut first: BTreeMap<Class, u32> = BTreeMap::new();
        for at in self.open() {
            let ret = self.calls[at as usize].ret;
            let best = first.entry(self.class[at as usize]).or_insert(at);
            if ret < self.calls[*best as usize].ret {
                *best = at;
            }
        }
        let mut calls: Vec<u32> = first.into_values().collect();
        calls.sort_by_key(|at| std::cmp::Reverse((*at != blocked, self.calls[*at as usize].ret)));
        // Indeterminate ones only after all others have been tried.
        let event = self.events[self.now.position as usize];
        let now = self.calls[(event / 2) as usize].ret;
        let used = &self.used_sets[self.used as usize];
        let mut tried: Vec<u32> = Vec::new();
        for (class, of_class) in &self.indeterminate {
            let times = used.binary_search_by_key(class, |(known, _)| *known).map_or(0, |at| used[at].1);
            tried.extend(of_class.get(times as usize).filter(|at| self.calls[**at as usize].invoke < now));
        }
        tried.extend(calls);
        let mut candidates = Vec::new();
        for at in tried {
            let is_indeterminate = self.calls[at as usize].ret == NEVER;
            for state in self.after(self.now.state, at) {
                // Rule 3.
                if !(is_indeterminate && state == self.now.state) {
                    candidates.push((at, state));
                }
            }
        }
        candidates
    }
}

/// Whether `order`, positions in `calls`, is a linearization. Shares nothing with the search but the model.
pub(crate) fn is_linearization<M: Model>(model: &M, calls: &[Call<'_>], order: &[u32]) -> bool {
    let mut seen = vec![false; calls.len()];
    let mut states = vec![M::State::default()];
    let mut latest_invoke = 0;
    for at in order {
        let Some(call) = calls.get(*at as usize) else { return false };
        if std::mem::replace(&mut seen[*at as usize], true) || call.ret < latest_invoke {
            return false;
        }
        latest_invoke = latest_invoke.max(call.invoke);
        if let [state] = &mut states[..]
            && let Some(is_possible) = model.apply(state, &call.op)
        {
            if !is_possible {
                return false;
            }
            continue;
        }
        // A model may leave several states open.
        let mut next = Vec::new();
        states.iter().for_each(|state| model.step(state, &call.op, &mut next));
        states = Vec::new();
        for state in next {
            if !states.contains(&state) {
                states.push(state);
            }
        }
    }
    !states.is_empty() && calls.iter().zip(&seen).all(|(call, seen)| *seen || call.ret == NEVER)
}

//! Workloads `mutex` and `fenced-lock`: one lock, which clients try to get, hold for a while, and release.
//!
//! The holder is naive, as holders are: it does not look whether its lock is still its own, and works on until it is done.
//! (Were it told, the time between being told and acting on it would still be there: Kleppmann, "How to do distributed
//! locking", 2016.) So what it has been granted it holds until its release is acknowledged; with `fail` it tries again.
//! With `info` nobody knows, and its process is over: it neither works on nor releases.
//!
//! An attempt may find the lock taken, which is a certain `fail`. So here, unlike in the other workloads, what a slot does
//! depends on the answers. What it draws does not: its `n`-th hold lasts as long whatever the others do.

use std::collections::BTreeMap;

use schism_checker::history::{Event, EventType, F, Value};
use schism_seed::Stream;
use serde::{Deserialize, Serialize};

use crate::{
    generator::{Context, Generator, Step},
    op::{ACQUIRE, Op, RELEASE},
    options::{Choices, OptionRow, WorkloadError, number},
    workload::{Workload, WorkloadPlan, each, option_rows},
};

/// Between two attempts of a client that does not hold the lock, between two writes of one that does, in milliseconds.
const GAP_MIN_MS: u64 = 50;
const GAP_MAX_MS: u64 = 200;

/// A hold is at least the longest one over this.
const HOLD_SPREAD: u64 = 5;

const NS_PER_MS: u64 = 1_000_000;

/// Which of the two workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `mutex`: acquire and release.
    Mutex,
    /// `fenced-lock`: an acquire answers a token, with which the holder writes to what the lock protects.
    Fenced,
}

impl Kind {
    /// The kind that this workload is of; `None`: none.
    #[must_use]
    pub fn of(workload: &str) -> Option<Self> {
        [Self::Mutex, Self::Fenced].into_iter().find(|kind| kind.name() == workload)
    }

    /// The workload's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::Fenced => "fenced-lock",
        }
    }
}

/// Options of `mutex` and `fenced-lock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// The lock ends by itself so long after it was got or renewed. Its watchdog renews it three times as often.
    pub lease_ms: u32,
    /// The longest that it is held; each hold is drawn from a fifth of this on.
    pub hold_ms: u32,
}

/// The name of the option that only a database with leases has.
pub const LEASE_MS: &str = "lease-ms";

impl Default for Options {
    fn default() -> Self {
        Self { lease_ms: 1_000, hold_ms: 10_000 }
    }
}

impl Options {
    pub(crate) const ROWS: &[OptionRow] = &[
        OptionRow {
            key: LEASE_MS,
            default: "1000",
            values: "30..=3600000",
            help: "the lock ends by itself after so long; renewed each third of it; Redis only",
        },
        OptionRow {
            key: "hold-ms",
            default: "10000",
            values: "1..=3600000",
            help: "the longest that a client holds the lock; drawn from a fifth of it on",
        },
    ];

    /// Those that were given, and the defaults.
    ///
    /// # Errors
    /// When there is no such option, or it cannot have that value.
    pub fn parse(kind: Kind, given: &BTreeMap<String, String>) -> Result<Self, WorkloadError> {
        let choices = Choices { workload: kind.name(), rows: option_rows(kind.name()) };
        let mut options = Self::default();
        each(given, |key, value| options.set(&choices, key, value))?;
        Ok(options)
    }

    fn set(&mut self, choices: &Choices, key: &str, value: &str) -> Result<(), WorkloadError> {
        match key {
            LEASE_MS => self.lease_ms = number(choices, key, value, 30..=3_600_000)?,
            "hold-ms" => self.hold_ms = number(choices, key, value, 1..=3_600_000)?,
            _ => return Err(choices.unknown_key(key)),
        }
        Ok(())
    }
}

/// The workload.
#[derive(Debug, Clone)]
pub struct Lock {
    kind: Kind,
    options: Options,
}

impl Lock {
    /// With these options.
    #[must_use]
    pub const fn new(kind: Kind, options: Options) -> Self {
        Self { kind, options }
    }
}

impl Workload for Lock {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn generator(&self, plan: &WorkloadPlan) -> Box<dyn Generator> {
        let slot = |slot| Slot {
            state: State::Waits,
            due_ns: None,
            holds: plan.seed.stream(&format!("ops/{slot}")),
            gaps: plan.seed.stream(&format!("lock-gaps/{slot}")),
        };
        Box::new(LockOps {
            kind: self.kind,
            hold_max_ms: u64::from(self.options.hold_ms),
            slots: (0..plan.clients).map(slot).collect(),
        })
    }

    /// Nothing is kept: who holds the lock in the end says nothing of what happened.
    fn final_reads(&self, _plan: &WorkloadPlan, _invoked_per_client: &[u64]) -> Vec<(Value, F)> {
        Vec::new()
    }
}

#[derive(Debug, Clone)]
struct LockOps {
    kind: Kind,
    hold_max_ms: u64,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone)]
struct Slot {
    state: State,
    /// When its next operation is due; `None`: not before it has been asked once.
    due_ns: Option<u64>,
    /// How long it holds the lock, each time.
    holds: Stream,
    /// How long it waits between, apart from `holds`, so that attempts in vain do not shift those.
    gaps: Stream,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    /// It would like to have the lock.
    Waits,
    /// It was granted the lock, with this token, and does not release it before then.
    Holds { until_ns: u64, token: Value },
}

impl Slot {
    fn gap_ns(&mut self) -> u64 {
        (GAP_MIN_MS + self.gaps.below(GAP_MAX_MS - GAP_MIN_MS + 1)) * NS_PER_MS
    }

    /// When it does something next. A first attempt is drawn, too: else all would come at once.
    fn due_ns(&mut self, now_ns: u64) -> u64 {
        if self.due_ns.is_none() {
            self.due_ns = Some(now_ns.saturating_add(self.gaps.below(GAP_MAX_MS) * NS_PER_MS));
        }
        self.due_ns.unwrap_or(now_ns)
    }

    fn op(&self, client: u32, now_ns: u64) -> Op {
        match &self.state {
            State::Waits => Op::new(client, F::from_name(ACQUIRE), Value::Nil),
            State::Holds { until_ns, token } if now_ns < *until_ns => Op::new(client, F::Write, token.clone()),
            State::Holds { .. } => Op::new(client, F::from_name(RELEASE), Value::Nil),
        }
    }

    fn completed(&mut self, kind: Kind, hold_max_ms: u64, now_ns: u64, event: &Event) {
        let gap_ns = self.gap_ns();
        match (event.f.name(), event.kind) {
            (ACQUIRE, EventType::Ok) => {
                let hold_min_ms = hold_max_ms.div_ceil(HOLD_SPREAD);
                let hold_ms = hold_min_ms + self.holds.below(hold_max_ms - hold_min_ms + 1);
                let until_ns = now_ns.saturating_add(hold_ms * NS_PER_MS);
                self.state = State::Holds { until_ns, token: event.value.clone() };
            }
            // With `info`, nobody knows whether it is released; but it does not work on.
            (RELEASE, EventType::Ok) | (_, EventType::Info) => self.state = State::Waits,
            // A lock that is taken; a token that is refused (a naive holder goes on); a release that did not happen.
            _ => {}
        }
        let next_ns = now_ns.saturating_add(gap_ns);
        self.due_ns = Some(match (&self.state, kind) {
            // It released in vain.
            (State::Holds { .. }, _) if event.f.name() == RELEASE => next_ns,
            (State::Holds { until_ns, .. }, Kind::Mutex) => *until_ns,
            // The first write at once: somebody who got the lock begins to work.
            (State::Holds { .. }, Kind::Fenced) if event.f.name() == ACQUIRE => now_ns,
            (State::Holds { until_ns, .. }, Kind::Fenced) => next_ns.min(*until_ns),
            (State::Waits, _) => next_ns,
        });
    }
}

impl Generator for LockOps {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        let mut soonest: Option<(u64, u32)> = None;
        for client in ctx.free.iter() {
            let due_ns = self.slots[client as usize].due_ns(ctx.time_ns);
            if soonest.is_none_or(|(other_ns, _)| due_ns < other_ns) {
                soonest = Some((due_ns, client));
            }
        }
        match soonest {
            // Not given before it is due: until then an answer may come that changes who is next.
            Some((due_ns, client)) if due_ns <= ctx.time_ns => {
                let op = self.slots[client as usize].op(client, ctx.time_ns);
                Step::Op { op, time_ns: ctx.time_ns, next: self }
            }
            _ => Step::Pending { until_ns: soonest.map(|(due_ns, _)| due_ns), next: self },
        }
    }

    fn update(mut self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator> {
        let (kind, hold_max_ms) = (self.kind, self.hold_max_ms);
        if event.kind != EventType::Invoke
            && let Some(slot) = ctx.slot_of(event).and_then(|slot| self.slots.get_mut(slot as usize))
        {
            slot.completed(kind, hold_max_ms, ctx.time_ns, event);
        }
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

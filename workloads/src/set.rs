//! Workload `set`: unique elements are added to one set, which is read now and then.

use schism_checker::history::{F, Value};
use schism_seed::Stream;
use serde::{Deserialize, Serialize};

use crate::{
    generator::{Generator, Script, scripts},
    options::{Choices, OptionRow, WorkloadError, number},
    workload::{Workload, WorkloadPlan},
};

/// Once the set is large, all slots together read it about this often while it grows by a factor of e. With it, the
/// reads return about ten times as many elements as the set has in the end, however long the run: with a fixed
/// share of reads they would return a number that grows with its square (100,000 adds, one read per 200: 25 million
/// elements; a million adds: 2.5 billion).
const READS_PER_E_FOLD: u64 = 10;

/// Beyond this many elements only the final reads are left. Reading a million elements stops a single-threaded server
/// for the better part of a second, which is a fault that nobody asked for; and the ten times as many elements that
/// the reads return would be most of the history's memory.
const READ_ELEMENTS_MAX: u64 = 200_000;

/// Options of `set`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// A client reads the whole set once in this many of its operations, less often as the set grows; 0: only the
    /// final reads.
    pub ops_per_read: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { ops_per_read: 200 }
    }
}

impl Options {
    pub(crate) const ROWS: &[OptionRow] = &[OptionRow {
        key: "ops-per-read",
        default: "200",
        values: "0..=1000000000",
        help: "one read of the whole set per so many operations of a client, fewer as the set grows; 0: none",
    }];

    pub(crate) fn set(&mut self, choices: &Choices, key: &str, value: &str) -> Result<(), WorkloadError> {
        match key {
            "ops-per-read" => self.ops_per_read = number(choices, key, value, 0..=1_000_000_000)?,
            _ => return Err(choices.unknown_key(key)),
        }
        Ok(())
    }
}

/// The workload.
#[derive(Debug, Clone, Default)]
pub struct Set {
    options: Options,
}

impl Set {
    /// With these options.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options }
    }
}

impl Workload for Set {
    fn name(&self) -> &'static str {
        "set"
    }

    fn generator(&self, plan: &WorkloadPlan) -> Box<dyn Generator> {
        let script = |slot| {
            let mut stream = plan.seed.stream(&format!("ops/{slot}"));
            let every = u64::from(self.options.ops_per_read);
            // Slots would otherwise all read at the same moment, and not at all between.
            let read_at = if every == 0 { u64::MAX } else { stream.below(every) };
            SetScript { slot, clients: plan.clients, every, ops: 0, adds: 0, read_at, stream }
        };
        scripts((0..plan.clients).map(script).collect())
    }

    fn final_reads(&self, _plan: &WorkloadPlan, _invoked_per_client: &[u64]) -> Vec<(Value, F)> {
        vec![(Value::Nil, F::Read)]
    }
}

#[derive(Debug, Clone)]
struct SetScript {
    slot: u32,
    clients: u32,
    every: u64,
    ops: u64,
    adds: u64,
    read_at: u64,
    stream: Stream,
}

impl SetScript {
    /// Between half and one and a half times the mean gap, which is `every` at first and then a fixed fraction of
    /// the operations done so far.
    fn draw_gap(&mut self) -> u64 {
        let growing = self.ops.saturating_mul(u64::from(self.clients)) / READS_PER_E_FOLD;
        let mean = self.every.max(growing);
        mean / 2 + 1 + self.stream.below(mean)
    }
}

impl Script for SetScript {
    fn next_op(&mut self) -> (F, Value) {
        let now = self.ops;
        self.ops += 1;
        if now == self.read_at && self.ops.saturating_mul(u64::from(self.clients)) <= READ_ELEMENTS_MAX {
            self.read_at = now + self.draw_gap();
            return (F::Read, Value::Nil);
        }
        let element = unique(self.adds, self.clients, self.slot);
        self.adds += 1;
        (F::Add, Value::Int(element))
    }
}

/// The slot's `count`-th value: no other slot ever makes the same.
pub(crate) fn unique(count: u64, clients: u32, slot: u32) -> i64 {
    (count * u64::from(clients) + u64::from(slot)) as i64
}

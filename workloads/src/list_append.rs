//! Workload `list-append`: transactions that append to and read lists (Elle's; Kingsbury & Alvaro, "Elle: Inferring
//! Isolation Anomalies from Experimental Observations", VLDB 2020).

use schism_checker::history::{F, Mop, Value};
use schism_seed::Stream;
use serde::{Deserialize, Serialize};

use crate::{
    generator::{Generator, Script, scripts},
    options::{Choices, OptionRow, WorkloadError, number},
    set::unique,
    workload::{Workload, WorkloadPlan},
};

/// Keys read by one transaction of the final reads.
const KEYS_PER_FINAL_READ: i64 = 50;

/// Options of `list-append`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// Most micro-operations in a transaction; at least 1.
    pub max_txn_length: u32,
    /// Keys in use at a time.
    pub key_count: u32,
    /// Appends to a key, on average, before it goes out of use.
    pub max_writes_per_key: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_txn_length: 4, key_count: 10, max_writes_per_key: 32 }
    }
}

impl Options {
    pub(crate) const ROWS: &[OptionRow] = &[
        OptionRow {
            key: "max-txn-length",
            default: "4",
            values: "1..=1000",
            help: "most micro-operations in a transaction",
        },
        // 2^62 is the range of the skewed draw.
        OptionRow { key: "key-count", default: "10", values: "1..=62", help: "keys in use at a time" },
        OptionRow {
            key: "max-writes-per-key",
            default: "32",
            values: "1..=1000000",
            help: "appends to a key, on average, before it goes out of use",
        },
    ];

    pub(crate) fn set(&mut self, choices: &Choices, key: &str, value: &str) -> Result<(), WorkloadError> {
        match key {
            "max-txn-length" => self.max_txn_length = number(choices, key, value, 1..=1_000)?,
            "key-count" => self.key_count = number(choices, key, value, 1..=62)?,
            "max-writes-per-key" => self.max_writes_per_key = number(choices, key, value, 1..=1_000_000)?,
            _ => return Err(choices.unknown_key(key)),
        }
        Ok(())
    }

    /// The first key in use when a slot is about to do its `op`-th transaction. Half of the (1 + max) / 2
    /// micro-operations of an average transaction append; all slots are taken to be equally far, since what a slot
    /// does may not depend on the others.
    fn base(&self, op: u64, clients: u32) -> i64 {
        let appends = u128::from(op) * u128::from(clients) * u128::from(1 + self.max_txn_length) / 4;
        (appends / u128::from(self.max_writes_per_key)) as i64
    }
}

/// The workload.
#[derive(Debug, Clone, Default)]
pub struct ListAppend {
    options: Options,
}

impl ListAppend {
    /// With these options.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options }
    }
}

impl Workload for ListAppend {
    fn name(&self) -> &'static str {
        "list-append"
    }

    fn generator(&self, plan: &WorkloadPlan) -> Box<dyn Generator> {
        let script = |slot| ListAppendScript {
            slot,
            clients: plan.clients,
            options: self.options.clone(),
            ops: 0,
            appends: 0,
            stream: plan.seed.stream(&format!("ops/{slot}")),
        };
        scripts((0..plan.clients).map(script).collect())
    }

    fn final_reads(&self, plan: &WorkloadPlan, invoked_per_client: &[u64]) -> Vec<(Value, F)> {
        let Some(most) = invoked_per_client.iter().copied().max().filter(|&most| most > 0) else { return Vec::new() };
        let keys = self.options.base(most - 1, plan.clients) + i64::from(self.options.key_count);
        let chunk = |start: i64| {
            let read = |key| Mop::Read { key, list: None };
            let mops = (start..keys.min(start + KEYS_PER_FINAL_READ)).map(read).collect();
            (Value::txn(mops), F::Txn)
        };
        (0..keys).step_by(KEYS_PER_FINAL_READ as usize).map(chunk).collect()
    }
}

#[derive(Debug, Clone)]
struct ListAppendScript {
    slot: u32,
    clients: u32,
    options: Options,
    ops: u64,
    appends: u64,
    stream: Stream,
}

impl ListAppendScript {
    /// Each key of the window is drawn half as often as the next, as with Elle's exponential distribution of base 2:
    /// the newest key is fought over, the oldest ones get a straggler now and then.
    fn draw_key(&mut self, base: i64) -> i64 {
        let drawn = 1 + self.stream.below((1_u64 << self.options.key_count) - 1);
        base + i64::from(drawn.ilog2())
    }

    fn draw_mop(&mut self, base: i64) -> Mop {
        let key = self.draw_key(base);
        if self.stream.chance(1, 2) {
            return Mop::Read { key, list: None };
        }
        self.appends += 1;
        Mop::Append { key, element: unique(self.appends - 1, self.clients, self.slot) }
    }
}

impl Script for ListAppendScript {
    fn next_op(&mut self) -> (F, Value) {
        let base = self.options.base(self.ops, self.clients);
        self.ops += 1;
        let length = 1 + self.stream.below(u64::from(self.options.max_txn_length));
        let mops = (0..length).map(|_| self.draw_mop(base)).collect();
        (F::Txn, Value::txn(mops))
    }
}

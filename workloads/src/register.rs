//! Workload `register`: reads, writes and compare-and-sets on independent keys.

use schism_checker::history::{F, Value};
use schism_seed::Stream;
use serde::{Deserialize, Serialize};

use crate::{
    generator::{Generator, Script, scripts},
    options::{Choices, OptionRow, WorkloadError, number},
    set::unique,
    workload::{Workload, WorkloadPlan},
};

/// Options of `register`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// Number of independent keys.
    pub keys: u32,
    /// Weight of reads.
    pub read_weight: u32,
    /// Weight of writes.
    pub write_weight: u32,
    /// Weight of compare-and-sets.
    pub cas_weight: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { keys: 10, read_weight: 40, write_weight: 40, cas_weight: 20 }
    }
}

impl Options {
    pub(crate) const ROWS: &[OptionRow] = &[
        OptionRow { key: "keys", default: "10", values: "1..=1000000", help: "independent registers" },
        OptionRow { key: "read-weight", default: "40", values: "0..=1000000", help: "share of reads" },
        OptionRow {
            key: "write-weight",
            default: "40",
            values: "0..=1000000",
            help: "share of writes; all three weights 0 is an error",
        },
        OptionRow { key: "cas-weight", default: "20", values: "0..=1000000", help: "share of compare-and-sets" },
    ];

    pub(crate) fn set(&mut self, choices: &Choices, key: &str, value: &str) -> Result<(), WorkloadError> {
        match key {
            "keys" => self.keys = number(choices, key, value, 1..=1_000_000)?,
            "read-weight" => self.read_weight = number(choices, key, value, 0..=1_000_000)?,
            "write-weight" => self.write_weight = number(choices, key, value, 0..=1_000_000)?,
            "cas-weight" => self.cas_weight = number(choices, key, value, 0..=1_000_000)?,
            _ => return Err(choices.unknown_key(key)),
        }
        Ok(())
    }

    pub(crate) fn validate(&self) -> Result<(), WorkloadError> {
        if self.read_weight == 0 && self.write_weight == 0 && self.cas_weight == 0 {
            return Err(WorkloadError::Contradiction {
                workload: "register",
                text: "read-weight, write-weight and cas-weight are all 0: give one of them a weight".to_owned(),
            });
        }
        Ok(())
    }
}

/// The workload.
#[derive(Debug, Clone, Default)]
pub struct Register {
    options: Options,
}

impl Register {
    /// With these options.
    ///
    /// # Errors
    /// When all weights are 0.
    pub fn new(options: Options) -> Result<Self, WorkloadError> {
        options.validate()?;
        Ok(Self { options })
    }
}

impl Workload for Register {
    fn name(&self) -> &'static str {
        "register"
    }

    fn generator(&self, plan: &WorkloadPlan) -> Box<dyn Generator> {
        let options = &self.options;
        let script = |slot| RegisterScript {
            slot,
            clients: plan.clients,
            keys: options.keys,
            weights: [options.read_weight, options.write_weight, options.cas_weight],
            values: 0,
            last_written: None,
            stream: plan.seed.stream(&format!("ops/{slot}")),
        };
        scripts((0..plan.clients).map(script).collect())
    }

    fn final_reads(&self, _plan: &WorkloadPlan, _invoked_per_client: &[u64]) -> Vec<(Value, F)> {
        (0..self.options.keys).map(|key| (Value::keyed(i64::from(key), None), F::Read)).collect()
    }
}

#[derive(Debug, Clone)]
struct RegisterScript {
    slot: u32,
    clients: u32,
    keys: u32,
    weights: [u32; 3],
    values: u64,
    /// The key this slot tried to write last, and what.
    last_written: Option<(i64, i64)>,
    stream: Stream,
}

impl RegisterScript {
    fn unique(&mut self) -> i64 {
        self.values += 1;
        unique(self.values - 1, self.clients, self.slot)
    }

    fn write(&mut self, key: i64) -> (F, Value) {
        let value = self.unique();
        self.last_written = Some((key, value));
        (F::Write, Value::keyed(key, Some(value)))
    }
}

impl Script for RegisterScript {
    fn next_op(&mut self) -> (F, Value) {
        let choice = self.stream.weighted(&self.weights);
        let key = self.stream.below(u64::from(self.keys)) as i64;
        match (choice, self.last_written) {
            (Some(0), _) => (F::Read, Value::keyed(key, None)),
            // From what this slot put there itself: it cannot know what the register holds, since its operations
            // may not depend on answers, and so it succeeds when nobody wrote in between.
            (Some(2), Some((key, old))) => {
                let new = self.unique();
                self.last_written = Some((key, new));
                (F::Cas, Value::cas(key, old, new))
            }
            // Nothing written yet that could be compared with.
            _ => self.write(key),
        }
    }
}

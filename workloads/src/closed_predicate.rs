//! Workload `closed-predicate`: transactions that insert, update and delete rows, and read them by key and by predicate
//! (Elle's; Kingsbury, `elle.closed-predicate` and jepsen.mysql).
//!
//! Rows are of universes that come one after the other. A row is inserted once, and then updated or deleted at most once,
//! always by the same client: so its versions and their order are known, and what a read by predicate lacks tells which
//! of them it met. Elle's universes begin with rows that are there already; ours are empty, which is certain.

use schism_checker::history::{F, Predicate, Value};
use schism_seed::Stream;
use serde::{Deserialize, Serialize};

use crate::{
    generator::{Generator, Script, scripts},
    options::{Choices, OptionRow, WorkloadError, number},
    workload::{Workload, WorkloadPlan},
};

/// Values are below this, so that a predicate is met by some.
const VALUES: u64 = 10;

/// Options of `closed-predicate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// Most micro-operations in a transaction; at least 1.
    pub max_txn_length: u32,
    /// Rows of a universe.
    pub rows: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_txn_length: 4, rows: 30 }
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
        OptionRow { key: "rows", default: "30", values: "1..=10000", help: "rows of a universe" },
    ];

    pub(crate) fn set(&mut self, choices: &Choices, key: &str, value: &str) -> Result<(), WorkloadError> {
        match key {
            "max-txn-length" => self.max_txn_length = number(choices, key, value, 1..=1_000)?,
            "rows" => self.rows = number(choices, key, value, 1..=10_000)?,
            _ => return Err(choices.unknown_key(key)),
        }
        Ok(())
    }

    /// How many transactions a client does in a universe: about as many as it takes all of them to write all rows, for
    /// each row 5/3 times, with a third of the (1 + max) / 2 micro-operations of an average transaction.
    fn txns_per_universe(&self, clients: u32) -> u64 {
        (u64::from(self.rows) * 10).div_ceil(u64::from(clients) * u64::from(1 + self.max_txn_length)).max(2)
    }

    /// The rows that a client writes in a universe, in which no other does.
    fn own(&self, universe: u64, slot: u32, clients: u32) -> impl Iterator<Item = i64> + use<> {
        let (rows, clients) = (u64::from(self.rows), u64::from(clients));
        let first = (u64::from(slot) + clients - universe % clients) % clients;
        (first..rows).step_by(clients as usize).map(move |row| (universe * rows + row) as i64)
    }
}

/// A micro-operation on rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowMop {
    Read(i64),
    Select(Predicate),
    Insert(i64, i64),
    Write(i64, i64),
    Delete(i64),
}

impl RowMop {
    /// The micro-operation that an invocation's value spells.
    fn of(value: &Value) -> Option<Self> {
        let Value::List(parts) = value else { return None };
        let [Value::Other(word), rest @ ..] = &parts[..] else { return None };
        Some(match (word.as_str()?, rest) {
            ("r", [Value::Int(key), Value::Nil]) => Self::Read(*key),
            ("rp", [predicate, Value::Nil]) => Self::Select(Predicate::of(predicate)?),
            ("insert", [Value::Int(key), Value::Int(value)]) => Self::Insert(*key, *value),
            ("w", [Value::Int(key), Value::Int(value)]) => Self::Write(*key, *value),
            ("delete", [Value::Int(key)]) => Self::Delete(*key),
            _ => return None,
        })
    }

    /// As it is written in histories; `read`: what it read.
    pub(crate) fn value(self, read: Value) -> Value {
        let word = |word: &str| Value::Other(Box::new(word.into()));
        Value::List(Box::new(match self {
            Self::Read(key) => vec![word("r"), Value::Int(key), read],
            Self::Select(predicate) => vec![word("rp"), predicate.to_value(), read],
            Self::Insert(key, value) => vec![word("insert"), Value::Int(key), Value::Int(value)],
            Self::Write(key, value) => vec![word("w"), Value::Int(key), Value::Int(value)],
            Self::Delete(key) => vec![word("delete"), Value::Int(key)],
        }))
    }

    /// What a read by predicate got.
    pub(crate) fn rows(rows: impl IntoIterator<Item = (i64, i64)>) -> Value {
        Value::List(Box::new(rows.into_iter().map(|(key, value)| Value::keyed(key, Some(value))).collect()))
    }

    pub(crate) const fn only_reads(self) -> bool {
        matches!(self, Self::Read(_) | Self::Select(_))
    }
}

/// `[universe, [mop, …]]`
pub(crate) fn transaction(universe: i64, mops: Vec<Value>) -> Value {
    Value::List(Box::new(vec![Value::Int(universe), Value::List(Box::new(mops))]))
}

/// The universe and the micro-operations of an invocation.
pub(crate) fn parsed(value: &Value) -> Option<(i64, Vec<RowMop>)> {
    let Value::List(parts) = value else { return None };
    let [Value::Int(universe), Value::List(mops)] = &parts[..] else { return None };
    Some((*universe, mops.iter().map(RowMop::of).collect::<Option<_>>()?))
}

/// The workload.
#[derive(Debug, Clone, Default)]
pub struct ClosedPredicate {
    options: Options,
}

impl ClosedPredicate {
    /// With these options.
    #[must_use]
    pub const fn new(options: Options) -> Self {
        Self { options }
    }
}

impl Workload for ClosedPredicate {
    fn name(&self) -> &'static str {
        "closed-predicate"
    }

    fn generator(&self, plan: &WorkloadPlan) -> Box<dyn Generator> {
        let script = |slot| RowsScript {
            slot,
            clients: plan.clients,
            options: self.options.clone(),
            ops: 0,
            writes: Vec::new(),
            stream: plan.seed.stream(&format!("ops/{slot}")),
        };
        scripts((0..plan.clients).map(script).collect())
    }

    fn final_reads(&self, plan: &WorkloadPlan, invoked_per_client: &[u64]) -> Vec<(Value, F)> {
        let Some(most) = invoked_per_client.iter().copied().max().filter(|&most| most > 0) else { return Vec::new() };
        let universes = (most - 1) / self.options.txns_per_universe(plan.clients) + 1;
        let read = |universe| {
            let all = RowMop::Select(Predicate::True).value(Value::Nil);
            (transaction(universe as i64, vec![all]), F::Txn)
        };
        (0..universes).map(read).collect()
    }
}

#[derive(Debug, Clone)]
struct RowsScript {
    slot: u32,
    clients: u32,
    options: Options,
    ops: u64,
    /// What is still to be written in this universe, the next last.
    writes: Vec<RowMop>,
    stream: Stream,
}

impl RowsScript {
    /// Each row of this client's: inserted, and then perhaps updated or deleted.
    fn plan_writes(&mut self, universe: u64) {
        let keys: Vec<i64> = self.options.own(universe, self.slot, self.clients).collect();
        let (mut inserts, mut others) = (Vec::new(), Vec::new());
        for key in keys {
            let value = self.stream.below(VALUES) as i64;
            inserts.push(RowMop::Insert(key, value));
            match self.stream.below(3) {
                // Another value: the version must be told by it.
                0 => {
                    let next = (value + 1 + self.stream.below(VALUES - 1) as i64) % VALUES as i64;
                    others.push(RowMop::Write(key, next));
                }
                1 => others.push(RowMop::Delete(key)),
                _ => {}
            }
        }
        self.stream.shuffle(&mut inserts);
        self.stream.shuffle(&mut others);
        // Taken from the end.
        others.append(&mut inserts);
        self.writes = others;
    }

    fn draw_predicate(&mut self) -> Predicate {
        match self.stream.below(3) {
            0 => Predicate::True,
            1 => Predicate::Equals(self.stream.below(VALUES) as i64),
            _ => Predicate::Mod { modulus: 2, remainder: self.stream.below(2) as i64 },
        }
    }
}

impl Script for RowsScript {
    fn next_op(&mut self) -> (F, Value) {
        let per_universe = self.options.txns_per_universe(self.clients);
        let universe = self.ops / per_universe;
        if self.ops.is_multiple_of(per_universe) {
            self.plan_writes(universe);
        }
        self.ops += 1;
        let length = 1 + self.stream.below(u64::from(self.options.max_txn_length));
        let rows = u64::from(self.options.rows);
        let mut written: Vec<i64> = Vec::new();
        let mops = (0..length).map(|_| {
            let choice = self.stream.below(3);
            // A row is written by a transaction only once, or its first version would be nobody's.
            let next = self.writes.pop_if(|mop| {
                let key = match *mop {
                    RowMop::Insert(key, _) | RowMop::Write(key, _) | RowMop::Delete(key) => key,
                    RowMop::Read(_) | RowMop::Select(_) => return false,
                };
                let takes = choice == 0 && !written.contains(&key);
                if takes {
                    written.push(key);
                }
                takes
            });
            let mop = next.unwrap_or_else(|| match choice {
                1 => RowMop::Read((universe * rows + self.stream.below(rows)) as i64),
                _ => RowMop::Select(self.draw_predicate()),
            });
            mop.value(Value::Nil)
        });
        let mops = mops.collect();
        (F::Txn, transaction(universe as i64, mops))
    }
}

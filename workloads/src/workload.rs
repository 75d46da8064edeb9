//! Workloads by name.

use std::{collections::BTreeMap, fmt::Debug, sync::Arc};

use schism_checker::history::{F, Value};
use schism_seed::Seed;

use crate::{
    closed_predicate,
    generator::Generator,
    list_append, lock,
    options::{Choices, OptionRow, WorkloadError, nearest_first},
    register, set,
};

/// What a workload must know of the run to decide its operations.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadPlan {
    /// Number of worker slots.
    pub clients: u32,
    /// The run's seed; slot `s` draws from the stream `ops/s`.
    pub seed: Seed,
    /// The nodes in order.
    pub nodes: Vec<Arc<str>>,
    /// Operations per second in total; 0: as fast as possible. For [`stagger`](crate::generator::stagger); the
    /// operations themselves do not depend on it.
    pub rate_per_s: f64,
}

/// A kind of test: which operations, and which reads make up a node's final state.
pub trait Workload: Send + Sync + Debug {
    /// Its name: `set`, `register`, `list-append`, `closed-predicate`, `mutex`, `fenced-lock`.
    fn name(&self) -> &'static str;

    /// The operations: endless, and not staggered. What slot `s` does is a function of the seed and `s` alone: it
    /// depends neither on completions nor on what other slots do. (But for a lock: who holds it cannot but depend on
    /// who was granted it. What is drawn for slot `s` does not depend on it.)
    fn generator(&self, plan: &WorkloadPlan) -> Box<dyn Generator>;

    /// The reads that make up one node's final state, given how many operations each slot invoked.
    fn final_reads(&self, plan: &WorkloadPlan, invoked_per_client: &[u64]) -> Vec<(Value, F)>;
}

/// The workloads there are.
#[must_use]
pub const fn names() -> &'static [&'static str] {
    &["set", "register", "list-append", "closed-predicate", "mutex", "fenced-lock"]
}

/// The options of a workload, for help and documentation; empty for a name there is not.
#[must_use]
pub fn option_rows(name: &str) -> &'static [OptionRow] {
    match name {
        "set" => set::Options::ROWS,
        "register" => register::Options::ROWS,
        "list-append" => list_append::Options::ROWS,
        "closed-predicate" => closed_predicate::Options::ROWS,
        "mutex" | "fenced-lock" => lock::Options::ROWS,
        _ => &[],
    }
}

/// The workload of this name with these options.
///
/// # Errors
/// When there is no such workload, or it has no such option, or the option cannot have that value; the error lists
/// what would have been right, nearest first.
pub fn by_name(name: &str, options: &BTreeMap<String, String>) -> Result<Box<dyn Workload>, WorkloadError> {
    let choices = |workload| Choices { workload, rows: option_rows(workload) };
    match name {
        "set" => {
            let mut parsed = set::Options::default();
            each(options, |key, value| parsed.set(&choices("set"), key, value))?;
            Ok(Box::new(set::Set::new(parsed)))
        }
        "register" => {
            let mut parsed = register::Options::default();
            each(options, |key, value| parsed.set(&choices("register"), key, value))?;
            Ok(Box::new(register::Register::new(parsed)?))
        }
        "list-append" => {
            let mut parsed = list_append::Options::default();
            each(options, |key, value| parsed.set(&choices("list-append"), key, value))?;
            Ok(Box::new(list_append::ListAppend::new(parsed)))
        }
        "closed-predicate" => {
            let mut parsed = closed_predicate::Options::default();
            each(options, |key, value| parsed.set(&choices("closed-predicate"), key, value))?;
            Ok(Box::new(closed_predicate::ClosedPredicate::new(parsed)))
        }
        _ => {
            if let Some(kind) = lock::Kind::of(name) {
                return Ok(Box::new(lock::Lock::new(kind, lock::Options::parse(kind, options)?)));
            }
            let valid = nearest_first(name, names().iter().copied());
            Err(WorkloadError::UnknownWorkload { name: name.to_owned(), valid })
        }
    }
}

pub(crate) fn each(
    options: &BTreeMap<String, String>,
    mut set: impl FnMut(&str, &str) -> Result<(), WorkloadError>,
) -> Result<(), WorkloadError> {
    options.iter().try_for_each(|(key, value)| set(key, value))
}

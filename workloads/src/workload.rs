//! Workloads by name.

use std::{fmt::Debug, sync::Arc};

use schism_checker::history::{F, Value};
use schism_seed::Seed;

use crate::generator::Generator;

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
    /// Its name: `set`, `register`, `list-append`.
    fn name(&self) -> &'static str;

    /// The operations: endless, and not staggered. What slot `s` does is a function of the seed and `s` alone: it
    /// depends neither on completions nor on what other slots do.
    fn generator(&self, plan: &WorkloadPlan) -> Box<dyn Generator>;

    /// The reads that make up one node's final state, given how many operations each slot invoked.
    fn final_reads(&self, plan: &WorkloadPlan, invoked_per_client: &[u64]) -> Vec<(Value, F)>;
}

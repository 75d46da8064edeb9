//! Generators that say which operation to try next, and clients that carry one to a database and back.
//!
//! - [`Workload`]: a kind of test, by name: `set`, `register`, `list-append`, `closed-predicate`, `mutex`,
//!   `fenced-lock`. It gives the operations of every client as an endless generator, and the reads that make up a
//!   node's final state.
//! - [`generator`]: values that say what comes next, combined into a run: rates, limits, phases.
//! - [`client`]: one operation to a database and back, as `ok`, `fail` (certainly not done) or `info` (perhaps done):
//!   Redis, PostgreSQL, and a store in memory that can lie.
//!
//! It neither runs anything by itself nor judges what came back: the loop that drives generators with clients, and
//! the deadlines, are the run's, and the verdicts the checker's.
//!
//! Without a database, threads or a clock, one can see what a run would try:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use schism_seed::Seed;
//! use schism_workloads::{
//!     WorkloadPlan, by_name,
//!     generator::{Latency, op_limit, simulate, stagger},
//! };
//!
//! let plan = WorkloadPlan { clients: 2, seed: Seed::new(42), nodes: vec!["n1".into()], rate_per_s: 100.0 };
//! let workload = by_name("register", &BTreeMap::from([("keys".to_owned(), "3".to_owned())]))?;
//! let paced = stagger(plan.rate_per_s, plan.seed, workload.generator(&plan));
//! let history = simulate(op_limit(10, paced), plan.clients, &Latency::fixed(5_000_000), plan.seed);
//!
//! assert_eq!(history.len(), 20, "an invocation and a completion each");
//! // The reads of every node that end the run: one per key.
//! assert_eq!(workload.final_reads(&plan, &[5, 5]).len(), 3);
//! # Ok::<(), schism_workloads::WorkloadError>(())
//! ```

pub mod client;
pub mod closed_predicate;
pub mod generator;
pub mod list_append;
pub mod lock;
mod op;
mod options;
pub mod register;
pub mod set;
mod workload;
#[cfg(test)]
mod workload_tests;

pub use op::Op;
pub use options::{OptionRow, WorkloadError};
pub use workload::{Workload, WorkloadPlan, by_name, names, option_rows};

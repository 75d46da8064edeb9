//! Generators that say which operation to try next, and clients that carry one to a database and back.

pub mod client;
pub mod generator;
mod op;
mod workload;

pub use op::Op;
pub use workload::{Workload, WorkloadPlan};

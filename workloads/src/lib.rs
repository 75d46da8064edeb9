//! Generators that say which operation to try next, and clients that carry one to a database and back.

pub mod client;
pub mod generator;
pub mod list_append;
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

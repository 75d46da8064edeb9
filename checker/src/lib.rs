//! Decides whether a finished history keeps a promise, and why.

mod authority;
pub mod availability;
pub mod divergence;
pub mod durability;
pub mod history;
pub mod isolation;
pub mod linearizability;
mod say;
mod verdict;

pub use verdict::{Check, Details, Finding, Validity};

//! Is there one order of the operations, consistent with real time, that a single register could have produced?

use serde::{Deserialize, Serialize};

/// The answer over all independent keys.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LinearizabilityResult {
    /// The sequential model: `cas-register`.
    pub model: String,
    /// Keys checked.
    pub keys: u64,
    /// Operations considered.
    pub ops: u64,
    /// Keys with no linearization, each with its evidence.
    pub invalid_keys: Vec<NonlinearizableKey>,
    /// Keys whose search exceeded its budget: (key, reason).
    pub unknown_keys: Vec<(i64, String)>,
    /// Search steps taken.
    pub steps: u64,
}

/// Evidence that one key's history has no linearization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NonlinearizableKey {
    /// The key.
    pub key: i64,
    /// A subset of the key's operations that alone cannot be linearized, by invocation time, from which none can be
    /// removed without becoming linearizable (as far as the budget for shrinking allowed).
    pub ops: Vec<EvidenceOp>,
    /// The contradiction in words.
    pub explanation: String,
}

/// An operation as evidence shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EvidenceOp {
    /// Process number.
    pub process: u32,
    /// The operation in words: `write 3`, `read 2`, `cas 1 -> 2`.
    pub op: String,
    /// `ok` or `info`.
    pub outcome: String,
    /// The serving node.
    pub node: Option<String>,
    /// Invocation time.
    pub invoke_ns: u64,
    /// Completion time; `None` while indeterminate.
    pub complete_ns: Option<u64>,
    /// Index of the invocation event.
    pub invoke_index: u64,
    /// Index of the completion event.
    pub complete_index: Option<u64>,
}

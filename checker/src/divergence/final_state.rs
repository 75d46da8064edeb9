//! Divergence: the nodes' final states compared, key by key, with the operations behind each difference.

use serde::{Deserialize, Serialize};

/// The comparison.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DivergenceResult {
    /// Nodes whose final read succeeded, with the role each claimed at that time (`primary`, `replica`, …) and how
    /// many elements or keys it returned.
    pub nodes: Vec<NodeState>,
    /// Nodes that had no successful final read.
    pub unread_nodes: Vec<String>,
    /// Differences. Complete.
    pub differences: Vec<Difference>,
}

/// One node's final state in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeState {
    /// The node.
    pub node: String,
    /// Its claim when it was read.
    pub role: String,
    /// Elements (set) or keys (register, list-append) read.
    pub size: u64,
}

/// One key or element on which nodes disagree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// The key; `None` for the set, which has one.
    pub key: Option<i64>,
    /// Each value and the nodes that hold it. For a set: the element, and `null` for the nodes without it.
    pub values: Vec<(serde_json::Value, Vec<String>)>,
    /// The operation that wrote each value, where known: (event index of its completion or invocation, sentence).
    pub written_by: Vec<(u64, String)>,
}

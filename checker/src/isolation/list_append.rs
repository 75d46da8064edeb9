//! list-append: what can be decided without a dependency graph.

use serde::{Deserialize, Serialize};

/// Anomalies found, and what was looked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListAppendResult {
    /// Transactions by outcome: ok, fail, info.
    pub txns: [u64; 3],
    /// Elements appended by acknowledged transactions.
    pub appends_acknowledged: u64,
    /// The anomalies that were looked for. Others may be there: a history without these is not proven isolated.
    pub looked_for: Vec<String>,
    /// The models asked for.
    pub consistency_models: Vec<String>,
    /// Anomalies found, also those that the models asked for allow.
    pub anomalies: Vec<ListAppendAnomaly>,
    /// Anomaly kinds found that refute a model asked for.
    pub refuting: Vec<String>,
    /// Acknowledged elements that are gone, by acknowledgement time. Complete.
    pub lost_appends: Vec<LostAppend>,
}

/// One anomaly with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListAppendAnomaly {
    /// `internal`, `G1a`, `incompatible-order`, `duplicate-elements`, `write-skew`, …
    pub kind: String,
    /// In words.
    pub sentence: String,
    /// Indexes of the completion events involved.
    pub event_indexes: Vec<u64>,
}

/// An acknowledged append that is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LostAppend {
    /// List.
    pub key: i64,
    /// Element.
    pub element: i64,
    /// Process of the appending transaction.
    pub process: u32,
    /// Node that acknowledged it.
    pub node: Option<String>,
    /// Acknowledgement time.
    pub ok_ns: u64,
    /// Index of the acknowledging event.
    pub ok_index: u64,
}

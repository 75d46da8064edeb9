//! Split brain: windows in which two nodes acknowledged writes as primary.

use serde::{Deserialize, Serialize};

/// All windows of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SplitBrainResult {
    /// Windows in which two nodes claimed to be primary and both acknowledged writes, by start.
    pub windows: Vec<SplitBrainWindow>,
    /// Their total length in seconds (overlaps counted once).
    pub total_s: f64,
    /// The longest in seconds.
    pub longest_s: f64,
    /// Time in seconds in which two nodes claimed to be primary, whether or not both acknowledged writes.
    pub dual_claim_s: f64,
    /// True when the history has claims at all; without them nothing can be said.
    pub claims_observed: bool,
}

/// One window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SplitBrainWindow {
    /// First acknowledgement after which both sides are known to have acknowledged.
    pub start_ns: u64,
    /// Last acknowledgement of the side that stopped first.
    pub end_ns: u64,
    /// The two nodes.
    pub nodes: [String; 2],
    /// Writes each acknowledged within both nodes' overlapping claims.
    pub acknowledged: [u64; 2],
    /// The overlap of their claims.
    pub claims_start_ns: u64,
    /// End of that overlap.
    pub claims_end_ns: u64,
    /// Events that prove it: the first and last acknowledged write of each side.
    pub event_indexes: Vec<u64>,
}

//! Set-full: what became of every element that was added (Jepsen's `checker/set-full`), with RPO.

use serde::{Deserialize, Serialize};

/// What became of all elements.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetResult {
    /// Adds invoked.
    pub attempted: u64,
    /// Adds that ended `ok`.
    pub acknowledged: u64,
    /// Adds that ended `fail`.
    pub failed: u64,
    /// Adds that ended `info` or never completed.
    pub indeterminate: u64,
    /// Known elements (acknowledged or read) that the last reads hold.
    pub stable: u64,
    /// Acknowledged elements that the last reads lack, by acknowledgement time. Complete.
    pub lost: Vec<LostElement>,
    /// `lost` per hundred acknowledged.
    pub lost_percent: f64,
    /// Elements that some read lacked after they were known, but a later one held.
    pub stale: u64,
    /// The longest such absence in milliseconds.
    pub stale_max_ms: f64,
    /// Acknowledged elements with no read after their acknowledgement at all (nothing can be said).
    pub never_read: u64,
    /// Indeterminate elements that the last reads hold.
    pub recovered: u64,
    /// Elements that a read returned more than once, with the highest count seen.
    pub duplicated: Vec<(i64, u32)>,
    /// Elements that were read although their add failed or never was invoked.
    pub unexpected: Vec<i64>,
    /// What the losses amount to.
    pub rpo: Rpo,
}

/// One acknowledged element that is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LostElement {
    /// The element.
    pub element: i64,
    /// The process that added it.
    pub process: u32,
    /// The node that acknowledged it.
    pub node: Option<String>,
    /// When its add was invoked.
    pub invoke_ns: u64,
    /// When it was acknowledged.
    pub ok_ns: u64,
    /// Index of the acknowledging event.
    pub ok_index: u64,
    /// The last read that held it: (completion time, node). `None`: never seen.
    pub last_seen: Option<(u64, Option<String>)>,
    /// The first read after that which lacked it: (completion time, node).
    pub first_missing: Option<(u64, Option<String>)>,
}

/// Recovery point: how much acknowledged work is gone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rpo {
    /// Acknowledged operations lost.
    pub ops: u64,
    /// From the first lost acknowledgement to the last, in seconds, over the whole run.
    pub window_s: f64,
    /// The same per fault: losses are attributed to the last fault that had begun when the write was invoked or
    /// acknowledged (`None`: before any fault).
    pub by_fault: Vec<RpoOfFault>,
}

/// Losses attributed to one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RpoOfFault {
    /// The fault's id; `None` for losses before any fault.
    pub fault_id: Option<u32>,
    /// Acknowledged operations lost.
    pub ops: u64,
    /// From the first lost acknowledgement to the last, in seconds.
    pub window_s: f64,
    /// First lost acknowledgement.
    pub first_ok_ns: u64,
    /// Last lost acknowledgement.
    pub last_ok_ns: u64,
}

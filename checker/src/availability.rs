//! Availability: how long the database was away after each fault, and what clients felt. Numbers before pictures.

use serde::{Deserialize, Serialize};

/// Figures of a whole run. Not a verdict: a slow failover is not an inconsistency.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Availability {
    /// Operations by function and outcome.
    pub counts: Vec<OutcomeCount>,
    /// Errors by class with their count and one example text, most frequent first.
    pub errors: Vec<ErrorCount>,
    /// Completed operations a second while clients ran.
    pub ops_per_s: f64,
    /// Latency of `ok` operations before the first fault (of the whole run without faults).
    pub steady_latency_ms: Quantiles,
    /// `ok` operations a second before the first fault.
    pub steady_ok_per_s: f64,
    /// One entry per fault that took hold, by id.
    pub faults: Vec<FaultAvailability>,
}

/// Outcomes of one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutcomeCount {
    /// `read`, `add`, …
    pub f: String,
    /// Ended `ok`.
    pub ok: u64,
    /// Ended `fail`.
    pub fail: u64,
    /// Ended `info` or never ended.
    pub info: u64,
}

/// How often one error class was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ErrorCount {
    /// Class.
    pub class: String,
    /// `fail` or `info`.
    pub outcome: String,
    /// Times seen.
    pub count: u64,
    /// One text.
    pub example: String,
}

/// What one fault cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FaultAvailability {
    /// The fault's id in the schedule.
    pub fault_id: u32,
    /// Its kind.
    pub kind: String,
    /// Its target as planned.
    pub target: String,
    /// The nodes it hurt.
    pub victims: Vec<String>,
    /// When it took hold.
    pub start_ns: u64,
    /// When it was lifted; `None`: never.
    pub end_ns: Option<u64>,
    /// From its start to the first operation that did not end `ok`, in milliseconds. `None`: no error.
    pub first_error_ms: Option<f64>,
    /// Recovery of writes.
    pub rto_write: Rto,
    /// Recovery of reads.
    pub rto_read: Rto,
    /// Operations that failed while it was in force.
    pub failed: u64,
    /// Operations that ended indeterminate while it was in force.
    pub indeterminate: u64,
    /// Latency of `ok` operations before it (since the previous fault's end), while in force, and after (until the
    /// next fault).
    pub latency_before_ms: Quantiles,
    /// While in force.
    pub latency_during_ms: Quantiles,
    /// After it.
    pub latency_after_ms: Quantiles,
    /// `ok` operations a second before it.
    pub ok_per_s_before: f64,
    /// While in force.
    pub ok_per_s_during: f64,
    /// After it.
    pub ok_per_s_after: f64,
    /// Throughput lost while in force, per cent of before.
    pub throughput_loss_percent: f64,
}

/// Recovery time after one fault: from its start to the first `ok` operation that was invoked after it. While the
/// fault is in force, what its victims acknowledge does not count as recovery: an isolated primary that goes on
/// acknowledging writes which the majority will never see is the disease, not the cure.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rto {
    /// The first client's recovery in seconds; `None`: none recovered.
    pub cluster_s: Option<f64>,
    /// Median over the clients that recovered.
    pub client_p50_s: Option<f64>,
    /// 99th percentile over the clients that recovered.
    pub client_p99_s: Option<f64>,
    /// The last client to recover.
    pub client_max_s: Option<f64>,
    /// Clients that had succeeded before the fault and never did again until the next one or the end.
    pub clients_never: u32,
}

/// Latency quantiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quantiles {
    /// Operations measured.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Maximum.
    pub max: f64,
}

/// Whether the cluster came back after the last fault.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecoveryResult {
    /// The wait, as the run recorded it; `None`: the run ended before it.
    pub waited_ms: Option<u64>,
    /// Whether it recovered.
    pub recovered: Option<bool>,
    /// What was missing.
    pub missing: String,
}

/// Whether each kind of operation succeeded at least once: a run in which no write was ever acknowledged proves
/// nothing, and must not be green.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ActivityResult {
    /// Functions that never ended `ok`.
    pub never_ok: Vec<String>,
    /// Operations that ended `ok`.
    pub ok: u64,
}

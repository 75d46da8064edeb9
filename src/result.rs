//! `result.json`: everything a run found, in one versioned shape. The other reports are views of this.

use schism_checker::{
    Check, Validity,
    availability::Availability,
    history::{ClaimedRole, MeasuredStrength},
};
use serde::{Deserialize, Serialize};

/// A run's result. The schema is documented in `docs/result-format.md`; additions keep the version, anything else
/// raises it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct RunResult {
    /// Version of this schema: [`RunResult::SCHEMA`].
    pub(crate) schema: u32,
    /// Version of schism.
    pub(crate) schism_version: String,
    /// All checks together, by [`Validity::combine`].
    pub(crate) valid: Validity,
    /// The process's exit code; differs from what `valid` says when the harness failed.
    pub(crate) exit_code: u8,
    /// How the run ended.
    pub(crate) outcome: Outcome,
    /// Why its faults ended early, if they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aborted: Option<String>,
    /// What a reader must know besides, and that changes no verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// What went wrong in schism itself; not a verdict on the database.
    pub(crate) harness_errors: Vec<String>,
    /// `redis/sentinel`, `memory`, …
    pub(crate) target: String,
    /// `set`, `register`, `list-append`, `closed-predicate`, `mutex`, `fenced-lock`.
    pub(crate) workload: String,
    /// The seed.
    pub(crate) seed: u64,
    /// The command that repeats the plan.
    pub(crate) command: String,
    /// Start in UTC, RFC 3339.
    pub(crate) started_utc: String,
    /// Wall time of the whole run in seconds, set-up and checking included.
    pub(crate) wall_s: f64,
    /// The guarantee in words: `acknowledged writes survive`, …
    pub(crate) guarantee: String,
    /// The plan as it is in `plan.toml`.
    pub(crate) plan: serde_json::Value,
    /// The database's version by node.
    pub(crate) versions: Vec<(String, String)>,
    /// Phases by start, in nanoseconds since the run started.
    pub(crate) phases: Vec<(String, u64)>,
    /// The verdicts, most severe first.
    pub(crate) checks: Vec<Check>,
    /// Numbers of availability.
    pub(crate) availability: Availability,
    /// Faults by id.
    pub(crate) faults: Vec<FaultRecord>,
    /// Which node claimed what, when, by node and time.
    pub(crate) claims: Vec<ClaimInterval>,
    /// What each node's database took the time for, by node and time; only of runs with faults of the clock.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) clocks: Vec<ClockSample>,
    /// What schism itself used, checking included.
    #[serde(default)]
    pub(crate) resources: Resources,
    /// Files beside this one, by what they are: (name, path relative to this file).
    pub(crate) files: Vec<(String, String)>,
}

impl RunResult {
    /// The schema's current version.
    pub(crate) const SCHEMA: u32 = 1;
}

/// What the process that drove the clients and judged the history used, up to the writing of its reports.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Resources {
    /// CPU time, user and system, in seconds.
    pub(crate) cpu_s: f64,
    /// Peak resident memory in bytes.
    pub(crate) peak_memory_bytes: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// All phases went by.
    Completed,
    /// Ctrl-C or a signal ended it early; the verdict covers what was recorded.
    Interrupted,
    /// A threshold was crossed, or the steady state did not hold at the beginning: every fault was healed at once and
    /// none came after. What follows (recovery, final reads) went by as planned.
    Aborted,
    /// The harness failed; the verdict covers what was recorded.
    HarnessFailure,
}

/// A fault as it was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct FaultRecord {
    /// Position in the schedule.
    pub(crate) id: u32,
    /// Kind.
    pub(crate) kind: String,
    /// Target as planned.
    pub(crate) target: String,
    /// Nodes hurt.
    pub(crate) victims: Vec<String>,
    /// When it took hold.
    pub(crate) start_ns: Option<u64>,
    /// When it was lifted.
    pub(crate) end_ns: Option<u64>,
    /// What was done.
    pub(crate) detail: String,
    /// How it was verified from the victim's side.
    pub(crate) verified: String,
    /// How strong it was found to be, where it has a strength.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) measured: Vec<MeasuredStrength>,
    /// Why it did not happen though nothing failed: limits, or what it waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) skipped: Option<String>,
    /// What went wrong, if anything.
    pub(crate) failure: Option<String>,
}

/// What a node took the time for at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ClockSample {
    /// The node.
    pub(crate) node: String,
    /// When it was asked.
    pub(crate) at_ns: u64,
    /// How far its clock was ahead of the true time, in milliseconds.
    pub(crate) offset_ms: f64,
}

/// One node's claim over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ClaimInterval {
    /// The node.
    pub(crate) node: String,
    /// What it claimed.
    pub(crate) role: ClaimedRole,
    /// Term, timeline or epoch.
    pub(crate) term: Option<u64>,
    /// First poll that said so.
    pub(crate) start_ns: u64,
    /// First poll that said otherwise, or the end of the run.
    pub(crate) end_ns: u64,
}

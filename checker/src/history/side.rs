//! The side channels: faults, claims to be primary, clocks, phases. Typed here once, so that the run loop that writes them and
//! the checkers and reports that read them cannot disagree about their shape.
//!
//! In a history file each is an event of type `info`; `f` and `value` are given at each type.

use serde::{Deserialize, Serialize};

/// A step in the life of a fault: process `"nemesis"`, `f` the fault's kind (`partition`, `kill`, …), `value` this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FaultEvent {
    /// The fault's position in the schedule; all its events carry the same one.
    pub id: u32,
    /// Kind: `partition`, `kill`, `pause`, `failover`, …
    pub kind: String,
    /// What happened.
    pub stage: FaultStage,
    /// Target as planned: `primary`, `one`, `n2`, …
    pub target: String,
    /// Nodes that it hurts (a partition: those cut off from the rest).
    pub victims: Vec<String>,
    /// For people: what exactly was done, or what went wrong.
    pub detail: String,
    /// How it was verified from the victim's side; empty before that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verified: String,
    /// How strong it was found to be, where it has a strength; empty before that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<MeasuredStrength>,
    /// When the fault took hold or was lifted (the moment the action returned, before its verification), in
    /// nanoseconds since the run started; `None` at the stages that come before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_ns: Option<u64>,
}

/// A strength of a fault that was asked for and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MeasuredStrength {
    /// What: `round trip n1→n2`.
    pub what: String,
    /// What it should be.
    pub asked: f64,
    /// What it was.
    pub got: f64,
    /// Of both: `ms`.
    pub unit: String,
}

/// Stages of a fault, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultStage {
    /// About to be injected; written to the ledger.
    Inject,
    /// In force and verified.
    Injected,
    /// About to be undone.
    Heal,
    /// Undone and verified.
    Healed,
    /// Not injected, and nobody's failure: beyond the limits of what may be hurt at once, or what it waited for did not
    /// happen. The detail says which.
    Skipped,
    /// Could not be injected, verified or healed: a failure of the harness, never a verdict on the database.
    Failed,
}

/// What a node said of itself: process `"monitor"`, `f` `claim`, `value` this. Written at each change, and once for
/// every node when the run ends. The monitor asks from within the node, so that no partition can hide the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClaimEvent {
    /// The node.
    pub node: String,
    /// What it claims to be.
    pub role: ClaimedRole,
    /// The database's term, timeline or epoch where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// When the question was sent, in nanoseconds since the run started; the claim held at some moment between
    /// this and the event's own time.
    pub asked_ns: u64,
}

/// What a node's database took the time for: process `"monitor"`, `f` `clock`, `value` this. Written about once a second
/// for each node that answers, in runs with faults of the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ClockEvent {
    /// The node.
    pub node: String,
    /// How far its clock was ahead of the true time (behind: negative), in milliseconds.
    pub offset_ms: f64,
    /// When the question was sent, in nanoseconds since the run started; it was so at some moment between this and
    /// the event's own time.
    pub asked_ns: u64,
}

/// A node's own claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimedRole {
    /// Accepts writes, by its own word.
    Primary,
    /// Follows another node.
    Replica,
    /// Answers, but is neither (starting, recovering).
    Neither,
    /// Does not answer.
    Unreachable,
}

/// A phase begins: process `"schism"`, `f` `phase`, `value` this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PhaseEvent {
    /// Which.
    pub phase: Phase,
    /// For people; why a run was interrupted, for example.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The phases of a run, in order; [`Phase::Interrupted`] may follow any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Clients run, no fault yet.
    Steady,
    /// Clients run, faults come and go.
    Faults,
    /// Everything is healed; clients still run.
    Heal,
    /// Waiting for the cluster to recover; clients still run.
    Recovery,
    /// Clients have stopped; every node is read.
    FinalReads,
    /// Nothing follows but tear-down. A history without it was cut off.
    Done,
    /// The user or an abort threshold ended the run early.
    Interrupted,
}

/// What a probe of the steady state found: process `"schism"`, `f` `probe`, `value` this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProbeEvent {
    /// The probe's name.
    pub probe: String,
    /// When it was asked.
    pub stage: ProbeStage,
    /// Whether the answer was as it must be.
    pub held: bool,
    /// The answers, by node.
    pub got: String,
}

/// When a probe was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeStage {
    /// Before the first fault: it must hold.
    Before,
    /// While faults come and go: it may fail, which is told and no verdict.
    During,
    /// After the last fault and the recovery: it must hold again.
    After,
}

/// How the wait for recovery ended: process `"schism"`, `f` `recovery`, `value` this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecoveryEvent {
    /// Whether it came back within the limit.
    pub recovered: bool,
    /// How long it took, or how long was waited in vain, in milliseconds.
    pub waited_ms: u64,
    /// The limit in milliseconds.
    pub limit_ms: u64,
    /// What was still missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub missing: String,
}

/// The first line of a native history file. Everything a checker must know to judge the file alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Header {
    /// Version of the file format: 1.
    pub schism_history: u32,
    /// `set`, `register`, `list-append`, `closed-predicate`.
    pub workload: String,
    /// `redis/sentinel`, `memory`, …
    pub target: String,
    /// The run's seed.
    pub seed: u64,
    /// Number of clients; process numbers modulo this give the client.
    pub clients: u32,
    /// The nodes in order.
    pub nodes: Vec<String>,
    /// The consistency models that the run asks for, strongest first; empty for workloads without transactions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consistency_models: Vec<String>,
}

impl Header {
    /// The format's current version.
    pub const VERSION: u32 = 1;
}

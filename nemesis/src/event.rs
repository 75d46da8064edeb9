//! What the nemesis tells while it works, in the shape in which a history records it.

use serde::{Deserialize, Serialize};

/// A step in the life of a fault. Field by field what the history holds under process `nemesis`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NemesisEvent {
    /// The fault's position in the schedule; all its events carry the same one.
    pub id: u32,
    /// Kind: `partition`, `kill`, `pause`, `failover`.
    pub kind: String,
    /// What happened.
    pub stage: NemesisStage,
    /// Target as planned: `primary`, `one`, `n2`, …
    pub target: String,
    /// Nodes that it hurts; empty when they could not be chosen.
    pub victims: Vec<String>,
    /// For people: what exactly was done, or what went wrong.
    pub detail: String,
    /// How it was verified from the victim's side; empty before that.
    pub verified: String,
    /// How strong it was found to be, where it has a strength; empty before that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Measured>,
    /// When the fault took hold or was lifted (the moment the action returned, before its verification), in
    /// nanoseconds since the run started; `None` at the stages that come before.
    pub effective_ns: Option<u64>,
}

/// A strength that was asked for and measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measured {
    /// What: `round trip n1→n2`.
    pub what: String,
    /// What it should be.
    pub asked: f64,
    /// What it was.
    pub got: f64,
    /// Of both.
    pub unit: String,
}

/// Stages of a fault, in order. A fault that fails is healed all the same: [`NemesisStage::Failed`] may be followed by
/// [`NemesisStage::Heal`] and [`NemesisStage::Healed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NemesisStage {
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

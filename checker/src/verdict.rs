//! Three verdicts and the one order in which they combine.

use serde::{Deserialize, Serialize, Serializer};

/// What a check says of a history.
///
/// The order is the order of severity, and [`Validity::combine`] is the only place where verdicts meet: invalid beats
/// unknown beats valid. (Were unknown to beat invalid, a check that ran out of memory would hide a lost write that
/// another one had already proven.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Validity {
    /// The history keeps the promise.
    Valid,
    /// Could not be decided; the check's `reason` says why. Never to be read as valid.
    Unknown,
    /// The history breaks the promise, and the check carries the evidence.
    Invalid,
}

impl Validity {
    /// The verdict of several checks together.
    #[must_use]
    pub fn combine(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or(Self::Valid)
    }

    /// `valid`, `unknown` or `invalid`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
        }
    }
}

/// As Jepsen and Elle print it: `true`, `false` or `"unknown"`.
impl Serialize for Validity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Valid => serializer.serialize_bool(true),
            Self::Invalid => serializer.serialize_bool(false),
            Self::Unknown => serializer.serialize_str("unknown"),
        }
    }
}

impl<'de> Deserialize<'de> for Validity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Validity;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("true, false or \"unknown\"")
            }
            fn visit_bool<E>(self, valid: bool) -> Result<Validity, E> {
                Ok(if valid { Validity::Valid } else { Validity::Invalid })
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Validity, E> {
                match text {
                    "unknown" => Ok(Validity::Unknown),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The answer of one checker, with what a person needs to believe it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Check {
    /// The checker's name: `set`, `linearizability`, `list-append`, `split-brain`, `divergence`, `recovery`,
    /// `steady-state`, `activity`, or one of [`crate::jepsen::NAMES`].
    pub name: String,
    /// The verdict.
    pub valid: Validity,
    /// Why the verdict is unknown; `None` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One sentence that a person reads first.
    pub summary: String,
    /// Evidence, most telling first, at most [`Check::FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings there are in all, also those left out above.
    pub findings_total: u64,
    /// The checker's own figures and lists; its shape is the module's result type, documented in
    /// `docs/result-format.md`.
    pub details: Details,
}

impl Check {
    /// How many findings a check carries itself; the complete lists are in `details` or in files of their own.
    pub const FINDINGS_MAX: usize = 100;
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What was found, in the field's word: `lost-write`, `split-brain`, `G1a`, `nonlinearizable`, …
    pub kind: String,
    /// The whole of it in one or two sentences, with process, node and time.
    pub sentence: String,
    /// Indexes of the history events that prove it.
    pub event_indexes: Vec<u64>,
}

/// The typed result of each checker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "of")]
pub enum Details {
    /// Set-full semantics over unique adds.
    Set(crate::durability::set::SetResult),
    /// Linearizability of independent keys.
    Linearizability(crate::linearizability::LinearizabilityResult),
    /// What is decided of list-append histories without a dependency graph.
    ListAppend(crate::isolation::list_append::ListAppendResult),
    /// One of Jepsen's own checkers of simple objects.
    Jepsen(crate::jepsen::JepsenResult),
    /// Anomalies of transactions and the consistency models that they refute.
    Isolation(crate::isolation::IsolationResult),
    /// Windows with two acknowledging primaries.
    SplitBrain(crate::divergence::split_brain::SplitBrainResult),
    /// Differences between the nodes' final states.
    Divergence(crate::divergence::final_state::DivergenceResult),
    /// Whether the cluster came back after the last fault.
    Recovery(crate::availability::RecoveryResult),
    /// Whether the steady state held before the faults and again after them.
    SteadyState(crate::steady_state::SteadyStateResult),
    /// Whether each kind of operation succeeded at least once.
    Activity(crate::availability::ActivityResult),
}

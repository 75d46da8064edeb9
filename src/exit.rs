//! Exit codes, Jepsen's numbers; the only place that names them.

use schism_checker::Validity;

use crate::result::Outcome;

/// Every check is valid.
pub(crate) const VALID: u8 = 0;
/// At least one check is invalid.
pub(crate) const INVALID: u8 = 1;
/// Nothing is invalid, but something could not be decided.
pub(crate) const UNKNOWN: u8 = 2;
/// The user's mistake: usage or input.
pub(crate) const USAGE: u8 = 254;
/// Our own failure: a worker that panicked, a fault that could not be injected or healed, a database that never came
/// up. Never green by accident.
pub(crate) const FAILURE: u8 = 255;
/// Every code that schism ends with by its own decision.
pub(crate) const ALL: [u8; 5] = [VALID, INVALID, UNKNOWN, USAGE, FAILURE];

/// The code of one verdict.
pub(crate) const fn of_validity(valid: Validity) -> u8 {
    match valid {
        Validity::Valid => VALID,
        Validity::Invalid => INVALID,
        Validity::Unknown => UNKNOWN,
    }
}

/// The code of a run. A harness failure outranks the verdict: what was found then is in the result, but a pipeline
/// must not take "valid" from a run whose faults were never injected.
pub(crate) const fn of_run(valid: Validity, outcome: Outcome) -> u8 {
    match outcome {
        Outcome::HarnessFailure => FAILURE,
        Outcome::Completed | Outcome::Interrupted => of_validity(valid),
    }
}

/// An error of the user's making: shown as it is, exit code [`USAGE`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Shorthand for a [`UsageError`] as `anyhow::Error`.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    UsageError(message.into()).into()
}

/// The exit code of an error that reached `main`.
pub(crate) fn of_error(error: &anyhow::Error) -> u8 {
    if error.chain().any(|cause| cause.is::<UsageError>()) { USAGE } else { FAILURE }
}

//! Exit codes, Jepsen's numbers; the only place that names them.

use std::panic::{AssertUnwindSafe, catch_unwind};

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
        // Not all of the planned faults happened: what held under the others is not what was asked.
        Outcome::Aborted => match valid {
            Validity::Invalid => INVALID,
            Validity::Valid | Validity::Unknown => UNKNOWN,
        },
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

/// Runs it, and makes an error of its panic, so that the exit code of a bug of ours is [`FAILURE`] and the message says
/// what was saved. (Rust's own code for a panic, 101, is none that a pipeline knows.) Whoever gets the error ends:
/// what a panic left half done is not used again.
pub(crate) fn guarded<T>(run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|payload| Err(anyhow::anyhow!("a bug of schism: {}", panic_text(payload.as_ref()))))
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_of_ours_and_names_itself() {
        let error = guarded(|| -> anyhow::Result<u8> { panic!("index {} of nothing", 3) }).unwrap_err();
        assert_eq!(error.to_string(), "a bug of schism: index 3 of nothing");
        assert_eq!(of_error(&error), FAILURE);
        assert_eq!(guarded(|| Ok(INVALID)).unwrap(), INVALID);
        assert_eq!(of_error(&guarded(|| Err::<u8, _>(usage("no"))).unwrap_err()), USAGE);
    }
}

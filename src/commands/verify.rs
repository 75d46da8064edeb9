//! `schism verify`: re-check a certificate that `schism check --certificate` wrote.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use schism_checker::verify::{Certificate, CertificateError, Verification};
use serde::Serialize;

use super::check::read_file;
use crate::{cli::VerifyArgs, exit, exit::usage, input, output::print_line};

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    file: &'a Path,
    certificate: &'a Path,
    model: &'a str,
    /// true, false, or "unknown".
    holds: serde_json::Value,
    /// The verdict certified, where the certificate holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    valid: Option<schism_checker::Validity>,
    reason: &'a str,
}

/// Exit code: 0 it holds, whichever verdict it certifies; 1 it does not; 2 that could not be decided.
pub(crate) fn verify(args: &VerifyArgs) -> anyhow::Result<u8> {
    if let Some(format) = &args.format {
        input::format_named(format)?;
    }
    let path = args.certificate.as_path();
    let cannot = |error: CertificateError| usage(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
    let reader: Box<dyn BufRead> = Box::new(BufReader::with_capacity(1 << 20, file));
    let certificate = Certificate::open(reader).map_err(cannot)?;
    let model = certificate.header().model.clone();
    let history_path = input::history_path(&args.history);
    // A history that names no model is read as one of the certificate's.
    let (history, warnings) = read_file(&history_path, Some(&model), args.format.as_deref())?;
    let verification = certificate.verify(&history).map_err(cannot)?;
    let (code, holds, valid, reason) = match &verification {
        Verification::Holds { valid, summary } => (exit::VALID, true.into(), Some(*valid), summary),
        Verification::DoesNotHold(reason) => (exit::INVALID, false.into(), None, reason),
        Verification::Undecided(reason) => (exit::UNKNOWN, "unknown".into(), None, reason),
    };
    if args.json {
        let (file, certificate) = (history_path.as_path(), path);
        let line = Line { file, certificate, model: &model, holds, valid, reason };
        print_line(&serde_json::to_string(&line)?)?;
        return Ok(code);
    }
    for warning in warnings {
        print_line(&format!("  warning: {warning}"))?;
    }
    let verdict = match &verification {
        Verification::Holds { valid, .. } => format!("holds: the history is {}, for {reason}", valid.name()),
        Verification::DoesNotHold(_) => format!("does not hold: {reason}"),
        Verification::Undecided(_) => format!("could not be decided: {reason}"),
    };
    print_line(&format!("{}: the certificate {verdict}.", path.display()))?;
    Ok(code)
}

//! `schism check --certificate FILE`: the verdict with all that is needed to check it again.

use std::{io::Write as _, path::Path};

use anyhow::Context as _;
use schism_checker::{
    Check, Details,
    history::History,
    isolation,
    linearizability::{KeyWitness, write_certificate},
};

use crate::{exit::usage, report::write_atomically};

/// That a certificate can be written there, before anything is judged: of one history, and into a folder that exists.
pub(crate) fn require(certificate: &Path, histories: usize) -> anyhow::Result<()> {
    if histories != 1 {
        return Err(usage(format!("--certificate is of one history, and {histories} files are given")));
    }
    let folder = certificate.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if certificate.is_dir() || certificate.file_name().is_none() || !folder.is_dir() {
        return Err(usage(format!("--certificate: {} is no file in a folder that exists", certificate.display())));
    }
    Ok(())
}

/// Writes it, of the history's check of linearizability or of transactions.
pub(crate) fn write(
    certificate: &Path,
    history: &History,
    checks: &[Check],
    witnesses: &[KeyWitness],
    asked: &isolation::Settings,
) -> anyhow::Result<()> {
    let is_certified = |check: &&Check| matches!(check.details, Details::Linearizability(_) | Details::Isolation(_));
    let Some(check) = checks.iter().find(is_certified) else {
        let model = &history.header().workload;
        return Err(usage(format!(
            "--certificate: there are none of {model}, only of linearizability and of transactions"
        )));
    };
    let path = std::path::absolute(certificate).context("no current folder")?;
    write_atomically(&path, |out| {
        match &check.details {
            Details::Isolation(found) => isolation::write_certificate(history, asked, check.valid, found, out)?,
            _ => write_certificate(history, check.valid, witnesses, out)?,
        }
        Ok(out.flush()?)
    })
}

//! What several tests need: histories with known verdicts beside the checkout.
#![allow(unreachable_pub, clippy::print_stderr)]

pub mod executions;
pub mod jepsen;

use std::path::PathBuf;

use schism_checker::history::{History, ReadOptions, read_any};

#[allow(dead_code, reason = "each test program uses its own part")]
/// The folder of conformance histories, or `None`, said loudly.
pub fn conformance(what: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SCHISM_CONFORMANCE")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance"), PathBuf::from);
    let path = root.join(what);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: no conformance histories at {}", path.display());
    None
}

/// Another tool's history of this model.
pub fn foreign(model: &str, text: &str) -> Result<History, String> {
    let options = ReadOptions { workload: Some(model.into()) };
    read_any(text.as_bytes(), None, &options).map(|loaded| loaded.history).map_err(|problems| problems.to_string())
}

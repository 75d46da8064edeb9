//! Whole clusters in real sandboxes. This program is launcher, controller and helper at once, as `schism` is:
//!
//! ```text
//! sandbox [FILTER]                     runs the scenarios whose name contains FILTER, and prints what they took
//! sandbox launch NAME RESULTS          one scenario: makes the sandbox and waits for it
//! sandbox inside NAME RESULTS RUN_ID   its part inside
//! sandbox capabilities                 what this machine can do
//! sandbox step INFO STEP               one step inside a sandbox that was entered from outside
//! sandbox internal-load ORDER          starts a load, or is one (see `schism_cluster::internal_load`)
//! sandbox internal-exec SPEC           starts a server (see `schism_cluster::internal_exec`)
//! ```
//!
//! Needs root or user namespaces, and the servers; says `SKIPPED:` where something is missing.

// clippy's allowances for tests look for `#[test]`, which a program without a harness has not.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, missing_docs)]

#[path = "sandbox/inside.rs"]
mod inside;
#[path = "sandbox/outside.rs"]
mod outside;
#[path = "sandbox/resources.rs"]
mod resources;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["internal-exec", spec] => match schism_cluster::internal_exec(spec) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        ["internal-load", order] => match schism_cluster::internal_load(order) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        ["capabilities"] => outside::print_capabilities(),
        ["step", info, step] => inside::step_from_outside(info, step),
        ["inside", name, results, run_id] => inside::run(name, results, run_id),
        ["launch", name, results] => outside::launch(name, results),
        _ => outside::run_all(&words),
    }
}

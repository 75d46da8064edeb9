//! Whole clusters in real sandboxes. This program is launcher, controller and helper at once, as `schism` is:
//!
//! ```text
//! sandbox [FILTER]                     runs the scenarios whose name contains FILTER, and prints what they took
//! sandbox launch NAME RESULTS          one scenario: makes the sandbox and waits for it
//! sandbox inside NAME RESULTS RUN_ID   its part inside
//! sandbox sink                         reads one connection to its end
//! sandbox capabilities                 what this machine can do
//! sandbox step INFO STEP               one step inside a sandbox that was entered from outside
//! sandbox internal-load ORDER          starts a load, or is one (see `schism_cluster::internal_load`)
//! sandbox internal-exec SPEC           starts a server (see `schism_cluster::internal_exec`)
//! sandbox internal-switch DIRECTORY    becomes the switch (see `schism_cluster::internal_switch`)
//! sandbox internal-fuse SPEC           serves a data directory (see `schism_cluster::internal_fuse`)
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
        ["internal-exec", spec] => helped(schism_cluster::internal_exec(spec)),
        ["internal-switch", directory] => helped(schism_cluster::internal_switch(directory)),
        ["internal-fuse", spec] => helped(schism_cluster::internal_fuse(spec)),
        ["internal-load", order] => helped(schism_cluster::internal_load(order)),
        ["sink"] => {
            inside::links::sink();
            ExitCode::SUCCESS
        }
        ["capabilities"] => outside::print_capabilities(),
        ["step", info, step] => inside::step_from_outside(info, step),
        ["inside", name, results, run_id] => inside::run(name, results, run_id),
        ["launch", name, results] => outside::launch(name, results),
        _ => outside::run_all(&words),
    }
}

fn helped(result: Result<(), schism_cluster::ExecError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! schism tells a team, with evidence, what a database really promises while its machines fail.
//!
//! Seeded concurrent clients run against a real cluster and record every operation; a nemesis partitions, kills,
//! pauses nodes on a schedule drawn from the same seed; checkers then decide whether the history keeps the promise,
//! and a report shows it to a person in a minute. `docs/whats-here.md` walks the code in the order a run uses it.
//!
//! ```text
//! schism run memory --set lie=lost-write      # a first try: no root, no database
//! schism run redis/sentinel --schedule isolate-primary --seed 42
//! ```

mod check;
mod cli;
mod commands;
mod exit;
mod experiment;
mod input;
mod output;
mod plan;
mod report;
mod result;
mod result_dir;
mod run;
mod safety;

use std::{os::fd::AsFd as _, process::ExitCode};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // Nothing can be done about a closed standard output.
            let _ = error.print();
            return ExitCode::from(if asked_for { exit::VALID } else { exit::USAGE });
        }
    };
    let code = exit::guarded(|| dispatch(cli.command)).unwrap_or_else(|error| {
        print_error(&error);
        exit::of_error(&error)
    });
    ExitCode::from(code)
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(args) => commands::run(&args),
        Command::Plan(args) => commands::plan(&args),
        Command::Check(args) => commands::check(&args),
        Command::Verify(args) => commands::verify(&args),
        Command::Convert(args) => commands::convert(&args),
        Command::Report(args) => commands::report(&args),
        Command::List(args) => commands::list(&args),
        Command::Explain(args) => commands::explain(&args),
        Command::Doctor(args) => commands::doctor(&args),
        Command::Heal(args) => commands::heal(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut visible_commands(), "schism", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(exit::VALID)
        }
        Command::InternalController { launch } => commands::run_inside(&launch),
        Command::InternalGuardian { pointer } => {
            // Its standard input is the read end of a pipe that only the launcher holds.
            let lifeline = std::io::stdin().as_fd().try_clone_to_owned()?;
            schism_nemesis::guardian_main(&pointer, lifeline)?;
            Ok(exit::VALID)
        }
        Command::InternalExec { spec } => {
            schism_cluster::internal_exec(&spec)?;
            Ok(exit::VALID)
        }
        Command::InternalSwitch { directory } => {
            schism_cluster::internal_switch(&directory)?;
            Ok(exit::VALID)
        }
        Command::InternalFuse { spec } => {
            schism_cluster::internal_fuse(&spec)?;
            Ok(exit::VALID)
        }
        Command::InternalLoad { order } => {
            schism_cluster::internal_load(&order)?;
            Ok(exit::VALID)
        }
        Command::InternalUndo { ledger, fault_id } => {
            schism_nemesis::internal_undo(&ledger, fault_id)?;
            Ok(exit::VALID)
        }
    }
}

/// The command line without what schism only says to itself, which completion would offer.
fn visible_commands() -> clap::Command {
    let all = Cli::command();
    clap::Command::new("schism").subcommands(all.get_subcommands().filter(|command| !command.is_hide_set()).cloned())
}

/// Something that is no error, on standard error, where no script takes it for a result.
#[expect(clippy::print_stderr, reason = "warnings of the command line belong there")]
fn print_warning(text: &str) {
    eprintln!("schism: warning: {text}");
}

/// One clear error on standard error.
#[expect(clippy::print_stderr, reason = "errors of the command line belong there")]
fn print_error(error: &anyhow::Error) {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Many errors name their cause themselves; once is enough.
        if !text.ends_with(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    eprintln!("schism: {text}");
}

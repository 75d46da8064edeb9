//! How the processes of a node end: asked to, in order, or killed; and a note of how it went, from which it is
//! measured. The note is a file of the node, since whoever measures need not be who did it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, StepError};
use crate::info::{NodeInfo, StopSignal};
use crate::{proc, process};

/// An orderly end takes a fraction of a second; a look costs a few reads of `/proc`.
const POLL: Duration = Duration::from_millis(10);

/// No longer, so that a step ends before whoever waits for it gives up.
pub(crate) const GRACE_MAX_MS: u64 = 9_000;

/// How the node's processes ended last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// How many of the node's main processes ran.
    pub(crate) ran: usize,
    /// How many of them ended by themselves in time, asked to.
    pub(crate) by_themselves: usize,
    /// From the first request, or the kill, to the last one's end, in milliseconds.
    pub(crate) took_ms: u64,
    /// How long the first of them had run, in milliseconds.
    pub(crate) life_ms: u64,
}

impl Ending {
    /// The note of the last end; `Err` says that there is none.
    pub(crate) fn read(node: &NodeInfo) -> Result<Self, String> {
        let none = |error: &dyn std::fmt::Display| format!("nothing ran on {} when it was to end: {error}", node.name);
        let text = fs::read_to_string(file(node)).map_err(|error| none(&error))?;
        serde_json::from_str(&text).map_err(|error| none(&error))
    }
}

fn file(node: &NodeInfo) -> PathBuf {
    node.directory.join("ending.json")
}

/// Who was asked to end and has not been seen to: whoever starts the node meanwhile must not take it for running.
fn asked_file(node: &NodeInfo) -> PathBuf {
    node.directory.join("asked-to-end")
}

/// A main process of a node.
struct Main {
    pid: u32,
    signal: StopSignal,
}

fn mains(node: &NodeInfo) -> Vec<Main> {
    let running = |process: &crate::info::ProcessSpec| {
        Some(Main { pid: process::main_pid(node, &process.name)?, signal: process.stop_signal })
    };
    node.processes.iter().filter_map(running).collect()
}

/// SIGKILL to everything.
pub(crate) fn kill(node: &NodeInfo) -> Result<(), StepError> {
    end(node, Duration::ZERO, |_| Ok(()))
}

/// Asks the node's main processes to shut down in order; does not wait.
pub(crate) fn ask(node: &NodeInfo) -> Result<(), StepError> {
    ask_these(node, &mains(node))
}

/// Asks, and kills what is left after `grace_ms`.
pub(crate) fn terminate(node: &NodeInfo, grace_ms: u64) -> Result<(), StepError> {
    end(node, Duration::from_millis(grace_ms.min(GRACE_MAX_MS)), |mains| ask_these(node, mains))
}

fn ask_these(node: &NodeInfo, mains: &[Main]) -> Result<(), StepError> {
    let asked: String = mains.iter().map(|main| format!("{}\n", main.pid)).collect();
    fs::write(asked_file(node), asked).doing(|| format!("note whom {} asks to end", node.name))?;
    for main in mains {
        let signal = match main.signal {
            StopSignal::Term => Signal::SIGTERM,
            StopSignal::Int => Signal::SIGINT,
        };
        process::send(&[main.pid], signal);
    }
    Ok(())
}

fn end(node: &NodeInfo, grace: Duration, ask: impl FnOnce(&[Main]) -> Result<(), StepError>) -> Result<(), StepError> {
    let what = || format!("note how {} ends", node.name);
    let mut left = mains(node);
    let ran = left.len();
    let life_ms = left.first().map_or(Ok(0), |main| proc::age_ms(main.pid)).unwrap_or(0);
    let begin = Instant::now();
    ask(&left)?;
    while !left.is_empty() && begin.elapsed() < grace {
        std::thread::sleep(POLL);
        let now = mains(node);
        left.retain(|main| now.iter().any(|other| other.pid == main.pid));
    }
    let killed = if grace.is_zero() { ran } else { left.len() };
    process::kill_all(node)?;
    let took_ms = begin.elapsed().as_millis() as u64;
    match fs::remove_file(asked_file(node)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).doing(what)?,
        _ => {}
    }
    if ran == 0 {
        // A second call finds nothing: the note of the first stays.
        return Ok(());
    }
    let ending = Ending { ran, by_themselves: ran - killed, took_ms, life_ms };
    // Small numbers are always JSON.
    let text = serde_json::to_string(&ending).unwrap_or_default();
    Ok(fs::write(file(node), text).doing(what)?)
}

/// Whether a process that runs was asked to end: it may be gone in a moment, and the node must not be taken for one
/// that was started.
pub(crate) fn is_under_way(node: &NodeInfo) -> bool {
    let Ok(asked) = fs::read_to_string(asked_file(node)) else { return false };
    let is_asked = |main: &Main| asked.lines().any(|line| line.parse() == Ok(main.pid));
    mains(node).iter().any(is_asked)
}

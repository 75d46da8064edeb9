//! How the processes of a node end: asked to, in order, or killed; and a note of how it went, from which it is
//! measured. The note is a file of the node, since whoever measures need not be who did it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, StepError};
use crate::info::{NodeInfo, ProcessSpec, StopSignal};
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

/// Who was asked to end, and when, until none of it is left: whoever starts the node meanwhile must not take it for
/// running, and whoever waits for its end may find it gone already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    pids: Vec<u32>,
    life_ms: u64,
    /// On the machine's uptime, which all processes share.
    at_ms: u64,
}

impl Asked {
    fn file(node: &NodeInfo) -> PathBuf {
        node.directory.join("asked-to-end.json")
    }

    fn read(node: &NodeInfo) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(Self::file(node)).ok()?).ok()
    }

    fn of(mains: &[Main]) -> io::Result<Self> {
        let life_ms = mains.first().map_or(Ok(0), |main| proc::age_ms(main.pid)).unwrap_or(0);
        Ok(Self { pids: mains.iter().map(|main| main.pid).collect(), life_ms, at_ms: proc::uptime_ms()? })
    }
}

/// A main process of a node.
struct Main {
    pid: u32,
    signal: StopSignal,
}

fn mains(node: &NodeInfo) -> Vec<Main> {
    let running = |process: &ProcessSpec| {
        Some(Main { pid: process::main_pid(node, &process.name)?, signal: process.stop_signal })
    };
    node.processes.iter().filter_map(running).collect()
}

/// SIGKILL to everything.
pub(crate) fn kill(node: &NodeInfo) -> Result<(), StepError> {
    let running = Asked::of(&mains(node)).doing(|| format!("look at {}", node.name))?;
    end(node, &running, 0)
}

/// Asks the node's main processes to shut down in order; does not wait. A second time nobody is asked again.
pub(crate) fn ask(node: &NodeInfo) -> Result<(), StepError> {
    request(node).map(drop)
}

/// Asks, and kills what is left after `grace_ms`.
pub(crate) fn terminate(node: &NodeInfo, grace_ms: u64) -> Result<(), StepError> {
    let asked = request(node)?;
    let until = Instant::now() + Duration::from_millis(grace_ms.min(GRACE_MAX_MS));
    while lives(node, &asked) > 0 && Instant::now() < until {
        std::thread::sleep(POLL);
    }
    let by_themselves = asked.pids.len() - lives(node, &asked);
    end(node, &asked, by_themselves)
}

fn request(node: &NodeInfo) -> Result<Asked, StepError> {
    if let Some(asked) = Asked::read(node) {
        return Ok(asked);
    }
    let what = || format!("ask {} to end", node.name);
    let mains = mains(node);
    let asked = Asked::of(&mains).doing(what)?;
    write(&Asked::file(node), &asked).doing(what)?;
    for main in mains {
        let signal = match main.signal {
            StopSignal::Term => Signal::SIGTERM,
            StopSignal::Int => Signal::SIGINT,
        };
        process::send(&[main.pid], signal);
    }
    Ok(asked)
}

/// How many of these still run.
fn lives(node: &NodeInfo, asked: &Asked) -> usize {
    mains(node).iter().filter(|main| asked.pids.contains(&main.pid)).count()
}

fn end(node: &NodeInfo, ran: &Asked, by_themselves: usize) -> Result<(), StepError> {
    let what = || format!("note how {} ended", node.name);
    process::kill_all(node)?;
    forget_request(node)?;
    if ran.pids.is_empty() {
        // A second call finds nothing: the note of the first stays.
        return Ok(());
    }
    let took_ms = proc::uptime_ms().doing(what)?.saturating_sub(ran.at_ms);
    let ending = Ending { ran: ran.pids.len(), by_themselves, took_ms, life_ms: ran.life_ms };
    Ok(write(&file(node), &ending).doing(what)?)
}

fn write(file: &Path, note: &impl Serialize) -> io::Result<()> {
    fs::write(file, serde_json::to_string(note)?)
}

/// To be called before a node is started: what was asked to end, by somebody who was interrupted before he had seen its
/// end, is ended. Were it taken for a node that runs, it would be dead in a moment.
pub(crate) fn finish(node: &NodeInfo) -> Result<(), StepError> {
    match Asked::read(node) {
        Some(asked) if lives(node, &asked) > 0 => terminate(node, GRACE_MAX_MS),
        _ => forget_request(node),
    }
}

fn forget_request(node: &NodeInfo) -> Result<(), StepError> {
    match fs::remove_file(Asked::file(node)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Ok(Err(error).doing(|| format!("forget that {} was asked to end", node.name))?)
        }
        _ => Ok(()),
    }
}

//! A node's wall clock: jumps, drifts, stands still.
//!
//! The kernel has one wall clock for everybody; time namespaces move only the monotonic and boot-time clocks
//! (time_namespaces(7)). But almost every program reads it through the vDSO (vdso(7)), a page or two of the kernel's
//! code in its own memory, and that can be replaced process by process through `/proc/PID/mem`: as `libfaketime` does
//! by preloading a library, but for running processes, for programs without libc (Go), and without slowing them down.
//! What is replaced: `clock_gettime` for `CLOCK_REALTIME` and `CLOCK_REALTIME_COARSE`, `gettimeofday` and `time`; every
//! other clock stays. What it does not reach: a program that makes the system call itself, and the kernel's own use of
//! the wall clock (absolute timers, times of files).
//!
//! What a node's clocks were set to is in a file of its private directory, so that a step that is run again, and
//! [`renew`] after a restart, go on with the same line and do not begin a new one. The undo needs neither.

mod ask;
mod code;
mod image;
mod nodes;
mod rewrite;
mod threads;
mod trial;

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use self::code::{Line, RATE_ONE};
use self::image::Image;
use self::nodes::StoppedNode;
pub(crate) use self::trial::trial;
use crate::error::{Doing, StepError};
use crate::info::{NodeInfo, SandboxInfo};
use crate::process;

/// How far a clock may be set: 40 years, so that no time is before 1970 or beyond what 64 bits of nanoseconds hold.
pub const SKEW_MAX_MS: u64 = 40 * 365 * 24 * 60 * 60 * 1_000;
/// Between a tenth and ten times the true speed.
const RATE_PPM: std::ops::RangeInclusive<i64> = -900_000..=9_000_000;

/// What becomes of a wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClockChange {
    /// It is ahead of the true time by so much (behind where negative), and goes on at its speed.
    Skew {
        /// In milliseconds, at most [`SKEW_MAX_MS`] either way.
        offset_ms: i64,
    },
    /// From the true time on it runs fast (slow where negative).
    Drift {
        /// In millionths, from -900,000 to 9,000,000.
        rate_ppm: i64,
    },
    /// It stands still.
    Freeze,
}

impl ClockChange {
    /// The line that begins now, at the true time.
    fn line(self, now_ns: i64) -> Result<Line, String> {
        let line = |ahead_ns: i64, rate: i64| Line { base_in_ns: now_ns, base_out_ns: now_ns + ahead_ns, rate };
        match self {
            Self::Skew { offset_ms } if offset_ms.unsigned_abs() <= SKEW_MAX_MS => {
                Ok(line(offset_ms * 1_000_000, RATE_ONE))
            }
            Self::Skew { offset_ms } => Err(format!("a clock is not set by more than 40 years, not by {offset_ms} ms")),
            Self::Drift { rate_ppm } if RATE_PPM.contains(&rate_ppm) => {
                let rate = i128::from(RATE_ONE) * i128::from(1_000_000 + rate_ppm) / 1_000_000;
                Ok(line(0, rate as i64))
            }
            Self::Drift { rate_ppm } => Err(format!("a clock does not drift by {rate_ppm} ppm")),
            Self::Freeze => Ok(line(0, 0)),
        }
    }
}

/// What a node's clocks were set to: by process, and for those without a setting of their own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clocks {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Clock>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    processes: BTreeMap<String, Clock>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    change: ClockChange,
    line: Line,
}

impl Clocks {
    /// Sets the clock of one process or of the whole node, which replaces those of its processes. The same change once
    /// more goes on with the line that there is.
    fn set(&mut self, process: Option<&str>, change: ClockChange, now_ns: i64) -> Result<(), String> {
        let before = match process {
            None => self.node,
            Some(name) => self.processes.get(name).copied(),
        };
        let line = match before {
            Some(clock) if clock.change == change => clock.line,
            _ => change.line(now_ns)?,
        };
        let clock = Clock { change, line };
        match process {
            None => *self = Self { node: Some(clock), processes: BTreeMap::new() },
            Some(name) => drop(self.processes.insert(name.to_owned(), clock)),
        }
        Ok(())
    }

    /// The line of a process: its own, else the node's.
    fn line(&self, process: Option<&str>) -> Option<Line> {
        let own = process.and_then(|name| self.processes.get(name));
        own.copied().or(self.node).map(|clock| clock.line)
    }
}

/// Sets the wall clock of every process of the node, or of one of its servers and that server's children.
pub(crate) fn set(node: &NodeInfo, process: Option<&str>, change: ClockChange) -> Result<(), StepError> {
    if let Some(name) = process {
        if !node.processes.iter().any(|process| process.name == name) {
            let names: Vec<&str> = node.processes.iter().map(|process| process.name.as_str()).collect();
            return Err(failed(node, format!("it has no process {name:?}, but {}", names.join(", "))));
        }
        if process::main_pid(node, name).is_none() {
            return Err(failed(node, format!("its {name} does not run")));
        }
    }
    let image = Image::of_this_kernel().map_err(|reason| failed(node, reason))?;
    let stopped = StoppedNode::lock(node)?;
    if process::pids(node).doing(|| format!("look at {}", node.name))?.is_empty() {
        return Err(failed(node, "it has no process".to_owned()));
    }
    let mut clocks = read(node)?;
    clocks.set(process, change, now_ns(node)?).map_err(|reason| failed(node, reason))?;
    // First: whoever finds a clock rewritten must be able to go on with its line.
    write(node, &clocks)?;
    match rewrite::rewrite(&image, &stopped, |pids| nodes::lines(node, &clocks, pids)) {
        Ok(0) => Err(failed(node, "its processes have ended".to_owned())),
        Ok(_) => Ok(()),
        Err(reason) => Err(failed(node, reason)),
    }
}

/// Sets the clocks of processes that lost theirs when they were started anew. Does nothing where none is set.
pub(crate) fn renew(node: &NodeInfo) -> Result<(), StepError> {
    let stopped = StoppedNode::lock(node)?;
    let clocks = read(node)?;
    if clocks == Clocks::default() {
        return Ok(());
    }
    let image = Image::of_this_kernel().map_err(|reason| failed(node, reason))?;
    let renewed = rewrite::rewrite(&image, &stopped, |pids| nodes::lines(node, &clocks, pids));
    renewed.map(drop).map_err(|reason| failed(node, reason))
}

/// Gives every process of the node the true time back. No clock set is no error, nor is a dead node.
pub(crate) fn reset(node: &NodeInfo) -> Result<(), StepError> {
    let stopped = StoppedNode::lock(node)?;
    match fs::remove_file(file(node)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(|| format!("remove {}", file(node).display()))?;
        }
        _ => {}
    }
    let image = match Image::of_this_kernel() {
        Ok(image) => image,
        // Then nobody has rewritten it either.
        Err(_) => return Ok(()),
    };
    rewrite::restore(&image, &stopped).map_err(|reason| failed(node, reason))
}

/// What is still set.
pub(crate) fn remains(info: &SandboxInfo) -> Result<Vec<String>, StepError> {
    let Ok(image) = Image::of_this_kernel() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for node in &info.nodes {
        if file(node).exists() {
            found.push(format!("a clock set on {}", node.name));
        }
        for pid in process::pids(node).doing(|| format!("look at {}", node.name))? {
            if rewrite::is_rewritten(&image, pid).map_err(|reason| failed(node, reason))? {
                found.push(format!("the clock of process {pid} on {}", node.name));
            }
        }
    }
    Ok(found)
}

fn file(node: &NodeInfo) -> PathBuf {
    node.directory.join("clock.json")
}

fn read(node: &NodeInfo) -> Result<Clocks, StepError> {
    let text = match fs::read_to_string(file(node)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Clocks::default()),
        other => other.doing(|| format!("read {}", file(node).display()))?,
    };
    serde_json::from_str(&text).map_err(|error| failed(node, format!("malformed {}: {error}", file(node).display())))
}

/// Whole or not at all: it may be read by another process after we were killed.
fn write(node: &NodeInfo, clocks: &Clocks) -> Result<(), StepError> {
    let text = serde_json::to_string(clocks).map_err(|error| failed(node, error.to_string()))?;
    let (path, new) = (file(node), node.directory.join("clock.json.new"));
    fs::write(&new, text).doing(|| format!("write {}", new.display()))?;
    Ok(fs::rename(&new, &path).doing(|| format!("rename {}", new.display()))?)
}

fn now_ns(node: &NodeInfo) -> Result<i64, StepError> {
    true_now_ns().ok_or_else(|| failed(node, "our own clock is before 1970 or after 2262".to_owned()))
}

/// By our own clock, in nanoseconds since 1970.
pub(crate) fn true_now_ns() -> Option<i64> {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().ok()?.as_nanos()).ok()
}

fn failed(node: &NodeInfo, reason: String) -> StepError {
    StepError::Clock { node: node.name.clone(), reason }
}

//! A node's processes as a set: who they are, freeze, thaw, kill. By cgroup where there is one, else by the network
//! namespace that only the node's processes live in, and signals.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::NodeState;
use crate::error::{Doing, StepError};
use crate::info::NodeInfo;
use crate::proc;
use crate::resource;
use crate::sandbox::cgroup;

/// Both take milliseconds; a node that needs longer has a process that the kernel cannot stop.
const WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(1);

/// The node's processes, by their numbers inside the sandbox.
pub(crate) fn pids(node: &NodeInfo) -> io::Result<Vec<u32>> {
    match &node.cgroup {
        Some(cgroup) => cgroup::pids(cgroup),
        None => proc::pids_in_netns(&node.netns),
    }
}

pub(crate) fn state(node: &NodeInfo) -> io::Result<NodeState> {
    let pids = pids(node)?;
    if pids.is_empty() {
        return Ok(NodeState::Dead);
    }
    let frozen = match &node.cgroup {
        Some(cgroup) => cgroup::event(cgroup, "frozen")?,
        None => pids.iter().all(|pid| is_stopped(*pid)),
    };
    Ok(if frozen { NodeState::Frozen } else { NodeState::Running { pids } })
}

/// Ends every process at once and waits until none is left.
pub(crate) fn kill_all(node: &NodeInfo) -> Result<(), StepError> {
    let what = || format!("kill {}", node.name);
    if let Some(cgroup) = &node.cgroup {
        cgroup::write(cgroup, "cgroup.kill", "1").doing(what)?;
    }
    wait(node, "dead", || {
        let pids = pids(node)?;
        if node.cgroup.is_none() {
            send(&pids, Signal::SIGKILL);
        }
        Ok(pids.is_empty())
    })?;
    // Where there is a cgroup they are dying already; a moment later they are gone in either case.
    resource::kill_all(node)?;
    // A frozen node that is killed is dead, not frozen: what is started in it later has to run.
    Ok(node.cgroup.as_ref().map_or(Ok(()), |cgroup| cgroup::write(cgroup, "cgroup.freeze", "0")).doing(what)?)
}

pub(crate) fn freeze(node: &NodeInfo) -> Result<(), StepError> {
    let what = || format!("freeze {}", node.name);
    if pids(node).doing(what)?.is_empty() {
        return Err(StepError::Dead(node.name.clone()));
    }
    if let Some(cgroup) = &node.cgroup {
        cgroup::write(cgroup, "cgroup.freeze", "1").doing(what)?;
        return wait(node, "frozen", || cgroup::event(cgroup, "frozen"));
    }
    resource::stop_all(node);
    let mut before = Vec::new();
    wait(node, "frozen", || {
        let pids = pids(node)?;
        let running: Vec<u32> = pids.iter().copied().filter(|pid| !is_stopped(*pid)).collect();
        send(&running, Signal::SIGSTOP);
        // A fork just before its parent stopped shows only in the next listing: the same set twice.
        let stable = running.is_empty() && pids == before;
        before = pids;
        Ok(stable)
    })
}

pub(crate) fn thaw(node: &NodeInfo) -> Result<(), StepError> {
    let what = || format!("thaw {}", node.name);
    if let Some(cgroup) = &node.cgroup {
        cgroup::write(cgroup, "cgroup.freeze", "0").doing(what)?;
        return wait(node, "thawed", || cgroup::event(cgroup, "frozen").map(|frozen| !frozen));
    }
    resource::continue_all(node);
    wait(node, "thawed", || {
        let stopped: Vec<u32> = pids(node)?.into_iter().filter(|pid| is_stopped(*pid)).collect();
        send(&stopped, Signal::SIGCONT);
        Ok(stopped.is_empty())
    })
}

/// Whether the node's process of this name runs: the one that its helper noted, not a later one with its number.
pub(crate) fn main_pid(node: &NodeInfo, process: &str) -> Option<u32> {
    let (pid, ticks) = noted(node, process)?;
    (pids(node).ok()?.contains(&pid) && proc::start_ticks(pid).ok()? == ticks).then_some(pid)
}

/// Its number and when it started, whether it runs or not.
fn noted(node: &NodeInfo, process: &str) -> Option<(u32, u64)> {
    let noted = std::fs::read_to_string(pid_file(node, process)).ok()?;
    let (pid, ticks) = noted.trim().split_once(' ')?;
    Some((pid.parse().ok()?, ticks.parse().ok()?))
}

/// Waits until nothing is left of a process that runs no more. A process that ends is out of its cgroup and namespace
/// before it closes its sockets: with ten thousand connections to close, the next server mostly found the port still in
/// use. It is reaped only when it has closed them.
pub(crate) fn wait_until_gone(node: &NodeInfo, process: &str) -> Result<(), StepError> {
    let Some((pid, ticks)) = noted(node, process) else { return Ok(()) };
    wait(node, "gone", || Ok(proc::start_ticks(pid).ok() != Some(ticks)))
}

pub(crate) fn pid_file(node: &NodeInfo, process: &str) -> std::path::PathBuf {
    node.directory.join(format!("{process}.pid"))
}

/// Keeps everybody else from starting anything in the node and from setting its clock. Waits for whoever does.
pub(crate) fn lock(node: &NodeInfo) -> Result<Flock<File>, StepError> {
    let lock = File::create(node.directory.join("start.lock")).doing(|| "make start.lock".to_owned())?;
    let locked = Flock::lock(lock, FlockArg::LockExclusive).map_err(|refused| refused.1);
    Ok(locked.doing(|| format!("lock {}/start.lock", node.directory.display()))?)
}

fn is_stopped(pid: u32) -> bool {
    // One that has just ended is nothing to wait for.
    matches!(proc::state(pid), None | Some('T' | 't' | 'Z' | 'X'))
}

pub(crate) fn send(pids: &[u32], signal: Signal) {
    for pid in pids {
        // It may have ended since it was listed.
        let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
    }
}

fn wait(node: &NodeInfo, wanted: &'static str, mut reached: impl FnMut() -> io::Result<bool>) -> Result<(), StepError> {
    let until = Instant::now() + WITHIN;
    while !reached().doing(|| format!("look at the processes of {}", node.name))? {
        if Instant::now() > until {
            let limit_ms = WITHIN.as_millis() as u64;
            return Err(StepError::Stuck { node: node.name.clone(), wanted, limit_ms });
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

//! A node as a set of processes whose clocks are set together.

use std::collections::BTreeMap;
use std::fs::File;

use nix::fcntl::Flock;

use super::Clocks;
use super::code::Line;
use super::rewrite::Stop;
use crate::cluster::NodeState;
use crate::error::{Doing, StepError};
use crate::info::NodeInfo;
use crate::{proc, process};

/// A node that nobody else starts anything on, nor sets the clock of, as long as this lives.
pub(super) struct StoppedNode<'a> {
    node: &'a NodeInfo,
    _lock: Flock<File>,
}

impl<'a> StoppedNode<'a> {
    /// Waits for whoever has it. The same lock as that of a start: what is started in the middle of a change would be
    /// frozen at its birth.
    pub(super) fn lock(node: &'a NodeInfo) -> Result<Self, StepError> {
        Ok(Self { node, _lock: process::lock(node)? })
    }

    /// Says that it was us who froze the node: a change that was killed half way must not leave it frozen for good,
    /// nor may the next one thaw a node that a fault has frozen.
    fn mark(&self) -> std::path::PathBuf {
        self.node.directory.join("clock.frozen")
    }

    fn freeze(&self) -> Result<bool, StepError> {
        let node = self.node;
        let doing = || format!("look at {}", node.name);
        let frozen = process::state(node).doing(doing)? == NodeState::Frozen;
        if frozen && !self.mark().exists() {
            return Ok(false);
        }
        File::create(self.mark()).doing(|| format!("make {}", self.mark().display()))?;
        match process::freeze(node) {
            // It has died meanwhile: there is nobody left to be stopped.
            Ok(()) | Err(StepError::Dead(_)) => Ok(true),
            Err(error) => {
                // It may be half frozen.
                self.thaw()?;
                Err(error)
            }
        }
    }

    fn thaw(&self) -> Result<(), StepError> {
        process::thaw(self.node)?;
        Ok(std::fs::remove_file(self.mark()).doing(|| format!("remove {}", self.mark().display()))?)
    }
}

impl Stop for StoppedNode<'_> {
    fn stopped<T>(&self, act: impl FnOnce(&[u32]) -> Result<T, String>) -> Result<T, String> {
        let told = |error: StepError| error.to_string();
        let is_ours = self.freeze().map_err(told)?;
        let pids = process::pids(self.node).map_err(|error| error.to_string());
        let result = pids.and_then(|pids| act(&pids));
        if is_ours {
            self.thaw().map_err(told)?;
        }
        result
    }
}

/// Each process's line, by the server that it belongs to.
pub(super) fn lines(node: &NodeInfo, clocks: &Clocks, pids: &[u32]) -> Result<Vec<Option<Line>>, String> {
    let servers: BTreeMap<u32, &str> = (node.processes.iter())
        .filter_map(|process| Some((process::main_pid(node, &process.name)?, process.name.as_str())))
        .collect();
    Ok(pids.iter().map(|&pid| clocks.line(server_of(pid, &servers, proc::parent))).collect())
}

/// The server that a process is or descends from.
fn server_of<'a>(pid: u32, servers: &BTreeMap<u32, &'a str>, parent: impl Fn(u32) -> Option<u32>) -> Option<&'a str> {
    const GENERATIONS_MAX: usize = 32;
    let mut ancestors = std::iter::successors(Some(pid), |&pid| parent(pid)).take(GENERATIONS_MAX);
    ancestors.find_map(|pid| servers.get(&pid).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_belong_to_their_server() {
        let servers = BTreeMap::from([(10, "redis"), (20, "sentinel")]);
        let parents = BTreeMap::from([(10, 1), (11, 10), (12, 11), (20, 1), (30, 1), (40, 40)]);
        let server = |pid| server_of(pid, &servers, |pid| parents.get(&pid).copied());
        assert_eq!([10, 12, 20].map(server), [Some("redis"), Some("redis"), Some("sentinel")]);
        assert_eq!([30, 40, 99].map(server), [None; 3]);
    }
}

//! A running sandbox as plain data: enough for any process to act on it, stored in the ledger.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::disk::DiskKind;
use crate::target::TargetName;

/// What to start.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// The database and its topology.
    pub target: TargetName,
    /// `--set`: settings of the server, and a few of ours; see [`crate::targets`].
    pub settings: BTreeMap<String, String>,
    /// Where `<node>/` gets logs, configuration and versions. An absolute path that the sandbox sees, so not below `/run`.
    pub nodes_dir: PathBuf,
    /// The run's name, as given to [`crate::sandbox::spawn_inside`].
    pub run_id: String,
    /// What each node's data is on.
    pub disk: DiskKind,
    /// How many client namespaces to make; site `i` (from 0) is host `c{i+1}`, beside node `n{i+1}`.
    pub client_sites: u32,
    /// Whether each node's data directory is served by a file system of ours, for faults of its operations.
    pub fuse: bool,
}

/// Everything needed to act on a running sandbox from any process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxInfo {
    /// The run's name.
    pub run_id: String,
    /// The sandbox's PID 1, as seen by the outside.
    pub init_pid: u32,
    /// Its start time (field 22 of `/proc/PID/stat`): the same number may be another process by now.
    pub init_start_ticks: u64,
    /// The directory that holds the nodes' cgroups; `None` where they cannot be had (unprivileged).
    pub cgroup_root: Option<PathBuf>,
    /// The binary that starts servers when it is run as `<helper> internal-exec <spec>`.
    pub helper: PathBuf,
    /// Where the nodes' results go.
    #[serde(default)]
    pub nodes_dir: PathBuf,
    /// The nodes, `n1` first.
    pub nodes: Vec<NodeInfo>,
    /// The client namespaces, `c1` first.
    pub sites: Vec<SiteInfo>,
}

impl SandboxInfo {
    pub(crate) fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The address of a node or client site.
    #[must_use]
    pub fn address(&self, host: &str) -> Option<Ipv4Addr> {
        let sites = self.sites.iter().map(|site| (&site.name, site.address));
        self.nodes
            .iter()
            .map(|node| (&node.name, node.address))
            .chain(sites)
            .find(|(name, _)| *name == host)
            .map(|found| found.1)
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// `n1`, `n2`, …
    pub name: String,
    /// Its address on the bridge.
    pub address: Ipv4Addr,
    /// Its network namespace, as a file inside the sandbox.
    pub netns: PathBuf,
    /// Its cgroup, where there are cgroups.
    pub cgroup: Option<PathBuf>,
    /// Its private files inside the sandbox: data, sockets, `/tmp`, `/dev/shm`, process ids. They outlive its processes.
    pub directory: PathBuf,
    /// How to start each of its processes, in order.
    pub processes: Vec<ProcessSpec>,
    /// Where the file system that serves its data directory is told its rules; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuse: Option<PathBuf>,
}

/// A namespace in which clients live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteInfo {
    /// `c1`, `c2`, …
    pub name: String,
    /// Its address on the bridge.
    pub address: Ipv4Addr,
    /// Its network namespace, as a file inside the sandbox.
    pub netns: PathBuf,
}

/// How to start one server process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Unique in its node: `postgres`, `redis`, `sentinel`.
    pub name: String,
    /// The program, by its full path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment; nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Gets its output, appended.
    pub log: PathBuf,
    /// Said to it on every start, for what no configuration file can express.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greeting: Option<Greeting>,
    /// What asks it to shut down in order.
    #[serde(default)]
    pub stop_signal: StopSignal,
}

/// The signal that asks a server to shut down in order, without waiting for its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopSignal {
    /// SIGTERM: almost every server.
    #[default]
    Term,
    /// SIGINT: PostgreSQL's fast shutdown. Its SIGTERM is the smart one, which waits for clients that may never leave.
    Int,
}

/// A line sent to a server once it listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The port on 127.0.0.1 of its node.
    pub port: u16,
    /// The line, without its end.
    pub line: String,
    /// How its answer must begin.
    pub answer: String,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn empty() -> SandboxInfo {
        SandboxInfo {
            run_id: "test".to_owned(),
            init_pid: 0,
            init_start_ticks: 0,
            cgroup_root: None,
            helper: PathBuf::new(),
            nodes_dir: PathBuf::new(),
            nodes: Vec::new(),
            sites: Vec::new(),
        }
    }
}

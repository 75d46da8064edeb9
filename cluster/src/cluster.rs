//! A running cluster, from inside the sandbox.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::error::{ClusterError, StepError};
use crate::info::{ClusterSpec, SandboxInfo};
use crate::step::Step;

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// What it claims to be.
    pub role: ClaimedRole,
    /// PostgreSQL: its timeline. Redis: the configuration epoch under which the node's own Sentinel holds it for the
    /// primary. `None` where there is none.
    pub term: Option<u64>,
}

/// A node's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimedRole {
    /// Accepts writes.
    Primary,
    /// Follows another node.
    Replica,
    /// Answers, but is neither (starting, recovering).
    Neither,
    /// Does not answer in time.
    Unreachable,
}

/// What came of an attempt to reach one host from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The other host's kernel answered: it accepted or refused.
    Reached,
    /// Nothing came back in time: a packet of one of the two directions is lost.
    Silent,
    /// The probe itself failed.
    Error(String),
}

/// The victim's side: what a node's processes are doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeState {
    /// They run.
    Running {
        /// Their ids inside the sandbox.
        pids: Vec<u32>,
    },
    /// They are all stopped.
    Frozen,
    /// There are none.
    Dead,
}

/// A fail-over that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failover {
    /// The node that was the primary before; nothing was done to it.
    pub old_primary: String,
    /// The node that was promoted.
    pub new_primary: String,
    /// For people: positions and who was repointed.
    pub detail: String,
}

/// When a cluster counts as recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryGoal {
    /// All nodes up, exactly one primary, all replicas attached to it and caught up.
    OnePrimary,
    /// Every node answers reads.
    AllServing,
}

/// A running cluster. Its methods may be called from several tasks and runtimes; keep it in an `Arc`.
#[derive(Debug)]
pub struct Cluster {}

impl Cluster {
    /// Builds the network, starts the database and waits until it serves. Call it inside the sandbox.
    pub async fn start(_spec: ClusterSpec) -> Result<Self, ClusterError> {
        unimplemented!()
    }

    /// Everything another process needs to act on it.
    #[must_use]
    pub fn info(&self) -> SandboxInfo {
        unimplemented!()
    }

    /// `n1`, `n2`, …
    #[must_use]
    pub fn node_names(&self) -> &[String] {
        unimplemented!()
    }

    /// Asks a node what it is, from within its own namespace, so that no partition can hide the answer. Takes at most
    /// 300 ms.
    pub async fn claim(&self, _node: &str) -> Claim {
        unimplemented!()
    }

    /// [`Step::run`] on a thread that may block.
    pub async fn run(&self, _step: Step) -> Result<(), StepError> {
        unimplemented!()
    }

    /// Tries to reach host `to` from host `from` (`n1`, `c1`, …) by TCP.
    pub async fn probe(&self, _from: &str, _to: &str, _timeout: Duration) -> Probe {
        unimplemented!()
    }

    /// What the node's processes are doing, from the kernel and not from the database.
    #[must_use]
    pub fn node_state(&self, _node: &str) -> NodeState {
        unimplemented!()
    }

    /// Promotes the most advanced standby that is not in `avoid` and points the other reachable ones to it.
    pub async fn failover(&self, _avoid: &[String]) -> Result<Failover, ClusterError> {
        unimplemented!()
    }

    /// Makes a node follow the present primary; says how.
    pub async fn rejoin(&self, _node: &str) -> Result<String, ClusterError> {
        unimplemented!()
    }

    /// Whether the goal is reached, else what is missing.
    pub async fn recovered(&self, _goal: RecoveryGoal) -> Result<(), String> {
        unimplemented!()
    }

    /// Connects from client site `site` (from 0) to a node.
    pub async fn dial(&self, _site: u32, _node: &str, _port: u16) -> io::Result<TcpStream> {
        unimplemented!()
    }

    /// The port on which clients are served.
    #[must_use]
    pub fn client_port(&self) -> u16 {
        unimplemented!()
    }

    /// Kills everything and removes what the sandbox's end does not take with it.
    pub async fn shutdown(&self) -> Result<(), ClusterError> {
        unimplemented!()
    }

    /// Whether the target can do something: `failover`, `rejoin`.
    #[must_use]
    pub fn supports(&self, _ability: &str) -> bool {
        unimplemented!()
    }
}

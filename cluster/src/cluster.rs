//! A running cluster, from inside the sandbox.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::database::{Backend, Fabric};
use crate::error::{ClusterError, Doing, StepError};
use crate::info::{ClusterSpec, NodeInfo, SandboxInfo};
use crate::link::LinkThread;
use crate::network::Host;
use crate::step::Step;
use crate::target::TargetName;
use crate::{clock, disk, fuse, nft, process, resource, sandbox, start, switch};

/// Nothing listens there: a probe is answered by the other host's kernel, whatever its processes are doing, and costs
/// the database no connection.
pub(crate) const PROBE_PORT: u16 = 1;

/// How long a new client waits until it counts as one that is not served.
const SERVED_WITHIN: Duration = Duration::from_millis(700);

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

/// Packets dropped by one cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutCounter {
    /// Whose packets.
    pub from: String,
    /// To whom.
    pub to: String,
    /// How many since the cut was made.
    pub packets: u64,
}

/// A running cluster. Its methods may be called from several tasks and runtimes; keep it in an `Arc`.
pub struct Cluster {
    target: TargetName,
    names: Vec<String>,
    fabric: Fabric,
    backend: Backend,
    /// Runs the connections over which the database is asked; ends when this is dropped.
    _links: LinkThread,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("target", &self.target).field("info", &self.fabric.info).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Builds the network, starts the database and waits until it serves. Call it inside the sandbox, after
    /// [`sandbox::prepare_inside`]; a sandbox holds one cluster. Servers are started by this binary run as `internal-exec <spec>`, see
    /// [`crate::internal_exec`].
    pub async fn start(spec: ClusterSpec) -> Result<Self, ClusterError> {
        Self::start_with_helper(spec, Path::new("/proc/self/exe")).await
    }

    /// [`Cluster::start`] with another binary as the helper.
    pub async fn start_with_helper(spec: ClusterSpec, helper: &Path) -> Result<Self, ClusterError> {
        let plan = start::Plan::new(&spec)?;
        let links = LinkThread::start()?;
        let mut fabric = start::build_fabric(&spec, helper, links.runtime()).await?;
        let backend = start::prepare(plan, &spec, &mut fabric).await?;
        let names = fabric.info.nodes.iter().map(|node| node.name.clone()).collect();
        let cluster = Self { target: spec.target, names, fabric, backend, _links: links };
        let started = start::start(&cluster.backend, &cluster.fabric, spec.target).await;
        if let Err(error) = started {
            // The error says why; that the rest could not be killed either would hide it.
            let _ = cluster.shutdown().await;
            return Err(error);
        }
        Ok(cluster)
    }

    /// Everything another process needs to act on it.
    #[must_use]
    pub fn info(&self) -> SandboxInfo {
        self.fabric.info.clone()
    }

    /// `n1`, `n2`, …
    #[must_use]
    pub fn node_names(&self) -> &[String] {
        &self.names
    }

    /// Asks a node what it is, from within its own namespace, so that no partition can hide the answer. Takes at most
    /// 300 ms. A node that does not exist is unreachable.
    pub async fn claim(&self, node: &str) -> Claim {
        match self.names.iter().position(|name| name == node) {
            Some(index) => self.backend.claim(index).await,
            None => Claim { role: ClaimedRole::Unreachable, term: None },
        }
    }

    /// What a server of the node takes the time for, in nanoseconds since 1970; `None`: the database. Asked from within
    /// the node.
    pub(crate) async fn server_time_ns(
        &self,
        node: &str,
        process: Option<&str>,
        limit: Duration,
    ) -> Result<i64, String> {
        let index = self.names.iter().position(|name| name == node);
        let index = index.ok_or_else(|| format!("there is no node {node:?}"))?;
        self.backend.time_ns(index, process, limit).await.map_err(|error| format!("{node}: {error}"))
    }

    /// [`Step::run`] on a thread that may block.
    pub async fn run(&self, step: Step) -> Result<(), StepError> {
        let info = self.info();
        tokio::task::spawn_blocking(move || step.run(&info)).await.map_err(|_| StepError::Abandoned)?
    }

    /// Tries to reach host `to` from host `from` (`n1`, `c1`, …) by TCP. A cut in either direction gives
    /// [`Probe::Silent`]: an answer that is lost looks like a question that is lost.
    pub async fn probe(&self, from: &str, to: &str, timeout: Duration) -> Probe {
        let (host, address) = match self.host_and_address(from, to) {
            Ok(found) => found,
            Err(problem) => return Probe::Error(problem),
        };
        match tokio::time::timeout(timeout, host.connect(SocketAddrV4::new(address, PROBE_PORT))).await {
            Err(_) => Probe::Silent,
            Ok(Ok(_)) => Probe::Reached,
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Probe::Reached,
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Probe::Silent,
            Ok(Err(error)) => Probe::Error(error.to_string()),
        }
    }

    pub(crate) fn host(&self, name: &str) -> Result<&Host, String> {
        self.fabric.hosts.get(name).map(|host| &**host).ok_or_else(|| format!("there is no host {name:?}"))
    }

    /// How many of three clients that come now the node's server serves. They come from the node itself, so that no
    /// partition can hide it.
    pub(crate) async fn served_clients(&self, node: &str) -> Result<f64, String> {
        let (host, _) = self.host_and_address(node, node)?;
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.client_port());
        let served = async || {
            let stream = host.connect(to).await.map_err(|error| error.to_string())?;
            self.backend.serves(stream).await
        };
        let bounded = async || tokio::time::timeout(SERVED_WITHIN, served()).await.is_ok_and(|served| served.is_ok());
        let (first, second, third) = tokio::join!(bounded(), bounded(), bounded());
        Ok([first, second, third].into_iter().map(u8::from).map(f64::from).sum())
    }

    /// Whether the server starts a process for every client.
    pub(crate) const fn forks_for_clients(&self) -> bool {
        matches!(self.backend, Backend::Postgres(_))
    }

    pub(crate) fn node(&self, name: &str) -> Result<&NodeInfo, String> {
        self.fabric.info.node(name).ok_or_else(|| format!("there is no node {name:?}"))
    }

    pub(crate) fn host_and_address(&self, from: &str, to: &str) -> Result<(&Host, Ipv4Addr), String> {
        match (self.fabric.hosts.get(from), self.fabric.info.address(to)) {
            (Some(host), Some(address)) => Ok((host, address)),
            _ => Err(format!("there is no host {from:?} or {to:?}")),
        }
    }

    /// The packets that each cut in force has dropped: whether it bites.
    pub async fn cut_counters(&self) -> Result<Vec<CutCounter>, StepError> {
        let counters = tokio::task::spawn_blocking(nft::counters).await.map_err(|_| StepError::Abandoned)??;
        let name = |address: Ipv4Addr| {
            let host = self.fabric.hosts.values().find(|host| host.address == address);
            host.map_or_else(|| address.to_string(), |host| host.name.clone())
        };
        let named = |((from, to), packets)| CutCounter { from: name(from), to: name(to), packets };
        Ok(counters.into_iter().map(named).collect())
    }

    /// What the steps of a fault have to tell that only they know (which bits were turned over, that a server refused
    /// its files), a line each; what was told once is not told again.
    pub async fn take_notes(&self, fault: u32) -> Vec<String> {
        let info = self.info();
        let take = move || info.nodes.iter().flat_map(|node| disk::damage::take_notes(node, fault)).collect();
        tokio::task::spawn_blocking(take).await.unwrap_or_default()
    }

    /// Everything that the nodes have written so far gets to their disks: what was there before faults begin is not
    /// what a power loss is about. Does nothing where data is in memory.
    pub async fn sync_disks(&self) -> Result<(), StepError> {
        let info = self.info();
        tokio::task::spawn_blocking(move || disk::sync_all(&info)).await.map_err(|_| StepError::Abandoned)?
    }

    /// What faults have left in the running cluster: nothing, once they are healed.
    pub async fn remains(&self) -> Result<Vec<String>, StepError> {
        let cuts = self.cut_counters().await?;
        let mut found: Vec<String> = cuts.into_iter().map(|cut| format!("cut {}→{}", cut.from, cut.to)).collect();
        let info = self.info();
        let look = move || -> Result<Vec<String>, StepError> {
            let mut found = switch::remains()?;
            found.extend(clock::remains(&info)?);
            for node in &info.nodes {
                found.extend(resource::remains(node));
                found.extend(resource::limited(node));
                found.extend(disk::remains(&info, node).doing(|| format!("look at the disk of {}", node.name))?);
            }
            found.extend(fuse::remains(&info.nodes));
            Ok(found)
        };
        found.extend(tokio::task::spawn_blocking(look).await.map_err(|_| StepError::Abandoned)??);
        Ok(found)
    }

    /// What the node's processes are doing, from the kernel and not from the database. A node that does not exist is
    /// dead.
    #[must_use]
    pub fn node_state(&self, node: &str) -> NodeState {
        let state = self.fabric.info.node(node).map(process::state);
        // Its cgroup or namespace is gone, and with it whatever ran there.
        state.and_then(Result::ok).unwrap_or(NodeState::Dead)
    }

    /// Promotes the most advanced standby that answers and is not in `avoid` (by what it received), and points the
    /// other such standbys to it. Nothing is done to the old primary, nor to nodes in `avoid`.
    pub async fn failover(&self, avoid: &[String]) -> Result<Failover, ClusterError> {
        match &self.backend {
            Backend::Postgres(postgres) if postgres.can_fail_over() => postgres.failover(avoid).await,
            _ => Err(self.unsupported("failover")),
        }
    }

    /// Makes a node, typically an old primary, follow the present primary; says how. A node that already does is left
    /// alone.
    pub async fn rejoin(&self, node: &str) -> Result<String, ClusterError> {
        match &self.backend {
            Backend::Postgres(postgres) if postgres.can_fail_over() => postgres.rejoin(node).await,
            _ => Err(self.unsupported("rejoin")),
        }
    }

    fn unsupported(&self, what: &'static str) -> ClusterError {
        ClusterError::Unsupported { target: self.target.to_string(), what }
    }

    /// Whether the goal is reached, else what is missing. Looks once; the caller repeats.
    pub async fn recovered(&self, goal: RecoveryGoal) -> Result<(), String> {
        match goal {
            RecoveryGoal::OnePrimary => self.backend.one_primary().await,
            RecoveryGoal::AllServing => self.backend.all_serving().await,
        }
    }

    /// Connects from client site `site` (from 0) to a node. The stream belongs to the caller's runtime; the caller sets
    /// the time limit. TCP_NODELAY is set, and TCP_USER_TIMEOUT to 30 s.
    pub async fn dial(&self, site: u32, node: &str, port: u16) -> io::Result<TcpStream> {
        let unknown = |what: String| io::Error::new(io::ErrorKind::NotFound, format!("there is no {what}"));
        let address = self.fabric.info.node(node).map(|node| node.address);
        let address = address.ok_or_else(|| unknown(format!("node {node:?}")))?;
        let name = self.fabric.info.sites.get(site as usize).map(|site| &site.name);
        let host = name.and_then(|name| self.fabric.hosts.get(name));
        let host: &Arc<Host> = host.ok_or_else(|| unknown(format!("client site {site}")))?;
        host.connect(SocketAddrV4::new(address, port)).await
    }

    /// A program to be run on client site `site` (from 0), where it reaches the nodes as a client beside that site's node
    /// does.
    ///
    /// # Errors
    /// There is no such site.
    pub fn command_on_site(&self, site: u32, program: &Path) -> io::Result<tokio::process::Command> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("there is no client site {site}"));
        let netns = std::fs::File::open(&self.fabric.info.sites.get(site as usize).ok_or_else(unknown)?.netns)?;
        let mut command = tokio::process::Command::new(program);
        // SAFETY: between fork and exec only a system call is made, on a file that the closure owns.
        unsafe { command.pre_exec(move || Ok(setns(&netns, CloneFlags::CLONE_NEWNET)?)) };
        Ok(command)
    }

    /// One question in the database's own language (a query, a command and its words), asked as a client beside the node
    /// would, over a connection of its own; the first value of the answer, empty when there is none. The caller sets
    /// the time limit.
    pub async fn ask(&self, node: &str, question: &str) -> Result<String, String> {
        let site = self.names.iter().position(|name| name == node).unwrap_or(0);
        let dialled = self.dial(site as u32, node, self.client_port()).await;
        self.backend.ask(dialled.map_err(|error| error.to_string())?, question).await
    }

    /// The port on which clients are served.
    #[must_use]
    pub fn client_port(&self) -> u16 {
        self.target.database().client_port()
    }

    /// Kills everything and removes what the sandbox's end does not take with it. Idempotent.
    pub async fn shutdown(&self) -> Result<(), ClusterError> {
        let info = self.info();
        let stop = move || -> Result<(), ClusterError> {
            if let Some(root) = &info.cgroup_root {
                return Ok(sandbox::remove_leftovers(root).doing(|| format!("remove {}", root.display()))?);
            }
            let kill = |node: &NodeInfo| process::kill_all(node);
            Ok(info.nodes.iter().try_for_each(kill)?)
        };
        tokio::task::spawn_blocking(stop).await.map_err(|_| StepError::Abandoned)?
    }

    /// Whether the target can do something: `failover` and `rejoin` need a PostgreSQL cluster; `kill`, `pause` and
    /// `partition` every target can. Anything else is `false`.
    #[must_use]
    pub fn supports(&self, ability: &str) -> bool {
        match (&self.backend, ability) {
            (Backend::Postgres(postgres), "failover" | "rejoin") => postgres.can_fail_over(),
            (Backend::Redis(_), "failover" | "rejoin") => false,
            _ => ["kill", "pause", "partition"].contains(&ability),
        }
    }
}

//! Redis: one server, or three with a Sentinel beside each.

mod command;
mod files;

use std::net::Ipv4Addr;
use std::time::Duration;

use ::redis::Value;
use tokio::net::TcpStream;

use self::command::{Commands, Role, field, items, text, words};
use self::files::{MASTER, Settings};
use super::{ANSWER_WITHIN, CLAIM_WITHIN, Fabric, Program};
use crate::cluster::{Claim, ClaimedRole};
use crate::error::ClusterError;
use crate::info::ClusterSpec;
use crate::link::{Link, Protocol as _};
use crate::sandbox::ServerBinary;
use crate::target::Topology;

pub(crate) use self::files::{check_settings, prepare, settings};

pub(super) const SERVER_PORT: u16 = 6379;
pub(super) const SENTINEL_PORT: u16 = 26379;

const INSTALL: &str = "sudo apt-get install redis-server";
const INSTALL_SENTINEL: &str = "sudo apt-get install redis-sentinel";

/// A replica that attaches waits for others that might share its copy: five seconds by default.
const SYNC_DELAY: &str = "repl-diskless-sync-delay";

/// One command over a connection of its own; its answer, or the first item of a list.
pub(super) async fn ask(stream: TcpStream, command: &str) -> Result<String, String> {
    let words = command.split_whitespace().map(ToOwned::to_owned).collect();
    let answer = Commands::open(stream).await?.ask(words).await?;
    let first = command::items(&answer).first().unwrap_or(&answer);
    Ok(command::text(first).unwrap_or_default())
}

pub(crate) fn server_binaries() -> Vec<ServerBinary> {
    let binary = |name, found: Option<Program>, package, fix| ServerBinary {
        name,
        path: found.as_ref().map(|found| found.path.clone()),
        version: found.map(|found| found.version),
        package,
        fix,
    };
    vec![
        binary("redis-server", Program::on_path("redis-server"), "redis-server", INSTALL),
        binary("redis-sentinel", find_sentinel(), "redis-sentinel", INSTALL_SENTINEL),
    ]
}

/// The server is its own Sentinel when started as one.
fn find_sentinel() -> Option<Program> {
    Program::on_path("redis-sentinel").or_else(|| Program::on_path("redis-server"))
}

/// What is settled before the network is built: so that a missing program or a bad setting costs nothing.
#[derive(Debug)]
pub(crate) struct Plan {
    server: Program,
    sentinel: Option<Program>,
    settings: Settings,
}

impl Plan {
    pub(crate) fn new(spec: &ClusterSpec) -> Result<Self, ClusterError> {
        let settings = Settings::check(&spec.settings, spec.target.topology())?;
        let missing = |program: &str, command: &str| ClusterError::Missing {
            program: program.to_owned(),
            command: command.to_owned(),
        };
        let server = Program::on_path("redis-server").ok_or_else(|| missing("redis-server", INSTALL))?;
        let sentinel = match spec.target.topology() {
            Topology::Sentinel => Some(find_sentinel().ok_or_else(|| missing("redis-sentinel", INSTALL_SENTINEL))?),
            _ => None,
        };
        Ok(Self { server, sentinel, settings })
    }
}

/// Whether a new client is let in and gets an answer.
pub(crate) async fn serves(stream: TcpStream) -> Result<(), String> {
    Commands::open(stream).await?.ask(words(&["PING"])).await.map(drop)
}

struct Node {
    name: String,
    address: Ipv4Addr,
    monitor: Link<Commands>,
    admin: Link<Commands>,
    sentinel: Option<Link<Commands>>,
    /// For what the time is: its answer is worth as much as it is fast.
    clock: Link<Commands>,
}

/// A running Redis cluster.
pub(crate) struct Redis {
    nodes: Vec<Node>,
}

impl Redis {
    pub(crate) fn new(plan: &Plan, fabric: &Fabric) -> Self {
        let node = |info: &crate::info::NodeInfo| {
            let link = |port| Link::new(fabric.hosts[&info.name].clone(), port, fabric.links.clone());
            Node {
                name: info.name.clone(),
                address: info.address,
                monitor: link(SERVER_PORT),
                admin: link(SERVER_PORT),
                clock: link(SERVER_PORT),
                sentinel: plan.sentinel.is_some().then(|| link(SENTINEL_PORT)),
            }
        };
        Self { nodes: fabric.info.nodes.iter().map(node).collect() }
    }

    pub(crate) async fn claim(&self, node: usize) -> Claim {
        let node = &self.nodes[node];
        // Within the same time limit, and only a bonus: no answer from Sentinel is no term.
        let (role, term) = tokio::join!(node.monitor.ask(words(&["ROLE"]), CLAIM_WITHIN), node.epoch());
        let role = match role.as_ref().map(Role::parse) {
            Ok(Some(Role::Master { .. })) => ClaimedRole::Primary,
            Ok(Some(Role::Replica { .. })) => ClaimedRole::Replica,
            Ok(None) => ClaimedRole::Neither,
            Err(_) => ClaimedRole::Unreachable,
        };
        Claim { role, term: term.filter(|_| role == ClaimedRole::Primary) }
    }

    pub(crate) async fn time_ns(&self, node: usize, limit: Duration) -> Result<i64, String> {
        let answer = self.nodes[node].clock.ask(words(&["TIME"]), limit).await?;
        let part = |index: usize| items(&answer).get(index).and_then(text).and_then(|part| part.parse::<i64>().ok());
        let micros =
            part(0).zip(part(1)).and_then(|(seconds, micros)| seconds.checked_mul(1_000_000)?.checked_add(micros));
        micros.and_then(|micros| micros.checked_mul(1_000)).ok_or_else(|| "unexpected answer to TIME".to_owned())
    }

    /// A Sentinel has no `TIME`, but tells it in `INFO`.
    pub(crate) async fn sentinel_time_ns(&self, node: usize, limit: Duration) -> Result<i64, String> {
        let sentinel = self.nodes[node].sentinel.as_ref().ok_or("it has no Sentinel")?;
        let answer = sentinel.ask(words(&["INFO", "server"]), limit).await?;
        let info = text(&answer).unwrap_or_default();
        let micros = info.lines().find_map(|line| line.strip_prefix("server_time_usec:")?.trim().parse::<i64>().ok());
        micros.and_then(|micros| micros.checked_mul(1_000)).ok_or_else(|| "no server_time_usec in INFO".to_owned())
    }

    pub(crate) async fn all_serving(&self) -> Result<(), String> {
        for node in &self.nodes {
            // Any read will do; a server that is still loading refuses it.
            node.ask(&["GET", "schism"]).await?;
        }
        Ok(())
    }

    /// One master; both replicas connected to it, with what it had sent when it was asked; all Sentinels of one mind.
    pub(crate) async fn one_primary(&self) -> Result<(), String> {
        let (primary, offset) = self.servers_agree().await?;
        for node in &self.nodes {
            if let Some(sentinel) = &node.sentinel {
                node.sentinel_agrees(sentinel, primary, self.nodes.len()).await?;
            }
        }
        // Last, so that what Sentinels took has been time to catch up.
        self.caught_up(primary, offset).await
    }

    /// The part of it that does not need Sentinels: the one master, and how far it is.
    pub(crate) async fn servers_agree(&self) -> Result<(Ipv4Addr, i64), String> {
        let mut masters = Vec::new();
        for node in &self.nodes {
            if let Role::Master { offset } = node.role().await? {
                masters.push((node.address, offset));
            }
        }
        let [(primary, offset)] = masters[..] else {
            return Err(format!("{} nodes claim to be the primary", masters.len()));
        };
        self.caught_up(primary, 0).await?;
        Ok((primary, offset))
    }

    async fn caught_up(&self, primary: Ipv4Addr, wanted: i64) -> Result<(), String> {
        for node in self.nodes.iter().filter(|node| node.address != primary) {
            match node.role().await? {
                Role::Master { .. } => return Err(format!("{} claims to be a primary too", node.name)),
                Role::Replica { master, .. } if master != primary.to_string() => {
                    return Err(format!("{} follows {master}, not {primary}", node.name));
                }
                Role::Replica { state, .. } if state != "connected" => {
                    return Err(format!("{} is in state {state}", node.name));
                }
                Role::Replica { offset, .. } if offset < wanted => {
                    return Err(format!("{} is at offset {offset} of {wanted}", node.name));
                }
                Role::Replica { .. } => {}
            }
        }
        Ok(())
    }

    /// For the start only: lets replicas attach at once; gives what to set it back to.
    pub(crate) async fn without_sync_delay(&self) -> Result<String, String> {
        let before = self.nodes[0].ask(&["CONFIG", "GET", SYNC_DELAY]).await?;
        let before = field(&before, SYNC_DELAY).ok_or_else(|| format!("no {SYNC_DELAY}"))?;
        self.set_sync_delay("0").await?;
        Ok(before)
    }

    pub(crate) async fn set_sync_delay(&self, value: &str) -> Result<(), String> {
        self.nodes[0].ask(&["CONFIG", "SET", SYNC_DELAY, value]).await.map(drop)
    }
}

impl Node {
    async fn ask(&self, command: &[&str]) -> Result<Value, String> {
        let answer = self.admin.ask(words(command), ANSWER_WITHIN).await;
        answer.map_err(|error| format!("{}: {error}", self.name))
    }

    async fn role(&self) -> Result<Role, String> {
        let answer = self.ask(&["ROLE"]).await?;
        Role::parse(&answer).ok_or_else(|| format!("{}: unexpected answer to ROLE", self.name))
    }

    /// The configuration epoch under which this node's own Sentinel holds it for the primary.
    async fn epoch(&self) -> Option<u64> {
        let question = words(&["SENTINEL", "MASTER", MASTER]);
        let state = self.sentinel.as_ref()?.ask(question, CLAIM_WITHIN).await.ok()?;
        (field(&state, "ip")? == self.address.to_string()).then_some(())?;
        field(&state, "config-epoch")?.parse().ok()
    }

    async fn sentinel_agrees(&self, link: &Link<Commands>, primary: Ipv4Addr, nodes: usize) -> Result<(), String> {
        let name = &self.name;
        let state = link.ask(words(&["SENTINEL", "MASTER", MASTER]), ANSWER_WITHIN).await;
        let state = state.map_err(|error| format!("{name}'s Sentinel: {error}"))?;
        let number = |key: &str| field(&state, key).and_then(|count| count.parse::<usize>().ok()).unwrap_or(0);
        let ip = field(&state, "ip").unwrap_or_default();
        if ip != primary.to_string() {
            return Err(format!("{name}'s Sentinel takes {ip} for the primary, not {primary}"));
        }
        if field(&state, "flags").as_deref() != Some("master") {
            let flags = field(&state, "flags").unwrap_or_default();
            return Err(format!("{name}'s Sentinel sees the primary as {flags}"));
        }
        let (others, replicas) = (number("num-other-sentinels"), number("num-slaves"));
        if (others, replicas) != (nodes - 1, nodes - 1) {
            return Err(format!("{name}'s Sentinel knows {others} other Sentinels and {replicas} replicas"));
        }
        Ok(())
    }
}

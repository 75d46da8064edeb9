//! PostgreSQL: one server, or a primary with two streaming standbys.

mod files;
mod replication;
mod sql;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Mutex;

use self::sql::{Row, Sql};
use super::{ANSWER_WITHIN, CLAIM_WITHIN, Fabric, Program};
use crate::cluster::{Claim, ClaimedRole};
use crate::error::ClusterError;
use crate::info::{ClusterSpec, NodeInfo, SandboxInfo};
use crate::link::{Link, Protocol as _};
use crate::sandbox::ServerBinary;
use crate::target::{TargetName, Topology};

pub(crate) use self::files::{check_settings, prepare, settings};

const INSTALL: &str = "sudo apt-get install postgresql";

/// A timeline counts promotions; on a primary it is part of the name of the WAL file that it writes, on a standby it is
/// what it receives. The control file's lags behind a promotion until the next checkpoint.
const CLAIM: &str = "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN \
     coalesce((SELECT received_tli FROM pg_stat_wal_receiver), (SELECT timeline_id FROM pg_control_checkpoint())) \
     ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END";

/// One query over a connection of its own; the first column of the first row.
pub(super) async fn ask(stream: TcpStream, sql: &str) -> Result<String, String> {
    let rows = Sql::open(stream).await?.ask(sql.to_owned()).await?;
    Ok(sql::text(&rows, 0).to_owned())
}

/// The programs of the newest installed server.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    pub(crate) bin: PathBuf,
    pub(crate) server: Program,
}

impl Installation {
    fn find() -> Option<Self> {
        let mut versions = versioned_directories();
        versions.sort();
        let on_path = || Program::on_path("pg_config").and_then(|config| bin_directory(&config.path));
        let candidates = versions.into_iter().rev().map(|(_, bin)| bin).chain(on_path());
        candidates.filter_map(|bin| Some(Self { server: Program::at(bin.join("postgres"))?, bin })).next()
    }

    pub(crate) fn require() -> Result<Self, ClusterError> {
        let missing = || ClusterError::Missing { program: "postgres".to_owned(), command: INSTALL.to_owned() };
        Self::find().ok_or_else(missing)
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// `15` of `postgres (PostgreSQL) 15.16 (Debian …)`.
    pub(crate) fn major(&self) -> u32 {
        let digits = |word: &str| word.split('.').next().and_then(|major| major.parse().ok());
        self.server.version.split(' ').find_map(digits).unwrap_or(0)
    }
}

/// Where Debian's and Red Hat's packages put each major version.
fn versioned_directories() -> Vec<(u32, PathBuf)> {
    let mut found = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")] {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok());
            found.extend(version.map(|version| (version, entry.path().join("bin"))));
        }
    }
    found
}

fn bin_directory(pg_config: &Path) -> Option<PathBuf> {
    let output = std::process::Command::new(pg_config).arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

pub(crate) fn server_binaries() -> Vec<ServerBinary> {
    let found = Installation::find();
    vec![ServerBinary {
        name: "postgres",
        path: found.as_ref().map(|found| found.server.path.clone()),
        version: found.map(|found| found.server.version),
        package: "postgresql",
        fix: INSTALL,
    }]
}

/// What is settled before the network is built: so that a missing program or a bad setting costs nothing.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) installation: Installation,
    pub(crate) target: TargetName,
    pub(crate) settings: Vec<(String, String)>,
}

impl Plan {
    pub(crate) fn new(spec: &ClusterSpec) -> Result<Self, ClusterError> {
        let settings = files::check_settings(&spec.settings)?;
        Ok(Self { installation: Installation::require()?, target: spec.target, settings })
    }
}

struct Node {
    info: NodeInfo,
    /// For claims only: a promotion or a checkpoint on the other link must not look like an unreachable node.
    monitor: Link<Sql>,
    admin: Link<Sql>,
    /// For what the time is: its answer is worth as much as it is fast.
    clock: Link<Sql>,
}

/// A running PostgreSQL cluster.
pub(crate) struct Postgres {
    installation: Installation,
    target: TargetName,
    sandbox: SandboxInfo,
    nodes: Vec<Node>,
    /// The node that was last made the primary.
    appointed: Mutex<usize>,
}

impl Postgres {
    pub(crate) fn new(plan: Plan, fabric: &Fabric) -> Self {
        let port = plan.target.database().client_port();
        let node = |info: &NodeInfo| {
            let link = || Link::new(fabric.hosts[&info.name].clone(), port, fabric.links.clone());
            Node { info: info.clone(), monitor: link(), admin: link(), clock: link() }
        };
        Self {
            installation: plan.installation,
            target: plan.target,
            nodes: fabric.info.nodes.iter().map(node).collect(),
            sandbox: fabric.info.clone(),
            appointed: Mutex::new(0),
        }
    }

    pub(crate) async fn claim(&self, node: usize) -> Claim {
        claim(&self.nodes[node].monitor, CLAIM_WITHIN).await
    }

    pub(crate) async fn time_ns(&self, node: usize, limit: Duration) -> Result<i64, String> {
        const TIME: &str = "SELECT round(extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        let rows = self.nodes[node].clock.ask(TIME.to_owned(), limit).await?;
        let micros: Option<i64> = sql::text(&rows, 0).parse().ok();
        micros.and_then(|micros| micros.checked_mul(1_000)).ok_or_else(|| "no time".to_owned())
    }

    pub(crate) const fn can_fail_over(&self) -> bool {
        !matches!(self.target.topology(), Topology::Single)
    }

    pub(crate) async fn all_serving(&self) -> Result<(), String> {
        for node in &self.nodes {
            node.query("SELECT 1").await.map_err(|error| format!("{}: {error}", node.info.name))?;
        }
        Ok(())
    }

    /// All nodes answer, one is not in recovery, and the others stream from it and have replayed what it had written
    /// when it was asked.
    pub(crate) async fn one_primary(&self) -> Result<(), String> {
        let mut primaries = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let rows = node.query("SELECT pg_is_in_recovery()").await;
            let rows = rows.map_err(|error| format!("{}: {error}", node.info.name))?;
            if sql::text(&rows, 0) == "f" {
                primaries.push(index);
            }
        }
        let [primary] = primaries[..] else {
            return Err(format!("{} nodes claim to be the primary", primaries.len()));
        };
        let primary = &self.nodes[primary];
        let written = primary.query("SELECT pg_current_wal_lsn()").await?;
        let written = sql::text(&written, 0);
        for standby in self.nodes.iter().filter(|node| node.info.name != primary.info.name) {
            primary.has_caught_up(&standby.info.name, written).await?;
        }
        Ok(())
    }
}

/// Whether a new session is let in and gets an answer.
pub(crate) async fn serves(stream: TcpStream) -> Result<(), String> {
    Sql::open(stream).await?.ask("SELECT 1".to_owned()).await.map(drop)
}

async fn claim(link: &Link<Sql>, limit: Duration) -> Claim {
    let Ok(rows) = link.ask(CLAIM.to_owned(), limit).await else {
        return Claim { role: ClaimedRole::Unreachable, term: None };
    };
    let role = if sql::text(&rows, 0) == "f" { ClaimedRole::Primary } else { ClaimedRole::Replica };
    Claim { role, term: sql::text(&rows, 1).parse().ok() }
}

impl Node {
    async fn query(&self, sql: &str) -> Result<Vec<Row>, String> {
        self.query_within(sql, ANSWER_WITHIN).await
    }

    async fn query_within(&self, sql: &str, limit: Duration) -> Result<Vec<Row>, String> {
        self.admin.ask(sql.to_owned(), limit).await
    }

    /// Asked of the primary: by name, because a running base backup streams too.
    async fn has_caught_up(&self, standby: &str, position: &str) -> Result<(), String> {
        let sql = format!(
            "SELECT state, replay_lsn >= {}::pg_lsn FROM pg_stat_replication WHERE application_name = {}",
            sql::literal(position),
            sql::literal(standby)
        );
        let rows = self.query(&sql).await?;
        let states: Vec<&str> = rows.iter().map(|row| row[0].as_deref().unwrap_or("")).collect();
        match (&states[..], rows.first().and_then(|row| row[1].as_deref())) {
            (["streaming"], Some("t")) => Ok(()),
            (["streaming"], _) => Err(format!("{standby} has not replayed {position} yet")),
            ([], _) => Err(format!("{standby} does not stream from {}", self.info.name)),
            (states, _) => Err(format!("{standby} is in state {}", states.join(", "))),
        }
    }
}

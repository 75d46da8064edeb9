//! The databases: their files, their start, and what is asked of them.

pub(crate) mod postgres;
pub(crate) mod redis;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::cluster::Claim;
use crate::error::{ClusterError, Doing, StepError};
use crate::exec::{ExecSpec, SERVER_UID, can_become};
use crate::info::{NodeInfo, ProcessSpec, SandboxInfo, StopSignal};
use crate::network::Host;
use crate::{path, process};

/// How long a node has for its claim.
pub(crate) const CLAIM_WITHIN: Duration = Duration::from_millis(300);

/// How long one administrative question may take; local, so a slow answer is a machine under load.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// How often a condition that we wait for is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(25);

/// What a database needs of the sandbox that it is started in.
pub(crate) struct Fabric {
    pub(crate) info: SandboxInfo,
    pub(crate) hosts: BTreeMap<String, Arc<Host>>,
    pub(crate) links: Handle,
}

/// The database of a cluster.
pub(crate) enum Backend {
    Postgres(Box<postgres::Postgres>),
    Redis(redis::Redis),
}

impl Backend {
    pub(crate) async fn claim(&self, node: usize) -> Claim {
        match self {
            Self::Postgres(postgres) => postgres.claim(node).await,
            Self::Redis(redis) => redis.claim(node).await,
        }
    }

    /// What a server takes the time for, in nanoseconds since 1970; `None`: the database.
    pub(crate) async fn time_ns(&self, node: usize, process: Option<&str>, limit: Duration) -> Result<i64, String> {
        match (self, process) {
            (Self::Postgres(postgres), None | Some("postgres")) => postgres.time_ns(node, limit).await,
            (Self::Redis(redis), None | Some("redis")) => redis.time_ns(node, limit).await,
            (Self::Redis(redis), Some("sentinel")) => redis.sentinel_time_ns(node, limit).await,
            (_, Some(other)) => Err(format!("nobody can ask {other:?} for its time")),
        }
    }

    /// Whether the cluster is as it should be after its start; else what is missing.
    pub(crate) async fn one_primary(&self) -> Result<(), String> {
        match self {
            Self::Postgres(postgres) => postgres.one_primary().await,
            Self::Redis(redis) => redis.one_primary().await,
        }
    }

    /// One question over this connection, which nobody else uses; the first value of the answer.
    pub(crate) async fn ask(&self, stream: TcpStream, question: &str) -> Result<String, String> {
        match self {
            Self::Postgres(_) => postgres::ask(stream, question).await,
            Self::Redis(_) => redis::ask(stream, question).await,
        }
    }

    /// Whether a new client that comes on this connection is served.
    pub(crate) async fn serves(&self, stream: TcpStream) -> Result<(), String> {
        match self {
            Self::Postgres(_) => postgres::serves(stream).await,
            Self::Redis(_) => redis::serves(stream).await,
        }
    }

    pub(crate) async fn all_serving(&self) -> Result<(), String> {
        match self {
            Self::Postgres(postgres) => postgres.all_serving().await,
            Self::Redis(redis) => redis.all_serving().await,
        }
    }
}

/// A server program that was found.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

impl Program {
    /// Asks the program at this path for its version.
    pub(crate) fn at(path: PathBuf) -> Option<Self> {
        let output = Command::new(&path).arg("--version").stdin(Stdio::null()).output().ok()?;
        let version = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
        output.status.success().then_some(Self { path, version })
    }

    /// The first of this name on the path.
    pub(crate) fn on_path(name: &str) -> Option<Self> {
        path::candidates(name).find_map(Self::at)
    }
}

/// Makes a directory that belongs to the servers' user.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), ClusterError> {
    fs::create_dir_all(path).doing(|| format!("make {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).doing(|| format!("open up {}", path.display()))?;
    give_to_server(path)
}

/// Writes a file that belongs to the servers' user.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::write(path, text).doing(|| format!("write {}", path.display()))?;
    give_to_server(path)
}

/// In a user namespace with one user everything belongs to the servers already: theirs is ours by another name.
fn give_to_server(path: &Path) -> Result<(), ClusterError> {
    if can_become(SERVER_UID).doing(|| "read /proc/self/uid_map".to_owned())? {
        chown(path, Some(SERVER_UID), Some(SERVER_UID)).doing(|| format!("give away {}", path.display()))?;
    }
    Ok(())
}

/// Copies a directory and all below it.
pub(crate) fn copy_tree(from: &Path, to: &Path, owned_by_server: bool) -> Result<(), ClusterError> {
    let what = || format!("copy {}", from.display());
    fs::create_dir_all(to).doing(what)?;
    fs::set_permissions(to, fs::metadata(from).doing(what)?.permissions()).doing(what)?;
    for entry in fs::read_dir(from).doing(what)? {
        let entry = entry.doing(what)?;
        let target = to.join(entry.file_name());
        if entry.file_type().doing(what)?.is_dir() {
            copy_tree(&entry.path(), &target, owned_by_server)?;
            continue;
        }
        fs::copy(entry.path(), &target).doing(what)?;
        if owned_by_server {
            give_to_server(&target)?;
        }
    }
    if owned_by_server { give_to_server(to) } else { Ok(()) }
}

/// Runs a program of the database inside a node that has no server running, as the servers' user; gives its output.
pub(crate) async fn run_tool(
    helper: &Path,
    node: &NodeInfo,
    program: PathBuf,
    args: Vec<String>,
    limit: Duration,
) -> Result<String, ClusterError> {
    let name = program.display().to_string();
    let fail = |output: String| ClusterError::Tool { program: name.clone(), output };
    let process = ProcessSpec {
        name: "tool".to_owned(),
        program,
        args,
        env: server_env(),
        log: PathBuf::new(),
        greeting: None,
        stop_signal: StopSignal::default(),
    };
    let args = ExecSpec::tool(node, process).args().map_err(|error| fail(error.to_string()))?;
    let mut command = tokio::process::Command::new(helper);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let finished = tokio::time::timeout(limit, command.output()).await;
    let Ok(output) = finished else {
        // The tool may have children, which would go on writing. Tools run where no server does.
        let node = node.clone();
        tokio::task::spawn_blocking(move || process::kill_all(&node)).await.map_err(|_| StepError::Abandoned)??;
        return Err(fail(format!("no end within {} s", limit.as_secs())));
    };
    let output = output.doing(|| format!("run {name}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(fail(text)) }
}

/// The whole environment of servers and tools: the user's own must not change what is tested.
pub(crate) fn server_env() -> BTreeMap<String, String> {
    let pairs = [("LC_ALL", "C.UTF-8"), ("PATH", "/usr/local/bin:/usr/bin:/bin"), ("TZ", "UTC"), ("HOME", "/tmp")];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The last lines of each process's log, for an error.
pub(crate) fn log_tails(nodes: &[NodeInfo]) -> String {
    const LINES: usize = 20;
    let mut text = String::new();
    for process in nodes.iter().flat_map(|node| &node.processes) {
        let log = String::from_utf8_lossy(&fs::read(&process.log).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        text += &format!("\n--- {} (last lines)", process.log.display());
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            text += &format!("\n{line}");
        }
    }
    text
}

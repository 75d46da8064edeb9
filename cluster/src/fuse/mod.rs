//! A file system per node whose operations can be made slow, fail, or take only a part: a FUSE pass-through, mounted
//! over the node's data directory before its servers start.
//!
//! In the file system and not in the server: by preloading a library or rewriting system calls one would miss what a
//! server does another way (io_uring, static binaries), and a disk fails below the kernel's page cache, not above it.
//!
//! ```text
//! server ── kernel ── /dev/fuse ── internal-fuse (rules) ── the directory as it was before the mount
//!                                       ▲
//!      controller, guardian, heal ──────┘ fuse.sock: set a rule, lift a rule, tell
//! ```

mod backing;
mod daemon;
mod delay;
mod files;
mod judge;
mod passthrough;
mod probe;
mod rule;

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use self::daemon::{Ask, FuseSpec, Told};
use crate::disk;
use crate::error::{ClusterError, Doing, StepError};
use crate::info::{NodeInfo, SandboxInfo};
use crate::step::run_helper;

pub use self::daemon::internal_fuse;
pub use self::files::DiskFiles;
pub(crate) use self::probe::{FAR_TOO_LONG, Probed, probe};
pub use self::rule::{DiskEffect, DiskError, DiskOperation, DiskRule};

/// It answers within milliseconds; a rule on reads makes it drop pages first.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// What is served: the directory that holds the database of a node, PostgreSQL's or Redis'.
pub(crate) fn mount_point(node: &NodeInfo) -> PathBuf {
    disk::data(node)
}

/// Mounts every node's file system and notes it in the node. The data directories have their first files by now; no
/// server runs yet.
pub(crate) async fn mount_all(info: &mut SandboxInfo, results: &Path) -> Result<(), ClusterError> {
    let helper = info.helper.clone();
    for node in &mut info.nodes {
        let socket = node.directory.join("fuse.sock");
        let spec = FuseSpec {
            directory: mount_point(node),
            socket: socket.clone(),
            cgroup: node.cgroup.clone(),
            log: results.join(&node.name).join("fuse.log"),
        };
        let fail = |output: String| ClusterError::Tool { program: "internal-fuse".to_owned(), output };
        let spec = serde_json::to_string(&spec).map_err(|error| fail(error.to_string()))?;
        let mut command = Command::new(&helper);
        command.args(["internal-fuse".to_owned(), spec]);
        let mounted = tokio::task::spawn_blocking(move || run_helper(&mut command)).await;
        mounted.map_err(|_| StepError::Abandoned)?.map_err(fail)?;
        node.fuse = Some(socket);
    }
    Ok(())
}

pub(crate) fn set_rule(node: &NodeInfo, id: u32, rule: &DiskRule) -> Result<(), StepError> {
    ask(node, &Ask::Set { id, rule: rule.clone() }).map(drop)
}

pub(crate) fn lift_rule(node: &NodeInfo, id: u32) -> Result<(), StepError> {
    ask(node, &Ask::Lift { id }).map(drop)
}

/// How many of the database's own operations a fault's rule has changed so far.
pub(crate) fn hits(node: &NodeInfo, id: u32) -> Result<u64, StepError> {
    Ok(ask(node, &Ask::Tell)?.counts.get(&id).map_or(0, |counts| counts.hit))
}

/// What is wrong with the file systems of these nodes: rules that are in force, a file system that is gone.
pub(crate) fn remains(nodes: &[NodeInfo]) -> Vec<String> {
    let of_node = |node: &NodeInfo| match ask(node, &Ask::Tell) {
        Ok(told) => told.rules.keys().map(|id| format!("rule of fault {id} on the files of {}", node.name)).collect(),
        Err(error) => vec![error.to_string()],
    };
    nodes.iter().filter(|node| node.fuse.is_some()).flat_map(of_node).collect()
}

fn ask(node: &NodeInfo, question: &Ask) -> Result<Told, StepError> {
    let socket = node.fuse.as_ref().ok_or_else(|| StepError::NotServed(node.name.clone()))?;
    let answered = ask_socket(socket, question);
    Ok(answered.doing(|| format!("reach the file system of {} ({})", node.name, socket.display()))?)
}

fn ask_socket(socket: &Path, question: &Ask) -> io::Result<Told> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(format!("{}\n", serde_json::to_string(question)?).as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// Removes everything in a directory and leaves the directory: it may be a mount point.
pub(crate) fn empty_directory(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
    }
    Ok(())
}

//! What a node's data is on, and what can be done to it.
//!
//! A node keeps what its servers persist below `<node>/disk`: a directory in the sandbox's memory, or the mount point
//! of an ext4 file system of its own, in an image file. Only the latter knows the difference between what was written
//! and what was synced, and so only it can lose power, fill up, die or turn read-only.

mod ballast;
pub(crate) mod damage;
pub(crate) mod ext4;
mod files;

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

pub use self::damage::Damage;
pub use self::files::check_files;
use crate::error::{Doing, StepError};
use crate::info::{NodeInfo, SandboxInfo};
use crate::process;

/// Gone again after each look, and never a name that a database uses.
const PROBE: &str = ".schism-probe";
/// A file system's block; more than fits into an inode.
const PROBE_BYTES: usize = 4096;

/// What each node's data is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskKind {
    /// The sandbox's memory: syncing costs nothing, and whatever was written outlives every process.
    #[default]
    Memory,
    /// An ext4 file system of each node's own, on a loop device, in a sparse file in the sandbox's memory. Root only.
    Ext4 {
        /// Its size in MiB.
        size_mb: u32,
    },
}

impl DiskKind {
    /// Ext4 of 2 GiB: more than PostgreSQL's 1 GiB of kept WAL.
    pub const EXT4: Self = Self::Ext4 { size_mb: 2048 };
}

/// Something done to a node's disk. Each is idempotent, and undone by [`DiskStep::Repair`] unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum DiskStep {
    /// The machine loses power: every process of the node ends, and of its files only what was synced (or had reached
    /// the disk by itself) is left. Its kernel lives on, so that connections are closed and not silent.
    PowerOff,
    /// The disk dies under the running servers: every access fails with EIO.
    Break,
    /// The file system turns read-only under the running servers, as ext4 does when its journal fails: every write
    /// fails with EROFS, reads go on. What was not synced is lost.
    ReadOnly,
    /// Makes a disk work again that does not: ends what still runs on it, unmounts and mounts it, which replays its
    /// journal. A disk that works is left alone.
    Repair,
    /// Fills it up with a file of our own. Undone by [`DiskStep::Empty`].
    Fill {
        /// How much is left free, in KiB.
        leave_kb: u64,
    },
    /// Removes that file; on a disk that does not work just now, when it is repaired.
    Empty,
    /// Damages files of a node whose processes are dead; what they were is kept. Undone by [`DiskStep::Revive`].
    Damage {
        /// The fault's number.
        fault: u32,
        /// Which; see [`check_files`].
        files: String,
        /// How.
        how: Damage,
        /// Decides where.
        seed: u64,
    },
    /// Copies files as they are at one moment, for [`DiskStep::Restore`].
    Snapshot {
        /// The fault's number.
        fault: u32,
        /// Which; see [`check_files`].
        files: String,
    },
    /// Sets files of a node whose processes are dead back to the fault's snapshot; what they were is kept. Undone by
    /// [`DiskStep::Revive`].
    Restore {
        /// The fault's number.
        fault: u32,
    },
    /// Starts the servers on what the fault has left of their files. [`DiskStep::Judge`] goes after it.
    Revive {
        /// The fault's number.
        fault: u32,
    },
    /// Watches for 2 s whether they stay. If one ends, or if this is done again because they did not serve, they get
    /// the files that were kept, and are started with those.
    Judge {
        /// The fault's number.
        fault: u32,
    },
}

impl DiskStep {
    pub(crate) fn run(&self, info: &SandboxInfo, node: &NodeInfo) -> Result<(), StepError> {
        // The run and the guardian may both repair it.
        let lock = fs::File::create(node.directory.join("disk.lock")).doing(|| "make disk.lock".to_owned())?;
        let _lock = Flock::lock(lock, FlockArg::LockExclusive)
            .map_err(|refused| refused.1)
            .doing(|| format!("lock {}/disk.lock", node.directory.display()))?;
        match self {
            Self::Damage { fault, files, how, seed } => damage::damage(node, *fault, files, how, *seed),
            Self::Snapshot { fault, files } => damage::snapshot(node, *fault, files),
            Self::Restore { fault } => damage::restore(node, *fault),
            Self::Revive { .. } => damage::revive(info, node),
            Self::Judge { fault } => damage::judge(info, node, *fault),
            _ if !ext4::image(info, node).exists() => {
                Err(failed(node, "its data is in memory: this fault needs a disk"))
            }
            Self::PowerOff => power_off(node),
            Self::Break => ext4::shut_down(node),
            Self::ReadOnly => ext4::abort(node),
            Self::Repair => repair(info, node),
            Self::Fill { leave_kb } => ballast::fill(node, leave_kb * 1024),
            Self::Empty => ballast::empty(node),
        }
    }
}

/// Where a node's servers keep their files.
pub(crate) fn directory(node: &NodeInfo) -> PathBuf {
    node.directory.join("disk")
}

/// Where its database keeps its data. Never the mount point itself: a base backup removes and makes this directory.
pub(crate) fn data(node: &NodeInfo) -> PathBuf {
    directory(node).join("data")
}

fn failed(node: &NodeInfo, problem: impl Into<String>) -> StepError {
    StepError::Disk { node: node.name.clone(), problem: problem.into() }
}

/// First the processes stop, then the disk: were it the other way round, a server could still acknowledge what can no
/// longer be written. Frozen, and not killed, because killing takes its time and sockets say farewell.
fn power_off(node: &NodeInfo) -> Result<(), StepError> {
    // A node without a process has nothing to freeze, and one that is stuck is killed below.
    let _ = process::freeze(node);
    if ext4::is_mounted(node).doing(|| format!("look at the disk of {}", node.name))? {
        ext4::shut_down(node)?;
    }
    process::kill_all(node)
}

fn repair(info: &SandboxInfo, node: &NodeInfo) -> Result<(), StepError> {
    if !matches!(probe(node).doing(|| format!("look at the disk of {}", node.name))?, 0 | ENOSPC) {
        process::kill_all(node)?;
        ext4::unmount(info, node)?;
        ext4::mount(info, node)?;
    }
    ballast::settle(node)
}

const ENOSPC: i32 = Errno::ENOSPC as i32;

/// Writes and syncs a block, and gives the kernel's answer: 0 or an error number.
pub(crate) fn probe(node: &NodeInfo) -> io::Result<i32> {
    if !ext4::is_mounted(node)? {
        return Ok(Errno::ENODEV as i32);
    }
    let path = directory(node).join(PROBE);
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(&[1; PROBE_BYTES])?;
        file.sync_all()
    });
    // On a disk that takes no writes it was never made.
    let _ = fs::remove_file(&path);
    match written {
        Ok(()) => Ok(0),
        Err(error) => error.raw_os_error().ok_or(error),
    }
}

/// What a server may still write, in bytes.
pub(crate) fn free_bytes(node: &NodeInfo) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(&directory(node))?;
    Ok(stat.blocks_available() as u64 * stat.fragment_size() as u64)
}

/// What faults have left on the node's disk.
pub(crate) fn remains(info: &SandboxInfo, node: &NodeInfo) -> io::Result<Vec<String>> {
    if !ext4::image(info, node).exists() {
        return Ok(Vec::new());
    }
    let name = &node.name;
    let answer = probe(node)?;
    let broken = (answer != 0).then(|| format!("a write to the disk of {name} fails: {}", Errno::from_raw(answer)));
    let full = ballast::is_there(node).then(|| format!("the disk of {name} is still filled up"));
    Ok(broken.into_iter().chain(full).collect())
}

/// Everything written so far gets to the nodes' disks.
pub(crate) fn sync_all(info: &SandboxInfo) -> Result<(), StepError> {
    info.nodes.iter().filter(|node| ext4::image(info, node).exists()).try_for_each(ext4::sync)
}

/// Whether two paths are on different file systems.
fn differ(one: &std::path::Path, other: &std::path::Path) -> io::Result<bool> {
    Ok(fs::metadata(one)?.dev() != fs::metadata(other)?.dev())
}

//! The first thing inside: mounts of its own, and a PID 1 that only reaps.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigmaskHow, sigprocmask};
use nix::unistd::ForkResult;
use serde::{Deserialize, Serialize};

use super::spawn::{block_signals, supervise};
use crate::error::{Doing, SandboxError};
use crate::proc;

/// Everything that the sandbox keeps in files: in memory, gone with it.
pub(crate) const FILES: &str = "/run/schism";

const INIT: &str = "/run/schism/init.json";

/// PID 1 as the outside sees it, which the inside cannot find out once it has its own `/proc`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Init {
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
}

/// To be called first in a process made by [`super::spawn_inside`], before there is any other thread: mounts `/proc`
/// and an empty `/run` that only the sandbox sees, and returns in a child of PID 1; PID 1 itself stays behind, reaps
/// orphans and passes signals on.
pub fn prepare_inside() -> Result<(), SandboxError> {
    if !nix::unistd::getpid().as_raw().eq(&1) {
        return Err(SandboxError::Misplaced("prepare_inside is for PID 1 of a sandbox: start it by spawn_inside"));
    }
    let threads = fs::read_dir("/proc/self/task").doing(|| "count threads".to_owned())?.count();
    if threads != 1 {
        return Err(SandboxError::Misplaced("prepare_inside must come before any thread is started: it forks"));
    }
    // /proc is still the outside's, in which our own number is the outside's too.
    let pid = fs::read_link("/proc/self").doing(|| "read /proc/self".to_owned())?;
    let pid = pid.to_string_lossy().parse().map_err(|_| SandboxError::Misplaced("/proc/self is not a number"))?;
    let start_ticks = proc::start_ticks(pid).doing(|| "read our start time".to_owned())?;
    mount_own()?;
    write_init(&Init { pid, start_ticks })?;
    leave_init_behind()
}

fn mount_own() -> Result<(), SandboxError> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).doing(|| "make mounts private".to_owned())?;
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("proc"), "/proc", Some("proc"), safe | MsFlags::MS_NOEXEC, none).doing(|| "mount /proc".to_owned())?;
    // Over all of /run, so that neither the host's `ip netns` nor anything else in /run can see or be harmed by ours.
    // Data directories live here: bounded, so that a run-away database fails before the machine does.
    mount(Some("schism"), "/run", Some("tmpfs"), safe, Some("mode=755,size=75%")).doing(|| "mount /run".to_owned())?;
    // Every server has a mount namespace of its own, with a copy of what is mounted when it starts. What is unmounted
    // later (another node's dead disk) has to go from those copies too, or it lives on in them.
    mount(none, "/run", none, MsFlags::MS_SHARED, none).doing(|| "share mounts below /run".to_owned())?;
    for directory in ["/run/netns", FILES] {
        fs::create_dir_all(directory).doing(|| format!("make {directory}"))?;
    }
    Ok(())
}

fn write_init(init: &Init) -> Result<(), SandboxError> {
    let text = format!("{{\"pid\":{},\"start_ticks\":{}}}", init.pid, init.start_ticks);
    Ok(fs::write(INIT, text).doing(|| format!("write {INIT}"))?)
}

/// What `prepare_inside` noted; `None` outside a sandbox.
pub(crate) fn read_init() -> Option<Init> {
    serde_json::from_str(&fs::read_to_string(Path::new(INIT)).ok()?).ok()
}

fn leave_init_behind() -> Result<(), SandboxError> {
    let mask = block_signals().doing(|| "block signals".to_owned())?;
    // SAFETY: there is one thread (checked above), so the child may go on as a normal process.
    match unsafe { nix::unistd::fork() }.doing(|| "fork".to_owned())? {
        ForkResult::Parent { child } => supervise(child),
        ForkResult::Child => {
            Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None).doing(|| "unblock signals".to_owned())?)
        }
    }
}

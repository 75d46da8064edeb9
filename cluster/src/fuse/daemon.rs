//! The process that serves one node's data directory: our own binary, run again inside the sandbox. It is in no node's
//! cgroup: frozen or killed with its node, it would take every process that touches the directory with it.
//!
//! It is told its rules over a Unix socket, one question and one answer a connection, by whoever is inside the
//! sandbox: the controller, the guardian's or `schism heal`'s helper.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use fuser::{Config, INodeNo, MountOption, Notifier, Session, SessionACL};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::ForkResult;
use serde::{Deserialize, Serialize};

use super::backing::Backing;
use super::delay::Delays;
use super::files::DiskFiles;
use super::judge::Counts;
use super::passthrough::{Core, Passthrough};
use super::rule::{DiskEffect, DiskOperation, DiskRule};
use crate::error::{Doing, ExecError};

/// Threads that take requests from the kernel, for files on a disk: enough that a server's processes do not queue
/// behind one that waits for it. For files in memory there is nothing to wait for, and one thread is three to eight
/// times as fast (50 µs for a write and an fdatasync, not 135 to 500): several take turns, each waking up on a cold
/// processor.
const THREADS_ON_DISK: usize = 4;

/// Usually milliseconds.
const CACHE_DROPPED_WITHIN: Duration = Duration::from_secs(2);

/// What the process is asked to serve.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FuseSpec {
    /// The directory: hidden by the mount, it is what is behind it.
    pub(crate) directory: PathBuf,
    /// Where the process is told its rules.
    pub(crate) socket: PathBuf,
    /// The node's cgroup: whether it is to be frozen.
    pub(crate) cgroup: Option<PathBuf>,
    /// Gets what the process has to say.
    pub(crate) log: PathBuf,
}

/// A question to the process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Ask {
    /// Set (or replace) the rule of this fault.
    Set { id: u32, rule: DiskRule },
    /// Lift it.
    Lift { id: u32 },
    /// Tell what is.
    Tell,
}

/// Its answer, after it has done what it was asked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// The rules in force.
    pub(super) rules: BTreeMap<u32, DiskRule>,
    /// What every rule has done so far, those that were lifted too.
    pub(super) counts: BTreeMap<u32, Counts>,
}

/// The body of `schism internal-fuse <spec>`: mounts a pass-through file system over a directory and returns in the
/// parent once it is there; a child stays and serves it until it is unmounted, or dies with the sandbox. Inside a
/// sandbox only, from a process with one thread.
pub fn internal_fuse(spec_json: &str) -> Result<(), ExecError> {
    let spec: FuseSpec = serde_json::from_str(spec_json)?;
    // The kernel has applied the caller's.
    umask(Mode::empty());
    raise_descriptor_limit().doing(|| "raise the limit of open files".to_owned())?;
    let log = OpenOptions::new().create(true).append(true).open(&spec.log);
    let log = log.doing(|| format!("open {}", spec.log.display()))?;
    // Before the mount, which hides it.
    let core = Backing::open(&spec.directory).doing(|| format!("open {}", spec.directory.display()))?;
    let core = Arc::new(Core::new(core));
    let control = UnixListener::bind(&spec.socket).doing(|| format!("listen on {}", spec.socket.display()))?;
    let mut config = Config::default();
    config.mount_options = [
        MountOption::FSName("schism".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
    ]
    .into();
    // The servers are another user, and the mount is seen in the sandbox only.
    config.acl = SessionACL::All;
    let in_memory = core.backing.is_in_memory().doing(|| "look at the file system".to_owned())?;
    config.n_threads = Some(if in_memory { 1 } else { THREADS_ON_DISK });
    config.clone_fd = !in_memory;
    let mount = |delays| {
        let file_system = Passthrough { core: Arc::clone(&core), delays };
        Session::new(file_system, &spec.directory, &config)
    };
    // Threads do not survive a fork, so the fork comes first; the child says how mounting went.
    let (mut told, mut tell) = io::pipe().doing(|| "make a pipe".to_owned())?;
    // SAFETY: there is one thread, so the child may go on as a normal process.
    match unsafe { nix::unistd::fork() }.doing(|| "fork".to_owned())? {
        ForkResult::Parent { .. } => {
            drop(tell);
            let mut said = String::new();
            io::Read::read_to_string(&mut told, &mut said).doing(|| "read from a pipe".to_owned())?;
            if said == MOUNTED {
                return Ok(());
            }
            Err(io::Error::other(said)).doing(|| format!("mount over {}", spec.directory.display()))?
        }
        ForkResult::Child => {
            drop(told);
            let mounted = Delays::start(spec.cgroup.clone()).and_then(|delays| Ok((mount(delays.clone())?, delays)));
            match mounted {
                Ok((session, delays)) => {
                    leave(&log).doing(|| "leave the terminal".to_owned())?;
                    let _ = tell.write_all(MOUNTED.as_bytes());
                    drop(tell);
                    serve(session, control, delays, &core)
                }
                Err(error) => {
                    let _ = tell.write_all(error.to_string().as_bytes());
                    Err(error).doing(|| format!("mount over {}", spec.directory.display()))?
                }
            }
        }
    }
}

const MOUNTED: &str = "mounted";

/// Every inode that the kernel knows takes a descriptor.
fn raise_descriptor_limit() -> io::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// Ctrl-C at the terminal is not for us, and whoever waits for our output to end must not wait for us.
fn leave(log: &std::fs::File) -> io::Result<()> {
    nix::unistd::setsid()?;
    // Nothing in it belongs to us; and a working directory keeps its file system busy.
    std::env::set_current_dir("/")?;
    let nothing = OpenOptions::new().read(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(nothing.as_fd())?;
    nix::unistd::dup2_stdout(log.as_fd())?;
    nix::unistd::dup2_stderr(log.as_fd())?;
    Ok(())
}

fn serve(
    session: Session<Passthrough>,
    control: UnixListener,
    delays: Delays,
    core: &Arc<Core>,
) -> Result<(), ExecError> {
    let (notifier, core) = (session.notifier(), Arc::clone(core));
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || answer_all(&control, &core, &delays, &notifier))
        .doing(|| "start a thread".to_owned())?;
    Ok(session.run().doing(|| "serve the file system".to_owned())?)
}

fn answer_all(control: &UnixListener, core: &Arc<Core>, delays: &Delays, notifier: &Notifier) {
    for stream in control.incoming() {
        // Whoever asked is told by the end of the connection, and asks again or gives up.
        let _ = stream.and_then(|stream| answer(stream, core, delays, notifier));
    }
}

fn answer(stream: UnixStream, core: &Arc<Core>, delays: &Delays, notifier: &Notifier) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    match serde_json::from_str(&line)? {
        Ask::Set { id, rule } => {
            let reads = rule.operations.contains(&DiskOperation::Read).then(|| rule.files.clone());
            core.judge.set(id, rule);
            if let Some(files) = reads {
                drop_cached(core, notifier, files);
            }
        }
        Ask::Lift { id } => {
            core.judge.lift(id);
            let is_delay = |rule: &DiskRule| matches!(rule.effect, DiskEffect::Delay(_));
            if !core.judge.rules().values().any(is_delay) {
                delays.end_all();
            }
        }
        Ask::Tell => {}
    }
    let told = Told { rules: core.judge.rules(), counts: core.judge.counts() };
    (&stream).write_all(format!("{}\n", serde_json::to_string(&told)?).as_bytes())
}

/// Reads are served from the kernel's cache where it has the page, and then nothing is slow and nothing fails: it must
/// read anew what a rule on reads is about. On a thread: the kernel waits for pages that are being written, which
/// another rule may delay.
fn drop_cached(core: &Arc<Core>, notifier: &Notifier, files: DiskFiles) {
    let (core, notifier) = (Arc::clone(core), notifier.clone());
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        for ino in core.backing.inodes() {
            if core.backing.path_of(ino).is_some_and(|path| files.contains(&path)) {
                // One that the kernel has just forgotten has no cache.
                let _ = notifier.inval_inode(INodeNo(ino), 0, 0);
            }
        }
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(CACHE_DROPPED_WITHIN);
}

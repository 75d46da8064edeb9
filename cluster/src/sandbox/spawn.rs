//! From the launcher to PID 1 of a new sandbox.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{ForkResult, Pid};

use super::{Inside, cgroup};
use crate::error::{Doing, SandboxError};
use crate::proc;

/// Runs the current binary with `args` as the first process of new PID, mount, network and IPC namespaces (and a user
/// namespace when not root). It inherits standard input, output and error, environment and working directory.
///
/// The sandbox dies with the *thread* that calls this: call it from the launcher's main thread.
pub fn spawn_inside(args: &[OsString], run_id: &str) -> Result<Inside, SandboxError> {
    if !cgroup::is_valid_run_id(run_id) {
        return Err(SandboxError::RunId(run_id.to_owned()));
    }
    let privileged = is_privileged();
    let cgroup_root = if privileged { cgroup::create_root(run_id) } else { None };
    spawn(args, privileged)
        .map(|(child, init_pid, init_start_ticks)| Inside {
            child,
            init_pid,
            init_start_ticks,
            cgroup_root: cgroup_root.clone(),
        })
        .inspect_err(|_| {
            // Nothing ran in it: an empty directory that is left would only look like a stale run.
            if let Some(root) = &cgroup_root {
                let _ = fs::remove_dir(root);
            }
        })
}

fn spawn(args: &[OsString], privileged: bool) -> Result<(Child, u32, u64), SandboxError> {
    let (mut pid_reader, pid_writer) = io::pipe().doing(|| "make a pipe".to_owned())?;
    let launcher = nix::unistd::getpid();
    let maps = (!privileged).then(IdMaps::to_root);
    let pid_fd = pid_writer.as_raw_fd();
    let mut command = Command::new("/proc/self/exe");
    command.args(args);
    // SAFETY: between fork and exec only system calls are made and nothing is allocated (see `become_init`).
    unsafe { command.pre_exec(move || become_init(launcher, maps.as_ref(), pid_fd)) };
    let mut child = command.spawn().map_err(not_allowed)?;
    drop(pid_writer);
    let started = read_init_pid(&mut pid_reader);
    if started.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (init_pid, ticks) = started.doing(|| "learn the sandbox's PID 1".to_owned())?;
    Ok((child, init_pid, ticks))
}

fn read_init_pid(pipe: &mut impl Read) -> io::Result<(u32, u64)> {
    let mut bytes = [0; 4];
    pipe.read_exact(&mut bytes)?;
    let pid = u32::from_ne_bytes(bytes);
    Ok((pid, proc::start_ticks(pid)?))
}

fn not_allowed(error: io::Error) -> SandboxError {
    let way_out = "run as root, or allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1 \
                   kernel.apparmor_restrict_unprivileged_userns=0 user.max_user_namespaces=10000";
    SandboxError::NotAllowed { reason: error.to_string(), way_out: way_out.to_owned() }
}

/// Root with the capabilities that namespaces and links need. Root in a plain container lacks them.
pub(super) fn is_privileged() -> bool {
    const NET_ADMIN: u64 = 1 << 12;
    const SYS_ADMIN: u64 = 1 << 21;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0);
    nix::unistd::geteuid().is_root() && effective & NET_ADMIN != 0 && effective & SYS_ADMIN != 0
}

/// How ids of a new user namespace map to those outside, ready to be written without allocating.
pub(crate) struct IdMaps {
    users: String,
    groups: String,
}

impl IdMaps {
    /// Root inside is the caller outside.
    pub(crate) fn to_root() -> Self {
        Self::to(0)
    }

    /// `inner` inside is the caller outside.
    pub(crate) fn to(inner: u32) -> Self {
        let users = format!("{inner} {} 1", nix::unistd::geteuid());
        Self { users, groups: format!("{inner} {} 1", nix::unistd::getegid()) }
    }

    /// To be called after `unshare(CLONE_NEWUSER)`.
    pub(crate) fn write(&self) -> io::Result<()> {
        // Without this the kernel lets nobody unprivileged map a group: dropping one may gain access.
        write_existing(c"/proc/self/setgroups", b"deny")?;
        write_existing(c"/proc/self/uid_map", self.users.as_bytes())?;
        write_existing(c"/proc/self/gid_map", self.groups.as_bytes())
    }
}

fn write_existing(path: &std::ffi::CStr, bytes: &[u8]) -> io::Result<()> {
    let fd = nix::fcntl::open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
    fs::File::from(fd).write_all(bytes)
}

/// In the launcher's fork, before exec: leaves a warden behind and returns as PID 1 of the new namespaces. Only system
/// calls: the launcher may have had other threads, whose locks are held forever in the fork.
fn become_init(launcher: Pid, maps: Option<&IdMaps>, pid_fd: i32) -> io::Result<()> {
    die_with_parent()?;
    // The launcher may have died before the line above took hold.
    if nix::unistd::getppid() != launcher {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    let mut namespaces =
        CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC;
    if maps.is_some() {
        namespaces |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(namespaces)?;
    if let Some(maps) = maps {
        maps.write()?;
        // Becoming another user has cleared it.
        die_with_parent()?;
    }
    let (alive_reader, alive_writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let mask = block_signals()?;
    // SAFETY: the child goes on to exec at once, the parent never leaves `supervise`.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => {
            let _ = nix::unistd::write(borrow(pid_fd), &child.as_raw().to_ne_bytes());
            hold_only(alive_writer);
            supervise(child)
        }
        ForkResult::Child => {
            drop(alive_writer);
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
            die_with_parent()?;
            // PID 1 cannot see its parent's number; that the warden lives shows in its end of the pipe being open.
            let mut warden = [PollFd::new(alive_reader.as_fd(), PollFlags::empty())];
            nix::poll::poll(&mut warden, PollTimeout::ZERO)?;
            if warden[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        }
    }
}

fn borrow<'a>(fd: i32) -> std::os::fd::BorrowedFd<'a> {
    // SAFETY: the launcher keeps the pipe open until spawn has returned, and this fork has its own copy.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) }
}

fn die_with_parent() -> io::Result<()> {
    Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// Closes everything but standard input, output, error and this one. The warden is a fork of the launcher without an
/// exec: it must not hold the launcher's locks and life lines, nor the pipe by which spawn learns of the exec.
fn hold_only(kept: OwnedFd) {
    // SAFETY: plain system calls; no owner of a closed descriptor is used or dropped again in this process.
    unsafe {
        libc::dup2(kept.as_raw_fd(), 3);
        libc::close_range(4, libc::c_uint::MAX, 0);
    }
    std::mem::forget(kept);
}

const FORWARDED: [Signal; 6] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];

/// Blocks what `supervise` waits for; gives the mask as it was, for the child.
pub(super) fn block_signals() -> io::Result<SigSet> {
    // An inherited "ignore" would make the kernel reap our child and lose its exit code.
    // SAFETY: the default action is always a valid one.
    unsafe { nix::sys::signal::signal(Signal::SIGCHLD, nix::sys::signal::SigHandler::SigDfl) }?;
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&supervised()), Some(&mut before))?;
    Ok(before)
}

fn supervised() -> SigSet {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    for signal in FORWARDED {
        set.add(signal);
    }
    set
}

/// Reaps every child and orphan until `main` has ended, passes signals on to it, and ends as it did.
pub(super) fn supervise(main: Pid) -> ! {
    let set = supervised();
    loop {
        // SAFETY: all zeroes is a valid siginfo_t, which the call fills.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to live values of the right type.
        let signal = unsafe { libc::sigwaitinfo(set.as_ref(), &mut info) };
        if signal == libc::SIGCHLD {
            reap(main);
        } else if signal > 0 && info.si_code <= 0 {
            // Sent by someone. What the terminal sends (a positive code) goes to the whole process group, so that
            // `main` has it already: passing it on would make one Ctrl-C two.
            // SAFETY: a plain system call.
            unsafe { libc::kill(main.as_raw(), signal) };
        }
    }
}

fn reap(main: Pid) {
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to a live integer.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if pid <= 0 {
            return;
        }
        if pid == main.as_raw() {
            let code = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) };
            // SAFETY: ends this process without running the launcher's exit handlers, which are not ours to run.
            unsafe { libc::_exit(code) };
        }
    }
}

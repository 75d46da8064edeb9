//! The process: one thread, one TAP device on the sandbox's bridge, one socket on which it is told to read its table.
//!
//! A thread of its own with `ppoll` and not a task of a runtime: a packet that is due in 20 ms has to leave within
//! microseconds of that, and a runtime's timers have the grain of a millisecond.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::ForkResult;

use super::capture::Captures;
use super::relay::{FRAME_MAX, Relay};
use super::table::Table;
use super::{DEVICE, Files};
use crate::error::{Doing, ExecError};
use crate::network::{BRIDGE, ip};

/// Frames that the kernel keeps for us while we do not run. The default of 500 is a burst of half a millisecond.
const QUEUE_FRAMES: u32 = 10_000;
/// Frames read before those that are due are sent.
const BATCH: usize = 64;
/// What it is told.
pub(super) const RELOAD: &str = "reload";
/// What it answers, before its counts.
pub(super) const DONE: &str = "done";

/// The body of `schism internal-switch <directory>`: makes the device, takes over the rules that are in the directory,
/// and returns when a child of it, orphaned on purpose, relays. Inside a sandbox only, in its root network namespace,
/// from a process with one thread.
pub fn internal_switch(directory: &str) -> Result<(), ExecError> {
    let files = Files { directory: PathBuf::from(directory) };
    let tap = open_tap()?;
    ip(&format!(
        "link set {DEVICE} txqueuelen {QUEUE_FRAMES}\n\
         link set {DEVICE} master {BRIDGE}\n\
         link set dev {DEVICE} type bridge_slave learning off flood off mcast_flood off bcast_flood off\n\
         link set {DEVICE} up\n"
    ))
    .doing(|| format!("put {DEVICE} on the bridge"))?;
    let socket = files.socket();
    // Of one that has died; whether there is one that lives was looked at under the lock that our caller holds.
    let _ = fs::remove_file(&socket);
    let socket = UnixDatagram::bind(&socket).doing(|| "bind the switch's socket".to_owned())?;
    let log = OpenOptions::new().create(true).append(true).open(files.log()).doing(|| "open the log".to_owned())?;
    let switch = Switch::new(tap, socket, files).doing(|| "read the rules".to_owned())?;
    // SAFETY: this process has one thread, so the child may go on as a normal process.
    match unsafe { nix::unistd::fork() }.doing(|| "fork".to_owned())? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => run(switch, log),
    }
}

fn open_tap() -> Result<File, ExecError> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let tap = opened.doing(|| "open /dev/net/tun".to_owned())?;
    // SAFETY: an all-zero request is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (byte, letter) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *byte = letter.cast_signed() as libc::c_char;
    }
    // No virtio headers: the kernel then splits and checksums what it hands to us, so that a frame is what it would be
    // on a wire, and a flipped bit is found by the receiver's checksum.
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF reads and writes one ifreq.
    let made = unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF as _, &raw mut request) };
    nix::errno::Errno::result(made).doing(|| format!("make the device {DEVICE}"))?;
    // SAFETY: plain flags of a descriptor that we own.
    let set = unsafe { libc::fcntl(tap.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
    nix::errno::Errno::result(set).doing(|| "make the device non-blocking".to_owned())?;
    Ok(tap)
}

/// The child's life.
fn run(mut switch: Switch, mut log: File) -> ! {
    let result = leave_terminal(&log).and_then(|()| switch.relay_forever());
    if let Err(error) = result {
        // The log is all that is left to tell it to.
        let _ = writeln!(log, "the switch ended: {error}");
    }
    std::process::exit(1);
}

/// A session of its own, and none of the pipes of whoever started us: they would wait for their end.
fn leave_terminal(log: &File) -> io::Result<()> {
    nix::unistd::setsid()?;
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    // SAFETY: replaces the three standard descriptors by ones that are open.
    unsafe {
        libc::dup2(nothing.as_raw_fd(), 0);
        libc::dup2(nothing.as_raw_fd(), 1);
        libc::dup2(log.as_raw_fd(), 2);
        // Wake-ups to the nanosecond, not within the usual 50 µs.
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64);
        // Before databases and clients, where that is allowed: their load must not look like delay. Where it is not,
        // times are less exact, and the measurement after each injection tells how exact.
        libc::setpriority(libc::PRIO_PROCESS, 0, -20);
    }
    Ok(())
}

struct Switch {
    tap: File,
    socket: UnixDatagram,
    files: Files,
    relay: Relay,
    captures: Captures,
}

impl Switch {
    fn new(tap: File, socket: UnixDatagram, files: Files) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let mut switch = Self { tap, socket, files, relay: Relay::default(), captures: Captures::default() };
        switch.reload()?;
        Ok(switch)
    }

    fn relay_forever(&mut self) -> io::Result<()> {
        loop {
            let more = self.read_some()?;
            self.send_due()?;
            if self.wait(more)? {
                self.listen();
            }
        }
    }

    /// Until a frame comes, one is due, or somebody knocks, but not when there is `more` to do; true when somebody
    /// knocks.
    fn wait(&mut self, more: bool) -> io::Result<bool> {
        if !more {
            self.captures.flush();
        }
        let mut fds =
            [PollFd::new(self.tap.as_fd(), PollFlags::POLLIN), PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let timeout = match self.relay.next_due_ns() {
            _ if more => Some(TimeSpec::from_duration(Duration::ZERO)),
            Some(due_ns) => Some(TimeSpec::from_duration(Duration::from_nanos(due_ns.saturating_sub(now_ns()?)))),
            None => None,
        };
        match ppoll(&mut fds, timeout, None) {
            Ok(_) => Ok(fds[1].any() == Some(true)),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in what has come, at most a batch; true when there may be more.
    fn read_some(&mut self) -> io::Result<bool> {
        for _ in 0..BATCH {
            let mut frame = self.relay.buffer();
            match self.tap.read(&mut frame.bytes[..FRAME_MAX]) {
                Ok(length) => {
                    frame.length = length;
                    let now_ns = now_ns()?;
                    self.captures.came(frame.as_slice());
                    self.relay.receive(frame, now_ns);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.relay.recycle(frame);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn send_due(&mut self) -> io::Result<()> {
        let mut now = now_ns()?;
        while let Some(due_ns) = self.relay.next_due_ns() {
            if due_ns > now {
                now = now_ns()?;
            }
            let Some(frame) = self.relay.due(now) else { break };
            self.captures.left(frame.as_slice());
            match self.tap.write(frame.as_slice()) {
                Ok(_) => {}
                // The kernel is out of buffers: lost, as on any network.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                // What a rule has made of a frame is no packet any more for the kernel, which says so and drops it.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                Err(error) => return Err(error),
            }
            self.relay.recycle(frame);
        }
        Ok(())
    }

    /// Does what it is told, and says whether it did. Never waits: packets would wait with it.
    fn listen(&mut self) {
        let mut word = [0; 16];
        // Whoever knocked may be gone by now; the next one is heard all the same.
        let Ok((length, asker)) = self.socket.recv_from(&mut word) else { return };
        let answer = if &word[..length] != RELOAD.as_bytes() {
            "an unknown word".to_owned()
        } else if let Err(error) = self.reload() {
            error.to_string()
        } else {
            let counts = self.relay.counts;
            format!("{DONE}: {} received, {} sent, {} too many", counts.received, counts.sent, counts.overflowed)
        };
        if let Some(path) = asker.as_pathname() {
            let _ = self.socket.send_to(answer.as_bytes(), path);
        }
    }

    fn reload(&mut self) -> io::Result<()> {
        let table = Table::read(&self.files.table())?;
        self.captures.load(&table)?;
        self.relay.load(&table);
        Ok(())
    }
}

/// On the clock that nobody sets.
fn now_ns() -> io::Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned())
}

impl Files {
    pub(super) fn table(&self) -> PathBuf {
        self.directory.join("table.json")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// Of whoever tells the switch something, under the lock.
    pub(super) fn asker(&self) -> PathBuf {
        self.directory.join("asker")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.directory.join("lock")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("log")
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.directory
    }
}

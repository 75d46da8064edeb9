//! Loads: processes of ours that use up what a server needs.
//!
//! A load of a node must not make a dead node look alive, and has to die and freeze with it all the same. Where there
//! are cgroups it sits in a cgroup below the node's: killing and freezing act on all that is below, and the list of a
//! cgroup's processes does not show them. Without cgroups a node is known by its network namespace: a load stays in the
//! sandbox's own, and is killed and frozen by the note of its number. A load is found by that note and the start time
//! in it, by whoever comes; never by its name.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::burn::{burn, occupy};
use super::hold::{Speaks, hold};
use super::{Size, Work};
use crate::cluster::NodeState;
use crate::error::{Doing, ExecError, StepError};
use crate::info::{NodeInfo, SandboxInfo};
use crate::step::run_helper;
use crate::target::Database;
use crate::{proc, process};

/// A load has so long to use up what was asked for, a little less than its helper has.
const READY_WITHIN: Duration = Duration::from_secs(9);
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// What a load of memory always leaves to the machine.
const LEFT_BYTES: u64 = 2 << 30;

/// What the helper is asked to do.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// Start a load, leave it running once it is ready, and note it.
    Start { cgroup: Option<PathBuf>, netns: Option<PathBuf>, note: PathBuf, task: Task, base: Option<u64> },
    /// Be it.
    Run(Task),
}

/// A load with everything decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Task {
    Burn { threads: u32, busy_ppm: u32, nice: i32 },
    Occupy { bytes: u64 },
    Hold { to: SocketAddrV4, speaks: Speaks, count: Option<u32> },
}

/// A load that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    pid: u32,
    start_ticks: u64,
    /// Whether it dies and freezes with the node.
    in_node: bool,
    /// How much there was to use up: bytes available, connections of the server.
    base: Option<u64>,
}

impl Note {
    fn file(node: &NodeInfo, id: u32) -> PathBuf {
        node.directory.join(format!("load-{id}.json"))
    }

    fn read(file: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
    }

    fn lives(&self) -> bool {
        let same = proc::start_ticks(self.pid).is_ok_and(|ticks| ticks == self.start_ticks);
        same && !matches!(proc::state(self.pid), None | Some('Z' | 'X'))
    }

    fn all(node: &NodeInfo) -> impl Iterator<Item = (PathBuf, Self)> + use<> {
        let is_note = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with("load-") && name.ends_with(".json")
        };
        let paths = fs::read_dir(&node.directory).into_iter().flatten().flatten().map(|entry| entry.path());
        paths.filter(is_note).filter_map(|path| Self::read(&path).map(|note| (path, note)))
    }
}

/// Starts a load, and returns once it has used up what was asked for. One that runs is left alone.
pub(crate) fn start(info: &SandboxInfo, node: &NodeInfo, id: u32, work: &Work) -> Result<(), StepError> {
    let fail = |reason| StepError::Load { node: node.name.clone(), reason };
    if is_alive(node, id) {
        return Ok(());
    }
    if work.is_in_node() {
        match process::state(node).doing(|| format!("look at {}", node.name))? {
            // What joins a frozen cgroup freezes.
            NodeState::Frozen => return Err(StepError::Frozen(node.name.clone())),
            NodeState::Dead => return Err(StepError::Dead(node.name.clone())),
            NodeState::Running { .. } => {}
        }
    }
    let (task, base) = task(node, work).map_err(fail)?;
    let cgroup = node.cgroup.as_ref().filter(|_| work.is_in_node()).map(|cgroup| cgroup.join("load"));
    if let Some(cgroup) = &cgroup {
        fs::create_dir_all(cgroup).doing(|| format!("make {}", cgroup.display()))?;
    }
    let netns = (!work.is_in_node()).then(|| site_netns(info, node)).transpose().map_err(fail)?;
    let order = Order::Start { cgroup, netns, note: Note::file(node, id), task, base };
    let order = serde_json::to_string(&order).map_err(|error| fail(error.to_string()))?;
    run_helper(Command::new(&info.helper).args(["internal-load", &order])).map_err(fail)
}

fn task(node: &NodeInfo, work: &Work) -> Result<(Task, Option<u64>), String> {
    Ok(match *work {
        Work::Cpu { threads, busy_ppm, nice } => (Task::Burn { threads, busy_ppm, nice }, None),
        Work::Memory { size } => {
            let available = proc::memory_available().map_err(|error| error.to_string())?;
            let bytes = size_in(size, available)?;
            (Task::Occupy { bytes }, Some(available))
        }
        Work::Connections { count } => {
            let (speaks, port) = server_of(node)?;
            let to = SocketAddrV4::new(node.address, port);
            (Task::Hold { to, speaks, count }, None)
        }
    })
}

/// How many bytes to take. An error where the machine would not keep enough.
fn size_in(size: Size, available: u64) -> Result<u64, String> {
    let bytes = match size {
        Size::Bytes(bytes) => bytes,
        Size::AvailablePpm(ppm) => (u128::from(available) * u128::from(ppm) / 1_000_000) as u64,
    };
    if available.saturating_sub(bytes) < LEFT_BYTES {
        let mib = |bytes: u64| bytes >> 20;
        return Err(format!(
            "{} MiB of the {} MiB available are too much: {} MiB have to be left",
            mib(bytes),
            mib(available),
            mib(LEFT_BYTES)
        ));
    }
    Ok(bytes)
}

fn server_of(node: &NodeInfo) -> Result<(Speaks, u16), String> {
    let runs = |name: &str| node.processes.iter().any(|process| process.name == name);
    if runs("postgres") {
        return Ok((Speaks::Postgres, Database::Postgres.client_port()));
    }
    if runs("redis") {
        return Ok((Speaks::Redis, Database::Redis.client_port()));
    }
    Err("no server here whose connections we know to hold".to_owned())
}

/// The client site beside the node, `c1` beside `n1`.
fn site_netns(info: &SandboxInfo, node: &NodeInfo) -> Result<PathBuf, String> {
    let index = info.nodes.iter().position(|other| other.name == node.name);
    let site = index.and_then(|index| info.sites.get(index)).or(info.sites.first());
    site.map(|site| site.netns.clone()).ok_or_else(|| "there is no client site to connect from".to_owned())
}

/// Ends a load. One that is not there is no error.
pub(crate) fn stop(node: &NodeInfo, id: u32) -> Result<(), StepError> {
    end(node, &Note::file(node, id))
}

fn end(node: &NodeInfo, file: &Path) -> Result<(), StepError> {
    let Some(note) = Note::read(file) else { return Ok(()) };
    let until = Instant::now() + GONE_WITHIN;
    while note.lives() {
        process::send(&[note.pid], Signal::SIGKILL);
        if Instant::now() > until {
            let limit_ms = GONE_WITHIN.as_millis() as u64;
            return Err(StepError::Stuck { node: format!("a load of {}", node.name), wanted: "dead", limit_ms });
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Ok(Err(error).doing(|| format!("remove {}", file.display()))?)
        }
        _ => Ok(()),
    }
}

/// What a kill of the node takes with it; returns when it is gone.
pub(crate) fn kill_all(node: &NodeInfo) -> Result<(), StepError> {
    Note::all(node).filter(|(_, note)| note.in_node).try_for_each(|(file, _)| end(node, &file))
}

/// Without cgroups: what freezes with the node.
pub(crate) fn stop_all(node: &NodeInfo) {
    signal_all(node, Signal::SIGSTOP);
}

/// Without cgroups: what thaws with the node.
pub(crate) fn continue_all(node: &NodeInfo) {
    signal_all(node, Signal::SIGCONT);
}

fn signal_all(node: &NodeInfo, signal: Signal) {
    let pids: Vec<u32> =
        Note::all(node).filter(|(_, note)| note.in_node && note.lives()).map(|(_, note)| note.pid).collect();
    process::send(&pids, signal);
}

pub(crate) fn is_alive(node: &NodeInfo, id: u32) -> bool {
    Note::read(&Note::file(node, id)).is_some_and(|note| note.lives())
}

/// What loads are left, a line each.
pub(crate) fn remains(node: &NodeInfo) -> Vec<String> {
    let alive = Note::all(node).filter(|(_, note)| note.lives());
    alive.map(|(_, note)| format!("load of {}: process {}", node.name, note.pid)).collect()
}

fn alive(node: &NodeInfo, id: u32) -> Result<Note, String> {
    let note = Note::read(&Note::file(node, id)).filter(Note::lives);
    note.ok_or_else(|| format!("no load {id} in {}", node.name))
}

/// How many cores' time the load took in the time in which this waited. Blocks for it.
pub(crate) fn cpu_cores(node: &NodeInfo, id: u32, during: Duration) -> Result<f64, String> {
    let text = |error: std::io::Error| error.to_string();
    let pid = alive(node, id)?.pid;
    let (begin, before_ms) = (Instant::now(), proc::cpu_ms(pid).map_err(text)?);
    std::thread::sleep(during);
    let took_ms = proc::cpu_ms(pid).map_err(text)?.saturating_sub(before_ms) as f64;
    Ok(took_ms / (begin.elapsed().as_secs_f64() * 1_000.0))
}

/// What the kernel says that the load has in memory.
pub(crate) fn resident_mib(node: &NodeInfo, id: u32) -> Result<f64, String> {
    let kib = proc::resident_kib(alive(node, id)?.pid).map_err(|error| error.to_string())?;
    Ok(kib as f64 / 1024.0)
}

/// The connections to the node that the kernel holds established for the load's process.
pub(crate) fn held_connections(node: &NodeInfo, id: u32) -> Result<f64, String> {
    let pid = alive(node, id)?.pid;
    let text = |error: std::io::Error| error.to_string();
    let sockets: BTreeSet<u64> = proc::socket_inodes(pid).map_err(text)?;
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).map_err(text)?;
    Ok(established_to(&table, node.address).filter(|inode| sockets.contains(inode)).count() as f64)
}

/// The inodes of established connections to this address in the text of `/proc/net/tcp`.
fn established_to(table: &str, to: Ipv4Addr) -> impl Iterator<Item = u64> {
    // The kernel prints the address as a number in the machine's byte order.
    let address = format!("{:08X}", u32::from_ne_bytes(to.octets()));
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let remote = fields.get(2)?.split(':').next()?;
        (remote == address && *fields.get(3)? == "01").then_some(())?;
        fields.get(9)?.parse().ok()
    })
}

/// What `amount` is of what there was to use up, in percent.
pub(crate) fn share_of(node: &NodeInfo, id: u32, amount: f64) -> Result<f64, String> {
    let base = alive(node, id)?.base.filter(|base| *base > 0);
    base.map(|base| 100.0 * amount / base as f64).ok_or_else(|| "the load has not noted what there was".to_owned())
}

/// The body of `schism internal-load <order>`: starts a load and returns once it is ready, or is one. Inside a sandbox
/// only, from a process with one thread.
pub fn internal_load(order_json: &str) -> Result<(), ExecError> {
    match serde_json::from_str(order_json)? {
        Order::Start { cgroup, netns, note, task, base } => launch(cgroup, netns, &note, task, base),
        Order::Run(task) => Ok(run(task).doing(|| "use up what was asked for".to_owned())?),
    }
}

fn launch(
    cgroup: Option<PathBuf>,
    netns: Option<PathBuf>,
    note: &Path,
    task: Task,
    base: Option<u64>,
) -> Result<(), ExecError> {
    let in_node = netns.is_none();
    if let Some(cgroup) = &cgroup {
        // 0: whoever writes.
        fs::write(cgroup.join("cgroup.procs"), "0").doing(|| format!("join {}", cgroup.display()))?;
    }
    if let Some(netns) = &netns {
        let file = fs::File::open(netns).doing(|| format!("open {}", netns.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET).doing(|| format!("enter {}", netns.display()))?;
    }
    let mut command = Command::new("/proc/self/exe");
    command.args(["internal-load", &serde_json::to_string(&Order::Run(task))?]);
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    // SAFETY: setsid is a plain system call. A session of its own: Ctrl-C at the terminal is not for loads.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(|_| ())?)) };
    let mut child = command.spawn().doing(|| "start the load".to_owned())?;
    let written = noted(&child, in_node, base, note).and_then(|mut started| {
        let said = wait_until_ready(&mut child)?;
        if started.base.is_none() {
            started.base = said;
        }
        write_note(note, &started)
    });
    if written.is_err() {
        // The error says why; the load must not stay behind it.
        let _ = child.kill().and_then(|()| child.wait());
        let _ = fs::remove_file(note);
    }
    written
}

/// Noted before it is ready: should the helper be killed while it waits, the load is found all the same.
fn noted(child: &Child, in_node: bool, base: Option<u64>, file: &Path) -> Result<Note, ExecError> {
    let start_ticks = proc::start_ticks(child.id()).doing(|| "look at the load".to_owned())?;
    let note = Note { pid: child.id(), start_ticks, in_node, base };
    write_note(file, &note)?;
    Ok(note)
}

fn write_note(file: &Path, note: &Note) -> Result<(), ExecError> {
    Ok(fs::write(file, serde_json::to_string(note)?).doing(|| format!("write {}", file.display()))?)
}

/// What it says when it is ready.
fn wait_until_ready(child: &mut Child) -> Result<Option<u64>, ExecError> {
    let (sender, lines) = mpsc::channel();
    if let Some(output) = child.stdout.take() {
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
    }
    let until = Instant::now() + READY_WITHIN;
    let mut waits = String::new();
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => match line.split_once(' ') {
                Some(("ready", base)) => return Ok(base.parse().ok()),
                _ => waits = line,
            },
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(ExecError::Load(format!("it ended: {waits}"))),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let reason = format!("not ready after {} s: {waits}", READY_WITHIN.as_secs());
                return Err(ExecError::Load(reason));
            }
        }
    }
}

fn run(task: Task) -> std::io::Result<()> {
    let result = match task {
        Task::Burn { threads, busy_ppm, nice } => burn(threads, busy_ppm, nice, || tell("ready -")),
        Task::Occupy { bytes } => occupy(bytes, || tell("ready -")),
        Task::Hold { to, speaks, count } => hold(to, speaks, count, |limit| tell(&format!("ready {limit}")), tell),
    };
    if let Err(error) = &result {
        tell(&error.to_string());
    }
    result
}

/// To the helper, which reads until the load is ready; nobody reads afterwards.
fn tell(line: &str) {
    let _ = writeln!(std::io::stdout(), "{}", line.replace('\n', " "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_the_machine_needs_is_refused() {
        const GIB: u64 = 1 << 30;
        assert_eq!(size_in(Size::AvailablePpm(250_000), 16 * GIB), Ok(4 * GIB));
        assert_eq!(size_in(Size::Bytes(14 * GIB), 16 * GIB), Ok(14 * GIB));
        let error = size_in(Size::Bytes(14 * GIB + 1), 16 * GIB).unwrap_err();
        assert!(error.contains("2048 MiB have to be left"), "{error}");
        assert!(size_in(Size::Bytes(1), 1 << 20).is_err());
        assert!(size_in(Size::Bytes(u64::MAX), 16 * GIB).is_err());
    }

    #[test]
    fn counts_established_connections_to_one_address() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 6554540A:A1B2 0154540A:1538 01 00000000:00000000 00:00000000 00000000     0        0 711 1\n   \
            1: 6554540A:A1B3 0154540A:1538 06 00000000:00000000 00:00000000 00000000     0        0 712 1\n   \
            2: 6554540A:A1B4 0254540A:1538 01 00000000:00000000 00:00000000 00000000     0        0 713 1\n";
        assert_eq!(established_to(table, Ipv4Addr::new(10, 84, 84, 1)).collect::<Vec<_>>(), [711]);
    }
}

//! How a server is started: our own binary, run again as a helper, enters the node and becomes the server's parent.
//!
//! A helper and not a fork of the controller: the steps from here to the server are many (namespaces, mounts, cgroup,
//! user) and a fork of a threaded process may do almost nothing. The helper ends once the server runs, so that the
//! server is PID 1's child: the controller would otherwise have to reap servers that it did not start itself.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, ExecError};
use crate::info::{Greeting, NodeInfo, ProcessSpec};
use crate::proc;
use crate::process::pid_file;
use crate::sandbox::IdMaps;

/// "nobody": no server needs more, and PostgreSQL refuses to run as root.
pub(crate) const SERVER_UID: u32 = 65534;

const GREETED_WITHIN: Duration = Duration::from_secs(5);

/// What the helper is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExecSpec {
    pub(crate) netns: PathBuf,
    pub(crate) cgroup: Option<PathBuf>,
    /// The node's private files; its `tmp` and `shm` become `/tmp` and `/dev/shm`.
    pub(crate) directory: PathBuf,
    pub(crate) process: ProcessSpec,
    /// `Some`: a server, to be left running, its number to be noted in this file. `None`: a tool, which replaces the
    /// helper and keeps its output.
    pub(crate) pid_file: Option<PathBuf>,
}

impl ExecSpec {
    pub(crate) fn server(node: &NodeInfo, process: &ProcessSpec) -> Self {
        let pid_file = Some(pid_file(node, &process.name));
        Self { pid_file, ..Self::tool(node, process.clone()) }
    }

    pub(crate) fn tool(node: &NodeInfo, process: ProcessSpec) -> Self {
        let NodeInfo { netns, cgroup, directory, .. } = node.clone();
        Self { netns, cgroup, directory, process, pid_file: None }
    }

    /// The arguments with which the helper is run.
    pub(crate) fn args(&self) -> Result<[String; 2], ExecError> {
        Ok(["internal-exec".to_owned(), serde_json::to_string(self)?])
    }
}

/// The body of `schism internal-exec <spec>`: enters the node's namespaces, cgroup and private directories, drops
/// root, and starts the process. Returns once a server runs (and has answered its greeting); does not return when it
/// has become a tool. Inside a sandbox only, from a process with one thread.
pub fn internal_exec(spec_json: &str) -> Result<(), ExecError> {
    let spec: ExecSpec = serde_json::from_str(spec_json)?;
    // Opened while paths still mean what they mean outside the node.
    let output = spec.pid_file.as_ref().map(|_| open_log(&spec.process.log)).transpose()?;
    enter_node(&spec)?;
    let mut command = Command::new(&spec.process.program);
    command.args(&spec.process.args).env_clear().envs(&spec.process.env).stdin(Stdio::null());
    drop_root(&mut command)?;
    let program = |source| ExecError::Program { program: spec.process.program.clone(), source };
    let (Some(log), Some(pid_file)) = (output, &spec.pid_file) else {
        return Err(program(command.exec()));
    };
    command.stdout(log.try_clone().doing(|| "share the log".to_owned())?).stderr(log);
    // SAFETY: setsid is a plain system call. A session of its own: Ctrl-C at the terminal is not for servers.
    unsafe { command.pre_exec(|| Ok(nix::unistd::setsid().map(|_| ())?)) };
    let child = command.spawn().map_err(program)?;
    note_pid(pid_file, child.id())?;
    spec.process.greeting.as_ref().map_or(Ok(()), greet)
}

fn open_log(path: &Path) -> Result<fs::File, ExecError> {
    Ok(OpenOptions::new().create(true).append(true).open(path).doing(|| format!("open {}", path.display()))?)
}

fn enter_node(spec: &ExecSpec) -> Result<(), ExecError> {
    if let Some(cgroup) = &spec.cgroup {
        // 0: whoever writes.
        fs::write(cgroup.join("cgroup.procs"), "0").doing(|| format!("join {}", cgroup.display()))?;
    }
    let netns = fs::File::open(&spec.netns).doing(|| format!("open {}", spec.netns.display()))?;
    setns(netns, CloneFlags::CLONE_NEWNET).doing(|| format!("enter {}", spec.netns.display()))?;
    unshare(CloneFlags::CLONE_NEWNS).doing(|| "make a mount namespace".to_owned())?;
    // What is mounted and unmounted below /run is so here too, and not the other way round.
    mount(None::<&str>, "/run", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .doing(|| "follow the mounts below /run".to_owned())?;
    for (name, target) in [("tmp", "/tmp"), ("shm", "/dev/shm")] {
        let source = spec.directory.join(name);
        mount(Some(&source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .doing(|| format!("mount {} on {target}", source.display()))?;
    }
    Ok(std::env::set_current_dir(&spec.directory).doing(|| format!("enter {}", spec.directory.display()))?)
}

/// As real root: another user. In a user namespace that maps no other user: a nested one, in which we are not root.
fn drop_root(command: &mut Command) -> Result<(), ExecError> {
    if can_become(SERVER_UID).doing(|| "read /proc/self/uid_map".to_owned())? {
        command.uid(SERVER_UID).gid(SERVER_UID);
        return Ok(());
    }
    let maps = IdMaps::to(SERVER_UID);
    unshare(CloneFlags::CLONE_NEWUSER).doing(|| "make a nested user namespace".to_owned())?;
    Ok(maps.write().doing(|| "map the server's user".to_owned())?)
}

/// Whether this user exists in our user namespace.
pub(crate) fn can_become(uid: u32) -> std::io::Result<bool> {
    let covers = |line: &str| {
        let mut fields = line.split_ascii_whitespace().filter_map(|field| field.parse::<u64>().ok());
        let (first, _, count) = (fields.next()?, fields.next()?, fields.next()?);
        Some((first..first + count).contains(&u64::from(uid)))
    };
    Ok(fs::read_to_string("/proc/self/uid_map")?.lines().any(|line| covers(line) == Some(true)))
}

fn note_pid(file: &Path, pid: u32) -> Result<(), ExecError> {
    // One that has ended already (a bad setting) is noted too: nothing matches 0, and its log says why.
    let ticks = proc::start_ticks(pid).unwrap_or(0);
    Ok(fs::write(file, format!("{pid} {ticks}\n")).doing(|| format!("write {}", file.display()))?)
}

fn greet(greeting: &Greeting) -> Result<(), ExecError> {
    let until = Instant::now() + GREETED_WITHIN;
    loop {
        let reason = match say(greeting) {
            Ok(answer) if answer.starts_with(&greeting.answer) => return Ok(()),
            Ok(answer) => answer,
            Err(error) => error.to_string(),
        };
        if Instant::now() > until {
            return Err(ExecError::Greeting { line: greeting.line.clone(), port: greeting.port, reason });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn say(greeting: &Greeting) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, greeting.port))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(format!("{}\r\n", greeting.line).as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}

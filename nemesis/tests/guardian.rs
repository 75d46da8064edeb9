//! The guardian with real processes: this binary is the test, and, run again with other arguments, also the launcher,
//! the guardian, the sandbox's first command and `internal-undo`. What the unit tests cannot show: that the guardian
//! survives its launcher's death and signals, that no forgotten copy of the lifeline keeps it waiting, and that an
//! undo gets from outside into the sandbox.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own, which tells by printing")]

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    net::Ipv4Addr,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use schism_cluster::{NodeInfo, SandboxInfo, sandbox};
use schism_nemesis::{Guardian, Healer, Ledger, ProcessId, StateDir, guardian_main, internal_undo, leftovers};

/// How long anything here may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the processes of a test live if nobody ends them.
const LIFE: Duration = Duration::from_secs(60);

type Anything<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// What a test runner that lists tests before it runs them expects; all of this file is one test.
fn list(args: &[OsString], name: &str) {
    if !args.iter().any(|arg| arg == "--ignored") {
        println!("{name}: test");
    }
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mode = args.first().and_then(|arg| arg.to_str()).unwrap_or_default();
    let result = match mode {
        "launcher" => launcher(Path::new(&args[1]), &args[2].to_string_lossy()),
        "inside" => inside(),
        "internal-guardian" => std::io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(Into::into)
            .and_then(|lifeline| Ok(guardian_main(Path::new(&args[1]), lifeline)?)),
        "internal-undo" => undo(Path::new(&args[1]), &args[2].to_string_lossy()),
        _ if args.iter().any(|arg| arg == "--list") => {
            list(&args, "real_processes");
            Ok(())
        }
        _ => tests(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{mode}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tests() -> Anything {
    let missing = sandbox::capabilities().system.into_iter().filter(|one| one.required).find_map(|one| one.missing);
    if let Some(missing) = missing {
        println!("skipped: no sandbox on this machine: {missing}");
        return Ok(());
    }
    killed_launcher()?;
    stopped_launcher()?;
    finished_launcher()?;
    println!("guardian: 3 passed");
    Ok(())
}

/// As the command line does it: registered, guarded, then the sandbox.
fn launcher(directory: &Path, run_id: &str) -> Anything {
    let ledger = Ledger::create(&directory.join("ledger.jsonl"), run_id)?;
    let run = StateDir::at(&directory.join("state"))?.register(run_id, ledger.path())?;
    let guardian = Guardian::start(&["internal-guardian".into(), run.pointer().into()])?;
    let mut inside = sandbox::spawn_inside(&["inside".into()], run_id)?;
    ledger.sandbox(inside.init_pid, inside.init_start_ticks, inside.cgroup_root.as_deref())?;
    println!("up");
    std::io::stdin().read_exact(&mut [0])?;
    inside.child.kill()?;
    inside.child.wait()?;
    if let Some(root) = &inside.cgroup_root {
        sandbox::remove_leftovers(root)?;
    }
    ledger.closed(Healer::Run)?;
    guardian.finish()?;
    run.finish()?;
    Ok(())
}

fn inside() -> Anything {
    sandbox::prepare_inside()?;
    sleep(LIFE);
    Ok(())
}

fn undo(ledger: &Path, fault: &str) -> Anything {
    Ok(internal_undo(ledger, fault.parse()?)?)
}

/// A launcher that this test has started.
struct Run {
    id: String,
    directory: tempfile::TempDir,
    launcher: Child,
}

impl Run {
    fn start(name: &str) -> Anything<Self> {
        let directory = tempfile::tempdir()?;
        let id = format!("test-{name}-{}", std::process::id());
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("launcher").arg(directory.path()).arg(&id);
        let mut launcher = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = launcher.stdout.take().ok_or("no output")?;
        let run = Self { id, directory, launcher };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line == "up\n" { Ok(run) } else { Err("the launcher did not start".into()) }
    }

    fn ledger(&self) -> PathBuf {
        self.directory.path().join("ledger.jsonl")
    }

    fn said(&self) -> String {
        fs::read_to_string(self.ledger()).unwrap_or_default()
    }

    fn line(&self, record: &str) -> Anything<serde_json::Value> {
        let begin = format!("{{\"record\":\"{record}\"");
        let said = self.said();
        Ok(serde_json::from_str(said.lines().find(|line| line.starts_with(&begin)).ok_or("no such line")?)?)
    }

    fn init(&self) -> Anything<ProcessId> {
        Ok(serde_json::from_value(self.line("sandbox")?["init"].clone())?)
    }

    fn signal(&self, signal: Signal) -> Anything {
        Ok(kill(Pid::from_raw(self.launcher.id().cast_signed()), signal)?)
    }

    /// Nothing of the run is left.
    fn await_gone(&self) -> Anything {
        let pointer = self.directory.path().join("state").join(format!("{}.json", self.id));
        until("the pointer is removed", || !pointer.exists())?;
        let init = self.init()?;
        until("the sandbox has ended", || !init.is_alive())?;
        let state = StateDir::at(&self.directory.path().join("state"))?;
        let left: Vec<String> = leftovers(&state)?.into_iter().filter(|line| line.contains(&self.id)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("left: {left:?}").into()) }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) -> Anything {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > PATIENCE {
            return Err(format!("waited {} s in vain until {what}", PATIENCE.as_secs()).into());
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn killed_launcher() -> Anything {
    let mut run = Run::start("killed")?;
    run.signal(Signal::SIGKILL)?;
    let begin = Instant::now();
    run.launcher.wait()?;
    run.await_gone()?;
    println!("killed launcher: nothing left after {} ms", begin.elapsed().as_millis());
    if !run.said().ends_with("{\"record\":\"closed\",\"by\":\"guardian\"}\n") {
        return Err(format!("not closed by the guardian: {}", run.said()).into());
    }
    Ok(())
}

fn finished_launcher() -> Anything {
    let mut run = Run::start("finished")?;
    run.launcher.stdin.take().ok_or("no input")?.write_all(b".")?;
    let status = run.launcher.wait()?;
    if !status.success() || !run.said().ends_with("{\"record\":\"closed\",\"by\":\"run\"}\n") {
        return Err(format!("{status}: {}", run.said()).into());
    }
    run.await_gone()
}

/// A node of one frozen process; its launcher stops before it could thaw it.
fn stopped_launcher() -> Anything {
    let mut run = Run::start("stopped")?;
    let Some(root) = run.line("sandbox")?["cgroup-root"].as_str().map(PathBuf::from) else {
        println!("skipped: a stopped launcher (no cgroups here)");
        return Ok(());
    };
    let cgroup = root.join("n1");
    fs::create_dir(&cgroup)?;
    let mut process = Command::new("sleep").arg(LIFE.as_secs().to_string()).spawn()?;
    fs::write(cgroup.join("cgroup.procs"), process.id().to_string())?;
    fs::write(cgroup.join("cgroup.freeze"), "1")?;
    let frozen = || fs::read_to_string(cgroup.join("cgroup.events")).is_ok_and(|events| events.contains("frozen 1"));
    until("the node is frozen", frozen)?;
    Ledger::append_to(&run.ledger())?.cluster(one_node(&run, &root, &cgroup)?)?;
    run.signal(Signal::SIGSTOP)?;
    let begin = Instant::now();
    intend_pause(&run, 300)?;
    let thawed = until("the guardian thaws the node", || !frozen());
    println!("stopped launcher: thawed after {} ms, time-to-live 300 ms", begin.elapsed().as_millis());
    let noted =
        until("the guardian notes it", || run.said().contains("\"record\":\"undone\",\"fault\":0,\"by\":\"guardian\""));
    let alive = run.init()?.is_alive();
    // Stopped or not, it can be killed; the node's process dies with the cgroup.
    run.signal(Signal::SIGKILL)?;
    run.launcher.wait()?;
    let gone = run.await_gone();
    let _ = process.kill();
    process.wait()?;
    thawed.and(noted).and(gone)?;
    if alive { Ok(()) } else { Err("the sandbox was ended, not only the fault".into()) }
}

fn one_node(run: &Run, root: &Path, cgroup: &Path) -> Anything<SandboxInfo> {
    let init = run.init()?;
    let node = NodeInfo {
        name: "n1".into(),
        address: Ipv4Addr::new(10, 0, 0, 1),
        netns: PathBuf::new(),
        cgroup: Some(cgroup.to_path_buf()),
        directory: PathBuf::new(),
        processes: Vec::new(),
        fuse: None,
    };
    // By way of JSON, so that a field more in it does not concern this test.
    let mut info = serde_json::to_value(BTreeMap::from([("run_id", &run.id)]))?;
    info["init_pid"] = init.pid.into();
    info["init_start_ticks"] = init.start_ticks.into();
    info["cgroup_root"] = root.to_str().into();
    info["helper"] = "".into();
    info["nodes"] = serde_json::to_value([node])?;
    info["sites"] = serde_json::to_value([""; 0])?;
    Ok(serde_json::from_value(info)?)
}

fn intend_pause(run: &Run, ttl_ms: u64) -> Anything {
    let uptime = fs::read_to_string("/proc/uptime")?;
    let seconds: f64 = uptime.split_ascii_whitespace().next().ok_or("no uptime")?.parse()?;
    let uptime_ms = (seconds * 1_000.0) as u64;
    let steps = r#"[{"step":"freeze","node":"n1"}]"#;
    let undo = r#"[{"step":"thaw","node":"n1"}]"#;
    let mut file = OpenOptions::new().append(true).open(run.ledger())?;
    writeln!(
        file,
        r#"{{"record":"intent","fault":0,"kind":"pause","steps":{steps},"undo":{undo},"ttl-ms":{ttl_ms},"uptime-ms":{uptime_ms}}}"#
    )?;
    Ok(())
}

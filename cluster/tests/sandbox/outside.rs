//! The launcher's side: makes sandboxes, and looks at what is left of them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use schism_cluster::sandbox::{self, Isolation};
use schism_cluster::{SandboxInfo, Step, enter_sandbox_command};

/// Name, the target whose programs it needs, and whether it also runs unprivileged when the tests run as root.
const SCENARIOS: [(&str, &str, bool); 22] = [
    ("exit-code", "", true),
    ("signals", "", true),
    ("basics:redis/single", "redis-server", true),
    ("basics:redis/sentinel", "redis-sentinel", true),
    ("basics:postgres/single", "postgres", true),
    ("basics:postgres/async", "postgres", true),
    ("basics:postgres/sync", "postgres", false),
    ("sentinel-failover", "redis-sentinel", false),
    ("postgres-lost-writes", "postgres", true),
    ("postgres-split-brain", "postgres", false),
    ("postgres-base-backup", "postgres", false),
    ("endings:redis/sentinel", "redis-sentinel", true),
    ("endings:postgres/async", "postgres", true),
    ("resources:redis/single", "redis-server", true),
    ("resources:redis/sentinel", "redis-sentinel", false),
    ("resources:postgres/single", "postgres", true),
    ("from-outside", "redis-server", true),
    ("bad-settings:redis/single", "redis-server", false),
    ("bad-settings:postgres/single", "postgres", false),
    ("killed", "redis-sentinel", true),
    ("links", "redis-server", false),
    // A measurement: by hand, by its whole name.
    ("switch-speed", "redis-server", false),
];

pub(crate) fn run_all(args: &[&str]) -> ExitCode {
    let list = args.contains(&"--list");
    if list && args.contains(&"--ignored") {
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&str> = args.iter().copied().filter(|arg| !arg.starts_with("--") && *arg != "terse").collect();
    let exact = args.contains(&"--exact");
    let able = sandbox::capabilities();
    let as_nobody = nobody_can_run();
    let mut failed = 0;
    for (name, program, also_unprivileged) in SCENARIOS {
        for unprivileged in [false, true] {
            if unprivileged && !(also_unprivileged && able.isolation == Isolation::Root) {
                continue;
            }
            let full = if unprivileged { format!("{name}@nobody") } else { name.to_owned() };
            let chosen = |filter: &&str| if exact { full == **filter } else { full.contains(*filter) };
            if !filters.is_empty() && !filters.iter().any(chosen) {
                continue;
            }
            if name == "switch-speed" && !filters.contains(&name) {
                continue;
            }
            if list {
                println!("{full}: test");
                continue;
            }
            let there = program.is_empty() || able.servers.iter().any(|one| one.name == program && one.path.is_some());
            if able.isolation == Isolation::None || !there {
                println!(
                    "SKIPPED: {full}: needs root or user namespaces{}{program}",
                    if there { "" } else { ", and " }
                );
                continue;
            }
            if unprivileged && !as_nobody {
                println!("SKIPPED: {full}: nobody cannot run {}", std::env::current_exe().unwrap().display());
                continue;
            }
            failed += u32::from(!run_one(name, &full, unprivileged));
        }
    }
    if list || failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_one(name: &str, full: &str, unprivileged: bool) -> bool {
    let results = Results::new(full);
    let began = Instant::now();
    let mut command = launcher(unprivileged);
    command.args(["launch", name]).arg(&results.0).env("HOME", &results.0).env("XDG_CACHE_HOME", cache(unprivileged));
    if std::env::var_os("SCHISM_TEST_FRESH").is_some() {
        command.env("XDG_CACHE_HOME", results.0.join("cache"));
    }
    let ok = if name == "killed" {
        killed(command, &results.0)
    } else {
        let output = command.output().unwrap();
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        output.status.success()
    };
    println!("{} {full} ({:.2} s)", if ok { "ok    " } else { "FAILED" }, began.elapsed().as_secs_f64());
    ok
}

/// It cannot where this program lies in a home directory that is closed to others.
fn nobody_can_run() -> bool {
    launcher(true).arg("capabilities").output().is_ok_and(|output| output.status.success())
}

pub(crate) fn print_capabilities() -> ExitCode {
    println!("{}", serde_json::to_string_pretty(&sandbox::capabilities()).unwrap());
    ExitCode::SUCCESS
}

/// Templates are kept between runs, as they are for users; two users cannot share one directory.
fn cache(unprivileged: bool) -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join(if unprivileged { "cache-nobody" } else { "cache" });
    fs::create_dir_all(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    cache
}

fn launcher(unprivileged: bool) -> Command {
    let own = std::env::current_exe().unwrap();
    if !unprivileged {
        return Command::new(own);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]).arg(own);
    command
}

/// A directory for one scenario, removed at its end.
struct Results(PathBuf);

impl Results {
    fn new(name: &str) -> Self {
        let name = name.replace([':', '/', '@'], "-");
        let path = std::env::temp_dir().join(format!("schism-test-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn launch(name: &str, results: &str) -> ExitCode {
    let run_id = format!("test-{}", std::process::id());
    let args: Vec<OsString> = ["inside", name, results, &run_id].map(OsString::from).to_vec();
    let mut inside = match sandbox::spawn_inside(&args, &run_id) {
        Ok(inside) => inside,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if name == "signals" {
        // It is passed on twice: by the warden and by PID 1.
        wait_for(Duration::from_secs(5), || Path::new(results).join("ready").exists());
        Command::new("kill").arg(inside.child.id().to_string()).status().unwrap();
    }
    if name == "from-outside" {
        act_from_outside(Path::new(results));
    }
    if name == "killed" {
        let root = inside.cgroup_root.as_ref().map_or(String::new(), |root| root.display().to_string());
        fs::write(Path::new(results).join("launched"), format!("{}\n{root}\n", inside.init_pid)).unwrap();
    }
    let status = inside.child.wait().unwrap();
    if let Some(root) = &inside.cgroup_root {
        sandbox::remove_leftovers(root).unwrap();
        assert!(!root.exists());
    }
    // The launcher's own namespaces are as they were: it can make another sandbox, or run anything else.
    assert!(Command::new("true").status().unwrap().success());
    let expected = match name {
        "exit-code" => 7,
        "signals" => 128 + 15,
        _ => 0,
    };
    if status.code() == Some(expected) {
        return ExitCode::SUCCESS;
    }
    eprintln!("{name} ended with {status}, expected {expected}");
    ExitCode::FAILURE
}

/// As the guardian does: enters the sandbox and runs steps there, knowing only what the ledger stores.
fn act_from_outside(results: &Path) {
    assert!(wait_for(Duration::from_secs(20), || results.join("ready").exists()));
    let stored = fs::read_to_string(results.join("info.json")).unwrap();
    let info: SandboxInfo = serde_json::from_str(&stored).unwrap();
    let n1 = || "n1".to_owned();
    for step in
        [Step::Kill { node: n1() }, Step::Start { node: n1() }, Step::Unshape { id: 1 }, Step::Unshape { id: 1 }]
    {
        let mut command = enter_sandbox_command(&info);
        command.arg(std::env::current_exe().unwrap()).args(["step", &stored, &serde_json::to_string(&step).unwrap()]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{step:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::write(results.join("acted"), "").unwrap();
}

/// `kill -9` of the launcher, and in a second run of PID 1, while a cluster runs.
fn killed(mut command: Command, results: &Path) -> bool {
    let ok = ["launcher", "PID 1"].map(|victim| killed_once(&mut command, results, victim));
    ok == [true, true]
}

fn killed_once(command: &mut Command, results: &Path, victim: &str) -> bool {
    let mut launcher = command.spawn().unwrap();
    let (launched, ready) = (results.join("launched"), results.join("ready"));
    let started = wait_for(Duration::from_secs(40), || ready.exists() && launched.exists());
    let text = fs::read_to_string(&launched).unwrap_or_default();
    let mut lines = text.lines();
    let init: u32 = lines.next().and_then(|pid| pid.parse().ok()).unwrap();
    let root = lines.next().filter(|root| !root.is_empty()).map(PathBuf::from);
    let namespaces = namespaces_of(init);
    let before = members(&namespaces).len();
    let pid = if victim == "launcher" { launcher.id() } else { init };
    Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    let began = Instant::now();
    let gone = wait_for(Duration::from_secs(2), || members(&namespaces).is_empty());
    let took = began.elapsed();
    reap(&mut launcher);
    let cleaned = root.as_ref().is_none_or(|root| sandbox::remove_leftovers(root).is_ok() && !root.exists());
    let traces = traces();
    fs::remove_file(&launched).unwrap();
    fs::remove_file(&ready).unwrap();
    println!("    {victim} killed: {before} processes gone after {} ms", took.as_millis());
    let ok = started && before >= 8 && gone && cleaned && traces.is_empty();
    if !ok {
        println!("    started {started}, gone {gone}, cleaned {cleaned}, traces {traces:?}");
    }
    ok
}

fn reap(launcher: &mut Child) {
    let _ = launcher.kill();
    let _ = launcher.wait();
}

/// The PID and IPC namespaces of a process; a member of either is a process of its sandbox.
fn namespaces_of(pid: u32) -> Vec<PathBuf> {
    ["pid_for_children", "ipc"].iter().filter_map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()).collect()
}

fn members(namespaces: &[PathBuf]) -> Vec<u32> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| namespaces_of(*pid).iter().any(|one| namespaces.contains(one))).collect()
}

/// What the host can see of a sandbox.
fn traces() -> Vec<String> {
    let mut found = Vec::new();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains("schism")).map(ToOwned::to_owned));
    for command in [["netns", "list"], ["-brief", "link"]] {
        let output = Command::new("ip").args(command).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        found.extend(text.lines().filter(|line| is_ours(line)).map(ToOwned::to_owned));
    }
    found
}

fn is_ours(line: &str) -> bool {
    ["schism", "v-n", "v-c", "n1", "c1"].iter().any(|name| line.starts_with(name))
}

fn wait_for(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    condition()
}

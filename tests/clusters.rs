//! Real servers in sandboxes, from outside: a run, two at once, and everything that can happen to one. Needs root or
//! user namespaces, and the servers; says `SKIPPED:` where something is missing.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::Value;

use support::{
    Ended, Running, call, check_named, eventually, json_lines, result_of, run, run_folder, schism, scratch, tree,
    verdicts,
};

/// A cluster starts within it, on a machine that does other things as well.
const START: Duration = Duration::from_secs(60);

/// What is left of a run after its death must be gone by then.
const GONE: Duration = Duration::from_secs(2);

/// A cut that takes hold early and outlasts the test.
const CUT: &str = "[[fault]]\nat = \"500ms\"\nfor = \"60s\"\nkind = \"partition\"\ntarget = \"primary\"\n";

/// Whether this machine can run it; says so if not.
fn can_run(servers: &[&str]) -> bool {
    let lacking = missing(&run(schism().args(["doctor", "--json"])).json(), servers);
    if !lacking.is_empty() {
        skipped(&format!("this machine lacks {}", lacking.join(", ")));
    }
    lacking.is_empty()
}

/// What `doctor` says is not there, of these servers and of what every run needs.
fn missing(doctor: &Value, servers: &[&str]) -> Vec<String> {
    let rows = |list: &str| doctor["capabilities"][list].as_array().unwrap().clone();
    let servers = rows("servers")
        .into_iter()
        .filter(|row| row["path"].is_null() && servers.iter().any(|server| row["name"] == *server));
    let system = rows("system").into_iter().filter(|row| row["required"] == true && !row["missing"].is_null());
    servers.chain(system).map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// Past the test runner's capture, which hides what a passing test prints.
fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Root in mount namespaces of its own, where it may mount over things.
fn can_unshare_mounts() -> bool {
    let works = is_root() && Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !works {
        skipped("only root can mount over files here");
    }
    works
}

/// A run of the redis cluster whose primary is cut off, and what is known of it.
struct CutRun {
    running: Running,
    folder: PathBuf,
    run_id: String,
    init: i32,
    pid_namespace: PathBuf,
    cgroup: Option<PathBuf>,
    _results: tempfile::TempDir,
}

impl CutRun {
    /// Waits until the cut has been seen to bite.
    fn start() -> Self {
        let results = scratch();
        let schedule = results.path().join("cut.toml");
        fs::write(&schedule, CUT).unwrap();
        let mut command = schism();
        command.args(["run", "redis/sentinel", "--seed", "1", "--schedule"]).arg(&schedule);
        // In a process group of its own, as a shell starts it.
        command.arg("--results").arg(results.path().join("r")).process_group(0);
        let mut running = Running::start(&mut command);
        let folder = eventually("a cut", START, || {
            assert!(!running.has_ended(), "the run ended by itself");
            let folder = run_folder(&results.path().join("r"))?;
            let bites = json_lines(&folder.join("history.jsonl"))
                .iter()
                .any(|event| event["process"] == "nemesis" && event["value"]["stage"] == "injected");
            bites.then_some(folder)
        });
        let ledger = json_lines(&folder.join("ledger.jsonl"));
        let record = |name: &str| ledger.iter().find(|record| record["record"] == name).unwrap();
        let init = i32::try_from(record("sandbox")["init"]["pid"].as_i64().unwrap()).unwrap();
        Self {
            running,
            run_id: record("opened")["run-id"].as_str().unwrap().to_owned(),
            init,
            pid_namespace: fs::read_link(format!("/proc/{init}/ns/pid")).unwrap(),
            cgroup: record("sandbox")["cgroup-root"].as_str().map(PathBuf::from),
            folder,
            _results: results,
        }
    }

    /// Every process of the run: those in its PID namespace, and those that were told its name.
    fn processes(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let path = entry.path();
            let inside = fs::read_link(path.join("ns/pid")).is_ok_and(|namespace| namespace == self.pid_namespace);
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let results = self.folder.parent().and_then(Path::parent).unwrap();
            let told = line.contains(&self.run_id) || line.contains(results.to_str().unwrap());
            if inside || told {
                found.insert(format!("{} {line}", path.display()));
            }
        }
        found
    }

    /// Everything that the run still has on this machine.
    fn left(&self) -> Vec<String> {
        let leftovers = call(&["doctor", "--leftovers"]).expect(0).stdout;
        let mut left: Vec<String> =
            leftovers.lines().filter(|line| line.contains(&self.run_id)).map(str::to_owned).collect();
        left.extend(self.processes());
        left.extend(self.cgroup.iter().filter(|path| path.exists()).map(|path| path.display().to_string()));
        left
    }

    #[track_caller]
    fn expect_nothing_left(&self) {
        let until = Instant::now() + GONE;
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < until, "left: {left:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[track_caller]
    fn expect_closed_and_readable(&self) {
        let ledger = json_lines(&self.folder.join("ledger.jsonl"));
        assert_eq!(ledger.last().unwrap()["record"], "closed", "{ledger:?}");
        let undone = ledger.iter().filter(|record| record["record"] == "undone").count();
        assert_eq!(undone, 1, "{ledger:?}");
        let checked = run(schism().args(["check", "--json"]).arg(&self.folder));
        assert!(matches!(checked.code, Some(0..=2)), "{checked:?}");
        assert_eq!(checked.json()["model"], "set");
    }
}

fn cut_run() -> Option<CutRun> {
    can_run(&["redis-server", "redis-sentinel"]).then(CutRun::start)
}

/// A short run without faults.
fn quiet(target: &str, results: &Path) -> Command {
    let mut command = schism();
    command.args(["run", target, "--faults", "none", "--duration", "1s", "--seed", "1", "--results"]).arg(results);
    command
}

#[test]
fn two_runs_at_the_same_time_are_both_valid() {
    if !can_run(&["redis-server"]) {
        return;
    }
    let (one, two) = (scratch(), scratch());
    let runs = [one.path(), two.path()].map(|results| Running::start(&mut quiet("redis/single", results)));
    for run in runs {
        let ended = run.wait(START).expect(0);
        assert!(ended.stdout.contains("VALID"), "{}", ended.stdout);
    }
    for results in [one.path(), two.path()] {
        let folder = run_folder(results).unwrap();
        let result = result_of(&folder);
        assert_eq!(result["valid"], true, "{}", verdicts(&result));
        assert_eq!(result["outcome"], "completed");
        assert_eq!(json_lines(&folder.join("ledger.jsonl")).last().unwrap()["record"], "closed");
        assert!(folder.join("nodes/n1/redis.log").exists());
        assert!(!folder.join("launch.json").exists());
    }
}

#[track_caller]
fn expect_partial_verdict(ended: &Ended, cut: &CutRun) {
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
    let result = result_of(&cut.folder);
    assert_eq!(result["outcome"], "interrupted", "{}", verdicts(&result));
    assert_eq!(result["harness-errors"], Value::Array(vec![]));
    assert!(ended.stdout.contains("interrupted"), "{}", ended.stdout);
    assert!(result["faults"][0]["end-ns"].is_u64(), "{}", result["faults"]);
    for file in ["report.html", "junit.xml", "nodes/n1/redis.log"] {
        assert!(cut.folder.join(file).exists(), "{file}");
    }
    assert_eq!(json_lines(&cut.folder.join("ledger.jsonl"))[4]["by"], "run");
}

impl CutRun {
    /// Its end, keeping what is known of it.
    fn wait(&mut self) -> Ended {
        let idle = Running::start(&mut Command::new("true"));
        std::mem::replace(&mut self.running, idle).wait(Duration::from_secs(30))
    }
}

#[test]
fn ctrl_c_heals_saves_and_gives_a_partial_verdict() {
    let Some(mut cut) = cut_run() else { return };
    kill(Pid::from_raw(cut.running.pid()), Signal::SIGINT).unwrap();
    let ended = cut.wait();
    expect_partial_verdict(&ended, &cut);
    cut.expect_nothing_left();
    cut.expect_closed_and_readable();
}

/// A terminal sends Ctrl-C to every process of the group, of which the launcher passes its own on: the controller gets
/// it twice, unless the machine is so busy that the two become one. So that it is two in any case, two are sent.
#[test]
fn ctrl_c_of_a_terminal_is_one_ctrl_c() {
    let Some(mut cut) = cut_run() else { return };
    let group = Pid::from_raw(cut.running.pid());
    killpg(group, Signal::SIGINT).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    killpg(group, Signal::SIGINT).unwrap();
    let ended = cut.wait();
    expect_partial_verdict(&ended, &cut);
    cut.expect_nothing_left();
    cut.expect_closed_and_readable();
}

#[test]
fn kill_9_of_the_launcher_leaves_nothing() {
    let Some(mut cut) = cut_run() else { return };
    assert!(cut.processes().len() >= 10, "servers, sentinels and ours: {:?}", cut.processes());
    kill(Pid::from_raw(cut.running.pid()), Signal::SIGKILL).unwrap();
    assert_eq!(cut.wait().code, None);
    cut.expect_nothing_left();
    cut.expect_closed_and_readable();
}

#[test]
fn kill_9_of_the_sandbox_leaves_nothing_and_is_no_verdict() {
    let Some(mut cut) = cut_run() else { return };
    kill(Pid::from_raw(cut.init), Signal::SIGKILL).unwrap();
    cut.expect_nothing_left();
    let ended = cut.wait().expect(255);
    assert!(ended.stderr.contains("the controller was ended by signal 9"), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("schism check {}", cut.folder.display())), "{}", ended.stderr);
    cut.expect_closed_and_readable();
}

#[test]
fn heal_on_a_live_run_undoes_its_fault_and_the_run_says_so() {
    let Some(mut cut) = cut_run() else { return };
    // Other runs on this machine are none of ours.
    let healed = call(&["heal", cut.folder.to_str().unwrap()]).stdout;
    assert!(healed.contains(&format!("{}: still running; undone: partition (fault 0)", cut.run_id)), "{healed}");
    kill(Pid::from_raw(cut.running.pid()), Signal::SIGINT).unwrap();
    cut.wait().expect(255);
    let result = result_of(&cut.folder);
    assert_eq!(result["outcome"], "harness-failure");
    let errors = result["harness-errors"].to_string();
    assert!(errors.contains("undone early, by `schism heal`"), "{errors}");
    cut.expect_nothing_left();
}

#[test]
fn a_setting_that_the_server_refuses_shows_the_servers_own_words() {
    for (target, server, setting, says) in [
        ("redis/single", "redis-server", "maxmemroy=1", "Bad directive or wrong number of arguments"),
        ("postgres/single", "postgres", "shared_bufers=1", "unrecognized configuration parameter \"shared_bufers\""),
    ] {
        if !can_run(&[server]) {
            continue;
        }
        let results = scratch();
        let ended = run(quiet(target, results.path()).args(["--set", setting])).expect(255);
        let folder = fs::canonicalize(run_folder(results.path()).unwrap()).unwrap();
        for text in [says, "n1: ", "ended while starting", folder.to_str().unwrap()] {
            assert!(ended.stderr.contains(text), "{target} does not say {text:?}: {}", ended.stderr);
        }
        assert!(folder.join("plan.toml").exists() && folder.join("nodes/n1").is_dir());
        assert_eq!(json_lines(&folder.join("ledger.jsonl")).last().unwrap()["record"], "closed");
    }
}

#[test]
fn a_fault_that_cannot_be_injected_is_never_green() {
    if !can_run(&["redis-server"]) {
        return;
    }
    let results = scratch();
    let schedule = results.path().join("s.toml");
    let kill = |at: &str, length: &str| {
        format!("[[fault]]\nat = \"{at}\"\nfor = \"{length}\"\nkind = \"kill\"\ntarget = \"primary\"\n")
    };
    // The second finds no primary: the first has killed it.
    fs::write(&schedule, kill("300ms", "4s") + &kill("1s", "500ms")).unwrap();
    let folder = results.path().join("r");
    let args = ["run", "redis/single", "--set", "appendfsync=always", "--duration", "5s", "--json", "--schedule"];
    let ended = run(schism().args(args).arg(&schedule).arg("--results").arg(&folder)).expect(255);
    let result = ended.json();
    assert_eq!(result["outcome"], "harness-failure");
    let errors = result["harness-errors"].to_string();
    assert!(errors.contains("fault 1 (kill): no victim for primary"), "{errors}");
    // What was found all the same is told.
    assert_eq!(check_named(&result, "set")["valid"], true, "{}", verdicts(&result));
    assert!(fs::read_to_string(folder.join("latest/junit.xml")).unwrap().contains("no victim for primary"));
}

#[test]
fn a_full_disk_ends_the_run_and_is_named() {
    if !can_unshare_mounts() || !can_run(&["redis-server"]) {
        return;
    }
    let results = scratch();
    let script = "mount -t tmpfs -o size=256k none \"$1\" && exec \"$0\" run redis/single --faults none --rate 3000 \
                  --duration 30s --results \"$1\"";
    let started = Instant::now();
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_schism")]).arg(results.path());
    let ended = run(&mut command).expect(255);
    assert!(started.elapsed() < Duration::from_secs(20), "it went on without a history");
    let said = ended.stdout + &ended.stderr;
    assert!(said.contains("HARNESS FAILURE"), "{said}");
    assert!(said.contains("the history could not be written to its end: No space left on device"), "{said}");
}

#[test]
fn a_missing_server_is_named_with_its_package_before_anything_is_made() {
    if !can_unshare_mounts() || !can_run(&["redis-server"]) {
        return;
    }
    let folder = scratch();
    // The server's file is hidden behind an empty one that cannot be run; the path leads nowhere.
    let script = "touch \"$1/empty\" && for dir in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin; do \
                  test ! -e $dir/redis-server || mount --bind \"$1/empty\" $dir/redis-server || exit 9; done; \
                  PATH=/nowhere exec \"$0\" run redis/single --results \"$1/r\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_schism")]).arg(folder.path());
    let ended = run(&mut command).expect(255);
    for text in ["redis/single needs redis-server, which is not installed (package redis-server)", "apt-get install"] {
        assert!(ended.stderr.contains(text), "{}", ended.stderr);
    }
    assert_eq!(tree(folder.path()), [folder.path().join("empty")]);
}

#[test]
fn without_namespaces_it_says_what_works_and_makes_nothing() {
    let folder = scratch();
    // A user namespace that may have no more of its own, and a root in it that may do nothing.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces || exit 9; exec setpriv --bounding-set=-all \
                  --inh-caps=-all --no-new-privs \"$0\" run redis/single --results \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["-Ur", "sh", "-c", script, env!("CARGO_BIN_EXE_schism")]).arg(folder.path());
    let ended = run(&mut command);
    if ended.code == Some(9) || ended.stderr.starts_with("unshare") || ended.stderr.starts_with("setpriv") {
        return skipped("no user namespaces to forbid");
    }
    let ended = ended.expect(255);
    assert!(ended.stderr.contains("`schism run memory`, `check`, `report` and `plan` work"), "{}", ended.stderr);
    assert_eq!(tree(folder.path()), [""; 0].map(PathBuf::from));
}

#[test]
fn an_ordinary_user_needs_no_root() {
    if !is_root() {
        return skipped("all the other tests here run as an ordinary user");
    }
    if !can_run(&["redis-server", "postgres"]) {
        return;
    }
    let folder = scratch();
    // The checkout may be where others cannot look.
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    open(folder.path(), 0o777);
    let runtime = folder.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    open(&runtime, 0o777);
    let binary = folder.path().join("schism");
    fs::copy(env!("CARGO_BIN_EXE_schism"), &binary).unwrap();
    open(&binary, 0o755);
    let as_nobody = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&binary).args(args);
        // As a login gives it: without the directories for system administrators.
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", "/nonexistent");
        // What it notes of its runs goes away with the test.
        command.env("XDG_RUNTIME_DIR", &runtime).current_dir(folder.path());
        run(&mut command)
    };
    // Only what the machine lacks is a reason to skip: a doctor that fails is a failure.
    let doctor = as_nobody(&["doctor", "--json"]);
    let lacking = missing(&doctor.json(), &["redis-server", "postgres"]);
    if !lacking.is_empty() {
        return skipped(&format!("an ordinary user here lacks {}", lacking.join(", ")));
    }
    // The data must survive a crash, by each database's own name for it.
    for (target, setting) in [("redis/single", "appendfsync=always"), ("postgres/single", "fsync=on")] {
        let results = target.replace('/', "-");
        let mut args = vec!["run", target, "--set", setting, "--duration", "3s", "--seed", "1", "--json"];
        args.extend(["--faults", "kill,pause", "--steady", "500ms", "--fault-duration", "500ms", "--interval", "1s"]);
        args.extend(["--results", &results]);
        let ended = as_nobody(&args).expect(0);
        let result = ended.json();
        assert_eq!(result["valid"], true, "{}", verdicts(&result));
        assert!(!result["faults"].as_array().unwrap().is_empty());
        let ledger = json_lines(&run_folder(&folder.path().join(&results)).unwrap().join("ledger.jsonl"));
        assert_eq!(ledger.last().unwrap()["record"], "closed");
    }
    assert_eq!(as_nobody(&["doctor", "--leftovers"]).stdout, "");
}

/// An experiment's file in this folder.
fn experiment(folder: &Path, value: &Value) -> PathBuf {
    let path = folder.join("experiment.json");
    fs::write(&path, value.to_string()).unwrap();
    path
}

fn shell(name: &str, line: &str) -> Value {
    serde_json::json!({
        "type": "action",
        "name": name,
        "provider": {"type": "process", "path": "sh", "arguments": ["-c", line], "timeout": 60},
    })
}

fn probe(name: &str, line: &str, tolerance: Value) -> Value {
    let mut probe = shell(name, line);
    probe["type"] = "probe".into();
    probe["tolerance"] = tolerance;
    probe
}

fn journal_of(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("journal.json")).unwrap()).unwrap()
}

#[test]
fn an_experiment_runs_its_faults_one_after_the_other_and_is_repeated_by_its_plan() {
    if !can_run(&["redis-server", "redis-sentinel"]) {
        return;
    }
    let results = scratch();
    let pong = serde_json::json!({"type": "regex", "pattern": "^PONG$", "target": "stdout"});
    let fault = |name: &str, provider: Value, background: bool| {
        let mut action = serde_json::json!({"type": "action", "name": name, "background": background});
        action["provider"] = provider;
        action["provider"]["type"] = "schism".into();
        action
    };
    let file = experiment(
        results.path(),
        &serde_json::json!({
            "title": "replicas come and go", "description": "d",
            "configuration": {"host": {"type": "env", "key": "SCHISM_TEST_HOST"}},
            "steady-state-hypothesis": {"title": "h", "probes": [probe("ping", "redis-cli -h ${host} PING", pong)]},
            "method": [
                fault("freeze", serde_json::json!({"fault": "pause", "target": "n2", "for": "4s"}), true),
                {"type": "probe", "name": "frozen", "pauses": {"before": 1}, "provider": {
                    "type": "process", "path": "redis-cli", "arguments": "-h ${host} PING", "timeout": 1}},
                fault("cut", serde_json::json!({"fault": "partition", "target": "n3", "for": "1s"}), false),
                {"type": "probe", "name": "no-web", "provider": {"type": "http", "url": "http://n1:81/", "timeout": 1}},
            ],
            "rollbacks": [shell("env", "echo $SCHISM_N3")],
        }),
    );
    let mut command = schism();
    command.args(["run", "redis/sentinel", "--seed", "3", "--steady", "500ms", "--json", "--experiment"]).arg(&file);
    command.env("SCHISM_TEST_HOST", "10.84.0.2").arg("--results").arg(results.path().join("r"));
    let ended = run(&mut command).expect(0);
    let result = ended.json();
    assert_eq!(result["outcome"], "completed", "{}", verdicts(&result));
    assert_eq!(check_named(&result, "steady-state")["valid"], true);
    let folder = PathBuf::from(result["directory"].as_str().unwrap());
    expect_journal(&journal_of(&folder));
    assert!(result["files"].to_string().contains("journal.json"), "{}", result["files"]);
    let faults: Vec<_> = result["faults"].as_array().unwrap().iter().map(|fault| fault["kind"].clone()).collect();
    assert_eq!(faults, ["pause", "partition"]);
    let times = |id: usize| (result["faults"][id]["start-ns"].as_u64(), result["faults"][id]["end-ns"].as_u64());
    let ((pause, thaw), (cut, _)) = (times(0), times(1));
    assert!(pause < cut && cut < thaw, "the cut comes while the freeze in the background is in force");
    for kind in ["plan.toml", "ledger.jsonl"] {
        assert!(folder.join(kind).exists());
    }

    fs::remove_file(&file).unwrap();
    let again = run(schism().arg("plan").arg("--plan").arg(folder.join("plan.toml"))).expect(0);
    assert!(again.stdout.contains("method[0]: freeze (fault 0: pause n2, in the background)"), "{}", again.stdout);
    let mut command = schism();
    command
        .args(["run", "--json", "--plan"])
        .arg(folder.join("plan.toml"))
        .arg("--results")
        .arg(results.path().join("s"));
    let result = run(&mut command).expect(0).json();
    let folder = PathBuf::from(result["directory"].as_str().unwrap());
    expect_journal(&journal_of(&folder));
}

#[track_caller]
fn expect_journal(journal: &Value) {
    let keys: Vec<&String> = journal.as_object().unwrap().keys().collect();
    let wanted = [
        "chaoslib-version",
        "platform",
        "node",
        "experiment",
        "start",
        "status",
        "deviated",
        "steady_states",
        "run",
        "rollbacks",
        "end",
        "duration",
    ];
    assert_eq!(keys, wanted);
    assert_eq!((&journal["status"], &journal["deviated"]), (&"completed".into(), &false.into()), "{journal:#}");
    for state in ["before", "after"] {
        assert_eq!(journal["steady_states"][state]["steady_state_met"], true, "{journal:#}");
        assert_eq!(journal["steady_states"][state]["probes"][0]["output"]["stdout"], "PONG\n");
    }
    let statuses: Vec<_> = journal["run"].as_array().unwrap().iter().map(|run| run["status"].clone()).collect();
    assert_eq!(statuses, ["succeeded", "failed", "succeeded", "failed"], "{journal:#}");
    assert_eq!(journal["run"][0]["output"]["victims"], serde_json::json!(["n2"]));
    assert!(journal["run"][0]["duration"].as_f64().unwrap() >= 4.0, "it is over when it is healed");
    assert!(journal["run"][1]["exception"].to_string().contains("took too long"), "{}", journal["run"][1]);
    assert!(journal["run"][3]["exception"].to_string().contains("failed to connect to http://n1:81/"));
    assert_eq!(journal["rollbacks"][0]["output"]["stdout"], "10.84.0.3\n");
}

#[test]
fn an_experiment_that_deviates_fails_the_run() {
    if !can_run(&["redis-server"]) {
        return;
    }
    let results = scratch();
    let trace = results.path().join("trace");
    let line = |start: &str| format!("{start} {}", trace.display());
    let value = serde_json::json!({
        "title": "t", "description": "d",
        "steady-state-hypothesis": {"title": "h", "probes": [
            probe("always", "true", 0.into()), probe("no-trace", &line("test ! -e"), 0.into())]},
        "method": [shell("leave a trace", &line("touch"))],
        "rollbacks": [shell("remove it", &line("rm"))],
    });
    let file = experiment(results.path(), &value);
    let start = || {
        let mut command = schism();
        command.args(["run", "redis/single", "--seed", "3", "--steady", "200ms", "--json", "--experiment"]).arg(&file);
        run(command.arg("--results").arg(results.path().join("r")))
    };
    let result = start().expect(1).json();
    let check = check_named(&result, "steady-state");
    assert_eq!((&check["valid"], &result["outcome"]), (&false.into(), &"completed".into()), "{}", verdicts(&result));
    let journal = journal_of(Path::new(result["directory"].as_str().unwrap()));
    assert_eq!((&journal["status"], &journal["deviated"]), (&"failed".into(), &true.into()));
    let after = &journal["steady_states"]["after"];
    assert_eq!((&after["steady_state_met"], &after["probes"][1]["tolerance_met"]), (&false.into(), &false.into()));
    assert_eq!(after["probes"][1]["status"], "succeeded", "it was asked; its answer is not tolerated");
    assert_eq!(journal["rollbacks"][0]["output"]["status"], 0);
    assert!(!trace.exists());

    // Not met before the method: nothing of it is done.
    fs::write(&trace, "").unwrap();
    let result = start().expect(2).json();
    assert_eq!(result["outcome"], "aborted", "{}", verdicts(&result));
    let journal = journal_of(Path::new(result["directory"].as_str().unwrap()));
    assert_eq!((&journal["status"], &journal["deviated"]), (&"failed".into(), &false.into()));
    assert_eq!((&journal["run"], &journal["steady_states"]["after"]), (&Value::Array(vec![]), &Value::Null));
}

#[test]
fn an_experiment_that_is_ended_early_rolls_back() {
    if !can_run(&["redis-server"]) {
        return;
    }
    let results = scratch();
    let trace = results.path().join("trace");
    let line = |start: &str| format!("{start} {}", trace.display());
    let mut wait = shell("leave a trace and wait", &(line("touch") + "; sleep 600"));
    // The trace tells that the kill in the background is in force.
    wait["pauses"] = serde_json::json!({"before": 1.5});
    let value = serde_json::json!({
        "title": "t", "description": "d",
        "steady-state-hypothesis": {"title": "h", "probes": [probe("always", "true", 0.into())]},
        "method": [
            {"type": "action", "name": "kill", "background": true,
             "provider": {"type": "schism", "fault": "kill", "target": "n1", "for": "60s"}},
            wait,
            shell("never", "true"),
        ],
        "rollbacks": [shell("remove it", &line("rm"))],
    });
    let file = experiment(results.path(), &value);
    for (interrupt, limit, status) in [(true, "120s", "interrupted"), (false, "4s", "aborted")] {
        let folder = results.path().join(status);
        let mut command = schism();
        command.args(["run", "redis/single", "--set", "appendfsync=always", "--steady", "200ms", "--duration", limit]);
        command.arg("--experiment").arg(&file).arg("--results").arg(&folder);
        if !interrupt {
            // What does not fit into its time is refused before it starts.
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replace("60s", "3s")).unwrap();
        }
        let running = Running::start(&mut command);
        if interrupt {
            eventually("the trace", START, || trace.exists().then_some(()));
            kill(Pid::from_raw(running.pid()), Signal::SIGINT).unwrap();
        }
        let ended = running.wait(START).expect(2);
        let folder = run_folder(&folder).unwrap();
        let journal = journal_of(&folder);
        assert_eq!(journal["status"], status, "{}", ended.stdout);
        assert!(!trace.exists(), "rolled back");
        let run = journal["run"].as_array().unwrap();
        assert_eq!(run.len(), 2, "{journal:#}");
        assert!(run[1]["exception"].to_string().contains("the experiment was ended"), "{}", run[1]);
        let result = result_of(&folder);
        assert_eq!(result["outcome"], status, "{}", verdicts(&result));
        assert_eq!(result["harness-errors"], Value::Array(vec![]));
        assert!(result["faults"][0]["end-ns"].is_u64(), "{}", result["faults"]);
        let left = call(&["doctor", "--leftovers"]).stdout;
        assert!(!left.contains(folder.to_str().unwrap()), "{left}");
    }
}

/// A Prometheus on this machine that says `value` to every query.
fn prometheus(value: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut request);
            let result = format!(r#"{{"resultType":"scalar","result":[1,"{value}"]}}"#);
            let body = format!(r#"{{"status":"success","data":{result}}}"#);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    url
}

#[test]
fn a_prometheus_ends_the_faults_and_one_that_is_not_there_is_a_warning() {
    if !can_run(&["redis-server"]) {
        return;
    }
    let results = scratch();
    let file = results.path().join("safety.toml");
    let start = |url: &str, limit: &str, duration: &str| {
        let query = format!("[[abort.prometheus]]\nurl = \"{url}\"\nquery = \"disk_usage\"\n{limit}\n");
        fs::write(&file, query).unwrap();
        let mut command = schism();
        command.args([
            "run",
            "redis/single",
            "--set",
            "appendfsync=always",
            "--faults",
            "kill",
            "--seed",
            "1",
            "--json",
        ]);
        command.args(["--steady", "1s", "--fault-duration", "500ms", "--interval", "1s", "--duration", duration]);
        run(command.arg("--safety").arg(&file).arg("--results").arg(results.path().join("r")))
    };
    let url = prometheus("0.97");
    let begin = Instant::now();
    let result = start(&url, "above = 0.9", "60s").expect(2).json();
    assert!(begin.elapsed() < Duration::from_secs(40), "it went on");
    assert_eq!(result["outcome"], "aborted", "{}", verdicts(&result));
    let why = format!("\"disk_usage\" at {url} gave 0.97, and at most 0.9 may be");
    assert_eq!(result["aborted"], why.as_str());
    assert!(result.get("warnings").is_none(), "{}", result["warnings"]);

    let result = start(&url, "below = 0.9", "4s").expect(0).json();
    assert_eq!(result["outcome"], "completed", "{}", verdicts(&result));

    // Nobody listens on port 1.
    let result = start("http://127.0.0.1:1", "above = 0.9", "4s").expect(0).json();
    assert_eq!(result["outcome"], "completed", "{}", verdicts(&result));
    let warnings = result["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "once: {warnings:?}");
    assert!(warnings[0].as_str().unwrap().starts_with("no threshold on \"disk_usage\" at http://127.0.0.1:1: "));
}

//! `kill -9` of a run at a hundred moments: nothing of it may stay.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Judged, ensure};

/// Faults of every family, three at once, so that whenever the run is killed some are in force.
const EVERYTHING: [&str; 10] =
    ["--faults", "all", "--fault-concurrency", "3", "--steady", "500ms", "--interval", "1s", "--fault-duration", "4s"];

/// `kill -9` of the launcher or of the sandbox's first process at a random moment of a run with all faults: nothing may
/// stay, in the machine either, and the history up to then must be judged.
pub(crate) fn killed_controller(schism: &Path, results: &Path, round: u64) -> Judged {
    let results = results.join(format!("killed-{round}"));
    let target = if round % 4 < 2 { "postgres/async" } else { "redis/sentinel" };
    let before = machine();
    let mut child = Command::new(schism)
        .args(["run", target, "--json", "--duration", "40s", "--seed", &round.to_string()])
        .args(EVERYTHING)
        .arg("--results")
        .arg(&results)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let history =
        wait_for(Duration::from_secs(60), || find_file(&results, "history.jsonl")).ok_or("no history appeared")?;
    // From before the first fault to well within several.
    std::thread::sleep(Duration::from_millis(200 + (round * 977) % 12_000));
    // Odd rounds kill the launcher, even ones the controller within the sandbox.
    let victim = if round % 2 == 1 { child.id() } else { controller_of(&history).unwrap_or(child.id()) };
    let killed = Command::new("kill").args(["-9", &victim.to_string()]).status().map_err(|error| error.to_string())?;
    ensure(killed.success(), "the controller was gone before it was killed".to_owned())?;
    let killed_at = Instant::now();
    let ledger = history.with_file_name("ledger.jsonl");
    let in_force = faults_in_force(&ledger);
    let left = || [left_of(schism, &ledger), changed_since(&before)].concat();
    let gone = wait_for(Duration::from_secs(2), || left().is_empty().then_some(()));
    let gone_ms = killed_at.elapsed().as_millis();
    let _ = child.wait();
    ensure(gone.is_some(), format!("left after 2 s, of {}: {}", in_force.join(", "), left().join("; ")))?;
    let checked =
        Command::new(schism).args(["check", "--json"]).arg(&history).output().map_err(|error| error.to_string())?;
    let line: Value = serde_json::from_slice(&checked.stdout).map_err(|error| {
        format!("the history cannot be judged: {error}: {}", String::from_utf8_lossy(&checked.stderr))
    })?;
    let _ = std::fs::remove_dir_all(&results);
    let in_force = if in_force.is_empty() { "nothing".to_owned() } else { in_force.join(", ") };
    Ok(format!("all gone after {gone_ms} ms; in force: {in_force}; judged {}", line["valid"]))
}

/// Kinds whose undo the ledger does not yet have.
fn faults_in_force(ledger: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    let mut open = std::collections::BTreeMap::new();
    for record in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        match record["record"].as_str() {
            Some("intent") => {
                open.insert(record["fault"].as_u64(), record["kind"].as_str().unwrap_or_default().to_owned());
            }
            // The guardian notes those that ended with the sandbox.
            Some("undone") if record["by"] == "run" => drop(open.remove(&record["fault"].as_u64())),
            _ => {}
        }
    }
    open.into_values().collect()
}

/// What a fault might leave in the machine itself: mounts, links, firewall tables, network namespaces.
fn machine() -> Vec<(&'static str, String)> {
    let told = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).into_owned()
    };
    vec![
        ("mounts", std::fs::read_to_string("/proc/self/mounts").unwrap_or_default()),
        ("links", told("ip", &["-brief", "link"])),
        ("firewall tables", told("nft", &["list", "tables"])),
        ("network namespaces", told("ip", &["netns", "list"])),
    ]
}

fn changed_since(before: &[(&'static str, String)]) -> Vec<String> {
    let changed = |((what, was), (_, is)): (&(&str, String), (&str, String))| {
        (*was != is).then(|| format!("{what} are no longer what they were: {is}"))
    };
    before.iter().zip(machine()).filter_map(changed).collect()
}

fn controller_of(history: &Path) -> Option<u32> {
    let ledger = std::fs::read_to_string(history.with_file_name("ledger.jsonl")).ok()?;
    let record = |line: &str| serde_json::from_str::<Value>(line).ok();
    let pid = ledger.lines().rev().find_map(|line| find_key(&record(line)?, "init_pid"))?;
    u32::try_from(pid).ok()
}

fn find_key(value: &Value, key: &str) -> Option<u64> {
    match value {
        Value::Object(map) => {
            map.get(key).and_then(Value::as_u64).or_else(|| map.values().find_map(|inner| find_key(inner, key)))
        }
        _ => None,
    }
}

/// What is left of a run: by our own account, and by what its ledger names, looked up without schism.
fn left_of(schism: &Path, ledger: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    let mut left = Vec::new();
    let records: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if records.last().is_none_or(|record| record["record"] != "closed") {
        left.push("the ledger is not closed".to_owned());
    }
    // Other runs on this machine are none of ours.
    let run_id = records.first().and_then(|record| record["run-id"].as_str()).unwrap_or("?").to_owned();
    let own = Command::new(schism).args(["doctor", "--leftovers"]).output().map(|output| output.stdout);
    let own = String::from_utf8_lossy(&own.unwrap_or_default()).into_owned();
    left.extend(own.lines().filter(|line| line.contains(&run_id)).map(str::to_owned));
    // Loop devices are the whole machine's, other runs' too: ours have this run's name in that of their file.
    let loops = Command::new("losetup").args(["--list", "--noheadings", "--output", "NAME,BACK-FILE"]).output();
    let loops = String::from_utf8_lossy(&loops.map(|output| output.stdout).unwrap_or_default()).into_owned();
    left.extend(loops.lines().filter(|line| line.contains(&run_id)).map(|line| format!("loop device {line}")));
    for sandbox in records.iter().filter(|record| record["record"] == "sandbox") {
        let init = format!("/proc/{}/stat", sandbox["init"]["pid"]);
        let started = sandbox["init"]["start-ticks"].to_string();
        // A zombie is dead: what is left of it is the machine's own first process to collect, in its own time.
        let lives = std::fs::read_to_string(&init).is_ok_and(|stat| {
            let fields: Vec<&str> = stat.split(' ').collect();
            !fields.contains(&"Z") && fields.contains(&started.as_str())
        });
        if lives {
            left.push(format!("the sandbox's first process: {init}"));
        }
        if let Some(cgroup) = sandbox["cgroup-root"].as_str().filter(|path| Path::new(path).exists()) {
            left.push(format!("cgroup {cgroup}"));
        }
    }
    left
}

fn wait_for<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = ready() {
            return Some(found);
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The file of this name in the newest run below a results folder.
fn find_file(results: &Path, name: &str) -> Option<PathBuf> {
    let families = std::fs::read_dir(results).ok()?.flatten().map(|entry| entry.path());
    families
        .filter(|path| path.is_dir() && !path.is_symlink())
        .flat_map(|family| std::fs::read_dir(family).into_iter().flatten().flatten())
        .map(|run| run.path().join(name))
        .find(|path| path.exists())
}

//! Runs on the store in memory: an honest one is valid, every lie is caught by the check that is there for it, and the
//! history is on disk as it happens.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod support;

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use support::{Running, call, check_named, eventually, json_lines, run, run_folder, schism, scratch, verdicts};

/// Runs side by side; they mostly wait.
const AT_ONCE: usize = 6;

/// Long enough for the slowest lie: two primaries for at least 1.5 s after 50 operations.
const DURATION: &str = "4s";

/// The check that is there for a workload's own promise.
fn own_check(workload: &str) -> &'static str {
    match workload {
        "set" => "set",
        "register" => "linearizability",
        "list-append" => "list-append",
        "closed-predicate" => "isolation",
        "mutex" | "fenced-lock" => "linearizability",
        other => panic!("{other} needs a row here"),
    }
}

/// Runs it and gives its exit code and its `result.json`.
fn memory(results: &Path, workload: &str, lie: &str, seed: usize) -> (Option<i32>, Value) {
    // Long holds are for databases that lose a lock meanwhile; here many are wanted.
    let holds: &[&str] = if matches!(workload, "mutex" | "fenced-lock") { &["-o", "hold-ms=300"] } else { &[] };
    let ended = run(schism()
        .args(["run", "memory", "--rate", "500", "--duration", DURATION, "--json", "--workload", workload])
        .args(holds)
        .args(["--set", &format!("lie={lie}"), "--seed", &seed.to_string(), "--results"])
        .arg(results));
    assert_eq!(ended.stderr, "", "{lie} {workload}");
    (ended.code, ended.json())
}

/// Does something for each item, a few at a time, and gives everything that went wrong.
fn for_each<T: Sync>(items: &[T], act: impl Fn(usize, &T) -> Result<(), String> + Sync) {
    let (next, problems) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(number) else { return };
                    if let Err(problem) = act(number, item) {
                        problems.lock().unwrap().push(problem);
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn an_honest_store_is_valid_and_every_lie_is_caught_by_its_check() {
    let listed = call(&["list", "lies", "--json"]).expect(0).json();
    let mut cases: Vec<(String, String)> = Vec::new();
    for workload in ["set", "register", "list-append", "closed-predicate", "mutex", "fenced-lock"] {
        cases.push(("none".to_owned(), workload.to_owned()));
    }
    for row in listed.as_array().unwrap() {
        for workload in row["options"]["workloads"].as_str().unwrap().split(", ") {
            cases.push((row["name"].as_str().unwrap().to_owned(), workload.to_owned()));
        }
    }
    assert!(cases.len() > 15, "{cases:?}");
    let results = scratch();
    for_each(&cases, |number, (lie, workload)| {
        let (code, result) = memory(results.path(), workload, lie, number);
        let say = |problem: String| format!("{lie} {workload}, seed {number}: {problem}\n{}", verdicts(&result));
        if lie == "none" {
            let all_valid = result["checks"].as_array().unwrap().iter().all(|check| check["valid"] == true);
            return if code == Some(0) && all_valid { Ok(()) } else { Err(say(format!("exit code {code:?}"))) };
        }
        if code != Some(1) {
            return Err(say(format!("exit code {code:?}")));
        }
        let catcher = if lie == "split-brain" { "split-brain" } else { own_check(workload) };
        let check = check_named(&result, catcher);
        let evidence = check["findings"].as_array().is_some_and(|findings| !findings.is_empty());
        if check["valid"] != false || !evidence {
            return Err(say(format!("{catcher} does not find it")));
        }
        // Two primaries end up with different states, and nothing else does; a final read that is stale or lacks rows looks
        // so, too.
        let differ = check_named(&result, "divergence")["valid"] == false;
        if !matches!(lie.as_str(), "stale-read" | "phantom") && differ != (lie == "split-brain") {
            return Err(say("divergence".to_owned()));
        }
        Ok(())
    });
}

#[test]
fn a_run_that_no_order_explains_has_the_picture_of_it() {
    for (workload, lie, drawn) in [
        ("register", "stale-read", true),
        ("register", "none", false),
        ("mutex", "two-holders", true),
        ("fenced-lock", "reused-token", true),
    ] {
        let results = scratch();
        let (_, result) = memory(results.path(), workload, lie, 1);
        assert_eq!(check_named(&result, "linearizability")["valid"], !drawn, "{lie}");
        let folder = run_folder(results.path()).unwrap();
        let page = fs::read_to_string(folder.join("linearizability.html")).ok();
        assert_eq!(page.is_some_and(|page| page.contains("<svg")), drawn, "{lie}");
        let report = fs::read_to_string(folder.join("report.html")).unwrap();
        assert_eq!(report.contains("href=\"linearizability.html\""), drawn, "{lie}");
    }
}

#[test]
fn edn_has_one_map_per_event() {
    let results = scratch();
    for workload in ["set", "register", "list-append", "closed-predicate", "mutex", "fenced-lock"] {
        let results = results.path().join(workload);
        run(schism()
            .args(["run", "memory", "--edn", "--duration", "300ms", "--seed", "1", "--workload", workload, "--results"])
            .arg(&results))
        .expect(0);
        let folder = run_folder(&results).unwrap();
        let edn = fs::read_to_string(folder.join("history.edn")).unwrap();
        let events = json_lines(&folder.join("history.jsonl")).len() - 1;
        assert_eq!(edn.lines().count(), events, "{workload}: one header, and then as many events");
        for (index, line) in edn.lines().enumerate() {
            assert!(line.starts_with(&format!("{{:index {index}, ")) && line.ends_with('}'), "{line}");
        }
        assert!(edn.contains(":type :invoke") && edn.contains(":type :ok"));
    }
    let without = results.path().join("without");
    run(schism().args(["run", "memory", "--duration", "100ms", "--results"]).arg(&without)).expect(0);
    assert!(!run_folder(&without).unwrap().join("history.edn").exists());
}

#[test]
fn an_event_is_on_disk_when_it_has_happened_and_survives_kill_9() {
    let results = scratch();
    let running = Running::start(
        schism()
            .args(["run", "memory", "--rate", "200", "--duration", "60s", "--seed", "1", "--results"])
            .arg(results.path()),
    );
    let history = eventually("a history", Duration::from_secs(10), || {
        let path = run_folder(results.path())?.join("history.jsonl");
        (json_lines(&path).len() > 20).then_some(path)
    });
    // The clock of the file's events starts before the first of them was seen here, so lateness can only be
    // overestimated against this start, and by less than a look at the file takes.
    let last_ns = || json_lines(&history).last().unwrap()["time_ns"].as_u64().unwrap();
    let (base, base_ns) = (Instant::now(), last_ns());
    let mut latest = Duration::ZERO;
    for _ in 0..50 {
        let elapsed = base.elapsed();
        let in_file = Duration::from_nanos(last_ns() - base_ns);
        latest = latest.max(elapsed.saturating_sub(in_file));
        std::thread::sleep(Duration::from_millis(20));
    }
    // 5 ms between events, 10 ms until they are in the file; the rest is for a busy machine.
    assert!(latest < Duration::from_millis(200), "{latest:?} late");

    kill(Pid::from_raw(running.pid()), Signal::SIGKILL).unwrap();
    running.wait(Duration::from_secs(5));
    let lines = json_lines(&history).len();
    let checked = run(schism().args(["check", "--json"]).arg(&history)).expect(2).json();
    assert_eq!(checked["model"], "set");
    assert!(lines > 200, "{lines} lines");
    let report = run(schism().arg("report").arg(history.parent().unwrap())).expect(254);
    assert!(report.stderr.contains("did not finish") && report.stderr.contains("schism check"), "{}", report.stderr);
}

/// The canary: were this not caught, a crash of schism's own could pass for a verdict.
#[test]
fn a_worker_that_panics_is_a_failure_of_ours() {
    let results = scratch();
    let ended = run(schism()
        .args(["run", "memory", "--duration", "1s", "--seed", "1", "--json", "--set", "panic-at-op=20", "--results"])
        .arg(results.path()))
    .expect(255);
    let result = ended.json();
    assert_eq!(result["outcome"], "harness-failure");
    let errors = result["harness-errors"].to_string();
    assert!(errors.contains("the worker of client") && errors.contains("panic-at-op=20"), "{errors}");
    // What the others did meanwhile is kept, and can be judged.
    let folder = run_folder(results.path()).unwrap();
    assert!(json_lines(&folder.join("history.jsonl")).len() > 40);
    run(schism().args(["check", "--json"]).arg(folder)).expect(0);
}

/// The store's history read twice is judged the same, whatever the run itself said.
#[test]
fn check_agrees_with_the_run() {
    let results = scratch();
    let cases = [
        ("set", "duplicate"),
        ("register", "stale-read"),
        ("list-append", "write-skew"),
        ("mutex", "two-holders"),
        ("fenced-lock", "reused-token"),
    ];
    for_each(&cases, |number, (workload, lie)| {
        let results = results.path().join(lie);
        let (_, result) = memory(&results, workload, lie, number);
        let again = run(schism().args(["check", "--json"]).arg(run_folder(&results).unwrap())).expect(1).json();
        for name in [own_check(workload), "split-brain", "divergence", "recovery", "activity"] {
            let (then, now) = (check_named(&result, name), check_named(&again, name));
            if (&then["valid"], &then["summary"]) != (&now["valid"], &now["summary"]) {
                return Err(format!("{lie} {workload}: {then}\n{now}"));
            }
        }
        Ok(())
    });
}

//! The acceptance cases: what real databases must be caught at, and what they must not be accused of. Each must-find
//! case stands beside its control. Run by `scripts/acceptance`; it takes long, so it is no unit test.
//!
//! `scripts/acceptance [CASE…] [--seeds N]`; without a case all of them, with the seeds 1 to N (default: each case's
//! own number).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command of its own, whose output this is")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

type Judged = Result<String, String>;

/// One row: how to run it, how often, and what must hold of its result.
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    seeds: u64,
    judge: fn(&Run) -> Judged,
}

/// What one run gave.
struct Run {
    code: i32,
    result: Value,
}

/// A lock with a lease of 1 s, whose first holder keeps it for all of the run, on a server that stands still for 5 s: it
/// ends while it is held, and another gets it. No operation is given up before the server answers again: a holder whose
/// write may or may not have been done is over, and would try none with its old token.
macro_rules! paused_lock {
    ($workload:literal) => {
        [
            "redis/single",
            "--workload",
            $workload,
            "--clients",
            "12",
            "--option",
            "hold-ms=100000",
            "--op-timeout",
            "10s",
            "--schedule",
            "examples/pause-primary.toml",
        ]
    };
}

/// As many transactions of a workload as PostgreSQL does in 20 s at this isolation, judged by that model.
macro_rules! transactional {
    ($workload:literal, $isolation:literal, $model:literal) => {
        [
            "postgres/single",
            "--workload",
            $workload,
            "--isolation",
            $isolation,
            "--consistency-models",
            $model,
            "--faults",
            "none",
            "--clients",
            "16",
            "--rate",
            "0",
            "--duration",
            "20s",
        ]
    };
}

/// A primary with a confirming standby, whose clock jumps there and back.
macro_rules! skewed {
    ($faults:literal) => {
        ["postgres/sync", "--workload", "set", "--route", "primary", "--faults", $faults, "--duration", "40s"]
    };
}

const CASES: &[Case] = &[
    Case {
        name: "sentinel-isolated-primary",
        args: &["redis/sentinel", "--workload", "set", "--schedule", "isolate-primary"],
        seeds: 5,
        judge: |run| {
            run.expect_code(1)?;
            let (lost, dual_s) = (run.number("set", "lost-percent")?, run.number("split-brain", "total-s")?);
            ensure(lost > 5.0, format!("lost {lost:.1} % of acknowledged, expected > 5"))?;
            ensure(dual_s > 10.0, format!("two primaries for {dual_s:.1} s, expected > 10"))?;
            Ok(format!("lost {lost:.1} % of acknowledged, two primaries for {dual_s:.1} s, RTO {}", run.rto()))
        },
    },
    Case {
        name: "sentinel-min-replicas",
        args: &[
            "redis/sentinel",
            "--workload",
            "set",
            "--schedule",
            "isolate-primary",
            "--set",
            "min-replicas-to-write=1",
            "--set",
            "min-replicas-max-lag=3",
        ],
        seeds: 5,
        // down-after is 3 s by default, so that losses may span 3 s + 3 s.
        judge: |run| {
            let (lost, window_s) = (run.number("set", "lost-percent")?, run.rpo_window_s()?);
            ensure(window_s <= 6.0, format!("losses span {window_s:.2} s, expected <= 6 (max-lag + down-after)"))?;
            Ok(format!("lost {lost:.1} % of acknowledged within {window_s:.2} s"))
        },
    },
    Case {
        name: "sentinel-wait",
        args: &["redis/sentinel", "--workload", "set", "--schedule", "isolate-primary", "--wait", "1"],
        seeds: 5,
        // WAIT is best effort by Redis' own documentation: a loss would be real, so it is shown and not judged. What the
        // isolated primary did not confirm is there for those who read it, and gone afterwards: not lost, for it was
        // not acknowledged, but seen and vanished, which the history must prove.
        judge: |run| {
            let (lost, indeterminate) = (run.list("set", "lost")?, run.number("set", "indeterminate")?);
            ensure(indeterminate > 0.0, "the isolated primary's writes were not indeterminate".to_owned())?;
            let vanished = run.list("set", "vanished")?;
            let expected = vanished_by_hand(&run.directory()?)?;
            ensure(vanished == expected, format!("{vanished} vanished, but {expected} in the history"))?;
            ensure(run.code == i32::from(lost + vanished > 0), format!("exit code {}, {lost} lost", run.code))?;
            Ok(format!(
                "{lost} acknowledged writes lost, {indeterminate} indeterminate, {vanished} of those read and then gone"
            ))
        },
    },
    Case {
        name: "postgres-async-failover",
        args: &["postgres/async", "--workload", "set", "--schedule", "cut-then-failover"],
        seeds: 5,
        judge: |run| {
            run.expect_code(1)?;
            let lost = run.list("set", "lost")?;
            ensure(lost > 0, "nothing lost".to_owned())?;
            let listed = run.details("set")?["lost"].as_array().is_some_and(|elements| {
                elements.iter().all(|element| element["ok-ns"].is_u64() && element["node"].is_string())
            });
            ensure(listed, "a lost element lacks its acknowledgement time or node".to_owned())?;
            Ok(format!("lost {lost} of {} acknowledged, RTO {}", run.number("set", "acknowledged")?, run.rto()))
        },
    },
    Case {
        name: "postgres-sync-failover",
        args: &["postgres/sync", "--workload", "set", "--schedule", "cut-then-failover"],
        seeds: 5,
        judge: |run| {
            run.expect_code(0)?;
            Ok(format!("valid, {} acknowledged, RTO {}", run.number("set", "acknowledged")?, run.rto()))
        },
    },
    Case {
        name: "postgres-sync-rolling-restart",
        args: &["postgres/sync", "--workload", "set", "--faults", "rolling-restart"],
        seeds: 3,
        judge: |run| {
            run.expect_code(0)?;
            Ok(format!("valid, {} acknowledged, RTO {}", run.number("set", "acknowledged")?, run.rto()))
        },
    },
    // Restarted before Sentinel notices, a primary without a log of writes comes back empty, and its replicas copy that.
    Case {
        name: "redis-sentinel-restart-storm",
        args: &["redis/sentinel", "--workload", "set", "--faults", "restart-storm:primary"],
        seeds: 3,
        judge: |run| {
            run.expect_code(1)?;
            let lost = run.number("set", "lost-percent")?;
            ensure(lost > 5.0, format!("lost {lost:.1} % of acknowledged, expected > 5"))?;
            Ok(format!("lost {lost:.1} % of acknowledged, RTO {}", run.rto()))
        },
    },
    Case {
        name: "postgres-async-promote-during-cut",
        args: &["postgres/async", "--workload", "set", "--schedule", "promote-during-cut"],
        seeds: 5,
        judge: |run| {
            run.expect_code(1)?;
            let dual_s = run.number("split-brain", "total-s")?;
            ensure(dual_s > 0.0, "no split brain found".to_owned())?;
            let listed = run.list("divergence", "differences")?;
            let expected = differences_by_hand(&run.directory()?)?;
            ensure(listed == expected, format!("{listed} differences listed, {expected} in the final reads"))?;
            ensure(listed > 0, "the nodes do not differ".to_owned())?;
            Ok(format!("two primaries for {dual_s:.1} s, {listed} elements on one side only, listed exactly"))
        },
    },
    Case {
        name: "postgres-single-register-kills",
        args: &[
            "postgres/single",
            "--workload",
            "register",
            "--isolation",
            "serializable",
            "--schedule",
            "kill-restart",
            "--duration",
            "60s",
        ],
        seeds: 3,
        judge: |run| {
            run.expect_code(0)?;
            let faults = run.result["availability"]["faults"].as_array().map_or(0, Vec::len);
            ensure(faults == 3, format!("{faults} kills have an RTO, expected 3"))?;
            Ok(format!("linearizable, {} ops, RTO {}", run.number("linearizability", "ops")?, run.rto()))
        },
    },
    // Nothing that PostgreSQL promises depends on the wall clock: controls. Its time-outs of replication do.
    Case { name: "clock-plus-1h", args: &skewed!("skew=+1h:primary"), seeds: 3, judge: Run::unmoved_by_its_clock },
    Case { name: "clock-minus-1h", args: &skewed!("skew=-1h:primary"), seeds: 3, judge: Run::unmoved_by_its_clock },
    // PostgreSQL's REPEATABLE READ is snapshot isolation: write skew and phantoms, and nothing worse.
    Case {
        name: "postgres-repeatable-read-append",
        args: &transactional!("list-append", "repeatable-read", "serializable"),
        seeds: 3,
        judge: |run| run.only_anomalies(&["G2-item"], &[]),
    },
    Case {
        name: "postgres-repeatable-read-phantoms",
        args: &transactional!("closed-predicate", "repeatable-read", "serializable"),
        seeds: 3,
        judge: |run| run.only_anomalies(&["G2", "G2-item"], &[]),
    },
    Case {
        name: "postgres-read-committed-phantoms",
        args: &transactional!("closed-predicate", "read-committed", "snapshot-isolation"),
        seeds: 3,
        judge: |run| {
            run.only_anomalies(&["G-single", "G-single-item", "internal"], &["G-nonadjacent", "G-nonadjacent-item"])
        },
    },
    Case {
        name: "postgres-repeatable-read-is-snapshot-isolation",
        args: &transactional!("closed-predicate", "repeatable-read", "snapshot-isolation"),
        seeds: 3,
        judge: Run::no_anomalies,
    },
    Case {
        name: "postgres-serializable-append",
        args: &transactional!("list-append", "serializable", "serializable"),
        seeds: 3,
        judge: Run::no_anomalies,
    },
    Case {
        name: "postgres-serializable-no-phantoms",
        args: &transactional!("closed-predicate", "serializable", "serializable"),
        seeds: 3,
        judge: Run::no_anomalies,
    },
    // What a kill cannot show: what was written and not synced is gone.
    Case {
        name: "postgres-power-loss-fsync-off",
        args: &["postgres/single", "--workload", "set", "--schedule", "power-loss", "--set", "fsync=off"],
        seeds: 5,
        judge: |run| run.expect_code(1).and_then(|()| run.lost_some()),
    },
    Case {
        name: "postgres-power-loss",
        args: &["postgres/single", "--workload", "set", "--schedule", "power-loss"],
        seeds: 5,
        judge: |run| run.expect_code(0).and_then(|()| run.lost_none()),
    },
    // Three times wal_writer_delay (200 ms), says the manual; and the time until the power goes.
    Case {
        name: "postgres-power-loss-async-commit",
        args: &["postgres/single", "--workload", "set", "--schedule", "power-loss", "--set", "synchronous_commit=off"],
        seeds: 5,
        judge: |run| run.lost_within(0.8),
    },
    Case {
        name: "redis-power-loss-always",
        args: &["redis/single", "--workload", "set", "--schedule", "power-loss", "--set", "appendfsync=always"],
        seeds: 5,
        judge: |run| run.expect_code(0).and_then(|()| run.lost_none()),
    },
    // A second, and up to another one while the sync before it is late.
    Case {
        name: "redis-power-loss-everysec",
        args: &["redis/single", "--workload", "set", "--schedule", "power-loss", "--set", "appendfsync=everysec"],
        seeds: 5,
        judge: |run| run.lost_within(2.0),
    },
    Case {
        name: "redis-power-loss-no",
        args: &["redis/single", "--workload", "set", "--schedule", "power-loss", "--set", "appendfsync=no"],
        seeds: 5,
        judge: |run| run.expect_code(1).and_then(|()| run.lost_some()),
    },
    // Inserts are refused for ten seconds, and none that was acknowledged may be gone for it.
    Case {
        name: "postgres-disk-full",
        args: &["postgres/single", "--workload", "set", "--schedule", "disk-full", "--clients", "16", "--rate", "0"],
        seeds: 5,
        judge: |run| {
            run.expect_code(0)?;
            let stopped_s = run.result["availability"]["faults"][0]["rto-write"]["cluster-s"].as_f64().unwrap_or(0.0);
            ensure(stopped_s > 5.0, format!("writes went on after {stopped_s:.1} s on a full disk"))?;
            run.lost_none()
        },
    },
    // Not only writes stop here: the server panics, and fails to recover until there is room again.
    Case {
        name: "postgres-wal-full",
        args: &[
            "postgres/single",
            "--workload",
            "list-append",
            "--schedule",
            "wal-full",
            "--clients",
            "32",
            "--rate",
            "0",
        ],
        seeds: 5,
        judge: |run| {
            run.expect_code(0)?;
            let log = std::fs::read_to_string(run.directory()?.join("nodes/n1/postgres.log"));
            let panicked = log.map_err(|error| error.to_string())?.contains("PANIC:");
            ensure(panicked, "the log never ran out of room".to_owned())?;
            Ok(format!("recovered from a PANIC, RTO {}", run.rto()))
        },
    },
    Case {
        name: "redis-single-aof-always-kill",
        args: &["redis/single", "--workload", "set", "--faults", "kill", "--set", "appendfsync=always"],
        seeds: 3,
        judge: |run| run.expect_code(0).map(|()| format!("valid, RTO {}", run.rto())),
    },
    Case {
        name: "redis-single-aof-no-kill",
        args: &["redis/single", "--workload", "set", "--faults", "kill", "--set", "appendfsync=no"],
        seeds: 3,
        judge: |run| run.expect_code(0).map(|()| format!("valid: process death is not power loss; RTO {}", run.rto())),
    },
    Case {
        name: "postgres-wal-no-space",
        args: &["postgres/single", "--workload", "set", "--schedule", "wal-no-space", "--duration", "20s"],
        seeds: 3,
        // It panics as it should, recovers when there is space again, and has everything that it acknowledged.
        judge: |run| {
            run.expect_code(0)?;
            let acknowledged = run.number("set", "acknowledged")?;
            ensure(acknowledged > 0.0, "nothing acknowledged".to_owned())?;
            let log = std::fs::read_to_string(run.directory()?.join("nodes/n1/postgres.log"));
            let log = log.map_err(|error| format!("no log: {error}"))?;
            let refused = log.lines().find(|line| line.contains("PANIC") && line.contains("No space left on device"));
            let refused = refused.ok_or("its log has no PANIC for want of space")?;
            ensure(log.contains("automatic recovery in progress"), "it did not recover".to_owned())?;
            let panic = refused.split("PANIC:").nth(1).unwrap_or_default().trim();
            Ok(format!("valid, {acknowledged} acknowledged, {panic:?}, RTO {}", run.rto()))
        },
    },
    Case {
        name: "postgres-wal-slow",
        args: &[
            "postgres/single",
            "--workload",
            "set",
            "--schedule",
            "wal-slow",
            "--rate",
            "0",
            "--clients",
            "4",
            "--duration",
            "25s",
        ],
        seeds: 3,
        // In force from 10 s to 20 s. Four clients that commit together can have 4 / 50 ms at the most.
        judge: |run| {
            run.expect_code(0)?;
            let adds = events_with(&run.directory()?, &["\"type\":\"ok\"", "\"f\":\"add\""])?;
            let per_s = |from_s: u64, to_s: u64| {
                let within = |add: &&Value| {
                    add["time_ns"].as_u64().is_some_and(|ns| (from_s..to_s).contains(&(ns / 1_000_000_000)))
                };
                adds.iter().filter(within).count() as f64 / (to_s - from_s) as f64
            };
            let (before, slow) = (per_s(4, 9), per_s(12, 19));
            ensure(slow > 0.0 && slow <= 80.0, format!("{slow:.0} commits/s with slow fsyncs, expected up to 80"))?;
            ensure(before > 4.0 * slow, format!("{before:.0} commits/s before, {slow:.0} with slow fsyncs"))?;
            Ok(format!("valid, {before:.0} commits/s, {slow:.0} with fsyncs of 50 ms"))
        },
    },
    // A lease that runs out while its holder works: two hold the lock, and nothing else is wrong.
    Case {
        name: "redis-lock-pause",
        args: &paused_lock!("mutex"),
        seeds: 5,
        judge: |run| {
            run.expect_code(1)?;
            ensure(run.list("linearizability", "invalid-keys")? == 1, "it is not the lock".to_owned())?;
            let most = holders_by_hand(&run.directory()?)?;
            ensure(most > 1, format!("{most} held it at once by the history itself"))?;
            Ok(format!("{most} hold the lock at once"))
        },
    },
    // The same lease runs out, and what it protects is safe: it must have had to refuse the earlier holder.
    Case {
        name: "redis-lock-fenced-pause",
        args: &paused_lock!("fenced-lock"),
        seeds: 5,
        judge: |run| {
            run.expect_code(0)?;
            let refused = run.errors("stale-token");
            ensure(refused > 0, "no write was refused: the lease did not run out".to_owned())?;
            let most = holders_by_hand(&run.directory()?)?;
            ensure(most > 1, format!("{most} held it at once"))?;
            Ok(format!("valid, though {most} hold the lock at once: {refused} writes refused"))
        },
    },
    Case {
        name: "redis-lock-no-faults",
        args: &[
            "redis/single",
            "--workload",
            "mutex",
            "--clients",
            "12",
            "--option",
            "hold-ms=4000",
            "--faults",
            "none",
            "--duration",
            "20s",
        ],
        seeds: 5,
        judge: |run| {
            run.expect_code(0)?;
            let most = holders_by_hand(&run.directory()?)?;
            let granted = events_with(&run.directory()?, &["\"acquire\"", "\"type\":\"ok\""])?.len();
            // Most holds are longer than the lease: it was renewed.
            ensure(most == 1 && granted > 3, format!("granted {granted} times, {most} at once"))?;
            Ok(format!("valid, granted {granted} times"))
        },
    },
];

impl Run {
    fn expect_code(&self, expected: i32) -> Result<(), String> {
        let reasons: Vec<String> = self.result["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|check| check["valid"] != Value::Bool(true))
            .map(|check| check["summary"].as_str().unwrap_or_default().to_owned())
            .collect();
        ensure(
            self.code == expected,
            format!(
                "exit code {}, expected {expected}; {} {}",
                self.code,
                reasons.join(" | "),
                self.result["harness-errors"]
            ),
        )
    }

    fn details(&self, check: &str) -> Result<&Value, String> {
        self.result["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["name"] == check)
            .map(|row| &row["details"])
            .ok_or_else(|| format!("no check {check} in the result; exit code {}", self.code))
    }

    fn number(&self, check: &str, name: &str) -> Result<f64, String> {
        self.details(check)?[name].as_f64().ok_or_else(|| format!("{check} has no number {name}"))
    }

    /// The length of a list that the result may hold in part, with its whole length beside it.
    fn list(&self, check: &str, name: &str) -> Result<usize, String> {
        let details = self.details(check)?;
        let total = details[format!("{name}-total")].as_u64().map(|total| total as usize);
        total.or_else(|| details[name].as_array().map(Vec::len)).ok_or_else(|| format!("{check} has no list {name}"))
    }

    /// Refuted, by each of these, and by nothing else but what may be there, too.
    fn only_anomalies(&self, expected: &[&str], or_these: &[&str]) -> Judged {
        self.expect_code(1)?;
        let found = &self.details("isolation")?["anomaly-counts"];
        let kinds: Vec<&str> =
            found.as_object().map(|counts| counts.keys().map(String::as_str).collect()).unwrap_or_default();
        let fits = expected.iter().all(|kind| kinds.contains(kind))
            && kinds.iter().all(|kind| expected.contains(kind) || or_these.contains(kind));
        ensure(fits, format!("found {kinds:?}, expected {expected:?}, perhaps {or_these:?}"))?;
        Ok(format!("{found} in {} transactions", self.details("isolation")?["txns"][0]))
    }

    fn no_anomalies(&self) -> Judged {
        self.expect_code(0)?;
        Ok(format!("{} transactions", self.details("isolation")?["txns"][0]))
    }

    /// Valid, though the primary's clock was wrong.
    fn unmoved_by_its_clock(&self) -> Judged {
        self.expect_code(0)?;
        let faults = self.result["faults"].as_array().map_or(0, Vec::len);
        ensure(faults > 0, "no clock was set".to_owned())?;
        let samples = self.result["clocks"].as_array().into_iter().flatten();
        let most_ms = samples.filter_map(|sample| sample["offset-ms"].as_f64()).map(f64::abs).fold(0.0, f64::max);
        ensure((most_ms - 3.6e6).abs() < 1_000.0, format!("the clocks were off by {most_ms} ms at most"))?;
        Ok(format!("valid, {faults} jumps, {} acknowledged, RTO {}", self.number("set", "acknowledged")?, self.rto()))
    }

    fn lost_none(&self) -> Judged {
        ensure(self.list("set", "lost")? == 0, "acknowledged writes lost".to_owned())?;
        Ok(format!("valid, {} acknowledged, RTO {}", self.number("set", "acknowledged")?, self.rto()))
    }

    fn lost_some(&self) -> Judged {
        let lost = self.list("set", "lost")?;
        ensure(lost > 0, "nothing lost".to_owned())?;
        Ok(format!("lost {lost} of {} acknowledged", self.number("set", "acknowledged")?))
    }

    /// Whether and how much is chance; that it is of so short a time is not.
    fn lost_within(&self, limit_s: f64) -> Judged {
        let lost = self.list("set", "lost")?;
        self.expect_code(i32::from(lost > 0))?;
        let window_s = if lost > 0 { self.rpo_window_s()? } else { 0.0 };
        ensure(window_s <= limit_s, format!("losses span {window_s:.2} s, expected <= {limit_s}"))?;
        Ok(format!("lost {lost} of {} acknowledged within {window_s:.2} s", self.number("set", "acknowledged")?))
    }

    /// How many operations ended with an error of this class.
    fn errors(&self, class: &str) -> u64 {
        let errors = self.result["availability"]["errors"].as_array();
        let of_class = errors.into_iter().flatten().filter(|error| error["class"] == class);
        of_class.filter_map(|error| error["count"].as_u64()).sum()
    }

    fn rpo_window_s(&self) -> Result<f64, String> {
        self.details("set")?["rpo"]["window-s"].as_f64().ok_or_else(|| "no RPO".to_owned())
    }

    fn rto(&self) -> String {
        let faults = self.result["availability"]["faults"].as_array().cloned().unwrap_or_default();
        let times: Vec<String> = faults
            .iter()
            .map(|fault| fault["rto-write"]["cluster-s"].as_f64().map_or("never".to_owned(), |s| format!("{s:.2} s")))
            .collect();
        times.join(", ")
    }

    fn directory(&self) -> Result<PathBuf, String> {
        let path = self.result["directory"].as_str().ok_or("the result does not name its folder")?;
        Ok(PathBuf::from(path))
    }
}

fn ensure(holds: bool, otherwise: String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// The events of a run's history file that hold all of these words, read with nothing of the checker's.
fn events_with(directory: &Path, words: &[&str]) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(directory.join("history.jsonl")).map_err(|error| error.to_string())?;
    let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    lines.map(|line| serde_json::from_str(line).map_err(|error| error.to_string())).collect()
}

fn elements(event: &Value) -> impl Iterator<Item = i64> + '_ {
    event["value"].as_array().into_iter().flatten().filter_map(Value::as_i64)
}

/// Elements that some but not all nodes hold at the end.
fn differences_by_hand(directory: &Path) -> Result<usize, String> {
    let finals = events_with(directory, &["\"final\":true", "\"type\":\"ok\""])?;
    let mut holders: BTreeMap<i64, usize> = BTreeMap::new();
    for element in finals.iter().flat_map(elements) {
        *holders.entry(element).or_default() += 1;
    }
    Ok(holders.values().filter(|&&count| count != finals.len()).count())
}

/// Elements that were read and never acknowledged, and that no final read holds. (All nodes agree in the end here.)
fn vanished_by_hand(directory: &Path) -> Result<usize, String> {
    let reads = events_with(directory, &["\"type\":\"ok\"", "\"f\":\"read\""])?;
    let adds = events_with(directory, &["\"type\":\"ok\"", "\"f\":\"add\""])?;
    let mut seen: BTreeSet<i64> = reads.iter().flat_map(elements).collect();
    for gone in adds.iter().filter_map(|add| add["value"].as_i64()) {
        seen.remove(&gone);
    }
    for held in reads.iter().filter(|read| read["final"] == true).flat_map(elements) {
        seen.remove(&held);
    }
    Ok(seen.len())
}

/// The most clients that held the lock at once: from the ok of an acquire until the release is invoked.
fn holders_by_hand(directory: &Path) -> Result<usize, String> {
    let mut holders: BTreeSet<u64> = BTreeSet::new();
    let mut most = 0;
    for event in events_with(directory, &["\"process\":"])? {
        let Some(process) = event["process"].as_u64() else { continue };
        match (event["f"].as_str(), event["type"].as_str()) {
            (Some("acquire"), Some("ok")) => {
                holders.insert(process);
            }
            (Some("release"), Some("invoke")) => {
                holders.remove(&process);
            }
            _ => {}
        }
        most = most.max(holders.len());
    }
    Ok(most)
}

fn run_case(schism: &Path, case: &Case, seed: u64) -> Result<Run, String> {
    let output = Command::new(schism)
        .arg("run")
        .args(case.args)
        .args(["--seed", &seed.to_string(), "--json"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {}: {error}", schism.display()))?;
    let code = output.status.code().unwrap_or(-1);
    let result: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        format!("exit code {code}, no result ({error}): {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    // A run that failed itself proves nothing, whatever its figures.
    ensure(code != 255, format!("exit code 255: {}", result["harness-errors"]))?;
    Ok(Run { code, result })
}

/// Faults of every family, three at once, so that whenever the run is killed some are in force.
const EVERYTHING: [&str; 10] =
    ["--faults", "all", "--fault-concurrency", "3", "--steady", "500ms", "--interval", "1s", "--fault-duration", "4s"];

/// `kill -9` of the launcher or of the sandbox's first process at a random moment of a run with all faults: nothing may
/// stay, in the machine either, and the history up to then must be judged.
fn killed_controller(schism: &Path, results: &Path, round: u64) -> Judged {
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

/// The same seed twice gives the same plan, operations and faults.
fn same_plan(schism: &Path, target: &str) -> Judged {
    let plan = || {
        Command::new(schism)
            .args(["plan", target, "--seed", "42", "--ops", "200"])
            .output()
            .map(|output| output.stdout)
            .map_err(|error| error.to_string())
    };
    let (first, second) = (plan()?, plan()?);
    ensure(!first.is_empty() && first == second, "two plans of one seed differ".to_owned())?;
    Ok(format!("identical, {} bytes", first.len()))
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    fn add(&mut self, name: &str, round: &str, began: Instant, judged: &Judged) {
        let (word, text) = match judged {
            Ok(text) => {
                self.passed += 1;
                ("ok", text)
            }
            Err(text) => {
                self.failed += 1;
                ("FAILED", text)
            }
        };
        println!("{word:<7} {name:<34} {round:<8} {:>5.1} s  {text}", began.elapsed().as_secs_f64());
    }
}

fn main() -> ExitCode {
    let mut wanted = Vec::new();
    let mut seeds = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--seeds" {
            let Some(count) = args.next().and_then(|count| count.parse::<u64>().ok()) else {
                eprintln!("acceptance: --seeds takes a number");
                return ExitCode::from(254);
            };
            seeds = Some(count);
        } else {
            wanted.push(arg);
        }
    }
    let names = || CASES.iter().map(|case| case.name).chain(["same-seed-same-plan", "killed-controller"]);
    if let Some(unknown) = wanted.iter().find(|name| !names().any(|known| known == name.as_str())) {
        eprintln!("acceptance: there is no case {unknown}; cases: {}", names().collect::<Vec<_>>().join(", "));
        return ExitCode::from(254);
    }
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    // Another build than the release is for trying out a case.
    let schism = std::env::var_os("SCHISM").map_or_else(|| PathBuf::from("target/release/schism"), PathBuf::from);
    let mut tally = Tally::default();
    let mut isolated_lost = Vec::new();
    for case in CASES.iter().filter(|case| wants(case.name)) {
        for seed in 1..=seeds.unwrap_or(case.seeds) {
            let began = Instant::now();
            let run = run_case(&schism, case, seed);
            let mut judged = run.as_ref().map_err(Clone::clone).and_then(|run| (case.judge)(run));
            if let Ok(run) = &run {
                let lost = run.number("set", "lost-percent").unwrap_or(0.0);
                match case.name {
                    "sentinel-isolated-primary" => isolated_lost.push(lost),
                    "sentinel-min-replicas" => {
                        if let (Some(without), Ok(_)) = (isolated_lost.get(seed as usize - 1), &judged)
                            && lost * 3.0 > *without
                        {
                            judged = Err(format!("lost {lost:.1} %, not three times less than {without:.1} %"));
                        }
                    }
                    _ => {}
                }
            }
            tally.add(case.name, &format!("seed {seed}"), began, &judged);
        }
    }
    if wants("same-seed-same-plan") {
        for target in ["memory", "redis/sentinel", "postgres/async"] {
            let began = Instant::now();
            tally.add("same-seed-same-plan", target, began, &same_plan(&schism, target));
        }
    }
    if wants("killed-controller") {
        let results = std::env::temp_dir().join(format!("schism-acceptance-{}", std::process::id()));
        for round in 1..=seeds.unwrap_or(100) {
            let began = Instant::now();
            tally.add(
                "killed-controller",
                &format!("round {round}"),
                began,
                &killed_controller(&schism, &results, round),
            );
        }
        let _ = std::fs::remove_dir_all(&results);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    ExitCode::from(u8::from(tally.failed > 0))
}

//! The cases: what is run, and how its result is judged. Each must-find case stands beside its control.

use serde_json::Value;

use super::{
    Case, Run,
    by_hand::{differences_by_hand, events_with, holders_by_hand, vanished_by_hand},
    ensure,
};

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

pub(crate) const CASES: &[Case] = &[
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
    // A cut that comes and goes faster than anybody recovers from it.
    Case {
        name: "sentinel-flapping",
        args: &[
            "redis/sentinel",
            "--workload",
            "set",
            "--faults",
            "flap=10s:primary",
            "--fault-duration",
            "30s",
            "--duration",
            "45s",
        ],
        seeds: 3,
        judge: |run| {
            run.expect_code(1)?;
            let lost = run.number("set", "lost-percent")?;
            ensure(lost > 5.0, format!("lost {lost:.1} % of acknowledged, expected > 5"))?;
            let dual_s = run.number("split-brain", "total-s")?;
            ensure(dual_s > 0.0, "no two primaries".to_owned())?;
            Ok(format!("lost {lost:.1} % of acknowledged, two primaries for {dual_s:.1} s, RTO {}", run.rto()))
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

//! Synthetic results for the tests of all reports.

use schism_checker::{
    Check, Details, Finding, Validity,
    availability::{
        ActivityResult, Availability, ErrorCount, FaultAvailability, OutcomeCount, Quantiles, RecoveryResult, Rto,
    },
    divergence::{
        final_state::{Difference, DivergenceResult, NodeState},
        split_brain::{SplitBrainResult, SplitBrainWindow},
    },
    durability::set::{LostElement, Rpo, RpoOfFault, SetResult},
    history::ClaimedRole,
    linearizability::{EvidenceOp, LinearizabilityResult, NonlinearizableKey},
};
use serde_json::json;

use super::plots::{OpOutcome, OpSample};
use crate::result::{ClaimInterval, FaultRecord, Outcome, Resources, RunResult};

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// When the synthetic runs end.
pub(super) const END_NS: u64 = 60 * S;

fn quantiles(p50: f64) -> Quantiles {
    Quantiles { count: 10_000, p50, p95: p50 * 2.1, p99: p50 * 4.7, p999: p50 * 12.0, max: p50 * 41.0 }
}

fn check(name: &str, valid: Validity, summary: &str, findings: Vec<Finding>, total: u64, details: Details) -> Check {
    let summary = summary.to_owned();
    Check { name: name.to_owned(), valid, reason: None, summary, findings, findings_total: total, details }
}

fn claim(node: &str, role: ClaimedRole, start_s: f64, end_s: f64) -> ClaimInterval {
    let ns = |s: f64| (s * 1e9) as u64;
    ClaimInterval { node: node.to_owned(), role, term: None, start_ns: ns(start_s), end_ns: ns(end_s) }
}

fn fault(id: u32, kind: &str, victims: &[&str], start_s: u64, end_s: u64) -> FaultRecord {
    FaultRecord {
        id,
        kind: kind.to_owned(),
        target: "primary".to_owned(),
        victims: victims.iter().map(|node| (*node).to_owned()).collect(),
        start_ns: Some(start_s * S),
        end_ns: Some(end_s * S),
        detail: format!("{kind}: dropped all packets between {} and the rest", victims.join(" ")),
        verified: "probe from n2 to 10.77.0.1:6379 timed out after 500 ms in both directions".to_owned(),
        measured: Vec::new(),
        skipped: None,
        failure: None,
    }
}

fn fault_availability(fault: &FaultRecord, write_s: f64, read_s: f64) -> FaultAvailability {
    let rto = |s: f64| Rto {
        cluster_s: Some(s),
        client_p50_s: Some(s * 1.05),
        client_p99_s: Some(s * 1.3),
        client_max_s: Some(s * 1.4),
        clients_never: 0,
    };
    FaultAvailability {
        fault_id: fault.id,
        kind: fault.kind.clone(),
        target: fault.target.clone(),
        victims: fault.victims.clone(),
        start_ns: fault.start_ns.unwrap_or(0),
        end_ns: fault.end_ns,
        first_error_ms: Some(212.4),
        rto_write: rto(write_s),
        rto_read: rto(read_s),
        failed: 312,
        indeterminate: 41,
        latency_before_ms: quantiles(0.8),
        latency_during_ms: quantiles(3.9),
        latency_after_ms: quantiles(0.9),
        ok_per_s_before: 1970.0,
        ok_per_s_during: 1210.0,
        ok_per_s_after: 1950.0,
        throughput_loss_percent: 38.6,
    }
}

fn run(valid: Validity, checks: Vec<Check>, faults: Vec<FaultRecord>, claims: Vec<ClaimInterval>) -> RunResult {
    RunResult {
        schema: RunResult::SCHEMA,
        schism_version: "0.1.0".to_owned(),
        valid,
        exit_code: match valid {
            Validity::Valid => 0,
            Validity::Invalid => 1,
            Validity::Unknown => 2,
        },
        outcome: Outcome::Completed,
        aborted: None,
        warnings: Vec::new(),
        harness_errors: Vec::new(),
        target: "redis/sentinel".to_owned(),
        workload: "set".to_owned(),
        seed: 8_714_259_931,
        command: "schism run --target redis/sentinel --workload set --faults partition --seed 8714259931".to_owned(),
        started_utc: "2026-11-20T21:04:05Z".to_owned(),
        wall_s: 74.2,
        guarantee: "acknowledged writes survive".to_owned(),
        plan: json!({"target": "redis/sentinel", "workload": "set", "clients": 10, "rate": 2000, "seed": 8_714_259_931_u64}),
        versions: ["n1", "n2", "n3"].map(|node| (node.to_owned(), "redis 7.0.15".to_owned())).into(),
        phases: [("steady", 0), ("faults", 10 * S), ("heal", 45 * S), ("final-reads", 58 * S)]
            .map(|(name, ns)| (name.to_owned(), ns))
            .into(),
        checks,
        availability: Availability {
            counts: vec![
                OutcomeCount { f: "add".to_owned(), ok: 58_102, fail: 611, info: 83 },
                OutcomeCount { f: "read".to_owned(), ok: 58_410, fail: 0, info: 12 },
            ],
            errors: vec![
                ErrorCount {
                    class: "READONLY".to_owned(),
                    outcome: "fail".to_owned(),
                    count: 611,
                    example: "You can't write against a read only replica.".to_owned(),
                },
                ErrorCount {
                    class: "timeout".to_owned(),
                    outcome: "info".to_owned(),
                    count: 95,
                    example: "no answer within 1000 ms".to_owned(),
                },
            ],
            ops_per_s: 1953.3,
            steady_latency_ms: quantiles(0.8),
            steady_ok_per_s: 1970.0,
            faults: faults.iter().map(|fault| fault_availability(fault, 6.412, 0.337)).collect(),
        },
        faults,
        claims,
        clocks: Vec::new(),
        resources: Resources { cpu_s: 21.7, peak_memory_bytes: 312 << 20 },
        files: Vec::new(),
    }
}

fn activity() -> Check {
    let details = Details::Activity(ActivityResult { never_ok: Vec::new(), ok: 116_512 });
    check("activity", Validity::Valid, "add and read succeeded.", Vec::new(), 0, details)
}

fn recovery() -> Check {
    let result = RecoveryResult { waited_ms: Some(1310), recovered: Some(true), missing: String::new() };
    check("recovery", Validity::Valid, "Recovered within 1.3 s.", Vec::new(), 0, Details::Recovery(result))
}

fn peaceful_claims() -> Vec<ClaimInterval> {
    vec![
        claim("n1", ClaimedRole::Primary, 0.0, 60.0),
        claim("n2", ClaimedRole::Replica, 0.0, 60.0),
        claim("n3", ClaimedRole::Replica, 0.0, 60.0),
    ]
}

/// A run that kept its promise under one fault.
pub(super) fn valid() -> RunResult {
    let set = SetResult { attempted: 58_796, acknowledged: 58_102, stable: 58_102, ..SetResult::default() };
    let split_brain = SplitBrainResult { claims_observed: true, ..SplitBrainResult::default() };
    let checks = vec![
        check("set", Validity::Valid, "All 58102 acknowledged adds are there.", Vec::new(), 0, Details::Set(set)),
        check(
            "split-brain",
            Validity::Valid,
            "At no time did two primaries acknowledge writes.",
            Vec::new(),
            0,
            Details::SplitBrain(split_brain),
        ),
        recovery(),
        activity(),
    ];
    run(Validity::Valid, checks, vec![fault(0, "partition", &["n1"], 15, 35)], peaceful_claims())
}

/// A primary cut off from its replicas goes on acknowledging; after healing its writes are gone.
pub(super) fn losses_and_split_brain(losses: usize) -> RunResult {
    let faults = vec![fault(0, "partition", &["n1"], 15, 35), fault(1, "kill", &["n2"], 41, 44)];
    let claims = vec![
        claim("n1", ClaimedRole::Primary, 0.0, 35.6),
        claim("n1", ClaimedRole::Replica, 35.6, 60.0),
        claim("n2", ClaimedRole::Replica, 0.0, 20.4),
        claim("n2", ClaimedRole::Primary, 20.4, 41.1),
        claim("n2", ClaimedRole::Unreachable, 41.1, 44.2),
        claim("n2", ClaimedRole::Neither, 44.2, 45.0),
        claim("n2", ClaimedRole::Primary, 45.0, 60.0),
        claim("n3", ClaimedRole::Replica, 0.0, 60.0),
    ];
    let mut result = run(
        Validity::Invalid,
        vec![set_check(losses), split_brain_check(), divergence_check(), recovery(), activity()],
        faults,
        claims,
    );
    result.availability.faults[1].rto_write.clients_never = 2;
    result
}

fn lost(number: usize, losses: usize) -> LostElement {
    let ok_ns = 16 * S + (19 * S) / losses.max(1) as u64 * number as u64;
    LostElement {
        element: 14_000 + number as i64,
        process: (number % 10) as u32,
        node: Some("n1".to_owned()),
        invoke_ns: ok_ns - MS,
        ok_ns,
        ok_index: 60_000 + 2 * number as u64,
        last_seen: Some((ok_ns + 3 * MS, Some("n1".to_owned()))),
        first_missing: Some((36 * S, Some("n2".to_owned()))),
    }
}

fn set_check(losses: usize) -> Check {
    let all: Vec<LostElement> = (0..losses).map(|number| lost(number, losses)).collect();
    let findings = all.iter().take(Check::FINDINGS_MAX).map(|lost| Finding {
        kind: "lost-write".to_owned(),
        sentence: format!(
            "Element {} was added by process {}, acknowledged by n1 at {:.3} s, last seen on n1 at {:.3} s, and missing \
             from n2 at 36.000 s and from every later read.",
            lost.element,
            lost.process,
            lost.ok_ns as f64 / 1e9,
            (lost.ok_ns + 3 * MS) as f64 / 1e9,
        ),
        event_indexes: vec![lost.ok_index],
    });
    let findings = findings.collect();
    let ops = losses as u64;
    let (first_ok_ns, last_ok_ns) = (all.first().map_or(0, |l| l.ok_ns), all.last().map_or(0, |l| l.ok_ns));
    let window_s = (last_ok_ns - first_ok_ns) as f64 / 1e9;
    let set = SetResult {
        attempted: 58_796,
        acknowledged: 58_102,
        failed: 611,
        indeterminate: 83,
        stable: 58_102 - ops,
        lost: all,
        lost_percent: 100.0 * losses as f64 / 58_102.0,
        recovered: 31,
        rpo: Rpo {
            ops,
            window_s,
            by_fault: vec![RpoOfFault { fault_id: Some(0), ops, window_s, first_ok_ns, last_ok_ns }],
        },
        ..SetResult::default()
    };
    let summary = format!("{losses} of 58102 acknowledged adds are lost.");
    check("set", Validity::Invalid, &summary, findings, ops, Details::Set(set))
}

fn split_brain_check() -> Check {
    let window = SplitBrainWindow {
        start_ns: 20_412 * MS,
        end_ns: 34_998 * MS,
        nodes: ["n1".to_owned(), "n2".to_owned()],
        acknowledged: [1234, 9120],
        claims_start_ns: 20_400 * MS,
        claims_end_ns: 35_600 * MS,
        event_indexes: vec![70_001, 70_020, 99_001, 99_100],
    };
    let finding = Finding {
        kind: "split-brain".to_owned(),
        sentence:
            "From 20.412 s to 34.998 s both n1 and n2 claimed to be primary and acknowledged writes: n1 1234, n2 9120."
                .to_owned(),
        event_indexes: window.event_indexes.clone(),
    };
    let result = SplitBrainResult {
        windows: vec![window],
        total_s: 14.586,
        longest_s: 14.586,
        dual_claim_s: 15.2,
        claims_observed: true,
    };
    let summary = "Two primaries acknowledged writes for 14.586 s.";
    check("split-brain", Validity::Invalid, summary, vec![finding], 1, Details::SplitBrain(result))
}

fn divergence_check() -> Check {
    let state = |node: &str, role: &str, size| NodeState { node: node.to_owned(), role: role.to_owned(), size };
    let difference = Difference {
        key: None,
        values: vec![(json!(31_337), vec!["n3".to_owned()]), (json!(null), vec!["n1".to_owned(), "n2".to_owned()])],
        written_by: vec![(81_222, "process 4 added 31337, acknowledged by n1 at 34.990 s".to_owned())],
    };
    let result = DivergenceResult {
        nodes: vec![state("n1", "replica", 56_868), state("n2", "primary", 56_868), state("n3", "replica", 56_869)],
        unread_nodes: Vec::new(),
        differences: vec![difference],
    };
    let finding = Finding {
        kind: "divergence".to_owned(),
        sentence: "After healing, n3 holds element 31337 and n1 and n2 do not.".to_owned(),
        event_indexes: vec![81_222],
    };
    let summary = "The nodes' final states differ in 1 element.";
    check("divergence", Validity::Invalid, summary, vec![finding], 1, Details::Divergence(result))
}

/// A register history without linearization.
pub(super) fn nonlinearizable() -> RunResult {
    let op = |process, op: &str, outcome: &str, node: &str, invoke_ms: u64, complete_ms: Option<u64>, index: u64| {
        EvidenceOp {
            process,
            op: op.to_owned(),
            outcome: outcome.to_owned(),
            node: Some(node.to_owned()),
            invoke_ns: invoke_ms * MS,
            complete_ns: complete_ms.map(|ms| ms * MS),
            invoke_index: index,
            complete_index: complete_ms.map(|_| index + 3),
        }
    };
    let explanation =
        "Process 7 read 3 after process 2's write of 4 had been acknowledged, and no later write of 3 exists.";
    let key = NonlinearizableKey {
        key_name: None,
        key: 12,
        ops: vec![
            op(4, "write 3", "ok", "n1", 21_004, Some(21_006), 880),
            op(11, "cas 3 -> 9", "info", "n1", 21_005, None, 882),
            op(2, "write 4", "ok", "n2", 21_412, Some(21_415), 1020),
            op(7, "read 3", "ok", "n1", 21_419, Some(21_421), 1044),
        ],
        explanation: explanation.to_owned(),
        window: schism_checker::linearizability::Window::default(),
    };
    let finding = Finding {
        kind: "nonlinearizable".to_owned(),
        sentence: format!("Key 12: {explanation}"),
        event_indexes: vec![883, 1023, 1047],
    };
    let details = LinearizabilityResult {
        model: "cas-register".to_owned(),
        keys: 40,
        ops: 61_223,
        keys_decided: 39,
        ops_decided: 59_871,
        invalid_keys: vec![key],
        unknown_keys: vec![(17, "5000000 search steps".to_owned())],
        steps: 7_312_004,
    };
    let summary = "1 of 40 keys has no linearization.";
    let details = Details::Linearizability(details);
    let check = check("linearizability", Validity::Invalid, summary, vec![finding], 1, details);
    let mut result = run(
        Validity::Invalid,
        vec![check, recovery(), activity()],
        vec![fault(0, "partition", &["n1"], 20, 32)],
        peaceful_claims(),
    );
    result.workload = "register".to_owned();
    result.guarantee = "every key behaves like a single register (linearizability)".to_owned();
    result
}

/// Interrupted before anything could be judged; nothing injected, nothing observed.
pub(super) fn unknown() -> RunResult {
    let set = SetResult { attempted: 120, acknowledged: 118, never_read: 118, ..SetResult::default() };
    let mut undecided =
        check("set", Validity::Unknown, "118 adds were acknowledged.", Vec::new(), 0, Details::Set(set));
    undecided.reason = Some("no read completed after the last acknowledged add".to_owned());
    let mut result = run(Validity::Unknown, vec![undecided, activity()], Vec::new(), Vec::new());
    result.outcome = Outcome::Interrupted;
    result
}

/// A fault that did not bite.
pub(super) fn harness_failure() -> RunResult {
    let mut result = valid();
    result.outcome = Outcome::HarnessFailure;
    result.exit_code = 255;
    result.harness_errors = vec!["fault 1 (pause) was not verified: process 4711 of n2 is still running".to_owned()];
    result.faults.push(FaultRecord {
        id: 1,
        kind: "pause".to_owned(),
        target: "replica".to_owned(),
        victims: vec!["n2".to_owned()],
        start_ns: None,
        end_ns: None,
        detail: "SIGSTOP to process group 4711".to_owned(),
        verified: String::new(),
        measured: Vec::new(),
        skipped: None,
        failure: Some("state is R, expected T".to_owned()),
    });
    result
}

/// Text that tries to be more than text, wherever text comes from outside.
pub(super) fn hostile() -> RunResult {
    let attack = "\u{0}\u{1b}[31m</style></script><script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;\u{7}";
    let mut result = losses_and_split_brain(3);
    for error in &mut result.availability.errors {
        error.class = attack.to_owned();
        error.example = attack.repeat(3);
    }
    for check in &mut result.checks {
        check.summary = attack.to_owned();
        for finding in &mut check.findings {
            finding.sentence = attack.to_owned();
        }
    }
    for fault in &mut result.faults {
        fault.victims = vec![attack.to_owned()];
        fault.verified = attack.to_owned();
    }
    for claim in &mut result.claims {
        claim.node = attack.to_owned();
    }
    result.command = attack.to_owned();
    result.guarantee = attack.to_owned();
    result.target = attack.to_owned();
    result.plan = json!({ "attack": attack });
    result.files = vec![(attack.to_owned(), "javascript:alert(1)".to_owned())];
    result.outcome = Outcome::HarnessFailure;
    result.harness_errors = vec![attack.to_owned()];
    result
}

/// As much of everything as a long run can produce.
pub(super) fn crowded() -> RunResult {
    let mut result = losses_and_split_brain(5000);
    result.outcome = Outcome::HarnessFailure;
    result.harness_errors = vec!["x".repeat(100_000); 1000];
    let long = "long word ".repeat(10_000);
    for check in &mut result.checks {
        for finding in &mut check.findings {
            finding.sentence = long.clone();
        }
    }
    result.checks = result.checks.iter().cycle().take(20).cloned().collect();
    result.faults =
        (0..2000).map(|id| fault(id, "partition", &["n1", "n2"], u64::from(id) / 40, u64::from(id) / 40 + 1)).collect();
    result.availability.faults = result.faults.iter().map(|fault| fault_availability(fault, 1.0, 2.0)).collect();
    let error = ErrorCount { class: long.clone(), outcome: "info".to_owned(), count: 1, example: long.clone() };
    result.availability.errors = vec![error; 300];
    result.files = (0..5000).map(|n| (format!("log {n}"), format!("nodes/n{n}/redis.log"))).collect();
    result.plan = json!({ "long": long.repeat(20) });
    result
}

/// `total` operations of ten clients over the run, with an outage from 15 s to 21 s: a fixed pseudo-random stream.
pub(super) fn samples(total: u64) -> impl Iterator<Item = OpSample<'static>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..total).map(move |number| {
        let invoke_ns = (END_NS as f64 / total as f64 * number as f64) as u64;
        let f = if draw() < 0.5 { "add" } else { "read" };
        let outage = (15 * S..21 * S).contains(&invoke_ns);
        let late = if draw() < 0.002 { 200.0 } else { 1.0 };
        let spread = (-(1.0 - draw()).ln()).powi(2);
        let latency_ns = (late * (0.4 + spread) * MS as f64) as u64;
        let (outcome, complete_ns) = match draw() {
            chance if outage && f == "add" && chance < 0.30 => (OpOutcome::Info, Some(invoke_ns + S)),
            chance if outage && f == "add" && chance < 0.60 => (OpOutcome::Fail, Some(invoke_ns + 3 * latency_ns)),
            chance if outage && chance < 0.601 => (OpOutcome::Info, None),
            chance if chance < 0.0002 => (OpOutcome::Info, Some(invoke_ns + S)),
            _ => (OpOutcome::Ok, Some(invoke_ns + latency_ns)),
        };
        let cut_off = (15 * S..35 * S).contains(&invoke_ns) && draw() < 0.12;
        let node = match (invoke_ns / S < 15 || cut_off, f) {
            (true, "add") => "n1",
            (false, "add") => "n2",
            _ => "n3",
        };
        OpSample { invoke_ns, complete_ns, f, outcome, node: Some(node) }
    })
}

//! From a history to a result: the checkers' verdicts, combined, with what a report needs besides.

use schism_checker::{
    Check, Validity, availability,
    history::{ClaimedRole, ClockEvent, FaultStage, History, SideEvent},
};

use crate::{
    exit,
    plan::Plan,
    result::{ClaimInterval, ClockSample, FaultRecord, Outcome, Resources, RunResult},
};

/// What the history itself does not know.
pub(crate) struct Circumstances {
    pub(crate) outcome: Outcome,
    pub(crate) aborted: Option<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) harness_errors: Vec<String>,
    pub(crate) command: String,
    pub(crate) started_utc: String,
    pub(crate) versions: Vec<(String, String)>,
}

/// Judges a run.
pub(crate) fn judge(history: &History, plan: &Plan, circumstances: Circumstances) -> anyhow::Result<RunResult> {
    let mut checks = schism_checker::check(history, &schism_checker::Options::default())?;
    checks.sort_by_key(|check| std::cmp::Reverse(check.valid));
    let valid = combine(&checks);
    Ok(RunResult {
        schema: RunResult::SCHEMA,
        schism_version: env!("CARGO_PKG_VERSION").to_owned(),
        valid,
        exit_code: exit::of_run(valid, circumstances.outcome),
        outcome: circumstances.outcome,
        aborted: circumstances.aborted,
        warnings: circumstances.warnings,
        harness_errors: circumstances.harness_errors,
        target: plan.target.clone(),
        workload: plan.workload.clone(),
        seed: plan.seed,
        command: circumstances.command,
        started_utc: circumstances.started_utc,
        wall_s: 0.0,
        guarantee: guarantee_of(plan),
        plan: serde_json::to_value(plan)?,
        versions: circumstances.versions,
        phases: history.phases().iter().map(|phase| (phase_name(phase.value.phase), phase.time_ns)).collect(),
        checks,
        availability: availability::measure(history),
        faults: fault_records(history),
        claims: claim_intervals(history),
        clocks: clock_samples(history),
        resources: Resources::default(),
        files: Vec::new(),
    })
}

/// All checks together.
pub(crate) fn combine(checks: &[Check]) -> Validity {
    Validity::combine(checks.iter().map(|check| check.valid))
}

/// What is being tested, in words.
fn guarantee_of(plan: &Plan) -> String {
    match plan.workload.as_str() {
        "set" => "every acknowledged write survives, one node at a time accepts writes, and all nodes end up equal"
            .to_owned(),
        "register" => "each register behaves as a single copy (linearizable), and all nodes end up equal".to_owned(),
        "closed-predicate" => {
            format!("transactions are {}, and all nodes end up equal", plan.consistency_models.join(", "))
        }
        "mutex" => "one client at a time holds the lock".to_owned(),
        "fenced-lock" => "the lock's tokens grow, and what it protects accepts none older than one accepted".to_owned(),
        _ => format!(
            "transactions are {}, no acknowledged append is lost, and all nodes end up equal",
            plan.consistency_models.join(", ")
        ),
    }
}

fn phase_name(phase: schism_checker::history::Phase) -> String {
    serde_json::to_value(phase).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The stages of each fault, gathered into one record.
fn fault_records(history: &History) -> Vec<FaultRecord> {
    let mut records: Vec<FaultRecord> = Vec::new();
    for stage in history.faults() {
        let event = &stage.value;
        let index = records.iter().position(|record| record.id == event.id).unwrap_or_else(|| {
            records.push(FaultRecord {
                id: event.id,
                kind: event.kind.clone(),
                target: event.target.clone(),
                victims: Vec::new(),
                start_ns: None,
                end_ns: None,
                detail: String::new(),
                verified: String::new(),
                measured: Vec::new(),
                skipped: None,
                failure: None,
            });
            records.len() - 1
        });
        let record = &mut records[index];
        match event.stage {
            FaultStage::Inject | FaultStage::Heal => {}
            FaultStage::Injected => {
                record.start_ns = event.effective_ns.or(Some(stage.time_ns));
                record.victims.clone_from(&event.victims);
                record.detail.clone_from(&event.detail);
                record.verified.clone_from(&event.verified);
                record.measured.clone_from(&event.measured);
            }
            FaultStage::Skipped => record.skipped = Some(event.detail.clone()),
            FaultStage::Healed => record.end_ns = event.effective_ns.or(Some(stage.time_ns)),
            FaultStage::Failed => record.failure = Some(event.detail.clone()),
        }
    }
    records
}

fn clock_samples(history: &History) -> Vec<ClockSample> {
    let sample = |event: &SideEvent<ClockEvent>| {
        let ClockEvent { node, offset_ms, asked_ns } = event.value.clone();
        ClockSample { node, at_ns: asked_ns, offset_ms }
    };
    let mut samples: Vec<ClockSample> = history.clocks().iter().map(sample).collect();
    samples.sort_by(|left, right| (&left.node, left.at_ns).cmp(&(&right.node, right.at_ns)));
    samples
}

/// Claims as intervals: from the first poll that said so to the first that said otherwise.
fn claim_intervals(history: &History) -> Vec<ClaimInterval> {
    let mut intervals: Vec<ClaimInterval> = Vec::new();
    let end_ns = history.time_end_ns();
    for claim in history.claims() {
        let (event, time_ns) = (&claim.value, claim.time_ns);
        if let Some(open) = intervals.iter_mut().rev().find(|interval| interval.node == event.node) {
            if (open.role, open.term) == (event.role, event.term) {
                continue;
            }
            open.end_ns = time_ns;
        }
        let (role, term): (ClaimedRole, Option<u64>) = (event.role, event.term);
        intervals.push(ClaimInterval { node: event.node.clone(), role, term, start_ns: time_ns, end_ns });
    }
    intervals.sort_by(|left, right| (&left.node, left.start_ns).cmp(&(&right.node, right.start_ns)));
    intervals
}

//! Availability: how long the database was away after each fault, and what clients felt. Numbers before pictures.

//!
//! A fault begins when it took hold and ends when it was lifted, as its events say; one that was never injected is left
//! out. An operation belongs to the time at which it completed (one that never did, to that of its invocation). The reads
//! that end a run are counted but not measured: no client waited for them. A compare-and-set that failed because it
//! compared (without an error) is no error. Nor is an attempt to get a lock that is taken, or a write with a token that a
//! newer one has outdated: these are answers ([`ANSWERS`]), and count as what ended `ok` does, but for the count of
//! outcomes. (The ok of an acquire would tell when the lock was free, not when the database was there.)

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    Check, Details, Validity,
    divergence::split_brain::is_write,
    histogram::Histogram,
    history::{F, FaultStage, History, Op, Outcome},
    say::{self, Findings},
};

/// Figures of a whole run. Not a verdict: a slow failover is not an inconsistency.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Availability {
    /// Operations by function and outcome.
    pub counts: Vec<OutcomeCount>,
    /// Errors by class with their count and one example text, most frequent first.
    pub errors: Vec<ErrorCount>,
    /// Completed operations a second while clients ran.
    pub ops_per_s: f64,
    /// Latency of `ok` operations before the first fault (of the whole run without faults).
    pub steady_latency_ms: Quantiles,
    /// `ok` operations a second before the first fault.
    pub steady_ok_per_s: f64,
    /// One entry per fault that took hold, by id.
    pub faults: Vec<FaultAvailability>,
}

/// Outcomes of one function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct OutcomeCount {
    /// `read`, `add`, …
    pub f: String,
    /// Ended `ok`.
    pub ok: u64,
    /// Ended `fail`.
    pub fail: u64,
    /// Ended `info` or never ended.
    pub info: u64,
}

/// How often one error class was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ErrorCount {
    /// Class.
    pub class: String,
    /// `fail` or `info`.
    pub outcome: String,
    /// Times seen.
    pub count: u64,
    /// One text.
    pub example: String,
}

/// What one fault cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FaultAvailability {
    /// The fault's id in the schedule.
    pub fault_id: u32,
    /// Its kind.
    pub kind: String,
    /// Its target as planned.
    pub target: String,
    /// The nodes it hurt.
    pub victims: Vec<String>,
    /// When it took hold.
    pub start_ns: u64,
    /// When it was lifted; `None`: never.
    pub end_ns: Option<u64>,
    /// From its start to the first operation that did not end `ok`, in milliseconds. `None`: no error.
    pub first_error_ms: Option<f64>,
    /// Recovery of writes.
    pub rto_write: Rto,
    /// Recovery of reads.
    pub rto_read: Rto,
    /// Operations that failed while it was in force.
    pub failed: u64,
    /// Operations that ended indeterminate while it was in force.
    pub indeterminate: u64,
    /// Latency of `ok` operations before it (since the previous fault's end), while in force, and after (until the
    /// next fault).
    pub latency_before_ms: Quantiles,
    /// While in force.
    pub latency_during_ms: Quantiles,
    /// After it.
    pub latency_after_ms: Quantiles,
    /// `ok` operations a second before it.
    pub ok_per_s_before: f64,
    /// While in force.
    pub ok_per_s_during: f64,
    /// After it.
    pub ok_per_s_after: f64,
    /// Throughput lost while in force, per cent of before.
    pub throughput_loss_percent: f64,
}

/// Recovery time after one fault: from its start to the first `ok` operation that was invoked after it. While the
/// fault is in force, what its victims acknowledge does not count as recovery: an isolated primary that goes on
/// acknowledging writes which the majority will never see is the disease, not the cure.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rto {
    /// The first client's recovery in seconds; `None`: none recovered.
    pub cluster_s: Option<f64>,
    /// Median over the clients that recovered.
    pub client_p50_s: Option<f64>,
    /// 99th percentile over the clients that recovered.
    pub client_p99_s: Option<f64>,
    /// The last client to recover.
    pub client_max_s: Option<f64>,
    /// Clients that had succeeded before the fault and never did again until the next one or the end.
    pub clients_never: u32,
}

/// Latency quantiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quantiles {
    /// Operations measured.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Maximum.
    pub max: f64,
}

/// Whether the cluster came back after the last fault.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RecoveryResult {
    /// The wait, as the run recorded it; `None`: the run ended before it.
    pub waited_ms: Option<u64>,
    /// Whether it recovered.
    pub recovered: Option<bool>,
    /// What was missing.
    pub missing: String,
}

/// Whether each kind of operation succeeded at least once: a run in which no write was ever acknowledged proves
/// nothing, and must not be green.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ActivityResult {
    /// Functions that never ended `ok`.
    pub never_ok: Vec<String>,
    /// Operations that ended `ok`.
    pub ok: u64,
}

/// A fault that took hold.
struct Fault<'h> {
    id: u32,
    kind: &'h str,
    target: &'h str,
    victims: &'h [String],
    start_ns: u64,
    end_ns: Option<u64>,
}

fn faults(history: &History) -> Vec<Fault<'_>> {
    let mut faults: BTreeMap<u32, Fault<'_>> = BTreeMap::new();
    for event in history.faults() {
        let value = &event.value;
        let at_ns = value.effective_ns.unwrap_or(event.time_ns);
        match value.stage {
            FaultStage::Injected => {
                faults.entry(value.id).or_insert(Fault {
                    id: value.id,
                    kind: &value.kind,
                    target: &value.target,
                    victims: &value.victims,
                    start_ns: at_ns,
                    end_ns: None,
                });
            }
            FaultStage::Healed => {
                if let Some(fault) = faults.get_mut(&value.id) {
                    fault.end_ns.get_or_insert(at_ns.max(fault.start_ns));
                }
            }
            FaultStage::Inject | FaultStage::Heal | FaultStage::Skipped | FaultStage::Failed => {}
        }
    }
    faults.into_values().collect()
}

/// What happened in one span of time in which no fault began or ended.
#[derive(Default, Clone)]
struct Span {
    latency: Histogram,
    ok: u64,
    failed: u64,
    indeterminate: u64,
}

impl Span {
    fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency);
        self.ok += other.ok;
        self.failed += other.failed;
        self.indeterminate += other.indeterminate;
    }
}

/// Faults that part a victim from the others: what it acknowledges meanwhile may be thrown away and is no recovery. Under
/// any other fault what a victim acknowledges is the cluster's word, though its links are slow or its clock is wrong.
const CUT_OFF: [&str; 3] = ["partition", "flap", "failover"];

/// Classes of `fail` that are answers of a database that works.
pub const ANSWERS: &[&str] = &["lock-taken", "stale-token"];

/// It ended `ok`, or with another answer.
fn is_answered(op: &Op<'_>) -> bool {
    match op.outcome {
        Outcome::Ok => true,
        Outcome::Info => false,
        Outcome::Fail => op.error.is_some_and(|error| ANSWERS.contains(&&*error.class)),
    }
}

fn is_error(op: &Op<'_>) -> bool {
    !is_answered(op) && (op.outcome == Outcome::Info || *op.f != F::Cas || op.error.is_some())
}

fn per_second(count: u64, start_ns: u64, end_ns: u64) -> f64 {
    if end_ns > start_ns { count as f64 / say::as_seconds(end_ns - start_ns) } else { 0.0 }
}

/// Measures a history of any workload.
#[must_use]
pub fn measure(history: &History) -> Availability {
    let faults = faults(history);
    let mut result = Availability::default();
    let mut counts: BTreeMap<&str, OutcomeCount> = BTreeMap::new();
    let mut errors: BTreeMap<(&str, &str), ErrorCount> = BTreeMap::new();
    // Time is cut at each beginning and end of a fault; span i is before the cut i.
    let mut cuts: Vec<u64> = faults.iter().flat_map(|fault| [Some(fault.start_ns), fault.end_ns]).flatten().collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut spans: Vec<Span> = vec![Span::default(); cuts.len() + 1];
    let mut began_ns = u64::MAX;
    let mut ended_ns = 0;
    let mut completed = 0_u64;
    for op in history.ops() {
        let count = counts.entry(op.f.name()).or_insert_with(|| OutcomeCount {
            f: op.f.name().into(),
            ok: 0,
            fail: 0,
            info: 0,
        });
        match op.outcome {
            Outcome::Ok => count.ok += 1,
            Outcome::Fail => count.fail += 1,
            Outcome::Info => count.info += 1,
        }
        if let Some(error) = op.error.filter(|_| op.outcome != Outcome::Ok) {
            let entry = errors.entry((&error.class, op.outcome.name())).or_insert_with(|| ErrorCount {
                class: (*error.class).into(),
                outcome: op.outcome.name().into(),
                count: 0,
                example: (*error.text).into(),
            });
            entry.count += 1;
        }
        if op.is_final {
            continue;
        }
        completed += u64::from(op.complete_index.is_some());
        let at_ns = op.complete_ns.unwrap_or(op.invoke_ns);
        began_ns = began_ns.min(op.invoke_ns);
        ended_ns = ended_ns.max(at_ns);
        let span = &mut spans[cuts.partition_point(|cut| *cut <= at_ns)];
        if is_answered(&op) {
            span.ok += 1;
            span.latency.record(at_ns.saturating_sub(op.invoke_ns));
        } else if op.outcome == Outcome::Info {
            span.indeterminate += 1;
        } else {
            span.failed += u64::from(is_error(&op));
        }
    }
    let began_ns = began_ns.min(ended_ns);
    result.ops_per_s = per_second(completed, began_ns, ended_ns);
    result.counts = counts.into_values().collect();
    result.errors = errors.into_values().collect();
    // Stable: those seen equally often stay ordered by class.
    result.errors.sort_by_key(|error| std::cmp::Reverse(error.count));

    // The spans from one cut to another together.
    let between = |start_ns: u64, end_ns: u64| {
        let mut sum = Span::default();
        if start_ns < end_ns {
            let first = cuts.partition_point(|cut| *cut <= start_ns);
            let last = cuts.partition_point(|cut| *cut < end_ns);
            for span in &spans[first..=last] {
                sum.add(span);
            }
        }
        sum
    };
    let first_start_ns = faults.iter().map(|fault| fault.start_ns).min();
    let steady = first_start_ns.map_or_else(|| between(0, u64::MAX), |start_ns| between(0, start_ns));
    result.steady_latency_ms = steady.latency.quantiles();
    result.steady_ok_per_s = per_second(steady.ok, began_ns, first_start_ns.unwrap_or(ended_ns));

    let clients = Clients::of(history);
    for fault in &faults {
        let next_start_ns = faults.iter().map(|other| other.start_ns).filter(|start| *start > fault.start_ns).min();
        // Without a next fault, until the clients stopped.
        let window_end_ns = next_start_ns.unwrap_or(u64::MAX);
        let before_start_ns = faults
            .iter()
            .filter(|other| other.start_ns < fault.start_ns)
            .map(|other| other.end_ns.unwrap_or(u64::MAX))
            .max()
            .unwrap_or(0)
            .min(fault.start_ns);
        let end_ns = fault.end_ns.unwrap_or(u64::MAX);
        let before = between(before_start_ns, fault.start_ns);
        let during = between(fault.start_ns, end_ns);
        let after = between(end_ns, window_end_ns);
        let ok_per_s_before = per_second(before.ok, before_start_ns.max(began_ns), fault.start_ns);
        let ok_per_s_during = per_second(during.ok, fault.start_ns, end_ns.min(ended_ns));
        let window = clients.window(history, fault, window_end_ns);
        result.faults.push(FaultAvailability {
            fault_id: fault.id,
            kind: fault.kind.into(),
            target: fault.target.into(),
            victims: fault.victims.to_vec(),
            start_ns: fault.start_ns,
            end_ns: fault.end_ns,
            first_error_ms: window.first_error_ns.map(|at_ns| say::as_millis(at_ns - fault.start_ns)),
            rto_write: window.write,
            rto_read: window.read,
            failed: during.failed,
            indeterminate: during.indeterminate,
            latency_before_ms: before.latency.quantiles(),
            latency_during_ms: during.latency.quantiles(),
            latency_after_ms: after.latency.quantiles(),
            ok_per_s_before,
            ok_per_s_during,
            ok_per_s_after: per_second(after.ok, end_ns, window_end_ns.min(ended_ns)),
            throughput_loss_percent: if ok_per_s_before > 0.0 {
                (1.0 - ok_per_s_during / ok_per_s_before) * 100.0
            } else {
                0.0
            },
        });
    }
    result
}

/// When each client first succeeded, and how long operations take at most.
struct Clients {
    first_write_ok_ns: FxHashMap<u32, u64>,
    first_read_ok_ns: FxHashMap<u32, u64>,
    latency_max_ns: u64,
}

/// What clients felt between a fault and the next one.
struct Window {
    first_error_ns: Option<u64>,
    write: Rto,
    read: Rto,
}

fn client_of(history: &History, op: &Op<'_>) -> u32 {
    op.process.checked_rem(history.header().clients).unwrap_or(op.process)
}

impl Clients {
    fn of(history: &History) -> Self {
        let mut clients =
            Self { first_write_ok_ns: FxHashMap::default(), first_read_ok_ns: FxHashMap::default(), latency_max_ns: 0 };
        for op in history.ops().filter(|op| !op.is_final) {
            let Some(at_ns) = op.complete_ns else { continue };
            clients.latency_max_ns = clients.latency_max_ns.max(at_ns.saturating_sub(op.invoke_ns));
            if is_answered(&op) {
                let firsts = if is_write(&op) { &mut clients.first_write_ok_ns } else { &mut clients.first_read_ok_ns };
                let first = firsts.entry(client_of(history, &op)).or_insert(at_ns);
                *first = (*first).min(at_ns);
            }
        }
        clients
    }

    fn window(&self, history: &History, fault: &Fault<'_>, window_end_ns: u64) -> Window {
        // Operations are ordered by invocation: those that can complete in the window begin at most the longest
        // latency before it.
        let first = first_invoked_at(history, fault.start_ns.saturating_sub(self.latency_max_ns));
        let mut first_error_ns: Option<u64> = None;
        let mut write: FxHashMap<u32, u64> = FxHashMap::default();
        let mut read: FxHashMap<u32, u64> = FxHashMap::default();
        for id in first..history.len() {
            let Some(op) = history.op(id) else { break };
            if op.invoke_ns >= window_end_ns {
                break;
            }
            let at_ns = op.complete_ns.unwrap_or(op.invoke_ns);
            if op.is_final || at_ns < fault.start_ns || at_ns >= window_end_ns {
                continue;
            }
            if is_error(&op) {
                first_error_ns = Some(first_error_ns.map_or(at_ns, |first| first.min(at_ns)));
            }
            if !is_answered(&op) || op.invoke_ns < fault.start_ns {
                continue;
            }
            let in_force = fault.end_ns.is_none_or(|end_ns| at_ns < end_ns);
            let parted = CUT_OFF.contains(&fault.kind);
            if in_force && parted && op.node.is_some_and(|node| fault.victims.iter().any(|victim| victim == node)) {
                continue;
            }
            let recovered = if is_write(&op) { &mut write } else { &mut read };
            let at = recovered.entry(client_of(history, &op)).or_insert(at_ns);
            *at = (*at).min(at_ns);
        }
        Window {
            first_error_ns,
            write: rto(fault, write, &self.first_write_ok_ns),
            read: rto(fault, read, &self.first_read_ok_ns),
        }
    }
}

/// The first operation invoked at or after a time.
fn first_invoked_at(history: &History, at_ns: u64) -> usize {
    let (mut low, mut high) = (0, history.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if history.op(middle).is_some_and(|op| op.invoke_ns < at_ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn rto(fault: &Fault<'_>, recovered: FxHashMap<u32, u64>, first_ok_ns: &FxHashMap<u32, u64>) -> Rto {
    let never = first_ok_ns
        .iter()
        .filter(|(client, first)| **first < fault.start_ns && !recovered.contains_key(client))
        .count();
    let mut times: Vec<f64> = recovered.into_values().map(|at_ns| say::as_seconds(at_ns - fault.start_ns)).collect();
    times.sort_unstable_by(f64::total_cmp);
    let quantile = |q: f64| {
        let rank = (q * times.len() as f64).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied()
    };
    Rto {
        cluster_s: times.first().copied(),
        client_p50_s: quantile(0.5),
        client_p99_s: quantile(0.99),
        client_max_s: times.last().copied(),
        clients_never: u32::try_from(never).unwrap_or(u32::MAX),
    }
}

/// Whether the cluster came back after the last fault. Not coming back is no inconsistency, but what was read then says
/// little; so it is unknown.
#[must_use]
pub fn recovery_check(history: &History) -> Check {
    let ended = history.recovery().last().map(|event| &event.value);
    let result = RecoveryResult {
        waited_ms: ended.map(|ended| ended.waited_ms),
        recovered: ended.map(|ended| ended.recovered),
        missing: ended.map_or_else(String::new, |ended| ended.missing.clone()),
    };
    let faults = history.faults().iter().any(|event| event.value.stage == FaultStage::Injected);
    let (valid, reason, summary) = match ended {
        Some(ended) if ended.recovered => (Validity::Valid, None, format!("Recovered within {} ms.", ended.waited_ms)),
        Some(ended) => {
            let missing = if ended.missing.is_empty() { "unknown what" } else { &ended.missing };
            let reason = format!("not recovered after {} ms: {missing} is missing", ended.waited_ms);
            (Validity::Unknown, Some(reason.clone()), format!("Undecided: {reason}."))
        }
        None if faults => {
            let reason = "the run ended before recovery was observed";
            (Validity::Unknown, Some(reason.into()), format!("Undecided: {reason}."))
        }
        None => (Validity::Valid, None, "No fault to recover from.".into()),
    };
    Findings::default().into_check("recovery", valid, reason, summary, Details::Recovery(result))
}

/// Functions invoked less often than this may all have had bad luck.
const ACTIVITY_MIN: u64 = 10;

/// Whether each kind of operation succeeded at least once.
#[must_use]
pub fn activity_check(history: &History) -> Check {
    let mut by_f: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for op in history.ops().filter(|op| !op.is_final) {
        let (invoked, ok) = by_f.entry(op.f.name()).or_default();
        *invoked += 1;
        *ok += u64::from(op.outcome == Outcome::Ok);
    }
    let never_ok: BTreeSet<&str> =
        by_f.iter().filter(|(_, (invoked, ok))| *invoked >= ACTIVITY_MIN && *ok == 0).map(|(f, _)| *f).collect();
    let result = ActivityResult {
        never_ok: never_ok.iter().map(|f| (*f).into()).collect(),
        ok: by_f.values().map(|(_, ok)| ok).sum(),
    };
    let reason = if result.ok == 0 {
        Some("no operation ended ok".to_owned())
    } else if result.never_ok.is_empty() {
        None
    } else {
        Some(format!("no {} ever ended ok", say::list(&result.never_ok)))
    };
    let (valid, summary) = match &reason {
        Some(reason) => (Validity::Unknown, format!("Undecided: {reason}.")),
        None => (Validity::Valid, format!("{} ended ok.", say::count(result.ok, "operation"))),
    };
    Findings::default().into_check("activity", valid, reason, summary, Details::Activity(result))
}

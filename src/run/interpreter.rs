//! The one impure loop: generator, clients, nemesis, monitor and clock meet here and nowhere else.
//!
//! Completions are taken before anything is invoked. An operation that has ended but whose end is not yet recorded
//! would overlap, in the history, with one invoked meanwhile: concurrency that never was, which lets a checker accept
//! orders that real time forbids. (A write that ended before a stale read began would look concurrent with it, and
//! the stale read would pass as linearizable.)
//!
//! A process whose operation ended indeterminate is over: it may still be at work in the database. Its client goes on
//! as process number + count of clients, as in Jepsen.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hdrhistogram::Histogram;
use schism_checker::history::{
    ClaimEvent, ClockEvent, Event, EventType, F, FaultEvent, FaultStage, Phase, PhaseEvent, ProbeEvent, Process,
    RecoveryEvent, Value,
};
use schism_workloads::{
    Op,
    generator::{Context, Free, Generator, Step},
};
use tokio::{sync::mpsc, time::sleep_until};

use crate::safety::Watchdog;

use super::{
    clock::Clock,
    progress::Progress,
    recorder::{Entry, Recorder},
    worker::Finished,
};

/// Clients go on for at least this long after healing, so that the last fault's recovery time can be seen at all.
const AFTER_HEAL_NS_MIN: u64 = 2_000_000_000;

/// How often the progress line and the phases are looked at when nothing else happens.
const TICK_NS: u64 = 50_000_000;

/// Beyond the longest possible operation; a worker that has not answered by then never will.
const DRAIN_SLACK: Duration = Duration::from_secs(10);

/// What goes on beside the clients.
#[derive(Debug)]
pub(crate) enum Side {
    /// A stage of a fault.
    Fault(FaultEvent),
    /// A node's claim changed.
    Claim(ClaimEvent),
    /// What a node took the time for.
    Clock(ClockEvent),
    /// Every fault is healed; nothing more will be injected.
    Healed,
    /// The wait for recovery is over.
    Recovery(RecoveryEvent),
    /// Ctrl-C or a signal.
    Interrupt(String),
    /// The faults must end early: a probe of the steady state that did not hold at the beginning.
    Abort(String),
    /// Something that a reader of the result must know and that changes no verdict.
    Warning(String),
    /// What a probe of the steady state found.
    Probe(ProbeEvent),
    /// The experiment's method begins.
    MethodBegins,
    /// The experiment is over, with its rollbacks.
    ExperimentOver,
    /// Something of ours failed.
    HarnessError(String),
}

/// The world around the clients, as the loop commands it. Answers come as [`Side`] events.
pub(crate) trait Surroundings {
    /// Begin the fault schedule and the monitor.
    fn begin(&mut self, clock: Clock);
    /// Let the schedule's last fault end, or, interrupted or aborted, stop injecting and heal everything at once;
    /// answered by [`Side::Healed`].
    fn heal(&mut self, ending: Ending);
    /// Wait for the cluster to recover; answered by [`Side::Recovery`].
    fn await_recovery(&mut self);
    /// The claims as they stand, once, to end the record.
    fn stop_monitor(&mut self) -> Vec<ClaimEvent>;
}

/// Why the faults end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Their time is over.
    Planned,
    /// By a threshold, or a limit of time.
    Aborted,
    /// By Ctrl-C or a signal.
    Interrupted,
}

/// When the first fault may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultsBegin {
    /// There are none.
    Never,
    /// At this time.
    At(u64),
    /// When an experiment's method begins, and they are over when it is.
    WithMethod,
}

/// Lengths of the phases.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) faults_begin: FaultsBegin,
    /// Time until the last healing; with an experiment, at the latest.
    pub(crate) duration_ns: u64,
    /// Longest time that an operation may take.
    pub(crate) op_timeout: Duration,
}

/// How the loop ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// Why it was interrupted.
    pub(crate) interrupted: Option<String>,
    /// Why its faults ended early.
    pub(crate) aborted: Option<String>,
    /// What a reader of the result must know.
    pub(crate) warnings: Vec<String>,
    /// What of ours failed.
    pub(crate) harness_errors: Vec<String>,
    /// Why the history could not be written to its end.
    pub(crate) write_error: Option<String>,
}

/// What the final reads need to know of the run: operations invoked by each client.
pub(crate) type FinalReads = dyn FnOnce(&[u64]) -> Box<dyn Generator>;

/// The loop's state.
pub(crate) struct Interpreter<'a, S> {
    pub(crate) clock: Clock,
    pub(crate) timing: Timing,
    pub(crate) recorder: &'a mut Recorder,
    pub(crate) surroundings: &'a mut S,
    pub(crate) workers: Vec<mpsc::Sender<Op>>,
    pub(crate) finished: mpsc::UnboundedReceiver<Finished>,
    pub(crate) side: mpsc::UnboundedReceiver<Side>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) watchdog: Watchdog,
}

/// Everything that changes while the loop runs.
struct State {
    generator: Option<Box<dyn Generator>>,
    /// An operation that the generator gave for a later time.
    waiting: Option<(Op, u64)>,
    /// When the generator wants to be asked again.
    ask_at_ns: Option<u64>,
    free: Free,
    process_of: Vec<u32>,
    invoked: Vec<u64>,
    invoked_at_ns: Vec<u64>,
    in_flight: u32,
    phase: Phase,
    /// Set once healing is over.
    healed_ns: Option<u64>,
    method_began: bool,
    experiment_over: bool,
    recovery: Option<RecoveryEvent>,
    drain_until_ns: Option<u64>,
    faults_in_force: BTreeMap<u32, String>,
    latencies_us: Histogram<u32>,
    ended: Ended,
}

impl<S: Surroundings> Interpreter<'_, S> {
    /// Runs all phases from steady to done.
    pub(crate) async fn run(mut self, main: Box<dyn Generator>, final_reads: Box<FinalReads>) -> anyhow::Result<Ended> {
        let clients = self.workers.len() as u32;
        let mut state = State {
            generator: Some(main),
            waiting: None,
            ask_at_ns: None,
            free: Free::all(clients),
            process_of: (0..clients).collect(),
            invoked: vec![0; clients as usize],
            invoked_at_ns: vec![0; clients as usize],
            in_flight: 0,
            phase: Phase::Steady,
            healed_ns: None,
            method_began: false,
            experiment_over: false,
            recovery: None,
            drain_until_ns: None,
            faults_in_force: BTreeMap::new(),
            latencies_us: Histogram::new_with_bounds(1, 60_000_000, 2)?,
            ended: Ended::default(),
        };
        let mut final_reads = Some(final_reads);
        self.surroundings.begin(self.clock);
        self.enter(&mut state, Phase::Steady, "");
        loop {
            while let Ok(finished) = self.finished.try_recv() {
                self.complete(&mut state, finished);
            }
            while let Ok(event) = self.side.try_recv() {
                self.observe(&mut state, event);
            }
            self.advance(&mut state, &mut final_reads);
            if state.phase == Phase::Done {
                break;
            }
            self.invoke_all(&mut state);
            self.wait(&mut state).await;
        }
        for claim in self.surroundings.stop_monitor() {
            self.record_side(Process::Monitor, "claim", &claim);
        }
        Ok(state.ended)
    }

    /// Sleeps until something can have changed.
    async fn wait(&mut self, state: &mut State) {
        let now = self.clock.now_ns();
        let wake_at = [state.waiting.as_ref().map(|(_, time_ns)| *time_ns), state.ask_at_ns]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(u64::MAX)
            .min(now + TICK_NS);
        tokio::select! {
            biased;
            Some(finished) = self.finished.recv() => self.complete(state, finished),
            Some(event) = self.side.recv() => self.observe(state, event),
            () = sleep_until(self.clock.instant(wake_at)) => {}
        }
    }

    /// Moves to the next phase when its time has come.
    fn advance(&mut self, state: &mut State, final_reads: &mut Option<Box<FinalReads>>) {
        let now = self.clock.now_ns();
        self.report_progress(state, now);
        if state.ended.write_error.is_none()
            && let Some(error) = self.recorder.failure()
        {
            state.ended.interrupted.get_or_insert_with(|| "the history could not be written".to_owned());
            state.ended.write_error = Some(error);
        }
        let interrupted = state.ended.interrupted.is_some();
        if matches!(state.phase, Phase::Steady | Phase::Faults) && state.ended.aborted.is_none() {
            self.watchdog.free(now, state.free.len() as u32);
            state.ended.aborted = self.watchdog.crossed(now);
        }
        let with_experiment = self.timing.faults_begin == FaultsBegin::WithMethod;
        let time_is_up = now >= self.timing.duration_ns;
        if time_is_up && with_experiment && !state.experiment_over && state.phase <= Phase::Faults {
            let limit_s = self.timing.duration_ns as f64 / 1e9;
            state.ended.aborted.get_or_insert_with(|| format!("the experiment was not over after {limit_s} s"));
        }
        let aborted = state.ended.aborted.clone();
        match state.phase {
            Phase::Steady | Phase::Faults
                if interrupted || aborted.is_some() || time_is_up || state.experiment_over =>
            {
                self.surroundings.heal(match (interrupted, &aborted) {
                    (true, _) => Ending::Interrupted,
                    (false, Some(_)) => Ending::Aborted,
                    (false, None) => Ending::Planned,
                });
                self.enter(state, Phase::Heal, aborted.as_deref().unwrap_or_default());
            }
            Phase::Steady if self.faults_begin(state, now) => {
                self.enter(state, Phase::Faults, "");
            }
            // An experiment that is ended early has its rollbacks to do.
            Phase::Heal if with_experiment && !state.experiment_over => {}
            Phase::Heal if state.healed_ns.is_some() => {
                self.enter(state, Phase::Recovery, "");
                if !interrupted {
                    self.surroundings.await_recovery();
                }
            }
            Phase::Recovery if interrupted || self.observed_recovery(state, now) => self.drain(state, now, final_reads),
            Phase::FinalReads if interrupted || (state.generator.is_none() && state.waiting.is_none()) => {
                state.generator = None;
                state.waiting = None;
                if state.in_flight == 0 || self.drained_too_long(state, now) {
                    self.finish(state);
                }
            }
            _ => {}
        }
    }

    fn faults_begin(&self, state: &State, now: u64) -> bool {
        match self.timing.faults_begin {
            FaultsBegin::Never => false,
            FaultsBegin::At(at_ns) => now >= at_ns,
            FaultsBegin::WithMethod => state.method_began,
        }
    }

    fn observed_recovery(&self, state: &State, now: u64) -> bool {
        let long_enough = state.healed_ns.is_some_and(|healed_ns| now >= healed_ns + AFTER_HEAL_NS_MIN)
            || self.timing.faults_begin == FaultsBegin::Never;
        state.recovery.is_some() && long_enough
    }

    /// Lets running operations end, then begins the final reads (or, interrupted, nothing).
    fn drain(&mut self, state: &mut State, now: u64, final_reads: &mut Option<Box<FinalReads>>) {
        state.generator = None;
        state.waiting = None;
        if state.in_flight > 0 && !self.drained_too_long(state, now) {
            return;
        }
        state.drain_until_ns = None;
        if state.ended.interrupted.is_some() {
            self.finish(state);
        } else if let Some(final_reads) = final_reads.take() {
            self.enter(state, Phase::FinalReads, "");
            state.generator = Some(final_reads(&state.invoked));
        }
    }

    /// Whether operations have been running for longer than any can; workers enforce the limit themselves, so this
    /// is a failure of ours.
    fn drained_too_long(&self, state: &mut State, now: u64) -> bool {
        let limit = (self.timing.op_timeout * super::worker::FINAL_READ_TIMEOUT_FACTOR + DRAIN_SLACK).as_nanos() as u64;
        let until = *state.drain_until_ns.get_or_insert(now + limit);
        if now >= until && state.in_flight > 0 {
            let message = format!("{} operations never came back from their workers", state.in_flight);
            state.ended.harness_errors.push(message);
            state.in_flight = 0;
        }
        now >= until
    }

    fn finish(&mut self, state: &mut State) {
        if let Some(reason) = state.ended.interrupted.clone() {
            self.enter(state, Phase::Interrupted, &reason);
        }
        self.enter(state, Phase::Done, "");
    }

    fn enter(&mut self, state: &mut State, phase: Phase, detail: &str) {
        state.phase = phase;
        self.record_side(Process::Harness, "phase", &PhaseEvent { phase, detail: detail.to_owned() });
    }

    /// Invokes operations until the generator has none for now.
    fn invoke_all(&mut self, state: &mut State) {
        state.ask_at_ns = None;
        loop {
            let now = self.clock.now_ns();
            if let Some((op, time_ns)) = state.waiting.take() {
                if time_ns > now {
                    state.waiting = Some((op, time_ns));
                    return;
                }
                self.invoke(state, op, now);
            }
            let Some(generator) = state.generator.take() else { return };
            let context = Context {
                time_ns: now,
                clients: self.workers.len() as u32,
                free: &state.free,
                process_of: &state.process_of,
            };
            match generator.next(&context) {
                Step::Op { op, time_ns, next } => {
                    state.generator = Some(next);
                    state.waiting = Some((op, time_ns));
                }
                Step::Pending { until_ns, next } => {
                    state.generator = Some(next);
                    state.ask_at_ns = until_ns;
                    return;
                }
                Step::Done => return,
            }
        }
    }

    fn invoke(&mut self, state: &mut State, op: Op, now: u64) {
        let client = op.client;
        state.free.take(client);
        state.in_flight += 1;
        state.invoked[client as usize] += 1;
        state.invoked_at_ns[client as usize] = now;
        let event = self.recorder.write(Entry {
            time_ns: now,
            process: Process::Client(state.process_of[client as usize]),
            kind: EventType::Invoke,
            f: op.f.clone(),
            value: op.value.clone(),
            error: None,
            node: None,
            is_final: op.is_final,
        });
        Self::update(state, self.workers.len() as u32, now, &event);
        self.recorder.keep(event);
        if self.workers[client as usize].try_send(op).is_err() {
            // A free worker waits for its next operation; a closed or full channel means that its task is gone.
            state.ended.harness_errors.push(format!("the worker of client {client} is gone"));
            state.ended.interrupted.get_or_insert_with(|| "a worker died".to_owned());
            state.in_flight -= 1;
        }
    }

    fn complete(&mut self, state: &mut State, finished: Finished) {
        let now = self.clock.now_ns();
        let Finished { client, op, node, completion, panic } = finished;
        let slot = client as usize;
        let process = state.process_of[slot];
        if let Some(text) = panic {
            state.ended.harness_errors.push(format!("the worker of client {client} panicked: {text}"));
        }
        let event = self.recorder.write(Entry {
            time_ns: now,
            process: Process::Client(process),
            kind: completion.kind,
            f: op.f,
            value: completion.value.unwrap_or(op.value),
            error: completion.error,
            node: Some(node),
            is_final: op.is_final,
        });
        state.in_flight = state.in_flight.saturating_sub(1);
        state.free.put(client);
        self.progress.count(completion.kind);
        let latency_ns = now - state.invoked_at_ns[slot];
        if completion.kind == EventType::Ok {
            state.latencies_us.saturating_record(latency_ns / 1_000);
        }
        self.watchdog.ended(now, completion.kind, event.error.as_ref(), Duration::from_nanos(latency_ns));
        Self::update(state, self.workers.len() as u32, now, &event);
        self.recorder.keep(event);
        if completion.kind == EventType::Info {
            state.process_of[slot] = process + self.workers.len() as u32;
        }
    }

    fn update(state: &mut State, clients: u32, now: u64, event: &Event) {
        if let Some(generator) = state.generator.take() {
            let context = Context { time_ns: now, clients, free: &state.free, process_of: &state.process_of };
            state.generator = Some(generator.update(&context, event));
        }
    }

    fn observe(&mut self, state: &mut State, side: Side) {
        match side {
            Side::Fault(fault) => {
                match fault.stage {
                    FaultStage::Injected => {
                        state.faults_in_force.insert(fault.id, format!("{} {}", fault.kind, fault.victims.join(",")));
                    }
                    FaultStage::Healed => {
                        state.faults_in_force.remove(&fault.id);
                    }
                    FaultStage::Failed => {
                        state
                            .ended
                            .harness_errors
                            .push(format!("fault {} ({}): {}", fault.id, fault.kind, fault.detail));
                    }
                    FaultStage::Inject | FaultStage::Heal | FaultStage::Skipped => {}
                }
                self.record_side(Process::Nemesis, &fault.kind.clone(), &fault);
            }
            Side::Claim(claim) => self.record_side(Process::Monitor, "claim", &claim),
            Side::Clock(sample) => self.record_side(Process::Monitor, "clock", &sample),
            Side::Healed => state.healed_ns = Some(self.clock.now_ns()),
            Side::Recovery(recovery) => {
                self.record_side(Process::Harness, "recovery", &recovery);
                state.recovery = Some(recovery);
            }
            Side::Interrupt(reason) => {
                state.ended.interrupted.get_or_insert(reason);
                if state.phase == Phase::Heal {
                    self.surroundings.heal(Ending::Interrupted);
                }
            }
            // Later there is no fault left that could be ended.
            Side::Abort(reason) if state.phase <= Phase::Faults => {
                state.ended.aborted.get_or_insert(reason);
            }
            Side::Abort(_) => {}
            Side::Warning(warning) => state.ended.warnings.push(warning),
            Side::MethodBegins => state.method_began = true,
            Side::ExperimentOver => {
                state.experiment_over = true;
                // Whatever the experiment did itself is over no earlier than it.
                state.healed_ns = state.healed_ns.map(|_| self.clock.now_ns());
            }
            Side::Probe(probe) => self.record_side(Process::Harness, "probe", &probe),
            Side::HarnessError(error) => state.ended.harness_errors.push(error),
        }
    }

    fn record_side(&mut self, process: Process, f: &str, value: &impl serde::Serialize) {
        let value = serde_json::to_value(value).unwrap_or_default();
        let event = self.recorder.write(Entry {
            time_ns: self.clock.now_ns(),
            process,
            kind: EventType::Info,
            f: F::from_name(f),
            value: Value::Other(Box::new(value)),
            error: None,
            node: None,
            is_final: false,
        });
        self.recorder.keep(event);
    }

    fn report_progress(&self, state: &mut State, now: u64) {
        if !self.progress.is_due(now) {
            return;
        }
        let p99_ms = state.latencies_us.value_at_quantile(0.99) as f64 / 1_000.0;
        state.latencies_us.reset();
        let faults = state.faults_in_force.values().cloned().collect::<Vec<_>>().join(" + ");
        self.progress.show(now, state.phase, &faults, p99_ms, self.timing.duration_ns.saturating_sub(now));
    }
}

//! Carries out a schedule: resolve, write to the ledger, inject, verify, wait, undo, verify.
//!
//! One task does everything in order of time, so that no two actions on the cluster mix. An action that takes long
//! (a promotion, a rejoin) delays what comes after it; the moments at which things really happened are in the events.

mod failover;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use schism_cluster::{ClaimedRole, DiskStep, Step};
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    Entry, Fault, Healer, Kind, Ledger, Limits, Measured, NemesisEvent, NemesisStage, Schedule, Signals, Target, When,
    condition::{Present, Run, Watch},
    expect,
    expect::Seen,
    fabric::{Fabric, FabricError},
    injection::{Injection, Scene},
    ledger::Record,
    limits::Hurt,
    overlap::{Undo, expect_beside, renewals, renewals_once_serving, starts, undo_beside, withholds},
    process,
    target::{self, NodeClaim, Role},
};

/// How long a target may be missing (no primary during an election) before the fault counts as not injectable.
const TARGET_PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks for it.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Between two looks whether what a fault waits for has happened.
const LOOK_EVERY_MS: u64 = 50;
/// A step gives up by itself after about ten seconds.
const STEP_LIMIT: Duration = Duration::from_secs(15);
/// Promotion takes a second or two; a hanging one must not keep other faults from being healed.
const FAILOVER_LIMIT: Duration = Duration::from_secs(60);
/// A rejoin may copy the whole database.
const REJOIN_LIMIT: Duration = Duration::from_secs(120);
/// How often an undo that failed is tried again, and after how long.
const HEAL_ATTEMPTS: u32 = 3;
const HEAL_AGAIN: Duration = Duration::from_secs(1);
/// No further attempt after this: one that waited in vain for a database to answer has waited long enough.
const HEAL_PATIENCE: Duration = Duration::from_secs(20);
/// Time-to-live beyond the planned duration: verification, another fault's slow undo and a loaded machine delay an
/// undo by seconds, and the guardian must not take a busy nemesis for a dead one.
const TTL_MARGIN_MS: u64 = 60_000;

/// Runs a schedule on a cluster.
///
/// It emits a [`NemesisEvent`] at every stage of every fault. Whatever fails, and also when it is cancelled, it ends
/// with [`Nemesis::heal_all`].
#[derive(Debug)]
pub struct Nemesis<F> {
    fabric: Arc<F>,
    schedule: Schedule,
    ledger: Arc<Ledger>,
    events: UnboundedSender<NemesisEvent>,
    start: Instant,
    cancel: watch::Receiver<bool>,
    /// Faults in force, or perhaps in force: from before their intent is written until their undo is verified.
    open: BTreeMap<u32, OpenFault>,
    /// Faults that wait for something to happen.
    armed: BTreeMap<u32, Watch>,
    limits: Limits,
    run: Run,
    skipped: usize,
    failures: Vec<Failure>,
    interrupted: bool,
}

/// A fault in force.
#[derive(Debug)]
struct OpenFault {
    entry: Entry,
    /// When it began, as planned, or when what it waited for happened; in milliseconds since the run started.
    begin_ms: u64,
    injection: Injection,
    ttl_ms: u64,
    intent_uptime_ms: u64,
    /// A deposed primary that has to rejoin when the fault ends.
    rejoin: Option<String>,
    /// Pulses that took hold.
    pulses_done: usize,
    /// What was measured of them.
    pulses_measured: Vec<Measured>,
    /// Healing it has failed already; said once.
    said_unhealed: bool,
}

/// A fault that could not be injected, verified or healed: a failure of the harness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The fault's position in the schedule.
    pub id: u32,
    /// What happened.
    pub problem: String,
}

/// How a schedule went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Faults that were injected and verified.
    pub injected: usize,
    /// Faults that were not injected, by the limits or because what they waited for did not happen.
    pub skipped: usize,
    /// Cancelled before the last fault was over.
    pub interrupted: bool,
    /// Faults that could not be injected, verified or healed. Not empty: the run says nothing about the database.
    pub failures: Vec<Failure>,
}

/// Why a fault is not in force as planned.
enum Stop {
    /// It failed.
    Failed(String),
    /// The run was cancelled in its middle: nobody's failure.
    Cancelled,
}

impl From<String> for Stop {
    fn from(problem: String) -> Self {
        Self::Failed(problem)
    }
}

/// A fault that took hold.
struct InForce {
    detail: String,
    seen: Seen,
    effective_ns: u64,
}

/// What is to be done when, to which fault.
type Agenda = BTreeSet<(u64, Action, u32)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// First: at the same moment one fault ends before another begins.
    Heal,
    Inject,
    /// Waits for what the fault waits for, from now on.
    Arm,
    /// The fault's next pulse, by its position.
    Pulse(usize),
}

impl<F: Fabric> Nemesis<F> {
    /// A nemesis for a run that started (or starts) at `start`. `cancel` turns true, or its sender is dropped, when
    /// the run is to end early.
    ///
    /// # Errors
    /// The cluster cannot be written into the ledger, so that nobody else could undo anything.
    pub fn new(
        fabric: Arc<F>,
        schedule: Schedule,
        ledger: Arc<Ledger>,
        events: UnboundedSender<NemesisEvent>,
        start: Instant,
        cancel: watch::Receiver<bool>,
    ) -> io::Result<Self> {
        ledger.cluster(fabric.info())?;
        Ok(Self {
            fabric,
            schedule,
            ledger,
            events,
            start,
            cancel,
            open: BTreeMap::new(),
            armed: BTreeMap::new(),
            limits: Limits::default(),
            run: Run::default(),
            skipped: 0,
            failures: Vec::new(),
            interrupted: false,
        })
    }

    /// With limits to what may be hurt at once; without this there are none.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With the number of operations that have ended ok, for faults that wait for it; without this it stays 0.
    #[must_use]
    pub fn with_ops(mut self, ok: Arc<AtomicU64>) -> Self {
        self.run.ops_ok = ok;
        self
    }

    /// With somebody who asks for the faults that wait for a signal; without this nobody does.
    #[must_use]
    pub fn with_signals(mut self, signals: Arc<Signals>) -> Self {
        self.run.signals = signals;
        self
    }

    /// Carries out the schedule; returns when every fault is over and healed, or when cancelled, healed. Should its
    /// future be dropped instead, call [`Nemesis::heal_all`].
    pub async fn run(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
        let entries = self.schedule.entries().to_vec();
        let begin = |entry: &Entry| if entry.when.is_some() { Action::Arm } else { Action::Inject };
        let mut todo: Agenda = entries.iter().map(|entry| (entry.at_ms, begin(entry), entry.id)).collect();
        while let Some(due_ms) = self.next_due_ms(&todo) {
            if !self.wait_until(due_ms).await {
                break;
            }
            self.look_at_armed(&entries, &mut todo).await;
            if todo.first().is_none_or(|&(at_ms, ..)| at_ms > due_ms) {
                continue;
            }
            let Some((at_ms, action, id)) = todo.pop_first() else { continue };
            match action {
                Action::Heal => self.heal(id).await,
                Action::Arm => self.arm(&entries[id as usize]),
                Action::Inject => {
                    let entry = &entries[id as usize];
                    if self.inject(entry, at_ms).await {
                        outcome.injected += 1;
                        // As planned, so that a fault that took its time to inject does not run into the next one.
                        todo.insert((at_ms.saturating_add(entry.for_ms), Action::Heal, id));
                        todo.extend(self.pulse_at(id, 0).map(|at_ms| (at_ms, Action::Pulse(0), id)));
                    }
                }
                Action::Pulse(number) => {
                    self.pulse(id, number).await;
                    todo.extend(self.pulse_at(id, number + 1).map(|at_ms| (at_ms, Action::Pulse(number + 1), id)));
                }
            }
        }
        self.armed.clear();
        self.heal_all().await;
        outcome.interrupted = self.interrupted;
        outcome.skipped = self.skipped;
        outcome.failures.clone_from(&self.failures);
        outcome
    }

    /// When there is something to do next; `None` when there is nothing any more.
    fn next_due_ms(&self, todo: &Agenda) -> Option<u64> {
        let planned = todo.first().map(|&(at_ms, ..)| at_ms);
        let look = (!self.armed.is_empty()).then(|| self.now_ns() / 1_000_000 + LOOK_EVERY_MS);
        planned.into_iter().chain(look).min()
    }

    /// From now on it is looked whether what this fault waits for has happened.
    fn arm(&mut self, entry: &Entry) {
        let Some(when) = &entry.when else { return };
        match Watch::begin(&when.condition, &self.fabric.info(), &self.run) {
            Ok(watch) => drop(self.armed.insert(entry.id, watch)),
            Err(problem) => self.fail(entry, vec![], problem),
        }
    }

    /// Puts armed faults whose time has come on the agenda, and gives up those that have waited long enough.
    async fn look_at_armed(&mut self, entries: &[Entry], todo: &mut Agenda) {
        if self.armed.is_empty() {
            return;
        }
        let mut present = Present { primaries: BTreeSet::new() };
        if self.armed.values().any(Watch::needs_claims) {
            let claims = self.claims(&Target::Primary).await;
            let primaries = claims.into_iter().filter(|claim| claim.role == Role::Primary);
            present.primaries = primaries.map(|claim| claim.node).collect();
        }
        let now_ms = self.now_ns() / 1_000_000;
        let mut over = Vec::new();
        for (&id, watch) in &mut self.armed {
            let Some(When { condition, until_ms }) = &entries[id as usize].when else { continue };
            if watch.look(&present).is_some() {
                todo.insert((now_ms, Action::Inject, id));
                over.push((id, None));
            } else if watch.is_hopeless() {
                over.push((id, Some(format!("{}: it ended without", condition.text()))));
            } else if now_ms > *until_ms {
                over.push((id, Some(format!("{}: that did not happen until {until_ms} ms", condition.text()))));
            }
        }
        for (id, given_up) in over {
            self.armed.remove(&id);
            if let Some(why) = given_up {
                self.skip(&entries[id as usize], vec![], why);
            }
        }
    }

    /// Undoes and verifies every fault in force. Does nothing when there is none; may be called again.
    pub async fn heal_all(&mut self) {
        self.lift_all().await;
        // A rejoin needs the network that an older or younger partition may have cut: those last.
        let mut ids: Vec<(bool, u32)> = self.open.iter().map(|(&id, open)| (open.rejoin.is_some(), id)).collect();
        ids.sort_unstable();
        for (_, id) in ids {
            self.heal(id).await;
        }
    }

    /// Of several faults in force, what undoes each of them, before anything is looked at: the last of them must not wait
    /// until a database that the first has hurt answers again. What fails here fails again, and is told, when each is
    /// healed: undoing is idempotent.
    async fn lift_all(&self) {
        if self.open.len() < 2 {
            return;
        }
        for step in self.open.values().flat_map(|open| &open.injection.undo) {
            let _ = bounded(STEP_LIMIT, self.fabric.run(step.clone())).await;
        }
    }

    /// What failed so far; for a run whose future was dropped, [`Outcome::failures`] otherwise.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Faults in force, or perhaps in force.
    #[must_use]
    pub fn in_force(&self) -> Vec<u32> {
        self.open.keys().copied().collect()
    }

    /// False when cancelled.
    async fn wait_until(&mut self, at_ms: u64) -> bool {
        let until = self.start + Duration::from_millis(at_ms);
        self.unless_cancelled(sleep_until(until)).await.is_some()
    }

    /// `None` when cancelled. A dropped sender counts: whoever could have cancelled is gone.
    async fn unless_cancelled<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let result = tokio::select! {
            biased;
            _ = self.cancel.wait_for(|cancelled| *cancelled) => None,
            result = future => Some(result),
        };
        self.interrupted |= result.is_none();
        result
    }

    /// True when the fault is in force.
    async fn inject(&mut self, entry: &Entry, begin_ms: u64) -> bool {
        let chosen = match self.resolve(entry).await {
            Ok(chosen) => chosen,
            Err(Stop::Cancelled) => return false,
            Err(Stop::Failed(problem)) => {
                self.fail(entry, vec![], problem);
                return false;
            }
        };
        let primary = if entry.fault.wants_primary() { self.present_primary().await } else { None };
        let injection = entry.fault.inject(&Scene {
            target: &entry.target,
            chosen: &chosen,
            nodes: self.fabric.node_names(),
            primary: primary.as_deref(),
            draw: entry.draw,
            id: entry.id,
            for_ms: entry.for_ms,
        });
        let victims = injection.victims.clone();
        if let Some(why) = self.beyond_limits(entry, &victims) {
            self.skip(entry, victims, why);
            return false;
        }
        if let Err(error) = self.open(entry, begin_ms, injection).await {
            // Not written, so not done.
            self.open.remove(&entry.id);
            self.fail(entry, victims, format!("not injected, because the ledger cannot be written: {error}"));
            return false;
        }
        let detail = self.open.get(&entry.id).map(|open| open.injection.detail.clone()).unwrap_or_default();
        self.tell(entry, NemesisStage::Inject, victims.clone(), Told { detail, ..Told::default() });
        let result = match entry.fault {
            Fault::Failover(plan) => self.fail_over(entry, plan, &victims[0]).await,
            _ => self.take_hold(entry.id).await,
        };
        match result {
            Ok(InForce { detail, seen, effective_ns }) => {
                let told = Told { detail, seen, effective_ns: Some(effective_ns) };
                self.tell(entry, NemesisStage::Injected, victims, told);
                true
            }
            Err(stop) => {
                if let Stop::Failed(problem) = stop {
                    self.fail(entry, victims, problem);
                }
                self.heal(entry.id).await;
                false
            }
        }
    }

    fn beyond_limits(&self, entry: &Entry, victims: &[String]) -> Option<String> {
        let hurt = |fault: &Fault, victims| Hurt { victims, alone: fault.kind() == Kind::Failover };
        let in_force: Vec<Hurt<'_>> =
            self.open.values().map(|open| hurt(&open.entry.fault, open.injection.victims.as_slice())).collect();
        self.limits.refuse(self.fabric.node_names().len(), &in_force, hurt(&entry.fault, victims))
    }

    /// The victims; waits for a role that nobody claims just now.
    async fn resolve(&mut self, entry: &Entry) -> Result<Vec<String>, Stop> {
        let begin = Instant::now();
        loop {
            let claims = self.claims(&entry.target).await;
            let missing = match target::resolve(&entry.target, &claims, entry.draw) {
                Ok(chosen) if chosen.is_empty() => return Err(format!("no node here is a {}", entry.target).into()),
                Ok(chosen) => return Ok(chosen),
                Err(missing) => missing,
            };
            if begin.elapsed() >= TARGET_PATIENCE {
                let waited = TARGET_PATIENCE.as_secs();
                return Err(format!("no victim for {}: {missing}, for {waited} s", entry.target).into());
            }
            self.unless_cancelled(sleep(ASK_AGAIN)).await.ok_or(Stop::Cancelled)?;
        }
    }

    /// Who claims to be primary just now.
    async fn present_primary(&self) -> Option<String> {
        let claims = self.claims(&Target::Primary).await;
        target::resolve(&Target::Primary, &claims, 0).ok()?.pop()
    }

    /// Every node's claim in node order; only the names when the target does not depend on what they say.
    async fn claims(&self, target: &Target) -> Vec<NodeClaim> {
        let asked = matches!(target, Target::Primary | Target::Replica);
        let mut asking = JoinSet::new();
        for (order, node) in self.fabric.node_names().iter().cloned().enumerate() {
            let fabric = Arc::clone(&self.fabric);
            asking.spawn(async move {
                let (role, term) = if asked {
                    let claim = fabric.claim(&node).await;
                    (claim.role, claim.term)
                } else {
                    (ClaimedRole::Neither, None)
                };
                let role = match role {
                    ClaimedRole::Primary => Role::Primary,
                    ClaimedRole::Replica => Role::Replica,
                    ClaimedRole::Neither | ClaimedRole::Unreachable => Role::Other,
                };
                (order, NodeClaim { node, role, term })
            });
        }
        let mut claims = asking.join_all().await;
        claims.sort_by_key(|&(order, _)| order);
        claims.into_iter().map(|(_, claim)| claim).collect()
    }

    /// Notes the fault as perhaps in force, here and in the ledger.
    async fn open(&mut self, entry: &Entry, begin_ms: u64, injection: Injection) -> io::Result<()> {
        let cut_for_ms = if let Fault::Failover(plan) = entry.fault { plan.cut_for_ms } else { 0 };
        let ttl_ms = entry.for_ms.saturating_add(cut_for_ms).saturating_add(TTL_MARGIN_MS);
        let intent_uptime_ms = process::uptime_ms()?;
        let entry = entry.clone();
        let id = entry.id;
        self.open.insert(
            id,
            OpenFault {
                entry,
                begin_ms,
                injection,
                ttl_ms,
                intent_uptime_ms,
                rejoin: None,
                pulses_done: 0,
                pulses_measured: vec![],
                said_unhealed: false,
            },
        );
        self.write_intent(id).await
    }

    /// Writes (again) what is to be undone of a fault.
    async fn write_intent(&self, id: u32) -> io::Result<()> {
        let Some(open) = self.open.get(&id) else { return Ok(()) };
        let intent = Record::Intent {
            fault: id,
            kind: open.entry.fault.kind().name().to_owned(),
            steps: open.injection.step_lists().flatten().cloned().collect(),
            undo: open.injection.undo.clone(),
            ttl_ms: open.ttl_ms,
            uptime_ms: open.intent_uptime_ms,
        };
        self.with_ledger(move |ledger| ledger.append(&intent)).await
    }

    /// Syncing takes milliseconds, in which the clients' runtime must go on.
    async fn with_ledger<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Ledger) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let ledger = Arc::clone(&self.ledger);
        tokio::task::spawn_blocking(move || act(&ledger)).await.map_err(io::Error::other)?
    }

    /// Injects by steps and looks whether it bites.
    async fn take_hold(&mut self, id: u32) -> Result<InForce, Stop> {
        let injection = self.injection(id)?;
        let effective_ns = self.run_and_renew(id, &injection.steps).await?;
        self.refuse_late(id)?;
        let expects = expect_beside(&injection.bites, &self.beside(id));
        // Looking only: a run that ends early must not wait until a database that is to answer has had its time.
        let fabric = Arc::clone(&self.fabric);
        let seen = self.unless_cancelled(expect::check(&fabric, &expects)).await.ok_or(Stop::Cancelled)?;
        let seen = seen.map_err(|seen| format!("it does not bite: {seen}"))?;
        let detail = with_notes(vec![injection.detail], self.fabric.take_notes(id).await);
        Ok(InForce { detail, seen, effective_ns })
    }

    /// When the fault has its pulse of this number; `None` when it is over or has no more.
    fn pulse_at(&self, id: u32, number: usize) -> Option<u64> {
        let open = self.open.get(&id)?;
        let after_ms = open.injection.pulses.get(number)?.after_ms;
        let since_ms = if open.injection.chained { self.now_ns() / 1_000_000 } else { open.begin_ms };
        Some(since_ms + after_ms)
    }

    /// One pulse of a fault in force. One that fails is told; the fault goes on and is undone at its end as planned.
    async fn pulse(&mut self, id: u32, number: usize) {
        let Some(open) = self.open.get(&id) else { return };
        let (entry, victims) = (open.entry.clone(), open.injection.victims.clone());
        let Some(pulse) = open.injection.pulses.get(number).cloned() else { return };
        // A pulse that gives back for a while must not give what another fault still wants.
        let steps = undo_beside(&pulse.steps, &self.beside(id)).now;
        let result = match self.run_and_renew(id, &steps).await {
            Ok(_) => {
                let expects = expect_beside(&pulse.bites, &self.beside(id));
                match expect::check(&self.fabric, &expects).await {
                    Ok(seen) => self.renew_once_serving(id, &steps).await.map(|()| seen),
                    Err(problem) => Err(problem),
                }
            }
            Err(problem) => Err(problem),
        };
        match result {
            Ok(seen) => {
                if let Some(open) = self.open.get_mut(&id) {
                    open.pulses_done += 1;
                    open.pulses_measured.extend(seen.measured);
                }
            }
            Err(problem) => self.fail(&entry, victims, format!("{} ms after its beginning: {problem}", pulse.after_ms)),
        }
    }

    fn injection(&self, id: u32) -> Result<Injection, String> {
        self.open.get(&id).map(|open| open.injection.clone()).ok_or_else(|| format!("fault {id} is not open"))
    }

    /// All steps; the moment at which the last returned.
    async fn run_steps(&self, steps: &[Step]) -> Result<u64, String> {
        for step in steps {
            bounded(STEP_LIMIT, self.fabric.run(step.clone())).await?;
        }
        Ok(self.now_ns())
    }

    /// All steps; where they start a node, also what other faults in force have to do to it again.
    async fn run_and_renew(&self, id: u32, steps: &[Step]) -> Result<u64, String> {
        let effective_ns = self.run_steps(steps).await?;
        self.run_steps(&renewals(steps, &self.beside(id))).await?;
        Ok(effective_ns)
    }

    /// What other faults have to do again to nodes that these steps started, and what they could not start with.
    async fn renew_once_serving(&self, id: u32, steps: &[Step]) -> Result<(), String> {
        let again = renewals_once_serving(steps, &self.beside(id));
        for step in again {
            let Step::Limit { node, .. } = &step else { continue };
            expect::check(&self.fabric, &[expect::Expect::Answers { node: node.clone() }]).await?;
            self.run_steps(std::slice::from_ref(&step)).await?;
        }
        Ok(())
    }

    /// Whoever was stopped between writing the intent and acting on it may act after the guardian has undone it: what
    /// it does then would stay.
    fn refuse_late(&self, id: u32) -> Result<(), String> {
        let Some(open) = self.open.get(&id) else { return Ok(()) };
        let elapsed_ms = process::uptime_ms().map_err(|error| error.to_string())?.saturating_sub(open.intent_uptime_ms);
        if elapsed_ms > open.ttl_ms {
            return Err(format!(
                "injected {elapsed_ms} ms after its intent, beyond its time-to-live of {} ms",
                open.ttl_ms
            ));
        }
        Ok(())
    }

    /// What caused the other faults in force.
    fn beside(&self, id: u32) -> Vec<&[Step]> {
        let others = self.open.iter().filter(|&(&other, _)| other != id);
        others.flat_map(|(_, open)| open.injection.step_lists()).collect()
    }

    /// Undoes a fault, verifies that, and says both; tries several times before it says that it failed. The fault
    /// stays open then, here (for [`Nemesis::heal_all`]) and in the ledger (for the guardian).
    async fn heal(&mut self, id: u32) {
        let Some(open) = self.open.get(&id) else { return };
        let (entry, victims) = (open.entry.clone(), open.injection.victims.clone());
        let early = self.healed_by_another(id).await;
        self.tell(&entry, NemesisStage::Heal, victims.clone(), Told::default());
        let (begin, mut attempts) = (Instant::now(), 0);
        let problem = loop {
            attempts += 1;
            match self.lift(id).await {
                Ok(told) => return self.close(&entry, victims, told, early).await,
                Err(problem) if attempts == HEAL_ATTEMPTS || begin.elapsed() > HEAL_PATIENCE => break problem,
                Err(_) => sleep(HEAL_AGAIN).await,
            }
        };
        let said = self.open.get_mut(&id).is_some_and(|open| std::mem::replace(&mut open.said_unhealed, true));
        if !said {
            self.fail(&entry, victims, format!("not healed (attempts: {attempts}): {problem}"));
        }
    }

    /// Who undid it before its time, if somebody did: then it was not in force as planned.
    async fn healed_by_another(&self, id: u32) -> Option<Healer> {
        let state = self.with_ledger(Ledger::read).await.ok()?;
        state.faults.get(&id)?.undone.filter(|&by| by != Healer::Run)
    }

    async fn close(&mut self, entry: &Entry, victims: Vec<String>, told: Told, early: Option<Healer>) {
        let id = entry.id;
        self.open.remove(&id);
        let noted = self.with_ledger(move |ledger| ledger.undone(id, Healer::Run)).await;
        self.tell(entry, NemesisStage::Healed, victims.clone(), told);
        if let Some(by) = early {
            self.fail(entry, victims, format!("undone early, by {by}: it was not in force as planned"));
        } else if let Err(error) = noted {
            self.fail(entry, victims, format!("healed, but the ledger cannot be written: {error}"));
        }
    }

    /// One attempt to undo.
    async fn lift(&mut self, id: u32) -> Result<Told, String> {
        let injection = self.injection(id)?;
        let Undo { now, withheld } = undo_beside(&injection.undo, &self.beside(id));
        // Watching what was started is no part of undoing it: the moment is before.
        let (watching, acting): (Vec<Step>, Vec<Step>) = now.iter().cloned().partition(watches);
        let mut effective_ns = self.run_and_renew(id, &acting).await?;
        self.run_steps(&watching).await?;
        self.hand_over(id, withheld).await?;
        let mut detail = undone(&acting);
        let mut started = acting;
        if !injection.pulses.is_empty() {
            let done = self.open.get(&id).map_or(0, |open| open.pulses_done);
            detail.push(format!("{done} of {} changes made while it was in force", injection.pulses.len()));
        }
        let mut expects = expect_beside(&injection.heals, &self.beside(id));
        if let Some(node) = self.open.get(&id).and_then(|open| open.rejoin.clone()) {
            let how = bounded(REJOIN_LIMIT, self.fabric.rejoin(&node)).await?;
            effective_ns = self.now_ns();
            // It was stopped and started.
            started.push(Step::Start { node: node.clone() });
            self.run_steps(&renewals(&started, &self.beside(id))).await?;
            detail.push(how);
            expects.push(expect::Expect::Follows { node });
        }
        let mut seen = Seen::medians(self.open.get(&id).map_or(&[], |open| &open.pulses_measured));
        seen.and(expect::check(&self.fabric, &expects).await?);
        self.renew_once_serving(id, &started).await?;
        let mut notes = self.fabric.take_notes(id).await;
        for fault in now.iter().filter_map(revived).filter(|&fault| fault != id) {
            notes.extend(self.fabric.take_notes(fault).await);
        }
        let detail = with_notes(detail, notes);
        let detail = if detail.is_empty() { "nothing to undo".to_owned() } else { detail };
        Ok(Told { detail, seen, effective_ns: Some(effective_ns) })
    }

    /// A start that has to wait becomes part of the undo of the fault that keeps the node frozen, or dead.
    async fn hand_over(&mut self, id: u32, withheld: Vec<Step>) -> Result<(), String> {
        for step in withheld {
            let Some(node) = starts(&step) else { continue };
            let mut others = self.open.iter_mut().filter(|(other, _)| **other != id);
            let Some((&holder, open)) =
                others.find(|(_, open)| open.injection.step_lists().any(|steps| withholds(steps, &step, node)))
            else {
                continue;
            };
            if !open.injection.undo.contains(&step) {
                open.injection.undo.push(step);
                self.write_intent(holder).await.map_err(|error| format!("the ledger cannot be written: {error}"))?;
            }
        }
        Ok(())
    }

    fn skip(&mut self, entry: &Entry, victims: Vec<String>, why: String) {
        self.skipped += 1;
        self.tell(entry, NemesisStage::Skipped, victims, Told { detail: why, ..Told::default() });
    }

    fn fail(&mut self, entry: &Entry, victims: Vec<String>, problem: String) {
        self.failures.push(Failure { id: entry.id, problem: problem.clone() });
        self.tell(entry, NemesisStage::Failed, victims, Told { detail: problem, ..Told::default() });
    }

    fn tell(&self, entry: &Entry, stage: NemesisStage, victims: Vec<String>, told: Told) {
        let event = NemesisEvent {
            id: entry.id,
            kind: entry.fault.kind().name().to_owned(),
            stage,
            target: entry.target.name().to_owned(),
            victims,
            detail: told.detail,
            verified: told.seen.text,
            measured: told.seen.measured,
            effective_ns: told.effective_ns,
        };
        // Nobody listens any more when the run is being torn down; healing goes on all the same.
        let _ = self.events.send(event);
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The part of an event that differs from stage to stage.
#[derive(Default)]
struct Told {
    detail: String,
    seen: Seen,
    effective_ns: Option<u64>,
}

async fn bounded<T>(limit: Duration, action: impl Future<Output = Result<T, FabricError>>) -> Result<T, String> {
    match timeout(limit, action).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no end after {} s", limit.as_secs())),
    }
}

const fn watches(step: &Step) -> bool {
    matches!(step, Step::Disk { action: DiskStep::Judge { .. }, .. })
}

/// The fault whose damage a step brings to light.
const fn revived(step: &Step) -> Option<u32> {
    match step {
        Step::Disk { action: DiskStep::Revive { fault }, .. } => Some(*fault),
        _ => None,
    }
}

fn with_notes(mut detail: Vec<String>, notes: Vec<String>) -> String {
    detail.extend(notes);
    detail.join("; ")
}

/// What was done, for people.
fn undone(steps: &[Step]) -> Vec<String> {
    let told = |step: &Step| match step {
        Step::Uncut { pairs } => format!("{} directed pairs reconnected", pairs.len()),
        Step::Thaw { node } => format!("{node} thawed"),
        Step::Start { node } => format!("{node} started"),
        Step::Unshape { .. } => "links whole again".to_owned(),
        Step::ResetClock { node } => format!("{node} told the true time"),
        Step::RenewClock { node } => format!("{node}'s clock set again"),
        Step::Disk { node, action: DiskStep::Repair } => format!("the disk of {node} works"),
        Step::Disk { node, action: DiskStep::Revive { .. } } => format!("{node} started"),
        Step::Disk { node, action: DiskStep::Empty } => format!("the disk of {node} emptied"),
        Step::DiskUnrule { node, .. } => format!("rule on the files of {node} lifted"),
        Step::Unload { node, .. } => format!("the load of {node} ended"),
        Step::Unlimit { node, .. } => format!("{node} has its limit back"),
        other => format!("{other:?}"),
    };
    steps.iter().map(told).collect()
}

#[cfg(test)]
mod tests;

//! A local cluster of real servers: runs inside the sandbox and puts the parts together.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::future::BoxFuture;
use schism_checker::history::{ClaimEvent, FaultEvent, FaultStage, MeasuredStrength, RecoveryEvent};
use schism_cluster::{Cluster, ClusterSpec, Database, DiskKind, RecoveryGoal, TargetName};
use schism_nemesis::{Fault, Ledger, Limits, Measured, Nemesis, NemesisEvent, NemesisStage, Rejoin, Schedule, Signals};
use schism_workloads::{
    client::{
        Connect, Dial,
        postgres::{self, Postgres},
        redis::{self, Redis},
    },
    lock,
};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpStream,
    runtime::Runtime,
    sync::{mpsc, watch},
    task::AbortHandle,
    time::sleep,
};

use crate::{
    plan::{Plan, Target},
    result::RunResult,
    safety::{self, Alarm, Probe, Prober},
};

use super::{
    Job, Parts, Progress,
    clock::Clock,
    clocks, conclude, drive,
    experiment::{Driver, Stories},
    interpreter::{Ending, Side, Surroundings},
    memory::watch_interrupt,
    monitor::Monitor,
    routing::Routing,
    steady_state::SteadyState,
};

/// Between two looks whether the cluster has recovered.
const RECOVERY_POLL: Duration = Duration::from_millis(200);

/// The nemesis, the monitor and the cluster's own work share these, apart from the clients' thread.
const ADMIN_THREADS: usize = 2;

/// What the launcher hands to the controller.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) job: Job,
    pub(crate) run_id: String,
    pub(crate) ledger: PathBuf,
    /// The number of an inherited pipe on which the launcher tells of thresholds, if it watches any.
    pub(crate) alarms: Option<i32>,
}

/// Runs a job inside the sandbox.
pub(crate) fn run_in_sandbox(launch: &Launch, alarms: Option<File>) -> anyhow::Result<RunResult> {
    let started = Instant::now();
    let job = &launch.job;
    let plan = &job.plan;
    let Target::Local(name) = plan.target()? else {
        anyhow::bail!("the memory target needs no sandbox");
    };
    let progress = Arc::new(Progress::new(job.json));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(ADMIN_THREADS).enable_all().build()?;
    let (side_sender, side) = mpsc::unbounded_channel();
    watch_interrupt(side_sender.clone());
    if let Some(alarms) = alarms {
        let side = side_sender.clone();
        // A closed channel: the loop has ended, and with it the need to know.
        safety::listen(alarms, move |alarm| {
            drop(side.send(match alarm {
                Alarm::Crossed(what) => Side::Abort(what),
                Alarm::Warning(what) => Side::Warning(what),
            }));
        });
    }

    progress.say(&format!("starting {name}"));
    let spec = ClusterSpec {
        target: name,
        settings: plan.settings.clone(),
        nodes_dir: job.directory.join("nodes"),
        run_id: launch.run_id.clone(),
        disk: if plan.schedule.needs().disk { DiskKind::EXT4 } else { DiskKind::Memory },
        client_sites: name.nodes(),
        fuse: plan.schedule.needs().fuse,
    };
    let cluster = Arc::new(runtime.block_on(Cluster::start(spec))?);
    let connect = connector(plan, name, &cluster)?;
    let nodes = plan.target()?.nodes();
    runtime.block_on(connect.setup(&nodes[0])).map_err(|error| {
        anyhow::anyhow!("cannot prepare the database for the workload: {}: {}", error.class, error.text)
    })?;

    // As with a database that has been there for a while: only what the run writes can be lost.
    runtime.block_on(cluster.sync_disks())?;

    let routing = Arc::new(Routing::new(nodes, plan.route));
    let stop = watch::Sender::new(None);
    let stories = watch::Sender::new(Stories::default());
    let signals = Arc::new(Signals::default());
    let driver = plan.experiment()?.map(|experiment| {
        let steady = Duration::from_millis(plan.steady_ms);
        let (stories, stop, side) = (stories.subscribe(), stop.subscribe(), side_sender.clone());
        Driver::new(experiment, &cluster, &signals, stories, stop, side, (steady, &job.directory))
    });
    let mut surroundings = LocalSurroundings {
        runtime: &runtime,
        cluster: Arc::clone(&cluster),
        ledger: Arc::new(Ledger::append_to(&launch.ledger).context("cannot write the ledger")?),
        schedule: plan.schedule.clone(),
        limits: plan.limits,
        probes: plan.safety.probes.clone(),
        ops_ok: progress.ok(),
        goal: recovery_goal(&plan.schedule),
        recovery_limit: Duration::from_millis(plan.recovery_limit_ms),
        side: side_sender,
        routing: Arc::clone(&routing),
        cancel: watch::Sender::new(false),
        stop,
        stories: Some(stories),
        signals,
        driver,
        monitor: None,
        clock_watch: Vec::new(),
    };
    let parts = Parts { connect, routing, surroundings: &mut surroundings, side, progress: Arc::clone(&progress) };
    let recorded = drive(job, parts);
    progress.say("stopping the cluster");
    let stopped = runtime.block_on(cluster.shutdown());
    progress.say("checking the history");
    let mut recorded = recorded?;
    if let Err(error) = stopped {
        recorded.ended.harness_errors.push(format!("the cluster did not stop cleanly: {error}"));
    }
    let result = conclude(job, recorded, versions(job, &plan.target()?.nodes()), started.elapsed());
    progress.clear();
    result
}

/// The database's client, with its connections made where the clients sit.
fn connector(plan: &Plan, name: TargetName, cluster: &Arc<Cluster>) -> anyhow::Result<Arc<dyn Connect>> {
    let dial: Arc<dyn Dial> = Arc::new(SiteDial { cluster: Arc::clone(cluster), sites: name.nodes() });
    Ok(match name.database() {
        Database::Postgres => {
            let isolation = match &plan.isolation {
                Some(level) => serde_json::from_value(level.as_str().into())?,
                None => postgres::Isolation::Serializable,
            };
            let tables = postgres::Tables::of_workload(&plan.workload)
                .with_context(|| format!("PostgreSQL has no tables for the workload {}", plan.workload))?;
            let options = postgres::Options { isolation, ..postgres::Options::default() };
            Arc::new(Postgres::new(dial, tables, options))
        }
        Database::Redis => {
            let wait = plan.wait_replicas.map(|replicas| redis::Wait {
                replicas,
                timeout_ms: plan.wait_timeout_ms.map_or(0, |timeout_ms| u32::try_from(timeout_ms).unwrap_or(u32::MAX)),
            });
            let lock = match lock::Kind::of(&plan.workload) {
                Some(kind) => redis::LockOptions {
                    lease_ms: lock::Options::parse(kind, &plan.workload_options)?.lease_ms,
                    is_fenced: kind == lock::Kind::Fenced,
                },
                None => redis::LockOptions::default(),
            };
            Arc::new(Redis::new(dial, redis::Options { wait, lock, ..redis::Options::default() }))
        }
    })
}

/// What each node's server says of its version, as the cluster put it beside the node's logs.
fn versions(job: &Job, nodes: &[Arc<str>]) -> Vec<(String, String)> {
    let version = |node: &Arc<str>| {
        let text = std::fs::read_to_string(job.directory.join("nodes").join(&**node).join("versions.txt")).ok()?;
        Some((node.to_string(), text.lines().next()?.to_owned()))
    };
    nodes.iter().filter_map(version).collect()
}

/// Client slots sit in turn in the client namespaces beside the nodes.
struct SiteDial {
    cluster: Arc<Cluster>,
    sites: u32,
}

impl Dial for SiteDial {
    fn dial<'a>(&'a self, site: u32, node: &'a str, port: u16) -> BoxFuture<'a, io::Result<TcpStream>> {
        Box::pin(self.cluster.dial(site % self.sites, node, port))
    }
}

struct LocalSurroundings<'a> {
    runtime: &'a Runtime,
    cluster: Arc<Cluster>,
    ledger: Arc<Ledger>,
    schedule: Schedule,
    limits: Limits,
    probes: Vec<Probe>,
    ops_ok: Arc<AtomicU64>,
    goal: RecoveryGoal,
    recovery_limit: Duration,
    side: mpsc::UnboundedSender<Side>,
    routing: Arc<Routing>,
    cancel: watch::Sender<bool>,
    /// Why an experiment is to end early.
    stop: watch::Sender<Option<Ending>>,
    /// What becomes of each fault, for the experiment.
    stories: Option<watch::Sender<Stories>>,
    signals: Arc<Signals>,
    driver: Option<Driver>,
    monitor: Option<Arc<Monitor>>,
    clock_watch: Vec<AbortHandle>,
}

impl Surroundings for LocalSurroundings<'_> {
    fn begin(&mut self, clock: Clock) {
        let _in_runtime = self.runtime.enter();
        self.monitor = Some(Monitor::start(&self.cluster, clock, &self.side, &self.routing));
        if clocks::are_set_by(&self.schedule) {
            self.clock_watch = clocks::watch(&self.cluster, clock, &self.side);
        }
        let (events_sender, events) = mpsc::unbounded_channel();
        let nemesis = Nemesis::new(
            Arc::clone(&self.cluster),
            std::mem::take(&mut self.schedule),
            Arc::clone(&self.ledger),
            events_sender,
            clock.instant(0),
            self.cancel.subscribe(),
        );
        match nemesis {
            Ok(nemesis) => {
                let nemesis = nemesis.with_limits(self.limits).with_ops(Arc::clone(&self.ops_ok));
                let mut nemesis = nemesis.with_signals(Arc::clone(&self.signals));
                let driver = self.driver.take();
                let (steady, side, cancel) = (self.steady_state(), self.side.clone(), self.cancel.subscribe());
                tokio::spawn(async move {
                    let holds = steady.holds_before(&side).await;
                    if let Some(driver) = driver {
                        tokio::spawn(driver.run(holds));
                    }
                    if holds {
                        let _watch = steady.watch(side, cancel);
                        // Its events say how each fault went, failures included; it heals before it ends.
                        nemesis.run().await;
                    }
                });
            }
            Err(error) => {
                self.tell(Side::HarnessError(format!("the nemesis cannot start: {error}")));
                self.driver = None;
            }
        }
        tokio::spawn(forward_faults(events, self.stories.take(), self.side.clone()));
    }

    fn heal(&mut self, ending: Ending) {
        // The schedule ends before the clients do, so a nemesis still at work is late with an undo (a rejoin may copy
        // a whole database), and cancelling it would leave that undone.
        if ending != Ending::Planned {
            self.stop.send_replace(Some(ending));
            self.cancel.send_replace(true);
        }
    }

    fn await_recovery(&mut self) {
        let goal = self.goal;
        let (cluster, limit, side) = (Arc::clone(&self.cluster), self.recovery_limit, self.side.clone());
        self.runtime.spawn(await_recovery(cluster, goal, limit, self.steady_state(), side));
    }

    fn stop_monitor(&mut self) -> Vec<ClaimEvent> {
        self.clock_watch.drain(..).for_each(|task| task.abort());
        self.monitor.take().map(|monitor| monitor.stop()).unwrap_or_default()
    }
}

impl LocalSurroundings<'_> {
    fn steady_state(&self) -> SteadyState {
        SteadyState::new(Prober::new(Arc::clone(&self.cluster)), self.probes.clone())
    }

    fn tell(&self, side: Side) {
        // A closed channel: the loop has ended, and with it the need to know.
        let _ = self.side.send(side);
    }
}

/// Passes the nemesis' events on; when there are no more, everything is healed.
async fn forward_faults(
    mut events: mpsc::UnboundedReceiver<NemesisEvent>,
    stories: Option<watch::Sender<Stories>>,
    side: mpsc::UnboundedSender<Side>,
) {
    while let Some(event) = events.recv().await {
        if let Some(stories) = &stories {
            stories.send_modify(|stories| stories.tell(&event));
        }
        if side.send(Side::Fault(fault_event(event))).is_err() {
            return;
        }
    }
    let _ = side.send(Side::Healed);
}

fn fault_event(event: NemesisEvent) -> FaultEvent {
    FaultEvent {
        id: event.id,
        kind: event.kind,
        stage: match event.stage {
            NemesisStage::Inject => FaultStage::Inject,
            NemesisStage::Injected => FaultStage::Injected,
            NemesisStage::Heal => FaultStage::Heal,
            NemesisStage::Healed => FaultStage::Healed,
            NemesisStage::Skipped => FaultStage::Skipped,
            NemesisStage::Failed => FaultStage::Failed,
        },
        target: event.target,
        victims: event.victims,
        detail: event.detail,
        verified: event.verified,
        measured: event.measured.into_iter().map(measured).collect(),
        effective_ns: event.effective_ns,
    }
}

fn measured(strength: Measured) -> MeasuredStrength {
    let Measured { what, asked, got, unit } = strength;
    MeasuredStrength { what, asked, got, unit }
}

/// A schedule that leaves a deposed primary as it is ends with two primaries, by plan: then it is enough that every
/// node answers.
fn recovery_goal(schedule: &Schedule) -> RecoveryGoal {
    let never_rejoins = schedule
        .entries()
        .iter()
        .any(|entry| matches!(entry.fault, Fault::Failover(failover) if failover.rejoin == Rejoin::Never));
    if never_rejoins { RecoveryGoal::AllServing } else { RecoveryGoal::OnePrimary }
}

async fn await_recovery(
    cluster: Arc<Cluster>,
    goal: RecoveryGoal,
    limit: Duration,
    steady: SteadyState,
    side: mpsc::UnboundedSender<Side>,
) {
    let began = Instant::now();
    let missing = loop {
        match cluster.recovered(goal).await {
            Ok(()) => break None,
            Err(missing) if began.elapsed() >= limit => break Some(missing),
            Err(_) => sleep(RECOVERY_POLL).await,
        }
    };
    let waited_ms = began.elapsed().as_millis() as u64;
    steady.ask_after(&side).await;
    let _ = side.send(Side::Recovery(RecoveryEvent {
        recovered: missing.is_none(),
        waited_ms,
        limit_ms: limit.as_millis() as u64,
        missing: missing.unwrap_or_default(),
    }));
}

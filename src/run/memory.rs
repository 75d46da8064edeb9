//! The `memory` target: the same loop over a store in this process. No root, no database, any system.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use schism_checker::history::{ClaimEvent, ClaimedRole, RecoveryEvent};
use schism_seed::Seed;
use schism_workloads::client::memory::Memory;
use tokio::sync::mpsc;

use crate::{plan::memory_settings, result::RunResult};

use super::{
    Job, Parts, Progress,
    clock::Clock,
    conclude, drive,
    interpreter::{Ending, Side, Surroundings},
    routing::Routing,
};

/// How often the store is asked who claims to be primary.
const POLL: Duration = Duration::from_millis(20);

/// Runs a plan on the store in memory.
pub(crate) fn run_memory(job: &Job) -> anyhow::Result<RunResult> {
    let started = Instant::now();
    let (lie, options) = memory_settings(&job.plan)?;
    let memory = Arc::new(Memory::new(&job.plan.workload, lie, Seed::new(job.plan.seed), options)?);
    let nodes = job.plan.target()?.nodes();
    let (side_sender, side) = mpsc::unbounded_channel();
    let mut surroundings = MemorySurroundings {
        memory: Arc::clone(&memory),
        side: side_sender.clone(),
        clock: None,
        stop: Arc::default(),
        monitor: None,
    };
    let stop_watching = watch_interrupt(side_sender);
    let recorded = drive(
        job,
        Parts {
            connect: memory,
            routing: Arc::new(Routing::new(nodes, job.plan.route)),
            surroundings: &mut surroundings,
            side,
            progress: Arc::new(Progress::new(job.json)),
        },
    );
    stop_watching.store(true, Ordering::Relaxed);
    conclude(job, recorded?, Vec::new(), started.elapsed())
}

struct MemorySurroundings {
    memory: Arc<Memory>,
    side: mpsc::UnboundedSender<Side>,
    clock: Option<Clock>,
    stop: Arc<AtomicBool>,
    monitor: Option<std::thread::JoinHandle<()>>,
}

fn claims_of(memory: &Memory, clock: Clock) -> Vec<ClaimEvent> {
    let asked_ns = clock.now_ns();
    let claim = |(node, role): (&str, ClaimedRole)| ClaimEvent { node: node.to_owned(), role, term: None, asked_ns };
    memory.claims().into_iter().map(claim).collect()
}

impl Surroundings for MemorySurroundings {
    fn begin(&mut self, clock: Clock) {
        self.clock = Some(clock);
        let (memory, side, stop) = (Arc::clone(&self.memory), self.side.clone(), Arc::clone(&self.stop));
        self.monitor = Some(std::thread::spawn(move || {
            let mut last = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let claims = claims_of(&memory, clock);
                let roles: Vec<_> = claims.iter().map(|claim| claim.role).collect();
                if roles != last {
                    last = roles;
                    for claim in claims {
                        if side.send(Side::Claim(claim)).is_err() {
                            return;
                        }
                    }
                }
                std::thread::sleep(POLL);
            }
        }));
    }

    fn heal(&mut self, _ending: Ending) {
        // There is nothing to heal; a closed channel means that the loop is gone already.
        let _ = self.side.send(Side::Healed);
    }

    fn await_recovery(&mut self) {
        let recovery = RecoveryEvent { recovered: true, waited_ms: 0, limit_ms: 0, missing: String::new() };
        let _ = self.side.send(Side::Recovery(recovery));
    }

    fn stop_monitor(&mut self) -> Vec<ClaimEvent> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(monitor) = self.monitor.take() {
            let _ = monitor.join();
        }
        self.clock.map(|clock| claims_of(&self.memory, clock)).unwrap_or_default()
    }
}

/// Signals that come within this of each other are one wish: a terminal's Ctrl-C reaches the launcher, which passes it
/// on, and the processes of the sandbox as well.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Turns Ctrl-C, SIGTERM and a terminal that was closed into an interruption; a second one ends the process at once.
pub(super) fn watch_interrupt(side: mpsc::UnboundedSender<Side>) -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let listen = |kind| signal(kind).ok();
            let (Some(mut interrupt), Some(mut terminate), Some(mut hang_up)) =
                (listen(SignalKind::interrupt()), listen(SignalKind::terminate()), listen(SignalKind::hangup()))
            else {
                return;
            };
            let mut first: Option<Instant> = None;
            while !stopped.load(Ordering::Relaxed) {
                let name = tokio::select! {
                    _ = interrupt.recv() => "Ctrl-C",
                    _ = terminate.recv() => "SIGTERM",
                    _ = hang_up.recv() => "SIGHUP",
                    () = tokio::time::sleep(Duration::from_millis(200)) => continue,
                };
                if first.get_or_insert_with(Instant::now).elapsed() > SAME_WISH {
                    std::process::exit(i32::from(crate::exit::FAILURE));
                }
                let _ = side.send(Side::Interrupt(name.to_owned()));
            }
        });
    });
    stop
}

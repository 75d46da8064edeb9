//! From a plan to a history, and on to its verdict and reports.

mod clock;
mod clocks;
mod experiment;
mod interpreter;
mod local;
mod memory;
mod monitor;
mod progress;
mod recorder;
mod routing;
mod steady_state;
mod worker;

use std::{io::IsTerminal as _, path::Path, sync::Arc, time::Duration};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use schism_checker::history::{Header, History};
use schism_workloads::{
    client::Connect,
    generator::{Generator, final_reads, stagger},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    check::{self, Circumstances},
    exit, output,
    plan::{Plan, Target},
    report,
    result::{Outcome, Resources, RunResult},
    safety::Watchdog,
};

use self::{
    clock::Clock,
    interpreter::{Ended, FaultsBegin, Interpreter, Side, Surroundings, Timing},
    recorder::Recorder,
    routing::Routing,
    worker::{WorkerSettings, run_worker},
};

use self::progress::Progress;
pub(crate) use self::{
    local::{Launch, run_in_sandbox},
    memory::run_memory,
};

/// How often a node is asked for its final state, and how long between. The cluster has recovered by then, or had its
/// time to; a node that still does not answer counts as unread.
const FINAL_READ_ATTEMPTS: u32 = 4;
const FINAL_READ_GAP_NS: u64 = 500_000_000;

/// What a run needs besides its plan.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) plan: Plan,
    pub(crate) directory: std::path::PathBuf,
    pub(crate) command: String,
    pub(crate) started_utc: String,
    pub(crate) edn: bool,
    pub(crate) json: bool,
}

/// What the clients did, before it is judged.
pub(crate) struct Recorded {
    pub(crate) history: History,
    pub(crate) ended: Ended,
}

/// The parts that differ between targets.
pub(crate) struct Parts<'a, S> {
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) routing: Arc<Routing>,
    pub(crate) surroundings: &'a mut S,
    pub(crate) side: mpsc::UnboundedReceiver<Side>,
    pub(crate) progress: Arc<Progress>,
}

/// Drives the clients through all phases on a single-threaded runtime of their own: no operation ever waits for
/// another thread to wake, which is worth more than a second core.
pub(crate) fn drive<S: Surroundings>(job: &Job, parts: Parts<'_, S>) -> anyhow::Result<Recorded> {
    let plan = &job.plan;
    let nodes = parts.routing.nodes().to_vec();
    let workload = schism_workloads::by_name(&plan.workload, &plan.workload_options)?;
    let workload_plan = plan.workload_plan(nodes.clone());
    let header = Header {
        schism_history: Header::VERSION,
        workload: plan.workload.clone(),
        target: plan.target.clone(),
        seed: plan.seed,
        clients: plan.clients,
        nodes: nodes.iter().map(ToString::to_string).collect(),
        consistency_models: plan.consistency_models.clone(),
    };
    let mut recorder = Recorder::create(&job.directory, header, job.edn)?;
    let main = stagger(plan.rate_per_s, workload_plan.seed, workload.generator(&workload_plan));
    let final_reads = Box::new(move |invoked: &[u64]| -> Box<dyn Generator> {
        let reads = workload.final_reads(&workload_plan, invoked);
        final_reads(&nodes, reads, FINAL_READ_ATTEMPTS, FINAL_READ_GAP_NS)
    });
    let op_timeout = Duration::from_millis(plan.op_timeout_ms);
    let timing = Timing {
        faults_begin: match &plan.experiment {
            Some(_) => FaultsBegin::WithMethod,
            None if plan.schedule.entries().is_empty() => FaultsBegin::Never,
            None => FaultsBegin::At(plan.steady_ms * 1_000_000),
        },
        duration_ns: plan.duration_ms * 1_000_000,
        op_timeout,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let (finished_sender, finished) = mpsc::unbounded_channel();
        let settings = WorkerSettings { connect: parts.connect, routing: parts.routing, op_timeout };
        let workers = (0..plan.clients)
            .map(|client| {
                let (ops_sender, ops) = mpsc::channel(1);
                tokio::spawn(run_worker(client, settings.clone(), ops, finished_sender.clone()));
                ops_sender
            })
            .collect();
        let interpreter = Interpreter {
            clock: Clock::start(),
            timing,
            recorder: &mut recorder,
            surroundings: parts.surroundings,
            workers,
            finished,
            side: parts.side,
            progress: parts.progress,
            watchdog: Watchdog::new(plan.safety.abort.clone(), plan.clients),
        };
        interpreter.run(main, final_reads).await
    });
    let (history, write_error) = recorder.finish();
    let mut ended = ended?;
    ended.write_error = write_error.map(|error| error.to_string()).or(ended.write_error);
    if let Some(error) = &ended.write_error {
        // First, because what else went wrong followed from it.
        ended.harness_errors.insert(0, format!("the history could not be written to its end: {error}"));
    }
    Ok(Recorded { history: history?, ended })
}

/// Judges what was recorded and writes every report.
pub(crate) fn conclude(
    job: &Job,
    recorded: Recorded,
    versions: Vec<(String, String)>,
    wall: Duration,
) -> anyhow::Result<RunResult> {
    let Recorded { history, ended } = recorded;
    let outcome = if !ended.harness_errors.is_empty() {
        Outcome::HarnessFailure
    } else if ended.interrupted.is_some() {
        Outcome::Interrupted
    } else if ended.aborted.is_some() {
        Outcome::Aborted
    } else {
        Outcome::Completed
    };
    let circumstances = Circumstances {
        outcome,
        aborted: ended.aborted,
        warnings: ended.warnings,
        harness_errors: ended.harness_errors,
        command: job.command.clone(),
        started_utc: job.started_utc.clone(),
        versions,
    };
    let mut result = check::judge(&history, &job.plan, circumstances)?;
    result.wall_s = wall.as_secs_f64();
    result.resources = resources()?;
    if let Err(error) = report::write_all(&job.directory, &mut result, &history) {
        // The verdict is known and must not be lost with the disk that could not take its report.
        result.harness_errors.push(format!("the reports could not be written: {error:#}"));
        result.outcome = Outcome::HarnessFailure;
        result.exit_code = exit::of_run(result.valid, result.outcome);
    }
    Ok(result)
}

/// What this process has used so far.
fn resources() -> anyhow::Result<Resources> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(Resources {
        cpu_s: seconds(usage.user_time()) + seconds(usage.system_time()),
        // Linux counts in KiB.
        peak_memory_bytes: u64::try_from(usage.max_rss()).unwrap_or_default() * 1024,
    })
}

/// The result on standard output: a summary for people, or `result.json` as it was written, with where it lies.
pub(crate) fn print_result(job: &Job, result: &RunResult) -> anyhow::Result<()> {
    if job.json {
        let written = std::fs::read(job.directory.join(report::RESULT_FILE)).ok();
        // Where it could not be written, what it would have said.
        let written = written.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        let mut json = written.map_or_else(|| serde_json::to_value(result), Ok)?;
        json["exit-code"] = result.exit_code.into();
        json["outcome"] = serde_json::to_value(result.outcome)?;
        json["harness-errors"] = serde_json::to_value(&result.harness_errors)?;
        json["directory"] = job.directory.to_string_lossy().into();
        output::print_line(&serde_json::to_string_pretty(&json)?)
    } else {
        output::print(&report::summary(result, &job.directory, is_terminal(), TERMINAL_COLUMNS))
    }
}

/// Colours and width for people; a pipe gets neither.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Lines longer than this are hard to read on any terminal.
pub(crate) const TERMINAL_COLUMNS: usize = 120;

/// Whether a plan runs in this process or needs a sandbox.
pub(crate) fn needs_sandbox(plan: &Plan) -> anyhow::Result<bool> {
    Ok(plan.target()? != Target::Memory)
}

/// Writes the plan beside the results.
pub(crate) fn write_plan(directory: &Path, plan: &Plan) -> anyhow::Result<()> {
    std::fs::write(directory.join("plan.toml"), plan.to_toml()?)?;
    Ok(())
}

//! `schism run`: the launcher. It makes the result folder, and for real clusters the sandbox in which everything else
//! happens; what it leaves to others if it dies is in the ledger.

use std::{
    ffi::OsString,
    fs,
    io::{PipeReader, PipeWriter},
    os::{
        fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
        unix::process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::ExitStatus,
};

use anyhow::Context as _;
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::signal::{self, SigSet, Signal},
    unistd::Pid,
};
use schism_checker::history::{ReadOptions, read as read_history};
use schism_cluster::sandbox;
use schism_nemesis::{Guardian, Healer, Ledger, StateDir};

use crate::{
    cli::{ReportArgs, RunArgs},
    exit,
    exit::usage,
    output,
    plan::{Plan, Target, from_args, repeat_command},
    report,
    result_dir::ResultDir,
    run::{
        Job, Launch, TERMINAL_COLUMNS, is_terminal, needs_sandbox, print_result, run_in_sandbox, run_memory, write_plan,
    },
    safety,
};

/// Runs one test.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let plan = from_args(&args.test)?;
    if let Target::Local(name) = plan.target()? {
        refuse_hidden(&args.results)?;
        crate::commands::doctor::require(name, &plan.schedule)?;
    }
    if let Some(experiment) = plan.experiment()? {
        experiment.require()?;
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--json").collect();
    let directory = ResultDir::create(&args.results, &plan)?;
    write_plan(&directory.path, &plan)?;
    let job = Job {
        command: repeat_command(&arguments, &plan),
        directory: directory.path,
        started_utc: directory.started_utc,
        edn: args.edn,
        json: args.json,
        plan,
    };
    if !job.json {
        output::print(&announcement(&job.plan, &job.directory))?;
    }
    if needs_sandbox(&job.plan)? {
        return launch(job);
    }
    let result = exit::guarded(|| run_memory(&job)).with_context(|| failed(&job.directory))?;
    print_result(&job, &result)?;
    Ok(result.exit_code)
}

/// The sandbox has a `/run` and a `/proc` of its own: results below the machine's would be lost with it.
fn refuse_hidden(results: &Path) -> anyhow::Result<()> {
    let absolute = std::path::absolute(results).unwrap_or_else(|_| results.to_path_buf());
    let existing = absolute.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_default();
    if ["/run", "/proc"].iter().any(|hidden| existing.starts_with(hidden)) {
        return Err(usage(format!(
            "results cannot be written to {}: a test of a database has a /run and a /proc of its own; \
             choose another folder with --results DIR",
            results.display()
        )));
    }
    Ok(())
}

/// Everything decided, before anything starts.
fn announcement(plan: &Plan, directory: &Path) -> String {
    let rate =
        if plan.rate_per_s > 0.0 { format!("{} ops/s", plan.rate_per_s) } else { "as fast as possible".to_owned() };
    let at_most = if plan.experiment.is_some() { "at most " } else { "" };
    let mut text = format!(
        "{} {}: seed {}, {} clients, {rate}, {at_most}{} s\n",
        plan.target,
        plan.workload,
        plan.seed,
        plan.clients,
        plan.duration_ms as f64 / 1e3,
    );
    for entry in plan.schedule.entries() {
        let length = if entry.for_ms > 0 { format!(" for {:.1} s", entry.for_ms as f64 / 1e3) } else { String::new() };
        let (at_s, kind) = (entry.at_ms as f64 / 1e3, entry.fault.kind().name());
        let when = entry.when.as_ref().map(|when| format!(", once {}", when.condition.text())).unwrap_or_default();
        let begin = if entry.waits_for_signal() { "fault".to_owned() } else { format!("at {at_s:>5.1} s ") };
        text.push_str(&format!("  {begin} {kind} {}{length}{when}\n", entry.target));
    }
    for sentence in &plan.mix {
        text.push_str(&format!("  {sentence}\n"));
    }
    text + &format!("  results in {}\n", directory.display())
}

/// Runs a job in a sandbox and waits for its end. Whatever happens to this process, the guardian finishes the rest.
fn launch(job: Job) -> anyhow::Result<u8> {
    let directory = job.directory.clone();
    let run_id = format!("{}-{}", job.started_utc.replace([':', '-'], ""), std::process::id());
    let ledger_path = directory.join("ledger.jsonl");
    let state = StateDir::locate().context("cannot use the state directory")?;
    let ledger = Ledger::create(&ledger_path, &run_id).context("cannot write the ledger")?;
    let active = state.register(&run_id, &ledger_path).context("cannot register the run")?;
    let guardian_args = [OsString::from("internal-guardian"), active.pointer().into()];
    let guardian = Guardian::start(&guardian_args).context("cannot start the guardian")?;

    let queries = job.plan.safety.abort.prometheus.clone();
    // After the guardian, which must not hold an end of it.
    let alarms = (!queries.is_empty()).then(alarm_pipe).transpose().context("cannot make a pipe")?;
    let launch_path = directory.join("launch.json");
    let launch = Launch {
        job,
        run_id: run_id.clone(),
        ledger: ledger_path,
        alarms: alarms.as_ref().map(|(reader, _)| reader.as_raw_fd()),
    };
    fs::write(&launch_path, serde_json::to_vec(&launch)?)?;
    let controller_args = [OsString::from("internal-controller"), launch_path.clone().into()];
    let mut inside = sandbox::spawn_inside(&controller_args, &run_id).context(
        "cannot make a sandbox; `schism doctor` says what is missing, and `schism run memory` works without one",
    )?;
    let cgroup_root = inside.cgroup_root.clone();
    ledger.sandbox(inside.init_pid, inside.init_start_ticks, cgroup_root.as_deref())?;
    forward_signals(Pid::from_raw(inside.child.id().cast_signed()))?;
    if let Some((reader, writer)) = alarms {
        drop(reader);
        // Threads take over which signals are blocked: after the line above, Ctrl-C does not come to these.
        safety::watch(&queries, writer);
    }
    let status = inside.child.wait().context("lost sight of the sandbox")?;

    if let Some(cgroup_root) = &cgroup_root {
        sandbox::remove_leftovers(cgroup_root).context("cannot remove the sandbox's cgroups")?;
    }
    // Gone already unless the controller died before it read it.
    let _ = fs::remove_file(&launch_path);
    // Even if the disk is full: nothing is left of the run, and so nothing must be found of it.
    let closed = ledger.closed_with_faults(Healer::Run);
    active.finish()?;
    guardian.finish().context("the guardian failed")?;
    closed.context("cannot close the ledger")?;
    code_of(status, &directory)
}

/// A pipe whose reading end the sandbox's first process inherits.
fn alarm_pipe() -> anyhow::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = std::io::pipe()?;
    fcntl(&reader, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok((reader, writer))
}

/// The reading end of that pipe, which nothing that is started from here on inherits.
fn inherited_alarms(number: i32) -> anyhow::Result<fs::File> {
    // SAFETY: the launcher made it for us and says its number; nothing else in this process has it.
    let pipe = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&pipe, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).context("the launcher's pipe is not there")?;
    Ok(pipe.into())
}

/// Passes Ctrl-C and SIGTERM on to the sandbox, whose end ends this process. (A terminal sends Ctrl-C to both; the
/// controller takes two within a second for one.)
fn forward_signals(sandbox: Pid) -> anyhow::Result<()> {
    // Blocked only now: the sandbox would inherit the mask and never see a signal.
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block()?;
    std::thread::spawn(move || {
        while let Ok(received) = signals.wait() {
            if signal::kill(sandbox, received).is_err() {
                return;
            }
        }
    });
    Ok(())
}

/// The controller's exit code is the run's; any other end of it is a failure of ours, however it came about.
fn code_of(status: ExitStatus, directory: &Path) -> anyhow::Result<u8> {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    if let Some(code) = code.filter(|code| exit::ALL.contains(code)) {
        return Ok(code);
    }
    // The sandbox's first process gives a signal that ended the controller as a shell does.
    let signal =
        status.signal().or_else(|| status.code().filter(|code| (129..192).contains(code)).map(|code| code - 128));
    let how =
        signal.map_or_else(|| format!("ended by itself ({status})"), |signal| format!("was ended by signal {signal}"));
    anyhow::bail!(
        "the controller {how}; the history up to then is in {}: judge it with `schism check {}`",
        directory.display(),
        directory.display()
    )
}

/// The controller: everything inside the sandbox.
pub(crate) fn run_inside(launch: &Path) -> anyhow::Result<u8> {
    sandbox::prepare_inside()?;
    let content = fs::read(launch).with_context(|| format!("cannot read {}", launch.display()))?;
    fs::remove_file(launch)?;
    let launch: Launch = serde_json::from_slice(&content)?;
    let alarms = launch.alarms.map(inherited_alarms).transpose()?;
    let result = exit::guarded(|| run_in_sandbox(&launch, alarms)).with_context(|| failed(&launch.job.directory))?;
    print_result(&launch.job, &result)?;
    Ok(result.exit_code)
}

fn failed(directory: &Path) -> String {
    format!("the run failed; what it saved is in {}", directory.display())
}

/// `schism report`: renders a result folder's reports again.
pub(crate) fn report(args: &ReportArgs) -> anyhow::Result<u8> {
    let directory = args
        .result
        .canonicalize()
        .map_err(|error| usage(format!("there is no result folder {}: {error}", args.result.display())))?;
    let path: PathBuf = directory.join("history.jsonl");
    if path.exists() && !directory.join(report::RESULT_FILE).exists() {
        return Err(usage(format!(
            "the run in {0} did not finish, so there is no result to render; judge its history with `schism check {0}`",
            directory.display()
        )));
    }
    let mut result = report::read(&directory).map_err(|error| usage(format!("{error:#}")))?;
    let file = fs::File::open(&path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
    let loaded = read_history(std::io::BufReader::new(file), &ReadOptions::default())
        .map_err(|problems| usage(format!("{}:\n{problems}", path.display())))?;
    report::write_all(&directory, &mut result, &loaded.history)?;
    output::print(&report::summary(&result, &directory, is_terminal(), TERMINAL_COLUMNS))?;
    Ok(exit::VALID)
}

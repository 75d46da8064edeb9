//! Healing from outside: undoing faults of a run that does not do it itself, and removing what a dead run left.
//! The guardian does it by itself, `schism heal` by hand; both may do it again and again.

use std::{
    fmt, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use schism_cluster::{SandboxInfo, StepError, enter_sandbox_command, sandbox};

use crate::{
    ledger::{Healer, Ledger, LedgerState},
    overlap::undo_beside,
    process,
    state_dir::{RunRef, StateDir},
};

/// How long the sandbox's first process may take to die, with everything inside it.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);
/// How long the lock of a dead launcher may still be held: by somebody else who is cleaning up.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// How long undoing one fault from outside may take. A step itself gives up after about ten seconds.
const UNDO_PATIENCE: Duration = Duration::from_secs(60);
/// Where cgroup version 2 may be mounted: beside version 1, or alone.
const CGROUP_MOUNTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

/// Healing did not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealError {
    /// The system refused.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A step of an undo failed.
    #[error("cannot undo fault {fault}: {source}")]
    Step {
        /// The fault.
        fault: u32,
        /// Why.
        source: StepError,
    },
    /// The ledger has no such fault, or no cluster to undo it on.
    #[error("{0}")]
    Ledger(String),
    /// Another fault has to end first.
    #[error("fault {fault} waits for another, which still keeps its node")]
    Waits {
        /// The fault.
        fault: u32,
    },
    /// `internal-undo` inside the sandbox failed.
    #[error("cannot undo fault {fault} inside the sandbox: {said}")]
    Inside {
        /// The fault.
        fault: u32,
        /// What it said.
        said: String,
    },
}

pub(crate) fn io_error(what: impl fmt::Display) -> impl FnOnce(io::Error) -> HealError {
    let what = what.to_string();
    move |source| HealError::Io { what, source }
}

/// What was done about one run.
#[derive(Debug)]
pub struct Healed {
    /// The run.
    pub run_id: String,
    /// What was done, or why it could not be.
    pub outcome: Result<HealOutcome, HealError>,
}

/// What was done about one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealOutcome {
    /// It was stale: what it had left is gone.
    CleanedUp(CleanUp),
    /// It goes on; these faults were in force and are undone. It will say so, and fail.
    Undone(Vec<String>),
    /// It goes on, with no fault in force.
    NothingInForce,
}

/// What a dead run had left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CleanUp {
    /// The sandbox's first process, if it still lived.
    pub killed: Option<u32>,
    /// Its cgroup directory, if it still existed.
    pub cgroup_root: Option<PathBuf>,
    /// Faults that were in force; they ended with the sandbox.
    pub faults: usize,
    /// The machine was started anew since, so only files were left.
    pub before_boot: bool,
}

impl fmt::Display for Healed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = &self.run_id;
        match &self.outcome {
            Err(error) => write!(formatter, "{run}: {error}"),
            Ok(HealOutcome::NothingInForce) => write!(formatter, "{run}: still running, no fault in force"),
            Ok(HealOutcome::Undone(faults)) => {
                write!(formatter, "{run}: still running; undone: {}; the run will say so, and fail", faults.join(", "))
            }
            Ok(HealOutcome::CleanedUp(done)) => write!(formatter, "{run}: its launcher was gone; {done}"),
        }
    }
}

impl fmt::Display for CleanUp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.before_boot {
            parts.push("the machine was started anew since".to_owned());
        }
        parts.extend(self.killed.map(|pid| format!("sandbox killed (process {pid})")));
        parts.extend(self.cgroup_root.as_ref().map(|path| format!("removed {}", path.display())));
        if self.faults > 0 {
            parts.push(format!("{} faults in force ended with it", self.faults));
        }
        parts.push("pointer file removed".to_owned());
        formatter.write_str(&parts.join(", "))
    }
}

/// `schism heal`: cleans up after every stale run, undoes the faults in force of every active one. Idempotent.
/// `undo` runs `schism internal-undo`; see [`UndoCommand`]. `only` names the folder of one run's results: the others
/// are left alone.
///
/// # Errors
/// The state directory cannot be read. What went wrong with a run is in its [`Healed`].
pub fn heal(state: &StateDir, undo: &UndoCommand, only: Option<&Path>) -> io::Result<Vec<Healed>> {
    let wanted = |run: &RunRef| only.is_none_or(|folder| run.ledger.parent() == Some(folder));
    let stale = state.stale_runs()?.into_iter().filter(wanted).map(|run| {
        let outcome = clean_up(&run, None, Healer::Heal).map(HealOutcome::CleanedUp);
        Healed { run_id: run.run_id, outcome }
    });
    let active = state
        .active_runs()?
        .into_iter()
        .filter(wanted)
        .map(|run| Healed { outcome: undo_all(&run, undo), run_id: run.run_id });
    Ok(stale.chain(active).collect())
}

fn undo_all(run: &RunRef, undo: &UndoCommand) -> Result<HealOutcome, HealError> {
    let state = LedgerState::read(&run.ledger).map_err(io_error(format!("read {}", run.ledger.display())))?;
    let (mut undone, mut failed) = (Vec::new(), None);
    // Newest first: a start that waits for a node to be thawed as a rule finds it thawed.
    for (id, fault) in state.in_force().collect::<Vec<_>>().into_iter().rev() {
        match undo.run(&run.ledger, &state, id, Healer::Heal) {
            Ok(()) => undone.push(format!("{} (fault {id})", fault.kind)),
            // The others are tried all the same.
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) => Err(error),
        None if undone.is_empty() => Ok(HealOutcome::NothingInForce),
        None => Ok(HealOutcome::Undone(undone)),
    }
}

/// Removes everything that a run whose launcher is gone has left, its pointer file last, so that whatever interrupts
/// this leaves a run that is found again. `known` is what the ledger said before, should it be unreadable by now (the
/// user may have removed the results).
pub(crate) fn clean_up(run: &RunRef, known: Option<&LedgerState>, by: Healer) -> Result<CleanUp, HealError> {
    if !run.exists() {
        return Ok(CleanUp::default());
    }
    // Not getting it means that somebody else is slow, not that nothing has to be done.
    let _lock = run.lock(LOCK_PATIENCE).map_err(io_error(format!("lock {}", run.pointer.display())))?;
    let state = match (LedgerState::read(&run.ledger), known) {
        (Ok(state), _) => state,
        (Err(_), Some(known)) => known.clone(),
        // Whoever removes a ledger removes what could have told us more.
        (Err(error), None) if error.kind() == io::ErrorKind::NotFound => LedgerState::default(),
        (Err(error), None) => return Err(io_error(format!("read {}", run.ledger.display()))(error)),
    };
    let done = remove_what_is_left(&state)?;
    let noted = Ledger::append_to(&run.ledger).map_or(Ok(()), |ledger| ledger.closed_with_faults(by));
    // Whether or not that could be written: on a full disk a run of which nothing is left would be found for ever.
    run.remove().map_err(io_error(format!("remove {}", run.pointer.display())))?;
    noted.map_err(io_error(format!("write {}", run.ledger.display())))?;
    Ok(done)
}

fn remove_what_is_left(state: &LedgerState) -> Result<CleanUp, HealError> {
    let boot_id = process::boot_id().map_err(io_error("read the boot id"))?;
    let mut done = CleanUp { faults: state.in_force().count(), ..CleanUp::default() };
    if state.boot_id.as_ref().is_some_and(|other| *other != boot_id) {
        // Its processes ended with the machine; their numbers mean others now, and cgroups are made anew.
        return Ok(CleanUp { before_boot: true, ..done });
    }
    if let Some(init) = state.init.filter(|init| init.is_alive()) {
        init.kill(DEATH_PATIENCE).map_err(io_error("end the sandbox"))?;
        done.killed = Some(init.pid);
    }
    if let Some(root) = state.cgroup_root.as_ref().filter(|root| root.exists()) {
        sandbox::remove_leftovers(root).map_err(io_error(format!("remove {}", root.display())))?;
        done.cgroup_root = Some(root.clone());
    }
    Ok(done)
}

/// How to run `schism internal-undo <ledger> <fault>`, whose body is [`internal_undo`]: the program and the arguments
/// before the ledger. It is run inside the sandbox, so the program's path must be absolute.
#[derive(Debug, Clone)]
pub struct UndoCommand {
    /// The program, this one as a rule.
    pub program: PathBuf,
    /// Its arguments before ledger and fault.
    pub args: Vec<String>,
}

impl UndoCommand {
    /// This program with the argument `internal-undo`.
    ///
    /// # Errors
    /// The path of this program cannot be read.
    pub fn own() -> io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, args: vec!["internal-undo".to_owned()] })
    }

    /// Undoes one fault inside the sandbox, waits for it and notes it in the ledger.
    pub(crate) fn run(&self, ledger: &Path, state: &LedgerState, fault: u32, by: Healer) -> Result<(), HealError> {
        let info = state.cluster.as_ref().ok_or_else(|| no_cluster(ledger))?;
        if state.init.is_some_and(|init| !init.is_alive()) {
            return Err(HealError::Ledger("the sandbox has ended".to_owned()));
        }
        self.run_inside(info, ledger, fault)?;
        let noted = Ledger::append_to(ledger).and_then(|ledger| ledger.undone(fault, by));
        noted.map_err(io_error(format!("write {}", ledger.display())))
    }

    fn run_inside(&self, info: &SandboxInfo, ledger: &Path, fault: u32) -> Result<(), HealError> {
        let mut command = enter_sandbox_command(info);
        command.arg(&self.program).args(&self.args).arg(ledger).arg(fault.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        run_bounded(command, UNDO_PATIENCE).map_err(|said| HealError::Inside { fault, said })
    }
}

fn no_cluster(ledger: &Path) -> HealError {
    HealError::Ledger(format!("{} tells of no running cluster", ledger.display()))
}

/// Runs it to its end, or kills it when that takes too long. `Err` is what it said.
fn run_bounded(mut command: Command, patience: Duration) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    let mut child = command.spawn().map_err(told)?;
    let begin = Instant::now();
    while child.try_wait().map_err(told)?.is_none() {
        if begin.elapsed() > patience {
            child.kill().map_err(told)?;
            child.wait().map_err(told)?;
            return Err(format!("no end after {} s", patience.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // What it says is a line; it fits into the pipe's buffer, so nobody had to read while it ran.
    let output = child.wait_with_output().map_err(told)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if said.is_empty() { output.status.to_string() } else { said })
}

/// The body of `schism internal-undo <ledger> <fault>`, run inside the sandbox: undoes one fault as far as the others
/// in force allow. Idempotent.
///
/// # Errors
/// The ledger cannot be read or does not know the fault, or a step failed.
pub fn internal_undo(ledger: &Path, fault: u32) -> Result<(), HealError> {
    let state = LedgerState::read(ledger).map_err(io_error(format!("read {}", ledger.display())))?;
    let info = state.cluster.as_ref().ok_or_else(|| no_cluster(ledger))?;
    let unknown = || HealError::Ledger(format!("{} has no fault {fault}", ledger.display()));
    let undo = &state.faults.get(&fault).ok_or_else(unknown)?.undo;
    let undo = undo_beside(undo, &state.beside(fault));
    for step in undo.now {
        step.run(info).map_err(|source| HealError::Step { fault, source })?;
    }
    // Not undone yet: whoever asked has to ask again when the other fault has ended.
    if undo.withheld.is_empty() { Ok(()) } else { Err(HealError::Waits { fault }) }
}

/// What dead runs have left on this machine, a line each; for `schism doctor --leftovers`. Changes nothing.
///
/// # Errors
/// The state directory cannot be read.
pub fn leftovers(state: &StateDir) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let boot_id = process::boot_id()?;
    for run in state.stale_runs()? {
        found.push(format!("{}: pointer of run {}, whose launcher is gone", run.pointer.display(), run.run_id));
        let ledger = LedgerState::read(&run.ledger).unwrap_or_default();
        if ledger.boot_id.as_ref() == Some(&boot_id) {
            let init = ledger.init.filter(|init| init.is_alive());
            found.extend(init.map(|init| format!("process {}: sandbox of run {}", init.pid, run.run_id)));
        }
    }
    let active = state.active_runs()?;
    let in_use: Vec<PathBuf> =
        active.iter().filter_map(|run| LedgerState::read(&run.ledger).ok()?.cgroup_root).collect();
    let ours = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // A run that has just begun has its directory before its ledger says so.
        let of_active = active.iter().any(|run| name == format!("schism-{}", run.run_id));
        // Only our own: of another user's runs we cannot know which are active, nor could we remove anything.
        let is_own = path.metadata().is_ok_and(|found| found.uid() == nix::unistd::geteuid().as_raw());
        name.starts_with("schism-") && is_own && !of_active && !in_use.contains(path)
    };
    for mount in CGROUP_MOUNTS {
        let Ok(entries) = std::fs::read_dir(mount) else { continue };
        let mut left: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir() && ours(path)).collect();
        left.sort();
        found.extend(left.iter().map(|path| format!("{}: cgroup of a run that is gone", path.display())));
    }
    Ok(found)
}

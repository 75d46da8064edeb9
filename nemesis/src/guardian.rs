//! The guardian: a process outside the sandbox that heals when the run cannot.
//!
//! The launcher starts it before the sandbox and holds the write end of a pipe, the lifeline. However the launcher
//! dies, the kernel closes that end, and the guardian sees it at once: it ends the sandbox, removes what is left and
//! closes the ledger. While the launcher lives it watches the ledger: a fault that is in force beyond its
//! time-to-live, because the controller hangs or was stopped, is undone inside the sandbox. That also covers a
//! launcher stopped with its whole job by Ctrl-Z: the times-to-live go on.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout},
    sys::signal::{SigHandler, Signal, signal},
    unistd::setsid,
};

use crate::{
    heal::{HealError, UndoCommand, clean_up, io_error},
    ledger::{Healer, LedgerState},
    process,
    state_dir::RunRef,
};

/// How often it looks at the ledger. The lifeline wakes it at once.
const LOOK_EVERY_MS: u16 = 100;
/// Before it tries again what did not work.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// What it says on standard output once it watches.
const READY: &[u8] = b"ready\n";
/// How long it may take from being started to watching, on a loaded machine.
const READY_PATIENCE_MS: u16 = 10_000;
/// How long it may take to notice that the ledger is closed.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// What a terminal or a user sends to a whole job; the guardian outlives the job.
const IGNORED: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGTSTP];

/// The launcher's hold on its guardian.
#[derive(Debug)]
pub struct Guardian {
    child: Child,
    /// Closing it means "the launcher is gone"; the kernel closes it when that is so.
    lifeline: io::PipeWriter,
}

impl Guardian {
    /// Starts this program again with these arguments (`internal-guardian <pointer>`), whose body is
    /// [`guardian_main`], and waits until it watches. Its standard input is the lifeline.
    ///
    /// # Errors
    /// It does not start. A run must not go on without its guardian.
    pub fn start(args: &[OsString]) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> io::Result<Self> {
        let (read_end, lifeline) = io::pipe()?;
        command.stdin(Stdio::from(read_end)).stdout(Stdio::piped());
        // SAFETY: setsid and signal are async-signal-safe and nothing is allocated.
        unsafe { command.pre_exec(|| leave_the_job().map_err(io::Error::from)) };
        let child = command.spawn()?;
        let mut guardian = Self { child, lifeline };
        match guardian.await_ready() {
            Ok(()) => Ok(guardian),
            Err(error) => {
                guardian.child.kill()?;
                guardian.child.wait()?;
                Err(error)
            }
        }
    }

    fn await_ready(&mut self) -> io::Result<()> {
        let silent = |why: &str| io::Error::other(format!("the guardian did not start: {why}"));
        let mut output = self.child.stdout.take().ok_or_else(|| silent("it has no output"))?;
        let mut said = [0; READY.len()];
        let mut fds = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        if nix::poll::poll(&mut fds, PollTimeout::from(READY_PATIENCE_MS))? == 0 {
            return Err(silent("it says nothing"));
        }
        output.read_exact(&mut said).map_err(|_| silent("it ended"))?;
        if said == READY { Ok(()) } else { Err(silent("it says something else")) }
    }

    /// The run is over and its ledger closed: waits until the guardian has seen that and ended.
    ///
    /// # Errors
    /// It failed, or does not end.
    pub fn finish(mut self) -> io::Result<()> {
        drop(self.lifeline);
        let begin = Instant::now();
        while begin.elapsed() < END_PATIENCE {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("the guardian failed: {status}"))),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the guardian does not end"))
    }
}

/// Between fork and exec, and once more in the guardian itself, should somebody start it by hand: ignored signals
/// stay ignored across exec, so there is no moment in which Ctrl-C takes the guardian along.
fn leave_the_job() -> nix::Result<()> {
    for ignored in IGNORED {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
    match setsid() {
        // The leader of a process group cannot; then it is no part of the launcher's group either.
        Ok(_) | Err(Errno::EPERM) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The body of `schism internal-guardian <pointer>`: watches over one run, and returns when nothing of it is left.
/// `lifeline` is the read end whose write end only the launcher holds: standard input, if [`Guardian::start`] started it.
///
/// # Errors
/// The run's pointer cannot be read, or cleaning up did not work in several attempts; `schism heal` tries again.
pub fn guardian_main(pointer: &Path, lifeline: OwnedFd) -> Result<(), HealError> {
    leave_the_job().map_err(|error| io_error("leave the launcher's session")(error.into()))?;
    let undo = UndoCommand::own().map_err(io_error("find this program"))?;
    let mut watch = Watch::new(pointer, lifeline)?;
    say_ready().map_err(io_error("tell the launcher"))?;
    watch.run(&|ledger, state, fault| undo.run(ledger, state, fault, Healer::Guardian))
}

fn say_ready() -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(READY)?;
    output.flush()
}

/// Undoes one fault from outside and notes it.
type UndoFault<'a> = &'a dyn Fn(&Path, &LedgerState, u32) -> Result<(), HealError>;

struct Watch {
    run: RunRef,
    lifeline: OwnedFd,
    /// The last ledger that could be read: the user may remove the results while we watch.
    known: LedgerState,
    /// When to try again to undo a fault.
    try_again: BTreeMap<u32, Instant>,
}

impl Watch {
    fn new(pointer: &Path, lifeline: OwnedFd) -> Result<Self, HealError> {
        let run = RunRef::read(pointer).map_err(io_error(format!("read {}", pointer.display())))?;
        let known = LedgerState::read(&run.ledger).map_err(io_error(format!("read {}", run.ledger.display())))?;
        Ok(Self { run, lifeline, known, try_again: BTreeMap::new() })
    }

    fn run(&mut self, undo: UndoFault<'_>) -> Result<(), HealError> {
        loop {
            let launcher_gone = self.wait().map_err(io_error("watch the launcher"))?;
            if let Ok(state) = LedgerState::read(&self.run.ledger) {
                self.known = state;
            }
            if self.known.closed.is_some() {
                return Ok(());
            }
            if launcher_gone {
                return self.clean_up();
            }
            self.undo_expired(undo)?;
        }
    }

    /// Waits for the lifeline's end, or a little.
    fn wait(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.lifeline.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, PollTimeout::from(LOOK_EVERY_MS)) {
            // Nobody writes to it: whatever happens to it is its end.
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn undo_expired(&mut self, undo: UndoFault<'_>) -> Result<(), HealError> {
        let now_ms = process::uptime_ms().map_err(io_error("read the clock"))?;
        let expired = self.known.faults.iter().filter(|(_, fault)| fault.is_expired(now_ms));
        let due: Vec<u32> = expired
            .map(|(&id, _)| id)
            .filter(|id| self.try_again.get(id).is_none_or(|&at| Instant::now() >= at))
            .collect();
        for id in due {
            // What does not work now may work later (a fault that waits for another); the run's end heals in any case.
            if undo(&self.run.ledger, &self.known, id).is_err() {
                self.try_again.insert(id, Instant::now() + TRY_AGAIN);
            }
        }
        Ok(())
    }

    fn clean_up(&self) -> Result<(), HealError> {
        let mut result = Ok(());
        for attempt in 0..3 {
            if attempt > 0 {
                std::thread::sleep(TRY_AGAIN);
            }
            result = clean_up(&self.run, Some(&self.known), Healer::Guardian).map(drop);
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, fs::File};

    use schism_cluster::Step;

    use super::*;
    use crate::{
        Ledger, StateDir,
        heal::{CleanUp, HealOutcome, heal, leftovers},
        ledger::Record,
        process::ProcessId,
    };

    /// A dummy process that the test ends whatever happens.
    struct Dummy(Child);

    impl Dummy {
        fn sleep(stdin: Stdio, stdout: Stdio) -> Self {
            Self(Command::new("sleep").arg("600").stdin(stdin).stdout(stdout).spawn().unwrap())
        }

        fn id(&self) -> ProcessId {
            ProcessId::of(self.0.id()).unwrap()
        }

        fn signal(&self, signal: Signal) {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
        }
    }

    impl Drop for Dummy {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// A run with a launcher and a sandbox that only sleep. The launcher holds the pointer's lock (as its standard
    /// input) and the lifeline (as its standard output), as a real one does; this process holds neither.
    struct FakeRun {
        directory: tempfile::TempDir,
        state: StateDir,
        launcher: Dummy,
        init: Dummy,
        ledger: Ledger,
        lifeline: Option<OwnedFd>,
    }

    impl FakeRun {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let state = StateDir::at(&directory.path().join("schism")).unwrap();
            let ledger = Ledger::create(&directory.path().join("ledger.jsonl"), "r1").unwrap();
            let (lifeline, held) = io::pipe().unwrap();
            // `register` locks an open file; the sleeping launcher inherits another opening of the same file.
            state.register("r1", ledger.path()).unwrap();
            let lock = File::open(state.path().join("r1.json")).unwrap();
            lock.try_lock().unwrap();
            let launcher = Dummy::sleep(Stdio::from(lock), Stdio::from(held));
            let init = Dummy::sleep(Stdio::null(), Stdio::null());
            ledger.sandbox(init.id().pid, init.id().start_ticks, None).unwrap();
            Self { directory, state, launcher, init, ledger, lifeline: Some(lifeline.into()) }
        }

        fn pointer(&self) -> std::path::PathBuf {
            self.state.path().join("r1.json")
        }

        fn intent(&self, fault: u32, ttl_ms: u64) {
            let uptime_ms = process::uptime_ms().unwrap();
            let undo = vec![Step::Thaw { node: "n1".into() }];
            let steps = vec![Step::Freeze { node: "n1".into() }];
            self.ledger
                .append(&Record::Intent { fault, kind: "pause".into(), steps, undo, ttl_ms, uptime_ms })
                .unwrap();
        }

        fn watch(&mut self) -> Watch {
            Watch::new(&self.pointer(), self.lifeline.take().unwrap()).unwrap()
        }
    }

    fn never(_: &Path, _: &LedgerState, fault: u32) -> Result<(), HealError> {
        panic!("fault {fault} must not be undone by itself")
    }

    #[test]
    fn a_killed_launcher_leaves_nothing() {
        let mut run = FakeRun::new();
        run.intent(0, 60_000);
        let mut watch = run.watch();
        assert_eq!(run.state.active_runs().unwrap().len(), 1);
        run.launcher.signal(Signal::SIGKILL);
        watch.run(&never).unwrap();
        assert!(!run.init.id().is_alive());
        assert!(!run.pointer().exists());
        let state = run.ledger.read().unwrap();
        assert_eq!((state.closed, state.faults[&0].undone), (Some(Healer::Guardian), Some(Healer::Guardian)));
        assert_eq!(leftovers_of_run(&run), [""; 0]);
    }

    fn leftovers_of_run(run: &FakeRun) -> Vec<String> {
        let ours = |line: &String| line.contains("r1");
        leftovers(&run.state).unwrap().into_iter().filter(ours).collect()
    }

    #[test]
    fn results_removed_while_watching_do_not_matter() {
        let mut run = FakeRun::new();
        let mut watch = run.watch();
        std::fs::remove_file(run.ledger.path()).unwrap();
        run.launcher.signal(Signal::SIGKILL);
        watch.run(&never).unwrap();
        assert!(!run.init.id().is_alive() && !run.pointer().exists());
    }

    #[test]
    fn a_stopped_launcher_does_not_keep_a_fault_beyond_its_time() {
        let mut run = FakeRun::new();
        run.launcher.signal(Signal::SIGSTOP);
        run.intent(0, 200);
        run.intent(1, 3_600_000);
        let mut watch = run.watch();
        let undone = RefCell::new(Vec::new());
        let begin = Instant::now();
        watch
            .run(&|ledger, _, fault| {
                let first = undone.borrow().is_empty();
                undone.borrow_mut().push(fault);
                let ledger = Ledger::append_to(ledger).unwrap();
                if first {
                    return Err(HealError::Waits { fault });
                }
                ledger.undone(fault, Healer::Guardian).unwrap();
                // Ends the watch, as the launcher would once it goes on.
                ledger.closed(Healer::Run).unwrap();
                Ok(())
            })
            .unwrap();
        assert_eq!(*undone.borrow(), [0, 0], "tried, tried again, and the other fault left alone");
        assert!(begin.elapsed() >= TRY_AGAIN);
        assert!(run.init.id().is_alive(), "only the fault was healed");
        assert_eq!(run.ledger.read().unwrap().faults[&0].undone, Some(Healer::Guardian));
        assert!(run.directory.path().exists());
    }

    #[test]
    fn it_ends_with_the_run() {
        let mut run = FakeRun::new();
        let mut watch = run.watch();
        run.ledger.closed(Healer::Run).unwrap();
        watch.run(&never).unwrap();
        assert!(run.init.id().is_alive() && run.pointer().exists(), "closing is the launcher's part");
    }

    #[test]
    fn heal_cleans_up_a_stale_run_once() {
        let mut run = FakeRun::new();
        run.intent(0, 60_000);
        let undo = UndoCommand { program: "/bin/false".into(), args: vec![] };
        run.launcher.signal(Signal::SIGKILL);
        run.launcher.0.wait().unwrap();
        assert!(leftovers_of_run(&run).len() >= 2, "pointer and process: {:?}", leftovers_of_run(&run));
        let healed = heal(&run.state, &undo, None).unwrap();
        let killed = Some(run.init.0.id());
        let expected = CleanUp { killed, faults: 1, ..CleanUp::default() };
        assert_eq!(*healed[0].outcome.as_ref().unwrap(), HealOutcome::CleanedUp(expected));
        assert!(healed[0].to_string().contains("its launcher was gone; sandbox killed"), "{}", healed[0]);
        assert!(heal(&run.state, &undo, None).unwrap().is_empty());
        assert_eq!(run.ledger.read().unwrap().closed, Some(Healer::Heal));
    }

    #[test]
    fn heal_does_not_end_an_active_run() {
        let run = FakeRun::new();
        let undo = UndoCommand { program: "/bin/false".into(), args: vec![] };
        let healed = heal(&run.state, &undo, None).unwrap();
        assert_eq!(*healed[0].outcome.as_ref().unwrap(), HealOutcome::NothingInForce);
        run.intent(0, 60_000);
        let error = heal(&run.state, &undo, None).unwrap().remove(0).outcome.unwrap_err().to_string();
        assert!(error.contains("tells of no running cluster"), "{error}");
        assert!(run.init.id().is_alive());
    }

    #[test]
    fn after_a_restart_of_the_machine_only_files_are_removed() {
        let mut run = FakeRun::new();
        let boot_id = "00000000-0000-0000-0000-000000000000".to_owned();
        let launcher = run.launcher.id();
        run.ledger.append(&Record::Opened { run_id: "r1".into(), boot_id, launcher }).unwrap();
        run.launcher.signal(Signal::SIGKILL);
        run.launcher.0.wait().unwrap();
        let healed = heal(&run.state, &UndoCommand { program: "/bin/false".into(), args: vec![] }, None).unwrap();
        let expected = CleanUp { before_boot: true, ..CleanUp::default() };
        assert_eq!(*healed[0].outcome.as_ref().unwrap(), HealOutcome::CleanedUp(expected));
        assert!(run.init.id().is_alive(), "its number may be anybody's by now");
        assert!(!run.pointer().exists());
    }

    /// A shell stands in for the guardian: what matters is its session, its signals and the two pipes.
    #[test]
    fn a_started_guardian_has_left_the_job_and_ends_with_the_lifeline() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            Guardian::spawn(command)
        };
        let guardian = shell("echo ready; kill -INT $$; kill -TERM $$; kill -HUP $$; cat").unwrap();
        let pid = nix::unistd::Pid::from_raw(guardian.child.id().cast_signed());
        assert_eq!(nix::unistd::getsid(Some(pid)).unwrap(), pid);
        guardian.finish().unwrap();
        assert!(shell("exit 1").unwrap_err().to_string().contains("it ended"));
        assert!(shell("echo hello").unwrap_err().to_string().contains("something else"));
        assert!(shell("echo ready; cat; exit 3").unwrap().finish().unwrap_err().to_string().contains("failed"));
    }
}

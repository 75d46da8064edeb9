//! The ledger: what must be undone, written and synced before it is done.
//!
//! JSON lines in the run's result directory, appended to by the launcher (opened, sandbox's first process, closed), by
//! the nemesis inside the sandbox (intents and undos) and by whoever heals in their place (the guardian, `schism
//! heal`). Every line is synced before its writer acts on it, so a line cut short by a crash describes something that
//! never happened, and a reader may leave it out.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use schism_cluster::{SandboxInfo, Step};
use serde::{Deserialize, Serialize};

use crate::process::{self, ProcessId};

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum Record {
    /// The launcher begins a run.
    Opened { run_id: String, boot_id: String, launcher: ProcessId },
    /// The sandbox exists.
    Sandbox { init: ProcessId, cgroup_root: Option<PathBuf> },
    /// The cluster in it runs.
    Cluster { info: Box<SandboxInfo> },
    /// A fault is about to be injected. A second one with the same number replaces the first.
    Intent { fault: u32, kind: String, steps: Vec<Step>, undo: Vec<Step>, ttl_ms: u64, uptime_ms: u64 },
    /// A fault is undone.
    Undone { fault: u32, by: Healer, uptime_ms: u64 },
    /// Nothing of the run is left.
    Closed { by: Healer },
}

/// Who healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Healer {
    /// The run itself: nemesis or launcher.
    Run,
    /// The guardian.
    Guardian,
    /// `schism heal`.
    Heal,
}

impl fmt::Display for Healer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Run => "the run itself",
            Self::Guardian => "the guardian",
            Self::Heal => "`schism heal`",
        })
    }
}

/// A ledger open for appending.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
}

impl Ledger {
    /// Begins a run's ledger; the launcher does this before anything else. Its directory must exist.
    ///
    /// # Errors
    /// The file exists already or cannot be written.
    pub fn create(path: &Path, run_id: &str) -> io::Result<Self> {
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        let ledger = Self { path: std::path::absolute(path)?, file };
        let launcher = ProcessId::own()?;
        ledger.append(&Record::Opened { run_id: run_id.to_owned(), boot_id: process::boot_id()?, launcher })?;
        // The file's name must be as durable as its content.
        if let Some(directory) = ledger.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(ledger)
    }

    /// Opens an existing ledger to go on writing.
    ///
    /// # Errors
    /// It does not exist or cannot be written.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            // Whoever wrote before may have died in the middle of a line; ours must not become part of it.
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        Ok(Self { path: std::path::absolute(path)?, file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The launcher has made the sandbox.
    ///
    /// # Errors
    /// The line could not be written and synced.
    pub fn sandbox(&self, init_pid: u32, init_start_ticks: u64, cgroup_root: Option<&Path>) -> io::Result<()> {
        let init = ProcessId { pid: init_pid, start_ticks: init_start_ticks };
        self.append(&Record::Sandbox { init, cgroup_root: cgroup_root.map(Path::to_path_buf) })
    }

    /// The cluster runs. Steps can be undone from outside from now on.
    ///
    /// # Errors
    /// The line could not be written and synced.
    pub fn cluster(&self, info: SandboxInfo) -> io::Result<()> {
        self.append(&Record::Cluster { info: Box::new(info) })
    }

    /// Nothing of the run is left: sandbox ended, cgroups removed.
    ///
    /// # Errors
    /// The line could not be written and synced.
    pub fn closed(&self, by: Healer) -> io::Result<()> {
        self.append(&Record::Closed { by })
    }

    /// The same of a run whose sandbox has ended, whatever was in force in it: that ended with it.
    ///
    /// # Errors
    /// A line could not be written and synced.
    pub fn closed_with_faults(&self, by: Healer) -> io::Result<()> {
        for (fault, _) in self.read()?.in_force() {
            self.undone(fault, by)?;
        }
        self.closed(by)
    }

    pub(crate) fn undone(&self, fault: u32, by: Healer) -> io::Result<()> {
        self.append(&Record::Undone { fault, by, uptime_ms: process::uptime_ms()? })
    }

    /// One write of the whole line: with several writers no two lines can mix.
    pub(crate) fn append(&self, record: &Record) -> io::Result<()> {
        let mut line = serde_json::to_vec(record).map_err(io::Error::other)?;
        line.push(b'\n');
        (&self.file).write_all(&line)?;
        self.file.sync_data()
    }

    /// One to which nothing can be written.
    #[cfg(test)]
    pub(crate) fn unwritable(path: &Path) -> Self {
        Self { path: path.to_path_buf(), file: File::open(path).unwrap() }
    }

    /// What it says now.
    pub(crate) fn read(&self) -> io::Result<LedgerState> {
        LedgerState::read(&self.path)
    }
}

/// What a ledger says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LedgerState {
    pub(crate) run_id: Option<String>,
    pub(crate) boot_id: Option<String>,
    pub(crate) launcher: Option<ProcessId>,
    pub(crate) init: Option<ProcessId>,
    pub(crate) cgroup_root: Option<PathBuf>,
    pub(crate) cluster: Option<SandboxInfo>,
    /// By number.
    pub(crate) faults: BTreeMap<u32, LedgerFault>,
    pub(crate) closed: Option<Healer>,
}

/// A fault, as far as undoing it goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LedgerFault {
    pub(crate) kind: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) undo: Vec<Step>,
    pub(crate) ttl_ms: u64,
    pub(crate) uptime_ms: u64,
    pub(crate) undone: Option<Healer>,
}

impl LedgerFault {
    pub(crate) fn is_expired(&self, uptime_ms: u64) -> bool {
        self.undone.is_none() && uptime_ms > self.uptime_ms.saturating_add(self.ttl_ms)
    }
}

impl LedgerState {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read(path)?))
    }

    /// Leaves out lines that are no records: see the module's head for why that is safe.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut state = Self::default();
        for line in bytes.split(|&byte| byte == b'\n') {
            if let Ok(record) = serde_json::from_slice(line) {
                state.apply(record);
            }
        }
        state
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Opened { run_id, boot_id, launcher } => {
                self.run_id = Some(run_id);
                self.boot_id = Some(boot_id);
                self.launcher = Some(launcher);
            }
            Record::Sandbox { init, cgroup_root } => {
                self.init = Some(init);
                self.cgroup_root = cgroup_root;
            }
            Record::Cluster { info } => self.cluster = Some(*info),
            Record::Intent { fault, kind, steps, undo, ttl_ms, uptime_ms } => {
                self.faults.insert(fault, LedgerFault { kind, steps, undo, ttl_ms, uptime_ms, undone: None });
            }
            Record::Undone { fault, by, .. } => {
                if let Some(fault) = self.faults.get_mut(&fault) {
                    // Who was first is what counts: the run's own undo after the guardian's changes nothing.
                    fault.undone.get_or_insert(by);
                }
            }
            Record::Closed { by } => self.closed = Some(by),
        }
    }

    pub(crate) fn in_force(&self) -> impl Iterator<Item = (u32, &LedgerFault)> {
        self.faults.iter().filter(|(_, fault)| fault.undone.is_none()).map(|(&id, fault)| (id, fault))
    }

    /// The steps of the other faults in force.
    pub(crate) fn beside(&self, fault: u32) -> Vec<&[Step]> {
        self.in_force().filter(|&(id, _)| id != fault).map(|(_, other)| other.steps.as_slice()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(fault: u32) -> Record {
        let cut = vec![("n1".to_owned(), "n2".to_owned())];
        let (steps, undo) = (vec![Step::Cut { pairs: cut.clone() }], vec![Step::Uncut { pairs: cut }]);
        Record::Intent { fault, kind: "partition".into(), steps, undo, ttl_ms: 5_000, uptime_ms: 1_000 }
    }

    fn full(directory: &Path) -> Ledger {
        let ledger = Ledger::create(&directory.join("ledger.jsonl"), "r1").unwrap();
        ledger.sandbox(4_242, 77, Some(Path::new("/sys/fs/cgroup/x"))).unwrap();
        ledger.append(&intent(0)).unwrap();
        ledger.append(&intent(1)).unwrap();
        ledger.undone(0, Healer::Run).unwrap();
        ledger.closed(Healer::Run).unwrap();
        ledger
    }

    #[test]
    fn says_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let state = full(directory.path()).read().unwrap();
        assert_eq!(state.run_id.as_deref(), Some("r1"));
        assert_eq!(state.launcher, Some(ProcessId::own().unwrap()));
        assert_eq!(state.init, Some(ProcessId { pid: 4_242, start_ticks: 77 }));
        assert_eq!(state.in_force().map(|(id, _)| id).collect::<Vec<_>>(), [1]);
        assert_eq!(state.beside(0).len(), 1);
        assert_eq!(state.beside(1).len(), 0);
        assert_eq!(state.closed, Some(Healer::Run));
    }

    #[test]
    fn a_ledger_is_never_begun_twice() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = full(directory.path());
        assert_eq!(Ledger::create(ledger.path(), "r2").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn cut_at_every_byte_it_says_what_its_whole_lines_say_and_takes_more() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = std::fs::read(full(directory.path()).path()).unwrap();
        let path = directory.path().join("cut.jsonl");
        for length in 0..=bytes.len() {
            let cut = &bytes[..length];
            // A line that lacks only its end is whole.
            let ended = bytes.get(length) == Some(&b'\n') || cut.ends_with(b"\n");
            let whole = if ended { length } else { cut.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1) };
            let expected = LedgerState::parse(&bytes[..whole]);
            assert_eq!(LedgerState::parse(cut), expected, "cut at {length}");

            std::fs::write(&path, cut).unwrap();
            Ledger::append_to(&path).unwrap().append(&intent(9)).unwrap();
            let state = LedgerState::read(&path).unwrap();
            assert!(state.faults.contains_key(&9), "cut at {length}");
            assert_eq!(state.faults.len(), expected.faults.len() + 1);
        }
    }

    #[test]
    fn the_first_to_undo_counts_and_a_new_intent_opens_again() {
        let lines = [
            intent(0),
            Record::Undone { fault: 0, by: Healer::Guardian, uptime_ms: 1 },
            Record::Undone { fault: 0, by: Healer::Run, uptime_ms: 2 },
        ];
        let mut state = LedgerState::default();
        lines.into_iter().for_each(|record| state.apply(record));
        assert_eq!(state.faults[&0].undone, Some(Healer::Guardian));
        state.apply(intent(0));
        assert_eq!(state.faults[&0].undone, None);
    }

    #[test]
    fn a_fault_outlives_its_time_to_live_only_in_force() {
        let mut state = LedgerState::default();
        state.apply(intent(0));
        assert!(!state.faults[&0].is_expired(6_000) && state.faults[&0].is_expired(6_001));
        state.apply(Record::Undone { fault: 0, by: Healer::Run, uptime_ms: 1 });
        assert!(!state.faults[&0].is_expired(u64::MAX));
    }
}

//! Faults that wait for something to happen: a line in a server's log, a change of primary, a number of operations, or
//! that somebody who drives the run asks for them.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use regex::bytes::{Regex, RegexBuilder};
use schism_cluster::SandboxInfo;
use serde::{Deserialize, Serialize};

/// How much of a log is read at one look: a server that writes more in that time is read in the next ones.
const READ_MAX: u64 = 1 << 20;
/// Longer lines are not lines of a log.
const LINE_MAX: usize = 64 << 10;
/// A pattern that needs more is not one that a person writes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What a fault waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Condition {
    /// A line that a server writes to its log from then on matches this regular expression.
    Log(LogLine),
    /// Another node claims to be primary than those that did before.
    RoleChange(bool),
    /// So many operations of clients have ended ok since the run started.
    OpsOk(u64),
    /// Whoever drives the run asks for it by this number, with [`Signals::give`]. No schedule file can say so: nobody
    /// would ask.
    Signal(u32),
}

/// How whoever drives a run asks for one fault of its schedule after the other.
#[derive(Debug, Default)]
pub struct Signals {
    state: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    numbers: BTreeSet<u32>,
    over: bool,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signalled {
    NotYet,
    Given,
    /// Nobody will give it any more.
    Never,
}

impl Signals {
    /// The fault that waits for this number begins, once.
    pub fn give(&self, number: u32) {
        self.lock().numbers.insert(number);
    }

    /// No more will be given: faults that still wait do not happen.
    pub fn close(&self) {
        self.lock().over = true;
    }

    fn look(&self, number: u32) -> Signalled {
        let state = self.lock();
        match (state.numbers.contains(&number), state.over) {
            (true, _) => Signalled::Given,
            (false, true) => Signalled::Never,
            (false, false) => Signalled::NotYet,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Given> {
        // Whole after each statement, whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which line of which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pattern: String,
}

impl LogLine {
    /// A line that matches this regular expression, in any node's log.
    ///
    /// # Errors
    /// It is no regular expression.
    pub fn new(pattern: &str) -> Result<Self, String> {
        compile(pattern).map(|_| Self { pattern: pattern.to_owned() })
    }
}

impl Serialize for LogLine {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.pattern)
    }
}

impl<'de> Deserialize<'de> for LogLine {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build();
    built.map_err(|error| format!("{pattern:?} is no regular expression: {error}"))
}

impl Condition {
    /// Refuses what can never come true.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::RoleChange(false) => Err("`role-change = false` waits for nothing: leave it out".to_owned()),
            Self::OpsOk(0) => Err("`ops-ok = 0` waits for nothing: leave it out".to_owned()),
            Self::Log(_) | Self::RoleChange(true) | Self::OpsOk(_) | Self::Signal(_) => Ok(()),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Log(line) => format!("a log line matches {:?}", line.pattern),
            Self::RoleChange(_) => "another node becomes primary".to_owned(),
            Self::OpsOk(count) => format!("{count} operations have ended ok"),
            Self::Signal(_) => "the experiment asks for it".to_owned(),
        }
    }
}

/// A condition that is looked at, from now on.
#[derive(Debug)]
pub(crate) enum Watch {
    Log { pattern: Regex, logs: Vec<Tail> },
    RoleChange { before: Option<BTreeSet<String>> },
    OpsOk { count: u64, done: Arc<AtomicU64> },
    Signal { number: u32, signals: Arc<Signals> },
}

/// What the run itself has to say, beside the cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    /// Operations that have ended ok.
    pub(crate) ops_ok: Arc<AtomicU64>,
    pub(crate) signals: Arc<Signals>,
}

/// What a look needs to know of the cluster.
pub(crate) struct Present {
    /// Who claims to be primary; empty where nobody asked.
    pub(crate) primaries: BTreeSet<String>,
}

impl Watch {
    /// Only what comes from now on counts: lines that the logs have already are not read.
    pub(crate) fn begin(condition: &Condition, info: &SandboxInfo, run: &Run) -> Result<Self, String> {
        Ok(match condition {
            Condition::Log(line) => {
                let paths = info.nodes.iter().flat_map(|node| &node.processes).map(|process| process.log.clone());
                Self::Log { pattern: compile(&line.pattern)?, logs: paths.map(Tail::from_end).collect() }
            }
            Condition::RoleChange(_) => Self::RoleChange { before: None },
            Condition::OpsOk(count) => Self::OpsOk { count: *count, done: Arc::clone(&run.ops_ok) },
            Condition::Signal(number) => Self::Signal { number: *number, signals: Arc::clone(&run.signals) },
        })
    }

    /// Whether a look needs the nodes' claims.
    pub(crate) const fn needs_claims(&self) -> bool {
        matches!(self, Self::RoleChange { .. })
    }

    /// Whether it can no longer come true.
    pub(crate) fn is_hopeless(&self) -> bool {
        matches!(self, Self::Signal { number, signals } if signals.look(*number) == Signalled::Never)
    }

    /// What made it true, once it is.
    pub(crate) fn look(&mut self, present: &Present) -> Option<String> {
        match self {
            Self::Log { pattern, logs } => logs.iter_mut().find_map(|log| log.find(pattern)),
            Self::RoleChange { before } => {
                // In the middle of an election nobody is primary: that alone is no new one.
                if present.primaries.is_empty() {
                    return None;
                }
                let Some(known) = before else {
                    *before = Some(present.primaries.clone());
                    return None;
                };
                let new = present.primaries.difference(known).next()?;
                Some(format!("{new} became primary"))
            }
            Self::OpsOk { count, done } => {
                let now = done.load(Ordering::Relaxed);
                (now >= *count).then(|| format!("{now} operations had ended ok"))
            }
            Self::Signal { number, signals } => {
                (signals.look(*number) == Signalled::Given).then(|| "the experiment asked for it".to_owned())
            }
        }
    }
}

/// The end of a growing file.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line whose end is not yet written.
    partial: Vec<u8>,
}

impl Tail {
    fn from_end(path: PathBuf) -> Self {
        let offset = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self { path, offset, partial: Vec::new() }
    }

    /// The first new line that matches.
    fn find(&mut self, pattern: &Regex) -> Option<String> {
        // A log that cannot be read now (its node is being set up again) may be readable at the next look.
        let new = self.read_new().unwrap_or_default();
        self.partial.extend(new);
        let mut found = None;
        while let Some(end) = self.partial.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            if found.is_none() && pattern.is_match(&line[..end]) {
                found = Some(format!("{}: {}", self.path.display(), String::from_utf8_lossy(&line[..end])));
            }
        }
        if self.partial.len() > LINE_MAX {
            self.partial.clear();
        }
        found
    }

    fn read_new(&mut self) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.offset {
            // Begun anew.
            self.offset = 0;
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut new = Vec::new();
        file.take(READ_MAX).read_to_end(&mut new)?;
        self.offset += new.len() as u64;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn primaries(nodes: &[&str]) -> Present {
        Present { primaries: nodes.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn only_whole_lines_that_come_later_count() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"ready to accept connections\n").unwrap();
        let mut tail = Tail::from_end(file.path().to_path_buf());
        let pattern = compile("accept connections$").unwrap();
        assert_eq!(tail.find(&pattern), None);
        file.write_all(b"LOG: ready to accept conn").unwrap();
        assert_eq!(tail.find(&pattern), None);
        file.write_all(b"ections\nafter\n").unwrap();
        assert!(tail.find(&pattern).unwrap().ends_with("LOG: ready to accept connections"));
        assert_eq!(tail.find(&pattern), None, "once");
        file.as_file().set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(b"accept connections\n").unwrap();
        assert!(tail.find(&pattern).is_some(), "a log that was begun anew");
    }

    #[test]
    fn a_role_changes_when_another_is_primary_and_not_when_nobody_is() {
        let mut watch = Watch::RoleChange { before: None };
        assert_eq!(watch.look(&primaries(&["n1"])), None);
        assert_eq!(watch.look(&primaries(&[])), None);
        assert_eq!(watch.look(&primaries(&["n1"])), None);
        assert_eq!(watch.look(&primaries(&["n1", "n2"])), Some("n2 became primary".to_owned()));
    }

    #[test]
    fn operations_are_counted_by_the_run() {
        let done = Arc::new(AtomicU64::new(9));
        let mut watch = Watch::OpsOk { count: 10, done: Arc::clone(&done) };
        assert_eq!(watch.look(&primaries(&[])), None);
        done.store(12, Ordering::Relaxed);
        assert!(watch.look(&primaries(&[])).is_some());
    }

    #[test]
    fn a_signal_is_given_once_or_never() {
        let run = Run::default();
        let info = SandboxInfo {
            run_id: String::new(),
            init_pid: 0,
            init_start_ticks: 0,
            cgroup_root: None,
            helper: PathBuf::new(),
            nodes_dir: PathBuf::new(),
            nodes: vec![],
            sites: vec![],
        };
        let mut watches = [1, 2].map(|number| Watch::begin(&Condition::Signal(number), &info, &run).unwrap());
        assert!(watches.iter_mut().all(|watch| watch.look(&primaries(&[])).is_none() && !watch.is_hopeless()));
        run.signals.give(2);
        assert!(watches[0].look(&primaries(&[])).is_none() && watches[1].look(&primaries(&[])).is_some());
        run.signals.close();
        assert!(watches[0].is_hopeless() && !watches[1].is_hopeless(), "what was asked for happens");
    }

    #[test]
    fn a_pattern_is_checked_when_it_is_read() {
        let read = |text: &str| serde_json::from_str::<Condition>(text);
        assert!(read(r#"{"log": "checkpoint (starting|complete)"}"#).is_ok());
        assert!(read(r#"{"log": "("}"#).unwrap_err().to_string().contains("no regular expression"));
        assert!(read(r#"{"logs": "x"}"#).is_err());
        assert!(Condition::OpsOk(0).check().is_err() && Condition::RoleChange(false).check().is_err());
    }
}

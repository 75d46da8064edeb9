//! What can go wrong.

use std::io;
use std::path::PathBuf;

/// The cluster could not be started or asked. Never a verdict on the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A server's program is not installed.
    #[error("{program} is not installed; get it with: {command}")]
    Missing {
        /// The program.
        program: String,
        /// The command that installs it.
        command: String,
    },
    /// A setting that cannot be passed on.
    #[error("--set {name}: {reason}")]
    Setting {
        /// The setting.
        name: String,
        /// Why not.
        reason: String,
    },
    /// The specification cannot be carried out.
    #[error("{0}")]
    Spec(String),
    /// The database did not come up.
    #[error("{target} did not come up within {limit_s} s: {missing}{logs}")]
    NotReady {
        /// The target.
        target: String,
        /// The time limit in seconds.
        limit_s: u64,
        /// What was still missing.
        missing: String,
        /// The last lines of each node's logs.
        logs: String,
    },
    /// A node's process ended while it was being started.
    #[error("{node}: {process} ended while starting{logs}")]
    Died {
        /// The node.
        node: String,
        /// The process.
        process: String,
        /// The last lines of each node's logs.
        logs: String,
    },
    /// A program that we ran failed.
    #[error("{program} failed: {output}")]
    Tool {
        /// The program.
        program: String,
        /// What it said.
        output: String,
    },
    /// This target cannot do that.
    #[error("{target} does not support {what}")]
    Unsupported {
        /// The target.
        target: String,
        /// What was asked for.
        what: &'static str,
    },
    /// There is no such node or site.
    #[error("there is no host {0:?}")]
    UnknownHost(String),
    /// A fail-over or rejoin did not work.
    #[error("{what}: {reason}")]
    Replication {
        /// What was being done.
        what: String,
        /// Why it did not work.
        reason: String,
    },
    /// A step that start-up, rejoin or shutdown is made of.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] Refused),
}

/// A step could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// There is no such node or site.
    #[error("there is no host {0:?}")]
    UnknownHost(String),
    /// `nft` refused.
    #[error("nft: {0}")]
    Nft(String),
    /// A process did not start.
    #[error("{node}: cannot start {process}: {reason}")]
    Start {
        /// The node.
        node: String,
        /// The process.
        process: String,
        /// Why.
        reason: String,
    },
    /// The switch did not start or did not take its rules over.
    #[error("the switch: {0}")]
    Switch(String),
    /// The node is frozen: what is started in it would freeze too.
    #[error("{0} is frozen; thaw it first")]
    Frozen(String),
    /// The node has no process to which something could be done.
    #[error("{0} is dead: there is nothing to be done to it")]
    Dead(String),
    /// The node's processes did not reach the wanted state in time.
    #[error("{node} was not {wanted} within {limit_ms} ms")]
    Stuck {
        /// The node.
        node: String,
        /// The wanted state.
        wanted: &'static str,
        /// The time limit in milliseconds.
        limit_ms: u64,
    },
    /// A wall clock could not be set or reset.
    #[error("{node}: cannot set the clock: {reason}")]
    Clock {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
    /// A load of ours did not start, or did not use up what was asked for.
    #[error("{node}: cannot start the load: {reason}")]
    Load {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
    /// The node's disk did not do as it was told.
    #[error("{node}: {problem}")]
    Disk {
        /// The node.
        node: String,
        /// What went wrong.
        problem: String,
    },
    /// There is no file system of ours that could apply a rule.
    #[error("the files of {0} are not served by a file system of ours")]
    NotServed(String),
    /// The task that ran the step ended early.
    #[error("the step was abandoned")]
    Abandoned,
    /// The system refused.
    #[error(transparent)]
    Io(#[from] Refused),
}

/// The sandbox could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The run's name becomes part of a path.
    #[error("a run id has 1 to 64 letters, digits, '.', '_' or '-', not {0:?}")]
    RunId(String),
    /// Neither root nor user namespaces.
    #[error("no sandbox on this machine: {reason}; {way_out}")]
    NotAllowed {
        /// What the system said.
        reason: String,
        /// What would help.
        way_out: String,
    },
    /// `prepare_inside` was called where it must not be.
    #[error("{0}")]
    Misplaced(&'static str),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] Refused),
}

/// A server could not be started by the helper.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The specification is not what this version writes.
    #[error("malformed specification: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The server did not answer its greeting.
    #[error("no answer to {line:?} on port {port}: {reason}")]
    Greeting {
        /// What was said.
        line: String,
        /// To whom.
        port: u16,
        /// What came back.
        reason: String,
    },
    /// A load did not become ready.
    #[error("{0}")]
    Load(String),
    /// The program could not be run.
    #[error("cannot run {}: {source}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system refused.
    #[error(transparent)]
    Io(#[from] Refused),
}

/// The system refused something.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}: {source}")]
pub struct Refused {
    what: String,
    source: io::Error,
}

/// Adds what was being done to an error of the system.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Refused>;
}

impl<T, S: Into<io::Error>> Doing<T> for Result<T, S> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Refused> {
        self.map_err(|source| Refused { what: what(), source: source.into() })
    }
}

//! One idempotent, serialisable action on a running sandbox.

use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::info::SandboxInfo;

/// One idempotent action. Faults are made of steps, and so are their undos: the ledger stores undo steps as data, so
/// that the controller, the guardian and `schism heal` all run the same code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// Drops everything from the first host of each pair to the second, in one atomic transaction.
    Cut {
        /// Directed pairs (from, to) of nodes (`n1`) and client sites (`c1`).
        pairs: Vec<(String, String)>,
    },
    /// Lifts cuts, in one atomic transaction. A pair that is not cut is no error.
    Uncut {
        /// Directed pairs (from, to).
        pairs: Vec<(String, String)>,
    },
    /// SIGKILL to every process of the node; returns when none is left. The node's files stay.
    Kill {
        /// The node.
        node: String,
    },
    /// Starts those processes of the node that are not running; does not wait until they serve.
    Start {
        /// The node.
        node: String,
    },
    /// Stops the node's processes in mid-instruction; its kernel goes on answering (connections open, then hang).
    Freeze {
        /// The node.
        node: String,
    },
    /// Lets a frozen node go on. A node that is not frozen is no error.
    Thaw {
        /// The node.
        node: String,
    },
}

impl Step {
    /// Does it. The caller is inside the sandbox's namespaces. Blocks (up to about ten seconds when a node is stuck):
    /// use [`crate::Cluster::run`] from async code.
    pub fn run(&self, _info: &SandboxInfo) -> Result<(), StepError> {
        unimplemented!()
    }
}

/// From the outside: the beginning of a command that runs inside the sandbox; append program and arguments. The
/// working directory becomes `/`, so give absolute paths.
#[must_use]
pub fn enter_sandbox_command(_info: &SandboxInfo) -> Command {
    unimplemented!()
}

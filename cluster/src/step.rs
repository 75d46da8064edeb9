//! One idempotent, serialisable action on a running sandbox.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clock::{self, ClockChange};
use crate::cluster::NodeState;
use crate::disk::DiskStep;
use crate::error::{Doing, StepError};
use crate::exec::ExecSpec;
use crate::fuse::DiskRule;
use crate::info::{NodeInfo, ProcessSpec, SandboxInfo};
use crate::resource::{Limited, Work};
use crate::switch::{self, Rule, Shaping};
use crate::{ending, fuse, nft, path, process, resource};

/// The helper needs milliseconds, or its greeting's five seconds.
const STARTED_WITHIN: Duration = Duration::from_secs(10);

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
    /// SIGKILL to every process of the node; returns when none is left. The node's files stay. A frozen node is no
    /// longer frozen then.
    ///
    /// The processes die, not the machine: what its kernel has in send buffers is still delivered, if need be when a
    /// cut is lifted. Writes that a primary acknowledged while it was cut off may so reach its standbys after its
    /// death; to be sure that they do not, fail over before lifting the cut (standbys let go of the old connection).
    Kill {
        /// The node.
        node: String,
    },
    /// Asks the node's main processes to shut down in order, by the signal that does so (SIGTERM; for PostgreSQL SIGINT,
    /// its fast shutdown). Does not wait: for several nodes that go down together, before [`Step::Terminate`].
    AskToEnd {
        /// The node.
        node: String,
    },
    /// Asks the node's main processes to shut down in order, waits, and sends SIGKILL to what is left then. Returns
    /// when nothing is left.
    Terminate {
        /// The node.
        node: String,
        /// How long they have, in milliseconds, at most 9000.
        grace_ms: u64,
    },
    /// Starts those processes of the node that are not running; does not wait until they serve.
    Start {
        /// The node.
        node: String,
    },
    /// Starts a load, and returns once it has used up what was asked for. One that runs is left alone.
    Load {
        /// The node that lacks what the load uses up.
        node: String,
        /// Tells it from other loads.
        id: u32,
        /// What it does.
        work: Work,
    },
    /// Ends a load. One that is not there is no error.
    Unload {
        /// The node.
        node: String,
        /// Which.
        id: u32,
    },
    /// Lowers a limit of all processes of the node's servers to what they have and a few more. A dead node is an error.
    Limit {
        /// The node.
        node: String,
        /// Of what.
        limited: Limited,
        /// How many more of them each process may have; processes may have none.
        spare: u64,
    },
    /// Gives the processes of the node's servers the limit that they had. One that is not lowered is no error.
    Unlimit {
        /// The node.
        node: String,
        /// Of what.
        limited: Limited,
    },
    /// Stops the node's processes in mid-instruction; its kernel goes on answering (connections open, then hang).
    /// A dead node is an error: the fault would not bite.
    Freeze {
        /// The node.
        node: String,
    },
    /// Lets a frozen node go on. A node that is not frozen is no error.
    Thaw {
        /// The node.
        node: String,
    },
    /// [`Step::Kill`] and at once [`Step::Start`]. A dead or frozen node is an error: somebody else keeps it so.
    Restart {
        /// The node.
        node: String,
    },
    /// Makes links worse, in place of what the same fault did before.
    Shape {
        /// The fault: several may be in force on one link, which then do to each packet in turn what they do.
        id: u32,
        /// Directed pairs (from, to) of nodes and client sites.
        pairs: Vec<(String, String)>,
        /// How.
        rule: Rule,
        /// Decides which packets are hit.
        seed: u64,
        /// Whether the packets go to files in the results: `fault-<id>.in.pcap` as they come to the links,
        /// `fault-<id>.out.pcap` as they leave them.
        #[serde(default)]
        pcap: bool,
    },
    /// Makes a fault's links whole again. A fault that has shaped none is no error.
    Unshape {
        /// The fault.
        id: u32,
    },
    /// Sets the wall clock of the node's running processes; of those that they make, too. Once more with the same
    /// change it goes on with the line that the clock is on; another change begins a new one. A process that is
    /// started anew has the true time until [`Step::RenewClock`]. A dead node is an error: the fault would not bite.
    SetClock {
        /// The node.
        node: String,
        /// Only this server of it ([`crate::NodeInfo::processes`]) and its children.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<String>,
        /// What becomes of it.
        change: ClockChange,
    },
    /// Sets the wall clock of processes that were started since, to what the node's clock is set to. Where none is
    /// set, it does nothing.
    RenewClock {
        /// The node.
        node: String,
    },
    /// Gives all processes of the node the true time back. A clock that was not set is no error.
    ResetClock {
        /// The node.
        node: String,
    },
    /// Something is done to the node's disk.
    Disk {
        /// The node.
        node: String,
        /// What.
        action: DiskStep,
    },
    /// From now on this rule is in force for the node's files, besides those of other faults. The same fault's rule is
    /// replaced. A node whose files are not served by a file system of ours is an error
    /// (see [`crate::ClusterSpec::fuse`]).
    DiskRule {
        /// The node.
        node: String,
        /// The fault whose rule it is.
        id: u32,
        /// The rule.
        rule: DiskRule,
    },
    /// Lifts the rule of a fault; operations that it delays go on at once. A rule that is not there is no error.
    DiskUnrule {
        /// The node.
        node: String,
        /// The fault whose rule it is.
        id: u32,
    },
}

impl Step {
    /// Does it. The caller is inside the sandbox's namespaces. Blocks (up to about ten seconds when a node is stuck):
    /// use [`crate::Cluster::run`] from async code.
    pub fn run(&self, info: &SandboxInfo) -> Result<(), StepError> {
        match self {
            Self::Cut { pairs } => nft::cut(&addresses(info, pairs)?),
            Self::Uncut { pairs } => nft::uncut(&addresses(info, pairs)?),
            Self::Kill { node } => ending::kill(find(info, node)?),
            Self::AskToEnd { node } => ending::ask(find(info, node)?),
            Self::Terminate { node, grace_ms } => ending::terminate(find(info, node)?, *grace_ms),
            Self::Start { node } => start_node(info, find(info, node)?),
            Self::Load { node, id, work } => resource::start(info, find(info, node)?, *id, work),
            Self::Unload { node, id } => resource::stop(find(info, node)?, *id),
            Self::Limit { node, limited, spare } => resource::limit(find(info, node)?, *limited, *spare),
            Self::Unlimit { node, limited } => resource::unlimit(find(info, node)?, *limited),
            Self::Freeze { node } => process::freeze(find(info, node)?),
            Self::Thaw { node } => process::thaw(find(info, node)?),
            Self::Restart { node } => restart_node(info, find(info, node)?),
            Self::Shape { id, pairs, rule, seed, pcap } => {
                switch::shape(info, &Shaping { id: *id, pairs, rule: *rule, seed: *seed, pcap: *pcap })
            }
            Self::Unshape { id } => switch::unshape(info, *id),
            Self::SetClock { node, process, change } => clock::set(find(info, node)?, process.as_deref(), *change),
            Self::RenewClock { node } => clock::renew(find(info, node)?),
            Self::ResetClock { node } => clock::reset(find(info, node)?),
            Self::Disk { node, action } => action.run(info, find(info, node)?),
            Self::DiskRule { node, id, rule } => fuse::set_rule(find(info, node)?, *id, rule),
            Self::DiskUnrule { node, id } => fuse::lift_rule(find(info, node)?, *id),
        }
    }
}

fn find<'a>(info: &'a SandboxInfo, node: &str) -> Result<&'a NodeInfo, StepError> {
    info.node(node).ok_or_else(|| StepError::UnknownHost(node.to_owned()))
}

fn addresses(info: &SandboxInfo, pairs: &[(String, String)]) -> Result<Vec<nft::Pair>, StepError> {
    let address = |host: &str| info.address(host).ok_or_else(|| StepError::UnknownHost(host.to_owned()));
    pairs.iter().map(|(from, to)| Ok((address(from)?, address(to)?))).collect()
}

fn restart_node(info: &SandboxInfo, node: &NodeInfo) -> Result<(), StepError> {
    match process::state(node).doing(|| format!("look at {}", node.name))? {
        NodeState::Dead => Err(StepError::Dead(node.name.clone())),
        NodeState::Frozen => Err(StepError::Frozen(node.name.clone())),
        NodeState::Running { .. } => {
            process::kill_all(node)?;
            start_node(info, node)
        }
    }
}

fn start_node(info: &SandboxInfo, node: &NodeInfo) -> Result<(), StepError> {
    {
        let _lock = process::lock(node)?;
        ending::finish(node)?;
    }
    node.processes.iter().try_for_each(|process| start_process(info, node, process))
}

/// Starts one process of a node unless it runs.
pub(crate) fn start_process(info: &SandboxInfo, node: &NodeInfo, process: &ProcessSpec) -> Result<(), StepError> {
    // The controller and the guardian may both want to: the second one finds it running.
    let _lock = process::lock(node)?;
    if process::main_pid(node, &process.name).is_some() {
        return Ok(());
    }
    process::wait_until_gone(node, &process.name)?;
    // The helper joins the node and would freeze with it.
    if process::state(node).doing(|| format!("look at {}", node.name))? == NodeState::Frozen {
        return Err(StepError::Frozen(node.name.clone()));
    }
    let fail = |reason| StepError::Start { node: node.name.clone(), process: process.name.clone(), reason };
    let args = ExecSpec::server(node, process).args().map_err(|error| fail(error.to_string()))?;
    run_helper(Command::new(&info.helper).args(args)).map_err(fail)
}

/// Runs the helper to its end, for a bounded time: it may be frozen or killed together with its node.
pub(crate) fn run_helper(command: &mut Command) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut helper = spawned.map_err(text)?;
    let until = Instant::now() + STARTED_WITHIN;
    let status = loop {
        if let Some(status) = helper.try_wait().map_err(text)? {
            break status;
        }
        if Instant::now() > until {
            helper.kill().and_then(|()| helper.wait()).map_err(text)?;
            return Err(format!("its helper took more than {} s", STARTED_WITHIN.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    helper.stderr.take().map_or(Ok(0), |mut pipe| pipe.read_to_string(&mut said)).map_err(text)?;
    Err(format!("{} ({status})", said.trim()))
}

/// From the outside: the beginning of a command that runs inside the sandbox; append program and arguments. The
/// working directory becomes `/`, so give absolute paths. Its exit code is the program's.
#[must_use]
pub fn enter_sandbox_command(info: &SandboxInfo) -> Command {
    let mut command = path::command("nsenter");
    command.args(["--target", &info.init_pid.to_string(), "--mount", "--net", "--ipc", "--pid"]);
    if has_other_user_namespace(info.init_pid) {
        // Root of the sandbox's user namespace is whoever made it; keeping ids and groups needs no right to set them.
        command.args(["--user", "--preserve-credentials"]);
    }
    command.arg("--");
    command
}

fn has_other_user_namespace(init_pid: u32) -> bool {
    let theirs = std::fs::read_link(format!("/proc/{init_pid}/ns/user"));
    let ours = std::fs::read_link("/proc/self/ns/user");
    matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs != ours)
}

//! The sandbox: whatever a run does to the machine happens in namespaces that die with it.
//!
//! ```text
//! launcher                 the command that the user typed; its namespaces never change
//! └─ warden                a fork of it that only waits; the parent of …
//!    └─ PID 1              … the first process of new PID, mount, network and IPC namespaces; only reaps
//!       ├─ controller      what the caller of `prepare_inside` goes on as
//!       └─ servers         orphaned on purpose, so that PID 1 reaps them and the controller waits for its own only
//! ```
//!
//! Every arrow is a parent-death signal or a PID namespace: when the launcher, the warden or PID 1 dies, however it
//! dies, the kernel kills all that is below, and namespaces, links and mounts go with the last process. Cgroup
//! directories and files remain; [`remove_leftovers`] and the ledger take care of them.

mod capabilities;
pub(crate) mod cgroup;
mod inside;
mod spawn;

use std::path::PathBuf;
use std::process::Child;

pub use capabilities::{Capabilities, Capability, Isolation, ServerBinary, capabilities};
pub use cgroup::remove_leftovers;
pub use inside::prepare_inside;
pub(crate) use inside::{FILES, read_init};
pub(crate) use spawn::IdMaps;
pub use spawn::spawn_inside;

/// A sandbox as its launcher holds it.
#[derive(Debug)]
pub struct Inside {
    /// The warden: ends with the exit code of the command inside; killing it kills the sandbox. Signals sent to it
    /// by `kill` are passed on to the command inside.
    pub child: Child,
    /// The sandbox's PID 1, as seen by the launcher.
    pub init_pid: u32,
    /// Its start time, against reuse of its number.
    pub init_start_ticks: u64,
    /// The directory made for the nodes' cgroups, where there are cgroups.
    pub cgroup_root: Option<PathBuf>,
}

//! The sandbox: what a run does to the machine happens in namespaces that die with it.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;

use serde::Serialize;

use crate::error::SandboxError;

/// A sandbox as its launcher holds it.
#[derive(Debug)]
pub struct Inside {
    /// A process outside that waits for the sandbox's PID 1 and ends with the exit code of the command inside;
    /// killing it kills the sandbox.
    pub child: Child,
    /// The sandbox's PID 1, as seen by the launcher.
    pub init_pid: u32,
    /// Its start time, against reuse of its number.
    pub init_start_ticks: u64,
    /// The directory made for the nodes' cgroups, where there are cgroups.
    pub cgroup_root: Option<PathBuf>,
}

/// What this machine can do.
#[derive(Debug, Clone, Serialize)]
pub struct Capabilities {}

/// What this machine can do, with the command that gets what is missing.
#[must_use]
pub fn capabilities() -> Capabilities {
    unimplemented!()
}

/// Runs the current binary with `args` in a new sandbox.
pub fn spawn_inside(_args: &[OsString], _run_id: &str) -> Result<Inside, SandboxError> {
    unimplemented!()
}

/// First thing inside.
pub fn prepare_inside() -> Result<(), SandboxError> {
    unimplemented!()
}

/// Removes what namespaces do not take with them.
pub fn remove_leftovers(_cgroup_root: &Path) -> io::Result<()> {
    unimplemented!()
}

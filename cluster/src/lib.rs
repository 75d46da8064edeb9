//! Local database clusters in network namespaces: how nodes and databases start, stop, are reached, and who is primary.

mod cluster;
mod database;
mod error;
mod exec;
mod info;
mod link;
mod network;
mod nft;
mod proc;
mod process;
pub mod sandbox;
mod start;
mod step;
mod target;

pub use cluster::{Claim, ClaimedRole, Cluster, CutCounter, Failover, NodeState, Probe, RecoveryGoal};
pub use error::{ClusterError, ExecError, Refused, SandboxError, StepError};
pub use exec::internal_exec;
pub use info::{ClusterSpec, Greeting, NodeInfo, ProcessSpec, SandboxInfo, SiteInfo};
pub use step::{Step, enter_sandbox_command};
pub use target::{Database, SettingInfo, TargetInfo, TargetName, Topology, UnknownTarget, targets};

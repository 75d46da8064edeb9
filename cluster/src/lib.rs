//! Local database clusters: how nodes and databases start, stop, are reached, and who is primary.
//!
//! A node is a network namespace with its own address, private files and a set of processes; clients have namespaces of
//! their own on the same bridge, so that a partition can put a client on either side. All of it lives in a *sandbox*,
//! namespaces that die with the process that made them, and everything that is done to a node while it runs is a
//! [`Step`]: idempotent, plain data, run by whoever is there to run it.
//!
//! This crate knows no ops and no histories, and it makes no faults: it offers what faults are made of. Of a run's seed
//! it knows only the number that each fault on links was given to draw its packets' lots from.
//!
//! ```no_run
//! use std::ffi::OsString;
//! use schism_cluster::{Cluster, ClusterSpec, DiskKind, RecoveryGoal, Step, sandbox};
//!
//! // One program in three roles, as its first argument says.
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let args: Vec<String> = std::env::args().collect();
//!     match args.get(1).map(String::as_str) {
//!         Some("internal-exec") => Ok(schism_cluster::internal_exec(&args[2])?),
//!         Some("internal-switch") => Ok(schism_cluster::internal_switch(&args[2])?),
//!         Some("inside") => inside(),
//!         _ => {
//!             let mut inside = sandbox::spawn_inside(&[OsString::from("inside")], "demo")?;
//!             inside.child.wait()?;
//!             if let Some(cgroups) = &inside.cgroup_root {
//!                 sandbox::remove_leftovers(cgroups)?;
//!             }
//!             Ok(())
//!         }
//!     }
//! }
//!
//! fn inside() -> Result<(), Box<dyn std::error::Error>> {
//!     sandbox::prepare_inside()?; // before there is any thread
//!     tokio::runtime::Runtime::new()?.block_on(async {
//!         let cluster = Cluster::start(ClusterSpec {
//!             target: "postgres/async".parse()?,
//!             settings: [("fsync".to_owned(), "off".to_owned())].into(),
//!             nodes_dir: "/tmp/results/nodes".into(),
//!             run_id: "demo".to_owned(),
//!             disk: DiskKind::Memory,
//!             client_sites: 3,
//!             fuse: false,
//!         })
//!         .await?;
//!         cluster.run(Step::Kill { node: "n1".to_owned() }).await?;
//!         let failover = cluster.failover(&[]).await?;
//!         println!("{} took over: {}", failover.new_primary, failover.detail);
//!         println!("{}", cluster.rejoin("n1").await?);
//!         cluster.recovered(RecoveryGoal::OnePrimary).await?;
//!         Ok(cluster.shutdown().await?)
//!     })
//! }
//! ```
//!
//! Not done here: other releases than the one installed, libfaketime.

mod clock;
mod cluster;
mod database;
mod disk;
mod ending;
mod error;
mod exec;
mod fuse;
mod gauge;
mod info;
mod link;
mod network;
mod nft;
mod path;
mod proc;
mod process;
mod resource;
pub mod sandbox;
mod start;
mod step;
mod switch;
mod target;

pub use clock::{ClockChange, SKEW_MAX_MS};
pub use cluster::{Claim, ClaimedRole, Cluster, CutCounter, Failover, NodeState, Probe, RecoveryGoal};
pub use disk::{Damage, DiskKind, DiskStep, check_files};
pub use error::{ClusterError, ExecError, Refused, SandboxError, StepError};
pub use exec::internal_exec;
pub use fuse::{DiskEffect, DiskError, DiskFiles, DiskOperation, DiskRule, internal_fuse};
pub use gauge::{DatagramGauge, DiskProbe, Gauge};
pub use info::{ClusterSpec, Greeting, NodeInfo, ProcessSpec, SandboxInfo, SiteInfo, StopSignal};
pub use network::node_address;
pub use resource::{Limited, Size, Work, internal_load};
pub use start::check_settings;
pub use step::{Step, enter_sandbox_command};
pub use switch::{Corruption, Distribution, Rule, internal_switch};
pub use target::{Database, SettingInfo, TargetInfo, TargetName, Topology, UnknownTarget, targets};

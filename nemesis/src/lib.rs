//! Faults with their undo: when which fault happens to whom, causing it, seeing that it bites, undoing it, and a
//! ledger and a guardian that make sure of the undo whatever happens to us.
//!
//! The path of a fault:
//!
//! 1. [`FaultSpec`] (`--faults partition:primary,kill`), a seed and a [`Window`] give a [`Schedule`]; or a file or a
//!    [`named`] schedule does. Plain data, decided before the run starts.
//! 2. [`Nemesis`] carries it out on a [`Fabric`] (a `schism_cluster::Cluster`, or a cluster in a test's memory):
//!    resolves the target against the nodes' own claims, writes intent and undo to the [`Ledger`], injects, verifies
//!    from the victim's side, undoes, verifies again. Each stage is a [`NemesisEvent`].
//! 3. [`Guardian`] undoes in its place when the run dies or hangs; [`heal`] does the same by hand.
//!
//! What this crate does not know: operations, histories, verdicts. A fault that did not bite or heal is a failure of
//! the harness ([`Outcome::failures`]), never a statement about the database.
//!
//! ```
//! use schism_nemesis::{FaultSpec, Schedule, Spacing, Window};
//! use schism_seed::Seed;
//!
//! let specs = FaultSpec::parse_list("partition:primary,kill")?;
//! let window = Window {
//!     start_ms: 5_000,
//!     end_ms: 60_000,
//!     interval_ms: 10_000,
//!     spacing: Spacing::Uniform,
//!     duration_ms: 5_000,
//!     concurrency: 1,
//! };
//! let schedule = Schedule::draw(&specs, Seed::new(42), &window, 3, |_| None)?.schedule;
//! assert!(schedule.end_ms() <= 60_000);
//! // The same seed gives the same faults, and a stored schedule gives them without one.
//! assert_eq!(Schedule::from_toml(&schedule.to_toml(), Seed::new(0))?, schedule);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod binomial;
mod condition;
mod event;
mod execute;
mod expect;
mod fabric;
mod faults;
mod grudge;
mod guardian;
mod heal;
mod injection;
mod kind;
mod ledger;
mod limits;
mod nearest;
mod options;
mod overlap;
mod process;
mod schedule;
mod spec;
mod state_dir;
mod target;
mod units;

pub use condition::{Condition, LogLine, Signals};
pub use event::{Measured, NemesisEvent, NemesisStage};
pub use execute::{Failure, Nemesis, Outcome};
pub use fabric::{Fabric, FabricError};
pub use faults::{
    BitFlip, Clients, ClockFault, ClockKind, Connections, Cpu, CpuAmount, CrashLoop, Direction, DiskFull, FailoverPlan,
    Fault, FileLimit, Flap, IoFault, Links, Memory, Order, Rejoin, RestartStorm, RollingRestart, Shaping, StaleRestore,
    Terminate, Truncate,
};
pub use guardian::{Guardian, guardian_main};
pub use heal::{CleanUp, HealError, HealOutcome, Healed, UndoCommand, heal, internal_undo, leftovers};
pub use kind::{Family, Kind, KindInfo, OptionInfo, kinds};
pub use ledger::{Healer, Ledger};
pub use limits::{Limits, Share};
pub use options::OptionError;
pub use process::ProcessId;
pub use schedule::{Drawn, Entry, NamedSchedule, Needs, Schedule, ScheduleError, Spacing, When, Window, named, names};
pub use spec::{FaultSpec, SpecError};
pub use state_dir::{ActiveRun, RunRef, StateDir};
pub use target::Target;

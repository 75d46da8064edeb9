//! placeholder

mod kind;
mod nearest;
mod schedule;
mod spec;
mod target;

pub use kind::{Kind, KindInfo, kinds};
pub use schedule::{
    Clients, Entry, FailoverPlan, Fault, NamedSchedule, Needs, Rejoin, Schedule, ScheduleError, Window, named, names,
};
pub use spec::{FaultSpec, SpecError};
pub use target::Target;

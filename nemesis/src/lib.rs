//! placeholder

mod kind;
mod nearest;
mod spec;
mod target;

pub use kind::{Kind, KindInfo, kinds};
pub use spec::{FaultSpec, SpecError};
pub use target::Target;

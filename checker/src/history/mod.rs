//! What was observed, well formed by construction.

mod event;
mod side;

pub use event::{Event, EventType, F, Mop, OpError, Process, Value};
pub use side::{ClaimEvent, ClaimedRole, FaultEvent, FaultStage, Header, Phase, PhaseEvent, RecoveryEvent};

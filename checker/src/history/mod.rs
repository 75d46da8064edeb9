//! What was observed, well formed by construction.
//!
//! Events go into a [`HistoryBuilder`], one by one as they happen or as they are read; out comes a [`History`] of
//! operations, each an invocation paired with its completion, in columns. A checker never sees raw text, and never an
//! operation that completed twice.

mod any;
mod columns;
mod convert;
mod dbcop;
mod digest;
mod edn;
mod event;
mod foreign;
mod interned;
mod json;
mod jsonl;
#[doc(hidden)]
pub mod notation;
mod plume;
mod porcupine;
mod predicate;
mod problem;
mod sessions;
mod side;
mod txn_line;
mod txns;
mod value;

pub use any::{Format, read_any, read_any_for_conversion};
pub use columns::{History, HistoryBuilder, Op, Outcome, SideEvent};
pub use convert::{ConvertError, Target, convert};
pub use edn::write_event_edn;
pub use event::{Event, EventType, F, Mop, OpError, Process, Value};
pub use jsonl::{Loaded, ReadOptions, parse_event, read, write_event, write_header};
pub use predicate::Predicate;
pub use problem::{Problem, Problems};
pub use side::{
    ClaimEvent, ClaimedRole, ClockEvent, FaultEvent, FaultStage, Header, MeasuredStrength, Phase, PhaseEvent,
    ProbeEvent, ProbeStage, RecoveryEvent,
};
pub use txns::MopRef;
pub(crate) use txns::{MopKind, TxnKind, Txns};
pub(crate) use value::plain;

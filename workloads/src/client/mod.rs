//! Clients: one operation to a database and back.
//!
//! What every client keeps to, because a broken rule shows as an anomaly that the database never had:
//!
//! - It answers `ok`, `fail` (certainly not done) or `info` (perhaps done, now or later), and an error that it does
//!   not recognise is `info`. Which error is which is a table in one file per database.
//! - It never retries, never reconnects inside an operation, never shares a connection.
//! - It has no deadline of its own for an operation. The run loop has one: it drops the client when it passes, and
//!   dropping a client closes its connection at once.

pub mod errors;
pub mod lie;
pub mod memory;
pub mod postgres;
pub mod postgres_errors;
pub mod redis;
pub mod redis_errors;
mod redis_lock;
mod resp;
mod store;

use std::sync::Arc;

use futures::future::BoxFuture;
use schism_checker::history::{EventType, OpError, Value};
use tokio::net::TcpStream;

use crate::op::Op;

/// Error class: the connection ended. With `fail`, before anything that could take effect was sent.
pub const CONNECTION_LOST: &str = "connection-lost";
/// Error class: a compare-and-set found another value. Always `fail`.
pub const CAS_MISMATCH: &str = "cas-mismatch";
/// Error class: a transaction updates or deletes a row that is not there. Always `fail`.
pub const NO_ROW: &str = "no-row";
/// Error class: the lock is somebody's. Always `fail`.
pub const LOCK_TAKEN: &str = "lock-taken";
/// Error class: what a lock protects has accepted a greater token. Always `fail`.
pub const STALE_TOKEN: &str = "stale-token";
/// The answer to a release of a lock that was no longer the holder's: `ok` with this value, since the lock is free of it.
pub const NOT_HOLDER: &str = "not-holder";
/// Error class: no connection could be opened. Always `fail`.
pub const CONNECT: &str = "connect";
/// Error class: the operation is not one of this database's or workload's. Always `fail`, and a bug of the plan.
pub const UNSUPPORTED: &str = "unsupported";
/// Error class: the server's answer made no sense. `info`, or `fail` for what only reads.
pub const GARBLED: &str = "garbled";

/// How an operation ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// [`EventType::Ok`], [`EventType::Fail`] (certainly not done) or [`EventType::Info`] (may be done).
    pub kind: EventType,
    /// The result; `None`: the invoked value.
    pub value: Option<Value>,
    /// Why it did not end `ok`.
    pub error: Option<OpError>,
}

impl Completion {
    /// Done, as invoked.
    #[must_use]
    pub const fn ok() -> Self {
        Self { kind: EventType::Ok, value: None, error: None }
    }

    /// Done, with this result.
    #[must_use]
    pub const fn ok_with(value: Value) -> Self {
        Self { kind: EventType::Ok, value: Some(value), error: None }
    }

    /// Certainly not done.
    #[must_use]
    pub fn fail(class: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { kind: EventType::Fail, value: None, error: Some(op_error(class, text)) }
    }

    /// Perhaps done, now or later.
    #[must_use]
    pub fn info(class: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { kind: EventType::Info, value: None, error: Some(op_error(class, text)) }
    }

    /// The class of its error, `""` when it has none.
    #[must_use]
    pub fn class(&self) -> &str {
        self.error.as_ref().map_or("", |error| &error.class)
    }
}

/// How a release ends that found the lock to be somebody else's or nobody's: `ok`, with [`NOT_HOLDER`] as its value.
///
/// It is no `fail`. A holder holds from the `ok` of its acquire until it invokes a release that does not fail: it
/// believes so, and works. Two violate mutual exclusion if these times overlap, and exactly then a model in which an
/// acquire needs a free lock has no order. Were it a `fail`, the lock would be held for ever to the model, and the next
/// acquire a violation: also where the holder gave up before anybody else got the lock.
pub(crate) fn not_holder() -> Completion {
    Completion::ok_with(Value::from_json(NOT_HOLDER.into()))
}

/// An error's class and text.
pub(crate) fn op_error(class: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> OpError {
    OpError { class: class.into(), text: text.into() }
}

/// One connection of one worker to one node.
pub trait Client: Send {
    /// Carries one operation to the database and back. Dropping the future leaves the connection in an unknown
    /// state: drop the client with it.
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Completion>;

    /// True once the connection can carry nothing more: every further operation would `fail` as
    /// [`CONNECTION_LOST`] without having been sent. Drop the client and open another before the next operation.
    fn is_broken(&self) -> bool {
        false
    }
}

/// Opens connections: raw TCP from the place where the client sits.
pub trait Dial: Send + Sync {
    /// Connects client slot `site` to `port` of `node`.
    fn dial<'a>(&'a self, site: u32, node: &'a str, port: u16) -> BoxFuture<'a, std::io::Result<TcpStream>>;
}

/// A database as clients see it: one per database, shared by all workers.
pub trait Connect: Send + Sync {
    /// One new connection of one worker to one node. `Err`: certainly nothing was done by it.
    fn open<'a>(&'a self, site: u32, node: &'a str) -> BoxFuture<'a, Result<Box<dyn Client>, OpError>>;

    /// Creates tables and the like, once, before the first operation, on the node that is primary.
    fn setup<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<(), OpError>>;
}

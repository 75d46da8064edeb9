//! What PostgreSQL's error codes (SQLSTATE) mean.
//!
//! An ERROR undoes the transaction, at COMMIT too: once the commit record is written, the server cannot raise one any
//! more (an error there is a PANIC, and the connection is lost). What is in doubt is a connection that ends, with or
//! without a last word (FATAL), after the deciding statement was sent. Not recognised: `info`.

use super::errors::{ErrorRow, Outcome, Phase};

const CONNECT: &[Phase] = &[Phase::Connect];
const BEFORE: &[Phase] = &[Phase::Connect, Phase::BeforeCommit];
const COMMIT: &[Phase] = &[Phase::Commit];
const ALWAYS: &[Phase] = &[Phase::Connect, Phase::BeforeCommit, Phase::Commit];
const REPLICATION: &[Phase] = &[Phase::Replication];

const fn fail(code: &'static str, phases: &'static [Phase], why: &'static str) -> ErrorRow {
    ErrorRow { code, phases, outcome: Outcome::Fail, why }
}

const fn info(code: &'static str, phases: &'static [Phase], why: &'static str) -> ErrorRow {
    ErrorRow { code, phases, outcome: Outcome::Info, why }
}

const TABLE: &[ErrorRow] = &[
    fail("0A000", ALWAYS, "not supported (SERIALIZABLE on a hot standby); the transaction is undone"),
    fail("08P01", BEFORE, "protocol violation; nothing was committed"),
    info("08007", ALWAYS, "the server itself does not know whether it committed"),
    info("08", COMMIT, "the connection failed while the commit was under way"),
    fail("08", BEFORE, "the connection failed before a commit was asked for"),
    fail("22", ALWAYS, "the data does not fit; the transaction is undone"),
    fail("23", ALWAYS, "a constraint is violated (23505: the key exists); the transaction is undone"),
    fail("25006", ALWAYS, "the node is a replica or the transaction read-only; nothing was written"),
    fail("25P02", ALWAYS, "the transaction had failed before; it can only be rolled back"),
    fail("25P03", BEFORE, "idle in a transaction for too long; ended and undone"),
    fail("28", CONNECT, "not let in"),
    fail("3D000", CONNECT, "there is no such database"),
    fail("40001", ALWAYS, "could not be serialized with others (at COMMIT too), or in conflict with recovery; undone"),
    fail("40P01", ALWAYS, "chosen as the victim of a deadlock; undone"),
    info("40003", ALWAYS, "the server itself does not know whether the statement completed"),
    fail("42", ALWAYS, "the statement cannot be run (42P01: no such table); the transaction is undone"),
    fail("53300", CONNECT, "no free connection"),
    fail("53", BEFORE, "out of a resource before a commit was asked for; undone"),
    info("53", COMMIT, "out of a resource while the commit was under way"),
    fail("55P03", ALWAYS, "a lock was not to be had; undone"),
    fail("57014", ALWAYS, "an ERROR: the statement was cancelled before its commit; undone"),
    fail("57P01", BEFORE, "the backend was told to end before a commit was asked for"),
    info("57P01", COMMIT, "the backend was told to end while the commit was under way"),
    fail("57P02", BEFORE, "another backend crashed before a commit was asked for; all are restarted"),
    info("57P02", COMMIT, "another backend crashed while the commit was under way"),
    fail("57P03", BEFORE, "starting up, shutting down or recovering: no sessions yet"),
    info("57P03", COMMIT, "shutting down while the commit was under way"),
    fail("58", BEFORE, "input or output failed before a commit was asked for; undone"),
    info("58", COMMIT, "input or output failed while the commit was under way"),
    info("01000", REPLICATION, "a WARNING: committed here, and the wait for a synchronous replica was cancelled"),
    info("57P01", REPLICATION, "a WARNING: committed here, and the backend ended while it waited for a replica"),
];

/// The table. Not in it: `info`.
#[must_use]
pub const fn table() -> &'static [ErrorRow] {
    TABLE
}

//! What Redis' error replies mean. Every command decides by itself, so the phases are opening a connection, the
//! command (`at commit or autocommit`) and the `WAIT` after it.
//!
//! Nearly all are `fail`: Redis checks whether it may run a command (`processCommand` in `server.c`) before it runs
//! it, and a command that was begun is finished. Not recognised: `info`.

use super::errors::{ErrorRow, Outcome, Phase};

const ANY: &[Phase] = &[Phase::Connect, Phase::Commit];
const COMMAND: &[Phase] = &[Phase::Commit];
const WAIT: &[Phase] = &[Phase::Replication];

const fn fail(code: &'static str, phases: &'static [Phase], why: &'static str) -> ErrorRow {
    ErrorRow { code, phases, outcome: Outcome::Fail, why }
}

const fn info(code: &'static str, phases: &'static [Phase], why: &'static str) -> ErrorRow {
    ErrorRow { code, phases, outcome: Outcome::Info, why }
}

const TABLE: &[ErrorRow] = &[
    fail("READONLY", COMMAND, "the node is a replica; checked before the command runs, and before a script's write"),
    fail("NOREPLICAS", COMMAND, "fewer replicas than min-replicas-to-write; checked before the command runs"),
    fail("LOADING", ANY, "still reading its data from disk; nothing else is run"),
    fail("MASTERDOWN", ANY, "a replica without its primary and told not to serve stale data; nothing is run"),
    fail("OOM", COMMAND, "over maxmemory; checked before the command runs, and before a script's write"),
    fail("MISCONF", COMMAND, "cannot persist, and told to stop writes then; checked before the command runs"),
    fail("WRONGTYPE", COMMAND, "the key holds something else; checked before it is changed"),
    fail("BUSY", ANY, "a script runs too long; this command was not begun"),
    fail("NOSCRIPT", COMMAND, "the script is not known, so it did not run"),
    fail("NOAUTH", ANY, "not authenticated; nothing is run"),
    fail("WRONGPASS", ANY, "not authenticated; nothing is run"),
    fail("NOPERM", ANY, "not permitted by the access list; checked before the command runs"),
    fail("DENIED", ANY, "protected mode refuses remote clients; the connection is closed at once"),
    fail("EXECABORT", COMMAND, "the transaction was discarded before any of it ran"),
    fail("MOVED", COMMAND, "another node owns the key; not run here, and a client follows no redirection by itself"),
    fail("ASK", COMMAND, "the key is being moved; not run here, and a client follows no redirection by itself"),
    fail("TRYAGAIN", COMMAND, "the keys are being moved; not run"),
    fail("CLUSTERDOWN", COMMAND, "the cluster does not serve; checked before the command runs"),
    fail("CROSSSLOT", COMMAND, "keys on several nodes; checked before the command runs"),
    fail("ERR max number of clients reached", ANY, "the connection is closed at once"),
    fail("ERR unknown command", ANY, "there is nothing to run"),
    fail("ERR wrong number of arguments", COMMAND, "checked before the command runs"),
    fail("ERR value is not an integer", COMMAND, "arguments are parsed before anything changes"),
    info("UNBLOCKED", WAIT, "the node became a replica while WAIT waited: the write was done, and may be undone"),
    info("", WAIT, "the write was done; how many replicas have it is not known"),
];

/// The table. Not in it: `info`.
#[must_use]
pub const fn table() -> &'static [ErrorRow] {
    TABLE
}

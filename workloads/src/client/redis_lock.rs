//! A lock on Redis as people write it: `SET lock ID NX PX lease`, released by a script that deletes it if it is still one's
//! own, and renewed by a watchdog each third of the lease, as Redisson's is.
//!
//! What belongs to a lock that is held, its id and its watchdog, is kept by client slot and not by connection: a
//! connection that was lost neither releases a lock nor ends its holder. The watchdog ends when the release or a write is
//! answered `ok` or may have been done, when such an operation is given up, at the slot's next acquire, when the lock turns
//! out to be lost, and with the connector. It goes on after a release that certainly did not happen: who could not release
//! still holds, and a lock that ended only because schism stopped to renew it would be no fault of the database.
//!
//! The holder is not told that a renewal failed. The watchdog renews where the lock was got.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use redis::{Cmd, cmd};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    Dial,
    resp::{Head, Wire, WireError},
};

const LOCK_KEY: &str = "schism:lock";
const TOKEN_KEY: &str = "schism:lock:token";
const ACCEPTED_KEY: &str = "schism:lock:accepted";

/// Gets the lock, and with it a token greater than all before. What can be refused is refused at the first write, SET,
/// and so nothing is half done: a script that has written is let finish.
const ACQUIRE_FENCED: &str = "if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then \
    return redis.call('INCR', KEYS[2]) else return 0 end";
/// Deletes the lock if it is still its own: somebody else's must not be.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";
/// Puts its end off if it is still its own.
const RENEW: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
    return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end";
/// What the lock protects: it accepts no token that is less than one accepted before.
const WRITE: &str = "local greatest = redis.call('GET', KEYS[1]) \
    if greatest and tonumber(ARGV[1]) < tonumber(greatest) then return 0 end \
    redis.call('SET', KEYS[1], ARGV[1]) return 1";

/// How the workloads `mutex` and `fenced-lock` lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct LockOptions {
    /// The lock ends by itself so long after it was got or renewed.
    pub lease_ms: u32,
    /// An acquire answers a token.
    pub is_fenced: bool,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self { lease_ms: 1_000, is_fenced: false }
    }
}

/// The locks that the client slots hold or held last.
#[derive(Debug, Default)]
pub(super) struct Locks {
    by_slot: Mutex<FxHashMap<u32, SlotLock>>,
}

#[derive(Debug, Default)]
struct SlotLock {
    attempts: u64,
    held: Option<Held>,
}

/// A lock that was granted.
#[derive(Debug)]
pub(super) struct Held {
    /// What the lock holds while it is this holder's.
    id: String,
    /// Ends with this value.
    _watchdog: Watchdog,
}

#[derive(Debug)]
struct Watchdog(AbortHandle);

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Locks {
    /// A panic while it was held is a bug that was reported where it happened; the map is still whole.
    fn lock(&self) -> MutexGuard<'_, FxHashMap<u32, SlotLock>> {
        self.by_slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The id for the next attempt of a slot: no two attempts of a run have the same. Who tries to get the lock does not
    /// hold it (any more).
    pub(super) fn next_id(&self, slot: u32) -> String {
        let mut by_slot = self.lock();
        let own = by_slot.entry(slot).or_default();
        own.held = None;
        own.attempts += 1;
        format!("{slot}-{}", own.attempts)
    }

    /// The slot was granted the lock, or holds it still.
    pub(super) fn put(&self, slot: u32, held: Held) {
        self.lock().entry(slot).or_default().held = Some(held);
    }

    /// The slot's lock; who takes it has to put it back, or its watchdog ends.
    pub(super) fn take(&self, slot: u32) -> Option<Held> {
        self.lock().get_mut(&slot)?.held.take()
    }
}

impl LockOptions {
    /// Tries to get the lock.
    pub(super) fn acquire(&self, id: &str) -> Cmd {
        let mut command;
        if self.is_fenced {
            command = cmd("EVAL");
            command.arg(ACQUIRE_FENCED).arg(2).arg(LOCK_KEY).arg(TOKEN_KEY).arg(id).arg(self.lease_ms);
        } else {
            command = cmd("SET");
            command.arg(LOCK_KEY).arg(id).arg("NX").arg("PX").arg(self.lease_ms);
        }
        command
    }

    fn renew(&self, id: &str) -> Vec<u8> {
        let mut command = cmd("EVAL");
        command.arg(RENEW).arg(1).arg(LOCK_KEY).arg(id).arg(self.lease_ms).get_packed_command()
    }
}

impl Held {
    /// The lock that was granted under this id; from now on it is renewed.
    pub(super) fn renewed(id: String, options: LockOptions, place: Place) -> Self {
        let renewal = options.renew(&id);
        let lease = Duration::from_millis(options.lease_ms.into());
        let watchdog = tokio::spawn(watch(place, renewal, lease));
        Self { id, _watchdog: Watchdog(watchdog.abort_handle()) }
    }

    /// Releases it.
    pub(super) fn release(&self) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(RELEASE).arg(1).arg(LOCK_KEY).arg(&self.id);
        command
    }
}

/// A write to what the lock protects.
pub(super) fn write(token: i64) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(WRITE).arg(1).arg(ACCEPTED_KEY).arg(token);
    command
}

/// Where a watchdog connects to.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) dial: Arc<dyn Dial>,
    pub(super) slot: u32,
    pub(super) node: Arc<str>,
    pub(super) port: u16,
}

/// Renews until the lock is found to be somebody else's or nobody's. An answer that does not come within a lease comes
/// too late, so then it begins anew with another connection; so it does after an error, at the next renewal.
async fn watch(place: Place, renewal: Vec<u8>, lease: Duration) {
    let mut connection: Option<Wire> = None;
    let mut due = Instant::now();
    loop {
        due = (due + lease / 3).max(Instant::now());
        sleep_until(due).await;
        match timeout_at(Instant::now() + lease, renew(&place, &mut connection, &renewal)).await {
            Ok(Ok(Head::Int(0))) => return,
            // An error reply (a replica, still loading): the connection is fine, and what it says may change.
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => connection = None,
        }
    }
}

async fn renew(place: &Place, connection: &mut Option<Wire>, renewal: &[u8]) -> Result<Head, WireError> {
    if connection.is_none() {
        let stream = place.dial.dial(place.slot, &place.node, place.port).await?;
        stream.set_nodelay(true)?;
        *connection = Some(Wire::new(stream));
    }
    let Some(wire) = connection else { unreachable!("opened just above") };
    wire.send(renewal).await?;
    wire.head().await
}

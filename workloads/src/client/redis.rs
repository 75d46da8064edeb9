//! Redis: workloads `set` (one set), `register` (one string per key), `mutex` and `fenced-lock` (one lock with a
//! lease).
//!
//! One command at a time over a connection of its own, without the `redis` crate's connections, which share, retry or
//! reconnect in the background.

use std::sync::Arc;

use futures::future::BoxFuture;
use redis::{Cmd, cmd};
use schism_checker::history::{EventType, OpError, Value};
use serde::{Deserialize, Serialize};

pub use super::redis_lock::LockOptions;
use super::{
    CAS_MISMATCH, CONNECT, CONNECTION_LOST, Client, Completion, Connect, Dial, GARBLED, LOCK_TAKEN, STALE_TOKEN,
    UNSUPPORTED,
    errors::{Phase, outcome},
    not_holder, op_error,
    redis_errors::table,
    redis_lock::{Held, Locks, Place, write as fenced_write},
    resp::{Head, Wire, WireError},
};
use crate::op::{Op, Request};

/// Error class: the write was done on the primary, but fewer replicas than asked for confirmed it in time.
pub const WAIT_SHORT: &str = "wait-short";

const SET_KEY: &str = "schism:set";

/// Compares and sets in one step; EVAL runs alone. The write is the last thing it does, so that an error means it was
/// not done.
const CAS_SCRIPT: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
    redis.call('SET', KEYS[1], ARGV[2]) return 1 else return 0 end";

/// A final read of a set larger than this goes page by page: SMEMBERS would stop the server for the whole of it.
const SCAN_ABOVE: i64 = 100_000;
/// Elements asked for per page.
const SCAN_COUNT: u32 = 10_000;

/// How replicas confirm writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Wait {
    /// So many replicas must have confirmed a write, or it ends `info`.
    pub replicas: u32,
    /// Within this time. 0 means for ever, as in Redis.
    pub timeout_ms: u32,
}

/// Options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// Where the nodes listen.
    pub port: u16,
    /// Follow each write with WAIT.
    pub wait: Option<Wait>,
    /// Of the workloads `mutex` and `fenced-lock`.
    pub lock: LockOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: 6379, wait: None, lock: LockOptions::default() }
    }
}

/// Opens connections to Redis.
#[derive(Clone)]
pub struct Redis {
    dial: Arc<dyn Dial>,
    options: Options,
    locks: Arc<Locks>,
}

impl Redis {
    /// With these options.
    #[must_use]
    pub fn new(dial: Arc<dyn Dial>, options: Options) -> Self {
        Self { dial, options, locks: Arc::default() }
    }

    async fn connect(&self, site: u32, node: &str) -> Result<RedisClient, OpError> {
        let failed = |error: std::io::Error| op_error(CONNECT, error.to_string());
        let stream = self.dial.dial(site, node, self.options.port).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let wait = self.options.wait.map(|wait| {
            let packed = cmd("WAIT").arg(wait.replicas).arg(wait.timeout_ms).get_packed_command();
            (i64::from(wait.replicas), packed)
        });
        let place = Place { dial: Arc::clone(&self.dial), slot: site, node: node.into(), port: self.options.port };
        let (lock, locks) = (self.options.lock, Arc::clone(&self.locks));
        let mut client = RedisClient { wire: Wire::new(stream), wait, packed: Vec::new(), place, lock, locks };
        client.greet().await?;
        Ok(client)
    }
}

impl Connect for Redis {
    fn open<'a>(&'a self, site: u32, node: &'a str) -> BoxFuture<'a, Result<Box<dyn Client>, OpError>> {
        Box::pin(async move { Ok(Box::new(self.connect(site, node).await?) as Box<dyn Client>) })
    }

    /// Nothing has to be created; this only makes sure that the server answers.
    fn setup<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<(), OpError>> {
        Box::pin(async move { self.connect(0, node).await.map(drop) })
    }
}

struct RedisClient {
    wire: Wire,
    /// Replicas that must confirm, and the command that asks for it.
    wait: Option<(i64, Vec<u8>)>,
    /// What is sent, kept to reuse its memory.
    packed: Vec<u8>,
    place: Place,
    lock: LockOptions,
    locks: Arc<Locks>,
}

/// What the reply 0 to a write means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zero {
    /// SADD: the element was there already.
    Done,
    /// The compare-and-set script: it found another value.
    Mismatch,
}

/// What a reply to a command that may write came to.
enum Decided {
    /// Whatever replicas say: nothing was written.
    Alone(Completion),
    /// If as many replicas confirm as are asked for.
    Replicated(Completion),
}

/// Why there is no reply that helps.
enum Trouble {
    /// An error reply; the connection is fine.
    Reply(String),
    Wire(WireError),
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl Trouble {
    /// For an error reply, as its table says. For a connection that ended: `fail` for what only reads, because it
    /// cannot have done anything, and `info` for the rest, because every command decides by itself and was sent.
    fn completion(self, phase: Phase, only_reads: bool) -> Completion {
        match self {
            Self::Reply(text) => outcome(table(), &text, phase).completion(code(&text), &text),
            Self::Wire(WireError::Lost(error)) if only_reads => Completion::fail(CONNECTION_LOST, error.to_string()),
            Self::Wire(WireError::Lost(error)) => Completion::info(CONNECTION_LOST, error.to_string()),
            Self::Wire(WireError::Garbled(text)) => Completion::info(GARBLED, text),
        }
    }
}

/// The first word of an error reply.
fn code(text: &str) -> &str {
    text.split(' ').next().unwrap_or(text)
}

impl Client for RedisClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Completion> {
        Box::pin(async move {
            let Some(request) = Request::of(op) else { return unsupported(op) };
            if !self.wire.check_idle() {
                return Completion::fail(CONNECTION_LOST, "the connection had ended before anything was sent");
            }
            match request {
                Request::Add(element) => self.write(cmd("SADD").arg(SET_KEY).arg(element), Zero::Done).await,
                Request::Write(key, value) => self.write(cmd("SET").arg(register(key)).arg(value), Zero::Done).await,
                Request::Cas(key, old, new) => {
                    let mut script = cmd("EVAL");
                    script.arg(CAS_SCRIPT).arg(1).arg(register(key)).arg(old).arg(new);
                    self.write(&script, Zero::Mismatch).await
                }
                Request::Read(key) => {
                    let read = self.get(key).await.map(|value| Value::keyed(key, value));
                    read.map_or_else(|trouble| trouble.completion(Phase::Commit, true), Completion::ok_with)
                }
                Request::ReadSet => {
                    let read = self.read_set(op.is_final).await.map(Value::ints);
                    read.map_or_else(|trouble| trouble.completion(Phase::Commit, true), Completion::ok_with)
                }
                Request::Acquire => self.acquire().await,
                Request::Release => self.release().await,
                Request::FencedWrite(token) => self.write_fenced(token).await,
                Request::Txn(_) | Request::Rows(_) => unsupported(op),
            }
        })
    }

    fn is_broken(&self) -> bool {
        self.wire.broken
    }
}

fn unsupported(op: &Op) -> Completion {
    Completion::fail(UNSUPPORTED, format!("{} {:?} is not for redis", op.f.name(), op.value))
}

fn register(key: i64) -> String {
    format!("schism:register:{key}")
}

impl RedisClient {
    /// Learns whether a server will talk to us at all. ECHO and not PING, which alone of the commands that do not
    /// write fails while snapshots do (MISCONF): a node that still serves reads would seem gone.
    async fn greet(&mut self) -> Result<(), OpError> {
        let reply = self.ask(cmd("ECHO").arg(0)).await;
        let failed = |trouble: Trouble| match trouble {
            Trouble::Reply(text) => op_error(code(&text), text.as_str()),
            Trouble::Wire(error) => op_error(CONNECT, error.to_string()),
        };
        match reply.map_err(failed)? {
            Head::Bulk(Some(length)) => {
                let echo = self.wire.int_of(length).await;
                echo.map(drop).map_err(|error| op_error(CONNECT, error.to_string()))
            }
            other => Err(op_error(CONNECT, format!("not Redis: it answers {other:?}"))),
        }
    }

    /// Sends one command and returns the head of its reply.
    async fn ask(&mut self, command: &Cmd) -> Result<Head, Trouble> {
        self.packed.clear();
        command.write_packed_command(&mut self.packed);
        self.wire.send(&self.packed).await?;
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Head, Trouble> {
        match self.wire.head().await? {
            Head::Error(text) => Err(Trouble::Reply(text)),
            head => Ok(head),
        }
    }

    /// A writing command and, if replicas are to confirm, WAIT in the same packet: between two packets the primary
    /// could be cut off, and WAIT would be answered by nobody although the write was replicated long ago.
    async fn write(&mut self, command: &Cmd, zero: Zero) -> Completion {
        self.decide(command, |head| match head {
            // The script compared and found something else, so there was nothing to replicate.
            Head::Int(0) if zero == Zero::Mismatch => {
                Some(Decided::Alone(Completion::fail(CAS_MISMATCH, "found another value")))
            }
            Head::Int(_) | Head::Status => Some(Decided::Replicated(Completion::ok())),
            _ => None,
        })
        .await
    }

    /// A command that may write, and WAIT if replicas are to confirm; what its reply means (`None`: it is none) is for
    /// the caller to say.
    async fn decide(&mut self, command: &Cmd, meaning: impl FnOnce(&Head) -> Option<Decided>) -> Completion {
        self.packed.clear();
        command.write_packed_command(&mut self.packed);
        if let Some((_, wait)) = &self.wait {
            self.packed.extend_from_slice(wait);
        }
        let written = match self.wire.send(&self.packed).await {
            Ok(()) => self.reply().await,
            Err(error) => Err(error.into()),
        };
        let lost = matches!(written, Err(Trouble::Wire(_)));
        let confirmed = if lost { Ok(()) } else { self.confirmation().await };
        match written.map(|head| meaning(&head).ok_or(head)) {
            Ok(Ok(Decided::Alone(completion))) => completion,
            Ok(Ok(Decided::Replicated(completion))) => confirmed.err().unwrap_or(completion),
            Ok(Err(other)) => {
                let error = self.wire.garbled(format!("{other:?}"));
                Trouble::Wire(error).completion(Phase::Commit, false)
            }
            Err(trouble) => trouble.completion(Phase::Commit, false),
        }
    }

    /// Tries once: a lock that is taken is not waited for.
    async fn acquire(&mut self) -> Completion {
        let (slot, options) = (self.place.slot, self.lock);
        let id = self.locks.next_id(slot);
        let taken = || Some(Decided::Alone(Completion::fail(LOCK_TAKEN, "somebody holds it")));
        let completion = self
            .decide(&options.acquire(&id), |head| match head {
                Head::Bulk(None) if !options.is_fenced => taken(),
                Head::Status if !options.is_fenced => Some(Decided::Replicated(Completion::ok())),
                Head::Int(0) if options.is_fenced => taken(),
                Head::Int(token) if options.is_fenced => {
                    Some(Decided::Replicated(Completion::ok_with(Value::Int(*token))))
                }
                _ => None,
            })
            .await;
        if completion.kind == EventType::Ok {
            self.locks.put(slot, Held::renewed(id, options, self.place.clone()));
        }
        completion
    }

    /// Deletes the slot's lock if it is still its own. `ok` if it is not, too: see [`not_holder`].
    async fn release(&mut self) -> Completion {
        let slot = self.place.slot;
        let Some(held) = self.locks.take(slot) else {
            return Completion::fail(UNSUPPORTED, "this client holds no lock to release");
        };
        let completion = self
            .decide(&held.release(), |head| match head {
                Head::Int(0) => Some(Decided::Alone(not_holder())),
                Head::Int(_) => Some(Decided::Replicated(Completion::ok())),
                _ => None,
            })
            .await;
        if completion.kind == EventType::Fail {
            self.locks.put(slot, held);
        }
        completion
    }

    /// Writes to what the lock protects, whether the lock is still its own or not: that is what tokens are for.
    async fn write_fenced(&mut self, token: i64) -> Completion {
        let slot = self.place.slot;
        let held = self.locks.take(slot);
        let completion = self
            .decide(&fenced_write(token), |head| match head {
                Head::Int(0) => Some(Decided::Alone(Completion::fail(STALE_TOKEN, "a greater token was accepted"))),
                Head::Int(_) => Some(Decided::Replicated(Completion::ok())),
                _ => None,
            })
            .await;
        if let Some(held) = held.filter(|_| completion.kind != EventType::Info) {
            self.locks.put(slot, held);
        }
        completion
    }

    /// The reply to WAIT, which has to be read even when the write was refused.
    async fn confirmation(&mut self) -> Result<(), Completion> {
        let Some((wanted, _)) = self.wait else { return Ok(()) };
        match self.reply().await {
            Ok(Head::Int(confirmed)) if confirmed >= wanted => Ok(()),
            Ok(Head::Int(confirmed)) => {
                Err(Completion::info(WAIT_SHORT, format!("confirmed by {confirmed} of {wanted} replicas")))
            }
            Ok(other) => {
                let error = self.wire.garbled(format!("{other:?}"));
                Err(Trouble::Wire(error).completion(Phase::Replication, false))
            }
            Err(trouble) => Err(trouble.completion(Phase::Replication, false)),
        }
    }

    async fn get(&mut self, key: i64) -> Result<Option<i64>, Trouble> {
        match self.ask(cmd("GET").arg(register(key))).await? {
            Head::Bulk(None) => Ok(None),
            Head::Bulk(Some(length)) => Ok(Some(self.wire.int_of(length).await?)),
            other => Err(self.wire.garbled(format!("{other:?}")).into()),
        }
    }

    async fn read_set(&mut self, is_final: bool) -> Result<Vec<i64>, Trouble> {
        if is_final && self.ask_int(cmd("SCARD").arg(SET_KEY)).await? > SCAN_ABOVE {
            return self.scan_set().await;
        }
        let count = self.ask_array(cmd("SMEMBERS").arg(SET_KEY)).await?;
        // As they came: an element that SMEMBERS returns twice is something to be found.
        let mut elements = Vec::with_capacity(count.min(1 << 20));
        self.wire.ints_of(count, &mut elements).await?;
        Ok(elements)
    }

    /// The set page by page. SSCAN may return an element more than once by its contract (its cursor survives a
    /// rehash by visiting some buckets again), so here repetition says nothing and is removed.
    async fn scan_set(&mut self) -> Result<Vec<i64>, Trouble> {
        let mut elements = Vec::new();
        let mut cursor = 0;
        loop {
            let parts = self.ask_array(cmd("SSCAN").arg(SET_KEY).arg(cursor).arg("COUNT").arg(SCAN_COUNT)).await?;
            let cursor_head = self.wire.head().await?;
            let (2, Head::Bulk(Some(length))) = (parts, cursor_head) else {
                return Err(self.wire.garbled("SSCAN without a cursor".to_owned()).into());
            };
            // A cursor is an unsigned number of 64 bits with few high bits set (its bits are counted up in reverse),
            // but never beyond the size of the table, so it fits.
            cursor = self.wire.int_of(length).await?;
            let Head::Array(count) = self.wire.head().await? else {
                return Err(self.wire.garbled("SSCAN without a page".to_owned()).into());
            };
            self.wire.ints_of(count, &mut elements).await?;
            if cursor == 0 {
                elements.sort_unstable();
                elements.dedup();
                return Ok(elements);
            }
        }
    }

    async fn ask_int(&mut self, command: &Cmd) -> Result<i64, Trouble> {
        match self.ask(command).await? {
            Head::Int(number) => Ok(number),
            other => Err(self.wire.garbled(format!("{other:?}")).into()),
        }
    }

    async fn ask_array(&mut self, command: &Cmd) -> Result<usize, Trouble> {
        match self.ask(command).await? {
            Head::Array(count) => Ok(count),
            other => Err(self.wire.garbled(format!("{other:?}")).into()),
        }
    }
}

//! A store in this process, for demonstrations and tests: correct (strictly serializable, because one lock is held
//! for the whole of each operation), or with exactly one lie.
//!
//! It has three nodes that share one state: `n1` is primary; `n2` and `n3` are replicas that never lag, serve reads
//! and refuse writes. Only the lie `split-brain` gives them states of their own.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use schism_checker::history::{ClaimedRole, Mop, OpError, Value};
use schism_seed::{Seed, Stream};
use serde::{Deserialize, Serialize};

use super::{
    CAS_MISMATCH, Client, Completion, Connect, LOCK_TAKEN, NO_ROW, STALE_TOKEN, UNSUPPORTED, lie::Lie, lie::LieError,
    not_holder, op_error, store::Store,
};
use crate::{
    closed_predicate::{RowMop, parsed, transaction},
    lock,
    op::{Op, Request},
};

/// The nodes, the primary first.
pub const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Error class: the node is a replica and takes no writes. Always `fail`.
pub const NOT_PRIMARY: &str = "not-primary";
/// Error class: the write was refused. With the lie `dirty-read`, it is there all the same.
pub const REFUSED: &str = "refused";

/// One operation in so many is lied about, where the lie does not need an opportunity of its own.
const LIE_ONE_IN: u64 = 8;
/// A stale read ignores what is younger than this. A write that took effect a moment ago may not have been
/// acknowledged yet when the read begins, and then the old value would be no lie.
const STALE: Duration = Duration::from_millis(5);
/// The brain splits after so many operations, so that both sides have something in common to begin with.
const SPLIT_AFTER_OPS: u64 = 50;
/// It stays split for at least so many operations *and* so long: at fifty thousand operations per second the former
/// alone would be over before anybody asked who is primary.
const SPLIT_OPS: u64 = 400;
/// See [`SPLIT_OPS`].
const SPLIT_TIME: Duration = Duration::from_millis(1_500);

/// Options of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// Every operation takes at least this long.
    pub latency_min_us: u64,
    /// And at most this long; each client draws from its own stream `latency/<slot>`. The least is 0: no wait.
    pub latency_max_us: u64,
    /// The client that carries out this operation (counted from 1) panics, as a bug of ours would make it: the canary
    /// that proves that a run whose own code crashed never passes for one that judged the database. 0: none does.
    pub panic_at_op: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { latency_min_us: 200, latency_max_us: 2_000, panic_at_op: 0 }
    }
}

/// The store. Clones share its state.
#[derive(Debug, Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    seed: Seed,
    options: Options,
    state: Mutex<State>,
}

impl Memory {
    /// An empty store for this workload, which tells the truth (`None`) or one lie.
    ///
    /// # Errors
    /// When the workload could not show the lie.
    pub fn new(workload: &str, lie: Option<Lie>, seed: Seed, options: Options) -> Result<Self, LieError> {
        if let Some(lie) = lie {
            lie.fits(workload)?;
        }
        let is_fenced = lock::Kind::of(workload) == Some(lock::Kind::Fenced);
        let (stream, main) = (seed.stream("lie"), Store::default());
        let state = State { lie, stream, is_fenced, ops: 0, main, split: Split::NotYet };
        Ok(Self { shared: Arc::new(Shared { seed, options, state: Mutex::new(state) }) })
    }

    /// What each node claims to be now.
    #[must_use]
    pub fn claims(&self) -> Vec<(&'static str, ClaimedRole)> {
        let state = self.shared.lock();
        let role = |node| if state.is_primary(node) { ClaimedRole::Primary } else { ClaimedRole::Replica };
        NODES.iter().enumerate().map(|(node, &name)| (name, role(node))).collect()
    }
}

impl Shared {
    /// A panic while it was held is a bug that was reported where it happened; the state is still whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connect for Memory {
    fn open<'a>(&'a self, site: u32, node: &'a str) -> BoxFuture<'a, Result<Box<dyn Client>, OpError>> {
        let position = NODES.iter().position(|&name| name == node);
        let client = position.map(|node| MemoryClient {
            site,
            node,
            latency: self.shared.seed.stream(&format!("latency/{site}")),
            shared: Arc::clone(&self.shared),
        });
        let unknown = || op_error(super::CONNECT, format!("no node {node}; the nodes are {}", NODES.join(", ")));
        Box::pin(std::future::ready(client.map(|client| Box::new(client) as Box<dyn Client>).ok_or_else(unknown)))
    }

    fn setup<'a>(&'a self, _node: &'a str) -> BoxFuture<'a, Result<(), OpError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

struct MemoryClient {
    site: u32,
    node: usize,
    latency: Stream,
    shared: Arc<Shared>,
}

impl MemoryClient {
    /// The wait is before the operation takes effect, so that a client dropped meanwhile has done nothing.
    async fn wait(&mut self) {
        let Options { latency_min_us, latency_max_us, .. } = self.shared.options;
        if latency_max_us == 0 {
            return;
        }
        let spread_us = latency_max_us.saturating_sub(latency_min_us);
        let drawn_us = latency_min_us + self.latency.below(spread_us.saturating_add(1));
        tokio::time::sleep(Duration::from_micros(drawn_us)).await;
    }
}

impl Client for MemoryClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Completion> {
        Box::pin(async move {
            let Some(request) = Request::of(op) else {
                return Completion::fail(UNSUPPORTED, format!("{} {:?}", op.f.name(), op.value));
            };
            self.wait().await;
            let mut state = self.shared.lock();
            let completion = state.invoke(self.site, self.node, request);
            assert!(
                state.ops != self.shared.options.panic_at_op,
                "asked for by panic-at-op={}: a client that crashes",
                state.ops
            );
            completion
        })
    }
}

/// Everything behind the lock.
#[derive(Debug)]
struct State {
    lie: Option<Lie>,
    stream: Stream,
    /// An acquire answers a token.
    is_fenced: bool,
    ops: u64,
    main: Store,
    split: Split,
}

/// The life of the lie `split-brain`.
#[derive(Debug)]
enum Split {
    NotYet,
    /// `n2` is primary, too, with a state of its own.
    On {
        store: Box<Store>,
        since: Instant,
        since_op: u64,
    },
    /// `n2` is a replica again, but keeps what it had: nobody merged it.
    Over {
        store: Box<Store>,
    },
}

/// The node that becomes a second primary.
const SECOND: usize = 1;

impl State {
    fn is_primary(&self, node: usize) -> bool {
        node == 0 || (node == SECOND && matches!(self.split, Split::On { .. }))
    }

    fn invoke(&mut self, site: u32, node: usize, request: Request<'_>) -> Completion {
        self.ops += 1;
        if self.lie == Some(Lie::SplitBrain) {
            self.move_split();
        }
        if !request.only_reads() && !self.is_primary(node) {
            return Completion::fail(NOT_PRIMARY, format!("{} is a replica", NODES[node]));
        }
        let Self { lie, stream, main, split, is_fenced, .. } = self;
        let store = match split {
            Split::On { store, .. } | Split::Over { store } if node == SECOND => &mut **store,
            _ => main,
        };
        Session { lie: *lie, stream, store, site, is_fenced: *is_fenced }.invoke(request)
    }

    fn move_split(&mut self) {
        match &mut self.split {
            Split::NotYet if self.ops > SPLIT_AFTER_OPS => {
                let store = Box::new(self.main.clone());
                self.split = Split::On { store, since: Instant::now(), since_op: self.ops };
            }
            Split::On { store, since, since_op }
                if self.ops - *since_op >= SPLIT_OPS && since.elapsed() >= SPLIT_TIME =>
            {
                self.split = Split::Over { store: std::mem::take(store) };
            }
            Split::NotYet | Split::On { .. } | Split::Over { .. } => {}
        }
    }
}

/// One operation on one state.
struct Session<'a> {
    lie: Option<Lie>,
    stream: &'a mut Stream,
    store: &'a mut Store,
    /// The client's slot.
    site: u32,
    is_fenced: bool,
}

impl Session<'_> {
    /// Whether this lie is the one, and now is the time. Draws only if it is the one.
    fn lies(&mut self, lie: Lie, one_in: u64) -> bool {
        self.lie == Some(lie) && self.stream.chance(1, one_in)
    }

    fn invoke(&mut self, request: Request<'_>) -> Completion {
        match request {
            Request::ReadSet => Completion::ok_with(Value::ints(self.store.set.clone())),
            Request::Read(key) => Completion::ok_with(Value::keyed(key, self.read(key))),
            Request::Txn(mops) if request.only_reads() => self.transact(mops),
            Request::Rows(value) if request.only_reads() => self.transact_rows(value),
            write => self.invoke_write(write),
        }
    }

    fn invoke_write(&mut self, request: Request<'_>) -> Completion {
        if self.lies(Lie::LostWrite, LIE_ONE_IN) {
            return self.pretend(request);
        }
        let refused = self.lies(Lie::DirtyRead, LIE_ONE_IN);
        let completion = self.write(request);
        if refused { Completion::fail(REFUSED, "refused") } else { completion }
    }

    fn read(&mut self, key: i64) -> Option<i64> {
        if self.lies(Lie::StaleRead, 4) { self.store.read_stale(key, STALE) } else { self.store.read(key) }
    }

    /// Answers as if it had been done.
    fn pretend(&mut self, request: Request<'_>) -> Completion {
        match request {
            Request::Cas(key, old, _) if self.store.read(key) != Some(old) => mismatch(self.store.read(key)),
            Request::Txn(mops) => {
                let mut dropped = self.store.lists_of(mops);
                let mut session = Session { lie: None, stream: self.stream, store: &mut dropped, ..*self };
                session.transact(mops)
            }
            Request::Rows(value) => {
                let Some((universe, _)) = parsed(value) else { return unsupported() };
                let before = self.store.rows(universe).clone();
                let completion = self.transact_rows(value);
                *self.store.rows(universe) = before;
                completion
            }
            _ => Completion::ok(),
        }
    }

    fn write(&mut self, request: Request<'_>) -> Completion {
        match request {
            Request::Add(element) => {
                self.store.set.push(element);
                if self.lies(Lie::Duplicate, LIE_ONE_IN) {
                    self.store.set.push(element);
                }
                Completion::ok()
            }
            Request::Write(key, value) => {
                self.store.write(key, value);
                Completion::ok()
            }
            Request::Cas(key, old, new) => {
                let found = self.store.read(key);
                if found == Some(old) || self.lies(Lie::LostUpdate, 2) {
                    self.store.write(key, new);
                    Completion::ok()
                } else {
                    mismatch(found)
                }
            }
            Request::Txn(mops) => self.transact(mops),
            Request::Rows(value) => self.transact_rows(value),
            Request::Acquire => self.acquire(),
            Request::Release => {
                let is_own = self.store.lock.holder == Some(self.site);
                if is_own {
                    self.store.lock.holder = None;
                }
                if is_own { Completion::ok() } else { not_holder() }
            }
            Request::FencedWrite(token) if token < self.store.lock.accepted => {
                Completion::fail(STALE_TOKEN, format!("{} was accepted", self.store.lock.accepted))
            }
            Request::FencedWrite(token) => {
                self.store.lock.accepted = token;
                Completion::ok()
            }
            Request::ReadSet | Request::Read(_) => unreachable!("a read is no write"),
        }
    }

    fn acquire(&mut self) -> Completion {
        if let Some(holder) = self.store.lock.holder
            && !self.lies(Lie::TwoHolders, LIE_ONE_IN)
        {
            return Completion::fail(LOCK_TAKEN, format!("client {holder} holds it"));
        }
        let site = self.site;
        let reuses = self.store.lock.token > 0 && self.lies(Lie::ReusedToken, 4);
        let lock = &mut self.store.lock;
        lock.holder = Some(site);
        if !reuses {
            lock.token += 1;
        }
        if self.is_fenced { Completion::ok_with(Value::Int(self.store.lock.token)) } else { Completion::ok() }
    }

    fn transact(&mut self, mops: &[Mop]) -> Completion {
        let snapshot = if self.lie == Some(Lie::WriteSkew) { self.store.skewing_snapshot(mops) } else { None };
        self.store.begin(mops);
        let mut done = Vec::with_capacity(mops.len());
        let mut touched = Vec::with_capacity(mops.len());
        for mop in mops {
            match *mop {
                Mop::Append { key, element } => {
                    self.append(key, element);
                    done.push(mop.clone());
                    touched.push(key);
                }
                Mop::Read { key, .. } => {
                    let forget = touched.contains(&key) && self.lies(Lie::NonRepeatableRead, 2);
                    let mut list = self.store.list(key, snapshot);
                    if forget {
                        // Its own append, or what it saw when it read the list before.
                        list = list.filter(|list| list.len() > 1).map(|list| list[..list.len() - 1].to_vec());
                    }
                    done.push(Mop::Read { key, list });
                    touched.push(key);
                }
            }
        }
        Completion::ok_with(Value::txn(done))
    }

    /// A transaction on rows: all of it, or nothing where a row is not there that it updates or deletes, or is there that
    /// it inserts.
    fn transact_rows(&mut self, value: &Value) -> Completion {
        let Some((universe, mops)) = parsed(value) else { return unsupported() };
        let mut rows = self.store.rows(universe).clone();
        let mut done = Vec::with_capacity(mops.len());
        let mut own: Vec<i64> = Vec::new();
        for mop in mops {
            let mut read = Value::Nil;
            let is_possible = match mop {
                RowMop::Read(key) => {
                    let forget = own.contains(&key) && self.lies(Lie::NonRepeatableRead, 2);
                    read = rows.get(&key).filter(|_| !forget).map_or(Value::Nil, |value| Value::Int(*value));
                    true
                }
                RowMop::Select(predicate) => {
                    let mut got: Vec<(i64, i64)> = rows
                        .iter()
                        .map(|(key, value)| (*key, *value))
                        .filter(|(_, value)| predicate.matches(*value))
                        .collect();
                    if got.iter().any(|(key, _)| own.contains(key)) && self.lies(Lie::NonRepeatableRead, 2) {
                        got.retain(|(key, _)| !own.contains(key));
                    }
                    if self.lies(Lie::Phantom, 4) {
                        let others = got.iter().rposition(|(key, _)| !own.contains(key));
                        others.map(|at| got.remove(at));
                    }
                    read = RowMop::rows(got);
                    true
                }
                RowMop::Insert(key, value) => {
                    own.push(key);
                    rows.insert(key, value).is_none()
                }
                RowMop::Write(key, value) => {
                    own.push(key);
                    rows.insert(key, value).is_some()
                }
                RowMop::Delete(key) => rows.remove(&key).is_some(),
            };
            if !is_possible {
                return Completion::fail(NO_ROW, "no such row, or there is one already");
            }
            done.push(mop.value(read));
        }
        *self.store.rows(universe) = rows;
        Completion::ok_with(transaction(universe, done))
    }

    fn append(&mut self, key: i64, element: i64) {
        if self.lies(Lie::LostUpdate, LIE_ONE_IN) {
            self.store.drop_last_of_others(key);
        }
        self.store.append(key, element);
        if self.lies(Lie::Duplicate, LIE_ONE_IN) {
            self.store.append(key, element);
        }
    }
}

fn unsupported() -> Completion {
    Completion::fail(UNSUPPORTED, "no transaction on rows")
}

fn mismatch(found: Option<i64>) -> Completion {
    let found = found.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
    Completion::fail(CAS_MISMATCH, format!("found {found}"))
}

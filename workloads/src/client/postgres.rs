//! PostgreSQL: all workloads.
//!
//! - `set`: one row per element, each INSERT a transaction of its own.
//! - `register`: one row per key; reads, upserts and conditional updates in explicit transactions.
//! - `list-append`: one row per key with the list as text, as Jepsen's PostgreSQL tests have it.
//! - `closed-predicate`: rows with their universe, read by key and by predicate.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{
    TryStreamExt,
    future::{BoxFuture, poll_fn},
};
use schism_checker::history::{Mop, OpError, Predicate, Value};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_postgres::{
    AsyncMessage, Config, Connection, Error, NoTls, Row, Statement,
    error::DbError,
    tls::NoTlsStream,
    types::{FromSql, ToSql},
};

use super::{
    CAS_MISMATCH, CONNECT, CONNECTION_LOST, Client, Completion, Connect, Dial, GARBLED, NO_ROW, UNSUPPORTED,
    errors::{Phase, outcome},
    op_error,
    postgres_errors::table,
};
use crate::{
    closed_predicate::{RowMop, parsed, transaction},
    op::{Op, Request},
};

/// Positions among a workload's statements.
const READ: usize = 0;
/// See [`READ`].
const WRITE: usize = 1;
/// See [`READ`]; registers only.
const CAS: usize = 2;
/// See [`READ`]; rows only, whose [`WRITE`] is an update.
const INSERT: usize = 2;
/// See [`INSERT`].
const DELETE: usize = 3;
/// See [`INSERT`]: all rows of a universe, those with a value, those whose value leaves a remainder.
const SELECT_ALL: usize = 4;
/// See [`SELECT_ALL`].
const SELECT_EQUAL: usize = 5;
/// See [`SELECT_ALL`].
const SELECT_MOD: usize = 6;

const IN_RECOVERY: &str = "SELECT pg_is_in_recovery()";

/// Error class: a replica's connection found its node promoted. Always `fail`: it was reading with the isolation of a
/// replica, which on a primary may be less than was asked for.
pub const PROMOTED: &str = "promoted";
/// Error class: the server gives another isolation than was asked for. No connection is opened then.
pub const ISOLATION: &str = "isolation";

/// Isolation of each transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// READ COMMITTED.
    ReadCommitted,
    /// REPEATABLE READ, which in PostgreSQL is snapshot isolation.
    RepeatableRead,
    /// SERIALIZABLE.
    Serializable,
}

impl Isolation {
    const fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// Which workload's tables and statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tables {
    /// `schism_set`.
    Set,
    /// `schism_register`.
    Register,
    /// `schism_list`.
    ListAppend,
    /// `schism_row`.
    ClosedPredicate,
}

impl Tables {
    /// Those of the workload of this name.
    #[must_use]
    pub fn of_workload(name: &str) -> Option<Self> {
        match name {
            "set" => Some(Self::Set),
            "register" => Some(Self::Register),
            "list-append" => Some(Self::ListAppend),
            "closed-predicate" => Some(Self::ClosedPredicate),
            _ => None,
        }
    }

    /// What is there of an earlier run would be taken for this one's.
    const fn create(self) -> &'static str {
        match self {
            Self::Set => "DROP TABLE IF EXISTS schism_set; CREATE TABLE schism_set (element bigint PRIMARY KEY)",
            Self::Register => {
                "DROP TABLE IF EXISTS schism_register; CREATE TABLE schism_register (k bigint PRIMARY KEY, v bigint)"
            }
            Self::ListAppend => {
                "DROP TABLE IF EXISTS schism_list; CREATE TABLE schism_list (k bigint PRIMARY KEY, v text)"
            }
            Self::ClosedPredicate => {
                "DROP TABLE IF EXISTS schism_row; \
                 CREATE TABLE schism_row (k bigint PRIMARY KEY, u bigint NOT NULL, v bigint NOT NULL); \
                 CREATE INDEX schism_row_u ON schism_row (u)"
            }
        }
    }

    /// Read, write, and compare-and-set where there is one: see [`READ`], [`WRITE`], [`CAS`].
    const fn statements(self) -> &'static [&'static str] {
        match self {
            Self::Set => &["SELECT element FROM schism_set", "INSERT INTO schism_set (element) VALUES ($1)"],
            Self::Register => &[
                "SELECT v FROM schism_register WHERE k = $1",
                "INSERT INTO schism_register (k, v) VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = excluded.v",
                "UPDATE schism_register SET v = $2 WHERE k = $1 AND v = $3",
            ],
            Self::ListAppend => &[
                "SELECT v FROM schism_list WHERE k = $1",
                "INSERT INTO schism_list (k, v) VALUES ($1, $2) \
                 ON CONFLICT (k) DO UPDATE SET v = schism_list.v || ',' || excluded.v",
            ],
            Self::ClosedPredicate => &[
                "SELECT v FROM schism_row WHERE k = $1",
                "UPDATE schism_row SET v = $2 WHERE k = $1",
                "INSERT INTO schism_row (k, v, u) VALUES ($1, $2, $3)",
                "DELETE FROM schism_row WHERE k = $1",
                "SELECT k, v FROM schism_row WHERE u = $1",
                "SELECT k, v FROM schism_row WHERE u = $1 AND v = $2",
                "SELECT k, v FROM schism_row WHERE u = $1 AND mod(v, $2) = $3",
            ],
        }
    }
}

/// Options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Options {
    /// Where the nodes listen.
    pub port: u16,
    /// Of each explicit transaction; read back once per connection.
    pub isolation: Isolation,
    /// On a node that was in recovery when the connection was opened, transactions that only read are declared READ
    /// ONLY, and REPEATABLE READ where SERIALIZABLE was asked for, which a standby does not have. False: they are
    /// sent as on the primary, and SERIALIZABLE fails there.
    pub read_only_on_replicas: bool,
    /// For dialling and for the handshake, each.
    pub connect_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: 5432, isolation: Isolation::Serializable, read_only_on_replicas: true, connect_timeout_ms: 5_000 }
    }
}

/// Opens connections to PostgreSQL, user and database `postgres`.
#[derive(Clone)]
pub struct Postgres {
    dial: Arc<dyn Dial>,
    tables: Tables,
    options: Options,
}

impl Postgres {
    /// For one workload's tables.
    #[must_use]
    pub fn new(dial: Arc<dyn Dial>, tables: Tables, options: Options) -> Self {
        Self { dial, tables, options }
    }

    /// A session in which nothing was prepared yet.
    async fn connect(&self, site: u32, node: &str) -> Result<Session, OpError> {
        let limit = Duration::from_millis(self.options.connect_timeout_ms);
        let too_long = |_| op_error(CONNECT, format!("no answer within {} ms", limit.as_millis()));
        let dialled = tokio::time::timeout(limit, self.dial.dial(site, node, self.options.port)).await;
        let stream = dialled.map_err(too_long)?.map_err(|error| op_error(CONNECT, error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| op_error(CONNECT, error.to_string()))?;
        let mut config = Config::new();
        config.user("postgres").dbname("postgres").connect_timeout(limit);
        config.application_name(format!("schism-{site}"));
        let handshake = tokio::time::timeout(limit, config.connect_raw(stream, NoTls)).await;
        let (client, connection) = handshake.map_err(too_long)?.map_err(|error| connect_error(&error))?;
        Ok(Session { client, link: Link { connection, ended: None, local_only: None } })
    }

    async fn prepare(&self, site: u32, node: &str) -> Result<PostgresClient, Lapse> {
        let mut session = self.connect(site, node).await.map_err(Lapse::Connect)?;
        let wanted = self.options.isolation;
        let in_recovery = session.in_recovery().await?;
        let as_replica = in_recovery && self.options.read_only_on_replicas;
        let isolation =
            if as_replica && wanted == Isolation::Serializable { Isolation::RepeatableRead } else { wanted };
        session.check_isolation(isolation).await?;
        let mut statements = Vec::with_capacity(3);
        for sql in self.tables.statements() {
            statements.push(session.prepare(sql).await?);
        }
        let replica_check = if as_replica { Some(session.prepare(IN_RECOVERY).await?) } else { None };
        Ok(PostgresClient {
            session,
            tables: self.tables,
            statements,
            begin_write: format!("BEGIN ISOLATION LEVEL {}", wanted.sql()),
            begin_read: format!(
                "BEGIN ISOLATION LEVEL {}{}",
                isolation.sql(),
                if as_replica { " READ ONLY" } else { "" }
            ),
            replica_check,
        })
    }
}

impl Connect for Postgres {
    fn open<'a>(&'a self, site: u32, node: &'a str) -> BoxFuture<'a, Result<Box<dyn Client>, OpError>> {
        Box::pin(async move {
            let client = self.prepare(site, node).await.map_err(Lapse::op_error)?;
            Ok(Box::new(client) as Box<dyn Client>)
        })
    }

    /// Drops and creates the workload's table.
    fn setup<'a>(&'a self, node: &'a str) -> BoxFuture<'a, Result<(), OpError>> {
        Box::pin(async move {
            let mut session = self.connect(0, node).await?;
            session.batch(self.tables.create()).await.map_err(Lapse::op_error)
        })
    }
}

fn connect_error(error: &Error) -> OpError {
    error.code().map_or_else(|| op_error(CONNECT, text(error)), |code| op_error(code.code(), text(error)))
}

/// tokio-postgres says only "db error"; what happened is in the source.
fn text(error: &Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(error), _) => error.message().to_owned(),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// Why a statement has no result.
#[derive(Debug)]
enum Lapse {
    /// No connection came about.
    Connect(OpError),
    /// The database's own error.
    Db { code: String, text: String },
    /// The connection ended.
    Lost(String),
    /// The answer is not what the statement returns.
    Garbled(String),
}

impl Lapse {
    fn op_error(self) -> OpError {
        match self {
            Self::Connect(error) => error,
            Self::Db { code, text } => op_error(code, text),
            Self::Lost(text) | Self::Garbled(text) => op_error(CONNECT, text),
        }
    }

    /// What it means for an operation. One that only reads cannot have done anything when its connection ended.
    fn completion(self, phase: Phase, only_reads: bool) -> Completion {
        match self {
            Self::Connect(error) => Completion::fail(error.class, error.text),
            Self::Db { code, text } => outcome(table(), &code, phase).completion(&code, &text),
            Self::Lost(text) if only_reads || phase != Phase::Commit => Completion::fail(CONNECTION_LOST, text),
            Self::Lost(text) => Completion::info(CONNECTION_LOST, text),
            Self::Garbled(text) => Completion::info(GARBLED, text),
        }
    }
}

/// The connection and what was heard on it. It is driven by whoever waits for an answer and not by a task of its
/// own: when the client is dropped, the socket is closed with it, whatever was under way, and what ended a connection
/// is known to the operation that it ended.
struct Link {
    connection: Connection<TcpStream, NoTlsStream>,
    /// Why it ended, once it has.
    ended: Option<String>,
    /// A commit is on this node alone: the server gave up waiting for a synchronous replica. Comes as a warning in
    /// front of an ordinary success.
    local_only: Option<(String, String)>,
}

impl Link {
    /// Moves bytes both ways as far as possible now.
    fn listen(&mut self, cx: &mut Context<'_>) {
        while self.ended.is_none() {
            match self.connection.poll_message(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => self.hear(&notice),
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => self.ended = Some(text(&error)),
                Poll::Ready(None) => self.ended = Some("closed by the server".to_owned()),
            }
        }
    }

    /// By the server's function that says so: the words depend on its language, and the code is 01000, that of any
    /// warning (it also comes when the server nears transaction id wraparound, say, with every single write).
    fn hear(&mut self, notice: &DbError) {
        if notice.routine() == Some("SyncRepWaitForLSN") {
            self.local_only = Some((notice.code().code().to_owned(), notice.message().to_owned()));
        }
    }

    /// Waits for an answer while driving the connection.
    async fn drive<T>(&mut self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Lapse> {
        let mut answer = pin!(answer);
        poll_fn(|cx| {
            // The first poll hands the request to the connection, the second takes what the connection brought.
            if let Poll::Ready(result) = answer.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(|error| self.lapse(&error)));
            }
            self.listen(cx);
            match (answer.as_mut().poll(cx), &self.ended) {
                (Poll::Ready(result), _) => Poll::Ready(result.map_err(|error| self.lapse(&error))),
                (Poll::Pending, Some(why)) => Poll::Ready(Err(Lapse::Lost(why.clone()))),
                (Poll::Pending, None) => Poll::Pending,
            }
        })
        .await
    }

    fn lapse(&self, error: &Error) -> Lapse {
        match (error.code(), &self.ended) {
            (Some(code), _) => Lapse::Db { code: code.code().to_owned(), text: text(error) },
            (None, Some(why)) => Lapse::Lost(why.clone()),
            (None, None) if error.is_closed() => Lapse::Lost(text(error)),
            (None, None) => Lapse::Garbled(text(error)),
        }
    }
}

struct Session {
    client: tokio_postgres::Client,
    link: Link,
}

impl Session {
    /// Listens without waiting: a server that ended, or ended this session, has said so.
    fn check_idle(&mut self) -> bool {
        self.link.listen(&mut Context::from_waker(Waker::noop()));
        self.link.ended.is_none()
    }

    async fn batch(&mut self, sql: &str) -> Result<(), Lapse> {
        self.link.drive(self.client.batch_execute(sql)).await
    }

    async fn prepare(&mut self, sql: &str) -> Result<Statement, Lapse> {
        self.link.drive(self.client.prepare(sql)).await
    }

    /// Number of rows touched.
    async fn execute(&mut self, statement: &Statement, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Lapse> {
        self.link.drive(self.client.execute(statement, values)).await
    }

    /// The first column of the first row; `None` when there is no row.
    async fn query_one<T>(&mut self, statement: &Statement, values: &[&(dyn ToSql + Sync)]) -> Result<Option<T>, Lapse>
    where
        T: for<'row> FromSql<'row>,
    {
        let row = self.link.drive(self.client.query_opt(statement, values)).await?;
        row.map(|row| row.try_get(0).map_err(|error| Lapse::Garbled(error.to_string()))).transpose()
    }

    /// The first column of all rows, as they come: a set of millions must not be held as rows first.
    async fn query_ints(&mut self, statement: &Statement) -> Result<Vec<i64>, Lapse> {
        let Self { client, link } = self;
        link.drive(async {
            let mut rows = pin!(client.query_raw(statement, std::iter::empty::<i64>()).await?);
            let mut numbers = Vec::new();
            while let Some(row) = rows.try_next().await? {
                numbers.push(row.try_get(0)?);
            }
            Ok(numbers)
        })
        .await
    }

    /// The first two columns of all rows, by the first.
    async fn query_pairs(
        &mut self,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<(i64, i64)>, Lapse> {
        let rows = self.link.drive(self.client.query(statement, values)).await?;
        let pair = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let mut pairs: Vec<(i64, i64)> =
            rows.iter().map(pair).collect::<Result<_, Error>>().map_err(|error| Lapse::Garbled(error.to_string()))?;
        pairs.sort_unstable();
        Ok(pairs)
    }

    async fn in_recovery(&mut self) -> Result<bool, Lapse> {
        let statement = self.prepare(IN_RECOVERY).await?;
        Ok(self.query_one(&statement, &[]).await?.unwrap_or(false))
    }

    /// Asks the server what isolation it gives, once per connection: a pooler or a setting in between would otherwise
    /// make its own anomalies look like the database's.
    async fn check_isolation(&mut self, isolation: Isolation) -> Result<(), Lapse> {
        self.batch(&format!("BEGIN ISOLATION LEVEL {}", isolation.sql())).await?;
        let statement = self.prepare("SELECT current_setting('transaction_isolation')").await?;
        let given: Option<String> = self.query_one(&statement, &[]).await?;
        self.batch("ROLLBACK").await?;
        let given = given.unwrap_or_default();
        if given.eq_ignore_ascii_case(isolation.sql()) {
            return Ok(());
        }
        Err(Lapse::Connect(op_error(ISOLATION, format!("asked for {}, got {given}", isolation.sql()))))
    }
}

struct PostgresClient {
    session: Session,
    tables: Tables,
    /// See [`READ`].
    statements: Vec<Statement>,
    begin_write: String,
    begin_read: String,
    /// On a replica: asks whether it still is one.
    replica_check: Option<Statement>,
}

/// What the statements of a transaction came to, before it is committed.
enum Body {
    /// To be committed; the result, where it is not what was invoked.
    Done(Option<Value>),
    /// To be rolled back: nothing was written.
    Refused(&'static str, &'static str),
}

impl Client for PostgresClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Completion> {
        Box::pin(async move {
            if !self.session.check_idle() {
                let why = self.session.link.ended.as_deref().unwrap_or_default();
                return Completion::fail(CONNECTION_LOST, format!("ended before anything was sent: {why}"));
            }
            self.session.link.local_only = None;
            match (self.tables, Request::of(op)) {
                (Tables::Set, Some(Request::Add(element))) => self.add(element).await,
                (Tables::Set, Some(Request::ReadSet)) => {
                    let read = self.session.query_ints(&self.statements[READ]).await;
                    read.map_or_else(
                        |lapse| lapse.completion(Phase::Commit, true),
                        |all| Completion::ok_with(Value::ints(all)),
                    )
                }
                (Tables::Register, Some(request @ (Request::Read(_) | Request::Write(..) | Request::Cas(..))))
                | (Tables::ListAppend, Some(request @ Request::Txn(_)))
                | (Tables::ClosedPredicate, Some(request @ Request::Rows(_))) => self.transact(request).await,
                _ => Completion::fail(
                    UNSUPPORTED,
                    format!("{} {:?} is not for {:?}", op.f.name(), op.value, self.tables),
                ),
            }
        })
    }

    fn is_broken(&self) -> bool {
        self.session.link.ended.is_some()
    }
}

impl PostgresClient {
    /// One INSERT that commits by itself, so an error answers statement and commit in one.
    async fn add(&mut self, element: i64) -> Completion {
        match self.session.execute(&self.statements[WRITE], &[&element]).await {
            Ok(_) => self.committed(None),
            Err(lapse) => lapse.completion(Phase::Commit, false),
        }
    }

    async fn transact(&mut self, request: Request<'_>) -> Completion {
        let only_reads = request.only_reads();
        let begin = if only_reads { &self.begin_read } else { &self.begin_write };
        if let Err(lapse) = self.session.batch(begin).await {
            return self.abandon(lapse).await;
        }
        match self.body(request, only_reads).await {
            Ok(Body::Done(value)) => match self.session.batch("COMMIT").await {
                Ok(()) => self.committed(value),
                Err(lapse) => lapse.completion(Phase::Commit, only_reads),
            },
            Ok(Body::Refused(class, text)) => {
                self.rollback().await;
                Completion::fail(class, text)
            }
            Err(lapse) => self.abandon(lapse).await,
        }
    }

    /// Success, unless a warning came with it.
    fn committed(&mut self, value: Option<Value>) -> Completion {
        if let Some((code, text)) = self.session.link.local_only.take() {
            return outcome(table(), &code, Phase::Replication).completion(&code, &text);
        }
        value.map_or_else(Completion::ok, Completion::ok_with)
    }

    /// COMMIT was not sent and will not be.
    async fn abandon(&mut self, lapse: Lapse) -> Completion {
        self.rollback().await;
        lapse.completion(Phase::BeforeCommit, false)
    }

    /// A connection that cannot even roll back is of no more use.
    async fn rollback(&mut self) {
        if self.session.link.ended.is_none()
            && let Err(lapse) = self.session.batch("ROLLBACK").await
        {
            self.session.link.ended.get_or_insert(format!("cannot roll back: {lapse:?}"));
        }
    }

    async fn body(&mut self, request: Request<'_>, only_reads: bool) -> Result<Body, Lapse> {
        if let Some(check) = self.replica_check.as_ref().filter(|_| only_reads)
            && self.session.query_one(check, &[]).await? != Some(true)
        {
            self.session.link.ended = Some("its node was promoted".to_owned());
            return Ok(Body::Refused(PROMOTED, "the node was a replica when the connection was opened"));
        }
        match request {
            Request::Read(key) => {
                let value: Option<i64> = self.session.query_one(&self.statements[READ], &[&key]).await?;
                Ok(Body::Done(Some(Value::keyed(key, value))))
            }
            Request::Write(key, value) => {
                self.session.execute(&self.statements[WRITE], &[&key, &value]).await?;
                Ok(Body::Done(None))
            }
            Request::Cas(key, old, new) => {
                match self.session.execute(&self.statements[CAS], &[&key, &new, &old]).await? {
                    0 => Ok(Body::Refused(CAS_MISMATCH, "found another value")),
                    _ => Ok(Body::Done(None)),
                }
            }
            Request::Txn(mops) => self.mops(mops).await,
            Request::Rows(value) => self.rows(value).await,
            Request::Add(_) | Request::ReadSet => unreachable!("a set has no explicit transactions"),
            Request::Acquire | Request::Release | Request::FencedWrite(_) => unreachable!("there are no locks here"),
        }
    }

    async fn mops(&mut self, mops: &[Mop]) -> Result<Body, Lapse> {
        let mut done = Vec::with_capacity(mops.len());
        for mop in mops {
            match *mop {
                Mop::Append { key, element } => {
                    let text = element.to_string();
                    self.session.execute(&self.statements[WRITE], &[&key, &text]).await?;
                    done.push(mop.clone());
                }
                Mop::Read { key, .. } => {
                    let text: Option<String> = self.session.query_one(&self.statements[READ], &[&key]).await?;
                    let list = text.map(|text| parse_list(&text)).transpose()?;
                    done.push(Mop::Read { key, list });
                }
            }
        }
        Ok(Body::Done(Some(Value::txn(done))))
    }

    /// A transaction on rows. An update or deletion of a row that is not there is no transaction of the workload: what
    /// others read tells the order of a row's versions only because each of them was written over the one before.
    async fn rows(&mut self, value: &Value) -> Result<Body, Lapse> {
        let Some((universe, mops)) = parsed(value) else {
            return Ok(Body::Refused(UNSUPPORTED, "no transaction on rows"));
        };
        let mut done = Vec::with_capacity(mops.len());
        for mop in mops {
            let Self { session, statements, .. } = self;
            let mut read = Value::Nil;
            let touched = match mop {
                RowMop::Read(key) => {
                    let value: Option<i64> = session.query_one(&statements[READ], &[&key]).await?;
                    read = value.map_or(Value::Nil, Value::Int);
                    1
                }
                RowMop::Select(predicate) => {
                    let rows = match predicate {
                        Predicate::True => session.query_pairs(&statements[SELECT_ALL], &[&universe]).await?,
                        Predicate::Equals(value) => {
                            session.query_pairs(&statements[SELECT_EQUAL], &[&universe, &value]).await?
                        }
                        Predicate::Mod { modulus, remainder } => {
                            session.query_pairs(&statements[SELECT_MOD], &[&universe, &modulus, &remainder]).await?
                        }
                    };
                    read = RowMop::rows(rows);
                    1
                }
                RowMop::Insert(key, value) => session.execute(&statements[INSERT], &[&key, &value, &universe]).await?,
                RowMop::Write(key, value) => session.execute(&statements[WRITE], &[&key, &value]).await?,
                RowMop::Delete(key) => session.execute(&statements[DELETE], &[&key]).await?,
            };
            if touched != 1 {
                return Ok(Body::Refused(NO_ROW, "there was no such row"));
            }
            done.push(mop.value(read));
        }
        Ok(Body::Done(Some(transaction(universe, done))))
    }
}

fn parse_list(text: &str) -> Result<Vec<i64>, Lapse> {
    let garbled = |_| Lapse::Garbled(format!("not a list of integers: {text:?}"));
    text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(garbled)
}

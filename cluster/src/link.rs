//! One persistent connection to a server, made in the server's own namespace to 127.0.0.1: no partition can hide an
//! answer, and a server that answers here is up.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::error::{ClusterError, Doing};
use crate::network::Host;

/// A protocol in which one connection answers one question after another.
pub(crate) trait Protocol: Sized + Send + 'static {
    type Question: Clone + Send + 'static;
    type Answer: Send + 'static;
    fn open(stream: TcpStream) -> impl Future<Output = Result<Self, String>> + Send;
    fn ask(&mut self, question: Self::Question) -> impl Future<Output = Result<Self::Answer, String>> + Send;
}

/// A connection that is opened when it is first needed, and again after it broke.
pub(crate) struct Link<P> {
    host: Arc<Host>,
    port: u16,
    runtime: Handle,
    connection: Arc<Mutex<Option<P>>>,
}

impl<P: Protocol> Link<P> {
    pub(crate) fn new(host: Arc<Host>, port: u16, runtime: Handle) -> Self {
        Self { host, port, runtime, connection: Arc::default() }
    }

    /// The answer, or why there is none within `limit`.
    ///
    /// A question that is not answered in time stays under way and blocks the next one: a frozen server gets one
    /// question, not one more connection for each time that it is asked, all of which it would have to serve first
    /// when it goes on.
    pub(crate) async fn ask(&self, question: P::Question, limit: Duration) -> Result<P::Answer, String> {
        let until = Instant::now() + limit;
        let late = |_| format!("no answer within {} ms", limit.as_millis());
        let mut connection = timeout_at(until, Arc::clone(&self.connection).lock_owned()).await.map_err(late)?;
        let (host, port) = (Arc::clone(&self.host), self.port);
        let job = self.runtime.spawn(async move {
            if let Some(mut open) = connection.take()
                && let Ok(answer) = open.ask(question.clone()).await
            {
                *connection = Some(open);
                return Ok(answer);
            }
            // There was no connection, or it ended with the server that it led to: ask the one that is there now.
            // After a refusal this asks twice; a new connection costs a millisecond.
            let mut open = P::open(connect(&host, port).await?).await?;
            let answer = open.ask(question).await;
            *connection = answer.is_ok().then_some(open);
            answer
        });
        timeout_at(until, job).await.map_err(late)?.map_err(|error| error.to_string())?
    }
}

async fn connect(host: &Host, port: u16) -> Result<TcpStream, String> {
    host.connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).await.map_err(|error| error.to_string())
}

/// A thread with a runtime of its own for all links. A connection belongs to the runtime that made it, and the callers'
/// runtimes come and go; and no load on theirs delays a claim.
#[derive(Debug)]
pub(crate) struct LinkThread {
    runtime: Handle,
    /// Ends the thread when dropped.
    _running: oneshot::Sender<()>,
}

impl LinkThread {
    pub(crate) fn start() -> Result<Self, ClusterError> {
        let what = || "start the thread of the administrative connections".to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().doing(what)?;
        let handle = runtime.handle().clone();
        let (running, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("schism links".to_owned());
        thread.spawn(move || drop(runtime.block_on(ended))).doing(what)?;
        Ok(Self { runtime: handle, _running: running })
    }

    pub(crate) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }
}

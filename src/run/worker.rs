//! One task per client: takes an operation, carries it out on a connection of its own, reports how it ended.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use schism_checker::history::EventType;
use schism_workloads::{
    Op,
    client::{Client, Completion, Connect},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::routing::Routing;
use crate::exit::panic_text;

/// Final reads fetch whole states, which takes longer than one operation.
pub(crate) const FINAL_READ_TIMEOUT_FACTOR: u32 = 10;

/// How an operation ended on a worker.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) client: u32,
    pub(crate) op: Op,
    pub(crate) node: Arc<str>,
    pub(crate) completion: Completion,
    /// The worker's code panicked: a failure of the harness, whatever the operation did.
    pub(crate) panic: Option<String>,
}

/// What a worker needs to know.
#[derive(Clone)]
pub(crate) struct WorkerSettings {
    pub(crate) connect: Arc<dyn Connect>,
    pub(crate) routing: Arc<Routing>,
    pub(crate) op_timeout: Duration,
}

/// Runs one client until its channel closes.
pub(crate) async fn run_worker(
    client: u32,
    settings: WorkerSettings,
    mut ops: mpsc::Receiver<Op>,
    finished: mpsc::UnboundedSender<Finished>,
) {
    let mut connection: Option<(Arc<str>, Box<dyn Client>)> = None;
    while let Some(op) = ops.recv().await {
        let node = op.node.clone().unwrap_or_else(|| Arc::clone(settings.routing.node_of(client)));
        if connection.as_ref().is_some_and(|(connected, _)| *connected != node) {
            connection = None;
        }
        let factor = if op.is_final { FINAL_READ_TIMEOUT_FACTOR } else { 1 };
        let deadline = Instant::now() + settings.op_timeout * factor;
        let attempt = AssertUnwindSafe(carry_out(client, &settings, &mut connection, &node, &op, deadline));
        let (completion, panic) = match attempt.catch_unwind().await {
            Ok(completion) => (completion, None),
            Err(payload) => {
                let text = panic_text(payload.as_ref());
                (Completion::info("panic", text.as_str()), Some(text))
            }
        };
        // After an indeterminate operation its process never acts again, so neither may its connection: the answer
        // still to come would be taken for the next operation's.
        if completion.kind == EventType::Info || connection.as_ref().is_some_and(|(_, open)| open.is_broken()) {
            connection = None;
        }
        if finished.send(Finished { client, op, node, completion, panic }).is_err() {
            return;
        }
    }
}

async fn carry_out(
    client: u32,
    settings: &WorkerSettings,
    connection: &mut Option<(Arc<str>, Box<dyn Client>)>,
    node: &Arc<str>,
    op: &Op,
    deadline: Instant,
) -> Completion {
    if connection.is_none() {
        // Nothing of the operation has been sent yet, so whatever goes wrong here it certainly did not happen.
        match timeout_at(deadline, settings.connect.open(client, node)).await {
            Ok(Ok(open)) => *connection = Some((Arc::clone(node), open)),
            Ok(Err(error)) => return Completion::fail(error.class, error.text),
            Err(_) => return Completion::fail("connect-timeout", "no connection within the operation's time limit"),
        }
    }
    let Some((_, open)) = connection else {
        unreachable!("opened just above");
    };
    match timeout_at(deadline, open.invoke(op)).await {
        Ok(completion) => completion,
        Err(_) => Completion::info("timeout", "no answer within the operation's time limit"),
    }
}

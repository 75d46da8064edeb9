//! The reads of every node that end a run.

use std::sync::Arc;

use schism_checker::history::{Event, EventType, F, Value};

use super::{Context, Generator, Step};
use crate::op::Op;

/// Reads every node: `reads` in order, all nodes at once as far as there are workers. A read that does not end `ok`
/// is tried again after `retry_gap_ns`; a node whose read failed `attempts` times is given up, because the same is to
/// be expected of its other reads.
#[must_use]
pub fn final_reads(nodes: &[Arc<str>], reads: Vec<(Value, F)>, attempts: u32, retry_gap_ns: u64) -> Box<dyn Generator> {
    let node = |name: &Arc<str>| NodeReads {
        node: Arc::clone(name),
        position: 0,
        attempts_left: attempts,
        not_before_ns: 0,
        process: None,
    };
    Box::new(FinalReads { nodes: nodes.iter().map(node).collect(), reads: reads.into(), attempts, retry_gap_ns })
}

#[derive(Debug, Clone)]
struct FinalReads {
    nodes: Vec<NodeReads>,
    reads: Arc<[(Value, F)]>,
    attempts: u32,
    retry_gap_ns: u64,
}

#[derive(Debug, Clone)]
struct NodeReads {
    node: Arc<str>,
    /// The read that is due or in flight.
    position: usize,
    attempts_left: u32,
    not_before_ns: u64,
    /// Who is reading.
    process: Option<u32>,
}

impl Generator for FinalReads {
    fn next(mut self: Box<Self>, ctx: &Context<'_>) -> Step {
        let reads = Arc::clone(&self.reads);
        let unfinished = |node: &NodeReads| node.attempts_left > 0 && node.position < reads.len();
        if !self.nodes.iter().any(|node| node.process.is_some() || unfinished(node)) {
            return Step::Done;
        }
        let waiting = self.nodes.iter_mut().filter(|node| node.process.is_none() && unfinished(node));
        let (Some(node), Some(client)) = (waiting.min_by_key(|node| node.not_before_ns), ctx.free.first()) else {
            return Step::Pending { until_ns: None, next: self };
        };
        if node.not_before_ns > ctx.time_ns {
            return Step::Pending { until_ns: Some(node.not_before_ns), next: self };
        }
        let (value, f) = reads[node.position].clone();
        node.process = Some(ctx.process_of[client as usize]);
        let op = Op { client, f, value, node: Some(Arc::clone(&node.node)), is_final: true };
        Step::Op { op, time_ns: ctx.time_ns, next: self }
    }

    fn update(mut self: Box<Self>, ctx: &Context<'_>, event: &Event) -> Box<dyn Generator> {
        let process = event.process.client();
        let reader = self.nodes.iter_mut().find(|node| node.process.is_some() && node.process == process);
        let Some(node) = reader.filter(|_| event.kind != EventType::Invoke) else { return self };
        node.process = None;
        if event.kind == EventType::Ok {
            node.position += 1;
            node.attempts_left = self.attempts;
        } else {
            node.attempts_left -= 1;
            node.not_before_ns = ctx.time_ns.saturating_add(self.retry_gap_ns);
        }
        self
    }

    fn clone_box(&self) -> Box<dyn Generator> {
        Box::new(self.clone())
    }
}

//! Asks every node's database for the time, once a second, in runs that set clocks: what a node took the time for is
//! part of what happened.

use std::{sync::Arc, time::Duration};

use schism_checker::history::ClockEvent;
use schism_cluster::{Cluster, Gauge};
use schism_nemesis::{Family, Schedule};
use tokio::{sync::mpsc, task::AbortHandle, time::Instant};

use super::{clock::Clock, interpreter::Side};

/// Between two questions to one node.
const EVERY: Duration = Duration::from_secs(1);
/// A node that does not answer in time (it is down, or frozen) has no sample.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);

/// Whether a schedule sets clocks.
pub(super) fn are_set_by(schedule: &Schedule) -> bool {
    schedule.entries().iter().any(|entry| entry.fault.kind().info().family == Family::Clock)
}

/// Starts a task per node on the current runtime, until it is aborted.
pub(super) fn watch(cluster: &Arc<Cluster>, clock: Clock, side: &mpsc::UnboundedSender<Side>) -> Vec<AbortHandle> {
    let watch_one = |node: &String| {
        let (cluster, side, node) = (Arc::clone(cluster), side.clone(), node.clone());
        let gauge = Gauge::ClockOffset { node: node.clone(), process: None };
        let task = async move {
            loop {
                let next = Instant::now() + EVERY;
                let asked_ns = clock.now_ns();
                if let Ok(Ok(offset_ms)) = tokio::time::timeout(ANSWER_WITHIN, cluster.measure(&gauge)).await {
                    let event = ClockEvent { node: node.clone(), offset_ms, asked_ns };
                    if side.send(Side::Clock(event)).is_err() {
                        return;
                    }
                }
                tokio::time::sleep_until(next).await;
            }
        };
        tokio::spawn(task).abort_handle()
    };
    cluster.node_names().iter().map(watch_one).collect()
}

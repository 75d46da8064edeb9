//! The probes of the steady state over a run: before the first fault, each second while faults come and go, and after
//! the recovery.

use std::time::{Duration, Instant};

use schism_checker::history::{ProbeEvent, ProbeStage};
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    task::AbortHandle,
    time::sleep,
};

use super::interpreter::Side;
use crate::safety::{Probe, Prober, Sample};

/// Between two rounds of questions.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long a probe may take to come true before the faults (caches fill, replicas attach) and after them.
const PATIENCE: Duration = Duration::from_secs(10);

/// The probes and whom they ask.
#[derive(Clone)]
pub(super) struct SteadyState {
    prober: Prober,
    probes: Vec<Probe>,
}

/// Ends the questions when dropped.
pub(super) struct Watching(Option<AbortHandle>);

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl SteadyState {
    pub(super) const fn new(prober: Prober, probes: Vec<Probe>) -> Self {
        Self { prober, probes }
    }

    /// Whether faults may begin. Where they may not, the run is told why.
    pub(super) async fn holds_before(&self, side: &UnboundedSender<Side>) -> bool {
        let failed = self.ask_patiently(ProbeStage::Before, side).await;
        if failed.is_empty() {
            return true;
        }
        let why = format!("the steady state did not hold before the first fault: {}", failed.join("; "));
        let _ = side.send(Side::Abort(why));
        false
    }

    /// Asks each second until what it returns is dropped, or the run is cancelled.
    pub(super) fn watch(&self, side: UnboundedSender<Side>, mut cancel: watch::Receiver<bool>) -> Watching {
        if self.probes.is_empty() {
            return Watching(None);
        }
        let steady = self.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = cancel.wait_for(|cancelled| *cancelled) => return,
                    () = sleep(ASK_EVERY) => {}
                }
                for probe in &steady.probes {
                    let sample = steady.prober.look(probe).await;
                    tell(&side, probe, ProbeStage::During, sample);
                }
            }
        });
        Watching(Some(task.abort_handle()))
    }

    /// After the recovery: what holds then is the end of the story.
    pub(super) async fn ask_after(&self, side: &UnboundedSender<Side>) {
        self.ask_patiently(ProbeStage::After, side).await;
    }

    /// Each probe until it holds or the patience with all of them is over; those that do not hold, with their answers.
    async fn ask_patiently(&self, stage: ProbeStage, side: &UnboundedSender<Side>) -> Vec<String> {
        let begin = Instant::now();
        let mut failed = Vec::new();
        for probe in &self.probes {
            let sample = loop {
                let sample = self.prober.look(probe).await;
                if sample.held || begin.elapsed() > PATIENCE {
                    break sample;
                }
                sleep(ASK_EVERY).await;
            };
            if !sample.held {
                failed.push(format!("{} ({})", probe.name, sample.got));
            }
            tell(side, probe, stage, sample);
        }
        failed
    }
}

fn tell(side: &UnboundedSender<Side>, probe: &Probe, stage: ProbeStage, sample: Sample) {
    // A closed channel: the loop has ended, and with it the need to know.
    let _ = side.send(Side::Probe(ProbeEvent { probe: probe.name.clone(), stage, held: sample.held, got: sample.got }));
}

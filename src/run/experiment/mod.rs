//! Carries out an experiment: hypothesis, method, hypothesis again, rollbacks, and its journal.
//!
//! It runs beside the nemesis. A fault of the method is an entry of the run's schedule that waits for a signal; this
//! gives the signal and waits until the fault is over, so that ledger, verification, limits and report know of nothing
//! new.

mod http;
mod process;
mod story;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use schism_checker::history::{ProbeEvent, ProbeStage};
use schism_cluster::Cluster;
use schism_nemesis::Signals;
use serde_json::Value;
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

pub(super) use self::story::Stories;
use super::interpreter::{Ending, Side};
use crate::experiment::{Activity, Experiment, Journal, Provider, Record, State, Status};

/// A rollback without a `timeout` may take this long: the run waits for it even after Ctrl-C.
const ROLLBACK_LIMIT: Duration = Duration::from_secs(60);
/// Everything else without one: longer than any run. The end of the run's time ends it.
const NO_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// An experiment and what it needs to be carried out.
pub(super) struct Driver {
    experiment: Experiment,
    hand: Hand,
    steady: Duration,
    directory: PathBuf,
    side: UnboundedSender<Side>,
}

impl Drop for Driver {
    /// However it ends, the run must hear of it: it waits for that.
    fn drop(&mut self) {
        if std::thread::panicking() {
            tell(&self.side, Side::HarnessError("the experiment ended by a bug of schism".to_owned()));
        }
        tell(&self.side, Side::ExperimentOver);
    }
}

/// What does an activity.
#[derive(Clone)]
struct Hand {
    cluster: Arc<Cluster>,
    signals: Arc<Signals>,
    stories: watch::Receiver<Stories>,
    stop: watch::Receiver<Option<Ending>>,
}

/// The experiment is to end early.
struct Stopped;

impl Driver {
    pub(super) fn new(
        experiment: Experiment,
        cluster: &Arc<Cluster>,
        signals: &Arc<Signals>,
        stories: watch::Receiver<Stories>,
        stop: watch::Receiver<Option<Ending>>,
        side: UnboundedSender<Side>,
        (steady, directory): (Duration, &Path),
    ) -> Self {
        let hand = Hand { cluster: Arc::clone(cluster), signals: Arc::clone(signals), stories, stop };
        Self { experiment, hand, steady, directory: directory.to_path_buf(), side }
    }

    /// From beginning to end. Where it may not begin (`allowed`), only the rollbacks are done.
    pub(super) async fn run(mut self, allowed: bool) {
        let side = &self.side.clone();
        let mut journal = Journal::begin(&self.experiment);
        let ended = if allowed { self.carry_out(&mut journal, side).await } else { Err(Stopped) };
        self.hand.signals.close();
        if ended.is_err() {
            // The nemesis heals at once; what is put right before that would be put right under faults.
            self.hand.healed().await;
        }
        journal.rollbacks = self.roll_back().await;
        match *self.hand.stop.borrow() {
            Some(Ending::Interrupted) => journal.status = Status::Interrupted,
            Some(_) => journal.status = Status::Aborted,
            None if ended.is_err() => journal.status = Status::Aborted,
            None => {}
        }
        if let Err(error) = journal.write(&self.directory) {
            tell(side, Side::HarnessError(format!("the experiment's journal could not be written: {error:#}")));
        }
        if let Some(failed) = journal.before.as_ref().filter(|state| !state.met).and_then(|state| state.probes.last()) {
            let name = failed.activity["name"].as_str().unwrap_or_default();
            let got = outcome(failed);
            tell(
                side,
                Side::Abort(format!("the steady-state hypothesis was not met before the method: {name} ({got})")),
            );
        }
    }

    async fn carry_out(&mut self, journal: &mut Journal, side: &UnboundedSender<Side>) -> Result<(), Stopped> {
        self.hand.pause(self.steady).await?;
        let before = self.hypothesis(ProbeStage::Before, side).await?;
        let met = before.as_ref().is_none_or(|state| state.met);
        journal.before = before;
        if !met {
            journal.status = Status::Failed;
            return Ok(());
        }
        tell(side, Side::MethodBegins);
        let (records, ended) = self.method().await;
        journal.run = records;
        ended?;
        journal.after = self.hypothesis(ProbeStage::After, side).await?;
        if journal.after.as_ref().is_some_and(|state| !state.met) {
            (journal.deviated, journal.status) = (true, Status::Failed);
        }
        Ok(())
    }

    /// Probe by probe, up to the first that is not tolerated. `None` where there is nothing to ask.
    async fn hypothesis(&self, stage: ProbeStage, side: &UnboundedSender<Side>) -> Result<Option<State>, Stopped> {
        let probes = self.experiment.hypothesis.as_ref().map(|hypothesis| &*hypothesis.probes).unwrap_or_default();
        let mut state = State { met: true, probes: Vec::new() };
        for probe in probes {
            let mut record = self.hand.clone().execute(probe, NO_LIMIT, true).await;
            self.hand.go_on()?;
            let tolerated = |output| probe.tolerance.as_ref().is_none_or(|tolerance| tolerance.holds(output));
            let met = record.result.as_ref().is_ok_and(tolerated);
            record.tolerance_met = Some(met);
            let got = outcome(&record);
            tell(side, Side::Probe(ProbeEvent { probe: probe.name.clone(), stage, held: met, got }));
            state.probes.push(record);
            if !met {
                state.met = false;
                break;
            }
        }
        Ok((!state.probes.is_empty()).then_some(state))
    }

    /// In order, until the experiment is to end.
    async fn method(&self) -> (Vec<Record>, Result<(), Stopped>) {
        let records = self.hand.in_order(&self.experiment.method, NO_LIMIT, true).await;
        (records, self.hand.go_on())
    }

    /// Every one, whatever became of the others and of the experiment.
    async fn roll_back(&self) -> Vec<Record> {
        self.hand.in_order(&self.experiment.rollbacks, ROLLBACK_LIMIT, false).await
    }
}

/// An activity that was begun.
enum Running {
    Ended(Record),
    Task(JoinHandle<Record>),
}

async fn joined(activity: &Activity, task: JoinHandle<Record>) -> Record {
    match task.await {
        Ok(record) => record,
        Err(error) => Record::begin(activity).end(Err(format!("a bug of schism: {error}"))),
    }
}

impl Hand {
    fn go_on(&self) -> Result<(), Stopped> {
        if self.stop.borrow().is_some() { Err(Stopped) } else { Ok(()) }
    }

    /// One after the other; those in the background are waited for at the end.
    async fn in_order(&self, activities: &[Activity], limit: Duration, stoppable: bool) -> Vec<Record> {
        let mut running = Vec::new();
        for activity in activities {
            if stoppable && self.go_on().is_err() {
                break;
            }
            let (mut hand, copy) = (self.clone(), activity.clone());
            let task = tokio::spawn(async move { hand.execute(&copy, limit, stoppable).await });
            running.push(if activity.background {
                Running::Task(task)
            } else {
                Running::Ended(joined(activity, task).await)
            });
        }
        let mut records = Vec::new();
        for (running, activity) in running.into_iter().zip(activities) {
            records.push(match running {
                Running::Ended(record) => record,
                Running::Task(task) => joined(activity, task).await,
            });
        }
        records
    }

    async fn pause(&mut self, length: Duration) -> Result<(), Stopped> {
        if length.is_zero() {
            return self.go_on();
        }
        tokio::select! {
            biased;
            _ = self.stop.wait_for(Option::is_some) => Err(Stopped),
            () = sleep(length) => Ok(()),
        }
    }

    /// One activity with its pauses. One that is `stoppable` ends when the experiment is to end.
    async fn execute(&mut self, activity: &Activity, limit: Duration, stoppable: bool) -> Record {
        let stopped = || Err("the experiment was ended".to_owned());
        if stoppable {
            if self.pause(activity.pause_before).await.is_err() {
                return Record::begin(activity).end(stopped());
            }
        } else {
            sleep(activity.pause_before).await;
        }
        let record = Record::begin(activity);
        let mut stop = self.stop.clone();
        let result = tokio::select! {
            biased;
            _ = stop.wait_for(Option::is_some), if stoppable => stopped(),
            result = self.act(&activity.provider, limit) => result,
        };
        let record = record.end(result);
        if stoppable {
            let _ = self.pause(activity.pause_after).await;
        } else {
            sleep(activity.pause_after).await;
        }
        record
    }

    async fn act(&mut self, provider: &Provider, limit: Duration) -> Result<Value, String> {
        match provider {
            Provider::Process(process) => process::run(&self.cluster, process, limit).await,
            Provider::Http(http) => match timeout(limit, http::ask(&self.cluster, http)).await {
                Ok(answer) => answer,
                Err(_) => Err("activity took too long to complete".to_owned()),
            },
            Provider::Fault(signal) => {
                self.signals.give(*signal);
                let id = *signal;
                let over = self.stories.wait_for(|stories| stories.is_over(id)).await;
                over.map_err(|_| "the nemesis ended before the fault was over".to_owned())?.outcome(id)
            }
        }
    }

    /// Until the nemesis has healed everything and ended.
    async fn healed(&mut self) {
        // It ends with an error when there is nobody any more who tells stories.
        let _ = self.stories.wait_for(|_| false).await;
    }
}

/// What came of it, on a line.
fn outcome(record: &Record) -> String {
    const CHARS_MAX: usize = 120;
    let said = match &record.result {
        Ok(output) => {
            let text =
                |part: &str| output[part].as_str().map(|text| text.trim().replace('\n', " ")).unwrap_or_default();
            let rest = [text("stdout"), text("stderr"), text("body")].join(" ");
            format!("status {} {rest}", output["status"])
        }
        Err(problem) => problem.clone(),
    };
    said.trim().chars().take(CHARS_MAX).collect()
}

fn tell(side: &UnboundedSender<Side>, said: Side) {
    // A closed channel: the loop has ended, and with it the need to know.
    let _ = side.send(said);
}

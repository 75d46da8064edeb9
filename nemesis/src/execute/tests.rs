//! The executor on a cluster in memory, which can lie, in virtual time.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard},
};

use schism_cluster::{Claim, ClockChange, Failover, Gauge, NodeState, Probe, SandboxInfo};
use schism_seed::Seed;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::{ledger::LedgerState, schedule::named};

/// How a fake cluster misbehaves.
#[derive(Default)]
struct Lies {
    /// A cut cuts nothing.
    cut_is_leaky: bool,
    /// SIGKILL kills nothing.
    kill_is_survived: bool,
    /// So many of the next starts leave a server that ends at once.
    starts_in_vain: u32,
    /// So many of the next undo steps are refused.
    undos_refused: u32,
    /// Nobody claims to be primary before that time.
    no_primary_before: Option<Instant>,
    /// No replica can be promoted.
    failover_refused: bool,
}

#[derive(Default)]
struct FakeState {
    cut: BTreeSet<(String, String)>,
    dead: BTreeSet<String>,
    frozen: BTreeSet<String>,
    shaped: BTreeSet<u32>,
    /// Rules on the files of a node, by fault.
    rules: BTreeSet<(String, u32)>,
    /// By term; the nodes that claim to be primary.
    primaries: BTreeMap<String, u64>,
    lies: Lies,
    /// What the nodes' clocks are set to, and what those of their running processes are.
    clocks: BTreeMap<String, (ClockChange, bool)>,
    /// What every gauge shows of links that are shaped; of others it shows nothing.
    measures: f64,
    /// What was done, each with the faults that the ledger said were in force at that moment.
    log: Vec<String>,
}

struct Fake {
    nodes: Vec<String>,
    ledger: PathBuf,
    state: Mutex<FakeState>,
}

impl Fake {
    fn state(&self) -> MutexGuard<'_, FakeState> {
        self.state.lock().unwrap()
    }

    fn log(&self, what: &str) {
        let ledger = LedgerState::read(&self.ledger).unwrap();
        let in_force: Vec<u32> = ledger.in_force().map(|(id, _)| id).collect();
        self.state().log.push(format!("{what} {in_force:?}"));
    }

    fn apply(&self, step: &Step) -> Result<(), FabricError> {
        let undoes =
            matches!(step, Step::Uncut { .. } | Step::Thaw { .. } | Step::Start { .. } | Step::ResetClock { .. });
        let mut state = self.state();
        if undoes && state.lies.undos_refused > 0 {
            state.lies.undos_refused -= 1;
            return Err(FabricError("refused".into()));
        }
        match step {
            Step::Cut { .. } if state.lies.cut_is_leaky => {}
            Step::Cut { pairs } => state.cut.extend(pairs.iter().cloned()),
            Step::Uncut { pairs } => state.cut.retain(|pair| !pairs.contains(pair)),
            Step::Kill { .. } if state.lies.kill_is_survived => {}
            Step::AskToEnd { .. }
            | Step::Load { .. }
            | Step::Unload { .. }
            | Step::Limit { .. }
            | Step::Unlimit { .. } => {}
            Step::Kill { node } | Step::Terminate { node, .. } => {
                state.dead.insert(node.clone());
                state.frozen.remove(node);
                state.clocks.get_mut(node).into_iter().for_each(|(_, in_force)| *in_force = false);
            }
            Step::Start { node } if state.frozen.contains(node) => {
                return Err(FabricError(format!("{node} is frozen")));
            }
            Step::Start { .. } if state.lies.starts_in_vain > 0 => state.lies.starts_in_vain -= 1,
            Step::Start { node } => {
                state.dead.remove(node);
            }
            Step::Freeze { node } if state.dead.contains(node) => return Err(FabricError(format!("{node} is dead"))),
            Step::Freeze { node } => {
                state.frozen.insert(node.clone());
            }
            Step::Thaw { node } => {
                state.frozen.remove(node);
            }
            Step::Restart { .. } => {}
            Step::Shape { id, .. } => {
                state.shaped.insert(*id);
            }
            Step::Unshape { id } => {
                state.shaped.remove(id);
            }
            Step::SetClock { node, change, .. } => {
                state.clocks.insert(node.clone(), (*change, true));
            }
            Step::RenewClock { node } => {
                state.clocks.get_mut(node).into_iter().for_each(|(_, in_force)| *in_force = true);
            }
            Step::ResetClock { node } => {
                state.clocks.remove(node);
            }
            Step::Disk { node, action } => {
                if *action == DiskStep::PowerOff {
                    state.dead.insert(node.clone());
                    state.frozen.remove(node);
                }
            }
            Step::DiskRule { node, id, .. } => {
                state.rules.insert((node.clone(), *id));
            }
            Step::DiskUnrule { node, id } => {
                state.rules.remove(&(node.clone(), *id));
            }
        }
        Ok(())
    }
}

fn name(step: &Step) -> String {
    match step {
        Step::Cut { pairs } => format!("cut {}", pairs.len()),
        Step::Uncut { pairs } => format!("uncut {}", pairs.len()),
        Step::Kill { node } => format!("kill {node}"),
        Step::AskToEnd { node } => format!("ask {node} to end"),
        Step::Load { node, id, .. } => format!("load {node} {id}"),
        Step::Unload { node, id } => format!("unload {node} {id}"),
        Step::Limit { node, .. } => format!("limit {node}"),
        Step::Unlimit { node, .. } => format!("unlimit {node}"),
        Step::Terminate { node, .. } => format!("terminate {node}"),
        Step::Start { node } => format!("start {node}"),
        Step::Freeze { node } => format!("freeze {node}"),
        Step::Thaw { node } => format!("thaw {node}"),
        Step::Restart { node } => format!("restart {node}"),
        Step::Shape { id, .. } => format!("shape {id}"),
        Step::Unshape { id } => format!("unshape {id}"),
        Step::SetClock { node, .. } => format!("set-clock {node}"),
        Step::RenewClock { node } => format!("renew-clock {node}"),
        Step::ResetClock { node } => format!("reset-clock {node}"),
        Step::Disk { node, action } => format!("disk {node} {action:?}"),
        Step::DiskRule { node, id, .. } => format!("rule {id} {node}"),
        Step::DiskUnrule { node, id } => format!("unrule {id} {node}"),
    }
}

impl Fabric for Fake {
    async fn run(&self, step: Step) -> Result<(), FabricError> {
        self.log(&name(&step));
        self.apply(&step)
    }

    async fn probe(&self, from: &str, to: &str, timeout: Duration) -> Probe {
        let (there, back) = ((from.to_owned(), to.to_owned()), (to.to_owned(), from.to_owned()));
        let cut = {
            let state = self.state();
            state.cut.contains(&there) || state.cut.contains(&back)
        };
        if !cut {
            return Probe::Reached;
        }
        sleep(timeout).await;
        Probe::Silent
    }

    async fn measure(&self, gauge: &Gauge) -> Result<f64, String> {
        let state = self.state();
        let change = |node| state.clocks.get(node).filter(|(_, in_force)| *in_force).map(|(change, _)| *change);
        Ok(match gauge {
            Gauge::ClockOffset { node, .. } => match change(node) {
                Some(ClockChange::Skew { offset_ms }) => offset_ms as f64,
                _ => 0.0,
            },
            Gauge::ClockRate { node, .. } => match change(node) {
                Some(ClockChange::Drift { rate_ppm }) => rate_ppm as f64,
                Some(ClockChange::Freeze) => -1e6,
                _ => 0.0,
            },
            Gauge::Datagrams { .. } if !state.shaped.is_empty() => state.measures,
            _ => 0.0,
        })
    }

    fn node_state(&self, node: &str) -> NodeState {
        let state = self.state();
        match (state.dead.contains(node), state.frozen.contains(node)) {
            (true, _) => NodeState::Dead,
            (false, true) => NodeState::Frozen,
            (false, false) => NodeState::Running { pids: vec![1] },
        }
    }

    async fn claim(&self, node: &str) -> Claim {
        let silent = self.node_state(node) != (NodeState::Running { pids: vec![1] });
        let state = self.state();
        let hidden = state.lies.no_primary_before.is_some_and(|until| Instant::now() < until);
        let (role, term) = match state.primaries.get(node) {
            _ if silent => (ClaimedRole::Unreachable, None),
            Some(&term) if !hidden => (ClaimedRole::Primary, Some(term)),
            _ => (ClaimedRole::Replica, Some(1)),
        };
        Claim { role, term }
    }

    async fn failover(&self, avoid: &[String]) -> Result<Failover, FabricError> {
        self.log("failover");
        let mut state = self.state();
        if state.lies.failover_refused {
            return Err(FabricError("no standby".into()));
        }
        let new = self.nodes.iter().find(|node| !avoid.contains(node)).unwrap();
        state.primaries.insert(new.clone(), 2);
        Ok(Failover {
            old_primary: avoid[0].clone(),
            new_primary: new.clone(),
            detail: format!("{new} promoted at 0/1"),
        })
    }

    async fn rejoin(&self, node: &str) -> Result<String, FabricError> {
        self.log(&format!("rejoin {node}"));
        let mut state = self.state();
        state.primaries.remove(node);
        state.dead.remove(node);
        Ok(format!("{node} rejoined by pg_rewind"))
    }

    fn node_names(&self) -> &[String] {
        &self.nodes
    }

    fn info(&self) -> SandboxInfo {
        SandboxInfo {
            run_id: "r1".into(),
            init_pid: 0,
            init_start_ticks: 0,
            cgroup_root: None,
            helper: PathBuf::new(),
            nodes_dir: PathBuf::new(),
            nodes: vec![],
            sites: vec![],
        }
    }
}

/// A nemesis on a fake cluster of three nodes, n1 primary.
struct Test {
    nemesis: Nemesis<Fake>,
    fabric: Arc<Fake>,
    events: UnboundedReceiver<NemesisEvent>,
    cancel: watch::Sender<bool>,
    ledger: Arc<Ledger>,
    _directory: tempfile::TempDir,
}

impl Test {
    fn new(schedule: Schedule, lies: Lies) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.jsonl");
        let ledger = Arc::new(Ledger::create(&path, "r1").unwrap());
        let primaries = BTreeMap::from([("n1".to_owned(), 1)]);
        let state = Mutex::new(FakeState { primaries, lies, ..FakeState::default() });
        let nodes = ["n1", "n2", "n3"].map(String::from).to_vec();
        let fabric = Arc::new(Fake { nodes, ledger: path, state });
        let (sender, events) = unbounded_channel();
        let (cancel, cancelled) = watch::channel(false);
        let nemesis =
            Nemesis::new(Arc::clone(&fabric), schedule, Arc::clone(&ledger), sender, Instant::now(), cancelled)
                .unwrap();
        Self { nemesis, fabric, events, cancel, ledger, _directory: directory }
    }

    fn toml(text: &str, lies: Lies) -> Self {
        Self::new(Schedule::from_toml(text, Seed::new(1)).unwrap(), lies)
    }

    fn events(&mut self) -> Vec<NemesisEvent> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    fn stages(&mut self) -> Vec<(u32, NemesisStage)> {
        self.events().into_iter().map(|event| (event.id, event.stage)).collect()
    }

    fn log(&self) -> Vec<String> {
        self.fabric.state().log.clone()
    }

    /// Nothing is cut, dead or frozen, and the ledger agrees.
    fn assert_healed(&self) {
        let state = self.fabric.state();
        assert!(state.cut.is_empty() && state.dead.is_empty() && state.frozen.is_empty() && state.shaped.is_empty());
        assert!(state.clocks.is_empty());
        assert!(state.rules.is_empty());
        assert_eq!(self.ledger.read().unwrap().in_force().count(), 0);
        assert_eq!(self.nemesis.in_force(), [0; 0]);
    }
}

use NemesisStage::{Failed, Heal, Healed, Inject, Injected};

const CUT: &str = "[[fault]]\nat = \"1s\"\nfor = \"5s\"\nkind = \"partition\"\ntarget = \"primary\"\n";

#[tokio::test(start_paused = true)]
async fn intent_is_written_before_the_fault_and_undone_after_its_undo() {
    let mut test = Test::toml(CUT, Lies::default());
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome, Outcome { injected: 1, ..Outcome::default() });
    assert_eq!(test.log(), ["cut 16 [0]", "uncut 16 [0]"]);
    let events = test.events();
    assert_eq!(events.iter().map(|event| event.stage).collect::<Vec<_>>(), [Inject, Injected, Heal, Healed]);
    assert!(events.iter().all(|event| (event.kind.as_str(), event.target.as_str()) == ("partition", "primary")));
    assert!(events.iter().all(|event| event.victims == ["n1"]));
    let [_, injected, _, healed] = &events[..] else { panic!() };
    assert!(injected.verified.starts_with("no answer within 300 ms to 12 of 12 probes: "), "{}", injected.verified);
    assert!(injected.verified.contains("an answer to 6 of 6 probes"), "{}", injected.verified);
    // The moment of the action, not of the end of its verification.
    assert_eq!(injected.effective_ns, Some(1_000_000_000));
    assert_eq!(healed.effective_ns, Some(6_000_000_000));
    assert!(healed.verified.starts_with("an answer to 6 of 6 probes: "), "{}", healed.verified);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn kills_and_pauses_are_verified_and_undone() {
    let mut test = Test::toml(
        "[[fault]]\nat = 0\nfor = 100\nkind = \"kill\"\ntarget = \"all\"\n\
         [[fault]]\nat = 1000\nfor = 100\nkind = \"pause\"\ntarget = \"n2\"\n",
        Lies::default(),
    );
    assert!(test.nemesis.run().await.failures.is_empty());
    assert_eq!(
        test.log(),
        [
            "kill n1 [0]",
            "kill n2 [0]",
            "kill n3 [0]",
            "start n1 [0]",
            "start n2 [0]",
            "start n3 [0]",
            "freeze n2 [1]",
            "thaw n2 [1]"
        ]
    );
    let verified: Vec<String> = test.events().into_iter().map(|event| event.verified).collect();
    assert_eq!(verified[1], "n1 has no process; n2 has no process; n3 has no process");
    assert_eq!(verified[5], "n2 is frozen; the database on n2 does not answer");
    assert_eq!(verified[7], "n2 runs; the database on n2 answers");
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn chained_pulses_wait_for_each_other() {
    let mut test = Test::toml(
        "[[fault]]\nat = 0\nfor = 60000\nkind = \"rolling-restart\"\ntarget = \"all\"\npause = \"5s\"\n\
         [[fault]]\nat = 1000\nkind = \"terminate\"\ntarget = \"n2\"\n",
        Lies::default(),
    );
    let outcome = test.nemesis.run().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    // n1 is the primary; what another fault terminates is started when the rolling restart ends.
    let expected = [
        "terminate n2 [0]",
        "start n2 [0]",
        "terminate n2 [0, 1]",
        "terminate n3 [0]",
        "start n3 [0]",
        "terminate n1 [0]",
        "start n1 [0]",
        "start n2 [0]",
        "start n3 [0]",
        "start n1 [0]",
    ];
    assert_eq!(test.log(), expected);
    let healed = test.events().pop().unwrap();
    assert_eq!((healed.stage, healed.effective_ns), (Healed, Some(60_000_000_000)));
    assert!(healed.detail.ends_with("5 of 5 changes made while it was in force"), "{}", healed.detail);
    assert!(healed.verified.contains("time in which n3 ended, median of 1: asked 5000 ms"), "{}", healed.verified);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn of_overlapping_cuts_the_last_to_end_lifts_what_both_wanted() {
    let mut test = Test::toml(
        "[[fault]]\nat = 0\nfor = 2000\nkind = \"partition\"\ntarget = \"n1\"\n\
         [[fault]]\nat = 1000\nfor = 2000\nkind = \"partition\"\ntarget = \"n2\"\n",
        Lies::default(),
    );
    assert!(test.nemesis.run().await.failures.is_empty());
    // Of the 16 pairs of each, the 8 between the sides of n1 and n2 are in both.
    assert_eq!(test.log(), ["cut 16 [0]", "cut 16 [0, 1]", "uncut 8 [0, 1]", "uncut 16 [1]"]);
    assert_eq!(
        test.stages(),
        [(0, Inject), (0, Injected), (1, Inject), (1, Injected), (0, Heal), (0, Healed), (1, Heal), (1, Healed)]
    );
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_cannot_be_paused() {
    let mut test = Test::toml(
        "[[fault]]\nat = 0\nfor = 1000\nkind = \"kill\"\ntarget = \"n1\"\n\
         [[fault]]\nat = 500\nfor = 2000\nkind = \"pause\"\ntarget = \"n1\"\n",
        Lies::default(),
    );
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome.failures, [Failure { id: 1, problem: "n1 is dead".into() }]);
    // Its undo leaves the kill in force.
    assert_eq!(test.log(), ["kill n1 [0]", "freeze n1 [0, 1]", "thaw n1 [0, 1]", "start n1 [0]"]);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn a_clock_fault_is_measured_and_outlives_a_kill() {
    let mut test = Test::toml(
        "[[fault]]\nat = 0\nfor = 10000\nkind = \"skew\"\ntarget = \"n1\"\n\
         [[fault]]\nat = 1000\nfor = 1000\nkind = \"kill\"\ntarget = \"n1\"\n\
         [[fault]]\nat = 4000\nfor = 8000\nkind = \"drift\"\ntarget = \"n1\"\n",
        Lies::default(),
    );
    let outcome = test.nemesis.run().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    let [kill, set] = ["kill n1 [0, 1]", "set-clock n1 [0, 2]"];
    let started = ["start n1 [0, 1]", "renew-clock n1 [0, 1]"];
    assert_eq!(test.log(), ["set-clock n1 [0]", kill, started[0], started[1], set, "reset-clock n1 [2]"]);
    let verified: Vec<String> = test.events().into_iter().map(|event| event.verified).collect();
    assert_eq!(verified[1], "clock of n1 ahead: asked 3600000 ms, got 3600000 ms");
    // The drift's clock replaced the first, whose end is not seen for that reason.
    assert!(verified.contains(&"clock of n1 fast: asked 50000 ppm, got 50000 ppm".to_owned()), "{verified:?}");
    assert_eq!(
        verified.last().unwrap(),
        "clock of n1 fast: asked 0 ppm, got 0 ppm; clock of n1 ahead: asked 0 ms, got 0 ms"
    );
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn a_strobe_beats_until_its_end() {
    let strobe = "[[fault]]\nat = 0\nfor = 1600\nkind = \"strobe\"\ntarget = \"n2\"\n";
    let mut test = Test::toml(strobe, Lies::default());
    assert!(test.nemesis.run().await.failures.is_empty());
    let set = "set-clock n2 [0]";
    assert_eq!(test.log(), [set, set, set, set, "reset-clock n2 [0]"]);
    let healed = test.events().pop().unwrap();
    assert_eq!(healed.detail, "n2 told the true time; 3 of 3 changes made while it was in force");
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_must_wait_is_left_to_the_pause() {
    let mut test = Test::toml(
        "[[fault]]\nat = 0\nfor = 2000\nkind = \"pause\"\ntarget = \"n1\"\n\
         [[fault]]\nat = 500\nfor = 500\nkind = \"kill\"\ntarget = \"n1\"\n",
        Lies::default(),
    );
    let outcome = test.nemesis.run().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    assert_eq!(test.log(), ["freeze n1 [0]", "kill n1 [0, 1]", "thaw n1 [0]", "start n1 [0]"]);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_does_not_bite_is_a_failure_and_is_healed() {
    let mut test = Test::toml(CUT, Lies { cut_is_leaky: true, ..Lies::default() });
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome.injected, 0);
    assert!(outcome.failures[0].problem.starts_with("it does not bite: "), "{outcome:?}");
    assert!(outcome.failures[0].problem.contains(" still reaches "), "{outcome:?}");
    assert_eq!(test.stages(), [(0, Inject), (0, Failed), (0, Heal), (0, Healed)]);
    test.assert_healed();
}

const DELAY: &str = "[[fault]]\nat = 0\nfor = 1000\nkind = \"delay\"\ntarget = \"n1\"\ndirection = \"to\"\n";

#[tokio::test(start_paused = true)]
async fn a_strength_is_measured_and_told() {
    let mut test = Test::toml(DELAY, Lies::default());
    test.fabric.state().measures = 100.4;
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome, Outcome { injected: 1, ..Outcome::default() });
    assert_eq!(test.log(), ["shape 0 [0]", "unshape 0 [0]"]);
    let events = test.events();
    let told = |event: &NemesisEvent| -> Vec<(f64, f64)> {
        event.measured.iter().map(|measured| (measured.asked, measured.got)).collect()
    };
    assert_eq!(told(&events[1]), [(100.0, 100.4); 4]);
    assert!(events[1].verified.contains("delay c1→n1: asked 100 ms, got 100.4 ms"), "{}", events[1].verified);
    assert_eq!(told(&events[3]), [(0.0, 0.0); 4]);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn a_strength_that_is_not_what_was_asked_for_is_a_failure() {
    for wrong in [0.0, 99.0, 200.0] {
        let mut test = Test::toml(DELAY, Lies::default());
        test.fabric.state().measures = wrong;
        let outcome = test.nemesis.run().await;
        assert_eq!((outcome.injected, outcome.failures.len()), (0, 1));
        let problem = &outcome.failures[0].problem;
        assert!(problem.starts_with("it does not bite: delay "), "{problem}");
        assert!(problem.ends_with("which is not between 100 and 135"), "{problem}");
        test.assert_healed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_is_survived_is_a_failure() {
    let kill = "[[fault]]\nat = 0\nfor = 100\nkind = \"kill\"\ntarget = \"n3\"\n";
    let mut test = Test::toml(kill, Lies { kill_is_survived: true, ..Lies::default() });
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome.failures[0].problem, "it does not bite: n3 runs (1 processes)");
    assert_eq!(test.log(), ["kill n3 [0]", "start n3 [0]"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_undo_is_tried_again() {
    let mut test = Test::toml(CUT, Lies { undos_refused: 2, ..Lies::default() });
    assert!(test.nemesis.run().await.failures.is_empty());
    assert_eq!(test.stages(), [(0, Inject), (0, Injected), (0, Heal), (0, Healed)]);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_healed_is_said_once_and_stays_in_the_ledger() {
    let mut test = Test::toml(CUT, Lies { undos_refused: u32::MAX, ..Lies::default() });
    let outcome = test.nemesis.run().await;
    let problem = "not healed (attempts: 3): refused".to_owned();
    assert_eq!(outcome.failures, [Failure { id: 0, problem }]);
    assert_eq!(test.stages(), [(0, Inject), (0, Injected), (0, Heal), (0, Failed), (0, Heal)]);
    assert_eq!(test.nemesis.in_force(), [0]);
    assert_eq!(test.ledger.read().unwrap().in_force().count(), 1);
    // Once more, by hand, when the reason is gone.
    test.fabric.state().lies.undos_refused = 0;
    test.nemesis.heal_all().await;
    test.assert_healed();
    let calls = test.log().len();
    test.nemesis.heal_all().await;
    assert_eq!(test.log().len(), calls, "nothing is left to do");
}

#[tokio::test(start_paused = true)]
async fn cancelled_in_mid_fault_it_heals_at_once() {
    for (after_ms, stages) in [(500, vec![]), (3_000, vec![(0, Inject), (0, Injected), (0, Heal), (0, Healed)])] {
        let mut test = Test::toml(CUT, Lies::default());
        let cancel = test.cancel.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(after_ms)).await;
            cancel.send(true).unwrap();
        });
        let begin = Instant::now();
        let outcome = test.nemesis.run().await;
        assert!(outcome.interrupted && outcome.failures.is_empty(), "{outcome:?}");
        assert!(begin.elapsed() < Duration::from_millis(after_ms + 100));
        assert_eq!(test.stages(), stages);
        test.assert_healed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_future_is_dropped_can_still_be_healed() {
    let mut test = Test::toml(CUT, Lies::default());
    assert!(timeout(Duration::from_secs(2), test.nemesis.run()).await.is_err());
    assert_eq!(test.nemesis.in_force(), [0]);
    test.nemesis.heal_all().await;
    test.assert_healed();
    assert_eq!(test.nemesis.failures(), []);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_is_missing_is_waited_for_but_not_long() {
    let soon = Instant::now() + Duration::from_millis(2_500);
    let mut test = Test::toml(CUT, Lies { no_primary_before: Some(soon), ..Lies::default() });
    assert_eq!(test.nemesis.run().await.injected, 1);
    let late = Instant::now() + Duration::from_secs(60);
    let mut test = Test::toml(CUT, Lies { no_primary_before: Some(late), ..Lies::default() });
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome.failures[0].problem, "no victim for primary: no node claims to be primary, for 2 s");
    assert_eq!(test.stages(), [(0, Failed)]);
    assert!(test.ledger.read().unwrap().faults.is_empty(), "what is not tried is not in the ledger");
}

#[tokio::test(start_paused = true)]
async fn without_a_ledger_nothing_is_injected() {
    let mut test = Test::toml(CUT, Lies::default());
    test.nemesis.ledger = Arc::new(Ledger::unwritable(test.ledger.path()));
    let outcome = test.nemesis.run().await;
    assert!(outcome.failures[0].problem.contains("not injected, because the ledger cannot be written"), "{outcome:?}");
    assert_eq!(test.log(), [""; 0]);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_another_undid_was_not_in_force_as_planned() {
    let mut test = Test::toml(CUT, Lies::default());
    let ledger = Arc::clone(&test.ledger);
    tokio::spawn(async move {
        sleep(Duration::from_secs(3)).await;
        ledger.undone(0, Healer::Guardian).unwrap();
    });
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome.failures[0].problem, "undone early, by the guardian: it was not in force as planned");
    assert_eq!(test.stages(), [(0, Inject), (0, Injected), (0, Heal), (0, Healed), (0, Failed)]);
}

#[tokio::test(start_paused = true)]
async fn cut_then_failover_kills_while_cut_and_never_starts_the_old_primary() {
    let mut test = Test::new(named("cut-then-failover", Seed::new(1)).unwrap(), Lies::default());
    assert!(test.nemesis.run().await.failures.is_empty());
    assert_eq!(test.log(), ["cut 16 [0]", "kill n1 [0]", "failover [0]", "uncut 16 [0]", "rejoin n1 [0]"]);
    let events = test.events();
    let injected = &events[1];
    assert_eq!((injected.stage, injected.victims.as_slice()), (Injected, &["n1".to_owned()][..]));
    // It takes hold when the primary is gone: a second after the cut.
    assert_eq!(injected.effective_ns, Some(11_000_000_000));
    assert!(injected.detail.contains("cut off from {n2, n3, c2, c3} at 10.000 s; SIGKILL"), "{}", injected.detail);
    assert!(injected.detail.contains("n2 promoted at 0/1 at 11.000 s"), "{}", injected.detail);
    assert!(injected.verified.ends_with("n2 claims to be primary"), "{}", injected.verified);
    let healed = events.last().unwrap();
    assert_eq!((healed.stage, healed.detail.as_str()), (Healed, "n1 rejoined by pg_rewind"));
    assert_eq!(healed.verified, "n1 claims to be a replica");
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn cancelled_during_its_cut_a_failover_kills_nobody() {
    let mut test = Test::new(named("cut-then-failover", Seed::new(1)).unwrap(), Lies::default());
    let cancel = test.cancel.clone();
    tokio::spawn(async move {
        sleep(Duration::from_millis(10_700)).await;
        cancel.send(true).unwrap();
    });
    let outcome = test.nemesis.run().await;
    assert!(outcome.interrupted && outcome.failures.is_empty(), "{outcome:?}");
    assert_eq!(test.log(), ["cut 16 [0]", "uncut 16 [0]"]);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn when_nobody_is_promoted_the_old_primary_starts_again() {
    let schedule = named("cut-then-failover", Seed::new(1)).unwrap();
    let mut test = Test::new(schedule, Lies { failover_refused: true, ..Lies::default() });
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome.failures[0].problem, "no replica was promoted: no standby");
    assert_eq!(test.log(), ["cut 16 [0]", "kill n1 [0]", "failover [0]", "uncut 16 [0]", "start n1 [0]"]);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn promote_during_cut_leaves_two_primaries_and_no_cut() {
    let mut test = Test::new(named("promote-during-cut", Seed::new(1)).unwrap(), Lies::default());
    let outcome = test.nemesis.run().await;
    assert_eq!((outcome.injected, outcome.failures.len()), (2, 0), "{outcome:?}");
    assert_eq!(test.log(), ["cut 16 [0]", "failover [0, 1]", "uncut 16 [0]"]);
    assert_eq!(test.fabric.state().primaries.len(), 2);
    let promoted = test.events().into_iter().find(|event| (event.id, event.stage) == (1, Healed)).unwrap();
    assert_eq!(promoted.detail, "nothing to undo");
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn a_fault_waits_for_what_it_waits_for_and_is_in_force_from_then_on() {
    let mut test = Test::toml(
        "[[fault]]\nwhen = { ops-ok = 100 }\nat = \"2s\"\nuntil = \"20s\"\nfor = \"3s\"\nkind = \"pause\"\ntarget = \"n2\"\n",
        Lies::default(),
    );
    let ops = Arc::new(AtomicU64::new(0));
    test.nemesis = test.nemesis.with_ops(Arc::clone(&ops));
    let count = tokio::spawn(async move {
        sleep(Duration::from_secs(10)).await;
        ops.store(100, std::sync::atomic::Ordering::Relaxed);
    });
    let outcome = test.nemesis.run().await;
    count.await.unwrap();
    assert_eq!(outcome, Outcome { injected: 1, ..Outcome::default() });
    let at_s: Vec<u64> =
        test.events().iter().filter_map(|event| Some((event.effective_ns? + 500_000_000) / 1_000_000_000)).collect();
    assert_eq!(at_s, [10, 13]);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn what_never_comes_is_skipped_and_no_failure() {
    let mut test = Test::toml(
        "[[fault]]\nwhen = { role-change = true }\nuntil = \"5s\"\nfor = \"3s\"\nkind = \"kill\"\ntarget = \"n2\"\n\
         [[fault]]\nat = \"20s\"\nfor = \"1s\"\nkind = \"kill\"\ntarget = \"n3\"\n",
        Lies::default(),
    );
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome, Outcome { injected: 1, skipped: 1, ..Outcome::default() });
    assert_eq!(test.log(), ["kill n3 [1]", "start n3 [1]"]);
    let skipped = test.events().into_iter().find(|event| event.stage == NemesisStage::Skipped).unwrap();
    assert_eq!(skipped.detail, "another node becomes primary: that did not happen until 5000 ms");
}

#[tokio::test(start_paused = true)]
async fn a_role_change_by_one_fault_sets_off_another() {
    let mut test = Test::toml(
        "[[fault]]\nwhen = { role-change = true }\nfor = \"1s\"\nkind = \"pause\"\ntarget = \"primary\"\n\
         [[fault]]\nat = \"5s\"\nfor = \"10s\"\nkind = \"failover\"\n",
        Lies::default(),
    );
    let outcome = test.nemesis.run().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    assert_eq!(outcome.injected, 2);
    // The fail-over has made n2 primary.
    assert!(test.log().contains(&"freeze n2 [0, 1]".to_owned()), "{:?}", test.log());
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn no_more_is_hurt_than_the_limits_say() {
    let mut test = Test::toml(
        "[[fault]]\nat = 0\nfor = 5000\nkind = \"kill\"\ntarget = \"n1\"\n\
         [[fault]]\nat = 1000\nfor = 1000\nkind = \"kill\"\ntarget = \"n2\"\n\
         [[fault]]\nat = 9000\nfor = 1000\nkind = \"kill\"\ntarget = \"n2\"\n",
        Lies::default(),
    );
    test.nemesis = test.nemesis.with_limits(Limits { keep_majority: true, ..Limits::default() });
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome, Outcome { injected: 2, skipped: 1, ..Outcome::default() });
    assert_eq!(test.log(), ["kill n1 [0]", "start n1 [0]", "kill n2 [2]", "start n2 [2]"]);
    test.assert_healed();
}

const FLAP: &str = "[[fault]]\nat = \"1s\"\nfor = \"3s\"\nkind = \"flap\"\ntarget = \"n1\"\nperiod = \"2s\"\n";

#[tokio::test(start_paused = true)]
async fn pulses_come_at_their_times_and_the_undo_lifts_what_they_left() {
    let mut test = Test::toml(FLAP, Lies::default());
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome, Outcome { injected: 1, ..Outcome::default() });
    assert_eq!(test.log(), ["cut 16 [0]", "uncut 16 [0]", "cut 16 [0]", "uncut 16 [0]"]);
    let healed = test.events().pop().unwrap();
    assert!(healed.detail.ends_with("2 of 2 changes made while it was in force"), "{}", healed.detail);
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn a_pulse_leaves_what_another_fault_wants_and_one_that_does_not_bite_is_told() {
    let partition = "[[fault]]\nat = 0\nfor = \"9s\"\nkind = \"partition\"\ntarget = \"n1\"\n";
    let mut test = Test::toml(&format!("{partition}{FLAP}"), Lies::default());
    let outcome = test.nemesis.run().await;
    assert!(outcome.failures.is_empty(), "{outcome:?}");
    assert_eq!(test.log(), ["cut 16 [0]", "cut 16 [0, 1]", "cut 16 [0, 1]", "uncut 16 [0]"]);
    test.assert_healed();

    let mut test = Test::toml(FLAP, Lies { cut_is_leaky: true, ..Lies::default() });
    let outcome = test.nemesis.run().await;
    assert!(outcome.failures[0].problem.contains("does not bite"), "{outcome:?}");
}

const NO_SPACE: &str = "[[fault]]\nat = 0\nfor = \"5s\"\nkind = \"no-space\"\ntarget = \"n1\"\n";

#[tokio::test(start_paused = true)]
async fn a_rule_that_changes_nothing_is_a_failure_and_is_lifted() {
    // Every gauge shows 0: no operation fails.
    let mut test = Test::toml(NO_SPACE, Lies::default());
    let outcome = test.nemesis.run().await;
    let problem = &outcome.failures[0].problem;
    assert!(problem.contains("it does not bite: create (all) on n1 gives ENOSPC: asked 100 %, got 0 %"), "{problem}");
    assert_eq!(test.log(), ["rule 0 n1 [0]", "unrule 0 n1 [0]", "start n1 [0]"]);
    test.assert_healed();
}

/// It ended while the rule was still in force, a moment after it was looked at.
#[tokio::test(start_paused = true)]
async fn a_server_that_ends_while_it_starts_is_started_again() {
    let kill = "[[fault]]\nat = 0\nfor = 100\nkind = \"kill\"\ntarget = \"n1\"\n";
    let mut test = Test::toml(kill, Lies { starts_in_vain: 2, ..Lies::default() });
    let begin = Instant::now();
    let outcome = test.nemesis.run().await;
    assert_eq!(outcome, Outcome { injected: 1, ..Outcome::default() });
    assert_eq!(test.log(), ["kill n1 [0]", "start n1 [0]", "start n1 [0]", "start n1 [0]"]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn faults_that_are_asked_for_come_one_after_the_other() {
    let asked = |kind: &str, number| {
        let values = [("kind", kind), ("target", "n2"), ("for", "2s")];
        let values = values.map(|(name, value)| (name.to_owned(), value.into())).into();
        Schedule::asked(values, number, 600_000, 1).unwrap()
    };
    let schedule = Schedule::new(vec![asked("kill", 0), asked("pause", 1), asked("kill", 2)]);
    let mut test = Test::new(schedule, Lies::default());
    let signals = Arc::new(crate::Signals::default());
    let begin = Instant::now();
    let nemesis = test.nemesis;
    test.nemesis = nemesis.with_signals(Arc::clone(&signals));
    tokio::spawn(async move {
        sleep(Duration::from_secs(10)).await;
        signals.give(1);
        sleep(Duration::from_secs(10)).await;
        signals.give(0);
        sleep(Duration::from_secs(10)).await;
        signals.close();
    });
    let outcome = test.nemesis.run().await;
    assert_eq!((outcome.injected, outcome.skipped, outcome.failures.len()), (2, 1, 0), "{outcome:?}");
    let over_s = begin.elapsed().as_secs();
    assert!((30..32).contains(&over_s), "it waits until nobody will ask any more, and no longer: {over_s} s");
    assert_eq!(test.log(), ["freeze n2 [1]", "thaw n2 [1]", "kill n2 [0]", "start n2 [0]"]);
    let events = test.events();
    let told: Vec<_> = events.iter().map(|event| (event.id, event.stage)).collect();
    let one = |id| [(id, Inject), (id, Injected), (id, Heal), (id, Healed)];
    assert_eq!(told, [&one(1)[..], &one(0)[..], &[(2, NemesisStage::Skipped)][..]].concat());
    assert!(events[8].detail.contains("the experiment asks for it"), "{}", events[8].detail);
    let begun_s = events[1].effective_ns.unwrap() as f64 / 1e9;
    assert!((10.0..10.1).contains(&begun_s), "{begun_s}");
    test.assert_healed();
}

#[tokio::test(start_paused = true)]
async fn cancelled_with_several_in_force_it_lifts_all_of_them_before_it_looks() {
    let mut test = Test::toml(
        "[[fault]]\nat = 0\nfor = 60000\nkind = \"kill\"\ntarget = \"n3\"\n\
         [[fault]]\nat = 0\nfor = 60000\nkind = \"partition\"\ntarget = \"n1\"\n",
        // The first undo does not help: its fault takes its time to be healed.
        Lies { starts_in_vain: 1, ..Lies::default() },
    );
    let cancel = test.cancel.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(5)).await;
        cancel.send_replace(true);
    });
    let outcome = test.nemesis.run().await;
    assert!(outcome.interrupted && outcome.failures.is_empty(), "{outcome:?}");
    let log = test.log();
    let uncut = log.iter().position(|line| line.starts_with("uncut")).unwrap();
    let starts = log.iter().take(uncut).filter(|line| line.starts_with("start n3")).count();
    assert_eq!(starts, 1, "{log:?}");
    test.assert_healed();
}

//! Faults of servers that end and are started again while the fault is in force: in order, over and over, one node
//! after the other.

use schism_cluster::{Gauge, Step};
use schism_seed::Stream;
use serde::{Deserialize, Serialize};

use super::process::serving;
use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{All, Majority, Minority, One, Primary, Replica},
    expect::Expect,
    injection::{Injection, Pulse, Scene, each},
    options::{OptionError, Options},
};

const GRACE: OptionInfo = OptionInfo {
    name: "grace",
    meaning: "how long the processes have to end by themselves before SIGKILL, 100ms to 9s [default: 5s]",
};

pub(crate) const KINDS: &[KindInfo] = &[
    KindInfo {
        kind: Kind::Terminate,
        name: "terminate",
        family: Family::Process,
        description: "shut the target nodes down in order, as an operator does; they are started again when the fault \
                      ends",
        how: "The signal that asks the server to end without waiting for its clients (SIGTERM; for PostgreSQL SIGINT, \
              its fast shutdown) to the main processes of all target nodes; SIGKILL to what is left of a node after \
              `grace`.",
        verified: "The kernel shows no process of the node; how many ended by themselves and after what time is told; \
                   at the end they run and the database answers (30 s).",
        breaks: "Writes that an orderly end was to save and does not, clients that take a closed connection for a \
                 failed write, fail-over that waits for a silence which never comes.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[GRACE],
        strength: Some("grace"),
        needs_time: false,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::RestartStorm,
        name: "restart-storm",
        family: Family::Process,
        description: "SIGKILL the target nodes and start them at once, over and over, as an eager supervisor does",
        how: "The kill and start of `kill`, repeated. The next kill comes when the node has run for `period`, not \
              earlier.",
        verified: "The kernel shows no process after every kill, and some after every start; how long each life \
                   lasted is measured; at the end they run and the database answers (30 s).",
        breaks: "Primaries that are back, with less than they had acknowledged, before anybody noticed that they were \
                 gone; elections that are overtaken by a restart; clients that reconnect without end.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[OptionInfo {
            name: "period",
            meaning: "how long a node runs between a start and the next kill, at least 500ms [default: 2s]",
        }],
        strength: Some("period"),
        needs_time: true,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::CrashLoop,
        name: "crash-loop",
        family: Family::Process,
        description: "the target nodes crash again soon after every start, so that they are of no use",
        how: "SIGKILL, a rest of `down-for`, a start, and SIGKILL again after `up-for`. A server that starts within \
              that time answers for a moment.",
        verified: "The kernel shows no process after every crash, and some after every start; how long each life \
                   lasted is measured; at the end they run and the database answers (30 s).",
        breaks: "Health checks that call a node well when its process exists, replicas that begin a full copy with \
                 every start, recovery that is not safe to interrupt.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[
            OptionInfo {
                name: "up-for",
                meaning: "how long it runs before it crashes again, at least 100ms [default: 500ms]",
            },
            OptionInfo { name: "down-for", meaning: "how long it is down before the next start [default: 500ms]" },
        ],
        strength: Some("up-for"),
        needs_time: true,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::RollingRestart,
        name: "rolling-restart",
        family: Family::Process,
        description: "shut every node down in order and start it, one after the other, as an upgrade does",
        how: "As `terminate`; a node is started at once, and the next one is shut down when the former has served \
              again for `pause`. What is not reached by the fault's end is left alone. Nobody is promoted beforehand: \
              where the database does not fail over by itself, the primary comes back as the primary.",
        verified: "The kernel shows no process after every shutdown, and the database answers after every start \
                   (30 s), before the next; how many ended by themselves and after what time is told.",
        breaks: "Writes acknowledged by a primary on its way down, replicas that are not caught up when the primary \
                 goes, configurations that work only until the next restart.",
        targets: &[All],
        takes_node: false,
        nodes_min: 1,
        options: &[
            OptionInfo { name: "pause", meaning: "from a node's serving again to the next one's end [default: 1s]" },
            OptionInfo {
                name: "order",
                meaning: "\"primary-last\", \"primary-first\" or \"by-name\" [default: primary-last]",
            },
            GRACE,
        ],
        strength: Some("pause"),
        needs_time: true,
        capabilities: &[],
    },
];

/// An orderly end that takes longer has failed for most supervisors; a step has to return within ten seconds or so.
const GRACE_MS: std::ops::RangeInclusive<u64> = 100..=9_000;
const GRACE_DEFAULT_MS: u64 = 5_000;
/// Beyond the grace: a kill of what is left, on a loaded machine.
const KILL_MS: f64 = 5_000.0;
/// Below this a start, a look and a kill run into each other.
const PERIOD_MIN_MS: u64 = 500;
const UP_FOR_MIN_MS: u64 = 100;
/// The kernel counts lives in hundredths of a second, and a process has begun a moment before its start is seen.
const LIFE_SLACK_MS: f64 = 20.0;
/// Another fault's action (a rejoin, a verification that waits) may delay a kill; a longer life than asked for is told.
const LIFE_LATE_MS: f64 = 120_000.0;

fn read_grace(options: &mut Options) -> Result<u64, OptionError> {
    bounded(options, "grace", GRACE_DEFAULT_MS, *GRACE_MS.start(), *GRACE_MS.end())
}

fn bounded(options: &mut Options, name: &str, default_ms: u64, min_ms: u64, max_ms: u64) -> Result<u64, OptionError> {
    let millis = options.millis(name)?.unwrap_or(default_ms);
    if (min_ms..=max_ms).contains(&millis) {
        return Ok(millis);
    }
    let most = if max_ms == u64::MAX { String::new() } else { format!(" and at most {max_ms} ms") };
    let problem = format!("`{name}` is at least {min_ms} ms{most}, not {millis} ms");
    Err(OptionError { option: Some(name.to_owned()), problem })
}

/// That a node was shut down, and how.
fn ended(node: &str, grace_ms: u64) -> Vec<Expect> {
    let node = || node.to_owned();
    let grace = grace_ms as f64;
    vec![
        Expect::Dead { node: node() },
        // A server that does not make it in time is killed, as by any supervisor: told, and no failure of ours.
        Expect::Measures { gauge: Gauge::OrderlyEnds { node: node() }, asked: 100.0, bounds: 0.0..=100.0 },
        Expect::Measures { gauge: Gauge::EndingTime { node: node() }, asked: grace, bounds: 0.0..=grace + KILL_MS },
    ]
}

fn crashed(nodes: &[String], life_ms: u64) -> Vec<Expect> {
    let asked = life_ms as f64;
    let bounds = asked - LIFE_SLACK_MS..=asked + LIFE_LATE_MS;
    let life = |node: String| Expect::Measures { gauge: Gauge::Lifetime { node }, asked, bounds: bounds.clone() };
    [each(nodes, |node| Expect::Dead { node }), each(nodes, life)].concat()
}

fn started(nodes: &[String]) -> Vec<Expect> {
    each(nodes, |node| Expect::Running { node })
}

/// An orderly shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminate {
    /// How long the processes have to end by themselves.
    pub grace_ms: u64,
}

impl Terminate {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const GRACES_MS: [u64; 3] = [500, 2_000, 5_000];
        Self { grace_ms: GRACES_MS[stream.index(GRACES_MS.len())] }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        Ok(Self { grace_ms: read_grace(options)? })
    }

    pub(super) fn write(self, options: &mut Options) {
        options.set_millis("grace", self.grace_ms);
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let victims = scene.chosen;
        let grace_ms = self.grace_ms;
        // All are asked before the first is waited for: they go down together.
        let ask = if victims.len() > 1 { each(victims, |node| Step::AskToEnd { node }) } else { vec![] };
        Injection {
            steps: [ask, each(victims, |node| Step::Terminate { node, grace_ms })].concat(),
            undo: each(victims, |node| Step::Start { node }),
            victims: victims.to_vec(),
            detail: format!("orderly shutdown of {}, with {grace_ms} ms before SIGKILL", victims.join(", ")),
            bites: victims.iter().flat_map(|node| ended(node, grace_ms)).collect(),
            heals: serving(victims),
            ..Injection::default()
        }
    }
}

/// Killed and started, over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartStorm {
    /// How long a node runs between a start and the next kill.
    pub period_ms: u64,
}

impl RestartStorm {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const PERIODS_MS: [u64; 4] = [500, 1_000, 2_000, 5_000];
        Self { period_ms: PERIODS_MS[stream.index(PERIODS_MS.len())] }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        Ok(Self { period_ms: bounded(options, "period", 2_000, PERIOD_MIN_MS, u64::MAX)? })
    }

    pub(super) fn write(self, options: &mut Options) {
        options.set_millis("period", self.period_ms);
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let mut injection = crashes(scene, self.period_ms, 0);
        injection.detail = format!("{} killed and started, each time after {} ms", injection.detail, self.period_ms);
        injection
    }
}

/// Crashing again soon after every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashLoop {
    /// How long it runs.
    pub up_for_ms: u64,
    /// How long it is down before the next start.
    pub down_for_ms: u64,
}

impl CrashLoop {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const LIVES_MS: [u64; 4] = [100, 200, 500, 1_000];
        Self { up_for_ms: LIVES_MS[stream.index(LIVES_MS.len())], down_for_ms: DOWN_FOR_MS }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        Ok(Self {
            up_for_ms: bounded(options, "up-for", 500, UP_FOR_MIN_MS, u64::MAX)?,
            down_for_ms: options.millis("down-for")?.unwrap_or(DOWN_FOR_MS),
        })
    }

    pub(super) fn write(self, options: &mut Options) {
        options.set_millis("up-for", self.up_for_ms);
        options.set_millis("down-for", self.down_for_ms);
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let mut injection = crashes(scene, self.up_for_ms, self.down_for_ms);
        let Self { up_for_ms, down_for_ms } = self;
        injection.detail = format!("{} up for {up_for_ms} ms, down for {down_for_ms} ms", injection.detail);
        injection
    }
}

const DOWN_FOR_MS: u64 = 500;

/// A kill, and then starts and kills for as long as the fault is planned to be in force. No more of them fit, since
/// each waits for the former.
fn crashes(scene: &Scene<'_>, up_for_ms: u64, down_for_ms: u64) -> Injection {
    let victims = scene.chosen;
    let kill = || each(victims, |node| Step::Kill { node });
    let start = || each(victims, |node| Step::Start { node });
    let cycles = scene.for_ms / (up_for_ms + down_for_ms);
    let cycle = |_| {
        [
            Pulse { after_ms: down_for_ms, steps: start(), bites: started(victims) },
            Pulse { after_ms: up_for_ms, steps: kill(), bites: crashed(victims, up_for_ms) },
        ]
    };
    Injection {
        steps: kill(),
        pulses: (0..cycles.max(1)).flat_map(cycle).collect(),
        chained: true,
        undo: start(),
        victims: victims.to_vec(),
        detail: victims.join(", "),
        bites: each(victims, |node| Expect::Dead { node }),
        heals: serving(victims),
    }
}

/// One node after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollingRestart {
    /// From a node's serving again to the next one's end.
    pub pause_ms: u64,
    /// Who comes when.
    pub order: Order,
    /// How long the processes of a node have to end by themselves.
    pub grace_ms: u64,
}

/// The order of a rolling restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Replicas by name, then the primary, as operators do.
    #[default]
    PrimaryLast,
    /// The primary, then replicas by name: with every fail-over the next primary may be hit again.
    PrimaryFirst,
    /// `n1`, `n2`, …, whoever is primary.
    ByName,
}

impl RollingRestart {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const PAUSES_MS: [u64; 3] = [0, 500, 1_000];
        let pause_ms = PAUSES_MS[stream.index(PAUSES_MS.len())];
        Self { pause_ms, order: Order::default(), grace_ms: GRACE_DEFAULT_MS }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        Ok(Self {
            pause_ms: options.millis("pause")?.unwrap_or(1_000),
            order: options.word("order")?.unwrap_or_default(),
            grace_ms: read_grace(options)?,
        })
    }

    pub(super) fn write(self, options: &mut Options) {
        options.set_millis("pause", self.pause_ms);
        options.set("order", self.order);
        options.set_millis("grace", self.grace_ms);
    }

    /// Whether the order depends on who is primary.
    pub(super) fn wants_primary(self) -> bool {
        self.order != Order::ByName
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let mut nodes = scene.chosen.to_vec();
        nodes.sort_by_key(|node| scene.nodes.iter().position(|other| other == node));
        // A stable sort: the others stay by name.
        let is_primary = |node: &String| scene.primary == Some(node.as_str());
        match self.order {
            Order::PrimaryLast => nodes.sort_by_key(is_primary),
            Order::PrimaryFirst => nodes.sort_by_key(|node| !is_primary(node)),
            Order::ByName => {}
        }
        let Self { pause_ms, grace_ms, .. } = self;
        let stop = |node: &String| vec![Step::Terminate { node: node.clone(), grace_ms }];
        let restart = |number: usize| {
            let node = &nodes[number];
            let back = std::slice::from_ref(node);
            let up = each(back, |node| Step::Start { node });
            let up = Pulse { after_ms: 0, steps: up, bites: serving(back) };
            let next = nodes.get(number + 1);
            let next = next.map(|next| Pulse { after_ms: pause_ms, steps: stop(next), bites: ended(next, grace_ms) });
            std::iter::once(up).chain(next)
        };
        Injection {
            steps: nodes.first().map(stop).unwrap_or_default(),
            pulses: (0..nodes.len()).flat_map(restart).collect(),
            chained: true,
            undo: each(&nodes, |node| Step::Start { node }),
            victims: scene.chosen.to_vec(),
            detail: format!("restart in order of {}, {pause_ms} ms apart", nodes.join(", then ")),
            bites: nodes.first().map(|node| ended(node, grace_ms)).unwrap_or_default(),
            heals: serving(&nodes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> [String; 3] {
        ["n1", "n2", "n3"].map(String::from)
    }

    fn told(injection: &Injection) -> Vec<String> {
        let all = std::iter::once((0, &injection.steps)).chain(injection.pulses.iter().map(|p| (p.after_ms, &p.steps)));
        all.map(|(after_ms, steps)| match &steps[..] {
            [Step::Terminate { node, .. }] => format!("{after_ms} stop {node}"),
            [Step::Start { node }] => format!("{after_ms} start {node}"),
            [Step::Kill { node }] => format!("{after_ms} kill {node}"),
            other => format!("{other:?}"),
        })
        .collect()
    }

    #[test]
    fn a_rolling_restart_takes_the_primary_last_and_waits_for_each() {
        let nodes = nodes();
        let scene = Scene { primary: Some("n2"), ..Scene::of(&All, &nodes, &nodes) };
        let rolling = RollingRestart { pause_ms: 700, order: Order::PrimaryLast, grace_ms: 5_000 };
        let injection = rolling.inject(&scene);
        assert!(injection.chained);
        let last = ["0 stop n1", "0 start n1", "700 stop n3", "0 start n3", "700 stop n2", "0 start n2"];
        assert_eq!(told(&injection), last);
        for pulse in injection.pulses.iter().filter(|pulse| matches!(pulse.steps[..], [Step::Start { .. }])) {
            assert!(pulse.bites.iter().any(|expect| matches!(expect, Expect::Answers { .. })));
        }
        let first = RollingRestart { order: Order::PrimaryFirst, ..rolling }.inject(&scene);
        assert_eq!(told(&first)[..3], ["0 stop n2", "0 start n2", "700 stop n1"]);
        let by_name = RollingRestart { order: Order::ByName, ..rolling }.inject(&scene);
        assert_eq!(told(&by_name)[..3], ["0 stop n1", "0 start n1", "700 stop n2"]);
        assert_eq!(by_name.undo.len(), 3);
    }

    #[test]
    fn several_nodes_are_asked_to_end_before_one_is_waited_for() {
        let nodes = nodes();
        let injection = Terminate { grace_ms: 1_000 }.inject(&Scene::of(&All, &nodes, &nodes));
        assert!(injection.steps[..3].iter().all(|step| matches!(step, Step::AskToEnd { .. })));
        assert!(injection.steps[3..].iter().all(|step| matches!(step, Step::Terminate { grace_ms: 1_000, .. })));
        assert_eq!(injection.steps.len(), 6);
    }

    #[test]
    fn crashes_alternate_with_starts_and_end_started() {
        let nodes = nodes();
        let scene = Scene::of(&Primary, &nodes[..1], &nodes);
        let storm = RestartStorm { period_ms: 2_000 }.inject(&scene);
        assert_eq!(told(&storm)[..4], ["0 kill n1", "0 start n1", "2000 kill n1", "0 start n1"]);
        assert_eq!((storm.pulses.len(), storm.chained), (10, true));
        let crash_loop = CrashLoop { up_for_ms: 100, down_for_ms: 400 }.inject(&scene);
        assert_eq!(told(&crash_loop)[..4], ["0 kill n1", "400 start n1", "100 kill n1", "400 start n1"]);
        assert_eq!(crash_loop.pulses.len(), 40);
        for injection in [storm, crash_loop] {
            assert_eq!(injection.undo, [Step::Start { node: "n1".into() }]);
        }
    }

    #[test]
    fn times_that_cannot_be_kept_are_refused() {
        let read = |kind, name: &str, value: &str| {
            let mut options = Options::default();
            options.set(name, value);
            super::super::Fault::read(kind, None, options).unwrap_err()
        };
        let grace = read(Kind::Terminate, "grace", "10s");
        assert_eq!(grace.problem, "`grace` is at least 100 ms and at most 9000 ms, not 10000 ms");
        assert_eq!(grace.option.as_deref(), Some("grace"));
        assert!(read(Kind::RestartStorm, "period", "100ms").problem.contains("at least 500 ms, not 100 ms"));
        assert!(read(Kind::CrashLoop, "up-for", "0ms").problem.contains("at least 100 ms"));
        assert!(read(Kind::RollingRestart, "order", "backwards").problem.contains("unknown variant"));
    }
}

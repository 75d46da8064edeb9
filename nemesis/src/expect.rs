//! What must be seen from the victim's side, and looking whether it is. A fault that was ordered is not a fault that
//! happened: a run with a cut that cuts nothing would be green for the wrong reason.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use schism_cluster::{ClaimedRole, Gauge, NodeState, Probe};
use tokio::{task::JoinSet, time::Instant};

use crate::{Measured, fabric::Fabric, grudge::Pairs};

/// How long a probe waits for an answer. Round trips on the bridge take microseconds; the rest is for a loaded machine.
const PROBE_TIMEOUT: Duration = Duration::from_millis(300);
/// How many pairs across a cut are probed: enough for every direction of every shape of five nodes, and bounded for
/// larger ones.
const SILENT_MAX: usize = 12;
/// How many pairs are probed that must answer.
const REACHED_MAX: usize = 6;
/// Between two looks at what is not yet as expected.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Something to be seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expect {
    /// Nothing comes back from `to` when `from` calls.
    Silent { from: String, to: String },
    /// Something does.
    Reached { from: String, to: String },
    /// The node has no process.
    Dead { node: String },
    /// All its processes are stopped.
    Frozen { node: String },
    /// Its database does not answer.
    Mute { node: String },
    /// It has processes and they run.
    Running { node: String },
    /// Its database answers.
    Answers { node: String },
    /// Its database answers, on files that were damaged: soon, or it gets other files.
    Accepts { node: String },
    /// Its database says that it is primary.
    Primary { node: String },
    /// Its database says that it follows.
    Follows { node: String },
    /// The gauge shows what was asked for, within these bounds.
    Measures { gauge: Gauge, asked: f64, bounds: RangeInclusive<f64> },
}

impl Expect {
    /// How long it may take to come true after the action has returned.
    fn patience(&self) -> Duration {
        match self {
            // A packet that gets through after the cut is one too many.
            Self::Silent { .. } => Duration::ZERO,
            Self::Dead { .. } | Self::Frozen { .. } | Self::Mute { .. } => Duration::from_secs(2),
            // Five hundred connections are five hundred processes, on a loaded machine.
            Self::Measures { gauge: Gauge::ServedClients { .. }, .. } => Duration::from_secs(20),
            Self::Reached { .. } | Self::Measures { .. } => Duration::from_secs(5),
            Self::Running { .. } | Self::Primary { .. } => Duration::from_secs(10),
            // With this much twice and what goes before it a heal is tried again, see `HEAL_PATIENCE`.
            Self::Accepts { .. } => Duration::from_secs(8),
            // Crash recovery replays its log first; a rejoined node may have copied the whole database.
            Self::Answers { .. } | Self::Follows { .. } => Duration::from_secs(30),
        }
    }

    /// Whether waiting is in vain: a server that has ended while it was starting answers no more, and whoever undoes
    /// the fault has to start it again.
    fn is_hopeless<F: Fabric>(&self, fabric: &F) -> bool {
        matches!(self, Self::Answers { node } if fabric.node_state(node) == NodeState::Dead)
    }

    /// Looks. What was measured where something is; `Err` says what was seen instead.
    async fn look<F: Fabric>(&self, fabric: &F) -> Result<Option<Measured>, String> {
        match self {
            Self::Measures { gauge, asked, bounds } => measure(fabric, gauge, *asked, bounds).await.map(Some),
            _ => self.see(fabric).await.map(|()| None),
        }
    }

    async fn see<F: Fabric>(&self, fabric: &F) -> Result<(), String> {
        match self {
            Self::Silent { from, to } => match fabric.probe(from, to, PROBE_TIMEOUT).await {
                Probe::Silent => Ok(()),
                Probe::Reached => Err(format!("{from} still reaches {to}")),
                Probe::Error(error) => Err(format!("no probe from {from} to {to}: {error}")),
            },
            Self::Reached { from, to } => match fabric.probe(from, to, PROBE_TIMEOUT).await {
                Probe::Reached => Ok(()),
                Probe::Silent => Err(format!("{from} does not reach {to}")),
                Probe::Error(error) => Err(format!("no probe from {from} to {to}: {error}")),
            },
            Self::Dead { node } => state(fabric, node, |state| *state == NodeState::Dead),
            Self::Frozen { node } => state(fabric, node, |state| *state == NodeState::Frozen),
            Self::Running { node } => state(fabric, node, |state| matches!(state, NodeState::Running { .. })),
            Self::Mute { node } => claim(fabric, node, |role| role == ClaimedRole::Unreachable).await,
            Self::Answers { node } | Self::Accepts { node } => {
                claim(fabric, node, |role| role != ClaimedRole::Unreachable).await
            }
            Self::Primary { node } => claim(fabric, node, |role| role == ClaimedRole::Primary).await,
            Self::Follows { node } => claim(fabric, node, |role| role == ClaimedRole::Replica).await,
            // Looked at by measuring.
            Self::Measures { .. } => Ok(()),
        }
    }
}

async fn measure<F: Fabric>(
    fabric: &F,
    gauge: &Gauge,
    asked: f64,
    bounds: &RangeInclusive<f64>,
) -> Result<Measured, String> {
    let got = fabric.measure(gauge).await?;
    let measured = Measured { what: gauge.name(), asked, got, unit: gauge.unit().to_owned() };
    if bounds.contains(&got) {
        return Ok(measured);
    }
    Err(format!("{measured}, which is not between {} and {}", Rounded(*bounds.start()), Rounded(*bounds.end())))
}

fn state<F: Fabric>(fabric: &F, node: &str, wanted: impl Fn(&NodeState) -> bool) -> Result<(), String> {
    let state = fabric.node_state(node);
    if wanted(&state) {
        return Ok(());
    }
    Err(match state {
        NodeState::Running { pids } => format!("{node} runs ({} processes)", pids.len()),
        NodeState::Frozen => format!("{node} is frozen"),
        NodeState::Dead => format!("{node} has no process"),
    })
}

async fn claim<F: Fabric>(fabric: &F, node: &str, wanted: impl Fn(ClaimedRole) -> bool) -> Result<(), String> {
    let role = fabric.claim(node).await.role;
    if wanted(role) {
        return Ok(());
    }
    Err(match role {
        ClaimedRole::Primary => format!("{node} claims to be primary"),
        ClaimedRole::Replica => format!("{node} claims to be a replica"),
        ClaimedRole::Neither => format!("{node} answers, but is neither primary nor replica"),
        ClaimedRole::Unreachable => format!("the database on {node} does not answer"),
    })
}

/// Looks until everything is as expected or one expectation's patience is over. All of one round are looked at in
/// parallel, so that a dozen silent probes take as long as one. `Err` says what was seen instead.
pub(crate) async fn check<F: Fabric>(fabric: &Arc<F>, expects: &[Expect]) -> Result<Seen, String> {
    let begin = Instant::now();
    let mut unmet: Vec<(usize, Expect)> = expects.iter().cloned().enumerate().collect();
    let mut measured: BTreeMap<usize, Measured> = BTreeMap::new();
    loop {
        let asked = begin.elapsed();
        let mut problems = Vec::new();
        for (order, expect, seen) in look_at_all(fabric, unmet).await {
            match seen {
                Ok(found) => measured.extend(found.map(|found| (order, found))),
                Err(problem) if asked >= expect.patience() || expect.is_hopeless(&**fabric) => return Err(problem),
                Err(_) => problems.push((order, expect)),
            }
        }
        unmet = problems;
        if unmet.is_empty() {
            let measured: Vec<Measured> = measured.into_values().collect();
            return Ok(Seen { text: Told { expects, measured: &measured }.to_string(), measured });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

type Looked = Result<Option<Measured>, String>;

/// In the given order, so that the same failure reads the same.
async fn look_at_all<F: Fabric>(fabric: &Arc<F>, expects: Vec<(usize, Expect)>) -> Vec<(usize, Expect, Looked)> {
    let mut looks = JoinSet::new();
    for (order, expect) in expects {
        let fabric = Arc::clone(fabric);
        looks.spawn(async move {
            let seen = expect.look(&*fabric).await;
            (order, expect, seen)
        });
    }
    let mut looked = looks.join_all().await;
    looked.sort_by_key(|&(order, ..)| order);
    looked
}

/// What was seen when everything was as expected.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Seen {
    /// For people.
    pub(crate) text: String,
    /// What was measured.
    pub(crate) measured: Vec<Measured>,
}

impl Seen {
    /// What the changes of a fault measured while it was in force: of each quantity the median.
    pub(crate) fn medians(measured: &[Measured]) -> Self {
        let mut of_each: BTreeMap<&str, Vec<&Measured>> = BTreeMap::new();
        measured.iter().for_each(|one| of_each.entry(&one.what).or_default().push(one));
        let median = |(what, mut all): (&str, Vec<&Measured>)| {
            all.sort_by(|one, other| one.got.total_cmp(&other.got));
            let middle = all[all.len() / 2];
            Measured { what: format!("{what}, median of {}", all.len()), ..middle.clone() }
        };
        let measured: Vec<Measured> = of_each.into_iter().map(median).collect();
        Self { text: Told { expects: &[], measured: &measured }.to_string(), measured }
    }

    /// This, and what was seen after it.
    pub(crate) fn and(&mut self, later: Self) {
        if !self.text.is_empty() && !later.text.is_empty() {
            self.text.push_str("; ");
        }
        self.text.push_str(&later.text);
        self.measured.extend(later.measured);
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, asked, got, unit } = self;
        write!(formatter, "{what}: asked {} {unit}, got {} {unit}", Rounded(*asked), Rounded(*got))
    }
}

/// A number with as many digits as a person wants of a measurement.
struct Rounded(f64);

impl fmt::Display for Rounded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.0.abs() {
            size if size >= 1_000.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        let text = format!("{:.digits$}", self.0);
        formatter.write_str(if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
    }
}

/// Expectations that came true, in a sentence.
struct Told<'a> {
    expects: &'a [Expect],
    measured: &'a [Measured],
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let silent =
            self.calls(|expect| if let Expect::Silent { from, to } = expect { Some((from, to)) } else { None });
        if !silent.is_empty() {
            let ms = PROBE_TIMEOUT.as_millis();
            parts.push(format!(
                "no answer within {ms} ms to {} of {} probes: {}",
                silent.len(),
                silent.len(),
                silent.join(" ")
            ));
        }
        let reached =
            self.calls(|expect| if let Expect::Reached { from, to } = expect { Some((from, to)) } else { None });
        if !reached.is_empty() {
            parts.push(format!("an answer to {} of {} probes: {}", reached.len(), reached.len(), reached.join(" ")));
        }
        for expect in self.expects {
            parts.extend(match expect {
                Expect::Silent { .. } | Expect::Reached { .. } | Expect::Measures { .. } => None,
                Expect::Dead { node } => Some(format!("{node} has no process")),
                Expect::Frozen { node } => Some(format!("{node} is frozen")),
                Expect::Mute { node } => Some(format!("the database on {node} does not answer")),
                Expect::Running { node } => Some(format!("{node} runs")),
                Expect::Answers { node } | Expect::Accepts { node } => Some(format!("the database on {node} answers")),
                Expect::Primary { node } => Some(format!("{node} claims to be primary")),
                Expect::Follows { node } => Some(format!("{node} claims to be a replica")),
            });
        }
        parts.extend(self.measured.iter().map(ToString::to_string));
        formatter.write_str(&parts.join("; "))
    }
}

impl Told<'_> {
    fn calls<'a>(&'a self, of: impl Fn(&'a Expect) -> Option<(&'a String, &'a String)>) -> Vec<String> {
        self.expects.iter().filter_map(of).map(|(from, to)| format!("{from}→{to}")).collect()
    }
}

/// A bounded sample across a cut.
pub(crate) fn silent_sample(pairs: &Pairs) -> Vec<Expect> {
    sample(pairs, SILENT_MAX).map(|(from, to)| Expect::Silent { from, to }).collect()
}

/// A bounded sample of what must answer.
pub(crate) fn reached_sample(pairs: &Pairs) -> Vec<Expect> {
    sample(pairs, REACHED_MAX).map(|(from, to)| Expect::Reached { from, to }).collect()
}

/// Evenly spread over the sorted pairs, so that every caller, and with it every side, has its turn.
pub(crate) fn sample(pairs: &Pairs, max: usize) -> impl Iterator<Item = (String, String)> {
    let count = pairs.len().min(max);
    (0..count).map(move |number| pairs[number * pairs.len() / count].clone())
}

/// Whether a conversation between the two is impossible.
pub(crate) fn severed(cut: &Pairs, from: &str, to: &str) -> bool {
    cut.iter().any(|(one, other)| (one == from && other == to) || (one == to && other == from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_told_with_the_digits_that_matter() {
        let told = |got| Measured { what: "x".into(), asked: 100.0, got, unit: "ms".into() }.to_string();
        assert_eq!(told(100.43), "x: asked 100 ms, got 100.4 ms");
        assert_eq!(told(0.256), "x: asked 100 ms, got 0.26 ms");
        assert_eq!(told(-3_600_000.2), "x: asked 100 ms, got -3600000 ms");
        assert_eq!(told(0.0), "x: asked 100 ms, got 0 ms");
    }

    #[test]
    fn of_what_pulses_measured_the_median_is_told() {
        let one = |what: &str, got| Measured { what: what.into(), asked: 5.0, got, unit: "ms".into() };
        let seen = Seen::medians(&[one("x", 9.0), one("y", 1.0), one("x", 4.0), one("x", 6.0)]);
        let told = "x, median of 3: asked 5 ms, got 6 ms; y, median of 1: asked 5 ms, got 1 ms";
        assert_eq!((seen.text.as_str(), seen.measured.len()), (told, 2));
        assert_eq!(Seen::medians(&[]), Seen::default());
    }
}

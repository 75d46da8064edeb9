//! One fault as steps, the steps that undo it, and what must be seen from the victim's side while it is in force and
//! after it. Plain data: given the victims, everything is decided before anything is done.

use schism_cluster::Step;

use crate::{
    Target,
    expect::{self, Expect},
    grudge::{self, Grudge, Pairs},
};

/// What a fault is laid over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// The target as planned.
    pub(crate) target: &'a Target,
    /// The nodes that it means now; for a shape all nodes, in the order in which it is laid over them.
    pub(crate) chosen: &'a [String],
    /// All nodes.
    pub(crate) nodes: &'a [String],
    /// The node that claims to be primary, for faults whose order depends on it; `None` if nobody does.
    pub(crate) primary: Option<&'a str>,
    /// A number drawn beforehand.
    pub(crate) draw: u64,
    /// The fault's number in the schedule: tells what it left in the cluster from what others did.
    pub(crate) id: u32,
    /// How long it is planned to be in force.
    pub(crate) for_ms: u64,
}

#[cfg(test)]
impl<'a> Scene<'a> {
    /// The first fault of a schedule, for ten seconds.
    pub(crate) const fn of(target: &'a Target, chosen: &'a [String], nodes: &'a [String]) -> Self {
        Self { target, chosen, nodes, primary: None, draw: 0, id: 0, for_ms: 10_000 }
    }
}

/// A fault ready to be carried out.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Injection {
    /// What causes it.
    pub(crate) steps: Vec<Step>,
    /// What happens later while it is in force, in order of time: a fault that comes and goes. The undo undoes it
    /// whenever it comes, in the middle of a pulse too.
    pub(crate) pulses: Vec<Pulse>,
    /// Whether the time of each pulse counts from when the former was done and seen (the first: from when the fault was
    /// in force), and not from the fault's planned beginning: for what must not begin before something else has ended.
    pub(crate) chained: bool,
    /// What undoes it.
    pub(crate) undo: Vec<Step>,
    /// The nodes that it hurts.
    pub(crate) victims: Vec<String>,
    /// For people.
    pub(crate) detail: String,
    /// Must be seen once the steps have returned, or the fault did not bite.
    pub(crate) bites: Vec<Expect>,
    /// Must be seen once the undo has returned.
    pub(crate) heals: Vec<Expect>,
}

/// Something that happens while a fault is in force.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pulse {
    /// When, counted from the fault's planned beginning, or as [`Injection::chained`] says.
    pub(crate) after_ms: u64,
    /// What is done.
    pub(crate) steps: Vec<Step>,
    /// Must be seen once the steps have returned, or this pulse did not bite.
    pub(crate) bites: Vec<Expect>,
}

impl Injection {
    pub(crate) fn cut(grudge: Grudge, nodes: &[String]) -> Self {
        let Grudge { cut: pairs, victims, shape: detail } = grudge;
        let mut bites = expect::silent_sample(&pairs);
        bites.extend(expect::reached_sample(&whole_pairs(&pairs, nodes)));
        Self {
            heals: expect::reached_sample(&pairs),
            steps: vec![Step::Cut { pairs: pairs.clone() }],
            undo: vec![Step::Uncut { pairs }],
            victims,
            detail,
            bites,
            ..Self::default()
        }
    }

    /// Every step that it ever does, for the ledger and for whoever asks what it lays its hands on.
    pub(crate) fn step_lists(&self) -> impl Iterator<Item = &[Step]> {
        std::iter::once(self.steps.as_slice()).chain(self.pulses.iter().map(|pulse| pulse.steps.as_slice()))
    }
}

/// The pairs of hosts that a cut leaves whole in both directions: what must still be reached while it is in force.
fn whole_pairs(cut: &Pairs, nodes: &[String]) -> Pairs {
    let hosts = grudge::with_sites(nodes);
    let all = hosts.iter().flat_map(|from| hosts.iter().map(move |to| (from.clone(), to.clone())));
    all.filter(|(from, to)| from != to && !expect::severed(cut, from, to)).collect()
}

pub(crate) fn each<T>(nodes: &[String], make: impl Fn(String) -> T) -> Vec<T> {
    nodes.iter().cloned().map(make).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clients;

    #[test]
    fn a_cut_is_checked_in_both_directions_and_within_both_sides() {
        let nodes = ["n1", "n2", "n3"].map(String::from);
        let injection = Injection::cut(grudge::isolate(&nodes, &nodes[..1], Clients::WithNode), &nodes);
        let silent = |from: &str, to: &str| Expect::Silent { from: from.into(), to: to.into() };
        let from_victim =
            injection.bites.iter().any(|expect| matches!(expect, Expect::Silent { from, .. } if from == "n1"));
        let to_victim = injection.bites.iter().any(|expect| matches!(expect, Expect::Silent { to, .. } if to == "n1"));
        assert!(from_victim && to_victim, "{:?}", injection.bites);
        assert!(!injection.bites.contains(&silent("n1", "c1")));
        let within = injection.bites.iter().filter(|expect| matches!(expect, Expect::Reached { .. })).count();
        assert!(within > 0);
        assert!(injection.heals.iter().all(|expect| matches!(expect, Expect::Reached { .. })));
    }
}

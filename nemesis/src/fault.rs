//! One fault as steps, the steps that undo it, and what must be seen from the victim's side while it is in force and
//! after it. Pure: given the victims, everything is decided here.

use schism_cluster::Step;

use crate::{
    Clients, FailoverPlan, Fault, Target,
    expect::{self, Expect},
    grudge::{self, Grudge, Pairs},
};

/// A fault ready to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Injection {
    /// What causes it.
    pub(crate) steps: Vec<Step>,
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

impl Injection {
    /// The fault on these victims (for a shape: laid over all nodes in this order). A failover is more than steps and
    /// is put together from [`Injection::kill`] and [`Injection::cut`] where it is carried out.
    pub(crate) fn new(fault: Fault, target: &Target, chosen: &[String], nodes: &[String], draw: u64) -> Self {
        match fault {
            Fault::Kill => Self::kill(chosen),
            Fault::Pause => Self::pause(chosen),
            Fault::Partition { clients } => Self::cut(shape(target, chosen, nodes, clients, draw), nodes),
            Fault::Failover(plan) => Self::failover(plan, chosen, nodes),
        }
    }

    pub(crate) fn kill(victims: &[String]) -> Self {
        Self {
            steps: each(victims, |node| Step::Kill { node }),
            undo: each(victims, |node| Step::Start { node }),
            victims: victims.to_vec(),
            detail: format!("SIGKILL to every process of {}", victims.join(", ")),
            bites: each(victims, |node| Expect::Dead { node }),
            heals: serving(victims),
        }
    }

    fn pause(victims: &[String]) -> Self {
        let mut bites = each(victims, |node| Expect::Frozen { node });
        bites.extend(each(victims, |node| Expect::Mute { node }));
        Self {
            steps: each(victims, |node| Step::Freeze { node }),
            undo: each(victims, |node| Step::Thaw { node }),
            victims: victims.to_vec(),
            detail: format!("every process of {} frozen", victims.join(", ")),
            bites,
            heals: serving(victims),
        }
    }

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
        }
    }

    /// What a failover does to the old primary, for the ledger: all of it at once, so that the cut is lifted whatever
    /// becomes of the rest. There is no undo for the kill: a deposed primary that is simply started again is a second
    /// primary; it comes back by rejoining only.
    fn failover(plan: FailoverPlan, old: &[String], nodes: &[String]) -> Self {
        let none = Self {
            steps: vec![],
            undo: vec![],
            victims: old.to_vec(),
            detail: String::new(),
            bites: vec![],
            heals: vec![],
        };
        let mut whole = none;
        if plan.cut_for_ms > 0 {
            whole = Self::cut(grudge::isolate(nodes, old, plan.clients), nodes);
            whole.detail = format!("{} for {} ms, then ", whole.detail, plan.cut_for_ms);
        }
        if plan.kill {
            let kill = Self::kill(old);
            whole.steps.extend(kill.steps);
            whole.detail = format!("{}{}, then ", whole.detail, kill.detail);
        }
        whole.detail.push_str("a replica promoted");
        whole
    }
}

fn shape(target: &Target, chosen: &[String], nodes: &[String], clients: Clients, draw: u64) -> Grudge {
    match target {
        Target::Halves => grudge::halves(chosen, clients),
        // The low bit also takes part in shuffling the order; whoever comes first, both directions occur.
        Target::OneWay => grudge::one_way(chosen, draw.is_multiple_of(2)),
        Target::MajoritiesRing => grudge::majorities_ring(chosen),
        Target::Bridge => grudge::bridge(chosen),
        _ => grudge::isolate(nodes, chosen, clients),
    }
}

/// The pairs of hosts that a cut leaves whole in both directions: what must still be reached while it is in force.
fn whole_pairs(cut: &Pairs, nodes: &[String]) -> Pairs {
    let hosts = grudge::with_sites(nodes);
    let all = hosts.iter().flat_map(|from| hosts.iter().map(move |to| (from.clone(), to.clone())));
    all.filter(|(from, to)| from != to && !expect::severed(cut, from, to)).collect()
}

fn each<T>(nodes: &[String], make: impl Fn(String) -> T) -> Vec<T> {
    nodes.iter().cloned().map(make).collect()
}

/// The processes run and the database answers.
pub(crate) fn serving(nodes: &[String]) -> Vec<Expect> {
    let mut expects = each(nodes, |node| Expect::Running { node });
    expects.extend(each(nodes, |node| Expect::Answers { node }));
    expects
}

/// What of an undo may be done while other faults are in force.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Undo {
    /// To be done now.
    pub(crate) now: Vec<Step>,
    /// Starts of nodes that another fault keeps frozen: what is started in a frozen node freezes at birth.
    pub(crate) withheld: Vec<Step>,
}

/// Leaves out what another fault still wants: without this, of two overlapping partitions the first to end would lift
/// the second too, and thawing a node for one pause would end the other. `others` are the steps that caused the
/// other faults in force; the undo of the last one to end then does all of it.
pub(crate) fn undo_beside(undo: &[Step], others: &[&[Step]]) -> Undo {
    let others: Vec<&Step> = others.iter().copied().flatten().collect();
    let kept_dead = |node: &str| others.iter().any(|step| matches!(step, Step::Kill { node: other } if other == node));
    let kept_frozen =
        |node: &str| others.iter().any(|step| matches!(step, Step::Freeze { node: other } if other == node));
    let mut result = Undo { now: vec![], withheld: vec![] };
    for step in undo {
        match step {
            Step::Uncut { pairs } => {
                let pairs: Pairs = pairs.iter().filter(|pair| !cut_by(&others, pair)).cloned().collect();
                if !pairs.is_empty() {
                    result.now.push(Step::Uncut { pairs });
                }
            }
            Step::Thaw { node } if kept_frozen(node) => {}
            Step::Start { node } if kept_dead(node) => {}
            Step::Start { node } if kept_frozen(node) => result.withheld.push(step.clone()),
            Step::Thaw { .. } | Step::Start { .. } | Step::Cut { .. } | Step::Kill { .. } | Step::Freeze { .. } => {
                result.now.push(step.clone());
            }
        }
    }
    result
}

fn cut_by(steps: &[&Step], pair: &(String, String)) -> bool {
    steps.iter().any(|step| matches!(step, Step::Cut { pairs } if pairs.contains(pair)))
}

/// Leaves out the expectations that another fault in force contradicts.
pub(crate) fn expect_beside(expects: &[Expect], others: &[&[Step]]) -> Vec<Expect> {
    let others: Vec<&Step> = others.iter().copied().flatten().collect();
    let down = |node: &str| {
        others
            .iter()
            .any(|step| matches!(step, Step::Kill { node: other } | Step::Freeze { node: other } if other == node))
    };
    let possible = |expect: &&Expect| match expect {
        Expect::Reached { from, to } => {
            let (there, back) = ((from.clone(), to.clone()), (to.clone(), from.clone()));
            !cut_by(&others, &there) && !cut_by(&others, &back)
        }
        Expect::Running { node } | Expect::Answers { node } => !down(node),
        _ => true,
    };
    expects.iter().filter(possible).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    fn pair(from: &str, to: &str) -> (String, String) {
        (from.into(), to.into())
    }

    fn start(node: &str) -> Step {
        Step::Start { node: node.into() }
    }

    fn thaw(node: &str) -> Step {
        Step::Thaw { node: node.into() }
    }

    #[test]
    fn overlapping_cuts_are_lifted_by_the_last() {
        let first = [Step::Uncut { pairs: vec![pair("n1", "n2"), pair("n2", "n1")] }];
        let second = [Step::Cut { pairs: vec![pair("n1", "n2"), pair("n1", "n3")] }];
        let undo = undo_beside(&first, &[&second]);
        assert_eq!(undo.now, [Step::Uncut { pairs: vec![pair("n2", "n1")] }]);
        assert_eq!(undo_beside(&first, &[]).now, first);
        let all = [Step::Uncut { pairs: vec![pair("n1", "n2")] }];
        assert_eq!(undo_beside(&all, &[&second]).now, []);
    }

    #[test]
    fn a_node_that_another_fault_keeps_down_stays_down() {
        let kill = [Step::Kill { node: "n1".into() }];
        let freeze = [Step::Freeze { node: "n1".into() }];
        assert_eq!(undo_beside(&[start("n1"), start("n2")], &[&kill]).now, [start("n2")]);
        assert_eq!(undo_beside(&[thaw("n1")], &[&freeze]).now, []);
        assert_eq!(undo_beside(&[thaw("n1")], &[&kill]).now, [thaw("n1")]);
        let undo = undo_beside(&[start("n1")], &[&freeze]);
        assert_eq!((undo.now, undo.withheld), (vec![], vec![start("n1")]));
    }

    #[test]
    fn what_another_fault_contradicts_is_not_expected() {
        let expects = [
            Expect::Reached { from: "n1".into(), to: "n2".into() },
            Expect::Reached { from: "n1".into(), to: "n3".into() },
            Expect::Running { node: "n1".into() },
            Expect::Answers { node: "n2".into() },
        ];
        let cut = [Step::Cut { pairs: vec![pair("n2", "n1")] }];
        let kill = [Step::Kill { node: "n1".into() }];
        assert_eq!(expect_beside(&expects, &[&cut, &kill]), [expects[1].clone(), expects[3].clone()]);
    }

    #[test]
    fn a_failover_never_starts_the_old_primary() {
        let nodes = names(&["n1", "n2", "n3"]);
        for cut_for_ms in [0, 1_000] {
            let plan = FailoverPlan { cut_for_ms, ..FailoverPlan::default() };
            let injection = Injection::failover(plan, &nodes[..1], &nodes);
            assert_eq!(injection.steps.last(), Some(&Step::Kill { node: "n1".into() }));
            assert_eq!(injection.steps.len(), 1 + usize::from(cut_for_ms > 0));
            assert!(!injection.undo.iter().any(|step| matches!(step, Step::Start { .. })));
        }
    }

    #[test]
    fn a_cut_is_checked_in_both_directions_and_within_both_sides() {
        let nodes = names(&["n1", "n2", "n3"]);
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

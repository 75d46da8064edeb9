//! Faults that overlap. Each leaves in force what another still wants: without this, of two overlapping partitions the
//! first to end would lift the second too, and thawing a node for one pause would end the other. The last one to end
//! then undoes what they had in common.

use schism_cluster::{Gauge, Limited, Step, Work};

use crate::{expect::Expect, grudge::Pairs};

/// What of an undo may be done while other faults are in force.
#[derive(Debug, PartialEq)]
pub(crate) struct Undo {
    /// To be done now.
    pub(crate) now: Vec<Step>,
    /// Starts of nodes that another fault keeps frozen: what is started in a frozen node freezes at birth.
    pub(crate) withheld: Vec<Step>,
}

/// Something of a node that a step takes away and another gives back.
#[derive(Debug, PartialEq, Eq)]
enum Hold<'a> {
    /// Its processes are gone.
    Dead(&'a str),
    /// Its processes are stopped.
    Frozen(&'a str),
    /// Its servers can have no more of something.
    Limited(&'a str, Limited),
}

/// What a step takes away until its undo. Cuts are apart: an undo may lift a part of one.
const fn takes(step: &Step) -> Option<Hold<'_>> {
    match step {
        Step::Kill { node } | Step::Terminate { node, .. } => Some(Hold::Dead(node.as_str())),
        Step::Freeze { node } => Some(Hold::Frozen(node.as_str())),
        Step::Limit { node, limited, .. } => Some(Hold::Limited(node.as_str(), *limited)),
        // What is asked to end is also terminated.
        Step::Load { .. }
        | Step::Unload { .. }
        | Step::Unlimit { .. }
        | Step::AskToEnd { .. }
        | Step::Start { .. }
        | Step::Thaw { .. }
        | Step::Cut { .. }
        | Step::Uncut { .. } => None,
    }
}

/// What an undo gives back.
const fn gives(step: &Step) -> Option<Hold<'_>> {
    match step {
        Step::Start { node } => Some(Hold::Dead(node.as_str())),
        Step::Thaw { node } => Some(Hold::Frozen(node.as_str())),
        Step::Unlimit { node, limited } => Some(Hold::Limited(node.as_str(), *limited)),
        Step::Kill { .. }
        | Step::Load { .. }
        | Step::Unload { .. }
        | Step::Limit { .. }
        | Step::AskToEnd { .. }
        | Step::Terminate { .. }
        | Step::Freeze { .. }
        | Step::Cut { .. }
        | Step::Uncut { .. } => None,
    }
}

/// Leaves out what another fault still wants. `others` are the steps of the other faults in force.
pub(crate) fn undo_beside(undo: &[Step], others: &[&[Step]]) -> Undo {
    let others: Vec<&Step> = others.iter().copied().flatten().collect();
    let held = |hold: &Hold<'_>| others.iter().any(|step| takes(step).as_ref() == Some(hold));
    let mut result = Undo { now: vec![], withheld: vec![] };
    for step in undo {
        match step {
            Step::Uncut { pairs } => {
                let pairs: Pairs = pairs.iter().filter(|pair| !cut_by(&others, pair)).cloned().collect();
                if !pairs.is_empty() {
                    result.now.push(Step::Uncut { pairs });
                }
            }
            _ if gives(step).is_some_and(|hold| held(&hold)) => {}
            Step::Start { node } if held(&Hold::Frozen(node)) => result.withheld.push(step.clone()),
            _ => result.now.push(step.clone()),
        }
    }
    result
}

fn cut_by(steps: &[&Step], pair: &(String, String)) -> bool {
    steps.iter().any(|step| matches!(step, Step::Cut { pairs } if pairs.contains(pair)))
}

/// What other faults in force have to do again to nodes that were started: what lives in a node's processes is lost
/// with them. `others` are the steps of those faults.
pub(crate) fn renewals(started: &[Step], others: &[&[Step]]) -> Vec<Step> {
    again(started, others, |step| match step {
        Step::Load { node, work, .. } if work.is_in_node() => Some(node),
        _ => None,
    })
}

/// The same, of what would keep a server from starting: to be done again once it serves.
pub(crate) fn renewals_once_serving(started: &[Step], others: &[&[Step]]) -> Vec<Step> {
    again(started, others, |step| if let Step::Limit { node, .. } = step { Some(node) } else { None })
}

fn again<'a>(started: &[Step], others: &[&'a [Step]], of: impl Fn(&'a Step) -> Option<&'a String>) -> Vec<Step> {
    let is_started =
        |node: &str| started.iter().any(|step| matches!(step, Step::Start { node: other } if other == node));
    let others = others.iter().copied().flatten();
    others.filter(|step| of(step).is_some_and(|node| is_started(node))).cloned().collect()
}

/// Whether one of these steps leaves the node's server nothing for a new client.
fn starves(steps: &[&Step], node: &str) -> bool {
    steps.iter().any(|step| match step {
        Step::Load { node: other, work: Work::Connections { count: None }, .. } | Step::Limit { node: other, .. } => {
            other == node
        }
        _ => false,
    })
}

/// Whether one of these steps cuts somebody off from this node or from the client site beside it.
fn cut_near(steps: &[&Step], node: &str) -> bool {
    let site = node.replacen('n', "c", 1);
    let near = |host: &String| host == node || *host == site;
    steps
        .iter()
        .any(|step| matches!(step, Step::Cut { pairs } if pairs.iter().any(|(from, to)| near(from) || near(to))))
}

/// Leaves out the expectations that another fault in force contradicts.
pub(crate) fn expect_beside(expects: &[Expect], others: &[&[Step]]) -> Vec<Expect> {
    let others: Vec<&Step> = others.iter().copied().flatten().collect();
    let down = |node: &str| {
        others.iter().any(|step| matches!(takes(step), Some(Hold::Dead(other) | Hold::Frozen(other)) if other == node))
    };
    let possible = |expect: &&Expect| match expect {
        Expect::Reached { from, to } => {
            let (there, back) = ((from.clone(), to.clone()), (to.clone(), from.clone()));
            !cut_by(&others, &there) && !cut_by(&others, &back)
        }
        Expect::Running { node } => !down(node),
        // To be asked it must take a connection, where the old one ended with the server.
        Expect::Answers { node } => !down(node) && !starves(&others, node),
        Expect::Measures { gauge: Gauge::ServedClients { node }, asked, .. } => {
            !down(node) && (*asked == 0.0 || !starves(&others, node))
        }
        Expect::Measures {
            gauge:
                Gauge::FreeDescriptors { node }
                | Gauge::ProcessStarts { node }
                | Gauge::LoadCores { node, .. }
                | Gauge::LoadMemory { node, .. },
            ..
        } => !down(node),
        Expect::Measures { gauge: Gauge::LoadConnections { node, .. }, .. } => {
            !down(node) && !starves(&others, node) && !cut_near(&others, node)
        }
        // Nothing of it ended, or it could not: the note is of another end.
        Expect::Measures {
            gauge: Gauge::OrderlyEnds { node } | Gauge::EndingTime { node } | Gauge::Lifetime { node },
            ..
        } => !down(node),
        _ => true,
    };
    expects.iter().filter(possible).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_last_of_two_limits_gives_back_and_only_its_own_kind() {
        let limit = |limited| Step::Limit { node: "n1".into(), limited, spare: 0 };
        let undo = [Step::Unlimit { node: "n1".into(), limited: Limited::Files }];
        assert_eq!(undo_beside(&undo, &[&[limit(Limited::Files)]]).now, []);
        assert_eq!(undo_beside(&undo, &[&[limit(Limited::Processes)]]).now, undo);
        // A dead or frozen server's can be given back.
        let down = [Step::Kill { node: "n1".into() }, Step::Freeze { node: "n1".into() }];
        assert_eq!(undo_beside(&undo, &[&down]).now, undo);
        // Loads are told apart by their fault.
        let unload = [Step::Unload { node: "n1".into(), id: 1 }];
        let load = Step::Load { node: "n1".into(), id: 2, work: Work::Connections { count: None } };
        assert_eq!(undo_beside(&unload, &[&[load]]).now, unload);
    }

    #[test]
    fn what_is_lost_with_a_server_is_done_again_to_the_next() {
        let load = |node: &str, work| Step::Load { node: node.into(), id: 3, work };
        let cpu = Work::Cpu { threads: 1, busy_ppm: 1_000_000, nice: 0 };
        let limit = Step::Limit { node: "n1".into(), limited: Limited::Files, spare: 0 };
        let all = Work::Connections { count: None };
        let others = [load("n1", cpu), load("n2", cpu), load("n1", all), limit.clone()];
        let started = [start("n1"), thaw("n2")];
        // A load at the client site outlives the server and takes its connections again by itself.
        assert_eq!(renewals(&started, &[&others]), [load("n1", cpu)]);
        assert_eq!(renewals_once_serving(&started, &[&others]), [limit]);
        assert_eq!(renewals(&[], &[&others]), []);
    }

    #[test]
    fn a_node_that_another_fault_starves_serves_nobody() {
        let served = |asked: f64| Expect::Measures {
            gauge: Gauge::ServedClients { node: "n1".into() },
            asked,
            bounds: asked..=asked,
        };
        let expects = [Expect::Answers { node: "n1".into() }, served(3.0), served(0.0)];
        let load = |count| [Step::Load { node: "n1".into(), id: 3, work: Work::Connections { count } }];
        assert_eq!(expect_beside(&expects, &[&load(None)]), [served(0.0)]);
        assert_eq!(expect_beside(&expects, &[&load(Some(5))]), expects);
        assert_eq!(expect_beside(&expects, &[&[Step::Freeze { node: "n1".into() }]]), []);
        let held = [Expect::Measures {
            gauge: Gauge::LoadConnections { node: "n1".into(), id: 0, of_all: false },
            asked: 5.0,
            bounds: 5.0..=5.0,
        }];
        assert_eq!(expect_beside(&held, &[&[Step::Cut { pairs: vec![pair("c1", "n2")] }]]), []);
        assert_eq!(expect_beside(&held, &[&[Step::Cut { pairs: vec![pair("c2", "n2")] }]]), held);
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
}

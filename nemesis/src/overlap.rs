//! Faults that overlap. Each leaves in force what another still wants: without this, of two overlapping partitions the
//! first to end would lift the second too, and thawing a node for one pause would end the other. The last one to end
//! then undoes what they had in common.

use schism_cluster::{Gauge, Step};

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
    /// Its clock is wrong. Of two clock faults on a node the newer's clock replaces the older's (of the same process)
    /// and stays until both are over: one undo gives all of the node's processes the true time, so the first to end
    /// would end the other, too.
    Clock(&'a str),
}

/// What a step takes away until its undo. Cuts are apart: an undo may lift a part of one.
const fn takes(step: &Step) -> Option<Hold<'_>> {
    match step {
        Step::Kill { node } => Some(Hold::Dead(node.as_str())),
        Step::Freeze { node } => Some(Hold::Frozen(node.as_str())),
        Step::SetClock { node, .. } => Some(Hold::Clock(node.as_str())),
        Step::Start { .. }
        | Step::Thaw { .. }
        | Step::Cut { .. }
        | Step::Uncut { .. }
        | Step::RenewClock { .. }
        | Step::ResetClock { .. } => None,
    }
}

/// What an undo gives back.
const fn gives(step: &Step) -> Option<Hold<'_>> {
    match step {
        Step::Start { node } => Some(Hold::Dead(node.as_str())),
        Step::Thaw { node } => Some(Hold::Frozen(node.as_str())),
        Step::ResetClock { node } => Some(Hold::Clock(node.as_str())),
        Step::Kill { .. }
        | Step::Freeze { .. }
        | Step::Cut { .. }
        | Step::Uncut { .. }
        | Step::SetClock { .. }
        | Step::RenewClock { .. } => None,
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
    let started = started.iter().filter_map(|step| if let Step::Start { node } = step { Some(node) } else { None });
    let others: Vec<&Step> = others.iter().copied().flatten().collect();
    let has_clock = |node: &str| others.iter().any(|step| takes(step) == Some(Hold::Clock(node)));
    started.filter(|node| has_clock(node)).map(|node| Step::RenewClock { node: node.clone() }).collect()
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
        Expect::Running { node } | Expect::Answers { node } => !down(node),
        Expect::Measures { gauge: Gauge::ClockOffset { node, .. } | Gauge::ClockRate { node, .. }, asked, .. } => {
            // Nobody answers; or this fault is over, and another one's clock goes on.
            let goes_on = *asked == 0.0 && others.iter().any(|step| takes(step) == Some(Hold::Clock(node)));
            !down(node) && !goes_on
        }
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

    fn set_clock(node: &str, process: Option<&str>) -> Step {
        let change = schism_cluster::ClockChange::Freeze;
        Step::SetClock { node: node.into(), process: process.map(Into::into), change }
    }

    #[test]
    fn the_last_of_two_clock_faults_gives_the_true_time_back() {
        let reset = [Step::ResetClock { node: "n1".into() }, Step::ResetClock { node: "n2".into() }];
        let other = [set_clock("n1", Some("sentinel"))];
        assert_eq!(undo_beside(&reset, &[&other]).now, reset[1..]);
        assert_eq!(undo_beside(&reset, &[]).now, reset);
        // A dead or frozen node's clock can be set back.
        let down = [Step::Kill { node: "n1".into() }, Step::Freeze { node: "n2".into() }];
        assert_eq!(undo_beside(&reset, &[&down]).now, reset);
    }

    #[test]
    fn started_nodes_get_the_clocks_of_other_faults_again() {
        let clock = [set_clock("n1", None), set_clock("n2", None)];
        let renew = |node: &str| Step::RenewClock { node: node.into() };
        let done = [start("n1"), thaw("n2"), start("n3")];
        assert_eq!(renewals(&done, &[&clock]), [renew("n1")]);
        assert_eq!(renewals(&done, &[]), []);
    }

    #[test]
    fn a_clock_is_not_measured_where_nobody_answers_nor_when_another_fault_has_it() {
        let measures = |node: &str, asked: f64| Expect::Measures {
            gauge: Gauge::ClockOffset { node: node.into(), process: None },
            asked,
            bounds: asked..=asked,
        };
        let expects = [measures("n1", 0.0), measures("n2", 50.0), measures("n3", 50.0), measures("n4", 0.0)];
        let others = [set_clock("n1", None), set_clock("n2", None), Step::Kill { node: "n3".into() }];
        assert_eq!(expect_beside(&expects, &[&others]), [expects[1].clone(), expects[3].clone()]);
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

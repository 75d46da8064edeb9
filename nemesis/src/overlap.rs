//! Faults that overlap. Each leaves in force what another still wants: without this, of two overlapping partitions the
//! first to end would lift the second too, and thawing a node for one pause would end the other. The last one to end
//! then undoes what they had in common.

use schism_cluster::{DiskStep, Gauge, Step};

use crate::{expect::Expect, grudge::Pairs};

/// What of an undo may be done while other faults are in force.
#[derive(Debug, PartialEq)]
pub(crate) struct Undo {
    /// To be done now.
    pub(crate) now: Vec<Step>,
    /// Starts of nodes that another fault keeps frozen: what is started in a frozen node freezes at birth. And starts
    /// on damaged files, of nodes that another fault keeps down.
    pub(crate) withheld: Vec<Step>,
}

/// Something of a node that a step takes away and another gives back.
#[derive(Debug, PartialEq, Eq)]
enum Hold<'a> {
    /// Its processes are gone.
    Dead(&'a str),
    /// Its processes are stopped.
    Frozen(&'a str),
    /// Its disk takes no writes.
    Broken(&'a str),
    /// Its disk has no room.
    Full(&'a str),
}

/// What a step takes away until its undo. Cuts are apart: an undo may lift a part of one.
fn takes(step: &Step) -> Vec<Hold<'_>> {
    match step {
        Step::Kill { node } => vec![Hold::Dead(node)],
        Step::Freeze { node } => vec![Hold::Frozen(node)],
        Step::Disk { node, action } => match action {
            DiskStep::PowerOff => vec![Hold::Dead(node), Hold::Broken(node)],
            DiskStep::Break | DiskStep::ReadOnly => vec![Hold::Broken(node)],
            DiskStep::Fill { .. } => vec![Hold::Full(node)],
            // Damage is done to the dead: the kill before it holds the node.
            DiskStep::Repair
            | DiskStep::Empty
            | DiskStep::Damage { .. }
            | DiskStep::Snapshot { .. }
            | DiskStep::Restore { .. }
            | DiskStep::Revive { .. }
            | DiskStep::Judge { .. } => vec![],
        },
        Step::Start { .. } | Step::Thaw { .. } | Step::Cut { .. } | Step::Uncut { .. } => vec![],
    }
}

/// What an undo gives back.
fn gives(step: &Step) -> Option<Hold<'_>> {
    match step {
        Step::Start { node } => Some(Hold::Dead(node.as_str())),
        Step::Thaw { node } => Some(Hold::Frozen(node.as_str())),
        Step::Disk { node, action } => match action {
            DiskStep::Repair => Some(Hold::Broken(node)),
            DiskStep::Empty => Some(Hold::Full(node)),
            DiskStep::Revive { .. } => Some(Hold::Dead(node)),
            DiskStep::PowerOff
            | DiskStep::Break
            | DiskStep::ReadOnly
            | DiskStep::Fill { .. }
            | DiskStep::Damage { .. }
            | DiskStep::Snapshot { .. }
            | DiskStep::Restore { .. }
            | DiskStep::Judge { .. } => None,
        },
        Step::Kill { .. } | Step::Freeze { .. } | Step::Cut { .. } | Step::Uncut { .. } => None,
    }
}

/// Leaves out what another fault still wants. `others` are the steps of the other faults in force.
pub(crate) fn undo_beside(undo: &[Step], others: &[&[Step]]) -> Undo {
    let others: Vec<&Step> = others.iter().copied().flatten().collect();
    let held = |hold: &Hold<'_>| others.iter().any(|step| takes(step).contains(hold));
    let mut result = Undo { now: vec![], withheld: vec![] };
    for step in undo {
        match step {
            Step::Uncut { pairs } => {
                let pairs: Pairs = pairs.iter().filter(|pair| !cut_by(&others, pair)).cloned().collect();
                if !pairs.is_empty() {
                    result.now.push(Step::Uncut { pairs });
                }
            }
            // Only this start knows what to do when a server refuses its files: it waits for whoever holds the node.
            Step::Disk { node, action: DiskStep::Revive { .. } | DiskStep::Judge { .. } }
                if [Hold::Dead(node), Hold::Frozen(node), Hold::Broken(node)].iter().any(held) =>
            {
                result.withheld.push(step.clone());
            }
            _ if gives(step).is_some_and(|hold| held(&hold)) => {}
            // Without its disk it would end at once; whoever gives that back starts it.
            Step::Start { node } if held(&Hold::Broken(node)) => {}
            Step::Start { node } if held(&Hold::Frozen(node)) => result.withheld.push(step.clone()),
            _ => result.now.push(step.clone()),
        }
    }
    result
}

/// The node whose servers a step starts, or watches as they start.
pub(crate) fn starts(step: &Step) -> Option<&str> {
    match step {
        Step::Start { node } | Step::Disk { node, action: DiskStep::Revive { .. } | DiskStep::Judge { .. } } => {
            Some(node)
        }
        _ => None,
    }
}

/// Whether these steps are why a start has to wait.
pub(crate) fn withholds(steps: &[Step], start: &Step, node: &str) -> bool {
    let holds = |hold: &Hold<'_>| match (hold, start) {
        (Hold::Frozen(other), _) => *other == node,
        (Hold::Dead(other) | Hold::Broken(other), Step::Disk { .. }) => *other == node,
        _ => false,
    };
    steps.iter().any(|step| takes(step).iter().any(holds))
}

fn cut_by(steps: &[&Step], pair: &(String, String)) -> bool {
    steps.iter().any(|step| matches!(step, Step::Cut { pairs } if pairs.contains(pair)))
}

/// Leaves out the expectations that another fault in force contradicts.
pub(crate) fn expect_beside(expects: &[Expect], others: &[&[Step]]) -> Vec<Expect> {
    let others: Vec<&Step> = others.iter().copied().flatten().collect();
    let held = |hold: &Hold<'_>| others.iter().any(|step| takes(step).contains(hold));
    // With its disk full a server may stop at any moment.
    let down =
        |node: &str| [Hold::Dead(node), Hold::Frozen(node), Hold::Broken(node), Hold::Full(node)].iter().any(held);
    let possible = |expect: &&Expect| match expect {
        Expect::Reached { from, to } => {
            let (there, back) = ((from.clone(), to.clone()), (to.clone(), from.clone()));
            !cut_by(&others, &there) && !cut_by(&others, &back)
        }
        Expect::Running { node } | Expect::Answers { node } | Expect::Accepts { node } => !down(node),
        Expect::Measures { gauge: Gauge::DiskAnswer { node }, asked, .. } => {
            !held(&Hold::Broken(node)) && (*asked != 0.0 || !held(&Hold::Full(node)))
        }
        Expect::Measures { gauge: Gauge::DiskFree { node }, .. } => {
            !held(&Hold::Broken(node)) && !held(&Hold::Full(node))
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

    fn disk(node: &str, action: DiskStep) -> Step {
        Step::Disk { node: node.into(), action }
    }

    #[test]
    fn a_disk_is_given_back_by_the_last_and_its_server_started_then() {
        let power_loss = [disk("n1", DiskStep::PowerOff)];
        let gone = [disk("n1", DiskStep::Break)];
        let full = [disk("n1", DiskStep::Fill { leave_kb: 0 })];
        let kill = [Step::Kill { node: "n1".into() }];
        let freeze = [Step::Freeze { node: "n1".into() }];
        let undo = [disk("n1", DiskStep::Repair), start("n1")];
        assert_eq!(undo_beside(&undo, &[]).now, undo);
        assert_eq!(undo_beside(&undo, &[&gone]).now, []);
        assert_eq!(undo_beside(&undo, &[&power_loss]).now, []);
        assert_eq!(undo_beside(&undo, &[&kill]).now, undo[..1]);
        // A server can start on a full disk, and room is not made by mounting it.
        assert_eq!(undo_beside(&undo, &[&full]).now, undo);
        let undo = undo_beside(&undo, &[&freeze]);
        assert_eq!((undo.now, undo.withheld), (vec![disk("n1", DiskStep::Repair)], vec![start("n1")]));
        // The end of a kill starts nothing on a disk that is gone, nor while the power is off.
        for other in [&gone[..], &power_loss] {
            assert_eq!(undo_beside(&[start("n1"), start("n2")], &[other]).now, [start("n2")]);
        }
        let undo = [disk("n1", DiskStep::Empty), start("n1")];
        assert_eq!(undo_beside(&undo, &[&gone]).now, undo[..1]);
        assert_eq!(undo_beside(&undo, &[&full]).now, undo[1..]);
    }

    #[test]
    fn a_start_on_damaged_files_waits_for_whoever_holds_the_node() {
        let revive = [disk("n1", DiskStep::Revive { fault: 0 }), disk("n1", DiskStep::Judge { fault: 0 })];
        assert_eq!(undo_beside(&revive, &[]).now, revive);
        for holder in [
            Step::Kill { node: "n1".into() },
            Step::Freeze { node: "n1".into() },
            disk("n1", DiskStep::PowerOff),
            disk("n1", DiskStep::Break),
        ] {
            let holder = [holder];
            let undo = undo_beside(&revive, &[&holder]);
            assert_eq!((undo.now, undo.withheld), (vec![], revive.to_vec()));
            assert!(revive.iter().all(|step| withholds(&holder, step, "n1") && !withholds(&holder, step, "n2")));
        }
        assert!(!withholds(&[Step::Kill { node: "n1".into() }], &start("n1"), "n1"));
    }

    #[test]
    fn of_a_disk_only_the_fault_that_rules_it_is_expected() {
        let answer = |asked: f64| Expect::Measures {
            gauge: Gauge::DiskAnswer { node: "n1".into() },
            asked,
            bounds: asked..=asked,
        };
        let expects = [answer(0.0), answer(5.0), Expect::Answers { node: "n1".into() }];
        let full = [disk("n1", DiskStep::Fill { leave_kb: 0 })];
        assert_eq!(expect_beside(&expects, &[&full]), [answer(5.0)]);
        assert_eq!(expect_beside(&expects, &[&[disk("n1", DiskStep::ReadOnly)]]), []);
        assert_eq!(expect_beside(&expects, &[&[disk("n2", DiskStep::PowerOff)]]), expects);
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

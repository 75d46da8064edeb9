//! Faults that overlap. Each leaves in force what another still wants: without this, of two overlapping partitions the
//! first to end would lift the second too, and thawing a node for one pause would end the other. The last one to end
//! then undoes what they had in common.

use schism_cluster::Step;

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
}

/// What a step takes away until its undo. Cuts are apart: an undo may lift a part of one.
const fn takes(step: &Step) -> Option<Hold<'_>> {
    match step {
        Step::Kill { node } => Some(Hold::Dead(node.as_str())),
        Step::Freeze { node } => Some(Hold::Frozen(node.as_str())),
        Step::Start { .. } | Step::Thaw { .. } | Step::Cut { .. } | Step::Uncut { .. } => None,
        // Each fault has a rule of its own, which touches no other's.
        Step::DiskRule { .. } | Step::DiskUnrule { .. } => None,
    }
}

/// What an undo gives back.
const fn gives(step: &Step) -> Option<Hold<'_>> {
    match step {
        Step::Start { node } => Some(Hold::Dead(node.as_str())),
        Step::Thaw { node } => Some(Hold::Frozen(node.as_str())),
        Step::Kill { .. } | Step::Freeze { .. } | Step::Cut { .. } | Step::Uncut { .. } => None,
        Step::DiskRule { .. } | Step::DiskUnrule { .. } => None,
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

/// Leaves out the expectations that another fault in force contradicts.
pub(crate) fn expect_beside(expects: &[Expect], others: &[&[Step]]) -> Vec<Expect> {
    let others: Vec<&Step> = others.iter().copied().flatten().collect();
    let down = |node: &str| {
        others.iter().any(|step| matches!(takes(step), Some(Hold::Dead(other) | Hold::Frozen(other)) if other == node))
    };
    // A server that cannot write, or only slowly, may give up, and may not come back before the rule is lifted; then
    // whoever lifts it starts it and looks whether it answers.
    let hampered =
        |node: &str| others.iter().any(|step| matches!(step, Step::DiskRule { node: other, .. } if other == node));
    let possible = |expect: &&Expect| match expect {
        Expect::Reached { from, to } => {
            let (there, back) = ((from.clone(), to.clone()), (to.clone(), from.clone()));
            !cut_by(&others, &there) && !cut_by(&others, &back)
        }
        Expect::Running { node } | Expect::Answers { node } => !down(node) && !hampered(node),
        _ => true,
    };
    expects.iter().filter(possible).cloned().collect()
}

#[cfg(test)]
mod tests {
    use schism_cluster::{DiskEffect, DiskError, DiskFiles, DiskOperation, DiskRule};

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
        let rule = [disk_rule("n2", 4)];
        assert_eq!(expect_beside(&expects, &[&rule]), expects[..3]);
    }

    fn disk_rule(node: &str, id: u32) -> Step {
        let rule = DiskRule {
            files: DiskFiles::all(),
            operations: [DiskOperation::Write].into(),
            effect: DiskEffect::Fail(DiskError::NoSpace),
            probability_ppm: 1_000_000,
            seed: 0,
        };
        Step::DiskRule { node: node.into(), id, rule }
    }

    /// Two faults on the same files: each lifts its own rule, at its own time. A server that is dead for want of space
    /// is started at the end, but not while another fault wants it dead or keeps it frozen.
    #[test]
    fn rules_are_lifted_one_by_one() {
        let lift = Step::DiskUnrule { node: "n1".into(), id: 3 };
        let undo = [lift.clone(), start("n1")];
        assert_eq!(undo_beside(&undo, &[&[disk_rule("n1", 4)]]).now, undo);
        let kill = [Step::Kill { node: "n1".into() }];
        assert_eq!(undo_beside(&undo, &[&kill]).now, undo[..1]);
        let freeze = [Step::Freeze { node: "n1".into() }];
        let beside = undo_beside(&undo, &[&freeze]);
        assert_eq!((beside.now, beside.withheld), (vec![lift], vec![start("n1")]));
        // A node that is killed and started meanwhile keeps its rule: it is the file system's and not the server's.
        assert_eq!(undo_beside(&[start("n1")], &[&[disk_rule("n1", 4)]]).now, [start("n1")]);
    }
}

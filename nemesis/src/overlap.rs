//! Faults that overlap. Each leaves in force what another still wants: without this, of two overlapping partitions the
//! first to end would lift the second too, and thawing a node for one pause would end the other. The last one to end
//! then undoes what they had in common.

use schism_cluster::{Corruption, DatagramGauge, DiskStep, Gauge, Limited, Rule, Step, Work};

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
    /// Its clock is wrong. Of two clock faults on a node the newer's clock replaces the older's (of the same process)
    /// and stays until both are over: one undo gives all of the node's processes the true time, so the first to end
    /// would end the other, too.
    Clock(&'a str),
    /// Its disk takes no writes.
    Broken(&'a str),
    /// Its disk has no room.
    Full(&'a str),
    /// Its servers can have no more of something.
    Limited(&'a str, Limited),
}

/// What a step takes away until its undo. Cuts are apart: an undo may lift a part of one.
fn takes(step: &Step) -> Vec<Hold<'_>> {
    match step {
        Step::Kill { node } | Step::Terminate { node, .. } => vec![Hold::Dead(node)],
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
        Step::SetClock { node, .. } => vec![Hold::Clock(node)],
        Step::Limit { node, limited, .. } => vec![Hold::Limited(node, *limited)],
        _ => vec![],
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
        Step::ResetClock { node } => Some(Hold::Clock(node.as_str())),
        Step::Unlimit { node, limited } => Some(Hold::Limited(node, *limited)),
        _ => None,
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
        Step::Start { node }
        | Step::Restart { node }
        | Step::Disk { node, action: DiskStep::Revive { .. } | DiskStep::Judge { .. } } => Some(node),
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

fn cut_either_way(steps: &[&Step], from: &str, to: &str) -> bool {
    let (there, back) = ((from.to_owned(), to.to_owned()), (to.to_owned(), from.to_owned()));
    cut_by(steps, &there) || cut_by(steps, &back)
}

/// A rule on the link from one host to another, or on the way back.
#[derive(Debug, Clone, Copy)]
struct Laid<'a> {
    rule: &'a Rule,
    /// Whether it is on the way there.
    there: bool,
}

fn rules_between<'a>(steps: &'a [&Step], from: &'a str, to: &'a str) -> impl Iterator<Item = Laid<'a>> {
    let laid = move |step: &&'a Step| {
        let Step::Shape { pairs, rule, .. } = *step else { return [None, None] };
        let on = |one: &str, other: &str| pairs.iter().any(|(from, to)| from == one && to == other);
        [on(from, to).then_some(Laid { rule, there: true }), on(to, from).then_some(Laid { rule, there: false })]
    };
    steps.iter().flat_map(laid).flatten()
}

/// Whether a connection attempt may get no answer in time, however often it is tried: a probe waits for 300 ms.
const fn hinders(laid: Laid<'_>) -> bool {
    match laid.rule {
        Rule::Delay { delay_ms, jitter_ms, .. } => *delay_ms + *jitter_ms >= 50,
        // A dozen attempts come through less often than that, question and answer, once in five million times.
        Rule::Loss { share_ppm } | Rule::Corrupt { share_ppm, .. } => *share_ppm > 150_000,
        Rule::BurstLoss { .. } | Rule::Bandwidth { .. } => true,
        // A probe is refused by an RST, which this drops on its way back.
        Rule::HalfOpen => !laid.there,
        Rule::Reorder { hold_ms, .. } => *hold_ms >= 50,
        Rule::Duplicate { .. } | Rule::Reset { .. } | Rule::SlowClose { .. } => false,
    }
}

/// Between which hosts something is measured; `None`: not over a link.
fn ends_of(gauge: &Gauge) -> Option<(&str, &str)> {
    match gauge {
        Gauge::RoundTrip { from, to }
        | Gauge::Datagrams { from, to, .. }
        | Gauge::Throughput { from, to, .. }
        | Gauge::ResetAge { from, to, .. }
        | Gauge::CloseTime { from, to, .. }
        | Gauge::EndsSeen { from, to, .. } => Some((from, to)),
        _ => None,
    }
}

/// Whether a rule of another fault changes what a gauge shows.
fn disturbs(laid: Laid<'_>, gauge: &Gauge) -> bool {
    use DatagramGauge::{
        CorruptedNoticed, CorruptedUnnoticed, Delay, DelaySpread, Duplicated, LossRun, Lost, Overtaken,
    };
    // A datagram that is later than this is counted as lost.
    const LATE_MS: u64 = 300;
    match gauge {
        // Datagrams know no way back, and no connections.
        Gauge::Datagrams { of, .. } => match laid.rule {
            _ if !laid.there => false,
            Rule::Delay { delay_ms, jitter_ms, .. } => {
                let late = delay_ms + jitter_ms > LATE_MS;
                late || matches!(of, Delay | DelaySpread) || (*jitter_ms > 0 && *of == Overtaken)
            }
            Rule::Loss { .. } | Rule::BurstLoss { .. } | Rule::Corrupt { mode: Corruption::Checksum, .. } => {
                !matches!(of, Delay | DelaySpread | CorruptedUnnoticed)
            }
            Rule::Corrupt { mode: Corruption::Payload, .. } => matches!(of, CorruptedNoticed | CorruptedUnnoticed),
            Rule::Duplicate { .. } => matches!(of, Duplicated | Lost | LossRun | CorruptedNoticed),
            Rule::Reorder { hold_ms, .. } => *hold_ms > LATE_MS || matches!(of, Overtaken | Delay | DelaySpread),
            Rule::Bandwidth { .. } => true,
            Rule::Reset { .. } | Rule::SlowClose { .. } | Rule::HalfOpen => false,
        },
        Gauge::Throughput { .. } => {
            laid.there
                && matches!(
                    laid.rule,
                    Rule::Loss { .. }
                        | Rule::BurstLoss { .. }
                        | Rule::Corrupt { .. }
                        | Rule::Duplicate { .. }
                        | Rule::Bandwidth { .. }
                        | Rule::Delay { .. }
                )
        }
        // Connections: whatever keeps a packet keeps one of theirs.
        _ => true,
    }
}

/// What other faults in force have to do again to nodes that were started: what lives in a node's processes is lost
/// with them. `others` are the steps of those faults.
pub(crate) fn renewals(started: &[Step], others: &[&[Step]]) -> Vec<Step> {
    let all: Vec<&Step> = others.iter().copied().flatten().collect();
    let has_clock = |node: &str| all.iter().any(|step| takes(step).contains(&Hold::Clock(node)));
    let clocks = started.iter().filter_map(starts).filter(|node| has_clock(node));
    let clocks = clocks.map(|node| Step::RenewClock { node: node.to_owned() });
    let loads = again(started, others, |step| match step {
        Step::Load { node, work, .. } if work.is_in_node() => Some(node),
        _ => None,
    });
    clocks.chain(loads).collect()
}

/// The same, of what would keep a server from starting: to be done again once it serves.
pub(crate) fn renewals_once_serving(started: &[Step], others: &[&[Step]]) -> Vec<Step> {
    again(started, others, |step| if let Step::Limit { node, .. } = step { Some(node) } else { None })
}

fn again<'a>(started: &[Step], others: &[&'a [Step]], of: impl Fn(&'a Step) -> Option<&'a String>) -> Vec<Step> {
    let is_started = |node: &str| started.iter().filter_map(starts).any(|other| other == node);
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
    let held = |hold: &Hold<'_>| others.iter().any(|step| takes(step).contains(hold));
    // With its disk full a server may stop at any moment.
    let down =
        |node: &str| [Hold::Dead(node), Hold::Frozen(node), Hold::Broken(node), Hold::Full(node)].iter().any(held);
    // A server that cannot write, or only slowly, may give up, and may not come back before the rule is lifted; then
    // whoever lifts it starts it and looks whether it answers.
    let hampered =
        |node: &str| others.iter().any(|step| matches!(step, Step::DiskRule { node: other, .. } if other == node));
    let possible = |expect: &&Expect| match expect {
        Expect::Reached { from, to } => {
            !cut_either_way(&others, from, to) && !rules_between(&others, from, to).any(hinders)
        }
        Expect::Measures { gauge: Gauge::ClockOffset { node, .. } | Gauge::ClockRate { node, .. }, asked, .. } => {
            // Nobody answers; or this fault is over, and another one's clock goes on.
            let goes_on = *asked == 0.0 && others.iter().any(|step| takes(step).contains(&Hold::Clock(node)));
            !down(node) && !goes_on
        }
        Expect::Measures { gauge: Gauge::DiskAnswer { node }, asked, .. } => {
            !held(&Hold::Broken(node)) && (*asked != 0.0 || !held(&Hold::Full(node)))
        }
        Expect::Measures { gauge: Gauge::DiskFree { node }, .. } => {
            !held(&Hold::Broken(node)) && !held(&Hold::Full(node))
        }
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
        Expect::Measures { gauge, .. } => ends_of(gauge).is_none_or(|(from, to)| {
            !cut_either_way(&others, from, to) && !rules_between(&others, from, to).any(|laid| disturbs(laid, gauge))
        }),
        Expect::Running { node } => !down(node) && !hampered(node),
        // To be asked it must take a connection, where the old one ended with the server.
        Expect::Answers { node } | Expect::Accepts { node } => {
            !down(node) && !hampered(node) && !starves(&others, node)
        }
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

    fn shape(from: &str, to: &str, rule: Rule) -> Step {
        Step::Shape { id: 7, pairs: vec![pair(from, to)], rule, seed: 0, pcap: false }
    }

    #[test]
    fn a_measurement_is_left_out_where_another_fault_changes_it_and_only_there() {
        let lost = |from: &str, to: &str| {
            let (from, to) = (from.into(), to.into());
            let gauge = Gauge::Datagrams { from, to, count: 300, wait_ms: 500, of: DatagramGauge::Lost };
            Expect::Measures { gauge, asked: 10.0, bounds: 3.0..=20.0 }
        };
        let delay = |delay_ms| Rule::Delay { delay_ms, jitter_ms: 0, distribution: Default::default() };
        let left = |expect: &Expect, other: Step| expect_beside(std::slice::from_ref(expect), &[&[other]]).len();
        let there = lost("n1", "n2");
        assert_eq!(left(&there, shape("n1", "n2", delay(100))), 1);
        assert_eq!(left(&there, shape("n1", "n2", delay(1_000))), 0);
        assert_eq!(left(&there, shape("n1", "n2", Rule::Loss { share_ppm: 1 })), 0);
        assert_eq!(left(&there, shape("n2", "n1", Rule::Loss { share_ppm: 1 })), 1);
        assert_eq!(left(&there, shape("n1", "n3", Rule::Loss { share_ppm: 1 })), 1);
        assert_eq!(left(&there, Step::Cut { pairs: vec![pair("n2", "n1")] }), 0);
        assert_eq!(left(&there, Step::Kill { node: "n1".into() }), 1);
        let age = Gauge::ResetAge { from: "n1".into(), to: "n2".into(), max_ms: 9 };
        let age = Expect::Measures { gauge: age, asked: 1.0, bounds: 0.0..=2.0 };
        assert_eq!(left(&age, shape("n2", "n1", Rule::Loss { share_ppm: 1 })), 0);
    }

    #[test]
    fn a_probe_is_left_out_where_it_may_get_no_answer() {
        let reached = Expect::Reached { from: "n1".into(), to: "n2".into() };
        let left = |other: Step| expect_beside(std::slice::from_ref(&reached), &[&[other]]).len();
        assert_eq!(left(shape("n2", "n1", Rule::Bandwidth { bits_per_s: 64_000, queue_ms: 1 })), 0);
        assert_eq!(left(shape("n2", "n1", Rule::HalfOpen)), 0);
        assert_eq!(left(shape("n1", "n2", Rule::HalfOpen)), 1);
        assert_eq!(left(shape("n1", "n2", Rule::Duplicate { share_ppm: 1_000_000 })), 1);
    }

    #[test]
    fn links_are_made_whole_whatever_else_is_in_force() {
        let undo = [Step::Unshape { id: 3 }, start("n1")];
        let other = [Step::Shape { id: 4, pairs: vec![pair("n1", "n2")], rule: Rule::HalfOpen, seed: 0, pcap: false }];
        let restart = [Step::Restart { node: "n1".into() }];
        assert_eq!(undo_beside(&undo, &[&other, &restart]).now, undo);
        let freeze = [Step::Freeze { node: "n1".into() }];
        assert_eq!(undo_beside(&undo, &[&freeze]).now, undo[..1]);
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

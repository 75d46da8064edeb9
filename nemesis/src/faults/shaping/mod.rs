//! Faults of links: worse than a bridge, but not cut. What is done to packets is a rule of the cluster's switch; here
//! is which links of which nodes, what may be asked for, and how it is seen that it happens.

mod kinds;
mod measure;
mod options;

use schism_cluster::{Rule, Step};
use serde::{Deserialize, Serialize};

pub(crate) use self::kinds::KINDS;
use crate::{
    Kind,
    expect::Expect,
    grudge::{self, Pairs},
    injection::{Injection, Scene, each},
};

/// Which links of the victims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Links {
    /// To other nodes and to client sites.
    #[default]
    All,
    /// To other nodes.
    Peers,
    /// To client sites.
    Clients,
}

/// Which packets on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Those to the victims and those from them.
    #[default]
    Both,
    /// To the victims.
    To,
    /// From the victims.
    From,
}

/// A rule on some links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shaping {
    /// What is done to packets.
    pub rule: Rule,
    /// Which links.
    pub links: Links,
    /// In which direction.
    pub direction: Direction,
    /// Whether the packets are written to files.
    pub pcap: bool,
}

impl Shaping {
    const fn of(rule: Rule) -> Self {
        let direction = if matches!(rule, Rule::HalfOpen) { Direction::From } else { Direction::Both };
        Self { rule, links: Links::All, direction, pcap: false }
    }

    pub(super) const fn kind(&self) -> Kind {
        match self.rule {
            Rule::Delay { .. } => Kind::Delay,
            Rule::Loss { .. } => Kind::Loss,
            Rule::BurstLoss { .. } => Kind::BurstLoss,
            Rule::Duplicate { .. } => Kind::Duplicate,
            Rule::Reorder { .. } => Kind::Reorder,
            Rule::Corrupt { .. } => Kind::Corrupt,
            Rule::Bandwidth { .. } => Kind::Bandwidth,
            Rule::Reset { .. } => Kind::Reset,
            Rule::SlowClose { .. } => Kind::SlowClose,
            Rule::HalfOpen => Kind::HalfOpen,
        }
    }

    /// What it needs of a cluster beyond what its kind does: the fewest nodes.
    pub(crate) const fn nodes_min(&self) -> usize {
        if matches!(self.links, Links::Peers) { 2 } else { 1 }
    }

    pub(super) fn inject(&self, scene: &Scene<'_>) -> Injection {
        let pairs = self.pairs(scene);
        let shape =
            Step::Shape { id: scene.id, pairs: pairs.clone(), rule: self.rule, seed: scene.draw, pcap: self.pcap };
        let victims = scene.chosen.to_vec();
        let links = match self.links {
            Links::All => "all links",
            Links::Peers => "the links to other nodes",
            Links::Clients => "the links to clients",
        };
        let direction = match self.direction {
            Direction::Both => "",
            Direction::To => ", incoming",
            Direction::From => ", outgoing",
        };
        let detail = format!("{links} of {}{direction}: {}", victims.join(", "), self.rule);
        let (bites, heals) = self.expects(&pairs);
        let mut injection = Injection {
            steps: vec![shape],
            undo: vec![Step::Unshape { id: scene.id }],
            victims,
            detail,
            bites,
            heals,
            ..Injection::default()
        };
        if self.rule == Rule::HalfOpen {
            let victims = &injection.victims;
            injection.steps.extend(each(victims, |node| Step::Restart { node }));
            // Should it have come no further than the kill.
            injection.undo.extend(each(victims, |node| Step::Start { node }));
            injection.bites.extend(each(victims, |node| Expect::Running { node }));
            injection.heals.extend(super::process::serving(victims));
            injection.detail.push_str("; every process killed and started again");
        }
        injection
    }

    /// Directed pairs, sorted, each once.
    fn pairs(&self, scene: &Scene<'_>) -> Pairs {
        let sites = || scene.nodes.iter().map(|node| grudge::site_of(node));
        let others: Vec<String> = match self.links {
            Links::All => scene.nodes.iter().cloned().chain(sites()).collect(),
            Links::Peers => scene.nodes.to_vec(),
            Links::Clients => sites().collect(),
        };
        let mut pairs = Pairs::new();
        for victim in scene.chosen {
            for other in others.iter().filter(|other| *other != victim) {
                let (to, from) = ((other.clone(), victim.clone()), (victim.clone(), other.clone()));
                match self.direction {
                    Direction::Both => pairs.extend([to, from]),
                    Direction::To => pairs.push(to),
                    Direction::From => pairs.push(from),
                }
            }
        }
        pairs.sort();
        pairs.dedup();
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Target::One, options::Options};

    fn nodes() -> [String; 3] {
        ["n1", "n2", "n3"].map(String::from)
    }

    fn injection(shaping: Shaping, victims: usize) -> Injection {
        let nodes = nodes();
        shaping.inject(&Scene::of(&One, &nodes[..victims], &nodes))
    }

    fn pairs(links: Links, direction: Direction, victims: usize) -> Vec<String> {
        let injection =
            injection(Shaping { links, direction, ..Shaping::of(Rule::Loss { share_ppm: 100_000 }) }, victims);
        let [Step::Shape { pairs, .. }] = &injection.steps[..] else { panic!("{injection:?}") };
        pairs.iter().map(|(from, to)| format!("{from}{to}")).collect()
    }

    #[test]
    fn links_and_directions_are_those_that_are_told() {
        assert_eq!(pairs(Links::Peers, Direction::Both, 1), ["n1n2", "n1n3", "n2n1", "n3n1"]);
        assert_eq!(pairs(Links::Clients, Direction::To, 1), ["c1n1", "c2n1", "c3n1"]);
        assert_eq!(pairs(Links::All, Direction::From, 1), ["n1c1", "n1c2", "n1c3", "n1n2", "n1n3"]);
        assert_eq!(pairs(Links::Peers, Direction::Both, 3).len(), 6);
        assert_eq!(pairs(Links::Peers, Direction::From, 3).len(), 6);
        assert_eq!(pairs(Links::All, Direction::Both, 3).len(), 6 + 18);
    }

    #[test]
    fn what_is_done_is_undone_and_both_are_measured() {
        for info in KINDS {
            let shaping = Shaping::read(info.kind, &mut Options::default()).unwrap().unwrap();
            assert_eq!(shaping.kind(), info.kind);
            let injection = injection(shaping, 1);
            assert_eq!(injection.undo[0], Step::Unshape { id: 0 });
            for expects in [&injection.bites, &injection.heals] {
                let measured = expects.iter().filter(|expect| matches!(expect, Expect::Measures { .. })).count();
                assert!((2..=8).contains(&measured), "{}", info.name);
            }
        }
    }

    #[test]
    fn a_half_open_node_is_started_again_whatever_comes_between() {
        let injection = injection(Shaping::of(Rule::HalfOpen), 1);
        assert!(matches!(&injection.steps[..], [Step::Shape { .. }, Step::Restart { node }] if node == "n1"));
        assert_eq!(injection.undo, [Step::Unshape { id: 0 }, Step::Start { node: "n1".into() }]);
    }
}

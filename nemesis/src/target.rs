//! Whom a fault hurts: a role, a set, a shape or a node. A schedule names the target; which nodes that is is decided
//! at injection from the nodes' own claims and a number drawn beforehand, so that a schedule is plain data and the
//! same claims always give the same victims.

use std::fmt;

use schism_seed::{Seed, Stream};

use crate::nearest;

/// Whom a fault hurts. Anything a user types is one of these or an error: a misspelt target that falls through as
/// "no node" would be a fault that quietly never happens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The node that claims to be primary. If several do, the one with the highest term (timeline, epoch), because
    /// that is the one the others will follow; among equals the first in node order.
    Primary,
    /// One of the nodes that claim to be replicas.
    Replica,
    /// Any one node.
    One,
    /// The largest set of nodes that is less than half.
    Minority,
    /// The smallest set of nodes that is more than half.
    Majority,
    /// Every node.
    All,
    /// Two halves; with an odd number of nodes one of them is larger by one.
    Halves,
    /// One node either hears nobody or is heard by nobody.
    OneWay,
    /// Every node sees a majority, no two nodes see the same one.
    MajoritiesRing,
    /// Two halves that only one node sees both of.
    Bridge,
    /// The node of this name.
    Node(String),
}

impl Target {
    const NAMED: [Self; 10] = [
        Self::Primary,
        Self::Replica,
        Self::One,
        Self::Minority,
        Self::Majority,
        Self::All,
        Self::Halves,
        Self::OneWay,
        Self::MajoritiesRing,
        Self::Bridge,
    ];

    /// The word in `--faults` and in schedules.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::One => "one",
            Self::Minority => "minority",
            Self::Majority => "majority",
            Self::All => "all",
            Self::Halves => "halves",
            Self::OneWay => "one-way",
            Self::MajoritiesRing => "majorities-ring",
            Self::Bridge => "bridge",
            Self::Node(name) => name,
        }
    }

    /// The target of this name: a word above or a node's name (`n1`).
    ///
    /// # Errors
    /// Lists the valid ones, nearest first.
    pub fn parse(name: &str) -> Result<Self, String> {
        if is_node_name(name) {
            return Ok(Self::Node(name.to_owned()));
        }
        Self::NAMED.into_iter().find(|target| target.name() == name).ok_or_else(|| {
            let valid: Vec<&str> = Self::NAMED.iter().map(Self::name).collect();
            format!("unknown target {name:?}; valid targets: {}, or a node (n1, n2, …)", nearest::listed(name, &valid))
        })
    }

    /// The fewest nodes with which it means something.
    #[must_use]
    pub const fn nodes_min(&self) -> usize {
        match self {
            Self::Primary | Self::One | Self::All | Self::Majority | Self::Node(_) => 1,
            Self::Replica | Self::Halves | Self::OneWay => 2,
            Self::Minority | Self::MajoritiesRing | Self::Bridge => 3,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

fn is_node_name(name: &str) -> bool {
    name.strip_prefix('n').is_some_and(|digits| {
        !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// What a node said of itself, as far as choosing a victim goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeClaim {
    pub(crate) node: String,
    pub(crate) role: Role,
    pub(crate) term: Option<u64>,
}

/// The roles that matter to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Replica,
    Other,
}

/// The nodes that a target means now, in an order that the draw decides (for shapes: all nodes in the order in which
/// the shape is laid over them). `Err` says what was missing; a caller may ask again with later claims.
pub(crate) fn resolve(target: &Target, claims: &[NodeClaim], draw: u64) -> Result<Vec<String>, String> {
    let nodes: Vec<String> = claims.iter().map(|claim| claim.node.clone()).collect();
    let mut stream = Seed::new(draw).stream("target");
    match target {
        Target::Primary => primary(claims).map(|node| vec![node]),
        Target::Replica => {
            let replicas = claims.iter().filter(|claim| claim.role == Role::Replica);
            let mut replicas = shuffled(&mut stream, replicas.map(|claim| claim.node.clone()).collect());
            replicas.truncate(1);
            if replicas.is_empty() { Err("no node claims to be a replica".to_owned()) } else { Ok(replicas) }
        }
        Target::One => Ok(some(&mut stream, nodes, 1)),
        Target::Minority => {
            let count = nodes.len().saturating_sub(1) / 2;
            Ok(some(&mut stream, nodes, count))
        }
        Target::Majority => {
            let count = nodes.len() / 2 + 1;
            Ok(some(&mut stream, nodes, count))
        }
        Target::All => Ok(nodes),
        Target::Halves | Target::OneWay | Target::MajoritiesRing | Target::Bridge => Ok(shuffled(&mut stream, nodes)),
        Target::Node(name) if nodes.contains(name) => Ok(vec![name.clone()]),
        Target::Node(name) => Err(format!("there is no node {name}; nodes: {}", nodes.join(", "))),
    }
}

/// Highest term, then first in node order. A missing term counts as the lowest: a node that knows its term has heard
/// of an election, one that does not may be a primary left over from before it.
fn primary(claims: &[NodeClaim]) -> Result<String, String> {
    let primaries = claims.iter().filter(|claim| claim.role == Role::Primary);
    // `max_by_key` keeps the last of equals; the first in node order is wanted.
    let chosen = primaries.rev().max_by_key(|claim| claim.term);
    chosen.map(|claim| claim.node.clone()).ok_or_else(|| "no node claims to be primary".to_owned())
}

fn shuffled(stream: &mut Stream, mut nodes: Vec<String>) -> Vec<String> {
    stream.shuffle(&mut nodes);
    nodes
}

fn some(stream: &mut Stream, nodes: Vec<String>, count: usize) -> Vec<String> {
    let mut nodes = shuffled(stream, nodes);
    nodes.truncate(count);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(said: &[(&str, Role, Option<u64>)]) -> Vec<NodeClaim> {
        said.iter().map(|&(node, role, term)| NodeClaim { node: node.into(), role, term }).collect()
    }

    fn five() -> Vec<NodeClaim> {
        let replica = |node| (node, Role::Replica, Some(1));
        claims(&[("n1", Role::Primary, Some(1)), replica("n2"), replica("n3"), replica("n4"), replica("n5")])
    }

    #[test]
    fn every_name_parses_to_itself() {
        for target in Target::NAMED.into_iter().chain([Target::Node("n12".into())]) {
            assert_eq!(Target::parse(target.name()), Ok(target));
        }
    }

    #[test]
    fn an_unknown_target_lists_the_valid_ones_nearest_first() {
        let error = Target::parse("primry").unwrap_err();
        assert!(error.contains("valid targets: primary, "), "{error}");
        for wrong in ["", "n", "n0", "nx", "node1", "Primary", "n1 "] {
            assert!(Target::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn of_several_primaries_the_highest_term_counts_then_node_order() {
        let split =
            claims(&[("n1", Role::Primary, Some(1)), ("n2", Role::Primary, Some(2)), ("n3", Role::Replica, None)]);
        assert_eq!(resolve(&Target::Primary, &split, 0), Ok(vec!["n2".to_owned()]));
        let equal =
            claims(&[("n1", Role::Replica, Some(9)), ("n2", Role::Primary, Some(2)), ("n3", Role::Primary, Some(2))]);
        assert_eq!(resolve(&Target::Primary, &equal, 0), Ok(vec!["n2".to_owned()]));
        let unknown = claims(&[("n1", Role::Primary, None), ("n2", Role::Primary, Some(0))]);
        assert_eq!(resolve(&Target::Primary, &unknown, 0), Ok(vec!["n2".to_owned()]));
    }

    #[test]
    fn sizes_are_those_of_the_words() {
        for nodes in 3..=9_usize {
            let said: Vec<NodeClaim> = (1..=nodes)
                .map(|number| NodeClaim { node: format!("n{number}"), role: Role::Replica, term: None })
                .collect();
            let count = |target: &Target| resolve(target, &said, 7).unwrap().len();
            assert_eq!(count(&Target::One), 1);
            assert!(count(&Target::Minority) * 2 < nodes && (count(&Target::Minority) + 1) * 2 >= nodes);
            assert!(count(&Target::Majority) * 2 > nodes && (count(&Target::Majority) - 1) * 2 <= nodes);
            assert_eq!(count(&Target::All), nodes);
        }
    }

    #[test]
    fn the_same_claims_and_draw_give_the_same_victims_and_every_node_can_be_one() {
        let mut seen = std::collections::BTreeSet::new();
        for draw in 0..64 {
            let victims = resolve(&Target::One, &five(), draw).unwrap();
            assert_eq!(victims, resolve(&Target::One, &five(), draw).unwrap());
            seen.extend(victims);
        }
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn a_replica_is_one_that_says_so() {
        for draw in 0..32 {
            assert_ne!(resolve(&Target::Replica, &five(), draw).unwrap(), ["n1"]);
        }
        let alone = claims(&[("n1", Role::Primary, None), ("n2", Role::Other, None)]);
        assert!(resolve(&Target::Replica, &alone, 0).is_err());
    }

    #[test]
    fn a_missing_role_or_node_is_an_error() {
        let none = claims(&[("n1", Role::Other, None)]);
        assert_eq!(resolve(&Target::Primary, &none, 0), Err("no node claims to be primary".to_owned()));
        assert!(resolve(&Target::Node("n7".into()), &none, 0).unwrap_err().contains("nodes: n1"));
    }
}

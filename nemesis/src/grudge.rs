//! Who cannot talk to whom: partitions as directed pairs of hosts, which Jepsen calls grudges.
//!
//! Hosts are the nodes `n1`, `n2`, … and the client sites `c1`, `c2`, …; `c1` is beside `n1` and shares its fate, as a
//! client in the same data centre would. A partition between nodes that all clients can see across would hide most of
//! what it causes.

use crate::Clients;

/// Directed pairs (from, to).
pub(crate) type Pairs = Vec<(String, String)>;

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grudge {
    /// What is dropped, sorted.
    pub(crate) cut: Pairs,
    /// The nodes that it hurts.
    pub(crate) victims: Vec<String>,
    /// For people.
    pub(crate) shape: String,
}

/// Some nodes on one side, the others on the other.
pub(crate) fn isolate(nodes: &[String], apart: &[String], clients: Clients) -> Grudge {
    let nodes = in_order(nodes.to_vec());
    let (apart, rest): (Vec<String>, Vec<String>) = nodes.iter().cloned().partition(|node| apart.contains(node));
    let mut sides = [with_sites(&apart), with_sites(&rest)];
    if clients == Clients::Majority {
        let larger = usize::from(rest.len() >= apart.len());
        sides = [apart.clone(), rest];
        sides[larger].extend(nodes.iter().map(|node| site_of(node)));
    }
    let shape = format!("{{{}}} cut off from {{{}}}", sides[0].join(", "), sides[1].join(", "));
    let cut = sorted(both_ways(&sides[0], &sides[1]));
    Grudge { cut, victims: apart, shape }
}

/// The first half of the order apart from the rest; the rest is larger by one when the number is odd.
pub(crate) fn halves(order: &[String], clients: Clients) -> Grudge {
    isolate(order, &order[..order.len() / 2], clients)
}

/// The first of the order hears nobody (`deaf`), or nobody hears it. Its client site hears and is heard with it.
pub(crate) fn one_way(order: &[String], deaf: bool) -> Grudge {
    let victim = &order[..1];
    let (apart, rest) = (with_sites(victim), with_sites(&order[1..]));
    let (from, to) = if deaf { (&rest, &apart) } else { (&apart, &rest) };
    let shape = format!("nothing gets from {{{}}} to {{{}}}", from.join(", "), to.join(", "));
    Grudge { cut: sorted(one_direction(from, to)), victims: victim.to_vec(), shape }
}

/// Two halves and a node in the middle that sees both.
pub(crate) fn bridge(order: &[String]) -> Grudge {
    let middle = (order.len() - 1) / 2;
    let (left, right) = (&order[..middle], &order[middle + 1..]);
    let bridge = &order[middle];
    let shape = format!("{{{}}} and {{{}}} see only {bridge} of each other", left.join(", "), right.join(", "));
    let victims = order.iter().filter(|&node| node != bridge).cloned().collect();
    Grudge { cut: sorted(both_ways(&with_sites(left), &with_sites(right))), victims, shape }
}

/// Every node sees itself and its nearest neighbours on a ring, just enough for a majority, and no two nodes see the
/// same set. Links are cut in both directions or not at all: Jepsen drops them at the receiver, which with TCP cuts
/// both anyway, and with three nodes leaves no working link at all. With four or five nodes each sees exactly a
/// majority, as in Jepsen's perfect ring. With three no such ring exists; what comes nearest is the bridge.
pub(crate) fn majorities_ring(order: &[String]) -> Grudge {
    if order.len() < 4 {
        return bridge(order);
    }
    let count = order.len();
    let majority = count / 2 + 1;
    // A node sees `reach` neighbours on each side and itself: the smallest odd number that is a majority.
    let reach = majority / 2;
    let apart = |one: usize, other: usize| {
        let clockwise = (other + count - one) % count;
        clockwise.min(count - clockwise) > reach
    };
    let mut cut = Pairs::new();
    for one in 0..count {
        for other in (0..count).filter(|&other| apart(one, other)) {
            cut.extend(one_direction(&with_sites(&order[one..=one]), &with_sites(&order[other..=other])));
        }
    }
    let shape = format!("ring {}: each sees {reach} on either side", order.join("–"));
    Grudge { cut: sorted(cut), victims: order.to_vec(), shape }
}

/// `n2` before `n10`: a partition reads the same whatever order it was drawn in.
fn in_order(mut nodes: Vec<String>) -> Vec<String> {
    nodes.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    nodes
}

/// The client site beside a node.
pub(crate) fn site_of(node: &str) -> String {
    format!("c{}", node.trim_start_matches('n'))
}

/// The nodes and the client sites beside them.
pub(crate) fn with_sites(nodes: &[String]) -> Vec<String> {
    nodes.iter().cloned().chain(nodes.iter().map(|node| site_of(node))).collect()
}

fn both_ways(one: &[String], other: &[String]) -> Pairs {
    let mut pairs = one_direction(one, other);
    pairs.extend(one_direction(other, one));
    pairs
}

fn one_direction(from: &[String], to: &[String]) -> Pairs {
    from.iter().flat_map(|from| to.iter().map(move |to| (from.clone(), to.clone()))).collect()
}

fn sorted(mut pairs: Pairs) -> Pairs {
    pairs.sort();
    pairs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use schism_seed::Seed;

    use super::*;

    /// `count` nodes in an order that the seed decides.
    fn nodes(count: usize, seed: u64) -> Vec<String> {
        let mut nodes: Vec<String> = (1..=count).map(|number| format!("n{number}")).collect();
        Seed::new(seed).stream("order").shuffle(&mut nodes);
        nodes
    }

    /// Whether the two can hold a conversation.
    fn talk(grudge: &Grudge, one: &str, other: &str) -> bool {
        let cut = |from: &str, to: &str| grudge.cut.iter().any(|pair| pair.0 == from && pair.1 == to);
        !cut(one, other) && !cut(other, one)
    }

    /// The nodes that a host can talk to; a node talks to itself.
    fn seen<'a>(grudge: &Grudge, host: &str, nodes: &'a [String]) -> BTreeSet<&'a str> {
        nodes.iter().map(String::as_str).filter(|node| talk(grudge, host, node)).collect()
    }

    fn cut_both_ways(grudge: &Grudge) -> bool {
        grudge.cut.iter().all(|(from, to)| grudge.cut.contains(&(to.clone(), from.clone())))
    }

    #[test]
    fn an_isolated_node_keeps_its_client() {
        let order: Vec<String> = ["n1", "n2", "n3"].map(String::from).into();
        let grudge = isolate(&order, &order[..1], Clients::WithNode);
        assert_eq!(grudge.cut.len(), 2 * 2 * 4);
        assert!(talk(&grudge, "c1", "n1") && !talk(&grudge, "c1", "n2") && !talk(&grudge, "c2", "n1"));
        assert_eq!(grudge.shape, "{n1, c1} cut off from {n2, n3, c2, c3}");
        let grudge = isolate(&order, &order[..1], Clients::Majority);
        assert!(!talk(&grudge, "c1", "n1") && talk(&grudge, "c1", "n2"));
        assert_eq!(grudge.shape, "{n1} cut off from {n2, n3, c1, c2, c3}");
        let shuffled: Vec<String> = ["n3", "n10", "n2"].map(String::from).into();
        let grudge = isolate(&shuffled, &shuffled[..1], Clients::WithNode);
        assert_eq!(grudge.shape, "{n3, c3} cut off from {n2, n10, c2, c10}");
    }

    #[test]
    fn with_clients_on_the_majority_an_isolated_majority_keeps_them() {
        let order = nodes(5, 1);
        let grudge = isolate(&order, &order[..3], Clients::Majority);
        assert!(talk(&grudge, &site_of(&order[4]), &order[0]) && !talk(&grudge, &site_of(&order[4]), &order[4]));
    }

    #[test]
    fn one_direction_is_cut_one_way() {
        let order: Vec<String> = ["n2", "n1", "n3"].map(String::from).into();
        let deaf = one_way(&order, true);
        assert!(deaf.cut.iter().all(|(_, to)| to == "n2" || to == "c2"), "{deaf:?}");
        let mute = one_way(&order, false);
        assert!(mute.cut.iter().all(|(from, _)| from == "n2" || from == "c2"), "{mute:?}");
        assert_eq!((deaf.cut.len(), mute.cut.len()), (8, 8));
    }

    proptest! {
        #[test]
        fn in_a_ring_everybody_sees_a_majority_and_no_two_the_same(count in 3_usize..12, seed: u64) {
            let order = nodes(count, seed);
            let grudge = majorities_ring(&order);
            prop_assert!(!grudge.cut.is_empty() && cut_both_ways(&grudge));
            let views: Vec<BTreeSet<&str>> = order.iter().map(|node| seen(&grudge, node, &order)).collect();
            for view in &views {
                prop_assert!(view.len() > count / 2, "{view:?} of {count}");
            }
            if count >= 4 {
                let distinct: BTreeSet<_> = views.iter().collect();
                prop_assert_eq!(distinct.len(), count);
            }
            if count == 4 || count == 5 {
                prop_assert!(views.iter().all(|view| view.len() == count / 2 + 1));
            }
        }

        #[test]
        fn only_the_bridge_sees_both_sides(count in 3_usize..12, seed: u64) {
            let order = nodes(count, seed);
            let grudge = bridge(&order);
            prop_assert!(cut_both_ways(&grudge));
            let all_seeing = order.iter().filter(|node| seen(&grudge, node, &order).len() == count).count();
            prop_assert_eq!(all_seeing, 1);
            let bridge = order.iter().find(|node| !grudge.victims.contains(node)).unwrap();
            prop_assert_eq!(seen(&grudge, bridge, &order).len(), count);
        }

        #[test]
        fn halves_differ_by_one_at_most(count in 2_usize..12, seed: u64) {
            let order = nodes(count, seed);
            let grudge = halves(&order, Clients::WithNode);
            let sizes: BTreeSet<usize> = order.iter().map(|node| seen(&grudge, node, &order).len()).collect();
            prop_assert!(sizes.iter().all(|&size| size == count / 2 || size == count.div_ceil(2)));
        }

        #[test]
        fn a_client_sees_what_its_node_sees(count in 3_usize..9, seed: u64, deaf: bool) {
            let order = nodes(count, seed);
            let isolated = isolate(&order, &order[..1], Clients::WithNode);
            for grudge in [isolated, halves(&order, Clients::WithNode), bridge(&order), majorities_ring(&order), one_way(&order, deaf)] {
                for node in &order {
                    prop_assert_eq!(seen(&grudge, node, &order), seen(&grudge, &site_of(node), &order));
                }
                prop_assert!(grudge.cut.iter().all(|(from, to)| from != to));
                prop_assert!(grudge.cut.is_sorted());
                let distinct: BTreeSet<_> = grudge.cut.iter().collect();
                prop_assert_eq!(distinct.len(), grudge.cut.len());
            }
        }
    }
}

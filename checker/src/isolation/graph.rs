//! The dependency graph: transactions and why one comes before another.
//!
//! Edges lie in compressed rows (CSR), four bytes each. Real time is not stored at all while components are searched: a
//! chain of moments stands for it, one moment before each invocation, `moment -> its transaction`, `moment -> next
//! moment`, and `transaction -> first moment after its ok`. A path between two transactions through the chain is there
//! exactly if the first ended before the second began, so components are the same as with all pairs, with three edges a
//! transaction however many clients there are.
//!
//! Where each of many transactions comes before each of many others (all that read a key while it was empty, before all
//! that wrote it), a node of its own stands between: a hub, with an edge from each of the former and one to each of the
//! latter. From one transaction to another a way through a hub is there exactly if there is an edge between the two; from
//! one to itself, where it is among both, it leads nowhere new. So components of transactions are the same as with all
//! pairs. The pairs themselves are needed, and made, only within a component.
//!
//! Components: R. Tarjan, "Depth-first search and linear graph algorithms" (1972), with a stack of its own instead of
//! recursion.

use rustc_hash::FxHashMap;

/// Why one transaction comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum EdgeKind {
    /// It wrote what the other overwrote.
    Ww = 0,
    /// It wrote what the other read.
    Wr = 1,
    /// It wrote what the other, by a predicate, met and did not get.
    Wrp = 2,
    /// It read what the other overwrote.
    Rw = 3,
    /// It met, by a predicate, and did not get what the other overwrote so that it would have got it.
    Rwp = 4,
    /// The same process did it earlier.
    Process = 5,
    /// It had ended when the other began.
    Realtime = 6,
}

impl EdgeKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ww => "ww",
            Self::Wr => "wr",
            Self::Wrp => "wrp",
            Self::Rw => "rw",
            Self::Rwp => "rwp",
            Self::Process => "process",
            Self::Realtime => "realtime",
        }
    }

    const fn from_bits(bits: u32) -> Self {
        match bits {
            0 => Self::Ww,
            1 => Self::Wr,
            2 => Self::Wrp,
            3 => Self::Rw,
            4 => Self::Rwp,
            5 => Self::Process,
            _ => Self::Realtime,
        }
    }

    /// A dependency on what was read or met.
    pub(crate) const fn is_read(self) -> bool {
        matches!(self, Self::Wr | Self::Wrp)
    }

    /// An anti-dependency (Adya 1999).
    pub(crate) const fn is_overlooked(self) -> bool {
        matches!(self, Self::Rw | Self::Rwp)
    }

    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

const KIND_SHIFT: u32 = 29;

/// More nodes than this cannot be numbered beside an edge's kind.
pub(crate) const NODES_MAX: usize = 1 << KIND_SHIFT;

/// What an edge takes while edges are collected and sorted: eight bytes in the list and as many as sixteen where it is
/// being moved to a larger place; then eight to sixteen in the list and four in its row.
pub(crate) const EDGE_BYTES: usize = 24;

/// An edge while edges are collected.
pub(crate) type Edge = (u32, u32, EdgeKind);

/// Edges by their source: the transactions, then the hubs.
#[derive(Debug, Default)]
pub(crate) struct Csr {
    txns: usize,
    /// How many more edges the hubs stand for than they have.
    implied: u64,
    offsets: Vec<u32>,
    /// Target and, in the upper bits, kind.
    packed: Vec<u32>,
}

/// Collects edges, eight bytes each.
#[derive(Debug)]
pub(crate) struct Edges {
    list: Vec<(u32, u32)>,
    txns: usize,
    hubs: usize,
    implied: u64,
    edges_max: usize,
    /// Edges for which there was no room.
    pub(crate) left_out: u64,
    /// Some transaction depends on itself. No edge, but not nothing either.
    pub(crate) any_reflexive: bool,
}

impl Edges {
    /// Between so many transactions. More than `edges_max` are not kept.
    pub(crate) fn new(txns: usize, edges_max: usize) -> Self {
        // Rows are numbered in 32 bits.
        let edges_max = edges_max.min(u32::MAX as usize);
        Self { list: Vec::new(), txns, hubs: 0, implied: 0, edges_max, left_out: 0, any_reflexive: false }
    }

    /// From each of these to each of those.
    pub(crate) fn push_all(&mut self, from: &[u32], to: &[u32], kind: EdgeKind) {
        /// With fewer pairs than this for each of its edges, a hub is not worth it.
        const PAIRS_PER_EDGE_MIN: usize = 2;
        let is_worth_it = |from: &[u32], to: &[u32]| {
            from.len().saturating_mul(to.len()) > PAIRS_PER_EDGE_MIN * (from.len() + to.len())
        };
        if is_worth_it(from, to) {
            let (from, to) = (distinct(from), distinct(to));
            if is_worth_it(&from, &to) && self.txns + self.hubs + 1 < NODES_MAX {
                return self.push_hub(&from, &to, kind);
            }
        }
        for before in from {
            for after in to {
                self.push(*before, *after, kind);
            }
        }
    }

    /// `from` and `to` are sorted, and each holds everything once.
    fn push_hub(&mut self, from: &[u32], to: &[u32], kind: EdgeKind) {
        let both = from.iter().filter(|before| to.binary_search(before).is_ok()).count();
        let pairs = (from.len() as u64).saturating_mul(to.len() as u64) - both as u64;
        let edges = from.len() + to.len();
        self.any_reflexive |= both > 0;
        if self.list.len() + edges > self.edges_max {
            self.left_out = self.left_out.saturating_add(pairs);
            return;
        }
        let hub = (self.txns + self.hubs) as u32;
        self.hubs += 1;
        self.implied += pairs - edges as u64;
        let bits = (kind as u32) << KIND_SHIFT;
        self.list.extend(from.iter().map(|before| (*before, hub | bits)));
        self.list.extend(to.iter().map(|after| (hub, *after | bits)));
    }

    pub(crate) fn push(&mut self, from: u32, to: u32, kind: EdgeKind) {
        if from == to {
            self.any_reflexive = true;
        } else if self.list.len() < self.edges_max {
            self.list.push((from, to | ((kind as u32) << KIND_SHIFT)));
        } else {
            self.left_out += 1;
        }
    }

    /// Sorted by source; edges that come twice once.
    pub(crate) fn into_csr(self) -> Csr {
        let (txns, implied) = (self.txns, self.implied);
        let nodes = txns + self.hubs;
        let mut offsets = vec![0u32; nodes + 1];
        for (from, _) in &self.list {
            offsets[*from as usize + 1] += 1;
        }
        for node in 0..nodes {
            offsets[node + 1] += offsets[node];
        }
        let mut packed = vec![0u32; self.list.len()];
        let mut at = offsets.clone();
        for (from, edge) in self.list {
            let place = &mut at[from as usize];
            packed[*place as usize] = edge;
            *place += 1;
        }
        drop(at);
        // In place: what is kept never overtakes what is read.
        let (mut kept, mut start) = (0, 0);
        for node in 0..nodes {
            let end = offsets[node + 1] as usize;
            packed[start..end].sort_unstable();
            let row = kept;
            for from in start..end {
                if kept == row || packed[kept - 1] != packed[from] {
                    packed[kept] = packed[from];
                    kept += 1;
                }
            }
            start = end;
            offsets[node + 1] = kept as u32;
        }
        packed.truncate(kept);
        packed.shrink_to_fit();
        Csr { txns, implied, offsets, packed }
    }
}

/// Sorted, each once.
fn distinct(ops: &[u32]) -> Vec<u32> {
    let mut ops = ops.to_vec();
    ops.sort_unstable();
    ops.dedup();
    ops
}

impl Csr {
    /// Transactions and hubs.
    fn nodes(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// How many edges there are between transactions; those that two hubs stand for count twice.
    pub(crate) fn edges(&self) -> u64 {
        self.packed.len() as u64 + self.implied
    }

    fn row(&self, node: u32) -> &[u32] {
        &self.packed[self.offsets[node as usize] as usize..self.offsets[node as usize + 1] as usize]
    }

    /// The edges from one of these transactions to others of them, by place among them: without hubs, sorted by kind and
    /// target, each once. `through`: by hub, where what it leads to has been looked up for these `members` already.
    /// Of those through hubs it gives no more than fit into `edges_max`, and tells how many it leaves out.
    pub(crate) fn within(
        &self,
        members: &[u32],
        at: usize,
        edges_max: usize,
        through: &mut FxHashMap<u32, Vec<(u32, EdgeKind)>>,
    ) -> (Vec<(u32, EdgeKind)>, u64) {
        let (mut row, mut left_out) = (Vec::new(), 0);
        let mut any_hub = false;
        for (to, kind) in self.row(members[at]).iter().map(|packed| unpack(*packed)) {
            if (to as usize) < self.txns {
                row.extend(members.binary_search(&to).ok().map(|place| (place as u32, kind)));
                continue;
            }
            any_hub = true;
            let others = through.entry(to).or_insert_with(|| self.behind(to, members));
            let room = edges_max.saturating_sub(row.len());
            row.extend(others.iter().filter(|(place, _)| *place as usize != at).take(room));
            let is_one = others.binary_search_by_key(&at, |(place, _)| *place as usize).is_ok();
            left_out += (others.len() - usize::from(is_one)).saturating_sub(room) as u64;
        }
        if any_hub {
            row.sort_unstable_by_key(|(place, kind)| (*kind, *place));
            row.dedup();
        }
        (row, left_out)
    }

    /// Where a hub leads to among these.
    fn behind(&self, hub: u32, members: &[u32]) -> Vec<(u32, EdgeKind)> {
        let row = self.row(hub);
        // All of one kind, and so sorted by target.
        let Some((_, kind)) = row.first().map(|packed| unpack(*packed)) else { return Vec::new() };
        let found = |place: usize| (place as u32, kind);
        if row.len() < members.len() {
            row.iter().filter_map(|packed| members.binary_search(&unpack(*packed).0).ok().map(found)).collect()
        } else {
            let leads_to = |op: &u32| row.binary_search_by_key(op, |packed| unpack(*packed).0).is_ok();
            members.iter().enumerate().filter(|(_, op)| leads_to(op)).map(|(place, _)| found(place)).collect()
        }
    }

    /// The edge at this place of a node's row.
    pub(crate) fn nth(&self, node: u32, at: u32) -> Option<(u32, EdgeKind)> {
        let place = self.offsets[node as usize] + at;
        (place < self.offsets[node as usize + 1]).then(|| unpack(self.packed[place as usize]))
    }
}

const fn unpack(packed: u32) -> (u32, EdgeKind) {
    (packed & (NODES_MAX as u32 - 1), EdgeKind::from_bits(packed >> KIND_SHIFT))
}

/// A graph as far as its components go.
pub(crate) trait Successors {
    fn nodes(&self) -> usize;
    /// The next successor; `cursor` starts at 0 and is the graph's own.
    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32>;
}

/// The component of every node. Numbered so that an edge never leads to a higher number: a topological order, backwards.
pub(crate) fn components(graph: &impl Successors) -> Vec<u32> {
    const UNSEEN: u32 = u32::MAX;
    let nodes = graph.nodes();
    // Until a node's component is known: the order in which it was found, or the lowest that it reaches.
    let mut low = vec![UNSEEN; nodes];
    let mut component = vec![UNSEEN; nodes];
    let mut open: Vec<u32> = Vec::new();
    let mut calls: Vec<(u32, u32, u32)> = Vec::new();
    let (mut found, mut done) = (0, 0);
    for root in 0..nodes as u32 {
        if low[root as usize] != UNSEEN {
            continue;
        }
        low[root as usize] = found;
        calls.push((root, 0, found));
        open.push(root);
        found += 1;
        while let Some((node, cursor, order)) = calls.last_mut() {
            let node = *node;
            if let Some(next) = graph.next(node, cursor) {
                if low[next as usize] == UNSEEN {
                    low[next as usize] = found;
                    calls.push((next, 0, found));
                    open.push(next);
                    found += 1;
                } else if component[next as usize] == UNSEEN {
                    low[node as usize] = low[node as usize].min(low[next as usize]);
                }
                continue;
            }
            let order = *order;
            calls.pop();
            let reached = low[node as usize];
            if reached == order {
                while let Some(member) = open.pop() {
                    component[member as usize] = done;
                    if member == node {
                        break;
                    }
                }
                done += 1;
            } else if let Some((caller, ..)) = calls.last() {
                low[*caller as usize] = low[*caller as usize].min(reached);
            }
        }
    }
    component
}

/// Transactions and hubs, with the chain of moments where real time counts.
pub(crate) struct Timed<'g> {
    pub(crate) csr: &'g Csr,
    /// By transaction: the first one invoked after its ok; none for those without an ok. Empty: real time does not count.
    pub(crate) after: &'g [u32],
}

pub(crate) const NONE: u32 = u32::MAX;

impl Successors for Timed<'_> {
    fn nodes(&self) -> usize {
        if self.after.is_empty() { self.csr.nodes() } else { self.csr.nodes() + self.csr.txns }
    }

    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        let (txns, moments) = (self.csr.txns as u32, self.csr.nodes() as u32);
        let at = *cursor;
        *cursor += 1;
        if node >= moments {
            // The next one first, so that the search runs along time.
            let txn = node - moments;
            return match at {
                0 if txn + 1 < txns => Some(node + 1),
                0 => {
                    *cursor = 2;
                    Some(txn)
                }
                1 => Some(txn),
                _ => None,
            };
        }
        if let Some((to, _)) = self.csr.nth(node, at) {
            return Some(to);
        }
        let rest = at - (self.csr.offsets[node as usize + 1] - self.csr.offsets[node as usize]);
        match self.after.get(node as usize) {
            Some(after) if rest == 0 && *after != NONE => Some(moments + *after),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csr(nodes: usize, edges: &[(u32, u32)]) -> Csr {
        let mut list = Edges::new(nodes, edges.len());
        for (from, to) in edges {
            list.push(*from, *to, EdgeKind::Ww);
        }
        list.into_csr()
    }

    fn random_numbers() -> impl FnMut(u32) -> u32 {
        let mut seed = 7u32;
        move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        }
    }

    /// The members of each component, in order.
    fn partition(of: &[u32], txns: usize) -> Vec<Vec<u32>> {
        let mut members: std::collections::BTreeMap<u32, Vec<u32>> = std::collections::BTreeMap::new();
        for (op, component) in of[..txns].iter().enumerate() {
            members.entry(*component).or_default().push(op as u32);
        }
        let mut members: Vec<Vec<u32>> = members.into_values().collect();
        members.sort_unstable();
        members
    }

    /// Random edges, and random sets of which each comes before each of another: by hubs and pair by pair, with and
    /// without real time. Components are the same, and so are the edges within them.
    #[test]
    fn hubs_stand_for_all_pairs() {
        let mut random = random_numbers();
        let (mut with_hubs, mut large, mut both) = (0, 0, 0);
        for _ in 0..5_000 {
            let txns = 2 + random(24) as usize;
            let (mut hubs, mut pairs) = (Edges::new(txns, 10_000), Edges::new(txns, 10_000));
            for _ in 0..random(16) {
                let kind = [EdgeKind::Ww, EdgeKind::Wr, EdgeKind::Rw][random(3) as usize];
                let (from, to) = (random(txns as u32), random(txns as u32));
                hubs.push(from, to, kind);
                pairs.push(from, to, kind);
            }
            for _ in 0..random(4) {
                let kind = [EdgeKind::Ww, EdgeKind::Rw, EdgeKind::Rw][random(3) as usize];
                let mut some = |max: u32| -> Vec<u32> { (0..random(max)).map(|_| random(txns as u32)).collect() };
                let (from, to) = (some(14), some(14));
                hubs.push_all(&from, &to, kind);
                for before in &from {
                    to.iter().for_each(|after| pairs.push(*before, *after, kind));
                }
            }
            assert_eq!(hubs.any_reflexive, pairs.any_reflexive);
            with_hubs += u32::from(hubs.hubs > 0);
            let after: Vec<u32> = match random(2) {
                0 => Vec::new(),
                _ => (1..=txns as u32)
                    .map(|next| if next < txns as u32 && random(2) == 0 { next } else { NONE })
                    .collect(),
            };
            let (hubs, pairs) = (hubs.into_csr(), pairs.into_csr());
            assert_eq!(hubs.edges() == 0, pairs.edges() == 0);
            assert!(hubs.edges() >= pairs.edges());
            let of = components(&Timed { csr: &hubs, after: &after });
            let expected = components(&Timed { csr: &pairs, after: &after });
            assert_eq!(partition(&of, txns), partition(&expected, txns));
            for members in partition(&of, txns) {
                large += u32::from(members.len() > 5);
                let mut through = FxHashMap::default();
                for at in 0..members.len() {
                    let row = hubs.within(&members, at, 10_000, &mut through);
                    let expected = pairs.within(&members, at, 10_000, &mut FxHashMap::default());
                    assert_eq!(row, expected);
                    both += u32::from(!row.0.is_empty());
                }
            }
        }
        assert!(with_hubs > 1_000 && large > 1_000 && both > 1_000, "{with_hubs} {large} {both}");
    }

    #[test]
    fn a_hub_without_room_leaves_its_pairs_out() {
        let (from, to): (Vec<u32>, Vec<u32>) = ((0..100).collect(), (50..250).collect());
        let mut edges = Edges::new(250, 299);
        edges.push_all(&from, &to, EdgeKind::Rw);
        assert_eq!((edges.left_out, edges.any_reflexive), (100 * 200 - 50, true));
        let mut edges = Edges::new(250, 300);
        edges.push_all(&from, &to, EdgeKind::Rw);
        assert_eq!(edges.left_out, 0);
        let csr = edges.into_csr();
        assert_eq!(csr.edges(), 100 * 200 - 50);
        // Within a component there may be no room for its pairs either.
        let members: Vec<u32> = (0..250).collect();
        assert_eq!(csr.within(&members, 0, 150, &mut FxHashMap::default()).1, 50);
    }

    /// Every pair by itself: each reaches the other.
    #[test]
    fn components_are_mutual_reach() {
        let mut random = random_numbers();
        for _ in 0..500 {
            let nodes = 1 + random(8);
            let edges: Vec<(u32, u32)> = (0..random(14)).map(|_| (random(nodes), random(nodes))).collect();
            let graph = csr(nodes as usize, &edges);
            let found = components(&Timed { csr: &graph, after: &[] });
            let mut reach = vec![vec![false; nodes as usize]; nodes as usize];
            for (node, row) in reach.iter_mut().enumerate() {
                row[node] = true;
            }
            for _ in 0..nodes {
                for (from, to) in &edges {
                    for row in &mut reach {
                        row[*to as usize] |= row[*from as usize];
                    }
                }
            }
            for one in 0..nodes as usize {
                for other in 0..nodes as usize {
                    assert_eq!(found[one] == found[other], reach[one][other] && reach[other][one], "{edges:?}");
                    assert!(!reach[one][other] || found[one] >= found[other], "{edges:?}");
                }
            }
        }
    }

    #[test]
    fn a_long_path_needs_no_stack() {
        let edges: Vec<(u32, u32)> = (0..1_000_000).map(|node| (node, node + 1)).collect();
        let found = components(&Timed { csr: &csr(1_000_001, &edges), after: &[] });
        assert_eq!(found[0], 1_000_000);
    }

    #[test]
    fn time_closes_a_circle() {
        // 0 ends before 1 begins, and yet depends on it.
        let graph = csr(2, &[(1, 0)]);
        let found = components(&Timed { csr: &graph, after: &[1, NONE] });
        assert_eq!(found[0], found[1]);
        let apart = components(&Timed { csr: &graph, after: &[NONE, NONE] });
        assert_ne!(apart[0], apart[1]);
    }
}

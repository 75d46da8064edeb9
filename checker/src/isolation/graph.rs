//! The dependency graph: transactions and why one comes before another.
//!
//! Edges lie in compressed rows (CSR), four bytes each. Real time is not stored at all while components are searched: a
//! chain of moments stands for it, one moment before each invocation, `moment -> its transaction`, `moment -> next
//! moment`, and `transaction -> first moment after its ok`. A path between two transactions through the chain is there
//! exactly if the first ended before the second began, so components are the same as with all pairs, with three edges a
//! transaction however many clients there are.
//!
//! Components: R. Tarjan, "Depth-first search and linear graph algorithms" (1972), with a stack of its own instead of
//! recursion.

/// Why one transaction comes before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum EdgeKind {
    /// It wrote what the other overwrote.
    Ww = 0,
    /// It wrote what the other read.
    Wr = 1,
    /// It read what the other overwrote.
    Rw = 2,
    /// The same process did it earlier.
    Process = 3,
    /// It had ended when the other began.
    Realtime = 4,
}

impl EdgeKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ww => "ww",
            Self::Wr => "wr",
            Self::Rw => "rw",
            Self::Process => "process",
            Self::Realtime => "realtime",
        }
    }

    const fn from_bits(bits: u32) -> Self {
        match bits {
            0 => Self::Ww,
            1 => Self::Wr,
            2 => Self::Rw,
            3 => Self::Process,
            _ => Self::Realtime,
        }
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

/// Edges by their source.
#[derive(Debug, Default)]
pub(crate) struct Csr {
    offsets: Vec<u32>,
    /// Target and, in the upper bits, kind.
    packed: Vec<u32>,
}

/// Collects edges, eight bytes each.
#[derive(Debug)]
pub(crate) struct Edges {
    list: Vec<(u32, u32)>,
    edges_max: usize,
    /// Edges for which there was no room.
    pub(crate) left_out: u64,
    /// Some transaction depends on itself. No edge, but not nothing either.
    pub(crate) any_reflexive: bool,
}

impl Edges {
    /// More than `edges_max` are not kept. (Where thousands of reads of one key all found it empty and thousands of
    /// transactions wrote it, each of the former depends on each of the latter.)
    pub(crate) fn new(edges_max: usize) -> Self {
        // Rows are numbered in 32 bits.
        let edges_max = edges_max.min(u32::MAX as usize);
        Self { list: Vec::new(), edges_max, left_out: 0, any_reflexive: false }
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
    pub(crate) fn into_csr(self, nodes: usize) -> Csr {
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
        Csr { offsets, packed }
    }
}

impl Csr {
    pub(crate) fn nodes(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    pub(crate) fn edges(&self) -> usize {
        self.packed.len()
    }

    pub(crate) fn out(&self, node: u32) -> impl Iterator<Item = (u32, EdgeKind)> + '_ {
        let range = self.offsets[node as usize] as usize..self.offsets[node as usize + 1] as usize;
        self.packed[range].iter().map(|packed| unpack(*packed))
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

/// Transactions, with the chain of moments where real time counts.
pub(crate) struct Timed<'g> {
    pub(crate) csr: &'g Csr,
    /// By transaction: the first one invoked after its ok; none for those without an ok. Empty: real time does not count.
    pub(crate) after: &'g [u32],
}

pub(crate) const NONE: u32 = u32::MAX;

impl Successors for Timed<'_> {
    fn nodes(&self) -> usize {
        if self.after.is_empty() { self.csr.nodes() } else { 2 * self.csr.nodes() }
    }

    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        let txns = self.csr.nodes() as u32;
        let at = *cursor;
        *cursor += 1;
        if node >= txns {
            // A moment: the next one first, so that the search runs along time.
            let txn = node - txns;
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
            Some(after) if rest == 0 && *after != NONE => Some(txns + *after),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csr(nodes: usize, edges: &[(u32, u32)]) -> Csr {
        let mut list = Edges::new(edges.len());
        for (from, to) in edges {
            list.push(*from, *to, EdgeKind::Ww);
        }
        list.into_csr(nodes)
    }

    /// Every pair by itself: each reaches the other.
    #[test]
    fn components_are_mutual_reach() {
        let mut seed = 7u32;
        let mut random = move |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) % below
        };
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

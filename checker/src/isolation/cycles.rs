//! The cycles of one component of the graph: which kinds there are, and a short one of each.
//!
//! Whether a kind is there is decided by components and reachability, never by luck:
//!
//! - G0 and G1c: a component of the ww (and wr) edges (Adya 1999).
//! - G-single: an rw edge whose target reaches its source by ww and wr edges.
//! - G-nonadjacent: a component with rw of the graph whose nodes also remember whether the last edge was rw, and which
//!   has no rw edge after an rw edge. (Where such a closed walk crosses itself, it falls into two, one of which is still
//!   without adjoining rw edges: with e1 v e2 and e3 v e4 not both rw, e2 and e3 both rw leave e4 and e1 not rw.)
//! - G2-item: an rw edge within a component of all data edges.
//!
//! Those are of items. G-single, G-nonadjacent and G2 are the same with the anti-dependencies of predicates (rwp) beside.
//! What a read by predicate depends on (wrp) is to all of them what an item's is: Adya's G1c and G2-item do not tell.
//!
//! The session and real-time variants have those edges beside. Kinds are looked for in the order of
//! [`lattice::CYCLES`], and none that one found before implies: so what is called G2-item contains no G-single.
//!
//! Of each kind the shortest cycle is looked for by breadth-first search from each edge or node that can be in one, never
//! deeper than the best found. Work is counted in edges; where it runs out, a longer cycle than the shortest may be
//! reported, and where not even existence could be decided, that is said.

use super::{
    graph::{EdgeKind, Successors, components},
    lattice,
};

/// What a component may cost, in edges looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) left: u64,
}

impl Work {
    /// False once nothing is left.
    fn spend(&mut self, edges: u64) -> bool {
        self.left = self.left.saturating_sub(edges);
        self.left > 0
    }
}

/// A component: its own small graph, nodes from 0.
#[derive(Debug, Default)]
pub(crate) struct Component {
    /// The edges of node `n` are those from `offsets[n]` to `offsets[n + 1]`.
    pub(crate) offsets: Vec<u32>,
    pub(crate) targets: Vec<u32>,
    pub(crate) kinds: Vec<EdgeKind>,
}

/// A cycle of one component: its nodes in order, and the kind of the edge from each to the next (from the last to the
/// first).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) kind: &'static str,
    pub(crate) nodes: Vec<u32>,
    pub(crate) edges: Vec<EdgeKind>,
}

/// What was found in a component.
#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) cycles: Vec<Cycle>,
    /// Kinds of which nothing can be said: the work ran out.
    pub(crate) undecided: Vec<&'static str>,
}

const WW: u8 = EdgeKind::Ww.bit();
const WR: u8 = EdgeKind::Wr.bit() | EdgeKind::Wrp.bit();
/// Anti-dependencies of items, and of items and predicates.
const RW_ITEM: u8 = EdgeKind::Rw.bit();
const RW: u8 = EdgeKind::Rw.bit() | EdgeKind::Rwp.bit();

impl Component {
    fn nodes(&self) -> u32 {
        self.offsets.len().saturating_sub(1) as u32
    }

    fn out(&self, node: u32, mask: u8) -> impl Iterator<Item = (u32, EdgeKind)> + '_ {
        let range = self.offsets[node as usize] as usize..self.offsets[node as usize + 1] as usize;
        let edges = self.targets[range.clone()].iter().copied().zip(self.kinds[range].iter().copied());
        edges.filter(move |(_, kind)| kind.bit() & mask != 0)
    }

    /// The same with one edge at most from one node to another: that of the first kind.
    fn severest(&self) -> Self {
        let mut severest = Self { offsets: vec![0], ..Self::default() };
        let mut row: Vec<(u32, EdgeKind)> = Vec::new();
        for node in 0..self.nodes() {
            row.clear();
            row.extend(self.out(node, u8::MAX));
            row.sort_unstable();
            row.dedup_by_key(|(to, _)| *to);
            for (to, kind) in &row {
                severest.targets.push(*to);
                severest.kinds.push(*kind);
            }
            severest.offsets.push(severest.targets.len() as u32);
        }
        severest
    }

    /// The most severe of these edges from one node to another, which has one.
    fn edge(&self, from: u32, to: u32, mask: u8) -> EdgeKind {
        self.out(from, mask).filter(|(next, _)| *next == to).map(|(_, kind)| kind).min().unwrap_or(EdgeKind::Rw)
    }

    fn degree(&self, node: u32) -> u64 {
        u64::from(self.offsets[node as usize + 1] - self.offsets[node as usize])
    }
}

/// The edges of some kinds.
struct Masked<'c> {
    component: &'c Component,
    mask: u8,
}

impl Successors for Masked<'_> {
    fn nodes(&self) -> usize {
        self.component.nodes() as usize
    }

    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        let (start, end) = (self.component.offsets[node as usize], self.component.offsets[node as usize + 1]);
        while start + *cursor < end {
            let at = (start + *cursor) as usize;
            *cursor += 1;
            if self.component.kinds[at].bit() & self.mask != 0 {
                return Some(self.component.targets[at]);
            }
        }
        None
    }
}

/// Nodes twice: the first half was not reached by rw, the second was.
struct Remembering<'c> {
    component: &'c Component,
    base: u8,
    rw: u8,
}

impl Successors for Remembering<'_> {
    fn nodes(&self) -> usize {
        2 * self.component.nodes() as usize
    }

    fn next(&self, node: u32, cursor: &mut u32) -> Option<u32> {
        let nodes = self.component.nodes();
        let (plain, by_rw) = if node < nodes { (node, false) } else { (node - nodes, true) };
        let (start, end) = (self.component.offsets[plain as usize], self.component.offsets[plain as usize + 1]);
        while start + *cursor < end {
            let at = (start + *cursor) as usize;
            *cursor += 1;
            let kind = self.component.kinds[at];
            if kind.bit() & self.base != 0 {
                return Some(self.component.targets[at]);
            }
            if kind.bit() & self.rw != 0 && !by_rw {
                return Some(nodes + self.component.targets[at]);
            }
        }
        None
    }
}

/// Searches a component. `extra`: the session or real-time edges that it has.
///
/// Where one transaction comes before another for several reasons, a cycle is told by the most severe: one that is G1c by
/// data is not also called G0-realtime. Only where the other reasons refute a model that nothing else in the component
/// does, a cycle with them is reported, under the name of that model: `strong-PL-1-cycle-exists`.
pub(crate) fn search(component: &Component, extra: Option<EdgeKind>, work: Work) -> Search {
    let mut found = Search::default();
    // Each kind has its own share, so that one that is dear does not keep the others from being decided.
    let share = Work { left: work.left / (2 * lattice::CYCLES.len() as u64) };
    let severest = component.severest();
    let has_predicates = component.kinds.contains(&EdgeKind::Rwp);
    for kind in lattice::CYCLES {
        let Some((plain, more)) = variant(kind, extra) else { continue };
        if !has_predicates && lattice::IS_OF_PREDICATES.contains(&plain) {
            continue;
        }
        if lattice::implied_by(found.kinds()).contains(kind) {
            continue;
        }
        match of_kind(&severest, plain, more, share) {
            // By what is in it: a search that was cut short may have found more than it looked for.
            Answer::Found(nodes, edges) => found.push(classify(&edges), nodes, edges),
            Answer::None => {}
            Answer::Unknown => found.undecided.push(kind),
        }
    }
    if severest.targets.len() < component.targets.len() {
        for (kind, exists) in lattice::EXISTS {
            let Some((plain, more)) = variant(kind, extra).filter(|(_, more)| *more != 0) else { continue };
            if lattice::impossible([*exists]).is_subset(&lattice::impossible(found.kinds())) {
                continue;
            }
            match of_kind(component, plain, more, share) {
                Answer::Found(nodes, edges) => found.push(exists, nodes, edges),
                Answer::None => {}
                Answer::Unknown => found.undecided.push(kind),
            }
        }
    }
    let refuted = lattice::impossible(found.kinds());
    found.undecided.retain(|kind| !lattice::impossible([*kind]).is_subset(&refuted));
    found
}

impl Search {
    fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.cycles.iter().map(|cycle| cycle.kind)
    }

    fn push(&mut self, kind: &'static str, nodes: Vec<u32>, edges: Vec<EdgeKind>) {
        if !self.kinds().any(|known| known == kind) {
            self.cycles.push(Cycle { kind, nodes, edges });
        }
    }
}

/// A cycle of this kind, with `more` edges beside the data's.
fn of_kind(component: &Component, plain: &str, more: u8, mut work: Work) -> Answer {
    match plain {
        "G0" => any_cycle(component, WW | more, &mut work),
        "G1c" => any_cycle(component, WW | WR | more, &mut work),
        "G-single-item" => single(component, WW | WR | more, RW_ITEM, &mut work),
        "G-single" => single(component, WW | WR | more, RW, &mut work),
        "G-nonadjacent-item" => nonadjacent(component, WW | WR | more, RW_ITEM, &mut work),
        "G-nonadjacent" => nonadjacent(component, WW | WR | more, RW, &mut work),
        "G2-item" => through_rw(component, WW | WR | more, RW_ITEM, &mut work),
        _ => through_rw(component, WW | WR | more, RW, &mut work),
    }
}

/// A kind without its suffix, and the edges that the suffix adds; `None` where the graph has none of those.
fn variant(kind: &'static str, extra: Option<EdgeKind>) -> Option<(&'static str, u8)> {
    for edges in [EdgeKind::Process, EdgeKind::Realtime] {
        if let Some(plain) = kind.strip_suffix(edges.name()) {
            return (extra == Some(edges)).then_some((plain.trim_end_matches('-'), edges.bit()));
        }
    }
    Some((kind, 0))
}

/// The kind of a cycle with these edges.
pub(crate) fn classify(edges: &[EdgeKind]) -> &'static str {
    let has = |kind: EdgeKind| edges.contains(&kind);
    let is_rw = |at: usize| edges[at % edges.len()].is_overlooked();
    let rw = edges.iter().filter(|kind| kind.is_overlooked()).count();
    let adjoin = (0..edges.len()).any(|at| is_rw(at) && is_rw(at + 1));
    let variants = match (rw, adjoin, has(EdgeKind::Rwp)) {
        (1, _, false) => ["G-single-item", "G-single-item-process", "G-single-item-realtime"],
        (1, _, true) => ["G-single", "G-single-process", "G-single-realtime"],
        (0, ..) if edges.iter().any(|kind| kind.is_read()) => ["G1c", "G1c-process", "G1c-realtime"],
        (0, ..) => ["G0", "G0-process", "G0-realtime"],
        (_, false, false) => ["G-nonadjacent-item", "G-nonadjacent-item-process", "G-nonadjacent-item-realtime"],
        (_, false, true) => ["G-nonadjacent", "G-nonadjacent-process", "G-nonadjacent-realtime"],
        (_, true, false) => ["G2-item", "G2-item-process", "G2-item-realtime"],
        (_, true, true) => ["G2", "G2-process", "G2-realtime"],
    };
    match (has(EdgeKind::Realtime), has(EdgeKind::Process)) {
        (true, _) => variants[2],
        (false, true) => variants[1],
        (false, false) => variants[0],
    }
}

enum Answer {
    Found(Vec<u32>, Vec<EdgeKind>),
    None,
    /// The work ran out.
    Unknown,
}

/// The smallest cycle found so far.
#[derive(Default)]
struct Best {
    nodes: Vec<u32>,
    edges: Vec<EdgeKind>,
}

impl Best {
    /// How long a cycle must be at most to be better.
    fn limit(&self) -> u32 {
        if self.nodes.is_empty() { u32::MAX } else { self.nodes.len() as u32 - 1 }
    }

    fn answer(self) -> Option<Answer> {
        (!self.nodes.is_empty()).then_some(Answer::Found(self.nodes, self.edges))
    }
}

/// Breadth-first search, its memory used again from one start to the next.
struct Bfs {
    /// By node: the search that saw it last.
    seen: Vec<u32>,
    parent: Vec<(u32, EdgeKind)>,
    queue: Vec<(u32, u32)>,
    round: u32,
}

impl Bfs {
    fn new(nodes: usize) -> Self {
        Self { seen: vec![0; nodes], parent: vec![(0, EdgeKind::Ww); nodes], queue: Vec::new(), round: 0 }
    }

    /// The nearest node that is a goal, at most `depth_max` edges away, going where `allowed` says. Gives false in the
    /// second place if the work ran out before.
    fn run(
        &mut self,
        start: u32,
        depth_max: u32,
        work: &mut Work,
        mut out: impl FnMut(u32, &mut dyn FnMut(u32, EdgeKind)) -> u64,
        mut is_goal: impl FnMut(u32) -> bool,
    ) -> (Option<u32>, bool) {
        self.round += 1;
        self.queue.clear();
        self.queue.push((start, 0));
        self.seen[start as usize] = self.round;
        if is_goal(start) {
            return (Some(start), true);
        }
        let mut at = 0;
        while let Some((node, depth)) = self.queue.get(at).copied() {
            at += 1;
            if depth == depth_max {
                break;
            }
            let mut goal = None;
            let (seen, parent, queue, round) = (&mut self.seen, &mut self.parent, &mut self.queue, self.round);
            let cost = out(node, &mut |next, kind| {
                if goal.is_none() && seen[next as usize] != round {
                    seen[next as usize] = round;
                    parent[next as usize] = (node, kind);
                    queue.push((next, depth + 1));
                    if is_goal(next) {
                        goal = Some(next);
                    }
                }
            });
            if goal.is_some() {
                return (goal, true);
            }
            if !work.spend(1 + cost) {
                return (None, false);
            }
        }
        (None, true)
    }

    /// The path from the last search's start to a node that it saw: the nodes before it, and the edges.
    fn path(&self, start: u32, goal: u32) -> (Vec<u32>, Vec<EdgeKind>) {
        let (mut nodes, mut edges) = (Vec::new(), Vec::new());
        let mut node = goal;
        while node != start {
            let (before, kind) = self.parent[node as usize];
            nodes.push(before);
            edges.push(kind);
            node = before;
        }
        nodes.reverse();
        edges.reverse();
        (nodes, edges)
    }

    /// That path as a cycle, which an edge of this kind closes.
    fn closed_by(&self, kind: EdgeKind, start: u32, goal: u32) -> Best {
        let (mut nodes, mut edges) = self.path(start, goal);
        nodes.push(goal);
        edges.push(kind);
        Best { nodes, edges }
    }
}

/// How many nodes are in each component, by number.
fn sizes(of: &[u32]) -> Vec<u32> {
    let mut sizes = vec![0; of.iter().max().map_or(0, |max| *max as usize + 1)];
    for number in of {
        sizes[*number as usize] += 1;
    }
    sizes
}

/// A shortest cycle of these edges.
fn any_cycle(component: &Component, mask: u8, work: &mut Work) -> Answer {
    let of = components(&Masked { component, mask });
    let sizes = sizes(&of);
    let mut bfs = Bfs::new(of.len());
    let mut best = Best::default();
    for start in (0..component.nodes()).filter(|node| sizes[of[*node as usize] as usize] > 1) {
        if best.limit() < 2 {
            break;
        }
        // The start itself is the goal, but not before one edge: so each of its successors is looked at as the last.
        let mine = of[start as usize];
        let mut closing: Option<(u32, EdgeKind)> = None;
        let depth_max = best.limit();
        let (_, finished) = bfs.run(
            start,
            depth_max,
            work,
            |node, push| {
                if closing.is_none() {
                    for (next, kind) in component.out(node, mask).filter(|(next, _)| of[*next as usize] == mine) {
                        if next == start {
                            closing = closing.or(Some((node, kind)));
                        } else {
                            push(next, kind);
                        }
                    }
                }
                component.degree(node)
            },
            |_| false,
        );
        if let Some((last, kind)) = closing {
            let (mut nodes, mut edges) = bfs.path(start, last);
            nodes.push(last);
            edges.push(kind);
            if (nodes.len() as u32) <= best.limit() {
                best = Best { nodes, edges };
            }
        }
        if !finished && !best.nodes.is_empty() {
            break;
        }
        if !finished {
            // There is one: of the share that is left for a single search through the component.
            work.left = component.targets.len() as u64 * 2 + u64::from(component.nodes()) * 2 + 2;
        }
    }
    best.answer().unwrap_or(Answer::None)
}

/// By node: the sources of the edges of these kinds that lead to it.
fn rw_sources(component: &Component, rw: u8) -> (Vec<u32>, Vec<u32>) {
    let nodes = component.nodes() as usize;
    let mut offsets = vec![0u32; nodes + 1];
    for node in 0..nodes as u32 {
        for (to, _) in component.out(node, rw) {
            offsets[to as usize + 1] += 1;
        }
    }
    for node in 0..nodes {
        offsets[node + 1] += offsets[node];
    }
    let mut sources = vec![0; offsets[nodes] as usize];
    let mut at = offsets.clone();
    for node in 0..nodes as u32 {
        for (to, _) in component.out(node, rw) {
            sources[at[to as usize] as usize] = node;
            at[to as usize] += 1;
        }
    }
    (offsets, sources)
}

/// A shortest cycle of one of the edges `rw` and otherwise of `base`.
fn single(component: &Component, base: u8, rw: u8, work: &mut Work) -> Answer {
    let of = components(&Masked { component, mask: base });
    let (offsets, sources) = rw_sources(component, rw);
    let mut bfs = Bfs::new(of.len());
    let mut is_source = vec![u32::MAX; of.len()];
    let mut best = Best::default();
    let mut unfinished: Vec<u32> = Vec::new();
    for start in 0..component.nodes() {
        let sources = &sources[offsets[start as usize] as usize..offsets[start as usize + 1] as usize];
        // Only what comes after the start in the base's own order can be reached from it.
        let reachable = |source: &&u32| of[start as usize] >= of[**source as usize];
        let Some(lowest) = sources.iter().filter(reachable).map(|source| of[*source as usize]).min() else { continue };
        if best.limit() < 2 {
            break;
        }
        for source in sources {
            is_source[*source as usize] = start;
        }
        let (goal, finished) = if work.left == 0 {
            (None, false)
        } else {
            bfs.run(
                start,
                best.limit() - 1,
                work,
                |node, push| {
                    for (next, kind) in component.out(node, base).filter(|(next, _)| of[*next as usize] >= lowest) {
                        push(next, kind);
                    }
                    component.degree(node)
                },
                |node| is_source[node as usize] == start,
            )
        };
        if let Some(goal) = goal {
            best = bfs.closed_by(component.edge(goal, start, rw), start, goal);
        }
        if !finished {
            if !best.nodes.is_empty() {
                break;
            }
            unfinished.push(start);
        }
    }
    if !best.nodes.is_empty() || unfinished.is_empty() {
        return best.answer().unwrap_or(Answer::None);
    }
    in_batches(component, [base, rw], &of, &offsets, &sources, &unfinished)
}

/// Whether any of these nodes reaches a source of its own rw edges, 64 nodes at a time: one pass over the edges in
/// topological order each. Within a cycle of the base all reach each other, and so do their bits.
fn in_batches(
    component: &Component,
    [base, rw]: [u8; 2],
    of: &[u32],
    offsets: &[u32],
    sources: &[u32],
    starts: &[u32],
) -> Answer {
    /// Passes, at most: a component of a hundred thousand is still decided.
    const EDGES_MAX: u64 = 4_000_000_000;
    let mut work = Work { left: EDGES_MAX };
    let mut order: Vec<u32> = (0..component.nodes()).collect();
    order.sort_by_key(|node| std::cmp::Reverse(of[*node as usize]));
    let components_len = of.iter().max().map_or(0, |max| *max as usize + 1);
    let mut reached = vec![0u64; components_len];
    for batch in starts.chunks(64) {
        reached.fill(0);
        for (bit, start) in batch.iter().enumerate() {
            reached[of[*start as usize] as usize] |= 1 << bit;
        }
        // Components go from high to low, so all that leads to one has been seen when its own nodes are looked at.
        for node in &order {
            let bits = reached[of[*node as usize] as usize];
            if bits != 0 {
                for (next, _) in component.out(*node, base) {
                    reached[of[next as usize] as usize] |= bits;
                }
            }
        }
        for (bit, start) in batch.iter().enumerate() {
            let mine = &sources[offsets[*start as usize] as usize..offsets[*start as usize + 1] as usize];
            let Some(goal) = mine.iter().find(|source| reached[of[**source as usize] as usize] >> bit & 1 == 1) else {
                continue;
            };
            let mut bfs = Bfs::new(of.len());
            let mut unlimited = Work { left: u64::MAX };
            bfs.run(
                *start,
                u32::MAX,
                &mut unlimited,
                |node, push| {
                    component.out(node, base).for_each(|(next, kind)| push(next, kind));
                    0
                },
                |node| node == *goal,
            );
            let Best { nodes, edges } = bfs.closed_by(component.edge(*goal, *start, rw), *start, *goal);
            return Answer::Found(nodes, edges);
        }
        if !work.spend(component.targets.len() as u64 + u64::from(component.nodes())) {
            return Answer::Unknown;
        }
    }
    Answer::None
}

/// A shortest cycle of `base` and of edges `rw`, none of which adjoin.
fn nonadjacent(component: &Component, base: u8, rw: u8, work: &mut Work) -> Answer {
    let nodes = component.nodes();
    let of = components(&Remembering { component, base, rw });
    let sizes = sizes(&of);
    let (offsets, sources) = rw_sources(component, rw);
    let mut bfs = Bfs::new(of.len());
    let mut is_source = vec![u32::MAX; nodes as usize];
    let mut best = Best::default();
    let mut out_of_work = false;
    for plain in 0..nodes {
        let start = nodes + plain;
        let mine = of[start as usize];
        if sizes[mine as usize] < 2 {
            continue;
        }
        if best.limit() < 2 {
            break;
        }
        for source in &sources[offsets[plain as usize] as usize..offsets[plain as usize + 1] as usize] {
            is_source[*source as usize] = plain;
        }
        let (goal, finished) = bfs.run(
            start,
            best.limit() - 1,
            work,
            |node, push| {
                let (from, by_rw) = if node < nodes { (node, false) } else { (node - nodes, true) };
                for (next, kind) in component.out(from, base | rw) {
                    let is_rw = kind.is_overlooked();
                    let next = if is_rw { nodes + next } else { next };
                    if !(by_rw && is_rw) && of[next as usize] == mine {
                        push(next, kind);
                    }
                }
                component.degree(from)
            },
            // The rw edge that leads back to the start must not follow another.
            |node| node < nodes && is_source[node as usize] == plain,
        );
        if let Some(goal) = goal {
            let Best { nodes: walk, edges } = bfs.closed_by(component.edge(goal, plain, rw), start, goal);
            let walk: Vec<u32> = walk.into_iter().map(|node| if node < nodes { node } else { node - nodes }).collect();
            if let Some((simple, edges)) = simple_part(walk, edges)
                && simple.len() as u32 <= best.limit()
            {
                best = Best { nodes: simple, edges };
            }
        }
        if !finished {
            out_of_work = true;
            break;
        }
    }
    match best.answer() {
        Some(answer) => answer,
        None if out_of_work => Answer::Unknown,
        None => Answer::None,
    }
}

/// Cuts a closed walk where it crosses itself, as long as what is left has an rw edge and none that adjoin; `None` where
/// only parts without rw are left, which are worse anomalies and found as such.
fn simple_part(mut nodes: Vec<u32>, mut edges: Vec<EdgeKind>) -> Option<(Vec<u32>, Vec<EdgeKind>)> {
    loop {
        let mut crossing = None;
        'find: for (at, node) in nodes.iter().enumerate() {
            for (later, other) in nodes.iter().enumerate().skip(at + 1) {
                if node == other {
                    crossing = Some((at, later));
                    break 'find;
                }
            }
        }
        let Some((from, to)) = crossing else { return Some((nodes, edges)) };
        let inner = (nodes[from..to].to_vec(), edges[from..to].to_vec());
        let outer = ([&nodes[..from], &nodes[to..]].concat(), [&edges[..from], &edges[to..]].concat());
        let good = |edges: &[EdgeKind]| {
            let is_rw = |at: usize| edges[at % edges.len()].is_overlooked();
            (0..edges.len()).any(is_rw) && (0..edges.len()).all(|at| !(is_rw(at) && is_rw(at + 1)))
        };
        (nodes, edges) = if good(&inner.1) {
            inner
        } else if good(&outer.1) {
            outer
        } else {
            return None;
        };
    }
}

/// A shortest cycle of `base` and of edges `rw`, of those at least one.
fn through_rw(component: &Component, base: u8, rw: u8, work: &mut Work) -> Answer {
    let mask = base | rw;
    let of = components(&Masked { component, mask });
    let (offsets, sources) = rw_sources(component, rw);
    let mut bfs = Bfs::new(of.len());
    let mut is_source = vec![u32::MAX; of.len()];
    let mut best = Best::default();
    for start in 0..component.nodes() {
        let mine = of[start as usize];
        let sources = &sources[offsets[start as usize] as usize..offsets[start as usize + 1] as usize];
        if !sources.iter().any(|source| of[*source as usize] == mine) {
            continue;
        }
        if best.limit() < 2 {
            break;
        }
        for source in sources {
            is_source[*source as usize] = start;
        }
        if best.nodes.is_empty() {
            // There is one: one search through the component is always allowed.
            work.left = work.left.max(component.targets.len() as u64 * 2 + u64::from(component.nodes()) * 2 + 2);
        }
        let (goal, finished) = bfs.run(
            start,
            best.limit() - 1,
            work,
            |node, push| {
                for (next, kind) in component.out(node, mask).filter(|(next, _)| of[*next as usize] == mine) {
                    push(next, kind);
                }
                component.degree(node)
            },
            |node| is_source[node as usize] == start,
        );
        if let Some(goal) = goal {
            best = bfs.closed_by(component.edge(goal, start, rw), start, goal);
        }
        if !finished {
            break;
        }
    }
    best.answer().unwrap_or(Answer::None)
}

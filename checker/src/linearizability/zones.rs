//! Registers whose every value is produced at most once: decided in O(n log n), whatever the concurrency.
//!
//! Gibbons & Korach, "Testing shared memories", SIAM J. Comput. 26(4), 1997, section 4: with unique values each read names
//! the write that it saw, its *dictating write*. A write and its reads are a *cluster*, and between them in any
//! linearization stands nothing else. So clusters follow one another as wholes, and A comes before B as soon as one
//! operation of A returned before one of B was invoked. Of a cluster two moments matter: its first return and its last
//! invocation. Between them lies its *zone*: *forward* where the return is first (then the register held the value all
//! the time between), *backward* otherwise (then some moment between them is enough). There is a linearization exactly
//! if
//!
//! 1. no read returned before its dictating write was invoked,
//! 2. no two forward zones overlap, and
//! 3. no backward zone lies within a forward one.
//!
//! (2 and 3 together say that no two clusters must each come before the other. Longer cycles need no look: A comes before
//! B if A's first return is before B's last invocation. Of the clusters of a cycle take the one whose first return is
//! latest: every cluster comes before that one's successor S, also the one that S itself comes before.)
//!
//! *Compare-and-set* joins clusters: `cas a b` ends the time of a and begins that of b, at once. A *block* here is the
//! whole chain of clusters so joined, from a write or from the initial nil. Blocks stay together as clusters do, so the
//! argument above holds for them; within a block the order is given but for reads of one value among themselves, and 1
//! becomes: no operation returned before one was invoked that comes earlier in the block. A value that two cas expect,
//! or a chain without a beginning, is a contradiction.
//!
//! *Indeterminate* operations: one whose value nobody observes is left out (`partition::drop_unobserved`, with proof); any
//! other certainly happened, for nothing else could have produced the value, and it never returns.
//!
//! Needs: every value produced at most once, nil never. Where some values are not, the others are looked at by themselves
//! (`unambiguous`): a contradiction among them is one of the whole. Otherwise the search decides.

use petgraph::unionfind::UnionFind;
use rustc_hash::FxHashSet;

use super::{
    model::{RegisterOp, ValueId},
    partition::{Call, NEVER, Part},
};

/// What the zones say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Zoned {
    /// A linearization: positions in `calls`.
    Linearizable(Vec<u32>),
    /// There is none.
    Contradiction(Contradiction),
    /// Some value has several producers: not decided here.
    Ambiguous,
}

/// Operations that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction {
    /// Positions in `calls`, ascending.
    pub(crate) calls: Vec<u32>,
    /// How the first value of a chain came about is left out: the operations are impossible whatever was there before
    /// (none of the values that they produce, which nobody else does).
    pub(crate) is_window: bool,
}

/// Evidence goes back to the write that began a chain if it is not more than so many cas away.
const LINKS_MAX: usize = 16;

const NONE: u32 = u32::MAX;

/// A moment: the index of an event; -1 is before the first, when the register became nil.
type Moment = i64;

/// A block's first return and last invocation.
#[derive(Debug, Clone, Copy)]
struct Zone {
    first_return: Moment,
    last_invoke: Moment,
    /// The value with which it begins.
    root: ValueId,
}

impl Zone {
    fn is_forward(&self) -> bool {
        self.first_return < self.last_invoke
    }

    /// Blocks in this order respect real time if conditions 2 and 3 hold. Let A come before B, so that A's first return
    /// is before B's last invocation, and B not before A. A forward: its first return is the start of its zone, and
    /// lies before B's zone (B forward: else they overlap) or before its last invocation, the start of B's (B backward).
    /// A backward: its zone starts before its first return, hence before B's last invocation; B backward: that is its
    /// start; B forward: B's first return is after A's last invocation, for B is not before A.
    fn start(&self) -> Moment {
        self.first_return.min(self.last_invoke)
    }

    fn comes_before(&self, other: &Self) -> bool {
        self.first_return < other.last_invoke
    }
}

/// Decides a part from which indeterminate reads and unobserved indeterminate calls have been dropped, as
/// `partition::part_of` gives it.
pub(crate) fn decide(part: &Part) -> Zoned {
    let Some(clusters) = Clusters::of(part) else { return Zoned::Ambiguous };
    match clusters.decide() {
        Ok(order) => Zoned::Linearizable(order),
        Err(contradiction) => Zoned::Contradiction(contradiction),
    }
}

/// The part without the values that are produced more than once, and whatever cas joins them to. If the whole is
/// linearizable, so is what is left: of an order of the whole take out every call that produces or observes one of those
/// values; what is left still finds what it found, for what came between is gone.
pub(crate) fn unambiguous(part: &Part) -> Part {
    let values = part.values.len() + 1;
    let mut joined = UnionFind::new(values);
    let mut producers = vec![0_u32; values];
    producers[0] = 1;
    for call in &part.calls {
        if let Some(value) = call.op.produces() {
            producers[value as usize] += 1;
        }
        if let RegisterOp::Cas(old, new) = call.op {
            joined.union(old as usize, new as usize);
        }
    }
    let mut is_ambiguous = vec![false; values];
    for (value, producers) in producers.into_iter().enumerate() {
        is_ambiguous[joined.find_mut(value)] |= producers > 1;
    }
    let stays = |call: &&Call| {
        let value = call.op.produces().or(call.op.observes()).unwrap_or_default();
        !is_ambiguous[joined.find(value as usize)]
    };
    Part { calls: part.calls.iter().filter(stays).copied().collect(), values: part.values.clone() }
}

/// The calls by value.
struct Clusters<'p> {
    calls: &'p [Call],
    /// By value, the call that produces it.
    producer: Vec<u32>,
    /// By value, the first cas that expects it.
    cas: Vec<u32>,
    /// The reads by value: those of value v are `reads[starts[v]..starts[v + 1]]`, by invocation.
    reads: Vec<u32>,
    starts: Vec<u32>,
    /// Two cas that expect the same value.
    rivals: Option<[u32; 2]>,
}

impl<'p> Clusters<'p> {
    /// `None` if a value has two producers, or nil has one.
    fn of(part: &'p Part) -> Option<Self> {
        let values = part.values.len() + 1;
        let mut clusters = Self {
            calls: &part.calls,
            producer: vec![NONE; values],
            cas: vec![NONE; values],
            reads: Vec::new(),
            starts: vec![0; values + 1],
            rivals: None,
        };
        for (at, call) in (0_u32..).zip(&part.calls) {
            if let Some(value) = call.op.produces()
                && (value == 0 || std::mem::replace(&mut clusters.producer[value as usize], at) != NONE)
            {
                return None;
            }
            match call.op {
                RegisterOp::Cas(old, _) => {
                    let known = clusters.cas[old as usize];
                    if known == NONE {
                        clusters.cas[old as usize] = at;
                    } else {
                        clusters.rivals.get_or_insert([known, at]);
                    }
                }
                RegisterOp::Read(value) => clusters.starts[value as usize + 1] += 1,
                RegisterOp::Write(_) => {}
            }
        }
        for value in 0..values {
            clusters.starts[value + 1] += clusters.starts[value];
        }
        let mut next = clusters.starts.clone();
        clusters.reads = vec![0; clusters.starts[values] as usize];
        for (at, call) in (0_u32..).zip(&part.calls) {
            if let RegisterOp::Read(value) = call.op {
                clusters.reads[next[value as usize] as usize] = at;
                next[value as usize] += 1;
            }
        }
        Some(clusters)
    }

    fn call(&self, at: u32) -> &Call {
        &self.calls[at as usize]
    }

    fn invoke(&self, at: u32) -> Moment {
        if at == NONE { -1 } else { self.call(at).invoke.into() }
    }

    fn ret(&self, at: u32) -> Moment {
        match at {
            NONE => -1,
            at if self.call(at).ret == NEVER => Moment::MAX,
            at => self.call(at).ret.into(),
        }
    }

    fn reads_of(&self, value: ValueId) -> &[u32] {
        let range = self.starts[value as usize] as usize..self.starts[value as usize + 1] as usize;
        &self.reads[range]
    }

    /// The value that a value is changed into by cas.
    fn successor(&self, value: ValueId) -> Option<ValueId> {
        let cas = self.cas[value as usize];
        if cas == NONE { None } else { self.call(cas).op.produces() }
    }

    /// A block's operations in order; of the initial nil, whose write is nobody's, [`NONE`] stands first. Gives with
    /// each the value during whose time it happens.
    fn block(&self, root: ValueId) -> impl Iterator<Item = (u32, ValueId)> + '_ {
        let values = std::iter::successors(Some(root), |value| self.successor(*value));
        values.flat_map(|value| {
            let producer = std::iter::once(self.producer[value as usize]);
            producer.chain(self.reads_of(value).iter().copied()).map(move |at| (at, value))
        })
    }

    fn decide(&self) -> Result<Vec<u32>, Contradiction> {
        if let Some([first, second]) = self.rivals {
            return Err(self.contradiction(vec![first, second], &[]));
        }
        let mut seen = vec![false; self.producer.len()];
        let mut zones = Vec::new();
        let is_root = |value: &ValueId| {
            let producer = self.producer[*value as usize];
            *value == 0 || (producer != NONE && matches!(self.call(producer).op, RegisterOp::Write(_)))
        };
        for root in (0..self.producer.len() as ValueId).filter(is_root) {
            zones.push(self.zone(root, &mut seen)?);
        }
        // What no chain from a write or from nil leads to cannot have been there.
        let rootless = |call: &Call| {
            let value = call.op.observes();
            call.ret != NEVER && value.is_some_and(|value| !seen[value as usize])
        };
        if let Some(at) = self.calls.iter().position(rootless) {
            let mut calls = vec![at as u32];
            self.join(&[at as u32], usize::MAX, &mut calls);
            return Err(self.evidence(calls, false));
        }
        zones.sort_unstable_by_key(Zone::start);
        self.disjoint(&zones)?;
        let order = zones.iter().flat_map(|zone| self.block(zone.root)).map(|(at, _)| at).filter(|at| *at != NONE);
        Ok(order.collect())
    }

    /// Condition 1, and the block's zone.
    fn zone(&self, root: ValueId, seen: &mut [bool]) -> Result<Zone, Contradiction> {
        // The latest invocation of what must have come before: of the reads of one value only the write.
        let (mut before, mut with_reads) = (NONE, NONE);
        let mut first_return = Moment::MAX;
        let later = |one: u32, other: u32| if self.invoke(one) < self.invoke(other) { other } else { one };
        for (at, value) in self.block(root) {
            seen[value as usize] = true;
            let is_read = at != NONE && matches!(self.call(at).op, RegisterOp::Read(_));
            if !is_read {
                before = with_reads;
            }
            if self.ret(at) < self.invoke(before) {
                return Err(self.contradiction(vec![before, at], &[]));
            }
            if !is_read {
                before = later(before, at);
            }
            with_reads = later(with_reads, at);
            first_return = first_return.min(self.ret(at));
        }
        Ok(Zone { first_return, last_invoke: self.invoke(with_reads), root })
    }

    /// Conditions 2 and 3, of zones by their start. Only the last forward zone that started can reach into the next:
    /// those before it ended before it began.
    fn disjoint(&self, zones: &[Zone]) -> Result<(), Contradiction> {
        let mut last_forward: Option<&Zone> = None;
        for zone in zones {
            if let Some(last) = last_forward
                && last.comes_before(zone)
                && zone.comes_before(last)
            {
                return Err(self.collision(last, zone));
            }
            if zone.is_forward() {
                last_forward = Some(zone);
            }
        }
        Ok(())
    }

    /// Two blocks each of which must come before the other: of each an operation that returned before a chosen one of
    /// the other was invoked, and one that was invoked after a chosen one of the other had returned. Which are chosen
    /// is free; so those near to each other in their chain.
    fn collision(&self, one: &Zone, other: &Zone) -> Contradiction {
        let near = |of: &Zone, before: Moment, after: Moment| {
            let until = self.block(of.root).filter(|(at, _)| self.ret(*at) < before).last();
            let from = self.block(of.root).find(|(at, _)| self.invoke(*at) > after);
            [until, from].map(|found| found.map_or(NONE, |(at, _)| at))
        };
        let [until, from] = near(one, other.last_invoke, other.first_return);
        let others = near(other, self.invoke(from), self.ret(until));
        self.contradiction(vec![until, from], &others)
    }

    /// The calls, those of one block first, those of another (or none) second, with what joins them.
    fn contradiction(&self, one: Vec<u32>, other: &[u32]) -> Contradiction {
        let mut calls = one.clone();
        calls.extend(other);
        let rooted = [&one[..], other].map(|side| self.join(side, LINKS_MAX, &mut calls));
        self.evidence(calls, rooted.contains(&false))
    }

    fn evidence(&self, mut calls: Vec<u32>, is_window: bool) -> Contradiction {
        calls.retain(|at| *at != NONE);
        // An indeterminate call certainly happened only if somebody observed its value: to the first ok call that did.
        for at in 0..calls.len() {
            let mut at = calls[at];
            while self.call(at).ret == NEVER
                && let Some(value) = self.call(at).op.produces()
            {
                at = self.reads_of(value).first().copied().unwrap_or(self.cas[value as usize]);
                if at == NONE || calls.contains(&at) {
                    break;
                }
                calls.push(at);
            }
        }
        calls.sort_unstable();
        calls.dedup();
        Contradiction { calls, is_window }
    }

    /// Adds what leads from some calls of one block to each other, and back to the beginning of their chain unless that
    /// is more than `links_max` away; gives whether the beginning is among them.
    fn join(&self, side: &[u32], links_max: usize, calls: &mut Vec<u32>) -> bool {
        let paths: Vec<Vec<u32>> = side.iter().filter(|at| **at != NONE).map(|at| self.path_back(*at)).collect();
        let Some((first, rest)) = paths.split_first() else { return true };
        // From the last place where all paths have met on, they are one.
        let common_with =
            |path: &Vec<u32>| first.iter().rev().zip(path.iter().rev()).take_while(|(a, b)| a == b).count();
        let common = rest.iter().map(common_with).min().unwrap_or(first.len());
        let kept = if common <= links_max { common } else { 1 };
        for path in &paths {
            calls.extend(&path[..path.len() - common + kept]);
        }
        kept == common
    }

    /// The producers that lead to a call, nearest first: itself if it is one, and of what each expects the producer, to
    /// the beginning of the chain (once around where it is a circle).
    fn path_back(&self, at: u32) -> Vec<u32> {
        let mut path = Vec::new();
        let mut on_path = FxHashSet::default();
        let mut next = match self.call(at).op {
            RegisterOp::Read(value) => self.producer[value as usize],
            RegisterOp::Write(_) | RegisterOp::Cas(..) => at,
        };
        while next != NONE && on_path.insert(next) {
            path.push(next);
            next = self.call(next).op.observes().map_or(NONE, |value| self.producer[value as usize]);
        }
        path
    }
}

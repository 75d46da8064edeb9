//! Set-full: what became of every element that was added (Jepsen's `checker/set-full`), with RPO.
//!
//! An element is *known* from the `ok` of its add or the end of the first ok read that holds it, whichever comes first.
//! It is *lost* when it was acknowledged and the last state lacks it. The last state is what the final reads of the
//! nodes say that claim to be primary; several of them must all lack it (what one holds and another lacks is
//! divergence). Without final reads it is the reads of primaries (of anyone, without claims) that were invoked after
//! the element was known, and after every read that holds it had ended.
//!
//! That last condition is why a stale replica loses nothing: in `r1 invoked, r2 invoked, r1 ok without 5, r2 ok with 5`
//! either read may have been first.
//!
//! All reads are gone through in the order of their completions with one bit per element, and only the elements that
//! change from held to missing or back are looked at one by one: one pass over what was read, however many reads lack
//! however many elements. What is lost is then looked for in a second pass.
//!
//! Not checked: whether reads agree with each other on an order of adds (a read may hold a later add and lack an
//! earlier one for a while), and removal: the workload has none.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    Check, Details, Validity, authority,
    history::{ClaimedRole, F, FaultStage, History, Op, Outcome},
    say::{self, Findings},
};

/// What became of all elements.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetResult {
    /// Adds invoked.
    pub attempted: u64,
    /// Adds that ended `ok`.
    pub acknowledged: u64,
    /// Adds that ended `fail`.
    pub failed: u64,
    /// Adds that ended `info` or never completed.
    pub indeterminate: u64,
    /// Known elements (acknowledged or read) that the last reads hold.
    pub stable: u64,
    /// Acknowledged elements that the last reads lack, by acknowledgement time. Complete.
    pub lost: Vec<LostElement>,
    /// `lost` per hundred acknowledged.
    pub lost_percent: f64,
    /// Elements that some read lacked after they were known, but a later one held.
    pub stale: u64,
    /// The longest such absence in milliseconds.
    pub stale_max_ms: f64,
    /// Acknowledged elements with no read after their acknowledgement at all (nothing can be said).
    pub never_read: u64,
    /// Indeterminate elements that the last reads hold.
    pub recovered: u64,
    /// Elements that a read returned more than once, with the highest count seen.
    pub duplicated: Vec<(i64, u32)>,
    /// Elements that were read although their add failed or never was invoked.
    pub unexpected: Vec<i64>,
    /// Elements of indeterminate adds that some read returned, and that the last reads lack: nobody was told that
    /// they are there, but somebody saw them. Complete.
    #[serde(default)]
    pub vanished: Vec<i64>,
    /// What the losses amount to.
    pub rpo: Rpo,
}

/// One acknowledged element that is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LostElement {
    /// The element.
    pub element: i64,
    /// The process that added it.
    pub process: u32,
    /// The node that acknowledged it.
    pub node: Option<String>,
    /// When its add was invoked.
    pub invoke_ns: u64,
    /// When it was acknowledged.
    pub ok_ns: u64,
    /// Index of the acknowledging event.
    pub ok_index: u64,
    /// The last read that held it: (completion time, node). `None`: never seen.
    pub last_seen: Option<(u64, Option<String>)>,
    /// The first read after that which lacked it: (completion time, node).
    pub first_missing: Option<(u64, Option<String>)>,
}

/// Recovery point: how much acknowledged work is gone.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rpo {
    /// Acknowledged operations lost.
    pub ops: u64,
    /// From the first lost acknowledgement to the last, in seconds, over the whole run.
    pub window_s: f64,
    /// The same per fault: losses are attributed to the last fault that had begun when the write was invoked or
    /// acknowledged (`None`: before any fault).
    pub by_fault: Vec<RpoOfFault>,
}

/// Losses attributed to one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RpoOfFault {
    /// The fault's id; `None` for losses before any fault.
    pub fault_id: Option<u32>,
    /// Acknowledged operations lost.
    pub ops: u64,
    /// From the first lost acknowledgement to the last, in seconds.
    pub window_s: f64,
    /// First lost acknowledgement.
    pub first_ok_ns: u64,
    /// Last lost acknowledgement.
    pub last_ok_ns: u64,
}

const NONE: u32 = u32::MAX;

/// Event indexes are held in 32 bits by the history.
fn narrow(index: u64) -> u32 {
    u32::try_from(index).unwrap_or(NONE)
}

/// What is known of one element's adds.
#[derive(Debug, Clone, Copy)]
struct Added {
    /// The first acknowledged add, else the first one of all.
    op: u32,
    /// Index of the first invocation.
    invoke: u32,
    /// Index of the acknowledgement; `NONE`: none.
    ok: u32,
    /// All its adds failed.
    failed: bool,
}

/// The elements whose add was invoked, in order, and what is known of each; kept as the ids of operations, because at
/// millions of elements a copy of what the history holds would be as large as the history.
struct Adds<'h> {
    history: &'h History,
    /// For each element, in order of the elements: its first acknowledged add, else the first one of all.
    ops: Vec<u32>,
    /// What is known of the elements that were added more than once, by position.
    repeated: BTreeMap<u32, Added>,
}

impl<'h> Adds<'h> {
    fn of(history: &'h History, result: &mut SetResult) -> Self {
        for op in history.ops().filter(|op| *op.f == F::Add) {
            result.attempted += 1;
            match op.outcome {
                Outcome::Ok => result.acknowledged += 1,
                Outcome::Fail => result.failed += 1,
                Outcome::Info => result.indeterminate += 1,
            }
        }
        let mut adds = Self { history, ops: Vec::new(), repeated: BTreeMap::new() };
        let mut before = None;
        for id in ids_by_element(history) {
            let element = element_of(history, id);
            let new = Added::of(history, id);
            if before != Some(element) {
                before = Some(element);
                adds.ops.push(id);
                continue;
            }
            let at = adds.ops.len() - 1;
            let mut all = adds.get(at);
            if new.ok < all.ok {
                (all.op, all.ok) = (new.op, new.ok);
                adds.ops[at] = new.op;
            }
            all.failed &= new.failed;
            adds.repeated.insert(at as u32, all);
        }
        adds
    }

    fn len(&self) -> usize {
        self.ops.len()
    }

    fn element(&self, at: usize) -> i64 {
        element_of(self.history, self.ops[at])
    }

    fn get(&self, at: usize) -> Added {
        self.repeated.get(&(at as u32)).copied().unwrap_or_else(|| Added::of(self.history, self.ops[at]))
    }
}

impl Added {
    fn of(history: &History, id: u32) -> Self {
        let op = history.op(id as usize);
        let ended = |outcome| op.is_some_and(|op| op.outcome == outcome);
        let ok = op.filter(|_| ended(Outcome::Ok)).and_then(|op| op.complete_index);
        Self {
            op: id,
            invoke: op.map_or(NONE, |op| narrow(op.invoke_index)),
            ok: ok.map_or(NONE, narrow),
            failed: ended(Outcome::Fail),
        }
    }
}

fn element_of(history: &History, id: u32) -> i64 {
    history.op(id as usize).and_then(|op| op.value.as_int()).unwrap_or_default()
}

/// The adds of integers by element, and of one element by invocation.
fn ids_by_element(history: &History) -> Vec<u32> {
    let adds = || history.ops().filter(|op| *op.f == F::Add).filter_map(|op| Some((op.value.as_int()?, op.id as u32)));
    let (Some(least), Some(greatest)) = (adds().map(|(element, _)| element).min(), adds().map(|add| add.0).max())
    else {
        return Vec::new();
    };
    if greatest.abs_diff(least) <= u64::from(u32::MAX) {
        // Element and id in one word: half the memory of a pair.
        let mut packed: Vec<u64> = adds().map(|(element, id)| element.abs_diff(least) << 32 | u64::from(id)).collect();
        packed.sort_unstable();
        return packed.into_iter().map(|word| word as u32).collect();
    }
    let mut pairs: Vec<(i64, u32)> = adds().collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, id)| id).collect()
}

/// Position of each element in the tables.
enum Positions {
    /// Where elements are dense, as they are when they are counted up.
    Dense {
        first: i64,
        table: Vec<u32>,
    },
    Sparse(FxHashMap<i64, u32>),
}

impl Positions {
    fn of(adds: &Adds<'_>) -> Self {
        if let Some(last) = adds.len().checked_sub(1) {
            let first = adds.element(0);
            let span = adds.element(last).abs_diff(first);
            if span < 8 * adds.len() as u64 + 65_536 {
                let mut table = vec![NONE; span as usize + 1];
                for at in 0..adds.len() {
                    table[adds.element(at).abs_diff(first) as usize] = at as u32;
                }
                return Self::Dense { first, table };
            }
        }
        Self::Sparse((0..adds.len()).map(|at| (adds.element(at), at as u32)).collect())
    }

    fn get(&self, element: i64) -> Option<usize> {
        let at = match self {
            Self::Dense { first, table } if element >= *first => {
                table.get(usize::try_from(element.abs_diff(*first)).ok()?).copied().unwrap_or(NONE)
            }
            Self::Dense { .. } => NONE,
            Self::Sparse(map) => map.get(&element).copied().unwrap_or(NONE),
        };
        (at != NONE).then_some(at as usize)
    }
}

/// One bit per element.
#[derive(Clone)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn get(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    /// True if it was not set before.
    fn set(&mut self, at: usize) -> bool {
        let mask = 1 << (at % 64);
        let word = &mut self.0[at / 64];
        let new = *word & mask == 0;
        *word |= mask;
        new
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }
}

/// The positions of the bits of one word.
fn bits_of(word_at: usize, mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            word_at * 64 + bit
        })
    })
}

/// The greatest invocation index among the reads from a given one on, in completion order. Kept as a stack of falling
/// maxima.
#[derive(Default)]
struct SuffixMax(Vec<(u32, u32)>);

impl SuffixMax {
    fn push(&mut self, read: u32, invoke: u32) {
        while self.0.last().is_some_and(|(_, before)| *before <= invoke) {
            self.0.pop();
        }
        self.0.push((read, invoke));
    }

    /// `(read, its invocation index)`.
    fn since(&self, read: u32) -> Option<(u32, u32)> {
        self.0.get(self.0.partition_point(|(at, _)| *at < read)).copied()
    }
}

/// One ok read.
struct Read<'h> {
    op: Op<'h>,
    invoke: u32,
    complete: u32,
}

/// Checks a set workload: `add` of unique integers, and `read` of the whole set.
#[must_use]
pub fn check(history: &History) -> Check {
    let mut result = SetResult::default();
    let adds = Adds::of(history, &mut result);
    let positions = Positions::of(&adds);
    let mut reads: Vec<Read<'_>> = history
        .ops()
        .filter(|op| *op.f == F::Read && op.outcome == Outcome::Ok)
        .filter_map(|op| Some(Read { op, invoke: narrow(op.invoke_index), complete: narrow(op.complete_index?) }))
        .collect();
    reads.sort_unstable_by_key(|read| read.complete);

    let walk = Walk::over(history, &reads, &positions, &adds);
    result.duplicated = walk.duplicated.iter().map(|(element, count)| (*element, *count)).collect();
    result.unexpected = walk.unexpected.keys().copied().collect();
    result.stale = walk.stale;
    result.stale_max_ms = say::as_millis(walk.stale_max_ns);

    // What the last state says of each element.
    let finals = last_final_reads(&reads);
    let mut reason = None;
    let fates = if finals.is_empty() {
        walk.fates_without_finals(&reads, &positions)
    } else {
        match authority::authoritative(history, &finals) {
            Ok(authoritative) => walk.fates_by(&authoritative, &positions),
            Err(why) => {
                reason = Some(why);
                vec![Fate::Undecided; adds.len()]
            }
        }
    };

    let mut gone = Bits::new(adds.len());
    let mut lost = Vec::new();
    for (at, fate) in fates.iter().enumerate() {
        let Added { ok, failed, .. } = adds.get(at);
        let acknowledged = ok != NONE;
        if failed {
            continue;
        }
        match fate {
            Fate::Held => {
                result.stable += u64::from(walk.known[at] != NONE);
                result.recovered += u64::from(!acknowledged);
            }
            Fate::Gone if acknowledged => {
                gone.set(at);
                lost.push(at);
            }
            Fate::Gone if walk.known[at] != NONE => result.vanished.push(adds.element(at)),
            Fate::Undecided if acknowledged => result.never_read += 1,
            Fate::Gone | Fate::Undecided => {}
        }
    }
    lost.sort_unstable_by_key(|at| adds.get(*at).ok);
    result.lost = lost_elements(&reads, &positions, &walk, &adds, &gone, &lost);
    if result.acknowledged > 0 {
        result.lost_percent = result.lost.len() as f64 * 100.0 / result.acknowledged as f64;
    }
    result.rpo = rpo(history, &result.lost);

    verdict(result, reason, &reads, &finals, &walk)
}

/// The last final read of each node.
fn last_final_reads<'h>(reads: &[Read<'h>]) -> Vec<Op<'h>> {
    let by_node: BTreeMap<Option<&str>, Op<'h>> =
        reads.iter().filter(|read| read.op.is_final).map(|read| (read.op.node, read.op)).collect();
    by_node.into_values().collect()
}

/// What the last state says of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Held,
    Gone,
    /// Not read since it was known, or by reads that may be older than one that holds it.
    Undecided,
}

/// What the reads, in the order of their completions, say of the elements.
struct Walk {
    /// Index of the event since which each element is known; `NONE`: it is not.
    known: Vec<u32>,
    /// Elements missing from the last read that could have held them.
    missing: Bits,
    /// The first read of the present absence, by position among the reads.
    /// Empty until something is missing.
    first_missing: Vec<u32>,
    stale: u64,
    stale_max_ns: u64,
    /// Read though never added: the element and the read's completion.
    unexpected: BTreeMap<i64, u32>,
    duplicated: BTreeMap<i64, u32>,
    /// Reads whose word counts where there are no final ones.
    of_primaries: SuffixMax,
}

impl Walk {
    fn over(history: &History, reads: &[Read<'_>], positions: &Positions, adds: &Adds<'_>) -> Self {
        let mut walk = Self {
            known: (0..adds.len()).map(|at| adds.get(at).ok).collect(),
            missing: Bits::new(adds.len()),
            first_missing: Vec::new(),
            stale: 0,
            stale_max_ns: 0,
            unexpected: BTreeMap::new(),
            duplicated: BTreeMap::new(),
            of_primaries: SuffixMax::default(),
        };
        let mut stale_bits = Bits::new(adds.len());
        let mut present = Bits::new(adds.len());
        let mut of_all = SuffixMax::default();

        for (read_at, read) in reads.iter().enumerate() {
            let read_at = read_at as u32;
            present.clear();
            let mut counts: BTreeMap<i64, u32> = BTreeMap::new();
            let content = read.op.value.as_ints().unwrap_or_default();
            for element in content.iter() {
                let twice = match positions.get(*element) {
                    Some(at) => !present.set(at),
                    None => walk.unexpected.insert(*element, read.complete).is_some_and(|seen| seen == read.complete),
                };
                if twice {
                    *counts.entry(*element).or_insert(1) += 1;
                }
            }
            for (element, count) in counts {
                let highest = walk.duplicated.entry(element).or_insert(count);
                *highest = (*highest).max(count);
            }
            for word in 0..present.0.len() {
                let held = present.0[word];
                for at in bits_of(word, held) {
                    // Known by its acknowledgement, or by an earlier read.
                    if walk.known[at] < read.complete {
                        continue;
                    }
                    walk.known[at] = read.complete;
                    // A failed add certainly did not happen, and none can be read before it is invoked.
                    let added = adds.get(at);
                    if added.failed || added.invoke > read.complete {
                        walk.unexpected.insert(adds.element(at), read.complete);
                    }
                }
                for at in bits_of(word, held & walk.missing.0[word]) {
                    // It was missing from all reads from `first_missing` to the one before this: the one of them
                    // invoked last is the end of its absence.
                    walk.stale += u64::from(stale_bits.set(at));
                    if let Some((last, _)) = of_all.since(walk.first_missing[at]) {
                        let known_ns = walk.known_ns(history, reads, adds, at);
                        let absent_ns = reads[last as usize].op.invoke_ns.saturating_sub(known_ns);
                        walk.stale_max_ns = walk.stale_max_ns.max(absent_ns);
                    }
                }
                walk.missing.0[word] &= !held;
                for at in bits_of(word, !held & !walk.missing.0[word]).take_while(|at| *at < adds.len()) {
                    // A read invoked before the element was known need not hold it.
                    if walk.known[at] < read.invoke {
                        walk.missing.set(at);
                        walk.first_missing.resize(adds.len(), NONE);
                        walk.first_missing[at] = read_at;
                    }
                }
            }
            of_all.push(read_at, read.invoke);
            let role = read.op.node.and_then(|node| authority::role_at(history, node, u64::from(read.complete)));
            if history.claims().is_empty() || role == Some(ClaimedRole::Primary) {
                walk.of_primaries.push(read_at, read.invoke);
            }
        }
        walk
    }

    /// When an element that is known became known.
    fn known_ns(&self, history: &History, reads: &[Read<'_>], adds: &Adds<'_>, at: usize) -> u64 {
        let known = self.known[at];
        let added = adds.get(at);
        if known == added.ok {
            return history.op(added.op as usize).and_then(|op| op.complete_ns).unwrap_or(0);
        }
        let read = reads.binary_search_by_key(&known, |read| read.complete).ok().map(|at| &reads[at].op);
        read.map_or(0, |op| op.complete_ns.unwrap_or(op.invoke_ns))
    }

    /// By the final reads whose word counts. One that was invoked before an element was known proves nothing by
    /// lacking it.
    fn fates_by(&self, finals: &[Op<'_>], positions: &Positions) -> Vec<Fate> {
        let invoke = finals.iter().map(|op| narrow(op.invoke_index)).min().unwrap_or(0);
        let mut fates: Vec<Fate> =
            self.known.iter().map(|known| if *known < invoke { Fate::Gone } else { Fate::Undecided }).collect();
        for op in finals {
            for element in op.value.as_ints().unwrap_or_default().iter() {
                if let Some(at) = positions.get(*element) {
                    fates[at] = Fate::Held;
                }
            }
        }
        fates
    }

    /// By the last reads of those whose word counts.
    fn fates_without_finals(&self, reads: &[Read<'_>], positions: &Positions) -> Vec<Fate> {
        let mut last_held: Vec<u32> = vec![NONE; self.known.len()];
        for (read_at, read) in reads.iter().enumerate() {
            for element in read.op.value.as_ints().unwrap_or_default().iter() {
                if let Some(at) = positions.get(*element) {
                    last_held[at] = read_at as u32;
                }
            }
        }
        let last_invoke = reads.iter().map(|read| read.invoke).max().unwrap_or(0);
        (0..self.known.len())
            .map(|at| {
                if !self.missing.get(at) {
                    // Held by every read since it was known; but was there one?
                    let read_since = self.known[at] < last_invoke && last_held[at] != NONE;
                    return if read_since { Fate::Held } else { Fate::Undecided };
                }
                // Reads between a former absence and this one may have been invoked before it was known; the last
                // invoked of them was not, or it would not be the last.
                let held_until = reads.get(last_held[at] as usize).map_or(0, |read| read.complete);
                match self.of_primaries.since(self.first_missing[at]) {
                    Some((_, invoke)) if invoke > held_until && invoke > self.known[at] => Fate::Gone,
                    _ => Fate::Undecided,
                }
            })
            .collect()
    }
}

/// Each lost element with the last read that held it and the first one after that which lacked it.
fn lost_elements(
    reads: &[Read<'_>],
    positions: &Positions,
    walk: &Walk,
    adds: &Adds<'_>,
    gone: &Bits,
    lost: &[usize],
) -> Vec<LostElement> {
    if lost.is_empty() {
        return Vec::new();
    }
    let mut last_seen: Vec<u32> = vec![NONE; adds.len()];
    let mut first_missing: Vec<u32> = vec![NONE; adds.len()];
    let mut absent = Bits::new(adds.len());
    let mut present = Bits::new(adds.len());
    for (read_at, read) in reads.iter().enumerate() {
        present.clear();
        for element in read.op.value.as_ints().unwrap_or_default().iter() {
            if let Some(at) = positions.get(*element).filter(|at| gone.get(*at)) {
                present.set(at);
                last_seen[at] = read_at as u32;
                first_missing[at] = NONE;
            }
        }
        for word in 0..present.0.len() {
            absent.0[word] &= !present.0[word];
            for at in bits_of(word, gone.0[word] & !present.0[word] & !absent.0[word]) {
                if walk.known[at] < read.invoke {
                    absent.set(at);
                    first_missing[at] = read_at as u32;
                }
            }
        }
    }
    let seen_by = |read_at: u32| {
        let read = reads.get(read_at as usize)?;
        Some((read.op.complete_ns?, read.op.node.map(Into::into)))
    };
    lost.iter()
        .filter_map(|at| {
            let op = adds.history.op(adds.get(*at).op as usize)?;
            Some(LostElement {
                element: op.value.as_int()?,
                process: op.process,
                node: op.node.map(Into::into),
                invoke_ns: op.invoke_ns,
                ok_ns: op.complete_ns?,
                ok_index: op.complete_index?,
                last_seen: seen_by(last_seen[*at]),
                first_missing: seen_by(first_missing[*at]),
            })
        })
        .collect()
}

/// Losses attributed to faults.
fn rpo(history: &History, lost: &[LostElement]) -> Rpo {
    // When each fault that took hold began, in order.
    let mut began: Vec<(u64, u32)> = history
        .faults()
        .iter()
        .filter(|event| event.value.stage == FaultStage::Injected)
        .map(|event| (event.value.effective_ns.unwrap_or(event.time_ns), event.value.id))
        .collect();
    began.sort_unstable();
    let mut by_fault: BTreeMap<usize, RpoOfFault> = BTreeMap::new();
    for element in lost {
        let faults = began.partition_point(|(start_ns, _)| *start_ns <= element.ok_ns);
        let of = by_fault.entry(faults).or_insert(RpoOfFault {
            fault_id: faults.checked_sub(1).map(|last| began[last].1),
            ops: 0,
            window_s: 0.0,
            first_ok_ns: element.ok_ns,
            last_ok_ns: element.ok_ns,
        });
        of.ops += 1;
        of.first_ok_ns = of.first_ok_ns.min(element.ok_ns);
        of.last_ok_ns = of.last_ok_ns.max(element.ok_ns);
        of.window_s = say::as_seconds(of.last_ok_ns - of.first_ok_ns);
    }
    let first = lost.iter().map(|element| element.ok_ns).min().unwrap_or(0);
    let last = lost.iter().map(|element| element.ok_ns).max().unwrap_or(0);
    Rpo { ops: lost.len() as u64, window_s: say::as_seconds(last - first), by_fault: by_fault.into_values().collect() }
}

fn verdict(result: SetResult, reason: Option<String>, reads: &[Read<'_>], finals: &[Op<'_>], walk: &Walk) -> Check {
    let mut findings = Findings::default();
    let whose = if finals.is_empty() { "every later read that counts" } else { "the final read of every primary" };
    for lost in &result.lost {
        findings.push("lost-write", vec![lost.ok_index], || {
            let seen = match &lost.last_seen {
                None => "no read ever held it".into(),
                Some((ns, node)) => format!("last seen at {}{}", say::seconds(*ns), say::on(node.as_deref())),
            };
            format!(
                "Process {} was told ok for add {}{} at {}; {whose} lacks it ({seen}).",
                lost.process,
                lost.element,
                say::by(lost.node.as_deref()),
                say::seconds(lost.ok_ns),
            )
        });
    }
    for element in &result.vanished {
        findings.push("vanished-write", vec![], || {
            format!("{element}, whose add ended indeterminate, was read, and {whose} lacks it.")
        });
    }
    for (element, complete) in &walk.unexpected {
        findings.push("unexpected-element", vec![u64::from(*complete)], || {
            format!("{element} was read, but its add failed or was not invoked before.")
        });
    }
    for (element, count) in &result.duplicated {
        findings.push("duplicate-element", vec![], || format!("One read returned {element} {count} times."));
    }
    let broken = !(result.lost.is_empty()
        && result.vanished.is_empty()
        && result.unexpected.is_empty()
        && result.duplicated.is_empty());
    let reason = reason.or_else(|| {
        if result.acknowledged == 0 {
            Some("no add was acknowledged".into())
        } else if reads.is_empty() {
            Some("no read ended ok".into())
        } else if result.never_read > 0 {
            let elements = say::count(result.never_read, "acknowledged element");
            Some(format!("nothing can be said of {elements}: no read that counts was invoked after"))
        } else {
            None
        }
    });
    let valid = match (broken, &reason) {
        (true, _) => Validity::Invalid,
        (false, Some(_)) => Validity::Unknown,
        (false, None) => Validity::Valid,
    };
    let acknowledged = say::count(result.acknowledged, "acknowledged add");
    let summary = if broken {
        let mut parts = Vec::new();
        if !result.lost.is_empty() {
            parts.push(format!("{} of {acknowledged} lost ({:.2} %)", result.lost.len(), result.lost_percent));
        }
        for (number, what) in [
            (result.vanished.len(), "read and then gone"),
            (result.unexpected.len(), "read though never added"),
            (result.duplicated.len(), "read more than once"),
        ] {
            if number > 0 {
                parts.push(format!("{} {what}", say::count(number as u64, "element")));
            }
        }
        format!("{}.", say::list(&parts))
    } else if let Some(reason) = &reason {
        format!("Undecided: {reason}.")
    } else if result.stale > 0 {
        format!(
            "None of {acknowledged} lost; {} missing from a read for up to {:.0} ms.",
            say::count(result.stale, "element"),
            result.stale_max_ms
        )
    } else {
        format!("None of {acknowledged} lost.")
    };
    findings.into_check("set", valid, reason, summary, Details::Set(result))
}

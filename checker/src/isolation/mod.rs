//! What transactions may see of each other: which anomalies a history holds, and which consistency models they refute.
//!
//! [`check`] infers who depends on whom (`append`, `register`, `closed_predicate`), searches the graph for cycles, and asks
//! the lattice which models fall. The rules are Elle's ("Elle: inferring isolation anomalies from experimental observations", 2020);
//! where they are stricter than Elle's own code, [`Settings::elle`] asks for its answer instead
//! (`docs/differences-from-elle.md`).

mod append;
mod certificate;
mod closed_predicate;
mod cycles;
pub mod explain;
mod graph;
mod lattice;
pub mod list_append;
mod register;
mod txn_words;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

pub use certificate::write_certificate;
pub(crate) use certificate::{CertificateStep, Line as CertificateLine};
pub use lattice::{anomalies_forbidden_by, anomaly_names, boundary, model_names};
pub(crate) use lattice::{implied_by, prohibited};

use crate::{
    Check, Details, Validity,
    history::{History, Outcome, TxnKind},
    say::{self, Findings},
};
use cycles::{Component, Cycle, Work};
pub(crate) use graph::EdgeKind;
use graph::{Csr, EDGE_BYTES, Edge, Edges, NODES_MAX, NONE, Timed, components};
use txn_words::the_txn;

/// Whether histories of this workload are transactions, which [`check`] judges.
#[must_use]
pub fn judges(workload: &str) -> bool {
    TxnKind::of(workload).is_some()
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The consistency models that must hold, by any of their names. `None`: those that the history's header asks for, or
    /// strict serializability.
    pub consistency_models: Option<Vec<String>>,
    /// Anomalies that must not be there besides.
    pub anomalies: Vec<String>,
    /// Answer by Elle's rules where ours are stricter.
    pub elle: bool,
    /// rw-register: assume that within a transaction writes follow reads.
    pub wfr_keys: bool,
    /// rw-register: assume that each process sees the versions of each key in their order.
    pub sequential_keys: bool,
    /// rw-register: assume that each key is linearizable.
    pub linearizable_keys: bool,
    /// rw-register: take the versions of each key in the order in which the database says that it placed their writers.
    pub transaction_order: bool,
    /// How many edges may be looked at in each component of the graph.
    pub edges_per_component: u64,
    /// How many dependencies may be kept. What is found in them is there; what is not may be, and is unknown.
    pub edges_max: usize,
}

impl Settings {
    /// About a second's worth of edges, on the machine this was written on.
    const EDGES_PER_SECOND: u64 = 100_000_000;

    /// A budget of about this long for each component, counted in work so that the answer is the same on every machine.
    #[must_use]
    pub fn edges_in(limit_ms: u64) -> u64 {
        limit_ms.saturating_mul(Self::EDGES_PER_SECOND / 1000)
    }

    /// As many dependencies as fit into this much memory.
    #[must_use]
    pub const fn edges_within(memory_bytes: usize) -> usize {
        memory_bytes / EDGE_BYTES
    }

    /// Elle looks only at what completed.
    fn is_there(&self, history: &History, op: usize) -> bool {
        !self.elle || history.complete_index(op).is_some()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consistency_models: None,
            anomalies: Vec::new(),
            elle: false,
            wfr_keys: false,
            sequential_keys: false,
            linearizable_keys: false,
            transaction_order: false,
            edges_per_component: Self::edges_in(10_000),
            edges_max: Self::edges_within(1_200_000_000),
        }
    }
}

/// What was found, and what follows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct IsolationResult {
    /// The consistency models asked for.
    pub consistency_models: Vec<String>,
    /// Kinds of anomalies found that refute what was asked for, or that keep it from being decided.
    pub anomaly_types: Vec<String>,
    /// Those anomalies, of each kind the first few.
    pub anomalies: BTreeMap<String, Vec<Anomaly>>,
    /// How many there are of each of those kinds. Of cycles, one is searched of each kind and component.
    pub anomaly_counts: BTreeMap<String, u64>,
    /// Kinds that were found, too, but that what was asked for allows.
    pub allowed: Vec<String>,
    /// The weakest consistency models that all anomalies found refute. Empty where the history is valid.
    pub not: Vec<String>,
    /// The stronger models that fall with them.
    pub also_not: Vec<String>,
    /// Transactions by outcome: ok, fail, info.
    pub txns: [u64; 3],
    /// Edges of the graph between transactions, without those of real time.
    pub edges: u64,
    /// How many components of the graph hold cycles, and how many transactions the largest has.
    pub components: u64,
    /// See `components`.
    pub largest_component: u64,
}

/// One anomaly with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Anomaly {
    /// In words.
    pub sentence: String,
    /// Indexes of the completion events involved (of what never completed, the invocation's).
    pub event_indexes: Vec<u64>,
    /// The transactions of those events, in their order; those of a cycle are T1, T2, … in its sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub txns: Vec<AnomalyTxn>,
    /// Of a cycle: from which transaction to which, and why. Empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// Of a cycle: how many transactions depend on each other in circles where it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<u64>,
}

/// A transaction of an anomaly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnomalyTxn {
    /// Index of its completion event, or of its invocation if it never completed.
    pub event: u64,
    /// The process that ran it.
    pub process: u32,
    /// On which node, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// `ok`, `fail` or `info`.
    pub outcome: String,
    /// Its micro-operations: the first ones, and all that the anomaly is told by.
    pub mops: Vec<AnomalyMop>,
    /// How many it has.
    pub mops_total: u64,
}

/// A micro-operation of an anomaly's transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnomalyMop {
    /// Its place in the transaction, from 0.
    pub at: u64,
    /// In words: `append 12 5`, `r 12 [… 4 5]`.
    pub op: String,
}

/// One edge of a cycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// `ww`, `wr`, `rw`, `wrp` and `rwp` (of predicates), `process` or `realtime`.
    pub kind: String,
    /// Index of the event of the transaction that comes first.
    pub from: u64,
    /// Index of the event of the one that comes after it.
    pub to: u64,
    /// Why.
    pub reason: String,
    /// The key that it is about; none of an order in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The places of the two micro-operations that tell it, in their transactions, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mops: Option<[u64; 2]>,
}

/// Why one transaction comes before another.
pub(crate) struct Reason {
    text: String,
    /// The key, and the two micro-operations by their places among all of the history.
    of: Option<(u32, [usize; 2])>,
}

/// The anomalies found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    by_kind: BTreeMap<&'static str, (u64, Vec<Anomaly>)>,
}

impl Found {
    /// How many of each kind are listed.
    const LISTED_MAX: usize = 32;

    fn add(&mut self, history: &History, kind: &'static str, ops: &[u32], sentence: impl FnOnce() -> String) {
        let (total, list) = self.by_kind.entry(kind).or_default();
        *total += 1;
        if list.len() < Self::LISTED_MAX {
            let sentence = say::capital(&sentence());
            list.push(anomaly(history, ops, sentence, Vec::new()));
        }
    }
}

fn anomaly(history: &History, ops: &[u32], sentence: String, steps: Vec<Step>) -> Anomaly {
    let event_indexes = ops.iter().filter_map(|op| event_of(history, *op)).collect();
    let told_by = |event: u64| {
        let ends = |step: &Step| step.mops.map(|[from, to]| [(step.from, from), (step.to, to)]);
        steps.iter().filter_map(ends).flatten().filter(move |(of, _)| *of == event).map(|(_, at)| at)
    };
    let txns = ops
        .iter()
        .filter_map(|op| history.op(*op as usize))
        .map(|op| {
            let event = op.complete_index.unwrap_or(op.invoke_index);
            let is_shown = |at: u64| at < AnomalyTxn::MOPS_MAX || told_by(event).any(|told| told == at);
            AnomalyTxn {
                event,
                process: op.process,
                node: op.node.map(str::to_owned),
                outcome: op.outcome.name().to_owned(),
                mops: (0..)
                    .zip(txn_words::each_mop(history, &op))
                    .filter(|(at, _)| is_shown(*at))
                    .map(|(at, op)| AnomalyMop { at, op })
                    .collect(),
                mops_total: op.mops().count() as u64,
            }
        })
        .collect();
    Anomaly { sentence, event_indexes, txns, steps, component: None }
}

impl AnomalyTxn {
    /// Of a transaction with more only the first so many are shown, and those that tell something.
    const MOPS_MAX: u64 = 12;
}

fn event_of(history: &History, op: u32) -> Option<u64> {
    history.op(op as usize).map(|op| op.complete_index.unwrap_or(op.invoke_index))
}

/// What one kind of workload knows of its versions.
enum Index<'h> {
    Append(append::Index<'h>),
    Register(register::Index<'h>),
    ClosedPredicate(closed_predicate::Index<'h>),
}

impl<'h> Index<'h> {
    /// An error says why nothing can be inferred.
    fn new(history: &'h History, settings: &Settings, found: &mut Found) -> Result<Self, String> {
        let too_large = || "the history is larger than can be numbered".to_owned();
        match TxnKind::of(&history.header().workload) {
            _ if history.len() >= NODES_MAX => Err(too_large()),
            Some(TxnKind::ClosedPredicate) => {
                closed_predicate::Index::new(history, settings).map(Self::ClosedPredicate)
            }
            Some(TxnKind::RwRegister) => {
                register::Index::new(history, settings, found).map(Self::Register).ok_or_else(too_large)
            }
            _ => append::Index::new(history, settings).map(Self::Append).ok_or_else(too_large),
        }
    }

    /// The anomalies that need no graph.
    fn phenomena(&self, found: &mut Found, settings: &Settings) {
        match self {
            Self::Append(index) => index.phenomena(found, settings),
            Self::Register(index) => index.phenomena(found, settings),
            Self::ClosedPredicate(index) => index.phenomena(found),
        }
    }

    fn edges(&self, settings: &Settings) -> Edges {
        match self {
            Self::Append(index) => index.edges(settings.edges_max),
            Self::Register(index) => index.edges(settings.edges_max),
            Self::ClosedPredicate(index) => index.edges(settings.edges_max),
        }
    }

    /// By transaction: whether it takes part. It ended ok, or what it wrote was seen.
    fn take_part(&self, history: &History) -> Vec<bool> {
        let seen = match self {
            Self::ClosedPredicate(index) => index.seen(),
            Self::Append(_) | Self::Register(_) => Vec::new(),
        };
        let takes_part = |op: usize| match (history.outcome(op), self) {
            (Outcome::Ok, _) => true,
            (Outcome::Info, Self::Append(index)) => index.is_seen(op as u32),
            (Outcome::Info, Self::ClosedPredicate(_)) => seen[op],
            _ => false,
        };
        (0..history.len()).map(takes_part).collect()
    }
}

/// The models that are asked for.
fn models_asked(history: &History, settings: &Settings) -> Vec<String> {
    settings.consistency_models.clone().unwrap_or_else(|| {
        let asked = &history.header().consistency_models;
        if asked.is_empty() { vec!["strict-serializable".to_owned()] } else { asked.clone() }
    })
}

/// The order beside the data's that counts where these anomalies are prohibited.
pub(crate) fn order_asked(prohibited: &BTreeSet<String>) -> Option<EdgeKind> {
    let asks_for =
        |suffix: &str| prohibited.iter().any(|anomaly| anomaly.ends_with(suffix) && anomaly.starts_with('G'));
    match (asks_for("-realtime"), asks_for("-process")) {
        (true, _) => Some(EdgeKind::Realtime),
        (false, true) => Some(EdgeKind::Process),
        (false, false) => None,
    }
}

/// Checks a list-append, rw-register or closed-predicate history.
#[must_use]
pub fn check(history: &History, settings: &Settings) -> Check {
    let models = models_asked(history, settings);
    let prohibited = lattice::prohibited(&models, &settings.anomalies);
    let extra = order_asked(&prohibited);
    let mut result = IsolationResult { consistency_models: models, ..IsolationResult::default() };
    for op in 0..history.len() {
        result.txns[history.outcome(op) as usize] += 1;
    }
    let mut found = Found::default();
    let index = match Index::new(history, settings, &mut found) {
        Ok(index) => index,
        Err(reason) => {
            return Findings::default().into_check(
                NAME,
                Validity::Unknown,
                Some(reason.clone()),
                format!("Undecided: {reason}."),
                Details::Isolation(result),
            );
        }
    };
    index.phenomena(&mut found, settings);
    let edges = index.edges(settings);
    let undecided = cycles_of(history, settings, &index, edges, extra, &mut found, &mut result);
    verdict(settings, &prohibited, found, result, undecided)
}

const NAME: &str = "isolation";

/// Finds the components and their cycles. Gives the kinds that were left undecided in one of them.
fn cycles_of(
    history: &History,
    settings: &Settings,
    index: &Index<'_>,
    mut edges: Edges,
    extra: Option<EdgeKind>,
    found: &mut Found,
    result: &mut IsolationResult,
) -> BTreeSet<&'static str> {
    let after = match extra {
        Some(EdgeKind::Realtime) => after_ok(history),
        Some(EdgeKind::Process) => {
            process_edges(history, &mut edges);
            Vec::new()
        }
        _ => Vec::new(),
    };
    // Of registers, what depends on itself counts as something observed; of lists it does not. So Elle has it.
    let any_reflexive = edges.any_reflexive && matches!(index, Index::Register(_));
    let mut left_out = edges.left_out;
    let csr = edges.into_csr();
    result.edges = csr.edges();
    if csr.edges() == 0 && left_out == 0 && !any_reflexive && after.iter().all(|after| *after == NONE) {
        found.add(history, "empty-transaction-graph", &[], || {
            "nothing in the history depends on anything else: it says nothing of isolation".into()
        });
    }
    let of = components(&Timed { csr: &csr, after: &after });
    let mut undecided = BTreeSet::new();
    let mut out_of_budget: Vec<(usize, &str)> = Vec::new();
    for members in members_of(&of[..history.len()]) {
        result.components += 1;
        result.largest_component = result.largest_component.max(members.len() as u64);
        let (component, without) =
            component(history, &csr, &members, extra == Some(EdgeKind::Realtime), settings.edges_max);
        left_out += without;
        let search = cycles::search(&component, extra, Work { left: settings.edges_per_component });
        // A cycle of one transaction. Elle sees it only where there are others around it.
        if let Index::Register(index) = index {
            for op in members.iter().copied().filter(|op| index.depends_on_itself(*op)) {
                found.add(history, "future-read", &[op], || {
                    let txn = history.op(op as usize).map_or_else(String::new, |op| the_txn(&op));
                    format!("{txn} read what nobody wrote but itself, and that later")
                });
            }
        }
        for cycle in search.cycles {
            report(history, index, &members, cycle, found);
        }
        for kind in search.undecided {
            undecided.insert(kind);
            out_of_budget.push((members.len(), kind));
        }
    }
    if left_out > 0 {
        // What is found in the rest is there; what is not may be.
        undecided.extend(lattice::CYCLES.iter().copied());
        found.add(history, "cycle-search-timeout", &[], || {
            format!(
                "there was no memory for more than {} dependencies: {left_out} were left out, and cycles through them not \
                 found",
                settings.edges_max
            )
        });
    }
    for (len, kind) in out_of_budget {
        found.add(history, "cycle-search-timeout", &[], || {
            format!(
                "in a component of {len} transactions the search for {kind} ended undecided: its budget was used up"
            )
        });
    }
    undecided
}

/// By operation: the first that was invoked after its ok.
fn after_ok(history: &History) -> Vec<u32> {
    let len = history.len();
    let mut after = vec![NONE; len];
    for (op, after) in after.iter_mut().enumerate() {
        if history.outcome(op) != Outcome::Ok {
            continue;
        }
        let Some(end) = history.complete_index(op) else { continue };
        // Mostly one of the next few.
        let (mut low, mut step) = (op + 1, 1);
        while low + step < len && history.invoke_index(low + step) < end {
            low += step;
            step *= 2;
        }
        let high = (low + step + 1).min(len);
        let (mut from, mut to) = (low, high);
        while from < to {
            let middle = usize::midpoint(from, to);
            if history.invoke_index(middle) < end { from = middle + 1 } else { to = middle }
        }
        if from < len {
            *after = from as u32;
        }
    }
    after
}

/// From each ok transaction to its process' next one.
fn process_edges(history: &History, edges: &mut Edges) {
    let mut last: FxHashMap<u32, u32> = FxHashMap::default();
    for op in 0..history.len() {
        if history.outcome(op) == Outcome::Ok
            && let Some(before) = last.insert(history.process(op), op as u32)
        {
            edges.push(before, op as u32, EdgeKind::Process);
        }
    }
}

/// The members of each component with more than one, in order.
fn members_of(of: &[u32]) -> Vec<Vec<u32>> {
    let mut counts = vec![0u32; of.iter().max().map_or(0, |max| *max as usize + 1)];
    for component in of {
        counts[*component as usize] += 1;
    }
    let mut places: BTreeMap<u32, usize> = BTreeMap::new();
    let mut members: Vec<Vec<u32>> = Vec::new();
    for (op, component) in of.iter().enumerate() {
        if counts[*component as usize] > 1 {
            let place = *places.entry(*component).or_insert_with(|| {
                members.push(Vec::new());
                members.len() - 1
            });
            members[place].push(op as u32);
        }
    }
    members
}

/// The graph of one component. Real time is reduced to pairs with nothing between: what lies between two members lies on
/// a path between them, and so is a member itself. Gives besides how many edges were left out past `edges_max`.
fn component(history: &History, csr: &Csr, members: &[u32], real_time: bool, edges_max: usize) -> (Component, u64) {
    let mut through = FxHashMap::default();
    let (mut kept, mut left_out) = (0, 0);
    let mut rows: Vec<Vec<(u32, EdgeKind)>> = Vec::with_capacity(members.len());
    for at in 0..members.len() {
        let (row, without) = csr.within(members, at, edges_max.saturating_sub(kept), &mut through);
        kept += row.len();
        left_out += without;
        rows.push(row);
    }
    if real_time {
        let mut open: Vec<u32> = Vec::new();
        for (at, op) in members.iter().enumerate() {
            let invoked = history.invoke_index(*op as usize);
            let end = |place: &u32| history.complete_index(members[*place as usize] as usize);
            let is_before = |place: &u32| end(place).is_some_and(|end| end < invoked);
            let began = |place: &u32| history.invoke_index(members[*place as usize] as usize);
            if let Some(last_began) = open.iter().filter(|place| is_before(place)).map(began).max() {
                open.retain(|place| end(place).is_none_or(|end| end > last_began));
            }
            for before in open.iter().filter(|place| is_before(place)) {
                rows[*before as usize].push((at as u32, EdgeKind::Realtime));
            }
            if history.outcome(*op as usize) == Outcome::Ok {
                open.push(at as u32);
            }
        }
    }
    let mut component = Component::default();
    component.offsets.push(0);
    for row in rows {
        for (to, kind) in row {
            component.targets.push(to);
            component.kinds.push(kind);
        }
        component.offsets.push(component.targets.len() as u32);
    }
    (component, left_out)
}

/// Puts a cycle into words.
fn report(history: &History, index: &Index<'_>, members: &[u32], cycle: Cycle, found: &mut Found) {
    let (total, list) = found.by_kind.entry(cycle.kind).or_default();
    *total += 1;
    if list.len() >= Found::LISTED_MAX {
        return;
    }
    let ops: Vec<u32> = cycle.nodes.iter().map(|node| members[*node as usize]).collect();
    let names: Vec<String> = (1..=ops.len()).map(|number| format!("T{number}")).collect();
    let mut sentence: Vec<String> = ops
        .iter()
        .zip(&names)
        .filter_map(|(op, name)| {
            let op = history.op(*op as usize)?;
            Some(format!("{name} is {}: {}", the_txn(&op), txn_words::mops(history, &op)))
        })
        .collect();
    let mut steps = Vec::new();
    for (at, kind) in cycle.edges.iter().enumerate() {
        let next = (at + 1) % ops.len();
        let reason = why(history, index, (ops[at], ops[next], *kind), [&names[at], &names[next]]);
        sentence.push(format!("{} before {} ({}): {}", names[at], names[next], kind.name(), reason.text));
        let place = |op: u32, at: usize| (at - history.txns().range(op as usize).start) as u64;
        steps.push(Step {
            kind: kind.name().into(),
            from: event_of(history, ops[at]).unwrap_or_default(),
            to: event_of(history, ops[next]).unwrap_or_default(),
            reason: reason.text,
            key: reason.of.map(|(key, _)| history.spell(history.txns().key(key)).into_owned()),
            mops: reason.of.map(|(_, [from, to])| [place(ops[at], from), place(ops[next], to)]),
        });
    }
    let mut anomaly = anomaly(history, &ops, sentence.join(". "), steps);
    anomaly.component = Some(members.len() as u64);
    list.push(anomaly);
}

fn why(history: &History, index: &Index<'_>, edge: Edge, names: [&str; 2]) -> Reason {
    let (from, to, kind) = edge;
    let [a, b] = names;
    let in_time = |text| Reason { text, of: None };
    let reason = match (kind, index) {
        (EdgeKind::Process, _) => {
            Some(in_time(format!("process {} did {a} before {b}", history.process(from as usize))))
        }
        (EdgeKind::Realtime, _) => Some(in_time(format!(
            "{a} had ended (event {}) when {b} began (event {})",
            history.complete_index(from as usize).unwrap_or_default(),
            history.invoke_index(to as usize)
        ))),
        (_, Index::Append(index)) => index.why(edge, names),
        (_, Index::Register(index)) => index.why(edge, names),
        (_, Index::ClosedPredicate(index)) => index.why(edge, names),
    };
    reason.unwrap_or_else(|| in_time(format!("{a} comes before {b}")))
}

/// Takes away cycles that are only said to exist where other anomalies refute their models, too.
fn without_redundant(found: &mut Found) {
    let exists = |kind: &&str| kind.ends_with("-cycle-exists");
    let refuted = lattice::impossible(found.by_kind.keys().copied().filter(|kind| !exists(kind)));
    found.by_kind.retain(|kind, _| !exists(kind) || !lattice::impossible([*kind]).is_subset(&refuted));
}

fn verdict(
    settings: &Settings,
    prohibited: &BTreeSet<String>,
    mut found: Found,
    mut result: IsolationResult,
    undecided: BTreeSet<&'static str>,
) -> Check {
    without_redundant(&mut found);
    let bad = |kind: &str| prohibited.contains(kind);
    let unknown = |kind: &str| lattice::UNKNOWN.contains(&kind);
    // What was left undecided matters only if it would refute what is asked.
    let undecided_matters = undecided.iter().any(|kind| bad(kind));
    let kinds: Vec<&'static str> = found.by_kind.keys().copied().collect();
    let reportable = |kind: &str| bad(kind) || (unknown(kind) && (kind != "cycle-search-timeout" || undecided_matters));
    let mut findings = Findings::default();
    let mut reasons: Vec<String> = Vec::new();
    let mut parts: Vec<String> = Vec::new();
    for pass in [true, false] {
        for (kind, (total, list)) in &found.by_kind {
            if bad(kind) != pass {
                continue;
            }
            if !reportable(kind) {
                result.allowed.push((*kind).into());
                continue;
            }
            if bad(kind) {
                parts.push(format!("{total} × {kind}"));
                for anomaly in list {
                    findings.push(kind, anomaly.event_indexes.clone(), || format!("{}.", anomaly.sentence));
                }
                findings.count_only(total - list.len() as u64);
            } else {
                reasons.extend(list.first().map(|anomaly| anomaly.sentence.clone()));
            }
            result.anomaly_types.push((*kind).into());
            result.anomaly_counts.insert((*kind).into(), *total);
            result.anomalies.insert((*kind).into(), list.clone());
        }
    }
    result.anomaly_types.sort_unstable();
    // Elle cannot decide histories in which an element is nobody's or two transactions'.
    let elle_throws = settings.elle
        && kinds.iter().any(|kind| matches!(*kind, "garbage-read" | "duplicate-appends" | "duplicate-writes"));
    let valid = match (parts.is_empty(), reasons.is_empty()) {
        _ if elle_throws => Validity::Unknown,
        (false, _) => Validity::Invalid,
        (true, false) => Validity::Unknown,
        (true, true) => Validity::Valid,
    };
    if elle_throws {
        reasons.insert(0, "Elle stops with an exception where an element is nobody's, or several transactions'".into());
    }
    if valid != Validity::Valid {
        let (not, also_not) = lattice::boundary(kinds.iter().copied());
        result.not = not.into_iter().map(Into::into).collect();
        result.also_not = also_not.into_iter().map(Into::into).collect();
    }
    let asked = if result.consistency_models.is_empty() && settings.anomalies.is_empty() {
        "nothing".into()
    } else {
        let mut asked: Vec<String> = result.consistency_models.clone();
        asked.extend(settings.anomalies.iter().map(|anomaly| format!("the absence of {anomaly}")));
        say::list(&asked)
    };
    let allowed = if result.allowed.is_empty() {
        String::new()
    } else {
        format!(" Found, but allowed by what was asked for: {}.", say::list(&result.allowed))
    };
    let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    let summary = match valid {
        Validity::Invalid => format!(
            "{} refute {asked}. The weakest models that cannot hold: {}.{allowed}",
            say::list(&parts),
            say::list(&result.not)
        ),
        Validity::Unknown => format!("Undecided: {}.{allowed}", reason.as_deref().unwrap_or_default()),
        Validity::Valid => format!("Nothing refutes {asked}.{allowed}"),
    };
    findings.into_check(NAME, valid, reason, summary, Details::Isolation(result))
}

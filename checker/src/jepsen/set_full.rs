//! set-full: what became of every element, by all reads.
//!
//! Source: `jepsen.checker/set-full` (0.3.11), with `:linearizable?` false. Of each element that was tried, by the order
//! of events: *known* at the ok of its add or the end of the first read that holds it, whichever is first; *last present*
//! is the read with the latest invocation that holds it, *last absent* the one that lacks it, of the reads that ended
//! after its add began.
//!
//! - `stable`: last present after last absent;
//! - `lost`: known, last absent after last present and after it was known;
//! - `never-read`: neither;
//! - `stale`: stable, but absent for a millisecond or more after it was known. No verdict depends on it.
//!
//! Invalid with a lost element, unknown without a stable one. Invalid too with an element that a read holds twice:
//! Jepsen means to, but compares the wrong way round and never finds one. And a second add of an element does not make
//! Jepsen's forget here what was known of the first. Not decided: elements that nobody added (counted, no more).
//!
//! Jepsen looks at every element for every read. Here reads are gone through from the latest invocation on, with the
//! elements whose last absence is not found yet in a list: one that stays in the list is in the read, or was added after
//! it ended. So it costs what was read, and each element once.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{JepsenResult, event_of, json, jsons, oks, the};
use crate::{
    Check, Details, Validity,
    history::{F, History, Op, Outcome},
    say::{self, Findings},
};

/// The elements by what became of them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetFullResult {
    /// Elements that were tried.
    pub attempt_count: u64,
    /// Elements that every read holds from some time on.
    pub stable_count: u64,
    /// Known elements that no read holds from some time on.
    pub lost_count: u64,
    /// In order.
    pub lost: Vec<serde_json::Value>,
    /// Elements of which no read can say anything.
    pub never_read_count: u64,
    /// In order.
    pub never_read: Vec<serde_json::Value>,
    /// Stable elements that some read lacked after they were known.
    pub stale_count: u64,
    /// In order.
    pub stale: Vec<serde_json::Value>,
    /// Those that were absent the longest after they were known, at most eight.
    pub worst_stale: Vec<StaleElement>,
    /// Elements that a read held more than once.
    pub duplicated_count: u64,
    /// Pairs of element and the highest count in one read.
    pub duplicated: Vec<(serde_json::Value, u32)>,
    /// Elements that were read and never tried.
    pub unexpected_count: u64,
    /// How long elements took to become stable, in milliseconds, by quantile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stable_latencies: BTreeMap<String, u64>,
    /// How long elements took to become lost, in milliseconds, by quantile; 0: no read ever held it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lost_latencies: BTreeMap<String, u64>,
}

/// An element that was absent for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StaleElement {
    /// Which.
    pub element: serde_json::Value,
    /// From when it was known to the last read that lacks it.
    pub stable_latency_ms: u64,
    /// Index of the event since which it was known.
    pub known_index: u64,
    /// Index of the invocation of the last read that lacks it.
    pub last_absent_index: u64,
}

/// The index of an event, and its time.
type Moment = (u64, u64);

/// What is known of an element.
struct Element {
    element: i64,
    /// Its first add.
    add: usize,
    added: u64,
    known: Option<Moment>,
    last_present: Option<Moment>,
    last_absent: Option<Moment>,
    /// The last read that was found to hold it, by its number, and how often.
    held_by: (usize, u32),
}

impl Element {
    fn is_stable(&self) -> bool {
        self.last_present.is_some() && self.last_absent < self.last_present
    }

    fn is_lost(&self) -> bool {
        self.known.is_some_and(|known| self.last_absent > Some(known)) && self.last_absent > self.last_present
    }

    /// Milliseconds from when it was known to just after this read was invoked.
    fn latency_ms(&self, last: Option<Moment>) -> u64 {
        let known_ns = self.known.map_or(0, |(_, ns)| ns);
        last.map_or(0, |(_, ns)| (ns + 1).saturating_sub(known_ns)) / 1_000_000
    }
}

/// Elements in the order of their adds.
fn elements(history: &History) -> (Vec<Element>, FxHashMap<i64, usize>) {
    let mut elements: Vec<Element> = Vec::new();
    let mut at: FxHashMap<i64, usize> = FxHashMap::default();
    for op in history.ops().filter(|op| *op.f == F::Add) {
        let Some(element) = op.value.as_int() else { continue };
        let position = *at.entry(element).or_insert_with(|| {
            elements.push(Element {
                element,
                add: op.id,
                added: op.invoke_index,
                known: None,
                last_present: None,
                last_absent: None,
                held_by: (usize::MAX, 0),
            });
            elements.len() - 1
        });
        if op.outcome == Outcome::Ok {
            learn(&mut elements[position].known, moment(&op));
        }
    }
    (elements, at)
}

/// The end of an operation that ended.
fn moment(op: &Op<'_>) -> Moment {
    (event_of(op), op.complete_ns.unwrap_or(op.invoke_ns))
}

fn learn(known: &mut Option<Moment>, at: Moment) {
    *known = Some(known.map_or(at, |known| known.min(at)));
}

/// Looks at all reads, the latest invocation first.
fn look(
    reads: &[Op<'_>],
    elements: &mut [Element],
    at: &FxHashMap<i64, usize>,
    result: &mut SetFullResult,
) -> BTreeMap<i64, u32> {
    const END: usize = usize::MAX;
    // The elements whose last absence is not found, in the order of their adds: each one's successor.
    let mut next: Vec<usize> =
        (1..=elements.len()).map(|after| if after < elements.len() { after } else { END }).collect();
    let mut head = if elements.is_empty() { END } else { 0 };
    let mut duplicated: BTreeMap<i64, u32> = BTreeMap::new();
    let mut strangers: FxHashMap<i64, (usize, u32)> = FxHashMap::default();
    for (number, read) in reads.iter().enumerate() {
        let (ended, began) = (moment(read), (read.invoke_index, read.invoke_ns));
        for held in read.value.as_ints().unwrap_or_default().iter() {
            let counted = match at.get(held).map(|position| &mut elements[*position]) {
                // Of an element that was added later, this read says nothing.
                Some(element) if element.added < ended.0 => {
                    learn(&mut element.known, ended);
                    element.last_present.get_or_insert(began);
                    &mut element.held_by
                }
                _ => strangers.entry(*held).or_insert((END, 0)),
            };
            *counted = if counted.0 == number { (number, counted.1 + 1) } else { (number, 1) };
            if counted.1 > 1 {
                let most = duplicated.entry(*held).or_default();
                *most = counted.1.max(*most);
            }
        }
        let (mut before, mut current) = (END, head);
        while current != END && elements[current].added < ended.0 {
            let after = next[current];
            if elements[current].held_by.0 == number {
                before = current;
            } else {
                elements[current].last_absent = Some(began);
                if before == END {
                    head = after;
                } else {
                    next[before] = after;
                }
            }
            current = after;
        }
    }
    result.unexpected_count = strangers.keys().filter(|element| !at.contains_key(element)).count() as u64;
    duplicated
}

/// Checks every element.
pub(super) fn check(history: &History) -> Check {
    let mut result = SetFullResult::default();
    let mut findings = Findings::default();
    let (mut elements, at) = elements(history);
    let mut reads = oks(history, F::Read.name());
    reads.sort_by_key(|read| std::cmp::Reverse(read.invoke_index));
    let duplicated = look(&reads, &mut elements, &at, &mut result);
    result.attempt_count = elements.len() as u64;
    let (mut lost, mut never_read, mut stale) = (Vec::new(), Vec::new(), Vec::new());
    let (mut stable_ms, mut lost_ms) = (Vec::new(), Vec::new());
    for element in &elements {
        if element.is_stable() {
            let latency_ms = element.latency_ms(element.last_absent);
            stable_ms.push(latency_ms);
            if latency_ms > 0 {
                stale.push((latency_ms, element));
            }
        } else if element.is_lost() {
            lost_ms.push(element.latency_ms(element.last_present));
            lost.push(element.element);
            let add = history.op(element.add);
            let indexes = [element.known, element.last_absent].into_iter().flatten().map(|(index, _)| index).collect();
            findings.push("lost", indexes, || {
                let add = add.map_or_else(String::new, |add| the(history, &add));
                let absent = element.last_absent.map_or(0, |(index, _)| index);
                let seen = match element.last_present {
                    Some((index, _)) => format!("last seen by the read that began with event {index}"),
                    None => "no read ever held it".into(),
                };
                format!(
                    "{} of {}: known, but the read that began with event {absent} lacks it, and so does every one \
                     after ({seen}).",
                    say::capital(&add),
                    history.spell(element.element)
                )
            });
        } else {
            never_read.push(element.element);
        }
    }
    for (element, times) in &duplicated {
        let holder = |read: &&Op<'_>| {
            let held = read.value.as_ints().unwrap_or_default();
            held.iter().filter(|held| *held == element).count() as u64 == u64::from(*times)
        };
        // Looking for it costs all that was read: not for those that are not shown.
        let is_shown = (result.duplicated.len() + lost.len()) < Check::FINDINGS_MAX;
        let read = is_shown.then(|| reads.iter().find(holder)).flatten();
        findings.push("duplicated", read.map(event_of).into_iter().collect(), || {
            let read = read.map_or_else(|| "a read".into(), |read| the(history, read));
            format!("{} holds {} {times} times.", say::capital(&read), history.spell(*element))
        });
        result.duplicated.push((json(history, *element), *times));
    }
    result.duplicated_count = duplicated.len() as u64;
    result.stable_count = stable_ms.len() as u64;
    stale.sort_by_key(|(latency_ms, element)| (std::cmp::Reverse(*latency_ms), element.element));
    result.worst_stale = stale
        .iter()
        .take(8)
        .map(|(latency_ms, element)| StaleElement {
            element: json(history, element.element),
            stable_latency_ms: *latency_ms,
            known_index: element.known.map_or(0, |(index, _)| index),
            last_absent_index: element.last_absent.map_or(0, |(index, _)| index),
        })
        .collect();
    let mut stale: Vec<i64> = stale.into_iter().map(|(_, element)| element.element).collect();
    for elements in [&mut lost, &mut never_read, &mut stale] {
        elements.sort_unstable();
    }
    (result.lost_count, result.lost) = (lost.len() as u64, jsons(history, &lost));
    (result.never_read_count, result.never_read) = (never_read.len() as u64, jsons(history, &never_read));
    (result.stale_count, result.stale) = (stale.len() as u64, jsons(history, &stale));
    result.stable_latencies = quantiles(stable_ms);
    result.lost_latencies = quantiles(lost_ms);
    let figures = format!(
        "{} of {} stable, {} lost, {} never read, {} stale for a time, {} duplicated.",
        result.stable_count,
        say::count(result.attempt_count, "element"),
        result.lost_count,
        result.never_read_count,
        result.stale_count,
        result.duplicated_count
    );
    let reason = (result.stable_count == 0).then(|| "no element is stable: nothing was read that was added".to_owned());
    let (valid, summary) = if result.lost_count + result.duplicated_count > 0 {
        (Validity::Invalid, figures)
    } else if let Some(reason) = &reason {
        (Validity::Unknown, format!("Undecided: {reason}. {figures}"))
    } else {
        (Validity::Valid, figures)
    };
    findings.into_check("set-full", valid, reason, summary, Details::Jepsen(JepsenResult::SetFull(result)))
}

/// The quantiles that Jepsen gives.
fn quantiles(mut values: Vec<u64>) -> BTreeMap<String, u64> {
    values.sort_unstable();
    let Some(last) = values.len().checked_sub(1) else { return BTreeMap::new() };
    let at = |name: &str, per_cent: usize| (name.to_owned(), values[(values.len() * per_cent / 100).min(last)]);
    [at("0", 0), at("0.5", 50), at("0.95", 95), at("0.99", 99), at("1", 100)].into()
}

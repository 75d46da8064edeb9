//! What is said of transactions, from their micro-operations alone.
//!
//! A valid verdict on lists: gone through one after the other in the order given, the transactions give all that was read.
//! On registers, of which the order of values is known only in part: the order agrees with every dependency that values
//! show. On rows, the transactions give all that was read. An invalid verdict: each edge of a cycle is shown by a read, or
//! by what ended before what began; and an anomaly without a cycle by the one or two transactions that it names.
//!
//! Shared with the check is the lattice: which anomalies a model forbids.

use std::{collections::BTreeSet, io::BufRead};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    Certificate, CertificateError, Verification,
    model::return_of,
    rows::{Rows, State},
};
use crate::{
    Validity,
    history::{History, MopRef, Op, Outcome, TxnKind},
    isolation::{CertificateLine as Line, CertificateStep, EdgeKind, implied_by, order_asked, prohibited},
    say,
};

/// `Ok(true)`: it is shown; `Ok(false)`: that could not be decided. An error says what speaks against it.
pub(super) type Shown = Result<bool, String>;

pub(super) fn verify(
    certificate: &mut Certificate<impl BufRead>,
    history: &History,
) -> Result<Verification, CertificateError> {
    let (mut order, mut left_out) = (Vec::new(), Vec::new());
    let mut anomalies: Vec<(String, Vec<u64>, Vec<CertificateStep>)> = Vec::new();
    let mut uncertified = None;
    let (valid, models, asked) = loop {
        let mut line: Line = certificate.next_line()?;
        match (&line.order, &line.left_out, &line.anomaly, &line.uncertified, &line.valid) {
            (Some(_), None, None, None, None) => order.append(&mut line.order.unwrap_or_default()),
            (None, Some(_), None, None, None) => left_out.append(&mut line.left_out.unwrap_or_default()),
            (None, None, Some(_), None, None) => anomalies.push((
                line.anomaly.unwrap_or_default(),
                line.txns.unwrap_or_default(),
                line.steps.unwrap_or_default(),
            )),
            (None, None, None, Some(_), None) => uncertified = line.uncertified.take(),
            (None, None, None, None, Some(valid)) => {
                break (*valid, line.consistency_models.unwrap_or_default(), line.anomalies.unwrap_or_default());
            }
            _ => return Err(certificate.malformed("it must say one thing")),
        }
    };
    certificate.end()?;
    let forbidden = prohibited(&models, &asked);
    let asked = say::list(&[&models[..], &asked[..]].concat());
    let kind = TxnKind::of(&history.header().workload).unwrap_or(TxnKind::ListAppend);
    let txns = Txns { history, kind };
    Ok(match (valid, uncertified) {
        (_, Some(why)) => Verification::Undecided(format!("it certifies nothing: {why}")),
        (Validity::Unknown, None) => {
            Verification::Undecided("it certifies nothing: its own verdict is unknown".to_owned())
        }
        (Validity::Valid, None) => match txns.in_order(&order, &left_out, order_asked(&forbidden)) {
            Ok(()) => Verification::Holds {
                valid,
                summary: format!(
                    "{} in an order that {} {}; {} indeterminate ones are not in it (asked for: {asked})",
                    say::count(order.len() as u64, "transaction"),
                    if kind == TxnKind::RwRegister {
                        "agrees with every dependency that values show"
                    } else {
                        "gives all that was read"
                    },
                    match order_asked(&forbidden) {
                        Some(EdgeKind::Realtime) => "and with real time",
                        Some(_) => "and with the order of each process",
                        None => "by itself",
                    },
                    left_out.len(),
                ),
            },
            Err(why) => Verification::DoesNotHold(why),
        },
        (Validity::Invalid, None) => txns.refuted(&anomalies, &forbidden, &asked),
    })
}

/// The transactions of a history.
struct Txns<'h> {
    history: &'h History,
    kind: TxnKind,
}

impl<'h> Txns<'h> {
    fn txn(&self, index: u64) -> Result<Op<'h>, String> {
        let op = self.history.op_invoked_at(index).filter(|op| self.kind.is_txn(op.f));
        op.ok_or_else(|| format!("event {index} invokes no transaction"))
    }

    fn in_order(&self, order: &[u64], left_out: &[u64], with: Option<EdgeKind>) -> Result<(), String> {
        if with == Some(EdgeKind::Realtime) && !self.history.has_real_time() {
            return Err("the history does not say what happened first, which the order has to agree with".to_owned());
        }
        let mut seen: FxHashSet<usize> = FxHashSet::default();
        let mut lists: FxHashMap<i64, Vec<i64>> = FxHashMap::default();
        let mut registers = Registers::of(self.history);
        let mut rows = State::default();
        let mut latest_invoke = 0;
        let mut last_of_process: FxHashMap<u32, u64> = FxHashMap::default();
        for index in order {
            let op = self.txn(*index)?;
            let no = |why: &str| Err(format!("the transaction of event {index} {why}"));
            if op.outcome == Outcome::Fail {
                return no("failed: it did not happen");
            }
            if !seen.insert(op.id) {
                return no("is there twice");
            }
            if with == Some(EdgeKind::Realtime) && return_of(&op) < latest_invoke {
                return no("had ended before one began that the order has before it");
            }
            latest_invoke = latest_invoke.max(op.invoke_index);
            let is_session = with == Some(EdgeKind::Process) && op.outcome == Outcome::Ok;
            if is_session && last_of_process.insert(op.process, *index).is_some_and(|before| before > *index) {
                return no("was run by its process before one that the order has before it");
            }
            let fits = match self.kind {
                TxnKind::ListAppend => apply(&mut lists, &op),
                TxnKind::RwRegister => registers.apply(&op),
                TxnKind::ClosedPredicate => rows.apply(self.history, &op),
            };
            if !fits {
                return no("cannot have read at its place what it read");
            }
        }
        for index in left_out {
            let op = self.txn(*index)?;
            if op.outcome != Outcome::Info {
                return Err(format!("the transaction of event {index} is not indeterminate and is left out"));
            }
            if !seen.insert(op.id) {
                return Err(format!("the transaction of event {index} is there twice"));
            }
        }
        let forgotten = |op: &Op<'_>| self.kind.is_txn(op.f) && op.outcome != Outcome::Fail && !seen.contains(&op.id);
        match self.history.ops().find(forgotten) {
            Some(op) => Err(format!("the transaction of event {} is not in the order", op.invoke_index)),
            None => Ok(()),
        }
    }

    fn refuted(
        &self,
        anomalies: &[(String, Vec<u64>, Vec<CertificateStep>)],
        forbidden: &BTreeSet<String>,
        asked: &str,
    ) -> Verification {
        let mut shown: Vec<&str> = Vec::new();
        let mut undecided: Vec<&str> = Vec::new();
        let rows = (self.kind == TxnKind::ClosedPredicate).then(|| Rows::of(self.history));
        for (kind, txns, steps) in anomalies {
            let txns: Result<Vec<Op<'_>>, String> = txns.iter().map(|index| self.txn(*index)).collect();
            let answer = txns.and_then(|txns| {
                if let Some(rows) = &rows {
                    if !steps.is_empty() {
                        return self.cycle(kind, &txns, steps, |step, pair| rows.step(step, pair));
                    }
                    return match (kind.as_str(), &txns[..]) {
                        ("internal", [one]) if one.outcome == Outcome::Ok && contradicts_itself(one) => Ok(true),
                        ("internal", _) => Err("the transactions named do not show it".to_owned()),
                        _ => rows.of_txns(kind, &txns),
                    };
                }
                let facts = Facts::of(self.history, &txns);
                match (steps.is_empty(), self.kind) {
                    (true, TxnKind::RwRegister) => facts.of_registers(kind, &txns),
                    (true, _) => facts.of_lists(kind, &txns),
                    (false, TxnKind::RwRegister) => {
                        self.cycle(kind, &txns, steps, |step, pair| facts.register_step(step, pair))
                    }
                    // Where reads of the key contradict each other, which came first is anybody's guess.
                    (false, _) => self.cycle(kind, &txns, steps, |step, pair| {
                        if !facts.happened(pair[0])? {
                            return Ok(false);
                        }
                        facts.list_step(step, pair).or_else(|why| match mop(pair[0], step, 0) {
                            Some(MopRef::Append { key, .. } | MopRef::Read { key, .. })
                                if !facts.is_consistent(key) =>
                            {
                                Ok(false)
                            }
                            _ => Err(why),
                        })
                    }),
                }
            });
            match answer {
                Ok(true) => shown.push(kind),
                Ok(false) => undecided.push(kind),
                Err(why) => return Verification::DoesNotHold(format!("{kind}: {why}")),
            }
        }
        shown.dedup();
        undecided.dedup();
        let refuting: Vec<&str> = shown.into_iter().filter(|kind| forbidden.contains(*kind)).collect();
        if refuting.is_empty() {
            return Verification::Undecided(if undecided.is_empty() {
                format!("what it names does not refute what was asked for ({asked})")
            } else {
                format!("not verified: {} cannot be shown by the transactions alone", say::list(&undecided))
            });
        }
        let rest =
            if undecided.is_empty() { String::new() } else { format!("; not verified: {}", say::list(&undecided)) };
        let refuting = say::list(&refuting);
        Verification::Holds {
            valid: Validity::Invalid,
            summary: format!("{refuting} is there, which {asked} forbids{rest}"),
        }
    }

    /// Each step by itself, and that together they are what they are called.
    fn cycle(
        &self,
        kind: &str,
        txns: &[Op<'h>],
        steps: &[CertificateStep],
        of_data: impl Fn(&CertificateStep, [&Op<'h>; 2]) -> Shown,
    ) -> Shown {
        if txns.len() != steps.len() || txns.len() < 2 {
            return Err("a cycle has a step from each transaction to the next".to_owned());
        }
        if txns.iter().map(|op| op.id).collect::<FxHashSet<_>>().len() < txns.len() {
            return Err("a transaction is in the cycle twice".to_owned());
        }
        let is = kind_of(steps)?;
        let is_so = match kind.strip_suffix("-cycle-exists") {
            Some(model) => prohibited(&[model.to_owned()], &[]).contains(&is),
            None => implied_by([&*is]).contains(kind),
        };
        if !is_so {
            return Err(format!("its steps are those of {is}"));
        }
        let mut all = true;
        for (at, step) in steps.iter().enumerate() {
            let pair = [&txns[at], &txns[(at + 1) % txns.len()]];
            let shown = match &*step.kind {
                "process" | "realtime" => self.in_time(&step.kind, pair),
                _ => of_data(step, pair),
            };
            all &= shown.map_err(|why| {
                let [from, to] = pair.map(|op| op.invoke_index);
                format!("the transaction of event {from} before that of event {to} ({}): {why}", step.kind)
            })?;
        }
        Ok(all)
    }

    fn in_time(&self, kind: &str, [from, to]: [&Op<'h>; 2]) -> Shown {
        if return_of(from) >= to.invoke_index {
            return Err("it had not ended when the other began".to_owned());
        }
        if kind == "process" && from.process != to.process {
            return Err("these are two processes".to_owned());
        }
        if kind == "realtime" && !self.history.has_real_time() {
            return Err("the history does not say what happened first".to_owned());
        }
        Ok(true)
    }
}

/// What a cycle with these steps is called (Adya 1999; Cerone & Gotsman 2016 of rw edges that do not adjoin).
fn kind_of(steps: &[CertificateStep]) -> Result<String, String> {
    let kinds: Vec<&str> = steps.iter().map(|step| &*step.kind).collect();
    let known = ["ww", "wr", "wrp", "rw", "rwp", "process", "realtime"];
    if let Some(unknown) = kinds.iter().find(|kind| !known.contains(kind)) {
        return Err(format!("there is no kind of dependency {unknown}"));
    }
    let is_rw = |kind: &str| kind.starts_with("rw");
    let adjoin = kinds.iter().zip(kinds.iter().cycle().skip(1)).any(|(one, other)| is_rw(one) && is_rw(other));
    let of_predicates = kinds.contains(&"rwp");
    let plain = match kinds.iter().filter(|kind| is_rw(kind)).count() {
        0 if kinds.iter().any(|kind| kind.starts_with("wr")) => "G1c",
        0 => "G0",
        1 if of_predicates => "G-single",
        1 => "G-single-item",
        _ if adjoin && of_predicates => "G2",
        _ if adjoin => "G2-item",
        _ if of_predicates => "G-nonadjacent",
        _ => "G-nonadjacent-item",
    };
    let suffix = if kinds.contains(&"realtime") {
        "-realtime"
    } else if kinds.contains(&"process") {
        "-process"
    } else {
        ""
    };
    Ok(format!("{plain}{suffix}"))
}

/// Runs a transaction on lists; false where it cannot have read what it read.
fn apply(lists: &mut FxHashMap<i64, Vec<i64>>, op: &Op<'_>) -> bool {
    for mop in op.mops() {
        match mop {
            MopRef::Append { key, element } => lists.entry(key).or_default().push(element),
            // What an indeterminate one read is known only where its end tells.
            MopRef::Read { list: None, .. } if op.outcome != Outcome::Ok => {}
            MopRef::Read { key, list }
                if lists.get(&key).map_or(&[][..], Vec::as_slice) != list.unwrap_or_default() =>
            {
                return false;
            }
            _ => {}
        }
    }
    true
}

/// What was written so far.
struct Registers {
    values: FxHashSet<(i64, i64)>,
    keys: FxHashSet<i64>,
}

impl Registers {
    /// At first, what indeterminate transactions may have written at any time.
    fn of(history: &History) -> Self {
        let open = history.ops().filter(|op| op.outcome == Outcome::Info);
        let values = open.flat_map(|op| op.mops()).filter_map(|mop| match mop {
            MopRef::Write { key, value } => Some((key, value)),
            _ => None,
        });
        Self { values: values.collect(), keys: FxHashSet::default() }
    }

    /// Whether what the transaction read of others is written by now, and nothing where it read nil.
    fn apply(&mut self, op: &Op<'_>) -> bool {
        let mut met: FxHashSet<i64> = FxHashSet::default();
        let mut written: FxHashMap<i64, i64> = FxHashMap::default();
        for mop in op.mops() {
            match mop {
                MopRef::Write { key, value } => {
                    met.insert(key);
                    written.insert(key, value);
                }
                MopRef::Get { key, value } if met.insert(key) && op.outcome == Outcome::Ok => {
                    let fits = match value {
                        Some(value) => self.values.contains(&(key, value)),
                        None => !self.keys.contains(&key),
                    };
                    if !fits {
                        return false;
                    }
                }
                _ => {}
            }
        }
        self.keys.extend(written.keys());
        self.values.extend(written);
        true
    }
}

/// What the history says of the keys of some transactions.
#[derive(Default)]
struct Facts<'h> {
    /// By key and element or value: the operations that tried to write it; of an element once for each time.
    writes: FxHashMap<(i64, i64), Vec<Op<'h>>>,
    /// By key: the lists read; who read each of them, and whether that one ended ok.
    lists: FxHashMap<i64, Vec<&'h [i64]>>,
    readers: FxHashMap<i64, Vec<(usize, bool)>>,
    /// Values of registers read by ok transactions.
    values: FxHashSet<(i64, i64)>,
}

impl<'h> Facts<'h> {
    fn of(history: &'h History, txns: &[Op<'h>]) -> Self {
        let key_of = |mop: MopRef<'_>| match mop {
            MopRef::Append { key, .. }
            | MopRef::Write { key, .. }
            | MopRef::Read { key, .. }
            | MopRef::Get { key, .. } => Some(key),
            MopRef::Insert { .. } | MopRef::Delete { .. } | MopRef::Select { .. } => None,
        };
        let keys: FxHashSet<i64> = txns.iter().flat_map(|op| op.mops().filter_map(key_of)).collect();
        let mut facts = Self::default();
        for op in history.ops() {
            for mop in op.mops().filter(|mop| key_of(*mop).is_some_and(|key| keys.contains(&key))) {
                match mop {
                    MopRef::Append { key, element } => facts.writes.entry((key, element)).or_default().push(op),
                    // A register that is written twice by one transaction holds the same, and is the same one's.
                    MopRef::Write { key, value } => {
                        let writers = facts.writes.entry((key, value)).or_default();
                        if writers.last().is_none_or(|last| last.id != op.id) {
                            writers.push(op);
                        }
                    }
                    MopRef::Read { key, list: Some(list) } if op.outcome != Outcome::Fail => {
                        facts.lists.entry(key).or_default().push(list);
                        facts.readers.entry(key).or_default().push((op.id, op.outcome == Outcome::Ok));
                    }
                    MopRef::Get { key, value: Some(value) } if op.outcome == Outcome::Ok => {
                        facts.values.insert((key, value));
                    }
                    _ => {}
                }
            }
        }
        facts
    }

    fn lists(&self, key: i64) -> &[&'h [i64]] {
        self.lists.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Who wrote it; nobody where it was written twice, or by nobody but transactions that failed.
    fn writer(&self, key: i64, value: i64) -> Option<usize> {
        let mut writers = self.writes.get(&(key, value))?.iter().filter(|op| op.outcome != Outcome::Fail);
        let writer = writers.next()?;
        writers.next().is_none().then_some(writer.id)
    }

    /// Written only by this transaction, which failed.
    fn is_failed(&self, key: i64, value: i64, by: &Op<'_>) -> bool {
        let writes = self.writes.get(&(key, value)).map_or(&[][..], Vec::as_slice);
        writes.iter().any(|op| op.id == by.id) && writes.iter().all(|op| op.outcome == Outcome::Fail)
    }

    fn is_read(&self, key: i64, element: i64) -> bool {
        self.lists(key).iter().any(|list| list.contains(&element))
    }

    /// It ended ok, or one that did read something that it appended. Undecided where only indeterminate ones did: whether
    /// those happened would have to be shown first.
    fn happened(&self, op: &Op<'_>) -> Shown {
        let is_read_by = |mop, ok: bool| match mop {
            MopRef::Append { key, element } => {
                let readers = self.readers.get(&key).into_iter().flatten();
                let is_one = |(list, (reader, is_ok)): (&&[i64], &(usize, bool))| {
                    *reader != op.id && *is_ok == ok && list.contains(&element)
                };
                self.writer(key, element) == Some(op.id) && self.lists(key).iter().zip(readers).any(is_one)
            }
            _ => false,
        };
        match op.outcome {
            Outcome::Ok => Ok(true),
            Outcome::Info if op.mops().any(|mop| is_read_by(mop, true)) => Ok(true),
            Outcome::Info if op.mops().any(|mop| is_read_by(mop, false)) => Ok(false),
            _ => Err(format!("it cannot be told that the transaction of event {} happened", op.invoke_index)),
        }
    }

    /// Whether some read of the key holds one element before the other.
    fn is_before(&self, key: i64, first: i64, second: i64) -> bool {
        let at = |list: &[i64], element| list.iter().position(|other| *other == element);
        self.lists(key).iter().any(|list| match (at(list, first), at(list, second)) {
            (Some(first), Some(second)) => first < second,
            _ => false,
        })
    }

    /// Whether all reads of a key are beginnings of one list that holds nothing twice.
    fn is_consistent(&self, key: i64) -> bool {
        let Some(longest) = self.lists(key).iter().max_by_key(|list| list.len()) else { return true };
        let mut seen = FxHashSet::default();
        longest.iter().all(|element| seen.insert(element))
            && self.lists(key).iter().all(|list| longest.starts_with(list))
    }

    fn list_step(&self, step: &CertificateStep, [from, to]: [&Op<'h>; 2]) -> Shown {
        let no = |why: &str| Err(why.to_owned());
        let (Some(first), Some(second)) = (mop(from, step, 0), mop(to, step, 1)) else {
            return no("it does not name two micro-operations");
        };
        match (&*step.kind, first, second) {
            (_, MopRef::Append { key, .. } | MopRef::Read { key, .. }, MopRef::Append { key: other, .. })
                if key != other =>
            {
                no("these are two keys")
            }
            ("wr", MopRef::Append { key, element }, MopRef::Read { key: read, list: Some(list) }) if key == read => {
                if self.writer(key, element) != Some(from.id) {
                    return no("it cannot be told who appended that element");
                }
                if list.last() != Some(&element) { no("the list read ends otherwise") } else { Ok(true) }
            }
            ("ww", MopRef::Append { key, element: first }, MopRef::Append { element: second, .. }) => {
                if self.writer(key, first) != Some(from.id) {
                    return no("it cannot be told who appended the first element");
                }
                // What no read holds came after what one does. (An indeterminate one may hold both, in that order.)
                let readers = self.readers.get(&key).into_iter().flatten();
                let comes_last = |(list, (_, is_ok)): (&&[i64], &(usize, bool))| {
                    let end = list.iter().position(|element| *element == second);
                    end.is_none_or(|end| !is_ok && list[..end].contains(&first))
                };
                let is_last = self.is_read(key, first) && self.lists(key).iter().zip(readers).all(comes_last);
                let is_next = self.writer(key, second) == Some(to.id) && self.is_before(key, first, second);
                if is_last || is_next { Ok(true) } else { no("no read shows that") }
            }
            ("rw", MopRef::Read { list, .. }, MopRef::Append { element, .. })
                if from.outcome == Outcome::Ok || list.is_some() =>
            {
                if list.unwrap_or_default().contains(&element) {
                    no("it read that element")
                } else {
                    Ok(true)
                }
            }
            _ => no("its micro-operations are others"),
        }
    }

    fn register_step(&self, step: &CertificateStep, [from, to]: [&Op<'h>; 2]) -> Shown {
        let no = |why: &str| Err(why.to_owned());
        let (Some(first), Some(second)) = (mop(from, step, 0), mop(to, step, 1)) else {
            return no("it does not name two micro-operations");
        };
        match (&*step.kind, first, second) {
            ("wr", MopRef::Write { key, value }, MopRef::Get { key: read_key, value: read })
                if (key, Some(value)) == (read_key, read) && to.outcome == Outcome::Ok =>
            {
                let is_own = self.writer(key, value) == Some(from.id);
                if is_own { Ok(true) } else { no("it cannot be told who wrote that value") }
            }
            ("rw", MopRef::Get { key, value: None }, MopRef::Write { key: written, .. })
                if key == written && from.outcome == Outcome::Ok && to.outcome == Outcome::Ok =>
            {
                // The initial state comes before every value; but of itself it must not have been the reader.
                let is_first = from.mops().take_while(|mop| *mop != first).all(|mop| !is_write_to(mop, key));
                if is_first { Ok(true) } else { no("it had written that key itself") }
            }
            // Which value came later is an assumption then, such as that keys are linearizable.
            ("rw", MopRef::Get { key, .. }, MopRef::Write { key: written, .. })
            | ("ww", MopRef::Write { key, .. }, MopRef::Write { key: written, .. })
                if key == written =>
            {
                Ok(false)
            }
            _ => no("its micro-operations are others"),
        }
    }

    /// Anomalies of one or two transactions on lists.
    fn of_lists(&self, kind: &str, txns: &[Op<'h>]) -> Shown {
        let read_lists = |op: &Op<'h>| -> Vec<(i64, &'h [i64])> {
            let lists = op.mops().filter_map(|mop| match mop {
                MopRef::Read { key, list } if op.outcome == Outcome::Ok => Some((key, list.unwrap_or_default())),
                MopRef::Read { key, list: Some(list) } if op.outcome == Outcome::Info => Some((key, list)),
                _ => None,
            });
            lists.collect()
        };
        let appends = |op: &Op<'h>| -> Vec<(i64, i64)> {
            let appends = op.mops().filter_map(|mop| match mop {
                MopRef::Append { key, element } => Some((key, element)),
                _ => None,
            });
            appends.collect()
        };
        let shown = match (kind, txns) {
            ("internal", [one]) if one.outcome == Outcome::Ok => contradicts_itself(one),
            ("future-read", [one]) => one.mops().enumerate().any(|(at, mop)| match mop {
                MopRef::Read { key, list: Some(list) } => one.mops().skip(at + 1).any(
                    |later| matches!(later, MopRef::Append { key: of, element } if of == key && list.contains(&element)),
                ),
                _ => false,
            }),
            // One that was rolled back may have read anything.
            ("duplicate-elements" | "garbage-read", [one]) if self.happened(one) != Ok(true) => return self.happened(one),
            ("duplicate-elements", [one]) => read_lists(one).iter().any(|(_, list)| {
                let mut seen = FxHashSet::default();
                list.iter().any(|element| !seen.insert(element))
            }),
            ("garbage-read", [one]) => read_lists(one)
                .iter()
                .any(|(key, list)| list.iter().any(|element| !self.writes.contains_key(&(*key, *element)))),
            ("G1a", [writer, reader]) if reader.outcome == Outcome::Ok => read_lists(reader)
                .iter()
                .any(|(key, list)| list.iter().any(|element| self.is_failed(*key, *element, writer))),
            ("G1b", [writer, reader]) if reader.id != writer.id && reader.outcome == Outcome::Ok => {
                read_lists(reader).iter().any(|(key, list)| {
                    let Some(last) = list.last() else { return false };
                    let of_key: Vec<i64> =
                        appends(writer).into_iter().filter(|(of, _)| of == key).map(|(_, element)| element).collect();
                    let is_its = self.writer(*key, *last) == Some(writer.id) || self.is_failed(*key, *last, writer);
                    // Appended twice by one that failed, it is the first of the two as well.
                    is_its && of_key.split_last().is_some_and(|(_, earlier)| earlier.contains(last))
                })
            }
            ("dirty-update", [failed, ok]) if ok.outcome == Outcome::Ok => appends(failed).iter().any(|(key, dirty)| {
                self.is_failed(*key, *dirty, failed)
                    && appends(ok).iter().any(|(of, element)| {
                        of == key
                            && self.writer(*key, *element) == Some(ok.id)
                            && self.is_before(*key, *dirty, *element)
                    })
            }),
            ("lost-update", [one, other]) if one.id != other.id => {
                [one, other].iter().all(|op| op.outcome == Outcome::Ok)
                    && updates(one).iter().any(|update| updates(other).contains(update))
            }
            ("incompatible-order", [one, other]) => read_lists(one).iter().any(|(key, first)| {
                read_lists(other)
                    .iter()
                    .any(|(of, second)| of == key && !first.starts_with(second) && !second.starts_with(first))
            }),
            ("incompatible-order", [one]) => {
                let appends = appends(one);
                appends.iter().enumerate().any(|(at, (key, first))| {
                    appends[at + 1..].iter().filter(|(of, _)| of == key).any(|(_, second)| {
                        let own = [first, second].iter().all(|element| self.writer(*key, **element) == Some(one.id));
                        let without = |list: &&[i64]| {
                            let end = list.iter().position(|element| element == second);
                            end.is_some_and(|end| !list[..end].contains(first))
                        };
                        own && self.lists(*key).iter().any(without)
                    })
                })
            }
            _ => return Ok(false),
        };
        if shown { Ok(true) } else { Err("the transactions named do not show it".to_owned()) }
    }

    /// Anomalies of one or two transactions on registers.
    fn of_registers(&self, kind: &str, txns: &[Op<'h>]) -> Shown {
        let reads = |op: &Op<'h>| -> Vec<(i64, i64)> {
            let reads = op.mops().filter_map(|mop| match mop {
                MopRef::Get { key, value: Some(value) } if op.outcome == Outcome::Ok => Some((key, value)),
                _ => None,
            });
            reads.collect()
        };
        let shown = match (kind, txns) {
            ("internal", [one]) if one.outcome == Outcome::Ok => contradicts_itself(one),
            ("future-read" | "own-future-read", [one]) => one.mops().enumerate().any(|(at, mop)| match mop {
                MopRef::Get { key, value: Some(value) } => {
                    let writes = |mop| mop == MopRef::Write { key, value };
                    self.writer(key, value) == Some(one.id)
                        && one.mops().skip(at + 1).any(writes)
                        && !one.mops().take(at).any(writes)
                }
                _ => false,
            }),
            ("garbage-read", [one]) => reads(one).iter().any(|read| !self.writes.contains_key(read)),
            ("G1a", [writer, reader]) => reads(reader).iter().any(|(key, value)| self.is_failed(*key, *value, writer)),
            // Whoever may have written it overwrote it.
            ("G1b", [writer, reader]) if reader.id != writer.id => reads(reader).iter().any(|(key, value)| {
                let overwrote = |op: &Op<'_>| {
                    let last = op.mops().rfind(|mop| is_write_to(*mop, *key));
                    last.is_some_and(|last| last != MopRef::Write { key: *key, value: *value })
                };
                let writers = self.writes.get(&(*key, *value)).map_or(&[][..], Vec::as_slice);
                writers.iter().any(|op| op.id == writer.id)
                    && overwrote(writer)
                    && writers.iter().all(|op| op.outcome == Outcome::Fail || overwrote(op))
            }),
            ("lost-update", [one, other]) if one.id != other.id => {
                [one, other].iter().all(|op| op.outcome == Outcome::Ok)
                    && updates(one).iter().any(|update| updates(other).contains(update))
            }
            _ => return Ok(false),
        };
        if shown { Ok(true) } else { Err("the transactions named do not show it".to_owned()) }
    }
}

/// The micro-operation that a step names of its first (0) or second (1) transaction.
fn mop<'h>(op: &Op<'h>, step: &CertificateStep, which: usize) -> Option<MopRef<'h>> {
    op.mops().nth(usize::try_from(step.mops?[which]).ok()?)
}

fn is_write_to(mop: MopRef<'_>, key: i64) -> bool {
    matches!(mop, MopRef::Write { key: of, .. } | MopRef::Append { key: of, .. } if of == key)
}

/// The keys that a transaction wrote after it had read them, with what it read first.
fn updates<'h>(op: &Op<'h>) -> Vec<(i64, Vec<i64>)> {
    let mut met: FxHashSet<i64> = FxHashSet::default();
    let mut updates = Vec::new();
    for (at, mop) in op.mops().enumerate() {
        let (key, read) = match mop {
            MopRef::Read { key, list } => (key, list.unwrap_or_default().to_vec()),
            MopRef::Get { key, value } => (key, value.into_iter().collect()),
            _ => continue,
        };
        if met.insert(key) && op.mops().skip(at + 1).any(|later| is_write_to(later, key)) {
            updates.push((key, read));
        }
    }
    updates
}

/// Whether one of its reads disagrees with what it had read and written before.
fn contradicts_itself(op: &Op<'_>) -> bool {
    // By key: what is known of it, and whether that is all of it.
    let mut known: FxHashMap<i64, (Vec<i64>, bool)> = FxHashMap::default();
    for mop in op.mops() {
        match mop {
            MopRef::Append { key, element } => known.entry(key).or_default().0.push(element),
            MopRef::Write { key, value } => drop(known.insert(key, (vec![value], true))),
            MopRef::Read { key, list } => {
                let list = list.unwrap_or_default();
                let (before, is_all) = known.entry(key).or_default();
                let agrees = if *is_all { list == before.as_slice() } else { list.ends_with(before) };
                if !agrees {
                    return true;
                }
                (*before, *is_all) = (list.to_vec(), true);
            }
            MopRef::Get { key, value } => {
                let value: Vec<i64> = value.into_iter().collect();
                if known.insert(key, (value.clone(), true)).is_some_and(|(before, _)| before != value) {
                    return true;
                }
            }
            MopRef::Insert { key, value } => drop(known.insert(key, (vec![value], true))),
            MopRef::Delete { key } => drop(known.insert(key, (Vec::new(), true))),
            MopRef::Select { predicate, rows } => {
                let rows = rows.unwrap_or_default();
                let disagrees = |(key, (before, _)): (&i64, &(Vec<i64>, bool))| {
                    let expected: Vec<i64> = before.iter().copied().filter(|value| predicate.matches(*value)).collect();
                    let mut got = rows.iter().filter(|(other, _)| other == key).map(|(_, value)| *value);
                    got.clone().next() != expected.first().copied() || got.any(|value| !expected.contains(&value))
                };
                let is_doubled = |pair: &[(i64, i64)]| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1;
                if known.iter().any(disagrees) || rows.windows(2).any(is_doubled) {
                    return true;
                }
                known.extend(rows.iter().map(|(key, value)| (*key, (vec![*value], true))));
            }
        }
    }
    false
}

//! Re-checks a certificate (`linearizability::certificate`, `isolation::certificate`) against its history.
//!
//! Nothing here is shared with the search, so that a mistake there shows here: orders are gone through once, operation by
//! operation; of operations said to be impossible it is checked that the history has them exactly so, that what is left
//! out of it does not matter, and that no order of them works. Shared is what is to be judged: which final reads of a run
//! count, and what one operation of a model does.
//!
//! Linear in the history, but for looking operations up by their events, and for contradictions whose values are not
//! unique (and that no sum refutes): these are tried in every order, and where that is too much the answer says so.

pub(crate) mod explore;
pub(crate) mod model;
mod numbers;
pub(crate) mod register;
mod rows;
#[cfg(test)]
mod tests;
mod transactions;

use std::{
    hash::Hash,
    io::{self, BufRead, Read as _},
};

use rustc_hash::{FxHashMap, FxHashSet};
use serde::de::DeserializeOwned;

use self::register::{Effect, Held, Timed};
pub(crate) use self::rows::State as RowsState;
use crate::{
    Validity,
    history::{F, History, Op, Outcome},
    isolation,
    linearizability::{
        CERTIFICATE_VERSION, CertificateHeader, CertificateLine as Line, counted_final_reads,
        models::{Model, ModelOp, by_name},
    },
};

/// What became of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// It holds: the verdict that it certifies is true of the history.
    Holds {
        /// The verdict: valid or invalid.
        valid: Validity,
        /// What was checked, in words.
        summary: String,
    },
    /// It does not: why.
    DoesNotHold(String),
    /// It could not be decided: why.
    Undecided(String),
}

/// What is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A line is not as it should be.
    #[error("line {line}: {message}")]
    Malformed {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
}

/// Lines of a certificate that are longer are refused.
const LINE_BYTES_MAX: u64 = 256 << 20;
/// States that a model may leave open at once.
const STATES_MAX: usize = 10_000;

/// A certificate that is being read.
#[derive(Debug)]
pub struct Certificate<R> {
    header: CertificateHeader,
    reader: R,
    line: u64,
    text: String,
}

impl<R: BufRead> Certificate<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it cannot be read, or is none of a certificate.
    pub fn open(mut reader: R) -> Result<Self, CertificateError> {
        let malformed = |message: String| CertificateError::Malformed { line: 1, message };
        let mut text = String::new();
        read_line(&mut reader, &mut text, 1)?;
        let header: CertificateHeader = serde_json::from_str(&text)
            .map_err(|error| malformed(format!("no certificate of schism begins so: {error}")))?;
        if header.schism_certificate != CERTIFICATE_VERSION {
            let version = header.schism_certificate;
            return Err(malformed(format!(
                "version {version} of the format is not supported, only {CERTIFICATE_VERSION}"
            )));
        }
        Ok(Self { header, reader, line: 1, text })
    }

    /// What it says of itself.
    pub const fn header(&self) -> &CertificateHeader {
        &self.header
    }

    /// Re-checks it.
    ///
    /// # Errors
    /// When it cannot be read or is malformed; it may have been cut off.
    pub fn verify(mut self, history: &History) -> Result<Verification, CertificateError> {
        let model = history.header().workload.as_str();
        let refused = if self.header.model != model {
            Some(format!("it is of the model {}, the history is of {model}", self.header.model))
        } else if self.header.operations != history.len() as u64 || self.header.history != history.digest() {
            Some("it is of another history".into())
        } else if !history.has_real_time() && !isolation::judges(model) {
            Some("the history does not say what happened first, which an order has to agree with".into())
        } else {
            None
        };
        if let Some(reason) = refused {
            return Ok(Verification::DoesNotHold(reason));
        }
        match (model, by_name(model)) {
            ("register" | "cas-register", _) => {
                let uncounted = Uncounted::of(history);
                self.check(&Registers { history, uncounted })
            }
            (model, _) if isolation::judges(model) => transactions::verify(&mut self, history),
            (_, Some(model)) => {
                if let Err(error) = model.fits(history) {
                    return Ok(Verification::DoesNotHold(error.to_string()));
                }
                let Self { header, mut reader, line, text } = self;
                model.verify(history, &mut Certificate { header, reader: &mut reader, line, text })
            }
            _ => Ok(Verification::DoesNotHold(format!("there are no certificates of the model {model}"))),
        }
    }

    /// The next line that is not the end of the file.
    fn next_line<L: DeserializeOwned>(&mut self) -> Result<L, CertificateError> {
        self.line += 1;
        read_line(&mut self.reader, &mut self.text, self.line)?;
        serde_json::from_str(&self.text).map_err(|error| self.malformed(error.to_string()))
    }

    fn malformed(&self, message: impl Into<String>) -> CertificateError {
        CertificateError::Malformed { line: self.line, message: message.into() }
    }

    fn check<S: Subject>(&mut self, subject: &S) -> Result<Verification, CertificateError> {
        let mut ledger = Ledger::new(subject);
        let claimed = loop {
            let line: Line = self.next_line()?;
            match line {
                Line {
                    valid: Some(valid),
                    keys: Some(keys),
                    key: None,
                    order: None,
                    left_out: None,
                    contradiction: None,
                    from: None,
                    before: None,
                    undecided: None,
                } => break (valid, keys),
                Line { key: Some(key), valid: None, keys: None, .. } => {
                    let entries = [
                        line.order.map(Entry::Order),
                        line.left_out.map(Entry::LeftOut),
                        line.contradiction.map(|ops| Entry::Contradiction {
                            ops,
                            from: line.from,
                            before: line.before,
                        }),
                        line.undecided.map(|_| Entry::Undecided),
                    ];
                    let mut entries = entries.into_iter().flatten();
                    let (Some(entry), None) = (entries.next(), entries.next()) else {
                        return Err(self.malformed("it must say one thing of its key"));
                    };
                    if let Err(reason) = ledger.enter(&key, entry) {
                        return Ok(Verification::DoesNotHold(format!("line {}: {reason}", self.line)));
                    }
                }
                _ => return Err(self.malformed("it is neither of a key nor the last one")),
            }
        };
        self.end()?;
        Ok(ledger.close(claimed.0, claimed.1))
    }

    /// That nothing follows the last line.
    fn end(&mut self) -> Result<(), CertificateError> {
        let mut rest = Vec::new();
        (&mut self.reader).take(1).read_to_end(&mut rest)?;
        if rest.is_empty() {
            return Ok(());
        }
        self.line += 1;
        Err(self.malformed("nothing may follow the last line"))
    }
}

fn read_line(reader: &mut impl BufRead, text: &mut String, line: u64) -> Result<(), CertificateError> {
    let malformed = |message: &str| CertificateError::Malformed { line, message: message.into() };
    let mut bytes = std::mem::take(text).into_bytes();
    bytes.clear();
    reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(malformed("it ends here, without its last line: it was cut off"));
    }
    *text = String::from_utf8(bytes).map_err(|_| malformed("it is no text"))?;
    Ok(())
}

/// What a line says of its key.
enum Entry {
    Order(Vec<u64>),
    LeftOut(Vec<u64>),
    Contradiction { ops: Vec<u64>, from: Option<u64>, before: Option<u64> },
    Undecided,
}

/// An object whose operations are judged.
pub(crate) trait Subject {
    type Key: Clone + Eq + Hash;
    type State: Clone + Eq + Hash;

    fn history(&self) -> &History;
    /// The key of an operation; `None`: it is none of the object's, or does not count.
    fn key(&self, op: &Op<'_>) -> Option<Self::Key>;
    fn spell(&self, key: &Self::Key) -> Option<String>;
    fn initial(&self) -> Self::State;
    /// Adds the states after an operation; none if it is impossible.
    fn step(&self, state: &Self::State, op: &Op<'_>, next: &mut Vec<Self::State>);
    /// What an operation would have answered tells nothing, if it did not end ok.
    fn is_read(&self, op: &Op<'_>) -> bool;
    /// Whether the named operations are impossible, by invocation like all of their key; `None`: too large to try. An
    /// error says what is wrong with them.
    fn impossible(&self, all: &[Op<'_>], named: &[Op<'_>], from: u64, before: u64) -> Result<Option<bool>, String>;
}

/// Operations said to be impossible.
struct Claim<K> {
    key: K,
    ops: Vec<u64>,
    from: u64,
    before: u64,
}

/// What is being said of the history, line by line.
struct Ledger<'s, S: Subject> {
    subject: &'s S,
    /// The key that the last line was of, and what was said of it.
    open: Option<(Option<String>, Option<S::Key>)>,
    has_order: bool,
    states: Vec<S::State>,
    latest_invoke: u64,
    /// Keys whose lines are over, with or without orders.
    closed: FxHashSet<S::Key>,
    without_order: FxHashSet<S::Key>,
    /// By operation: it has its place, or is left out.
    seen: Vec<u64>,
    claims: Vec<Claim<S::Key>>,
    keys: u64,
    placed: u64,
    left_out: u64,
    /// The names of keys of which nothing is said.
    undecided: FxHashSet<Option<String>>,
}

impl<'s, S: Subject> Ledger<'s, S> {
    fn new(subject: &'s S) -> Self {
        Self {
            subject,
            open: None,
            has_order: false,
            states: Vec::new(),
            latest_invoke: 0,
            closed: FxHashSet::default(),
            without_order: FxHashSet::default(),
            seen: vec![0; subject.history().len().div_ceil(64)],
            claims: Vec::new(),
            keys: 0,
            placed: 0,
            left_out: 0,
            undecided: FxHashSet::default(),
        }
    }

    fn enter(&mut self, key: &Option<String>, entry: Entry) -> Result<(), String> {
        let is_new = self.open.as_ref().is_none_or(|(open, _)| open != key);
        if is_new {
            self.close_key();
            self.open = Some((key.clone(), None));
            self.keys += 1;
            (self.states, self.latest_invoke) = (vec![self.subject.initial()], 0);
            self.has_order = matches!(entry, Entry::Order(_) | Entry::LeftOut(_));
        } else if !self.has_order || !matches!(entry, Entry::Order(_) | Entry::LeftOut(_)) {
            return Err("two things are said of the key".into());
        }
        match entry {
            Entry::Order(ops) => ops.iter().try_for_each(|index| self.place(*index)),
            Entry::LeftOut(ops) => ops.iter().try_for_each(|index| self.leave_out(*index)),
            Entry::Undecided => {
                let is_first = self.undecided.insert(key.clone());
                if is_first { Ok(()) } else { Err("the key was there before".into()) }
            }
            Entry::Contradiction { ops, from, before } => {
                let mut last = None;
                for index in &ops {
                    if last.is_some_and(|last| last >= *index) {
                        return Err("the operations are not in the order of their invocations".into());
                    }
                    last = Some(*index);
                    self.own(*index)?;
                }
                let key = self.open.as_ref().and_then(|(_, key)| key.clone()).ok_or("no operation is named")?;
                self.without_order.insert(key.clone());
                self.claims.push(Claim { key, ops, from: from.unwrap_or(0), before: before.unwrap_or(u64::MAX) });
                Ok(())
            }
        }
    }

    fn close_key(&mut self) {
        if let Some((_, Some(key))) = self.open.take() {
            self.closed.insert(key);
        }
    }

    /// That the open key is this one.
    fn begin(&mut self, key: &S::Key) -> Result<(), String> {
        let Some((text, open)) = &mut self.open else { return Err("no key".into()) };
        match open {
            Some(known) if known == key => Ok(()),
            Some(_) => Err("an operation is of another key".into()),
            None if self.subject.spell(key) != *text => Err("an operation is of another key".into()),
            None if self.closed.contains(key) => Err("the key was there before".into()),
            None => {
                *open = Some(key.clone());
                Ok(())
            }
        }
    }

    /// An operation of the open key.
    fn own(&mut self, index: u64) -> Result<Op<'s>, String> {
        let subject = self.subject;
        let op = subject.history().op_invoked_at(index).ok_or(format!("event {index} invokes no operation"))?;
        if op.outcome == Outcome::Fail {
            return Err(format!("the operation of event {index} failed: it did not happen"));
        }
        let key = subject.key(&op).ok_or(format!("the operation of event {index} does not count"))?;
        self.begin(&key).map_err(|reason| format!("event {index}: {reason}"))?;
        Ok(op)
    }

    /// The same, of an operation that nothing was said of.
    fn first_seen(&mut self, index: u64) -> Result<Op<'s>, String> {
        let op = self.own(index)?;
        let (word, mask) = (op.id / 64, 1 << (op.id % 64));
        if self.seen[word] & mask != 0 {
            return Err(format!("the operation of event {index} is there twice"));
        }
        self.seen[word] |= mask;
        Ok(op)
    }

    fn place(&mut self, index: u64) -> Result<(), String> {
        let op = self.first_seen(index)?;
        if model::return_of(&op) < self.latest_invoke {
            return Err(format!(
                "the operation of event {index} returned before one that the order has before it was invoked (event {})",
                self.latest_invoke
            ));
        }
        self.latest_invoke = self.latest_invoke.max(op.invoke_index);
        let mut next = Vec::new();
        self.states.iter().for_each(|state| self.subject.step(state, &op, &mut next));
        // A model may leave several states open.
        if next.len() > 1 {
            let mut known: FxHashSet<S::State> = FxHashSet::default();
            next.retain(|state| known.insert(state.clone()));
        }
        if next.is_empty() {
            return Err(format!("the operation of event {index} is impossible at its place"));
        }
        if next.len() > STATES_MAX {
            return Err(format!("at the operation of event {index} more than {STATES_MAX} states are possible"));
        }
        self.states = next;
        self.placed += 1;
        Ok(())
    }

    fn leave_out(&mut self, index: u64) -> Result<(), String> {
        let op = self.first_seen(index)?;
        if op.outcome == Outcome::Ok {
            return Err(format!("the operation of event {index} ended ok and is left out"));
        }
        self.left_out += 1;
        Ok(())
    }

    /// After the last line.
    fn close(mut self, claimed: Validity, keys: u64) -> Verification {
        self.close_key();
        if keys != self.keys {
            return Verification::DoesNotHold(format!("it has {} keys, and says that they are {keys}", self.keys));
        }
        let subject = self.subject;
        if !self.undecided.is_empty() && self.closed.iter().any(|key| self.undecided.contains(&subject.spell(key))) {
            return Verification::DoesNotHold("a key is there twice".into());
        }
        // All operations of the keys that are said to be contradictory.
        let mut of_key: FxHashMap<S::Key, Vec<Op<'_>>> =
            self.claims.iter().map(|claim| (claim.key.clone(), Vec::new())).collect();
        for op in subject.history().ops().filter(|op| op.outcome != Outcome::Fail) {
            if self.seen[op.id / 64] >> (op.id % 64) & 1 == 1 {
                continue;
            }
            let Some(key) = subject.key(&op) else { continue };
            if let Some(ops) = of_key.get_mut(&key) {
                ops.push(op);
            } else if self.undecided.contains(&subject.spell(&key)) {
                self.without_order.insert(key);
            } else if !(self.without_order.contains(&key) || (op.outcome == Outcome::Info && subject.is_read(&op))) {
                return Verification::DoesNotHold(format!(
                    "the operation of event {} is neither in an order nor left out",
                    op.invoke_index
                ));
            }
        }
        let mut too_large = 0_u64;
        for claim in &self.claims {
            let all = &of_key[&claim.key];
            let named: Vec<Op<'_>> =
                claim.ops.iter().filter_map(|index| subject.history().op_invoked_at(*index)).collect();
            let named_key = subject.spell(&claim.key).map_or(String::new(), |key| format!("key {key}: "));
            match subject.impossible(all, &named, claim.from, claim.before) {
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    let reason = format!("{named_key}the operations named do not contradict each other");
                    return Verification::DoesNotHold(reason);
                }
                Ok(None) => too_large += 1,
                Err(reason) => return Verification::DoesNotHold(format!("{named_key}{reason}")),
            }
        }
        let proven = self.claims.len() as u64 - too_large;
        let supported = if !self.claims.is_empty() {
            Validity::Invalid
        } else if !self.undecided.is_empty() {
            Validity::Unknown
        } else {
            Validity::Valid
        };
        match claimed {
            Validity::Unknown => Verification::Undecided("it certifies nothing: its own verdict is unknown".into()),
            claimed if claimed != supported => Verification::DoesNotHold(format!(
                "it says {}, and what it brings forward says {}",
                claimed.name(),
                supported.name()
            )),
            Validity::Invalid if proven == 0 => Verification::Undecided(
                "not verified: the operations that it names are too many to try every order of them".into(),
            ),
            Validity::Invalid => {
                let rest = if too_large > 0 {
                    format!("; of {too_large} more it is not verified: too large")
                } else {
                    String::new()
                };
                let summary = format!("no order explains the operations named of {proven} of {} keys{rest}", self.keys);
                Verification::Holds { valid: claimed, summary }
            }
            Validity::Valid => {
                let (placed, left_out) = (self.placed, self.left_out);
                let summary = format!(
                    "{placed} operations on {} keys are in order, {left_out} indeterminate ones did not happen",
                    self.keys
                );
                Verification::Holds { valid: claimed, summary }
            }
        }
    }
}

/// Final reads that do not count.
struct Uncounted {
    counted: Vec<usize>,
}

impl Uncounted {
    fn of(history: &History) -> Self {
        Self { counted: counted_final_reads(history) }
    }

    fn holds(&self, op: &Op<'_>) -> bool {
        op.is_final && self.counted.binary_search(&op.id).is_err()
    }
}

/// Registers by key.
struct Registers<'h> {
    history: &'h History,
    uncounted: Uncounted,
}

impl Subject for Registers<'_> {
    type Key = i64;
    type State = Held;

    fn history(&self) -> &History {
        self.history
    }

    fn key(&self, op: &Op<'_>) -> Option<i64> {
        if self.uncounted.holds(op) { None } else { Effect::of(op).map(|(key, _)| key) }
    }

    fn spell(&self, key: &i64) -> Option<String> {
        self.history.is_keyed().then(|| self.history.spell(*key).into_owned())
    }

    fn initial(&self) -> Held {
        Held::Nil
    }

    fn step(&self, held: &Held, op: &Op<'_>, next: &mut Vec<Held>) {
        next.extend(Effect::of(op).and_then(|(_, effect)| effect.apply(*held)));
    }

    fn is_read(&self, op: &Op<'_>) -> bool {
        *op.f == F::Read
    }

    fn impossible(&self, all: &[Op<'_>], named: &[Op<'_>], from: u64, before: u64) -> Result<Option<bool>, String> {
        let timed = |ops: &[Op<'_>]| -> Vec<Timed> { ops.iter().filter_map(Timed::of).collect() };
        let (all, named) = (timed(all), timed(named));
        if register::contradict(&all, &named) == Some(true) {
            return Ok(Some(true));
        }
        register::impossible(&all, &named, from, before)
    }
}

/// Objects of a model by key.
struct Objects<'h, M> {
    history: &'h History,
    model: &'h M,
}

impl<M: Model> Subject for Objects<'_, M> {
    type Key = Option<String>;
    type State = M::State;

    fn history(&self) -> &History {
        self.history
    }

    fn key(&self, op: &Op<'_>) -> Option<Option<String>> {
        Some(self.model.key(&ModelOp::of(op)))
    }

    fn spell(&self, key: &Option<String>) -> Option<String> {
        key.clone()
    }

    fn initial(&self) -> M::State {
        M::State::default()
    }

    fn step(&self, state: &M::State, op: &Op<'_>, next: &mut Vec<M::State>) {
        self.model.step(state, &ModelOp::of(op), next);
    }

    fn is_read(&self, op: &Op<'_>) -> bool {
        self.model.is_read(&ModelOp::of(op))
    }

    fn impossible(&self, all: &[Op<'_>], named: &[Op<'_>], from: u64, before: u64) -> Result<Option<bool>, String> {
        if from > 0 {
            return Err("of this model operations are impossible only from the history's beginning on".into());
        }
        let by_sums = match &*self.history.header().workload {
            "linearizable-counter" => numbers::counter(all, named),
            "fetch-and-add" => numbers::fetch_and_add(all, named),
            _ => false,
        };
        if by_sums { Ok(Some(true)) } else { model::impossible(self.model, all, named, before) }
    }
}

/// Re-checks a certificate of a model.
pub(crate) fn verify_model<M: Model>(
    model: &M,
    history: &History,
    certificate: &mut Certificate<impl BufRead>,
) -> Result<Verification, CertificateError> {
    certificate.check(&Objects { history, model })
}

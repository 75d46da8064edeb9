//! What each anomaly is and what each consistency model promises, in plain English, with examples that can be run.
//!
//! The texts are the tables in `anomalies.rs` and `models.rs`. What refutes what is not among them: [`explain`] asks the
//! lattice. Each example is a small history that the tests check: what is said to be reported of it is what
//! [`check`](super::check) reports, and the models said to forbid it are refuted.
//!
//! An example has a line for each transaction. All run at the same time, each by a process of its own, and commit,
//! unless it says otherwise in brackets: `after T1` (it began when T1 had ended), `process of T1` (the same, and by T1's
//! process), `aborted`, `init` (it inserted what there was before all others began). Keys are `x`, `y` and `z`; an empty
//! list, or a register never written, reads as `nil`; a read by predicate says what it asked for and which rows it got:
//!
//! ```text
//! T1: append x 1, append y 1
//! T2 (after T1): r x [1], r y nil
//!
//! T1: insert x 1, insert y 2
//! T2: select = 1 {x 1}, select mod 2 = 0 {}
//! ```

mod anomalies;
mod models;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;

use self::{anomalies::ANOMALIES, models::PROMISES};
use super::lattice::{self, MODELS};
use crate::history::{History, TxnKind, notation};

/// What there is to say of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Explanation {
    /// It is an anomaly's.
    Anomaly(AnomalyExplanation),
    /// It is a consistency model's.
    Model(ModelExplanation),
}

/// What an anomaly is, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AnomalyExplanation {
    /// Its name.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// The smallest case, where one can be written down.
    pub example: Option<Example>,
    /// Why that is wrong.
    pub why: &'static str,
    /// Who defined it.
    pub source: &'static str,
    /// Kinds that [`check`](super::check) reports of the example when asked for the weakest models that forbid it.
    pub reported: &'static [&'static str],
    /// Why the checker never reports it by this name; `None`: it does.
    pub never_reported: Option<&'static str>,
    /// The weakest models that forbid it.
    pub forbidden_by_weakest: Vec<&'static str>,
    /// The stronger models, which forbid it, too.
    pub forbidden_by_stronger: Vec<&'static str>,
    /// The models that allow it. Those to which the lattice ties no anomaly at all are not among them; and there are none
    /// where no model forbids it, as the lattice then says nothing of it.
    pub allowed_by: Vec<&'static str>,
}

/// What a consistency model promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelExplanation {
    /// The name that results use.
    pub name: &'static str,
    /// Its other names.
    pub other_names: Vec<&'static str>,
    /// What it promises.
    pub promise: &'static str,
    /// Who defined it.
    pub source: &'static str,
    /// Which databases have it, and what they call it, as far as the sources say so.
    pub databases: Option<&'static str>,
    /// The anomalies that it forbids by its own definition.
    pub forbids: Vec<&'static str>,
    /// Those that it forbids because they imply one of these, or because a model that it implies forbids them.
    pub forbids_also: Vec<&'static str>,
    /// The models of which its definition says that they hold wherever it does.
    pub implies: Vec<&'static str>,
    /// Those that hold because one of these implies them.
    pub implies_also: Vec<&'static str>,
    /// The models of which the definition says that they promise this, too.
    pub implied_by: Vec<&'static str>,
    /// Those that do because they imply one of these.
    pub implied_by_also: Vec<&'static str>,
}

/// A history as a person writes it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Example {
    /// `list-append`, `rw-register` or `closed-predicate`.
    pub workload: &'static str,
    /// The option of `schism check` without which it shows nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option: Option<&'static str>,
    /// A line each; the [module](self) says how to read them.
    pub transactions: &'static [&'static str],
}

impl Example {
    const fn lists(transactions: &'static [&'static str]) -> Self {
        Self { workload: "list-append", option: None, transactions }
    }

    const fn registers(transactions: &'static [&'static str]) -> Self {
        Self { workload: "rw-register", option: None, transactions }
    }

    const fn rows(transactions: &'static [&'static str]) -> Self {
        Self { workload: "closed-predicate", option: None, transactions }
    }

    const fn with(self, option: &'static str) -> Self {
        Self { option: Some(option), ..self }
    }

    /// The history that it spells.
    ///
    /// # Errors
    /// Where a line is not as the [module](self) says; none of those in the tables is.
    pub fn history(&self) -> Result<History, String> {
        notation::history(self.workload, &in_notation(self.transactions)?)
    }
}

/// Names under a heading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Group {
    /// What they have in common.
    pub title: &'static str,
    /// The names, of models those that results use.
    pub names: Vec<&'static str>,
}

/// All anomalies in groups, from those within one transaction to those that take real time.
#[must_use]
pub fn anomalies() -> Vec<Group> {
    let names = |anomalies: &[Anomaly]| anomalies.iter().map(|anomaly| anomaly.name).collect();
    ANOMALIES.iter().map(|(title, anomalies)| Group { title, names: names(anomalies) }).collect()
}

/// All consistency models in groups, the weaker first.
#[must_use]
pub fn models() -> Vec<Group> {
    let names = |models: &[Promise]| models.iter().map(|model| lattice::friendly(model.name)).collect();
    PROMISES.iter().map(|(title, models)| Group { title, names: names(models) }).collect()
}

/// Every name that [`explain`] knows, all names of models among them.
#[must_use]
pub fn names() -> Vec<&'static str> {
    anomalies().into_iter().flat_map(|group| group.names).chain(lattice::model_names()).collect()
}

/// What there is to say of an anomaly or a consistency model, in whichever case its name is written.
#[must_use]
pub fn explain(name: &str) -> Option<Explanation> {
    let mut anomalies = ANOMALIES.iter().flat_map(|(_, anomalies)| anomalies.iter());
    if let Some(anomaly) = anomalies.find(|anomaly| anomaly.name.eq_ignore_ascii_case(name)) {
        return Some(Explanation::Anomaly(of_anomaly(anomaly)));
    }
    let is_meant = |known: &&str| known.eq_ignore_ascii_case(name);
    let model = MODELS.iter().find(|model| is_meant(&model.name) || model.friendly.iter().any(is_meant))?;
    let promise = PROMISES.iter().flat_map(|(_, models)| models.iter()).find(|promise| promise.name == model.name)?;
    Some(Explanation::Model(of_model(model, promise)))
}

fn of_anomaly(anomaly: &Anomaly) -> AnomalyExplanation {
    let (weakest, stronger) = lattice::boundary([anomaly.name]);
    let impossible = lattice::impossible([anomaly.name]);
    let allows = |model: &&lattice::Model| {
        !impossible.is_empty() && !impossible.contains(model.name) && says_something(model.name)
    };
    AnomalyExplanation {
        name: anomaly.name,
        what: anomaly.what,
        example: anomaly.example,
        why: anomaly.why,
        source: anomaly.source,
        reported: anomaly.reported,
        never_reported: anomaly.never_reported,
        forbidden_by_weakest: weakest,
        forbidden_by_stronger: stronger,
        allowed_by: MODELS.iter().filter(allows).map(|model| lattice::friendly(model.name)).collect(),
    }
}

/// Whether the lattice ties any anomaly to a model: else nothing that is found speaks for or against it.
fn says_something(model: &str) -> bool {
    !lattice::anomalies_forbidden_by(&[model.to_owned()]).is_empty()
}

fn of_model(model: &lattice::Model, promise: &Promise) -> ModelExplanation {
    let name = lattice::friendly(model.name);
    let also_known = model.friendly.iter().copied().filter(|friendly| *friendly != name);
    let canonical = (model.name != name).then_some(model.name);
    let forbidden = lattice::anomalies_forbidden_by(&[model.name.to_owned()]);
    let by_results = |names: BTreeSet<&'static str>, but: &[&str]| {
        let names = names.into_iter().filter(|other| *other != model.name && !but.contains(other));
        names.map(lattice::friendly).collect::<Vec<_>>()
    };
    let stronger = lattice::stronger(model.name);
    ModelExplanation {
        name,
        other_names: canonical.into_iter().chain(also_known).collect(),
        promise: promise.promise,
        source: promise.source,
        databases: promise.databases,
        forbids: model.forbids.to_vec(),
        forbids_also: forbidden.into_iter().filter(|anomaly| !model.forbids.contains(anomaly)).collect(),
        implies: model.implies.iter().map(|weaker| lattice::friendly(weaker)).collect(),
        implies_also: by_results(lattice::closure_of_weaker(model.name), model.implies),
        implied_by: stronger.iter().map(|stronger| lattice::friendly(stronger)).collect(),
        implied_by_also: by_results(lattice::closure_of_stronger(model.name), &stronger),
    }
}

/// An example in the notation of the tests: processes, invocations, completions.
fn in_notation(transactions: &[&str]) -> Result<String, String> {
    let mut lines =
        transactions.iter().enumerate().map(|(at, line)| Line::new(at, line)).collect::<Result<Vec<_>, _>>()?;
    for at in 0..lines.len() {
        if let (Some(after), true) = (lines[at].after, lines[at].same_process) {
            lines[at].process = lines.get(after).ok_or("there is no such transaction")?.process;
        }
    }
    let mut text = String::new();
    let mut ended = vec![false; lines.len()];
    let mut end = |at: usize, text: &mut String| {
        let Some(line) = lines.get(at) else { return };
        if !std::mem::replace(&mut ended[at], true) {
            let end = if line.aborted { "-" } else { "+" };
            text.push_str(&format!("{}{end} {} {}\n", line.process, line.f, line.mops));
        }
    };
    let begin =
        |line: &Line, text: &mut String| text.push_str(&format!("{}> {} {}\n", line.process, line.f, line.mops));
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.is_init()) {
        begin(line, &mut text);
        end(at, &mut text);
    }
    // What waits for nothing begins first, so that nothing is before it in real time.
    for waits in [false, true] {
        for line in lines.iter().filter(|line| line.after.is_some() == waits && !line.is_init()) {
            line.after.into_iter().for_each(|after| end(after, &mut text));
            begin(line, &mut text);
        }
    }
    (0..lines.len()).for_each(|at| end(at, &mut text));
    Ok(text)
}

/// A transaction of an example.
struct Line {
    process: usize,
    /// The place of the one that it follows.
    after: Option<usize>,
    same_process: bool,
    aborted: bool,
    /// `txn`, or `init`.
    f: &'static str,
    /// In the notation of the tests.
    mops: String,
}

impl Line {
    fn is_init(&self) -> bool {
        self.f == TxnKind::INIT
    }

    /// The line at this place.
    fn new(at: usize, text: &str) -> Result<Self, String> {
        let (head, mops) = text.split_once(": ").ok_or_else(|| format!("{text}: it begins with T1: "))?;
        let (_, condition) = head.split_once(" (").unwrap_or((head, ""));
        let condition = condition.trim_end_matches(')');
        let mut line =
            Self { process: at, after: None, same_process: false, aborted: false, f: "txn", mops: String::new() };
        let place = |name: &str| -> Result<Option<usize>, String> {
            let number: usize = name.trim_start_matches('T').parse().map_err(|_| format!("{name}: no transaction"))?;
            Ok(number.checked_sub(1).filter(|place| *place < at))
        };
        if let Some(after) = condition.strip_prefix("after ") {
            line.after = Some(place(after)?.ok_or_else(|| format!("{text}: not after a line above"))?);
        } else if let Some(after) = condition.strip_prefix("process of ") {
            line.after = Some(place(after)?.ok_or_else(|| format!("{text}: not the process of a line above"))?);
            line.same_process = true;
        } else if condition == "aborted" {
            line.aborted = true;
        } else if condition == TxnKind::INIT {
            line.f = TxnKind::INIT;
        } else if !condition.is_empty() {
            return Err(format!("{condition}: after T1, process of T1, init, or aborted"));
        }
        let words = mops.split(' ').map(|word| match word {
            "append" => "a",
            "x" => "1",
            "y" => "2",
            "z" => "3",
            "{x" => "{1",
            "{y" => "{2",
            "{z" => "{3",
            other => other,
        });
        line.mops = words.collect::<Vec<_>>().join(" ");
        Ok(line)
    }
}

/// A row of the table of anomalies.
struct Anomaly {
    name: &'static str,
    what: &'static str,
    example: Option<Example>,
    why: &'static str,
    source: &'static str,
    reported: &'static [&'static str],
    never_reported: Option<&'static str>,
}

/// A row of the table of models.
struct Promise {
    /// The canonical name.
    name: &'static str,
    promise: &'static str,
    source: &'static str,
    databases: Option<&'static str>,
}

const ADYA: &str = "Adya: \"Weak consistency: a generalized theory and optimistic implementations for distributed \
                    transactions\" (1999)";
const BAILIS: &str =
    "Bailis, Davidson, Fekete et al.: \"Highly available transactions: virtues and limitations\" (2014)";
const BERENSON: &str = "Berenson et al.: \"A critique of ANSI SQL isolation levels\" (1995)";
const BERNSTEIN: &str =
    "Bernstein, Hadzilacos & Goodman: \"Concurrency control and recovery in database systems\" (1987)";
const CERONE: &str =
    "Cerone, Bernardi & Gotsman: \"A framework for transactional consistency models with atomic visibility\" (2015)";
const CERONE_SI: &str = "Cerone & Gotsman: \"Analysing snapshot isolation\" (2016)";
const DAUDJEE: &str = "Daudjee & Salem: \"Lazy database replication with ordering guarantees\" (2004)";
const DAUDJEE_SI: &str = "Daudjee & Salem: \"Lazy database replication with snapshot isolation\" (2006)";
const ELLE: &str = "Kingsbury & Alvaro: \"Elle: inferring isolation anomalies from experimental observations\" (2020)";
const LIU: &str =
    "Liu, Ölveczky et al.: \"ROLA: a new distributed transaction protocol and its formal analysis\" (2018)";
const ZUIKEVICIUTE: &str = "Zuikevičiūtė & Pedone: \"Correctness criteria for database replication\" (2008)";
const SCHISM: &str = "schism; docs/differences-from-elle.md says why";
const HERLIHY: &str = "Herlihy & Wing: \"Linearizability: a correctness condition for concurrent objects\" (1990)";
const LAMPORT: &str =
    "Lamport: \"How to make a multiprocessor computer that correctly executes multiprocess programs\" (1979)";
const TERRY: &str = "Terry et al.: \"Session guarantees for weakly consistent replicated data\" (1994)";
const LIPTON: &str = "Lipton & Sandberg: \"PRAM: a scalable shared memory\" (1988)";
const AHAMAD: &str = "Ahamad et al.: \"Causal memory: definitions, implementation, and programming\" (1995)";

//! What each anomaly is and what each consistency model promises, in plain English, with examples that can be run.
//!
//! The texts are the tables below. What refutes what is not among them: [`explain`] asks the lattice. Each example is a
//! small history that the tests check: what is said to be reported of it is what [`check`](super::check) reports, and
//! the models said to forbid it are refuted.
//!
//! An example has a line for each transaction. All run at the same time, each by a process of its own, and commit,
//! unless it says otherwise in brackets: `after T1` (it began when T1 had ended), `process of T1` (the same, and by T1's
//! process), `aborted`. Keys are `x`, `y` and `z`; an empty list, or a register never written, reads as `nil`:
//!
//! ```text
//! T1: append x 1, append y 1
//! T2 (after T1): r x [1], r y nil
//! ```

use std::collections::BTreeSet;

use serde::Serialize;

use super::lattice::{self, MODELS};
use crate::history::{History, notation};

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
    /// `list-append` or `rw-register`.
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
            text.push_str(&format!("{}{} txn {}\n", line.process, if line.aborted { "-" } else { "+" }, line.mops));
        }
    };
    // What waits for nothing begins first, so that nothing is before it in real time.
    for waits in [false, true] {
        for line in lines.iter().filter(|line| line.after.is_some() == waits) {
            line.after.into_iter().for_each(|after| end(after, &mut text));
            text.push_str(&format!("{}> txn {}\n", line.process, line.mops));
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
    /// In the notation of the tests.
    mops: String,
}

impl Line {
    /// The line at this place.
    fn new(at: usize, text: &str) -> Result<Self, String> {
        let (head, mops) = text.split_once(": ").ok_or_else(|| format!("{text}: it begins with T1: "))?;
        let (_, condition) = head.split_once(" (").unwrap_or((head, ""));
        let condition = condition.trim_end_matches(')');
        let mut line = Self { process: at, after: None, same_process: false, aborted: false, mops: String::new() };
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
        } else if !condition.is_empty() {
            return Err(format!("{condition}: after T1, process of T1, or aborted"));
        }
        let words = mops.split(' ').map(|word| match word {
            "append" => "a",
            "x" => "1",
            "y" => "2",
            "z" => "3",
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

/// By group. The order is that of `schism explain`.
const ANOMALIES: &[(&str, &[Anomaly])] = &[
    (
        "Within one transaction, or of one key",
        &[
            Anomaly {
                name: "internal",
                what: "A transaction does not see what it did itself, or sees a key change between two of its own \
                       reads.",
                example: Some(Example::lists(&["T1: append x 1, r x nil", "T2: r x [1]"])),
                why: "T1 appended 1 and read x afterwards; whatever the others do, its own 1 must be at the end.",
                source: CERONE,
                reported: &["internal"],
                never_reported: None,
            },
            Anomaly {
                name: "future-read",
                what: "A transaction reads an element that it appends only later.",
                example: Some(Example::lists(&["T1: r x [1], append x 1", "T2: r x [1]"])),
                why: "T1 cannot know its own 1 before it has appended it; and nobody else did.",
                source: ELLE,
                reported: &["future-read"],
                never_reported: None,
            },
            Anomaly {
                name: "own-future-read",
                what: "A transaction reads a value of a register that nobody wrote but itself, and that later.",
                example: Some(Example::registers(&["T1: r x 1, w x 1", "T2: r x 1"])),
                why: "In no order that agrees with T1's own program can its read answer 1. Elle accepts it, so that it \
                      is named, but refutes nothing.",
                source: SCHISM,
                reported: &["own-future-read"],
                never_reported: None,
            },
            Anomaly {
                name: "garbage-read",
                what: "A read answers what nobody ever tried to write.",
                example: Some(Example::lists(&["T1: append x 1", "T2: r x [9 1]"])),
                why: "Nobody appended 9, committed or not.",
                source: SCHISM,
                reported: &["garbage-read"],
                never_reported: None,
            },
            Anomaly {
                name: "duplicate-elements",
                what: "A list holds an element twice that was appended once.",
                example: Some(Example::lists(&["T1: append x 1", "T2: r x [1 1]"])),
                why: "One append leaves one element. Databases do this when a request that was carried out already is \
                      sent again.",
                source: ELLE,
                reported: &["duplicate-elements"],
                never_reported: None,
            },
            Anomaly {
                name: "incompatible-order",
                what: "Two reads of a list contradict each other: neither is a beginning of the other.",
                example: Some(Example::lists(&["T1: append x 1", "T2: append x 2, r x [2]", "T3: r x [1 2]"])),
                why: "Lists only grow at their end. T2 saw 2 come first, T3 saw 1 come first: one of the two saw a \
                      state that was later taken back.",
                source: ELLE,
                reported: &["incompatible-order"],
                never_reported: None,
            },
            Anomaly {
                name: "cyclic-versions",
                what: "The versions of a register go round: one is older than another and newer, too.",
                example: Some(Example::registers(&["T1: w x 1", "T2 (after T1): r x nil"]).with("--linearizable-keys")),
                why: "nil comes before every value; if each key is linearizable, as was assumed, 1 came before the nil \
                      that T2 read later. Either the database or the assumption is wrong.",
                source: ELLE,
                reported: &["cyclic-versions"],
                never_reported: None,
            },
        ],
    ),
    (
        "Of what was not committed",
        &[
            Anomaly {
                name: "G1a",
                what: "Aborted read: a committed transaction sees what an aborted one wrote.",
                example: Some(Example::lists(&["T1 (aborted): append x 1", "T2: append y 1", "T3: r x [1], r y [1]"])),
                why: "T1 never happened, so that nobody may see its 1.",
                source: ADYA,
                reported: &["G1a"],
                never_reported: None,
            },
            Anomaly {
                name: "G1b",
                what: "Intermediate read: a transaction sees a value that its writer overwrote before it committed.",
                example: Some(Example::registers(&["T1: w x 1, w x 2, w y 1", "T2: r x 1, r y 1"])),
                why: "T1 leaves x at 2. To see 1 is to look into the middle of T1.",
                source: ADYA,
                reported: &["G1b"],
                never_reported: None,
            },
            Anomaly {
                name: "dirty-update",
                what: "A committed transaction's write stands on that of an aborted one.",
                example: Some(Example::lists(&["T1 (aborted): append x 1", "T2: append x 2", "T3: r x [1 2]"])),
                why: "T2 committed on top of T1's 1, which should have vanished with T1. (Whoever reads the list has \
                      read something aborted, too: G1a.)",
                source: ELLE,
                reported: &["G1a", "dirty-update"],
                never_reported: None,
            },
        ],
    ),
    (
        "Lost updates",
        &[
            Anomaly {
                name: "lost-update",
                what: "Two transactions read the same version of a key and both write it: the later overwrites the \
                       earlier unseen.",
                example: Some(Example::lists(&["T1: r x nil, append x 1", "T2: r x nil, append x 2"])),
                why: "Whichever comes second must see what the first wrote; a counter would have lost one increment. \
                      (As a cycle it is G2-item, too.)",
                source: BERENSON,
                reported: &["G2-item", "lost-update"],
                never_reported: None,
            },
            Anomaly {
                name: "write-skew",
                what: "Two transactions each read what the other writes, and neither sees the other's write.",
                example: Some(Example::lists(&["T1: r x nil, append y 1", "T2: r y nil, append x 1"])),
                why: "Whichever comes second must see what the first wrote. So two doctors, each trusting that the \
                      other stays on call, both go home.",
                source: BERENSON,
                reported: &["G2-item"],
                never_reported: Some(
                    "the graph calls it G2-item; in runs of schism the check `list-append` uses this name",
                ),
            },
            Anomaly {
                name: "lost-append",
                what: "A write that was acknowledged is gone from the last state of the database.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (after T1): r x nil"])),
                why: "What was acknowledged was promised to stay, whatever the isolation level.",
                source: SCHISM,
                reported: &["G-single-item-realtime"],
                never_reported: Some(
                    "it is found by the check `list-append` of schism's own runs, which knows the final reads; the \
                     lattice has no row for it",
                ),
            },
        ],
    ),
    (
        "Cycles of dependencies",
        &[
            Anomaly {
                name: "G0",
                what: "Dirty write: two transactions write the same keys, in a different order each.",
                example: Some(Example::lists(&[
                    "T1: append x 1, append y 1",
                    "T2: append x 2, append y 2",
                    "T3: r x [1 2], r y [2 1]",
                ])),
                why: "On x T1 came before T2, on y after it. No order of the two writes both keys so.",
                source: ADYA,
                reported: &["G0"],
                never_reported: None,
            },
            Anomaly {
                name: "G1c",
                what: "Circular information flow: transactions that all depend on what another of them wrote.",
                example: Some(Example::lists(&["T1: append x 1, r y [1]", "T2: append y 1, r x [1]"])),
                why: "Each saw the other's write, so that each must come after the other. One of them saw what was not \
                      yet committed.",
                source: ADYA,
                reported: &["G1c"],
                never_reported: None,
            },
            Anomaly {
                name: "G-single-item",
                what: "Read skew: a cycle in which exactly one transaction overlooked a write that came before it.",
                example: Some(Example::lists(&["T1: append x 1, append y 1", "T2: r x [1], r y nil"])),
                why: "T2 saw T1's write of x, and so comes after T1; yet it overlooked T1's write of y.",
                source: ADYA,
                reported: &["G-single-item"],
                never_reported: None,
            },
            Anomaly {
                name: "G-nonadjacent-item",
                what: "Long fork: a cycle with several overlooked writes, of which no two follow each other.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2: append y 1",
                    "T3: r x [1], r y nil",
                    "T4: r x nil, r y [1]",
                ])),
                why: "For T3, T1 came first; for T4, T2 did. There is no single order of states of which each saw one.",
                source: CERONE_SI,
                reported: &["G-nonadjacent-item"],
                never_reported: None,
            },
            Anomaly {
                name: "G2-item",
                what: "Write skew and its like: a cycle with one or more overlooked writes.",
                example: Some(Example::lists(&["T1: r x nil, append y 1", "T2: r y nil, append x 1"])),
                why: "T1 overlooked T2's write and T2 overlooked T1's: whichever came second should have seen the \
                      other.",
                source: ADYA,
                reported: &["G2-item"],
                never_reported: None,
            },
        ],
    ),
    (
        "Cycles with the order within each process (session)",
        &[
            Anomaly {
                name: "G0-process",
                what: "A process' later write comes before its earlier one.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (process of T1): append x 2", "T3: r x [2 1]"])),
                why: "One process appended 1 and then 2; the list has them the other way round.",
                source: ELLE,
                reported: &["G0-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G1c-process",
                what: "A cycle of writes, of reads that saw them, and of the order within processes.",
                example: Some(Example::lists(&["T1: r x [1]", "T2 (process of T1): append x 1"])),
                why: "One process read 1 and then appended it: it saw what it had yet to do.",
                source: ELLE,
                reported: &["G1c-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G-single-item-process",
                what: "A cycle with the order within processes and one overlooked write: a process does not see its \
                       own writes.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (process of T1): r x nil"])),
                why: "One process appended 1, and its next transaction does not see it.",
                source: ELLE,
                reported: &["G-single-item-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G-nonadjacent-item-process",
                what: "A cycle with the order within processes and several overlooked writes, of which no two follow \
                       each other.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2 (process of T1): r y nil",
                    "T3: append y 1",
                    "T4 (process of T3): r x nil",
                ])),
                why: "Each process wrote and then overlooked the other's write. Whichever wrote first, the other \
                      should have seen it.",
                source: ELLE,
                reported: &["G-nonadjacent-item-process"],
                never_reported: None,
            },
            Anomaly {
                name: "G2-item-process",
                what: "A cycle with the order within processes and overlooked writes.",
                example: Some(Example::lists(&[
                    "T1: append y 1",
                    "T2 (process of T1): r x nil",
                    "T3: append x 1, r y nil",
                ])),
                why: "T3 overlooked T1 and T2 overlooked T3, so that T2 comes before T1; but one process did T1 first.",
                source: ELLE,
                reported: &["G2-item-process"],
                never_reported: None,
            },
        ],
    ),
    (
        "Cycles with real time",
        &[
            Anomaly {
                name: "G0-realtime",
                what: "A write comes before another that had ended before it began.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (after T1): append x 2", "T3: r x [2 1]"])),
                why: "T1 had ended when T2 began; the list has their elements the other way round.",
                source: ELLE,
                reported: &["G0-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G1c-realtime",
                what: "A cycle of writes, of reads that saw them, and of real time.",
                example: Some(Example::lists(&["T1: r x [1]", "T2 (after T1): append x 1"])),
                why: "T1 read 1 and had ended before T2 began to append it.",
                source: ELLE,
                reported: &["G1c-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G-single-item-realtime",
                what: "Stale read: a cycle with real time and one overlooked write.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (after T1): r x nil"])),
                why: "T1 had ended when T2 began, and T2 does not see it: an old replica or snapshot answered.",
                source: ELLE,
                reported: &["G-single-item-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G-nonadjacent-item-realtime",
                what: "A cycle with real time and several overlooked writes, of which no two follow each other.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2: append y 1",
                    "T3: r x nil, r y [1]",
                    "T4 (after T1): r y nil",
                ])),
                why: "T3 saw T2 and not T1, so that T2 comes before T1. T4, which began after T1 had ended, should \
                      have seen T2.",
                source: ELLE,
                reported: &["G-nonadjacent-item-realtime"],
                never_reported: None,
            },
            Anomaly {
                name: "G2-item-realtime",
                what: "A cycle with real time and overlooked writes.",
                example: Some(Example::lists(&["T1: append y 1", "T2 (after T1): r x nil", "T3: append x 1, r y nil"])),
                why: "T3 overlooked T1 and T2 overlooked T3, so that T2 comes before T1; but T1 had ended when T2 \
                      began.",
                source: ELLE,
                reported: &["G2-item-realtime"],
                never_reported: None,
            },
        ],
    ),
    (
        "Cycles that refute more than their name says",
        &[
            Anomaly {
                name: "strong-session-PL-1-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-session-PL-1. Two transactions often depend on \
                       each other for several reasons; a cycle has its name from the strongest of each pair. Named by \
                       the others this one is G0-process, and refutes what its name does not.",
                example: Some(Example::lists(&[
                    "T1: append x 2, append y 1",
                    "T2 (process of T1): append x 1, r y [1]",
                    "T3: r x [1 2]",
                ])),
                why: "T2 saw T1's y, so that the cycle is called G1c. But T2's write of x comes before T1's, though \
                      one process did T1 first.",
                source: ELLE,
                reported: &["G1c", "strong-session-PL-1-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-session-PL-2-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-session-PL-2. Two transactions often depend on \
                       each other for several reasons; a cycle has its name from the strongest of each pair. Named by \
                       the others this one is G1c-process, and refutes what its name does not.",
                example: Some(Example::lists(&["T1: r x [1], r y nil", "T2 (process of T1): append x 1, append y 1"])),
                why: "T1 overlooked T2's y, so that the cycle is called G-single-item. But one process did T1 first, \
                      and it saw T2's x.",
                source: ELLE,
                reported: &["G-single-item", "strong-session-PL-2-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-session-snapshot-isolation-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-session-snapshot-isolation. Two transactions \
                       often depend on each other for several reasons; a cycle has its name from the strongest of each \
                       pair. Named by the others this one is G-single-item-process, and refutes what its name does \
                       not.",
                example: Some(Example::lists(&["T1: r y nil, append x 1", "T2 (process of T1): r x nil, append y 1"])),
                why: "Each overlooked the other, so that the cycle is called G2-item. But one process did T1 first: T2 \
                      should have seen it.",
                source: ELLE,
                reported: &["G2-item", "strong-session-snapshot-isolation-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-session-serializable-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-session-serializable.",
                example: None,
                why: "There is no serial order that keeps the order of each process.",
                source: ELLE,
                reported: &[],
                never_reported: Some("every cycle refutes strong-session-serializable by its own name"),
            },
            Anomaly {
                name: "strong-PL-1-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-PL-1. Two transactions often depend on each other \
                       for several reasons; a cycle has its name from the strongest of each pair. Named by the others \
                       this one is G0-realtime, and refutes what its name does not.",
                example: Some(Example::lists(&[
                    "T1: append x 2, append y 1",
                    "T2 (after T1): append x 1, r y [1]",
                    "T3: r x [1 2]",
                ])),
                why: "T2 saw T1's y, so that the cycle is called G1c. But T2's write of x comes before T1's, which had \
                      ended when T2 began.",
                source: ELLE,
                reported: &["G1c", "strong-PL-1-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-PL-2-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-PL-2. Two transactions often depend on each other \
                       for several reasons; a cycle has its name from the strongest of each pair. Named by the others \
                       this one is G1c-realtime, and refutes what its name does not.",
                example: Some(Example::lists(&["T1: r x [1], r y nil", "T2 (after T1): append x 1, append y 1"])),
                why: "T1 overlooked T2's y, so that the cycle is called G-single-item. But T1 had ended when T2 began, \
                      and saw its x.",
                source: ELLE,
                reported: &["G-single-item", "strong-PL-2-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "strong-snapshot-isolation-cycle-exists",
                what: "A cycle that by weaker reasons refutes strong-snapshot-isolation. Two transactions often depend \
                       on each other for several reasons; a cycle has its name from the strongest of each pair. Named \
                       by the others this one is G-single-item-realtime, and refutes what its name does not.",
                example: Some(Example::lists(&["T1: r y nil, append x 1", "T2 (after T1): r x nil, append y 1"])),
                why: "Each overlooked the other, so that the cycle is called G2-item. But T1 had ended when T2 began: \
                      T2 should have seen it.",
                source: ELLE,
                reported: &["G2-item", "strong-snapshot-isolation-cycle-exists"],
                never_reported: None,
            },
            Anomaly {
                name: "PL-SS-cycle-exists",
                what: "A cycle that by weaker reasons refutes strict serializability.",
                example: None,
                why: "There is no serial order that keeps real time.",
                source: ELLE,
                reported: &[],
                never_reported: Some("every cycle refutes strict serializability by its own name"),
            },
            Anomaly {
                name: "PL-1-cycle-exists",
                what: "There is a cycle that refutes read uncommitted, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
            Anomaly {
                name: "PL-2-cycle-exists",
                what: "There is a cycle that refutes read committed, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
            Anomaly {
                name: "PL-2.99-cycle-exists",
                what: "There is a cycle that refutes repeatable read, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
            Anomaly {
                name: "PL-SI-cycle-exists",
                what: "There is a cycle that refutes snapshot isolation, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
            Anomaly {
                name: "PL-3-cycle-exists",
                what: "There is a cycle that refutes serializability, but it could not be shown in the time given.",
                example: None,
                why: "A cycle of such a kind is what the model forbids.",
                source: ELLE,
                reported: &[],
                never_reported: Some(
                    "schism decides of each kind of cycle whether it is there, and shows it; this is Elle's word for \
                     where it cannot",
                ),
            },
        ],
    ),
    (
        "Wider names, of which those above are cases",
        &[
            Anomaly {
                name: "G1",
                what: "Any of G1a (aborted read), G1b (intermediate read) and G1c (circular information flow).",
                example: Some(Example::lists(&["T1 (aborted): append x 1", "T2: append y 1", "T3: r x [1], r y [1]"])),
                why: "Something was seen that was not, or not yet, committed.",
                source: ADYA,
                reported: &["G1a"],
                never_reported: Some("its cases have names of their own: G1a, G1b, G1c"),
            },
            Anomaly {
                name: "G1-process",
                what: "G1, or G1c with the order within each process.",
                example: Some(Example::lists(&["T1: r x [1]", "T2 (process of T1): append x 1"])),
                why: "Something was seen that this process had yet to do.",
                source: ELLE,
                reported: &["G1c-process"],
                never_reported: Some("its cases have names of their own: G1a, G1b, G1c, G1c-process"),
            },
            Anomaly {
                name: "G1-realtime",
                what: "G1, or G1c with the order within each process or real time.",
                example: Some(Example::lists(&["T1: r x [1]", "T2 (after T1): append x 1"])),
                why: "Something was seen that nobody had begun to do.",
                source: ELLE,
                reported: &["G1c-realtime"],
                never_reported: Some("its cases have names of their own: G1a, G1b, G1c, G1c-realtime"),
            },
            Anomaly {
                name: "G-single",
                what: "A cycle of dependencies with exactly one overlooked write, of an item or of what a predicate \
                       selects.",
                example: Some(Example::lists(&["T1: append x 1, append y 1", "T2: r x [1], r y nil"])),
                why: "One state was seen in part only, or too late.",
                source: ADYA,
                reported: &["G-single-item"],
                never_reported: Some("only reads of items are seen, and so it is called G-single-item"),
            },
            Anomaly {
                name: "G-nonadjacent",
                what: "A cycle of dependencies with overlooked writes, of items or of what a predicate selects, of \
                       which no two follow each other.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2: append y 1",
                    "T3: r x [1], r y nil",
                    "T4: r x nil, r y [1]",
                ])),
                why: "There is no single order of states of which each saw one.",
                source: CERONE_SI,
                reported: &["G-nonadjacent-item"],
                never_reported: Some("only reads of items are seen, and so it is called G-nonadjacent-item"),
            },
            Anomaly {
                name: "G2",
                what: "A cycle of dependencies with one or more overlooked writes, of items or of what a predicate \
                       selects.",
                example: Some(Example::lists(&["T1: r x nil, append y 1", "T2: r y nil, append x 1"])),
                why: "There is no serial order: whoever came later should have seen what it overlooked.",
                source: ADYA,
                reported: &["G2-item"],
                never_reported: Some("only reads of items are seen, and so it is called G2-item"),
            },
            Anomaly {
                name: "G-single-process",
                what: "A cycle of dependencies and the order within each process with exactly one overlooked write, of \
                       an item or of what a predicate selects.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (process of T1): r x nil"])),
                why: "One state was seen in part only, or too late.",
                source: ELLE,
                reported: &["G-single-item-process"],
                never_reported: Some("only reads of items are seen, and so it is called G-single-item-process"),
            },
            Anomaly {
                name: "G-nonadjacent-process",
                what: "A cycle of dependencies and the order within each process with overlooked writes, of items or \
                       of what a predicate selects, of which no two follow each other.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2 (process of T1): r y nil",
                    "T3: append y 1",
                    "T4 (process of T3): r x nil",
                ])),
                why: "There is no single order of states of which each saw one.",
                source: ELLE,
                reported: &["G-nonadjacent-item-process"],
                never_reported: Some("only reads of items are seen, and so it is called G-nonadjacent-item-process"),
            },
            Anomaly {
                name: "G2-process",
                what: "A cycle of dependencies and the order within each process with one or more overlooked writes, \
                       of items or of what a predicate selects.",
                example: Some(Example::lists(&[
                    "T1: append y 1",
                    "T2 (process of T1): r x nil",
                    "T3: append x 1, r y nil",
                ])),
                why: "There is no serial order: whoever came later should have seen what it overlooked.",
                source: ELLE,
                reported: &["G2-item-process"],
                never_reported: Some("only reads of items are seen, and so it is called G2-item-process"),
            },
            Anomaly {
                name: "G-single-realtime",
                what: "A cycle of dependencies and real time with exactly one overlooked write, of an item or of what \
                       a predicate selects.",
                example: Some(Example::lists(&["T1: append x 1", "T2 (after T1): r x nil"])),
                why: "One state was seen in part only, or too late.",
                source: ELLE,
                reported: &["G-single-item-realtime"],
                never_reported: Some("only reads of items are seen, and so it is called G-single-item-realtime"),
            },
            Anomaly {
                name: "G-nonadjacent-realtime",
                what: "A cycle of dependencies and real time with overlooked writes, of items or of what a predicate \
                       selects, of which no two follow each other.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2: append y 1",
                    "T3: r x nil, r y [1]",
                    "T4 (after T1): r y nil",
                ])),
                why: "There is no single order of states of which each saw one.",
                source: ELLE,
                reported: &["G-nonadjacent-item-realtime"],
                never_reported: Some(
                    "only reads of items are seen, and so it is called \
                     G-nonadjacent-item-realtime",
                ),
            },
            Anomaly {
                name: "G2-realtime",
                what: "A cycle of dependencies and real time with one or more overlooked writes, of items or of what a \
                       predicate selects.",
                example: Some(Example::lists(&["T1: append y 1", "T2 (after T1): r x nil", "T3: append x 1, r y nil"])),
                why: "There is no serial order: whoever came later should have seen what it overlooked.",
                source: ELLE,
                reported: &["G2-item-realtime"],
                never_reported: Some("only reads of items are seen, and so it is called G2-item-realtime"),
            },
        ],
    ),
    (
        "Adya's and others' that lists and registers do not show",
        &[
            Anomaly {
                name: "G-SI",
                what: "Adya's two phenomena of snapshot isolation together: G-SIa, something seen or overwritten that \
                       was not committed when the reader began; G-SIb, missed effects.",
                example: Some(Example::lists(&["T1: append x 1, append y 1", "T2: r x [1], r y nil"])),
                why: "T2 saw neither the state before T1 nor that after it, and so no snapshot.",
                source: ADYA,
                reported: &["G-single-item"],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; what of it shows in \
                     dependencies alone is G-single-item",
                ),
            },
            Anomaly {
                name: "G-SIb",
                what: "Missed effects: a cycle of dependencies and of commits before starts, with exactly one \
                       overlooked write.",
                example: Some(Example::lists(&["T1: append x 1, append y 1", "T2: r x [1], r y nil"])),
                why: "T2 began after T1, whose x it saw, had committed, and yet overlooked T1's y.",
                source: ADYA,
                reported: &["G-single-item"],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; what of it shows in \
                     dependencies alone is G-single-item",
                ),
            },
            Anomaly {
                name: "GSI",
                what: "Another spelling of G-SI.",
                example: None,
                why: "As of G-SI.",
                source: ADYA,
                reported: &[],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; Elle's implications, \
                     which the lattice keeps, spell it without the second hyphen, its models with it, so that no model \
                     is tied to this name",
                ),
            },
            Anomaly {
                name: "GSIa",
                what: "Interference, the first part of G-SI: a transaction depends on one that had not committed when \
                       it began.",
                example: None,
                why: "A snapshot holds only what was committed when it was taken.",
                source: ADYA,
                reported: &[],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; Elle's implications, \
                     which the lattice keeps, spell it without the second hyphen, its models with it, so that no model \
                     is tied to this name",
                ),
            },
            Anomaly {
                name: "GSIb",
                what: "Another spelling of G-SIb: missed effects.",
                example: None,
                why: "As of G-SIb.",
                source: ADYA,
                reported: &[],
                never_reported: Some(
                    "a history does not say when the database began and committed a transaction; Elle's implications, \
                     which the lattice keeps, spell it without the second hyphen, its models with it, so that no model \
                     is tied to this name",
                ),
            },
            Anomaly {
                name: "G-cursor",
                what: "A lost update of one object, of which a cursor had read it first.",
                example: Some(Example::lists(&["T1: r x nil, append x 1", "T2: r x nil, append x 2", "T3: r x [1 2]"])),
                why: "T2 overwrote T1's write of x without having seen it, though a cursor should have held x.",
                source: ADYA,
                reported: &["G-single-item", "lost-update"],
                never_reported: Some("a history knows no cursors; of any two transactions it is lost-update"),
            },
            Anomaly {
                name: "G-monotonic",
                what: "A transaction sees another's write and later, within itself, an older state: a cycle with one \
                       overlooked write between single reads.",
                example: Some(Example::lists(&["T1: append x 1, append y 1", "T2: r x [1], r y nil"])),
                why: "After T2 had seen T1's x, its next read went back to before T1.",
                source: ADYA,
                reported: &["G-single-item"],
                never_reported: Some(
                    "the order of a transaction's own reads is not looked at; without it, it is G-single-item",
                ),
            },
            Anomaly {
                name: "G-MSR",
                what: "A statement of a transaction reads from no snapshot, or from an older one than the statement \
                       before.",
                example: None,
                why: "Each statement was promised one state, never an older one than before.",
                source: ADYA,
                reported: &[],
                never_reported: Some("a history does not say which reads were one statement"),
            },
            Anomaly {
                name: "G-update",
                what: "A cycle with one or more overlooked writes among transactions that write and at most one that \
                       only reads.",
                example: Some(Example::lists(&["T1: r x nil, append y 1", "T2: r y nil, append x 1"])),
                why: "Those that write are to be serializable, and each reader is to see one of their serial states.",
                source: ADYA,
                reported: &["G2-item"],
                never_reported: Some(
                    "transactions that write are not told from those that only read; it is one of the kinds of cycles",
                ),
            },
            Anomaly {
                name: "predicate-read-miss",
                what: "A read by a predicate lacks something, though every version of it that there ever was fits the \
                       predicate.",
                example: None,
                why: "Whichever state was read, it should have been there.",
                source: ELLE,
                reported: &[],
                never_reported: Some("lists and registers are read by key; there are no predicates"),
            },
        ],
    ),
    (
        "What keeps a verdict from being reached",
        &[
            Anomaly {
                name: "empty-transaction-graph",
                what: "No transaction depends on another.",
                example: Some(Example::lists(&["T1: append x 1", "T2: append y 1"])),
                why: "Nothing is wrong, but nothing is shown either: nobody read what another wrote.",
                source: ELLE,
                reported: &["empty-transaction-graph"],
                never_reported: None,
            },
            Anomaly {
                name: "duplicate-appends",
                what: "An element was appended to a list more than once.",
                example: Some(Example::lists(&[
                    "T1: append x 1",
                    "T2: append x 1, append y 1",
                    "T3: r x [1], r y [1]",
                ])),
                why: "Whose 1 was read cannot be told. It is a fault of the test, not of the database.",
                source: ELLE,
                reported: &["duplicate-appends"],
                never_reported: None,
            },
            Anomaly {
                name: "duplicate-writes",
                what: "Several transactions wrote the same value to a register, and somebody read it.",
                example: Some(Example::registers(&["T1: w x 1", "T2: w x 1, w y 1", "T3: r x 1, r y 1"])),
                why: "Whose 1 was read cannot be told. It is a fault of the test, not of the database.",
                source: ELLE,
                reported: &["duplicate-writes"],
                never_reported: None,
            },
            Anomaly {
                name: "cycle-search-timeout",
                what: "The search for cycles used up its budget and left some kinds undecided.",
                example: None,
                why: "Nothing need be wrong, but what was not searched may be there: a longer --cycle-search-timeout \
                      decides it. It takes so large a graph that there is no example.",
                source: ELLE,
                reported: &[],
                never_reported: None,
            },
        ],
    ),
];

/// By group, each group's weaker models first.
const PROMISES: &[(&str, &[Promise])] = &[
    (
        "Isolation levels",
        &[
            Promise {
                name: "PL-1",
                promise: "Writes of different transactions do not interleave: all keys see them in one order. Reads \
                          may answer anything that was written.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-2",
                promise: "Only what was committed is read, and of each transaction only its last writes. Two reads may \
                          come from different times.",
                source: ADYA,
                databases: Some(
                    "by the survey in Bailis et al. 2014, the default of PostgreSQL 9.2, Oracle 11g, SQL Server 2012 \
                     and SAP HANA",
                ),
            },
            Promise {
                name: "PL-CS",
                promise: "Read committed; and what a cursor stands on does not change before the cursor moves, so that \
                          no update through it is lost.",
                source: ADYA,
                databases: Some("by the survey in Bailis et al. 2014, the default of DB2 10 for z/OS"),
            },
            Promise {
                name: "PL-2L",
                promise: "Read committed; and once a transaction has seen another's effects, its later reads do not go \
                          back to before them.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-MSR",
                promise: "Read committed; each statement reads from a snapshot, and no later statement of a \
                          transaction from an older one.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-2+",
                promise: "A transaction that sees another's effects sees all of them, and those of all that it depends \
                          on. No read skew, no lost update.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-FCV",
                promise: "Consistent view; and nothing is missed of what had committed when the transaction began. It \
                          may also see later commits.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "PL-3U",
                promise: "Transactions that write are serializable, and each that only reads sees one of their serial \
                          states; two readers may disagree on the order.",
                source: ADYA,
                databases: None,
            },
            Promise {
                name: "monotonic-atomic-view",
                promise: "Read committed; and once a transaction has seen one write of another, it sees all of that \
                          other's writes.",
                source: BAILIS,
                databases: None,
            },
            Promise {
                name: "read-atomic",
                promise: "Transactions become visible as a whole, and each sees what it did itself. Old states may be \
                          read.",
                source: CERONE,
                databases: Some(
                    "RAMP transactions (Bailis et al.: \"Scalable atomic visibility with RAMP transactions\", 2014), \
                     where the name comes from",
                ),
            },
            Promise {
                name: "update-atomic",
                promise: "Read atomic; and no update is lost.",
                source: LIU,
                databases: Some("ROLA"),
            },
            Promise {
                name: "causal-cerone",
                promise: "Read atomic; and whoever sees a transaction sees all that it had seen. Transactions that \
                          know nothing of each other may be seen in different orders.",
                source: CERONE,
                databases: None,
            },
            Promise {
                name: "prefix",
                promise: "Every transaction sees a beginning of one and the same order of all transactions. Updates \
                          may be lost.",
                source: CERONE,
                databases: None,
            },
            Promise {
                name: "parallel-snapshot-isolation",
                promise: "Causal, and no update is lost; each site has its own order of transactions that know nothing \
                          of each other.",
                source: CERONE,
                databases: Some(
                    "Walter (Sovran et al.: \"Transactional storage for geo-replicated systems\", 2011), where it \
                     comes from",
                ),
            },
            Promise {
                name: "PL-SI",
                promise: "Each transaction reads from one snapshot, and of two at the same time that write the same \
                          key only one commits. Write skew is allowed.",
                source: BERENSON,
                databases: Some(
                    "what Oracle calls SERIALIZABLE (by the survey in Bailis et al. 2014, the strongest level of \
                     Oracle 11g and SAP HANA), and PostgreSQL REPEATABLE READ, as its documentation says",
                ),
            },
            Promise {
                name: "PL-2.99",
                promise: "Items that were read stay as they were until the transaction ends. Only what a predicate \
                          selects may change.",
                source: ADYA,
                databases: Some(
                    "by the survey in Bailis et al. 2014, the name of MySQL 5.6's default; a name is no promise, and \
                     elsewhere it means snapshot isolation",
                ),
            },
            Promise {
                name: "view-serializable",
                promise: "There is a serial order in which each transaction reads the same values, and that leaves the \
                          same state.",
                source: BERNSTEIN,
                databases: None,
            },
            Promise {
                name: "PL-3",
                promise: "There is a serial order of all transactions that explains everything that was read. It need \
                          not agree with real time.",
                source: ADYA,
                databases: Some(
                    "by the survey in Bailis et al. 2014, the default of VoltDB and Oracle Berkeley DB; PostgreSQL's \
                     SERIALIZABLE (Ports & Grittner: \"Serializable snapshot isolation in PostgreSQL\", 2012)",
                ),
            },
        ],
    ),
    (
        "With the order within each process (session)",
        &[
            Promise {
                name: "strong-session-PL-1",
                promise: "Read uncommitted; and writes of one process come in the order in which it made them.",
                source: ELLE,
                databases: None,
            },
            Promise {
                name: "strong-session-PL-2",
                promise: "Read committed; and the order of what was written and seen agrees with the order within each \
                          process.",
                source: ELLE,
                databases: None,
            },
            Promise {
                name: "strong-session-snapshot-isolation",
                promise: "Snapshot isolation; and each process' snapshots hold all that it did and saw before.",
                source: DAUDJEE_SI,
                databases: None,
            },
            Promise {
                name: "strong-session-serializable",
                promise: "Serializable, in an order that agrees with the order within each process.",
                source: DAUDJEE,
                databases: None,
            },
            Promise {
                name: "session-serializable",
                promise: "One copy serializable, and each session sees what it wrote.",
                source: ZUIKEVICIUTE,
                databases: None,
            },
        ],
    ),
    (
        "With real time",
        &[
            Promise {
                name: "strong-PL-1",
                promise: "Read uncommitted; and of two writes of which one ended before the other began, that one \
                          comes first.",
                source: ELLE,
                databases: None,
            },
            Promise {
                name: "strong-PL-2",
                promise: "Read committed; and the order of what was written and seen agrees with real time.",
                source: ELLE,
                databases: None,
            },
            Promise {
                name: "strong-snapshot-isolation",
                promise: "Snapshot isolation; and each snapshot holds all that had committed when the transaction \
                          began.",
                source: DAUDJEE_SI,
                databases: None,
            },
            Promise {
                name: "PL-SS",
                promise: "Serializable, in an order that agrees with real time: what had ended comes before what began \
                          later.",
                source: ADYA,
                databases: Some(
                    "Spanner calls it external consistency (Corbett et al.: \"Spanner: Google's globally-distributed \
                     database\", 2012)",
                ),
            },
        ],
    ),
    (
        "Of replicas and single objects",
        &[
            Promise {
                name: "1SR",
                promise: "Replicas behave as one copy on which the transactions ran one after the other.",
                source: BERNSTEIN,
                databases: None,
            },
            Promise {
                name: "monotonic-reads",
                promise: "A process' later reads are of no older state than its earlier ones.",
                source: TERRY,
                databases: None,
            },
            Promise {
                name: "monotonic-writes",
                promise: "A process' writes take effect everywhere in the order in which it made them.",
                source: TERRY,
                databases: None,
            },
            Promise {
                name: "read-your-writes",
                promise: "A process sees what it wrote.",
                source: TERRY,
                databases: None,
            },
            Promise {
                name: "writes-follow-reads",
                promise: "A write comes, for everybody, after what its process had read before.",
                source: TERRY,
                databases: None,
            },
            Promise {
                name: "PRAM",
                promise: "Each process' writes are seen by everybody in the order in which it made them; those of \
                          different processes in any.",
                source: LIPTON,
                databases: None,
            },
            Promise {
                name: "causal",
                promise: "Whoever sees something sees what led to it. What knows nothing of each other may be seen in \
                          different orders.",
                source: AHAMAD,
                databases: None,
            },
            Promise {
                name: "sequential",
                promise: "There is one order of all operations that agrees with that of each process and explains what \
                          was read.",
                source: LAMPORT,
                databases: None,
            },
            Promise {
                name: "linearizable",
                promise: "Each operation takes effect at one moment between its beginning and its end, on one object, \
                          for everybody.",
                source: HERLIHY,
                databases: None,
            },
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Details, Validity,
        isolation::{IsolationResult, Settings, check},
    };

    fn rows() -> impl Iterator<Item = AnomalyExplanation> {
        anomalies().into_iter().flat_map(|group| group.names).map(|name| match explain(name) {
            Some(Explanation::Anomaly(anomaly)) => anomaly,
            other => panic!("{name}: {other:?}"),
        })
    }

    fn judged(example: &Example, models: &[&str]) -> (Validity, BTreeSet<String>) {
        let mut settings = Settings {
            consistency_models: Some(models.iter().map(|model| (*model).into()).collect()),
            ..Settings::default()
        };
        match example.option {
            None => {}
            Some("--linearizable-keys") => settings.linearizable_keys = true,
            Some(other) => panic!("{other}"),
        }
        let check = check(&example.history().unwrap(), &settings);
        let Details::Isolation(IsolationResult { anomaly_types, allowed, .. }) = check.details else {
            panic!("another result")
        };
        (check.valid, anomaly_types.into_iter().chain(allowed).collect())
    }

    #[test]
    fn the_checker_reports_of_each_example_what_is_said() {
        let mut wrong = Vec::new();
        for anomaly in rows() {
            let name = anomaly.name;
            let Some(example) = anomaly.example else {
                assert_eq!(anomaly.never_reported.is_none(), name == "cycle-search-timeout", "{name}");
                assert!(anomaly.reported.is_empty(), "{name}");
                continue;
            };
            assert_eq!(anomaly.reported.contains(&name), anomaly.never_reported.is_none(), "{name}");
            let asked: &[&str] = match &anomaly.forbidden_by_weakest[..] {
                [] => &["strict-serializable"],
                weakest => weakest,
            };
            let (_, kinds) = judged(&example, asked);
            if kinds != anomaly.reported.iter().map(|kind| (*kind).to_owned()).collect() {
                wrong.push(format!("{name} is reported as {kinds:?}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn each_example_is_refuted_by_the_models_that_forbid_it_and_by_no_others() {
        let mut wrong = Vec::new();
        for anomaly in rows() {
            let Some(example) = anomaly.example else { continue };
            let name = anomaly.name;
            let undecided = anomaly.reported.iter().any(|kind| lattice::UNKNOWN.contains(kind));
            // What is found in it forbids as much, if it is a case of it.
            let tells = lattice::implied_by(anomaly.reported.iter().copied()).contains(name);
            for model in anomaly.forbidden_by_weakest.iter().chain(&anomaly.forbidden_by_stronger).filter(|_| tells) {
                let (valid, kinds) = judged(&example, &[model]);
                if valid != Validity::Invalid {
                    wrong.push(format!("{name} does not refute {model}: {kinds:?}"));
                }
            }
            let refuted = lattice::impossible(anomaly.reported.iter().copied());
            for model in MODELS.iter().filter(|model| !refuted.contains(model.name)) {
                let (valid, kinds) = judged(&example, &[model.name]);
                if !(valid == Validity::Valid || undecided && valid == Validity::Unknown) {
                    wrong.push(format!("{name}, {valid:?} for {}: {kinds:?}", model.name));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn every_name_has_its_text() {
        let explained: BTreeSet<&str> = names().into_iter().collect();
        assert_eq!(explained.len(), names().len(), "a name stands for two things");
        let folded: BTreeSet<String> = names().iter().map(|name| name.to_ascii_lowercase()).collect();
        assert_eq!(folded.len(), explained.len(), "names that differ only in their case");
        for name in lattice::anomaly_names().iter().chain(lattice::UNKNOWN).chain(&reported_names()) {
            assert!(explained.contains(name), "{name}");
        }
        for name in names() {
            assert!(explain(&name.to_ascii_uppercase()).is_some(), "{name}");
        }
        let promised: Vec<&str> =
            PROMISES.iter().flat_map(|(_, models)| models.iter()).map(|model| model.name).collect();
        assert_eq!(promised.iter().collect::<BTreeSet<_>>(), MODELS.iter().map(|model| &model.name).collect());
        assert_eq!(promised.len(), MODELS.len());
        assert_eq!(explain("no-such-thing"), None);
    }

    /// Whatever the checker can find has an example of its own.
    #[test]
    fn everything_that_the_checker_finds_has_an_example() {
        let without: BTreeSet<&str> = rows().filter(|row| row.never_reported.is_some()).map(|row| row.name).collect();
        for name in reported_names() {
            assert!(!without.contains(name), "{name}");
        }
        // These two kinds can only be found beside another that refutes the same models.
        let never: Vec<&str> =
            lattice::EXISTS.iter().map(|(_, exists)| *exists).filter(|exists| without.contains(exists)).collect();
        assert_eq!(never, ["strong-session-serializable-cycle-exists", "PL-SS-cycle-exists"]);
        for (kind, exists) in lattice::EXISTS.iter().filter(|(_, exists)| never.contains(exists)) {
            // The graph has edges of one of the two beside the data's.
            let (suffix, not) =
                if kind.ends_with("process") { ("-process", "-realtime") } else { ("-realtime", "-process") };
            assert!(kind.ends_with(suffix));
            for other in lattice::CYCLES.iter().filter(|other| !other.ends_with(not)) {
                let also = lattice::impossible([*other]);
                assert!(lattice::impossible([*exists]).is_subset(&also), "{kind}, {other}");
            }
        }
    }

    /// The names that the checker's own source gives to what it finds.
    fn reported_names() -> Vec<&'static str> {
        let sources = [include_str!("mod.rs"), include_str!("append.rs"), include_str!("register.rs")];
        let calls = sources.into_iter().flat_map(|source| source.split("found.add(").skip(1));
        let names: Vec<&str> =
            calls.filter_map(|call| call.split('"').nth(1)).chain(lattice::CYCLES.iter().copied()).collect();
        assert!(names.contains(&"G1b") && names.contains(&"cyclic-versions"), "{names:?}");
        names
    }

    #[test]
    fn what_is_written_badly_is_said() {
        for (line, says) in [
            ("append x 1", "begins with T1"),
            ("T1 (after T1): append x 1", "not after a line above"),
            ("T1 (soon): append x 1", "after T1, process of T1, or aborted"),
            ("T1 (after all): append x 1", "no transaction"),
        ] {
            assert!(in_notation(&[line]).unwrap_err().contains(says), "{line}");
        }
        assert!(notation::history("list-append", &in_notation(&["T1: push x 1"]).unwrap()).is_err());
    }
}

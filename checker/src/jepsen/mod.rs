//! Jepsen's own checkers of simple objects, as elle-cli serves them: what is decided by sums, sets and the order of events,
//! without a search.
//!
//! Each is one file that states its rule, where it is from, and what it does not decide. Verdicts are Jepsen's (version
//! 0.3.11, elle-cli's 0.1.10); `docs/differences-from-elle-cli.md` lists where they are not, and why. The models of the
//! same objects that ask for a linearization have other names ([`crate::linearizability::models`]).

pub mod bank;
pub mod comments;
pub mod counter;
pub mod long_fork;
pub mod queue;
pub mod sequential;
pub mod set;
pub mod set_full;
pub mod total_queue;
pub mod unique_ids;

use serde::{Deserialize, Serialize};

use crate::{
    Check, CheckError,
    history::{F, History, Op, Outcome, Value},
    say,
};

/// What some of these checks can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JepsenOptions {
    /// long-fork: how many keys every read reads; `None`: as many as the first read.
    pub group_size: Option<usize>,
    /// bank: the sum of all balances; `None`: that of the first read.
    pub total_amount: Option<i64>,
    /// bank: transfers of more than this are counted. No verdict depends on it, neither here nor in Jepsen.
    pub max_transfer: Option<i64>,
    /// bank: a balance may be below zero.
    pub allow_negative_balances: bool,
}

/// The figures and lists of one of these checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "model")]
pub enum JepsenResult {
    /// Sums of balances.
    Bank(bank::BankResult),
    /// Writes in the order of real time.
    Comments(comments::CommentsResult),
    /// Bounds of a counter.
    Counter(counter::CounterResult),
    /// Orders of writes as reads show them.
    LongFork(long_fork::LongForkResult),
    /// Every dequeue comes from somewhere.
    Queue(queue::QueueResult),
    /// Writes in the order of a process.
    Sequential(sequential::SequentialResult),
    /// A set by its final read.
    Set(set::SetResult),
    /// A set by all of its reads.
    SetFull(set_full::SetFullResult),
    /// What goes in must come out.
    TotalQueue(total_queue::TotalQueueResult),
    /// Identifiers that nobody got twice.
    UniqueIds(unique_ids::UniqueIdsResult),
}

/// One of these checks.
pub(crate) struct JepsenModel {
    name: &'static str,
    /// The operations that it has.
    fs: &'static [&'static str],
    /// What is wrong with a value that is not nil, of an invocation or an ok completion (true).
    complaint: fn(f: &str, value: &Value, is_ok: bool) -> Option<&'static str>,
    check: fn(&History, &JepsenOptions) -> Check,
    /// Values are elements, which may be anything; foreign ones are numbered.
    pub(crate) has_elements: bool,
    /// It does not matter which invocation a completion belongs to, so that operations need no process.
    pub(crate) pairs_freely: bool,
}

/// The names of the models here.
pub const NAMES: &[&str] = &[
    "set",
    "set-full",
    "bank",
    "long-fork",
    "comments",
    "sequential",
    "unique-ids",
    "queue",
    "total-queue",
    "counter",
];

/// Functions whose answer is what their ok completion brings; of the others it is what they were invoked with.
pub(crate) fn answers(f: &F) -> bool {
    match f {
        F::Read | F::Txn => true,
        F::Other(name) => matches!(&**name, "dequeue" | "drain" | "generate"),
        F::Write | F::Cas | F::Add => false,
    }
}

/// The check of this name.
pub(crate) fn by_name(name: &str) -> Option<&'static JepsenModel> {
    const QUEUE: &[&str] = &["enqueue", "dequeue", "drain"];
    const fn model(
        name: &'static str,
        fs: &'static [&'static str],
        check: fn(&History, &JepsenOptions) -> Check,
    ) -> JepsenModel {
        JepsenModel { name, fs, complaint: of_elements, check, has_elements: true, pairs_freely: true }
    }
    static SET: JepsenModel = model("set", &["add", "read"], |history, _| set::check(history));
    static SET_FULL: JepsenModel = JepsenModel {
        pairs_freely: false,
        ..model("set-full", &["add", "read"], |history, _| set_full::check(history))
    };
    static BANK: JepsenModel = JepsenModel {
        complaint: bank::complaint,
        has_elements: false,
        ..model("bank", &["read", "transfer"], bank::check)
    };
    static LONG_FORK: JepsenModel = JepsenModel {
        complaint: long_fork::complaint,
        has_elements: false,
        ..model("long-fork", &["read", "write", "txn"], long_fork::check)
    };
    static COMMENTS: JepsenModel = model("comments", &["read", "write"], |history, _| comments::check(history));
    static SEQUENTIAL: JepsenModel = JepsenModel {
        complaint: sequential::complaint,
        has_elements: false,
        ..model("sequential", &["add", "write", "read"], |history, _| sequential::check(history))
    };
    static UNIQUE_IDS: JepsenModel = model("unique-ids", &["generate"], |history, _| unique_ids::check(history));
    static QUEUE_MODEL: JepsenModel = model("queue", QUEUE, |history, _| queue::check(history));
    static TOTAL_QUEUE: JepsenModel = model("total-queue", QUEUE, |history, _| total_queue::check(history));
    static COUNTER: JepsenModel = JepsenModel {
        complaint: counter::complaint,
        has_elements: false,
        pairs_freely: false,
        ..model("counter", &["add", "read"], |history, _| counter::check(history))
    };
    [&SET, &SET_FULL, &BANK, &LONG_FORK, &COMMENTS, &SEQUENTIAL, &UNIQUE_IDS, &QUEUE_MODEL, &TOTAL_QUEUE, &COUNTER]
        .into_iter()
        .find(|model| model.name == name)
}

impl JepsenModel {
    /// What is wrong with an operation, of an invocation or an ok completion (true).
    pub(crate) fn complaint(&self, f: &F, value: &Value, is_ok: bool) -> Option<String> {
        if !self.fs.contains(&f.name()) {
            return Some(format!("the model has no f {}; it has {}", f.name(), say::list(self.fs)));
        }
        let may_be_nil = is_ok || answers(f);
        if *value == Value::Nil && may_be_nil {
            return None;
        }
        (self.complaint)(f.name(), value, is_ok).map(str::to_owned)
    }

    /// Judges a history. (A foreign one's operations were looked at when it was read, with lines.)
    pub(crate) fn check(&self, history: &History, options: &JepsenOptions) -> Result<Check, CheckError> {
        for op in history.ops().filter(|op| op.outcome != Outcome::Fail) {
            if let Some(complaint) = self.complaint(op.f, op.value, op.outcome == Outcome::Ok) {
                return Err(CheckError::DoesNotFit { event_index: op.invoke_index, f: op.f.name().into(), complaint });
            }
        }
        Ok((self.check)(history, options))
    }
}

/// What is wrong with the value of an operation of elements.
fn of_elements(f: &str, value: &Value, is_ok: bool) -> Option<&'static str> {
    let one = value.as_int().is_some();
    let (fits, complaint) = match f {
        "read" | "drain" => (!is_ok || value.as_ints().is_some(), "the value of an ok read or drain must be a list"),
        "dequeue" | "generate" => (!is_ok || one, "the value of an ok completion must be an element"),
        _ => (one, "the value must be an element (in schism's own format an integer)"),
    };
    (!fits).then_some(complaint)
}

/// The ok operations that do this, by completion.
fn oks<'h>(history: &'h History, f: &str) -> Vec<Op<'h>> {
    let mut ops: Vec<Op<'h>> = history.ops().filter(|op| op.outcome == Outcome::Ok && op.f.name() == f).collect();
    ops.sort_by_key(|op| op.complete_index);
    ops
}

/// A beginning or end of an operation, by index.
#[derive(Debug, Clone, Copy)]
struct Step {
    index: u64,
    id: usize,
    ends: bool,
}

/// All of them, in order.
fn steps(history: &History) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(2 * history.len());
    for op in history.ops() {
        steps.push(Step { index: op.invoke_index, id: op.id, ends: false });
        steps.extend(op.complete_index.map(|index| Step { index, id: op.id, ends: true }));
    }
    steps.sort_unstable_by_key(|step| step.index);
    steps
}

/// Which operation: `process 0's read (event 3, 0.004 s)`.
fn the(history: &History, op: &Op<'_>) -> String {
    let index = op.complete_index.unwrap_or(op.invoke_index);
    if history.names_processes() {
        let at = say::seconds(op.complete_ns.unwrap_or(op.invoke_ns));
        format!("process {}'s {} (event {index}, {at})", op.process, op.f.name())
    } else {
        format!("the {} (event {index})", op.f.name())
    }
}

/// The index that proves what an operation did.
fn event_of(op: &Op<'_>) -> u64 {
    op.complete_index.unwrap_or(op.invoke_index)
}

/// An element as JSON: lists of a foreign history are numbered by their text.
fn json(history: &History, element: i64) -> serde_json::Value {
    if !history.is_symbol(element) {
        return element.into();
    }
    let text = history.spell(element);
    let list = text.starts_with(['[', '{']).then(|| serde_json::from_str(&text).ok()).flatten();
    list.unwrap_or_else(|| text.into_owned().into())
}

fn jsons(history: &History, elements: &[i64]) -> Vec<serde_json::Value> {
    elements.iter().map(|element| json(history, *element)).collect()
}

/// Elements in a sentence.
fn some_of(history: &History, elements: &[i64]) -> String {
    const SHOWN_MAX: usize = 10;
    let mut words: Vec<String> =
        elements.iter().take(SHOWN_MAX).map(|element| history.spell(*element).into_owned()).collect();
    if elements.len() > SHOWN_MAX {
        words.push(format!("{} more", elements.len() - SHOWN_MAX));
    }
    say::list(&words)
}

/// A sum in the 64 bits of a figure; it is decided in more.
fn clamped(sum: i128) -> i64 {
    sum.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

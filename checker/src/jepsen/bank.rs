//! bank: every read of all accounts sums to the same total, and no balance is below zero.
//!
//! Source: `jepsen.tests.bank/checker` as elle-cli 0.1.10 has it: accounts are those of the first ok read, and the total
//! is what it sums to unless one is given. Of each ok read the first that applies:
//!
//! - `unexpected-key`: an account that the first read does not have;
//! - `nil-balance`: an account without a balance;
//! - `wrong-total`: the balances do not sum to the total;
//! - `negative-value`: a balance below zero, unless that is allowed.
//!
//! Not decided: whether the transfers explain the balances; a missing account is only seen by its missing balance.
//! Where the first read lacks a balance, Jepsen's sum throws; here the total is that of the first read with all of them.

use std::{borrow::Cow, collections::BTreeMap};

use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};

use super::{JepsenOptions, JepsenResult, clamped, event_of, oks, the};
use crate::{
    Check, Details, Validity,
    history::{F, History, Op, Value, plain},
    say::{self, Findings},
};

/// What is wrong with the reads.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BankResult {
    /// Ok reads.
    pub read_count: u64,
    /// Those with an error.
    pub error_count: u64,
    /// The first of them.
    pub first_error: Option<BankError>,
    /// All of them, by type.
    pub errors: BTreeMap<String, BankErrors>,
    /// What reads must sum to; `None` where no read told.
    pub total_amount: Option<i64>,
    /// Transfers of more than was given as the largest; `None`: none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfers_above_max: Option<u64>,
}

/// The errors of one type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BankErrors {
    /// How many.
    pub count: u64,
    /// By completion.
    pub first: BankError,
    /// The furthest off.
    pub worst: BankError,
    /// By completion.
    pub last: BankError,
    /// The lowest total, of wrong ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest: Option<BankError>,
    /// The highest total, of wrong ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest: Option<BankError>,
}

/// What is wrong with a read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BankError {
    /// `unexpected-key`, `nil-balance`, `wrong-total` or `negative-value`.
    pub r#type: String,
    /// Accounts that the first read does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unexpected: Vec<String>,
    /// Accounts without a balance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nils: Vec<String>,
    /// The sum; past 64 bits the last within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// Balances below zero.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negative: Vec<i64>,
    /// The read.
    pub op: BankRead,
}

/// A read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BankRead {
    /// Index of its completion.
    pub index: u64,
    /// Who read; `None` where the history names no processes.
    pub process: Option<u32>,
    /// When it ended.
    pub time_ns: u64,
    /// Balances by account.
    pub value: BTreeMap<String, Option<i64>>,
}

pub(super) fn complaint(f: &str, value: &Value, is_ok: bool) -> Option<&'static str> {
    let fits = f != "read" || !is_ok || balances(value, &|account| account.to_string().into()).is_some();
    (!fits).then_some("the value of an ok read must be a map of accounts to balances, each a whole number or nil")
}

/// Balances by account; none of nil. A foreign history's accounts are numbered: a map takes ten times as much.
fn balances<'v>(value: &'v Value, spell: &dyn Fn(i64) -> Cow<'v, str>) -> Option<Vec<(Cow<'v, str>, Option<i64>)>> {
    match value {
        Value::Nil => Some(Vec::new()),
        Value::Other(json) => {
            let balance = |of: &serde_json::Value| if of.is_null() { Some(None) } else { of.as_i64().map(Some) };
            json.as_object()?.iter().map(|(account, of)| Some((plain(account), balance(of)?))).collect()
        }
        Value::List(pairs) => {
            pairs.iter().map(|pair| pair.as_keyed().map(|(account, balance)| (spell(account), balance))).collect()
        }
        _ => None,
    }
}

/// A read's error, with how bad it is among those of its type.
fn error_of(
    history: &History,
    op: &Op<'_>,
    accounts: &FxHashSet<Cow<'_, str>>,
    total: i128,
    options: &JepsenOptions,
) -> Option<(BankError, i128)> {
    let balances = balances(op.value, &|account| history.spell(account))?;
    let error = |kind: &str| BankError {
        r#type: kind.into(),
        unexpected: Vec::new(),
        nils: Vec::new(),
        total: None,
        negative: Vec::new(),
        op: BankRead {
            index: event_of(op),
            process: history.names_processes().then_some(op.process),
            time_ns: op.complete_ns.unwrap_or(op.invoke_ns),
            value: balances.iter().map(|(account, balance)| (account.to_string(), *balance)).collect(),
        },
    };
    let unexpected: Vec<String> = balances
        .iter()
        .map(|(account, _)| account)
        .filter(|account| !accounts.contains(*account))
        .map(ToString::to_string)
        .collect();
    if !unexpected.is_empty() {
        let badness = unexpected.len() as i128;
        return Some((BankError { unexpected, ..error("unexpected-key") }, badness));
    }
    let nils: Vec<String> =
        balances.iter().filter(|(_, balance)| balance.is_none()).map(|(account, _)| account.to_string()).collect();
    if !nils.is_empty() {
        let badness = nils.len() as i128;
        return Some((BankError { nils, ..error("nil-balance") }, badness));
    }
    let sum: i128 = balances.iter().filter_map(|(_, balance)| balance.map(i128::from)).sum();
    if sum != total {
        return Some((BankError { total: Some(clamped(sum)), ..error("wrong-total") }, (sum - total).abs()));
    }
    let negative: Vec<i64> = balances.iter().filter_map(|(_, balance)| balance.filter(|of| *of < 0)).collect();
    if !negative.is_empty() && !options.allow_negative_balances {
        let badness = -negative.iter().map(|balance| i128::from(*balance)).sum::<i128>();
        return Some((BankError { negative, ..error("negative-value") }, badness));
    }
    None
}

/// Checks every read.
pub(super) fn check(history: &History, options: &JepsenOptions) -> Check {
    let mut result = BankResult::default();
    let mut findings = Findings::default();
    let reads = oks(history, F::Read.name());
    let first =
        reads.first().and_then(|read| balances(read.value, &|account| history.spell(account))).unwrap_or_default();
    let accounts: FxHashSet<Cow<'_, str>> = first.into_iter().map(|(account, _)| account).collect();
    let whole = |read: &Op<'_>| -> Option<i128> {
        balances(read.value, &|account| history.spell(account))?
            .into_iter()
            .map(|(_, balance)| balance.map(i128::from))
            .sum()
    };
    let told = options.total_amount.map(i128::from).or_else(|| reads.iter().find_map(whole));
    // Without one whole read each of them lacks a balance, and no total matters.
    let total = told.unwrap_or(0);
    result.total_amount = told.map(clamped);
    result.read_count = reads.len() as u64;
    let mut worst: BTreeMap<String, i128> = BTreeMap::new();
    for read in &reads {
        let Some((error, badness)) = error_of(history, read, &accounts, total, options) else { continue };
        result.error_count += 1;
        result.first_error.get_or_insert_with(|| error.clone());
        let kind = error.r#type.clone();
        findings.push(&kind, vec![event_of(read)], || sentence(history, read, &error, total));
        let worst = worst.entry(kind.clone()).or_insert(badness);
        let sum = error.total;
        let of_kind = result.errors.entry(kind).or_insert_with(|| BankErrors {
            count: 0,
            first: error.clone(),
            worst: error.clone(),
            last: error.clone(),
            lowest: sum.map(|_| error.clone()),
            highest: sum.map(|_| error.clone()),
        });
        of_kind.count += 1;
        if badness > *worst {
            *worst = badness;
            of_kind.worst = error.clone();
        }
        if of_kind.lowest.as_ref().is_some_and(|lowest| sum < lowest.total) {
            of_kind.lowest = Some(error.clone());
        }
        if of_kind.highest.as_ref().is_some_and(|highest| sum > highest.total) {
            of_kind.highest = Some(error.clone());
        }
        of_kind.last = error;
    }
    let mut above = String::new();
    if let Some(max) = options.max_transfer {
        let amount = |op: &Op<'_>| match op.value {
            Value::Other(json) => json.get("amount").and_then(serde_json::Value::as_i64),
            _ => None,
        };
        let number = history.ops().filter(|op| op.f.name() == "transfer").filter_map(|op| amount(&op));
        let number = number.filter(|amount| *amount > max).count() as u64;
        result.transfers_above_max = Some(number);
        if number > 0 {
            above = format!(" {} of more than {max}.", say::count(number, "transfer"));
        }
    }
    let reads = say::count(result.read_count, "read");
    let (valid, summary) = if result.error_count > 0 {
        let kinds: Vec<String> = result.errors.iter().map(|(kind, of)| format!("{} × {kind}", of.count)).collect();
        (Validity::Invalid, format!("{} of {reads} wrong: {}.{above}", result.error_count, say::list(&kinds)))
    } else {
        let of = result.total_amount.map_or_else(String::new, |total| format!(", all of {total} in sum"));
        (Validity::Valid, format!("{reads}{of}.{above}"))
    };
    findings.into_check("bank", valid, None, summary, Details::Jepsen(JepsenResult::Bank(result)))
}

fn sentence(history: &History, read: &Op<'_>, error: &BankError, total: i128) -> String {
    let the = say::capital(&the(history, read));
    match error.r#type.as_str() {
        "unexpected-key" => {
            format!("{the} has accounts that the first read does not have: {}.", say::list(&error.unexpected))
        }
        "nil-balance" => format!("{the} has no balance of {}.", say::list(&error.nils)),
        "wrong-total" => format!("{the} sums to {}, not to {total}.", error.total.unwrap_or_default()),
        _ => {
            let balances: Vec<String> = error.negative.iter().map(ToString::to_string).collect();
            format!("{the} has balances below zero: {}.", say::list(&balances))
        }
    }
}

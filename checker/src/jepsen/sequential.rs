//! sequential: who sees a later write of a process also sees its earlier ones.
//!
//! Source: `jepsen.cockroach.sequential/checker`, as elle-cli 0.1.10 has it. One client adds the subkeys of a key in
//! order, another reads them in the opposite order, each in a transaction of its own; a read's value is
//! `[key [latest … earliest]]`, with nil where nothing was there. Once one is there, all that are read after it must be:
//! `[0 ["0_2" nil "0_0"]]` is *bad*.
//!
//! Only the reads are looked at: that the adds were done in order, and the reads in the opposite one, is taken for
//! granted. `all-count` counts reads without nil, of however many subkeys; elle-cli's are always four.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{JepsenResult, event_of, oks, the};
use crate::{
    Check, Details, Validity,
    history::{F, History, Value},
    say::{self, Findings},
};

/// The reads by what they hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SequentialResult {
    /// Reads that hold every subkey.
    pub all_count: u64,
    /// Reads that lack some.
    pub some_count: u64,
    /// Reads that hold none.
    pub none_count: u64,
    /// Reads that hold a later subkey and lack an earlier one.
    pub bad_count: u64,
    /// Their values.
    pub bad: Vec<Json>,
}

pub(super) fn complaint(f: &str, value: &Value, is_ok: bool) -> Option<&'static str> {
    let fits = f != "read" || !is_ok || subkeys(&value.to_json()).is_some();
    (!fits).then_some("the value of an ok read must be [key, list of subkeys, each nil where nothing was there]")
}

/// Which of the subkeys are there, the latest first.
fn subkeys(value: &Json) -> Option<Vec<bool>> {
    match value.as_array()?.as_slice() {
        [_, Json::Null] => Some(Vec::new()),
        [_, Json::Array(subkeys)] => Some(subkeys.iter().map(|subkey| !subkey.is_null()).collect()),
        _ => None,
    }
}

/// Checks every read.
pub(super) fn check(history: &History) -> Check {
    let mut result = SequentialResult::default();
    let mut findings = Findings::default();
    let mut reads = 0;
    for read in oks(history, F::Read.name()) {
        let value = read.value.to_json();
        let Some(there) = subkeys(&value) else { continue };
        reads += 1;
        let lacks = there.contains(&false);
        result.none_count += u64::from(!there.contains(&true));
        result.some_count += u64::from(lacks);
        result.all_count += u64::from(!lacks && !there.is_empty());
        let later = there.iter().position(|is_there| *is_there).unwrap_or(there.len());
        let Some(earlier) = there[later..].iter().position(|is_there| !is_there).map(|at| later + at) else { continue };
        result.bad_count += 1;
        findings.push("later-without-earlier", vec![event_of(&read)], || {
            format!(
                "{} of key {} holds subkey {} of {} and lacks subkey {}, which was added before.",
                say::capital(&the(history, &read)),
                value[0],
                there.len() - later,
                there.len(),
                there.len() - earlier
            )
        });
        result.bad.push(value);
    }
    let (valid, summary) = if result.bad_count > 0 {
        let wrong = say::count(result.bad_count, "read");
        (Validity::Invalid, format!("{wrong} of {reads} in all: a later subkey without an earlier one."))
    } else {
        let reads = say::count(reads, "read");
        (Validity::Valid, format!("{reads}; none holds a later subkey and lacks an earlier one."))
    };
    findings.into_check("sequential", valid, None, summary, Details::Jepsen(JepsenResult::Sequential(result)))
}

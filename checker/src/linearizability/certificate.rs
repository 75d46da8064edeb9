//! A certificate: a verdict with all that is needed to check it again, without the search (`crate::verify` does).
//!
//! JSON lines. Operations are named by the index of the event that invoked them.
//!
//! ```text
//! {"schism-certificate":1,"model":"register","history":"343e…6f18","operations":6}
//! {"key":"1","order":[0,4,2]}                                   then the next lines may go on with the same key
//! {"key":"1","left-out":[6]}                                    indeterminate operations that never happened
//! {"key":"2","contradiction":[8,12,14],"from":7,"before":16}    what no order explains, in a window of events
//! {"key":"3","undecided":true}
//! {"valid":false,"keys":3}                                      the last line
//! ```
//!
//! `history` is [`History::digest`]. `key` is null where the history has no keys. `from` is missing where the window begins
//! with the history, `before` where it ends with it.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{
    KeyWitness,
    partition::NEVER,
    witness::{Contradiction, Witness},
};
use crate::{Validity, history::History};

/// Version of the format.
pub const CERTIFICATE_VERSION: u32 = 1;
/// Operations of an order that one line holds at most.
const LINE_OPS_MAX: usize = 10_000;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CertificateHeader {
    /// Version of the format: 1.
    pub schism_certificate: u32,
    /// The model, as `schism check --model` names it.
    pub model: String,
    /// [`History::digest`].
    pub history: String,
    /// Number of operations of the history.
    pub operations: u64,
}

/// Any other line: of a key, or the last.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub(crate) key: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left_out: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contradiction: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) undecided: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) valid: Option<Validity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<u64>,
}

/// A field that is there; null is a value of its own.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// Writes the certificate of a verdict, `valid`, that these witnesses bear out.
///
/// # Errors
/// When it cannot be written.
pub fn write_certificate(
    history: &History,
    valid: Validity,
    witnesses: &[KeyWitness],
    out: &mut impl Write,
) -> io::Result<()> {
    first_line(history, out)?;
    let index_of = |id: &u32| history.op(*id as usize).map(|op| op.invoke_index);
    let indexes = |ids: &[u32]| -> Vec<u64> { ids.iter().filter_map(index_of).collect() };
    for KeyWitness { key, witness } in witnesses {
        let of_key = || Line { key: Some(key.clone()), ..Line::default() };
        match witness {
            None => line(out, &Line { undecided: Some(true), ..of_key() })?,
            Some(Witness::Order { order, left_out }) => {
                for ids in order.chunks(LINE_OPS_MAX) {
                    line(out, &Line { order: Some(indexes(ids)), ..of_key() })?;
                }
                for ids in left_out.chunks(LINE_OPS_MAX) {
                    line(out, &Line { left_out: Some(indexes(ids)), ..of_key() })?;
                }
            }
            Some(Witness::Contradiction(Contradiction { ops, from, before })) => {
                let from = (*from > 0).then_some(u64::from(*from));
                let before = (*before != NEVER).then_some(u64::from(*before));
                line(out, &Line { contradiction: Some(indexes(ops)), from, before, ..of_key() })?;
            }
        }
    }
    line(out, &Line { valid: Some(valid), keys: Some(witnesses.len() as u64), ..Line::default() })
}

/// Whose certificate it is.
pub(crate) fn first_line(history: &History, out: &mut impl Write) -> io::Result<()> {
    let header = CertificateHeader {
        schism_certificate: CERTIFICATE_VERSION,
        model: history.header().workload.clone(),
        history: history.digest(),
        operations: history.len() as u64,
    };
    line(out, &header)
}

pub(crate) fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

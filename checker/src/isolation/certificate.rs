//! The certificate of a verdict on transactions: all that is needed to check it again, without the graph
//! (`crate::verify` does).
//!
//! JSON lines, the first as of linearizability. Transactions are named by the index of the event that invoked them,
//! micro-operations by their place in the transaction, from 0.
//!
//! ```text
//! {"schism-certificate":1,"model":"list-append","history":"343e…6f18","operations":6}
//! {"order":[0,4,2]}                                of a valid history: one after the other they give all that was read
//! {"left-out":[6]}                                 indeterminate transactions of which nothing was seen (of registers, all)
//! {"anomaly":"G-single-item","txns":[0,4],"steps":[{"kind":"rw","mops":[0,1]},{"kind":"wr","mops":[1,0]}]}
//! {"uncertified":"…"}                              why there is neither
//! {"valid":false,"consistency-models":["serializable"],"anomalies":[]}     the last line: the verdict on what was asked
//! ```
//!
//! A cycle's first step leads from its first transaction to the second, the last one back to the first.

use std::io::{self, Write};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{
    Anomaly, Found, Index, IsolationResult, Settings, after_ok,
    graph::{EdgeKind, Timed, components},
    lattice, models_asked, order_asked, process_edges,
};
use crate::{
    Validity,
    history::{History, Outcome},
    linearizability::certificate::{first_line, line},
    verify::RowsState,
};

/// Transactions of an order that one line holds at most.
const LINE_TXNS_MAX: usize = 10_000;
/// Anomalies of each kind that are certified.
const ANOMALIES_MAX: usize = 4;

/// Any line but the first.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left_out: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) anomaly: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) txns: Option<Vec<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) steps: Option<Vec<CertificateStep>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uncertified: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) valid: Option<Validity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) consistency_models: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) anomalies: Option<Vec<String>>,
}

/// One edge of a cycle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct CertificateStep {
    pub(crate) kind: String,
    /// The two micro-operations that tell it; none of an order in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mops: Option<[u64; 2]>,
}

/// Writes the certificate of what [`super::check`] found with these settings.
///
/// # Errors
/// When it cannot be written.
pub fn write_certificate(
    history: &History,
    settings: &Settings,
    valid: Validity,
    result: &IsolationResult,
    out: &mut impl Write,
) -> io::Result<()> {
    first_line(history, out)?;
    let uncertified = |why: &str| Line { uncertified: Some(why.to_owned()), ..Line::default() };
    match valid {
        Validity::Valid => match serial_order(history, settings) {
            Ok((order, left_out)) => {
                for ids in order.chunks(LINE_TXNS_MAX) {
                    line(out, &Line { order: Some(invocations(history, ids)), ..Line::default() })?;
                }
                for ids in left_out.chunks(LINE_TXNS_MAX) {
                    line(out, &Line { left_out: Some(invocations(history, ids)), ..Line::default() })?;
                }
            }
            Err(why) => line(out, &uncertified(&why))?,
        },
        Validity::Invalid => {
            let invoked: FxHashMap<u64, u64> =
                history.ops().map(|op| (op.complete_index.unwrap_or(op.invoke_index), op.invoke_index)).collect();
            for (kind, listed) in &result.anomalies {
                for anomaly in listed.iter().take(ANOMALIES_MAX) {
                    line(out, &of_anomaly(kind, anomaly, &invoked))?;
                }
            }
        }
        Validity::Unknown => line(out, &uncertified("the verdict is unknown"))?,
    }
    line(
        out,
        &Line {
            valid: Some(valid),
            consistency_models: Some(models_asked(history, settings)),
            anomalies: Some(settings.anomalies.clone()),
            ..Line::default()
        },
    )
}

fn of_anomaly(kind: &str, anomaly: &Anomaly, invoked: &FxHashMap<u64, u64>) -> Line {
    let txns = anomaly.event_indexes.iter().filter_map(|event| invoked.get(event).copied()).collect();
    let step = |step: &super::Step| CertificateStep { kind: step.kind.clone(), mops: step.mops };
    Line {
        anomaly: Some(kind.to_owned()),
        txns: Some(txns),
        steps: (!anomaly.steps.is_empty()).then(|| anomaly.steps.iter().map(step).collect()),
        ..Line::default()
    }
}

/// All that happened in an order that agrees with every dependency, and what is left out; or why there is none.
fn serial_order(history: &History, settings: &Settings) -> Result<(Vec<u32>, Vec<u32>), String> {
    let mut found = Found::default();
    let index = Index::new(history, settings, &mut found)?;
    index.phenomena(&mut found, settings);
    if !found.by_kind.is_empty() {
        return Err("there are anomalies, which the models asked for allow".into());
    }
    if matches!(&index, Index::ClosedPredicate(index) if index.is_in_doubt()) {
        return Err("a row was written by more than one transaction, and which came last is not known".into());
    }
    let mut edges = index.edges(settings);
    if edges.left_out > 0 {
        return Err("there are more dependencies than could be kept".into());
    }
    let prohibited = lattice::prohibited(&models_asked(history, settings), &settings.anomalies);
    let after = match order_asked(&prohibited) {
        Some(EdgeKind::Realtime) => after_ok(history),
        Some(EdgeKind::Process) => {
            process_edges(history, &mut edges);
            Vec::new()
        }
        _ => Vec::new(),
    };
    let csr = edges.into_csr();
    // From higher numbers to lower ones, and without a circle no two are the same.
    let mut number = components(&Timed { csr: &csr, after: &after });
    number.truncate(history.len());
    let mut order: Vec<u32> = (0..history.len() as u32).collect();
    order.sort_unstable_by_key(|op| std::cmp::Reverse(number[*op as usize]));
    if order.windows(2).any(|pair| number[pair[0] as usize] == number[pair[1] as usize]) {
        return Err("there are cycles, which the models asked for allow".into());
    }
    let takes_part = index.take_part(history);
    let is_left_out = |op: &u32| history.outcome(*op as usize) == Outcome::Info && !takes_part[*op as usize];
    let left_out: Vec<u32> = (0..history.len() as u32).filter(is_left_out).collect();
    order.retain(|op| takes_part[*op as usize]);
    if matches!(&index, Index::ClosedPredicate(index) if index.is_torn()) {
        let mut rows = RowsState::default();
        let mut ops = order.iter().filter_map(|op| history.op(*op as usize));
        if !ops.all(|op| rows.apply(history, &op)) {
            return Err("a read lacks a row that was inserted and deleted, and before or after is not known".into());
        }
    }
    Ok((order, left_out))
}

fn invocations(history: &History, ids: &[u32]) -> Vec<u64> {
    ids.iter().map(|id| history.invoke_index(*id as usize)).collect()
}

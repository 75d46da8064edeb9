//! Plume's text. The rules are those of its reader (`history/plume.rs`).

use super::{LeftOut, may_have_written, natural, refuse};
use crate::history::{F, History, Op, Outcome};

/// A read or write of natural numbers; nil is 0.
struct RwOp {
    writes: bool,
    key: i64,
    value: Option<i64>,
}

pub(super) fn write(history: &History, left_out: &mut LeftOut) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut txns = 0_u64;
    let (mut empty, mut unknown, mut aborted_reads) = (0, 0, 0);
    for op in history.ops() {
        let rw_ops = rw_ops(history, &op)?;
        let reads = rw_ops.iter().all(|rw_op| !rw_op.writes);
        if may_have_written(&op, reads) {
            return refuse(&op, "nobody knows whether it happened; plume has committed and aborted transactions only");
        }
        let txn = match op.outcome {
            Outcome::Ok => txns.to_string(),
            _ => "-1".into(),
        };
        empty += u64::from(rw_ops.is_empty());
        txns += u64::from(op.outcome == Outcome::Ok && !rw_ops.is_empty());
        for rw_op in &rw_ops {
            let value = match rw_op.value {
                Some(0) => return refuse(&op, "its value 0 is what a key holds at first, in plume"),
                None if rw_op.writes => return refuse(&op, "it writes nil"),
                value => value.unwrap_or_default(),
            };
            let word = match (op.outcome, rw_op.writes) {
                (_, true) => "w",
                (Outcome::Ok, false) => "r",
                // They have no answer.
                (Outcome::Fail, false) => {
                    aborted_reads += 1;
                    continue;
                }
                (Outcome::Info, false) => {
                    unknown += 1;
                    continue;
                }
            };
            out.extend_from_slice(format!("{word}({},{value},{},{txn})\n", rw_op.key, op.process).as_bytes());
        }
    }
    left_out.count(empty, "transaction without operations");
    left_out.count(aborted_reads, "read of an aborted transaction");
    left_out.count(unknown, "read without an answer");
    if history.has_real_time() {
        left_out
            .say("left out: what happened first in different processes, of which plume's sessions say nothing".into());
    }
    Ok(out)
}

/// What a transaction, or a register's operation, reads and writes.
fn rw_ops(history: &History, op: &Op<'_>) -> Result<Vec<RwOp>, String> {
    match op.f {
        F::Read | F::Write => {
            let Some((key, value)) = op.value.as_keyed() else { return refuse(op, "no read or write of a register") };
            let value = value.map(|value| natural(history, op, value)).transpose()?;
            Ok(vec![RwOp { writes: *op.f == F::Write, key: natural(history, op, key)?, value }])
        }
        F::Txn => {
            let json = history.value_of(op).to_json();
            let Some(mops) = json.as_array() else { return refuse(op, "no list of reads and writes") };
            mops.iter().map(|mop| rw_op(history, op, mop)).collect()
        }
        _ => refuse(op, "plume has transactions of reads and writes only"),
    }
}

/// `[:r key value]`, `[:w key value]`.
fn rw_op(history: &History, op: &Op<'_>, mop: &serde_json::Value) -> Result<RwOp, String> {
    let parts = mop.as_array().map_or(&[][..], Vec::as_slice);
    let [word, key, value] = parts else { return refuse(op, format!("{mop} is no read or write")) };
    let writes = match word.as_str().map(|word| word.trim_start_matches(':')) {
        Some("r" | "read") => false,
        Some("w" | "write") => true,
        _ => return refuse(op, format!("{mop}: plume has reads and writes only")),
    };
    let number = |json: &serde_json::Value| match json.as_i64() {
        Some(number) => natural(history, op, number),
        None => refuse(op, format!("{json} is no natural number")),
    };
    let value = if value.is_null() { None } else { Some(number(value)?) };
    Ok(RwOp { writes, key: number(key)?, value })
}

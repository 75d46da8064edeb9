//! What Porcupine's tests read: Jepsen's log lines of one register (`etcd_NNN.log`), and the maps of a kv store
//! (`cNN-ok.txt`).
//!
//! Its parsers pass over what they do not know, so nothing may be written that they do not: numbers are natural, an
//! operation that failed is left out (of a cas Porcupine would conclude that the value was another), a read without an
//! answer is `:timed-out`, and a write without one is an invocation that nothing follows. Nothing may follow on its
//! process either: Porcupine knows one operation in flight for each.

use rustc_hash::FxHashMap;

use super::{LeftOut, may_have_written, natural, refuse};
use crate::history::{F, History, Op, Outcome, plain};

pub(super) fn write(history: &History, left_out: &mut LeftOut) -> Result<Vec<u8>, String> {
    let of_register = match &*history.header().workload {
        "register" | "cas-register" => true,
        "kv" => false,
        other => {
            let first =
                history.op(0).map_or_else(String::new, |op| format!(" (event {}: {})", op.invoke_index, op.f.name()));
            return Err(format!("Porcupine's logs are of a register or of a kv store, not of {other}{first}"));
        }
    };
    if !history.has_real_time() {
        return Err("the history does not say what happened first, which is all that Porcupine asks".into());
    }
    // Each line with the event that it stands for.
    let mut lines: Vec<(u64, String)> = Vec::new();
    let (mut failed, mut finals, mut unknown) = (0, 0, 0);
    let mut key_of_all = None;
    let mut open: FxHashMap<u32, u64> = FxHashMap::default();
    for op in history.ops() {
        if op.is_final || op.outcome == Outcome::Fail {
            finals += u64::from(op.is_final);
            failed += u64::from(!op.is_final);
            continue;
        }
        if let Some(before) = open.get(&op.process) {
            return refuse(
                &op,
                format!(
                    "nobody knows how the process' operation of event {before} ended, and Porcupine lets nothing follow"
                ),
            );
        }
        let reads = *op.f == F::Read || op.f.name() == "get";
        if may_have_written(&op, reads) {
            open.insert(op.process, op.invoke_index);
        }
        if of_register {
            register_lines(history, &op, &mut key_of_all, &mut lines)?;
        } else if op.outcome == Outcome::Info && reads {
            // It would take it for one that found the empty text.
            unknown += 1;
        } else {
            kv_lines(&op, &mut lines)?;
        }
    }
    lines.sort_by_key(|line| line.0);
    left_out.count(failed, "operation that failed");
    left_out.count(finals, "final read");
    left_out.count(unknown, "get without an answer");
    if let Some(key) = key_of_all.filter(|_| history.is_keyed()) {
        left_out.say(format!("left out: the key, which is {} for all operations", history.spell(key)));
    }
    Ok(lines.into_iter().flat_map(|(_, line)| line.into_bytes()).collect())
}

/// `INFO  jepsen.util - 3 :invoke :write 2`, with tabs.
fn register_lines(
    history: &History,
    op: &Op<'_>,
    key_of_all: &mut Option<i64>,
    lines: &mut Vec<(u64, String)>,
) -> Result<(), String> {
    let text = |value: i64| natural(history, op, value).map(|value| value.to_string());
    let (key, invoked, answered) = match (op.f, op.value.as_keyed(), op.value.as_cas()) {
        (F::Read, Some((key, value)), _) => (key, "nil".into(), value.map_or(Ok("nil".into()), text)?),
        (F::Write, Some((key, Some(value))), _) => (key, text(value)?, text(value)?),
        (F::Cas, _, Some((key, Some(old), Some(new)))) => {
            let pair = format!("[{} {}]", text(old)?, text(new)?);
            (key, pair.clone(), pair)
        }
        _ => return refuse(op, "it writes or expects nil"),
    };
    let one = *key_of_all.get_or_insert(key);
    if one != key {
        let (key, one) = (history.spell(key), history.spell(one));
        return refuse(op, format!("a log is of one register, and this is key {key} after key {one}"));
    }
    let line =
        |kind: &str, value: &str| format!("INFO  jepsen.util - {}\t:{kind}\t:{}\t{value}\n", op.process, op.f.name());
    lines.push((op.invoke_index, line("invoke", &invoked)));
    let completion = match (op.outcome, op.f) {
        (Outcome::Ok, _) => line("ok", &answered),
        (_, F::Read) => line("fail", ":timed-out"),
        _ => line("info", ":timed-out"),
    };
    lines.extend(op.complete_index.map(|index| (index, completion)));
    Ok(())
}

/// `{:process 0, :type :invoke, :f :get, :key "5", :value nil}`
fn kv_lines(op: &Op<'_>, lines: &mut Vec<(u64, String)>) -> Result<(), String> {
    let json = op.value.to_json();
    let Some([key, value]) = json.as_array().map(Vec::as_slice) else { return refuse(op, "no [key text]") };
    let text = |json: &serde_json::Value| {
        let Some(word) = json.as_str() else { return refuse(op, format!("{json} is no text")) };
        let text = plain(word).into_owned();
        // Its parser takes what stands between the quotes as it is.
        if text.contains(|letter: char| letter == '"' || letter == '\\' || letter.is_control()) {
            return refuse(op, format!("{text:?} would have to be escaped"));
        }
        Ok(format!("\"{text}\""))
    };
    let key = text(key)?;
    let reads = op.f.name() == "get";
    // A key that was never put holds the empty text.
    let answered = if reads && value.is_null() { "\"\"".into() } else { text(value)? };
    let invoked = if reads { "nil".into() } else { answered.clone() };
    let line = |kind: &str, value: &str| {
        format!("{{:process {}, :type :{kind}, :f :{}, :key {key}, :value {value}}}\n", op.process, op.f.name())
    };
    lines.push((op.invoke_index, line("invoke", &invoked)));
    if op.outcome == Outcome::Ok {
        lines.extend(op.complete_index.map(|index| (index, line("ok", &answered))));
    }
    Ok(())
}

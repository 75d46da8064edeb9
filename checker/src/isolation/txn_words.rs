//! How transactions and lists appear in sentences.

use crate::{
    history::{History, MopRef, Op},
    say,
};

/// `process 3's transaction on n1 (event 12)`.
pub(crate) fn the_txn(op: &Op<'_>) -> String {
    let event = op.complete_index.unwrap_or(op.invoke_index);
    format!("process {}'s transaction{} (event {event})", op.process, say::on(op.node))
}

/// The last elements of a list.
pub(crate) fn list_end(history: &History, list: &[i64]) -> String {
    list_around(history, list, list.len().saturating_sub(1))
}

/// The part of a list around a position.
pub(crate) fn list_around(history: &History, list: &[i64], at: usize) -> String {
    const BEFORE: usize = 4;
    const AFTER: usize = 2;
    let (start, end) = (at.saturating_sub(BEFORE).min(list.len()), (at + AFTER).min(list.len()));
    let mut words: Vec<String> = Vec::new();
    if start > 0 {
        words.push("…".into());
    }
    words.extend(list[start..end].iter().map(|element| history.spell(*element).into_owned()));
    if end < list.len() {
        words.push("…".into());
    }
    format!("[{}]", words.join(" "))
}

/// The first rows that a read by predicate got: ` {x 1, y 2, …}`.
pub(crate) fn selected(history: &History, rows: Option<&[(i64, i64)]>) -> String {
    const ROWS_MAX: usize = 8;
    let Some(rows) = rows else { return String::new() };
    let spelled = rows.iter().take(ROWS_MAX).map(|(key, value)| format!("{} {value}", history.spell(*key)));
    let more = if rows.len() > ROWS_MAX { vec!["…".to_owned()] } else { Vec::new() };
    format!(" {{{}}}", spelled.chain(more).collect::<Vec<_>>().join(", "))
}

/// A transaction's micro-operations: `append x 1 · r y [… 3 4]`.
pub(crate) fn mops(history: &History, op: &Op<'_>) -> String {
    each_mop(history, op).collect::<Vec<_>>().join(" · ")
}

/// Each of them.
pub(crate) fn each_mop<'h>(history: &'h History, op: &Op<'h>) -> impl Iterator<Item = String> + use<'h> {
    let spell = |value: i64| history.spell(value);
    op.mops().map(move |mop| match mop {
        MopRef::Append { key, element } => format!("append {} {}", spell(key), spell(element)),
        MopRef::Write { key, value } => format!("w {} {}", spell(key), spell(value)),
        MopRef::Read { key, list: None } | MopRef::Get { key, value: None } => format!("r {} nil", spell(key)),
        MopRef::Read { key, list: Some(list) } => format!("r {} {}", spell(key), list_end(history, list)),
        MopRef::Get { key, value: Some(value) } => format!("r {} {}", spell(key), spell(value)),
        MopRef::Insert { key, value } => format!("insert {} {value}", spell(key)),
        MopRef::Delete { key } => format!("delete {}", spell(key)),
        MopRef::Select { predicate, rows } => format!("select {predicate}{}", selected(history, rows)),
    })
}

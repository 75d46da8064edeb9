//! A cycle in Graphviz's language.

use schism_checker::isolation::Anomaly;

use super::{clean, more, title};

/// The whole document.
pub(super) fn dot(kind: &str, anomaly: &Anomaly) -> String {
    let mut dot = format!("digraph {} {{\n  node [shape=box, fontname=monospace];\n", quoted(kind));
    for (number, txn) in (1..).zip(&anomaly.txns) {
        let ops: String = txn.mops.iter().map(|mop| format!("{}\n", clean(&mop.op, 200))).collect();
        let label = format!("{}\n{ops}{}", title(number, txn), more(txn));
        dot.push_str(&format!("  T{number} [label={}];\n", quoted(&label)));
    }
    for (at, step) in anomaly.steps.iter().enumerate() {
        let next = (at + 1) % anomaly.steps.len();
        let key = step.key.as_deref().map_or_else(String::new, |key| format!(" {}", clean(key, 80)));
        let reason = clean(&step.reason, 600);
        dot.push_str(&format!(
            "  T{} -> T{} [label={}, tooltip={}];\n",
            at + 1,
            next + 1,
            quoted(&format!("{}{key}", step.kind)),
            quoted(&reason)
        ));
    }
    dot.push_str("}\n");
    dot
}

/// A string of the language, its lines left-aligned.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\l");
    format!("\"{escaped}\"")
}

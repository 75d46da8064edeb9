//! The anomalies of transactions as files: `KIND.txt` of each kind, a drawing of each cycle, and all of it as JSON.
//!
//! Everything comes from the [`IsolationResult`], which holds the transactions of each anomaly that it lists.

mod dot;
mod drawing;

use schism_checker::isolation::{Anomaly, AnomalyTxn, IsolationResult};

use super::plots::Figure;

/// How cycles are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DrawingFormat {
    /// A picture
    Svg,
    /// Graphviz's input, for whoever lays graphs out by themselves
    Dot,
    /// As elle-cli has it: SVG is drawn all the same
    #[value(hide = true)]
    Png,
}

/// A file's name and content.
pub(crate) type File = (String, String);

/// The machine form's name.
const JSON_FILE: &str = "isolation.json";
/// Cycles drawn of a kind.
const DRAWN_MAX: usize = 8;
/// What a file takes of a text from outside.
const SENTENCE_CHARS_MAX: usize = 20_000;

/// The files; none where no anomaly was found.
pub(crate) fn files(result: &IsolationResult, format: DrawingFormat) -> serde_json::Result<Vec<File>> {
    if result.anomalies.is_empty() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for (kind, listed) in &result.anomalies {
        let drawings: Vec<File> = listed
            .iter()
            .filter(|anomaly| !anomaly.steps.is_empty())
            .take(DRAWN_MAX)
            .zip(1..)
            .map(|(anomaly, number)| match format {
                DrawingFormat::Svg | DrawingFormat::Png => {
                    (format!("{kind}-{number}.svg"), drawing::svg(kind, anomaly))
                }
                DrawingFormat::Dot => (format!("{kind}-{number}.dot"), dot::dot(kind, anomaly)),
            })
            .collect();
        let total = result.anomaly_counts.get(kind).copied().unwrap_or(listed.len() as u64);
        files.push((format!("{kind}.txt"), text(kind, total, listed, &drawings)));
        files.extend(drawings);
    }
    files.push((JSON_FILE.to_owned(), serde_json::to_string_pretty(result)? + "\n"));
    Ok(files)
}

/// The first cycle of a kind, for the report.
pub(super) fn figure(result: &IsolationResult, kind: &str) -> Option<Figure> {
    let anomaly = result.anomalies.get(kind)?.iter().find(|anomaly| !anomaly.steps.is_empty())?;
    Some(Figure {
        name: "evidence",
        title: format!("{kind}: transactions that depend on each other in a circle"),
        caption: "An arrow leads to the transaction that must have come later, and says why.".to_owned(),
        svg: drawing::svg(kind, anomaly),
    })
}

fn text(kind: &str, total: u64, listed: &[Anomaly], drawings: &[File]) -> String {
    let mut text = format!("{kind}: {total} found");
    if total > listed.len() as u64 {
        text.push_str(&format!(", the first {} of them here", listed.len()));
    }
    text.push('\n');
    let mut drawings = drawings.iter();
    for (number, anomaly) in (1..).zip(listed) {
        text.push_str(&format!("\n{kind} #{number}\n"));
        if let Some(component) = anomaly.component {
            let drawn = match drawings.next() {
                Some((name, _)) => format!("drawn in {name}"),
                None => format!("not drawn: only {DRAWN_MAX} of a kind are"),
            };
            let rest = match component - anomaly.txns.len() as u64 {
                0 => String::new(),
                _ => format!(" of the {component} that depend on each other in circles"),
            };
            text.push_str(&format!("A cycle of {} transactions{rest}, {drawn}.\n", anomaly.txns.len()));
        }
        if anomaly.steps.is_empty() {
            text.push_str(&clean(&anomaly.sentence, SENTENCE_CHARS_MAX));
            text.push_str(".\n");
        }
        for (number, txn) in (1..).zip(&anomaly.txns) {
            let ops: Vec<String> = txn.mops.iter().map(|mop| clean(&mop.op, 200)).collect();
            text.push_str(&format!("  {}: {}{}\n", title(number, txn), ops.join(" · "), more(txn)));
        }
        for (at, step) in anomaly.steps.iter().enumerate() {
            let next = (at + 1) % anomaly.steps.len();
            let reason = clean(&step.reason, SENTENCE_CHARS_MAX);
            text.push_str(&format!("  T{} before T{} ({}): {reason}.\n", at + 1, next + 1, step.kind));
        }
    }
    text
}

/// `T2, process 3 on n1, event 12`.
fn title(number: usize, txn: &AnomalyTxn) -> String {
    let node = txn.node.as_deref().map_or_else(String::new, |node| format!(" on {}", clean(node, 40)));
    let outcome = if txn.outcome == "ok" { String::new() } else { format!(", {}", txn.outcome) };
    format!("T{number}, process {}{node}, event {}{outcome}", txn.process, txn.event)
}

/// What is not shown of a transaction.
fn more(txn: &AnomalyTxn) -> String {
    match txn.mops_total - txn.mops.len() as u64 {
        0 => String::new(),
        rest => format!(" … {rest} more"),
    }
}

/// Text from outside: cut, and without control characters.
fn clean(text: &str, chars_max: usize) -> String {
    super::words::clip(text, chars_max).chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use schism_checker::{Details, Options, check, history::notation};

    use super::*;

    fn found(spelled: &str) -> IsolationResult {
        let history = notation::history("list-append", spelled).unwrap();
        let checks = check(&history, &Options::default()).unwrap();
        let result = checks.into_iter().find_map(|check| match check.details {
            Details::Isolation(result) => Some(result),
            _ => None,
        });
        result.unwrap()
    }

    /// Each read both keys, and neither saw the other's append.
    const SKEW: &str = "0> txn r 1, a 2 20; 1> txn r 2, a 1 10
        0+ txn r 1 nil, a 2 20; 1+ txn r 2 nil, a 1 10; 0: txn r 1 [10], r 2 [20]";

    #[test]
    fn each_kind_has_its_text_and_each_cycle_its_drawing() {
        let result = found(SKEW);
        let files = files(&result, DrawingFormat::Svg).unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["G2-item.txt", "G2-item-1.svg", "isolation.json"]);
        insta::assert_snapshot!("anomaly-text", files[0].1);
        insta::assert_snapshot!("anomaly-drawing", files[1].1);
        let json: serde_json::Value = serde_json::from_str(&files[2].1).unwrap();
        assert_eq!(json["anomalies"]["G2-item"][0]["steps"][0]["key"], "1");
        assert!(super::files(&found("0: txn a 1 1; 0: txn r 1 [1]"), DrawingFormat::Svg).unwrap().is_empty());
    }

    #[test]
    fn graphviz_gets_every_edge() {
        let files = files(&found(SKEW), DrawingFormat::Dot).unwrap();
        assert_eq!(files[1].0, "G2-item-1.dot");
        insta::assert_snapshot!("anomaly-dot", files[1].1);
    }

    /// A ring of reads that each miss the next one's append: what is left out of the drawing is said in it.
    #[test]
    fn a_long_cycle_is_summarised() {
        let txns = 200;
        let invoke = (0..txns).map(|n| format!("{n}> txn r {n}, a {} 1;", (n + 1) % txns));
        let end = (0..txns).map(|n| format!("{n}+ txn r {n} nil, a {} 1;", (n + 1) % txns));
        let read = format!("{txns}: txn {}", (0..txns).map(|n| format!("r {n} [1]")).collect::<Vec<_>>().join(", "));
        let spelled: String = invoke.chain(end).chain([read]).collect();
        let result = found(&spelled);
        let files = files(&result, DrawingFormat::Svg).unwrap();
        let (name, drawing) = &files[1];
        assert_eq!(name, "G2-item-1.svg");
        assert!(drawing.contains("177 transactions more") && drawing.len() < 60_000, "{}", drawing.len());
        assert!(files[0].1.contains("T200 before T1 (rw)"));
    }

    /// Whatever a name holds, the drawing is text in its place.
    #[test]
    fn nothing_in_a_history_ends_the_drawing() {
        let mut result = found(SKEW);
        let anomaly = &mut result.anomalies.get_mut("G2-item").unwrap()[0];
        anomaly.txns[0].mops[0].op = format!("r </svg><script>\u{1}{}", "x".repeat(1_000_000));
        anomaly.txns[0].node = Some("\"><script>".repeat(1_000));
        anomaly.steps[0].key = Some("<key>".repeat(100_000));
        anomaly.steps[0].reason = "because <b>".repeat(100_000);
        for format in [DrawingFormat::Svg, DrawingFormat::Dot] {
            let files = files(&result, format).unwrap();
            let drawing = &files[1].1;
            assert!(!drawing.contains('\u{1}') && drawing.len() < 50_000, "{drawing}");
            assert!(format == DrawingFormat::Dot || !drawing.contains("<script"), "{drawing}");
            assert!(files[0].1.len() < 200_000);
        }
    }
}

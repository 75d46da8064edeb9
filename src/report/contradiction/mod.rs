//! The picture of what no order explains: one HTML file that holds all it needs and opens from disk.
//!
//! Processes are rows, operations bars from invocation to return, in the order of events. A line goes through the bars in
//! the order that comes furthest; the table below says the same in words: each step, the state after it, and what could
//! not come next. Whatever a history holds, the page stays below 2 MiB: bars, keys and texts are bounded, and the
//! page says what was left out.

mod bars;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use schism_checker::{
    history::History,
    linearizability::{EvidenceOp, LinearizabilityResult, NonlinearizableKey, Obstacle, Picture, picture},
};

use super::words::{capitalised, clip};

/// What the page may take.
#[cfg(test)]
const BYTES_MAX: usize = 2 << 20;
/// No further key is drawn on a page that has so many bytes already.
const KEYS_BYTES_MAX: usize = 700_000;
const KEYS_MAX: usize = 10;
/// Operations drawn of a key, the latest.
const OPS_MAX: usize = 100;
/// Operations of which an order is looked for.
const ORDERED_MAX: usize = 400;
const OP_CHARS_MAX: usize = 80;
const STATE_CHARS_MAX: usize = 120;
const EXPLANATION_CHARS_MAX: usize = 600;

const REPORT_STYLE: &str = include_str!("../html/style.css");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The page of a check that found keys without an order; `None` where it found none.
pub(crate) fn page(history: &History, result: &LinearizabilityResult) -> Option<String> {
    result.invalid_keys.first()?;
    let mut sections: Vec<String> = Vec::new();
    for (number, key) in result.invalid_keys.iter().enumerate().take(KEYS_MAX) {
        if sections.iter().map(String::len).sum::<usize>() > KEYS_BYTES_MAX {
            break;
        }
        sections.push(section(history, &result.model, key, number).into_string());
    }
    let left_out = result.invalid_keys.len() - sections.len();
    let title = format!("Not linearizable: {} · schism", clean(&result.model, 60));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Whatever slipped through, nothing is loaded.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
                title { (title) }
                style { (PreEscaped(REPORT_STYLE)) (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Not linearizable" }
                    p {
                        (result.invalid_keys.len()) " of " (result.keys) " keys of the model " (clean(&result.model, 60))
                        " have no order of their operations that agrees with real time."
                        @if left_out > 0 { " Drawn are the first " (sections.len()) "; the others are in the JSON output." }
                    }
                    @for section in &sections { (PreEscaped(section)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Some(page.into_string())
}

fn section(history: &History, model: &str, key: &NonlinearizableKey, number: usize) -> Markup {
    let whole = key.ops.len();
    // An order of thousands is no picture; of the latest, the beginning is left open.
    let picture = if whole <= ORDERED_MAX { picture(history, model, key) } else { None };
    let first = whole.saturating_sub(OPS_MAX);
    let shown = &key.ops[first..];
    let heading = match &key.key_name {
        Some(name) => format!("Key {}", clean(name, 80)),
        None if history.is_keyed() && key.key_name.is_none() && is_register(model) => format!("Key {}", key.key),
        None => "Evidence".to_owned(),
    };
    html! {
        section.contradiction {
            h2 { (heading) }
            p.sentence { (capitalised(&clean(&key.explanation, EXPLANATION_CHARS_MAX))) "." }
            @if first > 0 {
                p.small.muted {
                    "The contradiction takes " (whole) " operations; drawn are the last " (shown.len())
                    ", the JSON output has more."
                }
            }
            @if let Some(picture) = &picture {
                @let placed = picture.steps.iter().filter(|step| step.op >= first).count();
                p.small {
                    "The line goes through the operations in the order that comes furthest: "
                    (picture.steps.len()) " of " (whole) " have a place in it"
                    @if picture.is_cut { " (there were too many orders to try all)" }
                    @if placed < picture.steps.len() { "; " (placed) " of these are drawn" }
                    ". At first: " strong { (clean(&picture.initial, STATE_CHARS_MAX)) } ". "
                    @if key.window.is_open { "What was there at first is left open: nothing that could have been makes an order possible. " }
                    "Point at a bar, or choose it with the keyboard, for what follows on it."
                }
            }
            @else {
                p.small { "No order is drawn: there are too many operations to look for one, or the model has none to show." }
            }
            div.scroll { (bars::svg(shown, picture.as_ref(), first, number)) }
            p.chosen aria-live="polite" { "" }
            @if let Some(picture) = &picture { (steps(picture, first)) }
            (operations(shown, picture.as_ref(), first, number))
        }
    }
}

fn is_register(model: &str) -> bool {
    matches!(model, "register" | "cas-register")
}

/// The order, step by step.
fn steps(picture: &Picture, first: usize) -> Markup {
    let initial = &picture.initial;
    html! {
        div.scroll {
            table {
                caption { "The order that comes furthest" }
                thead { tr { th.n { "step" } th { "operation" } th { "state afterwards" } th { "what could not come next, and why" } } }
                tbody {
                    @if first == 0 {
                        tr {
                            td.n { "0" }
                            td { "(nothing yet)" }
                            td.long { (clean(initial, STATE_CHARS_MAX)) }
                            td.long { (not_next(picture, &picture.not_first, initial)) }
                        }
                    }
                    @for (number, step) in picture.steps.iter().enumerate().filter(|(_, step)| step.op >= first) {
                        tr data-op=(step.op) {
                            td.n { (number + 1) }
                            td.long { (told(picture, step.op)) }
                            td.long { (clean(&step.state, STATE_CHARS_MAX)) }
                            td.long { (not_next(picture, &step.not_next, &step.state)) }
                        }
                    }
                }
            }
        }
    }
}

fn not_next(picture: &Picture, obstacles: &[(usize, Obstacle)], state: &str) -> Markup {
    html! {
        @if obstacles.is_empty() { "—" }
        @else {
            ul {
                @for (at, why) in obstacles {
                    li {
                        (told(picture, *at)) ": "
                        @match why {
                            Obstacle::RealTime(first) => {
                                (told(picture, *first)) " had returned before it began, and has no place yet"
                            }
                            Obstacle::State => { "impossible, as the state is " (clean(state, 40)) }
                            Obstacle::NoFurther => { "possible, but no order that goes on so comes further" }
                        }
                    }
                }
            }
        }
    }
}

/// `process 3's write 7`.
fn told(picture: &Picture, at: usize) -> String {
    picture.ops.get(at).map_or_else(String::new, |op| format!("process {}'s {}", op.process, clean(&op.op, 48)))
}

/// All operations drawn, as text.
fn operations(shown: &[EvidenceOp], picture: Option<&Picture>, first: usize, number: usize) -> Markup {
    let place = |at: usize| picture?.steps.iter().position(|step| step.op == at).map(|place| place + 1);
    html! {
        details id=(format!("operations-{number}")) {
            summary { "The operations as a table" }
            div.scroll {
                table {
                    caption { "By invocation. Times are seconds since the run began; events are numbered as in the history." }
                    thead {
                        tr {
                            th.n { "process" } th { "operation" } th { "ended" } th { "node" } th.n { "from s" } th.n { "to s" }
                            th.n { "events" } th.n { "place" }
                        }
                    }
                    tbody {
                        @for (at, op) in shown.iter().enumerate() {
                            tr {
                                td.n { (op.process) }
                                td.long { (clean(&op.op, OP_CHARS_MAX)) }
                                td { (clean(&op.outcome, 10)) }
                                td { (op.node.as_deref().map_or_else(|| "—".to_owned(), |node| clean(node, 40))) }
                                td.n { (seconds(op.invoke_ns)) }
                                td.n { (op.complete_ns.map_or_else(|| "—".to_owned(), seconds)) }
                                td.n {
                                    (op.invoke_index) "–"
                                    @match op.complete_index { Some(index) => { (index) } None => { "" } }
                                }
                                td.n { (place(first + at).map_or_else(|| "none".to_owned(), |place| place.to_string())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn seconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000_000, ns / 1_000 % 1_000_000)
}

/// Text from outside: cut, and without control characters; the template escapes it.
fn clean(text: &str, max_chars: usize) -> String {
    clip(text, max_chars).chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use schism_checker::{
        Details, Options, check,
        history::{ReadOptions, notation, read_any},
    };

    use super::*;

    fn drawn(history: &History) -> Option<String> {
        let checks = check(history, &Options::default()).unwrap();
        let Details::Linearizability(result) = &checks[0].details else { panic!("another check") };
        page(history, result)
    }

    fn foreign(model: &str, json: &str) -> History {
        let options = ReadOptions { workload: Some(model.into()) };
        read_any(json.as_bytes(), None, &options).unwrap().history
    }

    #[test]
    fn the_order_goes_as_far_as_it_can() {
        let history =
            notation::history("register", "0> w 1 5; 1: r 1 5; 0+; 0: w 1 6; 1: r 1 5; 2> w 1 9; 2?").unwrap();
        let page = drawn(&history).unwrap();
        assert!(page.contains("Key 1") && page.contains("before that read began"), "{page}");
        assert!(page.contains("<svg") && page.contains("polyline"), "{page}");
        assert!(page.contains("impossible, as the state is 6"), "{page}");
    }

    #[test]
    fn nothing_is_drawn_of_a_valid_history() {
        assert_eq!(drawn(&notation::history("register", "0: w 1 5; 1: r 1 5").unwrap()), None);
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "</script><img src=x onerror=alert(1)>\u{0}\u{1b}[31m";
        let value = serde_json::to_string(hostile).unwrap();
        let event = |kind: &str, process: u32, f: &str, value: &str| {
            format!("{{\"type\":\"{kind}\",\"process\":{process},\"f\":\"{f}\",\"value\":{value}}}\n")
        };
        for (model, put, take) in [("fifo-queue", "enqueue", "dequeue"), ("register", "write", "read")] {
            let text = event("invoke", 0, put, &value)
                + &event("ok", 0, put, &value)
                + &event("invoke", 1, take, "null")
                + &event("ok", 1, take, "\"<b>other</b>\"");
            let page = drawn(&foreign(model, &text)).unwrap();
            assert!(!page.contains("<img") && !page.contains("<b>"), "{model}: {page}");
            assert!(!page.contains('\u{0}') && !page.contains('\u{1b}'), "{model}");
            assert_eq!(page.matches("</script>").count(), 1, "{model}");
        }
    }

    /// Long histories, whose evidence is long, and values of ten million characters that each byte of HTML escapes.
    #[test]
    fn stays_small_whatever_the_history_holds() {
        let mut text = String::new();
        let mut event = |kind: &str, process: u32, f: &str, value: &str| {
            text.push_str(&format!("{{\"type\":\"{kind}\",\"process\":{process},\"f\":\"{f}\",\"value\":{value}}}\n"));
        };
        // A lock that is taken and given back, until two hold it.
        for round in 0..50_000_u32 {
            let process = round % 700;
            for f in ["acquire", "release"] {
                event("invoke", process, f, "null");
                event("ok", process, f, "null");
            }
        }
        for process in [1, 2] {
            event("invoke", process, "acquire", "null");
            event("ok", process, "acquire", "null");
        }
        let page = drawn(&foreign("mutex", &text)).unwrap();
        assert!(page.len() < BYTES_MAX, "{}", page.len());
        assert!(page.contains("drawn are the last 100"), "says what it leaves out");

        let long = serde_json::to_string(&"\"&<>".repeat(2_500_000)).unwrap();
        let mut text = String::new();
        let mut event = |kind: &str, process: u32, f: &str, value: &str| {
            text.push_str(&format!("{{\"type\":\"{kind}\",\"process\":{process},\"f\":\"{f}\",\"value\":{value}}}\n"));
        };
        event("invoke", 0, "enqueue", &long);
        event("ok", 0, "enqueue", &long);
        for f in ["dequeue", "dequeue"] {
            event("invoke", 1, f, "null");
            event("ok", 1, f, &long);
        }
        let page = drawn(&foreign("fifo-queue", &text)).unwrap();
        assert!(page.len() < BYTES_MAX, "{}", page.len());
    }
}

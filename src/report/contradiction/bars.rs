//! The bars and the line through them.

use std::collections::BTreeMap;

use maud::{Markup, html};
use schism_checker::linearizability::{EvidenceOp, Picture};

use super::{clean, seconds};

const LEFT: f64 = 96.0;
const TOP: f64 = 26.0;
const ROW: f64 = 44.0;
const BAR: f64 = 22.0;
/// From one event to the next: of many, and of so few that there is room for their labels.
const COLUMN: f64 = 46.0;
const WIDE_COLUMN: f64 = 84.0;
const WIDE_EVENTS_MAX: usize = 13;
/// Where the line meets a bar, below its label.
const PLACE: f64 = BAR + 2.0;
/// What a character takes of a bar's label.
const CHARACTER: f64 = 6.6;

/// The operations shown, of which the first is the `first` of the picture.
pub(super) fn svg(shown: &[EvidenceOp], picture: Option<&Picture>, first: usize, number: usize) -> Markup {
    // Events apart as they follow each other, not as much time passed: milliseconds and minutes are side by side.
    let mut events: Vec<u64> =
        shown.iter().flat_map(|op| [Some(op.invoke_index), op.complete_index]).flatten().collect();
    events.sort_unstable();
    events.dedup();
    let rank = |index: u64| events.partition_point(|event| *event < index);
    let column = if events.len() <= WIDE_EVENTS_MAX { WIDE_COLUMN } else { COLUMN };
    let x = |rank: f64| LEFT + 14.0 + rank * column;
    let mut rows: BTreeMap<u32, usize> = shown.iter().map(|op| (op.process, 0)).collect();
    for (row, of) in (0..).zip(rows.values_mut()) {
        *of = row;
    }
    let end = events.len() as f64;
    let (width, height) = (x(end) + 20.0, TOP + rows.len() as f64 * ROW + 24.0);
    let y = |op: &EvidenceOp| {
        TOP + rows.get(&op.process).copied().unwrap_or_default() as f64 * ROW + (ROW - BAR) / 2.0 - 5.0
    };
    let is_optional = |at: usize| picture.is_some_and(|picture| picture.is_optional.get(first + at) == Some(&true));
    let points = picture.map_or_else(Vec::new, |picture| points(shown, picture, first, &rank));
    let place = |at: usize| points.iter().find(|point| point.op == at).map(|point| point.place);
    let line: String =
        points.iter().map(|point| format!("{:.1},{:.1} ", x(point.rank), y(&shown[point.op]) + PLACE)).collect();
    html! {
        svg.bars role="group" aria-label="Operations as bars, by process; the tables below say the same" width=(px(width))
            height=(px(height)) viewBox=(format!("0 0 {} {}", px(width), px(height))) xmlns="http://www.w3.org/2000/svg"
        {
            @for (process, row) in &rows {
                @let middle = TOP + (*row as f64 + 0.5) * ROW;
                line.row x1=(px(LEFT)) x2=(px(width)) y1=(px(middle)) y2=(px(middle)) {}
                text.process x="8" y=(px(middle + 4.0)) { "process " (process) }
            }
            @for (at, op) in shown.iter().enumerate() {
                // What did not end ok may happen at any time after.
                @let returned = op.complete_index.filter(|_| op.outcome == "ok");
                @let (left, right) = (x(rank(op.invoke_index) as f64), returned.map_or(width - 6.0, |index| x(rank(index) as f64)));
                @let class = match (place(at), is_optional(at)) {
                    (None, false) if picture.is_some() => "op none",
                    (_, true) => "op maybe",
                    _ => "op",
                };
                @let fits = ((right - left - 8.0) / CHARACTER).max(0.0) as usize;
                g class=(class) tabindex="0" data-op=(first + at) data-section=(number) {
                    title {
                        "process " (op.process) ": " (clean(&op.op, 160)) ", " (clean(&op.outcome, 10)) ", "
                        (seconds(op.invoke_ns)) " s to "
                        @match op.complete_ns { Some(ns) => { (seconds(ns)) " s" } None => { "?" } }
                    }
                    rect x=(px(left)) y=(px(y(op))) width=(px((right - left).max(2.0))) height=(px(BAR)) rx="4" {}
                    text x=(px(left + 5.0)) y=(px(y(op) + 15.0)) { (label(&op.op, fits.clamp(2, 40))) }
                }
            }
            @if points.len() > 1 { polyline.order points=(line.trim_end()) {} }
            @for point in &points {
                @let (across, down) = (x(point.rank), y(&shown[point.op]) + PLACE);
                g.place {
                    circle cx=(px(across)) cy=(px(down)) r="8.5" {}
                    text x=(px(across)) y=(px(down + 3.6)) { (point.place) }
                }
            }
            @if let (Some(from), Some(to)) = (shown.first(), shown.iter().filter_map(|op| op.complete_ns).max()) {
                text.time x=(px(LEFT + 14.0)) y="15" { (seconds(from.invoke_ns)) " s" }
                text.time.end x=(px(width - 8.0)) y="15" { (seconds(to)) " s" }
            }
            text.time x=(px(LEFT + 14.0)) y=(px(height - 8.0)) { "one step to the right is one event, however long it took" }
        }
    }
}

/// As much of a text as there is room for.
fn label(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c });
    let mut label: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        label.pop();
        label.push('…');
    }
    label
}

fn px(length: f64) -> String {
    format!("{length:.1}")
}

/// Where the line meets a bar.
struct Point {
    /// Position among the operations shown.
    op: usize,
    /// Its number in the order, from 1.
    place: usize,
    /// Between the events of these ranks.
    rank: f64,
}

/// An operation takes effect after every invocation up to it in the order, and before its own return: so the moment just
/// after the latest of these invocations is within every bar. What falls between the same two events shares the room.
fn points(shown: &[EvidenceOp], picture: &Picture, first: usize, rank: &impl Fn(u64) -> usize) -> Vec<Point> {
    let mut latest = 0;
    let mut placed: Vec<(usize, usize, usize)> = Vec::new();
    for (place, step) in (1..).zip(&picture.steps) {
        let Some(op) = step.op.checked_sub(first).and_then(|at| shown.get(at)) else { continue };
        latest = latest.max(rank(op.invoke_index));
        placed.push((step.op - first, place, latest));
    }
    let mut points = Vec::new();
    for group in placed.chunk_by(|one, other| one.2 == other.2) {
        for (nth, (op, place, rank)) in group.iter().enumerate() {
            let share = (nth + 1) as f64 / (group.len() + 1) as f64;
            points.push(Point { op: *op, place: *place, rank: *rank as f64 + share });
        }
    }
    points
}

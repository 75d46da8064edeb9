//! A cycle as SVG: its transactions one below the other, each with its operations, an arrow from each to the next with
//! what kind of dependency it is, and the last one back up to the first.

use std::collections::BTreeSet;

use maud::{Markup, html};
use schism_checker::isolation::{Anomaly, AnomalyTxn, Step};

use super::{clean, more, title};

const LEFT: f64 = 170.0;
/// Beside the boxes, for the arrows and their names.
const RIGHT: f64 = 210.0;
const TOP: f64 = 54.0;
const GAP: f64 = 34.0;
const LINE: f64 = 18.0;
const HEAD: f64 = 24.0;
/// What a character takes.
const CHARACTER: f64 = 7.3;
const OP_CHARS_MAX: usize = 64;
const KEY_CHARS_MAX: usize = 18;
/// Reasons below the drawing: characters a line, lines a reason, and of how many steps.
const REASON_CHARS: usize = 110;
const REASON_LINES_MAX: usize = 4;
const REASONS_MAX: usize = 8;
/// Of longer cycles the beginning and the end are drawn.
const BOXES_MAX: usize = 24;
const BOXES_AT_END: usize = 11;

/// A kind of dependency: its colour, and what it says.
fn kind_of(name: &str) -> (&'static str, &'static str) {
    match name {
        "ww" => ("#D55E00", "wrote what the next one overwrote"),
        "wr" => ("#0072B2", "wrote what the next one read"),
        "wrp" => ("#0072B2", "wrote what the next one's predicate met and did not get"),
        "rw" => ("#8C3A78", "read what the next one overwrote"),
        "rwp" => ("#8C3A78", "its predicate did not get what the next one then wrote"),
        "process" => ("#616E7C", "the same process ran it before the next one"),
        _ => ("#00755A", "had ended when the next one began"),
    }
}

/// A box of the drawing.
struct Block<'a> {
    /// Its transaction's number in the cycle, from 0; `None`: it stands for those that are left out.
    txn: Option<(usize, &'a AnomalyTxn)>,
    title: String,
    /// The micro-operations shown with their places; without one: something is left out there.
    lines: Vec<(Option<u64>, String)>,
    top: f64,
}

impl Block<'_> {
    fn height(&self) -> f64 {
        HEAD + self.lines.len() as f64 * LINE + if self.lines.is_empty() { 0.0 } else { 8.0 }
    }

    /// The height of a micro-operation.
    fn y(&self, mop: u64) -> Option<f64> {
        self.lines.iter().position(|(at, _)| *at == Some(mop)).map(|line| self.line_y(line))
    }

    /// Where an arrow to this micro-operation ends; where it is to none, at the transaction's beginning.
    fn entry(&self, mop: Option<u64>) -> f64 {
        mop.and_then(|mop| self.y(mop)).unwrap_or(self.top + HEAD / 2.0)
    }

    /// Where an arrow from it starts; or at the transaction's end.
    fn exit(&self, mop: Option<u64>) -> f64 {
        mop.and_then(|mop| self.y(mop)).unwrap_or(self.top + self.height() - HEAD / 2.0)
    }

    fn line_y(&self, line: usize) -> f64 {
        self.top + HEAD + (line as f64 + 0.5) * LINE
    }
}

/// The whole document.
pub(super) fn svg(kind: &str, anomaly: &Anomaly) -> String {
    let blocks = blocks(anomaly);
    let chars = blocks
        .iter()
        .flat_map(|block| block.lines.iter().map(|(_, line)| line).chain([&block.title]))
        .map(|line| line.chars().count())
        .max()
        .unwrap_or_default();
    let right = LEFT + (chars as f64 * CHARACTER + 24.0).max(240.0);
    let reasons = if anomaly.steps.len() <= REASONS_MAX { reasons(anomaly) } else { Vec::new() };
    let kinds: BTreeSet<&str> = anomaly.steps.iter().map(|step| &*step.kind).collect();
    let bottom = blocks.last().map_or(TOP, |block| block.top + block.height()) + 30.0;
    let width = (right + RIGHT).max(if reasons.is_empty() { 0.0 } else { 40.0 + REASON_CHARS as f64 * 6.2 });
    let height = bottom + (kinds.len() + reasons.len()) as f64 * LINE + 8.0;
    let rest = match anomaly.component {
        Some(component) if component > anomaly.txns.len() as u64 => {
            format!(", of {component} that depend on each other in circles")
        }
        _ => String::new(),
    };
    let size = format!("0 0 {} {}", px(width), px(height));
    let markup = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(px(width)) height=(px(height)) viewBox=(size) role="img"
            font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12"
        {
            title { (kind) ": a cycle of " (anomaly.txns.len()) " transactions" }
            rect width="100%" height="100%" fill="#FFFFFF" {}
            text x="16" y="24" font-size="15" font-weight="bold" fill="#1F2933" { (kind) }
            text x="16" y="42" fill="#616E7C" { "A cycle of " (anomaly.txns.len()) " transactions" (rest) }
            @for block in &blocks { (drawn(block, anomaly, right)) }
            @for pair in blocks.windows(2) { (down(&pair[0], &pair[1], anomaly, right)) }
            @if let ([first, .., last], Some(step)) = (&blocks[..], anomaly.steps.last()) { (back_up(last, first, step)) }
            @for (row, name) in kinds.iter().enumerate() {
                @let (colour, says) = kind_of(name);
                text x="16" y=(px(bottom + row as f64 * LINE)) fill=(colour) {
                    tspan font-weight="bold" { (name) } " " (says)
                }
            }
            @for (row, reason) in (kinds.len()..).zip(&reasons) {
                text x="16" y=(px(bottom + 6.0 + row as f64 * LINE)) font-size="11" fill="#1F2933" { (reason) }
            }
        }
    };
    markup.into_string() + "\n"
}

fn blocks(anomaly: &Anomaly) -> Vec<Block<'_>> {
    let total = anomaly.txns.len();
    let left_out = if total > BOXES_MAX { total - (BOXES_MAX - 1) } else { 0 };
    let begin = if left_out > 0 { BOXES_MAX - 1 - BOXES_AT_END } else { total };
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut top = TOP;
    for (number, txn) in anomaly.txns.iter().enumerate() {
        let block = if number < begin || number >= begin + left_out {
            Block { txn: Some((number, txn)), title: title(number + 1, txn), lines: lines(txn), top }
        } else if number == begin {
            Block { txn: None, title: format!("… {left_out} transactions more"), lines: Vec::new(), top }
        } else {
            continue;
        };
        top += block.height() + GAP;
        blocks.push(block);
    }
    blocks
}

fn lines(txn: &AnomalyTxn) -> Vec<(Option<u64>, String)> {
    let mut lines = Vec::new();
    let mut next = 0;
    for mop in &txn.mops {
        if mop.at > next {
            lines.push((None, "…".to_owned()));
        }
        next = mop.at + 1;
        lines.push((Some(mop.at), clean(&mop.op, OP_CHARS_MAX)));
    }
    if next < txn.mops_total {
        lines.push((None, more(txn).trim_start().to_owned()));
    }
    lines
}

/// A box with its operations, those that tell a step in its colour.
fn drawn(block: &Block<'_>, anomaly: &Anomaly, right: f64) -> Markup {
    let told = |at: Option<u64>| -> Option<&'static str> {
        let (number, _) = block.txn?;
        let steps = anomaly.steps.len();
        let out = anomaly.steps.get(number).filter(|step| step.mops.map(|[from, _]| from) == at);
        let into =
            anomaly.steps.get((number + steps - 1) % steps.max(1)).filter(|step| step.mops.map(|[_, to]| to) == at);
        at.and(out.or(into)).map(|step| kind_of(&step.kind).0)
    };
    html! {
        rect x=(px(LEFT)) y=(px(block.top)) width=(px(right - LEFT)) height=(px(block.height())) rx="5" fill="#F5F7FA"
            stroke="#9AA5B1" stroke-dasharray=[block.txn.is_none().then_some("4 3")] {}
        text x=(px(LEFT + 10.0)) y=(px(block.top + 16.0)) fill="#616E7C" { (block.title) }
        @for (number, (at, line)) in block.lines.iter().enumerate() {
            @let y = block.line_y(number);
            @if let Some(colour) = told(*at) {
                rect x=(px(LEFT + 4.0)) y=(px(y - LINE / 2.0)) width=(px(right - LEFT - 8.0)) height=(px(LINE)) rx="3"
                    fill=(colour) fill-opacity="0.14" {}
                text x=(px(LEFT + 10.0)) y=(px(y + 4.0)) fill="#1F2933" font-weight="bold" { (line) }
            } @else {
                text x=(px(LEFT + 10.0)) y=(px(y + 4.0)) fill="#1F2933" { (line) }
            }
        }
    }
}

/// The arrow from a box to the one below.
fn down(from: &Block<'_>, to: &Block<'_>, anomaly: &Anomaly, right: f64) -> Markup {
    let step = from.txn.filter(|_| to.txn.is_some()).and_then(|(number, _)| anomaly.steps.get(number));
    let mops = step.and_then(|step| step.mops);
    let (start, end) = (from.exit(mops.map(|[from, _]| from)), to.entry(mops.map(|[_, to]| to)));
    let colour = step.map_or("#9AA5B1", |step| kind_of(&step.kind).0);
    let path = format!(
        "M{} {} C{} {} {} {} {} {}",
        px(right),
        px(start),
        px(right + 56.0),
        px(start),
        px(right + 56.0),
        px(end),
        px(right + 8.0),
        px(end)
    );
    html! {
        path d=(path) fill="none" stroke=(colour) stroke-width="1.8" stroke-dasharray=[step.is_none().then_some("4 3")] {}
        (arrow(right + 1.0, end, 9.0, colour))
        @if let Some(step) = step { (name(step, right + 50.0, f64::midpoint(start, end))) }
    }
}

/// The arrow from the last box to the first.
fn back_up(from: &Block<'_>, to: &Block<'_>, step: &Step) -> Markup {
    let (start, end) = (from.exit(step.mops.map(|[from, _]| from)), to.entry(step.mops.map(|[_, to]| to)));
    let colour = kind_of(&step.kind).0;
    let path = format!(
        "M{} {} C{} {} {} {} {} {}",
        px(LEFT),
        px(start),
        px(LEFT - 60.0),
        px(start),
        px(LEFT - 60.0),
        px(end),
        px(LEFT - 8.0),
        px(end)
    );
    html! {
        path d=(path) fill="none" stroke=(colour) stroke-width="1.8" {}
        (arrow(LEFT - 1.0, end, -9.0, colour))
        (name(step, 12.0, f64::midpoint(start, end)))
    }
}

/// Its point at `x`, coming from `length` away.
fn arrow(x: f64, y: f64, length: f64, colour: &str) -> Markup {
    let points = format!("{},{} {},{} {},{}", px(x), px(y), px(x + length), px(y - 5.0), px(x + length), px(y + 5.0));
    html! { polygon points=(points) fill=(colour) {} }
}

/// What an arrow says, and of which key.
fn name(step: &Step, x: f64, y: f64) -> Markup {
    let colour = kind_of(&step.kind).0;
    html! {
        text x=(px(x)) y=(px(y + if step.key.is_some() { -3.0 } else { 4.0 })) font-weight="bold" fill=(colour) { (step.kind) }
        @if let Some(key) = &step.key {
            text x=(px(x)) y=(px(y + 12.0)) fill=(colour) { "key " (clean(key, KEY_CHARS_MAX - 4)) }
        }
    }
}

/// Why each transaction comes before the next, in lines.
fn reasons(anomaly: &Anomaly) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, step) in anomaly.steps.iter().enumerate() {
        let next = (at + 1) % anomaly.steps.len();
        let reason = clean(&step.reason, REASON_CHARS * REASON_LINES_MAX);
        let mut line = format!("T{} before T{}:", at + 1, next + 1);
        for word in reason.split_inclusive(' ') {
            if line.chars().count() + 1 + word.chars().count() > REASON_CHARS {
                lines.push(std::mem::take(&mut line));
            }
            line.push(' ');
            line.push_str(&clean(word.trim_end(), REASON_CHARS));
        }
        lines.push(line);
    }
    lines
}

fn px(length: f64) -> String {
    format!("{length:.1}")
}

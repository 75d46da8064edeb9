//! The operations that contradict each other, as bars from invocation to completion.

use schism_checker::linearizability::EvidenceOp;

use super::{
    Figure,
    canvas::{Anchor, BLUE, Canvas, GRID, INK, MUTED, ORANGE, shorten, text_width},
};

const WIDTH: i32 = 900;
/// Room for who did it, beside what was done.
const WHO: i32 = 124;
const WHAT_CHARS_MAX: usize = 40;
const RIGHT: i32 = 116;
const ROW: i32 = 30;
const BAR: i32 = 16;
const HEAD: i32 = 44;
/// Operations drawn; the caption says when there are more.
const OPS_MAX: usize = 40;

/// One row per operation. Time is ordinal: every invocation and completion takes one step, because what contradicts
/// is the order, and true lengths would leave most bars thinner than a pixel. `None` without operations.
pub(crate) fn evidence(title: String, ops: &[EvidenceOp]) -> anyhow::Result<Option<Figure>> {
    let mut ops: Vec<&EvidenceOp> = ops.iter().collect();
    ops.sort_by_key(|op| (op.invoke_ns, op.invoke_index));
    let total = ops.len();
    ops.truncate(OPS_MAX);
    let Some(first) = ops.first() else { return Ok(None) };
    let start_ns = first.invoke_ns;
    let mut steps: Vec<u64> = ops.iter().flat_map(|op| [Some(op.invoke_index), op.complete_index]).flatten().collect();
    steps.sort_unstable();
    steps.dedup();
    let what = |op: &EvidenceOp| shorten(&op.op, WHAT_CHARS_MAX);
    let left = ops.iter().map(|op| text_width(&what(op), 13.0)).max().unwrap_or(0) + WHO + 34;
    let scale = Scale { steps, left, start_ns };
    let bottom = HEAD + ROW * ops.len() as i32;
    let mut svg = String::new();
    let canvas = Canvas::new(&mut svg, WIDTH, bottom + 34)?;
    canvas.bold_text(&shorten(&title, 100), (16, 16), Anchor::Left, INK, 14.0)?;
    for step in 0..=scale.steps.len() {
        let x = scale.x(step);
        canvas.path([(x, HEAD - 6), (x, bottom)], GRID, 1.0, 1)?;
    }
    for (row, op) in ops.iter().enumerate() {
        let y = HEAD + row as i32 * ROW + ROW / 2;
        canvas.bold_text(&what(op), (16, y), Anchor::Left, INK, 13.0)?;
        let node = op.node.as_deref().map_or_else(String::new, |node| format!(" ({node})"));
        let who = shorten(&format!("process {}{node}", op.process), 19);
        canvas.text(&who, (left - 10, y), Anchor::Right, MUTED, 12.0)?;
        draw_bar(&canvas, op, &scale, y)?;
    }
    let note = "order of invocations and completions, not to scale; times in ms since the first invocation";
    canvas.text(note, (left + (WIDTH - left - RIGHT) / 2, bottom + 18), Anchor::Centre, MUTED, 12.0)?;
    canvas.finish()?;
    let mut caption = "Each bar runs from an operation's invocation to its completion; a bar that fades out to the \
                       right is indeterminate and may take effect at any later time."
        .to_owned();
    if total > OPS_MAX {
        caption.push_str(&format!(" The first {OPS_MAX} of {total} operations."));
    }
    Ok(Some(Figure { name: "evidence", title, caption, svg }))
}

/// The ordinal time axis.
struct Scale {
    /// Indexes of all events shown, in order.
    steps: Vec<u64>,
    left: i32,
    start_ns: u64,
}

impl Scale {
    fn x(&self, step: usize) -> i32 {
        let share = step as f64 / self.steps.len().max(1) as f64;
        self.left + (share * f64::from(WIDTH - self.left - RIGHT)).round() as i32
    }

    fn x_of_event(&self, index: u64) -> i32 {
        self.x(self.steps.partition_point(|step| *step < index))
    }

    fn ms(&self, ns: u64) -> f64 {
        ns.saturating_sub(self.start_ns) as f64 / 1e6
    }
}

fn draw_bar(canvas: &Canvas<'_>, op: &EvidenceOp, scale: &Scale, y: i32) -> anyhow::Result<()> {
    let from = scale.x_of_event(op.invoke_index);
    let bar = (y - BAR / 2, y + BAR / 2);
    let beside = (WIDTH - RIGHT + 8, y);
    let start_ms = scale.ms(op.invoke_ns);
    // An indeterminate operation may take effect long after its client gave up: its end says nothing.
    if let (Some(index), Some(complete_ns), false) = (op.complete_index, op.complete_ns, op.outcome == "info") {
        canvas.rect((from, scale.x_of_event(index)), bar, BLUE, 0.85)?;
        let times = format!("{start_ms:.1} – {:.1}", scale.ms(complete_ns));
        return canvas.text(&times, beside, Anchor::Left, MUTED, 12.0);
    }
    let to = WIDTH - RIGHT;
    let third = (to - from) / 3;
    canvas.rect((from, to - third), bar, ORANGE, 0.85)?;
    for (part, alpha) in [(0, 0.6), (1, 0.4), (2, 0.2)] {
        let x = (to - third + part * third / 3, to - third + (part + 1) * third / 3);
        canvas.rect(x, bar, ORANGE, alpha)?;
    }
    canvas.text(&format!("{start_ms:.1} – ?"), beside, Anchor::Left, MUTED, 12.0)
}

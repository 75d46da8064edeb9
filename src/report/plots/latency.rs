//! Latency over time: every operation, and quantiles.

use plotters::style::RGBColor;

use super::{
    Figure,
    canvas::{BLUE, GREEN, MUTED, ORANGE, PURPLE},
    data::{COLUMNS, FunctionGrid, OUTCOMES, OpGrid, OpOutcome, ROWS, ROWS_PER_DECADE, row_ms},
    frame::{Frame, Key, LEFT, Mark, Panel, Timeline},
    unlabelled_note,
};
use crate::report::words::counted;

/// Pixels of a grid column.
const CELL: i32 = 3;
/// Marks of the scatter plot at most: at about 95 bytes each, a file below 2.4 MiB.
const MARKS_MAX: usize = 25_000;
const PANEL_HEIGHT: i32 = 222;
/// Room above the latencies for operations that never ended.
const NEVER_HEIGHT: i32 = 30;

/// The colour of an outcome, everywhere.
pub(super) const fn outcome_colour(outcome: OpOutcome) -> RGBColor {
    match outcome {
        OpOutcome::Ok => BLUE,
        OpOutcome::Fail => PURPLE,
        OpOutcome::Info => ORANGE,
    }
}

/// Decades of latency that a panel shows, and pixels for them.
#[derive(Debug, Clone, Copy)]
struct LatencyAxis {
    low_row: usize,
    high_row: usize,
    /// Pixels kept free at the top.
    head: i32,
}

impl LatencyAxis {
    fn new(function: &FunctionGrid, head: i32) -> Self {
        let (low, high) = function.used_rows().unwrap_or((3 * ROWS_PER_DECADE, 4 * ROWS_PER_DECADE - 1));
        let low_row = low / ROWS_PER_DECADE * ROWS_PER_DECADE;
        let high_row = ((high / ROWS_PER_DECADE + 1) * ROWS_PER_DECADE).min(ROWS);
        Self { low_row, high_row, head }
    }

    /// Pixels below the panel's top of a row's lower edge.
    fn offset(&self, row: f64) -> i32 {
        let share = (self.high_row as f64 - row) / (self.high_row - self.low_row) as f64;
        self.head + (share * f64::from(PANEL_HEIGHT - self.head)).round() as i32
    }

    fn offset_ns(&self, ns: u64) -> i32 {
        let row = (ns as f64 / super::data::LOWEST_NS).max(1.0).log10() * ROWS_PER_DECADE as f64;
        self.offset(row.clamp(self.low_row as f64, self.high_row as f64))
    }

    fn ticks(&self) -> Vec<(i32, String)> {
        const NAMES: [&str; 10] =
            ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s", "1000 s"];
        (self.low_row..=self.high_row)
            .step_by(ROWS_PER_DECADE)
            .map(|row| (self.offset(row as f64), NAMES[row / ROWS_PER_DECADE].to_owned()))
            .collect()
    }
}

/// One mark of the scatter plot, in pixels below the panel's top and right of the axis.
struct Mass {
    x: i32,
    y: i32,
    count: u32,
    outcome: OpOutcome,
}

/// Every operation by time of invocation and latency. Operations that fall on the same spot share a mark, and where
/// there are too many marks the spots grow until there are few enough.
pub(super) fn scatter(grid: &OpGrid, timeline: &Timeline) -> anyhow::Result<Figure> {
    let axes: Vec<LatencyAxis> = grid.functions.iter().map(|f| LatencyAxis::new(f, head_of(f))).collect();
    let (cell, masses) = (1..)
        .map(|factor| factor * CELL)
        .map(|cell| {
            let masses = grid.functions.iter().zip(&axes).map(|(f, axis)| masses(f, *axis, cell));
            (cell, masses.collect::<Vec<_>>())
        })
        .find(|(_, masses)| masses.iter().map(Vec::len).sum::<usize>() <= MARKS_MAX)
        .ok_or_else(|| anyhow::anyhow!("no cell size fits the scatter plot"))?;
    let most = masses.iter().flatten().map(|mass| mass.count).max().unwrap_or(0);
    let panels: Vec<Panel> = grid
        .functions
        .iter()
        .zip(&axes)
        .map(|(function, axis)| {
            let mut ticks = axis.ticks();
            if axis.head > 0 {
                ticks.push((NEVER_HEIGHT / 3, "never ended".to_owned()));
            }
            Panel {
                name: format!("{} ({})", function.name, counted(function.ops, "operation")),
                height: PANEL_HEIGHT,
                ticks,
            }
        })
        .collect();
    let keys = [
        Key { mark: Mark::Square, colour: BLUE, name: "ok" },
        Key { mark: Mark::Triangle, colour: PURPLE, name: "fail (certainly not done)" },
        Key { mark: Mark::Dot, colour: ORANGE, name: "info (perhaps done)" },
    ];
    let title = "Latency of every operation";
    let mut svg = String::new();
    let frame = Frame::new(&mut svg, title, &keys, timeline, &panels, false)?;
    for (masses, top) in masses.iter().zip(&frame.tops) {
        draw_masses(&frame, masses, *top, cell, most)?;
    }
    let unlabelled = frame.unlabelled;
    frame.finish()?;
    let caption = format!(
        "All {} by time of invocation; the vertical axis is logarithmic. Each mark stands for up to {}, stronger for more; fail and info have their own marks, on top, and none is left out.{}",
        counted(grid.ops, "operation"),
        counted(u64::from(most), "operation"),
        unlabelled_note(unlabelled),
    );
    Ok(Figure { name: "latency", title: title.to_owned(), caption, svg })
}

fn head_of(function: &FunctionGrid) -> i32 {
    if function.never_ended.iter().any(|count| *count > 0) { NEVER_HEIGHT } else { 0 }
}

/// Gathers the grid's counts into square cells of this many pixels.
fn masses(function: &FunctionGrid, axis: LatencyAxis, cell: i32) -> Vec<Mass> {
    let columns_each = (cell / CELL) as usize;
    let lines = (PANEL_HEIGHT / cell + 1) as usize;
    let line_of_row: Vec<usize> =
        (0..ROWS).map(|row| (axis.offset(row as f64 + 0.5).clamp(0, PANEL_HEIGHT - 1) / cell) as usize).collect();
    let mut found = Vec::new();
    for outcome in OUTCOMES {
        for from in (0..COLUMNS).step_by(columns_each) {
            let mut counts = vec![0u32; lines];
            for column in from..(from + columns_each).min(COLUMNS) {
                let rows = &function.cells[outcome as usize][column * ROWS..(column + 1) * ROWS];
                for (row, count) in rows.iter().enumerate().filter(|(_, count)| **count > 0) {
                    counts[line_of_row[row]] += count;
                }
            }
            let x = from as i32 * CELL;
            let used = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
            found.extend(used.map(|(line, count)| Mass { x, y: line as i32 * cell, count, outcome }));
        }
    }
    for from in (0..COLUMNS).step_by(columns_each) {
        let count = function.never_ended[from..(from + columns_each).min(COLUMNS)].iter().sum();
        if count > 0 {
            let y = NEVER_HEIGHT / 3 - cell / 2;
            found.push(Mass { x: from as i32 * CELL, y, count, outcome: OpOutcome::Info });
        }
    }
    found
}

fn draw_masses(frame: &Frame<'_>, masses: &[Mass], top: i32, cell: i32, most: u32) -> anyhow::Result<()> {
    for mass in masses {
        let (x, y) = (LEFT + mass.x, top + mass.y);
        let colour = outcome_colour(mass.outcome);
        let centre = (x + cell / 2, y + cell / 2);
        match mass.outcome {
            OpOutcome::Ok => {
                frame.canvas.rect((x, x + cell), (y, y + cell), colour, opacity(mass.count, most, 0.40))?;
            }
            OpOutcome::Fail => frame.canvas.triangle(centre, 3, colour, opacity(mass.count, most, 0.75))?,
            OpOutcome::Info => frame.canvas.dot(centre, 2, colour, opacity(mass.count, most, 0.75))?,
        }
    }
    Ok(())
}

/// Five levels by the logarithm of the count, so that a single operation is still seen beside a thousand.
fn opacity(count: u32, most: u32, least: f64) -> f64 {
    if most <= 1 {
        return 0.8;
    }
    let level = (f64::from(count).ln() / f64::from(most).ln() * 4.0).round() / 4.0;
    ((least + (1.0 - least) * level) * 100.0).round() / 100.0
}

/// Quantiles of the latency of `ok` operations over time.
pub(super) fn quantiles(grid: &OpGrid, timeline: &Timeline) -> anyhow::Result<Figure> {
    let functions: Vec<&FunctionGrid> =
        grid.functions.iter().filter(|f| f.ok_max_ns.iter().any(|max| *max > 0)).collect();
    let axes: Vec<LatencyAxis> = functions.iter().map(|f| LatencyAxis::new(f, 0)).collect();
    let columns_each = functions.iter().map(|f| columns_per_point(f)).max().unwrap_or(3);
    let panels: Vec<Panel> = functions
        .iter()
        .zip(&axes)
        .map(|(f, axis)| Panel { name: format!("{} (ok)", f.name), height: PANEL_HEIGHT, ticks: axis.ticks() })
        .collect();
    let keys = [
        Key { mark: Mark::Line, colour: MUTED, name: "max" },
        Key { mark: Mark::Line, colour: ORANGE, name: "p99" },
        Key { mark: Mark::Line, colour: GREEN, name: "p95" },
        Key { mark: Mark::Line, colour: BLUE, name: "p50" },
    ];
    let title = "Latency quantiles of ok operations";
    let mut svg = String::new();
    let frame = Frame::new(&mut svg, title, &keys, timeline, &panels, false)?;
    for ((function, axis), top) in functions.iter().zip(&axes).zip(&frame.tops) {
        let lines = quantile_lines(function, *axis, columns_each, *top);
        for ((line, colour), width) in lines.iter().zip([MUTED, ORANGE, GREEN, BLUE]).zip([1, 2, 2, 2]) {
            draw_broken_line(&frame, line, colour, width)?;
        }
    }
    let unlabelled = frame.unlabelled;
    frame.finish()?;
    let caption = format!(
        "Each point covers {:.2} s of invocations (quantiles to within 4 per cent, the maximum exact); a gap means \
         that no operation invoked then ended ok.{}",
        timeline.end_s() * columns_each as f64 / COLUMNS as f64,
        unlabelled_note(unlabelled),
    );
    Ok(Figure { name: "latency-quantiles", title: title.to_owned(), caption, svg })
}

/// Enough columns for about 50 operations to a point, where the run has that many.
fn columns_per_point(function: &FunctionGrid) -> usize {
    let ok: u64 = function.ended[OpOutcome::Ok as usize].iter().map(|count| u64::from(*count)).sum();
    (COLUMNS * 50 / ok.max(1) as usize).clamp(3, 15)
}

/// A line with gaps: `None` where there is nothing.
type BrokenLine = Vec<Option<(i32, i32)>>;

/// The lines of max, p99, p95 and p50.
fn quantile_lines(function: &FunctionGrid, axis: LatencyAxis, columns_each: usize, top: i32) -> [BrokenLine; 4] {
    let mut lines: [BrokenLine; 4] = Default::default();
    let cells = &function.cells[OpOutcome::Ok as usize];
    for from in (0..COLUMNS).step_by(columns_each) {
        let to = (from + columns_each).min(COLUMNS);
        let x = LEFT + (from + to) as i32 * CELL / 2;
        let mut counts = vec![0u64; ROWS];
        for column in from..to {
            for (sum, count) in counts.iter_mut().zip(&cells[column * ROWS..(column + 1) * ROWS]) {
                *sum += u64::from(*count);
            }
        }
        let max_ns = function.ok_max_ns[from..to].iter().copied().max().unwrap_or(0);
        let any = counts.iter().any(|count| *count > 0);
        lines[0].push(any.then(|| (x, top + axis.offset_ns(max_ns))));
        for (line, share) in lines[1..].iter_mut().zip([0.99, 0.95, 0.50]) {
            let point = quantile_row(&counts, share).map(|row| {
                let ns = ((row_ms(row) * 1e6) as u64).min(max_ns);
                (x, top + axis.offset_ns(ns))
            });
            line.push(point);
        }
    }
    lines
}

/// The row that holds the operation at this share of all.
fn quantile_row(counts: &[u64], share: f64) -> Option<usize> {
    let total: u64 = counts.iter().sum();
    let rank = (total as f64 * share).ceil().max(1.0) as u64;
    let mut below = 0;
    counts.iter().position(|count| {
        below += count;
        below >= rank
    })
}

/// Draws a line's runs; a lone point becomes a dot, or nothing would be seen of it.
pub(super) fn draw_broken_line(
    frame: &Frame<'_>,
    line: &[Option<(i32, i32)>],
    colour: RGBColor,
    width: u32,
) -> anyhow::Result<()> {
    for run in line.split(Option::is_none).filter(|run| !run.is_empty()) {
        let points: Vec<(i32, i32)> = run.iter().copied().flatten().collect();
        match points.as_slice() {
            [point] => frame.canvas.dot(*point, 2, colour, 0.9)?,
            _ => frame.canvas.path(points, colour, 0.9, width)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_take_the_rank_from_above() {
        assert_eq!(quantile_row(&[0, 1, 0, 99], 0.01), Some(1));
        assert_eq!(quantile_row(&[0, 1, 0, 99], 0.5), Some(3));
        assert_eq!(quantile_row(&[0, 0], 0.5), None);
    }
}

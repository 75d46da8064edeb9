//! What all plots over time share: size, time axis, fault bands with their labels, panels.

use std::collections::BTreeSet;

use plotters::style::RGBColor;
use schism_checker::{Details, divergence::split_brain::SplitBrainWindow};

use super::{
    canvas::{Anchor, BAND, Canvas, GRID, INK, MUTED, VERMILLION, shorten, text_width},
    data::COLUMNS,
};
use crate::result::RunResult;

/// Pixels left of the time axis, for labels.
pub(super) const LEFT: i32 = 104;
/// Pixels of the time axis: three for each column of the grid.
pub(super) const PLOT: i32 = COLUMNS as i32 * 3;
const RIGHT: i32 = 26;
const WIDTH: i32 = LEFT + PLOT + RIGHT;
const TITLE: i32 = 28;
const LANE: i32 = 16;
/// Rows of labels above the panels. Labels that find no room are counted, and the caption says so.
const LANES_MAX: usize = 4;
const PANEL_GAP: i32 = 30;
const AXIS: i32 = 42;
const LABEL_PX: f64 = 12.0;
const TITLE_PX: f64 = 14.0;

/// The time axis, and what happened on it beside the operations.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    end_s: f64,
    /// Faults in force, by start.
    faults: Vec<Band>,
    /// Windows with two acknowledging primaries, by start.
    windows: Vec<Band>,
}

#[derive(Debug, Clone)]
struct Band {
    start_s: f64,
    end_s: f64,
    label: String,
    short: String,
    colour: RGBColor,
    alpha: f64,
}

impl Timeline {
    /// The timeline of a run whose history ended at `history_end_ns`.
    pub(crate) fn new(result: &RunResult, history_end_ns: u64) -> Self {
        let claims_end_ns = result.claims.iter().map(|claim| claim.end_ns);
        let faults_end_ns = result.faults.iter().filter_map(|fault| fault.end_ns.or(fault.start_ns));
        let end_ns = claims_end_ns.chain(faults_end_ns).chain([history_end_ns, 1]).max().unwrap_or(1);
        let end_s = seconds(end_ns);
        let mut faults: Vec<Band> = result
            .faults
            .iter()
            .filter_map(|fault| {
                let victims = fault.victims.join(" ");
                Some(Band {
                    start_s: seconds(fault.start_ns?),
                    end_s: fault.end_ns.map_or(end_s, seconds),
                    label: shorten(format!("{} {victims}", fault.kind).trim_end(), 40),
                    short: format!("#{}", fault.id),
                    colour: BAND,
                    alpha: 0.22,
                })
            })
            .collect();
        faults.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        let mut windows: Vec<Band> = split_windows(result).map(window_band).collect();
        windows.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        Self { end_s, faults, windows }
    }

    /// The end in nanoseconds; the grids of the operations must use the same.
    pub(crate) fn end_ns(&self) -> u64 {
        (self.end_s * 1e9).round() as u64
    }

    pub(super) fn end_s(&self) -> f64 {
        self.end_s
    }

    /// The pixel of a time.
    pub(super) fn x(&self, s: f64) -> i32 {
        LEFT + (s / self.end_s * f64::from(PLOT)).round().clamp(0.0, f64::from(PLOT)) as i32
    }

    /// The pixels of each split-brain window.
    pub(super) fn window_spans(&self) -> impl Iterator<Item = (i32, i32)> + '_ {
        self.windows.iter().map(|window| (self.x(window.start_s), self.x(window.end_s)))
    }
}

/// The windows that the split-brain check found.
pub(super) fn split_windows(result: &RunResult) -> impl Iterator<Item = &SplitBrainWindow> {
    result.checks.iter().flat_map(|check| match &check.details {
        Details::SplitBrain(split_brain) => split_brain.windows.as_slice(),
        _ => &[],
    })
}

fn window_band(window: &SplitBrainWindow) -> Band {
    let (start_s, end_s) = (seconds(window.start_ns), seconds(window.end_ns));
    let length = format!("{:.2} s", end_s - start_s);
    Band {
        start_s,
        end_s,
        label: shorten(&format!("split brain {} {} ({length})", window.nodes[0], window.nodes[1]), 60),
        short: length,
        colour: VERMILLION,
        alpha: 0.13,
    }
}

/// A line of the legend: a mark and its name.
pub(super) struct Key {
    pub(super) mark: Mark,
    pub(super) colour: RGBColor,
    pub(super) name: &'static str,
}

/// How a thing is drawn, shown in the legend.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Square,
    Dot,
    Triangle,
    Line,
}

/// The part of a plot with its own vertical axis.
pub(super) struct Panel {
    /// Shown at its top left.
    pub(super) name: String,
    pub(super) height: i32,
    /// Pixels below the panel's top, and the label there.
    pub(super) ticks: Vec<(i32, String)>,
}

/// A plot over time being drawn.
pub(super) struct Frame<'a> {
    pub(super) canvas: Canvas<'a>,
    /// The top of each panel.
    pub(super) tops: Vec<i32>,
    /// Labels of bands that found no room.
    pub(super) unlabelled: usize,
}

impl<'a> Frame<'a> {
    /// Draws everything but the data. `windows`: also mark split-brain windows.
    pub(super) fn new(
        svg: &'a mut String,
        title: &str,
        keys: &[Key],
        timeline: &Timeline,
        panels: &[Panel],
        windows: bool,
    ) -> anyhow::Result<Self> {
        let mut bands: Vec<&Band> = timeline.faults.iter().collect();
        if windows {
            bands.extend(&timeline.windows);
        }
        let labels = place_labels(timeline, &bands);
        let lanes = labels.iter().flatten().map(|label| label.lane + 1).max().unwrap_or(0) as i32;
        let first = TITLE + lanes * LANE + 20;
        let mut tops = Vec::with_capacity(panels.len());
        let mut bottom = first;
        for panel in panels {
            tops.push(bottom);
            bottom += panel.height + PANEL_GAP;
        }
        bottom -= PANEL_GAP;
        let canvas = Canvas::new(svg, WIDTH, bottom + AXIS)?;
        canvas.bold_text(title, (LEFT, 13), Anchor::Left, INK, TITLE_PX)?;
        draw_keys(&canvas, keys)?;
        draw_bands(&canvas, timeline, &bands, &labels, (first, bottom))?;
        for (panel, &top) in panels.iter().zip(&tops) {
            draw_panel(&canvas, panel, top)?;
        }
        draw_time_axis(&canvas, timeline, &tops, panels, bottom)?;
        let unlabelled = labels.iter().filter(|label| label.is_none()).count();
        Ok(Self { canvas, tops, unlabelled })
    }

    /// Ends the picture.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.canvas.finish()
    }
}

fn draw_keys(canvas: &Canvas<'_>, keys: &[Key]) -> anyhow::Result<()> {
    let mut x = LEFT + PLOT;
    for key in keys.iter().rev() {
        canvas.text(key.name, (x, 13), Anchor::Right, MUTED, LABEL_PX)?;
        x -= text_width(key.name, LABEL_PX) + 11;
        match key.mark {
            Mark::Square => canvas.rect((x - 5, x + 5), (9, 18), key.colour, 1.0)?,
            Mark::Dot => canvas.dot((x, 13), 4, key.colour, 1.0)?,
            Mark::Triangle => canvas.triangle((x, 13), 4, key.colour, 1.0)?,
            Mark::Line => canvas.path([(x - 6, 13), (x + 6, 13)], key.colour, 1.0, 3)?,
        }
        x -= 18;
    }
    Ok(())
}

struct Label<'a> {
    x: i32,
    lane: usize,
    text: &'a str,
}

/// Puts each band's label into the first lane where it does not touch another, in short if need be; `None` where
/// even that finds no room.
fn place_labels<'a>(timeline: &Timeline, bands: &[&'a Band]) -> Vec<Option<Label<'a>>> {
    let mut taken: [Vec<(i32, i32)>; LANES_MAX] = Default::default();
    bands
        .iter()
        .map(|band| {
            [band.label.as_str(), band.short.as_str()].into_iter().find_map(|text| {
                let width = text_width(text, LABEL_PX);
                let x = timeline.x(band.start_s).min(LEFT + PLOT - width);
                let lane =
                    taken.iter().position(|lane| lane.iter().all(|&(from, to)| x + width + 6 < from || to + 6 < x))?;
                taken[lane].push((x, x + width));
                Some(Label { x, lane, text })
            })
        })
        .collect()
}

fn draw_bands(
    canvas: &Canvas<'_>,
    timeline: &Timeline,
    bands: &[&Band],
    labels: &[Option<Label<'_>>],
    (first, bottom): (i32, i32),
) -> anyhow::Result<()> {
    for colour in [BAND, VERMILLION] {
        let of_colour = bands.iter().copied().filter(|band| band.colour == colour);
        draw_cover(canvas, timeline, of_colour, (first, bottom))?;
    }
    // A day of short faults begins more than once at the same pixel.
    let mut drawn = BTreeSet::new();
    for (band, label) in bands.iter().zip(labels) {
        let from = timeline.x(band.start_s);
        let edge = if band.colour == VERMILLION { VERMILLION } else { MUTED };
        let top = label.as_ref().map_or(first, |label| TITLE + label.lane as i32 * LANE + LANE);
        if drawn.insert((from, top)) {
            canvas.path([(from, top), (from, bottom)], edge, 0.55, 1)?;
        }
        if let Some(Label { x, lane, text }) = label {
            let y = TITLE + *lane as i32 * LANE + LANE / 2;
            canvas.text(text, (*x, y), Anchor::Left, edge, LABEL_PX)?;
        }
    }
    Ok(())
}

/// Shades the time that bands of one colour cover, stronger where they overlap. Drawn by pixel, so that thousands of
/// faults do not make thousands of rectangles.
fn draw_cover<'b>(
    canvas: &Canvas<'_>,
    timeline: &Timeline,
    bands: impl Iterator<Item = &'b Band>,
    y: (i32, i32),
) -> anyhow::Result<()> {
    const DEPTH_MAX: u32 = 3;
    let mut depths = vec![0u32; PLOT as usize + 2];
    let mut style = None;
    for band in bands {
        style = Some((band.colour, band.alpha));
        let from = (timeline.x(band.start_s) - LEFT) as usize;
        let to = ((timeline.x(band.end_s) - LEFT) as usize).max(from + 2).min(depths.len());
        depths[from..to].iter_mut().for_each(|depth| *depth = (*depth + 1).min(DEPTH_MAX));
    }
    let Some((colour, alpha)) = style else { return Ok(()) };
    let mut x = LEFT;
    for run in depths.chunk_by(|a, b| a == b) {
        let to = x + run.len() as i32;
        if run[0] > 0 {
            canvas.rect((x, to), y, colour, (alpha * (0.5 + 0.5 * f64::from(run[0])) * 100.0).round() / 100.0)?;
        }
        x = to;
    }
    Ok(())
}

fn draw_panel(canvas: &Canvas<'_>, panel: &Panel, top: i32) -> anyhow::Result<()> {
    for (offset, label) in &panel.ticks {
        let y = top + offset;
        canvas.path([(LEFT, y), (LEFT + PLOT, y)], GRID, 1.0, 1)?;
        canvas.text(label, (LEFT - 8, y), Anchor::Right, MUTED, LABEL_PX)?;
    }
    canvas.frame((LEFT, LEFT + PLOT), (top, top + panel.height), GRID)?;
    canvas.bold_text(&shorten(&panel.name, 60), (LEFT, top - 11), Anchor::Left, INK, LABEL_PX)
}

fn draw_time_axis(
    canvas: &Canvas<'_>,
    timeline: &Timeline,
    tops: &[i32],
    panels: &[Panel],
    bottom: i32,
) -> anyhow::Result<()> {
    let (step_s, decimals) = round_step(timeline.end_s / 12.0);
    let mut tick = 0u32;
    while f64::from(tick) * step_s <= timeline.end_s {
        let s = f64::from(tick) * step_s;
        let x = timeline.x(s);
        for (panel, top) in panels.iter().zip(tops) {
            canvas.path([(x, *top), (x, top + panel.height)], GRID, 0.7, 1)?;
        }
        canvas.text(&format!("{s:.decimals$}"), (x, bottom + 13), Anchor::Centre, MUTED, LABEL_PX)?;
        tick += 1;
    }
    let middle = LEFT + PLOT / 2;
    canvas.text("seconds since the run started", (middle, bottom + 32), Anchor::Centre, MUTED, LABEL_PX)
}

/// The next step of 1, 2 or 5 times a power of ten, and the decimals that its multiples need.
pub(super) fn round_step(least: f64) -> (f64, usize) {
    let least = least.max(1e-9);
    let power = least.log10().floor();
    let base = 10f64.powf(power);
    let (factor, extra) = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|factor| factor * base >= least * 0.999)
        .map_or((10.0, 1.0), |factor| (factor, if factor == 10.0 { 1.0 } else { 0.0 }));
    (factor * base, (-(power + extra)).max(0.0) as usize)
}

/// Linear ticks from 0 to at least `max`, for a panel of this height: the axis's end and the ticks.
pub(super) fn linear_ticks(max: f64, height: i32, count: f64) -> (f64, Vec<(i32, String)>) {
    let (step, decimals) = round_step((max / count).max(1e-6));
    let steps = (max / step).ceil().max(1.0);
    let top = step * steps;
    let ticks = (0..=steps as u32)
        .map(|n| {
            let value = f64::from(n) * step;
            (height - (value / top * f64::from(height)).round() as i32, format!("{value:.decimals$}"))
        })
        .collect();
    (top, ticks)
}

/// Nanoseconds since the run started, in seconds.
pub(super) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        assert_eq!(round_step(4.2), (5.0, 0));
        assert_eq!(round_step(10.0), (10.0, 0));
        assert_eq!(round_step(60.0 / 12.0), (5.0, 0));
        let (step, decimals) = round_step(0.07);
        assert!((step - 0.1).abs() < 1e-12);
        assert_eq!(decimals, 1);
        let (step, decimals) = round_step(0.02);
        assert!((step - 0.02).abs() < 1e-12);
        assert_eq!(decimals, 2);
    }
}

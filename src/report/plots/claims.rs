//! Which node claimed to be what, over time.

use plotters::style::RGBColor;
use schism_checker::history::ClaimedRole;

use super::{
    Figure,
    canvas::{Anchor, BLUE, Canvas, INK, MUTED, ORANGE, SKY, VERMILLION, shorten},
    frame::{Frame, Key, LEFT, Mark, PLOT, Panel, Timeline, seconds, split_windows},
    unlabelled_note,
};
use crate::result::RunResult;

const ROW: i32 = 30;
const BAR: i32 = 16;
/// Nodes shown; the caption says when there are more.
const NODES_MAX: usize = 40;

/// From the least to the most telling: where two share a pixel, the later is drawn.
const ROLES: [ClaimedRole; 4] =
    [ClaimedRole::Replica, ClaimedRole::Unreachable, ClaimedRole::Neither, ClaimedRole::Primary];

const fn role_colour(role: ClaimedRole) -> RGBColor {
    match role {
        ClaimedRole::Primary => BLUE,
        ClaimedRole::Replica => SKY,
        ClaimedRole::Neither => ORANGE,
        ClaimedRole::Unreachable => MUTED,
    }
}

/// One row per node, coloured by its own claim; windows with two acknowledging primaries stand out. `None` when
/// nothing was observed.
pub(super) fn claims(result: &RunResult, timeline: &Timeline) -> anyhow::Result<Option<Figure>> {
    let mut nodes: Vec<&str> = Vec::new();
    for claim in &result.claims {
        if !nodes.contains(&claim.node.as_str()) {
            nodes.push(&claim.node);
        }
    }
    if nodes.is_empty() {
        return Ok(None);
    }
    let left_out = nodes.len().saturating_sub(NODES_MAX);
    nodes.truncate(NODES_MAX);
    let title = "Who claimed to be primary";
    let keys = [
        Key { mark: Mark::Square, colour: BLUE, name: "primary" },
        Key { mark: Mark::Square, colour: SKY, name: "replica" },
        Key { mark: Mark::Square, colour: ORANGE, name: "neither" },
        Key { mark: Mark::Line, colour: MUTED, name: "unreachable" },
        Key { mark: Mark::Square, colour: VERMILLION, name: "two acknowledging primaries" },
    ];
    let panels = [Panel { name: String::new(), height: ROW * nodes.len() as i32, ticks: Vec::new() }];
    let mut svg = String::new();
    let frame = Frame::new(&mut svg, title, &keys, timeline, &panels, true)?;
    let top = frame.tops[0];
    for (row, node) in nodes.iter().enumerate() {
        let middle = top + row as i32 * ROW + ROW / 2;
        frame.canvas.bold_text(&shorten(node, 15), (LEFT - 8, middle), Anchor::Right, INK, 12.0)?;
        draw_row(&frame.canvas, &roles_by_pixel(result, node, timeline), middle)?;
    }
    draw_windows(&frame.canvas, result, timeline, &nodes, top)?;
    let unlabelled = frame.unlabelled;
    frame.finish()?;
    let mut caption = "What each node said of itself when asked from within; where it changed faster than a pixel is \
                       wide, primary is drawn before neither before unreachable before replica."
        .to_owned();
    if left_out > 0 {
        caption.push_str(&format!(" {left_out} further nodes are not shown."));
    }
    caption.push_str(&unlabelled_note(unlabelled));
    Ok(Some(Figure { name: "claims", title: title.to_owned(), caption, svg }))
}

/// The most telling role at each pixel, as a position in [`ROLES`].
fn roles_by_pixel(result: &RunResult, node: &str, timeline: &Timeline) -> Vec<Option<usize>> {
    let mut pixels = vec![None; PLOT as usize];
    for claim in result.claims.iter().filter(|claim| claim.node == node) {
        let role = ROLES.iter().position(|role| *role == claim.role);
        let from = (timeline.x(seconds(claim.start_ns)) - LEFT).min(PLOT - 1);
        let to = (timeline.x(seconds(claim.end_ns)) - LEFT).max(from + 1);
        for pixel in &mut pixels[from as usize..to as usize] {
            *pixel = role.max(*pixel);
        }
    }
    pixels
}

fn draw_row(canvas: &Canvas<'_>, pixels: &[Option<usize>], middle: i32) -> anyhow::Result<()> {
    let mut from = 0;
    for run in pixels.chunk_by(|a, b| a == b) {
        let to = from + run.len();
        if let Some(role) = run[0].map(|position| ROLES[position]) {
            let x = (LEFT + from as i32, LEFT + to as i32);
            // A node that does not answer is a line, not a bar: it claims nothing.
            let half = if role == ClaimedRole::Unreachable { 1 } else { BAR / 2 };
            canvas.rect(x, (middle - half, middle + half), role_colour(role), 1.0)?;
        }
        from = to;
    }
    Ok(())
}

/// Marks each window on the rows of its two nodes.
fn draw_windows(
    canvas: &Canvas<'_>,
    result: &RunResult,
    timeline: &Timeline,
    nodes: &[&str],
    top: i32,
) -> anyhow::Result<()> {
    for (window, (from, to)) in split_windows_by_start(result).into_iter().zip(timeline.window_spans()) {
        for name in &window.nodes {
            if let Some(row) = nodes.iter().position(|node| node == name) {
                let middle = top + row as i32 * ROW + ROW / 2;
                canvas.rect((from, to.max(from + 2)), (middle + BAR / 2 - 5, middle + BAR / 2), VERMILLION, 1.0)?;
            }
        }
    }
    Ok(())
}

/// In the order of [`Timeline::window_spans`].
fn split_windows_by_start(result: &RunResult) -> Vec<&schism_checker::divergence::split_brain::SplitBrainWindow> {
    let mut windows: Vec<_> = split_windows(result).collect();
    windows.sort_by(|a, b| seconds(a.start_ns).total_cmp(&seconds(b.start_ns)));
    windows
}

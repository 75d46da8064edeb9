//! Operations a second by outcome.

use super::{
    Figure,
    canvas::{BLUE, ORANGE, PURPLE},
    data::{OUTCOMES, OpGrid, OpOutcome},
    frame::{Frame, Key, Mark, Panel, Timeline, linear_ticks},
    latency::{draw_broken_line, outcome_colour},
    unlabelled_note,
};

const PANEL_HEIGHT: i32 = 130;

/// How many operations of each function ended ok, fail and info in each second.
pub(super) fn rate(grid: &OpGrid, timeline: &Timeline) -> anyhow::Result<Figure> {
    let axes: Vec<(f64, Vec<(i32, String)>)> = grid
        .functions
        .iter()
        .map(|function| {
            let most = function.ended.iter().flatten().copied().max().unwrap_or(0);
            linear_ticks(f64::from(most) / grid.bucket_s, PANEL_HEIGHT, 4.0)
        })
        .collect();
    let panels: Vec<Panel> = grid
        .functions
        .iter()
        .zip(&axes)
        .map(|(f, (_, ticks))| Panel {
            name: format!("{} per second", f.name),
            height: PANEL_HEIGHT,
            ticks: ticks.clone(),
        })
        .collect();
    let keys = [
        Key { mark: Mark::Line, colour: BLUE, name: "ok" },
        Key { mark: Mark::Line, colour: PURPLE, name: "fail (certainly not done)" },
        Key { mark: Mark::Line, colour: ORANGE, name: "info (perhaps done)" },
    ];
    let title = "Operations a second by outcome";
    let mut svg = String::new();
    let frame = Frame::new(&mut svg, title, &keys, timeline, &panels, false)?;
    for ((function, (top_value, _)), top) in grid.functions.iter().zip(&axes).zip(&frame.tops) {
        for outcome in OUTCOMES {
            let counts = &function.ended[outcome as usize];
            let point = |(bucket, count): (usize, &u32)| {
                let x = timeline.x((bucket as f64 + 0.5) * grid.bucket_s);
                let share = f64::from(*count) / grid.bucket_s / top_value;
                let point = (x, top + PANEL_HEIGHT - (share * f64::from(PANEL_HEIGHT)).round() as i32);
                // Rare outcomes rise from nothing: a line along zero would only hide the axis.
                (outcome == OpOutcome::Ok || has_neighbour(counts, bucket)).then_some(point)
            };
            let line: Vec<Option<(i32, i32)>> = counts.iter().enumerate().map(point).collect();
            draw_broken_line(&frame, &line, outcome_colour(outcome), 2)?;
        }
    }
    let unlabelled = frame.unlabelled;
    frame.finish()?;
    let caption = format!(
        "Counted in buckets of {} s at the time of completion (of invocation, where an operation never ended).{}",
        grid.bucket_s,
        unlabelled_note(unlabelled),
    );
    Ok(Figure { name: "rate", title: title.to_owned(), caption, svg })
}

/// Whether a bucket or one beside it counts anything.
fn has_neighbour(counts: &[u32], bucket: usize) -> bool {
    counts[bucket.saturating_sub(1)..(bucket + 2).min(counts.len())].iter().any(|count| *count > 0)
}

//! How far each node's clock was off, over time.

use super::{
    Figure,
    canvas::BLUE,
    frame::{Frame, Panel, Timeline, seconds},
    latency::draw_broken_line,
    unlabelled_note,
};
use crate::result::{ClockSample, RunResult};

const PANEL_HEIGHT: i32 = 80;
/// Nodes shown; the caption says when there are more.
const NODES_MAX: usize = 20;
/// Samples are a second apart; where one is missing for longer, the line is broken.
const GAP_S: f64 = 2.5;

/// A clock set by an hour is measured as an hour and half a millisecond: no reason for an axis of a day.
const SLACK: f64 = 1.01;

/// The axis' possible ends, in milliseconds.
const ENDS: [(f64, &str); 12] = [
    (1.0, "1 ms"),
    (10.0, "10 ms"),
    (100.0, "100 ms"),
    (1e3, "1 s"),
    (1e4, "10 s"),
    (6e4, "1 min"),
    (6e5, "10 min"),
    (3.6e6, "1 h"),
    (8.64e7, "1 d"),
    (8.64e8, "10 d"),
    (3.1536e10, "1 y"),
    (1.5768e12, "50 y"),
];

/// One panel a node. `None` when nobody was asked.
pub(super) fn clocks(result: &RunResult, timeline: &Timeline) -> anyhow::Result<Option<Figure>> {
    let mut nodes: Vec<&str> = result.clocks.iter().map(|sample| sample.node.as_str()).collect();
    nodes.sort_unstable();
    nodes.dedup();
    if nodes.is_empty() {
        return Ok(None);
    }
    let left_out = nodes.len().saturating_sub(NODES_MAX);
    nodes.truncate(NODES_MAX);
    let axis = Axis::new(&result.clocks);
    let panels: Vec<Panel> = nodes
        .iter()
        .map(|node| Panel { name: (*node).to_owned(), height: PANEL_HEIGHT, ticks: axis.ticks() })
        .collect();
    let title = "How far each node's clock was ahead";
    let mut svg = String::new();
    let frame = Frame::new(&mut svg, title, &[], timeline, &panels, false)?;
    for (node, top) in nodes.iter().zip(&frame.tops) {
        draw_broken_line(&frame, &line(result, node, timeline, &axis, *top), BLUE, 2)?;
    }
    let unlabelled = frame.unlabelled;
    frame.finish()?;
    let mut caption = "By the database's own word, asked from within the node once a second, against the true time; on an \
                       axis that is linear below a millisecond and logarithmic above. A node that did not answer has no \
                       line."
        .to_owned();
    if left_out > 0 {
        caption.push_str(&format!(" {left_out} further nodes are not shown."));
    }
    caption.push_str(&unlabelled_note(unlabelled));
    Ok(Some(Figure { name: "clocks", title: title.to_owned(), caption, svg }))
}

fn line(result: &RunResult, node: &str, timeline: &Timeline, axis: &Axis, top: i32) -> Vec<Option<(i32, i32)>> {
    let mut points = Vec::new();
    let mut before_s = f64::NEG_INFINITY;
    for sample in result.clocks.iter().filter(|sample| sample.node == node) {
        let at_s = seconds(sample.at_ns);
        if at_s - before_s > GAP_S {
            points.push(None);
        }
        points.push(Some((timeline.x(at_s), top + axis.y(sample.offset_ms))));
        before_s = at_s;
    }
    points
}

/// From some time behind to some time ahead, with nothing in the middle unless no clock was on one of the sides.
struct Axis {
    behind: (f64, &'static str),
    ahead: (f64, &'static str),
}

impl Axis {
    fn new(samples: &[ClockSample]) -> Self {
        let end = |most: f64| ENDS.into_iter().find(|(end, _)| *end * SLACK >= most).unwrap_or(ENDS[ENDS.len() - 1]);
        let most = |sign: f64| samples.iter().map(|sample| sample.offset_ms * sign).fold(0.0, f64::max);
        Self { behind: end(most(-1.0)), ahead: end(most(1.0)) }
    }

    fn y(&self, offset_ms: f64) -> i32 {
        let (low, high) = (-(1.0 + self.behind.0).log10(), (1.0 + self.ahead.0).log10());
        let place = (1.0 + offset_ms.abs()).log10().copysign(offset_ms).clamp(low, high);
        ((high - place) / (high - low) * f64::from(PANEL_HEIGHT)).round() as i32
    }

    fn ticks(&self) -> Vec<(i32, String)> {
        const APART: i32 = 12;
        let zero = self.y(0.0);
        let mut ticks = vec![(zero, "0".to_owned())];
        // An end so close to zero would be written over it.
        if zero >= APART {
            ticks.push((0, format!("+{}", self.ahead.1)));
        }
        if PANEL_HEIGHT - zero >= APART {
            ticks.push((PANEL_HEIGHT, format!("-{}", self.behind.1)));
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn sample(node: &str, at_s: u64, offset_ms: f64) -> ClockSample {
        ClockSample { node: node.to_owned(), at_ns: at_s * 1_000_000_000, offset_ms }
    }

    #[test]
    fn hours_and_milliseconds_are_seen_on_one_axis() {
        let samples = [sample("n1", 1, 3_600_000.4), sample("n1", 2, -200.0)];
        let axis = Axis::new(&samples);
        assert_eq!((axis.ahead.1, axis.behind.1), ("1 h", "1 s"));
        assert_eq!((axis.y(3.6e6), axis.y(-1e3)), (0, PANEL_HEIGHT));
        assert!(axis.y(0.0) < axis.y(-20.0) && axis.y(-20.0) < axis.y(-200.0));
        assert!(axis.y(0.0) > axis.y(20.0));
    }

    #[test]
    fn only_runs_with_samples_have_the_plot_and_gaps_are_not_joined() {
        let mut result = fixture::valid();
        let timeline = Timeline::new(&result, 60_000_000_000);
        assert!(clocks(&result, &timeline).unwrap().is_none());
        result.clocks = vec![sample("n1", 1, 0.1), sample("n1", 2, 3.6e6), sample("n1", 9, 0.0), sample("n2", 1, 0.0)];
        let points = line(&result, "n1", &timeline, &Axis::new(&result.clocks), 0);
        assert_eq!(points.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true, false, true]);
        let figure = clocks(&result, &timeline).unwrap().unwrap();
        assert_eq!(figure.name, "clocks");
        assert!(figure.svg.contains("+1 h") && figure.svg.contains("n2"));
    }
}

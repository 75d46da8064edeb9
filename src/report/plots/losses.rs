//! Acknowledged writes against those that were lost, by the node that acknowledged them.

use std::collections::BTreeMap;

use schism_checker::Details;

use super::{
    Figure,
    canvas::{BLUE, VERMILLION},
    data::OpGrid,
    frame::{Frame, Key, Mark, Panel, Timeline},
    unlabelled_note,
};
use crate::{report::words::count, result::RunResult};

/// For operations whose serving node the history does not name.
pub(super) const UNKNOWN_NODE: &str = "unknown node";
const PANEL_HEIGHT: i32 = 74;

/// `None` without losses.
pub(super) fn losses(result: &RunResult, grid: &OpGrid, timeline: &Timeline) -> anyhow::Result<Option<Figure>> {
    let lost = lost_by_node(result, grid);
    let total: u64 = lost.values().flatten().map(|number| u64::from(*number)).sum();
    if total == 0 {
        return Ok(None);
    }
    let mut nodes: Vec<&String> = grid.acknowledged.keys().chain(lost.keys()).collect();
    nodes.sort();
    nodes.dedup();
    let most = grid.acknowledged.values().chain(lost.values()).flatten().copied().max().unwrap_or(0);
    let axis = RateAxis::new(f64::from(most) / grid.bucket_s);
    let panels: Vec<Panel> = nodes
        .iter()
        .map(|node| {
            let lost: u32 = lost.get(*node).map_or(0, |counts| counts.iter().sum());
            let acknowledged = count(u64::from(acknowledged_by(grid, node)));
            let name = format!("{node}: {} lost of {acknowledged} acknowledged", count(u64::from(lost)));
            Panel { name, height: PANEL_HEIGHT, ticks: axis.ticks() }
        })
        .collect();
    let keys = [
        Key { mark: Mark::Square, colour: BLUE, name: "acknowledged per second" },
        Key { mark: Mark::Square, colour: VERMILLION, name: "of these lost" },
    ];
    let title = "Lost writes by the node that acknowledged them";
    let mut svg = String::new();
    let frame = Frame::new(&mut svg, title, &keys, timeline, &panels, true)?;
    for (node, top) in nodes.iter().zip(&frame.tops) {
        let bars = [(grid.acknowledged.get(*node), BLUE, 0.45), (lost.get(*node), VERMILLION, 1.0)];
        for (counts, colour, alpha) in bars {
            let used = counts.into_iter().flatten().enumerate().filter(|(_, number)| **number > 0);
            for (bucket, number) in used {
                let start_s = bucket as f64 * grid.bucket_s;
                let x = (timeline.x(start_s), timeline.x(start_s + grid.bucket_s));
                let height = axis.height(f64::from(*number) / grid.bucket_s);
                frame.canvas.rect(x, (top + PANEL_HEIGHT - height, top + PANEL_HEIGHT), colour, alpha)?;
            }
        }
    }
    let unlabelled = frame.unlabelled;
    frame.finish()?;
    let caption = format!(
        "Writes by time of acknowledgement, in buckets of {} s, on a logarithmic axis. {} were acknowledged and \
         are gone.{}",
        grid.bucket_s,
        count(total),
        unlabelled_note(unlabelled),
    );
    Ok(Some(Figure { name: "lost-writes", title: title.to_owned(), caption, svg }))
}

/// Writes a second, logarithmic: the isolated node that loses all it acknowledges often acknowledges little, and one
/// lost write among thousands is still the finding.
struct RateAxis {
    /// Decades above 1 per second, which is the bottom.
    decades: f64,
}

impl RateAxis {
    fn new(most: f64) -> Self {
        Self { decades: most.max(10.0).log10().ceil() }
    }

    /// Never nothing.
    fn height(&self, rate: f64) -> i32 {
        let share = rate.max(1.0).log10() / self.decades;
        ((share * f64::from(PANEL_HEIGHT)).round() as i32).clamp(4, PANEL_HEIGHT)
    }

    fn ticks(&self) -> Vec<(i32, String)> {
        let tick = |decade: u32| {
            let offset = f64::from(PANEL_HEIGHT) * (1.0 - f64::from(decade) / self.decades);
            (offset.round() as i32, format!("{}/s", 10u64.pow(decade)))
        };
        (0..=self.decades as u32).map(tick).collect()
    }
}

fn acknowledged_by(grid: &OpGrid, node: &str) -> u32 {
    grid.acknowledged.get(node).map_or(0, |counts| counts.iter().sum())
}

fn lost_by_node(result: &RunResult, grid: &OpGrid) -> BTreeMap<String, Vec<u32>> {
    let mut lost: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut add = |node: Option<&str>, ok_ns: u64| {
        let node = node.unwrap_or(UNKNOWN_NODE);
        lost.entry(node.to_owned()).or_insert_with(|| vec![0; grid.buckets])[grid.bucket(ok_ns)] += 1;
    };
    for check in &result.checks {
        match &check.details {
            Details::Set(set) => set.lost.iter().for_each(|lost| add(lost.node.as_deref(), lost.ok_ns)),
            Details::ListAppend(list) => {
                list.lost_appends.iter().for_each(|lost| add(lost.node.as_deref(), lost.ok_ns));
            }
            _ => {}
        }
    }
    lost
}

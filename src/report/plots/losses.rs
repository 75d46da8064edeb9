//! Acknowledged writes against those that were lost, by the node that acknowledged them.

use std::collections::BTreeMap;

use schism_checker::Details;

use super::{
    Figure,
    canvas::{BLUE, VERMILLION},
    data::OpGrid,
    frame::{Frame, Key, Mark, Panel, Timeline, linear_ticks},
    unlabelled_note,
};
use crate::result::RunResult;

/// For operations whose serving node the history does not name.
pub(super) const UNKNOWN_NODE: &str = "unknown node";
const PANEL_HEIGHT: i32 = 74;

/// `None` without losses.
pub(super) fn losses(result: &RunResult, grid: &OpGrid, timeline: &Timeline) -> anyhow::Result<Option<Figure>> {
    let lost = lost_by_node(result, grid);
    let total: u64 = lost.values().flatten().map(|count| u64::from(*count)).sum();
    if total == 0 {
        return Ok(None);
    }
    let mut nodes: Vec<&String> = grid.acknowledged.keys().chain(lost.keys()).collect();
    nodes.sort();
    nodes.dedup();
    let most = grid.acknowledged.values().chain(lost.values()).flatten().copied().max().unwrap_or(0);
    let (top_value, ticks) = linear_ticks(f64::from(most) / grid.bucket_s, PANEL_HEIGHT, 2.0);
    let panels: Vec<Panel> = nodes
        .iter()
        .map(|node| {
            let lost: u32 = lost.get(*node).map_or(0, |counts| counts.iter().sum());
            let name = format!("{node}: {lost} lost of {} acknowledged", acknowledged_by(grid, node));
            Panel { name, height: PANEL_HEIGHT, ticks: ticks.clone() }
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
        let bars = [(grid.acknowledged.get(*node), BLUE, 0.45, 1), (lost.get(*node), VERMILLION, 1.0, 3)];
        for (counts, colour, alpha, least) in bars {
            let used = counts.into_iter().flatten().enumerate().filter(|(_, count)| **count > 0);
            for (bucket, count) in used {
                let start_s = bucket as f64 * grid.bucket_s;
                let x = (timeline.x(start_s), timeline.x(start_s + grid.bucket_s));
                let share = f64::from(*count) / grid.bucket_s / top_value;
                // One lost write among thousands is still the finding: it keeps a few pixels.
                let height = ((share * f64::from(PANEL_HEIGHT)).round() as i32).max(least);
                frame.canvas.rect(x, (top + PANEL_HEIGHT - height, top + PANEL_HEIGHT), colour, alpha)?;
            }
        }
    }
    let unlabelled = frame.unlabelled;
    frame.finish()?;
    let caption = format!(
        "Writes by time of acknowledgement, in buckets of {} s. Vermillion writes were acknowledged and are gone: {total} \
         in all.{}",
        grid.bucket_s,
        unlabelled_note(unlabelled),
    );
    Ok(Some(Figure { name: "lost-writes", title: title.to_owned(), caption, svg }))
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

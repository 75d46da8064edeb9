//! Pictures of a run as SVG.
//!
//! All plots over time share one axis and show the faults as bands. Operations come in one pass into grids of fixed
//! size ([`OpGrid`]), so that neither memory nor files grow with the history; what shares a mark is counted in it,
//! and the caption says how many a mark may stand for.

mod canvas;
mod claims;
mod clocks;
mod data;
mod evidence;
mod frame;
mod latency;
mod losses;
mod rate;

pub(crate) use data::{OpGrid, OpOutcome, OpSample};
pub(crate) use evidence::evidence;
pub(crate) use frame::Timeline;

use crate::result::RunResult;

/// A picture and what to say of it.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// The file's name without folder and ending.
    pub(crate) name: &'static str,
    /// For people, and for those who hear the page.
    pub(crate) title: String,
    /// What is shown, and how it was counted.
    pub(crate) caption: String,
    /// The whole SVG document.
    pub(crate) svg: String,
}

/// All plots over time that the run has data for.
pub(crate) fn plots(result: &RunResult, timeline: &Timeline, grid: &OpGrid) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    figures.extend(claims::claims(result, timeline)?);
    figures.extend(losses::losses(result, grid, timeline)?);
    if grid.ops > 0 {
        figures.push(latency::scatter(grid, timeline)?);
        figures.push(latency::quantiles(grid, timeline)?);
        figures.push(rate::rate(grid, timeline)?);
    }
    figures.extend(clocks::clocks(result, timeline)?);
    Ok(figures)
}

/// What a caption adds when bands outnumber the room for labels.
fn unlabelled_note(bands: usize) -> String {
    match bands {
        0 => String::new(),
        bands => format!(" {bands} bands have no label for lack of room; the table of faults lists all."),
    }
}

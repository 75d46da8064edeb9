//! What a run prints last: the verdict in a screenful.

use std::path::Path;

use schism_checker::{Details, Validity, availability::FaultAvailability};

use super::words::{
    Tone, cluster_rto, count, counted, headline, millis, moment, recovery_point, seconds, told, varied_evidence,
};
use crate::result::RunResult;

const LINES_MAX: usize = 30;
/// Checks and pieces of evidence shown. With two notes, two harness errors and the closing lines they leave at least
/// two lines for faults.
const CHECKS_MAX: usize = 7;
const EVIDENCE_MAX: usize = 3;
/// Lines that follow the faults.
const CLOSING_LINES: usize = 5;

/// At most 30 lines, no line wider than `width` (but for the repeat command and the path, which are there to be
/// copied), coloured if asked.
pub(crate) fn summary(result: &RunResult, dir: &Path, colour: bool, width: usize) -> String {
    let mut page = Page { text: String::new(), colour, width: width.max(40) };
    verdict(&mut page, result);
    checks(&mut page, result);
    evidence(&mut page, result);
    availability(&mut page, result);
    let report = dir.join("report.html");
    page.uncut("", &format!("report   {}", report.display()));
    page.uncut("", &format!("repeat   {}", result.command));
    page.line(DIM, "         repeats the plan, not the timing; only history.jsonl repeats the verdict");
    page.text
}

const BOLD: &str = "1";
const DIM: &str = "2";
const PLAIN: &str = "";

struct Page {
    text: String,
    colour: bool,
    width: usize,
}

impl Page {
    /// A line in one style (an SGR code, or empty), cut to the page's width. Control characters of foreign error
    /// texts must not reach the terminal.
    fn line(&mut self, style: &str, line: &str) {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cut = if line.chars().count() <= self.width {
            line
        } else {
            line.chars().take(self.width - 1).chain(['…']).collect()
        };
        self.push(style, cut.trim_end());
    }

    fn uncut(&mut self, style: &str, line: &str) {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.push(style, &line);
    }

    fn push(&mut self, style: &str, line: &str) {
        if self.colour && !style.is_empty() && !line.is_empty() {
            self.text.push_str(&format!("\x1b[{style}m{line}\x1b[0m"));
        } else {
            self.text.push_str(line);
        }
        self.text.push('\n');
    }

    /// Text over at most `max` lines, indented after the first.
    fn wrapped(&mut self, style: &str, first: &str, indent: &str, text: &str, max: usize) {
        let room = self.width.saturating_sub(indent.chars().count()).max(20);
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        let cut = lines.len() > max;
        lines.truncate(max);
        if let Some(last) = lines.last_mut().filter(|_| cut) {
            last.push_str(" …");
        }
        for (number, line) in lines.iter().enumerate() {
            let start = if number == 0 { first } else { indent };
            self.line(style, &format!("{start}{line}"));
        }
    }
}

fn tone_style(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "1;32",
        Tone::Bad => "1;31",
        Tone::Doubt => "1;33",
    }
}

fn validity_style(valid: Validity) -> &'static str {
    match valid {
        Validity::Valid => "32",
        Validity::Invalid => "31",
        Validity::Unknown => "33",
    }
}

fn verdict(page: &mut Page, result: &RunResult) {
    let headline = headline(result);
    let (mark, what) = (mark(headline.tone), format!("{} {}", result.target, result.workload));
    page.line(tone_style(headline.tone), &format!("{mark} {}  {what}, seed {}", headline.label, result.seed));
    page.line(BOLD, &format!("  {}", headline.sentence));
    for note in headline.notes.iter().take(2) {
        page.wrapped(PLAIN, "  ", "  ", note, 2);
    }
    for error in result.harness_errors.iter().take(2) {
        page.line("33", &format!("  harness: {error}"));
    }
}

const fn mark(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "✓",
        Tone::Bad => "✗",
        Tone::Doubt => "?",
    }
}

fn checks(page: &mut Page, result: &RunResult) {
    let name_width = result.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    for check in result.checks.iter().take(CHECKS_MAX) {
        let text = told(check);
        let line = format!("  {:7}  {:name_width$}  {text}", check.valid.name(), check.name);
        page.line(validity_style(check.valid), &line);
    }
    if result.checks.len() > CHECKS_MAX {
        page.line(DIM, &format!("  … and {} more checks", result.checks.len() - CHECKS_MAX));
    }
}

fn evidence(page: &mut Page, result: &RunResult) {
    let evidence = varied_evidence(result);
    for (check, finding) in evidence.iter().take(EVIDENCE_MAX) {
        page.wrapped(PLAIN, "  → ", "    ", &format!("{}: {}", check.name, finding.sentence), 2);
    }
    let total: u64 =
        result.checks.iter().filter(|check| check.valid == Validity::Invalid).map(|check| check.findings_total).sum();
    let shown = evidence.len().min(EVIDENCE_MAX) as u64;
    if total > shown {
        page.line(DIM, &format!("    and {} more in the report", counted(total - shown, "finding")));
    }
}

fn availability(page: &mut Page, result: &RunResult) {
    let figures = &result.availability;
    if figures.faults.is_empty() {
        page.line(PLAIN, "RTO      – (no fault was in force)");
    }
    let room = LINES_MAX.saturating_sub(CLOSING_LINES + page.text.lines().count());
    let shown = if figures.faults.len() <= room { figures.faults.len() } else { room.saturating_sub(1) };
    for fault in &figures.faults[..shown] {
        page.line(PLAIN, &rto_line(fault));
    }
    if figures.faults.len() > shown {
        page.line(DIM, &format!("         … and {} more faults", figures.faults.len() - shown));
    }
    page.line(PLAIN, &rpo_line(result));
    let totals = figures.counts.iter().fold([0; 3], |sum, of| [sum[0] + of.ok, sum[1] + of.fail, sum[2] + of.info]);
    let latency = &figures.steady_latency_ms;
    page.line(
        PLAIN,
        &format!(
            "ops      {} ok, {} fail, {} info; {:.0}/s; steady p50 {} ms, p99 {} ms",
            count(totals[0]),
            count(totals[1]),
            count(totals[2]),
            figures.ops_per_s,
            millis(latency.p50),
            millis(latency.p99),
        ),
    );
}

fn rto_line(fault: &FaultAvailability) -> String {
    let victims = fault.victims.join(" ");
    let mut line = format!(
        "RTO      writes {}, reads {}  after #{} {} {victims} at {}",
        cluster_rto(&fault.rto_write),
        cluster_rto(&fault.rto_read),
        fault.fault_id,
        fault.kind,
        moment(fault.start_ns),
    );
    let never = fault.rto_write.clients_never.max(fault.rto_read.clients_never);
    if never > 0 {
        line.push_str(&format!("; {} never recovered", counted(u64::from(never), "client")));
    }
    line
}

fn rpo_line(result: &RunResult) -> String {
    let mut line = match recovery_point(result) {
        Ok(point) if point.ops == 0 => "RPO      no acknowledged write lost".to_owned(),
        Ok(point) => format!(
            "RPO      {} lost ({:.2} % of acknowledged, within {})",
            counted(point.ops, "acknowledged write"),
            point.percent,
            seconds(point.window_s),
        ),
        Err(why) => format!("RPO      – ({why})"),
    };
    for check in &result.checks {
        if let Details::SplitBrain(split_brain) = &check.details {
            let text = if !split_brain.claims_observed {
                "not observed".to_owned()
            } else if split_brain.windows.is_empty() {
                "none".to_owned()
            } else {
                seconds(split_brain.total_s)
            };
            line.push_str(&format!("; split brain {text}"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn plain(result: &RunResult) -> String {
        summary(result, Path::new("results/latest"), false, 100)
    }

    #[test]
    fn says_it_in_a_screenful() {
        insta::assert_snapshot!("terminal-valid", plain(&fixture::valid()));
        insta::assert_snapshot!("terminal-invalid", plain(&fixture::losses_and_split_brain(1234)));
        insta::assert_snapshot!("terminal-unknown", plain(&fixture::unknown()));
        insta::assert_snapshot!("terminal-harness-failure", plain(&fixture::harness_failure()));
        insta::assert_snapshot!("terminal-nonlinearizable", plain(&fixture::nonlinearizable()));
    }

    #[test]
    fn stays_within_thirty_lines_and_the_width() {
        for width in [40, 80, 200] {
            for result in [fixture::crowded(), fixture::hostile(), fixture::harness_failure()] {
                let text = summary(&result, Path::new("r"), false, width);
                assert!(text.lines().count() <= 30, "{} lines:\n{text}", text.lines().count());
                let wide = text.lines().filter(|line| line.chars().count() > width);
                assert!(wide.clone().all(|line| line.starts_with("repeat") || line.starts_with("report")), "{text}");
            }
        }
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert!(!summary(&fixture::hostile(), Path::new("r"), false, 120).contains('\x1b'));
    }

    #[test]
    fn colour_is_only_there_when_asked_for() {
        assert!(summary(&fixture::valid(), Path::new("r"), true, 100).contains("\x1b[1;32m"));
        assert!(!plain(&fixture::valid()).contains('\x1b'));
    }
}

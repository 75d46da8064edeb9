//! `report.html`: the whole report in one file, opened from disk without network.
//!
//! The first screen answers which guarantee was held or broken, by which evidence, with what RTO and RPO, and how to
//! repeat it. Whatever a history holds, tables and texts are cut at fixed lengths with a link to the complete list, so
//! that the page stays small enough for any browser.

mod first;
mod sections;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{plots::Figure, words::headline};
use crate::result::RunResult;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("filter.js");

/// The page. `evidence` are the pictures of the first finding; `figures` are the plots over time.
pub(super) fn page(result: &RunResult, figures: &[Figure], evidence: &[Figure]) -> String {
    let headline = headline(result);
    let title = format!("{} · {} {} · schism", headline.label, result.target, result.workload);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Whatever slipped through, nothing is loaded: the report must not phone home.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
                title { (text(&title, 200)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#checks" { "Skip to the checks" }
                main {
                    (first::screen(result, &headline, evidence))
                    (sections::all(result, figures))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Text from outside: cut to a length, control characters replaced; escaped by the template.
fn text(text: &str, max_chars: usize) -> String {
    super::words::clip(text, max_chars)
        .chars()
        .map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{FFFD}' } else { c })
        .collect()
}

/// A picture with its caption.
fn figure(figure: &Figure) -> Markup {
    let opening = "<svg ";
    let label = html! { (figure.title) }.into_string();
    let svg = figure.svg.replacen(opening, &format!("<svg role=\"img\" aria-label=\"{label}\" "), 1);
    html! {
        figure {
            (PreEscaped(svg))
            figcaption { (figure.caption) }
        }
    }
}

/// A link to a file of the result folder; plain text if the path would lead anywhere else.
fn link(name: &str, path: &str) -> Markup {
    let name = text(name, 120);
    let leads_out = path.starts_with('/') || path.contains(':') || path.split('/').any(|part| part == "..");
    if leads_out || path.chars().any(char::is_control) {
        return html! { (name) };
    }
    let href: String = path
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    html! { a href=(href) { (name) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{
        fixture,
        plots::{OpGrid, Timeline, plots},
    };

    fn render(result: &RunResult, ops: u64) -> (String, usize) {
        let timeline = Timeline::new(result, fixture::END_NS);
        let grid = OpGrid::collect(timeline.end_ns(), fixture::samples(ops));
        let figures = plots(result, &timeline, &grid).unwrap();
        let evidence = crate::report::tests::evidence_without_history(result, &figures);
        let plots_bytes = figures.iter().chain(&evidence).map(|figure| figure.svg.len()).sum();
        (page(result, &figures, &evidence), plots_bytes)
    }

    /// What a person reads: no tags, no style, no pictures.
    fn readable(page: &str) -> String {
        let mut text = String::new();
        let mut rest = page;
        while let Some(start) = rest.find('<') {
            text.push_str(&rest[..start]);
            let skipped = ["<style", "<script", "<svg"].into_iter().find(|tag| rest[start..].starts_with(tag));
            let end = match skipped {
                Some(tag) => {
                    let closing = tag.replace('<', "</");
                    start + rest[start..].find(&closing).unwrap()
                }
                None => start,
            };
            rest = &rest[end + rest[end..].find('>').unwrap() + 1..];
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        text
    }

    /// Every element is closed in order; `Err` names the first that is not.
    fn balance(page: &str) -> Result<(), String> {
        const VOID: [&str; 5] = ["!DOCTYPE", "meta", "br", "img", "input"];
        let mut open: Vec<String> = Vec::new();
        let mut rest = page;
        while let Some(start) = rest.find('<') {
            let end = start + rest[start..].find('>').ok_or("a tag without end")?;
            let tag = &rest[start + 1..end];
            rest = &rest[end + 1..];
            let name: String =
                tag.trim_start_matches('/').chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
            if tag.starts_with('/') {
                let last = open.pop().ok_or_else(|| format!("</{name}> closes nothing"))?;
                if last != name {
                    return Err(format!("</{name}> closes <{last}>"));
                }
            } else if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
                if name == "style" || name == "script" {
                    rest = &rest[rest.find(&format!("</{name}")).ok_or("raw text without end")?..];
                }
                open.push(name);
            }
        }
        open.pop().map_or(Ok(()), |name| Err(format!("<{name}> is never closed")))
    }

    #[test]
    fn reads_well() {
        let text = |result: &RunResult| readable(&render(result, 20_000).0);
        insta::assert_snapshot!("html-valid", text(&fixture::valid()));
        insta::assert_snapshot!("html-invalid", text(&fixture::losses_and_split_brain(1234)));
        insta::assert_snapshot!("html-unknown", text(&fixture::unknown()));
        insta::assert_snapshot!("html-harness-failure", text(&fixture::harness_failure()));
        insta::assert_snapshot!("html-nonlinearizable", text(&fixture::nonlinearizable()));
    }

    #[test]
    fn is_balanced_and_loads_nothing() {
        let results = [
            fixture::valid(),
            fixture::losses_and_split_brain(500),
            fixture::unknown(),
            fixture::harness_failure(),
            fixture::nonlinearizable(),
            fixture::hostile(),
        ];
        for result in results {
            let page = render(&result, 5000).0;
            balance(&page).unwrap();
            let outside = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!outside.contains("http://") && !outside.contains("https://"));
            assert!(!outside.contains(" src=") || outside.contains("&lt;img src="), "nothing may be loaded");
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let page = render(&fixture::hostile(), 5000).0;
        assert!(!page.contains("<script>alert"));
        assert!(!page.contains("<img"));
        assert!(!page.contains("javascript:"));
        assert!(!page.contains('\u{0}') && !page.contains('\u{1b}'));
    }

    #[test]
    fn stays_small_whatever_the_history_holds() {
        let (page, plots_bytes) = render(&fixture::crowded(), 10_000);
        let beyond = page.len() - plots_bytes;
        assert!(beyond <= 3 << 20, "{beyond} bytes beyond the plots");
        balance(&page).unwrap();
    }

    #[test]
    fn links_stay_in_the_folder() {
        assert!(link("log", "nodes/n1/a b#c.log").into_string().contains("nodes/n1/a%20b%23c.log"));
        for path in ["/etc/passwd", "javascript:alert(1)", "../x", "a/../../b"] {
            assert!(!link("log", path).into_string().contains("href"), "{path}");
        }
    }
}

//! Histories of Jepsen's simple objects in words, and what is said of them.
#![allow(unreachable_pub, dead_code, clippy::unwrap_used, reason = "each test program uses its own part")]

use schism_checker::{Check, Options, check, history::History, jepsen::JepsenOptions};

use super::foreign;

/// Operations in words, as EDN: `0> add 5` invokes, `+` ends ok, `-` fails, `?` is indeterminate; `_` is a process that is
/// not named.
pub fn edn(text: &str) -> String {
    text.split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (who, op) = part.split_once(' ').unwrap();
            let (process, mark) = who.split_at(who.len() - 1);
            let kind = match mark {
                ">" => "invoke",
                "+" => "ok",
                "-" => "fail",
                "?" => "info",
                other => panic!("{other}"),
            };
            let (f, value) = op.split_once(' ').unwrap_or((op, "nil"));
            let process = if process == "_" { String::new() } else { format!(":process {process}, ") };
            format!("{{{process}:type :{kind}, :f :{f}, :value {value}}}\n")
        })
        .collect()
}

pub fn judge_with(model: &str, text: &str, options: JepsenOptions) -> Check {
    let history = foreign(model, &edn(text)).unwrap_or_else(|why| panic!("{text}: {why}"));
    judge_history(&history, options)
}

pub fn judge_history(history: &History, jepsen: JepsenOptions) -> Check {
    let options = Options { jepsen, ..Options::default() };
    let mut checks = check(history, &options).unwrap();
    assert_eq!(checks.len(), 1);
    checks.remove(0)
}

pub fn judge(model: &str, text: &str) -> Check {
    judge_with(model, text, JepsenOptions::default())
}

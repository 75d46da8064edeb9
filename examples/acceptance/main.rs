//! The acceptance cases: what real databases must be caught at, and what they must not be accused of. Each must-find
//! case stands beside its control. Run by `scripts/acceptance`; it takes long, so it is no unit test.
//!
//! `scripts/acceptance [CASE…] [--seeds N]`; without a case all of them, with the seeds 1 to N (default: each case's
//! own number).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command of its own, whose output this is")]

mod by_hand;
mod cases;
mod killed;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use serde_json::Value;

use self::{cases::CASES, killed::killed_controller};

type Judged = Result<String, String>;

/// One row: how to run it, how often, and what must hold of its result.
struct Case {
    name: &'static str,
    args: &'static [&'static str],
    seeds: u64,
    judge: fn(&Run) -> Judged,
}

/// What one run gave.
struct Run {
    code: i32,
    result: Value,
}

impl Run {
    fn expect_code(&self, expected: i32) -> Result<(), String> {
        let reasons: Vec<String> = self.result["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|check| check["valid"] != Value::Bool(true))
            .map(|check| check["summary"].as_str().unwrap_or_default().to_owned())
            .collect();
        ensure(
            self.code == expected,
            format!(
                "exit code {}, expected {expected}; {} {}",
                self.code,
                reasons.join(" | "),
                self.result["harness-errors"]
            ),
        )
    }

    fn details(&self, check: &str) -> Result<&Value, String> {
        self.result["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["name"] == check)
            .map(|row| &row["details"])
            .ok_or_else(|| format!("no check {check} in the result; exit code {}", self.code))
    }

    fn number(&self, check: &str, name: &str) -> Result<f64, String> {
        self.details(check)?[name].as_f64().ok_or_else(|| format!("{check} has no number {name}"))
    }

    /// The length of a list that the result may hold in part, with its whole length beside it.
    fn list(&self, check: &str, name: &str) -> Result<usize, String> {
        let details = self.details(check)?;
        let total = details[format!("{name}-total")].as_u64().map(|total| total as usize);
        total.or_else(|| details[name].as_array().map(Vec::len)).ok_or_else(|| format!("{check} has no list {name}"))
    }

    /// Refuted, by each of these, and by nothing else but what may be there, too.
    fn only_anomalies(&self, expected: &[&str], or_these: &[&str]) -> Judged {
        self.expect_code(1)?;
        let found = &self.details("isolation")?["anomaly-counts"];
        let kinds: Vec<&str> =
            found.as_object().map(|counts| counts.keys().map(String::as_str).collect()).unwrap_or_default();
        let fits = expected.iter().all(|kind| kinds.contains(kind))
            && kinds.iter().all(|kind| expected.contains(kind) || or_these.contains(kind));
        ensure(fits, format!("found {kinds:?}, expected {expected:?}, perhaps {or_these:?}"))?;
        Ok(format!("{found} in {} transactions", self.details("isolation")?["txns"][0]))
    }

    fn no_anomalies(&self) -> Judged {
        self.expect_code(0)?;
        Ok(format!("{} transactions", self.details("isolation")?["txns"][0]))
    }

    /// Valid, though the primary's clock was wrong.
    fn unmoved_by_its_clock(&self) -> Judged {
        self.expect_code(0)?;
        let faults = self.result["faults"].as_array().map_or(0, Vec::len);
        ensure(faults > 0, "no clock was set".to_owned())?;
        let samples = self.result["clocks"].as_array().into_iter().flatten();
        let most_ms = samples.filter_map(|sample| sample["offset-ms"].as_f64()).map(f64::abs).fold(0.0, f64::max);
        ensure((most_ms - 3.6e6).abs() < 1_000.0, format!("the clocks were off by {most_ms} ms at most"))?;
        Ok(format!("valid, {faults} jumps, {} acknowledged, RTO {}", self.number("set", "acknowledged")?, self.rto()))
    }

    fn lost_none(&self) -> Judged {
        ensure(self.list("set", "lost")? == 0, "acknowledged writes lost".to_owned())?;
        Ok(format!("valid, {} acknowledged, RTO {}", self.number("set", "acknowledged")?, self.rto()))
    }

    fn lost_some(&self) -> Judged {
        let lost = self.list("set", "lost")?;
        ensure(lost > 0, "nothing lost".to_owned())?;
        Ok(format!("lost {lost} of {} acknowledged", self.number("set", "acknowledged")?))
    }

    /// Whether and how much is chance; that it is of so short a time is not.
    fn lost_within(&self, limit_s: f64) -> Judged {
        let lost = self.list("set", "lost")?;
        self.expect_code(i32::from(lost > 0))?;
        let window_s = if lost > 0 { self.rpo_window_s()? } else { 0.0 };
        ensure(window_s <= limit_s, format!("losses span {window_s:.2} s, expected <= {limit_s}"))?;
        Ok(format!("lost {lost} of {} acknowledged within {window_s:.2} s", self.number("set", "acknowledged")?))
    }

    /// How many operations ended with an error of this class.
    fn errors(&self, class: &str) -> u64 {
        let errors = self.result["availability"]["errors"].as_array();
        let of_class = errors.into_iter().flatten().filter(|error| error["class"] == class);
        of_class.filter_map(|error| error["count"].as_u64()).sum()
    }

    fn rpo_window_s(&self) -> Result<f64, String> {
        self.details("set")?["rpo"]["window-s"].as_f64().ok_or_else(|| "no RPO".to_owned())
    }

    fn rto(&self) -> String {
        let faults = self.result["availability"]["faults"].as_array().cloned().unwrap_or_default();
        let times: Vec<String> = faults
            .iter()
            .map(|fault| fault["rto-write"]["cluster-s"].as_f64().map_or("never".to_owned(), |s| format!("{s:.2} s")))
            .collect();
        times.join(", ")
    }

    fn directory(&self) -> Result<PathBuf, String> {
        let path = self.result["directory"].as_str().ok_or("the result does not name its folder")?;
        Ok(PathBuf::from(path))
    }
}

fn ensure(holds: bool, otherwise: String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise) }
}

fn run_case(schism: &Path, case: &Case, seed: u64) -> Result<Run, String> {
    let output = Command::new(schism)
        .arg("run")
        .args(case.args)
        .args(["--seed", &seed.to_string(), "--json"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {}: {error}", schism.display()))?;
    let code = output.status.code().unwrap_or(-1);
    let result: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        format!("exit code {code}, no result ({error}): {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    // A run that failed itself proves nothing, whatever its figures.
    ensure(code != 255, format!("exit code 255: {}", result["harness-errors"]))?;
    Ok(Run { code, result })
}

/// The same seed twice gives the same plan, operations and faults.
fn same_plan(schism: &Path, target: &str) -> Judged {
    let plan = || {
        Command::new(schism)
            .args(["plan", target, "--seed", "42", "--ops", "200"])
            .output()
            .map(|output| output.stdout)
            .map_err(|error| error.to_string())
    };
    let (first, second) = (plan()?, plan()?);
    ensure(!first.is_empty() && first == second, "two plans of one seed differ".to_owned())?;
    Ok(format!("identical, {} bytes", first.len()))
}

#[derive(Default)]
struct Tally {
    passed: u32,
    failed: u32,
}

impl Tally {
    fn add(&mut self, name: &str, round: &str, began: Instant, judged: &Judged) {
        let (word, text) = match judged {
            Ok(text) => {
                self.passed += 1;
                ("ok", text)
            }
            Err(text) => {
                self.failed += 1;
                ("FAILED", text)
            }
        };
        println!("{word:<7} {name:<34} {round:<8} {:>5.1} s  {text}", began.elapsed().as_secs_f64());
    }
}

fn main() -> ExitCode {
    let mut wanted = Vec::new();
    let mut seeds = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--seeds" {
            let Some(count) = args.next().and_then(|count| count.parse::<u64>().ok()) else {
                eprintln!("acceptance: --seeds takes a number");
                return ExitCode::from(254);
            };
            seeds = Some(count);
        } else {
            wanted.push(arg);
        }
    }
    let names = || CASES.iter().map(|case| case.name).chain(["same-seed-same-plan", "killed-controller"]);
    if let Some(unknown) = wanted.iter().find(|name| !names().any(|known| known == name.as_str())) {
        eprintln!("acceptance: there is no case {unknown}; cases: {}", names().collect::<Vec<_>>().join(", "));
        return ExitCode::from(254);
    }
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    // Another build than the release is for trying out a case.
    let schism = std::env::var_os("SCHISM").map_or_else(|| PathBuf::from("target/release/schism"), PathBuf::from);
    let mut tally = Tally::default();
    let mut isolated_lost = Vec::new();
    for case in CASES.iter().filter(|case| wants(case.name)) {
        for seed in 1..=seeds.unwrap_or(case.seeds) {
            let began = Instant::now();
            let run = run_case(&schism, case, seed);
            let mut judged = run.as_ref().map_err(Clone::clone).and_then(|run| (case.judge)(run));
            if let Ok(run) = &run {
                let lost = run.number("set", "lost-percent").unwrap_or(0.0);
                match case.name {
                    "sentinel-isolated-primary" => isolated_lost.push(lost),
                    "sentinel-min-replicas" => {
                        if let (Some(without), Ok(_)) = (isolated_lost.get(seed as usize - 1), &judged)
                            && lost * 3.0 > *without
                        {
                            judged = Err(format!("lost {lost:.1} %, not three times less than {without:.1} %"));
                        }
                    }
                    _ => {}
                }
            }
            tally.add(case.name, &format!("seed {seed}"), began, &judged);
        }
    }
    if wants("same-seed-same-plan") {
        for target in ["memory", "redis/sentinel", "postgres/async"] {
            let began = Instant::now();
            tally.add("same-seed-same-plan", target, began, &same_plan(&schism, target));
        }
    }
    if wants("killed-controller") {
        let results = std::env::temp_dir().join(format!("schism-acceptance-{}", std::process::id()));
        for round in 1..=seeds.unwrap_or(100) {
            let began = Instant::now();
            tally.add(
                "killed-controller",
                &format!("round {round}"),
                began,
                &killed_controller(&schism, &results, round),
            );
        }
        let _ = std::fs::remove_dir_all(&results);
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    ExitCode::from(u8::from(tally.failed > 0))
}

//! `schism check`: judge recorded histories again, without a database.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::Path,
    time::Duration,
};

use schism_checker::{
    Check, Details, Options, Validity, WORKLOADS,
    history::{Format, History, ReadOptions, read_any},
    linearizability::Budget,
};
use serde::Serialize;

use crate::{
    check::combine,
    cli::CheckArgs,
    exit,
    exit::usage,
    output::{self, print_line},
};

/// One line of `--json`.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    file: &'a Path,
    model: &'a str,
    valid: Validity,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What proves an invalid history so, of the check that found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<serde_json::Value>,
    warnings: &'a [String],
    checks: &'a [Check],
}

/// Judges each file; the exit code is that of the most severe verdict, or that of bad input if any file was bad. One
/// bad file does not keep the others from being judged.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    if let Some(model) = &args.model {
        crate::plan::choose("model", model, WORKLOADS)?;
    }
    if let Some(format) = &args.format {
        let names: Vec<&str> = Format::NAMES.iter().map(|(name, _)| *name).collect();
        crate::plan::choose("format", format, &names)?;
    }
    for model in &args.consistency_models {
        crate::plan::choose("consistency model", model, schism_checker::isolation::list_append::known_models())?;
    }
    let mut verdicts = Vec::new();
    let mut bad_input = false;
    for file in &args.files {
        match check_file(file, args) {
            Ok(valid) => verdicts.push(valid),
            Err(error) => {
                bad_input = true;
                crate::print_error(&error);
            }
        }
    }
    Ok(if bad_input { exit::USAGE } else { exit::of_validity(Validity::combine(verdicts)) })
}

fn check_file(file: &Path, args: &CheckArgs) -> anyhow::Result<Validity> {
    let path = if file.is_dir() { file.join("history.jsonl") } else { file.to_path_buf() };
    let (history, warnings) = read_file(&path, args)?;
    let memory_bytes = args.memory_limit.unwrap_or_else(half_of_free_bytes);
    let budget = Budget::about(Duration::from_millis(args.time_limit), memory_bytes);
    let checks = schism_checker::check(&history, &Options { linearizability: budget })
        .map_err(|error| usage(format!("{}: {error}", path.display())))?;
    let valid = combine(&checks);
    if args.quiet {
        let word = serde_json::to_string(&valid)?;
        print_line(&format!("{}\t{}", path.display(), word.trim_matches('"')))?;
    } else {
        print(&path, &history, valid, &warnings, &checks, args.json)?;
    }
    Ok(valid)
}

/// Half of the memory that is free now; where that cannot be asked, what any machine has.
fn half_of_free_bytes() -> usize {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free =
        meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse().ok());
    free.map_or(500_000_000, |free_kib: usize| free_kib.saturating_mul(1024) / 2)
}

/// The content of a file, or of standard input for `-`, unpacked if it is gzip or zstd.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let packed: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut packed = BufReader::with_capacity(1 << 20, packed);
    Ok(match packed.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(packed)?),
        _ => Box::new(packed),
    })
}

fn read_file(path: &Path, args: &CheckArgs) -> anyhow::Result<(History, Vec<String>)> {
    let content = open(path).map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
    let options = ReadOptions { workload: args.model.clone() };
    let named = |name: &String| Format::NAMES.iter().find(|(known, _)| known == name).map(|(_, format)| *format);
    let format = args.format.as_ref().and_then(named);
    let mut loaded = read_any(content, format, &options).map_err(|problems| {
        // The reader knows no flags.
        let text = problems.to_string();
        let way_out = if text.contains("no header") && args.model.is_none() {
            format!(
                "\nA history without a header can be judged if you say what it is of: --model {}",
                WORKLOADS.join("|")
            )
        } else if text.contains("begins like no history") {
            "\nIf it is one of them all the same, say which with --format".into()
        } else {
            String::new()
        };
        usage(format!("{} is not a history that can be judged:\n{text}{way_out}", path.display()))
    })?;
    if !args.consistency_models.is_empty() {
        loaded.history.set_consistency_models(args.consistency_models.clone());
    }
    Ok((loaded.history, loaded.warnings))
}

fn print(
    path: &Path,
    history: &History,
    valid: Validity,
    warnings: &[String],
    checks: &[Check],
    json: bool,
) -> anyhow::Result<()> {
    if json {
        let reasons =
            checks.iter().filter(|check| check.valid == Validity::Unknown).filter_map(|check| check.reason.clone());
        let reason = (valid == Validity::Unknown).then(|| reasons.collect::<Vec<_>>().join("; "));
        let evidence = checks.iter().find(|check| check.valid == Validity::Invalid).map(evidence).transpose()?;
        let line = Line { file: path, model: &history.header().workload, valid, reason, evidence, warnings, checks };
        return print_line(&serde_json::to_string(&line)?);
    }
    let mut text = format!("{}: {}\n", path.display(), valid.name());
    for warning in warnings {
        text.push_str(&format!("  warning: {warning}\n"));
    }
    for check in checks {
        text.push_str(&format!("  {:<16} {:<8} {}\n", check.name, check.valid.name(), check.summary));
        if let Some(reason) = &check.reason {
            text.push_str(&format!("  {:<16} {:<8} {reason}\n", "", ""));
        }
        for finding in check.findings.iter().take(3) {
            text.push_str(&format!("    {}: {}\n", finding.kind, finding.sentence));
        }
        let left_out = check.findings_total.saturating_sub(3);
        if left_out > 0 {
            text.push_str(&format!("    … and {left_out} more; --json prints up to {}\n", Check::FINDINGS_MAX));
        }
    }
    output::print(&text)
}

/// The operations that prove it where a checker names them, else its findings.
fn evidence(check: &Check) -> serde_json::Result<serde_json::Value> {
    match &check.details {
        Details::Linearizability(result) => serde_json::to_value(&result.invalid_keys),
        _ => serde_json::to_value(&check.findings),
    }
}

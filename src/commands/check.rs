//! `schism check`: judge recorded histories again, without a database.

use std::{collections::BTreeSet, path::Path, time::Duration};

use schism_checker::{
    Check, Details, Options, Validity, WORKLOADS,
    history::{History, read_any},
    isolation::{self, IsolationResult},
    jepsen::JepsenOptions,
    linearizability::{self, Budget},
};
use serde::Serialize;

use super::{certificate, evidence};
use crate::{
    check::combine,
    cli::{CheckArgs, Output},
    commands::transactions,
    exit,
    exit::usage,
    input,
    output::{self, print_line},
    report::DrawingFormat,
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
    /// Of transactions: the kinds of anomalies, each with its evidence, and the models that they refute.
    #[serde(flatten)]
    isolation: Option<Isolation<'a>>,
    warnings: &'a [String],
    checks: &'a [Check],
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Isolation<'a> {
    anomaly_types: &'a [String],
    anomalies: &'a std::collections::BTreeMap<String, Vec<isolation::Anomaly>>,
    not: &'a [String],
    also_not: &'a [String],
}

impl<'a> Isolation<'a> {
    fn of(checks: &'a [Check]) -> Option<Self> {
        checks.iter().find_map(|check| match &check.details {
            Details::Isolation(IsolationResult { anomaly_types, anomalies, not, also_not, .. }) => {
                Some(Self { anomaly_types, anomalies, not, also_not })
            }
            _ => None,
        })
    }
}

/// Judges each file; the exit code is that of the most severe verdict, or that of bad input if any file was bad. One
/// bad file does not keep the others from being judged.
pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    if let Some(model) = args.model.as_deref().map(without_prefix) {
        crate::plan::choose("model", model, WORKLOADS)?;
    }
    if let Some(format) = &args.format {
        input::format_named(format)?;
    }
    if let Some(certificate) = &args.certificate {
        certificate::require(certificate, args.files.len())?;
    }
    if let Some(directory) = &args.directory {
        evidence::require(directory)?;
    }
    for model in transactions::models(&args.transactions).iter().flatten() {
        crate::plan::choose("consistency model", model, &isolation::model_names())?;
    }
    for anomaly in &args.transactions.anomalies {
        crate::plan::choose("anomaly", anomaly, &isolation::anomaly_names())?;
    }
    if args.output == Output::Json && (args.quiet || args.json) {
        return Err(usage("--output json is one of three ways to print; the others are --quiet and --json"));
    }
    let mut verdicts = Vec::new();
    let mut bad_input = false;
    let mut said = BTreeSet::new();
    for file in &args.files {
        match check_file(file, args, &mut said) {
            Ok(valid) => verdicts.push(valid),
            Err(error) => {
                bad_input = true;
                crate::print_error(&error);
            }
        }
    }
    Ok(if bad_input { exit::USAGE } else { exit::of_validity(Validity::combine(verdicts)) })
}

/// A model as it is called now: elle-cli before 0.1.3 put before it whose checker it was.
fn without_prefix(model: &str) -> &str {
    ["jepsen-", "knossos-", "elle-"].iter().find_map(|prefix| model.strip_prefix(prefix)).unwrap_or(model)
}

/// `said`: warnings that were printed already.
fn check_file(file: &Path, args: &CheckArgs, said: &mut BTreeSet<String>) -> anyhow::Result<Validity> {
    let path = input::history_path(file);
    let (mut history, warnings) = read_file(&path, args.model.as_deref(), args.format.as_deref())?;
    if let Some(models) = transactions::models(&args.transactions) {
        history.set_consistency_models(models);
    }
    for warning in without_effect(args, &history.header().workload) {
        if !said.contains(&warning) {
            crate::print_warning(&warning);
            said.insert(warning);
        }
    }
    let memory_bytes = args.memory_limit.unwrap_or_else(half_of_free_bytes);
    let budget = Budget::about(Duration::from_millis(args.time_limit), memory_bytes);
    let jepsen = JepsenOptions {
        group_size: args.group_size,
        total_amount: args.total_amount,
        max_transfer: args.max_transfer,
        allow_negative_balances: args.allow_negative_balances,
    };
    let isolation = transactions::settings(&args.transactions, memory_bytes);
    let options = Options { linearizability: budget, isolation, jepsen };
    if options.isolation.transaction_order && history.header().workload == "rw-register" && !history.tells_order() {
        return Err(usage(format!(
            "{}: no transaction says where the database placed it, which --transaction-order goes by: \"order\" in JSON, \
             :order in EDN, beside the value of a completion",
            path.display()
        )));
    }
    let cannot = |error| usage(format!("{}: {error}", path.display()));
    let checks = if let Some(certificate) = &args.certificate {
        let (checks, witnesses) = schism_checker::check_with_witnesses(&history, &options).map_err(cannot)?;
        certificate::write(certificate, &history, &checks, &witnesses, &options.isolation)?;
        checks
    } else {
        schism_checker::check(&history, &options).map_err(cannot)?
    };
    let valid = combine(&checks);
    if args.quiet {
        print_line(&line(&path, valid))?;
    } else if args.verbose || args.output == Output::Json {
        print_line(&as_elle_cli(&path, &history, valid, &checks)?)?;
    } else {
        print(&path, &history, valid, &warnings, &checks, args.json)?;
    }
    if let Some(directory) = &args.directory
        && let Some(written) = evidence::write(
            directory,
            &args.files,
            file,
            &history,
            &checks,
            args.plot_format.unwrap_or(DrawingFormat::Svg),
        )?
        && !args.quiet
        && !args.json
    {
        print_line(&format!("  evidence in {}", written.display()))?;
    }
    Ok(valid)
}

/// The line that elle-cli prints: its words for verdicts are Jepsen's.
fn line(path: &Path, valid: Validity) -> String {
    let word = match valid {
        Validity::Valid => "true",
        Validity::Invalid => "false",
        Validity::Unknown => "unknown",
    };
    format!("{}\t{word}", path.display())
}

/// What elle-cli prints when asked for JSON: the figures of the history's own check, under Jepsen's names.
fn as_elle_cli(path: &Path, history: &History, valid: Validity, checks: &[Check]) -> anyhow::Result<String> {
    let mut object = serde_json::Map::new();
    object.insert("file".into(), path.display().to_string().into());
    object.insert("model".into(), history.header().workload.clone().into());
    object.insert("valid?".into(), serde_json::to_value(valid)?);
    if let Some(check) = checks.first() {
        if let Some(reason) = &check.reason {
            object.insert("error".into(), reason.clone().into());
        }
        if let serde_json::Value::Object(details) = serde_json::to_value(&check.details)? {
            object.extend(details.into_iter().filter(|(name, _)| !matches!(name.as_str(), "of" | "model")));
        }
    }
    Ok(serde_json::to_string_pretty(&object)?)
}

/// Options that change nothing of a history's check. They are no errors: scripts made for elle-cli give all of them
/// always.
fn without_effect(args: &CheckArgs, model: &str) -> Vec<String> {
    let none = |name: &str, why: &str| format!("--{name} has no effect{why}");
    let only = |given: bool, name: &str, of: &str| {
        (given && model != of).then(|| none(name, &format!(" on {model}: it is an option of {of}")))
    };
    let no_plot = ": schism draws no plot that would need a limit";
    let no_format = match (&args.directory, args.plot_format) {
        (_, Some(DrawingFormat::Png)) => Some(none("plot-format png", ": cycles are drawn as SVG")),
        (None, Some(_)) => Some(none("plot-format", " without --directory, where cycles are drawn")),
        _ => None,
    };
    [
        only(args.group_size.is_some(), "group-size", "long-fork"),
        only(args.total_amount.is_some(), "total-amount", "bank"),
        only(args.max_transfer.is_some(), "max-transfer", "bank"),
        only(args.allow_negative_balances, "allow-negative-balances", "bank"),
        args.plot_timeout.map(|_| none("plot-timeout", no_plot)),
        args.max_plot_bytes.map(|_| none("max-plot-bytes", no_plot)),
        no_format,
        args.directory.as_ref().filter(|_| !is_linearizability(model) && !isolation::judges(model)).map(|_| {
            none("directory", &format!(" on {model}: only histories of transactions and linearizability are drawn"))
        }),
    ]
    .into_iter()
    .flatten()
    .chain(
        transactions::useless(&args.transactions, model)
            .into_iter()
            .map(|(name, of)| none(name, &format!(" on {model}: it is an option of {of}"))),
    )
    .collect()
}

fn is_linearizability(model: &str) -> bool {
    matches!(model, "register" | "cas-register") || linearizability::models::NAMES.contains(&model)
}

/// Half of the memory that is free now; where that cannot be asked, what any machine has.
fn half_of_free_bytes() -> usize {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free =
        meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse().ok());
    free.map_or(500_000_000, |free_kib: usize| free_kib.saturating_mul(1024) / 2)
}

/// The history in a file. `model` is what it is of, where it does not say so; `format` a name of a known one.
pub(super) fn read_file(
    path: &Path,
    model: Option<&str>,
    format: Option<&str>,
) -> anyhow::Result<(History, Vec<String>)> {
    let format = format.map(input::format_named).transpose()?;
    let loaded = input::read_history(path, model.map(without_prefix), format, "--format", read_any)?;
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
        let evidence = checks.iter().find(|check| check.valid == Validity::Invalid).map(shown_evidence).transpose()?;
        let line = Line {
            file: path,
            model: &history.header().workload,
            valid,
            reason,
            evidence,
            isolation: Isolation::of(checks),
            warnings,
            checks,
        };
        return print_line(&serde_json::to_string(&line)?);
    }
    let mut text = format!("{}\n", line(path, valid));
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
fn shown_evidence(check: &Check) -> serde_json::Result<serde_json::Value> {
    match &check.details {
        Details::Linearizability(result) => serde_json::to_value(&result.invalid_keys),
        _ => serde_json::to_value(&check.findings),
    }
}

//! What the user typed, nothing derived. The plan is made of it in `plan`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use schism_nemesis::{Share, Spacing};

use crate::report::DrawingFormat;

/// Tests what a database really promises while its machines fail.
#[derive(Debug, Parser)]
#[command(
    name = "schism",
    version,
    about,
    propagate_version = true,
    after_help = "Exit codes: 0 valid, 1 invalid, 2 unknown, 254 bad usage or input, 255 failure of schism itself.\n\n\
Examples:
  schism run memory --set lie=lost-write           a first try: no root, no database
  schism run redis/sentinel --schedule isolate-primary --seed 42
  schism run postgres/async --schedule cut-then-failover
  schism check results/latest/history.jsonl        judge a recorded history again
  schism doctor                                    what this machine can do, and how to get the rest"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one test: start the target, drive clients and faults, check the history, write the report.
    Run(RunArgs),
    /// Print what `run` would do (ops and faults) and run nothing.
    Plan(PlanArgs),
    /// Judge recorded histories.
    Check(CheckArgs),
    /// Re-check a certificate that `check --certificate` wrote, with code that shares nothing with the search.
    Verify(VerifyArgs),
    /// Write a recorded history in another format.
    Convert(ConvertArgs),
    /// Render a result folder's reports again.
    Report(ReportArgs),
    /// List what there is to choose from.
    List(ListArgs),
    /// Explain an anomaly or a consistency model: what it is, an example, what follows.
    Explain(ExplainArgs),
    /// Say what this machine can do, what is missing, and the command that gets it.
    Doctor(DoctorArgs),
    /// Undo faults of running tests and remove what dead ones left behind.
    Heal(HealArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Runs inside the sandbox.
    #[command(hide = true)]
    InternalController {
        /// The run's state, written by the launcher.
        launch: PathBuf,
    },
    /// Heals when the launcher dies.
    #[command(hide = true)]
    InternalGuardian {
        /// The run's pointer file.
        pointer: PathBuf,
    },
    /// Starts one server inside its node.
    #[command(hide = true)]
    InternalExec {
        /// What to start, as JSON.
        spec: String,
    },
    /// Becomes the switch that shapes links, inside the sandbox.
    #[command(hide = true)]
    InternalSwitch {
        /// Where its files are.
        directory: String,
    },
    /// Serves a node's data directory, with faults, inside the sandbox.
    #[command(hide = true)]
    InternalFuse {
        /// What to serve, as JSON.
        spec: String,
    },
    /// Starts a load that uses up what a server needs, or is one.
    #[command(hide = true)]
    InternalLoad {
        /// What to do, as JSON.
        order: String,
    },
    /// Runs the undo steps of a fault inside the sandbox.
    #[command(hide = true)]
    InternalUndo {
        /// The ledger.
        ledger: PathBuf,
        /// The fault.
        fault_id: u32,
    },
}

/// What defines a test. Each option has a default that makes `schism run TARGET` alone a sensible test.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// What to test, `database/topology`; `schism list targets` shows all.
    #[arg(required_unless_present = "plan")]
    pub(crate) target: Option<String>,
    /// Repeat a stored plan exactly; it excludes every other option that shapes the test.
    #[arg(long, value_name = "FILE", conflicts_with_all = TEST_OPTIONS)]
    pub(crate) plan: Option<PathBuf>,
    /// What the clients do: set, register, list-append, closed-predicate, mutex, fenced-lock.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) workload: Option<String>,
    /// An option of the workload (`schism list workloads`), for example keys=5. Repeatable.
    #[arg(long = "option", short = 'o', value_name = "KEY=VALUE")]
    pub(crate) options: Vec<String>,
    /// Faults drawn from the seed: `kind[=strength][:target]`, comma-separated; `all` or a family's name for a mix, of
    /// which each seed leaves some kinds out; or `none`. What is not given, the seed chooses.
    #[arg(long, value_name = "SPEC,…")]
    pub(crate) faults: Option<String>,
    /// A written schedule: a TOML file or the name of a shipped one (`schism list schedules`).
    #[arg(long, value_name = "FILE|NAME", conflicts_with_all = DRAWN_OPTIONS)]
    pub(crate) schedule: Option<String>,
    /// An experiment of the Chaos Toolkit, JSON or YAML (docs/experiments.md): it decides which faults happen when, and
    /// when the test is over, after --duration at the latest [default there: 10m].
    #[arg(long, value_name = "FILE", conflicts_with_all = EXPERIMENT_EXCLUDES)]
    pub(crate) experiment: Option<PathBuf>,
    /// Mean time from the end of one drawn fault to the start of the next [default: 10s].
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    pub(crate) interval: Option<u64>,
    /// How the times between drawn faults are spread [default: uniform].
    #[arg(long, value_name = "HOW", value_parser = parse_word::<Spacing>)]
    pub(crate) spacing: Option<Spacing>,
    /// How many drawn faults may be in force at once [default: 1]; those that hurt the same node are kept apart.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub(crate) fault_concurrency: Option<u32>,
    /// Each drawn fault waits, from its drawn time on, for a line in a server's log that matches.
    #[arg(long, value_name = "REGEX", conflicts_with = "on_role_change")]
    pub(crate) on_log: Option<String>,
    /// Each drawn fault waits, from its drawn time on, for another node to become primary.
    #[arg(long)]
    pub(crate) on_role_change: bool,
    /// The largest share of nodes that faults may hurt at once, for example 34%; a fault beyond it does not happen.
    #[arg(long, value_name = "SHARE", value_parser = Share::parse)]
    pub(crate) blast_radius: Option<Share>,
    /// Never hurt a majority of the nodes at once.
    #[arg(long)]
    pub(crate) keep_majority: bool,
    /// Probes that must hold before and after the faults, and thresholds: a TOML file (docs/safety.md).
    #[arg(long, value_name = "FILE")]
    pub(crate) safety: Option<PathBuf>,
    /// End the faults when more than this share of operations fails, for example 50%.
    #[arg(long, value_name = "SHARE", value_parser = Share::parse)]
    pub(crate) abort_error_rate: Option<Share>,
    /// End the faults when operations take longer than this at the 99th percentile.
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    pub(crate) abort_p99: Option<u64>,
    /// End the faults when less than this share of the clients is free: the others wait for the database.
    #[arg(long, value_name = "SHARE", value_parser = Share::parse)]
    pub(crate) abort_free_workers: Option<Share>,
    /// Over how long the thresholds are taken [default: 10s].
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    pub(crate) abort_window: Option<u64>,
    /// How long each drawn fault lasts [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    pub(crate) fault_duration: Option<u64>,
    /// The seed; without it one is drawn, printed and stored.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_seed)]
    pub(crate) seed: Option<u64>,
    /// How long clients run before the last healing [default: 60s, or as long as the schedule needs].
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    pub(crate) duration: Option<u64>,
    /// How long clients run before the first drawn fault may start [default: 5s].
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    pub(crate) steady: Option<u64>,
    /// Concurrent clients [default: 4 a node].
    #[arg(long, short, value_name = "N", allow_negative_numbers = true, value_parser = parse_clients)]
    pub(crate) clients: Option<u32>,
    /// Operations a second over all clients; 0 is as fast as possible [default: 500].
    #[arg(long, short, value_name = "N", allow_negative_numbers = true)]
    pub(crate) rate: Option<f64>,
    /// Where clients send operations [default: node for clusters].
    #[arg(long, value_enum)]
    pub(crate) route: Option<Route>,
    /// How long a client waits for an answer; then the operation is indeterminate [default: 2s].
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    pub(crate) op_timeout: Option<u64>,
    /// How long to wait for the cluster to recover after the last healing [default: 60s].
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    pub(crate) recovery_limit: Option<u64>,
    /// A setting of the database (postgresql.conf, redis.conf, …) or of the memory target. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// SQL isolation level of the clients' transactions: read-committed, repeatable-read, serializable.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) isolation: Option<String>,
    /// Consistency models that transactions must keep [default: what the isolation level promises].
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    pub(crate) consistency_models: Vec<String>,
    /// Redis: after each write WAIT for this many replicas; fewer make the write indeterminate.
    #[arg(long, value_name = "N")]
    pub(crate) wait: Option<u32>,
    /// How long WAIT waits [default: 500ms].
    #[arg(long, value_name = "TIME", value_parser = parse_ms, requires = "wait")]
    pub(crate) wait_timeout: Option<u64>,
}

/// Options about faults that a seed draws, which a written schedule has not.
const DRAWN_OPTIONS: [&str; 8] =
    ["faults", "interval", "spacing", "fault_duration", "fault_concurrency", "steady", "on_log", "on_role_change"];

/// What an experiment decides itself.
const EXPERIMENT_EXCLUDES: [&str; 8] =
    ["faults", "schedule", "interval", "spacing", "fault_duration", "fault_concurrency", "on_log", "on_role_change"];

/// One of the words of an enumeration, as its serialised form writes it.
fn parse_word<T: serde::de::DeserializeOwned>(word: &str) -> Result<T, String> {
    serde_json::from_value(word.into()).map_err(|error| error.to_string())
}

/// Options that shape the test and so cannot be given beside a stored plan.
const TEST_OPTIONS: [&str; 32] = [
    "target",
    "experiment",
    "workload",
    "options",
    "faults",
    "schedule",
    "interval",
    "spacing",
    "fault_concurrency",
    "on_log",
    "on_role_change",
    "blast_radius",
    "keep_majority",
    "safety",
    "abort_error_rate",
    "abort_p99",
    "abort_free_workers",
    "abort_window",
    "fault_duration",
    "seed",
    "duration",
    "steady",
    "clients",
    "rate",
    "route",
    "op_timeout",
    "recovery_limit",
    "settings",
    "isolation",
    "consistency_models",
    "wait",
    "wait_timeout",
];

/// Longer than any test, and short enough to be counted in nanoseconds.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// More clients than this are more than one loop can drive.
pub(crate) const CLIENTS_MAX: u32 = 10_000;

/// Where clients send operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Route {
    /// Each client is pinned to one node and sits on its side of a cut.
    Node,
    /// Each client follows the node that claims to be primary, as a smart client does.
    Primary,
    /// Every second client follows the primary, the others are pinned.
    Mixed,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  schism run redis/sentinel --workload set --faults partition:primary --fault-duration 20s --seed 42
  schism run postgres/async --schedule cut-then-failover --seed 7
  schism run redis/sentinel --experiment experiment.json
  schism run postgres/single --workload register --isolation serializable --schedule kill-restart
  schism run redis/single --faults none --rate 0 --clients 20 --set appendfsync=always
  schism run --plan results/latest/plan.toml")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) test: TestArgs,
    /// Where results go.
    #[arg(long, value_name = "DIR", default_value = "results", env = "SCHISM_RESULTS")]
    pub(crate) results: PathBuf,
    /// Also write the history as Jepsen's EDN.
    #[arg(long)]
    pub(crate) edn: bool,
    /// Print result.json instead of the summary; no progress line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) test: TestArgs,
    /// How many operations of each client to print.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) ops: usize,
    /// Print one JSON object instead.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// History files of schism or another tool (gzip or zstd too), result folders, or `-` for standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What the history is of, for files that do not say so: register, cas-register, multi-register, kv, mutex,
    /// fifo-queue, unordered-queue, stack, list-append, rw-register, closed-predicate; and Jepsen's checks set, set-full,
    /// bank, long-fork, comments, sequential, unique-ids, queue, total-queue, counter.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// How the files are written, instead of as they begin: jsonl, edn, json (Jepsen's maps), porcupine (its logs),
    /// plume, dbcop.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) format: Option<String>,
    /// About how long the search for an order may take, a file, where no faster way decides. It is counted in work, so
    /// that the answer is the same on every machine.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_ms)]
    pub(crate) time_limit: u64,
    /// How much memory that search may take, or the dependencies between transactions (24 bytes each); for example 500MB
    /// or 2GB [default: half of what is free].
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    pub(crate) memory_limit: Option<usize>,
    /// Print only `FILE<TAB>true|false|unknown` a file.
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) transactions: TransactionArgs,
    /// Print one JSON object a line: file, model, valid, and what the checkers found.
    #[arg(long)]
    pub(crate) json: bool,
    /// As elle-cli has it: `json` prints one object a file, with its field names.
    #[arg(long, short = 'v', value_enum, default_value_t = Output::Text, hide_default_value = true)]
    pub(crate) output: Output,
    /// The same as `--output json`.
    #[arg(long, conflicts_with_all = ["quiet", "json"])]
    pub(crate) verbose: bool,
    /// long-fork: how many keys every read reads [default: as many as the first one].
    #[arg(long, short, value_name = "N")]
    pub(crate) group_size: Option<usize>,
    /// bank: the sum of all balances [default: that of the first read].
    #[arg(long, short = 'o', value_name = "N", allow_negative_numbers = true)]
    pub(crate) total_amount: Option<i64>,
    /// bank: transfers of more are counted; no verdict depends on it.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_transfer: Option<i64>,
    /// bank: a balance may be below zero.
    #[arg(long, short = 'n')]
    pub(crate) allow_negative_balances: bool,
    /// Taken from elle-cli's scripts, and said to have no effect.
    #[arg(long, short = 't', value_name = "MS", hide = true)]
    pub(crate) plot_timeout: Option<u64>,
    /// Taken from elle-cli's scripts, and said to have no effect.
    #[arg(long, short = 'b', value_name = "BYTES", hide = true)]
    pub(crate) max_plot_bytes: Option<u64>,
    /// Write what `schism verify` needs to check a verdict on linearizability or transactions again: the order of a valid
    /// history, or the operations that no order explains, or the anomalies with their reasons.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// Write what makes a history invalid into a folder in DIR that has the file's name: linearizability.html; of
    /// transactions ANOMALY.txt, a drawing of each cycle, and isolation.json.
    #[arg(long, short, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// How cycles of transactions are drawn there [default: svg].
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) plot_format: Option<DrawingFormat>,
}

/// elle-cli's two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A readable summary.
    Text,
    /// One JSON object a file.
    Json,
}

/// How list-append, rw-register and closed-predicate are judged.
#[derive(Debug, Args)]
pub(crate) struct TransactionArgs {
    /// Consistency models that transactions must keep, instead of those in the file's header; '': none [default:
    /// strict-serializable].
    #[arg(long, short, value_name = "MODEL,…", value_delimiter = ',')]
    pub(crate) consistency_models: Vec<String>,
    /// Transactions: anomalies that must not be there besides, for example G0 or G-single-item-realtime.
    #[arg(long, short, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) anomalies: Vec<String>,
    /// Transactions: answer by Elle's rules where schism's are stricter.
    #[arg(long)]
    pub(crate) elle: bool,
    /// rw-register: assume that within a transaction writes follow reads.
    #[arg(long)]
    pub(crate) wfr_keys: bool,
    /// rw-register: assume that each key is sequentially consistent.
    #[arg(long)]
    pub(crate) sequential_keys: bool,
    /// rw-register: assume that each key is linearizable.
    #[arg(long)]
    pub(crate) linearizable_keys: bool,
    /// rw-register: take the versions of each key in the order in which the database says that it placed their writers:
    /// "order" in JSON, :order in EDN, an integer beside the value of a completion.
    #[arg(long)]
    pub(crate) transaction_order: bool,
    /// Transactions: about how long each component of the dependency graph may be searched for cycles, in milliseconds
    /// or as 10s. It is counted in work, so that the answer is the same on every machine [default: 10s].
    #[arg(long, short = 's', value_name = "TIME", value_parser = parse_plain_ms)]
    pub(crate) cycle_search_timeout: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 the certificate holds, whichever verdict it is of; 1 it does not; 2 that could \
not be decided; 254 bad usage or input.")]
pub(crate) struct VerifyArgs {
    /// The history that was judged: a file (gzip or zstd too), a result folder, or `-` for standard input.
    #[arg(value_name = "HISTORY")]
    pub(crate) history: PathBuf,
    /// What `schism check --certificate` wrote.
    #[arg(value_name = "CERTIFICATE")]
    pub(crate) certificate: PathBuf,
    /// How the history is written, as for `schism check`.
    #[arg(long, value_name = "NAME")]
    pub(crate) format: Option<String>,
    /// Print one JSON object: holds (true, false or \"unknown\"), valid, reason.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  schism convert --to edn results/latest/history.jsonl -o history.edn
  schism convert --to plume --model rw-register history.edn.gz
  schism convert --to porcupine --model kv - < kv.edn

What the format cannot express is an error that names the operation; what it has no place for is left out, and said to
be on standard error. docs/formats.md tells which is which.")]
pub(crate) struct ConvertArgs {
    /// The history file of schism or another tool (gzip or zstd too), a result folder, or `-` for standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What to write: jsonl (schism's own), edn (Jepsen's), porcupine (what its tests read), plume.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: String,
    /// How the file is written, instead of as it begins: jsonl, edn, json, porcupine, plume, dbcop.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) from: Option<String>,
    /// What the history is of, for files that do not say so: as of `check`.
    #[arg(long, short, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// The file to write [default: standard output].
    #[arg(long, short, value_name = "OUT")]
    pub(crate) output: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The result folder.
    #[arg(default_value = "results/latest", value_name = "DIR")]
    pub(crate) result: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// What to list.
    #[arg(value_enum)]
    pub(crate) what: Listing,
    /// Print JSON instead.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `list` lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    /// Databases and their topologies.
    Targets,
    /// What clients can do, with their options.
    Workloads,
    /// Kinds of faults and their targets.
    Faults,
    /// Written schedules shipped with schism.
    Schedules,
    /// Lies that the memory target can tell.
    Lies,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  schism explain                         every name there is
  schism explain G-nonadjacent-item      an anomaly
  schism explain snapshot-isolation      a consistency model")]
pub(crate) struct ExplainArgs {
    /// An anomaly or a consistency model, in upper or lower case; a workload or a fault, too [default: list all].
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Print JSON instead.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HealArgs {
    /// Only the run whose results are in this folder [default: every run on this machine].
    #[arg(value_name = "DIR")]
    pub(crate) result: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print only what earlier runs left behind, one a line; nothing when clean.
    #[arg(long)]
    pub(crate) leftovers: bool,
    /// Print JSON instead.
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

fn parse_clients(text: &str) -> Result<u32, String> {
    let valid = |clients: &u32| (1..=CLIENTS_MAX).contains(clients);
    text.parse().ok().filter(valid).ok_or_else(|| format!("clients are a whole number from 1 to {CLIENTS_MAX}"))
}

/// `5s`, `500ms`, `2m` in milliseconds.
pub(crate) fn parse_ms(text: &str) -> Result<u64, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write a number with its unit, for example 500ms, 5s or 2m"))?;
    if duration > TIME_MAX {
        return Err("no time of a test is longer than a week".to_owned());
    }
    u64::try_from(duration.as_millis()).map_err(|_| "that is longer than schism can count".to_owned())
}

/// A time, or a number of milliseconds.
fn parse_plain_ms(text: &str) -> Result<u64, String> {
    let limit_ms = u64::try_from(TIME_MAX.as_millis()).unwrap_or(u64::MAX);
    text.parse().ok().filter(|ms| *ms <= limit_ms).map_or_else(|| parse_ms(text), Ok)
}

/// A size in bytes: a number, with K, M, G (thousands) or Ki, Mi, Gi, with or without a B.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let factor = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        _ => return Err(format!("`{}` is no unit; write for example 500MB, 2GB or 512MiB", &text[digits.len()..])),
    };
    let number: usize =
        digits.trim().parse().map_err(|_| "write a whole number with its unit, for example 500MB".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "that is more than any machine has".to_owned())
}

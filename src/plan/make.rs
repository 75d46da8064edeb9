//! From the command line to a plan: defaults, seed, fault schedule, and every mistake named before anything starts.

use std::{collections::BTreeMap, io::Read as _, path::Path};

use schism_nemesis::{
    Condition, Drawn, Entry, FaultSpec, Kind, Limits, LogLine, Schedule, ScheduleError, When, Window,
};
use schism_seed::Seed;
use schism_workloads::{
    client::{lie::Lie, memory},
    lock,
};

use crate::{
    cli::{CLIENTS_MAX, Route, TIME_MAX, TestArgs},
    exit::usage,
    experiment,
    safety::Safety,
};

use super::{Plan, Target};

const CLIENTS_PER_NODE: u32 = 4;
const DURATION_MS: u64 = 60_000;
const STEADY_MS: u64 = 5_000;
const INTERVAL_MS: u64 = 10_000;
const FAULT_DURATION_MS: u64 = 5_000;
const OP_TIMEOUT_MS: u64 = 2_000;
const RECOVERY_LIMIT_MS: u64 = 60_000;
const WAIT_TIMEOUT_MS: u64 = 500;
const RATE_PER_S: f64 = 500.0;

/// An experiment that is not over by then is ended.
const EXPERIMENT_MS: u64 = 600_000;

/// Clients go on this long after the last fault of a written schedule.
const AFTER_SCHEDULE_MS: u64 = 5_000;

/// What `--set` takes on the memory target.
const MEMORY_SETTINGS: [&str; 4] = ["lie", "latency-min-us", "latency-max-us", "panic-at-op"];

/// SQL isolation levels, and the model that each promises in the standard's words as Berenson et al. 1995 and
/// Adya 1999 pin them down. PostgreSQL's `repeatable read` is snapshot isolation, which is what is asked of it here.
const ISOLATION: [(&str, &str); 3] =
    [("read-committed", "read-committed"), ("repeatable-read", "snapshot-isolation"), ("serializable", "serializable")];

/// Decides everything from the command line.
pub(crate) fn from_args(args: &TestArgs) -> anyhow::Result<Plan> {
    if let Some(path) = &args.plan {
        return Plan::read(path);
    }
    let Some(name) = &args.target else {
        return Err(usage("name a target, for example `schism run memory`; `schism list targets` shows all"));
    };
    let target = Target::parse(name)?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => draw_seed()?,
    };
    let mut steady_ms = args.steady.unwrap_or(STEADY_MS);
    let Faults { drawn, duration_ms } = faults_of(args, &target, seed, steady_ms)?;
    let mix = told(&drawn);
    let schedule = waiting(args, drawn.schedule, duration_ms)?;
    if args.schedule.is_some() {
        steady_ms = schedule.entries().first().map_or(duration_ms, |entry| entry.at_ms);
    }
    let (isolation, consistency_models) = models_of(args, &target)?;
    let mut plan = Plan {
        schema: Plan::SCHEMA,
        target: name_of(&target),
        workload: args.workload.clone().unwrap_or_else(|| "set".to_owned()),
        seed,
        clients: args.clients.unwrap_or(CLIENTS_PER_NODE * target.nodes().len() as u32),
        rate_per_s: args.rate.unwrap_or(RATE_PER_S),
        route: args.route.unwrap_or(Route::Node),
        steady_ms,
        duration_ms,
        op_timeout_ms: args.op_timeout.unwrap_or(OP_TIMEOUT_MS),
        recovery_limit_ms: args.recovery_limit.unwrap_or(RECOVERY_LIMIT_MS),
        isolation,
        consistency_models,
        wait_replicas: args.wait,
        wait_timeout_ms: args.wait.map(|_| args.wait_timeout.unwrap_or(WAIT_TIMEOUT_MS)),
        workload_options: key_values("--option", &args.options)?,
        settings: key_values("--set", &args.settings)?,
        mix,
        limits: Limits {
            blast_radius: args.blast_radius,
            keep_majority: args.keep_majority,
            apart: args.fault_concurrency.is_some_and(|faults| faults > 1),
        },
        safety: safety_of(args)?,
        experiment: args.experiment.as_deref().map(experiment::Source::read).transpose()?,
        schedule,
    };
    if let Some(experiment) = plan.experiment()? {
        plan.schedule = Schedule::new(experiment.faults);
    }
    validate(&plan)?;
    Ok(plan)
}

/// Names every value of a plan that cannot be carried out.
pub(crate) fn validate(plan: &Plan) -> anyhow::Result<()> {
    let target = plan.target()?;
    choose("workload", &plan.workload, schism_workloads::names())?;
    if !target.workloads().contains(&plan.workload.as_str()) {
        return Err(usage(format!(
            "`{}` cannot run the workload `{}`; it runs: {}",
            plan.target,
            plan.workload,
            target.workloads().join(", ")
        )));
    }
    schism_workloads::by_name(&plan.workload, &plan.workload_options).map_err(|error| usage(error.to_string()))?;
    match target {
        Target::Memory => {
            memory_settings(plan)?;
            if plan.workload_options.contains_key(lock::LEASE_MS) {
                return Err(usage("the memory target has no leases: leave `lease-ms` out"));
            }
        }
        Target::Local(name) => {
            schism_cluster::check_settings(name, &plan.settings).map_err(|error| usage(error.to_string()))?;
        }
    }
    if !(1..=CLIENTS_MAX).contains(&plan.clients) {
        return Err(usage(format!("--clients must be between 1 and {CLIENTS_MAX}, not {}", plan.clients)));
    }
    if !plan.rate_per_s.is_finite() || plan.rate_per_s < 0.0 {
        return Err(usage("--rate must be 0 (as fast as possible) or a positive number of operations a second"));
    }
    if plan.op_timeout_ms == 0 || plan.duration_ms == 0 {
        return Err(usage("--op-timeout and --duration must be longer than 0"));
    }
    let longest_ms = [plan.duration_ms, plan.steady_ms, plan.op_timeout_ms, plan.recovery_limit_ms].into_iter().max();
    if longest_ms > u64::try_from(TIME_MAX.as_millis()).ok() {
        return Err(usage("no time of a test is longer than a week"));
    }
    if plan.isolation.is_some() && !target.is_sql() {
        return Err(usage(format!("--isolation is for SQL databases; `{}` has no isolation levels", plan.target)));
    }
    if plan.wait_replicas.is_some() && !target.is_redis() {
        return Err(usage(format!("--wait is Redis' WAIT; `{}` has none", plan.target)));
    }
    for model in &plan.consistency_models {
        choose("consistency model", model, schism_checker::isolation::list_append::known_models())?;
    }
    plan.safety.validate(&target)?;
    if target == Target::Memory && !plan.safety.probes.is_empty() {
        return Err(usage("the memory target has no nodes to probe: leave the probes out"));
    }
    if target == Target::Memory && !plan.safety.abort.prometheus.is_empty() {
        return Err(usage("the memory target has no faults that a Prometheus could end: leave it out"));
    }
    validate_schedule(plan, &target)
}

/// The `--safety` file, and over it what the command line says.
fn safety_of(args: &TestArgs) -> anyhow::Result<Safety> {
    let mut safety = args.safety.as_deref().map(Safety::read).transpose()?.unwrap_or_default();
    let abort = &mut safety.abort;
    abort.error_rate = args.abort_error_rate.or(abort.error_rate);
    abort.p99_ms = args.abort_p99.or(abort.p99_ms);
    abort.free_workers = args.abort_free_workers.or(abort.free_workers);
    abort.window_ms = args.abort_window.or(abort.window_ms);
    Ok(safety)
}

/// The memory target's settings: its lie and its latencies.
pub(crate) fn memory_settings(plan: &Plan) -> anyhow::Result<(Option<Lie>, memory::Options)> {
    let mut lie = None;
    let mut options = memory::Options::default();
    for (key, value) in &plan.settings {
        let number = |of: &str| {
            value.parse::<u64>().map_err(|_| usage(format!("--set {key} takes a number of {of}, not `{value}`")))
        };
        match key.as_str() {
            "lie" if value == "none" => lie = None,
            "lie" => lie = Some(Lie::by_name(value, &plan.workload).map_err(|error| usage(error.to_string()))?),
            "latency-min-us" => options.latency_min_us = number("microseconds")?,
            "latency-max-us" => options.latency_max_us = number("microseconds")?,
            "panic-at-op" => options.panic_at_op = number("operations")?,
            _ => choose("setting of the memory target", key, &MEMORY_SETTINGS)?,
        }
    }
    if options.latency_min_us > options.latency_max_us {
        return Err(usage("--set latency-min-us must not be more than latency-max-us"));
    }
    Ok((lie, options))
}

fn validate_schedule(plan: &Plan, target: &Target) -> anyhow::Result<()> {
    validate_experiment(plan, target)?;
    if plan.schedule.entries().is_empty() && (plan.limits.blast_radius.is_some() || plan.limits.keep_majority) {
        return Err(usage(
            "--blast-radius or --keep-majority limits what faults may hurt, and this test has none; leave it out",
        ));
    }
    let Target::Local(name) = target else {
        return if plan.schedule.entries().is_empty() {
            Ok(())
        } else {
            Err(usage(
                "the memory target has no nodes to hurt: use `--faults none`, and `--set lie=…` for a faulty store",
            ))
        };
    };
    let nodes: Vec<String> = target.nodes().iter().map(ToString::to_string).collect();
    let fits = plan.schedule.check(&nodes, target.can_fail_over());
    fits.and_then(|()| plan.schedule.check_processes(name.processes())).map_err(|error| usage(error.to_string()))?;
    if !plan.schedule.entries().is_empty() && plan.limits.nodes_max(nodes.len()) == 0 {
        return Err(usage(format!(
            "--blast-radius and --keep-majority leave no node of {} that a fault may hurt; \
             widen them, or use `--faults none`",
            nodes.len()
        )));
    }
    if plan.schedule.end_ms() > plan.duration_ms {
        return Err(usage(format!(
            "the schedule ends after {} ms, but the clients stop after --duration {} ms; give a longer --duration",
            plan.schedule.end_ms(),
            plan.duration_ms
        )));
    }
    Ok(())
}

fn validate_experiment(plan: &Plan, target: &Target) -> anyhow::Result<()> {
    let Some(experiment) = plan.experiment()? else {
        return if plan.schedule.entries().iter().any(Entry::waits_for_signal) {
            Err(usage("the schedule has faults that an experiment asks for, and the plan has no experiment"))
        } else {
            Ok(())
        };
    };
    if *target == Target::Memory {
        return Err(usage("the memory target has no nodes to experiment on: take a database"));
    }
    if plan.schedule != Schedule::new(experiment.faults) {
        return Err(usage("the plan's schedule is not that of its experiment: make the plan anew from the experiment"));
    }
    let probes = experiment.hypothesis.iter().flat_map(|hypothesis| &hypothesis.probes);
    for probe in probes {
        if plan.safety.probes.iter().any(|other| other.name == probe.name) {
            return Err(usage(format!(
                "the experiment and --safety both have a probe {:?}: the result could not tell them apart",
                probe.name
            )));
        }
    }
    Ok(())
}

/// The faults of a plan, and how long its clients run for them.
struct Faults {
    drawn: Drawn,
    duration_ms: u64,
}

fn faults_of(args: &TestArgs, target: &Target, seed: u64, steady_ms: u64) -> anyhow::Result<Faults> {
    if let Some(source) = &args.schedule {
        let schedule = written_schedule(source, Seed::new(seed))?;
        let duration_ms = args.duration.unwrap_or(schedule.end_ms() + AFTER_SCHEDULE_MS);
        return Ok(Faults { drawn: Drawn { schedule, ..Drawn::default() }, duration_ms });
    }
    if args.experiment.is_some() {
        // Its faults are known when it is read.
        return Ok(Faults { drawn: Drawn::default(), duration_ms: args.duration.unwrap_or(EXPERIMENT_MS) });
    }
    let duration_ms = args.duration.unwrap_or(DURATION_MS);
    if args.fault_duration == Some(0) {
        return Err(usage("--fault-duration must be longer than 0"));
    }
    let specs = FaultSpec::parse_list(args.faults.as_deref().unwrap_or_else(|| target.default_faults()))
        .map_err(|error| usage(format!("--faults: {error}")))?;
    if specs.is_empty() {
        let shaping = [
            ("--steady", args.steady.is_some()),
            ("--interval", args.interval.is_some()),
            ("--spacing", args.spacing.is_some()),
            ("--fault-duration", args.fault_duration.is_some()),
            ("--fault-concurrency", args.fault_concurrency.is_some()),
            ("--on-log", args.on_log.is_some()),
            ("--on-role-change", args.on_role_change),
        ];
        return match shaping.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(usage(format!(
                "{flag} is about drawn faults, and this test has none; add --faults, or leave it out"
            ))),
            None => Ok(Faults { drawn: Drawn::default(), duration_ms }),
        };
    }
    let fault_ms = args.fault_duration.unwrap_or(FAULT_DURATION_MS);
    let window = Window {
        start_ms: steady_ms,
        end_ms: duration_ms,
        interval_ms: args.interval.unwrap_or(INTERVAL_MS),
        spacing: args.spacing.unwrap_or_default(),
        duration_ms: fault_ms,
        concurrency: args.fault_concurrency.unwrap_or(1),
    };
    let mixed = specs.iter().any(|spec| spec.mixed);
    let unfit = unfit(target, mixed);
    let nodes = target.nodes().len();
    let drawn = Schedule::draw(&specs, Seed::new(seed), &window, nodes, unfit).map_err(|error| match error {
        ScheduleError::Window { .. } => usage(format!(
            "no fault of {fault_ms} ms fits between --steady {steady_ms} ms and --duration {duration_ms} ms; \
             give a longer --duration, a shorter --fault-duration, or `--faults none`"
        )),
        other => usage(format!("--faults: {other}")),
    })?;
    Ok(Faults { drawn, duration_ms })
}

/// Why a kind of a mix cannot happen here. The machine is looked at only for a mix: anything else is planned as it is
/// asked for, wherever it may run later.
fn unfit(target: &Target, mixed: bool) -> impl Fn(Kind) -> Option<String> {
    let missing: Vec<(&str, String)> = if mixed {
        let found = schism_cluster::sandbox::capabilities().system.into_iter();
        found.filter_map(|ability| Some((ability.name, ability.missing?))).collect()
    } else {
        Vec::new()
    };
    let can_failover = target.can_fail_over();
    move |kind| {
        if kind == Kind::Failover && !can_failover {
            return Some("no replica here can be promoted by us".to_owned());
        }
        let needed = |(name, _): &&(&str, String)| kind.info().capabilities.contains(name);
        missing.iter().find(needed).map(|(name, why)| format!("needs {name}: {why}"))
    }
}

/// What a mix came to, for people.
fn told(drawn: &Drawn) -> Vec<String> {
    let listed = |names: Vec<String>| names.join(", ");
    let mut told = Vec::new();
    if !drawn.weights.is_empty() {
        let kinds = drawn.weights.iter().map(|(kind, weight)| format!("{kind} ({weight})")).collect();
        told.push(format!("drawn by weight from: {}", listed(kinds)));
    }
    if !drawn.switched_off.is_empty() {
        let kinds = drawn.switched_off.iter().map(ToString::to_string).collect();
        told.push(format!("switched off by this seed: {}", listed(kinds)));
    }
    if !drawn.left_out.is_empty() {
        let kinds = drawn.left_out.iter().map(|(kind, why)| format!("{kind} ({why})")).collect();
        told.push(format!("left out: {}", listed(kinds)));
    }
    told
}

/// The same faults, each waiting for what `--on-log` or `--on-role-change` says, until the next one is due.
fn waiting(args: &TestArgs, schedule: Schedule, duration_ms: u64) -> anyhow::Result<Schedule> {
    let condition = match &args.on_log {
        Some(pattern) => {
            Condition::Log(LogLine::new(pattern).map_err(|problem| usage(format!("--on-log: {problem}")))?)
        }
        None if args.on_role_change => Condition::RoleChange(true),
        None => return Ok(schedule),
    };
    let mut entries = schedule.entries().to_vec();
    let mut latest_ms = duration_ms;
    for entry in entries.iter_mut().rev() {
        let until_ms = latest_ms.saturating_sub(entry.for_ms).max(entry.at_ms);
        entry.when = Some(When { condition: condition.clone(), until_ms });
        latest_ms = entry.at_ms;
    }
    Ok(Schedule::new(entries))
}

/// A shipped schedule by its name, else a file.
fn written_schedule(source: &str, seed: Seed) -> anyhow::Result<Schedule> {
    let path = Path::new(source);
    let is_file_name = path.components().count() > 1 || path.extension().is_some();
    if !path.exists() && !is_file_name {
        return schism_nemesis::named(source, seed)
            .map_err(|error| usage(format!("--schedule: {error}, or a TOML file")));
    }
    let text =
        std::fs::read_to_string(path).map_err(|error| usage(format!("cannot read the schedule {source}: {error}")))?;
    Schedule::from_toml(&text, seed).map_err(|error| usage(format!("{source}: {error}")))
}

fn models_of(args: &TestArgs, target: &Target) -> anyhow::Result<(Option<String>, Vec<String>)> {
    let transactional = args.workload.as_deref().is_some_and(schism_checker::isolation::judges);
    if !args.consistency_models.is_empty() && !transactional {
        return Err(usage(
            "--consistency-models is for transactions: use it with --workload list-append or closed-predicate",
        ));
    }
    let isolation = match &args.isolation {
        Some(level) => {
            choose("isolation level", level, &ISOLATION.map(|(name, _)| name))?;
            Some(level.clone())
        }
        None => target.is_sql().then(|| "serializable".to_owned()),
    };
    if !transactional {
        return Ok((isolation, Vec::new()));
    }
    if !args.consistency_models.is_empty() {
        return Ok((isolation, args.consistency_models.clone()));
    }
    let promised = isolation
        .as_deref()
        .and_then(|level| ISOLATION.iter().find(|(name, _)| *name == level))
        .map_or("strict-serializable", |(_, model)| model);
    Ok((isolation, vec![promised.to_owned()]))
}

fn name_of(target: &Target) -> String {
    match target {
        Target::Memory => "memory".to_owned(),
        Target::Local(name) => name.to_string(),
    }
}

pub(crate) fn choose<T: AsRef<str>>(what: &str, given: &str, valid: &[T]) -> anyhow::Result<()> {
    let valid: Vec<String> = valid.iter().map(|name| name.as_ref().to_owned()).collect();
    if valid.iter().any(|name| name == given) {
        return Ok(());
    }
    Err(usage(format!("there is no {what} `{given}`; choose one of: {}", nearest_first(given, &valid).join(", "))))
}

fn key_values(flag: &str, given: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for pair in given {
        let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(usage(format!("{flag} takes KEY=VALUE, not `{pair}`")));
        };
        if map.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(usage(format!("{flag} {key} is given twice")));
        }
    }
    Ok(map)
}

/// A seed from the system. Small enough to type again.
fn draw_seed() -> anyhow::Result<u64> {
    let mut bytes = [0_u8; 4];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from(u32::from_le_bytes(bytes)))
}

/// The valid names, the most similar to what was typed first (Levenshtein distance).
pub(crate) fn nearest_first(typed: &str, names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort_by_key(|name| strsim::levenshtein(typed, name));
    names
}

/// The command that repeats a run: what the user typed, with the seed that was drawn.
pub(crate) fn repeat_command(arguments: &[String], plan: &Plan) -> String {
    let mut words = vec!["schism".to_owned()];
    words.extend(arguments.iter().map(|word| quote(word)));
    let given = arguments
        .iter()
        .any(|word| ["--seed", "--plan"].iter().any(|flag| word == flag || word.starts_with(&format!("{flag}="))));
    if !given {
        words.push(format!("--seed {}", plan.seed));
    }
    words.join(" ")
}

fn quote(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_=./:,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_comes_first() {
        let names = ["redis/single", "redis/sentinel", "postgres/async"].map(str::to_owned);
        assert_eq!(nearest_first("redis/sentinal", &names)[0], "redis/sentinel");
        assert_eq!(nearest_first("postgre/asinc", &names)[0], "postgres/async");
    }

    #[test]
    fn settings_are_split_at_the_first_equals_sign() {
        let given = ["a=1".to_owned(), "b=x=y".to_owned()];
        let map = key_values("--set", &given).unwrap();
        assert_eq!(map["b"], "x=y");
        assert!(key_values("--set", &["novalue".to_owned()]).is_err());
        assert!(key_values("--set", &["a=1".to_owned(), "a=2".to_owned()]).is_err());
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quote("redis/sentinel"), "redis/sentinel");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's"), r"'it'\''s'");
    }
}

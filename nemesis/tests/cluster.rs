//! Every kind and shape of fault on real clusters: injected, seen to bite, healed, and the cluster works afterwards.
//! This binary is also the sandbox's first command and the helper that starts servers.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own, which tells by printing")]

use std::{ffi::OsString, path::Path, process::ExitCode, sync::Arc, time::Duration};

use schism_cluster::{
    Cluster, ClusterSpec, DiskKind, RecoveryGoal, internal_exec, internal_fuse, internal_load, internal_switch, sandbox,
};
use schism_nemesis::{Healer, Ledger, Nemesis, NemesisStage, Schedule};
use schism_seed::Seed;
use tokio::{
    sync::{mpsc::unbounded_channel, watch},
    time::{Instant, sleep},
};

/// How long a cluster may take to recover after all that.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

type Anything<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// A schedule, and the target that it is carried out on.
struct Case {
    name: &'static str,
    target: &'static str,
    /// Settings of the server.
    settings: &'static [(&'static str, &'static str)],
    schedule: &'static str,
}

macro_rules! case {
    ($name:literal, $target:literal $(, $setting:literal = $value:literal)*) => {
        Case {
            name: $name,
            target: $target,
            settings: &[$(($setting, $value)),*],
            schedule: include_str!(concat!("schedules/", $name, ".toml")),
        }
    };
}

/// With this in the environment every case is run, else one of each family: both databases take a quarter of an hour.
const ALL: &str = "SCHISM_ALL_FAULTS";
const FAST: [&str; 9] = [
    "basic-postgres",
    "basic-redis",
    "links-redis",
    "clock-postgres",
    "disk-redis",
    "damage-postgres",
    "storage-io-redis",
    "restart-redis",
    "resource-postgres",
];

/// Each in a cluster of its own.
const CASES: &[Case] = &[
    case!("basic-postgres", "postgres/async"),
    case!("basic-redis", "redis/sentinel"),
    case!("links-postgres", "postgres/async"),
    case!("links-redis", "redis/sentinel"),
    case!("clock-postgres", "postgres/sync"),
    case!("clock-redis", "redis/sentinel"),
    case!("disk-postgres", "postgres/async"),
    case!("disk-redis", "redis/sentinel", "appendfsync" = "everysec", "sentinel-fast" = "yes"),
    case!("damage-postgres", "postgres/async"),
    case!("damage-redis", "redis/sentinel", "appendfsync" = "everysec", "sentinel-fast" = "yes"),
    case!("storage-io-postgres", "postgres/async"),
    // Without its log of writes it would write nothing.
    case!("storage-io-redis", "redis/sentinel", "appendfsync" = "everysec"),
    case!("restart-postgres", "postgres/sync"),
    case!("restart-redis", "redis/sentinel"),
    case!("resource-postgres", "postgres/async"),
    case!("resource-redis", "redis/sentinel"),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map_or("", String::as_str) {
        "inside" => inside(Path::new(&args[1]), &args[2], &args[3]),
        "internal-exec" => internal_exec(&args[1]).map_err(Into::into),
        "internal-switch" => internal_switch(&args[1]).map_err(Into::into),
        "internal-fuse" => internal_fuse(&args[1]).map_err(Into::into),
        "internal-load" => internal_load(&args[1]).map_err(Into::into),
        _ if args.iter().any(|arg| arg == "--list") => {
            // What a test runner that lists tests before it runs them expects; all of this file is one test.
            if !args.iter().any(|arg| arg == "--ignored") {
                println!("every_fault_on_real_clusters: test");
            }
            Ok(())
        }
        _ => tests(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn tests(args: &[String]) -> Anything {
    let capabilities = sandbox::capabilities();
    let missing = capabilities.system.iter().filter(|one| one.required).find_map(|one| one.missing.clone());
    let without: Vec<(&str, String)> =
        capabilities.system.iter().filter_map(|one| Some((one.name, one.missing.clone()?))).collect();
    if let Some(missing) = missing {
        println!("skipped: no sandbox on this machine: {missing}");
        return Ok(());
    }
    // A word of the command line chooses the cases whose name contains it.
    let words: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let all = std::env::var_os(ALL).is_some();
    let chosen = |case: &&Case| match words[..] {
        [] => all || FAST.contains(&case.name),
        _ => words.iter().any(|word| case.name.contains(word.as_str())),
    };
    for case in CASES.iter().filter(chosen) {
        let schedule = Schedule::from_toml(case.schedule, Seed::new(1))?;
        if let Some(why) = without.iter().find_map(|(name, why)| needs(&schedule, name).then_some(why)) {
            println!("skipped: {}: {why}", case.name);
            continue;
        }
        let program = if case.target.starts_with("postgres") { "postgres" } else { "redis-server" };
        let installed = capabilities.servers.iter().any(|server| server.name == program && server.path.is_some());
        if installed {
            run(case)?;
        } else {
            println!("skipped: {}: {program} is not installed", case.name);
        }
    }
    Ok(())
}

/// Whether one of its faults needs this ability of the machine.
fn needs(schedule: &Schedule, ability: &str) -> bool {
    schedule.entries().iter().any(|entry| entry.fault.kind().info().capabilities.contains(&ability))
}

fn run(case: &Case) -> Anything {
    let name = case.name;
    let directory = tempfile::tempdir()?;
    let run_id = format!("test-{name}-{}", std::process::id());
    let ledger = Ledger::create(&directory.path().join("ledger.jsonl"), &run_id)?;
    let args: [OsString; 4] = ["inside".into(), directory.path().into(), name.into(), run_id.clone().into()];
    let mut inside = sandbox::spawn_inside(&args, &run_id)?;
    ledger.sandbox(inside.init_pid, inside.init_start_ticks, inside.cgroup_root.as_deref())?;
    let status = inside.child.wait()?;
    if let Some(root) = &inside.cgroup_root {
        sandbox::remove_leftovers(root)?;
    }
    ledger.closed(Healer::Run)?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}").into()) }
}

fn inside(directory: &Path, name: &str, run_id: &str) -> Anything {
    let case = CASES.iter().find(|case| case.name == name).ok_or("no such case")?;
    sandbox::prepare_inside()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(faults(directory, case, run_id))
}

async fn faults(directory: &Path, case: &Case, run_id: &str) -> Anything {
    let schedule = Schedule::from_toml(case.schedule, Seed::new(1))?;
    let settings = case.settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let spec = ClusterSpec {
        target: case.target.parse()?,
        settings: settings.collect(),
        disk: if schedule.needs().disk { DiskKind::EXT4 } else { DiskKind::Memory },
        nodes_dir: directory.join("nodes"),
        run_id: run_id.to_owned(),
        client_sites: 3,
        fuse: schedule.needs().fuse,
    };
    let cluster = Arc::new(Cluster::start(spec).await?);
    schedule.check(cluster.node_names(), cluster.supports("failover"))?;
    let planned = schedule.entries().len();
    let ledger = Arc::new(Ledger::append_to(&directory.join("ledger.jsonl"))?);
    let (sender, mut events) = unbounded_channel();
    let (_cancel, cancelled) = watch::channel(false);
    let start = Instant::now();
    let mut nemesis = Nemesis::new(Arc::clone(&cluster), schedule, ledger, sender, start, cancelled)?;
    let outcome = nemesis.run().await;
    drop(nemesis);
    while let Some(event) = events.recv().await {
        if event.stage != NemesisStage::Inject && event.stage != NemesisStage::Heal {
            let effective_ms = event.effective_ns.map(|ns| ns / 1_000_000);
            println!("{} {} {:?} {effective_ms:?} {}", event.kind, event.target, event.stage, event.detail);
            println!("    {}", event.verified);
        }
    }
    let recovery = recovered(&cluster).await;
    let remains = cluster.remains().await?;
    cluster.shutdown().await?;
    recovery?;
    if outcome.injected != planned || !outcome.failures.is_empty() {
        return Err(format!("{outcome:?}").into());
    }
    if !remains.is_empty() {
        return Err(format!("left in the cluster: {}", remains.join("; ")).into());
    }
    println!("{}: {planned} faults injected, verified and healed", case.name);
    Ok(())
}

async fn recovered(cluster: &Cluster) -> Anything {
    let begin = Instant::now();
    loop {
        match cluster.recovered(RecoveryGoal::OnePrimary).await {
            Ok(()) => return Ok(()),
            Err(missing) if begin.elapsed() > RECOVERY_LIMIT => return Err(missing.into()),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

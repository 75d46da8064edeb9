//! Every kind and shape of fault on real clusters: injected, seen to bite, healed, and the cluster works afterwards.
//! This binary is also the sandbox's first command and the helper that starts servers.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own, which tells by printing")]

use std::{ffi::OsString, path::Path, process::ExitCode, sync::Arc, time::Duration};

use schism_cluster::{Cluster, ClusterSpec, RecoveryGoal, internal_exec, sandbox};
use schism_nemesis::{Healer, Ledger, Nemesis, NemesisStage, Schedule};
use schism_seed::Seed;
use tokio::{
    sync::{mpsc::unbounded_channel, watch},
    time::{Instant, sleep},
};

/// How long a cluster may take to recover after all that.
const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

type Anything<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Short times: what is tested is that faults take hold and end, not what they do to data.
const POSTGRES: &str = r#"
[[fault]]
at = 0
for = "1s"
kind = "partition"
target = "one-way"
[[fault]]
at = "4s"
for = "1s"
kind = "partition"
target = "majorities-ring"
[[fault]]
at = "8s"
for = "1s"
kind = "pause"
target = "primary"
[[fault]]
at = "12s"
for = "1s"
kind = "kill"
target = "replica"
[[fault]]
at = "16s"
for = "3s"
kind = "failover"
cut-for = "1s"
[[fault]]
at = "26s"
for = "500ms"
kind = "kill"
target = "all"
"#;

const REDIS: &str = r#"
[[fault]]
at = 0
for = "2s"
kind = "partition"
target = "halves"
clients = "majority"
[[fault]]
at = "1s"
for = "3s"
kind = "partition"
target = "primary"
[[fault]]
at = "8s"
for = "1s"
kind = "pause"
target = "minority"
[[fault]]
at = "12s"
for = "1s"
kind = "kill"
target = "primary"
"#;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first().map_or("", String::as_str) {
        "inside" => inside(Path::new(&args[1]), &args[2], &args[3]),
        "internal-exec" => internal_exec(&args[1]).map_err(Into::into),
        _ if args.iter().any(|arg| arg == "--list") => {
            // What a test runner that lists tests before it runs them expects; all of this file is one test.
            if !args.iter().any(|arg| arg == "--ignored") {
                println!("every_fault_on_real_clusters: test");
            }
            Ok(())
        }
        _ => tests(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", args.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn tests() -> Anything {
    let capabilities = sandbox::capabilities();
    let missing = capabilities.system.into_iter().filter(|one| one.required).find_map(|one| one.missing);
    if let Some(missing) = missing {
        println!("skipped: no sandbox on this machine: {missing}");
        return Ok(());
    }
    for (target, program) in [("postgres/async", "postgres"), ("redis/sentinel", "redis-server")] {
        let installed = capabilities.servers.iter().any(|server| server.name == program && server.path.is_some());
        if installed {
            run(target)?;
        } else {
            println!("skipped: {target}: {program} is not installed");
        }
    }
    Ok(())
}

fn run(target: &str) -> Anything {
    let directory = tempfile::tempdir()?;
    let run_id = format!("test-{}-{}", target.replace('/', "-"), std::process::id());
    let ledger = Ledger::create(&directory.path().join("ledger.jsonl"), &run_id)?;
    let args: [OsString; 4] = ["inside".into(), directory.path().into(), target.into(), run_id.clone().into()];
    let mut inside = sandbox::spawn_inside(&args, &run_id)?;
    ledger.sandbox(inside.init_pid, inside.init_start_ticks, inside.cgroup_root.as_deref())?;
    let status = inside.child.wait()?;
    if let Some(root) = &inside.cgroup_root {
        sandbox::remove_leftovers(root)?;
    }
    ledger.closed(Healer::Run)?;
    if status.success() { Ok(()) } else { Err(format!("{target}: {status}").into()) }
}

fn inside(directory: &Path, target: &str, run_id: &str) -> Anything {
    sandbox::prepare_inside()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(faults(directory, target, run_id))
}

async fn faults(directory: &Path, target: &str, run_id: &str) -> Anything {
    let spec = ClusterSpec {
        target: target.parse()?,
        settings: [].into(),
        nodes_dir: directory.join("nodes"),
        run_id: run_id.to_owned(),
        client_sites: 3,
    };
    let cluster = Arc::new(Cluster::start(spec).await?);
    let schedule = Schedule::from_toml(if target.starts_with("postgres") { POSTGRES } else { REDIS }, Seed::new(1))?;
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
    cluster.shutdown().await?;
    recovery?;
    if outcome.injected != planned || !outcome.failures.is_empty() {
        return Err(format!("{outcome:?}").into());
    }
    println!("{target}: {planned} faults injected, verified and healed");
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

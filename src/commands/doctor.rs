//! `schism doctor`: what this machine can do and how to get the rest. `schism heal`: undo and clean up.

use schism_cluster::{
    Database, TargetName, Topology,
    sandbox::{Capabilities, Capability, Isolation, ServerBinary, capabilities},
};
use schism_nemesis::{Schedule, StateDir, UndoCommand};

use crate::{
    cli::{DoctorArgs, HealArgs},
    exit,
    exit::usage,
    output::{print, print_line},
};

/// Prints what works and what is missing, each with the exact command that gets it; or what earlier runs left behind.
pub(crate) fn doctor(args: &DoctorArgs) -> anyhow::Result<u8> {
    let leftovers = schism_nemesis::leftovers(&StateDir::locate()?)?;
    if args.leftovers {
        for line in &leftovers {
            print_line(line)?;
        }
        return Ok(exit::VALID);
    }
    let found = capabilities();
    if args.json {
        let report = serde_json::json!({ "capabilities": found, "leftovers": leftovers });
        print_line(&serde_json::to_string_pretty(&report)?)?;
    } else {
        print(&describe(&found))?;
        match leftovers.as_slice() {
            [] => print_line("leftovers      none")?,
            lines => print_line(&format!("leftovers      {}; remove them with: schism heal", lines.join("; ")))?,
        }
    }
    let lacking = found.system.iter().any(|ability| ability.required && ability.missing.is_some());
    Ok(if lacking { exit::FAILURE } else { exit::VALID })
}

fn describe(found: &Capabilities) -> String {
    let isolation = match found.isolation {
        Isolation::Root => "as root",
        Isolation::UserNamespace => "in an unprivileged user namespace",
        Isolation::None => "not possible: only `schism run memory`, `check`, `report` and `plan` work",
    };
    let mut text = format!("sandbox        {isolation}\n");
    let cgroup2 = found
        .cgroup2
        .as_ref()
        .map_or("not mounted; nodes are stopped by signals".to_owned(), |path| path.display().to_string());
    text.push_str(&format!("cgroup 2       {cgroup2}\n"));
    for ability in &found.system {
        let state = match (&ability.missing, ability.required) {
            (None, _) => "works".to_owned(),
            (Some(why), true) => format!("MISSING: {why}; get it with: {}", ability.fix),
            (Some(why), false) => format!("missing, but not needed: {why}; get it with: {}", ability.fix),
        };
        text.push_str(&format!("{:<14} {state}\n", ability.name));
    }
    for server in &found.servers {
        let state = match (&server.path, &server.version) {
            (Some(path), Some(version)) => format!("{version} ({})", path.display()),
            (Some(path), None) => path.display().to_string(),
            (None, _) => format!("MISSING (package {}); get it with: {}", server.package, server.fix),
        };
        text.push_str(&format!("{:<14} {state}\n", server.name));
    }
    text
}

/// Refuses a run that this machine cannot do, before it leaves a trace.
pub(crate) fn require(target: TargetName, schedule: &Schedule) -> anyhow::Result<()> {
    let found = schism_cluster::sandbox::capabilities();
    let needed: &[&str] = match (target.database(), target.topology()) {
        (Database::Postgres, _) => &["postgres"],
        (Database::Redis, Topology::Sentinel) => &["redis-server", "redis-sentinel"],
        (Database::Redis, _) => &["redis-server"],
    };
    let lacks = |server: &&ServerBinary| server.path.is_none() && needed.contains(&server.name);
    if let Some(server) = found.servers.iter().find(lacks) {
        anyhow::bail!(
            "{target} needs {}, which is not installed (package {}); get it with: {}",
            server.name,
            server.package,
            server.fix
        );
    }
    if let Some(ability) = found.system.iter().find(|ability| ability.required && ability.missing.is_some()) {
        anyhow::bail!(
            "{target} needs {}: {}; get it with: {}; without it `schism run memory`, `check`, `report` and `plan` work",
            ability.name,
            ability.missing.as_deref().unwrap_or_default(),
            ability.fix
        );
    }
    for entry in schedule.entries() {
        let kind = entry.fault.kind();
        let lacks =
            |ability: &&Capability| ability.missing.is_some() && kind.info().capabilities.contains(&ability.name);
        if let Some(ability) = found.system.iter().find(lacks) {
            return Err(usage(format!(
                "the fault {kind} needs {} on this machine: {}; get it with: {}, or leave the fault out",
                ability.name,
                ability.missing.as_deref().unwrap_or_default(),
                ability.fix
            )));
        }
    }
    Ok(())
}

/// Undoes the faults in force of running tests, and removes what dead ones left.
pub(crate) fn heal(args: &HealArgs) -> anyhow::Result<u8> {
    let only = args.result.as_deref().map(|folder| {
        let cannot = |error| usage(format!("there is no result folder {}: {error}", folder.display()));
        folder.canonicalize().map_err(cannot)
    });
    let healed = schism_nemesis::heal(&StateDir::locate()?, &UndoCommand::own()?, only.transpose()?.as_deref())?;
    let mut code = exit::VALID;
    if healed.is_empty() {
        print_line("nothing to heal")?;
    }
    for run in healed {
        print_line(&run.to_string())?;
        if run.outcome.is_err() {
            code = exit::FAILURE;
        }
    }
    Ok(code)
}

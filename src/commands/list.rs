//! `schism list`: what there is to choose from.

use serde_json::{Value, json};

use crate::{
    cli::{ListArgs, Listing},
    exit,
};

/// Prints names with one line each, or JSON.
#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(crate) fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let rows = match args.what {
        Listing::Targets => targets(),
        Listing::Workloads => workloads(),
        Listing::Faults => faults(),
        Listing::Schedules => schedules(),
        Listing::Lies => lies(),
    };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(exit::VALID);
    }
    let width = rows.iter().map(|row| row["name"].as_str().unwrap_or_default().len()).max().unwrap_or(0);
    for row in &rows {
        println!(
            "{:<width$}  {}",
            row["name"].as_str().unwrap_or_default(),
            row["description"].as_str().unwrap_or_default()
        );
        for (name, meaning) in row["options"].as_object().into_iter().flatten() {
            println!("{:<width$}    {name}: {}", "", meaning.as_str().unwrap_or_default());
        }
    }
    Ok(exit::VALID)
}

fn targets() -> Vec<Value> {
    let local = schism_cluster::targets().into_iter().map(|target| {
        let options: serde_json::Map<String, Value> =
            target.settings.into_iter().map(|setting| (setting.name.to_owned(), Value::String(format!("{} [default: {}]", setting.description, setting.default)))).collect();
        json!({ "name": target.name.to_string(), "description": target.description, "nodes": target.nodes, "options": options })
    });
    let memory = json!({
        "name": "memory",
        "description": "a store in this process, correct or with one lie (`schism list lies`); needs no root and no database",
        "nodes": 3,
        "options": {
            "lie": "which lie it tells [default: none]",
            "latency-min-us": "every operation takes at least so many microseconds [default: 200]",
            "latency-max-us": "and at most so many [default: 2000]",
        },
    });
    local.chain([memory]).collect()
}

fn workloads() -> Vec<Value> {
    let row = |name: &&str| {
        let option = |row: &schism_workloads::OptionRow| {
            let meaning = format!("{} ({}) [default: {}]", row.help, row.values, row.default);
            (row.key.to_owned(), Value::String(meaning))
        };
        let options: serde_json::Map<String, Value> = schism_workloads::option_rows(name).iter().map(option).collect();
        json!({ "name": name, "description": describe(name), "options": options })
    };
    schism_workloads::names().iter().map(row).collect()
}

fn describe(workload: &str) -> &'static str {
    match workload {
        "set" => "unique elements are added, and read back from every node at the end: lost writes, split brain, RPO",
        "register" => "independent registers are read, written and compared-and-set: linearizability",
        "list-append" => "transactions append to lists and read them: isolation anomalies, lost appends",
        _ => "",
    }
}

fn faults() -> Vec<Value> {
    let row = |info: schism_nemesis::KindInfo| {
        let targets: Vec<String> = info.targets.iter().map(|target| target.name().to_owned()).collect();
        json!({
            "name": info.name,
            "description": info.description,
            "options": { "targets": format!("{}, or a node's name", targets.join(", ")) },
        })
    };
    schism_nemesis::kinds().into_iter().map(row).collect()
}

fn schedules() -> Vec<Value> {
    let row = |schedule: &schism_nemesis::NamedSchedule| json!({ "name": schedule.name, "description": schedule.description() });
    schism_nemesis::names().iter().map(row).collect()
}

fn lies() -> Vec<Value> {
    let row = |row: &schism_workloads::client::lie::LieRow| json!({ "name": row.name, "description": row.shows_as, "options": { "workloads": row.workloads.join(", ") } });
    schism_workloads::client::lie::Lie::all().iter().map(row).collect()
}

//! `schism list`: what there is to choose from.

use schism_cluster::SettingInfo;
use serde_json::{Value, json};

use crate::{
    cli::{ListArgs, Listing},
    exit,
    output::{print, print_line},
};

/// Prints names with one line each, or JSON.
pub(crate) fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let rows = match args.what {
        Listing::Targets => targets(),
        Listing::Workloads => workloads(),
        Listing::Faults => faults(),
        Listing::Schedules => schedules(),
        Listing::Lies => lies(),
    };
    if args.json {
        print_line(&serde_json::to_string_pretty(&rows)?)?;
        return Ok(exit::VALID);
    }
    print(&lines(&rows))?;
    Ok(exit::VALID)
}

/// A row of a workload, for whoever asks what a name means.
pub(super) fn named(name: &str) -> Option<Value> {
    workloads().into_iter().find(|row| row["name"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name)))
}

/// Each row as people read it.
pub(super) fn lines(rows: &[Value]) -> String {
    let width = rows.iter().map(|row| row["name"].as_str().unwrap_or_default().len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let (name, description) = (row["name"].as_str(), row["description"].as_str());
        text.push_str(&format!("{:<width$}  {}\n", name.unwrap_or_default(), description.unwrap_or_default()));
        for (name, meaning) in row["options"].as_object().into_iter().flatten() {
            text.push_str(&format!("{:<width$}    {name}: {}\n", "", meaning.as_str().unwrap_or_default()));
        }
    }
    text
}

fn targets() -> Vec<Value> {
    let local = schism_cluster::targets().into_iter().map(|target| {
        let meaning = |setting: &SettingInfo| match setting.default {
            "" => setting.description.to_owned(),
            default => format!("{} [default: {default}]", setting.description),
        };
        let options: serde_json::Map<String, Value> =
            target.settings.iter().map(|setting| (setting.name.to_owned(), Value::String(meaning(setting)))).collect();
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
            "panic-at-op": "schism's own client crashes at this operation, which must end in exit code 255 [default: 0, never]",
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
        "closed-predicate" => {
            "transactions insert, update, delete and select rows: phantoms and other isolation anomalies of predicates"
        }
        "mutex" => {
            "clients get a lock with a lease, hold it for a while and release it: two that hold it at once; Redis and memory"
        }
        "fenced-lock" => {
            "the same with fencing tokens, which what the lock protects looks at: tokens that do not grow; Redis and memory"
        }
        _ => "",
    }
}

fn faults() -> Vec<Value> {
    schism_nemesis::kinds().map(fault).collect()
}

/// A row of a kind of faults; `schism explain` tells more of it.
fn fault(info: &schism_nemesis::KindInfo) -> Value {
    let own = info.options.iter().map(|option| (option.name.to_owned(), Value::String(option.meaning.to_owned())));
    let options: serde_json::Map<String, Value> =
        [("targets".to_owned(), Value::String(fault_targets(info)))].into_iter().chain(own).collect();
    json!({ "name": info.name, "family": info.family, "description": info.description, "options": options })
}

/// What may stand behind the colon of `--faults KIND:TARGET`.
pub(super) fn fault_targets(info: &schism_nemesis::KindInfo) -> String {
    let targets: Vec<&str> = info.targets.iter().map(schism_nemesis::Target::name).collect();
    let node = if info.takes_node { ", or a node's name" } else { "" };
    format!("{}{node}", targets.join(", "))
}

fn schedules() -> Vec<Value> {
    let row = |schedule: &schism_nemesis::NamedSchedule| json!({ "name": schedule.name, "description": schedule.description() });
    schism_nemesis::names().iter().map(row).collect()
}

fn lies() -> Vec<Value> {
    let row = |row: &schism_workloads::client::lie::LieRow| json!({ "name": row.name, "description": row.shows_as, "options": { "workloads": row.workloads.join(", ") } });
    schism_workloads::client::lie::Lie::all().iter().map(row).collect()
}

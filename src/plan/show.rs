//! A plan for the eye: what each client would do first, and the faults on a timeline.

use std::fmt::Write as _;

use schism_checker::history::{Event, EventType, Process, Value};
use schism_workloads::generator::{Latency, op_limit, simulate};

use super::Plan;

/// The first operations of each client, as the workload's generator gives them without any database.
fn ops_of(plan: &Plan, per_client: usize) -> anyhow::Result<Vec<Vec<Event>>> {
    let nodes = plan.target()?.nodes();
    let workload = schism_workloads::by_name(&plan.workload, &plan.workload_options)?;
    let workload_plan = plan.workload_plan(nodes);
    let clients = plan.clients as usize;
    // Every client gets its turn when all answer equally fast.
    let generator = op_limit((per_client * clients) as u64, workload.generator(&workload_plan));
    let events = simulate(generator, plan.clients, &Latency::fixed(1_000_000), workload_plan.seed);
    let mut ops = vec![Vec::new(); clients];
    for event in events {
        if let (EventType::Invoke, Process::Client(process)) = (event.kind, event.process) {
            ops[process as usize % clients].push(event);
        }
    }
    Ok(ops)
}

/// The plan as one JSON object: the plan itself, and the first operations by client.
pub(crate) fn plan_json(plan: &Plan, per_client: usize) -> anyhow::Result<serde_json::Value> {
    let ops: Vec<Vec<serde_json::Value>> = ops_of(plan, per_client)?
        .iter()
        .map(|ops| {
            ops.iter().map(|op| serde_json::json!({ "f": op.f.name(), "value": value_json(&op.value) })).collect()
        })
        .collect();
    Ok(serde_json::json!({ "plan": plan, "ops": ops }))
}

/// The plan as text.
pub(crate) fn plan_text(plan: &Plan, per_client: usize) -> anyhow::Result<String> {
    let mut text = plan.to_toml()?;
    writeln!(text, "\n# The first operations of each client.")?;
    for (client, ops) in ops_of(plan, per_client)?.iter().enumerate() {
        let ops: Vec<String> = ops.iter().map(|op| format!("{} {}", op.f.name(), value_json(&op.value))).collect();
        writeln!(text, "# {client:>4}: {}", ops.join(", "))?;
    }
    if let Some(experiment) = plan.experiment()? {
        writeln!(text)?;
        for line in experiment.outline() {
            writeln!(text, "# {line}")?;
        }
    }
    if !plan.schedule.entries().is_empty() {
        writeln!(text, "\n# The faults: one column is {} s.", column_ms(plan) as f64 / 1_000.0)?;
        text.push_str(&timeline(plan));
        for sentence in &plan.mix {
            writeln!(text, "# {sentence}")?;
        }
    }
    Ok(text)
}

fn value_json(value: &Value) -> serde_json::Value {
    value.to_json()
}

const COLUMNS: u64 = 60;

fn column_ms(plan: &Plan) -> u64 {
    plan.duration_ms.div_ceil(COLUMNS).max(1)
}

/// One line a fault: `#` while it is in force, `?` while it may wait for its condition, `.` otherwise.
fn timeline(plan: &Plan) -> String {
    let column_ms = column_ms(plan);
    let mut text = String::new();
    for entry in plan.schedule.entries() {
        let start = (entry.at_ms / column_ms) as usize;
        let begin_ms = entry.when.as_ref().map_or(entry.at_ms, |when| when.until_ms);
        let waiting = (begin_ms / column_ms) as usize - start;
        let length = (entry.for_ms / column_ms).max(1) as usize;
        let bar = format!("{}{}{}", ".".repeat(start), "?".repeat(waiting), "#".repeat(length));
        let when = entry.when.as_ref().map(|when| format!("  once {}", when.condition.text())).unwrap_or_default();
        // Infallible: writing to a string.
        let _ = writeln!(
            text,
            "# {:<15} {:<16} {bar:.<width$}{when}",
            entry.fault.kind().name(),
            entry.target.to_string(),
            width = COLUMNS as usize
        );
    }
    text
}

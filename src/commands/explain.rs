//! `schism explain`: what an anomaly is, what a consistency model promises, and what a fault does.

use std::fmt::Write as _;

use schism_checker::isolation::explain::{
    AnomalyExplanation, Explanation, Group, ModelExplanation, anomalies, explain as explanation, models, names,
};
use schism_nemesis::KindInfo;
use serde_json::json;

use super::list;
use crate::{
    cli::ExplainArgs,
    exit,
    output::{print, print_line},
};

/// How wide a line of text is.
const WIDTH: usize = 100;
/// How wide the names of the facts below a text are.
const LABEL: usize = 16;

/// Prints one explanation, or all names there are.
pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<u8> {
    let Some(name) = &args.name else {
        if args.json {
            let all = json!({ "anomalies": anomalies(), "models": models(), "names": names() });
            print_line(&serde_json::to_string_pretty(&all)?)?;
        } else {
            print(&all_names())?;
        }
        return Ok(exit::VALID);
    };
    let Some(found) = explanation(name) else {
        if let Some(fault) = schism_nemesis::kinds().find(|fault| fault.name.eq_ignore_ascii_case(name)) {
            return fault_explained(fault, args.json);
        }
        // What `schism list` knows a line of.
        let Some(row) = list::named(name) else {
            let faults = schism_nemesis::kinds().map(|fault| fault.name);
            let names: Vec<&str> = names().into_iter().chain(faults).collect();
            crate::plan::choose("anomaly, consistency model or fault", name, &names)?;
            return Ok(exit::VALID);
        };
        if args.json {
            print_line(&serde_json::to_string_pretty(&row)?)?;
        } else {
            print(&list::lines(&[row]))?;
        }
        return Ok(exit::VALID);
    };
    if args.json {
        print_line(&serde_json::to_string_pretty(&found)?)?;
    } else {
        print(&match &found {
            Explanation::Anomaly(anomaly) => of_anomaly(anomaly),
            Explanation::Model(model) => of_model(model),
        })?;
    }
    Ok(exit::VALID)
}

fn all_names() -> String {
    let mut text = String::new();
    for (heading, groups) in [("Anomalies", anomalies()), ("Consistency models", models())] {
        let _ = writeln!(text, "{heading}");
        for Group { title, names } in groups {
            let _ = writeln!(text, "  {title}");
            let names: Vec<String> = names.into_iter().map(with_other_names).collect();
            paragraph(&mut text, "    ", "    ", &names.join(", "));
        }
        text.push('\n');
    }
    let faults: Vec<&str> = schism_nemesis::kinds().map(|fault| fault.name).collect();
    text.push_str("Faults\n");
    paragraph(&mut text, "    ", "    ", &faults.join(", "));
    text.push_str("\nschism explain NAME tells what one of them is.\n");
    text
}

fn with_other_names(name: &str) -> String {
    match explanation(name) {
        Some(Explanation::Model(model)) if !model.other_names.is_empty() => {
            format!("{name} ({})", model.other_names.join(", "))
        }
        _ => name.to_owned(),
    }
}

fn of_anomaly(anomaly: &AnomalyExplanation) -> String {
    let mut text = format!("{}: an anomaly\n\n", anomaly.name);
    paragraph(&mut text, "", "", anomaly.what);
    text.push('\n');
    if let Some(example) = anomaly.example {
        for line in example.transactions {
            let _ = writeln!(text, "    {line}");
        }
        text.push('\n');
    }
    paragraph(&mut text, "", "", anomaly.why);
    text.push('\n');
    if let Some(example) = anomaly.example {
        let option = example.option.map_or_else(String::new, |option| format!(", with {option}"));
        fact(&mut text, "reported as", &format!("{} ({}{option})", anomaly.reported.join(", "), example.workload));
    }
    if let Some(why) = anomaly.never_reported {
        fact(&mut text, "by this name", &format!("never: {why}"));
    }
    fact(&mut text, "source", anomaly.source);
    if anomaly.forbidden_by_weakest.is_empty() {
        fact(&mut text, "forbidden by", "no model: the lattice draws no conclusion from it");
        return text;
    }
    fact(&mut text, "forbidden by", &anomaly.forbidden_by_weakest.join(", "));
    if !anomaly.forbidden_by_stronger.is_empty() {
        fact(&mut text, "and so by", &anomaly.forbidden_by_stronger.join(", "));
    }
    fact(&mut text, "allowed by", &or_none(&anomaly.allowed_by));
    text
}

fn of_model(model: &ModelExplanation) -> String {
    let mut text = format!("{}: a consistency model", model.name);
    if !model.other_names.is_empty() {
        let _ = write!(text, ", also called {}", model.other_names.join(", "));
    }
    text.push_str("\n\n");
    paragraph(&mut text, "", "", model.promise);
    text.push('\n');
    if model.forbids.is_empty() && model.forbids_also.is_empty() {
        fact(&mut text, "forbids", "the lattice ties no anomaly to it: no history is said to refute it");
    } else {
        fact(&mut text, "forbids", &or_none(&model.forbids));
        fact(&mut text, "and so", &or_none(&model.forbids_also));
    }
    fact(&mut text, "implies", &or_none(&model.implies));
    if !model.implies_also.is_empty() {
        fact(&mut text, "and so", &model.implies_also.join(", "));
    }
    fact(&mut text, "implied by", &or_none(&model.implied_by));
    if !model.implied_by_also.is_empty() {
        fact(&mut text, "and so by", &model.implied_by_also.join(", "));
    }
    fact(&mut text, "source", model.source);
    if let Some(databases) = model.databases {
        fact(&mut text, "databases", databases);
    }
    text
}

fn fault_explained(fault: &KindInfo, json: bool) -> anyhow::Result<u8> {
    if json {
        let options: serde_json::Map<String, serde_json::Value> =
            fault.options.iter().map(|option| (option.name.to_owned(), option.meaning.into())).collect();
        print_line(&serde_json::to_string_pretty(&json!({
            "name": fault.name,
            "family": fault.family,
            "description": fault.description,
            "how": fault.how,
            "verified": fault.verified,
            "breaks": fault.breaks,
            "targets": list::fault_targets(fault),
            "options": options,
            "strength": fault.strength,
            "needs": fault.capabilities,
        }))?)?;
    } else {
        print(&of_fault(fault))?;
    }
    Ok(exit::VALID)
}

fn of_fault(fault: &KindInfo) -> String {
    let mut text = format!("{}: a fault of the family {}\n\n", fault.name, fault.family.name());
    paragraph(&mut text, "", "", fault.description);
    text.push('\n');
    fact(&mut text, "how", fault.how);
    fact(&mut text, "verified", fault.verified);
    fact(&mut text, "breaks", fault.breaks);
    fact(&mut text, "targets", &list::fault_targets(fault));
    for option in fault.options {
        fact(&mut text, option.name, option.meaning);
    }
    if !fault.capabilities.is_empty() {
        fact(&mut text, "needs", &format!("{} (schism doctor)", fault.capabilities.join(", ")));
    }
    let by_strength = fault.strength.map(|option| format!("; --faults {}=VALUE sets `{option}`", fault.name));
    fact(&mut text, "use", &format!("--faults {}{}", fault.name, by_strength.unwrap_or_default()));
    text
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

fn fact(text: &mut String, label: &str, value: &str) {
    paragraph(text, &format!("{label:<LABEL$}"), &" ".repeat(LABEL), value);
}

/// Words in lines, the first behind one prefix and the others behind another.
fn paragraph(text: &mut String, first: &str, others: &str, words: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in words.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line = others.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    let _ = writeln!(text, "{line}");
}

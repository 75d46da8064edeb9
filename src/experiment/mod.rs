//! Experiments of the Chaos Toolkit: files that say what must hold, what is done, and what puts it right again
//! (<https://chaostoolkit.org/reference/api/experiment/>). Here they are read, and refused as a whole where they want
//! what there is not: half of an experiment is another experiment. `run/experiment` carries them out.

mod activity;
mod configuration;
mod journal;
mod read;
mod tolerance;

use std::{collections::BTreeMap, path::Path};

use schism_nemesis::Entry;
use schism_seed::{Seed, Stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use self::{
    activity::{Activity, Arguments, Http, Process, Provider},
    journal::{JOURNAL_FILE, Journal, Record, State, Status},
};
use self::{
    configuration::Configuration,
    read::{Object, Read, Wrong, wrong},
};
use crate::exit::usage;

/// What a plan stores: enough to repeat the experiment where its file and its environment are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Source {
    /// The experiment, as JSON.
    text: String,
    /// Variables of the environment that its configuration asks for, as far as they were set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
}

/// What an experiment is read for.
pub(crate) struct Circumstances<'a> {
    /// The nodes it may speak to.
    pub(crate) nodes: &'a [String],
    /// Decides the victims of `one` and the like.
    pub(crate) seed: u64,
    /// By when everything is over, in milliseconds since the run started.
    pub(crate) duration_ms: u64,
}

/// An experiment that can be carried out.
#[derive(Debug, Clone)]
pub(crate) struct Experiment {
    /// For people.
    pub(crate) title: String,
    /// What must hold before and after the method.
    pub(crate) hypothesis: Option<Hypothesis>,
    /// What is done, in order.
    pub(crate) method: Vec<Activity>,
    /// What puts it right again, in order.
    pub(crate) rollbacks: Vec<Activity>,
    /// The faults of the method, by their signals.
    pub(crate) faults: Vec<Entry>,
    /// As it was given, with its title filled in; the journal's copy.
    pub(crate) raw: Value,
}

/// The steady-state hypothesis.
#[derive(Debug, Clone)]
pub(crate) struct Hypothesis {
    /// For people.
    pub(crate) title: String,
    /// Each with a tolerance.
    pub(crate) probes: Vec<Activity>,
}

impl Experiment {
    /// Refuses programs that are not here; asked before a run, and not before a plan, which may run elsewhere.
    pub(crate) fn require(&self) -> anyhow::Result<()> {
        self.activities().try_for_each(Activity::require)
    }

    fn activities(&self) -> impl Iterator<Item = &Activity> {
        let probes = self.hypothesis.iter().flat_map(|hypothesis| &hypothesis.probes);
        probes.chain(&self.method).chain(&self.rollbacks)
    }

    /// What is done in which order, a line each.
    pub(crate) fn outline(&self) -> Vec<String> {
        let mut lines = vec![format!("The experiment: {}", self.title)];
        if let Some(hypothesis) = &self.hypothesis {
            lines.push(format!("before and after: {}", hypothesis.title));
        }
        lines.extend(self.activities().map(|activity| {
            let done = match &activity.provider {
                Provider::Process(process) => format!("process {}", process.path),
                Provider::Http(http) => format!("{} {}", http.method, http.url),
                Provider::Fault(id) => match self.faults.get(*id as usize) {
                    Some(entry) => format!("fault {id}: {} {}", entry.fault.kind(), entry.target),
                    None => format!("fault {id}"),
                },
            };
            let background = if activity.background { ", in the background" } else { "" };
            format!("{}: {} ({done}{background})", activity.place, activity.name)
        }));
        lines
    }
}

const KEYS: [&str; 10] = [
    "version",
    "title",
    "description",
    "tags",
    "contributions",
    "extensions",
    "configuration",
    "steady-state-hypothesis",
    "method",
    "rollbacks",
];

/// What other tools of the toolkit use and an experiment may carry along while it is empty.
const EMPTY_KEYS: [&str; 2] = ["secrets", "controls"];

impl Source {
    /// Reads an experiment file, JSON or YAML by its name, and what it wants of the environment.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| usage(format!("cannot read the experiment {}: {error}", path.display())))?;
        let is_yaml = path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml");
        let value: Value = if is_yaml {
            serde_saphyr::from_str(&text).map_err(|error| usage(format!("{}: {error}", path.display())))?
        } else {
            serde_json::from_str(&text).map_err(|error| usage(format!("{}: {error}", path.display())))?
        };
        let mut environment = BTreeMap::new();
        for key in configuration::environment_keys(&value) {
            if let Ok(set) = std::env::var(&key) {
                environment.insert(key, set);
            }
        }
        Ok(Self { text: serde_json::to_string_pretty(&value)?, environment })
    }

    /// The experiment, or the first thing in it that is wrong or not supported, with its place.
    pub(crate) fn experiment(&self, circumstances: &Circumstances<'_>) -> anyhow::Result<Experiment> {
        let value: Value =
            serde_json::from_str(&self.text).map_err(|error| usage(format!("the experiment is no JSON: {error}")))?;
        parse(value, &self.environment, circumstances).map_err(|wrong| usage(format!("the experiment: {wrong}")))
    }
}

fn parse(
    value: Value,
    environment: &BTreeMap<String, String>,
    circumstances: &Circumstances<'_>,
) -> Result<Experiment, Wrong> {
    let top = Object::of(&value, "")?;
    for key in EMPTY_KEYS {
        let empty = top.get(key).is_none_or(|value| {
            value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
        });
        if !empty {
            return wrong(key, format!("`{key}` are not supported; supported here: {}", KEYS.join(", ")));
        }
    }
    top.only(&[&KEYS[..], &EMPTY_KEYS[..]].concat())?;
    let title = top.need_text("title")?;
    top.need_text("description")?;
    metadata(&top)?;
    let configuration = match top.get("configuration") {
        Some(value) => Configuration::read(value, environment)?,
        None => Configuration::default(),
    };
    let mut reader = Reader {
        configuration: &configuration,
        circumstances,
        named: named(&top)?,
        draws: Seed::new(circumstances.seed).stream("faults"),
        faults: Vec::new(),
    };
    let hypothesis = top.get("steady-state-hypothesis").map(|value| reader.hypothesis(value)).transpose()?;
    if top.get("method").is_none() {
        return wrong("method", "an experiment has a method; it may be empty, `[]`, to look at the hypothesis only");
    }
    let method = reader.activities(&top, "method", Part::Method)?;
    let rollbacks = reader.activities(&top, "rollbacks", Part::Rollbacks)?;
    let faults = reader.faults;
    let title = configuration.fill_text(title, "title")?;
    let mut raw = value.clone();
    raw["title"] = title.clone().into();
    Ok(Experiment { title, hypothesis, method, rollbacks, faults, raw })
}

/// What is said about an experiment and changes nothing.
fn metadata(top: &Object<'_>) -> Read<()> {
    top.text("version")?;
    let texts = |value: &Value| value.as_str().is_some_and(|tag| !tag.is_empty());
    if !top.array("tags")?.iter().all(texts) {
        return wrong("tags", "tags are texts");
    }
    if let Some(value) = top.get("contributions") {
        Object::of(value, "contributions")?;
    }
    for (number, extension) in top.array("extensions")?.iter().enumerate() {
        Object::of(extension, format!("extensions[{number}]"))?.need_text("name")?;
    }
    Ok(())
}

/// Every activity by its name, with its place, for those that refer to one.
fn named(top: &Object<'_>) -> Read<BTreeMap<String, Vec<(String, Value)>>> {
    let mut named: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    let mut collect = |list: &[Value], place: &str| {
        for (number, activity) in list.iter().enumerate() {
            if let Some(name) = activity.get("name").and_then(Value::as_str) {
                named.entry(name.to_owned()).or_default().push((format!("{place}[{number}]"), activity.clone()));
            }
        }
    };
    if let Some(value) = top.get("steady-state-hypothesis") {
        let hypothesis = Object::of(value, "steady-state-hypothesis")?;
        collect(hypothesis.array("probes")?, "steady-state-hypothesis.probes");
    }
    for part in ["method", "rollbacks"] {
        collect(top.array(part)?, part);
    }
    Ok(named)
}

/// Where an activity stands: what it may be and say depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Hypothesis,
    Method,
    Rollbacks,
}

struct Reader<'a> {
    configuration: &'a Configuration,
    circumstances: &'a Circumstances<'a>,
    named: BTreeMap<String, Vec<(String, Value)>>,
    draws: Stream,
    faults: Vec<Entry>,
}

impl Reader<'_> {
    fn hypothesis(&mut self, value: &Value) -> Read<Hypothesis> {
        let object = Object::of(value, "steady-state-hypothesis")?;
        object.only(&["title", "probes"])?;
        let title = object.need_text("title")?.to_owned();
        let probes = self.activities(&object, "probes", Part::Hypothesis)?;
        for (number, probe) in probes.iter().enumerate() {
            let place = format!("steady-state-hypothesis.probes[{number}]");
            if probe.tolerance.is_none() {
                return wrong(&format!("{place}.tolerance"), "a probe of the hypothesis says what is tolerated");
            }
            if probes[..number].iter().any(|other| other.name == probe.name) {
                return wrong(
                    &format!("{place}.name"),
                    "two probes of this name: the result could not tell them apart",
                );
            }
        }
        Ok(Hypothesis { title, probes })
    }

    fn activities(&mut self, of: &Object<'_>, name: &str, part: Part) -> Read<Vec<Activity>> {
        let place = of.at(name);
        let list = of.array(name)?;
        list.iter()
            .enumerate()
            .map(|(number, value)| self.activity(value, &format!("{place}[{number}]"), part))
            .collect()
    }
}

#[cfg(test)]
mod tests;

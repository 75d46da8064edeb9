//! One activity of an experiment: a probe or an action, and how it is done.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use schism_nemesis::Schedule;
use serde_json::Value;

use super::{
    Part, Reader,
    configuration::text_of,
    read::{Object, Read, shown, wrong},
    tolerance::Tolerance,
};
use crate::exit::usage;

/// Longer than any run.
const TIME_MAX_S: f64 = 86_400.0;

/// A probe or an action.
#[derive(Debug, Clone)]
pub(crate) struct Activity {
    pub(crate) name: String,
    /// Where it stands: `method[2]`.
    pub(crate) place: String,
    pub(crate) provider: Provider,
    /// What its output must be; judged in the hypothesis only.
    pub(crate) tolerance: Option<Tolerance>,
    pub(crate) pause_before: Duration,
    pub(crate) pause_after: Duration,
    /// Whether the next one does not wait for it.
    pub(crate) background: bool,
    /// As it was given; the journal's copy.
    pub(crate) raw: Value,
}

/// How it is done.
#[derive(Debug, Clone)]
pub(crate) enum Provider {
    Process(Process),
    Http(Http),
    /// The fault of this signal, which is also its id in the run.
    Fault(u32),
}

/// A program.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) path: String,
    pub(crate) arguments: Arguments,
    pub(crate) timeout: Option<Duration>,
}

/// What a program is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// A line for a shell, after the program's name.
    Shell(String),
    Words(Vec<String>),
}

/// A request to a node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Http {
    pub(crate) url: String,
    pub(crate) node: String,
    pub(crate) port: u16,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// For the connection, and for the answer.
    pub(crate) timeouts: Option<(Duration, Duration)>,
}

impl Activity {
    /// Refuses a program that is not here; asked before a run, and not before a plan, which may run elsewhere.
    pub(crate) fn require(&self) -> anyhow::Result<()> {
        match &self.provider {
            Provider::Process(process) if process.found().is_none() => Err(usage(format!(
                "the experiment: {}.provider.path: there is no program {:?} that can be run",
                self.place, process.path
            ))),
            _ => Ok(()),
        }
    }
}

impl Process {
    /// The program's file, as a shell finds it.
    pub(crate) fn found(&self) -> Option<PathBuf> {
        let home = std::env::var("HOME").unwrap_or_default();
        let path = match self.path.strip_prefix("~/") {
            Some(below) => Path::new(&home).join(below),
            None => PathBuf::from(&self.path),
        };
        let runs =
            |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
        if path.components().count() > 1 {
            return runs(&path).then_some(path);
        }
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join(&path)).find(|path| runs(path))
    }
}

impl Reader<'_> {
    pub(super) fn activity(&mut self, value: &Value, place: &str, part: Part) -> Read<Activity> {
        let object = Object::of(value, place)?;
        if object.get("ref").is_some() {
            return self.referred(&object, place, part);
        }
        object.only(&["type", "name", "provider", "tolerance", "pauses", "background"])?;
        let is_action = match object.need_text("type")? {
            "probe" => false,
            "action" if part == Part::Hypothesis => return wrong(&object.at("type"), "a hypothesis has probes only"),
            "action" => true,
            other => return wrong(&object.at("type"), format!("{other:?} is not supported; supported: probe, action")),
        };
        let name = object.need_text("name")?.to_owned();
        let Some(provider) = object.get("provider") else {
            return wrong(&object.at("provider"), "`provider` is missing");
        };
        let place_of_provider = object.at("provider");
        let filled = self.configuration.fill(provider, &place_of_provider)?;
        let (provider, parts) = self.provider(&Object::of(&filled, place_of_provider)?, part, is_action)?;
        let background = object.bool("background")?;
        if background && part == Part::Hypothesis {
            return wrong(&object.at("background"), "the hypothesis is asked probe by probe");
        }
        let tolerance = object.get("tolerance");
        if tolerance.is_some() && parts.is_empty() {
            return wrong(&object.at("tolerance"), "a fault has no output to tolerate");
        }
        let read = |value| Tolerance::read(value, &object.at("tolerance"), parts, self.configuration);
        let (pause_before, pause_after) = self.pauses(&object)?;
        Ok(Activity {
            name,
            place: place.to_owned(),
            provider,
            tolerance: tolerance.map(read).transpose()?,
            pause_before,
            pause_after,
            background,
            raw: value.clone(),
        })
    }

    /// `{"ref": NAME}`: the activity of that name, here.
    fn referred(&mut self, object: &Object<'_>, place: &str, part: Part) -> Read<Activity> {
        object.only(&["ref"])?;
        let name = object.need_text("ref")?;
        let at = object.at("ref");
        match self.named.get(name).map(Vec::as_slice) {
            Some([(_, activity)]) => {
                let activity = activity.clone();
                self.activity(&activity, place, part)
            }
            Some([(first, _), (second, _), ..]) => wrong(&at, format!("{first} and {second} are both called {name:?}")),
            _ => wrong(&at, format!("no activity is called {name:?}")),
        }
    }

    fn pauses(&self, object: &Object<'_>) -> Read<(Duration, Duration)> {
        let Some(value) = object.get("pauses") else { return Ok(Default::default()) };
        let place = object.at("pauses");
        let filled = self.configuration.fill(value, &place)?;
        let pauses = Object::of(&filled, place)?;
        pauses.only(&["before", "after"])?;
        let read = |name| pauses.get(name).map_or(Ok(Duration::ZERO), |value| seconds(value, &pauses.at(name)));
        Ok((read("before")?, read("after")?))
    }

    /// A provider, and the parts of its output.
    fn provider(
        &mut self,
        object: &Object<'_>,
        part: Part,
        is_action: bool,
    ) -> Read<(Provider, &'static [&'static str])> {
        match object.need_text("type")? {
            "process" => Ok((Provider::Process(process(object)?), &["status", "stdout", "stderr"])),
            "http" => Ok((Provider::Http(self.http(object)?), &["status", "headers", "body"])),
            "schism" if !is_action => wrong(&object.at("type"), "a fault is an action, and no probe"),
            "schism" if part == Part::Rollbacks => {
                wrong(&object.at("type"), "a rollback puts right what was done: faults are healed by the run itself")
            }
            "schism" => Ok((Provider::Fault(self.fault(object)?), &[])),
            other => wrong(&object.at("type"), format!("{other:?} is not supported; supported: process, http, schism")),
        }
    }

    fn fault(&mut self, object: &Object<'_>) -> Read<u32> {
        let mut values: BTreeMap<String, Value> =
            object.fields().iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        values.retain(|_, value| !value.is_null());
        values.remove("type");
        if values.contains_key("kind") {
            return wrong(&object.at("kind"), "the kind of fault is called `fault` here");
        }
        let Some(kind) = values.remove("fault") else { return wrong(&object.at("fault"), "`fault` is missing") };
        values.insert("kind".to_owned(), kind);
        let signal = u32::try_from(self.faults.len()).unwrap_or(u32::MAX);
        let drawn = self.draws.below(1 << 32);
        match Schedule::asked(values, signal, self.circumstances.duration_ms, drawn) {
            Ok(entry) => {
                self.faults.push(entry);
                Ok(signal)
            }
            Err(error) => {
                let option = error.option.map(|option| if option == "kind" { "fault".to_owned() } else { option });
                let place = option.map_or_else(|| object.at("fault"), |option| object.at(&option));
                wrong(&place, error.problem)
            }
        }
    }

    fn http(&self, object: &Object<'_>) -> Read<Http> {
        object.only(&["type", "url", "method", "headers", "arguments", "timeout"])?;
        let url = object.need_text("url")?;
        let at = object.at("url");
        let (node, host, port, mut target) = self.url(url, &at)?;
        let method = object.text("method")?.unwrap_or("GET").to_ascii_uppercase();
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return wrong(&object.at("method"), format!("{method:?} is no method of HTTP"));
        }
        let mut headers = headers(object)?;
        let mut body = Vec::new();
        if let Some(arguments) = object.get("arguments") {
            let at = object.at("arguments");
            let has = |name: &str| headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            if method == "GET" {
                let query = form(arguments, &at)?;
                let sign = if target.contains('?') { '&' } else { '?' };
                target = format!("{target}{sign}{query}");
            } else if has("Content-Type").is_some_and(|(_, value)| value == "application/json") {
                body = arguments.to_string().into_bytes();
            } else if let Some(text) = arguments.as_str() {
                body = text.as_bytes().to_vec();
            } else {
                body = form(arguments, &at)?.into_bytes();
                if has("Content-Type").is_none() {
                    headers.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
                }
            }
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Host")) {
            headers.insert(0, ("Host".to_owned(), host));
        }
        let timeouts = match object.get("timeout") {
            None => None,
            Some(Value::Array(list)) => match &list[..] {
                [connect, answer] => {
                    let at = object.at("timeout");
                    Some((seconds(connect, &format!("{at}[0]"))?, seconds(answer, &format!("{at}[1]"))?))
                }
                _ => return wrong(&object.at("timeout"), "two numbers: for the connection and for the answer"),
            },
            Some(value) => seconds(value, &object.at("timeout")).map(|timeout| Some((timeout, timeout)))?,
        };
        Ok(Http { url: url.to_owned(), node, port, method, target, headers, body, timeouts })
    }

    /// Node, host and port as they are written, path and query.
    fn url(&self, url: &str, at: &str) -> Read<(String, String, u16, String)> {
        let Some(rest) = url.strip_prefix("http://") else {
            return wrong(at, format!("{url:?} does not begin with http://"));
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
        let number = |index: usize| schism_cluster::node_address(u32::try_from(index).unwrap_or(u32::MAX)).to_string();
        let nodes = self.circumstances.nodes;
        let node = nodes.iter().enumerate().find(|(index, name)| **name == host || number(*index) == host);
        let Some((_, node)) = node else {
            let problem = format!("{host:?} is no node of this cluster; requests go to: {}", nodes.join(", "));
            return wrong(at, format!("{problem} (or their addresses, {} and so on)", number(0)));
        };
        let Ok(port) = port.parse() else { return wrong(at, format!("{port:?} is no port")) };
        if target.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return wrong(at, format!("{target:?} has letters that must be written as %XX"));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok((node.clone(), authority.to_owned(), port, target))
    }
}

fn process(object: &Object<'_>) -> Read<Process> {
    object.only(&["type", "path", "arguments", "timeout"])?;
    let at = object.at("arguments");
    let word = |value: &Value| match value {
        Value::Array(_) | Value::Object(_) => wrong(&at, format!("{} is no argument", shown(value))),
        // As the toolkit has it: an argument without a value.
        Value::Null => Ok(None),
        other => Ok(Some(text_of(other)).filter(|text| !text.is_empty())),
    };
    let arguments = match object.get("arguments") {
        None => Arguments::Words(vec![]),
        Some(Value::String(line)) => Arguments::Shell(line.clone()),
        Some(Value::Array(list)) => {
            Arguments::Words(list.iter().filter_map(|value| word(value).transpose()).collect::<Read<_>>()?)
        }
        Some(Value::Object(fields)) => {
            let mut words = Vec::new();
            for (name, value) in fields {
                words.extend(Some(name.clone()).filter(|name| !name.is_empty()));
                words.extend(word(value)?);
            }
            Arguments::Words(words)
        }
        Some(other) => return wrong(&at, format!("{} is no list, text or object", shown(other))),
    };
    let timeout = object.get("timeout").map(|value| seconds(value, &object.at("timeout"))).transpose()?;
    Ok(Process { path: object.need_text("path")?.to_owned(), arguments, timeout })
}

fn headers(object: &Object<'_>) -> Read<Vec<(String, String)>> {
    let Some(value) = object.get("headers") else { return Ok(vec![]) };
    let headers = Object::of(value, object.at("headers"))?;
    let mut read = Vec::new();
    for (name, value) in headers.fields() {
        let at = headers.at(name);
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte));
        let ours =
            ["Connection", "Content-Length", "Transfer-Encoding"].iter().any(|own| own.eq_ignore_ascii_case(name));
        match value.as_str() {
            _ if ours => return wrong(&at, "this one is written by schism"),
            Some(text) if is_name && !text.chars().any(char::is_control) => read.push((name.clone(), text.to_owned())),
            _ => return wrong(&at, format!("{} is no header", shown(value))),
        }
    }
    Ok(read)
}

/// `a=1&b=x+y`. A list is its elements, each with the name; null is left out.
fn form(arguments: &Value, at: &str) -> Read<String> {
    let object = Object::of(arguments, at)?;
    let mut parts = Vec::new();
    for (name, value) in object.fields() {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        for value in values.iter().filter(|value| !value.is_null()) {
            if value.is_array() || value.is_object() {
                return wrong(&object.at(name), format!("{} is no argument", shown(value)));
            }
            parts.push(format!("{}={}", quoted(name), quoted(&text_of(value))));
        }
    }
    Ok(parts.join("&"))
}

fn quoted(text: &str) -> String {
    let quote = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(quote).collect()
}

/// A number of seconds.
fn seconds(value: &Value, at: &str) -> Read<Duration> {
    match value.as_f64() {
        Some(seconds) if (0.0..=TIME_MAX_S).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => wrong(at, format!("{} is no number of seconds from 0 to {TIME_MAX_S}", shown(value))),
    }
}

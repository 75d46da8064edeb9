//! Configuration and command lines of servers and Sentinels.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::{Plan, SENTINEL_PORT, SERVER_PORT};
use crate::database::{make_directory, server_env, write_file};
use crate::disk;
use crate::error::{ClusterError, Doing};
use crate::info::{ClusterSpec, Greeting, NodeInfo, ProcessSpec, StopSignal};
use crate::target::{SettingInfo, Topology};

/// The name under which Sentinels watch the primary.
pub(super) const MASTER: &str = "mymaster";

/// Sentinel's defaults suit a data centre; the rest of the sandbox decides in seconds.
const SENTINEL_SETTINGS: [SettingInfo; 4] = [
    SettingInfo {
        name: "down-after-milliseconds",
        default: "3000",
        description: "a silent primary counts as down after this; also as down-after, and as 3s or 500ms; 30000 in Redis",
    },
    SettingInfo {
        name: "failover-timeout",
        default: "10000",
        description: "a fail-over that takes longer is tried again by another Sentinel; 180000 in Redis",
    },
    SettingInfo {
        name: "parallel-syncs",
        default: "1",
        description: "replicas that copy from a new primary at the same time, as in Redis",
    },
    SettingInfo {
        name: "sentinel-fast",
        default: "no",
        description: "yes: SENTINEL DEBUG periods of 0.2 to 0.5 s, so that an old primary is demoted after 2 s, not 10 s",
    },
];

const APPENDFSYNC: SettingInfo = SettingInfo {
    name: "appendfsync",
    default: "",
    description: "always, everysec or no; also turns appendonly on (Redis by itself keeps no log of writes)",
};

/// What the sandbox decides: another value would cut off our own connections or the other nodes.
const OURS: [&str; 14] = [
    "bind",
    "cluster-enabled",
    "daemonize",
    "dir",
    "include",
    "logfile",
    "masterauth",
    "pidfile",
    "port",
    "protected-mode",
    "replicaof",
    "requirepass",
    "slaveof",
    "supervised",
];

/// From the node's directory.
const SENTINEL_CONF: &str = "disk/sentinel/sentinel.conf";

const FAST: &str = "SENTINEL DEBUG info-period 500 publish-period 300 ping-period 200";

/// For `schism list targets`.
pub(crate) fn settings(topology: Topology) -> Vec<SettingInfo> {
    let mut settings = vec![APPENDFSYNC];
    if topology == Topology::Sentinel {
        settings.extend(SENTINEL_SETTINGS);
    }
    settings
}

/// Whether each can be passed on.
pub(crate) fn check_settings(settings: &BTreeMap<String, String>, topology: Topology) -> Result<(), ClusterError> {
    Settings::check(settings, topology).map(drop)
}

/// `--set`, sorted by whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// Directives of redis.conf. Whether Redis knows them, Redis says.
    server: Vec<(String, String)>,
    down_after_ms: u64,
    failover_timeout_ms: u64,
    parallel_syncs: u64,
    fast: bool,
}

impl Settings {
    pub(super) fn check(settings: &BTreeMap<String, String>, topology: Topology) -> Result<Self, ClusterError> {
        let mut checked = Self {
            server: Vec::new(),
            down_after_ms: 3000,
            failover_timeout_ms: 10_000,
            parallel_syncs: 1,
            fast: false,
        };
        for (name, value) in settings {
            checked
                .add(name, value, topology)
                .map_err(|reason| ClusterError::Setting { name: name.clone(), reason })?;
        }
        if settings.contains_key("appendfsync") && !settings.contains_key("appendonly") {
            checked.server.push(("appendonly".to_owned(), "yes".to_owned()));
        }
        Ok(checked)
    }

    fn add(&mut self, name: &str, value: &str, topology: Topology) -> Result<(), String> {
        let is_sentinels = name == "down-after" || SENTINEL_SETTINGS.iter().any(|setting| setting.name == name);
        if is_sentinels && topology != Topology::Sentinel {
            return Err("only redis/sentinel has it".to_owned());
        }
        match name {
            "down-after" | "down-after-milliseconds" => self.down_after_ms = milliseconds(value)?,
            "failover-timeout" => self.failover_timeout_ms = milliseconds(value)?,
            "parallel-syncs" => self.parallel_syncs = value.parse().map_err(|_| "not a number".to_owned())?,
            "sentinel-fast" => self.fast = yes_or_no(value)?,
            _ => self.server.push(directive(name, value)?),
        }
        Ok(())
    }
}

fn directive(name: &str, value: &str) -> Result<(String, String), String> {
    if !name.starts_with(|c: char| c.is_ascii_alphabetic())
        || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    {
        return Err("not the name of a Redis directive".to_owned());
    }
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err("schism sets this itself".to_owned());
    }
    if value.contains(['\n', '\r', '\0']) {
        return Err("a value is one line".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// `3000`, `500ms`, `3s`.
fn milliseconds(text: &str) -> Result<u64, String> {
    let (digits, factor) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => (text, 1),
    };
    let number = digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.filter(|number| *number > 0).ok_or_else(|| format!("{text:?} is no time: use 3000, 500ms or 3s"))
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

/// Makes the files of all nodes and tells how to start them: n1 as primary, the others as its replicas.
pub(crate) fn prepare(plan: &Plan, spec: &ClusterSpec, nodes: &mut [NodeInfo]) -> Result<(), ClusterError> {
    let first = nodes[0].clone();
    for node in nodes {
        let results = spec.nodes_dir.join(&node.name);
        make_directory(&disk::data(node), 0o700)?;
        let mut files = vec![("redis.conf", server_conf(plan, node, &first))];
        node.processes = vec![process(node, "redis", plan.server.path.clone(), "redis.conf", &results)];
        let mut versions = format!("{}\naddress {}\n", plan.server.version, node.address);
        if let Some(sentinel) = &plan.sentinel {
            make_directory(&sentinel_directory(node), 0o700)?;
            files.push((SENTINEL_CONF, sentinel_conf(plan, node, &first)));
            let mut process = process(node, "sentinel", sentinel.path.clone(), SENTINEL_CONF, &results);
            process.args.push("--sentinel".to_owned());
            // Such periods are no directives: they have to be said after each start.
            let fast = Greeting { port: SENTINEL_PORT, line: FAST.to_owned(), answer: "+OK".to_owned() };
            process.greeting = plan.settings.fast.then_some(fast);
            node.processes.push(process);
            let _ = writeln!(versions, "sentinel: {}", sentinel.version);
        }
        for (file, text) in &files {
            write_file(&node.directory.join(file), text)?;
        }
        files.push(("versions.txt", versions));
        for (file, text) in &files {
            let file = file.rsplit('/').next().unwrap_or(file);
            fs::write(results.join(file), text).doing(|| format!("write {}/{file}", results.display()))?;
        }
    }
    Ok(())
}

/// On the disk, its configuration too: Sentinel keeps there whom it voted for.
fn sentinel_directory(node: &NodeInfo) -> PathBuf {
    disk::directory(node).join("sentinel")
}

fn process(node: &NodeInfo, name: &str, program: PathBuf, conf: &str, results: &std::path::Path) -> ProcessSpec {
    ProcessSpec {
        name: name.to_owned(),
        program,
        args: vec![node.directory.join(conf).display().to_string()],
        env: server_env(),
        log: results.join(format!("{name}.log")),
        greeting: None,
        stop_signal: StopSignal::Term,
    }
}

/// Redis' own defaults, apart from what the sandbox needs.
fn server_conf(plan: &Plan, node: &NodeInfo, primary: &NodeInfo) -> String {
    // The first address is also the one that it connects from.
    let mut text = format!(
        "bind {} 127.0.0.1\nport {SERVER_PORT}\nprotected-mode no\ndaemonize no\ndir \"{}\"\nlogfile \"\"\n",
        node.address,
        disk::data(node).display()
    );
    if node.name != primary.name {
        let _ = writeln!(text, "replicaof {} {SERVER_PORT}", primary.address);
    }
    for (name, value) in &plan.settings.server {
        let _ = writeln!(text, "{name} {value}");
    }
    text
}

fn sentinel_conf(plan: &Plan, node: &NodeInfo, primary: &NodeInfo) -> String {
    let Settings { down_after_ms, failover_timeout_ms, parallel_syncs, .. } = plan.settings;
    format!(
        "bind {address} 127.0.0.1\nport {SENTINEL_PORT}\nprotected-mode no\ndaemonize no\ndir \"{directory}\"\n\
         logfile \"\"\nsentinel announce-ip {address}\nsentinel monitor {MASTER} {primary} {SERVER_PORT} 2\n\
         sentinel down-after-milliseconds {MASTER} {down_after_ms}\n\
         sentinel failover-timeout {MASTER} {failover_timeout_ms}\n\
         sentinel parallel-syncs {MASTER} {parallel_syncs}\n",
        address = node.address,
        directory = sentinel_directory(node).display(),
        primary = primary.address
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pairs: &[(&str, &str)], topology: Topology) -> Result<Settings, String> {
        let settings = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::check(&settings, topology).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_go_to_server_or_sentinel() {
        let settings = check(&[("down-after", "500ms"), ("maxmemory", "1mb")], Topology::Sentinel).unwrap();
        assert_eq!((settings.down_after_ms, settings.failover_timeout_ms), (500, 10_000));
        assert_eq!(settings.server, [("maxmemory".to_owned(), "1mb".to_owned())]);
        assert_eq!(check(&[("failover-timeout", "3s")], Topology::Sentinel).unwrap().failover_timeout_ms, 3000);
        for bad in ["", "0", "soon", "-1s", "99999999999999999999s"] {
            assert!(check(&[("down-after", bad)], Topology::Sentinel).is_err(), "{bad}");
        }
    }

    #[test]
    fn appendfsync_turns_the_log_on() {
        let on = ("appendonly".to_owned(), "yes".to_owned());
        assert!(check(&[("appendfsync", "always")], Topology::Single).unwrap().server.contains(&on));
        let off = check(&[("appendfsync", "always"), ("appendonly", "no")], Topology::Single).unwrap();
        assert!(!off.server.contains(&on));
    }

    #[test]
    fn settings_that_would_break_the_sandbox_are_refused() {
        let refused = |name: &str, value: &str| check(&[(name, value)], Topology::Single).unwrap_err();
        assert_eq!(refused("port", "1"), "--set port: schism sets this itself");
        assert_eq!(refused("down-after", "1s"), "--set down-after: only redis/sentinel has it");
        assert!(refused("max memory", "1").contains("not the name"));
        assert!(refused("maxmemory", "1\nport 2").contains("one line"));
    }
}

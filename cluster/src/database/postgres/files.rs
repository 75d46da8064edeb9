//! Data directory, configuration, and the command line of each node.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::AccessFlags;

use super::Plan;
use crate::database::{copy_tree, run_tool, server_env, write_file};
use crate::disk::data;
use crate::error::{ClusterError, Doing};
use crate::info::{ClusterSpec, NodeInfo, ProcessSpec, StopSignal};
use crate::network::SUBNET;
use crate::sandbox::FILES;
use crate::target::{SettingInfo, Topology};

pub(super) const PORT: u16 = 5432;

const INITDB_WITHIN: Duration = Duration::from_secs(60);

const DEFAULTS: [SettingInfo; 7] = [
    SettingInfo {
        name: "max_connections",
        default: "500",
        description: "room for hundreds of clients beside our own connections; PostgreSQL's default is 100",
    },
    SettingInfo {
        name: "wal_receiver_timeout",
        default: "3s",
        description: "a standby notices a silent primary after this, not after 60 s: runs are short",
    },
    SettingInfo {
        name: "wal_sender_timeout",
        default: "3s",
        description: "a primary drops a silent standby after this, not after 60 s",
    },
    SettingInfo {
        name: "wal_retrieve_retry_interval",
        default: "200ms",
        description: "a standby tries to reach its primary this often, not every 5 s",
    },
    SettingInfo {
        name: "wal_log_hints",
        default: "on",
        description: "lets pg_rewind take an old primary back; off in PostgreSQL",
    },
    SettingInfo {
        name: "wal_keep_size",
        default: "1GB",
        description: "WAL kept for standbys that were cut off, which else need a new base backup; 0 in PostgreSQL",
    },
    SettingInfo {
        name: "synchronous_standby_names",
        default: "ANY 1 (*)",
        description: "a commit waits until one standby has it (postgres/sync only; empty in PostgreSQL)",
    },
];

/// What the sandbox decides: another value would cut off our own connections or the other nodes.
const OURS: [&str; 12] = [
    "config_file",
    "data_directory",
    "hba_file",
    "ident_file",
    "include",
    "include_dir",
    "include_if_exists",
    "listen_addresses",
    "port",
    "primary_conninfo",
    "unix_socket_directories",
    "logging_collector",
];

/// For `schism list targets`.
pub(crate) fn settings(topology: Topology) -> Vec<SettingInfo> {
    let applies = |setting: &SettingInfo| match setting.name {
        "max_connections" => true,
        "synchronous_standby_names" => topology == Topology::Sync,
        _ => topology != Topology::Single,
    };
    DEFAULTS.into_iter().filter(applies).collect()
}

/// Whether each can be written to postgresql.conf. Whether PostgreSQL knows it, PostgreSQL says.
pub(crate) fn check_settings(settings: &BTreeMap<String, String>) -> Result<Vec<(String, String)>, ClusterError> {
    let check = |(name, value): (&String, &String)| {
        let fail = |reason: &str| Err(ClusterError::Setting { name: name.clone(), reason: reason.to_owned() });
        let first = |c: char| c.is_ascii_alphabetic() || c == '_';
        let rest = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if !name.starts_with(first) || !name.chars().all(rest) {
            return fail("not the name of a PostgreSQL setting");
        }
        if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            return fail("schism sets this itself");
        }
        if value.contains(['\n', '\r', '\0']) {
            return fail("a value is one line");
        }
        Ok((name.clone(), value.clone()))
    };
    settings.iter().map(check).collect()
}

/// Makes the files of all nodes and tells how to start them: n1 as primary, the others as its standbys.
pub(crate) async fn prepare(
    plan: &Plan,
    spec: &ClusterSpec,
    helper: &Path,
    nodes: &mut [NodeInfo],
) -> Result<(), ClusterError> {
    let template = template(plan, &spec.run_id, helper, &nodes[0]).await?;
    for index in 0..nodes.len() {
        let (name, address) = (nodes[index].name.clone(), nodes[index].address);
        let directory = nodes[index].directory.clone();
        copy_tree(&template, &data(&nodes[index]), true)?;
        let configuration = configuration(plan, &nodes[index]);
        let hba = hba();
        write_file(&directory.join("postgresql.conf"), &configuration)?;
        write_file(&directory.join("pg_hba.conf"), &hba)?;
        write_file(&directory.join("pg_ident.conf"), "")?;
        if index > 0 {
            follow(&nodes[index], &nodes[0])?;
        }
        let results = spec.nodes_dir.join(&name);
        let version = format!("{}\naddress {address}\n", plan.installation.server.version);
        for (file, text) in [("postgresql.conf", &configuration), ("pg_hba.conf", &hba), ("versions.txt", &version)] {
            fs::write(results.join(file), text).doing(|| format!("write {}/{file}", results.display()))?;
        }
        nodes[index].processes = vec![ProcessSpec {
            name: "postgres".to_owned(),
            program: plan.installation.program("postgres"),
            args: vec!["-c".to_owned(), config_argument(&nodes[index])],
            env: server_env(),
            log: results.join("postgres.log"),
            greeting: None,
            stop_signal: StopSignal::Int,
        }];
    }
    Ok(())
}

fn config_argument(node: &NodeInfo) -> String {
    format!("config_file={}", config_file(node).display())
}

/// Outside the data directory: pg_rewind and pg_basebackup copy the other node's over whatever is in there.
pub(super) fn config_file(node: &NodeInfo) -> PathBuf {
    node.directory.join("postgresql.conf")
}

/// Makes the (stopped) node a standby of another.
pub(super) fn follow(node: &NodeInfo, primary: &NodeInfo) -> Result<(), ClusterError> {
    write_file(&data(node).join("standby.signal"), "")?;
    let line = format!("primary_conninfo = '{}'\n", conninfo(node, primary).replace('\'', "''"));
    // The file that ALTER SYSTEM writes: the last word, and what a later fail-over changes.
    write_file(&data(node).join("postgresql.auto.conf"), &line)
}

/// How a standby reaches its primary; its name there is the node's.
pub(super) fn conninfo(node: &NodeInfo, primary: &NodeInfo) -> String {
    format!("host={} port={PORT} user=postgres application_name={} connect_timeout=3", primary.address, node.name)
}

fn configuration(plan: &Plan, node: &NodeInfo) -> String {
    let directory = node.directory.display();
    let mut text = format!(
        "data_directory = '{}'\nhba_file = '{directory}/pg_hba.conf'\n\
         ident_file = '{directory}/pg_ident.conf'\n\
         unix_socket_directories = '{directory}/socket'\nlisten_addresses = '{},127.0.0.1'\nport = {PORT}\n\
         log_line_prefix = '%m [%p] '\nlog_timezone = 'UTC'\n",
        data(node).display(),
        node.address
    );
    let ours = settings(plan.target.topology()).into_iter().map(|setting| (setting.name, setting.default));
    let theirs = plan.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in ours.chain(theirs) {
        // Writing to a string cannot fail. In this file a quote is doubled and a backslash escapes.
        let _ = writeln!(text, "{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "''"));
    }
    text
}

fn hba() -> String {
    format!(
        "local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all {SUBNET} trust\n\
         local replication all trust\nhost replication all 127.0.0.1/32 trust\nhost replication all {SUBNET} trust\n"
    )
}

/// A fresh data directory, made once per server version and kept in the user's cache: initdb takes a second or more.
async fn template(plan: &Plan, run_id: &str, helper: &Path, node: &NodeInfo) -> Result<PathBuf, ClusterError> {
    let initdb = plan.installation.program("initdb");
    let modified = fs::metadata(&initdb).doing(|| format!("look at {}", initdb.display()))?.mtime();
    let version: String = plan.installation.server.version.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let cache = cache_directory()?;
    remove_abandoned(&cache, ABANDONED_AFTER);
    let cached = cache.join(format!("{version}-{modified}"));
    if cached.join("PG_VERSION").exists() {
        return Ok(cached);
    }
    let fresh = node.directory.join("initdb");
    let args = ["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--pgdata"];
    let mut args: Vec<String> = args.map(ToOwned::to_owned).to_vec();
    args.push(fresh.display().to_string());
    run_tool(helper, node, initdb, args, INITDB_WITHIN).await?;
    // Under another name first: a run that starts meanwhile must not see half of it.
    let partial = cached.with_extension(format!("{PARTIAL}{run_id}"));
    copy_tree(&fresh, &partial, false)?;
    if fs::rename(&partial, &cached).is_err() {
        // Another run was faster.
        fs::remove_dir_all(&partial).doing(|| format!("remove {}", partial.display()))?;
    }
    fs::remove_dir_all(&fresh).doing(|| format!("remove {}", fresh.display()))?;
    Ok(cached)
}

/// What a template is called while it is copied.
const PARTIAL: &str = "partial-";

/// Copying takes seconds; what is not done by then belongs to a run that was killed.
const ABANDONED_AFTER: Duration = Duration::from_secs(600);

/// Removes half-copied templates, which a run leaves that is killed meanwhile. That it cannot is no reason to stop.
fn remove_abandoned(cache: &Path, after: Duration) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_partial = path.extension().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL));
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        if is_partial && modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age >= after)) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// `$XDG_CACHE_HOME/schism` or `~/.cache/schism`. Without a home that can be written to (services, `nobody`): in the
/// sandbox, so for this run only.
fn cache_directory() -> Result<PathBuf, ClusterError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let usable = |directory: &PathBuf| {
        let writable = AccessFlags::W_OK | AccessFlags::X_OK;
        fs::create_dir_all(directory).is_ok() && nix::unistd::access(directory, writable).is_ok()
    };
    if let Some(directory) = base.map(|base| base.join("schism")).filter(usable) {
        return Ok(directory);
    }
    let directory = Path::new(FILES).join("cache");
    fs::create_dir_all(&directory).doing(|| format!("make {}", directory.display()))?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_half_copied_templates_are_removed_and_only_old_ones() {
        let cache = tempfile::tempdir().unwrap();
        let folders =
            ["15-9-1700000000", "15-9-1700000000.partial-20260101T000000Z-77"].map(|name| cache.path().join(name));
        folders.iter().for_each(|folder| fs::create_dir_all(folder.join("base")).unwrap());
        remove_abandoned(cache.path(), Duration::from_secs(600));
        assert!(folders.iter().all(|folder| folder.exists()));
        remove_abandoned(cache.path(), Duration::ZERO);
        assert_eq!(folders.map(|folder| folder.exists()), [true, false]);
    }

    #[test]
    fn settings_that_would_break_the_sandbox_or_the_file_are_refused() {
        let check = |name: &str, value: &str| {
            check_settings(&BTreeMap::from([(name.to_owned(), value.to_owned())])).map_err(|error| error.to_string())
        };
        assert!(check("fsync", "off").is_ok());
        assert!(check("pg_stat_statements.track", "all").is_ok());
        assert_eq!(check("port", "1").unwrap_err(), "--set port: schism sets this itself");
        assert!(check("a b", "1").unwrap_err().contains("not the name"));
        assert!(check("", "1").unwrap_err().contains("not the name"));
        assert!(check("fsync", "off\nport = 1").unwrap_err().contains("one line"));
    }
}

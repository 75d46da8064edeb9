//! Which files a rule is about: a named set or a pattern, relative to the node's data directory; and the name of a
//! probe file that is one of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::rule::DiskOperation;

/// What the name of every probe file contains: what happens to one says nothing about the server.
const PROBE: &str = "schism-probe";

/// The named sets. The first pattern of each gives the probe its place, so it is a directory that the database has
/// from its start.
const SETS: [(&str, &[&str], &str); 5] = [
    ("all", &["**"], "every file"),
    ("wal", &["pg_wal/**"], "PostgreSQL's write-ahead log"),
    (
        "data",
        &["base/**", "global/**", "pg_xact/**", "pg_multixact/**", "pg_subtrans/**", "pg_tblspc/**"],
        "PostgreSQL's tables, indexes and commit log",
    ),
    ("aof", &["appendonlydir/**"], "Redis' append-only file"),
    ("rdb", &["*.rdb"], "Redis' snapshots"),
];

/// Files of a node's data directory: the name of a set (`all`, `wal`, `data`, `aof`, `rdb`) or a pattern such as
/// `pg_wal/*`. In a pattern `*` is any part of a name, `?` one character, and `**` in the place of a name any number of
/// directories. The last part of a pattern has a `*`, so that a probe file can be one of the files; the parts before it
/// are plain names or `**`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DiskFiles(String);

impl DiskFiles {
    /// Every file.
    #[must_use]
    pub fn all() -> Self {
        Self("all".to_owned())
    }

    /// Reads a set's name or a pattern.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if SETS.iter().any(|(name, ..)| *name == text) {
            return Ok(Self(text.to_owned()));
        }
        let wrong = |why: &str| {
            let sets: Vec<&str> = SETS.iter().map(|(name, ..)| *name).collect();
            Err(format!(
                "{text:?} is neither a set of files ({}) nor a pattern such as \"pg_wal/*\": {why}",
                sets.join(", ")
            ))
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (last, directories) = parts.split_last().map_or(("", &[][..]), |(last, rest)| (*last, rest));
        if parts.iter().any(|part| part.is_empty() || *part == "." || *part == "..") {
            return wrong("its parts are names, relative to the data directory");
        }
        if !last.contains('*') {
            return wrong("its last part needs a *, so that a probe file can be one of its files");
        }
        if directories.iter().any(|part| *part != "**" && part.contains(['*', '?'])) {
            return wrong("only its last part may have * and ?; a directory is a plain name or **");
        }
        Ok(Self(text.to_owned()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The sets and what is in them, for a help text.
    pub fn sets() -> impl Iterator<Item = (&'static str, &'static str)> {
        SETS.iter().map(|(name, _, meaning)| (*name, *meaning))
    }

    /// Whether the file at this path, relative to the data directory, is one of them.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        self.patterns().any(|pattern| matches_path(&pattern.split('/').collect::<Vec<_>>(), &parts))
    }

    /// A file that is one of them and that no database has.
    #[must_use]
    pub fn probe(&self, tag: &str) -> String {
        let name = format!("{PROBE}-{tag}");
        let pattern = self.patterns().next().unwrap_or("**");
        let mut parts: Vec<String> = pattern.split('/').filter(|part| *part != "**").map(str::to_owned).collect();
        match parts.last_mut().filter(|_| !pattern.ends_with("**")) {
            Some(last) => *last = last.replacen('*', &name, 1).replace('*', "").replace('?', "x"),
            None => parts.push(name),
        }
        parts.join("/")
    }

    fn patterns(&self) -> impl Iterator<Item = &str> {
        let set = SETS.iter().find(|(name, ..)| *name == self.0).map(|(_, patterns, _)| *patterns);
        let own = set.is_none().then_some(self.0.as_str());
        set.unwrap_or_default().iter().copied().chain(own)
    }
}

/// Whose file this is: one of the database, or a probe's, which says in its name which fault's rule is to touch which
/// operation on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Database,
    /// A probe of this fault and operation.
    Probe,
    /// Another fault's or another operation's: it is to be left alone.
    OtherProbe,
}

pub(super) fn whose(path: &str, id: u32, operation: DiskOperation) -> Whose {
    let name = path.rsplit('/').next().unwrap_or(path);
    if !name.contains(PROBE) {
        Whose::Database
    } else if name.contains(&format!("{PROBE}-{id}-{}", operation.name())) {
        Whose::Probe
    } else {
        Whose::OtherProbe
    }
}

fn matches_path(pattern: &[&str], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        // At the end it is about everything below; a directory itself is not below itself.
        Some((&"**", [])) => !path.is_empty(),
        Some((&"**", rest)) => (0..path.len()).any(|skipped| matches_path(rest, &path[skipped..])),
        Some((part, rest)) => {
            path.split_first().is_some_and(|(name, below)| matches_name(part, name) && matches_path(rest, below))
        }
    }
}

fn matches_name(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // The usual walk: after a mismatch, the last star takes one more character.
    let (mut at, mut in_pattern, mut star) = (0, 0, None);
    while at < name.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                star = Some((in_pattern, at));
                in_pattern += 1;
            }
            Some(&one) if one == '?' || one == name[at] => {
                at += 1;
                in_pattern += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                (at, in_pattern) = (taken + 1, star_at + 1);
            }
        }
    }
    pattern[in_pattern..].iter().all(|&one| one == '*')
}

impl TryFrom<String> for DiskFiles {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<DiskFiles> for String {
    fn from(files: DiskFiles) -> Self {
        files.0
    }
}

impl fmt::Display for DiskFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(files: &str, path: &str) -> bool {
        DiskFiles::parse(files).unwrap().contains(path)
    }

    #[test]
    fn patterns_match_names_and_not_their_prefixes() {
        for (files, path) in [
            ("all", "PG_VERSION"),
            ("all", "base/1/1259"),
            ("wal", "pg_wal/000000010000000000000001"),
            ("wal", "pg_wal/archive_status/x.ready"),
            ("data", "pg_xact/0000"),
            ("aof", "appendonlydir/appendonly.aof.1.incr.aof"),
            ("rdb", "dump.rdb"),
            ("rdb", "temp-71.rdb"),
            ("pg_wal/0000*", "pg_wal/000000010000000000000001"),
            ("base/**", "base/5/1259_fsm"),
            ("**/*_fsm", "base/5/1259_fsm"),
            ("**/*_fsm", "x_fsm"),
            ("a*b?d*", "aXbYbZd!"),
        ] {
            assert!(contains(files, path), "{files} {path}");
        }
        for (files, path) in [
            ("wal", "pg_walx/1"),
            ("wal", "pg_wal"),
            ("wal", "base/pg_wal/1"),
            ("rdb", "appendonlydir/x.rdb"),
            ("pg_wal/*", "pg_wal/archive_status/x"),
            ("pg_wal/0000*", "pg_wal/xlogtemp.7"),
            ("*.rdb", "dump.rdb.old"),
            ("**/*_fsm", "base/5/1259_vm"),
            ("a*b?d*", "abd"),
        ] {
            assert!(!contains(files, path), "{files} {path}");
        }
    }

    #[test]
    fn a_probe_is_one_of_the_files_that_it_stands_for() {
        let patterns = ["pg_wal/*", "*.rdb", "base/**", "**/*_fsm", "a/b/0?*x*", "**"];
        for files in DiskFiles::sets().map(|(name, _)| name).chain(patterns) {
            let files = DiskFiles::parse(files).unwrap();
            let probe = files.probe("7-write");
            assert!(files.contains(&probe), "{files}: {probe}");
            assert_eq!(whose(&probe, 7, DiskOperation::Write), Whose::Probe, "{probe}");
            assert_eq!(whose(&probe, 7, DiskOperation::Create), Whose::OtherProbe, "{probe}");
            assert_eq!(whose(&probe, 77, DiskOperation::Write), Whose::OtherProbe, "{probe}");
        }
        assert_eq!(DiskFiles::parse("wal").unwrap().probe("7"), "pg_wal/schism-probe-7");
        assert_eq!(whose("schism-probe-1-write/PG_VERSION", 1, DiskOperation::Write), Whose::Database);
    }

    #[test]
    fn what_no_probe_can_stand_for_is_refused() {
        for (files, why) in [
            ("wall", "needs a *"),
            ("pg_wal/000000010000000000000001", "needs a *"),
            ("base/*/1*", "plain name or **"),
            ("/pg_wal/*", "relative"),
            ("../*", "relative"),
            ("", "relative"),
        ] {
            let error = DiskFiles::parse(files).unwrap_err();
            assert!(error.contains(why), "{files}: {error}");
        }
        let read: Result<DiskFiles, _> = serde_json::from_str("\"../*\"");
        assert!(read.is_err());
    }
}

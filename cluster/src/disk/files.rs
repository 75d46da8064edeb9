//! Which files of a database are meant, and copies of them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

/// A set of files by what it is for, whichever database has it.
struct Named {
    name: &'static str,
    patterns: &'static [&'static str],
    /// Damage is done to the file that was written to last: the others are of the past, and may never be read again.
    newest: bool,
}

const PAGES: &[&str] = &["base/*/[0-9]*", "dump.rdb", "appendonlydir/*.base.rdb"];
const WAL: &str = "pg_wal/????????????????????????";
const AOF: &[&str] = &["appendonlydir/*.incr.aof", "appendonly.aof"];

const NAMED: [Named; 6] = [
    Named { name: "log", patterns: &[WAL, AOF[0], AOF[1]], newest: true },
    Named { name: "data", patterns: PAGES, newest: false },
    Named { name: "all", patterns: &["**"], newest: false },
    Named { name: "wal", patterns: &[WAL], newest: true },
    Named { name: "aof", patterns: AOF, newest: true },
    Named { name: "rdb", patterns: &["dump.rdb", "appendonlydir/*.base.rdb"], newest: false },
];

/// `*` does not cross directories, as in a shell.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Whether this names files: `log` (PostgreSQL's WAL, Redis' append-only file), `data` (tables, RDB snapshots), `all`,
/// `wal`, `aof`, `rdb`, or a pattern as in a shell, relative to the data directory (`base/*/1259`, `pg_xact/**`).
///
/// # Errors
/// Says what is wrong with it.
pub fn check_files(text: &str) -> Result<(), String> {
    Files::parse(text).map(drop)
}

/// Files of a data directory.
pub(crate) struct Files {
    patterns: Vec<Pattern>,
    pub(crate) newest: bool,
}

impl Files {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let named = NAMED.iter().find(|named| named.name == text);
        let plain = text.chars().all(|letter| letter.is_ascii_lowercase());
        if named.is_none() && (plain || text.starts_with('/') || text.split('/').any(|part| part == "..")) {
            let names: Vec<&str> = NAMED.iter().map(|named| named.name).collect();
            return Err(format!(
                "{text:?} names no files; write one of {}, or a pattern relative to the data directory such as \
                 \"base/*/1259\"",
                names.join(", ")
            ));
        }
        let texts = named.map_or(vec![text], |named| named.patterns.to_vec());
        let pattern = |text: &str| Pattern::new(text).map_err(|error| format!("{text:?} is no pattern: {error}"));
        let patterns = texts.into_iter().map(pattern).collect::<Result<_, _>>()?;
        Ok(Self { patterns, newest: named.is_some_and(|named| named.newest) })
    }

    /// Those there are, by their paths relative to the data directory.
    pub(crate) fn select(&self, data: &Path) -> io::Result<BTreeSet<PathBuf>> {
        let mut found = BTreeSet::new();
        self.walk(data, Path::new(""), &mut found)?;
        Ok(found)
    }

    fn walk(&self, data: &Path, below: &Path, found: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(data.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            // It may be gone by now.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                self.walk(data, &path, found)?;
            } else if kind.is_file() && self.patterns.iter().any(|pattern| pattern.matches_path_with(&path, OPTIONS)) {
                found.insert(path);
            }
        }
        Ok(())
    }
}

/// The one that was written to last.
pub(crate) fn newest(data: &Path, files: &BTreeSet<PathBuf>) -> io::Result<Option<PathBuf>> {
    let mut dated = Vec::new();
    for file in files {
        let metadata = fs::metadata(data.join(file))?;
        dated.push(((metadata.mtime(), metadata.mtime_nsec()), file.clone()));
    }
    Ok(dated.into_iter().max().map(|(_, file)| file))
}

/// Copies these files, with their owners and the directories that they are in.
pub(crate) fn copy(from: &Path, to: &Path, files: &BTreeSet<PathBuf>) -> io::Result<()> {
    for file in files {
        let (source, target) = (from.join(file), to.join(file));
        if let Some(parent) = file.parent() {
            copy_directories(from, to, parent)?;
        }
        fs::copy(&source, &target)?;
        keep_owner(&source, &target)?;
    }
    Ok(())
}

fn copy_directories(from: &Path, to: &Path, path: &Path) -> io::Result<()> {
    for directory in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
        let (source, target) = (from.join(directory), to.join(directory));
        if !target.exists() {
            fs::create_dir_all(&target)?;
            fs::set_permissions(&target, fs::metadata(&source)?.permissions())?;
            keep_owner(&source, &target)?;
        }
    }
    Ok(())
}

fn keep_owner(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::metadata(from)?;
    let now = fs::metadata(to)?;
    if (metadata.uid(), metadata.gid()) == (now.uid(), now.gid()) {
        return Ok(());
    }
    chown(to, Some(metadata.uid()), Some(metadata.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        for file in files {
            let path = data.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        data
    }

    #[test]
    fn sets_name_the_files_of_either_database() {
        let data = tree(&[
            "PG_VERSION",
            "base/5/1259",
            "base/5/1259_fsm",
            "base/5/PG_VERSION",
            "global/pg_control",
            "pg_wal/000000010000000000000001",
            "pg_wal/archive_status/x",
            "pg_xact/0000",
        ]);
        let found = |text: &str| -> Vec<String> {
            let found = Files::parse(text).unwrap().select(data.path()).unwrap();
            found.iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(found("log"), ["pg_wal/000000010000000000000001"]);
        assert_eq!(found("data"), ["base/5/1259", "base/5/1259_fsm"]);
        assert_eq!(found("global/*"), ["global/pg_control"]);
        assert_eq!(found("*"), ["PG_VERSION"]);
        assert_eq!(found("all").len(), 8);
        let data = tree(&["appendonlydir/appendonly.aof.1.incr.aof", "appendonlydir/appendonly.aof.1.base.rdb"]);
        let found = |text: &str| Files::parse(text).unwrap().select(data.path()).unwrap().len();
        assert_eq!((found("log"), found("aof"), found("data"), found("wal"), found("all")), (1, 1, 1, 0, 2));
    }

    #[test]
    fn what_names_no_files_is_refused() {
        for wrong in ["", "wall", "/etc/passwd", "../x", "base/../../x", "a[", "***"] {
            assert!(check_files(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_copy_has_what_the_original_has() {
        let (data, kept) = (tree(&["a/b/c", "a/d"]), tempfile::tempdir().unwrap());
        let all = Files::parse("all").unwrap().select(data.path()).unwrap();
        copy(data.path(), kept.path(), &all).unwrap();
        assert_eq!(Files::parse("all").unwrap().select(kept.path()).unwrap(), all);
        assert_eq!(fs::read_to_string(kept.path().join("a/b/c")).unwrap(), "a/b/c");
    }
}

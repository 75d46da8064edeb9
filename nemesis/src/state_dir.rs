//! Where runs are found again: one pointer file per run, locked by its launcher as long as that lives.
//!
//! A run whose pointer is not locked is stale: its launcher is gone. Nothing is ever found by the pattern of its name:
//! the pointer names the ledger, the ledger names what is to be undone.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// The directory of pointer files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

/// Content of a pointer file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Pointer {
    pub(crate) run_id: String,
    pub(crate) ledger: PathBuf,
}

/// A run that a pointer file tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRef {
    /// The run.
    pub run_id: String,
    /// Its ledger.
    pub ledger: PathBuf,
    /// Its pointer file.
    pub pointer: PathBuf,
}

/// A run of ours. Its pointer stays locked as long as this lives (and this process): keep it until the run is over.
#[derive(Debug)]
pub struct ActiveRun {
    pointer: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl StateDir {
    /// `/run/schism` for root, else `$XDG_RUNTIME_DIR/schism`, else `/tmp/schism-<uid>`; made if it does not exist.
    ///
    /// # Errors
    /// It cannot be made, or it belongs to somebody else: whoever can write there decides what `schism heal` kills.
    pub fn locate() -> io::Result<Self> {
        let uid = nix::unistd::geteuid();
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
        let path = match runtime {
            _ if uid.is_root() => PathBuf::from("/run/schism"),
            Some(runtime) => PathBuf::from(runtime).join("schism"),
            None => PathBuf::from(format!("/tmp/schism-{uid}")),
        };
        Self::at(&path)
    }

    /// This directory; made if it does not exist.
    ///
    /// # Errors
    /// See [`StateDir::locate`].
    pub fn at(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let found = fs::symlink_metadata(path)?;
        if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() || found.mode() & 0o022 != 0 {
            let text = format!("{} is not a directory that only we can write to", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(Self(path.to_path_buf()))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Registers a run of this process; the launcher does this before it makes the sandbox.
    ///
    /// # Errors
    /// The pointer file exists already or cannot be written.
    pub fn register(&self, run_id: &str, ledger: &Path) -> io::Result<ActiveRun> {
        if run_id.is_empty() || run_id.contains('/') || run_id.starts_with('.') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{run_id:?} cannot be a file's name")));
        }
        let pointer = self.0.join(format!("{run_id}.json"));
        // Locked and complete before it has its name: between making a file and locking it, `schism heal` would take
        // it for stale. Linked instead of renamed, because a rename would replace a run of the same name.
        let draft = self.0.join(format!(".{run_id}.{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&draft)?;
        file.try_lock().map_err(io::Error::from)?;
        let content = Pointer { run_id: run_id.to_owned(), ledger: std::path::absolute(ledger)? };
        file.write_all(&serde_json::to_vec(&content).map_err(io::Error::other)?)?;
        file.sync_all()?;
        let linked = fs::hard_link(&draft, &pointer);
        fs::remove_file(&draft)?;
        linked?;
        File::open(&self.0)?.sync_all()?;
        Ok(ActiveRun { pointer, _file: file })
    }

    /// Runs whose launcher lives.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn active_runs(&self) -> io::Result<Vec<RunRef>> {
        self.runs(true)
    }

    /// Runs whose launcher is gone without having finished.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn stale_runs(&self) -> io::Result<Vec<RunRef>> {
        self.runs(false)
    }

    fn runs(&self, active: bool) -> io::Result<Vec<RunRef>> {
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path.extension() != Some(OsStr::new("json")) {
                continue;
            }
            let run = match RunRef::read(&path) {
                Ok(run) => run,
                // Its run ended between listing and reading.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
            };
            if run.is_active()? == active {
                runs.push(run);
            }
        }
        runs.sort_by(|one, other| one.run_id.cmp(&other.run_id));
        Ok(runs)
    }
}

impl RunRef {
    pub(crate) fn read(pointer: &Path) -> io::Result<Self> {
        let content: Pointer = serde_json::from_slice(&fs::read(pointer)?)?;
        Ok(Self { run_id: content.run_id, ledger: content.ledger, pointer: pointer.to_path_buf() })
    }

    fn is_active(&self) -> io::Result<bool> {
        Ok(self.exists() && self.lock(Duration::ZERO)?.is_none())
    }

    pub(crate) fn exists(&self) -> bool {
        self.pointer.exists()
    }

    /// The lock that the launcher held; whoever cleans up holds it meanwhile, so that two do not do it at once.
    /// `None`: somebody has it still.
    pub(crate) fn lock(&self, patience: Duration) -> io::Result<Option<File>> {
        let file = match File::open(&self.pointer) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let wait = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if waited >= patience => return Ok(None),
                Err(TryLockError::WouldBlock) => std::thread::sleep(wait),
            }
            waited += wait;
        }
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.pointer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl ActiveRun {
    /// The pointer file: what the guardian is told.
    #[must_use]
    pub fn pointer(&self) -> &Path {
        &self.pointer
    }

    /// The run is over and its ledger closed.
    ///
    /// # Errors
    /// The pointer file cannot be removed.
    pub fn finish(self) -> io::Result<()> {
        match fs::remove_file(&self.pointer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn ids(runs: io::Result<Vec<RunRef>>) -> Vec<String> {
        runs.unwrap().into_iter().map(|run| run.run_id).collect()
    }

    #[test]
    fn a_run_is_active_while_its_lock_is_held_and_stale_after() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::at(&directory.path().join("schism")).unwrap();
        let first = state.register("a", Path::new("/results/a/ledger.jsonl")).unwrap();
        let second = state.register("b", Path::new("/results/b/ledger.jsonl")).unwrap();
        assert_eq!(ids(state.active_runs()), ["a", "b"]);
        drop(first);
        assert_eq!((ids(state.active_runs()), ids(state.stale_runs())), (vec!["b".into()], vec!["a".into()]));
        assert_eq!(state.stale_runs().unwrap()[0].ledger, Path::new("/results/a/ledger.jsonl"));
        second.finish().unwrap();
        assert_eq!(ids(state.active_runs()), [""; 0]);
    }

    #[test]
    fn a_run_never_replaces_another() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::at(&directory.path().join("schism")).unwrap();
        let _first = state.register("a", Path::new("/one")).unwrap();
        assert_eq!(state.register("a", Path::new("/two")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(state.active_runs().unwrap()[0].ledger, Path::new("/one"));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1, "no draft is left");
        for wrong in ["", "../a", ".a"] {
            assert!(state.register(wrong, Path::new("/x")).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("schism");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(StateDir::at(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        assert!(StateDir::at(&link).is_err());
    }
}

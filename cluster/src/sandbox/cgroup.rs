//! One cgroup (version 2, no controllers needed) per node: freezing or killing one acts on every process of the node
//! at once, however it forks. Signals sent one by one race with forks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where version 2 may be mounted: beside version 1, or alone.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];

const EMPTY_WITHIN: Duration = Duration::from_secs(2);

/// A run's name becomes part of paths.
pub(crate) fn is_valid_run_id(run_id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !run_id.is_empty() && run_id.len() <= 64 && run_id.chars().all(plain)
}

/// The mount point of cgroup version 2.
pub(crate) fn mount_point() -> Option<&'static Path> {
    let is_v2 = |path: &&Path| path.join("cgroup.controllers").exists() && path.join("cgroup.procs").exists();
    MOUNTS.iter().map(Path::new).find(is_v2)
}

/// The directory of this run, whether it exists or not.
pub(crate) fn root_of(run_id: &str) -> Option<PathBuf> {
    Some(mount_point()?.join(format!("schism-{run_id}")))
}

/// Makes the run's directory; `None` where that is not possible or the kernel is too old to freeze and kill with it.
pub(crate) fn create_root(run_id: &str) -> Option<PathBuf> {
    let root = root_of(run_id)?;
    fs::create_dir(&root).ok()?;
    if root.join("cgroup.freeze").exists() && root.join("cgroup.kill").exists() {
        return Some(root);
    }
    let _ = fs::remove_dir(&root);
    None
}

/// The processes in a cgroup, by the numbers of the reader's PID namespace; those outside it are left out.
pub(crate) fn pids(cgroup: &Path) -> io::Result<Vec<u32>> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs"))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect())
}

/// One of `populated`, `frozen` in `cgroup.events`.
pub(crate) fn event(cgroup: &Path, key: &str) -> io::Result<bool> {
    let text = fs::read_to_string(cgroup.join("cgroup.events"))?;
    Ok(text.lines().any(|line| line.strip_prefix(key) == Some(" 1")))
}

pub(crate) fn write(cgroup: &Path, file: &str, value: &str) -> io::Result<()> {
    fs::write(cgroup.join(file), value)
}

/// Removes what namespaces do not take with them: kills whatever is still in the run's cgroups and removes the
/// directories. Idempotent; a directory that is not there is no error.
pub fn remove_leftovers(cgroup_root: &Path) -> io::Result<()> {
    if !cgroup_root.file_name().is_some_and(|name| name.to_string_lossy().starts_with("schism-")) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not ours: {}", cgroup_root.display())));
    }
    ignore_missing(write(cgroup_root, "cgroup.kill", "1"))?;
    let until = Instant::now() + EMPTY_WITHIN;
    loop {
        match remove_tree(cgroup_root) {
            // A killed process keeps its cgroup busy until it is gone.
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    let Some(entries) = ignore_missing(fs::read_dir(directory).map(Some))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    ignore_missing(fs::remove_dir(directory))
}

fn ignore_missing<T: Default>(result: io::Result<T>) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_cannot_leave_their_directory() {
        assert!(is_valid_run_id("20261120T120000Z-42"));
        for bad in ["", "..\u{2f}x", "a/b", "a b", &"x".repeat(65)] {
            assert!(!is_valid_run_id(bad), "{bad}");
        }
    }

    #[test]
    fn only_our_own_directories_are_removed() {
        let error = remove_leftovers(Path::new("/sys/fs/cgroup/system.slice")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        remove_leftovers(Path::new("/nonexistent/schism-x")).unwrap();
    }
}

//! Where a run's results go: `results/<target>-<workload>-<faults>/<UTC time>-<seed>/`, and `results/latest`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{exit::usage, plan::Plan};

/// Runs of one second and one seed that can lie side by side.
const SAME_SECOND_MAX: u32 = 100;

/// So many kinds of faults are named by a folder.
const KINDS_IN_NAME_MAX: usize = 4;

/// A run's own folder.
#[derive(Debug, Clone)]
pub(crate) struct ResultDir {
    pub(crate) path: PathBuf,
    pub(crate) started_utc: String,
}

impl ResultDir {
    /// Creates the folder and everything in it that must be writable, before anything starts.
    pub(crate) fn create(results: &Path, plan: &Plan) -> anyhow::Result<Self> {
        let now = SystemTime::now();
        let started_utc = humantime::format_rfc3339_seconds(now).to_string();
        let time = started_utc.replace([':', '-'], "");
        let family = results.join(family_of(plan));
        let cannot = |error: io::Error| {
            usage(format!(
                "cannot create a result folder in {}: {error}; choose another with --results DIR",
                results.display()
            ))
        };
        fs::create_dir_all(&family).map_err(cannot)?;
        let family = family.canonicalize().map_err(cannot)?;
        for attempt in 0..SAME_SECOND_MAX {
            let suffix = if attempt == 0 { String::new() } else { format!("-{}", attempt + 1) };
            let path = family.join(format!("{time}-{}{suffix}", plan.seed));
            match fs::create_dir(&path) {
                Ok(()) => {
                    fs::create_dir(path.join("nodes")).map_err(cannot)?;
                    point_latest(results, &path);
                    return Ok(Self { path, started_utc });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot(error)),
            }
        }
        Err(usage(format!("{} holds too many runs of this second and seed", family.display())))
    }
}

fn family_of(plan: &Plan) -> String {
    let faults = if plan.schedule.entries().is_empty() {
        "none".to_owned()
    } else {
        let mut kinds: Vec<&str> = plan.schedule.entries().iter().map(|entry| entry.fault.kind().name()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        // A mix may have dozens of kinds, and a folder's name at most 255 bytes.
        let more = kinds.len().saturating_sub(KINDS_IN_NAME_MAX);
        kinds.truncate(KINDS_IN_NAME_MAX);
        let more = if more > 0 { format!("+{more}-more") } else { String::new() };
        kinds.join("+") + &more
    };
    format!("{}-{}-{faults}", plan.target.replace('/', "-"), plan.workload)
}

/// Points `results/latest` here. Another run may do the same at this moment, and a file system may have no links:
/// neither is a reason to fail a run.
fn point_latest(results: &Path, path: &Path) {
    let link = results.join("latest");
    let next = results.join(format!(".latest-{}", std::process::id()));
    if std::os::unix::fs::symlink(path, &next).is_ok() && fs::rename(&next, &link).is_err() {
        let _ = fs::remove_file(&next);
    }
}

//! Doing an operation on a file that a rule is about, through the mount, as a server would; and what came of it.
//!
//! A probe's file says in its name which fault and which operation it is for: no other rule touches it, nor does this
//! rule its making and its removal. So each fault is seen by itself, whatever else is in force.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::libc;

use super::files::DiskFiles;
use super::mount_point;
use super::rule::DiskOperation;
use crate::info::NodeInfo;

/// A probe that takes longer than this hangs: twice the longest delay.
pub(crate) const FAR_TOO_LONG: Duration = Duration::from_secs(150);

const BYTES: usize = 4_096;

/// What came of one operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Probed {
    pub(crate) took_ms: f64,
    /// The error code.
    pub(crate) error: Option<i32>,
    /// A write that took less than it was given.
    pub(crate) short: bool,
}

/// Does the operation until told to stop. Blocks, for as long as the rule delays it.
pub(crate) fn probe(
    node: &NodeInfo,
    id: u32,
    files: &DiskFiles,
    operation: DiskOperation,
    mut enough: impl FnMut(&[Probed]) -> bool,
) -> Result<Vec<Probed>, String> {
    let name = files.probe(&format!("{id}-{}", operation.name()));
    let probe = Probe { path: mount_point(node).join(&name), operation };
    let said = |error: io::Error| match (error.kind(), name.rsplit_once('/')) {
        (io::ErrorKind::NotFound, Some((directory, _))) => {
            format!("{} has no {directory}/: with these settings its database keeps no such files", node.name)
        }
        _ => format!("no probe of the files of {}: {error} ({name})", node.name),
    };
    let mut all = Vec::new();
    while !enough(&all) {
        all.push(probe.once().map_err(said)?);
    }
    probe.remove(&probe.path).map_err(said)?;
    Ok(all)
}

struct Probe {
    path: PathBuf,
    operation: DiskOperation,
}

impl Probe {
    fn once(&self) -> io::Result<Probed> {
        let mut short = false;
        let (took, result) = match self.operation {
            DiskOperation::Create => {
                self.remove(&self.path)?;
                timed(|| self.make_new().map(drop))
            }
            DiskOperation::Unlink => {
                self.file()?;
                timed(|| std::fs::remove_file(&self.path))
            }
            DiskOperation::Rename => {
                self.file()?;
                let mut name = self.path.clone().into_os_string();
                name.push(".renamed");
                let renamed = timed(|| std::fs::rename(&self.path, &name));
                self.remove(Path::new(&name))?;
                renamed
            }
            DiskOperation::Open => {
                // Not by opening it.
                if !self.path.try_exists()? {
                    self.make_new()?;
                }
                timed(|| File::open(&self.path).map(drop))
            }
            DiskOperation::Read => {
                self.file()?;
                // Past the page cache, which would answer in the file system's place.
                let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&self.path)?;
                timed(|| file.read_at(&mut [0; BYTES], 0).map(drop))
            }
            DiskOperation::Write => {
                let file = self.file()?;
                timed(|| file.write_at(&[1; BYTES], 0).map(|written| short = written < BYTES))
            }
            DiskOperation::Fsync => {
                let file = self.file()?;
                timed(|| file.sync_all())
            }
            DiskOperation::Truncate => {
                let file = self.file()?;
                timed(|| file.set_len(BYTES as u64 / 2))
            }
        };
        // An error without a code is not the system's.
        let error = result.err().map(|error| error.raw_os_error().ok_or(error)).transpose()?;
        Ok(Probed { took_ms: took.as_secs_f64() * 1_000.0, error, short })
    }

    /// The file, made if it is not there.
    fn file(&self) -> io::Result<File> {
        match OpenOptions::new().read(true).write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_new(),
            opened => opened,
        }
    }

    /// As one of the server's own: a server that copies its directory, or syncs all of it, reads this file too.
    fn make_new(&self) -> io::Result<File> {
        let mut new = OpenOptions::new();
        let mut file = new.read(true).write(true).create_new(true).mode(0o600).open(&self.path)?;
        if let Some(directory) = self.path.parent() {
            let owner = directory.metadata()?;
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        if self.operation != DiskOperation::Create {
            file.write_all(&[0; BYTES])?;
        }
        Ok(file)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // What is being measured is that nothing can be removed; the next measurement removes it.
            Err(_) if self.operation == DiskOperation::Unlink => Ok(()),
            removed => removed,
        }
    }
}

fn timed(act: impl FnOnce() -> io::Result<()>) -> (Duration, io::Result<()>) {
    let begin = Instant::now();
    let result = act();
    (begin.elapsed(), result)
}

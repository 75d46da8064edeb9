//! A disk that is full: a file of ours takes what is free.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::{directory, ext4, failed, free_bytes};
use crate::error::{Doing, StepError};
use crate::info::NodeInfo;

/// One block of the file system.
const BLOCK: u64 = 4096;
/// The map of a large file takes blocks too, so the last ones come in small portions; servers write meanwhile.
const ROUNDS_MAX: usize = 10_000;

fn ballast(node: &NodeInfo) -> PathBuf {
    directory(node).join(".schism-ballast")
}

/// Beside the disk and not on it: what is to be on the disk, should that be out of reach.
fn wanted(node: &NodeInfo) -> PathBuf {
    node.directory.join("ballast.wanted")
}

pub(super) fn is_there(node: &NodeInfo) -> bool {
    ballast(node).exists() || wanted(node).exists()
}

/// Takes all but so much. It survives a power loss, as other people's files do.
pub(super) fn fill(node: &NodeInfo, leave: u64) -> Result<(), StepError> {
    let what = || format!("fill the disk of {}", node.name);
    if !ext4::is_mounted(node).doing(what)? {
        return Err(failed(node, "its disk is not mounted"));
    }
    fs::write(wanted(node), leave.to_string()).doing(what)?;
    let file = OpenOptions::new().create(true).append(true).open(ballast(node)).doing(what)?;
    take(&file, || Ok(free_bytes(node)?.saturating_sub(leave))).doing(what)?;
    Ok(file.sync_all().doing(what)?)
}

fn take(file: &File, excess: impl Fn() -> io::Result<u64>) -> io::Result<()> {
    let mut portion = u64::MAX;
    for _ in 0..ROUNDS_MAX {
        portion = portion.min(excess()?) / BLOCK * BLOCK;
        if portion == 0 {
            return Ok(());
        }
        let end = file.metadata()?.len();
        match fallocate(file.as_fd(), FallocateFlags::empty(), end.cast_signed(), portion.cast_signed()) {
            Ok(()) => portion = u64::MAX,
            Err(Errno::ENOSPC) if portion == BLOCK => return Ok(()),
            Err(Errno::ENOSPC) => portion = (portion / 2).max(BLOCK),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Err(io::Error::other("others write as fast as it is filled"))
}

pub(super) fn empty(node: &NodeInfo) -> Result<(), StepError> {
    match fs::remove_file(wanted(node)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("forget that the disk of {} is full", node.name))?;
        }
        _ => {}
    }
    // A disk that another fault has broken is emptied when it is repaired.
    if matches!(super::probe(node).doing(|| format!("look at the disk of {}", node.name))?, 0 | super::ENOSPC) {
        settle(node)
    } else {
        Ok(())
    }
}

/// Removes what nobody wants there any more.
pub(super) fn settle(node: &NodeInfo) -> Result<(), StepError> {
    if wanted(node).exists() || !ballast(node).exists() {
        return Ok(());
    }
    Ok(fs::remove_file(ballast(node)).doing(|| format!("empty the disk of {}", node.name))?)
}

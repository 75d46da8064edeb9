//! An ext4 file system of a node's own: made, mounted, cut off from its disk, mounted again.
//!
//! A power loss is the file system's own shutdown without flushing its log (`EXT4_IOC_SHUTDOWN` with
//! `EXT4_GOING_FLAGS_NOLOGFLUSH`, the ioctl that xfstests' crash tests are made with): from that moment on nothing
//! reaches the disk, and mounting it again replays the journal, as after a real one. It costs nothing while it is not
//! used, needs neither device-mapper nor FUSE, and the database runs at the speed of ext4. What it is not: a disk that
//! lies about its cache or tears a sector; whatever ext4 handed to the loop device is there afterwards.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MntFlags, umount2};

use super::{differ, directory, failed, probe};
use crate::error::{Doing, StepError};
use crate::info::{NodeInfo, SandboxInfo};
use crate::path;
use crate::sandbox::FILES;

/// `_IOR('X', 125, __u32)`.
const SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
const WITHOUT_LOG_FLUSH: u32 = 2;

/// Both take milliseconds; the namespaces of killed processes take the last references with them a little later.
const FREE_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// What `mkfs.ext4` is told: no blocks reserved for root, so that full means full; a journal that suits the size; and
/// nothing left to be initialised later, since the file is all zeroes.
const MKFS: [&str; 13] = [
    "-q",
    "-F",
    "-b",
    "4096",
    "-m",
    "0",
    "-N",
    "32768",
    "-J",
    "size=16",
    "-O",
    "^resize_inode",
    // "nobody", as whom servers run.
    "-Eroot_owner=65534:65534,lazy_itable_init=1,lazy_journal_init=1",
];

const MOUNT: &str = "loop,nosuid,nodev,noinit_itable";

/// The file that holds it. The run's name is part of it: the kernel tells all loop devices by the path of their file.
pub(crate) fn image(info: &SandboxInfo, node: &NodeInfo) -> PathBuf {
    Path::new(FILES).join("disks").join(format!("{}-{}.img", info.run_id, node.name))
}

/// Makes and mounts it.
pub(crate) fn create(info: &SandboxInfo, node: &NodeInfo, size_mb: u32) -> Result<(), StepError> {
    let image = image(info, node);
    let what = || format!("make {}", image.display());
    fs::create_dir_all(image.parent().unwrap_or(Path::new(FILES))).doing(what)?;
    let file = fs::File::create(&image).doing(what)?;
    file.set_len(u64::from(size_mb) * 1024 * 1024).doing(what)?;
    format(&image).map_err(|problem| failed(node, problem))?;
    mount(info, node)
}

/// Makes a file system in a file.
pub(crate) fn format(image: &Path) -> Result<(), String> {
    run(path::command("mkfs.ext4").args(MKFS).arg(image))
}

/// What mounts a file system in a file, by a loop device that ends with the mount.
pub(crate) fn mount_command(image: &Path, directory: &Path) -> Command {
    let mut command = path::command("mount");
    command.args(["-t", "ext4", "-o", MOUNT]).arg(image).arg(directory);
    command
}

/// Runs a command of the system; `Err` is what it says.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{name} is not installed"),
        _ => format!("{name}: {error}"),
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

pub(crate) fn is_mounted(node: &NodeInfo) -> io::Result<bool> {
    differ(&directory(node), &node.directory)
}

pub(super) fn mount(info: &SandboxInfo, node: &NodeInfo) -> Result<(), StepError> {
    run(&mut mount_command(&image(info, node), &directory(node))).map_err(|problem| failed(node, problem))
}

/// Unmounts it and waits until nobody has it any more. Mounted while another mount namespace still held the old mount,
/// it would be the same dead file system again.
pub(super) fn unmount(info: &SandboxInfo, node: &NodeInfo) -> Result<(), StepError> {
    let until = Instant::now() + FREE_WITHIN;
    let look = || format!("look at the disk of {}", node.name);
    while is_mounted(node).doing(look)? {
        match umount2(&directory(node), MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::EBUSY) if Instant::now() < until => std::thread::sleep(POLL),
            Err(errno) => return Err(failed(node, format!("cannot unmount its disk: {errno}"))),
        }
    }
    let image = image(info, node);
    while let Some(device) = loop_device(&image).doing(look)? {
        if Instant::now() > until {
            return Err(failed(node, format!("its disk is unmounted, but {device} still has it")));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// The loop device on this file.
fn loop_device(image: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        // Devices come and go with other runs: what is no longer there is not ours.
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if Path::new(file.trim_end()) == image {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// From now on nothing reaches the disk, and every access fails.
pub(super) fn shut_down(node: &NodeInfo) -> Result<(), StepError> {
    let mount_point = opened(node)?;
    let mut how = WITHOUT_LOG_FLUSH;
    // SAFETY: the request reads one integer, and the pointer is to a live one.
    let answer = unsafe { libc::ioctl(mount_point.as_raw_fd(), SHUTDOWN, &raw mut how) };
    Errno::result(answer).map_err(|errno| failed(node, format!("its file system cannot be shut down: {errno}")))?;
    Ok(())
}

fn opened(node: &NodeInfo) -> Result<fs::File, StepError> {
    if !is_mounted(node).doing(|| format!("look at the disk of {}", node.name))? {
        return Err(failed(node, "its disk is not mounted"));
    }
    Ok(fs::File::open(directory(node)).doing(|| format!("open the disk of {}", node.name))?)
}

/// What ext4 does to itself when its journal fails. A plain `remount,ro` is refused while a file is open for writing,
/// and a read-only bind mount does not concern what is open already: a running server would notice neither.
pub(super) fn abort(node: &NodeInfo) -> Result<(), StepError> {
    opened(node)?;
    let aborted = run(path::command("mount").args(["-o", "remount,abort"]).arg(directory(node)));
    // Looked at only afterwards: the look syncs a file of its own, and with it what the database has not.
    aborted.or_else(|problem| {
        let answer = probe(node).doing(|| format!("look at the disk of {}", node.name))?;
        if answer == Errno::EROFS as i32 { Ok(()) } else { Err(failed(node, problem)) }
    })
}

/// Everything written so far gets to the disk.
pub(crate) fn sync(node: &NodeInfo) -> Result<(), StepError> {
    let mount_point = opened(node)?;
    // SAFETY: a plain system call on an open descriptor.
    let answer = unsafe { libc::syncfs(mount_point.as_raw_fd()) };
    Errno::result(answer).map_err(|errno| failed(node, format!("its disk cannot be synced: {errno}")))?;
    Ok(())
}

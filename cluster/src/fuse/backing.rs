//! The directory behind the mount: a table of the inodes that the kernel knows, each held by a descriptor that only
//! names it (O_PATH), so that renames above or below it change nothing, and the system calls on them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, readlinkat, renameat2};
use nix::libc;
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmodat, fstatat, mkdirat, mknodat, utimensat,
};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

/// The number of a mount's root in FUSE, whatever it is behind it.
pub(super) const ROOT: u64 = 1;

/// Whom a new file belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What a directory holds.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) ino: u64,
    pub(super) kind: Option<nix::dir::Type>,
    pub(super) name: OsString,
}

#[derive(Debug)]
struct Known {
    fd: Arc<OwnedFd>,
    /// How often the kernel was told of it and has not forgotten it since.
    lookups: u64,
}

/// The directory behind the mount.
#[derive(Debug)]
pub(super) struct Backing {
    root: Arc<OwnedFd>,
    path: PathBuf,
    device: u64,
    /// The root's own number.
    root_ino: u64,
    known: Mutex<HashMap<u64, Known>>,
}

type Done<T = ()> = Result<T, Errno>;

impl Backing {
    /// Takes hold of a directory. What is mounted on it later hides it from everybody else.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let root = openat(AT_FDCWD, path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let stat = stat_of(&root)?;
        Ok(Self {
            path: std::fs::read_link(own_path(&root))?,
            root: Arc::new(root),
            device: stat.st_dev,
            root_ino: stat.st_ino,
            known: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fd(&self, ino: u64) -> Done<Arc<OwnedFd>> {
        if ino == ROOT {
            return Ok(Arc::clone(&self.root));
        }
        self.known().get(&ino).map(|known| Arc::clone(&known.fd)).ok_or(Errno::ESTALE)
    }

    /// Every inode that the kernel knows.
    pub(super) fn inodes(&self) -> Vec<u64> {
        self.known().keys().copied().collect()
    }

    /// Its path relative to the root, as it is now; of several hard links the one that was looked up last. Of a file
    /// that is unlinked the path it had. `None` for what is not (or no longer) below the root.
    pub(super) fn path_of(&self, ino: u64) -> Option<String> {
        let fd = self.fd(ino).ok()?;
        let path = std::fs::read_link(own_path(&fd)).ok()?;
        let path = path.strip_prefix(&self.path).ok()?.to_string_lossy().into_owned();
        Some(path.strip_suffix(" (deleted)").map_or_else(|| path.clone(), str::to_owned))
    }

    /// The path of a name in a directory.
    pub(super) fn path_in(&self, parent: u64, name: &OsStr) -> Option<String> {
        let directory = self.path_of(parent)?;
        let name = name.to_string_lossy();
        Some(if directory.is_empty() { name.into_owned() } else { format!("{directory}/{name}") })
    }

    pub(super) fn attributes(&self, ino: u64) -> Done<FileStat> {
        self.numbered(stat_of(self.fd(ino)?.as_fd())?)
    }

    /// With the number that it has in FUSE.
    fn numbered(&self, mut stat: FileStat) -> Done<FileStat> {
        // Numbers are unique in one file system only, and there is only one.
        if stat.st_dev != self.device {
            return Err(Errno::EXDEV);
        }
        stat.st_ino = self.number(stat.st_ino);
        Ok(stat)
    }

    /// Finds a name and counts the kernel as knowing it.
    pub(super) fn look_up(&self, parent: u64, name: &OsStr) -> Done<FileStat> {
        let parent = self.fd(parent)?;
        let fd = openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
        self.learn(fd)
    }

    fn learn(&self, fd: OwnedFd) -> Done<FileStat> {
        let stat = self.numbered(stat_of(&fd)?)?;
        if stat.st_ino != ROOT {
            let mut all = self.known();
            let fd = Arc::new(fd);
            let known = all.entry(stat.st_ino).or_insert_with(|| Known { fd: Arc::clone(&fd), lookups: 0 });
            // The newest name is the one that surely exists: of a file that was linked and then unlinked (a way to
            // rename that PostgreSQL has) the old one does not.
            known.fd = fd;
            known.lookups += 1;
        }
        Ok(stat)
    }

    /// The kernel has forgotten so many of its lookups.
    pub(super) fn forget(&self, ino: u64, lookups: u64) {
        let mut all = self.known();
        if let Some(known) = all.get_mut(&ino) {
            known.lookups = known.lookups.saturating_sub(lookups);
            if known.lookups == 0 {
                all.remove(&ino);
            }
        }
    }

    /// Opens a known file. Append and direct are the kernel's business: it gives us the offset, and alignment.
    pub(super) fn open_file(&self, ino: u64, flags: i32) -> Done<File> {
        let kept = OFlag::from_bits_truncate(flags) & (OFlag::O_ACCMODE | OFlag::O_TRUNC);
        let path = own_path(&*self.fd(ino)?);
        Ok(openat(AT_FDCWD, &path, kept | OFlag::O_CLOEXEC, Mode::empty())?.into())
    }

    pub(super) fn create(
        &self,
        parent: u64,
        name: &OsStr,
        mode: u32,
        flags: i32,
        owner: Owner,
    ) -> Done<(FileStat, File)> {
        let asked = OFlag::from_bits_truncate(flags);
        let kept = asked & (OFlag::O_ACCMODE | OFlag::O_TRUNC);
        let flags = kept | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let parent_fd = self.fd(parent)?;
        // What exists keeps its owner: first as if it had to be new.
        let file: File = match openat(&*parent_fd, name, flags | OFlag::O_EXCL, permissions(mode)) {
            Ok(fd) => {
                own(&parent_fd, &fd, mode, owner)?;
                fd.into()
            }
            // The kernel asks us to create what it believes is not there; another thread may have been faster.
            Err(Errno::EEXIST) if !asked.contains(OFlag::O_EXCL) => {
                openat(&*parent_fd, name, flags, permissions(mode))?.into()
            }
            Err(error) => return Err(error),
        };
        let named = openat(&*parent_fd, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok((self.learn(named)?, file))
    }

    pub(super) fn make_directory(&self, parent: u64, name: &OsStr, mode: u32, owner: Owner) -> Done<FileStat> {
        let parent_fd = self.fd(parent)?;
        mkdirat(&*parent_fd, name, permissions(mode))?;
        self.made(&parent_fd, name, mode, owner)
    }

    pub(super) fn make_node(&self, parent: u64, name: &OsStr, mode: u32, rdev: u32, owner: Owner) -> Done<FileStat> {
        let parent_fd = self.fd(parent)?;
        let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
        mknodat(&*parent_fd, name, kind, permissions(mode), rdev.into())?;
        self.made(&parent_fd, name, mode, owner)
    }

    pub(super) fn make_symlink(&self, parent: u64, name: &OsStr, target: &Path, owner: Owner) -> Done<FileStat> {
        let parent_fd = self.fd(parent)?;
        symlinkat(target, &*parent_fd, name)?;
        self.made(&parent_fd, name, 0, owner)
    }

    fn made(&self, parent: &OwnedFd, name: &OsStr, mode: u32, owner: Owner) -> Done<FileStat> {
        let fd = openat(parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
        own(parent, &fd, mode, owner)?;
        self.learn(fd)
    }

    pub(super) fn link(&self, ino: u64, parent: u64, name: &OsStr) -> Done<FileStat> {
        let path = own_path(&*self.fd(ino)?);
        linkat(AT_FDCWD, &path, &*self.fd(parent)?, name, AtFlags::AT_SYMLINK_FOLLOW)?;
        self.look_up(parent, name)
    }

    pub(super) fn unlink(&self, parent: u64, name: &OsStr) -> Done {
        unlinkat(&*self.fd(parent)?, name, UnlinkatFlags::NoRemoveDir)
    }

    pub(super) fn remove_directory(&self, parent: u64, name: &OsStr) -> Done {
        unlinkat(&*self.fd(parent)?, name, UnlinkatFlags::RemoveDir)
    }

    pub(super) fn rename(&self, from: (u64, &OsStr), to: (u64, &OsStr), flags: u32) -> Done {
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        renameat2(&*self.fd(from.0)?, from.1, &*self.fd(to.0)?, to.1, flags)
    }

    pub(super) fn read_link(&self, ino: u64) -> Done<OsString> {
        readlinkat(&*self.fd(ino)?, "")
    }

    pub(super) fn set_mode(&self, ino: u64, mode: u32) -> Done {
        fchmodat(AT_FDCWD, &own_path(&*self.fd(ino)?), permissions(mode), FchmodatFlags::FollowSymlink)
    }

    pub(super) fn set_owner(&self, ino: u64, uid: Option<u32>, gid: Option<u32>) -> Done {
        let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
        fchownat(&*self.fd(ino)?, "", uid, gid, AtFlags::AT_EMPTY_PATH)
    }

    pub(super) fn set_length(&self, ino: u64, bytes: u64) -> Result<(), io::Error> {
        self.open_file(ino, libc::O_WRONLY)?.set_len(bytes)
    }

    pub(super) fn set_times(&self, ino: u64, accessed: TimeSpec, modified: TimeSpec) -> Done {
        let path = own_path(&*self.fd(ino)?);
        utimensat(AT_FDCWD, &path, &accessed, &modified, UtimensatFlags::FollowSymlink)
    }

    pub(super) fn statistics(&self) -> Done<nix::sys::statvfs::Statvfs> {
        nix::sys::statvfs::fstatvfs(&*self.root)
    }

    /// Whether no operation on it waits for a device.
    pub(super) fn is_in_memory(&self) -> Done<bool> {
        Ok(fstatfs(&*self.root)?.filesystem_type() == TMPFS_MAGIC)
    }

    /// All entries, `.` and `..` included, as they are now.
    ///
    /// `..` is what the directory says it is, and not looked up: the way up from a directory in the root leads to the
    /// mount over it, into a request that nobody is left to answer.
    pub(super) fn list(&self, directory: &File) -> Done<Vec<Listed>> {
        // A descriptor of its own: listing moves the offset.
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let entry = |entry: Result<nix::dir::Entry, Errno>| {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            Ok(Listed { ino: self.number(entry.ino()), kind: entry.file_type(), name })
        };
        Dir::from_fd(openat(directory, ".", flags, Mode::empty())?)?.into_iter().map(entry).collect()
    }

    const fn number(&self, ino: u64) -> u64 {
        if ino == self.root_ino { ROOT } else { ino }
    }
}

fn stat_of(fd: impl AsFd) -> Done<FileStat> {
    fstatat(fd, "", AtFlags::AT_EMPTY_PATH)
}

/// A path that leads to what a descriptor names: some calls take no O_PATH descriptor.
fn own_path(fd: &impl AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Gives what was made to whoever asked for it.
fn own(parent: &OwnedFd, fd: &OwnedFd, mode: u32, owner: Owner) -> Done {
    // Whoever makes something in a directory with the set-group-ID bit makes it for that directory's group.
    let inherits = stat_of(parent)?.st_mode & libc::S_ISGID != 0;
    let group = (!inherits).then(|| Gid::from_raw(owner.gid));
    fchownat(fd, "", Some(Uid::from_raw(owner.uid)), group, AtFlags::AT_EMPTY_PATH)?;
    // A change of the owner takes such bits away.
    let special = libc::S_ISUID | libc::S_ISGID;
    if mode & special != 0 && stat_of(fd)?.st_mode & libc::S_IFMT == libc::S_IFREG {
        fchmodat(AT_FDCWD, &own_path(fd), permissions(mode), FchmodatFlags::FollowSymlink)?;
    }
    Ok(())
}

const fn permissions(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o7777)
}

//! The file system: every request of the kernel is judged by the rules in force and else carried out on the directory
//! behind the mount.
//!
//! Writes go through (the kernel's write-back cache is off), so that what a server has written has been judged, and
//! fsync means what it means behind the mount. Pages that were read or written stay in the kernel's cache, since nobody
//! changes the files but through the mount. Locks are the kernel's own.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::dir::Type;
use nix::fcntl::FallocateFlags;
use nix::libc;
use nix::sys::stat::FileStat;
use nix::sys::time::TimeSpec;

use super::backing::{Backing, Listed, Owner};
use super::delay::Delays;
use super::judge::{Judge, Verdict};
use super::rule::DiskOperation;

/// How long the kernel may believe what it was told: for good, since every change goes through it.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

/// The largest write that the kernel hands over in one piece: what it allows by itself.
const WRITE_MAX_BYTES: u32 = 1024 * 1024;

/// Requests that the kernel makes by itself (reading ahead) at a time.
const BACKGROUND_MAX: u16 = 64;

/// A file or directory that is open.
#[derive(Debug)]
struct Open {
    file: File,
    /// A directory's entries as they were when it was last read from its beginning.
    listed: RwLock<Arc<Vec<Listed>>>,
}

/// What requests work on; shared with those that wait.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) backing: Backing,
    pub(super) judge: Judge,
    open: RwLock<HashMap<u64, Arc<Open>>>,
    handles: AtomicU64,
}

impl Core {
    pub(super) fn new(backing: Backing) -> Self {
        Self { backing, judge: Judge::default(), open: RwLock::default(), handles: AtomicU64::new(1) }
    }

    fn handle(&self, file: File) -> FileHandle {
        let number = self.handles.fetch_add(1, Ordering::Relaxed);
        let open = Arc::new(Open { file, listed: RwLock::default() });
        self.open.write().unwrap_or_else(PoisonError::into_inner).insert(number, open);
        FileHandle(number)
    }

    fn opened(&self, handle: FileHandle) -> Result<Arc<Open>, Errno> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.get(&handle.0).map(Arc::clone).ok_or(Errno::EBADF)
    }

    fn close(&self, handle: FileHandle) {
        // The last reference may be an operation's that has not returned yet; the file is closed then.
        drop(self.open.write().unwrap_or_else(PoisonError::into_inner).remove(&handle.0));
    }

    fn write(&self, handle: FileHandle, offset: u64, bytes: &[u8]) -> Result<u32, Errno> {
        let open = self.opened(handle)?;
        let mut written = 0;
        while written < bytes.len() {
            match open.file.write_at(&bytes[written..], offset + written as u64) {
                Ok(0) => break,
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What was written before counts; the next write meets the error again.
                Err(_) if written > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(written as u32)
    }

    fn read(&self, handle: FileHandle, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let open = self.opened(handle)?;
        let mut bytes = vec![0; size];
        let mut filled = 0;
        while filled < size {
            match open.file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn sync(&self, handle: FileHandle, data_only: bool) -> Result<(), Errno> {
        let open = self.opened(handle)?;
        Ok(if data_only { open.file.sync_data() } else { open.file.sync_all() }?)
    }

    fn set_attributes(&self, ino: u64, change: &Change) -> Result<FileStat, Errno> {
        if let Some(mode) = change.mode {
            self.backing.set_mode(ino, mode).map_err(code)?;
        }
        if change.uid.is_some() || change.gid.is_some() {
            self.backing.set_owner(ino, change.uid, change.gid).map_err(code)?;
        }
        if let Some(bytes) = change.bytes {
            match change.handle {
                Some(handle) => self.opened(handle)?.file.set_len(bytes)?,
                None => self.backing.set_length(ino, bytes)?,
            }
        }
        if change.accessed.is_some() || change.modified.is_some() {
            self.backing.set_times(ino, time_to_set(change.accessed), time_to_set(change.modified)).map_err(code)?;
        }
        self.backing.attributes(ino).map_err(code)
    }
}

/// What a request to set attributes is about.
struct Change {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    bytes: Option<u64>,
    accessed: Option<TimeOrNow>,
    modified: Option<TimeOrNow>,
    handle: Option<FileHandle>,
}

/// The mounted file system.
pub(super) struct Passthrough {
    pub(super) core: Arc<Core>,
    pub(super) delays: Delays,
}

/// A reply that can be an error.
trait Refuse: Send + 'static {
    fn refuse(self, error: Errno);
}

macro_rules! refuse {
    ($($reply:ty),*) => {
        $(impl Refuse for $reply {
            fn refuse(self, error: Errno) {
                self.error(error);
            }
        })*
    };
}

refuse!(ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite);

impl Passthrough {
    /// Judges an operation on these paths and does it, at once or later, or refuses it.
    fn judged<R: Refuse>(
        &self,
        request: &Request,
        operation: DiskOperation,
        paths: impl FnOnce(&Backing) -> Vec<Option<String>>,
        reply: R,
        act: impl FnOnce(&Core, R) + Send + 'static,
    ) {
        let verdict = self.judge(operation, paths);
        self.carry_out(request, verdict, reply, act);
    }

    fn judge(&self, operation: DiskOperation, paths: impl FnOnce(&Backing) -> Vec<Option<String>>) -> Verdict {
        self.core.judge.judge(operation, || paths(&self.core.backing).into_iter().flatten().collect())
    }

    fn carry_out<R: Refuse>(
        &self,
        request: &Request,
        verdict: Verdict,
        reply: R,
        act: impl FnOnce(&Core, R) + Send + 'static,
    ) {
        let done = move |core: &Core| match verdict.error {
            Some(error) => reply.refuse(Errno::from_i32(error)),
            None => act(core, reply),
        };
        if verdict.delay_ms == 0 {
            return done(&self.core);
        }
        let core = Arc::clone(&self.core);
        self.delays.run_after(Duration::from_millis(verdict.delay_ms), request.pid(), move || done(&core));
    }

    /// Judged by the path of a new name.
    fn made(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
        make: impl FnOnce(&Backing, &OsStr) -> Result<FileStat, nix::errno::Errno> + Send + 'static,
    ) {
        let owned = name.to_owned();
        let paths = |backing: &Backing| vec![backing.path_in(parent.0, name)];
        self.judged(request, DiskOperation::Create, paths, reply, move |core, reply| {
            entry(reply, make(&core.backing, &owned));
        });
    }

    fn removed(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEmpty,
        remove: impl FnOnce(&Backing, &OsStr) -> Result<(), nix::errno::Errno> + Send + 'static,
    ) {
        let owned = name.to_owned();
        let paths = |backing: &Backing| vec![backing.path_in(parent.0, name)];
        self.judged(request, DiskOperation::Unlink, paths, reply, move |core, reply| {
            empty(reply, remove(&core.backing, &owned).map_err(code));
        });
    }

    fn synced(&self, request: &Request, ino: INodeNo, handle: FileHandle, data_only: bool, reply: ReplyEmpty) {
        let paths = |backing: &Backing| vec![backing.path_of(ino.0)];
        self.judged(request, DiskOperation::Fsync, paths, reply, move |core, reply| {
            empty(reply, core.sync(handle, data_only));
        });
    }
}

fn owner(request: &Request) -> Owner {
    Owner { uid: request.uid(), gid: request.gid() }
}

fn code(error: nix::errno::Errno) -> Errno {
    Errno::from_i32(error as i32)
}

fn entry(reply: ReplyEntry, result: Result<FileStat, nix::errno::Errno>) {
    match result {
        Ok(stat) => reply.entry(&BELIEVED, &attributes(&stat), Generation(0)),
        Err(error) => reply.error(code(error)),
    }
}

fn empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn attributes(stat: &FileStat) -> FileAttr {
    let time = |seconds: i64, nanoseconds: i64| {
        let nanoseconds = Duration::from_nanos(nanoseconds.unsigned_abs());
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let whole = if seconds < 0 { UNIX_EPOCH - whole } else { UNIX_EPOCH + whole };
        whole + nanoseconds
    };
    FileAttr {
        ino: INodeNo(stat.st_ino),
        size: stat.st_size.unsigned_abs(),
        blocks: stat.st_blocks.unsigned_abs(),
        atime: time(stat.st_atime, stat.st_atime_nsec),
        mtime: time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: UNIX_EPOCH,
        kind: kind_of(stat.st_mode),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: stat.st_rdev as u32,
        blksize: u32::try_from(stat.st_blksize).unwrap_or(4_096),
        flags: 0,
    }
}

const fn kind_of(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

const fn listed_kind(kind: Option<Type>) -> FileType {
    match kind {
        Some(Type::Directory) => FileType::Directory,
        Some(Type::Symlink) => FileType::Symlink,
        Some(Type::Fifo) => FileType::NamedPipe,
        Some(Type::Socket) => FileType::Socket,
        Some(Type::CharacterDevice) => FileType::CharDevice,
        Some(Type::BlockDevice) => FileType::BlockDevice,
        Some(Type::File) | None => FileType::RegularFile,
    }
}

fn time_to_set(time: Option<TimeOrNow>) -> TimeSpec {
    match time {
        None => TimeSpec::UTIME_OMIT,
        Some(TimeOrNow::Now) => TimeSpec::UTIME_NOW,
        Some(TimeOrNow::SpecificTime(time)) => match time.duration_since(UNIX_EPOCH) {
            Ok(after) => TimeSpec::from_duration(after),
            Err(before) => {
                let before = before.duration();
                // A time before 1970 has negative seconds and still counts its nanoseconds upwards.
                let borrowed = i64::from(before.subsec_nanos() > 0);
                let seconds = -i64::try_from(before.as_secs()).unwrap_or(i64::MAX) - borrowed;
                let nanoseconds = borrowed * (1_000_000_000 - i64::from(before.subsec_nanos()));
                TimeSpec::new(seconds, nanoseconds)
            }
        },
    }
}

impl Filesystem for Passthrough {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Each is a wish: an older kernel goes without.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        let _ = config.set_max_write(WRITE_MAX_BYTES);
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.core.backing.look_up(parent.0, name));
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        self.core.backing.forget(ino.0, lookups);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.core.backing.attributes(ino.0) {
            Ok(stat) => reply.attr(&BELIEVED, &attributes(&stat)),
            Err(error) => reply.error(code(error)),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        bytes: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change { mode, uid, gid, bytes, accessed, modified, handle };
        let paths = |backing: &Backing| vec![backing.path_of(ino.0)];
        let verdict = if bytes.is_some() { self.judge(DiskOperation::Truncate, paths) } else { Verdict::default() };
        self.carry_out(request, verdict, reply, move |core, reply| match core.set_attributes(ino.0, &change) {
            Ok(stat) => reply.attr(&BELIEVED, &attributes(&stat)),
            Err(error) => reply.error(error),
        });
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.core.backing.read_link(ino.0) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(error) => reply.error(code(error)),
        }
    }

    fn mknod(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, rdev: u32, reply: ReplyEntry) {
        let owner = owner(request);
        self.made(request, parent, name, reply, move |backing, name| {
            backing.make_node(parent.0, name, mode, rdev, owner)
        });
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let owner = owner(request);
        self.made(request, parent, name, reply, move |backing, name| {
            backing.make_directory(parent.0, name, mode, owner)
        });
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (owner, target) = (owner(request), target.to_owned());
        self.made(request, parent, name, reply, move |backing, name| {
            backing.make_symlink(parent.0, name, &target, owner)
        });
    }

    fn link(&self, request: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.made(request, parent, name, reply, move |backing, name| backing.link(ino.0, parent.0, name));
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.removed(request, parent, name, reply, move |backing, name| backing.unlink(parent.0, name));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.removed(request, parent, name, reply, move |backing, name| backing.remove_directory(parent.0, name));
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let paths = |backing: &Backing| vec![backing.path_in(parent.0, name), backing.path_in(new_parent.0, new_name)];
        let (from, to) = (name.to_owned(), new_name.to_owned());
        self.judged(request, DiskOperation::Rename, paths, reply, move |core, reply| {
            let renamed = core.backing.rename((parent.0, &from), (new_parent.0, &to), flags.bits());
            empty(reply, renamed.map_err(code));
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let paths = |backing: &Backing| vec![backing.path_of(ino.0)];
        self.judged(request, DiskOperation::Open, paths, reply, move |core, reply| {
            match core.backing.open_file(ino.0, flags.0) {
                Ok(file) => reply.opened(core.handle(file), FopenFlags::FOPEN_KEEP_CACHE),
                Err(error) => reply.error(code(error)),
            }
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let (owner, owned) = (owner(request), name.to_owned());
        let paths = |backing: &Backing| vec![backing.path_in(parent.0, name)];
        self.judged(request, DiskOperation::Create, paths, reply, move |core, reply| {
            match core.backing.create(parent.0, &owned, mode, flags, owner) {
                Ok((stat, file)) => {
                    let (handle, kept) = (core.handle(file), FopenFlags::FOPEN_KEEP_CACHE);
                    reply.created(&BELIEVED, &attributes(&stat), Generation(0), handle, kept);
                }
                Err(error) => reply.error(code(error)),
            }
        });
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let paths = |backing: &Backing| vec![backing.path_of(ino.0)];
        self.judged(request, DiskOperation::Read, paths, reply, move |core, reply| {
            match core.read(handle, offset, size as usize) {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(error),
            }
        });
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let verdict = self.judge(DiskOperation::Write, |backing| vec![backing.path_of(ino.0)]);
        let data = &data[..verdict.taken(data.len())];
        let written = |reply: ReplyWrite, result| match result {
            Ok(bytes) => reply.written(bytes),
            Err(error) => reply.error(error),
        };
        if verdict.delay_ms == 0 && verdict.error.is_none() {
            // The usual case, in which nothing is copied.
            return written(reply, self.core.write(handle, offset, data));
        }
        let data = data.to_vec();
        self.carry_out(request, verdict, reply, move |core, reply| written(reply, core.write(handle, offset, &data)));
    }

    fn fallocate(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let paths = |backing: &Backing| vec![backing.path_of(ino.0)];
        self.judged(request, DiskOperation::Write, paths, reply, move |core, reply| {
            let allocate = || {
                let open = core.opened(handle)?;
                let mode = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
                nix::fcntl::fallocate(&open.file, mode, offset.cast_signed(), length.cast_signed()).map_err(code)
            };
            empty(reply, allocate());
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Everything is written already. The kernel takes this for an answer for all times: one request less a close.
        reply.error(Errno::ENOSYS);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.core.close(handle);
        reply.ok();
    }

    fn fsync(&self, request: &Request, ino: INodeNo, handle: FileHandle, data_only: bool, reply: ReplyEmpty) {
        self.synced(request, ino, handle, data_only, reply);
    }

    fn fsyncdir(&self, request: &Request, ino: INodeNo, handle: FileHandle, data_only: bool, reply: ReplyEmpty) {
        self.synced(request, ino, handle, data_only, reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.core.backing.open_file(ino.0, libc::O_RDONLY) {
            Ok(file) => reply.opened(self.core.handle(file), FopenFlags::empty()),
            Err(error) => reply.error(code(error)),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.core.opened(handle).and_then(|open| {
            if offset == 0 {
                let fresh = Arc::new(self.core.backing.list(&open.file).map_err(code)?);
                *open.listed.write().unwrap_or_else(PoisonError::into_inner) = fresh;
            }
            Ok(Arc::clone(&open.listed.read().unwrap_or_else(PoisonError::into_inner)))
        });
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => return reply.error(error),
        };
        for (next, listed) in (1..).zip(listed.iter()).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(INodeNo(listed.ino), next, listed_kind(listed.kind), &listed.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.core.close(handle);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.core.backing.statistics() {
            Ok(found) => reply.statfs(
                found.blocks(),
                found.blocks_free(),
                found.blocks_available(),
                found.files(),
                found.files_free(),
                u32::try_from(found.block_size()).unwrap_or(4_096),
                u32::try_from(found.name_max()).unwrap_or(255),
                u32::try_from(found.fragment_size()).unwrap_or(4_096),
            ),
            Err(error) => reply.error(code(error)),
        }
    }

    fn lseek(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let open = match self.core.opened(handle) {
            Ok(open) => open,
            Err(error) => return reply.error(error),
        };
        // SAFETY: a plain system call on a descriptor that `open` keeps. Our reads and writes do not use its offset.
        let found = unsafe { libc::lseek(open.file.as_raw_fd(), offset, whence) };
        if found < 0 { reply.error(io::Error::last_os_error().into()) } else { reply.offset(found) }
    }
}

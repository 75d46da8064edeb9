//! The pass-through file system: random sequences of operations have the same results on it as on a plain directory,
//! and rules do what they say. This program is launcher, inside and file system at once:
//!
//! ```text
//! fuse                       runs everything
//! fuse inside RUN_ID         its part inside a sandbox
//! fuse hold FILE             writes and syncs a file, once; for a process that hangs in an operation
//! fuse internal-fuse SPEC    serves a directory (see `schism_cluster::internal_fuse`)
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::libc;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use schism_cluster::{DiskEffect, DiskError, DiskFiles, DiskOperation, DiskRule, SandboxInfo, Step, sandbox};

const NOBODY: u32 = 65534;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["internal-fuse", spec] => match schism_cluster::internal_fuse(spec) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        ["inside", run_id] => inside(run_id),
        ["hold", file] => {
            let mut file = File::create(file).unwrap();
            file.write_all(b"x").unwrap();
            file.sync_all().unwrap();
            ExitCode::SUCCESS
        }
        _ if words.contains(&"--list") => {
            if !words.contains(&"--ignored") {
                println!("the_file_system_is_one: test");
            }
            ExitCode::SUCCESS
        }
        _ => launch(),
    }
}

fn launch() -> ExitCode {
    let missing = sandbox::capabilities().system.into_iter().find(|one| one.name == "fuse").unwrap().missing;
    if let Some(missing) = missing {
        println!("SKIPPED: {missing}");
        return ExitCode::SUCCESS;
    }
    let mounts = || fs::read_to_string("/proc/mounts").unwrap();
    let before = mounts();
    let run_id = format!("test-fuse-{}", std::process::id());
    let mut inside = sandbox::spawn_inside(&["inside".into(), OsString::from(&run_id)], &run_id).unwrap();
    let status = inside.child.wait().unwrap();
    if let Some(cgroups) = &inside.cgroup_root {
        sandbox::remove_leftovers(cgroups).unwrap();
    }
    assert_eq!(mounts(), before, "a mount is left outside");
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Two directories, of which one is served.
struct Pair {
    plain: PathBuf,
    served: PathBuf,
    info: SandboxInfo,
    /// The node's, where there are cgroups.
    cgroup: Option<PathBuf>,
}

fn inside(run_id: &str) -> ExitCode {
    sandbox::prepare_inside().unwrap();
    let pair = Pair::new(run_id);
    for (name, test) in [
        ("random sequences", same_results as fn(&Pair)),
        ("special operations", special_operations),
        ("another user's permissions", permissions),
        ("rules", rules),
        ("slow operations delay no others", slow_delays_no_other),
        ("a hanging process can be killed", hanging_process_dies),
        ("a hanging process can be frozen", hanging_process_freezes),
        ("a dead file system is noticed", death_is_noticed),
    ] {
        let begin = Instant::now();
        test(&pair);
        println!("{name}: {:.2} s", begin.elapsed().as_secs_f64());
    }
    ExitCode::SUCCESS
}

impl Pair {
    fn new(run_id: &str) -> Self {
        let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let cgroup = mounts.map(|mount| mount.join(format!("schism-{run_id}"))).into_iter().find(|path| path.is_dir());
        let cgroup = cgroup.map(|root| root.join("n1"));
        cgroup.iter().for_each(|cgroup| fs::create_dir(cgroup).unwrap());
        let root = Path::new("/run/schism/test");
        let (plain, served) = (root.join("plain"), root.join("data"));
        for directory in [&plain, &served] {
            fs::create_dir_all(directory).unwrap();
            fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let socket = root.join("fuse.sock");
        let spec = serde_json::json!({
            "directory": served, "socket": socket, "cgroup": cgroup, "log": root.join("fuse.log"),
        });
        let mounted = Command::new("/proc/self/exe").args(["internal-fuse", &spec.to_string()]).status().unwrap();
        assert!(mounted.success());
        assert_ne!(fs::metadata(&served).unwrap().dev(), fs::metadata(&plain).unwrap().dev());
        let info = serde_json::json!({
            "run_id": "x", "init_pid": 1, "init_start_ticks": 1, "cgroup_root": null, "helper": "", "sites": [],
            "nodes": [{
                "name": "n1", "address": "10.0.0.1", "netns": "", "cgroup": null, "directory": root,
                "processes": [], "fuse": socket,
            }],
        });
        Self { plain, served, info: serde_json::from_value(info).unwrap(), cgroup }
    }

    fn set(&self, id: u32, files: &str, operations: &[DiskOperation], effect: DiskEffect) {
        self.set_share(id, files, operations, effect, 1_000_000);
    }

    fn set_share(&self, id: u32, files: &str, operations: &[DiskOperation], effect: DiskEffect, probability_ppm: u32) {
        let operations = operations.iter().copied().collect();
        let rule = DiskRule { files: DiskFiles::parse(files).unwrap(), operations, effect, probability_ppm, seed: 3 };
        Step::DiskRule { node: "n1".to_owned(), id, rule }.run(&self.info).unwrap();
    }

    fn lift(&self, id: u32) {
        Step::DiskUnrule { node: "n1".to_owned(), id }.run(&self.info).unwrap();
    }
}

/// Small numbers of names, so that operations meet.
#[derive(Debug, Clone)]
enum Op {
    Create(usize),
    CreateNew(usize, u32),
    MakeDirectory(usize, u32),
    Write(usize, u64, usize),
    Append(usize, usize),
    Read(usize),
    Truncate(usize, u64),
    Rename(usize, usize),
    Exchange(usize, usize),
    Link(usize, usize),
    Symlink(usize, usize),
    ReadLink(usize),
    Unlink(usize),
    RemoveDirectory(usize),
    Chmod(usize, u32),
    Chown(usize, u32),
    SetTimes(usize, i64),
    List(usize),
    Stat(usize),
    Sync(usize),
    Allocate(usize, i64, i64),
    Open(usize),
    WriteOpen(u64, usize),
    ReadOpen(u64, usize),
    TruncateOpen(u64),
    StatOpen,
    Map(usize, usize),
}

const NAMES: [&str; 9] = ["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "l"];

fn op() -> impl Strategy<Value = Op> {
    let name = 0..NAMES.len();
    let place = 0_u64..20_000;
    let length = prop_oneof![0_usize..100, 0_usize..20_000];
    prop_oneof![
        4 => name.clone().prop_map(Op::Create),
        2 => (name.clone(), 0_u32..0o10000).prop_map(|(n, m)| Op::CreateNew(n, m)),
        3 => (name.clone(), 0o700_u32..0o10000).prop_map(|(n, m)| Op::MakeDirectory(n, m)),
        4 => (name.clone(), place.clone(), length.clone()).prop_map(|(n, o, l)| Op::Write(n, o, l)),
        2 => (name.clone(), length.clone()).prop_map(|(n, l)| Op::Append(n, l)),
        3 => name.clone().prop_map(Op::Read),
        2 => (name.clone(), place.clone()).prop_map(|(n, l)| Op::Truncate(n, l)),
        3 => (name.clone(), name.clone()).prop_map(|(n, m)| Op::Rename(n, m)),
        1 => (name.clone(), name.clone()).prop_map(|(n, m)| Op::Exchange(n, m)),
        2 => (name.clone(), name.clone()).prop_map(|(n, m)| Op::Link(n, m)),
        1 => (name.clone(), name.clone()).prop_map(|(n, m)| Op::Symlink(n, m)),
        1 => name.clone().prop_map(Op::ReadLink),
        3 => name.clone().prop_map(Op::Unlink),
        2 => name.clone().prop_map(Op::RemoveDirectory),
        1 => (name.clone(), 0_u32..0o10000).prop_map(|(n, m)| Op::Chmod(n, m)),
        1 => (name.clone(), 0_u32..9).prop_map(|(n, o)| Op::Chown(n, o)),
        1 => (name.clone(), -5_i64..1_000_000_000).prop_map(|(n, t)| Op::SetTimes(n, t)),
        2 => name.clone().prop_map(Op::List),
        3 => name.clone().prop_map(Op::Stat),
        1 => name.clone().prop_map(Op::Sync),
        1 => (name.clone(), 0_i64..9_000, 1_i64..9_000).prop_map(|(n, o, l)| Op::Allocate(n, o, l)),
        3 => name.clone().prop_map(Op::Open),
        2 => (place.clone(), length.clone()).prop_map(|(o, l)| Op::WriteOpen(o, l)),
        2 => (place.clone(), length.clone()).prop_map(|(o, l)| Op::ReadOpen(o, l)),
        1 => place.prop_map(Op::TruncateOpen),
        1 => Just(Op::StatOpen),
        1 => (name, length).prop_map(|(n, l)| Op::Map(n, l)),
    ]
}

fn same_results(pair: &Pair) {
    let mut runner = TestRunner::new(Config {
        cases: Config::default().cases.max(1_000),
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&vec(op(), 1..60), |ops| {
        for directory in [&pair.plain, &pair.served] {
            clear(directory);
        }
        let (mut plain, mut served) = (Subject::new(&pair.plain), Subject::new(&pair.served));
        for (number, op) in ops.iter().enumerate() {
            let (expected, got) = (plain.carry_out(op, number), served.carry_out(op, number));
            if expected != got {
                return Err(TestCaseError::fail(format!("{number} {op:?}: plain {expected:?}, served {got:?}")));
            }
        }
        let (expected, got) = (tree(&pair.plain), tree(&pair.served));
        if expected == got { Ok(()) } else { Err(TestCaseError::fail(format!("plain {expected:#?}\nserved {got:#?}"))) }
    });
    outcome.unwrap();
}

fn clear(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            fs::remove_dir_all(entry.path()).unwrap();
        } else {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// A directory, and a file that is open in it.
struct Subject<'a> {
    root: &'a Path,
    open: Option<File>,
}

type Seen = Result<String, i32>;

impl<'a> Subject<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, open: None }
    }

    fn carry_out(&mut self, op: &Op, number: usize) -> Seen {
        self.try_to(op, number as u8).map_err(|error| error.raw_os_error().unwrap_or(-1))
    }

    fn try_to(&mut self, op: &Op, byte: u8) -> io::Result<String> {
        let path = |name: usize| self.root.join(NAMES[name]);
        let done = |()| String::new();
        let write = |file: &File, offset, length| file.write_at(&vec![byte; length], offset).map(|n| n.to_string());
        let open = || self.open.as_ref().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF));
        Ok(match *op {
            Op::Create(name) => File::create(path(name)).map(|_| String::new())?,
            Op::CreateNew(name, mode) => {
                OpenOptions::new().write(true).create_new(true).mode(mode).open(path(name)).map(|_| String::new())?
            }
            Op::MakeDirectory(name, mode) => fs::DirBuilder::new().mode(mode).create(path(name)).map(done)?,
            Op::Write(name, offset, length) => {
                write(&OpenOptions::new().write(true).open(path(name))?, offset, length)?
            }
            Op::Append(name, length) => {
                let mut file = OpenOptions::new().append(true).open(path(name))?;
                file.write(&vec![byte; length])?.to_string() + &file.stream_position()?.to_string()
            }
            Op::Read(name) => digest(&fs::read(path(name))?),
            Op::Truncate(name, length) => OpenOptions::new().write(true).open(path(name))?.set_len(length).map(done)?,
            Op::Rename(from, to) => fs::rename(path(from), path(to)).map(done)?,
            Op::Exchange(from, to) => nix::fcntl::renameat2(
                nix::fcntl::AT_FDCWD,
                &path(from),
                nix::fcntl::AT_FDCWD,
                &path(to),
                nix::fcntl::RenameFlags::RENAME_EXCHANGE,
            )
            .map(done)?,
            Op::Link(from, to) => fs::hard_link(path(from), path(to)).map(done)?,
            Op::Symlink(from, to) => symlink(NAMES[from], path(to)).map(done)?,
            Op::ReadLink(name) => fs::read_link(path(name))?.display().to_string(),
            Op::Unlink(name) => fs::remove_file(path(name)).map(done)?,
            Op::RemoveDirectory(name) => fs::remove_dir(path(name)).map(done)?,
            Op::Chmod(name, mode) => fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).map(done)?,
            Op::Chown(name, owner) => std::os::unix::fs::lchown(path(name), Some(owner), Some(owner + 1)).map(done)?,
            Op::SetTimes(name, seconds) => {
                let time = nix::sys::time::TimeSpec::new(seconds, 7);
                let follow = nix::sys::stat::UtimensatFlags::FollowSymlink;
                nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, &path(name), &time, &time, follow)?;
                let found = fs::metadata(path(name))?;
                format!("{} {}", found.mtime(), found.mtime_nsec())
            }
            Op::List(name) => names(&path(name))?.join(" "),
            Op::Stat(name) => told(&fs::symlink_metadata(path(name))?),
            Op::Sync(name) => File::open(path(name))?.sync_all().map(done)?,
            Op::Allocate(name, offset, length) => {
                let file = OpenOptions::new().write(true).open(path(name))?;
                nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), offset, length).map(done)?
            }
            Op::Open(name) => {
                self.open = Some(OpenOptions::new().read(true).write(true).open(path(name))?);
                String::new()
            }
            Op::WriteOpen(offset, length) => write(open()?, offset, length)?,
            Op::ReadOpen(offset, length) => {
                let mut bytes = vec![0; length];
                let read = open()?.read_at(&mut bytes, offset)?;
                digest(&bytes[..read])
            }
            Op::TruncateOpen(length) => open()?.set_len(length).map(done)?,
            Op::StatOpen => told(&open()?.metadata()?),
            Op::Map(name, length) => {
                let file = OpenOptions::new().read(true).write(true).open(path(name))?;
                write_mapped(&file, length.min(file.metadata()?.len() as usize), byte)?;
                digest(&fs::read(path(name))?)
            }
        })
    }
}

/// Writes the first bytes of a file by way of memory that is shared with it.
fn write_mapped(file: &File, length: usize, byte: u8) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    // SAFETY: a new mapping of a file that is long enough; written within its length, and unmapped.
    unsafe {
        let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        let memory = libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, fd, 0);
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        std::ptr::write_bytes(memory.cast::<u8>(), byte, length);
        let synced = libc::msync(memory, length, libc::MS_SYNC);
        libc::munmap(memory, length);
        if synced == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| -> io::Result<String> {
        let entry = entry?;
        Ok(format!("{}:{:?}", entry.file_name().display(), entry.file_type()?))
    };
    let mut names: Vec<String> = fs::read_dir(directory)?.map(name).collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

fn told(found: &fs::Metadata) -> String {
    // A directory's length and links are its file system's affair, but it is the same one.
    let [mode, uid, gid] = [found.mode(), found.uid(), found.gid()];
    format!("{mode:o} {uid}:{gid} {} links, {} bytes, {} blocks", found.nlink(), found.len(), found.blocks())
}

fn digest(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte) + 1));
    format!("{} bytes {sum:x}", bytes.len())
}

fn tree(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut text = told(&metadata);
        if metadata.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if metadata.is_file() {
            text += &digest(&fs::read(&path).unwrap());
        }
        found.insert(path.strip_prefix(directory).unwrap().to_owned(), text);
    }
    found
}

/// What random sequences do not reach; each gives the same on both.
fn special_operations(pair: &Pair) {
    let [plain, served] = [&pair.plain, &pair.served].map(|root| {
        clear(root);
        let mut seen = Vec::new();
        // More than one request, and an odd length.
        let big: Vec<u8> = (0..9_000_001_u32).map(|number| (number % 251) as u8).collect();
        fs::write(root.join("big"), &big).unwrap();
        let direct = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(root.join("big"));
        seen.push(direct.is_ok().to_string());
        seen.push((fs::read(root.join("big")).unwrap() == big).to_string());
        // More entries than one request lists.
        fs::create_dir(root.join("many")).unwrap();
        for number in 0..3_000 {
            File::create(root.join("many").join(format!("a-name-of-some-length-{number}"))).unwrap();
        }
        seen.push(names(&root.join("many")).unwrap().join(" "));
        // Removing while listing leaves nothing.
        fs::remove_dir_all(root.join("many")).unwrap();
        // Holes.
        let mut sparse = File::create_new(root.join("sparse")).unwrap();
        sparse.write_at(b"x", 1_000_000).unwrap();
        // SAFETY: plain system calls.
        seen.push(unsafe { libc::lseek(sparse.as_raw_fd(), 0, libc::SEEK_DATA) }.to_string());
        seen.push(sparse.seek(SeekFrom::End(0)).unwrap().to_string());
        seen.push(fs::metadata(root.join("sparse")).unwrap().blocks().to_string());
        // A file lives on while it is open.
        let mut gone = OpenOptions::new().read(true).write(true).create_new(true).open(root.join("gone")).unwrap();
        fs::remove_file(root.join("gone")).unwrap();
        gone.write_all(b"still there").unwrap();
        gone.rewind().unwrap();
        let mut text = String::new();
        gone.read_to_string(&mut text).unwrap();
        seen.push(text + &gone.metadata().unwrap().nlink().to_string());
        // PostgreSQL's way to rename, and the order in which it makes things durable.
        fs::write(root.join("new"), "1").unwrap();
        fs::hard_link(root.join("new"), root.join("final")).unwrap();
        fs::remove_file(root.join("new")).unwrap();
        File::open(root).unwrap().sync_all().unwrap();
        seen.push(fs::read_to_string(root.join("final")).unwrap());
        // Locks are local, and there are none for others' to meet.
        let lock = File::open(root.join("final")).unwrap();
        lock.lock().unwrap();
        seen.push(format!("{:?}", File::open(root.join("final")).unwrap().try_lock().is_err()));
        // Extended attributes nobody needs; what matters is that asking is no error of another kind.
        seen.push(fs::metadata(root.join("final")).unwrap().len().to_string());
        seen.push(nix::sys::statvfs::statvfs(root).unwrap().blocks().to_string());
        seen
    });
    assert_eq!(plain, served);
}

fn permissions(pair: &Pair) {
    let script = "umask 027; echo x > own; mkdir -p dir; ln -s own link; ln own hard; stat -c '%n %u:%g %a %h' *; \
                  cat foreign; echo y > foreign; chmod 600 foreign; echo $?; chmod 604 own; stat -c %a own; \
                  chown 0 own; rm -f closed/x; ls closed; touch sticky/x; id -u";
    let [plain, served] = [&pair.plain, &pair.served].map(|root| {
        clear(root);
        fs::write(root.join("foreign"), "secret").unwrap();
        fs::set_permissions(root.join("foreign"), fs::Permissions::from_mode(0o640)).unwrap();
        for (name, mode) in [("closed", 0o700), ("sticky", 0o1777)] {
            fs::create_dir(root.join(name)).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).current_dir(root).uid(NOBODY).gid(NOBODY);
        let output = shell.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("own 65534:65534 640 2"), "{text}");
        (text, tree(root))
    });
    assert_eq!(plain, served);
}

fn code(result: io::Result<()>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

fn rules(pair: &Pair) {
    use DiskOperation::{Create, Fsync, Open, Read, Rename, Truncate, Unlink, Write};
    let root = &pair.served;
    clear(root);
    fs::create_dir(root.join("pg_wal")).unwrap();
    let (wal, other) = (root.join("pg_wal/1"), root.join("x"));
    for file in [&wal, &other] {
        fs::write(file, vec![1; 100_000]).unwrap();
    }
    let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (wal_file, other_file) = (open(&wal), open(&other));
    let tries = |operation: DiskOperation, directory: &Path, path: &Path, file: &File| match operation {
        Open => code(File::open(path).map(drop)),
        Create => code(fs::create_dir(directory.join("new"))),
        Read => code(file.read_at(&mut [0; 10], 50_000).map(drop)),
        Write => code(file.write_at(b"y", 0).map(drop)),
        Fsync => code(file.sync_data()),
        Truncate => code(file.set_len(90_000)),
        Rename => code(fs::rename(path, directory.join("renamed"))),
        Unlink => code(fs::remove_file(path)),
    };
    for (id, operation) in (0..).zip(DiskOperation::ALL) {
        pair.set(id, "wal", &[operation], DiskEffect::Fail(DiskError::Io));
        let wal_directory = root.join("pg_wal");
        assert_eq!(tries(operation, &wal_directory, &wal, &wal_file), Some(libc::EIO), "{operation:?}");
        for another in DiskOperation::ALL.into_iter().filter(|another| ![operation, Rename, Unlink].contains(another)) {
            let got = tries(another, &wal_directory, &wal, &wal_file);
            assert_eq!(got, None, "{another:?} beside a rule on {operation:?}");
            let _ = fs::remove_dir(wal_directory.join("new"));
        }
        if ![Rename, Unlink].contains(&operation) {
            assert_eq!(tries(operation, root, &other, &other_file), None, "{operation:?} elsewhere");
            let _ = fs::remove_dir(root.join("new"));
        }
        pair.lift(id);
        if ![Rename, Unlink].contains(&operation) {
            assert_eq!(tries(operation, &wal_directory, &wal, &wal_file), None, "{operation:?} after its rule");
            let _ = fs::remove_dir(wal_directory.join("new"));
        }
    }
    // Two at once; each goes by itself.
    pair.set(1, "all", &[Write], DiskEffect::Fail(DiskError::NoSpace));
    pair.set(2, "wal", &[Write, Fsync], DiskEffect::Fail(DiskError::Io));
    assert_eq!(code(wal_file.write_at(b"z", 0).map(drop)), Some(libc::ENOSPC));
    pair.lift(1);
    pair.lift(1);
    assert_eq!(code(wal_file.write_at(b"z", 0).map(drop)), Some(libc::EIO));
    assert_eq!(code(other_file.write_at(b"z", 0).map(drop)), None);
    pair.lift(2);
    // A file that was renamed by linking has its new name.
    fs::write(root.join("pg_wal/temp"), "1").unwrap();
    let renamed = open(&root.join("pg_wal/temp"));
    fs::hard_link(root.join("pg_wal/temp"), root.join("pg_wal/0001")).unwrap();
    fs::remove_file(root.join("pg_wal/temp")).unwrap();
    pair.set(3, "pg_wal/0*", &[Fsync], DiskEffect::Fail(DiskError::Io));
    assert_eq!(code(renamed.sync_all()), Some(libc::EIO));
    pair.lift(3);
    // Short writes: what the count says is in the file, and the position moves by it; whoever goes on loses nothing.
    pair.set_share(4, "all", &[Write], DiskEffect::Short, 500_000);
    let text: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    let mut file = File::create(root.join("short")).unwrap();
    let (mut written, mut short) = (0, 0);
    while written < text.len() {
        let piece = &text[written..text.len().min(written + 1_000)];
        let took = file.write(piece).unwrap();
        assert!(took > 0);
        short += usize::from(took < piece.len());
        written += took;
        assert_eq!(file.stream_position().unwrap(), written as u64);
    }
    assert!(short > 50, "{short}");
    pair.lift(4);
    assert_eq!(fs::read(root.join("short")).unwrap(), text);
    drop(file);
    assert!(told(&fs::metadata(root.join("short")).unwrap()).contains("200000 bytes"));
}

fn slow_delays_no_other(pair: &Pair) {
    use DiskOperation::{Fsync, Write};
    let root = &pair.served;
    clear(root);
    let begin = Instant::now();
    pair.set(1, "slow*", &[Fsync, Write], DiskEffect::Delay(400));
    let slow: Vec<_> = (0..20)
        .map(|number| {
            let path = root.join(format!("slow{number}"));
            std::thread::spawn(move || {
                let file = File::create(path).unwrap();
                let begin = Instant::now();
                file.sync_all().unwrap();
                begin.elapsed()
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    let quick = Instant::now();
    for number in 0..50 {
        let mut file = File::create(root.join(format!("quick{number}"))).unwrap();
        file.write_all(&[0; 100]).unwrap();
        file.sync_all().unwrap();
    }
    assert!(quick.elapsed() < Duration::from_millis(250), "{:?}", quick.elapsed());
    for waited in slow {
        let waited = waited.join().unwrap().as_millis();
        assert!((400..700).contains(&waited), "{waited} ms");
    }
    // Lifted in the middle: whoever waits goes on.
    pair.set(1, "slow*", &[Fsync], DiskEffect::Delay(60_000));
    let path = root.join("slow0");
    let waiting = std::thread::spawn(move || File::open(path).unwrap().sync_all().unwrap());
    std::thread::sleep(Duration::from_millis(100));
    assert!(!waiting.is_finished());
    pair.lift(1);
    waiting.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
}

fn hanging_process_dies(pair: &Pair) {
    pair.set(1, "held*", &[DiskOperation::Fsync], DiskEffect::Delay(60_000));
    let file = pair.served.join("held");
    let mut holder = Command::new("/proc/self/exe").args(["hold".as_ref(), file.as_os_str()]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(holder.try_wait().unwrap().is_none(), "it does not hang");
    let begin = Instant::now();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "it took {:?} to die", begin.elapsed());
    pair.lift(1);
}

fn hanging_process_freezes(pair: &Pair) {
    let Some(cgroup) = &pair.cgroup else {
        return println!("SKIPPED: no cgroups");
    };
    pair.set(1, "held*", &[DiskOperation::Fsync], DiskEffect::Delay(60_000));
    let file = pair.served.join("held");
    let mut holder = Command::new("/proc/self/exe").args(["hold".as_ref(), file.as_os_str()]).spawn().unwrap();
    fs::write(cgroup.join("cgroup.procs"), holder.id().to_string()).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(holder.try_wait().unwrap().is_none(), "it does not hang");
    let begin = Instant::now();
    fs::write(cgroup.join("cgroup.freeze"), "1").unwrap();
    while !fs::read_to_string(cgroup.join("cgroup.events")).unwrap().contains("frozen 1") {
        assert!(begin.elapsed() < Duration::from_secs(1), "it does not freeze");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(holder.try_wait().unwrap().is_none());
    fs::write(cgroup.join("cgroup.freeze"), "0").unwrap();
    assert!(holder.wait().unwrap().success());
    pair.lift(1);
}

/// Last: nothing works after it.
fn death_is_noticed(pair: &Pair) {
    let own = std::process::id().to_string();
    let is_ours = |pid: &str| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        pid != own && command.split(|byte| *byte == 0).any(|word| word == b"internal-fuse")
    };
    let pids: Vec<String> =
        fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let daemons: Vec<&String> =
        pids.iter().filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && is_ours(pid)).collect();
    let [daemon] = daemons[..] else { panic!("{daemons:?}") };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.parse().unwrap()), nix::sys::signal::SIGKILL).unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    // What the kernel was told before it goes on believing, attributes for example.
    while code(File::create(pair.served.join("x")).map(drop)) != Some(libc::ENOTCONN) {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    let lift = Step::DiskUnrule { node: "n1".to_owned(), id: 1 }.run(&pair.info).unwrap_err().to_string();
    assert!(lift.contains("cannot reach the file system of n1"), "{lift}");
}

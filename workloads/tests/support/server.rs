//! Private servers on 127.0.0.1, ended by the process id they were started with, whatever becomes of the test.

use std::{
    fs,
    io::{self, Write as _},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use schism_workloads::client::Dial;
use tokio::net::TcpStream;

/// A directory of this process, removed on drop.
#[derive(Debug)]
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("schism-test-{name}-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _best_effort = fs::remove_dir_all(&self.0);
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) dir: Dir,
    /// The signal that ends it without leaving shared memory behind.
    stop_signal: &'static str,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([format!("-{signal}"), self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Ends it at once and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // A stopped process would not hear the other signal.
        for signal in ["CONT", self.stop_signal] {
            let _ends_below = Command::new("kill").args([format!("-{signal}"), self.pid().to_string()]).status();
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn find(names: &[&str]) -> Option<PathBuf> {
    names.iter().map(PathBuf::from).find(|path| path.exists())
}

async fn wait_for_port(child: &mut Child, port: u16, log: &Path) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        let ended = child.try_wait().unwrap();
        let log = || fs::read_to_string(log).unwrap_or_default();
        assert!(ended.is_none(), "the server ended: {}", log());
        assert!(Instant::now() < deadline, "the server does not listen: {}", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Redis with these settings on top of "no persistence"; `None` where it is not installed.
pub(crate) async fn redis(settings: &[(&str, &str)]) -> Option<Server> {
    let Some(binary) = find(&["/usr/bin/redis-server", "/usr/local/bin/redis-server"]) else {
        eprintln!("SKIPPED: redis-server is not installed");
        return None;
    };
    let dir = Dir::new("redis");
    let port = free_port();
    let log = dir.0.join("log");
    let mut config = format!("port {port}\nbind 127.0.0.1\nsave \"\"\nappendonly no\ndir {}\n", dir.0.display());
    for (key, value) in settings {
        config += &format!("{key} {value}\n");
    }
    // From standard input, so that a test may remove the directory.
    let mut command = Command::new(binary);
    command.arg("-");
    let output = fs::File::create(&log).unwrap();
    let mut child = command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(config.as_bytes()).unwrap();
    wait_for_port(&mut child, port, &log).await;
    Some(Server { child, port, dir, stop_signal: "KILL" })
}

/// The user id of `nobody`: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

/// PostgreSQL with these settings; `None` where it is not installed.
pub(crate) async fn postgres(settings: &[(&str, &str)]) -> Option<Server> {
    let Some(initdb) = postgres_binary("initdb") else {
        eprintln!("SKIPPED: PostgreSQL is not installed");
        return None;
    };
    let dir = Dir::new("postgres");
    own(&dir.0).unwrap();
    let data = dir.0.join("data");
    let mut command = Command::new(initdb);
    command.arg("-D").arg(&data).args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    let output = as_nobody(&mut command, &dir.0).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(start_postgres(dir, settings).await)
}

/// A streaming replica of a running server.
pub(crate) async fn postgres_replica(primary: &Server, settings: &[(&str, &str)]) -> Server {
    let dir = Dir::new("replica");
    own(&dir.0).unwrap();
    let mut command = Command::new(postgres_binary("pg_basebackup").unwrap());
    command.args(["-h", "127.0.0.1", "-p", &primary.port.to_string(), "-U", "postgres", "-c", "fast", "-R", "-D"]);
    command.arg(dir.0.join("data"));
    let output = as_nobody(&mut command, &dir.0).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    start_postgres(dir, settings).await
}

async fn start_postgres(dir: Dir, settings: &[(&str, &str)]) -> Server {
    let port = free_port();
    let log = dir.0.join("log");
    let mut command = Command::new(postgres_binary("postgres").unwrap());
    command.arg("-D").arg(dir.0.join("data")).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "shared_buffers=16MB"]);
    // In the data directory: a server that is killed leaves what it had in /dev/shm behind.
    command.args(["-c", "dynamic_shared_memory_type=mmap"]);
    for (key, value) in settings {
        command.args(["-c".to_owned(), format!("{key}={value}")]);
    }
    let output = fs::File::create(&log).unwrap();
    as_nobody(&mut command, &dir.0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
    let mut child = command.spawn().unwrap();
    wait_for_port(&mut child, port, &log).await;
    let server = Server { child, port, dir, stop_signal: "QUIT" };
    // It listens before it lets anybody in.
    let config = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    for _ in 0..1_000 {
        if tokio_postgres::connect(&config, tokio_postgres::NoTls).await.is_ok() {
            return server;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no session: {}", fs::read_to_string(&log).unwrap_or_default());
}

pub(crate) fn postgres_binary(name: &str) -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    versions.sort();
    versions.iter().rev().map(|version| version.join("bin").join(name)).find(|path| path.exists())
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

fn own(path: &Path) -> io::Result<()> {
    if is_root() { std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)) } else { Ok(()) }
}

fn as_nobody<'a>(command: &'a mut Command, dir: &Path) -> &'a mut Command {
    command.current_dir(dir);
    if is_root() { command.uid(NOBODY).gid(NOBODY) } else { command }
}

/// Dials 127.0.0.1, whatever the node's name; the name is the port where it is a number.
#[derive(Debug)]
pub(crate) struct Local;

impl Dial for Local {
    fn dial<'a>(&'a self, _site: u32, node: &'a str, port: u16) -> BoxFuture<'a, io::Result<TcpStream>> {
        Box::pin(TcpStream::connect(("127.0.0.1", node.parse().unwrap_or(port))))
    }
}

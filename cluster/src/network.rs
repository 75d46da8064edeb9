//! The network inside the sandbox: one bridge, and for each node and client site a namespace with an address on it.
//!
//! A namespace is a property of a thread, so each host has one small thread that never leaves its namespace and makes
//! sockets on request. A socket belongs for good to the namespace that it was made in; from then on any thread and
//! any runtime may use it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::error::{ClusterError, Doing};
use crate::{nft, path};

/// A connection whose other end has been silent for so long, with data on the way, is given up by the kernel. Longer
/// than the cuts that a connection is expected to survive; clients have their own, much shorter, deadlines.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where they exist: without the first, an established connection came back up to 5.3 s after an 8 s cut was lifted,
/// because retransmissions back off to 120 s; with it within 0.8 s. IPv6 is off because nothing here uses it.
const SYSCTLS: [(&str, &str); 3] =
    [("ipv4/tcp_rto_max_ms", "1000"), ("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")];

/// Address of node `n<index + 1>` in every sandbox.
#[must_use]
pub fn node_address(index: u32) -> Ipv4Addr {
    address(1 + index)
}

/// Address of client site `c<index + 1>`.
pub(crate) fn site_address(index: u32) -> Ipv4Addr {
    address(101 + index)
}

fn address(last: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 84, 0, 0)) + last)
}

/// What all hosts are on.
pub(crate) const BRIDGE: &str = "schism0";

/// The bridge's end of a host's link.
pub(crate) fn port_of(host: &str) -> String {
    format!("v-{host}")
}

/// The network of all hosts.
pub(crate) const SUBNET: &str = "10.84.0.0/24";

pub(crate) fn netns_file(host: &str) -> PathBuf {
    Path::new("/run/netns").join(host)
}

type Job = Box<dyn FnOnce() + Send>;

/// One namespace and the thread that lives in it. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    jobs: mpsc::Sender<Job>,
}

impl Host {
    /// Starts the thread; its namespace is there when the answer arrives.
    fn create(name: String, address: Ipv4Addr) -> io::Result<(Self, mpsc::Receiver<io::Result<()>>)> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, made) = mpsc::channel();
        let netns = netns_file(&name);
        std::thread::Builder::new().name(format!("schism {name}")).stack_size(128 << 10).spawn(move || {
            let result = make_namespace(&netns);
            let failed = result.is_err();
            // Whoever waited may have given up; then there is nothing to do here either.
            if ready.send(result).is_err() || failed {
                return;
            }
            inbox.into_iter().for_each(|job| job());
        })?;
        Ok((Self { name, address, jobs }, made))
    }

    /// Runs something on the host's thread.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (answer, receiver) = oneshot::channel();
        // A send fails only when the thread is gone; the receiver then says so.
        let _ = self.jobs.send(Box::new(move || drop(answer.send(job()))));
        receiver
    }

    /// A connection from this host. The returned stream belongs to the runtime of the caller.
    pub(crate) async fn connect(&self, to: SocketAddrV4) -> io::Result<TcpStream> {
        let gone = |_| io::Error::other(format!("the thread of {} has ended", self.name));
        let socket = self.run(tcp_socket).await.map_err(gone)??;
        TcpSocket::from_std_stream(socket.into()).connect(to.into()).await
    }
}

fn make_namespace(netns: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    std::fs::File::create(netns)?;
    mount(Some("/proc/thread-self/ns/net"), netns, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    for (name, value) in SYSCTLS {
        match std::fs::write(Path::new("/proc/sys/net").join(name), value) {
            // An older kernel, or one without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

fn tcp_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    Ok(socket)
}

/// Builds the whole network. Blocks for some tens of milliseconds.
pub(crate) fn build(hosts: Vec<(String, Ipv4Addr)>) -> Result<Vec<Host>, ClusterError> {
    let mut made = Vec::new();
    for (name, address) in hosts {
        made.push(Host::create(name, address).doing(|| "start a host's thread".to_owned())?);
    }
    let mut hosts = Vec::new();
    let mut links = format!("link add {BRIDGE} type bridge forward_delay 0\nlink set {BRIDGE} up\n");
    for (host, ready) in made {
        let ready = ready.recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended")));
        ready.doing(|| format!("make the namespace of {}", host.name))?;
        // Writing to a string cannot fail.
        let name = &host.name;
        let port = port_of(name);
        let _ = writeln!(links, "link add {port} type veth peer name eth0 netns {name}");
        let _ = writeln!(links, "link set {port} master {BRIDGE} up");
        hosts.push(host);
    }
    ip(&links).doing(|| "build the bridge".to_owned())?;
    // After the bridge: a table that is older than the bridge saw none of its packets (kernel 6.18, measured).
    nft::create_table()?;
    let answers: Vec<_> = hosts.iter().map(|host| (host.name.clone(), host.run(host_links(host.address)))).collect();
    for (name, answer) in answers {
        let answer = answer.blocking_recv().unwrap_or_else(|_| Err(io::Error::other("its thread ended")));
        answer.doing(|| format!("set up the network of {name}"))?;
    }
    Ok(hosts)
}

fn host_links(address: Ipv4Addr) -> impl FnOnce() -> io::Result<()> + Send {
    let commands = format!("link set lo up\naddr add {address}/24 dev eth0\nlink set eth0 up\n");
    // A child is born into the namespace of the thread that forks.
    move || ip(&commands)
}

/// Runs `ip` commands, one a line.
pub(crate) fn ip(commands: &str) -> io::Result<()> {
    let mut command = path::command("ip");
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| io::Error::new(error.kind(), format!("run ip: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(commands.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

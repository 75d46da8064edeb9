//! What this machine can do: each ability is tried, not guessed from versions.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde::Serialize;

use super::cgroup;
use super::spawn::{IdMaps, is_privileged};
use crate::database::{postgres, redis};
use crate::disk::ext4;
use crate::{clock, path};

/// What this machine can do; for `schism doctor`.
#[derive(Debug, Clone, Serialize)]
pub struct Capabilities {
    /// How a sandbox can be made.
    pub isolation: Isolation,
    /// Where cgroup version 2 is mounted; used when the isolation is [`Isolation::Root`], else the nodes' processes
    /// are found by their network namespace and stopped by signals.
    pub cgroup2: Option<PathBuf>,
    /// Abilities of the kernel and programs of the system, each tried inside a throw-away namespace.
    pub system: Vec<Capability>,
    /// The servers that can be tested.
    pub servers: Vec<ServerBinary>,
}

/// How a sandbox can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// As root.
    Root,
    /// In an unprivileged user namespace.
    UserNamespace,
    /// Not at all.
    None,
}

/// One ability.
#[derive(Debug, Clone, Serialize)]
pub struct Capability {
    /// What: `bridge`, `veth`, `nft`, `tun`, …
    pub name: &'static str,
    /// Whether a run is impossible without it.
    pub required: bool,
    /// Why not; `None` when it is there.
    pub missing: Option<String>,
    /// The command that gets it.
    pub fix: &'static str,
}

/// One server program.
#[derive(Debug, Clone, Serialize)]
pub struct ServerBinary {
    /// `postgres`, `redis-server`, `redis-sentinel`.
    pub name: &'static str,
    /// Where it is; `None` when it is missing.
    pub path: Option<PathBuf>,
    /// The first line of what it says of its version.
    pub version: Option<String>,
    /// The package that holds it.
    pub package: &'static str,
    /// The command that gets it.
    pub fix: &'static str,
}

/// What this machine can do, with the exact command that gets what is missing. Changes nothing.
#[must_use]
pub fn capabilities() -> Capabilities {
    let isolation = isolation();
    Capabilities {
        isolation,
        cgroup2: cgroup::mount_point().map(PathBuf::from),
        system: vec![
            sandbox(isolation),
            try_ip(isolation, "bridge", "link add schism0 type bridge", "sudo modprobe bridge"),
            try_ip(isolation, "veth", "link add schism0 type veth peer name schism1", "sudo modprobe veth"),
            nft(isolation),
            tun(isolation),
            divert(isolation),
            vdso(isolation),
            ext4_disk(isolation),
            fuse(isolation),
        ],
        servers: [postgres::server_binaries(), redis::server_binaries()].concat(),
    }
}

fn isolation() -> Isolation {
    let works = |kind| in_namespaces(kind, Command::new("/proc/self/exe"), true).is_ok();
    if is_privileged() && works(Isolation::Root) {
        Isolation::Root
    } else if works(Isolation::UserNamespace) {
        Isolation::UserNamespace
    } else {
        Isolation::None
    }
}

fn sandbox(isolation: Isolation) -> Capability {
    Capability {
        name: "namespaces",
        required: true,
        missing: (isolation == Isolation::None)
            .then(|| "neither root with CAP_SYS_ADMIN and CAP_NET_ADMIN nor user namespaces".to_owned()),
        fix: "sudo sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0 \
              user.max_user_namespaces=10000",
    }
}

fn try_ip(isolation: Isolation, name: &'static str, args: &str, fix: &'static str) -> Capability {
    let mut command = path::command("ip");
    command.args(args.split(' '));
    let (missing, fix) = match in_namespaces(isolation, command, false) {
        Ok(()) => (None, fix),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (Some("ip is not installed".to_owned()), "sudo apt-get install iproute2")
        }
        Err(error) => (Some(error.to_string()), fix),
    };
    Capability { name, required: true, missing, fix }
}

fn nft(isolation: Isolation) -> Capability {
    let mut command = path::command("nft");
    command.arg(
        "add table bridge schism; add chain bridge schism forward { type filter hook forward priority 0; }; \
         add set bridge schism cut { type ipv4_addr . ipv4_addr; counter; }",
    );
    Capability { missing: missing(isolation, command), ..NFT }
}

const NFT: Capability = Capability { name: "nft", required: true, missing: None, fix: "sudo apt-get install nftables" };

fn missing(isolation: Isolation, nft: Command) -> Option<String> {
    in_namespaces(isolation, nft, false).err().map(|error| match error.kind() {
        io::ErrorKind::NotFound => "nft is not installed".to_owned(),
        _ => error.to_string(),
    })
}

/// For the switch that shapes links.
fn tun(isolation: Isolation) -> Capability {
    let fix = "sudo modprobe tun && sudo chmod 666 /dev/net/tun";
    let tried = try_ip(isolation, "tun", "tuntap add dev schism0 mode tap", fix);
    Capability { required: false, missing: tried.missing.map(|why| format!("/dev/net/tun: {why}")), ..tried }
}

/// The same: packets are handed to it where they enter the bridge's ports.
fn divert(isolation: Isolation) -> Capability {
    let mut command = path::command("nft");
    command.arg(
        "add table netdev schism; \
         add chain netdev schism ingress { type filter hook ingress devices = { lo } priority 0; }; \
         add set netdev schism shaped { type ipv4_addr . ipv4_addr; }; \
         add rule netdev schism ingress ip saddr . ip daddr @shaped fwd to lo",
    );
    Capability { name: "divert", required: false, missing: missing(isolation, command), ..NFT }
}

fn vdso(isolation: Isolation) -> Capability {
    Capability {
        name: "vdso",
        required: false,
        missing: clock::trial(isolation == Isolation::UserNamespace).err(),
        fix: "a kernel for x86-64 with a vDSO, started without vdso=0 and proc_mem.force_override=never",
    }
}

/// Makes a small file system in a file and mounts it, in a throw-away mount namespace.
fn ext4_disk(isolation: Isolation) -> Capability {
    let (missing, fix) = match isolation {
        Isolation::Root => (try_ext4().err(), "sudo apt-get install e2fsprogs mount; sudo modprobe -a loop ext4"),
        _ => (Some("only root may mount a file system in a file".to_owned()), "run as root (sudo)"),
    };
    Capability { name: "ext4-disk", required: false, missing, fix }
}

fn try_ext4() -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let directory = std::env::temp_dir().join(format!("schism-ext4-{}", std::process::id()));
    std::fs::create_dir(&directory).map_err(text)?;
    let image = directory.join("image");
    let tried = std::fs::File::create(&image)
        .and_then(|file| file.set_len(64 << 20))
        .map_err(text)
        .and_then(|()| ext4::format(&image))
        .and_then(|()| {
            // Makes mounts private first, so that nobody else sees this one. It goes with the namespace, and the loop
            // device with the mount.
            let mount = ext4::mount_command(&image, &directory);
            ext4::run(path::command("unshare").args(["--mount", "--"]).arg(mount.get_program()).args(mount.get_args()))
        });
    std::fs::remove_file(&image).and_then(|()| std::fs::remove_dir(&directory)).map_err(text)?;
    tried
}

/// A mount in a throw-away namespace. Nobody serves it, and nobody looks into it.
fn fuse(isolation: Isolation) -> Capability {
    let (missing, fix) = match isolation {
        // The servers are another user there only by name, and a mount that others may use is the mounter's right.
        Isolation::UserNamespace | Isolation::None => {
            (Some("only root can mount a file system that the servers use".to_owned()), "sudo schism …")
        }
        Isolation::Root => (try_fuse_mount().err().map(|error| error.to_string()), "sudo modprobe fuse"),
    };
    Capability { name: "fuse", required: false, missing, fix }
}

fn try_fuse_mount() -> io::Result<()> {
    let device = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let device = device.map_err(|error| io::Error::new(error.kind(), format!("/dev/fuse: {error}")))?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    let mut command = Command::new("/proc/self/exe");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let try_it = move || {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("schism"), "/tmp", Some("fuse"), safe, Some(options.as_str()))?;
        // SAFETY: ends the fork before it becomes another program; the namespace and the mount end with it.
        unsafe { nix::libc::_exit(0) };
    };
    // SAFETY: only system calls; the paths are short enough to be passed without allocating.
    unsafe { command.pre_exec(try_it) };
    let tried = command.status().map(drop);
    drop(device);
    tried.map_err(|error| io::Error::new(error.kind(), format!("mount: {error}")))
}

/// Runs a command in throw-away namespaces. With `only_enter`, stops before the exec: entering is what is tried.
fn in_namespaces(isolation: Isolation, mut command: Command, only_enter: bool) -> io::Result<()> {
    let maps = match isolation {
        Isolation::Root => None,
        Isolation::UserNamespace => Some(IdMaps::to_root()),
        Isolation::None => return Err(io::Error::other("no namespaces")),
    };
    let enter = move || {
        let mut namespaces = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
        namespaces |= CloneFlags::CLONE_NEWIPC;
        if maps.is_some() {
            namespaces |= CloneFlags::CLONE_NEWUSER;
        }
        unshare(namespaces)?;
        maps.as_ref().map_or(Ok(()), IdMaps::write)?;
        if only_enter {
            // SAFETY: ends the fork before it becomes another program.
            unsafe { nix::libc::_exit(0) };
        }
        Ok(())
    };
    command.stdin(Stdio::null());
    // SAFETY: only system calls, nothing is allocated.
    unsafe { command.pre_exec(enter) };
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

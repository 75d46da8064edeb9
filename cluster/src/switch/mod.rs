//! Links that are worse than a bridge: delay, loss, duplicates, disorder, wrong bits, little bandwidth, and connections
//! that end badly.
//!
//! Hosts stay on their bridge. A link that is shaped is diverted (`divert.rs`) to a process of ours, the switch
//! (`process.rs`), which holds one TAP device on the same bridge, does to each packet what the rules of its directed
//! link say (`rule.rs`), and writes what survives back when it is due (`relay.rs`); the bridge then delivers it. So
//! links without rules keep the kernel's speed, a cut still cuts what comes out of the switch, and nothing of it needs
//! a kernel with netem: it is the same on every machine.
//!
//! The rules are a file (`table.rs`), by fault; steps of any process change it. When the switch dies, shaped links are
//! silent until their faults end: see [`remains`].
//!
//! Not done: other protocols than IPv4; frames beyond 1500 bytes of content.

mod capture;
mod chance;
mod divert;
mod frame;
mod process;
mod relay;
mod rule;
mod table;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

pub use chance::Distribution;
pub use process::internal_switch;
pub use rule::{Corruption, Rule};

use crate::error::{Doing, StepError};
use crate::info::SandboxInfo;
use crate::sandbox::FILES;
use crate::step::run_helper;
use process::{DONE, RELOAD};
use table::{Entry, NamedLink, Table};

/// The switch's device on the bridge.
const DEVICE: &str = "schism-switch";
/// It answers in microseconds; the rest is for a machine that is very loaded.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Where the switch keeps its files, in the sandbox's memory.
#[derive(Debug)]
struct Files {
    directory: PathBuf,
}

impl Files {
    fn locate() -> Self {
        Self { directory: Path::new(FILES).join("switch") }
    }
}

/// What a fault does to some directed links.
#[derive(Debug)]
pub(crate) struct Shaping<'a> {
    pub(crate) id: u32,
    pub(crate) pairs: &'a [(String, String)],
    pub(crate) rule: Rule,
    pub(crate) seed: u64,
    pub(crate) pcap: bool,
}

/// Puts a fault's rule on links, starts the switch if it does not run, and diverts the links to it.
pub(crate) fn shape(info: &SandboxInfo, shaping: &Shaping<'_>) -> Result<(), StepError> {
    let address = |host: &str| info.address(host).ok_or_else(|| StepError::UnknownHost(host.to_owned()));
    let named = |(from, to): &(String, String)| -> Result<NamedLink, StepError> {
        let (source, destination) = (address(from)?, address(to)?);
        Ok(NamedLink { from: from.clone(), to: to.clone(), source, destination })
    };
    let links = shaping.pairs.iter().map(named).collect::<Result<_, _>>()?;
    let Shaping { id, rule, seed, .. } = *shaping;
    let capture = shaping.pcap.then(|| info.nodes_dir.join(format!("fault-{id}")));
    change(info, |table| table.put(Entry { id, rule, seed, links, capture }))
}

/// Takes a fault's rule away. What is still on its way over a link without further rules is delivered at once.
pub(crate) fn unshape(info: &SandboxInfo, id: u32) -> Result<(), StepError> {
    if !Files::locate().table().exists() {
        // Nothing was ever shaped.
        return Ok(());
    }
    change(info, |table| table.remove(id))
}

fn change(info: &SandboxInfo, edit: impl FnOnce(&mut Table)) -> Result<(), StepError> {
    let files = Files::locate();
    fs::create_dir_all(files.as_path()).doing(|| format!("make {}", files.as_path().display()))?;
    let lock = fs::File::create(files.lock()).doing(|| "make the switch's lock".to_owned())?;
    // The controller and the guardian may both be at it.
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|refused| refused.1)
        .doing(|| "lock the switch".to_owned())?;
    let mut table = Table::read(&files.table()).doing(|| "read the switch's table".to_owned())?;
    let before = table.links();
    edit(&mut table);
    let links = table.links();
    table.write(&files.table()).doing(|| "write the switch's table".to_owned())?;
    // Links are released before their rules go and get their rules before they are diverted: a packet finds either
    // the switch and its rules, or the plain bridge.
    if before.iter().any(|link| !links.contains(link)) {
        divert::divert(info, &links)?;
    }
    if links.is_empty() {
        // Dead or alive, it has nothing to do any more; alive, it lets go of what waits.
        return if is_running(&files) { tell(&files) } else { Ok(()) };
    }
    if is_running(&files) {
        tell(&files)?;
    } else {
        let mut helper = Command::new(&info.helper);
        helper.arg("internal-switch").arg(files.as_path());
        run_helper(&mut helper).map_err(StepError::Switch)?;
    }
    divert::divert(info, &links)
}

fn is_running(files: &Files) -> bool {
    // Only a living process has it: the file of a dead one refuses.
    UnixDatagram::unbound().and_then(|socket| socket.connect(files.socket())).is_ok()
}

/// Makes it read its table; returns when it has.
fn tell(files: &Files) -> Result<(), StepError> {
    let ask = || -> std::io::Result<String> {
        // Of somebody who was here before and went without an answer.
        let _ = fs::remove_file(files.asker());
        let socket = UnixDatagram::bind(files.asker())?;
        socket.connect(files.socket())?;
        socket.set_read_timeout(Some(ANSWERS_WITHIN))?;
        socket.set_write_timeout(Some(ANSWERS_WITHIN))?;
        socket.send(RELOAD.as_bytes())?;
        let mut answer = [0; 1_024];
        let length = socket.recv(&mut answer)?;
        fs::remove_file(files.asker())?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    let answer = ask().doing(|| "tell the switch its rules".to_owned())?;
    if answer.starts_with(DONE) { Ok(()) } else { Err(StepError::Switch(answer)) }
}

/// What of shaping is in force, a line each: rules, links that are diverted without one, and whether the switch that
/// they need is dead.
pub(crate) fn remains() -> Result<Vec<String>, StepError> {
    let files = Files::locate();
    let table = Table::read(&files.table()).doing(|| "read the switch's table".to_owned())?;
    let mut found = Vec::new();
    for entry in &table.entries {
        found.extend(entry.links.iter().map(|link| format!("{}: {} (fault {})", link.name(), entry.rule, entry.id)));
    }
    let links = table.links();
    for (from, to) in divert::diverted()? {
        if !links.contains(&(from, to)) {
            found.push(format!("{from}→{to} goes through the switch for no fault"));
        }
    }
    if !table.entries.is_empty() && !is_running(&files) {
        found.push("the switch is dead: shaped links are silent".to_owned());
    }
    Ok(found)
}

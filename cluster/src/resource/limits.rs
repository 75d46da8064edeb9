//! Limits of the servers that run, lowered from outside by prlimit(2): they need not agree, and no restart is needed.
//!
//! Only the soft limit is lowered: the hard one could be raised again by root alone, and servers that raise the soft one
//! by themselves do so when they start. What it was is noted in a file of the node, so that anybody can give it back.
//! A child inherits its parent's; a server that is started anew has the old one and is given the lowered one again by
//! the same step.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, StepError};
use crate::exec::{SERVER_UID, can_become};
use crate::info::NodeInfo;
use crate::{proc, process};

/// A process that forked while its children were listed shows in the next listing.
const ROUNDS: usize = 10;
/// How long a process that is ending may take to be gone, a round.
const ENDING: std::time::Duration = std::time::Duration::from_millis(20);

/// What a process may have only so many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limited {
    /// File descriptors (RLIMIT_NOFILE): lowered to what each process has open.
    Files,
    /// Processes and threads of the user (RLIMIT_NPROC): lowered to none, so that nothing new can be started. (The
    /// kernel counts them per user, and all nodes' servers are one user's: any other number would not be the node's.)
    Processes,
}

impl Limited {
    const fn resource(self) -> libc::__rlimit_resource_t {
        match self {
            Self::Files => libc::RLIMIT_NOFILE,
            Self::Processes => libc::RLIMIT_NPROC,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Processes => "processes",
        }
    }

    /// The limit at which this process can get `spare` more and no others.
    fn lowered(self, pid: u32, spare: u64) -> io::Result<u64> {
        match self {
            Self::Files => Ok(nth_free(&proc::descriptors(pid)?, spare)),
            Self::Processes => Ok(0),
        }
    }

    fn file(self, node: &NodeInfo) -> PathBuf {
        node.directory.join(format!("limit-{}.json", self.name()))
    }
}

/// The number below which exactly `spare` are free. A descriptor gets the lowest free number, and its limit is one on
/// the number and not on how many there are: a server with a gap in its numbers could open as many more.
fn nth_free(open: &std::collections::BTreeSet<u64>, spare: u64) -> u64 {
    let mut free = 0;
    (0..)
        .find(|number| {
            let enough = !open.contains(number) && free == spare;
            free += u64::from(!open.contains(number));
            enough
        })
        .unwrap_or(u64::MAX)
}

/// A server whose limit is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Lowered {
    pid: u32,
    start_ticks: u64,
    before: u64,
    now: u64,
}

/// By the name of the process.
type Notes = BTreeMap<String, Lowered>;

fn read(node: &NodeInfo, limited: Limited) -> Option<Notes> {
    serde_json::from_str(&fs::read_to_string(limited.file(node)).ok()?).ok()
}

/// Lowers the limit of every process of the node's servers. Those that have it already are left as they are.
pub(crate) fn limit(node: &NodeInfo, limited: Limited, spare: u64) -> Result<(), StepError> {
    as_servers_user(|| lower(node, limited, spare)).doing(|| "become the servers' user".to_owned())?
}

fn lower(node: &NodeInfo, limited: Limited, spare: u64) -> Result<(), StepError> {
    let what = || format!("limit the {} of {}", limited.name(), node.name);
    let mut notes = read(node, limited).unwrap_or_default();
    let mut mains = Vec::new();
    for process in &node.processes {
        let Some(pid) = process::main_pid(node, &process.name) else { continue };
        let start_ticks = proc::start_ticks(pid).doing(what)?;
        mains.push(pid);
        let noted = notes.get(&process.name);
        if noted.is_some_and(|noted| (noted.pid, noted.start_ticks) == (pid, start_ticks)) {
            continue;
        }
        // A server that was started anew gets what its forerunner had when it served: what it has open in its first
        // moments would not let it start.
        let now = noted.map_or_else(|| limited.lowered(pid, spare), |noted| Ok(noted.now)).doing(what)?;
        let before = soft(pid, limited).doing(what)?;
        notes.insert(process.name.clone(), Lowered { pid, start_ticks, before, now });
    }
    if mains.is_empty() {
        return Err(StepError::Dead(node.name.clone()));
    }
    // Noted first: whoever undoes it must find it, whatever becomes of us.
    let text = serde_json::to_string(&notes).map_err(io::Error::from).doing(what)?;
    fs::write(limited.file(node), text).doing(what)?;
    for lowered in notes.values().filter(|lowered| mains.contains(&lowered.pid)) {
        ignore_gone(set_soft(lowered.pid, limited, lowered.now)).doing(what)?;
        // Children that were there before: each to what it has itself.
        everywhere_below(node, lowered.pid, |pid| {
            if soft(pid, limited)? < lowered.before {
                return Ok(false);
            }
            set_soft(pid, limited, limited.lowered(pid, spare)?).map(|()| true)
        })
        .doing(what)?;
    }
    Ok(())
}

/// Gives the servers that still run, and their children, the limit that they had.
pub(crate) fn unlimit(node: &NodeInfo, limited: Limited) -> Result<(), StepError> {
    as_servers_user(|| give_back(node, limited)).doing(|| "become the servers' user".to_owned())?
}

fn give_back(node: &NodeInfo, limited: Limited) -> Result<(), StepError> {
    let what = || format!("give {} its {} back", node.name, limited.name());
    let Some(notes) = read(node, limited) else { return Ok(()) };
    for lowered in notes.values() {
        if proc::start_ticks(lowered.pid).ok() != Some(lowered.start_ticks) {
            continue;
        }
        ignore_gone(set_soft(lowered.pid, limited, lowered.before)).doing(what)?;
        everywhere_below(node, lowered.pid, |pid| {
            if soft(pid, limited)? >= lowered.before {
                return Ok(false);
            }
            set_soft(pid, limited, lowered.before).map(|()| true)
        })
        .doing(what)?;
    }
    match fs::remove_file(limited.file(node)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Ok(Err(error).doing(what)?),
        _ => Ok(()),
    }
}

/// Whether a limit is lowered: what is noted and whether it is in force.
pub(crate) fn limited(node: &NodeInfo) -> Vec<String> {
    let both = [Limited::Files, Limited::Processes];
    let in_force = both.into_iter().filter(|limited| read(node, *limited).is_some());
    in_force.map(|limited| format!("limit of {} on {}", limited.name(), node.name)).collect()
}

/// Acts on every process below this one, until a look finds none on which it still had to act.
fn everywhere_below(node: &NodeInfo, main: u32, mut act: impl FnMut(u32) -> io::Result<bool>) -> io::Result<()> {
    let mut refused = None;
    for _ in 0..ROUNDS {
        let parents: BTreeMap<u32, u32> =
            process::pids(node)?.into_iter().filter_map(|pid| Some((pid, proc::parent(pid)?))).collect();
        let mut acted = false;
        refused = None;
        for pid in parents.keys().copied().filter(|pid| is_below(&parents, *pid, main)) {
            match act(pid) {
                Ok(done) => acted |= done,
                // One that is ending has no memory any more, and then nobody may look at it: it is gone in a moment.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refused = Some(error),
                Err(error) => ignore_gone(Err(error))?,
            }
        }
        if refused.is_some() {
            std::thread::sleep(ENDING);
        } else if !acted {
            return Ok(());
        }
    }
    refused.map_or(Ok(()), Err)
}

fn is_below(parents: &BTreeMap<u32, u32>, pid: u32, main: u32) -> bool {
    let mut above = pid;
    // No chain is longer than there are processes.
    for _ in 0..parents.len() {
        match parents.get(&above) {
            Some(parent) if *parent == main => return true,
            Some(parent) => above = *parent,
            None => return false,
        }
    }
    false
}

/// A process may end at any moment, and then has nothing to be limited.
fn ignore_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}

/// Runs something in a thread whose real user is the servers'. A process may change the limits of those of its own user
/// (prlimit(2)); for another's it needs CAP_SYS_RESOURCE, which root in a container may lack. The effective user stays
/// root, for the files that it reads. Without other users in our user namespace the servers are of ours already.
fn as_servers_user<T: Send>(act: impl FnOnce() -> T + Send) -> io::Result<T> {
    let become_it = || -> io::Result<()> {
        if !can_become(SERVER_UID)? {
            return Ok(());
        }
        const KEEP: libc::c_long = -1;
        for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
            // SAFETY: plain system calls. Not through libc, which would change the user of all threads.
            if unsafe { libc::syscall(call, libc::c_long::from(SERVER_UID), KEEP, KEEP) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    let run = || become_it().map(|()| act());
    let joined = std::thread::scope(|scope| scope.spawn(run).join());
    joined.unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

fn soft(pid: u32, limited: Limited) -> io::Result<u64> {
    prlimit(pid, limited, None).map(|limit| limit.rlim_cur)
}

fn set_soft(pid: u32, limited: Limited, soft: u64) -> io::Result<()> {
    let hard = prlimit(pid, limited, None)?.rlim_max;
    prlimit(pid, limited, Some(libc::rlimit { rlim_cur: soft.min(hard), rlim_max: hard })).map(drop)
}

/// The limit as it was, and the new one set.
fn prlimit(pid: u32, limited: Limited, new: Option<libc::rlimit>) -> io::Result<libc::rlimit> {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `new` is null or a live value, `before` is a live value.
    if unsafe { libc::prlimit(pid.cast_signed(), limited.resource(), new, &mut before) } == 0 {
        return Ok(before);
    }
    Err(io::Error::last_os_error())
}

/// How many more descriptors the node's servers may open: of several the one that may open most.
pub(crate) fn free_descriptors(node: &NodeInfo) -> Result<f64, String> {
    as_servers_user(|| most_free_descriptors(node)).map_err(|error| error.to_string())?
}

fn most_free_descriptors(node: &NodeInfo) -> Result<f64, String> {
    let mut most = None;
    for process in &node.processes {
        let Some(pid) = process::main_pid(node, &process.name) else { continue };
        let text = |error: io::Error| error.to_string();
        let open = proc::descriptors(pid).map_err(text)?;
        let limit = soft(pid, Limited::Files).map_err(text)?;
        let free = limit - open.range(..limit).count() as u64;
        most = most.max(Some(free));
    }
    most.map(|free| free as f64).ok_or_else(|| format!("{} has no server process", node.name))
}

/// In how many of the node's servers the kernel would let a new process or thread start: in percent.
pub(crate) fn may_start_processes(node: &NodeInfo) -> Result<f64, String> {
    let mains = node.processes.iter().filter_map(|process| process::main_pid(node, &process.name));
    let mains: Vec<u32> = mains.collect();
    let limits = || mains.iter().map(|pid| soft(*pid, Limited::Processes)).collect::<io::Result<Vec<_>>>();
    let limits = as_servers_user(limits).and_then(|limits| limits).map_err(|error| error.to_string())?;
    if limits.is_empty() {
        return Err(format!("{} has no server process", node.name));
    }
    let may = limits.iter().filter(|limit| **limit > 0).count();
    Ok(100.0 * may as f64 / limits.len() as f64)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_limit_leaves_exactly_the_spare_ones_free() {
        let open = [0, 1, 2, 4, 5, 9].into();
        let limits: Vec<u64> = (0..5).map(|spare| nth_free(&open, spare)).collect();
        assert_eq!(limits, [3, 6, 7, 8, 10]);
        assert_eq!(nth_free(&[].into(), 0), 0);
    }

    #[test]
    fn only_descendants_are_below() {
        let parents = BTreeMap::from([(10, 1), (11, 10), (12, 11), (20, 1)]);
        let below: Vec<u32> = parents.keys().copied().filter(|pid| is_below(&parents, *pid, 10)).collect();
        assert_eq!(below, [11, 12]);
    }

    #[test]
    fn another_processs_limit_is_lowered_and_given_back() {
        let mut child = Command::new("sleep").arg("30").stdin(Stdio::null()).spawn().unwrap();
        let before = soft(child.id(), Limited::Files).unwrap();
        set_soft(child.id(), Limited::Files, 7).unwrap();
        assert_eq!(soft(child.id(), Limited::Files).unwrap(), 7);
        set_soft(child.id(), Limited::Files, before).unwrap();
        assert_eq!(soft(child.id(), Limited::Files).unwrap(), before);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

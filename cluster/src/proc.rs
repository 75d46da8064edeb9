//! What `/proc` says of processes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};

/// When the process started (field 22 of `/proc/PID/stat`): with its number this names a process for good.
pub(crate) fn start_ticks(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = after_name(&stat).and_then(|mut fields| fields.nth(19)).and_then(|ticks| ticks.parse().ok());
    ticks.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "malformed /proc/PID/stat"))
}

/// How long the process has run, in milliseconds; the kernel counts in hundredths of a second.
pub(crate) fn age_ms(pid: u32) -> io::Result<u64> {
    Ok(uptime_ms()?.saturating_sub(start_ticks(pid)? * 1_000 / ticks_per_s()?))
}

/// How long the machine has been up, in milliseconds: a clock that all processes share and nobody sets.
pub(crate) fn uptime_ms() -> io::Result<u64> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed /proc/uptime");
    let uptime = fs::read_to_string("/proc/uptime")?;
    let uptime_s: f64 = uptime.split(' ').next().and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
    Ok((uptime_s * 1_000.0) as u64)
}

/// Processor time that the process has used, all threads, in milliseconds.
pub(crate) fn cpu_ms(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = after_name(&stat).map(Iterator::collect).unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok());
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed /proc/PID/stat");
    let (user, system) = ticks(11).zip(ticks(12)).ok_or_else(malformed)?;
    Ok((user + system) * 1_000 / ticks_per_s()?)
}

fn ticks_per_s() -> io::Result<u64> {
    Ok(sysconf(SysconfVar::CLK_TCK)?
        .and_then(|ticks| u64::try_from(ticks).ok())
        .filter(|ticks| *ticks > 0)
        .unwrap_or(100))
}

/// Whose child it is.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    after_name(&stat)?.nth(1)?.parse().ok()
}

/// What of the process is in memory, in KiB.
pub(crate) fn resident_kib(pid: u32) -> io::Result<u64> {
    kib_of(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// What the machine could give to processes without swapping, in bytes.
pub(crate) fn memory_available() -> io::Result<u64> {
    Ok(kib_of("/proc/meminfo", "MemAvailable:")? * 1024)
}

fn kib_of(file: &str, key: &str) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    kib.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no {key} in {file}")))
}

/// The numbers of the process' open descriptors.
pub(crate) fn descriptors(pid: u32) -> io::Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        found.extend(entry?.file_name().to_string_lossy().parse::<u64>());
    }
    Ok(found)
}

/// The inodes of the process' sockets.
pub(crate) fn socket_inodes(pid: u32) -> io::Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // It may be closed at any moment.
        let Ok(link) = fs::read_link(entry?.path()) else { continue };
        let link = link.to_string_lossy();
        found.extend(link.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')?.parse::<u64>().ok()));
    }
    Ok(found)
}

/// The state letter: `R`, `S`, `T` (stopped), `Z`, …
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    after_name(&stat)?.next()?.chars().next()
}

/// The fields after the name, which may itself hold spaces and brackets.
fn after_name(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace())
}

/// All processes whose network namespace is this file's. A process that has ended has none.
pub(crate) fn pids_in_netns(netns: &Path) -> io::Result<Vec<u32>> {
    let wanted = fs::metadata(netns)?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_string_lossy().parse::<u32>().ok() else { continue };
        // It may end at any moment: no answer means that it is gone.
        if let Ok(actual) = fs::metadata(format!("/proc/{pid}/ns/net"))
            && (actual.dev(), actual.ino()) == (wanted.dev(), wanted.ino())
        {
            found.push(pid);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_our_own_process() {
        let pid = std::process::id();
        assert!(start_ticks(pid).unwrap() > 0);
        assert!(age_ms(pid).unwrap() < 3_600_000);
        assert!(matches!(state(pid), Some('R' | 'S')));
        assert!(cpu_ms(pid).unwrap() < 3_600_000 && resident_kib(pid).unwrap() > 100);
        assert!(memory_available().unwrap() > 1 << 20);
        let _socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(descriptors(pid).unwrap().contains(&0) && !socket_inodes(pid).unwrap().is_empty());
        assert_eq!(parent(pid), Some(std::os::unix::process::parent_id()));
        assert!(pids_in_netns(Path::new("/proc/self/ns/net")).unwrap().contains(&pid));
    }
}

//! Which process that is: a number alone may be another process by now.

use std::{fs, io, path::Path, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};

/// A process, told apart from a later one with the same number by when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProcessId {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub start_ticks: u64,
}

impl ProcessId {
    /// The process that has this number now.
    ///
    /// # Errors
    /// There is none, or `/proc` cannot be read.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let start_ticks = parse_stat(&stat).map(|(_, ticks)| ticks);
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is malformed"));
        start_ticks.map(|start_ticks| Self { pid, start_ticks }).ok_or_else(malformed)
    }

    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still exists. A zombie does not: it holds nothing but its number.
    #[must_use]
    pub fn is_alive(self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok();
        let found = stat.as_deref().and_then(parse_stat);
        found.is_some_and(|(state, ticks)| ticks == self.start_ticks && !matches!(state, 'Z' | 'X'))
    }

    /// SIGKILL, then waits until it is gone. One that is gone already is no error. Between the look and the signal
    /// the number could only come to mean another process if all numbers were used up in those microseconds.
    pub(crate) fn kill(self, patience: Duration) -> io::Result<()> {
        let wait = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while self.is_alive() {
            match kill(pid_of(self.pid)?, Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error.into()),
            }
            if waited >= patience {
                let text = format!("process {} is still there {} s after SIGKILL", self.pid, patience.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(wait);
            waited += wait;
        }
        Ok(())
    }
}

fn pid_of(pid: u32) -> io::Result<Pid> {
    // 0 and negative numbers mean whole groups of processes, 1 is the machine's own.
    match i32::try_from(pid) {
        Ok(number) if number > 1 => Ok(Pid::from_raw(number)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{pid} is no process to kill"))),
    }
}

/// State and start time. The name in parentheses may itself hold spaces and parentheses, so fields count from the last.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3, the start time field 22.
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// Which start of the machine this is. A process of another one is gone, whatever its number.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id"))?.trim().to_owned())
}

/// Milliseconds since boot: a clock that all processes of the machine share and nobody sets.
pub(crate) fn uptime_ms() -> io::Result<u64> {
    let uptime = fs::read_to_string("/proc/uptime")?;
    let (seconds, hundredths) =
        uptime.split_ascii_whitespace().next().and_then(|text| text.split_once('.')).unwrap_or_default();
    match (seconds.parse::<u64>(), hundredths.parse::<u64>()) {
        (Ok(seconds), Ok(hundredths)) => Ok(seconds * 1_000 + hundredths * 10),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "/proc/uptime is malformed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 12345 20";
        assert_eq!(parse_stat(&format!("7 (a b) c) {rest}")), Some(('S', 12_345)));
        assert_eq!(parse_stat("7 (x) S 1 2"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn this_process_lives_and_an_older_one_of_its_number_does_not() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start_ticks: own.start_ticks + 1, ..own }.is_alive());
    }

    #[test]
    fn killing_waits_and_can_be_repeated() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let process = ProcessId::of(child.id()).unwrap();
        process.kill(Duration::from_secs(5)).unwrap();
        assert!(!process.is_alive());
        process.kill(Duration::ZERO).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn nothing_is_killed_by_a_group_number() {
        assert!(pid_of(0).is_err() && pid_of(1).is_err() && pid_of(u32::MAX).is_err());
    }

    #[test]
    fn the_clock_goes_forward() {
        let first = uptime_ms().unwrap();
        assert!(first > 0 && uptime_ms().unwrap() >= first);
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}

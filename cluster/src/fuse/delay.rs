//! Operations that wait. A waiting one takes no thread, so that it delays no other.
//!
//! A process that is killed cannot die before its operation has been answered (the kernel waits for the file system
//! once it has taken the request), nor is it frozen. So a wait ends early when its process was sent SIGKILL or its node
//! is to be frozen: with a delay of a minute, a kill would else fail to take hold.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::sandbox::cgroup;

/// Threads that carry out what has waited: each may itself wait for a real disk.
const WORKERS: usize = 4;

/// How often it is looked whether waiting still makes sense.
const LOOK: Duration = Duration::from_millis(20);

type Work = Box<dyn FnOnce() + Send>;

struct Waiting {
    until: Instant,
    /// First come, first served, among those of the same moment.
    number: u64,
    /// The thread that asked, 0 if the kernel did so by itself.
    asker: u32,
    work: Work,
}

impl Waiting {
    const fn order(&self) -> (Instant, u64) {
        (self.until, self.number)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    /// The heap gives its greatest first: the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.order().cmp(&self.order())
    }
}

#[derive(Default)]
struct Queue {
    waiting: BinaryHeap<Waiting>,
    count: u64,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    cgroup: Option<PathBuf>,
}

/// The operations of one node that wait.
#[derive(Clone)]
pub(super) struct Delays(Arc<Shared>);

impl Delays {
    /// Starts the threads; they live as long as the process.
    pub(super) fn start(cgroup: Option<PathBuf>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), cgroup });
        for _ in 0..WORKERS {
            let shared = Arc::clone(&shared);
            thread::Builder::new().name("delayed".to_owned()).spawn(move || shared.work())?;
        }
        let watched = Arc::clone(&shared);
        thread::Builder::new().name("delays".to_owned()).spawn(move || watched.watch())?;
        Ok(Self(shared))
    }

    /// Does the work after this time.
    pub(super) fn run_after(&self, delay: Duration, asker: u32, work: impl FnOnce() + Send + 'static) {
        let mut queue = self.0.lock();
        queue.count += 1;
        let number = queue.count;
        queue.waiting.push(Waiting { until: Instant::now() + delay, number, asker, work: Box::new(work) });
        drop(queue);
        self.0.changed.notify_all();
    }

    /// Ends all waits: nothing is slow any more.
    pub(super) fn end_all(&self) {
        self.0.hurry(|_| true);
    }
}

impl Shared {
    /// Makes due what these threads wait for.
    fn hurry(&self, asked_by: impl Fn(u32) -> bool) {
        let mut queue = self.lock();
        let now = Instant::now();
        let hurry = |mut waiting: Waiting| {
            if asked_by(waiting.asker) {
                waiting.until = now;
            }
            waiting
        };
        queue.waiting = std::mem::take(&mut queue.waiting).into_iter().map(hurry).collect();
        drop(queue);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            let now = Instant::now();
            let first = queue.waiting.peek().map(|first| first.until);
            queue = match first {
                Some(until) if until <= now => {
                    let due = queue.waiting.pop();
                    drop(queue);
                    if let Some(due) = due {
                        (due.work)();
                    }
                    self.lock()
                }
                Some(until) => self.changed.wait_timeout(queue, until - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Ends waits that only keep a process from dying or freezing.
    fn watch(&self) {
        loop {
            let askers: Vec<u32> = {
                let mut queue = self.lock();
                while queue.waiting.is_empty() {
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
                queue.waiting.iter().map(|waiting| waiting.asker).collect()
            };
            let frozen = self.frozen();
            let hurried: Vec<u32> = askers.into_iter().filter(|&asker| is_hurried(asker, &frozen)).collect();
            if !hurried.is_empty() {
                self.hurry(|asker| hurried.contains(&asker));
            }
            thread::sleep(LOOK);
        }
    }

    /// The node's processes, if they are to be frozen; the file says so from the moment that somebody wants it.
    fn frozen(&self) -> Vec<u32> {
        let Some(cgroup) = &self.cgroup else { return Vec::new() };
        let wanted = fs::read_to_string(cgroup.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1");
        if wanted { cgroup::pids(cgroup).unwrap_or_default() } else { Vec::new() }
    }
}

/// Whether this thread was sent SIGKILL, or its process is one of these.
fn is_hurried(thread: u32, frozen: &[u32]) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{thread}/status")) else { return false };
    let field = |name: &str| status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
    let has_kill =
        |mask: &str| u64::from_str_radix(mask, 16).is_ok_and(|mask| mask & (1 << (nix::libc::SIGKILL - 1)) != 0);
    let killed = ["SigPnd:", "ShdPnd:"].into_iter().filter_map(field).any(has_kill);
    killed || field("Tgid:").and_then(|tgid| tgid.parse().ok()).is_some_and(|tgid| frozen.contains(&tgid))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_long_wait_delays_no_other_and_the_order_is_that_of_time() {
        let delays = Delays::start(None).unwrap();
        let (sender, done) = mpsc::channel();
        let begin = Instant::now();
        for (name, delay_ms) in [("long", 400), ("none", 0), ("short", 100)] {
            let sender = sender.clone();
            delays.run_after(Duration::from_millis(delay_ms), 0, move || sender.send((name, begin.elapsed())).unwrap());
        }
        let order: Vec<_> = done.iter().take(3).collect();
        assert_eq!(order.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["none", "short", "long"]);
        for ((_, took), asked_ms) in order.iter().zip([0, 100, 400]) {
            assert!(took.as_millis() >= asked_ms, "{took:?}");
        }
    }

    #[test]
    fn only_the_killed_and_the_frozen_are_hurried() {
        let own = std::process::id();
        assert!(!is_hurried(own, &[]));
        assert!(is_hurried(own, &[own]));
        assert!(!is_hurried(0, &[own]));
    }
}

//! Thresholds on what clients see, looked at each second: crossing one heals every fault at once and ends the faults.

use std::{collections::VecDeque, time::Duration};

use hdrhistogram::Histogram;
use schism_checker::{
    availability::ANSWERS,
    history::{EventType, OpError},
};
use schism_nemesis::Share;
use schism_workloads::client::CAS_MISMATCH;
use serde::{Deserialize, Serialize};

use super::prometheus::{self, Prometheus};
use crate::exit::usage;

/// How often they are looked at.
const LOOK_NS: u64 = 1_000_000_000;
/// Unless told, over so long.
const WINDOW_MS: u64 = 10_000;
const WINDOW_MAX_MS: u64 = 600_000;
/// A share of fewer operations than this says nothing.
const OPS_MIN: u64 = 20;
/// The longest latency that is told apart from longer ones.
const LATENCY_MAX_US: u64 = 60_000_000;

/// When the faults of a run end early.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Thresholds {
    /// More than this share of operations failed or were indeterminate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_rate: Option<Share>,
    /// Operations that ended ok took longer than this at the 99th percentile, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p99_ms: Option<u64>,
    /// Less than this share of the clients was free for the whole window: the others wait for the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) free_workers: Option<Share>,
    /// Over how long, in milliseconds; the last so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) window_ms: Option<u64>,
    /// What a Prometheus says, which the launcher asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) prometheus: Vec<Prometheus>,
}

impl Thresholds {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing of what clients see is watched.
    fn watches_no_client(&self) -> bool {
        self.error_rate.is_none() && self.p99_ms.is_none() && self.free_workers.is_none()
    }

    fn window_ms(&self) -> u64 {
        self.window_ms.unwrap_or(WINDOW_MS)
    }

    pub(super) fn validate(&self) -> anyhow::Result<()> {
        if !(1_000..=WINDOW_MAX_MS).contains(&self.window_ms()) {
            return Err(usage(format!(
                "thresholds are looked at over 1 s to {} s, not {} ms",
                WINDOW_MAX_MS / 1_000,
                self.window_ms()
            )));
        }
        prometheus::validate(&self.prometheus)?;
        if self.window_ms.is_some() && self.watches_no_client() {
            return Err(usage("a window without a threshold watches nothing: give --abort-error-rate or another"));
        }
        if self.p99_ms.is_some_and(|p99_ms| p99_ms == 0 || p99_ms * 1_000 >= LATENCY_MAX_US) {
            return Err(usage(format!("a latency to abort at is between 1 ms and {} s", LATENCY_MAX_US / 1_000_000)));
        }
        Ok(())
    }
}

/// One second of what clients saw.
struct Second {
    end_ns: u64,
    ended: u64,
    errors: u64,
    /// The most clients that were free at any moment that was looked at.
    free_max: u32,
    latencies_us: Histogram<u32>,
}

/// Looks whether a threshold is crossed. Pure: it is told what happens and when.
pub(crate) struct Watchdog {
    thresholds: Thresholds,
    clients: u32,
    /// The last window, oldest first; the last one is not over yet.
    seconds: VecDeque<Second>,
}

impl Watchdog {
    pub(crate) fn new(thresholds: Thresholds, clients: u32) -> Self {
        Self { thresholds, clients, seconds: VecDeque::new() }
    }

    /// An operation has ended. A compare-and-set that found another value worked, and so did other answers.
    pub(crate) fn ended(&mut self, now_ns: u64, kind: EventType, error: Option<&OpError>, latency: Duration) {
        let Some(second) = self.second(now_ns) else { return };
        second.ended += 1;
        let answers = |class: &str| class == CAS_MISMATCH || ANSWERS.contains(&class);
        let worked = error.is_none_or(|error| answers(&error.class));
        second.errors += u64::from(kind == EventType::Info || (kind == EventType::Fail && !worked));
        if kind == EventType::Ok {
            second.latencies_us.saturating_record((latency.as_micros() as u64).max(1));
        }
    }

    /// So many clients are free now.
    pub(crate) fn free(&mut self, now_ns: u64, free: u32) {
        if let Some(second) = self.second(now_ns) {
            second.free_max = second.free_max.max(free);
        }
    }

    /// The second that is going on; `None` where nothing is watched.
    fn second(&mut self, now_ns: u64) -> Option<&mut Second> {
        if self.thresholds.watches_no_client() {
            return None;
        }
        if self.seconds.back().is_none_or(|second| now_ns >= second.end_ns) {
            // Aligned to the first, so that a loop that was late does not stretch a second.
            let begin_ns = self.seconds.back().map_or(now_ns, |second| now_ns - (now_ns - second.end_ns) % LOOK_NS);
            let latencies_us = Histogram::new_with_bounds(1, LATENCY_MAX_US, 2).ok()?;
            self.seconds.push_back(Second {
                end_ns: begin_ns + LOOK_NS,
                ended: 0,
                errors: 0,
                free_max: 0,
                latencies_us,
            });
            let window = self.thresholds.window_ms().div_ceil(1_000) as usize;
            while self.seconds.len() > window + 1 {
                self.seconds.pop_front();
            }
        }
        self.seconds.back_mut()
    }

    /// Which threshold the last window crossed, if one did. Nothing is said before a whole window was seen.
    pub(crate) fn crossed(&mut self, now_ns: u64) -> Option<String> {
        self.second(now_ns)?;
        let window = self.thresholds.window_ms().div_ceil(1_000) as usize;
        // The second that goes on is not over: what it lacks would look like an outage.
        let whole: Vec<&Second> = self.seconds.iter().rev().skip(1).take(window).collect();
        if whole.len() < window {
            return None;
        }
        let ended: u64 = whole.iter().map(|second| second.ended).sum();
        let errors: u64 = whole.iter().map(|second| second.errors).sum();
        if let Some(limit) = self.thresholds.error_rate
            && ended >= OPS_MIN
            && errors as f64 > limit.fraction() * ended as f64
        {
            let percent = 100.0 * errors as f64 / ended as f64;
            return Some(format!("{percent:.1} % of {ended} operations failed in {window} s, and {limit} may"));
        }
        if let Some(limit_ms) = self.thresholds.p99_ms {
            let mut all = Histogram::<u32>::new_with_bounds(1, LATENCY_MAX_US, 2).ok()?;
            for second in &whole {
                all.add(&second.latencies_us).ok()?;
            }
            let p99_ms = all.value_at_quantile(0.99) as f64 / 1e3;
            if all.len() >= OPS_MIN && p99_ms > limit_ms as f64 {
                return Some(format!("the 99th percentile of {window} s was {p99_ms:.0} ms, and {limit_ms} ms may be"));
            }
        }
        if let Some(limit) = self.thresholds.free_workers {
            let free = whole.iter().map(|second| second.free_max).max().unwrap_or(0);
            if f64::from(free) < limit.fraction() * f64::from(self.clients) {
                return Some(format!(
                    "at most {free} of {} clients were free at any moment of {window} s, and {limit} must be",
                    self.clients
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn watchdog(toml: &str) -> Watchdog {
        let thresholds: Thresholds = toml::from_str(toml).unwrap();
        thresholds.validate().unwrap();
        Watchdog::new(thresholds, 10)
    }

    /// So many operations a second from one second to another.
    fn run(dog: &mut Watchdog, from_s: u64, to_s: u64, kind: EventType, per_s: u64, latency_ms: u64) {
        for second in from_s..to_s {
            for op in 0..per_s {
                let at_ns = second * SECOND + op * SECOND / per_s;
                dog.free(at_ns, 5);
                dog.ended(at_ns, kind, None, Duration::from_millis(latency_ms));
            }
        }
    }

    #[test]
    fn an_error_rate_is_crossed_by_a_whole_window_of_errors_only() {
        let mut dog = watchdog("error-rate = \"50%\"\nwindow-ms = 2000");
        run(&mut dog, 0, 5, EventType::Ok, 50, 1);
        assert_eq!(dog.crossed(5 * SECOND), None);
        run(&mut dog, 5, 6, EventType::Info, 50, 1);
        assert_eq!(dog.crossed(6 * SECOND), None, "half of two seconds");
        run(&mut dog, 6, 7, EventType::Info, 50, 1);
        let said = dog.crossed(7 * SECOND).unwrap();
        assert_eq!(said, "100.0 % of 100 operations failed in 2 s, and 50% may");
    }

    #[test]
    fn a_compare_and_set_that_found_another_value_is_no_error() {
        let mut dog = watchdog("error-rate = \"10%\"\nwindow-ms = 1000");
        let mismatch = OpError { class: CAS_MISMATCH.into(), text: "".into() };
        for op in 0..200 {
            dog.ended(op * SECOND / 100, EventType::Fail, Some(&mismatch), Duration::from_millis(1));
        }
        assert_eq!(dog.crossed(2 * SECOND), None);
        let refused = OpError { class: "connect".into(), text: "".into() };
        for op in 200..400 {
            dog.ended(op * SECOND / 100, EventType::Fail, Some(&refused), Duration::from_millis(1));
        }
        assert!(dog.crossed(4 * SECOND).is_some());
    }

    #[test]
    fn a_latency_is_that_of_what_ended_ok() {
        let mut dog = watchdog("p99-ms = 100\nwindow-ms = 2000");
        run(&mut dog, 0, 4, EventType::Ok, 50, 20);
        assert_eq!(dog.crossed(4 * SECOND), None);
        run(&mut dog, 4, 6, EventType::Info, 50, 2_000);
        assert_eq!(dog.crossed(6 * SECOND), None);
        run(&mut dog, 6, 8, EventType::Ok, 50, 200);
        assert!(dog.crossed(8 * SECOND).unwrap().contains("the 99th percentile of 2 s was 2"));
    }

    #[test]
    fn clients_that_all_wait_are_noticed_though_nothing_ends() {
        let mut dog = watchdog("free-workers = \"20%\"\nwindow-ms = 3000");
        run(&mut dog, 0, 4, EventType::Ok, 50, 1);
        for at in 40..80 {
            dog.free(at * SECOND / 10, 1);
            assert_eq!(dog.crossed(at * SECOND / 10).is_some(), at >= 70, "{at}");
        }
    }

    #[test]
    fn what_watches_nothing_is_refused() {
        for wrong in ["window-ms = 2000", "p99-ms = 0", "error-rate = \"5%\"\nwindow-ms = 1"] {
            let thresholds: Thresholds = toml::from_str(wrong).unwrap();
            assert!(thresholds.validate().is_err(), "{wrong}");
        }
        assert!(toml::from_str::<Thresholds>("error-rat = \"5%\"").is_err());
        assert!(Watchdog::new(Thresholds::default(), 3).crossed(SECOND).is_none());
    }
}

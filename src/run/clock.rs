//! The run's clock: monotonic nanoseconds since its start, the same for clients, nemesis and monitor.

use std::time::{Duration, Instant};

/// A copyable view of one start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now_ns(self) -> u64 {
        // 584 years fit.
        self.start.elapsed().as_nanos() as u64
    }

    /// The instant of a time on this clock, for timers.
    pub(crate) fn instant(self, time_ns: u64) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + Duration::from_nanos(time_ns))
    }
}

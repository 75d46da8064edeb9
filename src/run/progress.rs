//! The progress line: operations, rate, p99, fault in force, time left.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use schism_checker::history::{EventType, Phase};

/// How often the line is drawn anew.
const REDRAW_NS: u64 = 250_000_000;

/// Counts operations and shows them on a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    ok: Arc<AtomicU64>,
    fail: AtomicU64,
    info: AtomicU64,
    due_ns: AtomicU64,
    last: Mutex<(u64, u64)>,
}

impl Progress {
    /// A line on standard error, or none with `hidden` or where standard error is no terminal.
    pub(crate) fn new(hidden: bool) -> Self {
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self {
            bar,
            ok: Arc::default(),
            fail: AtomicU64::new(0),
            info: AtomicU64::new(0),
            due_ns: AtomicU64::new(0),
            last: Mutex::new((0, 0)),
        }
    }

    /// Shows a step that is not an operation: set-up, checking.
    pub(crate) fn say(&self, message: &str) {
        self.bar.set_message(message.to_owned());
        self.bar.tick();
    }

    /// Operations that have ended ok, as it goes on.
    pub(crate) fn ok(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.ok)
    }

    pub(crate) fn count(&self, kind: EventType) {
        match kind {
            EventType::Ok => &self.ok,
            EventType::Fail => &self.fail,
            EventType::Info | EventType::Invoke => &self.info,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.due_ns.load(Ordering::Relaxed)
    }

    pub(crate) fn show(&self, now_ns: u64, phase: Phase, faults: &str, p99_ms: f64, left_ns: u64) {
        self.due_ns.store(now_ns + REDRAW_NS, Ordering::Relaxed);
        if self.bar.is_hidden() {
            return;
        }
        let [ok, fail, info] = [&self.ok, &self.fail, &self.info].map(|count| count.load(Ordering::Relaxed));
        let total = ok + fail + info;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = now_ns.saturating_sub(last.0) as f64 / 1e9;
        let rate = if seconds > 0.0 { (total - last.1) as f64 / seconds } else { 0.0 };
        *last = (now_ns, total);
        let name = match phase {
            Phase::Steady => "steady",
            Phase::Faults => "faults",
            Phase::Heal => "healing",
            Phase::Recovery => "waiting for recovery",
            Phase::FinalReads => "final reads",
            Phase::Done => "done",
            Phase::Interrupted => "interrupted",
        };
        let fault = if faults.is_empty() { String::new() } else { format!("  fault: {faults}") };
        // After the clients' time it is not the clock that decides when it ends.
        let timed = matches!(phase, Phase::Steady | Phase::Faults);
        let left = if timed { format!("  {:.0} s left", left_ns as f64 / 1e9) } else { String::new() };
        // A narrow terminal cuts the end off: what matters most comes first.
        self.bar.set_message(format!(
            "{name}{left}{fault}  {total} ops  {rate:.0}/s  p99 {p99_ms:.1} ms  ({ok} ok, {fail} fail, {info} info)"
        ));
        self.bar.tick();
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

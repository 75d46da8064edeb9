//! What a server takes the time for: by its own word, against our own clock at the moment in the middle of the question.
//!
//! The server read its clock at some moment between question and answer, so half of that time is how wrong the
//! offset can be; of several questions the fastest is the one to believe (F. Cristian, "Probabilistic clock
//! synchronization", Distributed Computing 3, 1989).

use std::time::{Duration, Instant};

use super::true_now_ns;
use crate::cluster::Cluster;

/// One question.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// An offset: until an answer was this fast, or so many were asked.
const FAST_NS: i64 = 1_000_000;
const QUESTIONS: usize = 9;
/// A rate is a difference of small differences: at each end the fastest of so many questions, for at most so long.
const RATE_QUESTIONS: usize = 200;
const RATE_QUESTIONS_WITHIN: Duration = Duration::from_millis(300);

/// How far a clock is ahead at a moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// By our clock.
    at_ns: i64,
    ahead_ns: i64,
    /// How wrong that can be.
    within_ns: i64,
}

impl Cluster {
    /// How far the server's clock is ahead of ours, in milliseconds.
    pub(crate) async fn clock_offset_ms(&self, node: &str, process: Option<&str>) -> Result<f64, String> {
        let mut best = self.sample(node, process).await?;
        for _ in 1..QUESTIONS {
            if best.within_ns <= FAST_NS {
                break;
            }
            let next = self.sample(node, process).await?;
            best = if next.within_ns < best.within_ns { next } else { best };
        }
        Ok(best.ahead_ns as f64 / 1e6)
    }

    /// By how many millionths the server's clock runs faster than ours.
    pub(crate) async fn clock_rate_ppm(
        &self,
        node: &str,
        process: Option<&str>,
        over: Duration,
    ) -> Result<f64, String> {
        let begin = self.precise_sample(node, process).await?;
        tokio::time::sleep(over).await;
        let end = self.precise_sample(node, process).await?;
        let passed_ns = end.at_ns - begin.at_ns;
        if passed_ns <= 0 {
            return Err("our own clock was set back".to_owned());
        }
        Ok((end.ahead_ns - begin.ahead_ns) as f64 / passed_ns as f64 * 1e6)
    }

    async fn precise_sample(&self, node: &str, process: Option<&str>) -> Result<Sample, String> {
        let begin = Instant::now();
        let mut best = self.sample(node, process).await?;
        for _ in 1..RATE_QUESTIONS {
            if begin.elapsed() > RATE_QUESTIONS_WITHIN {
                break;
            }
            let next = self.sample(node, process).await?;
            best = if next.within_ns < best.within_ns { next } else { best };
        }
        Ok(best)
    }

    async fn sample(&self, node: &str, process: Option<&str>) -> Result<Sample, String> {
        let now = || true_now_ns().ok_or_else(|| "our own clock is before 1970".to_owned());
        let asked_ns = now()?;
        let told_ns = self.server_time_ns(node, process, ANSWER_WITHIN).await?;
        let within_ns = (now()? - asked_ns) / 2;
        let at_ns = asked_ns + within_ns;
        Ok(Sample { at_ns, ahead_ns: told_ns.saturating_sub(at_ns), within_ns })
    }
}

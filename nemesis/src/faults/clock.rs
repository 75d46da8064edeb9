//! Faults of a node's wall clock.

use std::ops::RangeInclusive;

use schism_cluster::{ClockChange, Gauge, Step};
use schism_seed::Stream;

use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{self, All, Majority, Minority, One, Primary, Replica},
    expect::Expect,
    injection::{Injection, Pulse, Scene, each},
    options::{OptionError, Options},
    units,
};

const TARGETS: &[Target] = &[Primary, Replica, One, Minority, Majority, All];

const PROCESS: OptionInfo = OptionInfo {
    name: "process",
    meaning: "only this server of the node with its children: \"postgres\", \"redis\" or \"sentinel\" [default: all]",
};

const HOW: &str = "The vDSO, from which programs read the clock, is replaced in every process of the node (their children \
                   inherit it); the host's clock and all monotonic clocks stay as they are.";

const VERIFIED: &str = "The database's own time (Sentinel's, if only its clock is set) is off from ours by what was \
                        asked, within 50 ms or half of it if that is less; at the end by less than that.";

pub(crate) const KINDS: &[KindInfo] = &[
    KindInfo {
        kind: Kind::Skew,
        name: "skew",
        family: Family::Clock,
        description: "set the wall clock of the target nodes forward or back; it jumps back when the fault ends",
        how: HOW,
        verified: VERIFIED,
        breaks: "Leases, locks and expiries that compare two machines' times, time-outs that are counted on the wall \
                 clock, last-write-wins by timestamps, Sentinel (TILT), snapshots by time.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[
            OptionInfo {
                name: "offset",
                meaning: "by how much, \"+1h\", \"-250ms\", in ms, s, m, h, d or y (365 d); 10ms to 40y [default: +1h]",
            },
            PROCESS,
        ],
        strength: Some("offset"),
        needs_time: true,
        capabilities: &["vdso"],
    },
    KindInfo {
        kind: Kind::Drift,
        name: "drift",
        family: Family::Clock,
        description: "let the wall clock of the target nodes run fast or slow; it jumps back when the fault ends",
        how: HOW,
        verified: "By the database's own time its clock gains or loses what was asked, within 10 % (half of it below \
                   0.06 %, 300 ppm up to 0.3 %); at the end nothing, and it is off by less than 50 ms.",
        breaks: "Leases whose holder believes that they last longer than their grantor does, clocks that are compared \
                 after hours.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[
            OptionInfo {
                name: "rate",
                meaning: "by how much faster, \"+5%\", \"-200ppm\"; 200ppm or more, from -90% to +900% [default: +5%]",
            },
            PROCESS,
        ],
        strength: Some("rate"),
        needs_time: true,
        capabilities: &["vdso"],
    },
    KindInfo {
        kind: Kind::Strobe,
        name: "strobe",
        family: Family::Clock,
        description: "let the wall clock of the target nodes jump away and back: off for half of every period",
        how: HOW,
        verified: "As `skew`'s, after every jump, there and back.",
        breaks: "Durations that are computed from two wall clock times, sorted logs, identifiers made of time.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[
            OptionInfo { name: "offset", meaning: "how far it jumps, as `skew`'s [default: +200ms]" },
            OptionInfo { name: "period", meaning: "from one jump away to the next, at least 100ms [default: 1s]" },
            PROCESS,
        ],
        strength: Some("offset"),
        needs_time: true,
        capabilities: &["vdso"],
    },
    KindInfo {
        kind: Kind::ClockFreeze,
        name: "clock-freeze",
        family: Family::Clock,
        description: "stop the wall clock of the target nodes; it jumps to the true time when the fault ends",
        how: HOW,
        verified: "By the database's own time its clock loses a second a second, within 1 %; at the end nothing, and it \
                   is off by less than 50 ms.",
        breaks: "Loops that wait for a later time, time-outs that never come, identifiers made of time.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[PROCESS],
        strength: None,
        needs_time: true,
        capabilities: &["vdso"],
    },
];

/// How wrong a measured offset may be. An answer takes a few hundred microseconds; the fastest of nine is believed.
const WITHIN_MS: f64 = 50.0;
/// Below this an offset cannot be told from the time that a question takes on a loaded machine.
const OFFSET_MIN_MS: u64 = 10;
const SKEW_OFFSET_MS: i64 = 3_600_000;
const STROBE_OFFSET_MS: i64 = 200;
const STROBE_PERIOD_MS: u64 = 1_000;
/// Below this the jumps, each verified, would run into each other.
const STROBE_PERIOD_MIN_MS: u64 = 100;
const DRIFT_PPM: i64 = 50_000;
/// Below this a drift cannot be measured in seconds.
const DRIFT_MIN_PPM: u64 = 200;
const DRIFT_PPM_BOUNDS: RangeInclusive<i64> = -900_000..=9_000_000;
const FROZEN_PPM: i64 = -1_000_000;

/// What is done to a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockKind {
    /// It jumps.
    Skew {
        /// How far ahead, in milliseconds.
        offset_ms: i64,
    },
    /// It runs fast or slow.
    Drift {
        /// By how many millionths faster.
        rate_ppm: i64,
    },
    /// It jumps there and back.
    Strobe {
        /// How far ahead, in milliseconds.
        offset_ms: i64,
        /// From one jump away to the next.
        period_ms: u64,
    },
    /// It stands still.
    Freeze,
}

/// A fault of the wall clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockFault {
    /// What is done to it.
    pub kind: ClockKind,
    /// Only this server of the node, with its children.
    pub process: Option<String>,
}

impl ClockFault {
    pub(super) const fn kind(&self) -> Kind {
        match self.kind {
            ClockKind::Skew { .. } => Kind::Skew,
            ClockKind::Drift { .. } => Kind::Drift,
            ClockKind::Strobe { .. } => Kind::Strobe,
            ClockKind::Freeze => Kind::ClockFreeze,
        }
    }

    pub(super) fn drawn(kind: Kind, stream: &mut Stream) -> Self {
        const SECOND_MS: i64 = 1_000;
        const DAY_MS: i64 = 24 * 3_600 * SECOND_MS;
        const SKEWS_MS: [i64; 9] =
            [50, 200, SECOND_MS, 10 * SECOND_MS, 60 * SECOND_MS, DAY_MS / 24, DAY_MS, 365 * DAY_MS, 3_650 * DAY_MS];
        const STROBES_MS: [i64; 4] = [50, 200, SECOND_MS, 10 * SECOND_MS];
        const PERIODS_MS: [u64; 3] = [500, 1_000, 2_000];
        const RATES_PPM: [i64; 5] = [500, 5_000, 50_000, 200_000, 500_000];
        let mut of = |ladder: &[i64]| {
            let size = ladder[stream.index(ladder.len())];
            if stream.index(2) == 0 { size } else { -size }
        };
        let kind = match kind {
            Kind::Skew => ClockKind::Skew { offset_ms: of(&SKEWS_MS) },
            Kind::Drift => ClockKind::Drift { rate_ppm: of(&RATES_PPM) },
            Kind::Strobe => {
                let offset_ms = of(&STROBES_MS);
                ClockKind::Strobe { offset_ms, period_ms: PERIODS_MS[stream.index(PERIODS_MS.len())] }
            }
            _ => ClockKind::Freeze,
        };
        Self { kind, process: None }
    }

    pub(super) fn read(kind: Kind, options: &mut Options) -> Result<Self, OptionError> {
        let mut offset = |default| options.parsed("offset", parse_offset).map(|given| given.unwrap_or(default));
        let kind = match kind {
            Kind::Skew => ClockKind::Skew { offset_ms: offset(SKEW_OFFSET_MS)? },
            Kind::Drift => ClockKind::Drift { rate_ppm: options.parsed("rate", parse_rate)?.unwrap_or(DRIFT_PPM) },
            Kind::Strobe => {
                let offset_ms = offset(STROBE_OFFSET_MS)?;
                let period_ms = options.millis("period")?.unwrap_or(STROBE_PERIOD_MS);
                if period_ms < STROBE_PERIOD_MIN_MS {
                    let problem = format!(
                        "a clock can jump there and back every {STROBE_PERIOD_MIN_MS} ms at most, not every {period_ms} ms"
                    );
                    return Err(OptionError { option: Some("period".to_owned()), problem });
                }
                ClockKind::Strobe { offset_ms, period_ms }
            }
            _ => ClockKind::Freeze,
        };
        let process = options.parsed("process", |name| {
            let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            plain.then(|| name.to_owned()).ok_or_else(|| format!("{name:?} is no server of a node"))
        })?;
        Ok(Self { kind, process })
    }

    pub(super) fn write(&self, options: &mut Options) {
        match self.kind {
            ClockKind::Skew { offset_ms } => options.set("offset", units::offset_text(offset_ms)),
            ClockKind::Drift { rate_ppm } => options.set("rate", units::rate_text(rate_ppm)),
            ClockKind::Strobe { offset_ms, period_ms } => {
                options.set("offset", units::offset_text(offset_ms));
                options.set_millis("period", period_ms);
            }
            ClockKind::Freeze => {}
        }
        if let Some(process) = &self.process {
            options.set("process", process);
        }
    }

    pub(super) fn inject(&self, scene: &Scene<'_>) -> Injection {
        let (what, change) = match self.kind {
            ClockKind::Skew { offset_ms } => (units::offset_text(offset_ms), ClockChange::Skew { offset_ms }),
            ClockKind::Drift { rate_ppm } => (
                format!("{} {}", units::rate_text(rate_ppm), if rate_ppm > 0 { "fast" } else { "slow" }),
                ClockChange::Drift { rate_ppm },
            ),
            ClockKind::Strobe { offset_ms, period_ms } => (
                format!("{} for half of every {period_ms} ms", units::offset_text(offset_ms)),
                ClockChange::Skew { offset_ms },
            ),
            ClockKind::Freeze => ("standing still".to_owned(), ClockChange::Freeze),
        };
        let whose = self.process.as_ref().map_or_else(String::new, |process| format!("{process} on "));
        let mut injection = Injection {
            steps: self.set(scene.chosen, change),
            undo: each(scene.chosen, |node| Step::ResetClock { node }),
            victims: scene.chosen.to_vec(),
            detail: format!("the clock of {whose}{}: {what}", scene.chosen.join(", ")),
            ..Injection::default()
        };
        match self.kind {
            ClockKind::Skew { offset_ms } | ClockKind::Strobe { offset_ms, .. } => {
                injection.bites = self.ahead(scene.chosen, offset_ms, offset_ms);
                injection.heals = self.ahead(scene.chosen, 0, offset_ms);
            }
            ClockKind::Drift { rate_ppm } => self.expect_rate(&mut injection, rate_ppm),
            ClockKind::Freeze => self.expect_rate(&mut injection, FROZEN_PPM),
        }
        if let ClockKind::Strobe { offset_ms, period_ms } = self.kind {
            let pulse = |number: u64| {
                let offset_now_ms = if number.is_multiple_of(2) { offset_ms } else { 0 };
                Pulse {
                    after_ms: number * period_ms / 2,
                    steps: self.set(scene.chosen, ClockChange::Skew { offset_ms: offset_now_ms }),
                    bites: self.ahead(scene.chosen, offset_now_ms, offset_ms),
                }
            };
            injection.pulses = (1..).map(pulse).take_while(|pulse| pulse.after_ms < scene.for_ms).collect();
        }
        injection
    }

    fn set(&self, nodes: &[String], change: ClockChange) -> Vec<Step> {
        each(nodes, |node| Step::SetClock { node, process: self.process.clone(), change })
    }

    /// Their clocks are so far ahead; told from a clock that is off by `size_ms`, or by nothing.
    fn ahead(&self, nodes: &[String], asked_ms: i64, size_ms: i64) -> Vec<Expect> {
        let within = WITHIN_MS.min(size_ms.unsigned_abs() as f64 / 2.0);
        each(nodes, |node| Expect::Measures {
            gauge: Gauge::ClockOffset { node, process: self.process.clone() },
            asked: asked_ms as f64,
            bounds: asked_ms as f64 - within..=asked_ms as f64 + within,
        })
    }

    fn expect_rate(&self, injection: &mut Injection, rate_ppm: i64) {
        let size = rate_ppm.unsigned_abs() as f64;
        let within = if rate_ppm == FROZEN_PPM { size / 100.0 } else { (size / 10.0).max((size / 2.0).min(300.0)) };
        // A small drift wants time to show.
        let over_ms = if size < 2_000.0 { 2_000 } else { 1_000 };
        let runs = |asked: f64| {
            each(&injection.victims, |node| Expect::Measures {
                gauge: Gauge::ClockRate { node, process: self.process.clone(), over_ms },
                asked,
                bounds: asked - within..=asked + within,
            })
        };
        let (bites, mut heals) = (runs(rate_ppm as f64), runs(0.0));
        heals.extend(self.ahead(&injection.victims, 0, 2 * WITHIN_MS as i64));
        (injection.bites, injection.heals) = (bites, heals);
    }
}

fn parse_offset(text: &str) -> Result<i64, String> {
    let offset_ms = units::parse_offset_ms(text)?;
    if (OFFSET_MIN_MS..=schism_cluster::SKEW_MAX_MS).contains(&offset_ms.unsigned_abs()) {
        return Ok(offset_ms);
    }
    Err(format!("{text:?}: a clock is set by {OFFSET_MIN_MS} ms to 40 years, forward or back"))
}

fn parse_rate(text: &str) -> Result<i64, String> {
    let rate_ppm = units::parse_rate_ppm(text)?;
    if DRIFT_PPM_BOUNDS.contains(&rate_ppm) && rate_ppm.unsigned_abs() >= DRIFT_MIN_PPM {
        return Ok(rate_ppm);
    }
    Err(format!("{text:?}: a clock drifts by {DRIFT_MIN_PPM} ppm or more, from -90% to +900%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, name: &str, value: &str) -> Result<ClockFault, OptionError> {
        let mut options = Options::default();
        options.set(name, value);
        ClockFault::read(kind, &mut options)
    }

    #[test]
    fn strengths_are_bounded_and_mean_what_they_say() {
        let skew = |text| read(Kind::Skew, "offset", text).map(|fault| fault.kind);
        assert_eq!(skew("-1h"), Ok(ClockKind::Skew { offset_ms: -3_600_000 }));
        assert_eq!(skew("40y"), Ok(ClockKind::Skew { offset_ms: schism_cluster::SKEW_MAX_MS as i64 }));
        for wrong in ["0s", "9ms", "41y", "1 week", "", "-"] {
            assert_eq!(skew(wrong).unwrap_err().option.as_deref(), Some("offset"), "{wrong}");
        }
        let drift = |text| read(Kind::Drift, "rate", text).map(|fault| fault.kind);
        assert_eq!(drift("-200ppm"), Ok(ClockKind::Drift { rate_ppm: -200 }));
        assert_eq!(drift("+900%"), Ok(ClockKind::Drift { rate_ppm: 9_000_000 }));
        for wrong in ["0%", "199ppm", "-91%", "901%", "5"] {
            assert!(drift(wrong).is_err(), "{wrong}");
        }
        assert!(read(Kind::Strobe, "period", "99ms").is_err());
        assert!(read(Kind::ClockFreeze, "process", "../x").is_err());
    }

    /// What is believed to show the fault must not be true without it.
    #[test]
    fn no_bounds_hold_both_with_the_fault_and_without() {
        let nodes = ["n1", "n2", "n3"].map(String::from);
        let mut stream = schism_seed::Seed::new(1).stream("faults");
        let least = [
            read(Kind::Skew, "offset", "-10ms"),
            read(Kind::Drift, "rate", "200ppm"),
            read(Kind::Strobe, "offset", "10ms"),
        ];
        let drawn = [Kind::Skew, Kind::Drift, Kind::Strobe, Kind::ClockFreeze];
        let drawn = (0..200).map(|number| ClockFault::drawn(drawn[number % 4], &mut stream));
        for fault in least.into_iter().map(Result::unwrap).chain(drawn) {
            let injection = fault.inject(&Scene::of(&Primary, &nodes[..1], &nodes));
            let bounds = |expects: &[Expect]| -> Vec<(Gauge, RangeInclusive<f64>)> {
                let measures = |expect: &Expect| match expect {
                    Expect::Measures { gauge, bounds, asked } => {
                        assert!(bounds.contains(asked));
                        (gauge.clone(), bounds.clone())
                    }
                    other => panic!("{other:?}"),
                };
                expects.iter().map(measures).collect()
            };
            let (bites, heals) = (bounds(&injection.bites), bounds(&injection.heals));
            let of_it = heals.iter().find(|(gauge, _)| *gauge == bites[0].0).unwrap();
            assert!(of_it.1.end() <= bites[0].1.start() || bites[0].1.end() <= of_it.1.start(), "{fault:?}");
        }
    }

    #[test]
    fn a_strobe_jumps_there_and_back() {
        let nodes = ["n1", "n2", "n3"].map(String::from);
        let kind = ClockKind::Strobe { offset_ms: 200, period_ms: 4_000 };
        let fault = ClockFault { kind, process: Some("redis".into()) };
        let injection = fault.inject(&Scene::of(&Primary, &nodes[..1], &nodes));
        let set = |offset_ms| Step::SetClock {
            node: "n1".into(),
            process: Some("redis".into()),
            change: ClockChange::Skew { offset_ms },
        };
        assert_eq!(injection.steps, [set(200)]);
        let pulses: Vec<(u64, Step)> =
            injection.pulses.iter().map(|pulse| (pulse.after_ms, pulse.steps[0].clone())).collect();
        assert_eq!(pulses, [(2_000, set(0)), (4_000, set(200)), (6_000, set(0)), (8_000, set(200))]);
        assert_eq!(injection.undo, [Step::ResetClock { node: "n1".into() }]);
    }
}

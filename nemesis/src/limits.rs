//! How much may be hurt at once. Asked before each fault, when its victims are known; a fault beyond the limits does
//! not happen, and the run says so.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::units;

/// What several faults together may do to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// The largest share of nodes hurt at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blast_radius: Option<Share>,
    /// A majority of the nodes is never hurt at once.
    pub keep_majority: bool,
    /// No node is hurt by two faults at once, and a fail-over is alone: what overlapping faults drawn by a seed need,
    /// since a dead node cannot be frozen and nobody is promoted while the replicas are cut off.
    pub apart: bool,
}

/// A share of something: `34%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    ppm: u32,
}

impl Share {
    /// `"34%"`, or `0.34` as other tools write it.
    ///
    /// # Errors
    /// It is no share, 0, or more than everything.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(fraction) = text.parse::<f64>() {
            if fraction > 0.0 && fraction <= 1.0 {
                return Ok(Self { ppm: (fraction * 1e6).round().max(1.0) as u32 });
            }
            return Err(format!("{text:?} is no share: write \"34%\" or 0.34, more than 0 and at most everything"));
        }
        units::parse_share_ppm(text).map(|ppm| Self { ppm })
    }

    /// As a number between 0 and 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.ppm) / 1e6
    }

    /// How many of so many nodes it allows. Rounded to the nearest: a third, written 33 %, of three nodes is one.
    fn of(self, nodes: usize) -> usize {
        (self.ppm as usize * nodes + 500_000) / 1_000_000
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&units::share_text(self.ppm))
    }
}

impl Serialize for Share {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A fault as far as limits go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hurt<'a> {
    pub(crate) victims: &'a [String],
    /// Whether it wants no other fault beside it.
    pub(crate) alone: bool,
}

impl Limits {
    /// How many nodes may be hurt at once.
    #[must_use]
    pub fn nodes_max(&self, nodes: usize) -> usize {
        let by_radius = self.blast_radius.map_or(nodes, |share| share.of(nodes));
        if self.keep_majority { by_radius.min(nodes.saturating_sub(1) / 2) } else { by_radius }
    }

    /// Why this fault must not join those in force; `None` when it may.
    pub(crate) fn refuse(&self, nodes: usize, in_force: &[Hurt<'_>], new: Hurt<'_>) -> Option<String> {
        let hurt: BTreeSet<&String> = in_force.iter().flat_map(|fault| fault.victims).collect();
        let all = hurt.iter().copied().chain(new.victims).collect::<BTreeSet<_>>().len();
        let max = self.nodes_max(nodes);
        if all > max {
            return Some(format!("{all} of {nodes} nodes would be hurt at once, and at most {max} may"));
        }
        if !self.apart {
            return None;
        }
        if let Some(shared) = new.victims.iter().find(|victim| hurt.contains(victim)) {
            return Some(format!("another fault hurts {shared} already"));
        }
        if !in_force.is_empty() && (new.alone || in_force.iter().any(|fault| fault.alone)) {
            return Some("a fail-over wants no other fault beside it".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    fn hurt(victims: &[String], alone: bool) -> Hurt<'_> {
        Hurt { victims, alone }
    }

    #[test]
    fn a_third_of_three_is_one_however_it_is_written() {
        for text in ["34%", "33%", "0.34", "0.333"] {
            assert_eq!(Share::parse(text).unwrap().of(3), 1, "{text}");
        }
        assert_eq!(Share::parse("50%").unwrap().of(5), 3);
        assert_eq!(Share::parse("100%").unwrap().of(5), 5);
        for wrong in ["", "0", "0%", "1.1", "-0.1", "101%", "many", "NaN", "inf"] {
            assert!(Share::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_majority_is_never_hurt() {
        let limits = Limits { keep_majority: true, ..Limits::default() };
        let max: Vec<usize> = [1, 2, 3, 4, 5].iter().map(|&nodes| limits.nodes_max(nodes)).collect();
        assert_eq!(max, [0, 0, 1, 1, 2]);
    }

    #[test]
    fn what_is_hurt_already_counts_once() {
        let limits = Limits { blast_radius: Some(Share::parse("34%").unwrap()), ..Limits::default() };
        let (n1, n2) = (names(&["n1"]), names(&["n2"]));
        assert_eq!(limits.refuse(3, &[], hurt(&n1, false)), None);
        assert_eq!(limits.refuse(3, &[hurt(&n1, false)], hurt(&n1, false)), None);
        let refused = limits.refuse(3, &[hurt(&n1, false)], hurt(&n2, false)).unwrap();
        assert_eq!(refused, "2 of 3 nodes would be hurt at once, and at most 1 may");
    }

    #[test]
    fn drawn_faults_stay_apart() {
        let limits = Limits { apart: true, ..Limits::default() };
        let (n1, n2) = (names(&["n1"]), names(&["n2"]));
        assert_eq!(limits.refuse(3, &[hurt(&n1, false)], hurt(&n2, false)), None);
        assert!(limits.refuse(3, &[hurt(&n1, false)], hurt(&n1, false)).unwrap().contains("n1 already"));
        assert!(limits.refuse(3, &[hurt(&n1, false)], hurt(&n2, true)).is_some());
        assert!(limits.refuse(3, &[hurt(&n1, true)], hurt(&n2, false)).is_some());
        assert_eq!(limits.refuse(3, &[], hurt(&n2, true)), None);
    }
}

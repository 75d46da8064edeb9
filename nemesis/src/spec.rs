//! `--faults partition:primary,kill`: which faults a seed may draw from.

use std::{fmt, str::FromStr};

use crate::{Kind, Target};

/// One item of `--faults`: a kind, and a target where the user chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSpec {
    /// The kind of fault.
    pub kind: Kind,
    /// Whom it hurts; `None`: the seed chooses anew for every fault.
    pub target: Option<Target>,
}

/// A word in `--faults` that is no fault or no target of that fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(String);

impl FaultSpec {
    /// The comma-separated list of `--faults`. `none` is the empty list and stands alone.
    ///
    /// ```
    /// use schism_nemesis::{FaultSpec, Kind, Target};
    ///
    /// let specs = FaultSpec::parse_list("partition:primary,kill")?;
    /// assert_eq!((specs[0].kind, &specs[0].target), (Kind::Partition, &Some(Target::Primary)));
    /// assert_eq!((specs[1].kind, &specs[1].target), (Kind::Kill, &None));
    /// assert!(FaultSpec::parse_list("none")?.is_empty());
    /// # Ok::<(), schism_nemesis::SpecError>(())
    /// ```
    ///
    /// # Errors
    /// An unknown kind or target; the error lists the valid ones, nearest first.
    pub fn parse_list(list: &str) -> Result<Vec<Self>, SpecError> {
        let items: Vec<&str> = list.split(',').map(str::trim).collect();
        if items == ["none"] {
            return Ok(Vec::new());
        }
        if items.contains(&"none") {
            return Err(SpecError(format!("\"none\" means no faults and stands alone; in {list:?} it does not")));
        }
        items.into_iter().map(str::parse).collect()
    }
}

impl FromStr for FaultSpec {
    type Err = SpecError;

    fn from_str(item: &str) -> Result<Self, SpecError> {
        let (kind, target) = match item.split_once(':') {
            Some((kind, target)) => (kind, Some(target)),
            None => (item, None),
        };
        let kind = Kind::parse(kind).map_err(SpecError)?;
        let target = target.map(|name| kind.parse_target(name)).transpose().map_err(SpecError)?;
        Ok(Self { kind, target })
    }
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(formatter, "{}:{target}", self.kind),
            None => write!(formatter, "{}", self.kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_target_parses_to_itself() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse::<FaultSpec>(), Ok(FaultSpec { kind, target: None }));
            for target in kind.targets() {
                let spec = FaultSpec { kind, target: Some(target.clone()) };
                assert_eq!(spec.to_string().parse(), Ok(spec));
            }
        }
        let spec: FaultSpec = "pause:n3".parse().unwrap();
        assert_eq!(spec.target, Some(Target::Node("n3".into())));
    }

    #[test]
    fn errors_list_what_is_valid_nearest_first() {
        for (list, expected) in [
            ("partiton", "valid faults: partition, "),
            ("", "unknown fault \"\""),
            ("kill,", "unknown fault \"\""),
            ("pasue:one", "valid faults: pause, "),
            ("kill:halves", "a kill has no target \"halves\"; valid targets: "),
            ("partition:halve", "valid targets: halves, "),
            ("partition:majority", "valid targets: minority, "),
            ("failover:n1", "valid targets: primary"),
            ("kill:", "a kill has no target \"\""),
            ("none,kill", "stands alone"),
        ] {
            let error = FaultSpec::parse_list(list).unwrap_err().to_string();
            assert!(error.contains(expected), "{list:?}: {error}");
        }
    }
}

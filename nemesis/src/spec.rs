//! `--faults partition:primary,kill`: which faults a seed may draw from. An item is `KIND`, `KIND:TARGET`, or, for kinds
//! that have a strength, `KIND=STRENGTH` and `KIND=STRENGTH:TARGET`; or `all` or a family's name for all kinds of it.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{Family, Fault, Kind, Target, kinds, options::Options};

/// One item of `--faults`: a kind, and a target where the user chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSpec {
    /// The kind of fault.
    pub kind: Kind,
    /// The fault with its strength, where the user chose one; `None`: the seed draws one for every fault.
    pub fault: Option<Fault>,
    /// Whom it hurts; `None`: the seed chooses anew for every fault.
    pub target: Option<Target>,
    /// Whether it came from `all` or a family's name: then it may be left out, where it does not fit or where the seed
    /// switches it off.
    pub mixed: bool,
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
        let mut specs: Vec<Self> = Vec::new();
        for item in items {
            match family(item) {
                Some(kinds) => specs.extend(kinds.map(|kind| Self { kind, fault: None, target: None, mixed: true })),
                None => specs.push(item.parse()?),
            }
        }
        // What is named by itself is not left out, and not there twice.
        let named: Vec<Kind> = specs.iter().filter(|spec| !spec.mixed).map(|spec| spec.kind).collect();
        let mut seen = BTreeSet::new();
        specs.retain(|spec| !spec.mixed || (!named.contains(&spec.kind) && seen.insert(spec.kind)));
        Ok(specs)
    }
}

/// The kinds that `all` or a family's name stands for: not those that damage files, which have to be named.
fn family(word: &str) -> Option<impl Iterator<Item = Kind>> {
    let family = Family::ALL.into_iter().find(|family| family.name() == word);
    let all = word == "all";
    (all || family.is_some())
        .then(|| kinds().filter(move |info| all || Some(info.family) == family))
        .map(|of_family| of_family.map(|info| info.kind).filter(|kind| !kind.damages_files()))
}

impl FromStr for FaultSpec {
    type Err = SpecError;

    fn from_str(item: &str) -> Result<Self, SpecError> {
        let (kind, target) = match item.split_once(':') {
            Some((kind, target)) => (kind, Some(target)),
            None => (item, None),
        };
        let (kind, strength) = match kind.split_once('=') {
            Some((kind, strength)) => (kind, Some(strength)),
            None => (kind, None),
        };
        let kind = Kind::parse(kind).map_err(SpecError)?;
        let target = target.map(|name| kind.parse_target(name)).transpose().map_err(SpecError)?;
        let fault = strength.map(|strength| of_strength(kind, strength, target.as_ref())).transpose()?;
        Ok(Self { kind, fault, target, mixed: false })
    }
}

fn of_strength(kind: Kind, strength: &str, target: Option<&Target>) -> Result<Fault, SpecError> {
    let Some(option) = kind.info().strength else {
        return Err(SpecError(format!("a {kind} has no strength: write {kind}, not {kind}={strength}")));
    };
    let mut options = Options::default();
    options.set(option, strength);
    Fault::read(kind, target, options).map_err(|error| SpecError(format!("{kind}: {}", error.problem)))
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.kind.name())?;
        if let (Some(fault), Some(option)) = (&self.fault, self.kind.info().strength)
            && let Some(strength) = fault.write().into_values().get(option)
        {
            write!(formatter, "={}", strength.as_str().unwrap_or_default())?;
        }
        self.target.as_ref().map_or(Ok(()), |target| write!(formatter, ":{target}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_target_parses_to_itself() {
        for kind in kinds().map(|info| info.kind) {
            assert_eq!(
                kind.name().parse::<FaultSpec>(),
                Ok(FaultSpec { kind, fault: None, target: None, mixed: false })
            );
            for target in kind.targets() {
                let spec = FaultSpec { kind, fault: None, target: Some(target.clone()), mixed: false };
                assert_eq!(spec.to_string().parse(), Ok(spec));
            }
        }
        let spec: FaultSpec = "pause:n3".parse().unwrap();
        assert_eq!(spec.target, Some(Target::Node("n3".into())));
    }

    #[test]
    fn a_familys_name_stands_for_its_kinds() {
        let kinds_of = |list| {
            let specs = FaultSpec::parse_list(list).unwrap();
            specs.into_iter().map(|spec| (spec.kind, spec.mixed)).collect::<Vec<_>>()
        };
        let all = kinds().filter(|info| !info.kind.damages_files()).count();
        assert_eq!(kinds_of("all").len(), all);
        assert!(kinds_of("network").contains(&(Kind::Partition, true)));
        assert!(!kinds_of("network").iter().any(|(kind, _)| *kind == Kind::Kill));
        assert_eq!(kinds_of("network,all").len(), all);
        assert_eq!(kinds_of("all,bit-flip").len(), all + 1);
        let named = kinds_of("process,kill:primary");
        assert_eq!(named.iter().filter(|(kind, _)| *kind == Kind::Kill).collect::<Vec<_>>(), [&(Kind::Kill, false)]);
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
            ("kill=9", "a kill has no strength: write kill"),
            ("kill:", "a kill has no target \"\""),
            ("none,kill", "stands alone"),
        ] {
            let error = FaultSpec::parse_list(list).unwrap_err().to_string();
            assert!(error.contains(expected), "{list:?}: {error}");
        }
    }
}

//! What keeps a test from doing more harm than it was asked for: a steady state that must hold before and after, and
//! thresholds that end the faults early. (How much may be hurt at once is the nemesis' part: `Limits`.)

mod probe;
mod prometheus;
mod thresholds;

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    probe::{Probe, Prober, Sample},
    prometheus::{Alarm, listen, watch},
    thresholds::{Thresholds, Watchdog},
};
use crate::{exit::usage, plan::Target};

/// Probes and thresholds of a plan; the same shape in a `--safety` file.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Safety {
    /// When the faults end early.
    #[serde(default, skip_serializing_if = "Thresholds::is_empty")]
    pub(crate) abort: Thresholds,
    /// The steady state: all of these hold.
    #[serde(default, rename = "probe", skip_serializing_if = "Vec::is_empty")]
    pub(crate) probes: Vec<Probe>,
}

impl Safety {
    /// Reads a `--safety` file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| usage(format!("cannot read the safety file {}: {error}", path.display())))?;
        toml::from_str(&text).map_err(|error| usage(format!("{}: {error}", path.display())))
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Names whatever cannot be carried out on this target.
    pub(crate) fn validate(&self, target: &Target) -> anyhow::Result<()> {
        self.abort.validate()?;
        for (number, probe) in (1..).zip(&self.probes) {
            probe.validate(target).with_context(|| format!("probe {number} ({:?})", probe.name))?;
            if self.probes.iter().filter(|other| other.name == probe.name).count() > 1 {
                return Err(usage(format!(
                    "two probes are called {:?}: the result could not tell them apart",
                    probe.name
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_documentation_are_safety_files() {
        let text = include_str!("../../docs/safety.md");
        let target = Target::parse("postgres/async").unwrap();
        let files: Vec<&str> = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert_eq!(files.len(), 2);
        for file in files {
            let safety: Safety = toml::from_str(file).unwrap();
            assert!(!safety.is_empty());
            safety.validate(&target).unwrap();
            assert_eq!(toml::from_str::<Safety>(&toml::to_string(&safety).unwrap()).unwrap(), safety);
        }
    }
}

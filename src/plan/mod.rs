//! Everything a run decides, decided before it starts: from the user's words and the seed to plain data that is
//! printed, stored with the result, and repeated with `schism run --plan FILE`.

mod make;
mod show;
mod target;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context as _;
use schism_nemesis::{Limits, Schedule};
use schism_seed::Seed;
use schism_workloads::WorkloadPlan;
use serde::{Deserialize, Serialize};

pub(crate) use make::{choose, from_args, memory_settings, repeat_command};
pub(crate) use show::{plan_json, plan_text};
pub(crate) use target::Target;

use crate::{
    cli::Route,
    exit::usage,
    experiment::{self, Circumstances, Experiment},
    safety::Safety,
};

/// A test, wholly decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Plan {
    /// Version of this file's shape: [`Plan::SCHEMA`].
    pub(crate) schema: u32,
    /// `redis/sentinel`, `memory`, …
    pub(crate) target: String,
    /// `set`, `register`, `list-append`, `closed-predicate`, `mutex`, `fenced-lock`.
    pub(crate) workload: String,
    /// Root of all randomness.
    pub(crate) seed: u64,
    /// Concurrent clients.
    pub(crate) clients: u32,
    /// Operations a second over all clients; 0: as fast as possible.
    pub(crate) rate_per_s: f64,
    /// Where clients send operations.
    pub(crate) route: Route,
    /// Clients run this long before the first fault may start.
    pub(crate) steady_ms: u64,
    /// Clients run this long before the last healing.
    pub(crate) duration_ms: u64,
    /// After this an operation is indeterminate.
    pub(crate) op_timeout_ms: u64,
    /// How long recovery may take.
    pub(crate) recovery_limit_ms: u64,
    /// SQL isolation level of the clients' transactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) isolation: Option<String>,
    /// Models that transactions must keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) consistency_models: Vec<String>,
    /// Redis: replicas that must acknowledge each write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wait_replicas: Option<u32>,
    /// How long to wait for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) wait_timeout_ms: Option<u64>,
    /// The workload's options as given; the others keep their defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) workload_options: BTreeMap<String, String>,
    /// The database's settings as given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: BTreeMap<String, String>,
    /// What a mix of faults (`--faults all`) came to for this seed, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mix: Vec<String>,
    /// How much may be hurt at once.
    #[serde(default, skip_serializing_if = "is_unlimited")]
    pub(crate) limits: Limits,
    /// When the faults end early, and what must hold before and after them.
    #[serde(default, skip_serializing_if = "Safety::is_empty")]
    pub(crate) safety: Safety,
    /// An experiment, which decides when its faults happen and when the run is over, `duration_ms` at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) experiment: Option<experiment::Source>,
    /// The faults, by time.
    #[serde(default)]
    pub(crate) schedule: Schedule,
}

fn is_unlimited(limits: &Limits) -> bool {
    *limits == Limits::default()
}

impl Plan {
    /// The current version of the file's shape.
    pub(crate) const SCHEMA: u32 = 1;

    /// The target, parsed.
    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        Target::parse(&self.target)
    }

    /// The experiment, read.
    pub(crate) fn experiment(&self) -> anyhow::Result<Option<Experiment>> {
        let nodes: Vec<String> = self.target()?.nodes().iter().map(ToString::to_string).collect();
        let circumstances = Circumstances { nodes: &nodes, seed: self.seed, duration_ms: self.duration_ms };
        self.experiment.as_ref().map(|source| source.experiment(&circumstances)).transpose()
    }

    /// What the workload needs to know.
    pub(crate) fn workload_plan(&self, nodes: Vec<Arc<str>>) -> WorkloadPlan {
        WorkloadPlan { clients: self.clients, seed: Seed::new(self.seed), nodes, rate_per_s: self.rate_per_s }
    }

    /// The plan as TOML, with a line that says how to repeat it.
    pub(crate) fn to_toml(&self) -> anyhow::Result<String> {
        let body = toml::to_string(self).context("a plan must be expressible as TOML")?;
        Ok(format!("# A plan of schism: repeat it with `schism run --plan FILE`.\n{body}"))
    }

    /// Reads a stored plan.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| usage(format!("cannot read the plan {}: {error}", path.display())))?;
        let plan: Self =
            toml::from_str(&text).map_err(|error| usage(format!("{} is not a plan: {error}", path.display())))?;
        if plan.schema != Self::SCHEMA {
            return Err(usage(format!(
                "{} has schema {}, this schism reads {}; use the version of schism that wrote it",
                path.display(),
                plan.schema,
                Self::SCHEMA
            )));
        }
        make::validate(&plan)?;
        Ok(plan)
    }
}

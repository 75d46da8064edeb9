//! Targets as the plan sees them: a local cluster, or the store in memory.

use std::sync::Arc;

use schism_cluster::{Database, TargetName};

use crate::exit::usage;

use super::make::nearest_first;

/// What is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The in-process store.
    Memory,
    /// A cluster of real servers in network namespaces.
    Local(TargetName),
}

impl Target {
    /// Parses `memory`, `redis/sentinel`, `postgres`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        text.parse().map(Self::Local).map_err(|_| {
            let names = Self::names();
            usage(format!("there is no target `{text}`; choose one of: {}", nearest_first(text, &names).join(", ")))
        })
    }

    /// Every target's name.
    pub(crate) fn names() -> Vec<String> {
        let local = schism_cluster::targets().into_iter().map(|target| target.name.to_string());
        local.chain(["memory".to_owned()]).collect()
    }

    /// The nodes' names in order.
    pub(crate) fn nodes(&self) -> Vec<Arc<str>> {
        let count = match self {
            Self::Memory => 3,
            Self::Local(name) => name.nodes(),
        };
        (1..=count).map(|number| Arc::from(format!("n{number}"))).collect()
    }

    /// Whether its replicas can be promoted by us.
    pub(crate) fn can_fail_over(&self) -> bool {
        matches!(self, Self::Local(name) if name.database() == Database::Postgres && name.nodes() > 1)
    }

    /// Workloads that can run on it.
    pub(crate) const fn workloads(&self) -> &'static [&'static str] {
        match self {
            Self::Memory => &["set", "register", "list-append", "closed-predicate", "mutex", "fenced-lock"],
            Self::Local(name) => match name.database() {
                Database::Postgres => &["set", "register", "list-append", "closed-predicate"],
                Database::Redis => &["set", "register", "mutex", "fenced-lock"],
            },
        }
    }

    /// Faults that a run without `--faults` draws from.
    pub(crate) fn default_faults(&self) -> &'static str {
        match self {
            Self::Memory => "none",
            Self::Local(name) if name.nodes() == 1 => "kill,pause",
            Self::Local(name) => match name.database() {
                Database::Postgres => "partition,kill,pause,failover",
                Database::Redis => "partition,kill,pause",
            },
        }
    }

    /// Whether transactions have an isolation level.
    pub(crate) const fn is_sql(&self) -> bool {
        matches!(self, Self::Local(name) if matches!(name.database(), Database::Postgres))
    }

    /// Whether WAIT exists.
    pub(crate) const fn is_redis(&self) -> bool {
        matches!(self, Self::Local(name) if matches!(name.database(), Database::Redis))
    }
}

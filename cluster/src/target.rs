//! What can be tested: databases, their topologies and settings.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A database server that can be started here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Database {
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
}

impl Database {
    /// The port on which clients are served.
    #[must_use]
    pub const fn client_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Redis => 6379,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Database {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        [Self::Postgres, Self::Redis].into_iter().find(|database| database.name() == text).ok_or_else(|| {
            UnknownTarget {
                what: "database",
                given: text.to_owned(),
                valid: nearest_first(text, &["postgres", "redis"]),
            }
        })
    }
}

/// How many servers there are and who follows whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One server.
    Single,
    /// A primary and two asynchronous standbys (PostgreSQL).
    Async,
    /// A primary and two standbys, of which one must confirm each commit (PostgreSQL).
    Sync,
    /// A primary, two replicas, and a Sentinel beside each (Redis).
    Sentinel,
}

impl Topology {
    const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Async => "async",
            Self::Sync => "sync",
            Self::Sentinel => "sentinel",
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A database and a topology that it has: `redis/sentinel`. A bare `redis` is `redis/single`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetName {
    database: Database,
    topology: Topology,
}

/// All targets, in the order in which they are listed.
const ALL: [TargetName; 5] = [
    TargetName { database: Database::Postgres, topology: Topology::Single },
    TargetName { database: Database::Postgres, topology: Topology::Async },
    TargetName { database: Database::Postgres, topology: Topology::Sync },
    TargetName { database: Database::Redis, topology: Topology::Single },
    TargetName { database: Database::Redis, topology: Topology::Sentinel },
];

impl TargetName {
    /// The database.
    #[must_use]
    pub const fn database(self) -> Database {
        self.database
    }

    /// The topology.
    #[must_use]
    pub const fn topology(self) -> Topology {
        self.topology
    }

    /// The servers that run on each node, as faults name them.
    #[must_use]
    pub const fn processes(self) -> &'static [&'static str] {
        match (self.database, self.topology) {
            (Database::Postgres, _) => &["postgres"],
            (Database::Redis, Topology::Sentinel) => &["redis", "sentinel"],
            (Database::Redis, _) => &["redis"],
        }
    }

    /// How many nodes it has.
    #[must_use]
    pub const fn nodes(self) -> u32 {
        match self.topology {
            Topology::Single => 1,
            Topology::Async | Topology::Sync | Topology::Sentinel => 3,
        }
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.database, self.topology)
    }
}

impl FromStr for TargetName {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<Self, UnknownTarget> {
        let full = if text.contains('/') { text.to_owned() } else { format!("{text}/single") };
        ALL.into_iter().find(|target| target.to_string() == full).ok_or_else(|| {
            let names: Vec<String> = ALL.iter().map(ToString::to_string).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            UnknownTarget { what: "target", given: text.to_owned(), valid: nearest_first(&full, &names) }
        })
    }
}

impl Serialize for TargetName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TargetName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A name that is no target; lists those that are, the nearest first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} {given:?}; valid: {}", valid.join(", "))]
pub struct UnknownTarget {
    what: &'static str,
    given: String,
    valid: Vec<String>,
}

/// One line of `schism list targets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetInfo {
    /// The target.
    pub name: TargetName,
    /// What it is, in one line.
    pub description: &'static str,
    /// How many nodes it has.
    pub nodes: u32,
    /// What `--set` takes that is ours, or that we set differently from the server's default; any other setting of
    /// the server is passed to it as it is.
    pub settings: Vec<SettingInfo>,
}

/// One setting and why it has its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SettingInfo {
    /// Its name for `--set`.
    pub name: &'static str,
    /// Its value unless set.
    pub default: &'static str,
    /// What it does, and why the default differs from the server's own.
    pub description: &'static str,
}

/// Everything that can be tested.
#[must_use]
pub fn targets() -> Vec<TargetInfo> {
    ALL.into_iter()
        .map(|name| TargetInfo {
            name,
            description: describe(name),
            nodes: name.nodes(),
            settings: match name.database {
                Database::Postgres => crate::database::postgres::settings(name.topology),
                Database::Redis => crate::database::redis::settings(name.topology),
            },
        })
        .collect()
}

const fn describe(target: TargetName) -> &'static str {
    match (target.database, target.topology) {
        (Database::Postgres, Topology::Single) => "one PostgreSQL server",
        (Database::Postgres, Topology::Async) => "a PostgreSQL primary with two asynchronous streaming standbys",
        (Database::Postgres, _) => "a PostgreSQL primary with two standbys, one of which must confirm each commit",
        (Database::Redis, Topology::Sentinel) => "a Redis primary with two replicas and three Sentinels",
        (Database::Redis, _) => "one Redis server",
    }
}

/// Names ordered by how many edits away from `text` they are; equals stay in their order.
fn nearest_first(text: &str, names: &[&str]) -> Vec<String> {
    let mut sorted: Vec<String> = names.iter().map(ToString::to_string).collect();
    sorted.sort_by_key(|name| strsim::levenshtein(text, name));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_written() {
        for target in ALL {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
        assert_eq!("redis".parse(), Ok(ALL[3]));
        assert_eq!("postgres".parse(), Ok(ALL[0]));
    }

    #[test]
    fn an_unknown_name_lists_the_nearest_first() {
        let error = "redis/sentinal".parse::<TargetName>().unwrap_err().to_string();
        assert!(error.starts_with("there is no target \"redis/sentinal\"; valid: redis/sentinel, "), "{error}");
        let error = "postgresql".parse::<TargetName>().unwrap_err().to_string();
        assert!(error.contains("valid: postgres/single, "), "{error}");
        assert!("redis/async".parse::<TargetName>().is_err());
        assert!("mysql".parse::<Database>().is_err());
    }
}

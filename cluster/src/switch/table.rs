//! The switch's rules as a file: whoever changes them, the controller, the guardian or `schism heal`, changes the
//! file and then tells the switch. Nothing of it is in a process's memory only.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rule::Rule;

/// All rules in force, by fault.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) entries: Vec<Entry>,
}

/// What one fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The fault.
    pub(crate) id: u32,
    pub(crate) rule: Rule,
    /// Decides which packets it hits.
    pub(crate) seed: u64,
    pub(crate) links: Vec<NamedLink>,
    /// Gets the packets of these links, as they come and as they leave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<PathBuf>,
}

/// A directed link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamedLink {
    /// `n1`.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
}

impl NamedLink {
    /// `n1→n2`.
    pub(crate) fn name(&self) -> String {
        format!("{}→{}", self.from, self.to)
    }
}

impl Table {
    /// What the file says; no file, no rules.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// All of it or nothing of it: whoever reads finds the old table or the new one.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let beside = path.with_extension("new");
        fs::write(&beside, serde_json::to_vec(self)?)?;
        fs::rename(beside, path)
    }

    /// Replaces what this fault did.
    pub(crate) fn put(&mut self, entry: Entry) {
        self.remove(entry.id);
        let at = self.entries.partition_point(|other| other.id < entry.id);
        self.entries.insert(at, entry);
    }

    pub(crate) fn remove(&mut self, id: u32) {
        self.entries.retain(|entry| entry.id != id);
    }

    /// The links on which there is any rule, sorted.
    pub(crate) fn links(&self) -> Vec<(Ipv4Addr, Ipv4Addr)> {
        let all = self.entries.iter().flat_map(|entry| &entry.links);
        let mut links: Vec<_> = all.map(|link| (link.source, link.destination)).collect();
        links.sort_unstable();
        links.dedup();
        links
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::frame::tests::{A, B};
    use super::*;

    pub(crate) fn entry(id: u32, rule: Rule) -> Entry {
        let link = NamedLink { from: "n1".into(), to: "n2".into(), source: A, destination: B };
        Entry { id, rule, seed: 7, links: vec![link], capture: None }
    }

    #[test]
    fn faults_come_and_go_by_their_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("table.json");
        assert_eq!(Table::read(&path).unwrap(), Table::default());
        let mut table = Table::default();
        table.put(entry(3, Rule::HalfOpen));
        table.put(entry(1, Rule::Loss { share_ppm: 5 }));
        table.put(entry(3, Rule::Reset { after_ms: 9 }));
        assert_eq!(table.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(table.links(), [(A, B)]);
        table.write(&path).unwrap();
        assert_eq!(Table::read(&path).unwrap(), table);
        table.remove(1);
        table.remove(1);
        table.remove(3);
        assert_eq!(table, Table::default());
        fs::write(&path, "{").unwrap();
        assert!(Table::read(&path).is_err());
    }
}

//! The schedules that come with the tool: each shows one thing, which its first comment says.

use schism_seed::Seed;

use super::{Schedule, ScheduleError};
use crate::nearest;

/// A schedule that comes with the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedSchedule {
    /// Its name.
    pub name: &'static str,
    /// Its file, comments included.
    pub toml: &'static str,
}

const NAMED: [NamedSchedule; 10] = [
    NamedSchedule { name: "isolate-primary", toml: include_str!("../../schedules/isolate-primary.toml") },
    NamedSchedule { name: "cut-then-failover", toml: include_str!("../../schedules/cut-then-failover.toml") },
    NamedSchedule { name: "promote-during-cut", toml: include_str!("../../schedules/promote-during-cut.toml") },
    NamedSchedule { name: "kill-restart", toml: include_str!("../../schedules/kill-restart.toml") },
    NamedSchedule { name: "skew-primary", toml: include_str!("../../schedules/skew-primary.toml") },
    NamedSchedule { name: "power-loss", toml: include_str!("../../schedules/power-loss.toml") },
    NamedSchedule { name: "disk-full", toml: include_str!("../../schedules/disk-full.toml") },
    NamedSchedule { name: "wal-full", toml: include_str!("../../schedules/wal-full.toml") },
    NamedSchedule { name: "wal-no-space", toml: include_str!("../../schedules/wal-no-space.toml") },
    NamedSchedule { name: "wal-slow", toml: include_str!("../../schedules/wal-slow.toml") },
];

impl NamedSchedule {
    /// What it shows: the first line of its file.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.toml.lines().next().map_or("", |line| line.trim_start_matches(['#', ' ']))
    }
}

/// The schedules that come with the tool.
#[must_use]
pub const fn names() -> &'static [NamedSchedule] {
    &NAMED
}

/// The schedule of this name; the seed gives the draws its file leaves open. Its times are what its file says.
///
/// # Errors
/// An unknown name; the error lists the valid ones, nearest first.
pub fn named(name: &str, seed: Seed) -> Result<Schedule, ScheduleError> {
    match NAMED.iter().find(|schedule| schedule.name == name) {
        Some(schedule) => Schedule::from_toml(schedule.toml, seed),
        None => {
            let valid = nearest::listed(name, &NAMED.map(|schedule| schedule.name));
            Err(ScheduleError::Unknown { name: name.to_owned(), valid })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, schedule::Needs};

    #[test]
    fn every_named_schedule_reads_and_says_what_it_shows() {
        for schedule in names() {
            assert!(!named(schedule.name, Seed::new(1)).unwrap().entries().is_empty());
            assert!(schedule.toml.starts_with("# "), "{}", schedule.name);
            assert!(schedule.description().len() > 20, "{}", schedule.name);
        }
        let error = named("isolate", Seed::new(1)).unwrap_err().to_string();
        assert!(error.contains("valid schedules: isolate-primary, "), "{error}");
    }

    #[test]
    fn they_need_what_they_use() {
        let needs = |name| named(name, Seed::new(1)).unwrap().needs();
        assert_eq!(needs("kill-restart"), Needs { failover: false, nodes: 1, disk: false, fuse: false });
        assert_eq!(needs("power-loss"), Needs { failover: false, nodes: 1, disk: true, fuse: false });
        assert_eq!(needs("disk-full"), Needs { failover: false, nodes: 1, disk: true, fuse: false });
        assert_eq!(needs("isolate-primary"), Needs { failover: false, nodes: 2, disk: false, fuse: false });
        assert_eq!(needs("cut-then-failover"), Needs { failover: true, nodes: 2, disk: false, fuse: false });
        assert_eq!(needs("promote-during-cut"), Needs { failover: true, nodes: 2, disk: false, fuse: false });
        assert_eq!(needs("wal-no-space"), Needs { failover: false, nodes: 1, disk: false, fuse: true });
    }

    #[test]
    fn the_promotion_falls_into_the_cut() {
        let schedule = named("promote-during-cut", Seed::new(1)).unwrap();
        let [cut, failover] = schedule.entries() else { panic!("{schedule:?}") };
        assert!(cut.at_ms < failover.at_ms && failover.end_ms() < cut.end_ms());
    }

    #[test]
    fn a_cluster_that_cannot_is_told_before_the_run() {
        let nodes: Vec<String> = ["n1", "n2", "n3"].map(String::from).into();
        let check = |name: &str, nodes: &[String], can| named(name, Seed::new(1)).unwrap().check(nodes, can);
        assert_eq!(check("cut-then-failover", &nodes, true), Ok(()));
        let error = check("cut-then-failover", &nodes, false).unwrap_err().to_string();
        assert!(
            error.contains("fault 1 (failover:primary) needs a database whose replicas can be promoted"),
            "{error}"
        );
        let error = check("isolate-primary", &nodes[..1], true).unwrap_err().to_string();
        assert!(error.contains("at least 2 nodes"), "{error}");
        let node = Schedule::from_toml("[[fault]]\nat = 1\nkind = \"kill\"\ntarget = \"n9\"\n", Seed::new(1)).unwrap();
        assert!(node.check(&nodes, false).unwrap_err().to_string().contains("this cluster has n1, n2, n3"));
        assert!(matches!(node.entries()[0].fault, Fault::Kill));
    }
}

//! Faults of what is below a node's files.

use schism_cluster::{DiskStep, Gauge, Step};
use schism_seed::Stream;

use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{All, Majority, Minority, One, Primary, Replica},
    expect::Expect,
    injection::{Injection, Scene, each},
    options::{OptionError, Options},
    units,
};

use super::process::serving;

/// What a machine must be able to do to give each node a disk of its own, as `schism doctor` names it.
pub(crate) const EXT4_DISK: &str = "ext4-disk";

pub(crate) const KINDS: &[KindInfo] = &[
    KindInfo {
        kind: Kind::PowerLoss,
        name: "power-loss",
        family: Family::Storage,
        description: "the target nodes' machines lose power: what was not synced is gone; they start again when the \
                      fault ends",
        how: "The node's processes stop, its ext4 file system is shut down without flushing its log (the ioctl of \
              xfstests' crash tests), the processes die. At the end the file system is mounted again, which replays \
              its journal, and the servers start. The disk itself is honest: what was synced is there.",
        verified: "The kernel shows no process of the node, and a write to its disk fails (EIO); at the end a write \
                   succeeds, the processes run and the database answers (30 s).",
        breaks: "Acknowledged writes where syncing is off or late (fsync=off, synchronous_commit=off, appendfsync \
                 everysec or no), files renamed before they were synced, recovery from a log that ends in mid-record.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[],
        strength: None,
        needs_time: false,
        capabilities: &[EXT4_DISK],
    },
    KindInfo {
        kind: Kind::DiskFull,
        name: "disk-full",
        family: Family::Storage,
        description: "the target nodes' disks are full: writes fail with \"no space left on device\"; emptied when the \
                      fault ends",
        how: "A file of our own takes all free blocks of the node's file system but `leave`. At the end it is removed, \
              and servers that gave up are started.",
        verified: "What servers can still write is `leave` (at most 1 MiB more); at the end a write succeeds, the \
                   processes run and the database answers (30 s).",
        breaks: "Servers that stop for good or corrupt their log, a primary that goes on acknowledging what it cannot \
                 write, fail-over that does not happen because the node answers pings.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[OptionInfo {
            name: "leave",
            meaning: "how much is left free: \"0KiB\", \"64KiB\", \"1MiB\" [default: 0KiB]",
        }],
        strength: Some("leave"),
        needs_time: true,
        capabilities: &[EXT4_DISK],
    },
    KindInfo {
        kind: Kind::DiskGone,
        name: "disk-gone",
        family: Family::Storage,
        description: "the target nodes' disks die under the running servers: every access fails (EIO); they come back, \
                      and the servers start again, when the fault ends",
        how: "The node's ext4 file system is shut down without flushing its log while the servers run. At the end what \
              still runs is killed, the file system is mounted again, which replays its journal, and the servers start.",
        verified: "A write to the node's disk fails (EIO); at the end one succeeds, the processes run and the database \
                   answers (30 s).",
        breaks: "A primary that goes on serving, and acknowledging, from memory; errors of a sync that are tried again \
                 and then believed (PostgreSQL before 12); fail-over that watches processes and not disks.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[],
        strength: None,
        needs_time: true,
        capabilities: &[EXT4_DISK],
    },
    KindInfo {
        kind: Kind::ReadOnly,
        name: "read-only",
        family: Family::Storage,
        description: "the target nodes' file systems turn read-only under the running servers; they come back, and the \
                      servers start again, when the fault ends",
        how: "ext4 is told to abort, as it does by itself when its journal fails: open files can be read and not \
              written, and what was not synced is lost. At the end what still runs is killed, the file system is \
              mounted again, and the servers start.",
        verified: "A write to the node's disk fails (EROFS); at the end one succeeds, the processes run and the \
                   database answers (30 s).",
        breaks: "A primary that stays primary and can write nothing, acknowledged writes that only memory had, health \
                 checks that only read.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[],
        strength: None,
        needs_time: true,
        capabilities: &[EXT4_DISK],
    },
];

/// As a write to a disk is answered.
const DONE: f64 = 0.0;
const EIO: f64 = 5.0;
const EROFS: f64 = 30.0;

/// Between filling a disk and looking, a server may remove a file of its own: a temporary one, as a rule.
const FREED_MEANWHILE_KB: f64 = 1024.0;

/// A disk that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskFull {
    /// How much is left free, in KiB.
    pub leave_kb: u64,
}

impl DiskFull {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const LEAVE_KB: [u64; 3] = [0, 64, 1024];
        Self { leave_kb: LEAVE_KB[stream.index(LEAVE_KB.len())] }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        Ok(Self { leave_kb: options.parsed("leave", units::parse_kib)?.unwrap_or(0) })
    }

    pub(super) fn write(self, options: &mut Options) {
        options.set("leave", units::kib_text(self.leave_kb));
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let Self { leave_kb } = self;
        let asked = leave_kb as f64;
        Injection {
            steps: disk(scene.chosen, &DiskStep::Fill { leave_kb }),
            bites: each(scene.chosen, |node| Expect::Measures {
                gauge: Gauge::DiskFree { node },
                asked,
                bounds: 0.0..=asked + FREED_MEANWHILE_KB,
            }),
            detail: format!("the disk of {} full but for {}", scene.chosen.join(", "), units::kib_text(leave_kb)),
            ..repaired(scene.chosen, &DiskStep::Empty)
        }
    }
}

pub(super) fn power_loss(victims: &[String]) -> Injection {
    let mut bites = each(victims, |node| Expect::Dead { node });
    bites.extend(answers(victims, EIO));
    Injection {
        steps: disk(victims, &DiskStep::PowerOff),
        bites,
        detail: format!("{} without power", victims.join(", ")),
        ..repaired(victims, &DiskStep::Repair)
    }
}

pub(super) fn disk_gone(victims: &[String]) -> Injection {
    Injection {
        steps: disk(victims, &DiskStep::Break),
        bites: answers(victims, EIO),
        detail: format!("the disk of {} gone", victims.join(", ")),
        ..repaired(victims, &DiskStep::Repair)
    }
}

pub(super) fn read_only(victims: &[String]) -> Injection {
    Injection {
        steps: disk(victims, &DiskStep::ReadOnly),
        bites: answers(victims, EROFS),
        detail: format!("the disk of {} read-only", victims.join(", ")),
        ..repaired(victims, &DiskStep::Repair)
    }
}

/// Whatever was done, at the end the disks work and the servers run.
fn repaired(victims: &[String], repair: &DiskStep) -> Injection {
    let mut undo = disk(victims, repair);
    undo.extend(each(victims, |node| Step::Start { node }));
    let mut heals = answers(victims, DONE);
    heals.extend(serving(victims));
    Injection { undo, heals, victims: victims.to_vec(), ..Injection::default() }
}

fn disk(nodes: &[String], action: &DiskStep) -> Vec<Step> {
    each(nodes, |node| Step::Disk { node, action: action.clone() })
}

fn answers(nodes: &[String], asked: f64) -> Vec<Expect> {
    each(nodes, |node| Expect::Measures { gauge: Gauge::DiskAnswer { node }, asked, bounds: asked..=asked })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that is started before its disk is back finds no files.
    #[test]
    fn every_disk_works_before_its_server_starts() {
        let nodes = ["n1", "n2"].map(String::from);
        let full = DiskFull::default().inject(&Scene::of(&All, &nodes, &nodes));
        for injection in [power_loss(&nodes), disk_gone(&nodes), read_only(&nodes), full] {
            assert_eq!(injection.steps.len(), 2);
            let (disks, starts) = injection.undo.split_at(2);
            assert!(disks.iter().all(|step| matches!(step, Step::Disk { .. })), "{:?}", injection.undo);
            assert!(starts.iter().all(|step| matches!(step, Step::Start { .. })), "{:?}", injection.undo);
        }
    }
}

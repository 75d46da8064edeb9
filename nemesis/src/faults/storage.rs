//! Faults of what is below a node's files.

use schism_cluster::{Damage, DiskStep, Gauge, Step, check_files};
use schism_seed::Stream;

use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{All, Majority, Minority, One, Primary, Replica},
    expect::Expect,
    injection::{Injection, Pulse, Scene, each},
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
    KindInfo {
        kind: Kind::BitFlip,
        name: "bit-flip",
        family: Family::Storage,
        description: "bits of the target nodes' files turn over while their processes are dead; they start when the \
                      fault ends",
        how: "The node's processes are killed, and bits are turned over at places that the seed draws among all blocks \
              that were written to. A server that notices and refuses to start is told of, and gets its files back.",
        verified: "The kernel shows no process of the node, and exactly `count` bits differ; at the end the \
                   database answers (8 s, and again with its own files).",
        breaks: "Pages without checksums that are read as they are, a log that is cut at the damage and with it every \
                 acknowledged write behind it, a damaged copy that spreads to replicas.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[OptionInfo { name: "count", meaning: "how many bits, 1 to 1000000 [default: 1]" }, FILES],
        strength: None,
        needs_time: false,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::Truncate,
        name: "truncate",
        family: Family::Storage,
        description: "a file of each target node loses the end of what was written to it while the processes are dead; \
                      they start when the fault ends",
        how: "The node's processes are killed, and the file that was written to last is cut. A server that notices and \
              refuses to start is told of, and gets its files back.",
        verified: "The kernel shows no process of the node, and exactly `bytes` bytes that were written are missing; at \
                   the end the database answers (8 s, and again with its own files).",
        breaks: "Acknowledged writes at the end of a log, whose loss looks like a crash in mid-record; replicas that are \
                 ahead of their primary then.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[OptionInfo { name: "bytes", meaning: "how many bytes, 1 or more [default: 64]" }, FILES],
        strength: None,
        needs_time: false,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::StaleRestore,
        name: "stale-restore",
        family: Family::Storage,
        description: "the target nodes go on with the files that they had when the fault began, as after restoring an \
                      old snapshot",
        how: "At the beginning the files are copied, with the processes frozen for that moment. They run on until `down` \
              before the end; then they are killed, the files are set back, and at the end the servers start. One that \
              notices and refuses is told of, and gets its files back.",
        verified: "Then the kernel shows no process of the node, and the restored files are as old as planned; at the \
                   end the database answers (8 s, and again with its own files).",
        breaks: "Acknowledged writes of a single node, replicas that are ahead of their primary, votes and epochs that a \
                 node has given and no longer knows of: two leaders in one term.",
        targets: &[Primary, Replica, One, Minority, Majority, All],
        takes_node: true,
        nodes_min: 1,
        options: &[
            OptionInfo {
                name: "down",
                meaning: "how long the node is down before the end, at most half of the fault's time [default: 1s]",
            },
            OptionInfo { name: "files", meaning: "as of bit-flip [default: all]" },
        ],
        strength: None,
        needs_time: true,
        capabilities: &[],
    },
];

const FILES: OptionInfo = OptionInfo {
    name: "files",
    meaning: "\"log\" (the newest file of PostgreSQL's WAL, Redis' append-only file), \"data\" (tables, RDB \
              snapshots), \"wal\", \"aof\", \"rdb\", \"all\", or a pattern relative to the data directory such as \
              \"base/*/1259\" [default: log]",
};

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

/// Bits that turn over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitFlip {
    /// How many.
    pub count: u32,
    /// In which files.
    pub files: String,
}

impl BitFlip {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const COUNTS: [u32; 3] = [1, 8, 64];
        Self { count: COUNTS[stream.index(COUNTS.len())], files: drawn_files(stream) }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        let count = options.word("count")?.unwrap_or(1);
        if !(1..=1_000_000).contains(&count) {
            return Err(wrong("count", format!("between 1 and 1000000 bits can turn over, not {count}")));
        }
        Ok(Self { count, files: read_files(options, "log")? })
    }

    pub(super) fn write(&self, options: &mut Options) {
        options.set("count", self.count);
        options.set("files", &self.files);
    }

    pub(super) fn inject(&self, scene: &Scene<'_>) -> Injection {
        let asked = f64::from(self.count);
        let gauge = |node| Gauge::FlippedBits { node, fault: scene.id };
        let detail = format!("{} bits of {} flipped", self.count, scene.chosen.join(", "));
        damaged(scene, &self.files, &Damage::Flip { count: self.count }, gauge, asked, detail)
    }
}

/// The end of a file that goes missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// How much.
    pub bytes: u64,
    /// Of which file.
    pub files: String,
}

impl Truncate {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const BYTES: [u64; 4] = [1, 16, 64, 256];
        Self { bytes: BYTES[stream.index(BYTES.len())], files: drawn_files(stream) }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        let bytes = options.word("bytes")?.unwrap_or(64);
        if bytes == 0 {
            return Err(wrong("bytes", "cutting off 0 bytes does nothing".to_owned()));
        }
        Ok(Self { bytes, files: read_files(options, "log")? })
    }

    pub(super) fn write(&self, options: &mut Options) {
        options.set("bytes", self.bytes);
        options.set("files", &self.files);
    }

    pub(super) fn inject(&self, scene: &Scene<'_>) -> Injection {
        let gauge = |node| Gauge::MissingBytes { node, fault: scene.id };
        let detail = format!("the last {} bytes of a file of {} cut off", self.bytes, scene.chosen.join(", "));
        damaged(scene, &self.files, &Damage::Truncate { bytes: self.bytes }, gauge, self.bytes as f64, detail)
    }
}

/// Files that are set back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleRestore {
    /// For how long the node is down before the fault's end, in milliseconds.
    pub down_ms: u64,
    /// Which files.
    pub files: String,
}

impl Default for StaleRestore {
    fn default() -> Self {
        Self { down_ms: 1_000, files: "all".to_owned() }
    }
}

/// One task does everything in order of time, so another fault's undo (a rejoin) may delay this one's restore, or its
/// copy, which the restore does not wait for: then it is set back by less, as a partition that begins late is shorter.
const RESTORED_LATE_S: f64 = 30.0;

impl StaleRestore {
    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        let down_ms = options.millis("down")?.unwrap_or(Self::default().down_ms);
        Ok(Self { down_ms, files: read_files(options, "all")? })
    }

    pub(super) fn write(&self, options: &mut Options) {
        options.set_millis("down", self.down_ms);
        options.set("files", &self.files);
    }

    pub(super) fn inject(&self, scene: &Scene<'_>) -> Injection {
        let (victims, fault) = (scene.chosen, scene.id);
        let after_ms = scene.for_ms - self.down_ms.min(scene.for_ms / 2);
        let mut steps = each(victims, |node| Step::Kill { node });
        steps.extend(disk(victims, &DiskStep::Restore { fault }));
        let asked = after_ms as f64 / 1_000.0;
        let mut bites = each(victims, |node| Expect::Dead { node });
        bites.extend(each(victims, |node| Expect::Measures {
            gauge: Gauge::Staleness { node, fault },
            asked,
            bounds: 0.0..=asked + RESTORED_LATE_S,
        }));
        Injection {
            steps: disk(victims, &DiskStep::Snapshot { fault, files: self.files.clone() }),
            pulses: vec![Pulse { after_ms, steps, bites }],
            undo: revived(victims, fault),
            victims: victims.to_vec(),
            detail: format!("the files of {} copied, to be restored after {asked} s", victims.join(", ")),
            heals: accepting(victims),
            ..Injection::default()
        }
    }
}

fn wrong(option: &str, problem: String) -> OptionError {
    OptionError { option: Some(option.to_owned()), problem }
}

fn drawn_files(stream: &mut Stream) -> String {
    ["log", "data"][stream.index(2)].to_owned()
}

fn read_files(options: &mut Options, default: &str) -> Result<String, OptionError> {
    let checked = |text: &str| check_files(text).map(|()| text.to_owned());
    Ok(options.parsed("files", checked)?.unwrap_or_else(|| default.to_owned()))
}

/// All are started before any is watched.
fn revived(nodes: &[String], fault: u32) -> Vec<Step> {
    [disk(nodes, &DiskStep::Revive { fault }), disk(nodes, &DiskStep::Judge { fault })].concat()
}

fn accepting(nodes: &[String]) -> Vec<Expect> {
    each(nodes, |node| Expect::Accepts { node })
}

/// Killed, damaged, started again.
fn damaged(
    scene: &Scene<'_>,
    files: &str,
    how: &Damage,
    gauge: impl Fn(String) -> Gauge,
    asked: f64,
    detail: String,
) -> Injection {
    let (victims, fault) = (scene.chosen, scene.id);
    let mut steps = each(victims, |node| Step::Kill { node });
    // Each node its own places: the same ones everywhere would be one damage, copied.
    steps.extend((0..).zip(victims).map(|(number, node)| Step::Disk {
        node: node.clone(),
        action: DiskStep::Damage {
            fault,
            files: files.to_owned(),
            how: how.clone(),
            seed: scene.draw.wrapping_add(number),
        },
    }));
    let mut bites = each(victims, |node| Expect::Dead { node });
    bites.extend(each(victims, |node| Expect::Measures { gauge: gauge(node), asked, bounds: asked..=asked }));
    Injection {
        steps,
        bites,
        undo: revived(victims, fault),
        heals: accepting(victims),
        victims: victims.to_vec(),
        detail,
        ..Injection::default()
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

    #[test]
    fn a_restore_runs_on_first_and_is_down_last() {
        let nodes = ["n1", "n2"].map(String::from);
        let restore = |down_ms| StaleRestore { down_ms, files: "all".into() }.inject(&Scene::of(&All, &nodes, &nodes));
        assert_eq!(restore(1_000).pulses[0].after_ms, 9_000);
        assert_eq!(restore(60_000).pulses[0].after_ms, 5_000);
        let [pulse] = &restore(1_000).pulses[..] else { panic!() };
        assert!(matches!(
            pulse.steps[..],
            [Step::Kill { .. }, Step::Kill { .. }, Step::Disk { .. }, Step::Disk { .. }]
        ));
    }

    #[test]
    fn options_that_do_nothing_are_refused() {
        let read = |kind, name: &str, value: serde_json::Value| {
            let mut options = Options::default();
            options.set(name, value);
            crate::Fault::read(kind, None, options).unwrap_err().problem
        };
        assert!(read(Kind::BitFlip, "count", 0.into()).contains("between 1 and"));
        assert!(read(Kind::Truncate, "bytes", 0.into()).contains("does nothing"));
        assert!(read(Kind::Truncate, "files", "wall".into()).contains("names no files"));
        assert!(read(Kind::DiskFull, "leave", "1".into()).contains("is no size"));
    }

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

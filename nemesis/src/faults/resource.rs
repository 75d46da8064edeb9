//! Faults of resources that run out: processor time, memory, connections, descriptors, processes.

use schism_cluster::{Gauge, Limited, Size, Step, Work};
use schism_seed::Stream;

use crate::{
    Family, Kind, KindInfo, OptionInfo,
    Target::{self, All, Majority, Minority, One, Primary, Replica},
    expect::Expect,
    injection::{Injection, Scene, each},
    options::{OptionError, Options},
    units::{self, Unscaled},
};

const TARGETS: &[Target] = &[Primary, Replica, One, Minority, Majority, All];

pub(crate) const KINDS: &[KindInfo] = &[
    KindInfo {
        kind: Kind::Cpu,
        name: "cpu",
        family: Family::Resource,
        description: "busy threads beside the target nodes' servers take processor time",
        how: "A process of ours in a cgroup below the node's (without cgroups beside it) with as many threads as the \
              machine has cores, each busy for a share of every 10 ms; it dies and freezes with the node. All nodes \
              are on one machine: what the load takes, it takes from all of them and from the clients too.",
        verified: "The processor time that the load got in a second is measured; at the end it is gone and the \
                   database answers (30 s).",
        breaks: "Time-outs chosen on an idle machine, leases that run out while their holder waits for its turn, \
                 queues that grow faster than they are served.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[
            OptionInfo { name: "share", meaning: "of the time of all cores, 1% to 100% [default: 100%]" },
            OptionInfo { name: "threads", meaning: "instead: so many threads that never rest, 1 to 64" },
            OptionInfo { name: "nice", meaning: "how far they let others go first, 0 to 19 [default: 0]" },
        ],
        strength: Some("share"),
        needs_time: true,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::Memory,
        name: "memory",
        family: Family::Resource,
        description: "a process beside the target nodes' servers takes memory and keeps it in use",
        how: "A process of ours in a cgroup below the node's (without cgroups beside it) that writes to every page; it \
              dies and freezes with the node, and is the first that the kernel kills if memory runs out all the same. \
              2 GiB are always left to the machine: more is refused. All nodes are on one machine, and so is their \
              memory.",
        verified: "What the kernel says that it has in memory is measured; at the end it is gone and the database \
                   answers (30 s).",
        breaks: "Servers that count on the kernel's cache of files, data directories in memory, whatever allocates \
                 without looking.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[OptionInfo {
            name: "size",
            meaning: "\"512MiB\", \"2GiB\", or a share of what is available when it begins [default: 25%]",
        }],
        strength: Some("size"),
        needs_time: true,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::Connections,
        name: "connections",
        family: Family::Resource,
        description: "hold connections to the target nodes' servers, so that nobody else gets one",
        how: "A process at the client site beside the node opens sessions until the server refuses, and takes every \
              one that becomes free; of PostgreSQL also those kept for superusers, since schism's clients are. \
              Connections that are open, those of clients among them, are not touched; a partition that cuts the site \
              off keeps it from taking more.",
        verified: "The connections that it holds are counted in the kernel, and where it holds all of them three new \
                   clients are refused; at the end three new clients are served.",
        breaks: "Clients that reconnect after every error and so can never again, pools without a limit, health checks \
                 that need a connection of their own.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[OptionInfo { name: "count", meaning: "how many, 1 to 20000 [default: all that the server has]" }],
        strength: None,
        needs_time: true,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::FileLimit,
        name: "file-limit",
        family: Family::Resource,
        description: "the target nodes' servers can open no more files or connections than they have open",
        how: "prlimit(2) lowers the soft limit of descriptors (RLIMIT_NOFILE) of every process of the servers to the \
              number below which only `spare` are free; their children inherit it. A server that is started meanwhile \
              gets the lowered limit once it serves. One that dies of it is started again when the fault ends.",
        verified: "The descriptors that each server may still open are counted; without `spare` three new clients are \
                   not served; at the end three new clients are served.",
        breaks: "Servers that die of a file that cannot be opened, connections that are accepted by the kernel and \
                 never by the server, logs and write-ahead files that cannot be rotated.",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[OptionInfo {
            name: "spare",
            meaning: "how many more each process may open, at most 1000 [default: 0]",
        }],
        strength: None,
        needs_time: true,
        capabilities: &[],
    },
    KindInfo {
        kind: Kind::Threads,
        name: "threads",
        family: Family::Resource,
        description: "the target nodes' servers can start no new process or thread",
        how: "prlimit(2) lowers the soft limit of processes (RLIMIT_NPROC) of every process of the servers to none; \
              their children inherit it, what runs goes on. There is no number to choose: the kernel counts processes \
              by user, and the servers of all nodes are one user's. A server that is started meanwhile gets the \
              lowered limit once it serves.",
        verified: "No server of the node may start a process: by its limit, and for PostgreSQL, which starts one for \
                   every client, by three new clients that are refused; at the end three new clients are served.",
        breaks: "PostgreSQL: new sessions, parallel queries, autovacuum, a standby that has to attach again. Redis: \
                 saving to disk and full copies to replicas, and with them writes (`stop-writes-on-bgsave-error`).",
        targets: TARGETS,
        takes_node: true,
        nodes_min: 1,
        options: &[],
        strength: None,
        needs_time: true,
        capabilities: &[],
    },
];

/// Of three new clients, or none.
const ALL_SERVED: f64 = 3.0;

fn wrong(option: &str, problem: impl Into<String>) -> OptionError {
    OptionError { option: Some(option.to_owned()), problem: problem.into() }
}

fn number(options: &mut Options, name: &str, min: u32, max: u32) -> Result<Option<u32>, OptionError> {
    match options.word::<u32>(name)? {
        Some(number) if !(min..=max).contains(&number) => {
            Err(wrong(name, format!("`{name}` is {min} to {max}, not {number}")))
        }
        number => Ok(number),
    }
}

fn served(nodes: &[String], asked: f64) -> Vec<Expect> {
    each(nodes, |node| Expect::Measures { gauge: Gauge::ServedClients { node }, asked, bounds: asked..=asked })
}

/// A load in each victim, and that it is gone in the end.
fn load(scene: &Scene<'_>, work: Work, detail: String, bites: impl Fn(String) -> Vec<Expect>) -> Injection {
    let (victims, id) = (scene.chosen, scene.id);
    let gone = |node: String| Expect::Measures { gauge: Gauge::Loads { node, id }, asked: 0.0, bounds: 0.0..=0.0 };
    let undo = |node: String| {
        // What lacks memory may have been killed for it.
        let start = work.is_in_node().then(|| Step::Start { node: node.clone() });
        std::iter::once(Step::Unload { node, id }).chain(start)
    };
    Injection {
        steps: each(victims, |node| Step::Load { node, id, work }),
        undo: victims.iter().cloned().flat_map(undo).collect(),
        victims: victims.to_vec(),
        detail: format!("{detail}: {}", victims.join(", ")),
        bites: victims.iter().cloned().flat_map(bites).collect(),
        heals: [each(victims, gone), each(victims, |node| Expect::Answers { node })].concat(),
        ..Injection::default()
    }
}

/// Processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// How much.
    pub amount: CpuAmount,
    /// How far its threads let others go first, 0 to 19.
    pub nice: u32,
}

/// An amount of processor time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuAmount {
    /// Of the time of all cores, in parts per million.
    SharePpm(u32),
    /// So many threads that never rest.
    Threads(u32),
}

const SHARE_MIN_PPM: u32 = 10_000;

impl Cpu {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const SHARES_PPM: [u32; 3] = [250_000, 500_000, 1_000_000];
        Self { amount: CpuAmount::SharePpm(SHARES_PPM[stream.index(SHARES_PPM.len())]), nice: 0 }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        let share_ppm = options.share_ppm("share")?;
        let threads = number(options, "threads", 1, 64)?;
        let nice = number(options, "nice", 0, 19)?.unwrap_or(0);
        let amount = match (share_ppm, threads) {
            (Some(_), Some(_)) => return Err(wrong("threads", "`share` or `threads`, not both")),
            (Some(ppm), None) if ppm < SHARE_MIN_PPM => {
                return Err(wrong("share", "less than 1% of a core's time cannot be told from none"));
            }
            (Some(ppm), None) => CpuAmount::SharePpm(ppm),
            (None, Some(threads)) => CpuAmount::Threads(threads),
            (None, None) => CpuAmount::SharePpm(1_000_000),
        };
        Ok(Self { amount, nice })
    }

    pub(super) fn write(self, options: &mut Options) {
        match self.amount {
            CpuAmount::SharePpm(ppm) => options.set_share_ppm("share", ppm),
            CpuAmount::Threads(threads) => options.set("threads", threads),
        }
        options.set("nice", self.nice);
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let (threads, busy_ppm) = match self.amount {
            CpuAmount::SharePpm(ppm) => (cores, ppm),
            CpuAmount::Threads(threads) => (threads, 1_000_000),
        };
        let asked = f64::from(threads.min(cores)) * f64::from(busy_ppm) / 1e6;
        // Each of n runnable threads gets an n-th; with each level of nice a fifth less (sched(7)). Twenty busy threads
        // of others for each of ours is more than a machine on which anything can be tested.
        let least = asked / 20.0 / 1.25_f64.powi(self.nice.cast_signed());
        let most = asked * 1.1 + 0.05;
        let id = scene.id;
        let work = Work::Cpu { threads, busy_ppm, nice: self.nice.cast_signed() };
        let detail = format!("{threads} threads busy for {} of the time", units::share_text(busy_ppm));
        load(scene, work, detail, |node| {
            vec![Expect::Measures { gauge: Gauge::LoadCores { node, id }, asked, bounds: least..=most }]
        })
    }
}

/// Memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// How much.
    pub size: Size,
}

const MIB: u64 = 1 << 20;

impl Memory {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const SHARES_PPM: [u32; 2] = [100_000, 250_000];
        Self { size: Size::AvailablePpm(SHARES_PPM[stream.index(SHARES_PPM.len())]) }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        Ok(Self { size: options.parsed("size", parse_size)?.unwrap_or(Size::AvailablePpm(250_000)) })
    }

    pub(super) fn write(self, options: &mut Options) {
        options.set("size", size_text(self.size));
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let id = scene.id;
        let (asked, of_available, slack) = match self.size {
            // The process itself, whose code and stacks count.
            Size::Bytes(bytes) => ((bytes / MIB) as f64, false, 64.0),
            Size::AvailablePpm(ppm) => (f64::from(ppm) / 1e4, true, 2.0),
        };
        let detail = format!("{} of memory taken", size_text(self.size));
        load(scene, Work::Memory { size: self.size }, detail, |node| {
            let gauge = Gauge::LoadMemory { node, id, of_available };
            vec![Expect::Measures { gauge, asked, bounds: asked * 0.98..=asked + slack }]
        })
    }
}

/// `"512MiB"`, `"2GiB"`, `"25%"`.
fn parse_size(text: &str) -> Result<Size, String> {
    let problem = || format!("{text:?} is no size; write \"512MiB\", \"2GiB\", or \"25%\" of what is available");
    if text.ends_with('%') {
        return units::parse_share_ppm(text).map(Size::AvailablePpm);
    }
    match units::scaled(text, &[("MiB", 1), ("GiB", 1 << 10)]) {
        Ok(mib @ 1..=1_048_576) => Ok(Size::Bytes(mib * MIB)),
        Err(Unscaled::TooFine) => Err(format!("{text:?} is finer than a MiB")),
        _ => Err(problem()),
    }
}

fn size_text(size: Size) -> String {
    match size {
        Size::Bytes(bytes) => format!("{}MiB", bytes / MIB),
        Size::AvailablePpm(ppm) => units::share_text(ppm),
    }
}

/// Connections to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// How many; `None`: all that there are.
    pub count: Option<u32>,
}

impl Connections {
    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        Ok(Self { count: number(options, "count", 1, 20_000)? })
    }

    pub(super) fn write(self, options: &mut Options) {
        if let Some(count) = self.count {
            options.set("count", count);
        }
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let (id, count) = (scene.id, self.count);
        let what = count.map_or("all connections".to_owned(), |count| format!("{count} connections"));
        let bites = |node: String| {
            let gauge = |of_all| Gauge::LoadConnections { node: node.clone(), id, of_all };
            match count.map(f64::from) {
                Some(asked) => vec![Expect::Measures { gauge: gauge(false), asked, bounds: asked..=asked }],
                None => {
                    // The rest is held by clients and by us: that none is left shows in new clients.
                    let held = Expect::Measures { gauge: gauge(true), asked: 100.0, bounds: 1.0..=100.0 };
                    [vec![held], served(std::slice::from_ref(&node), 0.0)].concat()
                }
            }
        };
        let mut injection = load(scene, Work::Connections { count }, format!("{what} held"), bites);
        injection.heals.extend(served(scene.chosen, ALL_SERVED));
        injection
    }
}

/// File descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// How many more each process may open.
    pub spare: u32,
}

/// Between the limit and the look clients may leave, and the descriptors of their connections are free again.
const LEFT_MEANWHILE: f64 = 32.0;

impl FileLimit {
    pub(super) fn drawn(stream: &mut Stream) -> Self {
        const SPARE: [u32; 3] = [0, 2, 8];
        Self { spare: SPARE[stream.index(SPARE.len())] }
    }

    pub(super) fn read(options: &mut Options) -> Result<Self, OptionError> {
        Ok(Self { spare: number(options, "spare", 0, 1_000)?.unwrap_or(0) })
    }

    pub(super) fn write(self, options: &mut Options) {
        options.set("spare", self.spare);
    }

    pub(super) fn inject(self, scene: &Scene<'_>) -> Injection {
        let asked = f64::from(self.spare);
        let free = |node: String| Expect::Measures {
            gauge: Gauge::FreeDescriptors { node },
            asked,
            bounds: 0.0..=asked + LEFT_MEANWHILE,
        };
        let mut bites = each(scene.chosen, free);
        if self.spare == 0 {
            bites.extend(served(scene.chosen, 0.0));
        }
        let detail = format!("each process may open {} more descriptors", self.spare);
        limit(scene, Limited::Files, self.spare, &detail, bites)
    }
}

/// Processes and threads.
pub(super) fn threads(scene: &Scene<'_>) -> Injection {
    let none = |node| Expect::Measures { gauge: Gauge::ProcessStarts { node }, asked: 0.0, bounds: 0.0..=0.0 };
    limit(scene, Limited::Processes, 0, "no new process or thread may start", each(scene.chosen, none))
}

fn limit(scene: &Scene<'_>, limited: Limited, spare: u32, detail: &str, bites: Vec<Expect>) -> Injection {
    let victims = scene.chosen;
    let spare = u64::from(spare);
    // A server that died of it is started again.
    let undo = |node: String| [Step::Unlimit { node: node.clone(), limited }, Step::Start { node }];
    Injection {
        steps: each(victims, |node| Step::Limit { node, limited, spare }),
        undo: victims.iter().cloned().flat_map(undo).collect(),
        victims: victims.to_vec(),
        detail: format!("{detail}: {}", victims.join(", ")),
        bites,
        heals: [each(victims, |node| Expect::Answers { node }), served(victims, ALL_SERVED)].concat(),
        ..Injection::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn read(kind: Kind, pairs: &[(&str, serde_json::Value)]) -> Result<Fault, OptionError> {
        let mut options = Options::default();
        pairs.iter().for_each(|(name, value)| options.set(name, value));
        Fault::read(kind, None, options)
    }

    #[test]
    fn sizes_read_as_they_are_written() {
        for (text, size) in [("512MiB", Size::Bytes(512 << 20)), ("25%", Size::AvailablePpm(250_000))] {
            assert_eq!(parse_size(text), Ok(size));
            assert_eq!(size_text(size), text);
        }
        assert_eq!(parse_size("1.5GiB"), Ok(Size::Bytes(1536 << 20)));
        for wrong in ["", "5", "5MB", "0MiB", "0%", "101%", "0.5MiB", "-1MiB", "9999999GiB", "GiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn options_that_cannot_be_are_refused() {
        let problem = |kind, pairs: &[(&str, serde_json::Value)]| read(kind, pairs).unwrap_err().problem;
        assert!(problem(Kind::Cpu, &[("share", "50%".into()), ("threads", 2.into())]).contains("not both"));
        assert!(problem(Kind::Cpu, &[("share", "0.5%".into())]).contains("less than 1%"));
        assert!(problem(Kind::Cpu, &[("threads", 65.into())]).contains("1 to 64, not 65"));
        assert!(problem(Kind::Cpu, &[("nice", (-1).into())]).contains("invalid value"));
        assert!(problem(Kind::Connections, &[("count", 0.into())]).contains("1 to 20000, not 0"));
        assert!(problem(Kind::FileLimit, &[("spare", 5000.into())]).contains("0 to 1000"));
        assert!(problem(Kind::Memory, &[("size", "much".into())]).contains("is no size"));
    }

    #[test]
    fn what_servers_die_of_is_undone_before_they_start() {
        let nodes = ["n1", "n2"].map(String::from);
        for fault in [
            Fault::FileLimit(FileLimit { spare: 0 }),
            Fault::Threads,
            Fault::Memory(Memory { size: Size::Bytes(1 << 30) }),
        ] {
            let injection = fault.inject(&Scene::of(&All, &nodes, &nodes));
            assert_eq!(injection.undo.len(), 4);
            for pair in injection.undo.chunks(2) {
                assert!(matches!(pair, [Step::Unlimit { .. } | Step::Unload { .. }, Step::Start { .. }]), "{pair:?}");
            }
        }
    }

    /// Only where all connections are held is nobody served.
    #[test]
    fn a_count_of_connections_leaves_others() {
        let nodes = ["n1".to_owned()];
        let bites = |count| Connections { count }.inject(&Scene::of(&One, &nodes, &nodes)).bites;
        let refused = |expects: &[Expect]| {
            expects.iter().any(|e| matches!(e, Expect::Measures { gauge: Gauge::ServedClients { .. }, .. }))
        };
        assert!(refused(&bites(None)) && !refused(&bites(Some(5))));
    }
}

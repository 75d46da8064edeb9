//! What is done, with its options; one file a family, which has the table of its kinds and puts their injections
//! together.

mod clock;
mod network;
mod process;
mod resource;
mod restart;
mod shaping;
mod storage;
mod storage_io;

pub use clock::{ClockFault, ClockKind};
pub use network::{Clients, Flap};
pub(crate) use process::kill;
pub use process::{FailoverPlan, Rejoin};
pub use resource::{Connections, Cpu, CpuAmount, FileLimit, Memory};
pub use restart::{CrashLoop, Order, RestartStorm, RollingRestart, Terminate};
pub use shaping::{Direction, Links, Shaping};
pub(crate) use storage::EXT4_DISK;
pub use storage::{BitFlip, DiskFull, StaleRestore, Truncate};
pub(crate) use storage_io::FUSE;
pub use storage_io::IoFault;

use schism_seed::Stream;

use crate::{
    Kind, KindInfo, Target,
    injection::{Injection, Scene},
    options::{OptionError, Options},
};

/// All kinds by family, in the order in which they are listed.
pub(crate) const FAMILIES: [&[KindInfo]; 8] = [
    process::KINDS,
    restart::KINDS,
    resource::KINDS,
    network::KINDS,
    shaping::KINDS,
    clock::KINDS,
    storage::KINDS,
    storage_io::KINDS,
];

const OF_LINKS: &str = "all other kinds are faults of links: a test reads and draws every kind";

/// What is done, with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL; started again at the end.
    Kill,
    /// Freeze; thawed at the end.
    Pause,
    /// Shut down in order; started again at the end.
    Terminate(Terminate),
    /// Killed and started over and over.
    RestartStorm(RestartStorm),
    /// Killed again soon after every start.
    CrashLoop(CrashLoop),
    /// Every node in turn shut down in order and started.
    RollingRestart(RollingRestart),
    /// A replica is promoted in the primary's place.
    Failover(FailoverPlan),
    /// Processor time is taken.
    Cpu(Cpu),
    /// Memory is taken.
    Memory(Memory),
    /// Connections are taken.
    Connections(Connections),
    /// Descriptors are limited.
    FileLimit(FileLimit),
    /// Processes and threads are limited.
    Threads,
    /// Cut; lifted at the end.
    Partition {
        /// On which side the clients are.
        clients: Clients,
    },
    /// Cut and lifted over and over.
    Flap(Flap),
    /// Links made worse; made whole at the end.
    Shape(Shaping),
    /// A wall clock that is wrong; the true time at the end.
    Clock(ClockFault),
    /// Disk shut down, processes killed; mounted and started again at the end.
    PowerLoss,
    /// Filled up; emptied at the end.
    DiskFull(DiskFull),
    /// Disk shut down under the running servers; mounted and started again at the end.
    DiskGone,
    /// Disk read-only under the running servers; mounted and started again at the end.
    ReadOnly,
    /// Killed, bits turned over; started at the end.
    BitFlip(BitFlip),
    /// Killed, an end cut off; started at the end.
    Truncate(Truncate),
    /// Copied; killed, set back and started at the end.
    StaleRestore(StaleRestore),
    /// File operations are slow, fail or take a part; as before at the end.
    Io(IoFault),
}

impl Fault {
    /// Its kind, without options.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Kill => Kind::Kill,
            Self::Pause => Kind::Pause,
            Self::Terminate(_) => Kind::Terminate,
            Self::RestartStorm(_) => Kind::RestartStorm,
            Self::CrashLoop(_) => Kind::CrashLoop,
            Self::RollingRestart(_) => Kind::RollingRestart,
            Self::Failover(_) => Kind::Failover,
            Self::Cpu(_) => Kind::Cpu,
            Self::Memory(_) => Kind::Memory,
            Self::Connections(_) => Kind::Connections,
            Self::FileLimit(_) => Kind::FileLimit,
            Self::Threads => Kind::Threads,
            Self::Partition { .. } => Kind::Partition,
            Self::Flap(_) => Kind::Flap,
            Self::Shape(shaping) => shaping.kind(),
            Self::Io(fault) => fault.kind(),
            Self::Clock(clock) => clock.kind(),
            Self::PowerLoss => Kind::PowerLoss,
            Self::DiskFull(_) => Kind::DiskFull,
            Self::DiskGone => Kind::DiskGone,
            Self::ReadOnly => Kind::ReadOnly,
            Self::BitFlip(_) => Kind::BitFlip,
            Self::Truncate(_) => Kind::Truncate,
            Self::StaleRestore(_) => Kind::StaleRestore,
        }
    }

    /// The fewest nodes with which it means something, beyond what its kind and target say.
    pub(crate) const fn nodes_min(&self) -> usize {
        match self {
            Self::Shape(shaping) => shaping.nodes_min(),
            _ => 1,
        }
    }

    /// The one server of each victim that it hurts; `None`: whatever runs there.
    #[must_use]
    pub fn process(&self) -> Option<&str> {
        match self {
            Self::Clock(clock) => clock.process.as_deref(),
            _ => None,
        }
    }

    /// This kind as a seed draws it: with a strength from the stream where it has one.
    pub(crate) fn drawn(kind: Kind, stream: &mut Stream) -> Self {
        match kind {
            Kind::Kill => Self::Kill,
            Kind::Pause => Self::Pause,
            Kind::Terminate => Self::Terminate(Terminate::drawn(stream)),
            Kind::RestartStorm => Self::RestartStorm(RestartStorm::drawn(stream)),
            Kind::CrashLoop => Self::CrashLoop(CrashLoop::drawn(stream)),
            Kind::RollingRestart => Self::RollingRestart(RollingRestart::drawn(stream)),
            Kind::Failover => Self::Failover(FailoverPlan::default()),
            Kind::Cpu => Self::Cpu(Cpu::drawn(stream)),
            Kind::Memory => Self::Memory(Memory::drawn(stream)),
            Kind::Connections => Self::Connections(Connections { count: None }),
            Kind::FileLimit => Self::FileLimit(FileLimit::drawn(stream)),
            Kind::Threads => Self::Threads,
            Kind::Partition => Self::Partition { clients: Clients::default() },
            Kind::Flap => Self::Flap(Flap::drawn(stream)),
            Kind::Skew | Kind::Drift | Kind::Strobe | Kind::ClockFreeze => Self::Clock(ClockFault::drawn(kind, stream)),
            Kind::PowerLoss => Self::PowerLoss,
            Kind::DiskFull => Self::DiskFull(DiskFull::drawn(stream)),
            Kind::DiskGone => Self::DiskGone,
            Kind::ReadOnly => Self::ReadOnly,
            Kind::BitFlip => Self::BitFlip(BitFlip::drawn(stream)),
            Kind::Truncate => Self::Truncate(Truncate::drawn(stream)),
            Kind::StaleRestore => Self::StaleRestore(StaleRestore::default()),
            Kind::SlowIo | Kind::IoError | Kind::NoSpace | Kind::ShortWrite => Self::Io(IoFault::drawn(kind, stream)),
            of_links => Self::Shape(Shaping::drawn(of_links, stream).expect(OF_LINKS)),
        }
    }

    /// This kind with these options; what is not given has its default. The target is not known yet where the user
    /// leaves it to the seed.
    pub(crate) fn read(kind: Kind, target: Option<&Target>, mut options: Options) -> Result<Self, OptionError> {
        let fault = match kind {
            Kind::Kill => Self::Kill,
            Kind::Pause => Self::Pause,
            Kind::Terminate => Self::Terminate(Terminate::read(&mut options)?),
            Kind::RestartStorm => Self::RestartStorm(RestartStorm::read(&mut options)?),
            Kind::CrashLoop => Self::CrashLoop(CrashLoop::read(&mut options)?),
            Kind::RollingRestart => Self::RollingRestart(RollingRestart::read(&mut options)?),
            Kind::Failover => Self::Failover(FailoverPlan::read(&mut options)?),
            Kind::Cpu => Self::Cpu(Cpu::read(&mut options)?),
            Kind::Memory => Self::Memory(Memory::read(&mut options)?),
            Kind::Connections => Self::Connections(Connections::read(&mut options)?),
            Kind::FileLimit => Self::FileLimit(FileLimit::read(&mut options)?),
            Kind::Threads => Self::Threads,
            Kind::Partition => Self::Partition { clients: network::read_clients(target, &mut options)? },
            Kind::Flap => Self::Flap(Flap::read(target, &mut options)?),
            Kind::Skew | Kind::Drift | Kind::Strobe | Kind::ClockFreeze => {
                Self::Clock(ClockFault::read(kind, &mut options)?)
            }
            Kind::PowerLoss => Self::PowerLoss,
            Kind::DiskFull => Self::DiskFull(DiskFull::read(&mut options)?),
            Kind::DiskGone => Self::DiskGone,
            Kind::ReadOnly => Self::ReadOnly,
            Kind::BitFlip => Self::BitFlip(BitFlip::read(&mut options)?),
            Kind::Truncate => Self::Truncate(Truncate::read(&mut options)?),
            Kind::StaleRestore => Self::StaleRestore(StaleRestore::read(&mut options)?),
            Kind::SlowIo | Kind::IoError | Kind::NoSpace | Kind::ShortWrite => {
                Self::Io(IoFault::read(kind, &mut options)?)
            }
            of_links => Self::Shape(Shaping::read(of_links, &mut options)?.expect(OF_LINKS)),
        };
        options.finish(kind)?;
        Ok(fault)
    }

    /// Its options, so that [`Fault::read`] gives the same fault.
    pub(crate) fn write(&self) -> Options {
        let mut options = Options::default();
        match self {
            Self::Kill | Self::Pause | Self::Threads | Self::PowerLoss | Self::DiskGone | Self::ReadOnly => {}
            Self::Cpu(cpu) => cpu.write(&mut options),
            Self::Memory(memory) => memory.write(&mut options),
            Self::Connections(connections) => connections.write(&mut options),
            Self::FileLimit(limit) => limit.write(&mut options),
            Self::Terminate(terminate) => terminate.write(&mut options),
            Self::RestartStorm(storm) => storm.write(&mut options),
            Self::CrashLoop(crash_loop) => crash_loop.write(&mut options),
            Self::RollingRestart(rolling) => rolling.write(&mut options),
            Self::Failover(plan) => plan.write(&mut options),
            Self::Partition { clients } => options.set("clients", clients),
            Self::Flap(flap) => flap.write(&mut options),
            Self::Shape(shaping) => shaping.write(&mut options),
            Self::Clock(clock) => clock.write(&mut options),
            Self::DiskFull(full) => full.write(&mut options),
            Self::BitFlip(flip) => flip.write(&mut options),
            Self::Truncate(truncate) => truncate.write(&mut options),
            Self::StaleRestore(restore) => restore.write(&mut options),
            Self::Io(fault) => fault.write(&mut options),
        }
        options
    }

    /// Whether [`Scene::primary`] is asked for.
    pub(crate) fn wants_primary(&self) -> bool {
        matches!(self, Self::RollingRestart(rolling) if rolling.wants_primary())
    }

    /// How it is done to these victims. Pure: everything is decided here.
    pub(crate) fn inject(&self, scene: &Scene<'_>) -> Injection {
        match self {
            Self::Kill => process::kill(scene.chosen),
            Self::Pause => process::pause(scene.chosen),
            Self::Terminate(terminate) => terminate.inject(scene),
            Self::RestartStorm(storm) => storm.inject(scene),
            Self::CrashLoop(crash_loop) => crash_loop.inject(scene),
            Self::RollingRestart(rolling) => rolling.inject(scene),
            Self::Failover(plan) => plan.inject(scene),
            Self::Cpu(cpu) => cpu.inject(scene),
            Self::Memory(memory) => memory.inject(scene),
            Self::Connections(connections) => connections.inject(scene),
            Self::FileLimit(limit) => limit.inject(scene),
            Self::Threads => resource::threads(scene),
            Self::Partition { clients } => network::partition(scene, *clients),
            Self::Flap(flap) => flap.inject(scene),
            Self::Shape(shaping) => shaping.inject(scene),
            Self::Clock(clock) => clock.inject(scene),
            Self::PowerLoss => storage::power_loss(scene.chosen),
            Self::DiskFull(full) => full.inject(scene),
            Self::DiskGone => storage::disk_gone(scene.chosen),
            Self::ReadOnly => storage::read_only(scene.chosen),
            Self::BitFlip(flip) => flip.inject(scene),
            Self::Truncate(truncate) => truncate.inject(scene),
            Self::StaleRestore(restore) => restore.inject(scene),
            Self::Io(fault) => fault.inject(scene),
        }
    }
}

#[cfg(test)]
mod tests {
    use schism_seed::Seed;

    use super::*;
    use crate::kinds;

    #[test]
    fn what_is_written_of_a_fault_reads_the_same() {
        let mut stream = Seed::new(1).stream("faults");
        for info in kinds() {
            let by_default = Fault::read(info.kind, Some(&info.targets[0]), Options::default()).unwrap();
            for fault in (0..20).map(|_| Fault::drawn(info.kind, &mut stream)).chain([by_default]) {
                assert_eq!(fault.kind(), info.kind);
                let options = fault.write();
                assert!(info.options.iter().all(|option| option.name != "for" && option.name != "at"));
                assert_eq!(Fault::read(info.kind, Some(&info.targets[0]), options), Ok(fault));
            }
        }
    }

    #[test]
    fn an_unknown_option_is_refused_with_those_there_are() {
        for info in kinds() {
            let mut options = Options::default();
            options.set("no-such-option", 1);
            let error = Fault::read(info.kind, None, options).unwrap_err();
            assert!(error.problem.contains("has no option `no-such-option`"), "{}", error.problem);
        }
    }
}

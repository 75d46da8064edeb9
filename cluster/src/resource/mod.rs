//! Resources that run out: processor time, memory, connections (by *loads*, processes of ours that use them up) and
//! descriptors and processes (by *limits*, lowered for the servers that run).

mod burn;
mod hold;
mod limits;
mod load;

use serde::{Deserialize, Serialize};

pub use limits::Limited;
pub(crate) use limits::{free_descriptors, limit, limited, may_start_processes, unlimit};
pub use load::internal_load;
pub(crate) use load::{
    continue_all, cpu_cores, held_connections, is_alive, kill_all, remains, resident_mib, share_of, start, stop,
    stop_all,
};

/// What a load uses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "work", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Work {
    /// Processor time, in the node.
    Cpu {
        /// How many threads.
        threads: u32,
        /// For which share of the time each is busy, in parts per million.
        busy_ppm: u32,
        /// How far they let others go first, from 0 (not at all) to 19.
        nice: i32,
    },
    /// Memory, in the node.
    Memory {
        /// How much.
        size: Size,
    },
    /// Connections to the node's server, held by a process at the client site beside the node.
    Connections {
        /// How many; `None`: all that the server has, and each one that becomes free.
        count: Option<u32>,
    },
}

impl Work {
    /// Whether it is done by a process of the node, which dies and is frozen with the node.
    #[must_use]
    pub const fn is_in_node(&self) -> bool {
        matches!(self, Self::Cpu { .. } | Self::Memory { .. })
    }
}

/// An amount of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Size {
    /// So much.
    Bytes(u64),
    /// A share, in parts per million, of what the machine has available when the load starts.
    AvailablePpm(u32),
}

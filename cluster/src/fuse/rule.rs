//! What happens to a node's file operations: plain data, part of a step, stored in the ledger.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::files::DiskFiles;

/// An operation on a file, as a server asks its kernel for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskOperation {
    /// Opening a file that exists.
    Open,
    /// Making a file, a directory or a link.
    Create,
    /// Reading what is not in the page cache.
    Read,
    /// Writing, and allocating space.
    Write,
    /// fsync and fdatasync, of files and directories.
    Fsync,
    /// Changing a file's length.
    Truncate,
    /// Renaming.
    Rename,
    /// Removing a file or a directory.
    Unlink,
}

impl DiskOperation {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Open, Self::Create, Self::Read, Self::Write, Self::Fsync, Self::Truncate, Self::Rename, Self::Unlink];

    /// Its word in schedules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
            Self::Fsync => "fsync",
            Self::Truncate => "truncate",
            Self::Rename => "rename",
            Self::Unlink => "unlink",
        }
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskError {
    /// EIO.
    Io,
    /// ENOSPC.
    NoSpace,
}

impl DiskError {
    /// Its name in C.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "EIO",
            Self::NoSpace => "ENOSPC",
        }
    }

    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::Io => nix::libc::EIO,
            Self::NoSpace => nix::libc::ENOSPC,
        }
    }
}

/// What a rule does to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskEffect {
    /// It waits so many milliseconds and is done then.
    Delay(u64),
    /// It is not done, and fails.
    Fail(DiskError),
    /// A write takes at least one byte and at least one byte too few, and says how many.
    Short,
}

/// A rule for file operations of one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskRule {
    /// On which files.
    pub files: DiskFiles,
    /// Which operations.
    pub operations: BTreeSet<DiskOperation>,
    /// What happens to them.
    pub effect: DiskEffect,
    /// To how many of them, in parts per million.
    pub probability_ppm: u32,
    /// Decides to which of them.
    pub seed: u64,
}

//! The databases: their files, their start, and what is asked of them.

pub(crate) mod postgres;
pub(crate) mod redis;

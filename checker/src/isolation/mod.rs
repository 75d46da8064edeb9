//! What transactions may see of each other.

pub mod list_append;

//! Are acknowledged writes still there?

pub mod set;

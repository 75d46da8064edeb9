//! Do the nodes agree on who leads and on what was written?

pub mod final_state;
pub mod split_brain;

//! One file per command that is more than a call.

mod check;
mod doctor;
mod list;
mod plan;
mod run;

pub(crate) use self::{
    check::check,
    doctor::{doctor, heal},
    list::list,
    plan::plan,
    run::{report, run, run_inside},
};

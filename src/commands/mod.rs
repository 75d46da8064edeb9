//! One file per command that is more than a call.

mod certificate;
mod check;
mod doctor;
mod evidence;
mod list;
mod plan;
mod run;
mod verify;

pub(crate) use self::{
    check::check,
    doctor::{doctor, heal},
    list::list,
    plan::plan,
    run::{report, run, run_inside},
    verify::verify,
};

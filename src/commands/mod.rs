//! One file per command that is more than a call.

mod certificate;
mod check;
mod convert;
mod doctor;
mod evidence;
mod explain;
mod list;
mod plan;
mod run;
mod transactions;
mod verify;

pub(crate) use self::{
    check::check,
    convert::convert,
    doctor::{doctor, heal},
    explain::explain,
    list::list,
    plan::plan,
    run::{report, run, run_inside},
    verify::verify,
};

//! `schism plan`: everything decided, printed; nothing started.

use crate::{
    cli::PlanArgs,
    exit,
    plan::{from_args, plan_json, plan_text},
};

/// Prints the plan, the first operations of every client, and the faults.
#[expect(clippy::print_stdout, reason = "this is the command's output")]
pub(crate) fn plan(args: &PlanArgs) -> anyhow::Result<u8> {
    let plan = from_args(&args.test)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&plan_json(&plan, args.ops)?)?);
    } else {
        print!("{}", plan_text(&plan, args.ops)?);
    }
    Ok(exit::VALID)
}

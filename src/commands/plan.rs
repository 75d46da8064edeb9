//! `schism plan`: everything decided, printed; nothing started.

use crate::{
    cli::PlanArgs,
    exit,
    output::{print, print_line},
    plan::{from_args, plan_json, plan_text},
};

/// Prints the plan, the first operations of every client, and the faults.
pub(crate) fn plan(args: &PlanArgs) -> anyhow::Result<u8> {
    let plan = from_args(&args.test)?;
    if args.json {
        print_line(&serde_json::to_string_pretty(&plan_json(&plan, args.ops)?)?)?;
    } else {
        print(&plan_text(&plan, args.ops)?)?;
    }
    Ok(exit::VALID)
}

//! The pages about errors and workloads say what the code says.

use schism_workloads::{
    client::{
        errors::{ErrorRow, Outcome},
        lie::Lie,
        postgres_errors, redis_errors,
    },
    names, option_rows,
};

const ERRORS: &str = include_str!("../../docs/errors.md");
const WORKLOADS: &str = include_str!("../../docs/workloads.md");

#[test]
fn every_error_is_on_its_page() {
    for ErrorRow { code, phases, outcome, why } in postgres_errors::table().iter().chain(redis_errors::table()) {
        let code = if code.is_empty() { "anything else".to_owned() } else { format!("`{code}`") };
        let phases: Vec<&str> = phases.iter().map(|phase| phase.name()).collect();
        let outcome = if *outcome == Outcome::Fail { "fail" } else { "info" };
        let row = format!("| {code} | {} | {outcome} | {why} |", phases.join("; "));
        assert!(ERRORS.contains(&row), "docs/errors.md lacks\n{row}");
    }
}

#[test]
fn every_option_and_lie_is_on_its_page() {
    for name in names() {
        assert!(WORKLOADS.contains(&format!("## {name}\n")), "{name}");
        for row in option_rows(name) {
            let line = format!("| `{}` | {} | {} |", row.key, row.default, row.values);
            assert!(WORKLOADS.contains(&line), "docs/workloads.md lacks\n{line}");
        }
    }
    for row in Lie::all() {
        let fits: Vec<&str> =
            names().iter().map(|name| if row.workloads.contains(name) { " yes " } else { " " }).collect();
        let line = format!("| `{}` |{}|", row.name, fits.join("|"));
        assert!(WORKLOADS.contains(&line), "docs/workloads.md lacks\n{line}");
    }
}

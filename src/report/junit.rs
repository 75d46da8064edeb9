//! `junit.xml`, for CI systems: one test case per check, and one for the harness.

use std::{fmt::Write as _, time::Duration};

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};
use schism_checker::{Check, Validity};

use super::words::{clip, headline, told};
use crate::result::{Outcome, RunResult};

/// Findings that a failure's text carries.
const FINDINGS_MAX: usize = 20;

/// The document. A refuted check is a failure with its evidence; an undecided one is an error of type `unknown`, so
/// that no CI system shows it green; a failed harness is an error of type `harness`.
pub(crate) fn junit(result: &RunResult) -> anyhow::Result<String> {
    let suite_name = format!("{}/{}", result.target, result.workload);
    let mut suite = TestSuite::new(&suite_name);
    suite.set_time(Duration::try_from_secs_f64(result.wall_s).unwrap_or_default());
    let properties = [
        ("schism-version", result.schism_version.clone()),
        ("seed", result.seed.to_string()),
        ("command", result.command.clone()),
        ("guarantee", result.guarantee.clone()),
        ("started-utc", result.started_utc.clone()),
        ("verdict", headline(result).sentence),
    ];
    for (name, value) in properties {
        suite.add_property(Property::new(name, value));
    }
    suite.add_test_case(harness_case(result, &suite_name));
    for check in &result.checks {
        let mut case = TestCase::new(&check.name, status_of(check));
        case.set_classname(&suite_name);
        suite.add_test_case(case);
    }
    let mut report = Report::new("schism");
    report.set_time(Duration::try_from_secs_f64(result.wall_s).unwrap_or_default());
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}

fn harness_case(result: &RunResult, suite: &str) -> TestCase {
    let status = match result.outcome {
        Outcome::HarnessFailure => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("harness").set_message("schism itself failed; this is no verdict on the database");
            status.set_description(clip(&result.harness_errors.join("\n"), 20_000));
            status
        }
        Outcome::Aborted => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            let why = result.aborted.as_deref().unwrap_or_default();
            status.set_type("aborted").set_message(format!("the faults were ended early: {why}"));
            status
        }
        Outcome::Interrupted => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_type("interrupted").set_message("the run was interrupted; verdicts cover what was recorded");
            status
        }
        Outcome::Completed => TestCaseStatus::success(),
    };
    let mut case = TestCase::new("harness", status);
    case.set_classname(suite);
    case
}

fn status_of(check: &Check) -> TestCaseStatus {
    let (kind, word, message) = match check.valid {
        Validity::Valid => return TestCaseStatus::success(),
        Validity::Invalid => (NonSuccessKind::Failure, "invalid", check.summary.clone()),
        Validity::Unknown => (NonSuccessKind::Error, "unknown", told(check)),
    };
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(word).set_message(clip(&message, 2000)).set_description(findings_text(check));
    status
}

fn findings_text(check: &Check) -> String {
    let mut text = check.summary.clone();
    for finding in check.findings.iter().take(FINDINGS_MAX) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n- {}: {}", finding.kind, clip(&finding.sentence, 1000));
    }
    let shown = check.findings.len().min(FINDINGS_MAX) as u64;
    if check.findings_total > shown {
        let _ = write!(text, "\n… and {} more", check.findings_total - shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn one_case_per_check_and_one_for_the_harness() {
        insta::assert_snapshot!("junit-invalid", junit(&fixture::losses_and_split_brain(3)).unwrap());
        insta::assert_snapshot!("junit-unknown", junit(&fixture::unknown()).unwrap());
        insta::assert_snapshot!("junit-harness-failure", junit(&fixture::harness_failure()).unwrap());
    }

    #[test]
    fn hostile_text_stays_text() {
        let xml = junit(&fixture::hostile()).unwrap();
        assert!(!xml.contains("<script"), "{xml}");
        assert!(!xml.contains('\u{0}'));
    }
}

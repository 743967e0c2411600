//! `junit.xml`: a case for each invariant and for each failure of September 2024, so that any CI shows which one broke.

use std::io;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::checks::Finding;
use crate::verdict::Verdict;

/// # Errors
/// The text cannot be made.
pub fn render(verdict: &Verdict) -> io::Result<String> {
    let mut suite = TestSuite::new(format!("{} seed {}", verdict.scenario, verdict.seed));
    suite.add_test_cases(verdict.findings().iter().map(case));
    let mut report = Report::new("stampede-chaos");
    report.add_test_suite(suite);
    report.to_string().map_err(io::Error::other)
}

fn case(finding: &Finding) -> TestCase {
    let status = if finding.violations > 0 {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        let proofs: Vec<String> = finding.shown.iter().map(|shown| format!("{} (ops {:?})", shown.text, shown.ops)).collect();
        status.set_message(format!("{} violations", finding.violations)).set_description(proofs.join("\n"));
        status
    } else if !finding.inconclusive.is_empty() {
        // Not a failure of the system, and not a pass.
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message("inconclusive").set_description(finding.inconclusive.join("\n"));
        status
    } else {
        TestCaseStatus::success()
    };
    let mut case = TestCase::new(format!("{} {}", finding.id, finding.name), status);
    case.set_classname("stampede.drill");
    case
}

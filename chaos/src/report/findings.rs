//! What the judge found: the invariants, what broke them, and the failures of September 2024.

use maud::{Markup, html};

use super::proof::{self, Proof};
use crate::checks::failures_2024::Failure2024;
use crate::checks::{Finding, Violation};
use crate::figures::grouped;
use crate::verdict::Ruling;

pub(super) fn invariants(findings: &[Finding]) -> Markup {
    html! {
        div class="wide" {
            table {
                tr { th { "id" } th { "" } th { "invariant" } th { "checked" } th { "violations" } }
                @for finding in findings {
                    tr {
                        td { (finding.id) }
                        td { (state(finding)) }
                        td { (finding.name) @for why in &finding.inconclusive { br; small { (why) } } }
                        td.n { (grouped(finding.checked)) }
                        td.n {
                            @if finding.violations == 0 { "0" }
                            @else { a href={ "#" (anchor(finding)) } { (grouped(finding.violations)) } }
                        }
                    }
                }
            }
        }
    }
}

fn anchor(finding: &Finding) -> String {
    format!("violations-{}", finding.id)
}

fn state(finding: &Finding) -> Markup {
    let (class, word) = if finding.violations > 0 {
        ("bad", Ruling::Violated.word())
    } else if finding.inconclusive.is_empty() {
        ("good", Ruling::Held.word())
    } else {
        ("unsure", Ruling::Inconclusive.word())
    };
    html! { span class=(class) { (word) } }
}

/// Each with links to the calls and log entries that prove it.
pub(super) fn violations(findings: &[Finding], proof: &Proof) -> Markup {
    html! {
        @for finding in findings.iter().filter(|finding| finding.violations > 0) {
            h3 id=(anchor(finding)) { (finding.id) " " (finding.name) }
            p { (finding.violations) " violations" @if finding.violations > finding.shown.len() as u64 { ", the first " (finding.shown.len()) } }
            ol class="violations" {
                @for (nth, shown) in (1_usize..).zip(&finding.shown) { (violation(finding, nth, shown, proof)) }
            }
        }
    }
}

fn violation(finding: &Finding, nth: usize, shown: &Violation, proof: &Proof) -> Markup {
    html! {
        li id=(proof::violation_anchor(&finding.id, nth)) {
            (shown.text)
            @if !shown.ops.is_empty() || shown.log_index.is_some() {
                " "
                span class="proof" {
                    @for op in &shown.ops { (proof.link_to_op(*op)) " " }
                    @if let Some(index) = shown.log_index { (proof.link_to_entry(index)) }
                }
            }
        }
    }
}

pub(super) fn failures_2024(failures: &[Failure2024]) -> Markup {
    html! {
        div class="wide" {
            table {
                tr { th { "failure" } th { "what must hold" } th { "shown by" } th { "checked" } th { "happened" } }
                @for failure in failures {
                    tr {
                        td { (failure.name) }
                        td { (failure.what) @for why in &failure.inconclusive { br; small { (why) } } }
                        td { (failure.shown_by.join(", ")) }
                        td.n { (grouped(failure.checked)) }
                        td.n { (happened(failure)) }
                    }
                }
            }
        }
    }
}

fn happened(failure: &Failure2024) -> Markup {
    let is_good = failure.checked > 0 && failure.inconclusive.is_empty();
    html! {
        @if failure.violations > 0 { a href={ "#" (anchor(&failure.finding())) } { span.bad { (grouped(failure.violations)) } } }
        @else { span class=(if is_good { "good" } else { "unsure" }) { (failure.state()) } }
    }
}

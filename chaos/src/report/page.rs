//! `report.html`: one file, no network. The verdict first, then what broke, the run over time, and what proves it all.
//!
//! It is whole without its script, which only zooms. Whatever comes from the run goes through [`html!`], which escapes it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::proof::Proof;
use super::{faults, findings, over_time, summary};
use crate::checks::Evidence;
use crate::checks::timeline::Acknowledged;
use crate::evidence::Pointed;
use crate::verdict::{Ruling, Verdict};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

#[must_use]
pub fn render(evidence: &Evidence, writes: &[Acknowledged], pointed: &Pointed, verdict: &Verdict) -> String {
    let title = format!("{}: {} (seed {})", verdict.verdict.word(), verdict.scenario, verdict.seed);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body(evidence, writes, pointed, verdict))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn body(evidence: &Evidence, writes: &[Acknowledged], pointed: &Pointed, verdict: &Verdict) -> Markup {
    let all = verdict.findings();
    let proof = Proof::of(pointed, &all);
    let is_violated = verdict.verdict == Ruling::Violated;
    html! {
        (summary::banner(verdict))
        main {
            (summary::tiles(verdict))
            @if is_violated {
                h2 { "Violations" }
                (findings::violations(&all, &proof))
            }
            h2 id="over-time" { "Over time" }
            (over_time::over_time(evidence, writes, &verdict.fault_times))
            h2 { "Faults" }
            (faults::faults(&verdict.fault_times))
            h2 { "Invariants" }
            (findings::invariants(&verdict.invariants))
            h2 { "The failures of September 2024" }
            (findings::failures_2024(&verdict.failures_2024))
            h2 { "The run" }
            (summary::facts(evidence, verdict))
            @if is_violated {
                h2 { "What proves it" }
                (proof.render())
            }
        }
    }
}

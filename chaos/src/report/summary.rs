//! The first screen: the verdict, the figures that a drill is run for, and what repeats it.

use maud::{Markup, html};

use crate::checks::{Evidence, Finding};
use crate::figures::{duration, float, grouped, wall_time};
use crate::verdict::{Pause, Ruling, Verdict};

pub(super) fn banner(verdict: &Verdict) -> Markup {
    let word = verdict.verdict.word();
    html! {
        header class=(word) {
            p { (verdict.scenario) ", seed " (verdict.seed) }
            h1 class=(word) { (word) }
            p { (reason(verdict)) }
        }
    }
}

fn reason(verdict: &Verdict) -> String {
    let findings = verdict.findings();
    let names = |of: fn(&Finding) -> bool| -> Vec<&str> {
        findings.iter().filter(|finding| of(finding)).map(|finding| finding.id.as_str()).collect()
    };
    match verdict.verdict {
        Ruling::Held => {
            let checked = verdict.invariants.iter().map(|finding| finding.checked).sum();
            format!("{} invariants held over {} checks.", verdict.invariants.len(), grouped(checked))
        }
        Ruling::Violated => format!("Broken: {}.", names(|finding| finding.violations > 0).join(", ")),
        Ruling::Inconclusive => {
            let unsure = names(|finding| !finding.inconclusive.is_empty());
            format!("Nothing can be concluded: {} could not be sure.", unsure.join(", "))
        }
    }
}

pub(super) fn tiles(verdict: &Verdict) -> Markup {
    let landed: u64 = verdict.faults.values().sum();
    let planned = verdict.fault_times.len();
    let mut tiles = vec![(
        "orders issued",
        grouped(verdict.orders_issued),
        format!("{}/s over {} s", verdict.orders_per_s, verdict.traffic_s),
    )];
    if let Some(latency) = verdict.latency_ms {
        tiles.push((
            "p99 of writes",
            duration(latency.p99),
            format!("p50 {}, max {}", duration(latency.p50), duration(latency.max)),
        ));
    }
    if let Some(availability) = verdict.availability {
        let without = format!("{} of {} s without a write", availability.seconds_without_write, availability.seconds);
        tiles.push(("answered at once", format!("{} %", availability.answered_percent), without));
    }
    tiles.push((
        "unknown",
        grouped(verdict.calls.unknown),
        format!("of {} calls, when given up", grouped(verdict.calls.total)),
    ));
    let kinds: Vec<String> = verdict.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    tiles.push(("faults landed", format!("{landed} of {planned}"), kinds.join(", ")));
    if let Pause { median: Some(median), max: Some(max), count } = verdict.write_pause_ms {
        let of = format!("longest of {count} leader kills, median {}", duration(median));
        tiles.push(("pause of writes", duration(max), of));
    }
    html! {
        dl class="tiles" { @for (name, value, more) in tiles { div { dt { (name) } dd { (value) } dd class="more" { (more) } } } }
    }
}

pub(super) fn facts(evidence: &Evidence, verdict: &Verdict) -> Markup {
    let nodes = evidence.facts.nodes.len();
    html! {
        dl class="facts" {
            dt { "scenario" } dd { (verdict.scenario) }
            dt { "seed" } dd { (verdict.seed) }
            dt { "cluster" } dd { (nodes) " nodes" }
            dt { "started" } dd { (wall_time(evidence.facts.started_at_ms)) }
            @if let Some(run_s) = verdict.run_s { dt { "duration" } dd { (run_s) " s" } }
            dt { "judged in" } dd { (duration(float(verdict.judged_in_ms))) }
            @for (program, version) in &verdict.versions { dt { (program) } dd { (version) } }
            @for problem in &evidence.facts.problems { dt { "problem" } dd { (problem) } }
            @if !verdict.command.is_empty() { dt { "again" } dd { code { (verdict.command) } } }
        }
    }
}

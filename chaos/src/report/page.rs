//! `report.html`: one file, no network. The verdict first, then what proves it, then the run over time.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{self, Bar, Series};
use crate::checks::failures_2024::Failure2024;
use crate::checks::timeline::{self, Acknowledged, MS};
use crate::checks::{Evidence, Finding};
use crate::evidence::Ended;
use crate::history::{FaultStage, Phase, ProcessStep};
use crate::verdict::{Pause, Ruling, Verdict};

const SECOND_NS: u64 = 1_000 * MS;
/// Seconds that the charts show: a day. A longer run is cut, not squeezed into nothing.
const CHART_SECONDS_MAX: u64 = 86_400;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:1000px;margin:24px auto;padding:0 16px;color:#1c2430}\
h1{font-size:44px;margin:8px 0;color:#fff;padding:12px 20px;border-radius:6px}\
.held{background:#1a7f4b}.violated{background:#b3261e}.inconclusive{background:#8a6400}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:4px 10px;border-bottom:1px solid #ddd;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums}svg{width:100%;font-size:11px}h3{margin:14px 0 2px}\
.bad{color:#b3261e;font-weight:600}.unsure{color:#8a6400;font-weight:600}.good{color:#1a7f4b;font-weight:600}\
code{background:#f1f3f5;padding:1px 4px}dl{display:grid;grid-template-columns:repeat(4,auto);gap:2px 18px}dt{color:#666}dd{margin:0}";

#[must_use]
pub fn render(evidence: &Evidence, writes: &[Acknowledged], verdict: &Verdict) -> String {
    let title = format!("{}: {} (seed {})", verdict.verdict.word(), verdict.scenario, verdict.seed);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; title { (title) } style { (PreEscaped(STYLE)) } }
            body {
                h1 class=(verdict.verdict.word()) { (verdict.verdict.word()) }
                (figures(verdict))
                h2 { "Invariants" }
                (invariants(&verdict.invariants))
                (proofs(&verdict.invariants))
                h2 { "The failures of September 2024" }
                (failures_2024(&verdict.failures_2024))
                h2 { "Over time" }
                (over_time(evidence, writes))
                @if !verdict.command.is_empty() { p { "Again: " code { (verdict.command) } } }
            }
        }
    };
    page.into_string()
}

fn figures(verdict: &Verdict) -> Markup {
    let faults: Vec<String> = verdict.faults.iter().map(|(kind, count)| format!("{kind} × {count}")).collect();
    let mut figures = vec![
        ("scenario", format!("{}, seed {}", verdict.scenario, verdict.seed)),
        ("orders issued", format!("{} ({:.0}/s over {:.0} s)", verdict.orders_issued, verdict.orders_per_s, verdict.traffic_s)),
        ("calls", format!("{}, {} unknown when given up", verdict.calls.total, verdict.calls.unknown)),
        ("faults", if faults.is_empty() { "none".into() } else { faults.join(", ") }),
        ("leader kills", verdict.leader_kills.to_string()),
    ];
    if let Pause { median: Some(median), max: Some(max), .. } = verdict.write_pause_ms {
        figures.push(("write pause", format!("median {median} ms, max {max} ms")));
    }
    if let Some(latency) = verdict.latency_ms {
        figures.push(("latency of writes", format!("p50 {} ms, p99 {} ms, max {} ms", latency.p50, latency.p99, latency.max)));
    }
    html! { dl { @for (name, value) in figures { dt { (name) } dd { (value) } } } }
}

fn invariants(findings: &[Finding]) -> Markup {
    html! {
        table {
            tr { th { "id" } th { "invariant" } th { "checked" } th { "violations" } th { "" } }
            @for finding in findings {
                tr {
                    td { (finding.id) }
                    td { (finding.name) @for why in &finding.inconclusive { br; small { (why) } } }
                    td.n { (finding.checked) }
                    td.n { (finding.violations) }
                    td { (state(finding)) }
                }
            }
        }
    }
}

fn failures_2024(failures: &[Failure2024]) -> Markup {
    html! {
        table {
            tr { th { "failure" } th { "what must hold" } th { "shown by" } th { "checked" } th { "happened" } }
            @for failure in failures {
                tr {
                    td { (failure.name) }
                    td { (failure.what) }
                    td { (failure.shown_by.join(", ")) }
                    td.n { (failure.checked) }
                    td.n { @if failure.violations == 0 { "never" } @else { span.bad { (failure.violations) } } }
                }
            }
        }
    }
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

fn proofs(findings: &[Finding]) -> Markup {
    html! {
        @for finding in findings.iter().filter(|finding| finding.violations > 0) {
            h3 { (finding.id) " " (finding.name) ": " (finding.violations) " violations, the first " (finding.shown.len()) }
            table {
                tr { th { "what" } th { "calls" } th { "log index" } }
                @for shown in &finding.shown {
                    tr {
                        td { (shown.text) }
                        td { (shown.ops.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")) }
                        td.n { @if let Some(index) = shown.log_index { (index) } }
                    }
                }
            }
        }
    }
}

fn over_time(evidence: &Evidence, writes: &[Acknowledged]) -> Markup {
    let last_ns = evidence.phase_start(Phase::End).or_else(|| writes.last().map(|write| write.returned_ns)).unwrap_or(0);
    let seconds = (last_ns / SECOND_NS + 1).min(CHART_SECONDS_MAX);
    let length = f64::from(u32::try_from(seconds).unwrap_or(u32::MAX));
    let marks: Vec<f64> = timeline::windows(evidence).iter().map(|window| second(window.fired_ns)).collect();
    let (rate, p99) = by_second(writes, seconds);
    let series = [
        Series { title: "Acknowledged writes", unit: "a second", colour: "#1f5fa8", points: rate },
        Series { title: "p99 of acknowledged writes", unit: "ms, by the second of the answer", colour: "#7a3fa0", points: p99 },
        Series {
            title: "Unknown when given up",
            unit: "calls a second",
            colour: "#b3261e",
            points: unknowns(evidence, seconds),
        },
    ];
    let (names, bars) = node_lanes(evidence, last_ns);
    html! {
        h3 { "Nodes " small { "(red: down; the dashed lines are faults)" } }
        (chart::lanes(&names, &bars, length))
        @for one in &series { (chart::line(one, length, &marks)) }
    }
}

fn second(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

fn by_second(writes: &[Acknowledged], seconds: u64) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
    let of = |second: u64| {
        let from = writes.partition_point(|write| write.returned_ns < second * SECOND_NS);
        let to = writes.partition_point(|write| write.returned_ns < (second + 1) * SECOND_NS);
        let mut latencies: Vec<u64> = writes[from..to].iter().map(Acknowledged::latency_ns).collect();
        latencies.sort_unstable();
        let p99 = latencies.get((latencies.len() * 99).div_ceil(100).saturating_sub(1)).map(|ns| second_ms(*ns));
        (Some(f64::from(u32::try_from(to - from).unwrap_or(u32::MAX))), p99)
    };
    (0..seconds).map(of).unzip()
}

fn second_ms(ns: u64) -> f64 {
    second(ns) * 1_000.0
}

fn unknowns(evidence: &Evidence, seconds: u64) -> Vec<Option<f64>> {
    let mut counts = vec![0_u32; usize::try_from(seconds).unwrap_or(0)];
    for call in &evidence.moments {
        // (Who never ended ends behind all seconds.)
        let at = usize::try_from(call.ended_ns / SECOND_NS).unwrap_or(usize::MAX);
        if call.ended == Ended::Unknown
            && let Some(count) = counts.get_mut(at)
        {
            *count += 1;
        }
    }
    counts.into_iter().map(|count| Some(f64::from(count))).collect()
}

/// A lane for each node: down from the signal until it is ready again.
fn node_lanes(evidence: &Evidence, last_ns: u64) -> (Vec<String>, Vec<Bar>) {
    let nodes = &evidence.facts.nodes;
    let names = nodes.iter().map(|node| format!("node {node}")).collect();
    let mut bars = Vec::new();
    for event in evidence.faults.iter().filter(|event| event.stage == FaultStage::Injected) {
        let Some(lane) = nodes.iter().position(|node| *node == event.node) else { continue };
        let ready = evidence
            .processes
            .iter()
            .find(|process| process.node == event.node && process.at_ns > event.at_ns && process.step == ProcessStep::Ready);
        let to_ns = ready.map_or(last_ns, |process| process.at_ns);
        let title = format!("{} of node {} as {} in term {}", event.kind, event.node, event.role.name(), event.term);
        bars.push(Bar { lane, from_s: second(event.at_ns), to_s: second(to_ns), colour: "#d9534f", title });
    }
    (names, bars)
}

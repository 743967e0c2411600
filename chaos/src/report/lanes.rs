//! Lanes above the plots: the phases of the run, one lane for each kind of fault, and one for each node.

use maud::{Markup, html};

use super::over_time::row;
use super::plot::{self, HEIGHT};
use crate::checks::Evidence;
use crate::checks::fault_times::FaultTimes;
use crate::figures::{duration, float, moment, ms};
use crate::history::{FaultStage, NodeRole, Phase};

/// A stretch of time on a lane, milliseconds since the start of the run.
struct Bar {
    from_ms: f64,
    to_ms: f64,
    class: &'static str,
    title: String,
}

impl Bar {
    fn draw(&self) -> Markup {
        let (top, height) = match self.class {
            // Below the bar of the fault itself.
            "felt" => (HEIGHT * 0.82, HEIGHT * 0.18),
            _ => (HEIGHT * 0.15, HEIGHT * 0.6),
        };
        html! {
            rect class=(self.class) x=(format!("{:.1}", self.from_ms)) y=(top) height=(height)
                width=(format!("{:.1}", (self.to_ms - self.from_ms).max(0.0))) { title { (self.title) } }
        }
    }
}

pub(super) fn lanes(evidence: &Evidence, faults: &[FaultTimes], length_ms: u64) -> Markup {
    let mut kinds: Vec<&str> = faults.iter().map(|fault| fault.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let length = float(length_ms);
    html! {
        div class="keys" {
            span class="swatch landing" { "injected → effective" }
            span class="swatch hurt" { "effective → healed" }
            span class="swatch felt" { "until writes are quick again" }
            span class="swatch missed" { "did not land" }
            span class="swatch led" { "leads" }
            span class="swatch down" { "hit" }
        }
        (row(&html! { "phases" }, &html! {}, &phases(evidence, length)))
        @for kind in kinds {
            @let bars: Vec<Bar> =
                faults.iter().filter(|fault| fault.kind == kind).flat_map(|fault| bars_of_fault(fault, length)).collect();
            (lane(kind, &bars, length_ms))
        }
        @for node in &evidence.facts.nodes { (lane(&format!("node {node}"), &bars_of_node(evidence, *node), length_ms)) }
    }
}

fn lane(name: &str, bars: &[Bar], length_ms: u64) -> Markup {
    let content = html! { @for bar in bars { (bar.draw()) } };
    html! { div class="lane" { (row(&html! { (name) }, &html! {}, &plot::drawing(name, length_ms, &content))) } }
}

/// Written, not drawn: each name stands where its phase begins.
fn phases(evidence: &Evidence, length: f64) -> Markup {
    let ends = evidence.phases.iter().skip(1).map(|(at_ns, _)| ms(*at_ns)).chain([length]);
    html! {
        div class="phases" {
            @for ((at_ns, phase), end) in evidence.phases.iter().zip(ends).filter(|((_, phase), _)| *phase != Phase::End) {
                @let (from, name) = (ms(*at_ns), phase_name(*phase));
                span data-from-ms=(from) data-to-ms=(end) title={ (name) ", from " (moment(from)) }
                    style=(format!("left:{:.2}%;width:{:.2}%", from / length * 100.0, (end - from) / length * 100.0)) { (name) }
            }
        }
    }
}

const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::WarmUp => "warm-up",
        Phase::Faults => "faults",
        Phase::Heal => "heal",
        Phase::Ask => "ask",
        Phase::Drain => "drain",
        Phase::Scan => "scan",
        Phase::End => "end",
    }
}

fn bars_of_fault(fault: &FaultTimes, length: f64) -> Vec<Bar> {
    let Some(injected) = fault.injected_ms else { return Vec::new() };
    let nodes: Vec<String> = fault.nodes.iter().map(u16::to_string).collect();
    let what = format!("fault {}: {} of node {} ({})", fault.fault, fault.kind, nodes.join(", "), fault.role);
    let healed = fault.healed_ms.unwrap_or(length);
    let Some(effective) = fault.effective_ms else {
        let title = format!("{what}, injected at {}, did not land", moment(injected));
        return vec![Bar { from_ms: injected, to_ms: healed, class: "missed", title }];
    };
    let title = format!(
        "{what}, injected at {}, effective {} later, healed {}",
        moment(injected),
        duration(effective - injected),
        fault.healed_ms.map_or("never".into(), |healed| format!("at {}", moment(healed))),
    );
    let mut bars = vec![
        Bar { from_ms: injected, to_ms: effective, class: "landing", title: title.clone() },
        Bar { from_ms: effective, to_ms: healed, class: "hurt", title },
    ];
    if let Some(after) = fault.recovered_after_ms {
        let title = format!("{what}: writes were quick again after {}", duration(after));
        bars.push(Bar { from_ms: injected, to_ms: injected + after, class: "felt", title });
    }
    bars
}

/// When it led, by its own word, and when it was hit.
fn bars_of_node(evidence: &Evidence, node: u16) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    let mut leads_in = None;
    for sample in evidence.statuses.iter().filter(|sample| sample.node == node) {
        let (at_ms, leads) = (ms(sample.at_ns), sample.role == NodeRole::Leader);
        match (bars.last_mut(), leads_in == Some(sample.term) && leads) {
            (Some(bar), true) => bar.to_ms = at_ms,
            _ if leads => {
                let title = format!("node {node} leads in term {}, seen from {}", sample.term, moment(at_ms));
                bars.push(Bar { from_ms: at_ms, to_ms: at_ms, class: "led", title });
            }
            _ => {}
        }
        leads_in = leads.then_some(sample.term);
    }
    for hit in evidence.faults.iter().filter(|event| event.node == node && event.stage == FaultStage::Injected) {
        let is_end = |stage: FaultStage, number: u32, of: u16| stage == FaultStage::Healed && number == hit.fault && of == node;
        let healed = evidence.faults.iter().find(|event| is_end(event.stage, event.fault, event.node));
        let to_ns = healed.map_or(evidence.last_ns, |event| event.at_ns);
        let title = format!("{} of node {node} as {} in term {}", hit.kind, hit.role.name(), hit.term);
        bars.push(Bar { from_ms: ms(hit.at_ns), to_ms: ms(to_ns), class: "down", title });
    }
    bars
}

/// Behind a plot: when a fault was open.
pub(super) fn bands(faults: &[FaultTimes], length_ms: u64) -> Markup {
    html! {
        @for fault in faults.iter().filter(|fault| fault.effective_ms.is_some()) {
            @if let Some(injected) = fault.injected_ms {
                @let to = fault.healed_ms.unwrap_or(float(length_ms));
                rect class="band" x=(injected) y="0" width=((to - injected).max(0.0)) height=(HEIGHT) {}
            }
        }
    }
}

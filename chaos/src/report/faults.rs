//! The faults in tables: how long each kind was felt, and each fault by itself.

use maud::{Markup, html};

use crate::checks::fault_times::{FaultTimes, KindTimes, by_kind};
use crate::figures::{Spread, duration, moment};

/// Shown before and after a fault by whoever follows its link, milliseconds.
const MARGIN_MS: f64 = 2_000.0;

pub(super) fn faults(faults: &[FaultTimes]) -> Markup {
    html! {
        @if faults.is_empty() {
            p { "The scenario has none." }
        } @else {
            (kinds(&by_kind(faults)))
            p class="hint" {
                "Each as p50 / p95 / max since the fault had hit its targets. Detected: the first call that was not answered, or the first "
                "sign of a new leader. Writes: the first that was sent after the fault and acknowledged by a healthy majority. "
                "Recovered: a second of writes as quick as V14 demands. What did not happen before the next fault is left out."
            }
            (each(faults))
        }
    }
}

fn kinds(kinds: &[KindTimes]) -> Markup {
    html! {
        div class="wide" {
            table {
                tr { th { "kind" } th { "landed" } th { "detected" } th { "new leader" } th { "writes" } th { "recovered" } }
                @for kind in kinds {
                    tr {
                        td.n { (kind.kind) }
                        td.n { (kind.landed) " of " (kind.planned) }
                        @for spread in [kind.detected_ms, kind.new_leader_ms, kind.writes_ms, kind.recovered_ms] {
                            td.n { (spread.map_or("–".into(), Spread::durations)) }
                        }
                    }
                }
            }
        }
    }
}

fn each(faults: &[FaultTimes]) -> Markup {
    html! {
        details open[faults.len() <= 12] {
            summary { "Each fault" }
            div class="wide" {
                table {
                    tr {
                        th { "fault" } th { "kind" } th { "nodes" } th { "injected" } th { "effective" } th { "detected" }
                        th { "new leader" } th { "writes" } th { "recovered" } th { "healed" }
                    }
                    @for fault in faults { (one(fault)) }
                }
            }
        }
    }
}

fn one(fault: &FaultTimes) -> Markup {
    let nodes: Vec<String> = fault.nodes.iter().map(u16::to_string).collect();
    let since = |at_ms: Option<f64>| Some(at_ms? - fault.injected_ms?);
    html! {
        tr id={ "fault-" (fault.fault) } {
            td { (link(fault)) }
            td.n { (fault.kind) }
            td { (nodes.join(", ")) " " small { (fault.role) } }
            @match fault.injected_ms {
                Some(at_ms) => { td.n { (moment(at_ms)) } }
                None => { td colspan="7" { span.unsure { "found no target" } } }
            }
            @if fault.injected_ms.is_some() && fault.effective_ms.is_none() {
                td colspan="6" { span.unsure { "did not land" } }
            } @else if fault.injected_ms.is_some() {
                @let times = [since(fault.effective_ms), fault.detected_after_ms, fault.new_leader_after_ms,
                    fault.writes_after_ms, fault.recovered_after_ms, since(fault.healed_ms)];
                @for after in times { td.n { (after.map_or("–".into(), duration)) } }
            }
        }
    }
}

/// To the plots, zoomed to the fault where a script runs.
fn link(fault: &FaultTimes) -> Markup {
    let Some(injected) = fault.injected_ms else { return html! { (fault.fault) } };
    let felt = fault.recovered_after_ms.map(|after| injected + after);
    let last = [fault.healed_ms, felt].into_iter().flatten().fold(injected, f64::max);
    html! {
        a href="#over-time" data-from-ms=(injected - MARGIN_MS) data-to-ms=(last + MARGIN_MS) title="show in the plots" { (fault.fault) }
    }
}

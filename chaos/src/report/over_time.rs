//! What callers saw over time, cut into slices: the plots of the page. Lanes of faults and nodes stand above them (`lanes`).

use maud::{Markup, html};

use super::lanes;
use super::plot::{self, Curves, Line, Scale};
use crate::checks::Evidence;
use crate::checks::fault_times::FaultTimes;
use crate::checks::timeline::{Acknowledged, MS};
use crate::evidence::{Ended, Moment};
use crate::figures::{float, ms, percent, percentile};
use crate::history::Purpose;
use crate::verdict::is_answered;

/// Widths of a slice, milliseconds; the first of which a run needs no more than [`SLICES_MAX`] is taken.
const SLICE_WIDTHS_MS: [u64; 7] = [200, 400, 1_000, 2_000, 4_000, 10_000, 20_000];
/// Of the whole run: more would be noise on a screen.
const SLICES_MAX: u64 = 240;
/// Fine slices in a coarse one.
const FINER: u64 = 4;
/// Coarse slices in the window below which the fine ones are shown.
const FINE_BELOW_SLICES: u64 = 30;

/// What ended within one slice.
#[derive(Debug, Default, Clone)]
struct Slice {
    acknowledged: u64,
    /// Of calls that were no retries.
    ended: u64,
    /// Of these.
    answered: u64,
    refused: u64,
    not_done: u64,
    unknown: u64,
    /// Of acknowledged writes.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

struct Slices {
    width_ms: u64,
    slices: Vec<Slice>,
}

/// What one line of a plot shows of a slice; of a width in milliseconds, for a rate.
struct Curve {
    name: &'static str,
    /// Class of its colour.
    colour: &'static str,
    of: fn(&Slice, u64) -> Option<f64>,
}

struct Plot {
    title: &'static str,
    unit: &'static str,
    scale: Scale,
    curves: &'static [Curve],
}

const PLOTS: [Plot; 5] = [
    Plot {
        title: "Throughput",
        unit: "writes/s",
        scale: Scale::Linear,
        curves: &[Curve { name: "acknowledged", colour: "first", of: |slice, width_ms| rate(slice.acknowledged, width_ms) }],
    },
    Plot {
        title: "Latency",
        unit: "ms, of writes",
        scale: Scale::Logarithmic,
        curves: &[
            Curve { name: "p50", colour: "first", of: |slice, _| slice.p50_ms },
            Curve { name: "p99", colour: "second", of: |slice, _| slice.p99_ms },
        ],
    },
    Plot {
        title: "Availability",
        unit: "% of calls",
        scale: Scale::Percent,
        curves: &[Curve { name: "answered at once", colour: "good", of: |slice, _| percent(slice.answered, slice.ended) }],
    },
    Plot {
        title: "Errors",
        unit: "calls/s",
        scale: Scale::Linear,
        curves: &[
            Curve { name: "refused", colour: "first", of: |slice, width_ms| rate(slice.refused, width_ms) },
            Curve { name: "not done", colour: "third", of: |slice, width_ms| rate(slice.not_done, width_ms) },
        ],
    },
    Plot {
        title: "Unknown",
        unit: "calls/s given up",
        scale: Scale::Linear,
        curves: &[Curve { name: "unknown", colour: "bad", of: |slice, width_ms| rate(slice.unknown, width_ms) }],
    },
];

#[expect(clippy::unnecessary_wraps, reason = "a point of a line may be absent, a rate never is")]
fn rate(count: u64, width_ms: u64) -> Option<f64> {
    Some(float(count) * 1_000.0 / float(width_ms))
}

impl Slices {
    fn of(evidence: &Evidence, writes: &[Acknowledged], width_ms: u64, length_ms: u64) -> Self {
        let count = usize::try_from(length_ms.div_ceil(width_ms)).unwrap_or(usize::MAX);
        let mut slices = vec![Slice::default(); count];
        let width_ns = width_ms * MS;
        for call in &evidence.moments {
            let at = usize::try_from(call.ended_ns / width_ns).unwrap_or(usize::MAX);
            if let Some(slice) = slices.get_mut(at) {
                slice.count(call);
            }
        }
        let mut rest = writes;
        for (end_ns, slice) in (1..).map(|nth: u64| nth * width_ns).zip(&mut slices) {
            let (within, after) = rest.split_at(rest.partition_point(|write| write.returned_ns < end_ns));
            slice.measure(within);
            rest = after;
        }
        Self { width_ms, slices }
    }

    fn curves(&self, plot: &Plot, detail: &'static str) -> Curves {
        let points = |curve: &Curve| self.slices.iter().map(|slice| (curve.of)(slice, self.width_ms)).collect();
        let lines = plot.curves.iter().map(|curve| Line { colour: curve.colour, points: points(curve) }).collect();
        Curves { detail, slice_ms: self.width_ms, lines }
    }
}

impl Slice {
    fn count(&mut self, call: &Moment) {
        if call.purpose != Purpose::Retry {
            self.ended += 1;
            self.answered += u64::from(is_answered(call));
        }
        match call.ended {
            Ended::Refused | Ended::RefusedThere => self.refused += 1,
            Ended::NotDone => self.not_done += 1,
            Ended::Unknown => self.unknown += 1,
            Ended::Written | Ended::Read => {}
        }
    }

    fn measure(&mut self, writes: &[Acknowledged]) {
        self.acknowledged = writes.len() as u64;
        let mut latencies: Vec<u64> = writes.iter().map(Acknowledged::latency_ns).collect();
        latencies.sort_unstable();
        self.p50_ms = percentile(&latencies, 50).map(ms);
        self.p99_ms = percentile(&latencies, 99).map(ms);
    }
}

pub(super) fn over_time(evidence: &Evidence, writes: &[Acknowledged], faults: &[FaultTimes]) -> Markup {
    let length_ms = evidence.last_ns.div_ceil(MS).max(1);
    let width_ms = SLICE_WIDTHS_MS.into_iter().find(|width_ms| length_ms / width_ms <= SLICES_MAX).unwrap_or(60_000);
    let of = |width_ms| Slices::of(evidence, writes, width_ms, length_ms);
    let (coarse, fine) = (of(width_ms), of(width_ms / FINER));
    html! {
        p class="hint" {
            "Drag over a stretch of time to zoom in, double-click to see the whole run again. Seconds since the start of the run."
            button type="button" class="reset" hidden { "Whole run" }
        }
        div class="stack" data-length-ms=(length_ms) data-fine-below-ms=(width_ms * FINE_BELOW_SLICES) {
            (lanes::lanes(evidence, faults, length_ms))
            @for one in &PLOTS { (figure(one, &coarse, &fine, faults, length_ms)) }
            (row(&html! {}, &html! {}, &plot::time_axis(length_ms)))
            div class="cursor" hidden {}
            div class="brush" hidden {}
        }
    }
}

/// What is said of a drawing, its y axis, and the drawing.
pub(super) fn row(caption: &Markup, scale: &Markup, drawing: &Markup) -> Markup {
    html! { div class="row" { div class="caption" { (caption) } div class="scales" { (scale) } div class="drawing" { (drawing) } } }
}

fn figure(plot: &Plot, coarse: &Slices, fine: &Slices, faults: &[FaultTimes], length_ms: u64) -> Markup {
    let caption = html! {
        b { (plot.title) } " " small { (plot.unit) }
        @for curve in plot.curves { span class={ "key " (curve.colour) } { (curve.name) " " output {} } }
    };
    let (coarse_scale, coarse_lines) = plot::curves(plot.scale, &coarse.curves(plot, "coarse"));
    let (fine_scale, fine_lines) = plot::curves(plot.scale, &fine.curves(plot, "fine"));
    let drawing =
        plot::drawing(plot.title, length_ms, &html! { (lanes::bands(faults, length_ms)) (coarse_lines) (fine_lines) });
    html! { div class="plot" { (row(&caption, &html! { (coarse_scale) (fine_scale) }, &drawing)) } }
}

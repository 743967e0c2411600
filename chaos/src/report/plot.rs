//! Figures over time as SVG that is whole without a script.
//!
//! Every drawing is stretched over the same stretch of time: x counts milliseconds since the start of the run, y is 0 at the top
//! and [`HEIGHT`] at the bottom. `page.js` zooms by moving the view box of all of them at once; what is written stands beside the
//! drawings, in HTML, so that no text is stretched with them.

use maud::{Markup, html};

use crate::figures::{float, tenths};

/// Of every drawing, in its own units.
pub(super) const HEIGHT: f64 = 1_000.0;
/// Labels of the time axis without a script.
const TICKS_MAX: u64 = 8;

/// How values stand on the y axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// From 0.
    Linear,
    /// Decades: an outage of seconds beside answers within milliseconds.
    Logarithmic,
    /// From 0 to 100.
    Percent,
}

/// One line of a plot.
pub(super) struct Line {
    /// Class of its colour.
    pub(super) colour: &'static str,
    /// One for each slice of time; `None`: nothing was measured in it.
    pub(super) points: Vec<Option<f64>>,
}

/// All lines of a plot over slices of one width.
pub(super) struct Curves {
    /// `coarse` or `fine`: which one is shown depends on the zoom.
    pub(super) detail: &'static str,
    pub(super) slice_ms: u64,
    pub(super) lines: Vec<Line>,
}

/// The y axis of some lines: from `bottom` to `top`.
struct Axis {
    scale: Scale,
    bottom: f64,
    top: f64,
}

impl Axis {
    fn over(scale: Scale, lines: &[Line]) -> Self {
        let values = || lines.iter().flat_map(|line| line.points.iter().flatten().copied());
        let highest = values().fold(0.0, f64::max);
        match scale {
            Scale::Linear => Self { scale, bottom: 0.0, top: round_up(highest) },
            Scale::Percent => Self { scale, bottom: 0.0, top: 100.0 },
            Scale::Logarithmic => {
                let lowest = values().filter(|value| *value > 0.0).fold(highest, f64::min).max(0.1);
                let bottom = 10_f64.powf(lowest.log10().floor());
                Self { scale, bottom, top: 10_f64.powf(highest.log10().ceil()).max(bottom * 10.0) }
            }
        }
    }

    fn y(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear | Scale::Percent => (value - self.bottom) / (self.top - self.bottom),
            Scale::Logarithmic => (value.max(self.bottom) / self.bottom).log10() / (self.top / self.bottom).log10(),
        };
        HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }

    /// Values that get a line and a label.
    fn marks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear | Scale::Percent => vec![self.bottom, (self.bottom + self.top) / 2.0, self.top],
            Scale::Logarithmic => std::iter::successors(Some(self.bottom), |mark| Some(mark * 10.0))
                .take_while(|mark| *mark < self.top * 1.5)
                .collect(),
        }
    }
}

/// One digit, or 15, with zeros behind it.
fn round_up(value: f64) -> f64 {
    if value <= 1.0 {
        return 1.0;
    }
    let decade = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value)
}

/// The drawing of some lines with its y axis, as the same `detail` of two elements.
pub(super) fn curves(scale: Scale, curves: &Curves) -> (Markup, Markup) {
    let axis = Axis::over(scale, &curves.lines);
    let labels = html! {
        div class={ "scale " (curves.detail) } {
            @for mark in axis.marks() {
                span style=(format!("top:{:.1}%", axis.y(mark) / HEIGHT * 100.0)) { (label(mark)) }
            }
        }
    };
    let drawing = html! {
        g class=(curves.detail) data-slice-ms=(curves.slice_ms) {
            @for mark in axis.marks() {
                line class="grid" x1="0" x2="100%" y1=(axis.y(mark)) y2=(axis.y(mark)) {}
            }
            @for line in &curves.lines {
                path class={ "line " (line.colour) } data-values=(values(&line.points))
                    d=(path(&line.points, curves.slice_ms, &axis)) {}
            }
        }
    };
    (labels, drawing)
}

fn label(value: f64) -> String {
    if value >= 1_000.0 { format!("{}k", tenths(value / 1_000.0)) } else { tenths(value).to_string() }
}

/// From the middle of each slice to that of the next; what was not measured leaves a gap.
fn path(points: &[Option<f64>], slice_ms: u64, axis: &Axis) -> String {
    let mut path = String::new();
    let mut pen_down = false;
    for (slice, point) in (0_u64..).zip(points) {
        if let Some(value) = point {
            let x = slice * slice_ms + slice_ms / 2;
            // A line of no length shows a point that has no neighbour.
            let command =
                if pen_down { format!("L{x} {:.1}", axis.y(*value)) } else { format!("M{x} {:.1}h0", axis.y(*value)) };
            path.push_str(&command);
        }
        pen_down = point.is_some();
    }
    path
}

/// For the readout below the pointer.
fn values(points: &[Option<f64>]) -> String {
    let texts: Vec<String> =
        points.iter().map(|point| point.map(|value| tenths(value).to_string()).unwrap_or_default()).collect();
    texts.join(",")
}

/// A drawing over the whole of the run.
pub(super) fn drawing(what: &str, length_ms: u64, content: &Markup) -> Markup {
    html! {
        svg viewBox=(format!("0 0 {length_ms} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(what) { (content) }
    }
}

/// Seconds since the start of the run. The script makes others as the zoom changes.
pub(super) fn time_axis(length_ms: u64) -> Markup {
    let steps_s = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600];
    let step_s = steps_s.into_iter().find(|step_s| length_ms / (step_s * 1_000) < TICKS_MAX).unwrap_or(7_200);
    html! {
        div class="axis" {
            @for second in (0..=length_ms / 1_000).step_by(usize::try_from(step_s).unwrap_or(usize::MAX)) {
                span style=(format!("left:{:.2}%", float(second * 1_000) / float(length_ms) * 100.0)) { (second) " s" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[Option<f64>]) -> Line {
        Line { colour: "first", points: points.to_vec() }
    }

    #[test]
    fn a_slice_without_a_measurement_leaves_a_gap() {
        let points = [Some(0.0), Some(10.0), None, Some(5.0)];
        let axis = Axis::over(Scale::Linear, &[line(&points)]);
        assert_eq!(path(&points, 100, &axis), "M50 1000.0h0L150 0.0M350 500.0h0");
        assert_eq!(values(&points), "0,10,,5");
    }

    #[test]
    fn decades_have_the_same_height() {
        let axis = Axis::over(Scale::Logarithmic, &[line(&[Some(2.0), Some(900.0)])]);
        assert_eq!(axis.marks(), [1.0, 10.0, 100.0, 1_000.0]);
        let heights: Vec<i64> = axis.marks().iter().map(|mark| format!("{:.0}", axis.y(*mark)).parse().unwrap()).collect();
        assert_eq!(heights, [1_000, 667, 333, 0]);
    }

    #[test]
    fn an_axis_without_a_value_still_has_a_height() {
        for scale in [Scale::Linear, Scale::Logarithmic, Scale::Percent] {
            let axis = Axis::over(scale, &[line(&[None])]);
            assert!(axis.top > axis.bottom && axis.y(0.0).is_finite(), "{scale:?}");
        }
    }

    #[test]
    fn the_top_of_an_axis_is_a_round_number_above_all_values() {
        assert_eq!([0.0, 1.5, 2.0, 47.0, 801.0].map(round_up), [1.0, 1.5, 2.0, 50.0, 1_000.0]);
    }
}

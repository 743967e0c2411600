//! Figures over time as plain SVG: no script, no network.

use maud::{Markup, html};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 130.0;
/// Left of the plot, for the scale.
const MARGIN: f64 = 56.0;

/// A line over the seconds of a run; `None`: nothing was measured in that second.
pub struct Series<'a> {
    pub title: &'a str,
    pub unit: &'a str,
    pub colour: &'a str,
    pub points: Vec<Option<f64>>,
}

/// A stretch of time on a lane, seconds.
pub struct Bar {
    pub lane: usize,
    pub from_s: f64,
    pub to_s: f64,
    pub colour: &'static str,
    pub title: String,
}

fn x(second: f64, seconds: f64) -> f64 {
    MARGIN + (WIDTH - MARGIN) * (second / seconds.max(1.0)).clamp(0.0, 1.0)
}

/// The marks are drawn as vertical lines through the plot: when faults fired.
#[must_use]
pub fn line(series: &Series, seconds: f64, marks_s: &[f64]) -> Markup {
    let top = series.points.iter().flatten().copied().fold(0.0, f64::max).max(1.0);
    let y = |value: f64| HEIGHT - 4.0 - (HEIGHT - 14.0) * value / top;
    let mut path = String::new();
    let mut pen_down = false;
    for (second, point) in (0_u32..).zip(&series.points) {
        if let Some(value) = point {
            let command = if pen_down { 'L' } else { 'M' };
            path.push_str(&format!("{command}{:.1} {:.1} ", x(f64::from(second) + 0.5, seconds), y(*value)));
        }
        pen_down = point.is_some();
    }
    html! {
        h3 { (series.title) " " small { "(" (series.unit) ")" } }
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(series.title) {
            @for mark in marks_s {
                line x1=(x(*mark, seconds)) x2=(x(*mark, seconds)) y1="0" y2=(HEIGHT) stroke="#c33" stroke-dasharray="2 3" {}
            }
            line x1=(MARGIN) x2=(WIDTH) y1=(y(0.0)) y2=(y(0.0)) stroke="#999" {}
            text x=(MARGIN - 6.0) y="14" text-anchor="end" { (format!("{top:.0}")) }
            text x=(MARGIN - 6.0) y=(HEIGHT - 4.0) text-anchor="end" { "0" }
            path d=(path.trim_end()) fill="none" stroke=(series.colour) stroke-width="1.5" {}
        }
    }
}

/// Lanes with bars: which node was down when.
#[must_use]
pub fn lanes(names: &[String], bars: &[Bar], seconds: f64) -> Markup {
    const LANE: f64 = 20.0;
    let top = |lane: usize| f64::from(u32::try_from(lane).unwrap_or(u32::MAX)) * LANE;
    let height = top(names.len()) + 18.0;
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label="faults" {
            @for (lane, name) in names.iter().enumerate() {
                text x=(MARGIN - 6.0) y=(top(lane) + 14.0) text-anchor="end" { (name) }
                line x1=(MARGIN) x2=(WIDTH) y1=(top(lane) + LANE) y2=(top(lane) + LANE) stroke="#ddd" {}
            }
            @for bar in bars {
                rect x=(x(bar.from_s, seconds)) y=(top(bar.lane) + 3.0) height=(LANE - 6.0) fill=(bar.colour)
                    width=((x(bar.to_s, seconds) - x(bar.from_s, seconds)).max(2.0)) { title { (bar.title) } }
            }
            text x=(MARGIN) y=(height - 4.0) { "0 s" }
            text x=(WIDTH) y=(height - 4.0) text-anchor="end" { (format!("{seconds:.0} s")) }
        }
    }
}

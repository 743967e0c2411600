//! Puts a [`Model`] on a frame: the same model and size, the same picture.
//!
//! Nothing is said by colour alone, as there may be none (`NO_COLOR`). What does not fit is left out from below, curves first; a
//! terminal too small for the panels gets a few lines.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table};

use super::model::{Light, Model, NodeRow, NodeState, Shows};
use crate::history::NodeRole;
use crate::network::Passage;

/// Of a run, in their order.
const PHASES: [&str; 9] = ["start", "warm-up", "faults", "heal", "ask", "drain", "scan", "stop", "end"];
/// Of a terminal that has room for panels.
const PANELS_WIDTH_MIN: u16 = 70;
const PANELS_HEIGHT_MIN: u16 = 18;
const TITLE_AND_FAULTS_HEIGHT_MIN: u16 = 5;

/// Colours, if there are to be any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub(super) is_coloured: bool,
}

impl Paint {
    /// <https://no-color.org>: set, and not to nothing.
    #[must_use]
    pub(super) fn of_environment() -> Self {
        Self { is_coloured: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    fn in_colour(self, colour: Color) -> Style {
        if self.is_coloured { Style::new().fg(colour) } else { Style::new() }
    }

    fn good(self) -> Style {
        self.in_colour(Color::Green)
    }

    fn warning(self) -> Style {
        self.in_colour(Color::Yellow)
    }

    fn bad(self) -> Style {
        self.in_colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// Grey on any background.
    fn faint() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

pub(super) fn draw(frame: &mut Frame, model: &Model, paint: Paint) {
    let area = frame.area();
    if area.width < PANELS_WIDTH_MIN || area.height < PANELS_HEIGHT_MIN {
        return frame.render_widget(Paragraph::new(few_lines(model, paint)), area);
    }
    let rows = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    // A title and the names of the columns.
    let nodes_height = rows(model.nodes.len() + 2);
    let heights = [
        Constraint::Length(2),
        Constraint::Length(nodes_height),
        Constraint::Length(nodes_height.max(TITLE_AND_FAULTS_HEIGHT_MIN)),
        Constraint::Length(rows(model.lights.len() + 1)),
        Constraint::Fill(1),
        Constraint::Length(1),
    ];
    let [head, nodes, middle, lights, curves, foot] = Layout::vertical(heights).areas(area);
    let [links, faults] = Layout::horizontal([Constraint::Percentage(40), Constraint::Percentage(60)]).areas(middle);
    let [rate, p99] = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).spacing(1).areas(curves);
    frame.render_widget(Paragraph::new(vec![headline(model), phases(model)]), head);
    draw_nodes(frame, nodes, model, paint);
    draw_links(frame, links, model, paint);
    frame.render_widget(Paragraph::new(fault_lines(model, paint)).block(panel("faults and guards")), faults);
    let lines: Vec<Line> = model.lights.iter().map(|light| light_line(light, paint)).collect();
    frame.render_widget(Paragraph::new(lines).block(panel("invariants (a hint: the judge decides)")), lights);
    draw_rate(frame, rate, model, paint);
    draw_p99(frame, p99, model, paint);
    frame.render_widget(Line::styled("q or Ctrl-C ends the run and heals", Paint::faint()), foot);
}

fn panel(title: impl Into<String>) -> Block<'static> {
    Block::new().borders(Borders::TOP).border_style(Paint::faint()).title(Span::raw(format!(" {} ", title.into())))
}

fn strong(text: impl Into<String>) -> Span<'static> {
    Span::styled(text.into(), Style::new().add_modifier(Modifier::BOLD))
}

fn headline(model: &Model) -> Line<'static> {
    let s = model.elapsed.as_secs();
    Line::from(vec![strong(model.title.clone()), Span::raw(format!("  {}:{:02}", s / 60, s % 60))])
}

fn phases(model: &Model) -> Line<'static> {
    let span = |phase: &'static str| match phase == model.phase {
        true => strong(format!("[{phase}] ")),
        false => Span::styled(format!(" {phase}  "), Paint::faint()),
    };
    PHASES.into_iter().map(span).collect()
}

fn state(state: NodeState, paint: Paint) -> Span<'static> {
    match state {
        NodeState::Up => Span::styled("up", paint.good()),
        NodeState::Cut => Span::styled("cut off", paint.warning()),
        NodeState::Paused => Span::styled("paused", paint.warning()),
        NodeState::Silent => Span::styled("silent", paint.warning()),
        NodeState::Down => Span::styled("down", paint.bad()),
    }
}

/// And the id under which it is a member, once that is another.
fn name(row: &NodeRow) -> String {
    let node = u64::from(row.node);
    let member = row.said.map(|said| said.member).filter(|member| ![0, node].contains(member));
    member.map_or_else(|| node.to_string(), |member| format!("{node}→{member}"))
}

fn draw_nodes(frame: &mut Frame, area: Rect, model: &Model, paint: Paint) {
    let heads = ["node", "state", "role", "term", "last", "committed", "applied", "behind", "snapshot"];
    let row = |row: &NodeRow| {
        let mut cells = vec![Cell::from(name(row)), Cell::from(state(row.state, paint))];
        // What it said before it fell silent is old, and looks it.
        let style = if row.state.answers() { Style::new() } else { Paint::faint() };
        if let Some(said) = &row.said {
            let name = said.role.name();
            let is_led = said.role == NodeRole::Leader && row.state.answers();
            cells.push(Cell::from(if is_led { strong(name) } else { Span::styled(name, style) }));
            let numbers =
                [said.term, said.last_log_index, said.committed_index, said.applied_index, said.behind, said.snapshot_index];
            cells.extend(numbers.map(|number| Cell::from(Span::styled(number.to_string(), style))));
        }
        Row::new(cells)
    };
    let widths = [4, 8, 9, 5, 9, 9, 9, 7, 9].map(Constraint::Length);
    let table = Table::new(model.nodes.iter().map(row), widths)
        .header(Row::new(heads).style(Paint::faint()))
        .block(panel("nodes (a faint row is what was last said)"));
    frame.render_widget(table, area);
}

fn passage(passage: Passage, paint: Paint) -> Span<'static> {
    match passage {
        Passage::Free => Span::styled("ok", paint.good()),
        Passage::Cut => Span::styled("CUT", paint.bad()),
        Passage::Impaired(_) => Span::styled("bad", paint.warning()),
    }
}

fn draw_links(frame: &mut Frame, area: Rect, model: &Model, paint: Paint) {
    let block = panel("links, from row to column");
    let Some(links) = &model.links else {
        let why = Line::styled("nodes call each other directly", Paint::faint());
        return frame.render_widget(Paragraph::new(why).block(block), area);
    };
    let ids: Vec<u16> = model.nodes.iter().map(|row| row.node).collect();
    let heads = std::iter::once(String::new()).chain(ids.iter().map(|to| format!("to {to}")));
    let row = |from: u16| {
        let cell = |to: &u16| links.get(&(from, *to)).map_or_else(|| Span::raw("-"), |one| passage(*one, paint));
        Row::new(std::iter::once(Span::raw(from.to_string())).chain(ids.iter().map(cell)).map(Cell::from).collect::<Vec<_>>())
    };
    let widths = std::iter::once(1).chain(ids.iter().map(|_| 4)).map(Constraint::Length);
    let table = Table::new(ids.iter().map(|from| row(*from)), widths)
        .header(Row::new(heads.map(Cell::from)).style(Paint::faint()))
        .block(block);
    frame.render_widget(table, area);
}

fn fault_lines(model: &Model, paint: Paint) -> Vec<Line<'static>> {
    let faults = &model.faults;
    let mut lines = Vec::new();
    match faults.on.is_empty() {
        true => lines.push(Line::styled("none is on", Paint::faint())),
        false => lines.extend(faults.on.iter().map(|on| Line::styled(on.clone(), paint.warning()))),
    }
    lines.push(Line::raw(format!("landed {} of {} planned, {} required", faults.landed, faults.planned, faults.required)));
    let traffic = &model.traffic;
    let unknown = format!("unknown {}", traffic.unknown);
    let unknown = if traffic.unknown > 0 { Span::styled(unknown, paint.warning()) } else { Span::raw(unknown) };
    let counts = Span::raw(format!("  placed {}  issued {}", traffic.placed, traffic.issued));
    let shed = (traffic.shed > 0).then(|| Span::styled(format!("  shed {}", traffic.shed), paint.bad()));
    lines.push([unknown, counts].into_iter().chain(shed).collect());
    lines.extend(model.guards.iter().map(|guard| Line::styled(guard.clone(), Paint::faint())));
    lines
}

fn light_line(light: &Light, paint: Paint) -> Line<'static> {
    let name = format!("{:<4} {:<25}", light.invariant, light.what);
    match &light.shows {
        Shows::Nothing(why) => Line::styled(format!("○ ?   {name} {why}"), Paint::faint()),
        Shows::Held(looked_at) => {
            Line::from(vec![Span::styled("● ok  ", paint.good()), Span::raw(format!("{name} {looked_at}"))])
        }
        Shows::Broken { at, seen } => Line::styled(format!("✗ RED {name} at {:.1} s: {seen}", at.as_secs_f64()), paint.bad()),
    }
}

/// The newest values, as many as there are columns.
fn newest<T: Copy>(values: impl DoubleEndedIterator<Item = T>, area: Rect) -> Vec<T> {
    let mut values: Vec<T> = values.rev().take(usize::from(area.width)).collect();
    values.reverse();
    values
}

fn draw_rate(frame: &mut Frame, area: Rect, model: &Model, paint: Paint) {
    let values = &model.traffic.issued_per_s;
    let (now, max) = (values.back().copied().unwrap_or_default(), values.iter().max().copied().unwrap_or_default());
    let block = panel(format!("orders/s {now}, at most {max} in a minute"));
    let curve = Sparkline::default().block(block).style(paint.good()).data(newest(values.iter().copied(), area));
    frame.render_widget(curve, area);
}

fn draw_p99(frame: &mut Frame, area: Rect, model: &Model, paint: Paint) {
    let values = &model.traffic.p99_ms;
    let now = values.back().copied().flatten().map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
    let max = values.iter().flatten().max().copied().unwrap_or_default();
    let block = panel(format!("p99 {now}, at most {max} ms in a minute"));
    let curve = Sparkline::default().block(block).style(paint.warning()).data(newest(values.iter().copied(), area));
    frame.render_widget(curve, area);
}

/// What matters most first: the rest is cut off.
fn few_lines(model: &Model, paint: Paint) -> Vec<Line<'static>> {
    let traffic = &model.traffic;
    let rate = traffic.issued_per_s.back().copied().unwrap_or_default();
    let mut lines = vec![Line::raw(format!("{} s {} {rate}/s", model.elapsed.as_secs(), model.phase))];
    let is_red = |light: &&Light| matches!(light.shows, Shows::Broken { .. });
    lines.extend(
        model.lights.iter().filter(is_red).map(|light| Line::styled(format!("✗ RED {}", light.invariant), paint.bad())),
    );
    let node = |row: &NodeRow| {
        let role = row.said.filter(|_| row.state.answers()).map_or("", |said| said.role.name());
        Line::from(vec![Span::raw(format!("{} ", row.node)), state(row.state, paint), Span::raw(format!(" {role}"))])
    };
    lines.extend(model.nodes.iter().map(node));
    lines.extend(model.faults.on.iter().map(|on| Line::styled(on.clone(), paint.warning())));
    lines.push(Line::raw(format!("unknown {}  landed {}/{}", traffic.unknown, model.faults.landed, model.faults.required)));
    lines
}

#[cfg(test)]
mod tests;

//! Puts figures on a frame, or into lines: the same figures and size, the same picture. Nothing is said by colour alone.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Paragraph, Row, Sparkline, Table};
use serde_json::json;

use super::figures::{ClusterFigures, Figures, NodeFigures};
use crate::operations::cli::output::Record;

const COLUMNS: [(&str, u16); 9] = [
    ("node", 22),
    ("role", 12),
    ("term", 6),
    ("applied", 12),
    ("lag", 8),
    ("cmd/s", 9),
    ("p99", 9),
    ("queue", 7),
    ("disk free", 16),
];

/// `speeds`: orders a second of the newest looks, oldest first.
pub(super) fn draw(frame: &mut Frame<'_>, figures: &Figures, speeds: &[u64]) {
    let rows = u16::try_from(figures.nodes.len()).unwrap_or(u16::MAX);
    let heights =
        [Constraint::Length(2), Constraint::Length(rows.saturating_add(1)), Constraint::Fill(1), Constraint::Length(1)];
    let [head, nodes, curve, foot] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Paragraph::new(headlines(&figures.cluster)), head);
    let names = Row::new(COLUMNS.map(|(name, _)| name)).style(Style::new().add_modifier(Modifier::DIM));
    let widths = COLUMNS.map(|(_, width)| Constraint::Max(width));
    frame.render_widget(Table::new(figures.nodes.iter().map(row), widths).header(names), nodes);
    // The newest are on the right.
    let width = usize::from(curve.width);
    let shown = &speeds[speeds.len().saturating_sub(width)..];
    let title = format!("orders/s, most {}", shown.iter().max().unwrap_or(&0));
    frame.render_widget(Sparkline::default().block(Block::new().borders(Borders::TOP).title(title)).data(shown), curve);
    frame.render_widget(Paragraph::new("q ends"), foot);
}

fn headlines(cluster: &ClusterFigures) -> Vec<Line<'static>> {
    let leader = cluster.leader.map_or_else(|| "nobody leads".to_owned(), |leader| format!("node {leader} leads"));
    let first = format!("{}  {leader}", cluster.name);
    let second = format!(
        "orders/s {}  stamps/s {}  stock {}  refunds due {}  paid, not issued {}",
        speed(cluster.orders_per_second),
        speed(cluster.issued_per_second),
        count(cluster.stock_free),
        count(cluster.refunds_due),
        count(cluster.paid_not_issued),
    );
    vec![Line::from(first).style(Style::new().add_modifier(Modifier::BOLD)), Line::from(second)]
}

fn row(node: &NodeFigures) -> Row<'static> {
    let style = match node.role.as_str() {
        "leader" => Style::new().add_modifier(Modifier::BOLD),
        "unreachable" => Style::new().add_modifier(Modifier::REVERSED),
        _ => Style::new(),
    };
    let disk = match (node.disk_free_bytes, node.disk_free_share) {
        (Some(bytes), Some(share)) => format!("{} {:.0}%", room(bytes), share * 100.0),
        _ => "-".to_owned(),
    };
    let cells = [
        node.name.clone(),
        node.role.clone(),
        count(node.term),
        count(node.applied),
        count(node.lag),
        speed(node.commands_per_second),
        time(node.p99),
        count(node.queued),
        disk,
    ];
    Row::new(cells).style(style)
}

/// Of one node, for programs: names that stay, base units.
pub(super) fn record(cluster: &ClusterFigures, node: &NodeFigures, at: &str) -> Record {
    vec![
        ("at", json!(at)),
        ("cluster", json!(cluster.name)),
        ("node", json!(node.name)),
        ("role", json!(node.role)),
        ("term", json!(node.term)),
        ("applied", json!(node.applied)),
        ("lag_entries", json!(node.lag)),
        ("commands_per_second", json!(node.commands_per_second)),
        ("p99_seconds", json!(node.p99.map(|p99| p99.as_secs_f64()))),
        ("queued_commands", json!(node.queued)),
        ("disk_free_bytes", json!(node.disk_free_bytes)),
        ("cluster_orders_per_second", json!(cluster.orders_per_second)),
    ]
}

/// The same, for people who read a file: one line a node.
pub(super) fn line(cluster: &ClusterFigures, node: &NodeFigures, at: &str) -> String {
    format!(
        "{at} node={} role={} term={} applied={} lag={} cmd/s={} p99={} queue={} disk_free={} orders/s={}",
        node.name,
        node.role,
        count(node.term),
        count(node.applied),
        count(node.lag),
        speed(node.commands_per_second),
        time(node.p99),
        count(node.queued),
        node.disk_free_bytes.map_or_else(|| "-".to_owned(), room),
        speed(cluster.orders_per_second),
    )
}

fn count(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A second.
fn speed(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

fn time(value: Option<Duration>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let ms = value.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.1}ms") } else { format!("{ms:.0}ms") }
}

/// Bytes, in the largest unit of which there is one.
fn room(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.into_iter().find(|(_, size)| bytes >= *size);
    unit.map_or_else(|| format!("{bytes}B"), |(name, size)| format!("{}.{}{name}", bytes / size, bytes % size * 10 / size))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn figures() -> Figures {
        let leader = NodeFigures {
            name: "1".to_owned(),
            role: "leader".to_owned(),
            term: Some(3),
            applied: Some(1_234_567),
            lag: Some(0),
            commands_per_second: Some(1_234.4),
            p99: Some(Duration::from_micros(8_250)),
            queued: Some(12),
            disk_free_bytes: Some(25 << 30),
            disk_free_share: Some(0.5),
        };
        let gone = NodeFigures { name: "10.0.0.7:7703".to_owned(), role: "unreachable".to_owned(), ..NodeFigures::default() };
        let cluster = ClusterFigures {
            name: "rush".to_owned(),
            leader: Some(1),
            orders_per_second: Some(617.0),
            issued_per_second: Some(0.0),
            stock_free: Some(999),
            refunds_due: Some(0),
            paid_not_issued: Some(0),
        };
        Figures { cluster, nodes: vec![leader, gone] }
    }

    fn screen(width: u16, height: u16, figures: &Figures, speeds: &[u64]) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, figures, speeds)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    #[test]
    fn the_screen_has_the_cluster_its_nodes_and_the_speed_so_far() {
        let shown = screen(110, 9, &figures(), &[0, 617, 300]);
        assert_eq!(shown[0], "rush  node 1 leads");
        assert_eq!(shown[1], "orders/s 617  stamps/s 0.0  stock 999  refunds due 0  paid, not issued 0");
        assert_eq!(
            shown[2].split_whitespace().collect::<Vec<_>>().join(" "),
            "node role term applied lag cmd/s p99 queue disk free"
        );
        let words = |line: &str| line.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&shown[3]), ["1", "leader", "3", "1234567", "0", "1234", "8.2ms", "12", "25.0GiB", "50%"]);
        assert_eq!(words(&shown[4]), ["10.0.0.7:7703", "unreachable", "-", "-", "-", "-", "-", "-", "-"]);
        assert!(shown[5].starts_with("orders/s, most 617"), "{shown:?}");
        assert!(shown.last().unwrap().starts_with("q ends"), "{shown:?}");
    }

    #[test]
    fn a_small_terminal_gets_what_fits_and_an_empty_look_is_drawn() {
        assert!(screen(30, 3, &figures(), &[1])[0].starts_with("rush"));
        assert_eq!(screen(1, 1, &figures(), &[]).len(), 1);
        assert_eq!(screen(60, 5, &Figures::default(), &[])[0].trim(), "nobody leads");
    }

    #[test]
    fn a_line_and_a_record_say_the_same_of_a_node() {
        let figures = figures();
        let told = line(&figures.cluster, &figures.nodes[0], "2026-11-27T07:00:00Z");
        assert_eq!(
            told,
            "2026-11-27T07:00:00Z node=1 role=leader term=3 applied=1234567 lag=0 cmd/s=1234 p99=8.2ms queue=12 \
             disk_free=25.0GiB orders/s=617"
        );
        let record = record(&figures.cluster, &figures.nodes[1], "2026-11-27T07:00:00Z");
        let value = |name| record.iter().find(|(of, _)| *of == name).unwrap().1.clone();
        assert_eq!((value("role"), value("term"), value("p99_seconds")), (json!("unreachable"), json!(null), json!(null)));
    }
}

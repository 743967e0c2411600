//! What is on the screen for a given model and size.

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

use super::*;
use crate::network::Impairment;
use crate::view::model::{Faults, Said, Traffic};

const COLOURED: Paint = Paint { is_coloured: true };
const PLAIN: Paint = Paint { is_coloured: false };

/// Three nodes, of which the leader, node 2, is cut off from 1 and slow to 3, and node 3 is down.
fn model() -> Model {
    let said = |role, term| Said {
        member: 0,
        role,
        term,
        last_log_index: 9_004,
        committed_index: 9_003,
        applied_index: 9_002,
        snapshot_index: 8_000,
        behind: 2,
    };
    let row = |node, state, role, term| NodeRow { node, state, said: Some(said(role, term)) };
    let mut links: std::collections::BTreeMap<_, _> =
        [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)].map(|direction| (direction, Passage::Free)).into();
    links.insert((2, 1), Passage::Cut);
    links.insert((2, 3), Passage::Impaired(Impairment::default()));
    Model {
        title: "smoke, seed 7".to_owned(),
        phase: "faults",
        elapsed: Duration::from_secs(83),
        nodes: vec![
            row(1, NodeState::Up, NodeRole::Follower, 4),
            row(2, NodeState::Up, NodeRole::Leader, 4),
            row(3, NodeState::Down, NodeRole::Leader, 3),
        ],
        links: Some(links),
        faults: Faults { on: vec!["3 mute-leader at 2, 1.5 s, landed".to_owned()], landed: 2, planned: 6, required: 5 },
        traffic: Traffic {
            issued_per_s: (0..90).collect(),
            p99_ms: [Some(12), None, Some(340)].into(),
            placed: 5_100,
            issued: 5_000,
            unknown: 17,
            shed: 0,
        },
        guards: vec!["wall_time 83 s of 10m".to_owned()],
        lights: vec![
            Light { invariant: "V16", what: "one leader a term", shows: Shows::Held("terms with a leader: 4".to_owned()) },
            Light { invariant: "V13", what: "same digest at same index", shows: Shows::Nothing("nothing yet".to_owned()) },
            Light {
                invariant: "V6",
                what: "money adds up",
                shows: Shows::Broken { at: Duration::from_millis(41_200), seen: "node 2 at index 8: 1 IDR".to_owned() },
            },
        ],
    }
}

fn buffer(model: &Model, width: u16, height: u16, paint: Paint) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, paint)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines_of(model: &Model, width: u16, height: u16) -> Vec<String> {
    let buffer = buffer(model, width, height, COLOURED);
    let row = |cells: &[ratatui::buffer::Cell]| cells.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
    buffer.content.chunks(usize::from(width)).map(row).collect()
}

/// The words of the first line that has this in it, from there on.
fn words<'a>(lines: &'a [String], from: &str) -> Vec<&'a str> {
    let found = lines.iter().find_map(|line| line.find(from).map(|at| &line[at..]));
    found.unwrap_or_else(|| panic!("nowhere {from}:\n{}", lines.join("\n"))).split_whitespace().collect()
}

fn colour_of(buffer: &Buffer, text: &str) -> Color {
    let width = usize::from(buffer.area.width);
    let rows = buffer.content.chunks(width);
    let symbols: Vec<&str> = text.split("").filter(|symbol| !symbol.is_empty()).collect();
    let found = rows
        .flat_map(|row| row.windows(symbols.len()))
        .find(|cells| cells.iter().map(|cell| cell.symbol()).eq(symbols.iter().copied()));
    found.unwrap_or_else(|| panic!("nowhere {text}"))[0].fg
}

#[test]
fn everything_is_on_a_terminal_of_80_by_24() {
    let lines = lines_of(&model(), 80, 24);
    assert_eq!(words(&lines, "smoke"), ["smoke,", "seed", "7", "1:23"]);
    assert!(lines[1].contains("warm-up  [faults]  heal"), "{}", lines[1]);
    assert_eq!(words(&lines, "1    up"), ["1", "up", "follower", "4", "9004", "9003", "9002", "2", "8000"]);
    assert_eq!(words(&lines, "2    up")[..3], ["2", "up", "leader"]);
    assert_eq!(words(&lines, "3    down")[..4], ["3", "down", "leader", "3"]);
    assert_eq!(words(&lines, "3 mute-leader").join(" "), "3 mute-leader at 2, 1.5 s, landed");
    assert_eq!(words(&lines, "landed 2").join(" "), "landed 2 of 6 planned, 5 required");
    assert_eq!(words(&lines, "unknown"), ["unknown", "17", "placed", "5100", "issued", "5000"]);
    assert_eq!(words(&lines, "wall_time").join(" "), "wall_time 83 s of 10m");
    assert_eq!(words(&lines, "● ok")[2], "V16");
    assert_eq!(words(&lines, "○ ?")[2], "V13");
    assert!(words(&lines, "orders/s").join(" ").starts_with("orders/s 89, at most 89 in a minute"));
    assert!(words(&lines, "p99").join(" ").starts_with("p99 340 ms, at most 340 ms in a minute"));
    assert!(lines.iter().any(|line| line.contains('█')), "a curve");
    assert!(lines[23].starts_with("q or Ctrl-C"), "{}", lines[23]);
}

#[test]
fn a_node_that_is_another_member_than_it_began_as_tells_which() {
    let mut model = model();
    for (row, member) in model.nodes.iter_mut().zip([1, 12, 4]) {
        row.said.as_mut().expect("each has said something").member = member;
    }
    let lines = lines_of(&model, 80, 24);
    let is_shown = |text: &str| lines.iter().any(|line| line.starts_with(text));
    assert!(is_shown("1    up") && is_shown("2→12 up") && is_shown("3→4  down"), "{lines:?}");
}

#[test]
fn a_cut_link_is_seen_in_its_direction_alone() {
    let lines = lines_of(&model(), 80, 24);
    let heads = lines.iter().position(|line| line.contains("to 1")).expect("a matrix");
    let row = |node: usize| lines[heads + node][..30].split_whitespace().collect::<Vec<_>>();
    assert_eq!(row(1), ["1", "-", "ok", "ok"]);
    assert_eq!(row(2), ["2", "CUT", "-", "bad"]);
    assert_eq!(row(3), ["3", "ok", "ok", "-"]);
    assert_eq!(colour_of(&buffer(&model(), 80, 24, COLOURED), "CUT"), Color::Red);
    let direct = lines_of(&Model { links: None, ..model() }, 80, 24);
    assert!(direct.iter().any(|line| line.contains("call each other directly")));
}

#[test]
fn a_red_light_tells_its_moment_and_what_was_seen() {
    let lines = lines_of(&model(), 80, 24);
    assert_eq!(words(&lines, "✗ RED").join(" "), "✗ RED V6 money adds up at 41.2 s: node 2 at index 8: 1 IDR");
    let buffer = buffer(&model(), 80, 24, COLOURED);
    assert_eq!((colour_of(&buffer, "✗ RED"), colour_of(&buffer, "● ok")), (Color::Red, Color::Green));
}

#[test]
fn without_colours_there_is_none() {
    for (width, height) in [(80, 24), (30, 8)] {
        let buffer = buffer(&model(), width, height, PLAIN);
        assert!(buffer.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)));
    }
}

#[test]
fn five_nodes_fit_a_terminal_of_80_by_24_and_what_is_cut_off_is_the_curves() {
    let mut model = model();
    model.nodes.extend([4, 5].map(|node| NodeRow { node, state: NodeState::Paused, said: None }));
    model.lights.push(model.lights[0].clone());
    let lines = lines_of(&model, 80, 24);
    assert_eq!(words(&lines, "5    paused"), ["5", "paused"]);
    assert_eq!(words(&lines, "✗ RED")[2], "V6");
    assert!(lines[23].starts_with("q or Ctrl-C"), "{}", lines[23]);
}

#[test]
fn a_tiny_terminal_has_a_red_light_and_who_leads() {
    let lines = lines_of(&model(), 24, 6);
    assert_eq!(lines[0].trim_end(), "83 s faults 89/s");
    assert_eq!(lines[1].trim_end(), "✗ RED V6");
    assert_eq!(lines[3].trim_end(), "2 up leader");
    assert_eq!(lines[4].trim_end(), "3 down", "what it said before is old");
}

#[test]
fn no_size_of_a_terminal_is_too_small_to_draw_on() {
    for (width, height) in [(0, 0), (1, 1), (70, 18), (69, 400), (500, 17), (500, 200)] {
        buffer(&model(), width, height, COLOURED);
        buffer(&Model::default(), width, height, COLOURED);
    }
}

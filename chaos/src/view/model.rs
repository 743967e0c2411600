//! What is on the screen, and nothing of how it looks. It is made by `watcher` and drawn by `draw`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::history::NodeRole;
use crate::network::{Direction, Passage};

/// Seconds that the two curves show.
pub const CURVE_SECONDS: usize = 60;

#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The scenario's name and the seed.
    pub title: String,
    pub phase: &'static str,
    /// On the run's clock, as every other moment here.
    pub elapsed: Duration,
    pub nodes: Vec<NodeRow>,
    /// `None`: the nodes call each other without a network of the tool's.
    pub links: Option<BTreeMap<Direction, Passage>>,
    pub faults: Faults,
    pub traffic: Traffic,
    /// How far the run is from its guards; a line each.
    pub guards: Vec<String>,
    pub lights: Vec<Light>,
}

#[derive(Debug, Clone)]
pub struct NodeRow {
    pub node: u16,
    pub state: NodeState,
    /// What it last said of itself: now, if its state says that it answers.
    pub said: Option<Said>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NodeState {
    Up,
    /// Nothing passes between it and any other, one way at least. It answers its operators all the same.
    Cut,
    /// A fault stopped its process.
    Paused,
    /// There is a process, and it does not answer.
    Silent,
    #[default]
    Down,
}

impl NodeState {
    #[must_use]
    pub fn answers(self) -> bool {
        matches!(self, Self::Up | Self::Cut)
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Said {
    /// The id under which it is a member: another than the node's once it has lost its disk.
    pub member: u64,
    pub role: NodeRole,
    pub term: u64,
    pub last_log_index: u64,
    pub committed_index: u64,
    pub applied_index: u64,
    pub snapshot_index: u64,
    /// Entries of the longest log that it has not applied.
    pub behind: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Those that are on: number, kind, who is hit, since when, whether it was seen to hurt.
    pub on: Vec<String>,
    pub landed: usize,
    pub planned: usize,
    pub required: u32,
}

#[derive(Debug, Clone, Default)]
pub struct Traffic {
    /// Orders issued in each of the last seconds, the newest last.
    pub issued_per_s: VecDeque<u64>,
    /// Of each second; `None` if no order was answered in it.
    pub p99_ms: VecDeque<Option<u64>>,
    pub placed: u64,
    pub issued: u64,
    /// Requests whose outcome is unknown now.
    pub unknown: u64,
    /// Arrivals that the tool could not start.
    pub shed: u64,
}

/// What can be said of an invariant while the run lasts. The judge decides, from the history.
#[derive(Debug, Clone)]
pub struct Light {
    /// As in the verdict.
    pub invariant: &'static str,
    pub what: &'static str,
    pub shows: Shows,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shows {
    /// Nothing can be said: why.
    Nothing(String),
    /// Held so far: what was looked at.
    Held(String),
    /// It stays on: since when, and what was seen.
    Broken { at: Duration, seen: String },
}

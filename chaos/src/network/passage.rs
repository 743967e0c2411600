//! What becomes of bytes on their way from one node to another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Direction;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Passage {
    #[default]
    Free,
    /// Kept until the link is free again.
    Held,
    /// They arrive later, by `delay` and up to `jitter` more, in their order.
    Slow { delay: Duration, jitter: Duration },
}

/// Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub struct Matrix {
    passages: Arc<watch::Sender<BTreeMap<Direction, Passage>>>,
}

impl Matrix {
    pub(super) fn set(&self, directions: &[Direction], passage: Passage) {
        self.passages.send_modify(|passages| passages.extend(directions.iter().map(|direction| (*direction, passage))));
    }

    pub(super) fn of(&self, direction: Direction) -> Passage {
        self.passages.borrow().get(&direction).copied().unwrap_or_default()
    }

    /// Waits until nothing is held on these ways.
    pub(super) async fn until_open(&self, directions: &[Direction]) {
        let is_held = |passages: &BTreeMap<Direction, Passage>, direction| passages.get(direction) == Some(&Passage::Held);
        let mut passages = self.passages.subscribe();
        // The sender lives as long as this does.
        let _open = passages.wait_for(|all| !directions.iter().any(|direction| is_held(all, direction))).await;
    }
}

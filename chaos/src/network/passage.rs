//! What becomes of what is on its way from one node to another, and how often that happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::{Direction, Medium};
use crate::scenario::{Share, Size};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Passage {
    #[default]
    Free,
    /// Nothing arrives: a proxy keeps it until the link is free again, packets are lost.
    Cut,
    /// It arrives, more or less.
    Impaired(Impairment),
}

/// Of the proxies, `delay` and `jitter` alone: what they carry are bytes of one connection, not packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Impairment {
    /// Everything comes so much later.
    pub delay: Duration,
    /// ... and up to this more, in its order.
    pub jitter: Duration,
    /// So many are never heard of.
    pub loss: Share,
    /// So many are overtaken by those behind them.
    pub reorder: Share,
    /// So many arrive twice.
    pub duplicate: Share,
    /// So many have one byte changed, which their receiver must notice.
    pub corrupt: Share,
    /// No more than this a second.
    pub bytes_per_s: Option<Size>,
}

/// What can happen to a packet, or to a chunk of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    /// It met a cut.
    Cut,
    /// It was drawn, or met a full queue.
    Lost,
    Late,
    Reordered,
    Duplicated,
    Corrupted,
}

const HITS: usize = 6;

/// Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Matrix {
    passages: Arc<watch::Sender<BTreeMap<Direction, Passage>>>,
    /// Since the direction was last set, in the order of [`Hit`].
    hits: Arc<BTreeMap<Direction, [AtomicU64; HITS]>>,
}

impl Matrix {
    pub(super) fn new(directions: &[Direction]) -> Self {
        let hits = directions.iter().map(|direction| (*direction, Default::default())).collect();
        Self { passages: Arc::default(), hits: Arc::new(hits) }
    }

    pub(super) fn of(&self, direction: Direction) -> Passage {
        self.passages.borrow().get(&direction).copied().unwrap_or_default()
    }

    /// Waits until none of these ways is cut.
    pub(super) async fn until_open(&self, directions: &[Direction]) {
        let is_cut = |passages: &BTreeMap<Direction, Passage>, direction| passages.get(direction) == Some(&Passage::Cut);
        let mut passages = self.passages.subscribe();
        // The sender lives as long as this does.
        let _open = passages.wait_for(|all| !directions.iter().any(|direction| is_cut(all, direction))).await;
    }

    pub(super) fn note(&self, direction: Direction, hit: Hit) {
        self.hits[&direction][hit as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Medium for Matrix {
    fn set(&self, directions: &[Direction], passage: Passage) -> anyhow::Result<()> {
        for counts in directions.iter().map(|direction| &self.hits[direction]) {
            counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        }
        self.passages.send_modify(|passages| passages.extend(directions.iter().map(|direction| (*direction, passage))));
        Ok(())
    }

    fn hits(&self, direction: Direction, hit: Hit) -> anyhow::Result<u64> {
        Ok(self.hits[&direction][hit as usize].load(Ordering::Relaxed))
    }
}

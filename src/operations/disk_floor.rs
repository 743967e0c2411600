//! Whether this node's disk has less room than its floor: looked at again and again, and told to consensus, which acts on it.
//!
//! A disk that does not answer changes nothing here; others notice that it stands still.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};

use crate::limits;
use crate::storage::{DiskFigures, StorageError};

#[derive(Debug)]
pub struct DiskFloor {
    floor_bytes: u64,
    is_low: bool,
}

impl DiskFloor {
    #[must_use]
    pub fn new(floor_bytes: u64) -> Self {
        Self { floor_bytes, is_low: false }
    }

    /// Whether the disk is low when it has so many bytes free. Once low it stays so until there is a margin above the floor.
    pub fn judge(&mut self, free_bytes: u64) -> bool {
        let margin = if self.is_low { self.floor_bytes / limits::DISK_FLOOR_MARGIN_PARTS } else { 0 };
        // As much as the floor is enough.
        self.is_low = free_bytes < self.floor_bytes.saturating_add(margin);
        self.is_low
    }

    /// Calls `tell` when the disk becomes low, and when it has room again. Never ends.
    pub async fn watch(
        mut self,
        ask: impl Fn() -> Result<DiskFigures, StorageError> + Send + Sync + 'static,
        tell: impl Fn(bool),
    ) {
        let ask = Arc::new(ask);
        let mut ticks = interval(limits::DISK_ROOM_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let ask = ask.clone();
            // What cannot be asked is told by those who keep the figures; a panic was reported where it happened.
            let Ok(Ok(disk)) = tokio::task::spawn_blocking(move || ask()).await else { continue };
            let (was_low, floor_bytes, free_bytes) = (self.is_low, self.floor_bytes, disk.free_bytes);
            match (was_low, self.judge(free_bytes)) {
                (false, true) => {
                    tracing::error!(event = "disk_low", free_bytes, floor_bytes, "less room is free than node.disk_floor")
                }
                (true, false) => tracing::info!(event = "disk_has_room", free_bytes, floor_bytes, "the disk has room again"),
                _ => continue,
            }
            tell(self.is_low);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: u64 = 1_000;

    #[test]
    fn a_disk_is_low_below_the_floor_and_until_there_is_a_margin_above_it() {
        let mut floor = DiskFloor::new(FLOOR);
        for (free_bytes, is_low) in
            [(2_000, false), (1_000, false), (999, true), (1_000, true), (1_249, true), (1_250, false), (1_000, false)]
        {
            assert_eq!(floor.judge(free_bytes), is_low, "{free_bytes}");
        }
    }

    #[test]
    fn without_a_floor_no_disk_is_low() {
        assert!(!DiskFloor::new(0).judge(0));
    }

    #[tokio::test]
    async fn each_change_is_told_once_and_a_disk_that_cannot_be_asked_changes_nothing() {
        let gone = || Err(StorageError::Io { operation: "ask", cause: "gone".to_owned() });
        let free = |free_bytes| Ok(DiskFigures { size_bytes: 10_000, free_bytes });
        let mut answers = vec![free(2_000), free(10), free(20), gone(), free(0), free(5_000)].into_iter();
        let (asked, mut told) = tokio::sync::mpsc::unbounded_channel();
        let answers = std::sync::Mutex::new(move || answers.next().unwrap_or_else(gone));
        let ask = move || (answers.lock().unwrap())();
        let watching = tokio::spawn(DiskFloor::new(FLOOR).watch(ask, move |is_low| asked.send(is_low).unwrap()));
        assert_eq!((told.recv().await, told.recv().await), (Some(true), Some(false)));
        watching.abort();
    }
}

//! Packets of one direction that arrive later, in the order of their moments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::network::tun::Tun;

/// On their way in one direction: a second of a link with a megabyte and a half on it. More are dropped, as by a switch.
pub(super) const PACKETS_LATE_MAX: usize = 1_024;

/// Ordered by its moment, and by its number among those of one moment.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Late {
    pub(super) due: Instant,
    pub(super) number: u64,
    pub(super) packet: Vec<u8>,
}

/// Until nobody sends any more.
pub(super) async fn deliver(mut coming: mpsc::Receiver<Late>, to: Arc<Tun>) {
    let mut waiting = BinaryHeap::new();
    loop {
        let next = waiting.peek().map(|Reverse(Late { due, .. })| *due);
        tokio::select! {
            late = coming.recv(), if waiting.len() < PACKETS_LATE_MAX => match late {
                Some(late) => waiting.push(Reverse(late)),
                None => return,
            },
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                let Some(Reverse(late)) = waiting.pop() else { continue };
                // Who does not take it has lost it.
                let _lost = to.write(&late.packet);
            }
        }
    }
}

//! What the nodes say of themselves while the run lasts, and what they hold at its end.
//!
//! Status and digests go into the history (`watch`), the committed log into `log.bin` (`log`), the whole ledger of every
//! replica into `scans/`.

mod events;
mod log;
mod metric;
mod watch;

use std::time::Duration;

use anyhow::Context;

use crate::cluster::Node;
use crate::history::{DelimitedWriter, RunFolder};
use crate::limits;
use crate::proto::admin::ScanLedgerRequest;

pub use events::EventTail;
pub use log::LogTail;
pub use metric::payments_shed;
pub use watch::{note_status, sample_status, watch_node};

/// Also when nobody is left who could say it.
async fn stopped(stop: &mut tokio::sync::watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// Has a node read its whole ledger and all of its log, and keeps nothing of it.
///
/// # Errors
/// The node does not give it.
pub async fn read_through(node: &Node) -> anyhow::Result<()> {
    let whole = async {
        let mut items = node.admin().scan_ledger(ScanLedgerRequest {}).await?.into_inner();
        while items.message().await?.is_some() {}
        log::read_through(node).await
    };
    tokio::time::timeout(limits::SCAN_DEADLINE, whole).await.context("no answer")?
}

/// One replica's whole ledger.
///
/// # Errors
/// The node does not give it, or the file cannot be written.
pub async fn scan(node: &Node, folder: &RunFolder) -> anyhow::Result<()> {
    let whole = async {
        let mut writer = DelimitedWriter::create(&folder.scan(node.id()))?;
        let mut items = node.admin().scan_ledger(ScanLedgerRequest {}).await?.into_inner();
        while let Some(item) = items.message().await? {
            writer.write(&item)?;
        }
        writer.finish()?;
        anyhow::Ok(())
    };
    tokio::time::timeout(limits::SCAN_DEADLINE, whole)
        .await
        .context("no answer")?
        .with_context(|| format!("scanning node {}", node.id()))
}

//! What one watches of the ledger while the run lasts: one reader, at whichever node is up, who goes on where the last one left him.
//! The judge compares what he was told with the log: each event once, in order, none made up.

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::stopped;
use crate::cluster::{Cluster, Node};
use crate::history::{DelimitedWriter, RunFolder};
use crate::limits;
use crate::proto::admin::{WatchLedgerRequest, WatchLedgerResponse};

/// What was told so far.
pub struct EventTail {
    writer: DelimitedWriter,
    next: WatchLedgerRequest,
}

impl EventTail {
    /// # Errors
    /// The file cannot be made.
    pub fn create(folder: &RunFolder) -> std::io::Result<Self> {
        Ok(Self { writer: DelimitedWriter::create(&folder.events())?, next: WatchLedgerRequest::default() })
    }

    /// Reads on until `stop`, at the next node whenever one breaks off.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn follow(mut self, cluster: Arc<Cluster>, mut stop: watch::Receiver<bool>) -> anyhow::Result<Self> {
        for node in cluster.nodes().iter().cycle() {
            tokio::select! {
                () = stopped(&mut stop) => break,
                read = self.read_from(node, u64::MAX) => read?,
            }
            tokio::select! {
                () = stopped(&mut stop) => break,
                () = sleep(limits::EXPORT_INTERVAL) => {}
            }
        }
        Ok(self)
    }

    /// Reads up to `index` at least, and closes the file.
    ///
    /// # Errors
    /// No node tells so much, or the file cannot be written.
    pub async fn finish(mut self, cluster: &Cluster, index: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + limits::ADMIN_DEADLINE;
        for node in cluster.nodes() {
            if self.next.from_index <= index
                && let Ok(read) = timeout_at(deadline, self.read_from(node, index)).await
            {
                read?;
            }
        }
        self.writer.finish().context("closing events.bin")?;
        if self.next.from_index <= index {
            bail!("events were told up to log index {}, {index} wanted", self.next.from_index);
        }
        Ok(())
    }

    /// Until the node breaks off, or has told of `index`.
    async fn read_from(&mut self, node: &Node, index: u64) -> anyhow::Result<()> {
        let mut admin = node.admin();
        let opening = admin.watch_ledger(self.next.clone());
        let Ok(Ok(answers)) = timeout(limits::ADMIN_DEADLINE, opening).await else { return Ok(()) };
        let mut answers = answers.into_inner();
        // Marks come every few seconds: without one the node is stopped, or cut off.
        while self.next.from_index <= index
            && let Ok(Ok(Some(answer))) = timeout(limits::SILENT_WATCH_MAX, answers.message()).await
        {
            self.take(&answer)?;
        }
        Ok(())
    }

    fn take(&mut self, answer: &WatchLedgerResponse) -> anyhow::Result<()> {
        if answer.entry.is_some() {
            self.writer.write(answer).context("writing events.bin")?;
        }
        if answer.next_index != self.next.from_index {
            self.next = WatchLedgerRequest { from_index: answer.next_index, after: answer.next_after.clone() };
        }
        Ok(())
    }
}

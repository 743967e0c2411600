//! What the nodes say of themselves while the run lasts, and what they hold at its end.
//!
//! Status and digests go into the history, the committed log into `log.bin`, the whole ledger of every replica into `scans/`.
//! The log is read from whichever node answers: committed entries are the same on all, and where they are not, the digests
//! differ.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tonic::Code;

use crate::cluster::{Cluster, Node};
use crate::history::{DelimitedWriter, HistoryClosed, Record, Recorder, RunFolder, StatusSample, wire};
use crate::limits;
use crate::proto::admin::{ExportLogRequest, GetStatusResponse, ListDigestsRequest, ScanLedgerRequest};

/// Samples one node's status and digests until `stop`.
///
/// # Errors
/// The history can no longer be written.
pub async fn watch_node(
    cluster: Arc<Cluster>,
    node: u16,
    recorder: Recorder,
    mut stop: watch::Receiver<bool>,
) -> Result<(), HistoryClosed> {
    let node = cluster.node(node);
    let mut statuses = interval(limits::STATUS_INTERVAL);
    let mut digests = interval(limits::DIGEST_INTERVAL);
    let mut next_digest = 0;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return Ok(()),
            _ = statuses.tick() => sample_status(node, &recorder).await?,
            _ = digests.tick() => next_digest = sample_digests(node, &recorder, next_digest).await?,
        }
    }
}

/// Also when nobody is left who could say it.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// # Errors
/// The history can no longer be written.
pub async fn sample_status(node: &Node, recorder: &Recorder) -> Result<(), HistoryClosed> {
    match node.status().await {
        Some(status) => recorder.record(Record::Status(sample(node.id(), &status, recorder.now_ns()))),
        None => Ok(()),
    }
}

fn sample(node: u16, status: &GetStatusResponse, at_ns: u64) -> StatusSample {
    StatusSample {
        at_ns,
        node,
        role: wire::node_role(status.role),
        term: status.term,
        voted_for: status.voted_for,
        leader: status.leader_id,
        last_log_index: status.last_log_index,
        committed_index: status.committed_index,
        applied_index: status.applied_index,
        snapshot_index: status.snapshot_index,
        purged_index: status.purged_index,
        digest: status.digest.as_str().into(),
        totals: status.totals.as_ref().map(wire::totals),
    }
}

/// Keeps the digests of the same indexes of every node: multiples of the stride, and the newest. Returns where to go on.
///
/// # Errors
/// The history can no longer be written.
pub async fn sample_digests(node: &Node, recorder: &Recorder, from_index: u64) -> Result<u64, HistoryClosed> {
    let mut admin = node.admin();
    let request = admin.list_digests(ListDigestsRequest { from_index });
    let Ok(Ok(response)) = tokio::time::timeout(limits::STATUS_DEADLINE, request).await else { return Ok(from_index) };
    let digests = response.into_inner().digests;
    let newest = digests.last().map(|digest| digest.log_index);
    for one in digests {
        if one.log_index.is_multiple_of(limits::DIGEST_STRIDE) || Some(one.log_index) == newest {
            let digest = one.digest.as_str().into();
            recorder.record(Record::Digest { at_ns: recorder.now_ns(), node: node.id(), log_index: one.log_index, digest })?;
        }
    }
    // A node that was restarted may have gone back: it is asked again from where it was.
    Ok(newest.map_or(from_index, |newest| newest + 1))
}

/// The exported log so far.
pub struct LogTail {
    writer: DelimitedWriter,
    next_index: u64,
    /// Where the last read ended in an error.
    trouble: Option<String>,
}

impl LogTail {
    /// # Errors
    /// The file cannot be made.
    pub fn create(folder: &RunFolder) -> std::io::Result<Self> {
        Ok(Self { writer: DelimitedWriter::create(&folder.log())?, next_index: 0, trouble: None })
    }

    /// Reads on until `stop`, from a node that answers.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn follow(mut self, cluster: Arc<Cluster>, mut stop: watch::Receiver<bool>) -> anyhow::Result<Self> {
        let mut ticks = interval(limits::EXPORT_INTERVAL);
        let mut turn = 0;
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return Ok(self),
                _ = ticks.tick() => {}
            }
            for _ in cluster.nodes() {
                let node = &cluster.nodes()[turn % cluster.nodes().len()];
                match self.read_from(node).await {
                    Ok(()) => break,
                    // The next node may be up, or reach back further.
                    Err(ReadError::Node(trouble)) => self.trouble = Some(trouble),
                    Err(ReadError::File(error)) => return Err(error).context("writing log.bin"),
                }
                turn += 1;
            }
        }
    }

    /// Reads up to `index` at least, and closes the file.
    ///
    /// # Errors
    /// No node has the log from where this one ends, or the file cannot be written.
    pub async fn finish(mut self, cluster: &Cluster, index: u64) -> anyhow::Result<()> {
        for node in cluster.nodes() {
            if self.next_index > index {
                break;
            }
            match self.read_from(node).await {
                Ok(()) => {}
                Err(ReadError::Node(trouble)) => self.trouble = Some(trouble),
                Err(ReadError::File(error)) => return Err(error).context("writing log.bin"),
            }
        }
        let (next, trouble) = (self.next_index, self.trouble.take());
        self.writer.finish().context("closing log.bin")?;
        if next <= index {
            bail!("the exported log ends before index {next}, {index} wanted: {}", trouble.unwrap_or_default());
        }
        Ok(())
    }

    async fn read_from(&mut self, node: &Node) -> Result<(), ReadError> {
        let trouble = |status: tonic::Status| {
            let purged = if status.code() == Code::OutOfRange { " (purged)" } else { "" };
            ReadError::Node(format!("node {}: {}{purged}", node.id(), status.message()))
        };
        let mut admin = node.admin();
        let opening = admin.export_log(ExportLogRequest { from_index: self.next_index });
        let late = |_| ReadError::Node(format!("node {}: no answer", node.id()));
        let mut entries =
            tokio::time::timeout(limits::ADMIN_DEADLINE, opening).await.map_err(late)?.map_err(trouble)?.into_inner();
        while let Some(entry) =
            tokio::time::timeout(limits::ADMIN_DEADLINE, entries.message()).await.map_err(late)?.map_err(trouble)?
        {
            // Only what follows: a node must not bridge a hole by starting later.
            if entry.log_index > self.next_index && self.next_index > 0 {
                return Err(ReadError::Node(format!(
                    "node {}: {} followed {}",
                    node.id(),
                    entry.log_index,
                    self.next_index - 1
                )));
            }
            self.next_index = entry.log_index + 1;
            self.writer.write(&entry).map_err(ReadError::File)?;
        }
        Ok(())
    }
}

enum ReadError {
    Node(String),
    File(std::io::Error),
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

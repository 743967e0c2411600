//! The committed log, read while the run lasts and compared over the nodes at its end.
//!
//! While the run lasts it is read from whichever node answers, before it is purged. At the end every node is asked for all that it
//! still holds: the judge finds an index twice in the file, and the entries must be the same.

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::sync::watch;
use tonic::Code;

use super::{interval, stopped};
use crate::cluster::{Cluster, Node};
use crate::history::{DelimitedWriter, RunFolder};
use crate::limits;
use crate::proto::admin::{ExportLogRequest, ExportLogResponse};

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

    /// Reads on until `stop`, from the first node that has more. One that has not may be far behind the others.
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
                let next_index = self.next_index;
                match self.read_from(node).await {
                    Ok(()) if self.next_index > next_index => break,
                    Ok(()) => {}
                    // The next node may be up, or reach back further.
                    Err(ReadError::Node(trouble)) => self.trouble = Some(trouble),
                    Err(ReadError::File(error)) => return Err(error).context("writing log.bin"),
                }
                turn += 1;
            }
        }
    }

    /// Reads up to `index` at least, then from every node what it still holds, and closes the file.
    ///
    /// # Errors
    /// No node has the log from where this one ends, a node does not give what it holds, or the file cannot be written.
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
        let mut troubles = Vec::new();
        if self.next_index <= index {
            let (next, trouble) = (self.next_index, self.trouble.take().unwrap_or_default());
            troubles.push(format!("the exported log ends before index {next}, {index} wanted: {trouble}"));
        }
        for node in cluster.nodes() {
            match self.read_again(node).await {
                Ok(()) => {}
                Err(ReadError::Node(trouble)) => troubles.push(format!("the log of each node is to be compared: {trouble}")),
                Err(ReadError::File(error)) => return Err(error).context("writing log.bin"),
            }
        }
        self.writer.finish().context("closing log.bin")?;
        if troubles.is_empty() { Ok(()) } else { bail!(troubles.join("; ")) }
    }

    /// Goes on where the last read ended.
    async fn read_from(&mut self, node: &Node) -> Result<(), ReadError> {
        let mut entries = Export::open(node, self.next_index).await?;
        while let Some(entry) = entries.next().await? {
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

    /// All that one node has not purged.
    async fn read_again(&mut self, node: &Node) -> Result<(), ReadError> {
        let Some(status) = node.status().await else {
            return Err(ReadError::Node(format!("node {}: no answer", node.id())));
        };
        let from_index = if status.purged_index == 0 { 0 } else { status.purged_index + 1 };
        let mut entries = Export::open(node, from_index).await?;
        while let Some(entry) = entries.next().await? {
            self.writer.write(&entry).map_err(ReadError::File)?;
        }
        Ok(())
    }
}

/// Has one node read all that it has not purged.
pub(super) async fn read_through(node: &Node) -> anyhow::Result<()> {
    let status = node.status().await.context("no answer")?;
    let from_index = if status.purged_index == 0 { 0 } else { status.purged_index + 1 };
    let mut entries = node.admin().export_log(ExportLogRequest { from_index }).await?.into_inner();
    while entries.message().await?.is_some() {}
    Ok(())
}

/// One node's answer, entry by entry.
struct Export {
    node: u16,
    entries: tonic::Streaming<ExportLogResponse>,
}

impl Export {
    async fn open(node: &Node, from_index: u64) -> Result<Self, ReadError> {
        let (mut admin, id) = (node.admin(), node.id());
        let opening = admin.export_log(ExportLogRequest { from_index });
        let opened = tokio::time::timeout(limits::ADMIN_DEADLINE, opening).await.map_err(|_| no_answer(id))?;
        Ok(Self { node: id, entries: opened.map_err(|status| refused(id, &status))?.into_inner() })
    }

    async fn next(&mut self) -> Result<Option<ExportLogResponse>, ReadError> {
        let next = tokio::time::timeout(limits::ADMIN_DEADLINE, self.entries.message()).await;
        next.map_err(|_| no_answer(self.node))?.map_err(|status| refused(self.node, &status))
    }
}

fn no_answer(node: u16) -> ReadError {
    ReadError::Node(format!("node {node}: no answer"))
}

fn refused(node: u16, status: &tonic::Status) -> ReadError {
    let purged = if status.code() == Code::OutOfRange { " (purged)" } else { "" };
    ReadError::Node(format!("node {node}: {}{purged}", status.message()))
}

enum ReadError {
    Node(String),
    File(std::io::Error),
}

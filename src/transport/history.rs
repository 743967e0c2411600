//! The audit record as streams: exported for auditors, up to now; and as events for those who watch, without an end. Both read it
//! page by page from whatever state is the newest: records never change, so no state has to be kept for a slow reader.

use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::consensus::Consistency;
use crate::limits;
use crate::proto::admin;
use crate::storage::audit::{AuditName, AuditRecord};
use crate::storage::codec::decode_audit_record;
use crate::storage::{LedgerStore, RocksView, StorageError};
use crate::transport::edge::Edge;
use crate::transport::errors::{Failure, Reason};
use crate::transport::events::events;
use crate::transport::ledger_node::ClusterNode;
use crate::transport::wire;

/// The first log index that is not applied, and every node of a majority knows so.
///
/// # Errors
/// `POSITION_AHEAD`: `from` is behind it. As any linearizable read.
pub(super) async fn end_of_history(edge: &Edge<ClusterNode>, from: u64, within: Duration) -> Result<u64, Failure> {
    let end = |view: &RocksView| Ok(view.index().map_or(0, |applied| applied + 1));
    let (_, end) = edge.read(Consistency::Linearizable, within, end).await?;
    if from <= end {
        return Ok(end);
    }
    let message = format!("from_index is {from}, but the next log index is {end}");
    Err(Failure::new(Reason::PositionAhead, message).with("next_index", end))
}

/// Whether the record before `from` is the one that the caller went on from.
///
/// # Errors
/// `POSITION_GONE`.
pub(super) async fn same_history(edge: &Edge<ClusterNode>, from: u64, after: &[u8]) -> Result<(), Failure> {
    let Some(before) = from.checked_sub(1).filter(|_| !after.is_empty()) else { return Ok(()) };
    let view = edge.node().ledger().view();
    let page = look_up(edge, move || view.audit_page(before)).await?;
    if page.first().is_some_and(|record| AuditName::of(record).as_bytes() == after) {
        return Ok(());
    }
    let message = format!("the ledger has another history before log index {from} than the caller went on from");
    Err(Failure::new(Reason::PositionGone, message).with("from_index", from))
}

/// The records from `from` on and before `end`.
pub(super) fn export(
    edge: Edge<ClusterNode>,
    from: u64,
    end: u64,
) -> BoxStream<'static, Result<admin::ExportAuditResponse, Status>> {
    let pages = stream::try_unfold(from, move |from| {
        let edge = edge.clone();
        async move {
            if from >= end {
                return Ok(None);
            }
            let view = edge.node().ledger().view();
            let page = look_up(&edge, move || view.audit_page(from))
                .await
                .map_err(|failure| failure.with("next_index", from).status())?;
            let next = from + page.len() as u64;
            let records = (from..end).zip(page).map(|(log_index, record)| admin::ExportAuditResponse { log_index, record });
            Ok::<_, Status>(Some((stream::iter(records.map(Ok).collect::<Vec<_>>()), next)))
        }
    });
    pages.try_flatten().boxed()
}

/// What happens from `from` on, until the node stops.
pub(super) fn watch(
    edge: Edge<ClusterNode>,
    from: u64,
    stop: watch::Receiver<bool>,
) -> BoxStream<'static, Result<admin::WatchLedgerResponse, Status>> {
    let pages = stream::try_unfold((from, stop), move |(from, mut stop)| {
        let edge = edge.clone();
        async move {
            let answers = tokio::select! {
                biased;
                // A sender that is gone will not stop anything.
                Ok(_) = stop.wait_for(|stop| *stop) => Err(Failure::new(Reason::Draining, "the node is stopping")),
                answers = told_from(&edge, from) => answers,
            };
            let answers = answers.map_err(|failure| failure.with("next_index", from).status())?;
            let next = answers.last().map_or(from, |last| last.next_index);
            Ok::<_, Status>(Some((stream::iter(answers.into_iter().map(Ok)), (next, stop))))
        }
    });
    pages.try_flatten().boxed()
}

/// The next page of events; a mark of progress if nothing happens for a while, or nothing that is told.
async fn told_from(edge: &Edge<ClusterNode>, from: u64) -> Result<Vec<admin::WatchLedgerResponse>, Failure> {
    match timeout(limits::WATCH_PROGRESS_INTERVAL, edge.node().applied(from)).await {
        Ok(true) => {}
        Ok(false) => return Err(Failure::new(Reason::NodeStopped, "consensus has stopped")),
        // Nothing happens, or this node does not hear of it: only a majority knows.
        Err(_) => {
            if end_of_history(edge, from, limits::WATCH_PROGRESS_INTERVAL).await? == from {
                return Ok(vec![mark(from, Vec::new())]);
            }
        }
    }
    let view = edge.node().ledger().view();
    let (next_index, next_after, mut answers) = look_up(edge, move || {
        let page = view.audit_page(from)?;
        let told = page.iter().map(|record| Ok(told(record, &decode_audit_record(record)?)));
        let told: Result<Vec<_>, StorageError> = told.collect();
        let next_after = page.last().map_or_else(Vec::new, |record| name(record));
        Ok((from + page.len() as u64, next_after, told?.into_iter().flatten().collect::<Vec<_>>()))
    })
    .await?;
    if answers.last().is_none_or(|last| last.next_index < next_index) {
        answers.push(mark(next_index, next_after));
    }
    Ok(answers)
}

/// The log index that a reader who did not get this answer goes on at.
pub(super) fn begins_at(answer: &admin::WatchLedgerResponse) -> u64 {
    answer.entry.as_ref().map_or(answer.next_index, |entry| entry.log_index)
}

/// `next_after` is empty if nothing came since the answer before.
fn mark(next_index: u64, next_after: Vec<u8>) -> admin::WatchLedgerResponse {
    admin::WatchLedgerResponse { next_index, entry: None, next_after }
}

fn name(stored: &[u8]) -> Vec<u8> {
    AuditName::of(stored).as_bytes().to_vec()
}

fn told(stored: &[u8], record: &AuditRecord) -> Option<admin::WatchLedgerResponse> {
    let events = events(record);
    let entry = admin::LedgerEntry {
        log_index: record.position.index,
        term: record.position.term,
        ledger_time_ms: wire::ms(record.ledger_time.0),
        events,
    };
    let next_index = record.position.index + 1;
    (!entry.events.is_empty()).then(|| admin::WatchLedgerResponse { next_index, entry: Some(entry), next_after: name(stored) })
}

async fn look_up<T: Send + 'static>(
    edge: &Edge<ClusterNode>,
    read: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, Failure> {
    edge.look_up_page(Instant::now() + limits::CALL_DEADLINE_DEFAULT, read).await
}

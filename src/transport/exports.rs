//! The whole ledger of one state and the whole log that is left, record by record, for auditors and drills. How long they may take,
//! and how many at once, is said in [`long_answers`](super::long_answers).

use std::ops::ControlFlow;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tonic::Status;

use crate::consensus::ExportError;
use crate::domain::{Change, Command};
use crate::limits;
use crate::proto::admin;
use crate::proto::admin::scan_ledger_response::Item;
use crate::storage::{CommittedEntry, EntryBody, LedgerScan, StorageError};
use crate::transport::edge::Edge;
use crate::transport::errors::{Failure, Reason};
use crate::transport::ledger_node::ClusterNode;
use crate::transport::long_answers::Reader;
use crate::transport::wire;

/// The inner error: why it ended before it was complete.
pub(super) fn send_scan(
    scan: &LedgerScan,
    node_id: u64,
    reader: &Reader<admin::ScanLedgerResponse>,
) -> Result<Result<(), Status>, StorageError> {
    let send = |item| reader.give_blocking(admin::ScanLedgerResponse { item: Some(item) });
    let meta = scan.meta();
    let header = Item::Header(admin::ScanHeader {
        node_id,
        applied_index: meta.applied.map_or(0, |applied| applied.index),
        digest: meta.digest.to_string(),
        scanned_digest: scan.digest()?.to_string(),
        totals: Some(wire::totals(&scan.totals()?)),
    });
    let mut sent = send(header);
    if sent.is_err() {
        return Ok(sent);
    }
    scan.visit(|record| {
        let item = match record {
            Change::Series(series) => Item::Series(wire::series(&series)),
            Change::Order(order) => Item::Order(wire::order(&order, Vec::new())),
            Change::Payment(payment) => Item::Payment(wire::payment(&payment, None)),
            Change::Refund(refund) => Item::Refund(wire::refund(&refund)),
            Change::Stamping(stamping) => Item::Stamping(wire::stamping(&stamping)),
            Change::Policy(policy) => Item::Policy(wire::policy(Some(&policy))),
            // They stand in the header.
            Change::Totals(_) => return ControlFlow::Continue(()),
        };
        sent = send(item);
        if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(sent)
}

/// Page after page up to `until`.
pub(super) fn export(
    edge: Edge<ClusterNode>,
    first: Vec<CommittedEntry>,
    until: u64,
) -> BoxStream<'static, Result<admin::ExportLogResponse, Status>> {
    let next_page = move |page: Option<Vec<CommittedEntry>>| {
        let edge = edge.clone();
        async move {
            let page = page?;
            let last = page.last()?.position.index;
            let rest = if last >= until {
                Ok(None)
            } else {
                edge.node().export_log(last + 1, limits::EXPORT_ENTRIES_PAGE).await.map(Some)
            };
            let mut answers: Vec<_> =
                page.into_iter().filter(|entry| entry.position.index <= until).map(|entry| Ok(exported(entry))).collect();
            match rest {
                Ok(rest) => Some((stream::iter(answers), rest)),
                Err(error) => {
                    answers.push(Err(unexported(&edge, error).status()));
                    Some((stream::iter(answers), None))
                }
            }
        }
    };
    stream::unfold(Some(first), next_page).flatten().boxed()
}

pub(super) fn unexported(edge: &Edge<ClusterNode>, error: ExportError) -> Failure {
    match error {
        ExportError::Purged { first_index } => {
            Failure::new(Reason::LogPurged, error.to_string()).with("first_index", first_index)
        }
        ExportError::Storage(error) => edge.stop_for(error),
    }
}

fn exported(entry: CommittedEntry) -> admin::ExportLogResponse {
    let (proposed_at_ms, commands) = match entry.body {
        EntryBody::Commands(batch) => (wire::ms(batch.proposed_at.0), batch.commands.iter().map(logged).collect()),
        EntryBody::Blank | EntryBody::Membership(_) => (0, Vec::new()),
    };
    admin::ExportLogResponse { log_index: entry.position.index, term: entry.position.term, proposed_at_ms, commands }
}

fn logged(command: &Command) -> admin::LoggedCommand {
    admin::LoggedCommand { command: Some(wire::logged_command(command)) }
}

//! `check invariants`: a live cluster's history and one node's records, held to the rules.
//!
//! The audit record is applied again from the first entry, here, and every invariant is counted over the ledger that comes of it. The
//! node counts the digest of the records on its disk anew, as of one log index: if the replayed ledger has the same digest at that
//! index, its records are those of the node, byte for byte, and what was found of the one holds for the other.

use serde_json::json;

use super::super::Global;
use super::super::audit::records_from;
use super::super::connection::Call;
use super::super::exit::{Code, Failure};
use super::super::output;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::scan_ledger_response::Item;
use crate::proto::admin::{ScanHeader, ScanLedgerRequest};
use crate::storage::audit::Replay;

const KEEP: &str = "stop giving the node calls; keep its data, and report this";

pub(super) async fn run(global: &Global) -> Result<(), Failure> {
    let scan = header(global).await?;
    let mut replay = Replay::default();
    let mut digest_there = None;
    records_from(global, 0, |record| {
        let fed = replay.feed(record).map_err(|error| failed(error.to_string()))?;
        if fed.position.index == scan.applied_index {
            digest_there = Some(replay.meta().digest.to_string());
        }
        Ok(())
    })
    .await?;
    let violations = replay.violations();
    output::print_record(
        global.output,
        vec![
            ("node", json!(scan.node_id)),
            ("records_as_of", json!(scan.applied_index)),
            ("history_through", json!(replay.meta().applied.map(|applied| applied.index))),
            ("digest_kept", json!(scan.digest)),
            ("digest_scanned", json!(scan.scanned_digest)),
            ("digest_replayed", json!(digest_there)),
            ("audit_head", json!(replay.meta().audit_head.to_string())),
            ("violations", violations.iter().map(|violation| json!(violation.to_string())).collect()),
        ],
    );
    judge(&scan, digest_there.as_deref(), violations.first().map(ToString::to_string))
}

fn failed(message: String) -> Failure {
    Failure::new(Code::VerificationFailed, message, KEEP)
}

fn judge(scan: &ScanHeader, replayed: Option<&str>, violation: Option<String>) -> Result<(), Failure> {
    let (node, index) = (scan.node_id, scan.applied_index);
    if scan.scanned_digest != scan.digest {
        return Err(failed(format!("node {node} holds other records than it has applied, as of log index {index}")));
    }
    if replayed != Some(scan.digest.as_str()) {
        return Err(failed(format!("node {node} holds other records than its history makes, as of log index {index}")));
    }
    violation.map_or(Ok(()), |violation| Err(failed(violation)))
}

/// The node counts its records before it sends the first of them: with the header in hand the rest is not wanted.
async fn header(global: &Global) -> Result<ScanHeader, Failure> {
    let call = Call::read("scanning the ledger");
    let mut items = global
        .admins()
        .call(&call, async |to| Client::new(to.channel()).scan_ledger(to.request(ScanLedgerRequest {})).await)
        .await?;
    match items.message().await.map(|item| item.and_then(|item| item.item)) {
        Ok(Some(Item::Header(header))) => Ok(header),
        Ok(_) => Err(failed("the scan of the ledger has no header".to_owned())),
        Err(status) => {
            let message = format!("scanning the ledger: {}", status.message());
            Err(Failure::new(Code::TimedOut, message, "see what the node's log says, then run it again"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_history_and_invariants_must_all_agree() {
        let scan = |kept: &str, scanned: &str| ScanHeader {
            node_id: 2,
            applied_index: 7,
            digest: kept.to_owned(),
            scanned_digest: scanned.to_owned(),
            totals: None,
        };
        assert!(judge(&scan("a", "a"), Some("a"), None).is_ok());
        for (scan, replayed, violation) in [
            (scan("a", "b"), Some("a"), None),
            (scan("a", "a"), Some("b"), None),
            (scan("a", "a"), None, None),
            (scan("a", "a"), Some("a"), Some("money".to_owned())),
        ] {
            assert_eq!(judge(&scan, replayed, violation).unwrap_err().code, Code::VerificationFailed);
        }
    }
}

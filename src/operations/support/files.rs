//! The files that a node adds to a debug bundle.
//!
//! No record of the ledger, no snapshot, nothing of the Raft log's entries: what is wrong with a node shows in how it stands, not in
//! what its customers bought.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Inside, process};
use crate::consensus::NodeStatus;
use crate::limits::{DEBUG_DIGESTS_MAX, DEBUG_FILE_BYTES_MAX, DEBUG_NAMES_MAX};
use crate::operations::{build, config};
use crate::storage::LogPosition;

pub(super) type File = (String, Vec<u8>);

/// Everything, as it is. Blocks.
pub(super) fn all(inside: &Inside, metrics_apart: Duration) -> Vec<File> {
    let mut files = vec![page(inside, "metrics-1.txt")];
    files.push(json_file("build.json", &build_facts()));
    files.push(json_file("status.json", &status(inside)));
    files.push(text_file("config.toml", config::effective(&inside.loaded, true)));
    files.push(text_file("digests.txt", digests(inside)));
    for (store, report) in [("log", inside.log_store.report()), ("ledger", inside.node.ledger().report())] {
        files.push((format!("rocksdb/{store}.LOG"), report.own_log));
        files.push(text_file(&format!("rocksdb/{store}.stats.txt"), report.statistics));
    }
    files.push(text_file("data-dir.txt", listing(inside.data.path())));
    files.extend(process::files());
    if !metrics_apart.is_zero() {
        std::thread::sleep(metrics_apart);
        files.push(page(inside, "metrics-2.txt"));
    }
    // Last, with what the collecting itself was told.
    files.push(text_file("log.txt", inside.log.recent().text()));
    files
}

fn json_file(name: &str, value: &Value) -> File {
    text_file(name, format!("{value:#}\n"))
}

fn text_file(name: &str, text: String) -> File {
    let mut bytes = text.into_bytes();
    // Its end, as of a file that is read.
    let too_many = bytes.len().saturating_sub(DEBUG_FILE_BYTES_MAX);
    bytes.drain(..too_many);
    (name.to_owned(), bytes)
}

fn page(inside: &Inside, name: &str) -> File {
    text_file(name, inside.metrics.render().unwrap_or_else(|error| format!("{error}\n")))
}

fn build_facts() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "revision": build::REVISION,
        "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
        "features": build::features(),
    })
}

fn status(inside: &Inside) -> Value {
    let (status, identity) = (inside.metrics.observed.status(), inside.data.identity());
    let log = inside.log.state();
    let checks = inside.metrics.readiness();
    json!({
        "cluster_id": identity.cluster_id,
        "cluster_name": identity.cluster_name,
        "format_version": identity.format_version,
        "node_id": status.node_id,
        "raft": raft(&status),
        "members": status.members.iter().map(|member| json!({
            "node_id": member.node_id,
            "client_address": member.client_address,
            "peer_address": member.peer_address,
            "voter": member.voter,
            "heard": member.heard,
            "matched_index": member.matched,
            "clock_ahead_ms": member.clock_ahead_ms,
        })).collect::<Vec<_>>(),
        "readiness": checks.iter().map(|check| (check.name.to_owned(), match check.is_ok {
            true => json!("ok"),
            false => json!(check.detail),
        })).collect::<serde_json::Map<_, _>>(),
        "log": {
            "filter": log.filter.to_string(),
            "configured_filter": log.configured.to_string(),
            "left_seconds": log.left.map(|left| left.as_secs()),
        },
    })
}

fn raft(status: &NodeStatus) -> Value {
    let position = |position: Option<LogPosition>| position.map(|at| json!({ "term": at.term, "index": at.index }));
    json!({
        "role": format!("{:?}", status.role).to_lowercase(),
        "term": status.term,
        "voted_for": status.voted_for,
        "leader": status.leader,
        "hears_leader": status.hears_leader,
        "last_log_index": status.last_log_index,
        "committed": position(status.committed),
        "applied": position(status.applied),
        "snapshot": position(status.snapshot),
        "purged": position(status.purged),
        "digest_at_applied": status.digest.to_string(),
        "joint": status.joint,
        "initialized": status.initialized,
        "removed": status.removed,
        "draining": status.draining,
        "fatal": status.fatal,
    })
}

/// Log index and digest, a line each, oldest first.
fn digests(inside: &Inside) -> String {
    let digests = inside.node.recent_digests(0);
    let newest = &digests[digests.len().saturating_sub(DEBUG_DIGESTS_MAX)..];
    newest.iter().map(|(index, digest)| format!("{index} {digest}\n")).collect()
}

/// Bytes and name of each file under `root`.
fn listing(root: &Path) -> String {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        // What has gone meanwhile is not there.
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => {
                    let path = entry.path();
                    lines.push(format!("{:>14} {}\n", metadata.len(), path.strip_prefix(root).unwrap_or(&path).display()));
                }
                Err(_) => {}
            }
        }
        if lines.len() > DEBUG_NAMES_MAX {
            lines.truncate(DEBUG_NAMES_MAX);
            lines.push("and more\n".to_owned());
            break;
        }
    }
    lines.sort_unstable_by(|a, b| a[15..].cmp(&b[15..]));
    lines.concat()
}

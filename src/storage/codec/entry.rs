//! Log entries: a position and a body. The commands of an entry stand in it as bytes of their own, so that the log and the
//! peers pass them on without looking inside.

use bytes::Bytes;
use prost::Message;

use super::cluster::{command_from_proto as command_from_cluster_proto, command_to_proto as command_to_cluster_proto};
use super::{command_from_proto, command_to_proto, corrupt, message, present};
use crate::domain::{Command, LedgerTime};
use crate::limits;
use crate::proto::storage as proto;
use crate::proto::storage::log_entry::Payload;
use crate::storage::cluster::ClusterCommand;
use crate::storage::{CommandBatch, CommittedEntry, EntryBody, LogPosition, StorageError};

/// What a [`CommandBatch`] is made of, as bytes.
pub(in crate::storage) fn encode_commands(
    proposed_at: LedgerTime,
    commands: &[Command],
    cluster: Option<&ClusterCommand>,
) -> Bytes {
    let commands = commands.iter().map(command_to_proto).collect();
    let cluster = cluster.map(command_to_cluster_proto);
    proto::CommandBatch { proposed_at_ms: proposed_at.0, commands, cluster }.encode_to_vec().into()
}

/// # Errors
/// [`StorageError::Corrupt`]: no batch, a command that breaks a limit, or more commands than an entry may hold.
pub(in crate::storage) fn decode_commands(
    bytes: &[u8],
) -> Result<(LedgerTime, Vec<Command>, Option<ClusterCommand>), StorageError> {
    let batch: proto::CommandBatch = message("command batch", bytes)?;
    if batch.commands.len() > limits::BATCH_COMMANDS_MAX {
        let cause = format_args!("has {} commands, at most {} fit", batch.commands.len(), limits::BATCH_COMMANDS_MAX);
        return Err(corrupt("command batch", cause));
    }
    if batch.cluster.is_some() && !batch.commands.is_empty() {
        return Err(corrupt("command batch", "has a command of the cluster beside some of the ledger"));
    }
    let commands = batch.commands.iter().map(command_from_proto).collect::<Result<Vec<Command>, _>>()?;
    let cluster = batch.cluster.map(command_from_cluster_proto).transpose()?;
    Ok((LedgerTime(batch.proposed_at_ms), commands, cluster))
}

#[must_use]
pub fn entry_to_proto(position: LogPosition, body: &EntryBody) -> proto::LogEntry {
    let payload = match body {
        EntryBody::Blank => Payload::Blank(proto::Blank {}),
        EntryBody::Commands(batch) => Payload::Commands(batch.encoded().clone()),
        EntryBody::Membership(membership) => Payload::Membership(membership.clone()),
    };
    proto::LogEntry { position: Some(position), payload: Some(payload) }
}

/// # Errors
/// [`StorageError::Corrupt`]: a part is missing, or the commands are no command batch.
pub fn entry_from_proto(entry: proto::LogEntry) -> Result<CommittedEntry, StorageError> {
    let position = present("log entry", "position", entry.position)?;
    let body = match present("log entry", "payload", entry.payload)? {
        Payload::Blank(proto::Blank {}) => EntryBody::Blank,
        Payload::Commands(bytes) => EntryBody::Commands(CommandBatch::decode(bytes)?),
        Payload::Membership(membership) => EntryBody::Membership(membership),
    };
    Ok(CommittedEntry { position, body })
}

#[must_use]
pub fn encode_entry(position: &LogPosition, body: &EntryBody) -> Bytes {
    entry_to_proto(*position, body).encode_to_vec().into()
}

/// # Errors
/// As [`entry_from_proto`].
pub fn decode_entry(bytes: &[u8]) -> Result<CommittedEntry, StorageError> {
    entry_from_proto(message("log entry", bytes)?)
}

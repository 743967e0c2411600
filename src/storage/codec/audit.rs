//! Audit records: the bytes that the chain of names is made of.

use prost::Message;

use super::cluster::{outcome_from_proto, outcome_to_proto};
use super::{corrupt, fixed, message, order_id, order_id_bytes, present, reply_from_proto, reply_to_proto};
use crate::domain::{LedgerTime, OrderId, Reply};
use crate::proto::storage as proto;
use crate::proto::storage::audit_record::Body;
use crate::storage::audit::{AuditBody, AuditName, AuditRecord, AuditedCommand};
use crate::storage::cluster::ClusterOutcome;
use crate::storage::{CommandBatch, LogPosition, StorageError};

const WHAT: &str = "audit record";

/// The body of a record that is written, lent by those who have its parts.
pub(in crate::storage) enum Audited<'a> {
    Blank,
    /// The commands' bytes as they are; of an `ExpireOrders` its offset and what it expired.
    Commands {
        batch: &'a CommandBatch,
        replies: Vec<&'a Reply>,
        expired: Vec<(u32, &'a [OrderId])>,
        cluster: Option<ClusterOutcome>,
    },
    Membership(&'a proto::Membership),
}

pub(in crate::storage) fn encode_audited(
    position: LogPosition,
    previous: AuditName,
    ledger_time: LedgerTime,
    body: Audited<'_>,
) -> Vec<u8> {
    let body = match body {
        Audited::Blank => Body::Blank(proto::Blank {}),
        Audited::Commands { batch, replies, expired, cluster } => Body::Commands(proto::AuditedCommands {
            batch: batch.encoded().clone(),
            replies: replies.into_iter().map(reply_to_proto).collect(),
            expired: expired.into_iter().map(expired_to_proto).collect(),
            cluster: cluster.map(outcome_to_proto),
        }),
        Audited::Membership(membership) => Body::Membership(membership.clone()),
    };
    let record = proto::AuditRecord {
        position: Some(position),
        previous: bytes::Bytes::copy_from_slice(previous.as_bytes()),
        ledger_time_ms: ledger_time.0,
        body: Some(body),
    };
    record.encode_to_vec()
}

#[must_use]
pub fn encode_audit_record(record: &AuditRecord) -> Vec<u8> {
    let body = match &record.body {
        AuditBody::Blank => Audited::Blank,
        AuditBody::Commands { batch, commands, cluster } => {
            let expired = (0..).zip(commands).map(|(offset, audited)| (offset, audited.expired.as_slice()));
            Audited::Commands {
                batch,
                replies: commands.iter().map(|audited| &audited.reply).collect(),
                expired: expired.filter(|(_, orders)| !orders.is_empty()).collect(),
                cluster: *cluster,
            }
        }
        AuditBody::Membership(membership) => Audited::Membership(membership),
    };
    encode_audited(record.position, record.previous, record.ledger_time, body)
}

/// # Errors
/// [`StorageError::Corrupt`] names the field.
pub fn decode_audit_record(bytes: &[u8]) -> Result<AuditRecord, StorageError> {
    let record: proto::AuditRecord = message(WHAT, bytes)?;
    let body = match present(WHAT, "body", record.body)? {
        Body::Blank(proto::Blank {}) => AuditBody::Blank,
        Body::Commands(audited) => audited_commands(audited)?,
        Body::Membership(membership) => AuditBody::Membership(membership),
    };
    Ok(AuditRecord {
        position: present(WHAT, "position", record.position)?,
        previous: AuditName(fixed(WHAT, "previous", &record.previous)?),
        ledger_time: LedgerTime(record.ledger_time_ms),
        body,
    })
}

/// Position and previous name of a record whose rest is not looked at.
///
/// # Errors
/// As [`decode_audit_record`].
pub fn decode_audit_link(bytes: &[u8]) -> Result<(LogPosition, AuditName), StorageError> {
    let link: proto::AuditLink = message(WHAT, bytes)?;
    Ok((present(WHAT, "position", link.position)?, AuditName(fixed(WHAT, "previous", &link.previous)?)))
}

fn expired_to_proto((offset, orders): (u32, &[OrderId])) -> proto::Expired {
    proto::Expired { offset, order_ids: orders.iter().map(|id| order_id_bytes(*id)).collect() }
}

/// Each command has one reply, and what expired belongs to one of them.
fn audited_commands(audited: proto::AuditedCommands) -> Result<AuditBody, StorageError> {
    let batch = CommandBatch::decode(audited.batch)?;
    let (asked, answered) = (batch.commands.len(), audited.replies.len());
    if asked != answered {
        return Err(corrupt(WHAT, format_args!("has {answered} replies to {asked} commands")));
    }
    let with_reply = |(command, reply): (&_, &_)| {
        Ok(AuditedCommand { command: Clone::clone(command), reply: reply_from_proto(reply)?, expired: Vec::new() })
    };
    let mut commands: Vec<AuditedCommand> =
        batch.commands.iter().zip(&audited.replies).map(with_reply).collect::<Result<_, StorageError>>()?;
    for expired in &audited.expired {
        let orders = expired.order_ids.iter().map(|id| order_id(WHAT, id)).collect::<Result<_, _>>()?;
        let command = commands.get_mut(expired.offset as usize);
        let command = command.ok_or_else(|| corrupt(WHAT, format_args!("has no command {} to expire", expired.offset)))?;
        command.expired = orders;
    }
    let cluster = audited.cluster.map(outcome_from_proto).transpose()?;
    if batch.cluster.is_some() != cluster.is_some() {
        return Err(corrupt(WHAT, "has a command of the cluster without its outcome, or an outcome without a command"));
    }
    Ok(AuditBody::Commands { batch, commands, cluster })
}

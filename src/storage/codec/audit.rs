//! Audit records: the bytes that the chain of names is made of.

use prost::Message;

use super::{
    command_from_proto, command_to_proto, fixed, message, order_id, order_id_bytes, present, reply_from_proto, reply_to_proto,
};
use crate::domain::LedgerTime;
use crate::proto::storage as proto;
use crate::proto::storage::audit_record::Body;
use crate::storage::audit::{AuditBody, AuditName, AuditRecord, AuditedCommand};
use crate::storage::{LogPosition, StorageError};

const WHAT: &str = "audit record";

#[must_use]
pub fn encode_audit_record(record: &AuditRecord) -> Vec<u8> {
    let body = match &record.body {
        AuditBody::Blank => Body::Blank(proto::Blank {}),
        AuditBody::Commands { proposed_at, commands } => Body::Commands(proto::AuditedCommands {
            proposed_at_ms: proposed_at.0,
            commands: commands.iter().map(audited_to_proto).collect(),
        }),
        AuditBody::Membership(membership) => Body::Membership(membership.clone()),
    };
    let record = proto::AuditRecord {
        position: Some(record.position),
        previous: bytes::Bytes::copy_from_slice(record.previous.as_bytes()),
        ledger_time_ms: record.ledger_time.0,
        body: Some(body),
    };
    record.encode_to_vec()
}

/// # Errors
/// [`StorageError::Corrupt`] names the field.
pub fn decode_audit_record(bytes: &[u8]) -> Result<AuditRecord, StorageError> {
    let record: proto::AuditRecord = message(WHAT, bytes)?;
    let body = match present(WHAT, "body", record.body)? {
        Body::Blank(proto::Blank {}) => AuditBody::Blank,
        Body::Commands(audited) => AuditBody::Commands {
            proposed_at: LedgerTime(audited.proposed_at_ms),
            commands: audited.commands.iter().map(audited_from_proto).collect::<Result<_, _>>()?,
        },
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

fn audited_to_proto(audited: &AuditedCommand) -> proto::AuditedCommand {
    proto::AuditedCommand {
        command: Some(command_to_proto(&audited.command)),
        reply: Some(reply_to_proto(&audited.reply)),
        expired_order_ids: audited.expired.iter().map(|id| order_id_bytes(*id)).collect(),
    }
}

fn audited_from_proto(audited: &proto::AuditedCommand) -> Result<AuditedCommand, StorageError> {
    Ok(AuditedCommand {
        command: command_from_proto(present(WHAT, "command", audited.command.as_ref())?)?,
        reply: reply_from_proto(present(WHAT, "reply", audited.reply.as_ref())?)?,
        expired: audited.expired_order_ids.iter().map(|id| order_id(WHAT, id)).collect::<Result<_, _>>()?,
    })
}

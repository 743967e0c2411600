//! Commands and outcomes of the cluster itself, and what it keeps of them.

use super::{corrupt, fixed, present};
use crate::domain::LedgerTime;
use crate::limits;
use crate::proto::storage as proto;
use crate::proto::storage::cluster_command::Command as Kind;
use crate::proto::storage::cluster_outcome::Outcome as Told;
use crate::storage::StorageError;
use crate::storage::cluster::{Admitted, ClusterCommand, ClusterOutcome, ClusterRefusal, ClusterState, Token};

const COMMAND: &str = "cluster command";
const OUTCOME: &str = "cluster outcome";
const RECORD: &str = "cluster record";

fn copied(bytes: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(bytes)
}

pub(super) fn command_to_proto(command: &ClusterCommand) -> proto::ClusterCommand {
    let kind = match command {
        ClusterCommand::IssueToken { token, secret, valid_for_ms } => Kind::IssueToken(proto::IssueToken {
            token_id: copied(token),
            secret_blake3: copied(secret),
            valid_for_ms: *valid_for_ms,
        }),
        ClusterCommand::AdmitNode { token, joiner } => {
            Kind::AdmitNode(proto::AdmitNode { token_id: copied(token), joiner: copied(joiner) })
        }
    };
    proto::ClusterCommand { command: Some(kind) }
}

pub(super) fn command_from_proto(command: proto::ClusterCommand) -> Result<ClusterCommand, StorageError> {
    Ok(match present(COMMAND, "command", command.command)? {
        Kind::IssueToken(issue) => {
            let range = limits::JOIN_TOKEN_VALID_MS_MIN..=limits::JOIN_TOKEN_VALID_MS_MAX;
            if !range.contains(&issue.valid_for_ms) {
                return Err(corrupt(COMMAND, format_args!("valid_for_ms is {}", issue.valid_for_ms)));
            }
            ClusterCommand::IssueToken {
                token: fixed(COMMAND, "token_id", &issue.token_id)?,
                secret: fixed(COMMAND, "secret_blake3", &issue.secret_blake3)?,
                valid_for_ms: issue.valid_for_ms,
            }
        }
        Kind::AdmitNode(admit) => ClusterCommand::AdmitNode {
            token: fixed(COMMAND, "token_id", &admit.token_id)?,
            joiner: fixed(COMMAND, "joiner", &admit.joiner)?,
        },
    })
}

pub(super) fn outcome_to_proto(outcome: ClusterOutcome) -> proto::ClusterOutcome {
    let told = match outcome {
        ClusterOutcome::TokenIssued { expires_at } => Told::TokenIssued(proto::TokenIssued { expires_at_ms: expires_at.0 }),
        ClusterOutcome::NodeAdmitted { node_id } => Told::NodeAdmitted(proto::NodeAdmitted { node_id }),
        ClusterOutcome::Refused(refusal) => Told::Refused(proto::ClusterRefused { reason: refusal.name().to_owned() }),
    };
    proto::ClusterOutcome { outcome: Some(told) }
}

pub(super) fn outcome_from_proto(outcome: proto::ClusterOutcome) -> Result<ClusterOutcome, StorageError> {
    Ok(match present(OUTCOME, "outcome", outcome.outcome)? {
        Told::TokenIssued(issued) => ClusterOutcome::TokenIssued { expires_at: LedgerTime(issued.expires_at_ms) },
        Told::NodeAdmitted(admitted) => ClusterOutcome::NodeAdmitted { node_id: node_id(OUTCOME, admitted.node_id)? },
        Told::Refused(refused) => {
            let known = ClusterRefusal::ALL.into_iter().find(|refusal| refusal.name() == refused.reason);
            ClusterOutcome::Refused(known.ok_or_else(|| corrupt(OUTCOME, format_args!("reason is {:?}", refused.reason)))?)
        }
    })
}

/// Nothing of a cluster that never changed: its meta is the same as in format 3.
pub(super) fn record_to_proto(state: &ClusterState) -> Option<proto::ClusterRecord> {
    (*state != ClusterState::default()).then(|| proto::ClusterRecord {
        next_node_id: state.next_node_id,
        tokens: state.tokens.iter().map(token_to_proto).collect(),
    })
}

fn token_to_proto((id, token): (&[u8; 16], &Token)) -> proto::TokenRecord {
    let admitted = token.admitted.as_ref();
    proto::TokenRecord {
        token_id: copied(id),
        secret_blake3: copied(&token.secret),
        expires_at_ms: token.expires_at.0,
        joiner: admitted.map(|admitted| copied(&admitted.joiner)).unwrap_or_default(),
        node_id: admitted.map_or(0, |admitted| admitted.node_id),
        member: admitted.is_some_and(|admitted| admitted.was_member),
    }
}

pub(super) fn record_from_proto(record: Option<proto::ClusterRecord>) -> Result<ClusterState, StorageError> {
    let Some(record) = record else { return Ok(ClusterState::default()) };
    let tokens = record.tokens.iter().map(token_from_proto).collect::<Result<_, StorageError>>()?;
    Ok(ClusterState { next_node_id: record.next_node_id, tokens })
}

fn token_from_proto(record: &proto::TokenRecord) -> Result<([u8; 16], Token), StorageError> {
    let admitted = match record.joiner.is_empty() {
        true => None,
        false => Some(Admitted {
            joiner: fixed(RECORD, "joiner", &record.joiner)?,
            node_id: node_id(RECORD, record.node_id)?,
            was_member: record.member,
        }),
    };
    let token = Token {
        secret: fixed(RECORD, "secret_blake3", &record.secret_blake3)?,
        expires_at: LedgerTime(record.expires_at_ms),
        admitted,
    };
    Ok((fixed(RECORD, "token_id", &record.token_id)?, token))
}

fn node_id(what: &str, node_id: u64) -> Result<u64, StorageError> {
    if (1..=limits::NODE_ID_MAX).contains(&node_id) {
        return Ok(node_id);
    }
    Err(corrupt(what, format_args!("node_id is {node_id}")))
}

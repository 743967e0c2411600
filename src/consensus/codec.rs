//! Commands and replies as protocol buffers, between nodes: as `storage` writes them, with errors in the terms of a message.

use bytes::Bytes;

use crate::domain::{Command, Reply};
use crate::proto::storage as wire;
use crate::storage::{CommandBatch, codec};

/// A message that cannot be what one of our nodes wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct WireError {
    what: &'static str,
    cause: String,
}

impl WireError {
    pub(super) fn new(what: &'static str, cause: impl ToString) -> Self {
        Self { what, cause: cause.to_string() }
    }

    pub(super) fn missing(what: &'static str) -> Self {
        Self::new(what, "missing")
    }
}

/// Names the field in the error of a value's own check.
fn checked<T, E: ToString>(what: &'static str, value: Result<T, E>) -> Result<T, WireError> {
    value.map_err(|cause| WireError::new(what, cause))
}

pub(super) fn decode_batch(bytes: &Bytes) -> Result<CommandBatch, WireError> {
    checked("command batch", CommandBatch::decode(bytes.clone()))
}

pub(super) fn commands_from_wire(commands: Vec<wire::Command>) -> Result<Vec<Command>, WireError> {
    commands.iter().map(|command| checked("command", codec::command_from_proto(command))).collect()
}

pub(super) fn replies_from_wire(replies: &[wire::Reply]) -> Result<Vec<Reply>, WireError> {
    replies.iter().map(|reply| checked("reply", codec::reply_from_proto(reply))).collect()
}

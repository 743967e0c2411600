//! What a kind of fault is told beside when it fires and how long it lasts.

use serde::{Deserialize, Serialize};

use super::{CrashPoint, Limit, Packets, Span};

/// Each is of some kinds alone, and those need it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Of links that are slowed: each way, and up to half of it more.
    pub delay: Option<Span>,
    /// Of links that lose or change what they carry.
    pub packets: Option<Packets>,
    /// Of clocks: by how much they are wrong.
    pub offset: Option<Span>,
    /// Of processes that end at a step of their work: which.
    pub point: Option<CrashPoint>,
    /// Of processes that get less of the machine: how much.
    pub limit: Option<Limit>,
}

//! How a command ends: its exit code, what went wrong, and what to try next.

use std::fmt;

/// Documented in `cluster-config/README.md`; scripts depend on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    Failed = 1,
    Usage = 2,
    /// No server took a connection: nothing was sent.
    Unreachable = 3,
    RefusedForSafety = 5,
    /// It may have happened.
    OutcomeUnknown = 6,
    NotFound = 7,
    TimedOut = 8,
    Configuration = 9,
    Unhealthy = 10,
    /// Works, but one more loss stops it.
    OneLossFromStopping = 11,
    VerificationFailed = 12,
    /// A node stopped: reading, writing or syncing its disk failed.
    StorageIo = 20,
    /// A node stopped: what is on its disk is damaged.
    StorageCorrupt = 21,
    /// A node cannot use its data directory: locked, of another node, cluster or format.
    StorageUnusable = 22,
    /// A node stopped: consensus ended for another reason.
    ConsensusStopped = 23,
    /// A node ended: it was removed from its cluster.
    Removed = 24,
}

impl Code {
    /// All of them, for the table in the documentation.
    pub const ALL: [Self; 16] = [
        Self::Failed,
        Self::Usage,
        Self::Unreachable,
        Self::RefusedForSafety,
        Self::OutcomeUnknown,
        Self::NotFound,
        Self::TimedOut,
        Self::Configuration,
        Self::Unhealthy,
        Self::OneLossFromStopping,
        Self::VerificationFailed,
        Self::StorageIo,
        Self::StorageCorrupt,
        Self::StorageUnusable,
        Self::ConsensusStopped,
        Self::Removed,
    ];

    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// Printed on standard error, as two lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub code: Code,
    pub message: String,
    /// What to try next.
    pub next: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, message: message.into(), next: next.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n next: {}", self.message, self.next)
    }
}

impl std::error::Error for Failure {}

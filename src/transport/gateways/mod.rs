//! Payment gateways' notices over HTTP ([`http`]): who says that money came, and is it them?
//!
//! One file per gateway turns the raw bytes of a notice into a [`Notice`]: it proves the origin first and understands the rest
//! afterwards. What a payment means is the ledger's affair: a notice becomes the same `RecordPayment` that a gRPC call makes.
//!
//! Money is never dropped. A payment for an order that is none of ours is recorded all the same, under an id that no buyer can
//! have made ([`ForeignIds`]), and is a refund due. What we have no word for is not taken: the gateway sends it again, and
//! somebody has time to look.
//!
//! Not here: payouts.

mod answer;
mod connections;
mod fields;
pub mod http;
pub mod midtrans;
mod midtrans_status;
mod places;
pub mod xendit;

use std::fmt;

use crate::counters::Counter;
use crate::domain::{Command, OrderId, PaymentName};
use crate::transport::errors::Failure;

pub use fields::ForeignIds;

/// What a gateway told, once it was proved to be the gateway.
#[derive(Debug, Clone)]
pub struct Notice {
    pub about: About,
    pub told: Told,
    /// What its gateway can be asked by whether it is still so.
    pub charge: Option<midtrans::Charge>,
}

/// What a notice is about, in the names that the ledger has or would have for it: short, and never somebody's number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    pub payment: Option<PaymentName>,
    pub order: Option<OrderId>,
    /// The gateway's own id, where it is neither of those: what its dashboard finds the payment by.
    pub transaction: Option<uuid::Uuid>,
}

/// What a gateway told of it; texts are the gateway's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A `RecordPayment`.
    Paid(Command),
    /// It may yet be paid.
    NotYet,
    /// It is not paid. Whether it was before, the ledger knows.
    Ended(String),
    /// The gateway took money back from the merchant. The ledger has no command for it.
    Reversed(String),
    /// Something that we have no word for.
    Unknown(String),
}

/// Why a notice is not believed, or not understood.
#[derive(Debug, Clone)]
pub enum Rejected {
    Forged(&'static str),
    /// Whoever sent it.
    Malformed(Failure),
    /// The gateway sent it, and money may have come: somebody has to look.
    Unusable(Failure, Box<About>),
}

impl Rejected {
    /// Of a notice whose origin is proved.
    fn of_proved(self, about: About) -> Self {
        match self {
            Self::Malformed(failure) => Self::Unusable(failure, Box::new(about)),
            other => other,
        }
    }
}

fn malformed(field: &str, limit: impl fmt::Display) -> Rejected {
    Rejected::Malformed(Failure::invalid(field, limit))
}

/// What a gateway proves itself with. Compared in constant time: over digests, so that neither how much fits nor a length shows.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Never shown.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The equality of `blake3::Hash` takes the same time wherever two differ.
fn is_equal(given: &[u8], expected: &[u8]) -> bool {
    blake3::hash(given) == blake3::hash(expected)
}

/// The active secrets of each gateway; a gateway without one is not listened to. Two are active while one replaces the other.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// Server keys.
    pub midtrans: Vec<Secret>,
    /// Callback tokens.
    pub xendit: Vec<Secret>,
}

impl Secrets {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.midtrans.is_empty() && self.xendit.is_empty()
    }
}

/// Which gateways are listened to, and which are asked back.
#[derive(Debug, Clone, Default)]
pub struct Gateways {
    pub secrets: Secrets,
    /// `host:port` at which GET Status of Midtrans is asked before its money is recorded.
    pub midtrans_status: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Midtrans,
    Xendit,
}

impl Source {
    pub const ALL: [Self; 2] = [Self::Midtrans, Self::Xendit];

    /// In the path, and of the payments in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Midtrans => "midtrans",
            Self::Xendit => "xendit",
        }
    }
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Recorded,
    RefundDue,
    Replayed,
    Ignored,
    Reversed,
    Unknown,
    Forged,
    Malformed,
    Unusable,
    Oversized,
    Conflict,
    Unavailable,
}

impl Outcome {
    pub const ALL: [Self; 12] = [
        Self::Recorded,
        Self::RefundDue,
        Self::Replayed,
        Self::Ignored,
        Self::Reversed,
        Self::Unknown,
        Self::Forged,
        Self::Malformed,
        Self::Unusable,
        Self::Oversized,
        Self::Conflict,
        Self::Unavailable,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::RefundDue => "refund_due",
            Self::Replayed => "replayed",
            Self::Ignored => "ignored",
            Self::Reversed => "reversed",
            Self::Unknown => "unknown",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::Unusable => "unusable",
            Self::Oversized => "oversized",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Since the node started.
#[derive(Debug, Default)]
pub struct NoticeMetrics {
    /// By gateway and outcome.
    notices: [[Counter; Outcome::ALL.len()]; Source::ALL.len()],
    /// Connections for which there was no place: what they would have told, nobody read.
    pub turned_away: Counter,
    /// Connections that were closed for another one, because they had waited longest for their other end.
    pub made_room: Counter,
}

impl NoticeMetrics {
    #[must_use]
    pub fn of(&self, source: Source, outcome: Outcome) -> &Counter {
        &self.notices[source as usize][outcome as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        assert!(!format!("{:?}", Secrets { midtrans: vec![Secret::new("hush")], xendit: Vec::new() }).contains("hush"));
    }
}

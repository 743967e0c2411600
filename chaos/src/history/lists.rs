//! The lists that an auditor reads, page by page. `page_token` says nothing to anybody but the server; `after` and `as_of` are what
//! it stands for: the last record of the pages before, and the log index that they were all good for.

use super::record::{OrderId, PaymentName, Text};
use super::seen::OrderState;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderList {
    /// Any of these; none: all.
    pub states: Vec<OrderState>,
    /// `None`: of every account.
    pub account: Option<Text>,
    pub placed: Period,
    pub page_size: u32,
    pub page_token: Text,
    pub after: Option<OrderId>,
    pub as_of: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PaymentList {
    /// Any of these; none: all.
    pub states: Vec<PaymentState>,
    /// `None`: of every gateway.
    pub gateway: Option<Text>,
    pub recorded: Period,
    pub page_size: u32,
    pub page_token: Text,
    pub after: Option<PaymentName>,
    pub as_of: Option<u64>,
}

/// Ledger times from the first on and before the second; 0: no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    pub from_ms: i64,
    pub until_ms: i64,
}

impl Period {
    #[must_use]
    pub const fn holds(self, at_ms: i64) -> bool {
        self.from_ms <= at_ms && (self.until_ms == 0 || at_ms < self.until_ms)
    }
}

/// What became of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentState {
    /// It stands for issued stamps.
    Applied,
    /// Owed back, whole or in part.
    RefundDue,
    Refunded,
}

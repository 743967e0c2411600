//! What answers and scans show of the ledger, word for word.

use super::record::{OrderId, PaymentName, Place, SeriesCode, Text};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OrderState {
    AwaitingPayment,
    Issued,
    Cancelled,
    Expired,
    Voided,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OrderSeen {
    pub order: OrderId,
    pub account: Text,
    pub series: SeriesCode,
    pub quantity: u32,
    pub amount_idr: i64,
    pub state: OrderState,
    pub placed: Place,
    pub placed_at_ms: i64,
    pub expires_at_ms: i64,
    pub settled: Option<Place>,
    pub settled_at_ms: i64,
    pub serials: Option<SerialsSeen>,
    pub paid_by: Option<PaymentName>,
    /// 0 if it was never issued.
    pub issued_at_ms: i64,
    /// Stamps on documents: the first ones of `serials`.
    pub stamped: u32,
}

/// In the order of the protocol file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PaymentOutcome {
    Applied,
    OrderUnknown,
    OrderCancelled,
    OrderVoided,
    AlreadyPaid,
    WrongAmount,
    NoStock,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PaymentSeen {
    pub payment: PaymentName,
    pub order: OrderId,
    pub amount_idr: i64,
    pub outcome: PaymentOutcome,
    pub recorded: Place,
    pub recorded_at_ms: i64,
    /// Left out in a scan, which has refunds of their own.
    pub refund: Option<RefundSeen>,
}

/// Money owed back for one payment.
#[derive(Debug, Clone, PartialEq)]
pub struct RefundSeen {
    pub payment: PaymentName,
    pub order: OrderId,
    pub amount_idr: i64,
    pub reason: RefundReason,
    pub due: Place,
    pub due_at_ms: i64,
    /// `None`: it is due.
    pub settled: Option<SettlementSeen>,
}

/// As the payment's outcome says, or because its order was voided later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefundReason {
    OrderUnknown,
    OrderCancelled,
    OrderVoided,
    AlreadyPaid,
    WrongAmount,
    NoStock,
    /// The payment issued stamps, and they were voided.
    Void,
}

impl RefundReason {
    /// Of a payment that issued nothing; `None`: it issued.
    #[must_use]
    pub const fn of(outcome: PaymentOutcome) -> Option<Self> {
        match outcome {
            PaymentOutcome::Applied => None,
            PaymentOutcome::OrderUnknown => Some(Self::OrderUnknown),
            PaymentOutcome::OrderCancelled => Some(Self::OrderCancelled),
            PaymentOutcome::OrderVoided => Some(Self::OrderVoided),
            PaymentOutcome::AlreadyPaid => Some(Self::AlreadyPaid),
            PaymentOutcome::WrongAmount => Some(Self::WrongAmount),
            PaymentOutcome::NoStock => Some(Self::NoStock),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct SettlementSeen {
    pub reference: Text,
    pub place: Place,
    pub settled_at_ms: i64,
}

/// A stamp on a document, as a scan shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct StampingSeen {
    pub series: SeriesCode,
    pub number: u64,
    pub place: Place,
    pub stamped_at_ms: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct PolicySeen {
    pub version: u32,
    pub void_refund_percent: u32,
    pub void_window_ms: i64,
    /// `None` of version 0, which no one set.
    pub set: Option<Place>,
    pub set_at_ms: i64,
}

/// Serial numbers as an answer showed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialsSeen {
    pub series: SeriesCode,
    pub first_number: u64,
    pub quantity: u32,
    pub codes: CodesSeen,
}

/// The printed codes, folded: the judge makes the codes itself and compares the folds, so that ten thousand of them
/// cost no more than one. Make it with [`CodesSeen::of`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodesSeen {
    /// 0: the answer carried none.
    pub count: u32,
    /// First eight bytes of BLAKE3 over the codes, each followed by a line feed.
    pub fold: u64,
}

impl CodesSeen {
    pub fn of<'a>(codes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut codes = codes.into_iter().peekable();
        // Most answers show none, and a hasher is large.
        if codes.peek().is_none() {
            return Self::default();
        }
        let mut hasher = blake3::Hasher::new();
        let mut count = 0;
        for code in codes {
            hasher.update(code.as_bytes()).update(b"\n");
            count += 1;
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self { count, fold: u64::from_le_bytes(first) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerTotals {
    pub orders_awaiting_payment: u64,
    pub orders_issued: u64,
    pub orders_cancelled: u64,
    pub orders_expired: u64,
    pub serials_issued: u64,
    pub payments_applied: u64,
    pub payments_refund_due: u64,
    pub received_idr: i64,
    pub issued_value_idr: i64,
    pub refund_due_idr: i64,
    pub orders_voided: u64,
    pub serials_voided: u64,
    pub stampings: u64,
    pub refunds_due: u64,
    pub refunds_settled: u64,
    pub held_idr: i64,
    pub refunded_idr: i64,
    pub policy_version: u32,
}

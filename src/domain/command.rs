//! What may be asked of the ledger. Every command is idempotent by its natural id.

use super::names::{AccountId, DocumentDigest, OrderId, PaymentName, Quantity, Rupiah, SeriesCode, SettlementReference};
use super::policy::PolicyTerms;
use super::series::SeriesTerms;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    OpenSeries(SeriesTerms),
    PlaceOrder {
        order: OrderId,
        account: AccountId,
        series: SeriesCode,
        quantity: Quantity,
    },
    RecordPayment {
        payment: PaymentName,
        order: OrderId,
        amount: Rupiah,
    },
    CancelOrder {
        order: OrderId,
    },
    /// The whole order, before any of its stamps is used.
    VoidOrder {
        order: OrderId,
    },
    /// Puts the order's next unused stamp on a document.
    StampDocument {
        order: OrderId,
        document: DocumentDigest,
    },
    /// The refund of a payment was paid out.
    SettleRefund {
        payment: PaymentName,
        amount: Rupiah,
        reference: SettlementReference,
    },
    SetPolicy(PolicyTerms),
    /// Proposed by the leader, never by a client. At most `limit` orders, oldest expiry first: 1 to
    /// [`crate::limits::EXPIRE_ORDERS_MAX`], which the log holds it to.
    ExpireOrders {
        limit: u32,
    },
}

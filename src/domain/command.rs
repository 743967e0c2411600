//! What may be asked of the ledger. Every command is idempotent by its natural id.

use super::names::{AccountId, OrderId, PaymentName, Quantity, Rupiah, SeriesCode};
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
    /// Proposed by the leader, never by a client. At most `limit` orders, oldest expiry first: 1 to
    /// [`crate::limits::EXPIRE_ORDERS_MAX`], which the log holds it to.
    ExpireOrders {
        limit: u32,
    },
}

//! What the rules may look up, and two ways to hold it: [`MemoryLedger`], whole in memory, and [`Overlay`], the changes of a
//! batch over another view, so that commands of one batch see each other.
//!
//! Storage brings a third, on disk. What it must keep to is written at [`LedgerView`]; the parity test compares it with
//! [`MemoryLedger`].

mod memory;
mod overlay;

pub use memory::MemoryLedger;
pub use overlay::{Edit, Overlay};

use super::names::{DocumentDigest, LedgerTime, OrderId, PaymentName, Place, SeriesCode, StampNumber};
use super::order::Order;
use super::payment::Payment;
use super::policy::Policy;
use super::refund::Refund;
use super::series::Series;
use super::stamping::Stamping;
use super::totals::Totals;

/// A consistent state of the ledger. An error means that the state could not be read, never that a record is absent.
pub trait LedgerView {
    type Error;

    fn series(&self, code: SeriesCode) -> Result<Option<Series>, Self::Error>;
    fn order(&self, id: OrderId) -> Result<Option<Order>, Self::Error>;
    fn payment(&self, name: &PaymentName) -> Result<Option<Payment>, Self::Error>;
    /// What is or was owed back for a payment.
    fn refund(&self, payment: &PaymentName) -> Result<Option<Refund>, Self::Error>;
    /// The stamp of an order on a document.
    fn stamping(&self, order: OrderId, document: DocumentDigest) -> Result<Option<Stamping>, Self::Error>;
    /// By version, from 1: also those that are no longer in force.
    fn policy(&self, version: u32) -> Result<Option<Policy>, Self::Error>;
    fn totals(&self) -> Result<Totals, Self::Error>;
    /// Orders that wait for their payment and may expire at `until`, oldest expiry first (then by id), at most `limit`.
    fn expiring(&self, until: LedgerTime, limit: usize) -> Result<Vec<Order>, Self::Error>;
    /// The order that a stamp is issued to.
    fn holder(&self, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, Self::Error>;
    /// The document that a stamp is on.
    fn document(&self, series: SeriesCode, number: StampNumber) -> Result<Option<DocumentDigest>, Self::Error>;
    /// Refunds that are not settled and fell due after `after`, oldest first, at most `limit`.
    fn refunds_due(&self, after: Option<Place>, limit: usize) -> Result<Vec<Refund>, Self::Error>;
}

impl<V: LedgerView> LedgerView for &V {
    type Error = V::Error;

    fn series(&self, code: SeriesCode) -> Result<Option<Series>, Self::Error> {
        V::series(self, code)
    }

    fn order(&self, id: OrderId) -> Result<Option<Order>, Self::Error> {
        V::order(self, id)
    }

    fn payment(&self, name: &PaymentName) -> Result<Option<Payment>, Self::Error> {
        V::payment(self, name)
    }

    fn refund(&self, payment: &PaymentName) -> Result<Option<Refund>, Self::Error> {
        V::refund(self, payment)
    }

    fn stamping(&self, order: OrderId, document: DocumentDigest) -> Result<Option<Stamping>, Self::Error> {
        V::stamping(self, order, document)
    }

    fn policy(&self, version: u32) -> Result<Option<Policy>, Self::Error> {
        V::policy(self, version)
    }

    fn totals(&self) -> Result<Totals, Self::Error> {
        V::totals(self)
    }

    fn expiring(&self, until: LedgerTime, limit: usize) -> Result<Vec<Order>, Self::Error> {
        V::expiring(self, until, limit)
    }

    fn holder(&self, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, Self::Error> {
        V::holder(self, series, number)
    }

    fn document(&self, series: SeriesCode, number: StampNumber) -> Result<Option<DocumentDigest>, Self::Error> {
        V::document(self, series, number)
    }

    fn refunds_due(&self, after: Option<Place>, limit: usize) -> Result<Vec<Refund>, Self::Error> {
        V::refunds_due(self, after, limit)
    }
}

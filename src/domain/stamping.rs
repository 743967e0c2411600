//! A stamp that was put on a document (*pembubuhan*): the serial number and the document's digest belong to each other for ever.

use super::names::{DocumentDigest, LedgerTime, OrderId, Place, SeriesCode, StampNumber};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamping {
    /// Order and digest are what it is known by: the same document again gets the same stamp.
    pub order: OrderId,
    pub document: DocumentDigest,
    pub series: SeriesCode,
    pub number: StampNumber,
    pub place: Place,
    pub at: LedgerTime,
}

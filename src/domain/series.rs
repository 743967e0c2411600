//! A run of serial numbers of one face value. Numbers are issued in their order, each once.

use super::names::{LedgerTime, Place, Quantity, Rupiah, SeriesCode, StampNumber};

/// Names the key that a series' codes are made with, without telling it: two nodes with different keys would print
/// different codes for one stamp.
pub type KeyCheck = [u8; 8];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    pub code: SeriesCode,
    pub first_number: StampNumber,
    /// Stamps.
    pub capacity: u64,
    /// Of one stamp.
    pub face_value: Rupiah,
    /// How long an order waits for its payment, milliseconds.
    pub payment_window_ms: u64,
    pub key_check: KeyCheck,
    /// Stamps issued so far: the next number is `first_number + issued`.
    pub issued: u64,
    /// Stamps promised to orders that wait for their payment.
    pub reserved: u64,
    pub opened: Place,
}

impl Series {
    /// Stamps neither issued nor promised.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.capacity - self.issued - self.reserved
    }

    /// Promises free stamps to an order. The caller has seen that there are enough.
    pub(super) fn reserve(&mut self, quantity: Quantity) {
        self.reserved += u64::from(quantity.get());
    }

    /// Takes back the promise to an order: its stamps are free again.
    pub(super) fn release(&mut self, quantity: Quantity) {
        self.reserved -= u64::from(quantity.get());
    }

    /// Issues the next free stamps. The caller has seen that there are enough.
    pub(super) fn issue(&mut self, quantity: Quantity) -> SerialRange {
        let first =
            StampNumber::new(self.first_number.get() + self.issued).expect("a series is opened with room for its last number");
        self.issued += u64::from(quantity.get());
        SerialRange { series: self.code, first, quantity }
    }
}

/// Consecutive stamps of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SerialRange {
    pub series: SeriesCode,
    pub first: StampNumber,
    pub quantity: Quantity,
}

impl SerialRange {
    pub fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.first.get();
        first..first + u64::from(self.quantity.get())
    }

    #[must_use]
    pub fn contains(&self, series: SeriesCode, number: StampNumber) -> bool {
        let past_last = self.first.get() + u64::from(self.quantity.get());
        self.series == series && (self.first.get()..past_last).contains(&number.get())
    }
}

/// What the operator asked for; the body that a repeated `OpenSeries` is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesTerms {
    pub code: SeriesCode,
    pub first_number: StampNumber,
    pub capacity: u64,
    pub face_value: Rupiah,
    pub payment_window_ms: u64,
    pub key_check: KeyCheck,
}

impl SeriesTerms {
    /// When an order placed at `now` may expire.
    #[must_use]
    pub fn expiry(payment_window_ms: u64, now: LedgerTime) -> LedgerTime {
        LedgerTime(now.0.saturating_add(payment_window_ms))
    }
}

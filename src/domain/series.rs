//! A run of serial numbers of one face value. Numbers are issued in their order, each once.

use super::names::{InvalidValue, LedgerTime, Place, Quantity, Rupiah, SeriesCode, StampNumber, checked_range};
use crate::limits;

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
    /// Stamps of issued orders.
    pub issued: u64,
    /// Stamps of voided orders: given out once, and never again.
    pub voided: u64,
    /// Stamps promised to orders that wait for their payment.
    pub reserved: u64,
    pub opened: Place,
}

impl Series {
    /// A series as it is when it is new: nothing issued, nothing reserved.
    #[must_use]
    pub const fn opened(terms: &SeriesTerms, opened: Place) -> Self {
        let SeriesTerms { code, first_number, capacity, face_value, payment_window_ms, key_check } = *terms;
        Self {
            code,
            first_number,
            capacity,
            face_value,
            payment_window_ms,
            key_check,
            issued: 0,
            voided: 0,
            reserved: 0,
            opened,
        }
    }

    /// When an order placed at `now` may expire.
    #[must_use]
    pub const fn expiry(&self, now: LedgerTime) -> LedgerTime {
        LedgerTime(now.0.saturating_add(self.payment_window_ms))
    }

    /// Stamps given out so far, those that are void by now among them: the next number is `first_number` and so many.
    #[must_use]
    pub const fn given_out(&self) -> u64 {
        self.issued + self.voided
    }

    /// Stamps neither given out nor promised.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.capacity - self.given_out() - self.reserved
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
            StampNumber::new(self.first_number.get() + self.given_out()).expect("SeriesTerms leave room for the last number");
        self.issued += u64::from(quantity.get());
        SerialRange { series: self.code, first, quantity }
    }

    /// The stamps of an order are void. They are not free again: their numbers were seen.
    pub(super) fn void(&mut self, quantity: Quantity) {
        self.issued -= u64::from(quantity.get());
        self.voided += u64::from(quantity.get());
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

/// What the operator asked for; the body that a repeated `OpenSeries` is compared with. Its last number fits in a printed code,
/// so that no issue can run out of numbers before it runs out of stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesTerms {
    code: SeriesCode,
    first_number: StampNumber,
    capacity: u64,
    face_value: Rupiah,
    payment_window_ms: u64,
    key_check: KeyCheck,
}

/// A term that breaks its limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {limit}")]
pub struct InvalidTerm {
    /// As in the messages of the operators' API and of the log.
    pub field: &'static str,
    pub limit: InvalidValue,
}

impl SeriesTerms {
    /// The one way in, for operators and for the log. The face value is of one stamp, in rupiah; whole rupiah and milliseconds
    /// are signed on the wire and unsigned in the log.
    ///
    /// # Errors
    /// Names the first term, in the order of the arguments, that breaks its limit.
    pub fn new(
        code: SeriesCode,
        first_number: StampNumber,
        capacity: u64,
        face_value_idr: impl Into<i128>,
        payment_window_ms: impl Into<i128>,
        key_check: KeyCheck,
    ) -> Result<Self, InvalidTerm> {
        let within = |field, got, min, max| checked_range(got, min, max).map_err(|limit| InvalidTerm { field, limit });
        let capacity = within("capacity", capacity.into(), 1, limits::SERIES_CAPACITY_MAX)?;
        // The last number is first + capacity - 1: without the 1 here the highest number could never be issued.
        let room = limits::STAMP_NUMBER_MAX - first_number.get() + 1;
        within("capacity", capacity.into(), 1, room)?;
        let face_value = within("face_value_idr", face_value_idr.into(), 1, limits::FACE_VALUE_IDR_MAX)?;
        let (min, max) = (limits::PAYMENT_WINDOW_MS_MIN, limits::PAYMENT_WINDOW_MS_MAX);
        let payment_window_ms = within("payment_window_ms", payment_window_ms.into(), min, max)?;
        Ok(Self { code, first_number, capacity, face_value: Rupiah::from_idr(face_value), payment_window_ms, key_check })
    }

    #[must_use]
    pub const fn code(&self) -> SeriesCode {
        self.code
    }

    #[must_use]
    pub const fn first_number(&self) -> StampNumber {
        self.first_number
    }

    /// Stamps.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Of one stamp.
    #[must_use]
    pub const fn face_value(&self) -> Rupiah {
        self.face_value
    }

    #[must_use]
    pub const fn payment_window_ms(&self) -> u64 {
        self.payment_window_ms
    }

    #[must_use]
    pub const fn key_check(&self) -> KeyCheck {
        self.key_check
    }
}

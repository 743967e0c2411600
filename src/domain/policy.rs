//! What a voluntary void gives back, and until when it may be asked for. One policy is in force at a time, for all series; the
//! older ones stay, so that a repeated [`SetPolicy`](super::Command::SetPolicy) has its answer.

use super::names::{InvalidValue, LedgerTime, Percent, Place, Rupiah, checked_range};
use crate::limits;

/// What the operator asks for; the body that a repeated `SetPolicy` is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyTerms {
    version: u32,
    void_refund_percent: Percent,
    void_window_ms: u64,
}

/// A term that breaks its limit, by its name in the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {limit}")]
pub struct InvalidPolicy {
    pub field: &'static str,
    pub limit: InvalidValue,
}

impl PolicyTerms {
    /// In force until the first `SetPolicy`: the rules that were published for 2024 (75 % back, asked for within 3 days). It
    /// counts as version 0.
    pub const INITIAL: Self = Self {
        version: 0,
        void_refund_percent: Percent::of_a_constant(limits::VOID_REFUND_PERCENT_DEFAULT),
        void_window_ms: limits::VOID_WINDOW_MS_DEFAULT,
    };

    /// The one way in, for operators and for the log. Milliseconds are signed on the wire and unsigned in the log.
    ///
    /// # Errors
    /// Names the first term, in the order of the arguments, that breaks its limit.
    pub fn new(version: u32, void_refund_percent: u32, void_window_ms: impl Into<i128>) -> Result<Self, InvalidPolicy> {
        let named = |field| move |limit| InvalidPolicy { field, limit };
        checked_range(version.into(), 1, u32::MAX.into()).map_err(named("version"))?;
        let void_refund_percent = Percent::new(void_refund_percent).map_err(named("void_refund_percent"))?;
        let (min, max) = (limits::VOID_WINDOW_MS_MIN, limits::VOID_WINDOW_MS_MAX);
        let void_window_ms = checked_range(void_window_ms.into(), min, max).map_err(named("void_window_ms"))?;
        Ok(Self { version, void_refund_percent, void_window_ms })
    }

    /// 1, 2, 3 and so on without a gap; 0 of [`Self::INITIAL`].
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    #[must_use]
    pub const fn void_refund_percent(&self) -> Percent {
        self.void_refund_percent
    }

    /// How long after its issue an order may be voided, milliseconds.
    #[must_use]
    pub const fn void_window_ms(&self) -> u64 {
        self.void_window_ms
    }

    /// An order that was issued at `issued_at` may be voided at `now`. The last moment of the window is within it: "within
    /// 3 days" has not passed before more than 3 days have.
    #[must_use]
    pub const fn allows_void(&self, issued_at: LedgerTime, now: LedgerTime) -> bool {
        now.0 <= issued_at.0.saturating_add(self.void_window_ms)
    }

    /// What a void gives back of what was paid. A fraction of a rupiah is rounded up, in favour of the buyer: at least Rp1.
    #[must_use]
    pub fn refund_of(&self, paid: Rupiah) -> Rupiah {
        paid.percent_rounded_up(self.void_refund_percent)
    }
}

/// Terms that were set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    pub terms: PolicyTerms,
    pub set: Place,
    pub set_at: LedgerTime,
}

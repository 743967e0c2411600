//! A payment is recorded once and never changes: its outcome is the answer to every retry. (What becomes of a refund due is a
//! record of its own.)

use super::Violation;
use crate::domain::payment::Payment;

/// Judges one payment between two states of the ledger, however far apart.
///
/// # Errors
/// The payment vanished or was rewritten.
pub fn payment_never_changed(before: Option<&Payment>, after: Option<&Payment>) -> Result<(), Violation> {
    let Some(before) = before else { return Ok(()) };
    let changed = match after {
        Some(after) if after == before => return Ok(()),
        Some(_) => "was rewritten",
        None => "vanished",
    };
    Err(Violation::PaymentChanged { payment: before.name.clone(), changed })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{clean, payment};
    use super::*;
    use crate::domain::PaymentOutcome;

    #[test]
    fn a_payment_that_is_new_or_as_before_has_not_changed() {
        let ledger = clean();
        let recorded = ledger.peek_payment(&payment("p1"));
        assert!(recorded.is_some());
        for (before, after) in [(None, None), (None, recorded), (recorded, recorded)] {
            assert_eq!(payment_never_changed(before, after), Ok(()));
        }
    }

    #[test]
    fn a_payment_that_vanishes_or_is_rewritten_is_named() {
        let ledger = clean();
        let recorded = ledger.peek_payment(&payment("p4"));
        let changed = |changed| Err(Violation::PaymentChanged { payment: payment("p4"), changed });
        assert_eq!(payment_never_changed(recorded, None), changed("vanished"));
        // A refund due that turns into another: no sum would tell.
        let rewritten = Payment { outcome: PaymentOutcome::NoStock, ..recorded.expect("in the fixture").clone() };
        assert_eq!(payment_never_changed(recorded, Some(&rewritten)), changed("was rewritten"));
    }
}

//! `AwaitingPayment → Issued | Cancelled | Expired`, `Expired → Issued`, `Issued → Voided`; what was ordered and what was issued never
//! change, no stamp that is used becomes unused, no order vanishes.

use super::Violation;
use crate::domain::order::{Order, OrderState};

/// Judges one order between two states of the ledger, however far apart.
///
/// # Errors
/// The order went another way.
pub fn order_moved_along_arrows(before: Option<&Order>, after: Option<&Order>) -> Result<(), Violation> {
    let strayed = match (before, after) {
        (None, None) => return Ok(()),
        (None, Some(after)) if after.is_awaiting_payment() => return Ok(()),
        (None, Some(after)) => (after.id, "was not placed to wait for its payment"),
        (Some(before), None) => (before.id, "vanished"),
        (Some(before), Some(after)) if !same_body(before, after) => (before.id, "was rewritten"),
        (Some(before), Some(after)) if before.state == after.state || leads_to(&before.state, &after.state) => return Ok(()),
        (Some(before), Some(_)) => (before.id, "moved where no arrow leads"),
    };
    Err(Violation::OrderStrayed { order: strayed.0, strayed: strayed.1 })
}

/// Along one arrow or several.
fn leads_to(before: &OrderState, after: &OrderState) -> bool {
    use OrderState::{AwaitingPayment, Cancelled, Expired, Issued, Voided};
    match (before, after) {
        (AwaitingPayment, _) | (Expired { .. }, Issued { .. } | Voided { .. }) => true,
        (Issued { issue, stamped }, Issued { issue: same, stamped: now }) => issue == same && stamped < now,
        (Issued { issue, stamped: 0 }, Voided { issue: same, .. }) => issue == same,
        (Issued { .. } | Cancelled { .. } | Expired { .. } | Voided { .. }, _) => false,
    }
}

fn same_body(before: &Order, after: &Order) -> bool {
    *before == Order { state: before.state.clone(), ..after.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{AWAITING, ISSUED, clean};
    use super::*;
    use crate::domain::{LedgerTime, Place, Quantity};

    fn strayed(before: Option<&Order>, after: Option<&Order>) -> bool {
        matches!(order_moved_along_arrows(before, after), Err(Violation::OrderStrayed { .. }))
    }

    #[test]
    fn only_along_drawn_arrows_a_state_is_reached() {
        let ledger = clean();
        let body = ledger.peek_order(AWAITING).expect("in the fixture");
        let issued = ledger.peek_order(ISSUED).expect("in the fixture").state.clone();
        let (place, at) = (Place { log_index: 90, offset: 0 }, LedgerTime(9_000));
        let OrderState::Issued { issue, .. } = issued.clone() else { panic!("issued in the fixture") };
        let states = [
            OrderState::AwaitingPayment,
            issued,
            OrderState::Cancelled { place, at },
            OrderState::Expired { place, at },
            OrderState::Voided { issue: issue.clone(), place, at },
            OrderState::Issued { issue, stamped: 1 },
        ];
        // Rows: from; columns: to, by any number of arrows; in the order of `states`. A state may stay.
        let drawn = [
            [1, 1, 1, 1, 1, 1],
            [0, 1, 0, 0, 1, 1],
            [0, 0, 1, 0, 0, 0],
            [0, 1, 0, 1, 1, 1],
            [0, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 0, 1],
        ];
        for (from, row) in states.iter().zip(drawn) {
            for (to, allowed) in states.iter().zip(row) {
                let before = Order { state: from.clone(), ..body.clone() };
                let after = Order { state: to.clone(), ..body.clone() };
                assert_eq!(strayed(Some(&before), Some(&after)), allowed == 0, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn an_order_that_vanishes_is_born_issued_or_is_rewritten_has_strayed() {
        let ledger = clean();
        let (awaiting, issued) = (ledger.peek_order(AWAITING), ledger.peek_order(ISSUED));
        assert!(!strayed(None, awaiting) && !strayed(None, None));
        assert!(strayed(awaiting, None));
        assert!(strayed(None, issued));
        let rewritten = Order { quantity: Quantity::new(9).expect("valid"), ..awaiting.expect("in the fixture").clone() };
        assert!(strayed(awaiting, Some(&rewritten)));
    }
}

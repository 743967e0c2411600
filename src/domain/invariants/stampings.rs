//! A stamp is on one document at most, for ever; it is one of its order's; and the order's count says how many are.

use std::collections::BTreeMap;

use super::Violation;
use crate::domain::ledger::MemoryLedger;
use crate::domain::names::OrderId;
use crate::domain::order::OrderState;
use crate::domain::stamping::Stamping;

#[must_use]
pub fn a_document_has_one_stamp(ledger: &MemoryLedger) -> Vec<Violation> {
    let misplaced = |stamping: &Stamping, conflict| Violation::StampMisplaced {
        order: stamping.order,
        document: stamping.document,
        conflict,
    };
    let mut found = Vec::new();
    let mut used: BTreeMap<_, &Stamping> = BTreeMap::new();
    let mut counted: BTreeMap<OrderId, u32> = BTreeMap::new();
    for stamping in ledger.all_stampings() {
        *counted.entry(stamping.order).or_default() += 1;
        if used.insert((stamping.series, stamping.number), stamping).is_some() {
            found.push(misplaced(stamping, "is on another document too"));
        }
        let order = ledger.peek_order(stamping.order);
        let is_its_own = |order: &crate::domain::Order| {
            let OrderState::Issued { issue, stamped } = &order.state else { return false };
            // The used ones are the first of the range: the end is exclusive, because `stamped` counts.
            let used = issue.first.get()..issue.first.get() + u64::from((*stamped).min(order.quantity.get()));
            order.series == stamping.series && used.contains(&stamping.number.get())
        };
        if !order.is_some_and(is_its_own) {
            found.push(misplaced(stamping, "is none of the order's used stamps"));
        }
    }
    for order in ledger.all_orders() {
        let (kept, counted) = (order.stamped(), counted.remove(&order.id).unwrap_or(0));
        if kept != counted {
            let (kept, counted) = (u64::from(kept), u64::from(counted));
            found.push(Violation::StockUnaccounted { series: order.series, what: "stamped", kept, counted });
        }
    }
    found
}

/// Judges one stamping between two states of the ledger, however far apart.
///
/// # Errors
/// It vanished or was rewritten.
pub fn stamping_never_changed(before: Option<&Stamping>, after: Option<&Stamping>) -> Result<(), Violation> {
    let Some(before) = before else { return Ok(()) };
    let changed = match after {
        Some(after) if after == before => return Ok(()),
        Some(_) => "was rewritten",
        None => "vanished",
    };
    Err(Violation::StampingChanged { order: before.order, document: before.document, changed })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ALSO_ISSUED, DOCUMENT, ISSUED, clean, series};
    use super::*;
    use crate::domain::{Change, DocumentDigest, LedgerView, StampNumber};

    fn stamping() -> Stamping {
        let Ok(found) = clean().stamping(ALSO_ISSUED, DOCUMENT);
        found.expect("in the fixture")
    }

    fn with(stamping: Stamping) -> Vec<Violation> {
        let mut ledger = clean();
        ledger.absorb(Change::Stamping(stamping));
        a_document_has_one_stamp(&ledger)
    }

    #[test]
    fn stamps_of_a_clean_ledger_are_on_one_document_each() {
        assert_eq!(a_document_has_one_stamp(&clean()), []);
    }

    #[test]
    fn a_stamp_on_two_documents_is_named() {
        let document = DocumentDigest::from_bytes([9; 32]);
        let twice = Violation::StampMisplaced { order: ALSO_ISSUED, document, conflict: "is on another document too" };
        let count = Violation::StockUnaccounted { series: series(), what: "stamped", kept: 1, counted: 2 };
        assert_eq!(with(Stamping { document, ..stamping() }), [twice, count]);
    }

    #[test]
    fn a_stamp_that_is_not_the_orders_or_beyond_its_used_ones_is_named() {
        let conflict = "is none of the order's used stamps";
        let beyond = StampNumber::new(stamping().number.get() + 1).expect("valid");
        let found = with(Stamping { number: beyond, ..stamping() });
        assert_eq!(found, [Violation::StampMisplaced { order: ALSO_ISSUED, document: DOCUMENT, conflict }]);
        let found =
            with(Stamping { order: ISSUED, document: DocumentDigest::from_bytes([9; 32]), number: beyond, ..stamping() });
        assert!(
            matches!(found[..], [Violation::StampMisplaced { order: ISSUED, .. }, Violation::StockUnaccounted { .. }]),
            "{found:?}"
        );
    }

    #[test]
    fn a_stamping_that_vanishes_or_is_rewritten_is_named() {
        let (there, other) = (stamping(), Stamping { number: StampNumber::new(1).expect("valid"), ..stamping() });
        for (before, after) in [(None, None), (None, Some(&there)), (Some(&there), Some(&there))] {
            assert_eq!(stamping_never_changed(before, after), Ok(()));
        }
        let changed = |changed| Err(Violation::StampingChanged { order: ALSO_ISSUED, document: DOCUMENT, changed });
        assert_eq!(stamping_never_changed(Some(&there), None), changed("vanished"));
        assert_eq!(stamping_never_changed(Some(&there), Some(&other)), changed("was rewritten"));
    }
}

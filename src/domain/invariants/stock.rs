//! capacity = issued + voided + reserved + free: what a series says of itself is what its orders say.

use std::collections::BTreeMap;

use super::Violation;
use crate::domain::ledger::MemoryLedger;
use crate::domain::names::SeriesCode;
use crate::domain::order::OrderState;

#[must_use]
pub fn stock_adds_up(ledger: &MemoryLedger) -> Vec<Violation> {
    let mut counted: BTreeMap<SeriesCode, (u64, u64, u64)> = BTreeMap::new();
    for order in ledger.all_orders() {
        let (issued, voided, reserved) = counted.entry(order.series).or_default();
        match order.state {
            OrderState::Issued { .. } => *issued += u64::from(order.quantity.get()),
            OrderState::Voided { .. } => *voided += u64::from(order.quantity.get()),
            OrderState::AwaitingPayment => *reserved += u64::from(order.quantity.get()),
            OrderState::Cancelled { .. } | OrderState::Expired { .. } => {}
        }
    }
    let mut found = Vec::new();
    for series in ledger.all_series() {
        let (issued, voided, reserved) = counted.remove(&series.code).unwrap_or_default();
        let mut compare = |what, kept, counted| {
            if kept != counted {
                found.push(Violation::StockUnaccounted { series: series.code, what, kept, counted });
            }
        };
        compare("issued", series.issued, issued);
        compare("voided", series.voided, voided);
        compare("reserved", series.reserved, reserved);
        // More promised than there is: stamps are missing from the stock.
        compare("capacity", series.capacity, series.capacity.max(issued + voided + reserved));
    }
    // Orders of series that do not exist.
    for (series, (issued, voided, reserved)) in counted {
        let counted = issued + voided + reserved;
        found.push(Violation::StockUnaccounted { series, what: "capacity", kept: 0, counted });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{clean, series};
    use super::*;
    use crate::domain::{Change, Series};

    fn damaged(damage: impl FnOnce(&mut Series)) -> Vec<Violation> {
        let mut ledger = clean();
        let mut record = ledger.peek_series(series()).expect("in the fixture").clone();
        damage(&mut record);
        ledger.absorb(Change::Series(record));
        stock_adds_up(&ledger)
    }

    fn unaccounted(what: &'static str, kept: u64, counted: u64) -> Violation {
        Violation::StockUnaccounted { series: series(), what, kept, counted }
    }

    #[test]
    fn the_counters_of_a_series_are_its_orders() {
        assert_eq!(stock_adds_up(&clean()), []);
    }

    #[test]
    fn a_forgotten_issue_is_named() {
        assert_eq!(damaged(|series| series.issued = 3), [unaccounted("issued", 3, 6)]);
    }

    #[test]
    fn a_leaked_reservation_is_named() {
        assert_eq!(damaged(|series| series.reserved = 4), [unaccounted("reserved", 4, 3)]);
    }

    #[test]
    fn a_void_whose_stamps_are_sold_again_is_named() {
        assert_eq!(damaged(|series| series.voided = 0), [unaccounted("voided", 0, 3)]);
    }

    #[test]
    fn more_promises_than_stamps_are_named() {
        assert_eq!(damaged(|series| series.capacity = 11), [unaccounted("capacity", 11, 12)]);
    }
}

//! A serial number belongs to at most one order, for ever, and comes from the run that its series opened.

use super::Violation;
use crate::domain::ledger::MemoryLedger;
use crate::domain::names::{OrderId, SeriesCode};

/// Names the first stamp of each range that begins within an earlier one.
#[must_use]
pub fn no_serial_twice(ledger: &MemoryLedger) -> Vec<Violation> {
    let mut issued: Vec<_> = ledger.all_orders().filter_map(|order| order.serials().map(|range| (range, order.id))).collect();
    issued.sort_unstable();
    let mut found = Vec::new();
    // The range so far that reaches furthest: an overlap need not be with the direct neighbour.
    let mut furthest: Option<(SeriesCode, u64, OrderId)> = None;
    for (range, order) in issued {
        let first = range.first.get();
        let past_last = first + u64::from(range.quantity.get());
        let held = furthest.filter(|(series, ..)| *series == range.series);
        if let Some((series, reach, holder)) = held
            && first < reach
        {
            found.push(Violation::DuplicateSerial { series, number: first, first: holder, second: order });
        }
        if held.is_none_or(|(_, reach, _)| reach < past_last) {
            furthest = Some((range.series, past_last, order));
        }
    }
    found
}

/// Every stamp lies in `first_number .. first_number + issued + voided`. With no stamp twice and as many stamps as the series says
/// ([`super::stock_adds_up`]), this run has no gap.
#[must_use]
pub fn serials_within_their_series(ledger: &MemoryLedger) -> Vec<Violation> {
    let outside = ledger.all_orders().filter(|order| {
        let Some(range) = order.serials() else { return false };
        let Some(series) = ledger.peek_series(range.series) else { return true };
        let run = series.first_number.get()..series.first_number.get() + series.issued + series.voided;
        let past_last = range.first.get() + u64::from(range.quantity.get());
        range.first.get() < run.start || past_last > run.end
    });
    outside.map(|order| Violation::SerialOutsideRange { order: order.id }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ALSO_ISSUED, AWAITING, ISSUED, VOIDED, clean, series};
    use super::*;
    use crate::domain::{OrderState, Quantity, StampNumber};

    fn with_first(at: u64) -> MemoryLedger {
        let mut ledger = clean();
        ledger.damage_order(ALSO_ISSUED, |order| {
            let OrderState::Issued { issue, .. } = &mut order.state else { panic!("issued in the fixture") };
            issue.first = StampNumber::new(at).expect("valid");
        });
        ledger
    }

    #[test]
    fn neighbouring_ranges_share_no_serial() {
        assert_eq!(no_serial_twice(&clean()), []);
        assert_eq!(serials_within_their_series(&clean()), []);
    }

    #[test]
    fn ranges_that_share_one_serial_are_named() {
        let duplicate = Violation::DuplicateSerial { series: series(), number: 102, first: ISSUED, second: ALSO_ISSUED };
        assert_eq!(no_serial_twice(&with_first(102)), [duplicate]);
    }

    #[test]
    fn an_overlap_with_a_range_that_is_no_neighbour_is_named() {
        // In the order of their first stamps: 100..110, 103..106, 106..109, 107..110. The first shares with each of the others.
        let mut ledger = with_first(103);
        ledger.damage_order(ISSUED, |order| order.quantity = Quantity::new(10).expect("valid"));
        let issued = ledger.peek_order(ISSUED).expect("in the fixture").state.clone();
        ledger.damage_order(AWAITING, |order| order.state = issued);
        ledger.damage_order(AWAITING, |order| {
            let OrderState::Issued { issue, .. } = &mut order.state else { panic!("issued above") };
            issue.first = StampNumber::new(107).expect("valid");
        });
        let shared = |number, second| Violation::DuplicateSerial { series: series(), number, first: ISSUED, second };
        assert_eq!(no_serial_twice(&ledger), [shared(103, ALSO_ISSUED), shared(106, VOIDED), shared(107, AWAITING)]);
    }

    #[test]
    fn serials_before_and_after_the_issued_run_are_named() {
        for first in [99, 107] {
            let outside = Violation::SerialOutsideRange { order: ALSO_ISSUED };
            assert_eq!(serials_within_their_series(&with_first(first)), [outside]);
        }
    }
}

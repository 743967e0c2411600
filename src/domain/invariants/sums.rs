//! What the sums that the ledger keeps show by themselves, without its records: cheap enough to be asked of a node that runs, again
//! and again. The other predicates need every record.

use crate::domain::series::Series;
use crate::domain::totals::Totals;

/// Sums that cannot all be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// received = issued value + held + refund due + refunded.
    Money,
    /// Every payment that was applied issued one order, and no other did.
    IssuedWithoutPayment,
    /// Stamps of the series are those of the orders, and no series gave out or promised more than it has.
    Stock,
}

impl Contradiction {
    pub const ALL: [Self; 3] = [Self::Money, Self::IssuedWithoutPayment, Self::Stock];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Money => "money",
            Self::IssuedWithoutPayment => "issued_without_payment",
            Self::Stock => "stock",
        }
    }

    fn is_in(self, totals: &Totals, series: &[Series]) -> bool {
        match self {
            Self::Money => {
                let received = totals.received.as_idr();
                let parts = [totals.issued_value(), totals.held, totals.refund_due(), totals.refunded];
                let sum: u128 = parts.iter().map(|part| u128::from(part.as_idr())).sum();
                // A sum without room for more stays at its highest value: it says nothing any more.
                received != u64::MAX && sum != u128::from(received)
            }
            Self::IssuedWithoutPayment => totals.payments.applied != totals.orders_issued + totals.orders_voided,
            Self::Stock => {
                let sum = |of: fn(&Series) -> u64| series.iter().map(|series| u128::from(of(series))).sum::<u128>();
                let is_over = |series: &Series| {
                    let promised = [series.issued, series.voided, series.reserved].map(u128::from).iter().sum::<u128>();
                    promised > u128::from(series.capacity)
                };
                sum(|series| series.issued) != u128::from(totals.serials_issued)
                    || sum(|series| series.voided) != u128::from(totals.serials_voided)
                    || series.iter().any(is_over)
            }
        }
    }
}

/// `series`: all of them, as of the same state as `totals`.
#[must_use]
pub fn contradictions(totals: &Totals, series: &[Series]) -> Vec<Contradiction> {
    Contradiction::ALL.into_iter().filter(|one| one.is_in(totals, series)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::clean;
    use super::*;
    use crate::domain::Rupiah;
    use crate::domain::ledger::LedgerView;

    fn kept() -> (Totals, Vec<Series>) {
        let ledger = clean();
        let Ok(totals) = ledger.totals();
        (totals, ledger.all_series().cloned().collect())
    }

    #[test]
    fn the_sums_of_a_clean_ledger_agree() {
        let (totals, series) = kept();
        assert_eq!(contradictions(&totals, &series), []);
        assert_eq!(contradictions(&Totals::default(), &[]), []);
    }

    #[test]
    fn money_that_is_nowhere_is_found_unless_it_was_too_much_to_count() {
        let (mut totals, series) = kept();
        totals.received = totals.received.plus(Rupiah::from_idr(1));
        assert_eq!(contradictions(&totals, &series), [Contradiction::Money]);
        totals.received = Rupiah::from_idr(u64::MAX);
        assert_eq!(contradictions(&totals, &series), []);
    }

    #[test]
    fn a_payment_that_issued_nothing_is_found() {
        let (mut totals, series) = kept();
        totals.payments.applied += 1;
        assert_eq!(contradictions(&totals, &series), [Contradiction::IssuedWithoutPayment]);
    }

    #[test]
    fn stamps_that_no_order_has_and_stamps_that_no_series_has_are_found() {
        let (totals, series) = kept();
        let mut more = series.clone();
        more[0].issued += 1;
        assert_eq!(contradictions(&totals, &more), [Contradiction::Stock]);
        let mut promised = series;
        promised[0].reserved = promised[0].capacity + 1;
        assert_eq!(contradictions(&totals, &promised), [Contradiction::Stock]);
    }
}

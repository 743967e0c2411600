//! Whether a condition has become true.

use crate::proto::admin::GetStatusResponse;
use crate::scenario::State;

/// Once it has fired, a measure with an `again_below` must be seen below that before it is true again; so that a measure that hovers
/// about its bound is one event. Without one, it is true for as long as its state lasts.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    state: &'a State,
    is_armed: bool,
}

impl<'a> Condition<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state, is_armed: true }
    }

    /// `leader`: what it says of itself now.
    pub(super) fn is_true(&mut self, leader: &GetStatusResponse) -> bool {
        let bounds = || self.state.0.iter().map(|(measure, threshold)| (measure.of(leader), threshold));
        self.is_armed |= bounds().any(|(value, threshold)| threshold.again_below.is_some_and(|below| value < below));
        self.is_armed && bounds().all(|(value, threshold)| value >= threshold.at_least)
    }

    /// Its faults are on their way.
    pub(super) fn fire(&mut self) {
        self.is_armed = self.state.0.values().all(|threshold| threshold.again_below.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::Totals;
    use crate::scenario::{Measure, Threshold};

    fn leader(orders_awaiting_payment: u64, refunds_due: u64) -> GetStatusResponse {
        let totals = Totals { orders_awaiting_payment, refunds_due, ..Totals::default() };
        GetStatusResponse { totals: Some(totals), ..GetStatusResponse::default() }
    }

    fn state(bounds: &[(Measure, u64, Option<u64>)]) -> State {
        let threshold = |(measure, at_least, again_below): &(Measure, u64, Option<u64>)| {
            (*measure, Threshold { at_least: *at_least, again_below: *again_below })
        };
        State(bounds.iter().map(threshold).collect())
    }

    /// What each look says, when all fire that may.
    fn fires<const N: usize>(state: &State, seen: [(u64, u64); N]) -> [bool; N] {
        let mut condition = Condition::new(state);
        seen.map(|(orders, refunds)| {
            let is_true = condition.is_true(&leader(orders, refunds));
            if is_true {
                condition.fire();
            }
            is_true
        })
    }

    #[test]
    fn a_condition_is_true_while_its_state_lasts() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, None)]);
        let seen = [49, 50, 80, 50, 49, 50].map(|orders| (orders, 0));
        assert_eq!(fires(&state, seen), [false, true, true, true, false, true]);
    }

    #[test]
    fn a_measure_that_hovers_about_its_bound_fires_once_until_it_was_below_the_other() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, Some(30))]);
        let seen = [50, 49, 50, 30, 50, 29, 49, 50].map(|orders| (orders, 0));
        assert_eq!(fires(&state, seen), [true, false, false, false, false, false, false, true]);
    }

    #[test]
    fn all_of_a_state_must_be_true_at_once_and_any_of_it_may_go() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, Some(50)), (Measure::RefundsDue, 2, Some(2))]);
        let seen = [(60, 1), (40, 5), (50, 2), (50, 2), (50, 1), (50, 2)];
        assert_eq!(fires(&state, seen), [false, false, true, false, false, true]);
    }

    #[test]
    fn a_condition_that_may_not_fire_yet_stays_true() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, None)]);
        let mut condition = Condition::new(&state);
        assert!([50, 60, 50].into_iter().all(|orders| condition.is_true(&leader(orders, 0))));
    }
}

//! Whether a condition has become true.

use crate::proto::admin::GetStatusResponse;
use crate::scenario::State;

/// Fires on the edge: once it was true, its state must be seen to have gone before it can become true again.
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
        let is_gone = bounds().any(|(value, threshold)| value < threshold.again_below.unwrap_or(threshold.at_least));
        let is_there = bounds().all(|(value, threshold)| value >= threshold.at_least);
        self.is_armed |= is_gone;
        self.is_armed && is_there
    }

    /// Its faults are on their way.
    pub(super) fn fire(&mut self) {
        self.is_armed = false;
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
    fn a_condition_becomes_true_on_the_edge_and_again_only_after_it_was_false() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, None)]);
        let seen = [49, 50, 80, 50, 49, 50, 60].map(|orders| (orders, 0));
        assert_eq!(fires(&state, seen), [false, true, false, false, false, true, false]);
    }

    #[test]
    fn a_measure_that_hovers_about_its_bound_does_not_fire_again() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, Some(30))]);
        let seen = [50, 49, 50, 30, 50, 29, 49, 50].map(|orders| (orders, 0));
        assert_eq!(fires(&state, seen), [true, false, false, false, false, false, false, true]);
    }

    #[test]
    fn all_of_a_state_must_be_true_at_once_and_any_of_it_may_go() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, None), (Measure::RefundsDue, 2, None)]);
        let seen = [(60, 1), (40, 5), (50, 2), (50, 1), (50, 2)];
        assert_eq!(fires(&state, seen), [false, false, true, false, true]);
    }

    #[test]
    fn a_condition_that_may_not_fire_yet_stays_true() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, None)]);
        let mut condition = Condition::new(&state);
        assert!([50, 60, 50].into_iter().all(|orders| condition.is_true(&leader(orders, 0))));
    }
}

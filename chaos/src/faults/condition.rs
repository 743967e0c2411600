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
    pub(super) fn becomes_true(&mut self, leader: &GetStatusResponse) -> bool {
        let mut bounds = self.state.0.iter().map(|(measure, threshold)| (measure.of(leader), threshold));
        if self.is_armed {
            let is_true = bounds.all(|(value, threshold)| value >= threshold.at_least);
            self.is_armed = !is_true;
            return is_true;
        }
        self.is_armed = bounds.any(|(value, threshold)| value < threshold.again_below.unwrap_or(threshold.at_least));
        false
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

    #[test]
    fn a_condition_becomes_true_on_the_edge_and_again_only_after_it_was_false() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, None)]);
        let mut condition = Condition::new(&state);
        let fires = [49, 50, 80, 50, 49, 50, 60].map(|orders| condition.becomes_true(&leader(orders, 0)));
        assert_eq!(fires, [false, true, false, false, false, true, false]);
    }

    #[test]
    fn a_measure_that_hovers_about_its_bound_does_not_fire_again() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, Some(30))]);
        let mut condition = Condition::new(&state);
        let fires = [50, 49, 50, 30, 50, 29, 49, 50].map(|orders| condition.becomes_true(&leader(orders, 0)));
        assert_eq!(fires, [true, false, false, false, false, false, false, true]);
    }

    #[test]
    fn all_of_a_state_must_be_true_at_once_and_any_of_it_may_go() {
        let state = state(&[(Measure::OrdersAwaitingPayment, 50, None), (Measure::RefundsDue, 2, None)]);
        let mut condition = Condition::new(&state);
        let seen = [(60, 1), (40, 5), (50, 2), (50, 1), (50, 2)];
        let fires = seen.map(|(orders, refunds)| condition.becomes_true(&leader(orders, refunds)));
        assert_eq!(fires, [false, false, true, false, true]);
    }
}

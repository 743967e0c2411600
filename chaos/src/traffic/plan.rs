//! Who each buyer is and what they will do: drawn from the seed and the buyer's number alone.
//!
//! What a buyer meets on the way is not drawn: answers, time-outs and retries are the run's.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::charge::{Charge, ChargeOf, WRONG_BY_IDR};
use crate::history::{Digest, OrderId, Request, SeriesCode, Text};
use crate::limits;
use crate::scenario::arrivals::draw;
use crate::scenario::{Scenario, Share};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buyer {
    /// From 1; also the session in the history.
    pub number: u32,
    pub order: OrderId,
    pub account: Text,
    pub series: SeriesCode,
    pub quantity: u32,
    /// Rotates through the nodes from here.
    pub first_node: usize,
    pub through_stream: bool,
    pub deadline_on_wire: bool,
    pub think_ms: u64,
    pub ending: Ending,
    pub payments: Vec<Charge>,
    pub repeats_order: bool,
    pub order_again_with_other_body: bool,
    pub payment_again_with_other_body: bool,
    pub asks_order: bool,
    pub asks_stale: bool,
    pub asks_payment: bool,
    pub verifies_serial: bool,
    pub after_issue: AfterIssue,
    /// Of one who voids: pays once more afterwards.
    pub pays_after_void: Option<Charge>,
}

/// What a buyer does with stamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterIssue {
    Keeps,
    Voids {
        after_ms: u64,
        /// Stamped at the same moment.
        beside: Option<Digest>,
    },
    Stamps {
        /// At most one more than the order has stamps.
        documents: Vec<Digest>,
        /// The first document is stamped again after the last.
        again: bool,
        then_voids: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Pays,
    /// After the order expired.
    PaysLate {
        after_ms: u64,
    },
    Cancels {
        pays_all_the_same: bool,
    },
    /// The order expires.
    Leaves,
}

/// `intended_ms`: Unix time of the arrival, for the time-ordered order id.
#[must_use]
pub fn buyer(scenario: &Scenario, seed: u64, number: u32, intended_ms: u64) -> Buyer {
    let traffic = &scenario.traffic;
    let shares = &traffic.shares;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(number));

    let order = uuid::Builder::from_unix_timestamp_millis(intended_ms, &rng.random()).into_uuid().into_bytes();
    let drawn = rng.random_range(0..Share::WHOLE);
    let series = series_at(scenario, drawn);
    let quantity = rng.random_range(traffic.stamps_per_order_min..=traffic.stamps_per_order_max);
    let amount_idr = i64::from(quantity) * i64::from(series.face_value_idr);
    let account = format!("account-{}", rng.random_range(0..traffic.accounts)).into();
    let (first_node, through_stream) =
        (rng.random_range(0..usize::from(scenario.cluster.nodes)), draw(&mut rng, shares.through_stream));
    let ending = ending(scenario, &mut rng);

    let nobody = uuid::Builder::from_unix_timestamp_millis(intended_ms, &rng.random()).into_uuid().into_bytes();
    let [first, second, stray] = [(1, order), (2, order), (3, nobody)]
        .map(|(nth, order)| Charge::draw(scenario, &mut rng, ChargeOf { buyer: number, nth, order, amount_idr }));

    let mut payments = vec![first];
    if draw(&mut rng, shares.wrong_amount) {
        payments[0].amount_idr += WRONG_BY_IDR;
    }
    if draw(&mut rng, shares.double_payment) {
        payments.push(second);
    }
    if draw(&mut rng, shares.stray_payment) {
        payments.push(stray);
    }
    let buyer = Buyer {
        number,
        order,
        account,
        series: series.code.as_bytes().try_into().expect("checked: three characters"),
        quantity,
        first_node,
        through_stream,
        deadline_on_wire: draw(&mut rng, scenario.clients.deadline_on_wire),
        think_ms: rng.random_range(0..=traffic.think_time_max.ms()),
        ending,
        payments,
        repeats_order: draw(&mut rng, shares.repeated_order),
        order_again_with_other_body: draw(&mut rng, shares.same_id_other_body),
        payment_again_with_other_body: draw(&mut rng, shares.same_id_other_body),
        asks_order: draw(&mut rng, shares.ask_order),
        asks_stale: draw(&mut rng, shares.ask_stale),
        asks_payment: draw(&mut rng, shares.ask_payment),
        verifies_serial: draw(&mut rng, shares.verify_serial),
        after_issue: AfterIssue::Keeps,
        pays_after_void: None,
    };
    use_stamps(buyer, scenario, &mut rng)
}

/// What becomes of the stamps. Drawn last: a scenario without these shares has the buyers that it always had.
fn use_stamps(buyer: Buyer, scenario: &Scenario, rng: &mut ChaCha8Rng) -> Buyer {
    let after_issue = after_issue(scenario, buyer.quantity, rng);
    let voids = matches!(after_issue, AfterIssue::Voids { .. });
    let again = buyer.payments[0].again(buyer.number, 4);
    let pays_after_void = (voids && draw(rng, scenario.traffic.shares.pay_after_cancel)).then_some(again);
    Buyer { after_issue, pays_after_void, ..buyer }
}

fn after_issue(scenario: &Scenario, quantity: u32, rng: &mut ChaCha8Rng) -> AfterIssue {
    let shares = &scenario.traffic.shares;
    let drawn = rng.random_range(0..Share::WHOLE);
    if drawn < shares.void.ppm() {
        let after_ms = rng.random_range(0..=scenario.traffic.void_delay_max.ms());
        return AfterIssue::Voids { after_ms, beside: draw(rng, shares.void_beside_stamp).then(|| rng.random()) };
    }
    if drawn >= shares.void.ppm() + shares.stamp.ppm() {
        return AfterIssue::Keeps;
    }
    let one_too_many = draw(rng, shares.same_id_other_body);
    let count = if one_too_many { quantity + 1 } else { rng.random_range(1..=quantity) };
    AfterIssue::Stamps {
        documents: (0..count).map(|_| rng.random()).collect(),
        again: draw(rng, shares.stamp_again),
        then_voids: draw(rng, shares.void_after_stamp),
    }
}

fn series_at(scenario: &Scenario, drawn: u32) -> &crate::scenario::Series {
    let mut below = 0;
    let found = scenario.traffic.series.iter().find(|series| {
        below += series.share.ppm();
        drawn < below
    });
    found.expect("checked: the shares of the series add up to the whole")
}

fn ending(scenario: &Scenario, rng: &mut ChaCha8Rng) -> Ending {
    let shares = &scenario.traffic.shares;
    let drawn = rng.random_range(0..Share::WHOLE);
    let pays_all_the_same = draw(rng, shares.pay_after_cancel);
    let late_by_ms_max = u64::try_from(limits::LATE_PAYMENT_MAX.as_millis()).expect("seconds");
    let after_ms = scenario.traffic.payment_window.ms() + rng.random_range(0..=late_by_ms_max);
    let (cancel, leave) = (shares.cancel.ppm(), shares.cancel.ppm() + shares.never_pay.ppm());
    if drawn < cancel {
        Ending::Cancels { pays_all_the_same }
    } else if drawn < leave {
        Ending::Leaves
    } else if drawn < leave + shares.pay_late.ppm() {
        Ending::PaysLate { after_ms }
    } else {
        Ending::Pays
    }
}

impl Buyer {
    /// For what comes after the issue.
    #[must_use]
    pub fn wants_serials(&self) -> bool {
        self.verifies_serial || self.after_issue != AfterIssue::Keeps
    }

    #[must_use]
    pub fn place(&self) -> Request {
        Request::PlaceOrder { order: self.order, account: self.account.clone(), series: self.series, quantity: self.quantity }
    }

    /// The same id, one stamp more.
    #[must_use]
    pub fn place_with_other_body(&self) -> Request {
        let quantity = if self.quantity < limits::STAMPS_PER_ORDER_MAX { self.quantity + 1 } else { self.quantity - 1 };
        Request::PlaceOrder { order: self.order, account: self.account.clone(), series: self.series, quantity }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::charge::GATEWAYS;
    use super::*;
    use crate::client::Way;

    #[test]
    fn a_buyer_is_the_same_for_the_same_seed_and_number() {
        let (scenario, _) = Scenario::load("casn2024-leader-kill").unwrap();
        assert_eq!(buyer(&scenario, 7, 3, 1_000), buyer(&scenario, 7, 3, 1_000));
        assert_ne!(buyer(&scenario, 7, 3, 1_000), buyer(&scenario, 8, 3, 1_000));
    }

    #[test]
    fn ids_are_never_shared_and_order_ids_follow_time() {
        let (scenario, _) = Scenario::load("casn2024-leader-kill").unwrap();
        let buyers: Vec<Buyer> = (1..2_000).map(|number| buyer(&scenario, 7, number, u64::from(number))).collect();
        assert!(buyers.is_sorted_by_key(|buyer| buyer.order));
        let payments: Vec<_> = buyers
            .iter()
            .flat_map(|buyer| &buyer.payments)
            .flat_map(|charge| charge.forgery.iter().chain([&charge.payment]))
            .collect();
        assert_eq!(payments.iter().collect::<BTreeSet<_>>().len(), payments.len());
    }

    #[test]
    fn every_behaviour_of_the_scenario_occurs() {
        let (scenario, _) = Scenario::load("casn2024-leader-kill").unwrap();
        let buyers: Vec<Buyer> = (1..20_000).map(|number| buyer(&scenario, 7, number, 0)).collect();
        let any = |what: &dyn Fn(&Buyer) -> bool| buyers.iter().any(what);
        assert!(any(&|buyer| matches!(buyer.ending, Ending::Cancels { pays_all_the_same: true })));
        assert!(any(&|buyer| matches!(buyer.ending, Ending::PaysLate { .. })));
        assert!(any(&|buyer| matches!(buyer.ending, Ending::Leaves)));
        assert!(any(&|buyer| buyer.payments.len() > 1 && buyer.payments[1].order == buyer.order));
        assert!(any(&|buyer| buyer.payments.iter().any(|charge| charge.order != buyer.order)));
        assert!(any(&|buyer| buyer.payments[0].concurrent && buyer.payments[0].repeat_after_ms.is_some()));
        assert!(any(&|buyer| matches!(buyer.after_issue, AfterIssue::Voids { beside: Some(_), .. })));
        assert!(any(&|buyer| matches!(buyer.after_issue, AfterIssue::Stamps { again: true, .. })));
        assert!(any(&|buyer| matches!(buyer.after_issue, AfterIssue::Stamps { then_voids: true, .. })));
        assert!(any(&|buyer| buyer.pays_after_void.is_some()));
        assert!(any(&|buyer| buyer.through_stream) && any(&|buyer| !buyer.through_stream));
        let (scenario, _) = Scenario::load("payments-storm").unwrap();
        let buyers: Vec<Buyer> = (1..2_000).map(|number| buyer(&scenario, 7, number, 0)).collect();
        let any = |what: &dyn Fn(&Buyer) -> bool| buyers.iter().any(what);
        for gateway in GATEWAYS {
            let told = |charge: &Charge| charge.way == Way::Webhook(gateway);
            assert!(any(&|buyer| buyer.payments.iter().any(|charge| told(charge) && charge.forgery.is_some())));
            assert!(any(&|buyer| buyer.payments.iter().any(|charge| told(charge) && charge.concurrent)));
        }
    }
}

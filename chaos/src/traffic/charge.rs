//! One charge at the provider, what its notices say, and how they will come.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::client::{Gateway, Way};
use crate::history::{OrderId, PaymentName, Request};
use crate::model::order_text;
use crate::scenario::Scenario;
use crate::scenario::arrivals::draw;

/// What a wrong payment is off by.
pub(super) const WRONG_BY_IDR: i64 = 500;
/// Gateways that charges go through.
pub(super) const GATEWAYS: [Gateway; 2] = [Gateway::Midtrans, Gateway::Xendit];
/// Numbers of forged charges, which are two digits at most.
const FORGED_FROM: u32 = 90;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    pub payment: PaymentName,
    pub order: OrderId,
    pub amount_idr: i64,
    pub notice_delay_ms: u64,
    /// Sent twice at once, to two nodes.
    pub concurrent: bool,
    /// Sent again so long after it was answered.
    pub repeat_after_ms: Option<u64>,
    pub first_node: usize,
    pub way: Way,
    /// Somebody posts a notice of this payment, which nobody made and no gateway signed.
    pub forgery: Option<PaymentName>,
}

/// Whose charge it is, and for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChargeOf {
    pub(super) buyer: u32,
    /// Number among the buyer's charges.
    pub(super) nth: u32,
    pub(super) order: OrderId,
    pub(super) amount_idr: i64,
}

impl Charge {
    pub(super) fn draw(scenario: &Scenario, rng: &mut ChaCha8Rng, of: ChargeOf) -> Self {
        let (traffic, shares) = (&scenario.traffic, &scenario.traffic.shares);
        let ChargeOf { buyer, nth, order, amount_idr } = of;
        let gateway = GATEWAYS[rng.random_range(0..GATEWAYS.len())];
        let notice_delay_ms = rng.random_range(0..=traffic.notice_delay_max.ms());
        let concurrent = draw(rng, shares.concurrent_notice);
        let repeat_after_ms = draw(rng, shares.repeated_notice).then(|| rng.random_range(0..=traffic.repeat_delay_max.ms()));
        let first_node = rng.random_range(0..usize::from(scenario.cluster.nodes));
        let through_stream = draw(rng, shares.through_stream);
        let webhook = draw(rng, shares.through_webhook).then_some(gateway);
        let is_forged = draw(rng, shares.forged_notice);
        let way = match webhook {
            Some(gateway) => Way::Webhook(gateway),
            None if through_stream => Way::Stream,
            None => Way::Unary { deadline_on_wire: false },
        };
        let forgery = webhook.filter(|_| is_forged).map(|gateway| payment_name(gateway, buyer, nth + FORGED_FROM, order));
        let payment = payment_name(gateway, buyer, nth, order);
        Self { payment, order, amount_idr, notice_delay_ms, concurrent, repeat_after_ms, first_node, way, forgery }
    }

    /// The same as another charge.
    pub(super) fn again(&self, buyer: u32, nth: u32) -> Self {
        let gateway = if let Way::Webhook(gateway) = self.way { gateway } else { GATEWAYS[0] };
        Self { payment: payment_name(gateway, buyer, nth, self.order), forgery: None, ..self.clone() }
    }

    #[must_use]
    pub fn notice(&self) -> Request {
        Request::RecordPayment { payment: self.payment.clone(), order: self.order, amount_idr: self.amount_idr }
    }

    /// What somebody posts who would like this order's stamps.
    #[must_use]
    pub fn forged_notice(&self) -> Option<Request> {
        let payment = self.forgery.clone()?;
        Some(Request::RecordPayment { payment, order: self.order, amount_idr: self.amount_idr })
    }

    /// The same payment, another amount.
    #[must_use]
    pub fn notice_with_other_body(&self) -> Request {
        Request::RecordPayment { payment: self.payment.clone(), order: self.order, amount_idr: self.amount_idr + WRONG_BY_IDR }
    }
}

/// As its gateway calls it: Midtrans by the merchant's id of the charge, which here is the order's with the number of the charge.
fn payment_name(gateway: Gateway, buyer: u32, nth: u32, order: OrderId) -> PaymentName {
    let payment_id = match gateway {
        Gateway::Midtrans => format!("{}-{nth}", order_text(order)),
        Gateway::Xendit => format!("p-{buyer}-{nth}"),
    };
    PaymentName { gateway: gateway.name().into(), payment_id: payment_id.into() }
}

//! Who comes to buy, how they behave, and how their calls are sent.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use toml::{Table, Value};

use super::{Arrivals, Rate, Share, Span};

/// What `like` may name.
const KINDS: [(&str, &str); 1] = [("ordinary", include_str!("../../scenarios/traffic/ordinary.toml"))];

/// As it is given; with `like`, what it leaves out is that kind's.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Traffic, D::Error> {
    let mut given = Table::deserialize(deserializer)?;
    let mut whole = match given.remove("like") {
        None => Table::new(),
        Some(like) => {
            let kind = KINDS.iter().find(|(name, _)| like.as_str() == Some(name));
            let names = KINDS.map(|(name, _)| name).join(", ");
            let (_, text) = kind.ok_or_else(|| D::Error::custom(format!("like must be one of {names}, is {like}")))?;
            text.parse().expect("comes with the tool, and is tested")
        }
    };
    merge(&mut whole, &given);
    whole.try_into().map_err(D::Error::custom)
}

/// What `from` has wins key by key, in tables of tables too.
pub(crate) fn merge(into: &mut Table, from: &Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            _ => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    pub arrivals: Arrivals,
    /// Mean over the whole traffic.
    pub orders: Rate,
    pub stamps_per_order_min: u32,
    pub stamps_per_order_max: u32,
    /// Buying accounts; orders are spread over them.
    pub accounts: u32,
    /// How long an order waits for its payment.
    pub payment_window: Span,
    /// A buyer pays after up to this.
    pub think_time_max: Span,
    /// The provider's notice comes after up to this.
    pub notice_delay_max: Span,
    /// A repeated notice comes up to so much after the first.
    pub repeat_delay_max: Span,
    /// Who voids does so up to this after the payment was answered.
    #[serde(default)]
    pub void_delay_max: Span,
    /// An auditor begins a list so often; without it there is none.
    pub audit_interval: Option<Span>,
    pub policy: Option<Policy>,
    #[serde(default)]
    pub shares: Shares,
    pub series: Vec<Series>,
}

/// What part of the buyers, or of the payments, behaves so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shares {
    /// Buyers who come through a portal that submits in batches over a stream; the rest call one by one.
    pub through_stream: Share,
    /// Charges whose gateway, Midtrans or Xendit, posts its notices itself; of the rest the portal tells.
    pub through_webhook: Share,
    /// ... of those, beside which somebody posts a notice that the gateway did not sign.
    pub forged_notice: Share,
    /// Buyers who cancel instead of paying.
    pub cancel: Share,
    /// ... of those, who pay all the same.
    pub pay_after_cancel: Share,
    /// Buyers who let the order expire.
    pub never_pay: Share,
    /// Buyers who pay only after the order expired.
    pub pay_late: Share,
    pub wrong_amount: Share,
    /// Buyers who pay twice, as two payments.
    pub double_payment: Share,
    /// Payments without any order.
    pub stray_payment: Share,
    /// Notices that the provider sends again although the first was answered.
    pub repeated_notice: Share,
    /// Notices that are sent twice at once, to two nodes.
    pub concurrent_notice: Share,
    /// Orders that are placed again with the same body after they were answered.
    pub repeated_order: Share,
    /// Orders and payments that are sent again with the same id and another body.
    pub same_id_other_body: Share,
    /// Buyers who ask for their order after each step.
    pub ask_order: Share,
    /// ... who ask any node for whatever it has applied.
    pub ask_stale: Share,
    pub ask_payment: Share,
    pub verify_serial: Share,
    /// Buyers who void their order once it is issued, or try to although it never was.
    pub void: Share,
    /// ... of those, who stamp a document at the same moment: one of the two is refused.
    pub void_beside_stamp: Share,
    /// Buyers who stamp documents of their issued order.
    pub stamp: Share,
    /// ... of those, who stamp a document again on purpose.
    pub stamp_again: Share,
    /// ... of those who stamp, who try to void afterwards, which must be refused.
    pub void_after_stamp: Share,
    /// Refunds due that the provider's clerk pays out and settles.
    pub settle_refund: Share,
}

/// Set in the middle of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Of what was paid.
    pub void_refund_percent: u32,
    /// How long after its issue an order may be voided.
    pub void_window: Span,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    pub code: String,
    pub first_number: u64,
    /// Stamps.
    pub capacity: u64,
    pub face_value_idr: u32,
    /// Of all orders.
    pub share: Share,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// A call that is not answered by then is given up as unknown.
    pub attempt_deadline: Span,
    /// Unary calls that tell the server their deadline. The others leave it open, so that late answers are seen too.
    pub deadline_on_wire: Share,
    /// Before the same request is sent again; doubles up to the maximum.
    pub retry_pause: Span,
    pub retry_pause_max: Span,
    /// A buyer gives up after so many sends; what became of the request is asked after the heal.
    pub attempts_max: u32,
    /// Buyers at once; arrivals beyond are counted as shed by the tool.
    pub buyers_in_flight_max: u32,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            attempt_deadline: Span::from_millis(400),
            deadline_on_wire: Share::default(),
            retry_pause: Span::from_millis(20),
            retry_pause_max: Span::from_millis(2_000),
            attempts_max: 60,
            buyers_in_flight_max: 20_000,
        }
    }
}

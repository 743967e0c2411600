//! What follows an issue: buyers void and stamp, the operator sets a policy, the provider's clerk pays back.

use stampede_chaos::history::*;
use stampede_chaos::model::Refund;

use super::{Buyer, Fate, Maker, SERIES};

/// Sessions of the operator and of the clerk.
const OPERATOR: u32 = 0;
const CLERK: u32 = 70_000;
/// Refunds of a page: fewer than are due.
const PAGE: u32 = 4;

/// The n-th document of an order.
pub fn document(order: OrderId, nth: u8) -> Digest {
    let mut document = [nth; 32];
    document[..16].copy_from_slice(&order);
    document
}

/// One in eight voids, one in four stamps.
pub(super) fn first(order: OrderId) -> Option<Request> {
    match order[13] {
        0..32 => Some(Request::VoidOrder { order }),
        32..96 => Some(Request::StampDocument { order, document: document(order, 1) }),
        _ => None,
    }
}

pub(super) fn then(order: OrderId, payment: &PaymentName, amount_idr: i64) -> Option<(Purpose, Request)> {
    let stamp = |nth| Request::StampDocument { order, document: document(order, nth) };
    let again = PaymentName { payment_id: format!("{}-b", payment.payment_id).into(), ..payment.clone() };
    match order[13] {
        0..10 => Some((Purpose::Duplicate, Request::VoidOrder { order })),
        10..20 => Some((Purpose::Traffic, Request::CancelOrder { order })),
        20..26 => Some((Purpose::Traffic, Request::RecordPayment { payment: again, order, amount_idr })),
        26..32 => Some((Purpose::Traffic, stamp(1))),
        32..56 => Some((Purpose::Duplicate, stamp(1))),
        56..80 => Some((Purpose::Traffic, stamp(2))),
        80..96 => Some((Purpose::Traffic, Request::VoidOrder { order })),
        96..110 => Some((Purpose::Traffic, Request::RecordPayment { payment: again, order, amount_idr })),
        _ => None,
    }
}

impl Maker {
    /// A genuine code, asked about with the order's first document, and a forged one.
    pub(super) fn verify(&mut self, buyer: &Buyer) {
        let order = self.ledger.orders.get(&buyer.order);
        let Some((order, issued)) = order.and_then(|order| Some((order, order.issued.as_ref()?))) else { return };
        let code = self.codes.code(SERIES, issued.first_number);
        let (id, issued_at_ms) = (buyer.order, issued.at_ms);
        let answer = match (order.state, issued.documents.first()) {
            (OrderState::Voided, _) => {
                ReadAnswer::SerialVoided { order: id, issued_at_ms, voided_at_ms: order.settled.unwrap().at_ms }
            }
            (_, Some((there, stamped))) => {
                let document_matches = *there == document(id, 1);
                ReadAnswer::SerialStamped { order: id, issued_at_ms, stamped_at_ms: stamped.at_ms, document_matches }
            }
            _ => ReadAnswer::SerialIssued { order: id, issued_at_ms },
        };
        let verify = |code: &str| Request::VerifySerial {
            code: code.into(),
            consistency: Consistency::Linearizable,
            document: Some(document(id, 1)),
        };
        self.read(buyer.session, verify(&code), answer);
        // Told without a read.
        let op = self.invoke(buyer.session, Purpose::Traffic, verify("forged"), self.now_ns);
        let read = Read { read_index: None, ledger_time_ms: 0, answer: ReadAnswer::SerialForged };
        self.records.push(Record::Return(Return { op, at_ns: self.now_ns + 500, outcome: Outcome::Read(read) }));
    }

    pub(super) fn set_policy(&mut self) {
        let set =
            |version, void_refund_percent| Request::SetPolicy { version, void_refund_percent, void_window_ms: 86_400_000 };
        let rows = [
            (Purpose::Conflict, set(2, 60)),
            (Purpose::Traffic, set(1, 60)),
            (Purpose::Duplicate, set(1, 60)),
            (Purpose::Conflict, set(1, 61)),
        ];
        self.round(&rows.map(|(purpose, request)| (OPERATOR, purpose, request, Fate::Answered)));
        let (version, policy) = self.ledger.policy();
        let seen = PolicySeen {
            version,
            void_refund_percent: policy.void_refund_percent,
            void_window_ms: policy.void_window_ms,
            set: policy.set.map(|set| set.place),
            set_at_ms: policy.set.map_or(0, |set| set.at_ms),
        };
        self.read(OPERATOR, Request::GetPolicy, ReadAnswer::Policy(seen));
    }

    /// Two pages; of the first, all but one are paid back.
    pub(super) fn settle_refunds(&mut self) {
        let (page, _) = self.list_refunds(None);
        self.list_refunds(page.last().map(|refund| refund.due));
        let settle = |refund: &RefundSeen, more_idr: i64, suffix: &str| Request::SettleRefund {
            payment: refund.payment.clone(),
            amount_idr: refund.amount_idr + more_idr,
            reference: format!("back-{}{suffix}", refund.payment.payment_id).into(),
        };
        let mut calls = Vec::new();
        for refund in page.iter().skip(1) {
            calls.push((CLERK, Purpose::Conflict, settle(refund, 1, ""), Fate::Answered));
            calls.push((CLERK, Purpose::Traffic, settle(refund, 0, ""), Fate::Answered));
            calls.push((CLERK, Purpose::Duplicate, settle(refund, 0, ""), Fate::Answered));
            calls.push((CLERK, Purpose::Conflict, settle(refund, 0, "-b"), Fate::Answered));
        }
        self.round(&calls);
    }

    fn list_refunds(&mut self, after: Option<Place>) -> (Vec<RefundSeen>, bool) {
        let behind = self.ledger.refunds_due.iter().filter(|(place, _)| after.is_none_or(|after| **place > after));
        let due: Vec<&PaymentName> = behind.map(|(_, name)| name).collect();
        let refunds: Vec<RefundSeen> =
            due.iter().take(PAGE as usize).map(|name| refund_seen(name, &self.ledger.refunds[*name])).collect();
        let has_more = due.len() > refunds.len();
        let next_page_token: Text = if has_more { "more".into() } else { "".into() };
        let list =
            Request::ListRefundsDue { page_size: PAGE, page_token: if after.is_some() { "more" } else { "" }.into(), after };
        self.read(CLERK, list, ReadAnswer::RefundsDue { refunds: refunds.clone(), next_page_token });
        (refunds, has_more)
    }

    /// The clerk's own note, before the ledger hears of it.
    pub(super) fn pay_out(&mut self, at_ns: u64, request: &Request) {
        let Request::SettleRefund { payment, amount_idr, reference } = request else { return };
        let refund = &self.ledger.refunds[payment];
        if refund.amount_idr != *amount_idr || !self.paid_out.insert(payment.clone()) {
            return;
        }
        let step = ProviderStep::PaidOut { reference: reference.clone() };
        let (payment, order, amount_idr) = (payment.clone(), refund.order, *amount_idr);
        self.records.push(Record::Provider(ProviderEvent { at_ns, payment, order, amount_idr, step }));
    }
}

pub(super) fn refund_seen(name: &PaymentName, refund: &Refund) -> RefundSeen {
    RefundSeen {
        payment: name.clone(),
        order: refund.order,
        amount_idr: refund.amount_idr,
        reason: refund.reason,
        due: refund.due.place,
        due_at_ms: refund.due.at_ms,
        settled: refund.settled.as_ref().map(|(reference, settled)| SettlementSeen {
            reference: reference.clone(),
            place: settled.place,
            settled_at_ms: settled.at_ms,
        }),
    }
}

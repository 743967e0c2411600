//! Payments that their gateways tell of over HTTP, and forgeries of such notices.

use stampede_chaos::history::*;

use super::{Buyer, Maker};

/// One in four orders is paid so; its gateway is told no serials.
pub(super) fn answered(request: &Request, outcome: Outcome) -> Outcome {
    match (request, outcome) {
        (Request::RecordPayment { order, .. }, Outcome::Written(written)) if order[11] < 64 => {
            let outcome = written.answer.payment_outcome().expect("of a payment");
            Outcome::Written(Written { answer: WriteAnswer::Noticed { outcome }, ..written })
        }
        (_, outcome) => outcome,
    }
}

impl Maker {
    /// Somebody would like one order in sixteen without paying for it.
    pub(super) fn forge(&mut self, buyer: &Buyer) {
        if buyer.order[10] >= 16 {
            return;
        }
        let payment = PaymentName { gateway: "midtrans".into(), payment_id: format!("forged-{}", self.next_op).into() };
        let request = Request::RecordPayment { payment, order: buyer.order, amount_idr: buyer.amount_idr };
        self.now_ns += 1_000;
        let (at_ns, op) = (self.now_ns, OpId(self.next_op));
        self.next_op += 1;
        self.records.push(Record::Invoke(Invoke {
            op,
            at_ns,
            intended_ns: at_ns,
            session: buyer.session,
            node: self.leader,
            purpose: Purpose::Forged,
            batch: 0,
            request,
        }));
        let outcome = Outcome::Refused { reason: "FORGED".into(), field: "".into(), place: None, term: 0 };
        self.records.push(Record::Return(Return { op, at_ns: at_ns + 500, outcome }));
    }
}

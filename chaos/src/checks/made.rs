//! What tests of the checks are made of: one order with its payment, as answers and scans show them, and calls.

use smallvec::smallvec;

use super::reach::Reach;
use super::{Case, Evidence, Finding};
use crate::evidence::{Answered, Lot, Op, Scan, ScanRecords};
use crate::history::{
    Invoke, OpId, OrderId, OrderSeen, OrderState, Outcome, PaymentName, PaymentOutcome, PaymentSeen, Place, Purpose, Read,
    ReadAnswer, Receipt, RefundReason, RefundSeen, Request, SerialsSeen, SeriesCode, SettlementSeen, WriteAnswer, Written,
};
use crate::model::{Answer, Ledger, LoggedCommand};
use crate::proto::admin::ScanHeader;
use crate::serial_code::SerialCodes;

pub(super) const KEY: [u8; 32] = [0; 32];
pub(super) const SERIES: SeriesCode = *b"A24";
pub(super) const ORDER: OrderId = [1; 16];
pub(super) const OTHER_ORDER: OrderId = [2; 16];
pub(super) const QUANTITY: u32 = 3;
pub(super) const FIRST_NUMBER: u64 = 1_000;
pub(super) const AMOUNT_IDR: i64 = 30_000;

pub(super) fn at(log_index: u64) -> Place {
    Place { log_index, offset: 0 }
}

pub(super) fn name(payment_id: &str) -> PaymentName {
    PaymentName { gateway: "midtrans".into(), payment_id: payment_id.into() }
}

pub(super) fn serials() -> SerialsSeen {
    SerialsSeen { series: SERIES, first_number: FIRST_NUMBER, quantity: QUANTITY, codes: Default::default() }
}

/// If it was ever issued, then for the payment "one", at index 5.
pub(super) fn order(state: OrderState) -> OrderSeen {
    let was_issued = matches!(state, OrderState::Issued | OrderState::Voided);
    let is_settled = state != OrderState::AwaitingPayment;
    OrderSeen {
        order: ORDER,
        account: "buyer".into(),
        series: SERIES,
        quantity: QUANTITY,
        amount_idr: AMOUNT_IDR,
        state,
        placed: at(2),
        placed_at_ms: 20,
        expires_at_ms: 60_020,
        settled: is_settled.then_some(at(5)),
        settled_at_ms: if is_settled { 50 } else { 0 },
        serials: was_issued.then(serials),
        paid_by: was_issued.then(|| name("one")),
        issued_at_ms: if was_issued { 50 } else { 0 },
        stamped: 0,
    }
}

/// Of the payment "one".
pub(super) fn payment(outcome: PaymentOutcome) -> PaymentSeen {
    let (payment, recorded) = (name("one"), at(5));
    PaymentSeen { payment, order: ORDER, amount_idr: AMOUNT_IDR, outcome, recorded, recorded_at_ms: 50, refund: None }
}

/// Of the payment "one": the whole of it, still due.
pub(super) fn refund(reason: RefundReason) -> RefundSeen {
    RefundSeen { payment: name("one"), order: ORDER, amount_idr: AMOUNT_IDR, reason, due: at(5), due_at_ms: 50, settled: None }
}

/// The second of the ledger's orders: of another account, issued for the payment "three" and voided.
pub(super) fn voided_order() -> OrderSeen {
    OrderSeen {
        order: OTHER_ORDER,
        account: "other".into(),
        placed: at(3),
        placed_at_ms: 30,
        expires_at_ms: 60_030,
        settled: Some(at(8)),
        settled_at_ms: 80,
        serials: Some(SerialsSeen { first_number: FIRST_NUMBER + u64::from(QUANTITY), ..serials() }),
        paid_by: Some(name("three")),
        issued_at_ms: 70,
        ..order(OrderState::Voided)
    }
}

/// The second payment for the first order.
pub(super) fn second_payment() -> PaymentSeen {
    PaymentSeen { payment: name("two"), recorded: at(6), recorded_at_ms: 60, ..payment(PaymentOutcome::AlreadyPaid) }
}

/// Due for the second payment.
pub(super) fn owed_order() -> RefundSeen {
    RefundSeen { payment: name("two"), due: at(6), due_at_ms: 60, ..refund(RefundReason::AlreadyPaid) }
}

/// The payment of the voided order, three quarters of which were paid back.
pub(super) fn paid_back() -> PaymentSeen {
    let settled = SettlementSeen { reference: "back".into(), place: at(9), settled_at_ms: 90 };
    let refund = RefundSeen {
        payment: name("three"),
        order: OTHER_ORDER,
        amount_idr: AMOUNT_IDR * 3 / 4,
        due: at(8),
        due_at_ms: 80,
        settled: Some(settled),
        ..refund(RefundReason::Void)
    };
    PaymentSeen {
        payment: name("three"),
        order: OTHER_ORDER,
        recorded: at(7),
        recorded_at_ms: 70,
        refund: Some(refund),
        ..payment(PaymentOutcome::Applied)
    }
}

/// What the judge's own ledger makes of all that; each entry at ten times its index, in milliseconds.
pub(super) fn ledger() -> Ledger {
    let (capacity, face_value_idr, payment_window_ms) = (100, AMOUNT_IDR / i64::from(QUANTITY), 60_000);
    let open = Request::OpenSeries { series: SERIES, first_number: FIRST_NUMBER, capacity, face_value_idr, payment_window_ms };
    let other = Request::PlaceOrder { order: OTHER_ORDER, account: "other".into(), series: SERIES, quantity: QUANTITY };
    let pay_other = Request::RecordPayment { payment: name("three"), order: OTHER_ORDER, amount_idr: AMOUNT_IDR };
    let (payment, reference) = (name("three"), "back".into());
    let settle = Request::SettleRefund { payment, amount_idr: AMOUNT_IDR * 3 / 4, reference };
    let void = Request::VoidOrder { order: OTHER_ORDER };
    let mut ledger = Ledger::default();
    for (log_index, request) in
        [(1, open), (2, place(QUANTITY)), (3, other), (5, pay("one")), (6, pay("two")), (7, pay_other), (8, void), (9, settle)]
    {
        let at_ms = i64::try_from(log_index * 10).expect("few");
        let reply = ledger.apply(at(log_index), at_ms, &LoggedCommand::Client(request));
        assert!(!matches!(reply.answer, Answer::Refused { .. }), "{reply:?}");
    }
    ledger
}

pub(super) fn records(orders: &[OrderSeen], payments: &[PaymentSeen], refunds: &[RefundSeen]) -> ScanRecords {
    ScanRecords {
        orders: orders.iter().map(|order| (order.order, order.clone())).collect(),
        payments: payments.iter().map(|payment| (payment.payment.clone(), payment.clone())).collect(),
        refunds: refunds.iter().map(|refund| (refund.payment.clone(), refund.clone())).collect(),
        ..ScanRecords::default()
    }
}

/// Of a node, with records of its own.
pub(super) fn scan(node: u16, applied_index: u64) -> Scan {
    let header = ScanHeader { node_id: node.into(), applied_index, ..ScanHeader::default() };
    Scan {
        header,
        series: Vec::new(),
        policies: Vec::new(),
        fingerprint: [u8::try_from(node).expect("few"); 32],
        kept_as: node,
    }
}

/// What a check says of one lot.
pub(super) fn judged(evidence: &Evidence, lot: &Lot, check: impl Fn(&Case) -> Finding) -> Finding {
    of_case(evidence, lot, check).conclude()
}

pub(super) fn of_case<T>(evidence: &Evidence, lot: &Lot, look: impl Fn(&Case) -> T) -> T {
    let (reach, codes) = (Reach::of(&evidence.shown), SerialCodes::new(KEY));
    look(&Case::new(evidence, &reach, &codes, lot))
}

pub(super) fn lot(ops: Vec<Op>) -> Lot {
    let mut lot = Lot::default();
    lot.ops = ops;
    lot
}

pub(super) fn pay(payment_id: &str) -> Request {
    Request::RecordPayment { payment: name(payment_id), order: ORDER, amount_idr: AMOUNT_IDR }
}

pub(super) fn place(quantity: u32) -> Request {
    Request::PlaceOrder { order: ORDER, account: "buyer".into(), series: SERIES, quantity }
}

pub(super) fn call(op: u64, [at_ns, ended_ns]: [u64; 2], request: Request, outcome: Outcome) -> Op {
    let purpose = Purpose::Traffic;
    let invoke = Invoke { op: OpId(op), at_ns, intended_ns: at_ns, session: 1, node: 1, purpose, batch: 0, request };
    let nth = u32::try_from(op).expect("few");
    Op { nth, invoke, answers: smallvec![Answered { at_ns: ended_ns, outcome, is_late: false }] }
}

/// As the first execution at its place, in term 1.
pub(super) fn written(log_index: u64, answer: WriteAnswer) -> Outcome {
    Outcome::Written(Written { receipt: Receipt { place: at(log_index), replayed: false, term: 1 }, answer })
}

pub(super) fn read(answer: ReadAnswer) -> Outcome {
    Outcome::Read(Read { read_index: Some(9), ledger_time_ms: 90, answer })
}

pub(super) fn refused(reason: &str) -> Outcome {
    Outcome::Refused { reason: reason.into(), field: "".into(), place: Some(at(9)), term: 1 }
}

pub(super) fn unknown() -> Outcome {
    Outcome::Unknown { why: "deadline".into() }
}

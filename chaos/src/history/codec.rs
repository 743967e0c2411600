//! The bytes of a record. A call and its answer together take 64 to 128 bytes. A record must be used up.

use super::cluster::{FaultEvent, FaultStage, MemberId, NodeRole, Phase, ProcessEvent, ProcessStep, StatusSample};
use super::coded::{Coded, Decoded, Malformed, coded_enum, coded_struct};
use super::lists::{OrderList, PaymentList, PaymentState, Period};
use super::record::{
    Consistency, Invoke, MachineSync, OpId, OrderId, Outcome, PaymentName, Place, ProviderEvent, ProviderStep, Purpose, Read,
    ReadAnswer, Receipt, Record, Request, Return, WriteAnswer, Written,
};
use super::seen::{
    CodesSeen, LedgerTotals, OrderSeen, OrderState, PaymentOutcome, PaymentSeen, PolicySeen, RefundReason, RefundSeen,
    SerialsSeen, SettlementSeen, StampingSeen,
};

pub(super) fn encode(record: &Record, out: &mut Vec<u8>) {
    record.put(out);
}

pub(super) fn decode(mut bytes: &[u8]) -> Decoded<Record> {
    let record = Record::get(&mut bytes)?;
    if bytes.is_empty() { Ok(record) } else { Err(Malformed("the end of the record")) }
}

/// The payment and the order of a call that records one; `None` of any other record.
pub(super) fn recorded_payment(mut bytes: &[u8]) -> Decoded<Option<(PaymentName, OrderId)>> {
    let input = &mut bytes;
    if u8::get(input)? != INVOKE {
        return Ok(None);
    }
    // What stands before the request: op, times, session, node, purpose and batch.
    let _: (OpId, u64, u64) = (Coded::get(input)?, Coded::get(input)?, Coded::get(input)?);
    let _: (u32, u16, Purpose, u64) = (Coded::get(input)?, Coded::get(input)?, Coded::get(input)?, Coded::get(input)?);
    if u8::get(input)? != RECORD_PAYMENT {
        return Ok(None);
    }
    Ok(Some((Coded::get(input)?, Coded::get(input)?)))
}

/// Numbers of choices below.
const INVOKE: u8 = 1;
const RECORD_PAYMENT: u8 = 3;

impl Coded for OpId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        u64::get(input).map(Self)
    }
}

/// The end of a status, and of its record: a history from before nodes came to have other ids ends without it.
impl Coded for MemberId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        if input.is_empty() { Ok(Self::default()) } else { u64::get(input).map(Self) }
    }
}

/// The fold is as good as random: eight plain bytes are shorter.
impl Coded for CodesSeen {
    fn put(&self, out: &mut Vec<u8>) {
        self.count.put(out);
        self.fold.to_le_bytes().put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        Ok(Self { count: u32::get(input)?, fold: u64::from_le_bytes(Coded::get(input)?) })
    }
}

coded_struct! {
    Place { log_index, offset }
    PaymentName { gateway, payment_id }
    Invoke { op, at_ns, intended_ns, session, node, purpose, batch, request }
    Return { op, at_ns, outcome }
    Receipt { place, replayed, term }
    Written { receipt, answer }
    Read { read_index, ledger_time_ms, answer }
    OrderSeen {
        order, account, series, quantity, amount_idr, state, placed, placed_at_ms, expires_at_ms, settled, settled_at_ms, serials, paid_by,
        issued_at_ms, stamped
    }
    PaymentSeen { payment, order, amount_idr, outcome, recorded, recorded_at_ms, refund }
    RefundSeen { payment, order, amount_idr, reason, due, due_at_ms, settled }
    SettlementSeen { reference, place, settled_at_ms }
    StampingSeen { series, number, place, stamped_at_ms }
    PolicySeen { version, void_refund_percent, void_window_ms, set, set_at_ms }
    SerialsSeen { series, first_number, quantity, codes }
    OrderList { states, account, placed, page_size, page_token, after, as_of }
    PaymentList { states, gateway, recorded, page_size, page_token, after, as_of }
    Period { from_ms, until_ms }
    MachineSync { at_ns, took_ns }
    FaultEvent { at_ns, fault, stage, kind, node, role, term }
    ProcessEvent { at_ns, node, step }
    ProviderEvent { at_ns, payment, order, amount_idr, step }
    StatusSample {
        at_ns, node, role, term, voted_for, leader, last_log_index, committed_index, applied_index, snapshot_index, purged_index, digest,
        totals, member
    }
    LedgerTotals {
        orders_awaiting_payment, orders_issued, orders_cancelled, orders_expired, serials_issued, payments_applied, payments_refund_due,
        received_idr, issued_value_idr, refund_due_idr, orders_voided, serials_voided, stampings, refunds_due, refunds_settled, held_idr,
        refunded_idr, policy_version
    }
}

coded_enum! {
    Record {
        1 Invoke(invoke), 2 Return(answer), 3 LateReturn(answer), 4 Fault(event), 5 Process(event), 6 Provider(event), 7 Status(sample),
        8 Digest { at_ns, node, log_index, digest }, 9 Phase { at_ns, phase }, 10 MachineSync(sync),
    }
    Purpose { 1 Traffic, 2 Retry, 3 Duplicate, 4 Conflict, 5 Ask, 6 FreshWrite, 7 Forged }
    Consistency { 1 Linearizable, 2 Stale }
    Request {
        1 OpenSeries { series, first_number, capacity, face_value_idr, payment_window_ms },
        2 PlaceOrder { order, account, series, quantity },
        3 RecordPayment { payment, order, amount_idr },
        4 CancelOrder { order },
        5 GetOrder { order, consistency },
        6 GetPayment { payment, consistency },
        7 VerifySerial { code, consistency, document },
        8 VoidOrder { order },
        9 StampDocument { order, document },
        10 SettleRefund { payment, amount_idr, reference },
        11 SetPolicy { version, void_refund_percent, void_window_ms },
        12 GetPolicy,
        13 ListRefundsDue { page_size, page_token, after },
        14 ListOrders(list),
        15 ListPayments(list),
    }
    Outcome {
        1 Written(written), 2 Read(read), 3 Refused { reason, field, place, term }, 4 NotDone { reason }, 5 Unknown { why },
    }
    WriteAnswer {
        1 SeriesOpened, 2 Placed { amount_idr, expires_at_ms }, 3 Recorded { outcome, serials }, 4 Cancelled, 5 Voided { refund_idr },
        6 Stamped { series, number, code }, 7 RefundSettled, 8 PolicySet, 9 Noticed { outcome },
    }
    ReadAnswer {
        1 Absent, 2 Order(order), 3 Payment(payment), 4 SerialForged, 5 SerialUnknown, 6 SerialIssued { order, issued_at_ms },
        7 SerialStamped { order, issued_at_ms, stamped_at_ms, document_matches }, 8 SerialVoided { order, issued_at_ms, voided_at_ms },
        9 Policy(policy), 10 RefundsDue { refunds, next_page_token },
        11 Orders { orders, next_page_token }, 12 Payments { payments, next_page_token },
    }
    OrderState { 1 AwaitingPayment, 2 Issued, 3 Cancelled, 4 Expired, 5 Voided }
    PaymentOutcome { 1 Applied, 2 OrderUnknown, 3 OrderCancelled, 4 AlreadyPaid, 5 WrongAmount, 6 NoStock, 7 OrderVoided }
    RefundReason { 1 OrderUnknown, 2 OrderCancelled, 3 OrderVoided, 4 AlreadyPaid, 5 WrongAmount, 6 NoStock, 7 Void }
    PaymentState { 1 Applied, 2 RefundDue, 3 Refunded }
    FaultStage { 1 Planned, 2 Injected, 3 Effective, 4 Healed }
    NodeRole { 0 Unknown, 1 Uninitialized, 2 Learner, 3 Follower, 4 Candidate, 5 Leader, 6 Shutdown }
    ProcessStep { 1 Started { pid }, 2 Ready, 3 Exited { code, signal } }
    ProviderStep { 1 ChargeAccepted, 2 NoticeSent { nth, op }, 3 NoticeAnswered { nth, op, accepted }, 4 PaidOut { reference } }
    Phase { 1 WarmUp, 2 Faults, 3 Heal, 4 Ask, 5 Drain, 6 Scan, 7 End }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_paid_order() -> [Record; 2] {
        let payment = PaymentName { gateway: "midtrans".into(), payment_id: "pay-0000000123".into() };
        let op = OpId(123_456);
        let invoke = Invoke {
            op,
            at_ns: 31_000_000_000,
            intended_ns: 30_999_000_000,
            session: 77,
            node: 2,
            purpose: Purpose::Traffic,
            batch: 0,
            request: Request::RecordPayment { payment, order: [7; 16], amount_idr: 20_000 },
        };
        let serials = SerialsSeen { series: *b"A24", first_number: 240_001, quantity: 2, codes: CodesSeen::of(["one", "two"]) };
        let receipt = Receipt { place: Place { log_index: 40_321, offset: 17 }, replayed: false, term: 9 };
        let answer = WriteAnswer::Recorded { outcome: PaymentOutcome::Applied, serials: Some(serials) };
        let outcome = Outcome::Written(Written { receipt, answer });
        [Record::Invoke(invoke), Record::Return(Return { op, at_ns: 31_004_000_000, outcome })]
    }

    fn a_page_of_refunds() -> Outcome {
        let due = Place { log_index: 7, offset: 1 };
        let refund = |settled| RefundSeen {
            payment: PaymentName { gateway: "xendit".into(), payment_id: "pay-1".into() },
            order: [3; 16],
            amount_idr: 7_500,
            reason: RefundReason::Void,
            due,
            due_at_ms: 1,
            settled,
        };
        let settled = SettlementSeen { reference: "back-1".into(), place: due, settled_at_ms: 2 };
        let answer = ReadAnswer::RefundsDue { refunds: vec![refund(None), refund(Some(settled))], next_page_token: "x".into() };
        Outcome::Read(Read { read_index: Some(8), ledger_time_ms: 3, answer })
    }

    fn encoded(record: &Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(record, &mut bytes);
        bytes
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let status = StatusSample {
            digest: "ab".into(),
            totals: Some(LedgerTotals { received_idr: -1, ..Default::default() }),
            member: MemberId(5),
            ..Default::default()
        };
        let exited = ProcessStep::Exited { code: None, signal: Some(9) };
        let mut records = a_paid_order().to_vec();
        records.push(Record::Status(Box::new(status)));
        records.push(Record::Process(ProcessEvent { at_ns: u64::MAX, node: 3, step: exited }));
        records.push(Record::MachineSync(MachineSync { at_ns: 7, took_ns: 250_000 }));
        records.push(Record::Return(Return { op: OpId(9), at_ns: 5, outcome: a_page_of_refunds() }));
        for record in records {
            assert_eq!(decode(&encoded(&record)), Ok(record));
        }
    }

    #[test]
    fn a_call_and_its_answer_take_at_most_128_bytes() {
        let bytes: usize = a_paid_order().iter().map(|record| encoded(record).len() + super::super::writer::FRAME_BYTES).sum();
        assert!((64..=128).contains(&bytes), "{bytes} bytes");
    }

    #[test]
    fn a_status_of_an_earlier_version_is_of_the_member_that_has_the_nodes_number() {
        let told = StatusSample { node: 3, member: MemberId(5), ..StatusSample::default() };
        let bytes = encoded(&Record::Status(Box::new(told)));
        let members = [&bytes[..], &bytes[..bytes.len() - 1]].map(|bytes| match decode(bytes) {
            Ok(Record::Status(sample)) => sample.member(),
            other => panic!("{other:?}"),
        });
        assert_eq!(members, [5, 3]);
    }

    #[test]
    fn a_shortened_or_prolonged_record_is_malformed() {
        for record in a_paid_order() {
            let bytes = encoded(&record);
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
            }
            assert!(decode(&[bytes.as_slice(), &[0]].concat()).is_err());
        }
    }
}

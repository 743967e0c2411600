//! The bytes of a record: variable-length integers, texts with their length, one byte for a choice. A call and its answer
//! together take 64 to 128 bytes.
//!
//! Every read is bounded by the record, and a record must be used up: what does not decode is damage, never a default.

use super::cluster::{FaultEvent, FaultStage, NodeRole, Phase, ProcessEvent, ProcessStep, StatusSample};
use super::lists::{OrderList, PaymentList, PaymentState, Period};
use super::record::{
    Consistency, Invoke, OpId, Outcome, PaymentName, Place, ProviderEvent, ProviderStep, Purpose, Read, ReadAnswer, Receipt,
    Record, Request, Return, Text, WriteAnswer, Written,
};
use super::seen::{
    CodesSeen, LedgerTotals, OrderSeen, OrderState, PaymentOutcome, PaymentSeen, PolicySeen, RefundReason, RefundSeen,
    SerialsSeen, SettlementSeen,
};

/// The record is damaged, or of a newer format: what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

type Decoded<T> = Result<T, Malformed>;

/// Has one form in a history file.
trait Coded: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(input: &mut &[u8]) -> Decoded<Self>;
}

pub(super) fn encode(record: &Record, out: &mut Vec<u8>) {
    record.put(out);
}

pub(super) fn decode(mut bytes: &[u8]) -> Decoded<Record> {
    let record = Record::get(&mut bytes)?;
    if bytes.is_empty() { Ok(record) } else { Err(Malformed("the end of the record")) }
}

impl Coded for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        out.push(rest.to_le_bytes()[0]);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = u8::get(input)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("an integer"))
    }
}

/// Plain byte: choices and flags.
impl Coded for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let (&byte, rest) = input.split_first().ok_or(Malformed("a byte"))?;
        *input = rest;
        Ok(byte)
    }
}

macro_rules! coded_unsigned {
    ($($kind:ty),*) => {$(
        impl Coded for $kind {
            fn put(&self, out: &mut Vec<u8>) {
                u64::from(*self).put(out);
            }

            fn get(input: &mut &[u8]) -> Decoded<Self> {
                Self::try_from(u64::get(input)?).map_err(|_| Malformed("a smaller integer"))
            }
        }
    )*};
}
coded_unsigned!(u16, u32);

/// Zigzag, so that small negative numbers stay short.
impl Coded for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        ((self << 1) ^ (self >> 63)).cast_unsigned().put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let zigzag = u64::get(input)?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }
}

impl Coded for i32 {
    fn put(&self, out: &mut Vec<u8>) {
        i64::from(*self).put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        Self::try_from(i64::get(input)?).map_err(|_| Malformed("a smaller integer"))
    }
}

impl Coded for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        match u8::get(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag")),
        }
    }
}

impl<const N: usize> Coded for [u8; N] {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let (bytes, rest) = input.split_first_chunk().ok_or(Malformed("more bytes"))?;
        *input = rest;
        Ok(*bytes)
    }
}

impl Coded for Text {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let length = usize::try_from(u64::get(input)?).map_err(|_| Malformed("a text"))?;
        let (bytes, rest) = input.split_at_checked(length).ok_or(Malformed("a text"))?;
        *input = rest;
        std::str::from_utf8(bytes).map(Into::into).map_err(|_| Malformed("a text in UTF-8"))
    }
}

impl<T: Coded> Coded for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        if bool::get(input)? { T::get(input).map(Some) } else { Ok(None) }
    }
}

impl<T: Coded> Coded for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        self.iter().for_each(|one| one.put(out));
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        let count = u64::get(input)?;
        // One by one: a damaged count runs out of bytes, not of memory.
        (0..count).map(|_| T::get(input)).collect()
    }
}

impl<T: Coded> Coded for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        T::get(input).map(Self::new)
    }
}

/// A record of named fields, in the order in which they are written.
macro_rules! coded_struct {
    ($($name:ident { $($field:ident),* })*) => {$(
        impl Coded for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn get(input: &mut &[u8]) -> Decoded<Self> {
                Ok(Self { $($field: Coded::get(input)?),* })
            }
        }
    )*};
}

/// A choice: its number, then its fields. Numbers are never reused.
macro_rules! coded_enum {
    ($($name:ident { $($tag:literal $variant:ident $({ $($field:ident),* })? $(( $($inner:ident),* ))?),* $(,)? })*) => {$(
        impl Coded for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $($inner),* ))? => {
                        out.push($tag);
                        $($($field.put(out);)*)?
                        $($($inner.put(out);)*)?
                    })*
                }
            }

            fn get(input: &mut &[u8]) -> Decoded<Self> {
                match u8::get(input)? {
                    $($tag => {
                        $($(let $field = Coded::get(input)?;)*)?
                        $($(let $inner = Coded::get(input)?;)*)?
                        Ok(Self::$variant $({ $($field),* })? $(( $($inner),* ))?)
                    })*
                    _ => Err(Malformed(concat!("a choice of ", stringify!($name)))),
                }
            }
        }
    )*};
}

impl Coded for OpId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn get(input: &mut &[u8]) -> Decoded<Self> {
        u64::get(input).map(Self)
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
    PolicySeen { version, void_refund_percent, void_window_ms, set, set_at_ms }
    SerialsSeen { series, first_number, quantity, codes }
    OrderList { states, account, placed, page_size, page_token, after, as_of }
    PaymentList { states, gateway, recorded, page_size, page_token, after, as_of }
    Period { from_ms, until_ms }
    FaultEvent { at_ns, fault, stage, kind, node, role, term }
    ProcessEvent { at_ns, node, step }
    ProviderEvent { at_ns, payment, order, amount_idr, step }
    StatusSample {
        at_ns, node, role, term, voted_for, leader, last_log_index, committed_index, applied_index, snapshot_index, purged_index, digest,
        totals
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
        8 Digest { at_ns, node, log_index, digest }, 9 Phase { at_ns, phase },
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
            ..Default::default()
        };
        let exited = ProcessStep::Exited { code: None, signal: Some(9) };
        let mut records = a_paid_order().to_vec();
        records.push(Record::Status(status));
        records.push(Record::Process(ProcessEvent { at_ns: u64::MAX, node: 3, step: exited }));
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

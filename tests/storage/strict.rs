//! Decoding refuses what was never written: one row for each field that a bug or a damaged byte could leave empty or out of its
//! range. And it goes on reading what may have been written: the ranges of format 3.

use prost::Message;
use stampede::proto::storage as proto;
use stampede::proto::storage::audit_record::Body;
use stampede::proto::storage::command::Command as Kind;
use stampede::proto::storage::order_record::State;
use stampede::storage::{CommandBatch, StorageError, codec};

fn place() -> Option<proto::Place> {
    Some(proto::Place { log_index: 9, offset: 3 })
}

fn order_id() -> bytes::Bytes {
    vec![7; 16].into()
}

fn open_series() -> proto::OpenSeries {
    proto::OpenSeries {
        series_code: "A24".into(),
        first_number: 0,
        capacity: 10,
        face_value_idr: 10_000,
        payment_window_ms: 1_000,
        key_check: vec![7; 8].into(),
    }
}

fn place_order() -> proto::PlaceOrder {
    proto::PlaceOrder { order_id: order_id(), account_id: "ani".into(), series_code: "A24".into(), quantity: 2 }
}

fn record_payment() -> proto::RecordPayment {
    proto::RecordPayment { gateway: "midtrans".into(), payment_id: "p1".into(), order_id: order_id(), amount_idr: 20_000 }
}

fn series() -> proto::SeriesRecord {
    let proto::OpenSeries { series_code, first_number, capacity, face_value_idr, payment_window_ms, key_check } = open_series();
    proto::SeriesRecord {
        series_code,
        first_number,
        capacity,
        face_value_idr,
        payment_window_ms,
        key_check,
        issued: 0,
        reserved: 0,
        opened: place(),
        voided: 0,
    }
}

fn order() -> proto::OrderRecord {
    proto::OrderRecord {
        order_id: order_id(),
        account_id: "ani".into(),
        series_code: "A24".into(),
        quantity: 2,
        amount_idr: 20_000,
        placed: place(),
        placed_at_ms: 0,
        expires_at_ms: 1_000,
        state: Some(State::Awaiting(proto::Awaiting {})),
    }
}

fn issued(first_number: u64) -> Option<State> {
    let (gateway, payment_id) = ("midtrans".into(), "p1".into());
    Some(State::Issued(proto::Issued { first_number, gateway, payment_id, place: place(), at_ms: 0, stamped: 0 }))
}

fn issued_and_stamped(stamped: u32) -> Option<State> {
    let Some(State::Issued(issued)) = issued(1) else { unreachable!("made above") };
    Some(State::Issued(proto::Issued { stamped, ..issued }))
}

fn voided(stamped: u32, place: Option<proto::Place>) -> Option<State> {
    let Some(State::Issued(issued)) = issued_and_stamped(stamped) else { unreachable!("made above") };
    Some(State::Voided(proto::Voided { issued: Some(issued), place, at_ms: 0 }))
}

fn refund() -> proto::RefundRecord {
    proto::RefundRecord {
        gateway: "midtrans".into(),
        payment_id: "p1".into(),
        order_id: order_id(),
        amount_idr: 20_000,
        reason: proto::RefundReason::NoStock.into(),
        due: place(),
        due_at_ms: 0,
        settled: None,
    }
}

fn settlement() -> proto::Settlement {
    proto::Settlement { reference: "transfer-1".into(), place: place(), at_ms: 0 }
}

fn stamping() -> proto::StampingRecord {
    proto::StampingRecord {
        order_id: order_id(),
        document_sha256: vec![7; 32].into(),
        series_code: "A24".into(),
        number: 0,
        place: place(),
        at_ms: 0,
    }
}

fn set_policy() -> proto::SetPolicy {
    proto::SetPolicy { version: 1, void_refund_percent: 75, void_window_ms: 1_000 }
}

fn payment() -> proto::PaymentRecord {
    proto::PaymentRecord {
        gateway: "midtrans".into(),
        payment_id: "p1".into(),
        order_id: order_id(),
        amount_idr: 20_000,
        outcome: proto::PaymentOutcome::NoStock.into(),
        recorded: place(),
        ..Default::default()
    }
}

fn applied(first_number: u64, quantity: u32) -> proto::PaymentRecord {
    let outcome = proto::PaymentOutcome::Applied.into();
    proto::PaymentRecord { outcome, series_code: "A24".into(), first_number, quantity, ..payment() }
}

/// A record or command of this kind, changed; none if it is read.
fn refusal<M: Message, T>(
    mut message: M,
    change: impl FnOnce(&mut M),
    read: impl FnOnce(&M) -> Result<T, StorageError>,
) -> Option<String> {
    change(&mut message);
    match read(&message) {
        Ok(_) => None,
        Err(StorageError::Corrupt { what, cause }) => Some(format!("{what}: {cause}")),
        Err(other) => panic!("must be damage: {other:?}"),
    }
}

fn command(kind: Kind) -> Result<stampede::domain::Command, StorageError> {
    codec::command_from_proto(&proto::Command { command: Some(kind) })
}

fn in_open_series(change: fn(&mut proto::OpenSeries)) -> Option<String> {
    refusal(open_series(), change, |message| command(Kind::OpenSeries(message.clone())))
}

fn in_place_order(change: fn(&mut proto::PlaceOrder)) -> Option<String> {
    refusal(place_order(), change, |message| command(Kind::PlaceOrder(message.clone())))
}

fn in_record_payment(change: fn(&mut proto::RecordPayment)) -> Option<String> {
    refusal(record_payment(), change, |message| command(Kind::RecordPayment(message.clone())))
}

fn in_expire_orders(limit: u32) -> Option<String> {
    refusal(proto::ExpireOrders { limit }, |_| {}, |message| command(Kind::ExpireOrders(*message)))
}

fn in_batch(commands: usize) -> Option<String> {
    let cancel = proto::Command { command: Some(Kind::CancelOrder(proto::CancelOrder { order_id: order_id() })) };
    let batch = proto::CommandBatch { proposed_at_ms: 1, commands: vec![cancel; commands], cluster: None };
    refusal(batch, |_| {}, |message| CommandBatch::decode(message.encode_to_vec().into()))
}

fn in_series(change: fn(&mut proto::SeriesRecord)) -> Option<String> {
    refusal(series(), change, |message| codec::decode_series(&message.encode_to_vec()))
}

fn in_order(change: fn(&mut proto::OrderRecord)) -> Option<String> {
    refusal(order(), change, |message| codec::decode_order(&message.encode_to_vec()))
}

fn in_payment(payment: proto::PaymentRecord, change: fn(&mut proto::PaymentRecord)) -> Option<String> {
    refusal(payment, change, |message| codec::decode_payment(&message.encode_to_vec()))
}

fn in_stamp_document(change: fn(&mut proto::StampDocument)) -> Option<String> {
    let command_ = proto::StampDocument { order_id: order_id(), document_sha256: vec![7; 32].into() };
    refusal(command_, change, |message| command(Kind::StampDocument(message.clone())))
}

fn in_settle_refund(change: fn(&mut proto::SettleRefund)) -> Option<String> {
    let (gateway, payment_id, reference) = ("midtrans".into(), "p1".into(), "transfer-1".into());
    let settle = proto::SettleRefund { gateway, payment_id, amount_idr: 20_000, reference };
    refusal(settle, change, |message| command(Kind::SettleRefund(message.clone())))
}

fn in_set_policy(change: fn(&mut proto::SetPolicy)) -> Option<String> {
    refusal(set_policy(), change, |message| command(Kind::SetPolicy(*message)))
}

fn in_refund(change: fn(&mut proto::RefundRecord)) -> Option<String> {
    refusal(refund(), change, |message| codec::decode_refund(&message.encode_to_vec()))
}

fn in_stamping(change: fn(&mut proto::StampingRecord)) -> Option<String> {
    refusal(stamping(), change, |message| codec::decode_stamping(&message.encode_to_vec()))
}

fn in_policy(change: fn(&mut proto::PolicyRecord)) -> Option<String> {
    let proto::SetPolicy { version, void_refund_percent, void_window_ms } = set_policy();
    let record = proto::PolicyRecord { version, void_refund_percent, void_window_ms, set: place(), set_at_ms: 0 };
    refusal(record, change, |message| codec::decode_policy(&message.encode_to_vec()))
}

fn in_totals(change: fn(&mut proto::TotalsRecord)) -> Option<String> {
    refusal(proto::TotalsRecord::default(), change, |message| codec::decode_totals(&message.encode_to_vec()))
}

fn in_meta(change: fn(&mut proto::LedgerMeta)) -> Option<String> {
    let zeros = bytes::Bytes::from(vec![0; 32]);
    let meta = proto::LedgerMeta { digest: zeros.clone(), audit_head: zeros, ..Default::default() };
    refusal(meta, change, |message| codec::decode_meta(&message.encode_to_vec()))
}

fn in_audit(change: impl FnOnce(&mut proto::AuditRecord)) -> Option<String> {
    let reply = proto::Reply {
        place: place(),
        replayed: false,
        outcome: Some(proto::reply::Outcome::OrdersExpired(proto::OrdersExpired { count: 1 })),
    };
    let expire = proto::Command { command: Some(proto::command::Command::ExpireOrders(proto::ExpireOrders { limit: 9 })) };
    let batch = proto::CommandBatch { proposed_at_ms: 4, commands: vec![expire], cluster: None }.encode_to_vec();
    let expired = vec![proto::Expired { offset: 0, order_ids: vec![vec![7; 16].into()] }];
    let record = proto::AuditRecord {
        position: Some(proto::LogPosition { term: 1, index: 12 }),
        previous: vec![8; 32].into(),
        ledger_time_ms: 5,
        body: Some(Body::Commands(proto::AuditedCommands {
            batch: batch.into(),
            replies: vec![reply],
            expired,
            cluster: None,
        })),
    };
    refusal(record, change, |message| codec::decode_audit_record(&message.encode_to_vec()))
}

/// In the record of its only command.
fn in_audited(change: impl FnOnce(&mut proto::AuditedCommands)) -> Option<String> {
    in_audit(|record| match &mut record.body {
        Some(Body::Commands(audited)) => change(audited),
        _ => unreachable!("the record has commands"),
    })
}

fn in_reply(change: fn(&mut proto::Reply)) -> Option<String> {
    in_audited(|audited| change(&mut audited.replies[0]))
}

#[test]
#[rustfmt::skip]
fn a_command_that_was_never_written_is_damage() {
    let rows = [
        (refusal(proto::Command::default(), |_| {}, codec::command_from_proto), "command: kind is missing"),
        (in_open_series(|c| c.series_code.clear()), "OpenSeries command: series_code must have 3 to 3 characters, has 0"),
        (in_open_series(|c| c.first_number = 1 << 45), "OpenSeries command: first_number must be 0 to 35184372088831, is 35184372088832"),
        (in_open_series(|c| c.capacity = 0), "OpenSeries command: capacity must be 1 to 1000000000, is 0"),
        (in_open_series(|c| c.first_number = (1 << 45) - 9), "OpenSeries command: capacity must be 1 to 9, is 10"),
        (in_open_series(|c| c.face_value_idr = 0), "OpenSeries command: face_value_idr must be 1 to 1000000, is 0"),
        (in_open_series(|c| c.payment_window_ms = 0), "OpenSeries command: payment_window_ms must be 1000 to 2678400000, is 0"),
        (in_open_series(|c| c.key_check.clear()), "OpenSeries command: key_check must have 8 bytes, has 0"),
        (in_place_order(|c| c.order_id.clear()), "PlaceOrder command: order_id must have 16 bytes, has 0"),
        (in_place_order(|c| c.account_id.clear()), "PlaceOrder command: account_id must have 1 to 64 characters, has 0"),
        (in_place_order(|c| c.series_code.clear()), "PlaceOrder command: series_code must have 3 to 3 characters, has 0"),
        (in_place_order(|c| c.quantity = 0), "PlaceOrder command: quantity must be 1 to 10000, is 0"),
        (in_record_payment(|c| c.gateway.clear()), "RecordPayment command: gateway must have 1 to 32 characters, has 0"),
        (in_record_payment(|c| c.payment_id.clear()), "RecordPayment command: payment_id must have 1 to 64 characters, has 0"),
        (in_record_payment(|c| c.order_id.clear()), "RecordPayment command: order_id must have 16 bytes, has 0"),
        (in_record_payment(|c| c.amount_idr = 0), "RecordPayment command: amount_idr must be 1 to 1000000000000, is 0"),
        (in_expire_orders(0), "ExpireOrders command: limit must be 1 to 1000, is 0"),
        (in_expire_orders(1_001), "ExpireOrders command: limit must be 1 to 1000, is 1001"),
        (refusal(proto::VoidOrder::default(), |_| {}, |message| command(Kind::VoidOrder(message.clone()))), "VoidOrder command: order_id must have 16 bytes, has 0"),
        (in_stamp_document(|c| c.order_id.clear()), "StampDocument command: order_id must have 16 bytes, has 0"),
        (in_stamp_document(|c| c.document_sha256 = vec![7; 31].into()), "StampDocument command: document_sha256 must have 32 bytes, has 31"),
        (in_settle_refund(|c| c.payment_id.clear()), "SettleRefund command: payment_id must have 1 to 64 characters, has 0"),
        (in_settle_refund(|c| c.amount_idr = 0), "SettleRefund command: amount_idr must be 1 to 1000000000000, is 0"),
        (in_settle_refund(|c| c.reference.clear()), "SettleRefund command: reference must have 1 to 64 characters, has 0"),
        (in_set_policy(|c| c.version = 0), "SetPolicy command: version must be 1 to 4294967295, is 0"),
        (in_set_policy(|c| c.void_refund_percent = 101), "SetPolicy command: void_refund_percent must be 1 to 100, is 101"),
        (in_set_policy(|c| c.void_window_ms = 999), "SetPolicy command: void_window_ms must be 1000 to 31622400000, is 999"),
        (in_batch(1_001), "command batch: has 1001 commands, at most 1000 fit"),
    ];
    for (found, expect) in rows {
        assert_eq!(found.as_deref(), Some(expect));
    }
}

#[test]
#[rustfmt::skip]
fn a_record_that_was_never_written_is_damage() {
    let rows = [
        (in_series(|r| r.capacity = 0), "series record: capacity must be 1 to 1000000000, is 0"),
        (in_series(|r| r.first_number = (1 << 45) - 9), "series record: capacity must be 1 to 9, is 10"),
        (in_series(|r| r.face_value_idr = 0), "series record: face_value_idr must be 1 to 1000000, is 0"),
        (in_series(|r| r.payment_window_ms = 0), "series record: payment_window_ms must be 1000 to 2678400000, is 0"),
        (in_series(|r| r.issued = 11), "series record: 11 issued, 0 voided and 0 reserved of 10 stamps"),
        (in_series(|r| (r.issued, r.voided, r.reserved) = (4, 3, 4)), "series record: 4 issued, 3 voided and 4 reserved of 10 stamps"),
        (in_series(|r| r.opened = None), "series record: opened is missing"),
        (in_order(|r| r.order_id.clear()), "order record: order_id must have 16 bytes, has 0"),
        (in_order(|r| r.account_id.clear()), "order record: account_id must have 1 to 64 characters, has 0"),
        (in_order(|r| r.quantity = 0), "order record: quantity must be 1 to 10000, is 0"),
        (in_order(|r| r.amount_idr = 0), "order record: amount_idr must be 1 to 1000000000000, is 0"),
        (in_order(|r| r.placed = None), "order record: placed is missing"),
        (in_order(|r| r.expires_at_ms = 0), "order record: expires_at_ms must be 1000 or later, is 0"),
        (in_order(|r| r.placed_at_ms = 500), "order record: expires_at_ms must be 1500 or later, is 1000"),
        (in_order(|r| r.state = None), "order record: state is missing"),
        // Its second stamp would be one past the highest number.
        (in_order(|r| r.state = issued((1 << 45) - 1)), "order record: last number must be 0 to 35184372088831, is 35184372088832"),
        (in_order(|r| r.state = issued_and_stamped(3)), "order record: 3 stamped of 2 stamps"),
        (in_order(|r| r.state = voided(1, place())), "order record: is voided, but has stamps on documents"),
        (in_order(|r| r.state = voided(0, None)), "order record: voided.place is missing"),
        (in_refund(|r| r.payment_id.clear()), "refund record: payment_id must have 1 to 64 characters, has 0"),
        (in_refund(|r| r.order_id.clear()), "refund record: order_id must have 16 bytes, has 0"),
        (in_refund(|r| r.amount_idr = 0), "refund record: amount_idr must be 1 to 1000000000000, is 0"),
        (in_refund(|r| r.reason = 0), "refund record: reason is missing"),
        (in_refund(|r| r.due = None), "refund record: due is missing"),
        (in_refund(|r| r.settled = Some(proto::Settlement { reference: String::new(), ..settlement() })), "refund record: settled.reference must have 1 to 64 characters, has 0"),
        (in_refund(|r| r.settled = Some(proto::Settlement { place: None, ..settlement() })), "refund record: settled.place is missing"),
        (in_stamping(|r| r.order_id.clear()), "stamping record: order_id must have 16 bytes, has 0"),
        (in_stamping(|r| r.document_sha256.clear()), "stamping record: document_sha256 must have 32 bytes, has 0"),
        (in_stamping(|r| r.series_code.clear()), "stamping record: series_code must have 3 to 3 characters, has 0"),
        (in_stamping(|r| r.number = 1 << 45), "stamping record: number must be 0 to 35184372088831, is 35184372088832"),
        (in_stamping(|r| r.place = None), "stamping record: place is missing"),
        (in_policy(|r| r.version = 0), "policy record: version must be 1 to 4294967295, is 0"),
        (in_policy(|r| r.set = None), "policy record: set is missing"),
        (in_payment(payment(), |r| r.gateway.clear()), "payment record: gateway must have 1 to 32 characters, has 0"),
        (in_payment(payment(), |r| r.amount_idr = 0), "payment record: amount_idr must be 1 to 1000000000000, is 0"),
        (in_payment(payment(), |r| r.outcome = 0), "payment record: outcome is missing"),
        (in_payment(payment(), |r| r.recorded = None), "payment record: recorded is missing"),
        (in_payment(payment(), |r| r.quantity = 1), "payment record: has stamps, but is a refund due"),
        (in_payment(payment(), |r| r.first_number = 1), "payment record: has stamps, but is a refund due"),
        (in_payment(payment(), |r| r.series_code = "A24".into()), "payment record: has stamps, but is a refund due"),
        (in_payment(applied(1, 2), |r| r.series_code.clear()), "payment record: series_code must have 3 to 3 characters, has 0"),
        (in_payment(applied(1, 2), |r| r.quantity = 0), "payment record: quantity must be 1 to 10000, is 0"),
        (in_payment(applied((1 << 45) - 1, 2), |_| {}), "payment record: last number must be 0 to 35184372088831, is 35184372088832"),
        (in_totals(|_| {}), "totals record: counts nothing"),
        (in_totals(|r| r.refunds_settled = 1), "totals record: 1 refunds settled of 0"),
        (in_meta(|r| r.digest.clear()), "ledger meta: digest must have 32 bytes, has 0"),
        (in_meta(|r| r.audit_head.clear()), "ledger meta: audit_head must have 32 bytes, has 0"),
        (in_audit(|r| r.position = None), "audit record: position is missing"),
        (in_audit(|r| r.previous.clear()), "audit record: previous must have 32 bytes, has 0"),
        (in_audit(|r| r.body = None), "audit record: body is missing"),
        (in_audited(|c| c.batch.clear()), "audit record: has 1 replies to 0 commands"),
        (in_audited(|c| c.replies.clear()), "audit record: has 0 replies to 1 commands"),
        (in_audited(|c| c.expired[0].offset = 1), "audit record: has no command 1 to expire"),
        (in_audited(|c| c.expired[0].order_ids[0].clear()), "audit record: order_id must have 16 bytes, has 0"),
        (in_reply(|r| r.place = None), "reply: place is missing"),
        (in_reply(|r| r.outcome = None), "reply: outcome is missing"),
    ];
    for (found, expect) in rows {
        assert_eq!(found.as_deref(), Some(expect));
    }
}

/// The widest values of format 3, in numbers, not by the names in `limits.rs`: a narrower limit would leave a node that cannot
/// read what it wrote.
#[test]
fn what_may_have_been_written_is_read() {
    let rows = [
        ("as they are", [in_open_series(|_| {}), in_place_order(|_| {}), in_record_payment(|_| {}), in_series(|_| {})]),
        (
            "texts",
            [
                in_place_order(|c| c.account_id = "a".repeat(64)),
                in_record_payment(|c| c.gateway = "g".repeat(32)),
                in_record_payment(|c| c.payment_id = "p".repeat(64)),
                in_order(|r| r.account_id = "Aa0._-".into()),
            ],
        ),
        (
            "terms",
            [
                in_open_series(|c| c.capacity = 1_000_000_000),
                in_open_series(|c| (c.first_number, c.capacity) = ((1 << 45) - 1, 1)),
                in_open_series(|c| c.face_value_idr = 1_000_000),
                in_open_series(|c| c.payment_window_ms = 2_678_400_000),
            ],
        ),
        (
            "small terms",
            [
                in_open_series(|c| c.capacity = 1),
                in_open_series(|c| c.face_value_idr = 1),
                in_record_payment(|c| c.amount_idr = 1),
                in_record_payment(|c| c.amount_idr = 1_000_000_000_000),
            ],
        ),
        ("counts", [in_place_order(|c| c.quantity = 10_000), in_expire_orders(1), in_expire_orders(1_000), in_batch(1_000)]),
        (
            "records",
            [
                in_series(|r| (r.issued, r.reserved) = (4, 6)),
                in_order(|r| r.state = issued((1 << 45) - 2)),
                // A clock at the highest number: the expiry stays there too.
                in_order(|r| (r.placed_at_ms, r.expires_at_ms) = (u64::MAX, u64::MAX)),
                in_payment(applied(0, 1), |_| {}),
            ],
        ),
        (
            "after the issue",
            [
                in_series(|r| (r.issued, r.voided, r.reserved) = (4, 3, 3)),
                in_order(|r| r.state = issued_and_stamped(2)),
                in_order(|r| r.state = voided(0, place())),
                in_refund(|r| r.settled = Some(settlement())),
            ],
        ),
        (
            "policies and documents",
            [
                in_set_policy(|c| {
                    *c = proto::SetPolicy { version: u32::MAX, void_refund_percent: 100, void_window_ms: 31_622_400_000 }
                }),
                in_set_policy(|c| *c = proto::SetPolicy { version: 1, void_refund_percent: 1, void_window_ms: 1_000 }),
                in_settle_refund(|c| c.reference = "r".repeat(64)),
                in_stamping(|r| r.number = (1 << 45) - 1),
            ],
        ),
        (
            "zeros",
            [
                in_batch(0),
                in_payment(payment(), |r| r.recorded = Some(proto::Place::default())),
                // The clock of a ledger that has no orders yet.
                in_totals(|r| r.ledger_time_ms = 1),
                in_meta(|_| {}),
            ],
        ),
    ];
    for (what, refusals) in rows {
        assert_eq!(refusals, [const { None }; 4], "{what}");
    }
}

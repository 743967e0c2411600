//! The bytes on disk, frozen. A change here is a change of the format: old directories must still be read, and
//! `FORMAT_VERSION` must rise if an older program could misread the new bytes.

use std::fmt::Write;

use prost::Message;
use stampede::domain::{
    AccountId, Command, Issue, LedgerTime, Order, OrderState, Outcome, Payment, PaymentCounts, PaymentOutcome, Place, Policy,
    PolicyTerms, Quantity, Refund, RefundReason, Refusal, Reply, Rupiah, SerialRange, Series, Settlement, SettlementReference,
    StampNumber, Stamping, Totals,
};
use stampede::proto::storage::{AppliedMembership, MemberNode, Membership, SnapshotFile, SnapshotManifest, Vote, VoterSet};
use stampede::storage::audit::{AuditBody, AuditRecord, AuditedCommand};
use stampede::storage::cluster::{Admitted, ClusterOutcome, ClusterRefusal, Token};
use stampede::storage::{
    AuditName, ClusterCommand, ClusterState, CommandBatch, DataDir, EntryBody, LedgerMeta, StateDigest, StorageError, codec,
    keys,
};

use crate::support::{
    document, open_series, order_id, payment_name, place_order, position, record_payment, series_code, set_policy,
    settle_refund, stamp_document,
};

fn place(log_index: u64) -> Place {
    Place { log_index, offset: 3 }
}

fn series() -> Series {
    Series {
        code: series_code(1),
        first_number: StampNumber::new(1_000).unwrap(),
        capacity: 500,
        face_value: Rupiah::from_idr(10_000),
        payment_window_ms: 900_000,
        key_check: [1, 2, 3, 4, 5, 6, 7, 8],
        issued: 40,
        voided: 3,
        reserved: 2,
        opened: place(4),
    }
}

fn order(state: OrderState) -> Order {
    Order {
        id: order_id(0x0102_0304),
        account: AccountId::new("portal-7").unwrap(),
        series: series_code(1),
        quantity: Quantity::new(2).unwrap(),
        amount: Rupiah::from_idr(20_000),
        placed: place(9),
        placed_at: LedgerTime(1_725_000_000_000),
        expires_at: LedgerTime(1_725_000_900_000),
        state,
    }
}

fn orders() -> Vec<(&'static str, Order)> {
    let (place, at) = (place(11), LedgerTime(1_725_000_000_500));
    let issue = || Issue { first: StampNumber::new(1_040).unwrap(), paid_by: payment_name(5), place, at };
    vec![
        ("order awaiting", order(OrderState::AwaitingPayment)),
        ("order issued", order(OrderState::Issued { issue: issue(), stamped: 0 })),
        ("order stamped", order(OrderState::Issued { issue: issue(), stamped: 2 })),
        ("order voided", order(OrderState::Voided { issue: issue(), place: self::place(12), at })),
        ("order cancelled", order(OrderState::Cancelled { place, at })),
        ("order expired", order(OrderState::Expired { place, at })),
    ]
}

fn payments() -> Vec<(&'static str, Payment)> {
    let range =
        SerialRange { series: series_code(1), first: StampNumber::new(1_040).unwrap(), quantity: Quantity::new(2).unwrap() };
    let outcomes = [
        ("payment applied", PaymentOutcome::Applied(range)),
        ("payment order unknown", PaymentOutcome::OrderUnknown),
        ("payment order cancelled", PaymentOutcome::OrderCancelled),
        ("payment order voided", PaymentOutcome::OrderVoided),
        ("payment already paid", PaymentOutcome::AlreadyPaid),
        ("payment wrong amount", PaymentOutcome::WrongAmount),
        ("payment no stock", PaymentOutcome::NoStock),
    ];
    let payment = |outcome| Payment {
        name: payment_name(5),
        order: order_id(0x0102_0304),
        amount: Rupiah::from_idr(20_000),
        outcome,
        recorded: place(11),
        recorded_at: LedgerTime(1_725_000_000_500),
    };
    outcomes.into_iter().map(|(name, outcome)| (name, payment(outcome))).collect()
}

fn totals() -> Totals {
    Totals {
        orders_awaiting_payment: 1,
        orders_issued: 2,
        orders_cancelled: 3,
        orders_expired: 4,
        orders_voided: 5,
        serials_issued: 6,
        serials_voided: 7,
        stampings: 8,
        payments: PaymentCounts {
            applied: 9,
            order_unknown: 10,
            order_cancelled: 11,
            order_voided: 12,
            already_paid: 13,
            wrong_amount: 14,
            no_stock: 15,
        },
        refunds: 17,
        refunds_settled: 16,
        received: Rupiah::from_idr(18),
        issued_ever: Rupiah::from_idr(19),
        voided_value: Rupiah::from_idr(20),
        held: Rupiah::from_idr(21),
        due_ever: Rupiah::from_idr(22),
        refunded: Rupiah::from_idr(23),
        policy_version: 24,
        ledger_time: LedgerTime(25),
    }
}

fn refunds() -> Vec<(&'static str, Refund)> {
    let settled = Settlement {
        reference: SettlementReference::new("transfer-1").unwrap(),
        place: place(13),
        at: LedgerTime(1_725_000_001_000),
    };
    let refund = |reason, settled| Refund {
        payment: payment_name(5),
        order: order_id(0x0102_0304),
        amount: Rupiah::from_idr(20_000),
        reason,
        due: place(11),
        due_at: LedgerTime(1_725_000_000_500),
        settled,
    };
    vec![
        ("refund order unknown", refund(RefundReason::OrderUnknown, None)),
        ("refund order cancelled", refund(RefundReason::OrderCancelled, None)),
        ("refund order voided", refund(RefundReason::OrderVoided, None)),
        ("refund already paid", refund(RefundReason::AlreadyPaid, None)),
        ("refund wrong amount", refund(RefundReason::WrongAmount, None)),
        ("refund no stock", refund(RefundReason::NoStock, None)),
        ("refund void, settled", refund(RefundReason::Void, Some(settled))),
    ]
}

fn stamping() -> Stamping {
    Stamping {
        order: order_id(0x0102_0304),
        document: document(7),
        series: series_code(1),
        number: StampNumber::new(1_040).unwrap(),
        place: place(14),
        at: LedgerTime(1_725_000_002_000),
    }
}

fn policy() -> Policy {
    let terms = PolicyTerms::new(3, 75, 259_200_000).unwrap();
    Policy { terms, set: place(15), set_at: LedgerTime(1_725_000_003_000) }
}

fn membership() -> Membership {
    let node = |node_id| MemberNode {
        node_id,
        peer_address: format!("127.0.0.1:77{node_id}1"),
        client_address: format!("127.0.0.1:77{node_id}0"),
    };
    Membership { voter_sets: vec![VoterSet { node_ids: vec![1, 2] }], nodes: vec![node(1), node(2)] }
}

fn meta() -> LedgerMeta {
    let membership = AppliedMembership { position: Some(position(2)), membership: Some(membership()) };
    LedgerMeta {
        applied: Some(position(12)),
        membership: Some(membership),
        digest: StateDigest([1, 2, 3, u64::MAX]),
        audit_head: AuditName([9; 32]),
        cluster: ClusterState::default(),
    }
}

/// Of a cluster that changed: one token open, one used, one whose node is a member.
fn changed_meta() -> LedgerMeta {
    let token = |admitted| Token { secret: [3; 32], expires_at: LedgerTime(1_725_000_900_000), admitted };
    let admitted = |node_id, was_member| Some(Admitted { joiner: [4; 16], node_id, was_member });
    let tokens = [([1; 16], token(None)), ([2; 16], token(admitted(7, false))), ([5; 16], token(admitted(6, true)))];
    LedgerMeta { cluster: ClusterState { next_node_id: 8, tokens: tokens.into() }, ..meta() }
}

fn cluster_batches() -> [(&'static str, CommandBatch); 2] {
    let (token, at) = ([1; 16], LedgerTime(1_725_000_000_000));
    let of = |command| CommandBatch::of_cluster(at, command);
    [
        ("token", of(ClusterCommand::IssueToken { token, secret: [3; 32], valid_for_ms: 3_600_000 })),
        ("node", of(ClusterCommand::AdmitNode { token, joiner: [4; 16] })),
    ]
}

fn cluster_outcomes() -> Vec<ClusterOutcome> {
    let done = [
        ClusterOutcome::TokenIssued { expires_at: LedgerTime(1_725_003_600_000) },
        ClusterOutcome::NodeAdmitted { node_id: 4 },
    ];
    done.into_iter().chain(ClusterRefusal::ALL.map(ClusterOutcome::Refused)).collect()
}

fn batch() -> CommandBatch {
    let cancel = Command::CancelOrder { order: order_id(1) };
    let void = Command::VoidOrder { order: order_id(1) };
    let commands = vec![
        open_series(1),
        place_order(1),
        record_payment(5, 1, 20_000),
        cancel,
        Command::ExpireOrders { limit: 9 },
        void,
        stamp_document(1, 7),
        settle_refund(5, 20_000),
        set_policy(1),
    ];
    CommandBatch::new(LedgerTime(1_725_000_000_000), commands)
}

fn bodies() -> Vec<(&'static str, EntryBody)> {
    vec![
        ("entry blank", EntryBody::Blank),
        ("entry commands", EntryBody::Commands(batch())),
        ("entry membership", EntryBody::Membership(membership())),
        ("entry cluster token", EntryBody::Commands(cluster_batches()[0].1.clone())),
        ("entry cluster node", EntryBody::Commands(cluster_batches()[1].1.clone())),
    ]
}

fn audit_record(body: AuditBody) -> AuditRecord {
    AuditRecord { position: position(12), previous: AuditName([8; 32]), ledger_time: LedgerTime(1_725_000_000_500), body }
}

/// One command with each outcome that a command can have.
fn audit_bodies() -> Vec<(&'static str, AuditBody)> {
    let range =
        SerialRange { series: series_code(1), first: StampNumber::new(1_040).unwrap(), quantity: Quantity::new(2).unwrap() };
    let expires_at = LedgerTime(1_725_000_900_000);
    let outcomes = [
        Outcome::SeriesOpened,
        Outcome::OrderPlaced { amount: Rupiah::from_idr(20_000), expires_at },
        Outcome::PaymentRecorded(PaymentOutcome::Applied(range)),
        Outcome::PaymentRecorded(PaymentOutcome::NoStock),
        Outcome::OrderCancelled,
        Outcome::OrderVoided { refund: Rupiah::from_idr(15_000) },
        Outcome::DocumentStamped { series: series_code(1), number: StampNumber::new(1_040).unwrap() },
        Outcome::RefundSettled,
        Outcome::PolicySet,
        Outcome::OrdersExpired { count: 1 },
        Outcome::Refused(Refusal::OrderIdReused { field: "quantity" }),
    ];
    let batch = CommandBatch::new(LedgerTime(1_725_000_000_000), vec![place_order(1); outcomes.len()]);
    let commands = outcomes.into_iter().map(|outcome| AuditedCommand {
        command: place_order(1),
        expired: if matches!(outcome, Outcome::OrdersExpired { .. }) { vec![order_id(7)] } else { Vec::new() },
        reply: Reply { place: place(11), replayed: matches!(outcome, Outcome::OrderCancelled), outcome },
    });
    let commands = AuditBody::Commands { batch, commands: commands.collect(), cluster: None };
    let mut all = vec![
        ("audit blank", AuditBody::Blank),
        ("audit commands", commands),
        ("audit membership", AuditBody::Membership(membership())),
    ];
    let [(_, issue), (_, admit)] = cluster_batches();
    all.extend(cluster_outcomes().into_iter().map(|outcome| {
        let batch = if matches!(outcome, ClusterOutcome::TokenIssued { .. }) { &issue } else { &admit };
        let body = AuditBody::Commands { batch: batch.clone(), commands: Vec::new(), cluster: Some(outcome) };
        ("audit cluster command", body)
    }));
    all
}

fn all_encodings() -> Vec<(&'static str, Vec<u8>)> {
    let (number, time) = (StampNumber::new(1_040).unwrap(), LedgerTime(1_725_000_900_000));
    let mut all = vec![
        ("key log entry", keys::log_entry(0x0102).to_vec()),
        ("key log vote", keys::LOG_VOTE.to_vec()),
        ("key log committed", keys::LOG_COMMITTED.to_vec()),
        ("key log purged", keys::LOG_PURGED.to_vec()),
        ("key meta", keys::META.to_vec()),
        ("key totals", keys::TOTALS.to_vec()),
        ("key series", keys::series(series_code(1))),
        ("key order", keys::order(order_id(0x0102_0304))),
        ("key payment", keys::payment(&payment_name(5))),
        ("key expiry", keys::expiry(time, order_id(0x0102_0304))),
        ("key holder", keys::holder(series_code(1), number)),
        ("key refund", keys::refund(&payment_name(5))),
        ("key stamping", keys::stamping(order_id(0x0102_0304), document(7))),
        ("key policy", keys::policy(3)),
        ("key refund due", keys::refund_due(place(11))),
        ("key document", keys::document(series_code(1), number)),
        ("key audit", keys::audit(0x0102)),
        ("holder", keys::holder_value(order_id(0x0102_0304), 2).to_vec()),
        ("series", codec::encode_series(&series())),
        ("totals", codec::encode_totals(&totals())),
        ("meta", codec::encode_meta(&meta())),
        ("meta of a cluster that changed", codec::encode_meta(&changed_meta())),
        ("stamping", codec::encode_stamping(&stamping())),
        ("policy", codec::encode_policy(&policy())),
    ];
    all.extend(refunds().iter().map(|(name, refund)| (*name, codec::encode_refund(refund))));
    all.extend(orders().iter().map(|(name, order)| (*name, codec::encode_order(order))));
    all.extend(payments().iter().map(|(name, payment)| (*name, codec::encode_payment(payment))));
    all.extend(bodies().iter().map(|(name, body)| (*name, codec::encode_entry(&position(12), body).to_vec())));
    all.extend(audit_bodies().into_iter().map(|(name, body)| (name, codec::encode_audit_record(&audit_record(body)))));
    let mut digest = StateDigest::default();
    digest.add(&keys::series(series_code(1)), &codec::encode_series(&series()));
    all.push(("digest of the series alone", digest.to_bytes().to_vec()));
    digest.replace_audit_head(AuditName::GENESIS, AuditName([9; 32]));
    all.push(("digest of the series and an audit head", digest.to_bytes().to_vec()));
    all.extend(files());
    all
}

/// What is on disk beside the records.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path(), 7).unwrap();
    data.set_cluster("0191c8e0-0000-7000-8000-000000000001", "rush").unwrap();
    let file = |name: &str, fill: u8| SnapshotFile { name: name.to_owned(), size_bytes: 300, blake3: vec![fill; 32].into() };
    let manifest = SnapshotManifest {
        format_version: 4,
        meta: Some(codec::meta_to_proto(&meta())),
        files: vec![file("000012.sst", 1), file("CURRENT", 2)],
    };
    vec![
        ("vote", Vote { term: 3, node_id: 2, committed: true }.encode_to_vec()),
        ("snapshot manifest", manifest.encode_to_vec()),
        ("NODE", std::fs::read(dir.path().join("NODE")).unwrap()),
        ("ledger/CURRENT", std::fs::read(dir.path().join("ledger/CURRENT")).unwrap()),
    ]
}

#[test]
fn every_encoding_is_frozen() {
    let mut found = String::new();
    for (name, bytes) in all_encodings() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(found, "{name}: {hex}").unwrap();
    }
    assert_eq!(found, include_str!("golden.txt"), "the format has changed:\n{found}");
}

#[test]
fn what_was_encoded_is_decoded() {
    assert_eq!(codec::decode_series(&codec::encode_series(&series())).unwrap(), series());
    assert_eq!(codec::decode_totals(&codec::encode_totals(&totals())).unwrap(), totals());
    for meta in [meta(), changed_meta()] {
        assert_eq!(codec::decode_meta(&codec::encode_meta(&meta)).unwrap(), meta);
    }
    for (name, order) in orders() {
        assert_eq!(codec::decode_order(&codec::encode_order(&order)).unwrap(), order, "{name}");
    }
    for (name, payment) in payments() {
        assert_eq!(codec::decode_payment(&codec::encode_payment(&payment)).unwrap(), payment, "{name}");
    }
    for (name, refund) in refunds() {
        assert_eq!(codec::decode_refund(&codec::encode_refund(&refund)).unwrap(), refund, "{name}");
    }
    assert_eq!(codec::decode_stamping(&codec::encode_stamping(&stamping())).unwrap(), stamping());
    assert_eq!(codec::decode_policy(&codec::encode_policy(&policy())).unwrap(), policy());
    for (name, body) in bodies() {
        let entry = codec::decode_entry(&codec::encode_entry(&position(12), &body)).unwrap();
        assert_eq!(entry.position, position(12));
        assert_eq!(format!("{:?}", entry.body), format!("{body:?}"), "{name}");
    }
    for (name, body) in audit_bodies() {
        let record = audit_record(body);
        assert_eq!(codec::decode_audit_record(&codec::encode_audit_record(&record)).unwrap(), record, "{name}");
    }
}

#[test]
fn what_was_never_written_is_damage() {
    let damaged = |result: Result<String, StorageError>| match result {
        Err(StorageError::Corrupt { what, cause }) => format!("{what}: {cause}"),
        other => panic!("must be damage: {other:?}"),
    };
    let order = |bytes: &[u8]| damaged(codec::decode_order(bytes).map(|order| format!("{order:?}")));
    assert_eq!(order(&[]), "order record: state is missing");
    let mut short_id = codec::encode_order(&orders()[0].1);
    // The id's length, and one byte of it.
    short_id[1] = 15;
    short_id.remove(2);
    assert_eq!(order(&short_id), "order record: order_id must have 16 bytes, has 15");
    assert!(order(&[0xff]).starts_with("order record: "));
    let oversold = Series { issued: 499, reserved: 2, ..series() };
    let series = codec::decode_series(&codec::encode_series(&oversold)).map(|series| format!("{series:?}"));
    assert_eq!(damaged(series), "series record: 499 issued, 3 voided and 2 reserved of 500 stamps");
    let entry = codec::decode_entry(&[]).map(|entry| format!("{entry:?}"));
    assert_eq!(damaged(entry), "log entry: position is missing");
}

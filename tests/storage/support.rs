//! Entries to apply, and a ledger in memory to compare with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stampede::domain::series::SeriesTerms;
use stampede::domain::{
    AccountId, Command, DocumentDigest, Gateway, LedgerTime, LedgerView, MemoryLedger, OrderId, Overlay, PaymentId,
    PaymentName, PolicyTerms, Quantity, RefundReason, Reply, Rupiah, SeriesCode, SettlementReference, StampNumber,
};
use stampede::storage::{
    ClusterCommand, CommandBatch, CommittedEntry, Due, EntryBody, LedgerMeta, LedgerStore, LogPosition, LogRecord, LogStore,
    LogWrite, Membership, RocksLedger, RocksLog, StateDigest, StorageError, apply_entry, codec,
};

/// Small and seeded: the entries of a seed are the same on every machine.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

pub(crate) fn position(index: u64) -> LogPosition {
    LogPosition { term: 1, index }
}

pub(crate) fn order_id(number: u64) -> OrderId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    OrderId::from_bytes(bytes)
}

pub(crate) fn series_code(number: u64) -> SeriesCode {
    SeriesCode::new(&format!("A0{number}")).unwrap()
}

pub(crate) fn payment_name(number: u64) -> PaymentName {
    let payment_id = PaymentId::new(&format!("pay-{number}")).unwrap();
    PaymentName { gateway: Gateway::new("midtrans").unwrap(), payment_id }
}

pub(crate) fn quantity_of(order: u64) -> u32 {
    u32::try_from(1 + order % 7).unwrap()
}

pub(crate) fn open_series(number: u64) -> Command {
    let first_number = StampNumber::new(1_000 * number).unwrap();
    Command::OpenSeries(SeriesTerms::new(series_code(number), first_number, 150, 10_000, 3_000, [7; 8]).unwrap())
}

pub(crate) fn place_order(order: u64) -> Command {
    Command::PlaceOrder {
        order: order_id(order),
        account: AccountId::new("portal-1").unwrap(),
        series: series_code(order % 2),
        quantity: Quantity::new(quantity_of(order)).unwrap(),
    }
}

pub(crate) fn record_payment(payment: u64, order: u64, amount_idr: u64) -> Command {
    Command::RecordPayment { payment: payment_name(payment), order: order_id(order), amount: Rupiah::from_idr(amount_idr) }
}

pub(crate) fn document(number: u64) -> DocumentDigest {
    DocumentDigest::from_bytes([u8::try_from(number).unwrap(); 32])
}

pub(crate) fn stamp_document(order: u64, number: u64) -> Command {
    Command::StampDocument { order: order_id(order), document: document(number) }
}

pub(crate) fn settle_refund(payment: u64, amount_idr: u64) -> Command {
    let reference = SettlementReference::new("transfer-1").unwrap();
    Command::SettleRefund { payment: payment_name(payment), amount: Rupiah::from_idr(amount_idr), reference }
}

pub(crate) fn set_policy(version: u32) -> Command {
    Command::SetPolicy(PolicyTerms::new(version, 50, 60_000).unwrap())
}

pub(crate) fn entry(index: u64, proposed_at_ms: u64, commands: Vec<Command>) -> CommittedEntry {
    let batch = CommandBatch::new(LedgerTime(proposed_at_ms), commands);
    CommittedEntry { position: position(index), body: EntryBody::Commands(batch) }
}

/// Blank, series, then a mix in which ids collide, stock runs out, orders expire, are voided and stamped, refunds are settled, the
/// policy changes and clocks go back.
pub(crate) fn entries(seed: u64, count: u64) -> Vec<CommittedEntry> {
    let mut dice = Dice::new(seed);
    let mut now = 1_000_000;
    let mut all = vec![
        CommittedEntry { position: position(0), body: EntryBody::Membership(Membership::default()) },
        CommittedEntry { position: position(1), body: EntryBody::Blank },
        entry(2, now, vec![open_series(0), open_series(1)]),
    ];
    for index in 3..count {
        now += dice.below(400);
        let commands = (0..dice.below(12)).map(|_| random_command(&mut dice)).collect();
        all.push(match index % 9 {
            4 => of_cluster(index, now),
            _ => entry(index, now - dice.below(300), commands),
        });
    }
    all.truncate(usize::try_from(count).unwrap());
    all
}

/// A token, or a node that joins by the one before.
fn of_cluster(index: u64, proposed_at_ms: u64) -> CommittedEntry {
    let token = [u8::try_from(index / 18).unwrap(); 16];
    let command = match index % 2 {
        0 => ClusterCommand::IssueToken { token, secret: [7; 32], valid_for_ms: 60_000 },
        _ => ClusterCommand::AdmitNode { token, joiner: [8; 16] },
    };
    let batch = CommandBatch::of_cluster(LedgerTime(proposed_at_ms), command);
    CommittedEntry { position: position(index), body: EntryBody::Commands(batch) }
}

fn random_command(dice: &mut Dice) -> Command {
    let order = dice.below(120);
    let right = u64::from(quantity_of(order)) * 10_000;
    match dice.below(15) {
        0..4 => place_order(order),
        4..8 => record_payment(dice.below(160), order, if dice.below(8) == 0 { right + 1 } else { right }),
        8 => Command::CancelOrder { order: order_id(order) },
        9 => Command::VoidOrder { order: order_id(order) },
        10..12 => stamp_document(order, dice.below(9)),
        12 => settle_refund(dice.below(160), if dice.below(3) == 0 { right / 4 * 3 } else { right }),
        13 => set_policy(u32::try_from(1 + dice.below(3)).unwrap()),
        _ => Command::ExpireOrders { limit: 5 },
    }
}

/// The same rules without a disk.
#[derive(Default)]
pub(crate) struct Twin {
    pub(crate) ledger: MemoryLedger,
    pub(crate) meta: LedgerMeta,
    pub(crate) digests: Vec<(u64, StateDigest)>,
}

impl Twin {
    pub(crate) fn of(entries: &[CommittedEntry]) -> Self {
        let mut twin = Self::default();
        twin.apply(entries);
        twin
    }

    pub(crate) fn apply(&mut self, entries: &[CommittedEntry]) -> Vec<Vec<Reply>> {
        let apply = |entry: &CommittedEntry| {
            let Ok(applied) = apply_entry(&mut Overlay::new(&self.ledger), &mut self.meta, entry);
            applied.edits.into_iter().for_each(|edit| self.ledger.absorb(edit.after));
            self.digests.push((entry.position.index, self.meta.digest));
            applied.replies
        };
        entries.iter().map(apply).collect()
    }
}

pub(crate) fn open_ledger(dir: &Path) -> Result<RocksLedger, StorageError> {
    RocksLedger::open(&dir.join("ledger"), &dir.join("snapshots"))
}

/// Counted anew from the records of what is due.
pub(crate) fn assert_refunds_due_counted(ledger: &RocksLedger) {
    let view = ledger.view();
    let mut expected: BTreeMap<RefundReason, Due> = RefundReason::ALL.map(|reason| (reason, Due::default())).into();
    for refund in view.refunds_due(None, usize::MAX).unwrap() {
        let due = expected.get_mut(&refund.reason).unwrap();
        due.refunds += 1;
        due.amount_idr += u128::from(refund.amount.as_idr());
    }
    assert!(view.refunds_due_by_reason().by_reason().eq(expected), "{:?}", view.refunds_due_by_reason());
}

/// What the ledger says of itself is what it holds.
pub(crate) fn assert_sound(ledger: &RocksLedger) {
    let scan = ledger.scan();
    assert_eq!(scan.digest().unwrap(), scan.meta().digest);
    assert_eq!(ledger.meta(), *scan.meta());
    assert_refunds_due_counted(ledger);
}

/// The files of `dir` with this extension, in the order of their names.
pub(crate) fn files_with(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}

/// Turns a bit around, `part` of `parts` into the file.
pub(crate) fn flip(path: &Path, part: usize, parts: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() * part / parts;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

pub(crate) fn record(index: u64, term: u64) -> LogRecord {
    let position = LogPosition { term, index };
    LogRecord { index, bytes: codec::encode_entry(&position, &EntryBody::Blank) }
}

pub(crate) fn append(indexes: std::ops::Range<u64>) -> LogWrite {
    LogWrite::Append(indexes.map(|index| record(index, 1)).collect())
}

/// Writes and waits for the answer.
pub(crate) fn write(log: &RocksLog, write: LogWrite) -> Result<(), StorageError> {
    let (done, result) = std::sync::mpsc::channel();
    log.write(write, Box::new(move |written| done.send(written).unwrap()));
    result.recv().unwrap()
}

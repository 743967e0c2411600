//! The audit record on disk: one record an entry, as long as the ledger lives.

use std::path::Path;

use rocksdb::{DB, Options};
use stampede::domain::Outcome;
use stampede::storage::audit::{AuditBody, Chain, Replay, ReplayError};
use stampede::storage::codec::{decode_audit_record, encode_audit_record};
use stampede::storage::{LedgerStore, RocksLedger, StorageError, keys};

use crate::support::{Twin, assert_sound, entries, open_ledger};

fn history(ledger: &RocksLedger) -> Result<Vec<Vec<u8>>, StorageError> {
    let (view, mut all) = (ledger.view(), Vec::new());
    loop {
        let page = view.audit_page(all.len() as u64)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn ledger_in(dir: &Path, seed: u64, count: u64) -> RocksLedger {
    let ledger = open_ledger(dir).unwrap();
    for group in entries(seed, count).chunks(7) {
        ledger.apply(group.to_vec()).await.unwrap();
    }
    ledger
}

/// With the database of the only generation open to the test.
fn in_the_database(dir: &Path, change: impl FnOnce(&DB)) {
    let database = DB::open(&Options::default(), dir.join("ledger/1")).unwrap();
    change(&database);
}

#[tokio::test]
async fn every_entry_leaves_one_record_and_the_rules_make_the_ledger_of_them_again() {
    for seed in 20..24 {
        let dir = tempfile::tempdir().unwrap();
        let ledger = ledger_in(dir.path(), seed, 150).await;
        let records = history(&ledger).unwrap();
        assert_eq!(records.len(), 150);
        let mut replay = Replay::default();
        for (record, entry) in records.iter().zip(entries(seed, 150)) {
            assert_eq!(replay.feed(record).unwrap().position, entry.position);
        }
        let twin = Twin::of(&entries(seed, 150));
        assert_eq!((replay.meta(), replay.ledger()), (&ledger.meta(), &twin.ledger));
        assert_eq!(replay.violations(), []);
        let audited: Vec<_> =
            records.iter().flat_map(|record| decode_audit_record(record).unwrap().body.commands().to_vec()).collect();
        for command in &audited {
            let count = if let Outcome::OrdersExpired { count } = command.reply.outcome { count as usize } else { 0 };
            assert_eq!(command.expired.len(), count, "{command:?}");
        }
        assert!(audited.iter().any(|command| !command.expired.is_empty()), "the entries let orders expire");
    }
}

#[tokio::test]
async fn the_record_outlives_restarts_and_travels_with_a_snapshot() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ledger = ledger_in(dir.path(), 3, 120).await;
    let records = history(&ledger).unwrap();
    drop(ledger);
    let ledger = open_ledger(dir.path()).unwrap();
    assert_eq!(history(&ledger).unwrap(), records);

    let (_, snapshot) = ledger.build_snapshot().await.unwrap();
    let other = ledger_in(other_dir.path(), 3, 10).await;
    let mut receiver = other.receive_snapshot(snapshot.manifest().clone()).unwrap();
    let mut chunks = snapshot.chunks();
    while let Some(chunk) = tokio_stream::StreamExt::next(&mut chunks).await {
        receiver.write(chunk.unwrap()).await.unwrap();
    }
    other.install_snapshot(receiver.finish().await.unwrap()).await.unwrap();
    assert_eq!(history(&other).unwrap(), records);
    assert_sound(&other);
    let rest = entries(3, 125)[120..].to_vec();
    other.apply(rest).await.unwrap();
    let mut chain = Chain::from_genesis();
    history(&other).unwrap().iter().for_each(|record| drop(chain.follow(record).unwrap()));
    assert_eq!(chain.head(), other.meta().audit_head);
}

#[tokio::test]
async fn a_record_that_is_missing_or_was_changed_is_found_by_the_scan_that_a_snapshot_is_checked_with() {
    type Change = fn(&DB);
    let changes: [(Change, &str); 3] = [
        (|database| database.delete(keys::audit(40)).unwrap(), "audit record 41 is damaged: stands where 40 is due"),
        (
            |database| {
                let bytes = database.get(keys::audit(40)).unwrap().unwrap();
                let mut record = decode_audit_record(&bytes).unwrap();
                record.ledger_time.0 += 1;
                database.put(keys::audit(40), encode_audit_record(&record)).unwrap();
            },
            "audit record 41 is damaged: follows a record named",
        ),
        (
            |database| {
                let bytes = database.get(keys::audit(40)).unwrap().unwrap();
                database.put(keys::audit(41), bytes).unwrap();
            },
            "audit record 40 is damaged: stands where 41 is due",
        ),
    ];
    for (change, told) in changes {
        let dir = tempfile::tempdir().unwrap();
        drop(ledger_in(dir.path(), 3, 60).await);
        in_the_database(dir.path(), change);
        let found = open_ledger(dir.path()).unwrap().scan().digest().unwrap_err().to_string();
        assert!(found.starts_with(told), "{found}");
    }
}

#[tokio::test]
async fn a_page_with_a_hole_is_damage_and_not_a_shorter_history() {
    let dir = tempfile::tempdir().unwrap();
    drop(ledger_in(dir.path(), 3, 60).await);
    in_the_database(dir.path(), |database| {
        [keys::audit(40), keys::audit(59)].iter().for_each(|key| database.delete(key).unwrap());
    });
    let view = open_ledger(dir.path()).unwrap().view();
    let told = |result: Result<Vec<Vec<u8>>, StorageError>| result.unwrap_err().to_string();
    assert_eq!(told(view.audit_page(0)), "audit record is damaged: that of log index 40 is missing");
    assert_eq!(told(view.audit_page(59)), "audit record is damaged: that of log index 59 is missing");
    assert!(view.audit_page(60).unwrap().is_empty());
}

#[tokio::test]
async fn an_outcome_that_the_rules_do_not_give_is_told_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let records = history(&ledger_in(dir.path(), 3, 60).await).unwrap();
    let mut replay = Replay::default();
    records[..5].iter().for_each(|record| drop(replay.feed(record).unwrap()));
    let mut forged = decode_audit_record(&records[5]).unwrap();
    let AuditBody::Commands { commands, .. } = &mut forged.body else { panic!("entry 5 has commands") };
    let last = commands.last_mut().unwrap();
    last.reply.outcome = Outcome::OrdersExpired { count: 99 };
    let offset = last.reply.place.offset;
    match replay.feed(&encode_audit_record(&forged)) {
        Err(ReplayError::Differs { place, recorded, .. }) => {
            assert_eq!((place.log_index, place.offset, recorded.contains("99")), (5, offset, true));
        }
        other => panic!("the outcome is forged: {other:?}"),
    }
}

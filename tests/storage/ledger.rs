//! The ledger on disk does what the ledger in memory does.

use std::ops::ControlFlow;

use stampede::domain::{Change, LedgerTime, LedgerView, MemoryLedger, Place, StampNumber};
use stampede::limits;
use stampede::storage::{DataDir, LedgerStore, LogRecord, LogStore, LogWrite, RocksLedger, StorageError, codec};

use crate::support::{
    Dice, Twin, assert_refunds_due_counted, assert_sound, document, entries, entry, files_with, flip, open_ledger, order_id,
    payment_name, place_order, series_code, write,
};

fn contents(ledger: &RocksLedger) -> MemoryLedger {
    let scan = ledger.scan();
    let mut all = vec![Change::Totals(scan.totals().unwrap())];
    scan.visit(|record| {
        all.push(record);
        ControlFlow::Continue(())
    })
    .unwrap();
    all.into_iter().collect()
}

fn assert_same_answers(disk: &impl LedgerView<Error = StorageError>, twin: &Twin) {
    let Ok(totals) = twin.ledger.totals();
    assert_eq!(disk.totals().unwrap(), totals);
    for number in 0..2 {
        let Ok(series) = twin.ledger.series(series_code(number));
        assert_eq!(disk.series(series_code(number)).unwrap(), series);
        for stamp in 0..1_300 {
            let stamp = StampNumber::new(stamp).unwrap();
            let Ok(holder) = twin.ledger.holder(series_code(number), stamp);
            assert_eq!(disk.holder(series_code(number), stamp).unwrap(), holder);
            let Ok(document) = twin.ledger.document(series_code(number), stamp);
            assert_eq!(disk.document(series_code(number), stamp).unwrap(), document);
        }
    }
    for number in 0..160 {
        let Ok(order) = twin.ledger.order(order_id(number));
        assert_eq!(disk.order(order_id(number)).unwrap(), order);
        let Ok(payment) = twin.ledger.payment(&payment_name(number));
        assert_eq!(disk.payment(&payment_name(number)).unwrap(), payment);
        let Ok(refund) = twin.ledger.refund(&payment_name(number));
        assert_eq!(disk.refund(&payment_name(number)).unwrap(), refund);
        for document in (0..9).map(document) {
            let Ok(stamping) = twin.ledger.stamping(order_id(number), document);
            assert_eq!(disk.stamping(order_id(number), document).unwrap(), stamping);
        }
    }
    for version in 0..5 {
        let Ok(policy) = twin.ledger.policy(version);
        assert_eq!(disk.policy(version).unwrap(), policy);
    }
    let Ok(all) = twin.ledger.refunds_due(None, usize::MAX);
    assert!(all.len() > 3, "the entries leave refunds due");
    for after in [None, Some(all[0].due), Some(all[2].due), Some(Place { log_index: u64::MAX, offset: u32::MAX })] {
        for limit in [0, 2, 1_000] {
            let Ok(due) = twin.ledger.refunds_due(after, limit);
            assert_eq!(disk.refunds_due(after, limit).unwrap(), due);
        }
    }
    for ahead_ms in [0, 500, 3_000, 1_000_000] {
        let until = LedgerTime(totals.ledger_time.0 + ahead_ms);
        for limit in [0, 1, 3, 1_000] {
            let Ok(expiring) = twin.ledger.expiring(until, limit);
            assert_eq!(disk.expiring(until, limit).unwrap(), expiring);
        }
    }
}

#[tokio::test]
async fn disk_and_memory_agree_on_every_reply_digest_and_record() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let ledger = open_ledger(dir.path()).unwrap();
        let (mut twin, mut dice) = (Twin::default(), Dice::new(seed));
        let mut left = entries(seed, 150);
        while !left.is_empty() {
            let group: Vec<_> = left.drain(..left.len().min(1 + usize::try_from(dice.below(9)).unwrap())).collect();
            let expected = twin.apply(&group);
            assert_eq!(ledger.apply(group).await.unwrap(), expected);
            assert_eq!(ledger.meta(), twin.meta);
            assert_refunds_due_counted(&ledger);
        }
        assert_eq!(ledger.recent_digests(), twin.digests);
        assert_eq!(contents(&ledger), twin.ledger);
        assert_same_answers(&ledger.view(), &twin);
        assert_sound(&ledger);
        drop(ledger);
        let ledger = open_ledger(dir.path()).unwrap();
        assert_eq!(
            (ledger.meta(), contents(&ledger)),
            (twin.meta.clone(), std::mem::take(&mut twin.ledger)),
            "after a restart"
        );
        assert_refunds_due_counted(&ledger);
        assert_eq!(ledger.recent_digests(), twin.digests.split_off(twin.digests.len() - 1), "of before nothing is known");
    }
}

#[tokio::test]
async fn what_was_applied_before_a_restart_is_known_after_it() {
    for seed in 10..14 {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, mut twin) = (open_ledger(dir.path()).unwrap(), Twin::default());
        // Ids come again and again: behind a restart they are answered from the files, or from what came since.
        for (number, entry) in entries(seed, 150).into_iter().enumerate() {
            let expected = twin.apply(std::slice::from_ref(&entry));
            assert_eq!(ledger.apply(vec![entry]).await.unwrap(), expected, "seed {seed}, entry {number}");
            if number % 10 == 9 {
                drop(ledger);
                ledger = open_ledger(dir.path()).unwrap();
            }
        }
        assert_eq!((ledger.meta(), contents(&ledger)), (twin.meta, twin.ledger));
    }
}

#[tokio::test]
async fn entries_have_one_digest_however_they_are_grouped() {
    let (one, many) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at_once, one_by_one) = (open_ledger(one.path()).unwrap(), open_ledger(many.path()).unwrap());
    at_once.apply(entries(9, 60)).await.unwrap();
    for entry in entries(9, 60) {
        one_by_one.apply(vec![entry]).await.unwrap();
    }
    assert_eq!(at_once.recent_digests(), one_by_one.recent_digests());
    assert_ne!(at_once.meta().digest, Twin::of(&entries(10, 60)).meta.digest);
}

#[tokio::test]
async fn a_view_stays_at_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open_ledger(dir.path()).unwrap();
    let all = entries(3, 120);
    ledger.apply(all[..40].to_vec()).await.unwrap();
    let view = ledger.view();
    ledger.apply(all[40..].to_vec()).await.unwrap();
    assert_eq!(view.index(), Some(39));
    assert_same_answers(&view, &Twin::of(&all[..40]));
    assert_same_answers(&ledger.view(), &Twin::of(&all));
}

#[tokio::test]
async fn an_entry_that_does_not_follow_is_refused_and_nothing_is_applied_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open_ledger(dir.path()).unwrap();
    ledger.apply(entries(1, 5)).await.unwrap();
    let error = ledger.apply(vec![entry(7, 0, vec![place_order(1)])]).await.unwrap_err();
    assert_eq!(error, StorageError::Unusable("the ledger's next entry is 5, not 7".to_owned()));
    assert_eq!(ledger.apply(vec![entry(5, 0, vec![place_order(1)])]).await, Err(error));
    assert_eq!(ledger.meta(), Twin::of(&entries(1, 5)).meta);
}

#[tokio::test]
async fn only_so_many_digests_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open_ledger(dir.path()).unwrap();
    let count = limits::RECENT_DIGESTS_MAX as u64 + 10;
    ledger.apply((0..count).map(|index| entry(index, index, Vec::new())).collect()).await.unwrap();
    let digests = ledger.recent_digests();
    assert_eq!((digests.len(), digests[0].0), (limits::RECENT_DIGESTS_MAX, 10));
}

/// The ledger's own write-ahead log is not synced: it may end anywhere.
#[tokio::test]
async fn what_a_power_cut_takes_from_the_ledger_is_replayed_from_the_log() {
    let all = entries(7, 60);
    let mut found = Vec::new();
    for quarters in 0..=4 {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path(), 1).unwrap();
        let (log, ledger) = data.open_stores().unwrap();
        let record = |(index, entry): (u64, &stampede::storage::CommittedEntry)| LogRecord {
            index,
            bytes: codec::encode_entry(&entry.position, &entry.body),
        };
        write(&log, LogWrite::Append((0..).zip(&all).map(record).collect())).unwrap();
        for entry in &all {
            ledger.apply(vec![entry.clone()]).await.unwrap();
        }
        drop((log, ledger));
        let written = files_with(&dir.path().join("ledger/1"), "log").pop().unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(written).unwrap();
        file.set_len(file.metadata().unwrap().len() * quarters / 4).unwrap();

        let (log, ledger) = data.open_stores().unwrap();
        let kept = ledger.meta().applied.map_or(0, |applied| applied.index + 1);
        found.push(kept);
        assert_eq!(ledger.meta(), Twin::of(&all[..usize::try_from(kept).unwrap()]).meta);
        assert_sound(&ledger);
        for record in log.read(kept..60).await.unwrap() {
            ledger.apply(vec![codec::decode_entry(&record.bytes).unwrap()]).await.unwrap();
        }
        assert_eq!(ledger.meta(), Twin::of(&all).meta);
        assert_sound(&ledger);
    }
    assert!(found.is_sorted_by(|less, more| less < more) && found[0] == 0 && found[4] == 60, "{found:?}");
}

#[tokio::test]
async fn damage_of_a_table_is_told_as_damage() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open_ledger(dir.path()).unwrap();
    ledger.apply(entries(1, 400)).await.unwrap();
    ledger.build_snapshot().await.unwrap();
    drop(ledger);
    let tables = files_with(&dir.path().join("ledger/1"), "sst");
    // The first block has the meta, which the opening reads; a block further on is read by whoever asks for it.
    flip(&tables[0], 1, 3);
    let damage = open_ledger(dir.path()).unwrap().scan().digest().unwrap_err();
    assert!(matches!(damage, StorageError::Corrupt { .. }), "{damage}");
    flip(&tables[0], 0, 1);
    let damage = open_ledger(dir.path()).err().unwrap();
    assert!(matches!(damage, StorageError::Corrupt { .. }), "{damage}");
}

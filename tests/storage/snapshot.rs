//! A snapshot is the whole ledger or it is refused.

use std::fs;
use std::path::Path;

use prost::Message;
use stampede::domain::LedgerView;
use stampede::limits;
use stampede::proto::storage::SnapshotManifest;
use stampede::storage::data_dir::FORMAT_VERSION;
use stampede::storage::{LedgerMeta, LedgerStore, RocksLedger, RocksSnapshot, StorageError};
use tempfile::TempDir;
use tokio_stream::StreamExt;

use crate::support::{Twin, assert_sound, entries, files_with, open_ledger, order_id};

async fn ledger_with(count: u64) -> (TempDir, RocksLedger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = open_ledger(dir.path()).unwrap();
    ledger.apply(entries(5, count)).await.unwrap();
    (dir, ledger)
}

/// As a peer would send it; `alter` sees each chunk.
async fn transfer(
    from: &RocksSnapshot,
    to: &RocksLedger,
    mut alter: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> Result<RocksSnapshot, StorageError> {
    let mut receiver = to.receive_snapshot(from.manifest().clone())?;
    let mut chunks = from.chunks();
    let mut number = 0;
    while let Some(chunk) = chunks.next().await {
        receiver.write(alter(number, chunk?.to_vec()).into()).await?;
        number += 1;
    }
    receiver.finish().await
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_received_snapshot_becomes_the_ledger_and_goes_on_from_there() {
    let (_source_dir, source) = ledger_with(100).await;
    let (target_dir, target) = ledger_with(20).await;
    let (meta, snapshot) = source.build_snapshot().await.unwrap();
    let before = target.view();
    let received = transfer(&snapshot, &target, |_, chunk| chunk).await.unwrap();
    assert_eq!(target.install_snapshot(received).await.unwrap(), meta);
    assert_eq!(target.meta(), Twin::of(&entries(5, 100)).meta);
    assert_sound(&target);
    assert_eq!(target.current_snapshot().unwrap().0, meta);

    // Whoever was reading goes on reading the old ledger; its files go with him.
    let order = Twin::of(&entries(5, 20)).ledger.order(order_id(1)).unwrap();
    assert_eq!((before.index(), before.order(order_id(1)).unwrap()), (Some(19), order));
    assert_eq!(names(&target_dir.path().join("ledger")), ["1", "2", "CURRENT"]);
    drop(before);
    wait_until(|| names(&target_dir.path().join("ledger")) == ["2", "CURRENT"]).await;

    let rest = entries(5, 130)[100..].to_vec();
    assert_eq!(target.apply(rest.clone()).await.unwrap(), source.apply(rest).await.unwrap());
    drop(target);
    let target = open_ledger(target_dir.path()).unwrap();
    assert_eq!(target.meta(), source.meta());
    assert_sound(&target);
}

#[tokio::test]
async fn a_snapshot_is_of_the_moment_of_the_call() {
    let (_dir, ledger) = ledger_with(50).await;
    let building = ledger.build_snapshot();
    ledger.apply(entries(5, 60)[50..].to_vec()).await.unwrap();
    let (meta, _) = building.await.unwrap();
    assert_eq!(meta, Twin::of(&entries(5, 50)).meta);
}

#[tokio::test]
async fn the_newest_snapshot_is_found_after_a_restart() {
    let (dir, ledger) = ledger_with(50).await;
    let (meta, _) = ledger.build_snapshot().await.unwrap();
    assert_eq!(ledger.build_snapshot().await.unwrap().0, meta, "nothing new: the same one again");
    drop(ledger);
    assert_eq!(open_ledger(dir.path()).unwrap().current_snapshot().unwrap().0, meta);
}

#[tokio::test]
async fn a_flipped_bit_on_the_way_is_refused_and_leaves_nothing() {
    let (_source_dir, source) = ledger_with(100).await;
    let (target_dir, target) = ledger_with(20).await;
    let (_, snapshot) = source.build_snapshot().await.unwrap();
    // Each is smaller than a chunk here; an empty one has none.
    let chunks = snapshot.manifest().files.iter().filter(|file| file.size_bytes > 0).count();
    for damaged in 0..chunks {
        let flip = |number, mut chunk: Vec<u8>| {
            if number == damaged {
                let middle = chunk.len() / 2;
                chunk[middle] ^= 1;
            }
            chunk
        };
        let error = transfer(&snapshot, &target, flip).await.err().expect("must be refused");
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error}");
    }
    wait_until(|| names(&target_dir.path().join("snapshots")).is_empty()).await;
}

#[tokio::test]
async fn a_flipped_bit_on_the_disk_is_refused_and_the_old_ledger_stands() {
    let (source_dir, source) = ledger_with(100).await;
    let (target_dir, target) = ledger_with(20).await;
    let (_, snapshot) = source.build_snapshot().await.unwrap();
    let dir = source_dir.path().join("snapshots").join(snapshot.name());
    let table = snapshot.manifest().files.iter().find(|file| file.name.ends_with(".sst")).unwrap();
    let mut bytes = fs::read(dir.join(&table.name)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // Not in place: the ledger itself has a link to the same file.
    fs::remove_file(dir.join(&table.name)).unwrap();
    fs::write(dir.join(&table.name), bytes).unwrap();
    assert!(matches!(target.install_snapshot(snapshot).await, Err(StorageError::Corrupt { .. })));
    assert_eq!(target.meta(), Twin::of(&entries(5, 20)).meta);
    assert_eq!(names(&target_dir.path().join("ledger")), ["1", "CURRENT"]);
    target.apply(entries(5, 30)[20..].to_vec()).await.unwrap();
}

#[tokio::test]
async fn a_sender_finds_the_damage_of_its_own_files() {
    let gone: fn(&Path) = |file| fs::remove_file(file).unwrap();
    // In place of the file: the ledger has a link to it.
    let rewritten = |file: &Path, change: fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(file).unwrap();
        change(&mut bytes);
        fs::remove_file(file).unwrap();
        fs::write(file, bytes).unwrap();
    };
    let cut = |file: &Path| rewritten(file, |bytes| bytes.truncate(bytes.len() / 2));
    let flipped = |file: &Path| rewritten(file, |bytes| bytes[0] ^= 1);
    for damage in [&gone as &dyn Fn(&Path), &cut, &flipped] {
        let (dir, source) = ledger_with(100).await;
        let (_, snapshot) = source.build_snapshot().await.unwrap();
        let snapshot_dir = dir.path().join("snapshots").join(snapshot.name());
        damage(&files_with(&snapshot_dir, "sst")[0]);
        let chunks: Vec<_> = snapshot.chunks().collect().await;
        assert!(matches!(chunks.last(), Some(Err(StorageError::Corrupt { .. }))), "{:?}", chunks.last());
    }
}

#[tokio::test]
async fn files_that_do_not_hold_the_promised_state_are_refused() {
    let (_source_dir, source) = ledger_with(100).await;
    let (_target_dir, target) = ledger_with(20).await;
    let (_, snapshot) = source.build_snapshot().await.unwrap();
    let mut manifest: SnapshotManifest = snapshot.manifest().clone();
    manifest.meta.as_mut().unwrap().digest = vec![7; 32].into();
    let mut receiver = target.receive_snapshot(manifest).unwrap();
    let mut chunks = snapshot.chunks();
    while let Some(chunk) = chunks.next().await {
        receiver.write(chunk.unwrap()).await.unwrap();
    }
    let received = receiver.finish().await.unwrap();
    assert!(matches!(target.install_snapshot(received).await, Err(StorageError::Corrupt { .. })));
    assert_eq!(target.meta(), Twin::of(&entries(5, 20)).meta);
}

#[tokio::test]
async fn a_manifest_cannot_name_a_file_elsewhere() {
    let (_source_dir, source) = ledger_with(30).await;
    let (_, snapshot) = source.build_snapshot().await.unwrap();
    for name in ["../CURRENT", "/etc/passwd", "", "stampede-manifest", ".."] {
        let mut manifest = snapshot.manifest().clone();
        manifest.files.truncate(1);
        manifest.files[0].name = name.to_owned();
        assert!(source.receive_snapshot(manifest).is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_transfer_that_breaks_off_leaves_nothing() {
    let (_source_dir, source) = ledger_with(30).await;
    let (target_dir, target) = ledger_with(5).await;
    let (_, snapshot) = source.build_snapshot().await.unwrap();
    let mut receiver = target.receive_snapshot(snapshot.manifest().clone()).unwrap();
    receiver.write(snapshot.chunks().next().await.unwrap().unwrap()).await.unwrap();
    assert!(receiver.finish().await.is_err());
    drop(target.receive_snapshot(snapshot.manifest().clone()).unwrap());
    wait_until(|| names(&target_dir.path().join("snapshots")).is_empty()).await;
}

#[tokio::test]
async fn the_last_two_are_kept_and_an_older_one_while_it_is_in_use() {
    let (dir, ledger) = ledger_with(10).await;
    let (_, oldest) = ledger.build_snapshot().await.unwrap();
    let mut metas: Vec<LedgerMeta> = Vec::new();
    for count in 11..14 {
        ledger.apply(entries(5, count)[usize::try_from(count).unwrap() - 1..].to_vec()).await.unwrap();
        metas.push(ledger.build_snapshot().await.unwrap().0);
    }
    wait_until(|| names(&dir.path().join("snapshots")) == ["11-1", "12-1", "9-1"]).await;
    let bytes: u64 = oldest.manifest().files.iter().map(|file| file.size_bytes).sum();
    let mut sent = 0;
    let mut chunks = oldest.chunks();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.unwrap();
        assert!(chunk.len() <= limits::SNAPSHOT_CHUNK_BYTES);
        sent += chunk.len() as u64;
    }
    assert_eq!(sent, bytes);
    drop((oldest, chunks));
    wait_until(|| names(&dir.path().join("snapshots")) == ["11-1", "12-1"]).await;
    assert_eq!(ledger.current_snapshot().unwrap().0, metas[2]);
}

#[tokio::test]
async fn a_build_that_ends_after_a_newer_install_is_not_the_newest() {
    let (_source_dir, source) = ledger_with(100).await;
    let (target_dir, target) = ledger_with(50).await;
    let (meta, snapshot) = source.build_snapshot().await.unwrap();
    let building = target.build_snapshot();
    let received = transfer(&snapshot, &target, |_, chunk| chunk).await.unwrap();
    target.install_snapshot(received).await.unwrap();
    assert_eq!(building.await.unwrap().0, Twin::of(&entries(5, 50)).meta);
    assert_eq!(target.current_snapshot().unwrap().0, meta);
    drop(target);
    assert_eq!(open_ledger(target_dir.path()).unwrap().current_snapshot().unwrap().0, meta);
}

#[tokio::test]
async fn an_install_leaves_a_replaced_ledger_to_its_readers() {
    let (_source_dir, source) = ledger_with(100).await;
    let (target_dir, target) = ledger_with(20).await;
    let before = target.view();
    for count in [100, 110] {
        source.apply(entries(5, count).split_off(source.meta().applied.unwrap().index as usize + 1)).await.unwrap();
        let (_, snapshot) = source.build_snapshot().await.unwrap();
        let received = transfer(&snapshot, &target, |_, chunk| chunk).await.unwrap();
        target.install_snapshot(received).await.unwrap();
    }
    wait_until(|| names(&target_dir.path().join("ledger")) == ["1", "3", "CURRENT"]).await;
    let order = Twin::of(&entries(5, 20)).ledger.order(order_id(1)).unwrap();
    assert_eq!((before.index(), before.order(order_id(1)).unwrap()), (Some(19), order));
    drop(before);
    wait_until(|| names(&target_dir.path().join("ledger")) == ["3", "CURRENT"]).await;
}

#[tokio::test]
async fn a_snapshot_of_another_format_is_refused() {
    let (dir, ledger) = ledger_with(30).await;
    let (_, snapshot) = ledger.build_snapshot().await.unwrap();
    let newer = SnapshotManifest { format_version: FORMAT_VERSION + 1, ..snapshot.manifest().clone() };
    let expected = StorageError::Unusable("the snapshot has format 5, this program knows formats 3 to 4".to_owned());
    assert_eq!(ledger.receive_snapshot(newer.clone()).err(), Some(expected.clone()), "from a peer");
    drop(ledger);
    let manifest = dir.path().join("snapshots").join(snapshot.name()).join("stampede-manifest");
    fs::write(manifest, newer.encode_to_vec()).unwrap();
    assert_eq!(open_ledger(dir.path()).err(), Some(expected), "on the disk");
}

/// What goes, goes on another thread: that of a transfer lets go of its handle a moment after the stream's end.
async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain");
        tokio::task::yield_now().await;
    }
}

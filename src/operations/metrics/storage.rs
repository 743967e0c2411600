//! RocksDB, the disk, and whether the ledger's sums agree: as last asked for (`operations::figures`).

use std::fmt;

use super::Metrics;
use super::page::{Page, as_f64};
use crate::consensus::NodeStatus;
use crate::operations::figures::Figures;
use crate::storage::StoreFigures;

pub(super) fn encode_disk<O>(page: &mut Page<'_>, metrics: &Metrics<O>, status: &NodeStatus) -> fmt::Result {
    let disk = metrics.figures.last().disk;
    page.gauge("stampede_storage_disk_size_bytes", "Size of the file system of the data directory", disk.size_bytes)?;
    page.gauge("stampede_storage_disk_free_bytes", "What this node may still write there", disk.free_bytes)?;
    page.gauge(
        "stampede_storage_disk_floor_bytes",
        "What must be free there for new orders (node.disk_floor); 0: nothing is asked",
        metrics.disk_floor_bytes,
    )?;
    page.gauge(
        "stampede_storage_disk_below_floor",
        "1 from when less is free than the floor until there is a quarter more than the floor",
        u64::from(status.disk_low),
    )
}

pub(super) fn encode(page: &mut Page<'_>, figures: &Figures) -> fmt::Result {
    let last = figures.last();
    page.gauge(
        "stampede_storage_asked_timestamp_seconds",
        "When the storage last said how it does, Unix time; 0 if it never did",
        as_f64(last.at_ms) / 1e3,
    )?;
    let mut gauges = |name: &str, help: &str, of: fn(&StoreFigures) -> u64| {
        page.gauges(name, help, [([("store", "log")], of(&last.log)), ([("store", "ledger")], of(&last.ledger))])
    };
    gauges("stampede_storage_tables_bytes", "Table files of a store", |store| store.tables_bytes)?;
    gauges("stampede_storage_memtables_bytes", "In memory and not in table files yet", |store| store.memtables_bytes)?;
    gauges("stampede_storage_memtables_waiting", "Full tables in memory that wait for their flush", |store| {
        store.memtables_waiting
    })?;
    gauges("stampede_storage_pending_compaction_bytes", "What compactions have to rewrite, an estimate", |store| {
        store.pending_compaction_bytes
    })?;
    gauges("stampede_storage_flushes_running", "Flushes under way", |store| store.flushes_running)?;
    gauges("stampede_storage_compactions_running", "Compactions under way", |store| store.compactions_running)?;
    gauges("stampede_storage_level0_files", "Tables of level 0", |store| store.level0_files)?;
    gauges("stampede_storage_write_stopped", "1 while RocksDB lets no write in", |store| u64::from(store.is_write_stopped))?;
    gauges(
        "stampede_storage_delayed_write_rate_bytes",
        "Bytes a second to which RocksDB slows writes down; 0 if it does not",
        |store| store.delayed_write_rate_bytes,
    )?;
    gauges("stampede_storage_block_cache_bytes", "Blocks kept in memory", |store| store.block_cache_bytes)?;
    gauges("stampede_storage_estimated_keys", "Records, an estimate", |store| store.keys)?;
    gauges("stampede_storage_open_snapshots", "States that readers hold", |store| store.open_snapshots)?;
    page.counters(
        "stampede_storage_background_errors",
        "Flushes and compactions that failed",
        [([("store", "log")], last.log.background_errors), ([("store", "ledger")], last.ledger.background_errors)],
    )?;
    let since_ms = last.paid_not_issued_since_ms.unwrap_or(last.at_ms);
    page.gauge(
        "stampede_paid_not_issued_age_seconds",
        "For how long this node has seen paid orders without stamps; 0 if it sees none",
        as_f64(last.at_ms.saturating_sub(since_ms)) / 1e3,
    )?;
    page.counters(
        "stampede_invariant_violations",
        "Looks at the ledger's sums, one every 10 s, that found a contradiction",
        figures.violations().map(|(found, count)| ([("invariant", found.name())], count)),
    )
}

//! A ledger on a simulated disk, with the promises of the RocksDB one and no more: each apply is atomic and not synced, so
//! that a crash takes the ledger back to some earlier apply, but never before its newest snapshot.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::RngExt;
use stampede::domain::{
    Change, DocumentDigest, LedgerTime, LedgerView, MemoryLedger, Order, OrderId, Overlay, Payment, PaymentName, Place, Policy,
    Refund, Reply, Series, SeriesCode, StampNumber, Stamping, Totals,
};
use stampede::storage::audit::{Chain, Replay};
use stampede::storage::digest::EncodedRecord;
use stampede::storage::{
    AuditName, CommittedEntry, LedgerMeta, LedgerState, LedgerStore, StateDigest, StorageError, apply_entry,
};

use crate::checks::Checks;
use crate::swarm::DiskFaults;
use crate::world::{Dice, World, sleep, trace};

/// As many as consensus can ask for between two samples.
const RECENT_DIGESTS_MAX: usize = 256;

/// A ledger at one moment. Shared: a later apply makes its own copy.
#[derive(Debug, Clone, Default)]
pub struct SimSnapshot {
    meta: LedgerMeta,
    records: Arc<MemoryLedger>,
    /// The audit records, from the first on.
    audit: Arc<Vec<Arc<[u8]>>>,
}

impl SimSnapshot {
    pub fn meta(&self) -> &LedgerMeta {
        &self.meta
    }
}

struct State {
    incarnation: u64,
    now: SimSnapshot,
    /// What a crash cannot take back.
    flushed: SimSnapshot,
    /// Applies since then, oldest first: changes, and what the ledger knew of itself after them.
    unflushed: Vec<Applied>,
    snapshot: Option<SimSnapshot>,
    recent: VecDeque<(u64, StateDigest)>,
}

/// One apply.
struct Applied {
    changes: Vec<Change>,
    audit: Vec<Arc<[u8]>>,
    /// Afterwards.
    meta: LedgerMeta,
}

/// Cheap to clone: clones share the disk and the incarnation.
#[derive(Clone)]
pub struct SimLedger {
    world: World,
    checks: Checks,
    node_id: u64,
    incarnation: u64,
    faults: Arc<Mutex<DiskFaults>>,
    state: Arc<Mutex<State>>,
}

fn index(meta: &LedgerMeta) -> u64 {
    meta.applied.map_or(0, |position| position.index)
}

fn dead(operation: &'static str) -> StorageError {
    StorageError::Io { operation, cause: "the node was killed".into() }
}

/// The digest of what is in `ledger`, counted anew.
fn count_digest(ledger: &SimSnapshot) -> Result<StateDigest, StorageError> {
    let mut digest = StateDigest::default();
    for change in MemoryLedger::clone(&ledger.records).into_changes() {
        let record = EncodedRecord::of(&change);
        digest.add(&record.key, &record.value);
    }
    let mut chain = Chain::from_genesis();
    ledger.audit.iter().try_for_each(|record| chain.follow(record).map(drop))?;
    digest.replace_audit_head(AuditName::GENESIS, chain.head());
    Ok(digest)
}

impl SimLedger {
    /// An empty ledger, and the first incarnation's handle on it.
    pub fn new(world: World, checks: Checks, node_id: u64, faults: DiskFaults) -> Self {
        let state = State {
            incarnation: 0,
            now: SimSnapshot::default(),
            flushed: SimSnapshot::default(),
            unflushed: Vec::new(),
            snapshot: None,
            recent: VecDeque::new(),
        };
        let state = Arc::new(Mutex::new(state));
        Self { world, checks, node_id, incarnation: 0, faults: Arc::new(Mutex::new(faults)), state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread: nobody panicked while holding it")
    }

    /// The state, if this handle's node is not dead.
    fn alive(&self, operation: &'static str) -> Result<MutexGuard<'_, State>, StorageError> {
        let state = self.lock();
        if state.incarnation == self.incarnation { Ok(state) } else { Err(dead(operation)) }
    }

    fn faults(&self) -> DiskFaults {
        self.faults.lock().expect("one thread: nobody panicked while holding it").clone()
    }

    pub fn set_faults(&self, faults: DiskFaults) {
        *self.faults.lock().expect("one thread: nobody panicked while holding it") = faults;
    }

    /// The power goes. Every handle so far is dead; the one returned is the next incarnation's.
    pub fn crash(&self) -> Self {
        let mut state = self.lock();
        let unflushed = std::mem::take(&mut state.unflushed);
        let kept = self.world.draw(Dice::Disk, |rng| rng.random_range(0..=unflushed.len()));
        let lost = unflushed.len() - kept;
        let mut survivor = state.flushed.clone();
        let mut before = survivor.meta.clone();
        for applied in unflushed.into_iter().take(kept) {
            let records = Arc::make_mut(&mut survivor.records);
            applied.changes.into_iter().for_each(|change| records.absorb(change));
            Arc::make_mut(&mut survivor.audit).extend(applied.audit);
            before = std::mem::replace(&mut survivor.meta, applied.meta);
        }
        twins::on_restart(&mut survivor, before);
        if !twins::snapshots_are_durable() {
            state.snapshot = None;
        }
        trace!(self.world, "n{} ledger crash: {lost} applies lost, back at {}", self.node_id, index(&survivor.meta));
        if lost > 0 {
            self.world.count("unsynced applies lost");
        }
        state.now = survivor.clone();
        state.flushed = survivor;
        state.recent.clear();
        state.incarnation += 1;
        Self { incarnation: state.incarnation, ..self.clone() }
    }

    /// Every record, for the checks.
    pub fn contents(&self) -> MemoryLedger {
        MemoryLedger::clone(&self.lock().now.records)
    }

    /// The digest that was kept as the ledger changed is that of its records.
    pub fn verify_digest(&self) -> Result<(), String> {
        let now = self.lock().now.clone();
        let counted = count_digest(&now).map_err(|error| error.to_string())?;
        if counted == now.meta.digest { Ok(()) } else { Err(format!("kept {}, counted {counted}", now.meta.digest)) }
    }

    /// The rules make this ledger of the commands in its own audit record, and record the same.
    pub fn verify_audit(&self) -> Result<(), String> {
        let now = self.lock().now.clone();
        let mut replay = Replay::default();
        now.audit.iter().try_for_each(|record| replay.feed(record).map(drop)).map_err(|error| error.to_string())?;
        if *replay.meta() == now.meta && *replay.ledger() == *now.records {
            return Ok(());
        }
        Err(format!("the record replays to {:?}, the ledger is at {:?}", replay.meta(), now.meta))
    }

    /// Now and then a write takes its time.
    async fn dawdle(&self) {
        let faults = self.faults();
        if self.world.chance(Dice::Disk, faults.stall_chance) {
            sleep(self.world.micros(Dice::Disk, faults.stall)).await;
        }
    }
}

impl LedgerStore for SimLedger {
    type View = SimView;
    type Snapshot = SimSnapshot;

    fn meta(&self) -> LedgerMeta {
        self.lock().now.meta.clone()
    }

    async fn apply(&self, entries: Vec<CommittedEntry>) -> Result<Vec<Vec<Reply>>, StorageError> {
        self.dawdle().await;
        let mut state = self.alive("applying")?;
        let (mut all_changes, mut all_audit) = (Vec::new(), Vec::new());
        let mut all_replies = Vec::with_capacity(entries.len());
        let mut now = std::mem::take(&mut state.now);
        for entry in entries {
            let view = SimView(now.clone());
            let applied = apply_entry(&mut Overlay::new(&view), &mut now.meta, &entry)?;
            drop(view);
            self.checks.moved(self.node_id, &applied.edits);
            let records = Arc::make_mut(&mut now.records);
            for edit in applied.edits {
                records.absorb(edit.after.clone());
                all_changes.push(edit.after);
            }
            let audit: Arc<[u8]> = applied.audit.value.into();
            Arc::make_mut(&mut now.audit).push(Arc::clone(&audit));
            all_audit.push(audit);
            all_replies.push(applied.replies);
            let index = entry.position.index;
            trace!(self.world, "n{} applied {index} {}", self.node_id, now.meta.digest);
            state.recent.push_back((index, now.meta.digest));
            self.checks.applied(self.node_id, &entry, now.meta.digest);
        }
        let surplus = state.recent.len().saturating_sub(RECENT_DIGESTS_MAX);
        state.recent.drain(..surplus);
        self.checks.ledger_now_and_then(self.node_id, &now.records);
        if self.world.chance(Dice::Disk, self.faults().ledger_flush_chance) {
            state.flushed = now.clone();
            state.unflushed.clear();
        } else {
            state.unflushed.push(Applied { changes: all_changes, audit: all_audit, meta: now.meta.clone() });
        }
        state.now = now;
        Ok(all_replies)
    }

    async fn has_expired(&self, now: LedgerTime) -> Result<bool, StorageError> {
        self.dawdle().await;
        Ok(!self.alive("looking for expired orders")?.now.records.expiring(now, 1).unwrap_or_default().is_empty())
    }

    fn view(&self) -> SimView {
        SimView(self.lock().now.clone())
    }

    fn recent_digests(&self) -> Vec<(u64, StateDigest)> {
        self.lock().recent.iter().copied().collect()
    }

    fn build_snapshot(&self) -> impl Future<Output = Result<(LedgerMeta, SimSnapshot), StorageError>> + Send {
        // Before anything is awaited: as of the moment of the call.
        let captured = self.alive("building a snapshot").map(|state| state.now.clone());
        let store = self.clone();
        async move {
            let captured = captured?;
            sleep(store.world.micros(Dice::Disk, store.faults().sync)).await;
            store.dawdle().await;
            let mut state = store.alive("building a snapshot")?;
            let at = index(&captured.meta);
            trace!(store.world, "n{} built snapshot {at}", store.node_id);
            store.world.count("snapshots built");
            if index(&state.flushed.meta) < at && twins::snapshots_are_durable() {
                state.flushed = captured.clone();
                state.unflushed.retain(|applied| index(&applied.meta) > at);
            }
            state.snapshot = Some(captured.clone());
            Ok((captured.meta.clone(), captured))
        }
    }

    fn current_snapshot(&self) -> Option<(LedgerMeta, SimSnapshot)> {
        self.lock().snapshot.clone().map(|snapshot| (snapshot.meta.clone(), snapshot))
    }

    async fn install_snapshot(&self, snapshot: SimSnapshot) -> Result<LedgerMeta, StorageError> {
        sleep(self.world.micros(Dice::Disk, self.faults().sync)).await;
        self.dawdle().await;
        let counted = count_digest(&snapshot)?;
        if counted != snapshot.meta.digest {
            let cause = format!("its digest is {counted}, not {}", snapshot.meta.digest);
            return Err(StorageError::Corrupt { what: "the snapshot".into(), cause });
        }
        let mut state = self.alive("installing a snapshot")?;
        trace!(self.world, "n{} installed snapshot {}", self.node_id, index(&snapshot.meta));
        self.world.count("snapshots installed");
        self.checks.installed(self.node_id, index(&snapshot.meta), snapshot.meta.digest);
        state.now = twins::installed(snapshot.clone());
        state.flushed = state.now.clone();
        state.unflushed.clear();
        state.recent.clear();
        state.snapshot = Some(snapshot.clone());
        Ok(snapshot.meta)
    }
}

/// A state of the ledger, in memory: it can always be read.
#[derive(Debug, Clone)]
pub struct SimView(SimSnapshot);

impl LedgerState for SimView {
    fn meta(&self) -> &LedgerMeta {
        &self.0.meta
    }
}

impl LedgerView for SimView {
    type Error = StorageError;

    fn series(&self, code: SeriesCode) -> Result<Option<Series>, StorageError> {
        let Ok(found) = self.0.records.series(code);
        Ok(found)
    }

    fn order(&self, id: OrderId) -> Result<Option<Order>, StorageError> {
        let Ok(found) = self.0.records.order(id);
        Ok(found)
    }

    fn payment(&self, name: &PaymentName) -> Result<Option<Payment>, StorageError> {
        let Ok(found) = self.0.records.payment(name);
        Ok(found)
    }

    fn refund(&self, payment: &PaymentName) -> Result<Option<Refund>, StorageError> {
        let Ok(found) = self.0.records.refund(payment);
        Ok(found)
    }

    fn stamping(&self, order: OrderId, document: DocumentDigest) -> Result<Option<Stamping>, StorageError> {
        let Ok(found) = self.0.records.stamping(order, document);
        Ok(found)
    }

    fn policy(&self, version: u32) -> Result<Option<Policy>, StorageError> {
        let Ok(found) = self.0.records.policy(version);
        Ok(found)
    }

    fn document(&self, series: SeriesCode, number: StampNumber) -> Result<Option<DocumentDigest>, StorageError> {
        let Ok(found) = self.0.records.document(series, number);
        Ok(found)
    }

    fn refunds_due(&self, after: Option<Place>, limit: usize) -> Result<Vec<Refund>, StorageError> {
        let Ok(found) = self.0.records.refunds_due(after, limit);
        Ok(found)
    }

    fn totals(&self) -> Result<Totals, StorageError> {
        let Ok(found) = self.0.records.totals();
        Ok(found)
    }

    fn expiring(&self, until: LedgerTime, limit: usize) -> Result<Vec<Order>, StorageError> {
        let Ok(found) = self.0.records.expiring(until, limit);
        Ok(found)
    }

    fn holder(&self, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, StorageError> {
        let Ok(found) = self.0.records.holder(series, number);
        Ok(found)
    }
}

/// Twins of the bugs that are planted in the RocksDB ledger.
mod twins {
    use std::sync::Arc;

    use stampede::domain::{Change, MemoryLedger, Series};
    use stampede::planted;
    use stampede::storage::LedgerMeta;

    use super::SimSnapshot;

    /// Bug 14: a snapshot that is built is not on the disk yet, and the log is purged up to it.
    pub(super) fn snapshots_are_durable() -> bool {
        !planted::is(14)
    }

    fn altered(ledger: &mut SimSnapshot, alter: impl FnMut(Change) -> Option<Change>) {
        let changes = ledger.records.as_ref().clone().into_changes();
        let mut records = MemoryLedger::default();
        changes.into_iter().filter_map(alter).for_each(|change| records.absorb(change));
        ledger.records = Arc::new(records);
    }

    /// Bug 3: a restart forgets the payments. Bug 10: the applied position is written with the next apply; `before` is what
    /// the ledger knew of itself one apply earlier. Bug 15: what the disk turned over meanwhile is taken for what was written.
    pub(super) fn on_restart(survivor: &mut SimSnapshot, before: LedgerMeta) {
        if planted::is(3) {
            altered(survivor, |change| (!matches!(change, Change::Payment(_))).then_some(change));
        }
        if planted::is(10) {
            survivor.meta = before;
        }
        if planted::is(15) {
            altered(survivor, |change| match change {
                Change::Series(series) => Some(Change::Series(Series { reserved: series.reserved ^ 0x55, ..series })),
                other => Some(other),
            });
        }
    }

    /// Bug 2: what was installed starts to count its serials anew.
    pub(super) fn installed(mut snapshot: SimSnapshot) -> SimSnapshot {
        if planted::is(2) {
            altered(&mut snapshot, |change| match change {
                Change::Series(series) => Some(Change::Series(Series { issued: 0, voided: 0, ..series })),
                other => Some(other),
            });
        }
        snapshot
    }
}

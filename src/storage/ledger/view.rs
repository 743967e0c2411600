//! Looking things up: in a state that was published after an apply ([`RocksView`]), and by the same functions in the database
//! as it is, for the thread that changes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{DB, DBPinnableSlice, DBRawIterator, ReadOptions, Snapshot};

use super::{Generation, RefundsDue};
use crate::domain::{
    DocumentDigest, LedgerTime, LedgerView, Order, OrderId, Payment, PaymentName, Place, Policy, Refund, Series, SeriesCode,
    StampNumber, Stamping, Totals,
};
use crate::planted;
use crate::storage::codec::{
    corrupt, decode_meta, decode_order, decode_payment, decode_policy, decode_refund, decode_series, decode_stamping,
    decode_totals,
};
use crate::storage::files::rocks;
use crate::storage::keys::{self, Table};
use crate::storage::{LedgerMeta, LedgerState, StorageError};

self_cell::self_cell!(
    /// A snapshot of RocksDB and the database that it looks at.
    struct Pinned {
        owner: Arc<Generation>,
        #[covariant]
        dependent: Snapshot,
    }
);

/// The state after an apply, held for every reader until the next one.
pub(super) struct Published {
    pub(super) meta: LedgerMeta,
    pub(super) totals: Totals,
    pub(super) refunds_due: RefundsDue,
    state: Pinned,
    passed: Passed,
}

impl Published {
    pub(super) fn new(
        generation: &Arc<Generation>,
        meta: LedgerMeta,
        totals: Totals,
        refunds_due: RefundsDue,
        passed: Passed,
    ) -> Self {
        let state = Pinned::new(Arc::clone(generation), |generation| generation.snapshot());
        Self { meta, totals, refunds_due, state, passed }
    }

    /// As the database says.
    pub(super) fn of(generation: &Arc<Generation>) -> Result<Self, StorageError> {
        let db: &DB = generation;
        let meta = db.find(&keys::META)?.map(|bytes| decode_meta(&bytes)).transpose()?.unwrap_or_default();
        let (totals, passed) = (totals(db)?, Passed::default());
        let refunds_due = RefundsDue::count(db, &passed)?;
        Ok(Self::new(generation, meta, totals, refunds_due, passed))
    }

    pub(super) fn state(&self) -> &Snapshot<'_> {
        self.state.borrow_dependent()
    }

    pub(super) fn database(&self) -> &DB {
        self.state.borrow_owner()
    }

    pub(super) fn passed(&self) -> Passed {
        self.passed.clone()
    }
}

/// How far the two queues of the ledger are worked off: what was found once holds for every later state, because what is new comes
/// behind the ledger's time and its applied index. It spares each look at an index the way over all the entries that were
/// removed before.
#[derive(Default)]
pub(super) struct Passed {
    /// No order waits that could have expired before this time, Unix milliseconds.
    expired: AtomicU64,
    /// No refund is due that fell due before this log index.
    settled: AtomicU64,
}

impl Clone for Passed {
    fn clone(&self) -> Self {
        let copy = |passed: &AtomicU64| AtomicU64::new(passed.load(Ordering::Relaxed));
        Self { expired: copy(&self.expired), settled: copy(&self.settled) }
    }
}

impl Passed {
    fn expired(&self) -> LedgerTime {
        LedgerTime(self.expired.load(Ordering::Relaxed))
    }

    /// Nothing was found before `at`.
    fn expired_through(&self, at: LedgerTime, ledger_time: LedgerTime) {
        // Past the ledger's time a new order may still get an expiry.
        self.expired.fetch_max(at.min(ledger_time).0, Ordering::Relaxed);
    }

    fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// Nothing is due before this log index, which is not past the first one that is not applied.
    fn settled_through(&self, log_index: u64) {
        self.settled.fetch_max(log_index, Ordering::Relaxed);
    }
}

/// The ledger after one log index. Cheap to make and to clone; holds back the files that it reads from until it is dropped.
#[derive(Clone)]
pub struct RocksView(Arc<Published>);

impl RocksView {
    pub(super) fn new(published: Arc<Published>) -> Self {
        Self(published)
    }

    #[must_use]
    pub fn meta(&self) -> &LedgerMeta {
        &self.0.meta
    }

    /// The log index that this is the state after; none if nothing was applied yet.
    #[must_use]
    pub fn index(&self) -> Option<u64> {
        self.0.meta.applied.map(|applied| applied.index)
    }

    /// By code.
    ///
    /// # Errors
    /// A record could not be read.
    pub fn all_series(&self) -> Result<Vec<Series>, StorageError> {
        all_series(self.0.state())
    }

    #[must_use]
    pub fn refunds_due_by_reason(&self) -> &RefundsDue {
        &self.0.refunds_due
    }

    pub(super) fn state(&self) -> &Snapshot<'_> {
        self.0.state()
    }
}

impl LedgerState for RocksView {
    fn meta(&self) -> &LedgerMeta {
        &self.0.meta
    }
}

impl LedgerView for RocksView {
    type Error = StorageError;

    fn series(&self, code: SeriesCode) -> Result<Option<Series>, StorageError> {
        self.state().find(&keys::series(code))?.map(|bytes| decode_series(&bytes)).transpose()
    }

    fn order(&self, id: OrderId) -> Result<Option<Order>, StorageError> {
        order(self.state(), id)
    }

    fn payment(&self, name: &PaymentName) -> Result<Option<Payment>, StorageError> {
        payment(self.state(), name)
    }

    fn refund(&self, payment: &PaymentName) -> Result<Option<Refund>, StorageError> {
        refund(self.state(), payment)
    }

    fn stamping(&self, order: OrderId, document: DocumentDigest) -> Result<Option<Stamping>, StorageError> {
        stamping(self.state(), order, document)
    }

    fn policy(&self, version: u32) -> Result<Option<Policy>, StorageError> {
        policy(self.state(), version)
    }

    fn totals(&self) -> Result<Totals, StorageError> {
        Ok(self.0.totals.clone())
    }

    fn expiring(&self, until: LedgerTime, limit: usize) -> Result<Vec<Order>, StorageError> {
        expiring(self.state(), until, limit, &self.0.passed, self.0.totals.ledger_time)
    }

    fn holder(&self, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, StorageError> {
        holder(self.state(), series, number)
    }

    fn document(&self, series: SeriesCode, number: StampNumber) -> Result<Option<DocumentDigest>, StorageError> {
        document(self.state(), series, number)
    }

    fn refunds_due(&self, after: Option<Place>, limit: usize) -> Result<Vec<Refund>, StorageError> {
        // With none left, the whole index is what was removed.
        if self.0.totals.refunds_due() == 0 {
            return Ok(Vec::new());
        }
        refunds_due(self.state(), after, limit, &self.0.passed)
    }
}

/// What the look-ups need: the database as it is, or a snapshot of it.
pub(super) trait Source {
    fn find(&self, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StorageError>;
    fn cursor(&self, options: ReadOptions) -> DBRawIterator<'_>;
}

impl Source for DB {
    fn find(&self, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StorageError> {
        self.get_pinned_opt(key, &reading()).map_err(rocks("read the ledger"))
    }

    fn cursor(&self, options: ReadOptions) -> DBRawIterator<'_> {
        self.raw_iterator_opt(options)
    }
}

impl Source for Snapshot<'_> {
    fn find(&self, key: &[u8]) -> Result<Option<DBPinnableSlice<'_>>, StorageError> {
        self.get_pinned_opt(key, reading()).map_err(rocks("read the ledger"))
    }

    fn cursor(&self, options: ReadOptions) -> DBRawIterator<'_> {
        self.raw_iterator_opt(options)
    }
}

pub(super) fn order(source: &impl Source, id: OrderId) -> Result<Option<Order>, StorageError> {
    source.find(&keys::order(id))?.map(|bytes| decode_order(&bytes)).transpose()
}

pub(super) fn payment(source: &impl Source, name: &PaymentName) -> Result<Option<Payment>, StorageError> {
    source.find(&keys::payment(name))?.map(|bytes| decode_payment(&bytes)).transpose()
}

pub(super) fn refund(source: &impl Source, payment: &PaymentName) -> Result<Option<Refund>, StorageError> {
    source.find(&keys::refund(payment))?.map(|bytes| decode_refund(&bytes)).transpose()
}

pub(super) fn stamping(
    source: &impl Source,
    order: OrderId,
    document: DocumentDigest,
) -> Result<Option<Stamping>, StorageError> {
    source.find(&keys::stamping(order, document))?.map(|bytes| decode_stamping(&bytes)).transpose()
}

pub(super) fn policy(source: &impl Source, version: u32) -> Result<Option<Policy>, StorageError> {
    source.find(&keys::policy(version))?.map(|bytes| decode_policy(&bytes)).transpose()
}

pub(super) fn document(
    source: &impl Source,
    series: SeriesCode,
    number: StampNumber,
) -> Result<Option<DocumentDigest>, StorageError> {
    source.find(&keys::document(series, number))?.map(|value| keys::decode_document_value(&value)).transpose()
}

pub(super) fn refunds_due(
    source: &impl Source,
    after: Option<Place>,
    limit: usize,
    passed: &Passed,
) -> Result<Vec<Refund>, StorageError> {
    let oldest = Place { log_index: passed.settled(), offset: 0 };
    // The next place at the earliest: `after` itself was told already.
    let next = |after: Place| Place { offset: after.offset.saturating_add(1), ..after };
    let start = after.map_or(oldest, next).max(oldest);
    let mut cursor = source.cursor(within(keys::refund_due(start), Table::RefundsDue.end()));
    cursor.seek_to_first();
    let mut found: Vec<Refund> = Vec::new();
    while found.len() < limit
        && let Some(key) = cursor.value()
    {
        let record = source.find(key)?.map(|bytes| decode_refund(&bytes)).transpose()?;
        let due = record.filter(|refund| refund.settled.is_none());
        found.push(due.ok_or_else(|| corrupt("index of refunds due", "names a refund that is not due"))?);
        cursor.next();
    }
    cursor.status().map_err(rocks("read the ledger"))?;
    // From the beginning: what comes before the first one is settled.
    if start == oldest
        && let Some(first) = found.first()
    {
        passed.settled_through(first.due.log_index);
    }
    Ok(found)
}

pub(super) fn totals(source: &impl Source) -> Result<Totals, StorageError> {
    Ok(source.find(&keys::TOTALS)?.map(|bytes| decode_totals(&bytes)).transpose()?.unwrap_or_default())
}

pub(super) fn all_series(source: &impl Source) -> Result<Vec<Series>, StorageError> {
    let mut cursor = source.cursor(within(Table::Series.start(), Table::Series.end()));
    cursor.seek_to_first();
    let mut found = Vec::new();
    while let Some(bytes) = cursor.value() {
        found.push(decode_series(bytes)?);
        cursor.next();
    }
    cursor.status().map_err(rocks("read the ledger"))?;
    Ok(found)
}

pub(super) fn expiring(
    source: &impl Source,
    until: LedgerTime,
    limit: usize,
    passed: &Passed,
    ledger_time: LedgerTime,
) -> Result<Vec<Order>, StorageError> {
    let no_id = OrderId::from_bytes([0; 16]);
    let start = keys::expiry(passed.expired(), no_id);
    // Bounded by `until`, not by the first order beyond it: an order that was paid leaves a tombstone at its expiry, and
    // RocksDB would pass over all of those on its way there. At its expiry an order may expire, so `until` is included.
    let end = until.0.checked_add(1).map_or(Table::Expiry.end().to_vec(), |end| keys::expiry(LedgerTime(end), no_id));
    let mut cursor = source.cursor(within(start, end));
    cursor.seek_to_first();
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(key) = cursor.key()
    {
        let (_, id) = keys::decode_expiry(key)?;
        let indexed = order(source, id)?.filter(Order::is_awaiting_payment);
        found.push(indexed.ok_or_else(|| corrupt("expiry index", format_args!("order {id} does not wait for a payment")))?);
        cursor.next();
    }
    cursor.status().map_err(rocks("read the ledger"))?;
    if limit > 0 {
        let none_before = found.first().map_or(until, |order: &Order| order.expires_at);
        passed.expired_through(none_before, ledger_time);
    }
    Ok(found)
}

pub(super) fn holder(source: &impl Source, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, StorageError> {
    let first_of_series = keys::holder(series, StampNumber::new(0).expect("0 is a number"));
    let mut cursor = source.cursor(within(first_of_series, Table::Holders.end()));
    // Ranges do not overlap: only the last one that begins at or before the number can hold it.
    cursor.seek_for_prev(keys::holder(series, number));
    let found = match cursor.item() {
        None => None,
        Some((key, value)) => {
            let first = keys::decode_holder_first(key)?;
            let (id, quantity) = keys::decode_holder_value(value)?;
            (number.get() - first < u64::from(quantity)).then_some(id)
        }
    };
    cursor.status().map_err(rocks("read the ledger"))?;
    Ok(found)
}

/// Every block that is read is held to its checksum.
fn reading() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(!planted::is(15));
    options
}

pub(super) fn within(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> ReadOptions {
    let mut options = reading();
    options.set_iterate_lower_bound(start);
    options.set_iterate_upper_bound(end);
    options
}

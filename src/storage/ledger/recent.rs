//! What the ledger's thread remembers of the newest records, so that the usual look-ups read nothing: is this id new (it is), and
//! what does the order say that was placed a moment ago.
//!
//! Ids that begin with a time (UUIDv7, the ids of most gateways) are almost sorted: all records above some key are few enough to
//! be kept, and an id above that key which is not among them is in no file either. New random ids are soon below that key, and are
//! looked up. In `benches/apply.rs` a ledger with it applies a sixth more commands of time-ordered ids, and a twentieth fewer of
//! random ones.
//!
//! Fed after each write by the one thread that writes; not part of the state.

use std::collections::BTreeMap;

use rocksdb::{DB, DBRawIterator};

use super::view::{Source, within};
use crate::domain::{Gateway, Order, OrderId, PaymentId, PaymentName};
use crate::limits;
use crate::storage::StorageError;
use crate::storage::files::rocks;
use crate::storage::keys::{self, Table};

/// What memory says of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<'a, R> {
    Record(&'a R),
    /// There is no such record.
    Absent,
    /// The database knows.
    No,
}

/// The records of one table with the highest keys.
struct Newest<K, R> {
    records: BTreeMap<K, R>,
    /// Every record above this key is in `records`; None: every one of the table.
    floor: Option<K>,
    records_max: usize,
}

impl<K: Ord, R> Newest<K, R> {
    /// Of a table that has no record above `floor`.
    fn above(floor: Option<K>, records_max: usize) -> Self {
        Self { records: BTreeMap::new(), floor, records_max }
    }

    fn is_covered(&self, key: &K) -> bool {
        // The floor itself is a record that is not kept.
        self.floor.as_ref().is_none_or(|floor| key > floor)
    }

    fn get(&self, key: &K) -> Known<'_, R> {
        match self.records.get(key) {
            Some(record) => Known::Record(record),
            None if self.is_covered(key) => Known::Absent,
            None => Known::No,
        }
    }

    /// As it was just written.
    fn put(&mut self, key: K, record: R) {
        if !self.is_covered(&key) {
            return;
        }
        self.records.insert(key, record);
        if self.records.len() > self.records_max {
            self.floor = self.records.pop_first().map(|(lowest, _)| lowest);
        }
    }
}

pub(super) struct Recent {
    orders: Newest<OrderId, Order>,
    /// A gateway's ids are sorted among themselves only.
    payments: BTreeMap<Gateway, Newest<PaymentId, ()>>,
}

impl Recent {
    /// Of a database that was opened: nothing yet, above what it holds.
    pub(super) fn of(db: &DB) -> Result<Self, StorageError> {
        let last = last_key(db, Table::Orders.start(), Table::Orders.end(), keys::decode_order)?;
        Ok(Self { orders: Newest::above(last, limits::RECENT_ORDERS_MAX), payments: BTreeMap::new() })
    }

    pub(super) fn order(&self, id: OrderId) -> Known<'_, Order> {
        self.orders.get(&id)
    }

    pub(super) fn payment(&self, name: &PaymentName) -> Known<'_, ()> {
        self.payments.get(&name.gateway).map_or(Known::No, |newest| newest.get(&name.payment_id))
    }

    /// `order` is in the database now.
    pub(super) fn order_written(&mut self, order: Order) {
        self.orders.put(order.id, order);
    }

    /// So is a payment of this name.
    pub(super) fn payment_written(&mut self, db: &DB, name: PaymentName) -> Result<(), StorageError> {
        let PaymentName { gateway, payment_id } = name;
        if let Some(newest) = self.payments.get_mut(&gateway) {
            newest.put(payment_id, ());
        } else if self.payments.len() < limits::RECENT_GATEWAYS_MAX {
            let (start, end) = keys::payments_of(&gateway);
            let last = last_key(db, start, end, keys::decode_payment_id)?;
            self.payments.insert(gateway, Newest::above(last, limits::RECENT_PAYMENTS_MAX));
        }
        Ok(())
    }
}

fn last_key<K>(
    db: &DB,
    start: impl Into<Vec<u8>>,
    end: impl Into<Vec<u8>>,
    decode: impl Fn(&[u8]) -> Result<K, StorageError>,
) -> Result<Option<K>, StorageError> {
    let mut cursor: DBRawIterator<'_> = db.cursor(within(start, end));
    cursor.seek_to_last();
    cursor.status().map_err(rocks("read the ledger"))?;
    cursor.key().map(decode).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(floor: Option<u32>) -> Newest<u32, &'static str> {
        Newest::above(floor, 2)
    }

    #[test]
    fn what_was_not_written_above_the_floor_is_absent_and_below_it_the_database_knows() {
        let newest = newest(Some(10));
        assert_eq!(newest.get(&11), Known::Absent);
        assert_eq!(newest.get(&10), Known::No, "the floor is a record");
        assert_eq!(newest.get(&9), Known::No);
    }

    #[test]
    fn a_record_is_known_as_it_was_written_last() {
        let mut newest = newest(None);
        newest.put(5, "placed");
        newest.put(5, "issued");
        assert_eq!(newest.get(&5), Known::Record(&"issued"));
        assert_eq!(newest.get(&4), Known::Absent, "of a table that was empty every record is kept");
    }

    #[test]
    fn a_record_that_had_to_go_is_never_called_absent() {
        let mut newest = newest(None);
        for key in [5, 7, 6, 3, 8] {
            newest.put(key, "written");
        }
        assert_eq!(newest.records.keys().copied().collect::<Vec<_>>(), [7, 8]);
        for gone in [3, 5, 6] {
            assert_eq!(newest.get(&gone), Known::No, "{gone} was written and went");
        }
        assert_eq!(newest.get(&9), Known::Absent);
    }

    #[test]
    fn a_late_change_of_an_old_record_is_left_to_the_database() {
        let mut newest = newest(Some(10));
        newest.put(4, "changed");
        assert_eq!(newest.get(&4), Known::No);
    }
}

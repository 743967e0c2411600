//! The changes of entries that are not written yet, over another view: commands of one batch see each other.
//!
//! It reads a record from its base once, and remembers what each record was before the edits that were last taken: the state
//! digest needs both values of each record that an entry changed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::LedgerView;
use crate::domain::decision::Change;
use crate::domain::names::{DocumentDigest, LedgerTime, OrderId, PaymentName, Place, SeriesCode, StampNumber};
use crate::domain::order::Order;
use crate::domain::payment::Payment;
use crate::domain::policy::Policy;
use crate::domain::refund::Refund;
use crate::domain::series::Series;
use crate::domain::stamping::Stamping;
use crate::domain::totals::Totals;

#[derive(Debug)]
pub struct Overlay<'a, V> {
    base: &'a V,
    series: RefCell<Table<SeriesCode, Series>>,
    orders: RefCell<Table<OrderId, Order>>,
    payments: RefCell<Table<PaymentName, Payment>>,
    refunds: RefCell<Table<PaymentName, Refund>>,
    stampings: RefCell<Table<(OrderId, DocumentDigest), Stamping>>,
    policies: RefCell<Table<u32, Policy>>,
    totals: RefCell<Table<(), Totals>>,
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// None if the record is new.
    pub before: Option<Change>,
    pub after: Change,
}

/// The records of one kind that were looked at.
#[derive(Debug)]
struct Table<K, R> {
    places: BTreeMap<K, usize>,
    /// The keys are small and move about as the tree grows; the records stay where they are.
    slots: Vec<Slot<R>>,
    /// Since edits were last taken.
    edited: Vec<(K, usize)>,
}

#[derive(Debug)]
struct Slot<R> {
    now: Option<R>,
    /// If it was edited since edits were last taken: what it was then.
    before: Option<Option<R>>,
    /// Not what the base has.
    differs: bool,
}

impl<K, R> Default for Table<K, R> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), slots: Vec::new(), edited: Vec::new() }
    }
}

impl<K: Ord + Clone, R: Clone> Table<K, R> {
    fn place<E>(&mut self, key: &K, read: impl FnOnce(&K) -> Result<Option<R>, E>) -> Result<usize, E> {
        if let Some(place) = self.places.get(key) {
            return Ok(*place);
        }
        let slot = Slot { now: read(key)?, before: None, differs: false };
        self.slots.push(slot);
        let place = self.slots.len() - 1;
        self.places.insert(key.clone(), place);
        Ok(place)
    }

    fn get<E>(&mut self, key: &K, read: impl FnOnce(&K) -> Result<Option<R>, E>) -> Result<Option<R>, E> {
        let place = self.place(key, read)?;
        Ok(self.slots[place].now.clone())
    }

    fn put<E>(&mut self, key: K, record: R, read: impl FnOnce(&K) -> Result<Option<R>, E>) -> Result<(), E> {
        let place = self.place(&key, read)?;
        let slot = &mut self.slots[place];
        let replaced = slot.now.replace(record);
        if slot.before.is_none() {
            slot.before = Some(replaced);
            self.edited.push((key, place));
        }
        slot.differs = true;
        Ok(())
    }

    /// By key.
    fn take_edits(&mut self, edits: &mut Vec<Edit>, change: impl Fn(R) -> Change) {
        self.edited.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (_, place) in self.edited.drain(..) {
            let slot = &mut self.slots[place];
            let after = slot.now.clone().expect("a record that was edited is there");
            let before = slot.before.take().expect("what was edited has a value before");
            edits.push(Edit { before: before.map(&change), after: change(after) });
        }
    }

    /// The record is not as the base has it.
    fn differs(&self, key: &K) -> bool {
        self.places.get(key).is_some_and(|place| self.slots[*place].differs)
    }

    /// Records that are not as the base has them, in no order that means anything.
    fn differing(&self) -> impl Iterator<Item = &R> {
        self.slots.iter().filter(|slot| slot.differs).filter_map(|slot| slot.now.as_ref())
    }
}

impl<'a, V: LedgerView> Overlay<'a, V> {
    #[must_use]
    pub fn new(base: &'a V) -> Self {
        Self {
            base,
            series: RefCell::default(),
            orders: RefCell::default(),
            payments: RefCell::default(),
            refunds: RefCell::default(),
            stampings: RefCell::default(),
            policies: RefCell::default(),
            totals: RefCell::default(),
        }
    }

    /// # Errors
    /// What the record was before could not be read; nothing is changed.
    pub fn absorb(&mut self, change: Change) -> Result<(), V::Error> {
        let base = self.base;
        match change {
            Change::Series(series) => self.series.get_mut().put(series.code, series, |code| base.series(*code)),
            Change::Order(order) => self.orders.get_mut().put(order.id, order, |id| base.order(*id)),
            Change::Payment(payment) => self.payments.get_mut().put(payment.name.clone(), payment, |name| base.payment(name)),
            Change::Refund(refund) => self.refunds.get_mut().put(refund.payment.clone(), refund, |name| base.refund(name)),
            Change::Stamping(stamping) => {
                let key = (stamping.order, stamping.document);
                self.stampings.get_mut().put(key, stamping, |(order, document)| base.stamping(*order, *document))
            }
            Change::Policy(policy) => {
                self.policies.get_mut().put(policy.terms.version(), policy, |version| base.policy(*version))
            }
            Change::Totals(totals) => self.totals.get_mut().put((), totals, |()| base.totals().map(Some)),
        }
    }

    /// Records that were changed since edits were last taken.
    fn edited(&mut self) -> usize {
        self.series.get_mut().edited.len()
            + self.orders.get_mut().edited.len()
            + self.payments.get_mut().edited.len()
            + self.refunds.get_mut().edited.len()
            + self.stampings.get_mut().edited.len()
            + self.policies.get_mut().edited.len()
            + self.totals.get_mut().edited.len()
    }

    /// The net edits since the last call: one for each record that was changed, in the order of [`Change`], each kind
    /// by key.
    pub fn take_edits(&mut self) -> Vec<Edit> {
        let mut edits = Vec::with_capacity(self.edited());
        self.series.get_mut().take_edits(&mut edits, Change::Series);
        self.orders.get_mut().take_edits(&mut edits, Change::Order);
        self.payments.get_mut().take_edits(&mut edits, Change::Payment);
        self.refunds.get_mut().take_edits(&mut edits, Change::Refund);
        self.stampings.get_mut().take_edits(&mut edits, Change::Stamping);
        self.policies.get_mut().take_edits(&mut edits, Change::Policy);
        self.totals.get_mut().take_edits(&mut edits, Change::Totals);
        edits
    }
}

impl<V: LedgerView> LedgerView for Overlay<'_, V> {
    type Error = V::Error;

    fn series(&self, code: SeriesCode) -> Result<Option<Series>, V::Error> {
        self.series.borrow_mut().get(&code, |code| self.base.series(*code))
    }

    fn order(&self, id: OrderId) -> Result<Option<Order>, V::Error> {
        self.orders.borrow_mut().get(&id, |id| self.base.order(*id))
    }

    fn payment(&self, name: &PaymentName) -> Result<Option<Payment>, V::Error> {
        self.payments.borrow_mut().get(name, |name| self.base.payment(name))
    }

    fn refund(&self, payment: &PaymentName) -> Result<Option<Refund>, V::Error> {
        self.refunds.borrow_mut().get(payment, |name| self.base.refund(name))
    }

    fn stamping(&self, order: OrderId, document: DocumentDigest) -> Result<Option<Stamping>, V::Error> {
        let read = |(order, document): &(OrderId, DocumentDigest)| self.base.stamping(*order, *document);
        self.stampings.borrow_mut().get(&(order, document), read)
    }

    fn policy(&self, version: u32) -> Result<Option<Policy>, V::Error> {
        self.policies.borrow_mut().get(&version, |version| self.base.policy(*version))
    }

    fn totals(&self) -> Result<Totals, V::Error> {
        let totals = self.totals.borrow_mut().get(&(), |()| self.base.totals().map(Some))?;
        Ok(totals.unwrap_or_default())
    }

    /// Looks at every order of the batch: `ExpireOrders` comes twice a second, other commands do not ask.
    fn expiring(&self, until: LedgerTime, limit: usize) -> Result<Vec<Order>, V::Error> {
        let orders = self.orders.borrow();
        // An order's expiry never changes: only orders that expire by `until` can be listed.
        let changed: Vec<_> = orders.differing().filter(|order| order.expires_at <= until).collect();
        // The base still lists those, so it is asked for as many more.
        let mut expiring = self.base.expiring(until, limit.saturating_add(changed.len()))?;
        expiring.retain(|order| !orders.differs(&order.id));
        expiring.extend(changed.into_iter().filter(|order| order.is_awaiting_payment()).cloned());
        expiring.sort_unstable_by_key(|order| (order.expires_at, order.id));
        expiring.truncate(limit);
        Ok(expiring)
    }

    /// Looks at every order of the batch: no command asks.
    fn holder(&self, series: SeriesCode, number: StampNumber) -> Result<Option<OrderId>, V::Error> {
        let orders = self.orders.borrow();
        let holds = |order: &&Order| order.serials().is_some_and(|serials| serials.contains(series, number));
        match orders.differing().find(holds) {
            Some(order) => Ok(Some(order.id)),
            None => self.base.holder(series, number),
        }
    }

    /// Looks at every stamping of the batch: no command asks.
    fn document(&self, series: SeriesCode, number: StampNumber) -> Result<Option<DocumentDigest>, V::Error> {
        let stampings = self.stampings.borrow();
        match stampings.differing().find(|stamping| (stamping.series, stamping.number) == (series, number)) {
            Some(stamping) => Ok(Some(stamping.document)),
            None => self.base.document(series, number),
        }
    }

    /// Looks at every refund of the batch: no command asks.
    fn refunds_due(&self, after: Option<Place>, limit: usize) -> Result<Vec<Refund>, V::Error> {
        let refunds = self.refunds.borrow();
        let changed: Vec<_> = refunds.differing().filter(|refund| Some(refund.due) > after).collect();
        // The base still lists those that were settled, so it is asked for as many more.
        let mut due = self.base.refunds_due(after, limit.saturating_add(changed.len()))?;
        due.retain(|refund| !refunds.differs(&refund.payment));
        due.extend(changed.into_iter().filter(|refund| refund.settled.is_none()).cloned());
        due.sort_unstable_by_key(|refund| refund.due);
        due.truncate(limit);
        Ok(due)
    }
}

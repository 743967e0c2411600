//! Lists whose pages are all of one state of the ledger.
//!
//! The first page is a linearizable read; if there is another, the state that it read is kept here for those that follow. A page
//! token names this node, the list, and where to go on. Kept states hold back old records and files of the store: they are few, and
//! go when nobody asks for a while.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::consensus::Consistency;
use crate::domain::{AccountId, Gateway, LedgerTime, LedgerView, Order, Payment, Refund};
use crate::limits;
use crate::proto::{admin, v1};
use crate::storage::{Page, RocksView, StorageError};
use crate::transport::edge::Edge;
use crate::transport::errors::{Failure, Reason};
use crate::transport::ledger_node::ClusterNode;
use crate::transport::wire;

/// Which orders a list is of. What is not named is not asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFilter {
    pub states: Vec<v1::OrderState>,
    pub account: Option<AccountId>,
    pub placed: Period,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentFilter {
    pub states: Vec<admin::PaymentState>,
    pub gateway: Option<Gateway>,
    /// Of the order that was paid.
    pub account: Option<AccountId>,
    pub recorded: Period,
}

/// Ledger times from `from` on and before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub from: LedgerTime,
    pub until: LedgerTime,
}

impl Period {
    fn holds(self, at: LedgerTime) -> bool {
        // What happened at `until` belongs to the next period.
        self.from <= at && at < self.until
    }
}

fn is_among<T: PartialEq>(wanted: &[T], one: T) -> bool {
    wanted.is_empty() || wanted.contains(&one)
}

impl OrderFilter {
    pub(super) fn wants(&self, order: &Order) -> bool {
        is_among(&self.states, wire::order_state(&order.state))
            && self.account.as_ref().is_none_or(|account| *account == order.account)
            && self.placed.holds(order.placed_at)
    }
}

impl PaymentFilter {
    /// The payment with what is or was owed back for it, if it is wanted. What needs no look-up is asked first.
    pub(super) fn pick<V: LedgerView>(
        &self,
        view: &V,
        payment: Payment,
    ) -> Result<Option<(Payment, Option<Refund>)>, V::Error> {
        let is_of_gateway = self.gateway.as_ref().is_none_or(|gateway| *gateway == payment.name.gateway);
        if !is_of_gateway || !self.recorded.holds(payment.recorded_at) || !self.is_of_account(view, &payment)? {
            return Ok(None);
        }
        let refund = view.refund(&payment.name)?;
        Ok(is_among(&self.states, wire::payment_state(refund.as_ref())).then_some((payment, refund)))
    }

    fn is_of_account<V: LedgerView>(&self, view: &V, payment: &Payment) -> Result<bool, V::Error> {
        let Some(account) = &self.account else { return Ok(true) };
        Ok(view.order(payment.order)?.is_some_and(|order| order.account == *account))
    }
}

/// One state of the ledger, and what the list is of.
#[derive(Clone)]
struct Kept {
    view: RocksView,
    mark: v1::ReadMark,
    filter: String,
    used_at: Instant,
    /// Its last page was read: kept for a caller that did not get it.
    is_read: bool,
}

/// Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub struct Lists {
    kept: Arc<Mutex<BTreeMap<Uuid, Kept>>>,
}

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    node_id: u64,
    list: Uuid,
    from: Vec<u8>,
}

impl Token {
    /// None if `text` is no token.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let (node_id, list, from) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { node_id: node_id.parse().ok()?, list: list.parse().ok()?, from: hex::decode(from).ok()? })
    }

    fn text(&self) -> String {
        format!("{}.{}.{}", self.node_id, self.list, hex::encode(&self.from))
    }
}

impl Lists {
    /// One page: what its state is good for, its records, and the token of the next page, empty after the last.
    pub(super) async fn page<R: Send + 'static>(
        &self,
        edge: &Edge<ClusterNode>,
        token: &str,
        filter: String,
        within: Duration,
        read: impl FnOnce(&RocksView, &[u8]) -> Result<Page<R>, StorageError> + Send + 'static,
    ) -> Result<(v1::ReadMark, Vec<R>, String), Failure> {
        let node_id = edge.node().status().node_id;
        if token.is_empty() {
            let first = move |view: &RocksView| Ok((view.clone(), read(view, &[])?));
            let (mark, (view, page)) = edge.read(Consistency::Linearizable, within, first).await?;
            let next = page.next.map(|from| self.keep(node_id, view, mark, filter, from)).transpose()?;
            return Ok((mark, page.records, next.unwrap_or_default()));
        }
        let (token, view, mark) = self.go_on(node_id, token, &filter)?;
        let from = token.from.clone();
        let page = edge.look_up(Instant::now() + within, move || read(&view, &from)).await?;
        let next = match page.next {
            Some(from) => Token { from, ..token }.text(),
            None => {
                if let Some(list) = self.kept().get_mut(&token.list) {
                    list.is_read = true;
                }
                String::new()
            }
        };
        Ok((mark, page.records, next))
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Uuid, Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state that the list of `token` reads. `filter`: what this page asks for, as text.
    ///
    /// # Errors
    /// `INVALID_FIELD`: no token, or one of another list. `LIST_EXPIRED`.
    fn go_on(&self, node_id: u64, token: &str, filter: &str) -> Result<(Token, RocksView, v1::ReadMark), Failure> {
        let token = Token::parse(token).ok_or_else(|| Failure::invalid("page_token", "must be empty or a next_page_token"))?;
        if token.node_id != node_id {
            let message = format!("the list is kept by node {}: ask there, or begin again without a token", token.node_id);
            return Err(Failure::new(Reason::ListExpired, message).with("node_id", token.node_id));
        }
        let mut kept = self.kept();
        let Some(list) = kept.get_mut(&token.list) else {
            let message = "the list is not kept any more: begin again without a token";
            return Err(Failure::new(Reason::ListExpired, message).with("node_id", node_id));
        };
        if list.filter != filter {
            return Err(Failure::invalid("page_token", "belongs to a list with another filter"));
        }
        list.used_at = Instant::now();
        Ok((token, list.view.clone(), list.mark))
    }

    /// Keeps the state of a first page for the next ones; returns the token of the second.
    ///
    /// # Errors
    /// `OVERLOADED`: as many lists are kept as may be.
    fn keep(
        &self,
        node_id: u64,
        view: RocksView,
        mark: v1::ReadMark,
        filter: String,
        from: Vec<u8>,
    ) -> Result<String, Failure> {
        let list = Uuid::now_v7();
        {
            let mut kept = self.kept();
            make_room(&mut kept)?;
            kept.insert(list, Kept { view, mark, filter, used_at: Instant::now(), is_read: false });
        }
        tokio::spawn(self.clone().forget_when_idle(list));
        Ok(Token { node_id, list, from }.text())
    }

    async fn forget_when_idle(self, list: Uuid) {
        loop {
            let idle_at = {
                let mut kept = self.kept();
                let Some(used_at) = kept.get(&list).map(|list| list.used_at) else { return };
                let idle_at = used_at + limits::LIST_KEPT_FOR;
                if idle_at <= Instant::now() {
                    kept.remove(&list);
                    return;
                }
                idle_at
            };
            sleep_until(idle_at).await;
        }
    }
}

/// Room for one more list: one that was read to its end has to go, or else the one that has been idle for longest, if nobody seems to
/// come back to it.
///
/// # Errors
/// `OVERLOADED`: all of them are being read.
fn make_room(kept: &mut BTreeMap<Uuid, Kept>) -> Result<(), Failure> {
    if kept.len() < limits::LISTS_KEPT_MAX {
        return Ok(());
    }
    let (id, idlest) = kept.iter().min_by_key(|(_, list)| (!list.is_read, list.used_at)).expect("there are some");
    if !idlest.is_read && idlest.used_at.elapsed() < limits::LIST_IDLE_BEFORE_EVICTION {
        let message = format!("{} lists are being read already", limits::LISTS_KEPT_MAX);
        return Err(Failure::new(Reason::Overloaded, message));
    }
    let id = *id;
    kept.remove(&id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_written_and_nothing_else_is_one() {
        let token = Token { node_id: 3, list: Uuid::from_u128(7), from: vec![3, 0, 255] };
        assert_eq!(Token::parse(&token.text()), Some(token.clone()));
        for text in ["", "3", "3.x.00", &token.text()[1..], &format!("{}0", token.text()), "é.é.é", "7.12"] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}

//! The whole ledger of each replica, sorted into the lots.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::io;

use super::links::Links;
use super::lots::Piece;
use super::spill::Sorter;
use crate::hash::Map;
use crate::history::coded::{Coded, Decoded, Malformed, coded_enum};
use crate::history::{
    DelimitedReader, Digest, OrderId, OrderSeen, PaymentName, PaymentSeen, PolicySeen, RefundSeen, RunFolder, StampingSeen,
    wire,
};
use crate::proto::admin::scan_ledger_response::Item;
use crate::proto::admin::{ScanHeader, ScanLedgerResponse, Series};

/// One replica, but for its orders and what hangs on them: those are in the lots.
#[derive(Debug, Clone)]
pub struct Scan {
    pub header: ScanHeader,
    pub series: Vec<Series>,
    pub policies: Vec<PolicySeen>,
    /// Of the records' bytes.
    pub fingerprint: [u8; 32],
    /// The node whose records are kept: replicas with the same bytes share them.
    pub kept_as: u16,
}

/// A record that belongs to an order.
#[derive(Debug)]
pub enum Scanned {
    Order(OrderSeen),
    Payment(PaymentSeen),
    Refund(RefundSeen),
    Stamping(OrderId, Digest, StampingSeen),
}

coded_enum! {
    Scanned { 1 Order(seen), 2 Payment(seen), 3 Refund(seen), 4 Stamping(order, document, seen) }
}

/// The records of a scan, as far as they are in one lot.
#[derive(Debug, Default)]
pub struct ScanRecords {
    pub orders: Map<OrderId, OrderSeen>,
    pub payments: Map<PaymentName, PaymentSeen>,
    pub refunds: Map<PaymentName, RefundSeen>,
    pub stampings: Map<(OrderId, Digest), StampingSeen>,
    /// Keys that came more than once: no ledger can hold them.
    pub doubled: Vec<String>,
}

impl ScanRecords {
    pub(super) fn take(&mut self, record: Scanned) {
        let doubled = &mut self.doubled;
        match record {
            Scanned::Order(seen) => {
                let id = seen.order;
                keep(&mut self.orders, id, seen, doubled, || format!("order {}", crate::model::order_text(id)));
            }
            Scanned::Payment(seen) => {
                let text = |name: &PaymentName| format!("payment {}/{}", name.gateway, name.payment_id);
                let name = seen.payment.clone();
                keep(&mut self.payments, name.clone(), seen, doubled, || text(&name));
            }
            Scanned::Refund(seen) => {
                let text = |name: &PaymentName| format!("refund of payment {}/{}", name.gateway, name.payment_id);
                let name = seen.payment.clone();
                keep(&mut self.refunds, name.clone(), seen, doubled, || text(&name));
            }
            Scanned::Stamping(order, document, seen) => {
                let text = || format!("stamping of order {}", crate::model::order_text(order));
                keep(&mut self.stampings, (order, document), seen, doubled, text);
            }
        }
    }
}

/// Notes a key that was there before: no ledger can hold it twice.
fn keep<K: Eq + Hash, V>(there: &mut Map<K, V>, key: K, value: V, doubled: &mut Vec<String>, text: impl FnOnce() -> String) {
    if there.insert(key, value).is_some() {
        doubled.push(text());
    }
}

/// What was read of the replicas, and what is wrong with others.
#[derive(Debug, Default)]
pub struct Scans {
    pub of_nodes: BTreeMap<u16, Scan>,
    pub gaps: Vec<String>,
}

impl Scans {
    #[must_use]
    pub fn read(folder: &RunFolder, nodes: &[u16], links: &Links, lots: &mut Sorter<Piece>) -> Self {
        let mut scans = Self::default();
        for node in nodes {
            match scans.read_one(folder, *node, links, lots) {
                Ok(scan) => {
                    scans.of_nodes.insert(*node, scan);
                }
                Err(cause) => scans.gaps.push(format!("scan of node {node}: {cause}")),
            }
        }
        scans
    }

    /// Of a scan that cannot be read to its end, what was sorted already belongs to no scan.
    fn read_one(&self, folder: &RunFolder, node: u16, links: &Links, lots: &mut Sorter<Piece>) -> io::Result<Scan> {
        let mut reader = DelimitedReader::<ScanLedgerResponse>::open(&folder.scan(node))?;
        let Some(Item::Header(header)) = reader.next().transpose()?.and_then(|first| first.item) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not begin with a header"));
        };
        let fingerprint = reader.fingerprint_of_the_rest()?;
        if let Some(same) = self.of_nodes.values().find(|scan| scan.fingerprint == fingerprint) {
            return Ok(Scan { header, ..same.clone() });
        }
        let mut scan = Scan { header, series: Vec::new(), policies: Vec::new(), fingerprint, kept_as: node };
        for message in DelimitedReader::<ScanLedgerResponse>::open(&folder.scan(node))?.skip(1) {
            match message?.item.ok_or_else(|| unreadable("record of an unknown kind", ""))? {
                Item::Series(series) => scan.series.push(series),
                Item::Policy(policy) => scan.policies.push(wire::policy(&policy)),
                item => {
                    let record = Scanned::of(item)?;
                    lots.put(record.lot(links), &Piece::Scanned(node, record))?;
                }
            }
        }
        Ok(scan)
    }
}

impl Scanned {
    fn of(item: Item) -> io::Result<Self> {
        Ok(match item {
            Item::Header(_) => return Err(unreadable("second header", "")),
            Item::Series(series) => return Err(unreadable("series", &series.series_code)),
            Item::Policy(_) => return Err(unreadable("policy", "")),
            Item::Order(order) => Self::Order(wire::order(&order).ok_or_else(|| unreadable("order", &order.order_id))?),
            Item::Payment(payment) => {
                Self::Payment(wire::payment(&payment).ok_or_else(|| unreadable("payment of order", &payment.order_id))?)
            }
            Item::Refund(refund) => {
                Self::Refund(wire::refund(&refund).ok_or_else(|| unreadable("refund of order", &refund.order_id))?)
            }
            Item::Stamping(stamping) => {
                let ((order, document), seen) =
                    wire::stamping(&stamping).ok_or_else(|| unreadable("stamping of order", &stamping.order_id))?;
                Self::Stamping(order, document, seen)
            }
        })
    }

    fn lot(&self, links: &Links) -> usize {
        match self {
            Self::Order(seen) => links.of_order(seen.order),
            Self::Payment(seen) => links.of_payment(&seen.payment, Some(seen.order)),
            Self::Refund(seen) => links.of_payment(&seen.payment, Some(seen.order)),
            Self::Stamping(order, ..) => links.of_order(*order),
        }
    }
}

fn unreadable(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} {name} cannot be what the protocol promises"))
}

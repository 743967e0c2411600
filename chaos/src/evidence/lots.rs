//! A run is judged in lots: a lot has everything of some of the orders, and of their payments, so that a check that joins what is
//! known of an order need not hold all orders at once. What belongs to no order is in the first lot.

use std::io;

use super::call::{Answered, Op};
use super::scans::{ScanRecords, Scanned};
use super::spill::Sorted;
use crate::hash::Map;
use crate::history::coded::{Coded, Decoded, Malformed, coded_enum, coded_struct};
use crate::history::{OrderId, OrderSeen, PaymentName, PaymentSeen, Place, ProviderEvent, RefundSeen, Request};
use crate::model::{Order, Payment, Refund, Reply};

/// Bytes of a history that make a lot: two lots at once, with all that is derived of them, are a small part of the memory.
const HISTORY_BYTES: u64 = 24 << 20;
/// However many processors there are.
pub const LOTS_AT_ONCE: usize = 2;
/// A lot's number is kept in a byte.
const LOTS_MAX: u64 = 250;
/// So that a small run, too, is judged in lots: there is one way to judge.
const LOTS_MIN: u64 = 3;

/// How many lots a history of so many bytes is judged in.
#[must_use]
pub fn lots_of(history_bytes: u64) -> usize {
    usize::try_from((history_bytes / HISTORY_BYTES).clamp(LOTS_MIN, LOTS_MAX)).expect("few")
}

/// What is sorted into lots.
#[derive(Debug)]
pub enum Piece {
    Call(Op),
    /// A further answer to the n-th call.
    Late(u32, Answered),
    /// By an op.
    Listed(u64, Page),
    Provider(ProviderEvent),
    Command(Command),
    Expired(OrderId, Expiry),
    /// Of the replica of a node.
    Scanned(u16, Scanned),
    /// After a log index.
    Model(u64, Modelled),
}

/// What a page of a list shows of one order or payment.
#[derive(Debug)]
pub enum Page {
    Order(OrderSeen),
    Payment(PaymentSeen),
    Refund(RefundSeen),
}

/// What a client (or the operator) sent, as it stands in the log, and what it must have been answered.
#[derive(Debug)]
pub struct Command {
    pub place: Place,
    pub request: Request,
    pub reply: Reply,
}

/// Where the log expires an order, and how long it may have waited for its payment.
#[derive(Debug, Clone, Copy)]
pub struct Expiry {
    pub place: Place,
    pub window_ms: i64,
}

/// A record of the judge's own ledger.
#[derive(Debug)]
pub enum Modelled {
    Order(OrderId, Order),
    Payment(PaymentName, Payment),
    Refund(PaymentName, Refund),
}

coded_struct! {
    Command { place, request, reply }
    Expiry { place, window_ms }
}

coded_enum! {
    Piece {
        1 Call(op), 2 Late(nth, answer), 3 Listed(op, page), 4 Provider(event), 5 Command(command), 6 Expired(order, expiry),
        7 Scanned(node, record), 8 Model(index, record),
    }
    Page { 1 Order(seen), 2 Payment(seen), 3 Refund(seen) }
    Modelled { 1 Order(id, order), 2 Payment(name, payment), 3 Refund(name, refund) }
}

/// The judge's ledger after one log index, as far as it is about the lot's orders.
#[derive(Debug, Default)]
pub struct ModelRecords {
    pub orders: Map<OrderId, Order>,
    pub payments: Map<PaymentName, Payment>,
    pub refunds: Map<PaymentName, Refund>,
}

/// One lot, in memory.
#[derive(Debug, Default)]
pub struct Lot {
    /// In the order of their calls.
    pub ops: Vec<Op>,
    /// What lists showed, with the op.
    pub listed: Vec<(u64, Page)>,
    pub provider: Vec<ProviderEvent>,
    /// In the order of the log.
    pub commands: Vec<Command>,
    /// Which of them stands where.
    at: Map<Place, usize>,
    pub expired: Map<OrderId, Expiry>,
    /// By node; of replicas with the same records, one.
    pub scans: Map<u16, ScanRecords>,
    /// By log index: those of the scans.
    pub models: Map<u64, ModelRecords>,
}

impl Lot {
    /// From what the parts of the judge sorted, each into files of its own.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(parts: &[Sorted<Piece>], number: usize) -> io::Result<Self> {
        let (mut lot, mut late) = (Self::default(), Vec::new());
        for part in parts {
            part.read(number, |piece| lot.take(piece, &mut late))?;
        }
        lot.at = lot.commands.iter().enumerate().map(|(at, command)| (command.place, at)).collect();
        // (An op is large: by its key, each is moved once.)
        lot.ops.sort_by_cached_key(|op| op.nth);
        for (nth, answer) in late {
            if let Ok(at) = lot.ops.binary_search_by_key(&nth, |op| op.nth) {
                lot.ops[at].answers.push(answer);
            }
        }
        Ok(lot)
    }

    fn take(&mut self, piece: Piece, late: &mut Vec<(u32, Answered)>) {
        match piece {
            Piece::Call(op) => self.ops.push(op),
            Piece::Late(nth, answer) => late.push((nth, answer)),
            Piece::Listed(op, page) => self.listed.push((op, page)),
            Piece::Provider(event) => self.provider.push(event),
            Piece::Command(command) => self.commands.push(command),
            Piece::Expired(order, expiry) => {
                self.expired.insert(order, expiry);
            }
            Piece::Scanned(node, record) => self.scans.entry(node).or_default().take(record),
            Piece::Model(index, record) => self.models.entry(index).or_default().take(record),
        }
    }

    /// What stands at a place, if it is the lot's.
    #[must_use]
    pub fn at(&self, place: Place) -> Option<&Command> {
        self.at.get(&place).map(|at| &self.commands[*at])
    }
}

impl ModelRecords {
    fn take(&mut self, record: Modelled) {
        match record {
            Modelled::Order(id, order) => {
                self.orders.insert(id, order);
            }
            Modelled::Payment(name, payment) => {
                self.payments.insert(name, payment);
            }
            Modelled::Refund(name, refund) => {
                self.refunds.insert(name, refund);
            }
        }
    }
}

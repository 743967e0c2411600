//! The rules of selling and issuing stamps, and nothing else.
//!
//! PURE: no async, no clock, no randomness, no floating point, no hash-map iteration, no I/O. The same commands in the same
//! order give the same ledger on every node. The domain decides; it never writes: [`apply`] reads a [`LedgerView`] and
//! returns a [`Decision`], and storage makes its changes durable in one batch.
//!
//! # Glossary
//! *Commit*, *term* and *snapshot* belong to Raft. The *ledger* is the replicated state. Money is *received* and *refunded*;
//! stamps are *reserved*, *issued*, later *stamped* or *voided*; orders are *placed*.
//!
//! - **series**: a run of serial numbers of one face value that the operator opened.
//! - **order**: an account wants a quantity of stamps of a series, under an id that the caller chose.
//! - **payment**: one notice of received money, named by the gateway and its payment id.
//! - **refund**: money owed back for one payment, until it is *settled*.
//! - **stamp**: one serial number; a **stamping** puts it on one document, which the ledger knows by its digest.
//! - **policy**: what a voluntary void gives back, and until when. What it keeps is money *held*.
//! - **place**: where a command stands in the log, the order of everything ([`Place`]).
//!
//! # Invariants
//! [`invariants`] checks them: after every row of the tables, after every command of a property's random histories, and in the
//! simulation, on every replica, at short intervals and at the end. The arrows are judged there at every entry.
//!
//! - A serial number belongs to at most one order, for ever.
//! - capacity = issued + voided + reserved + free, for every series.
//! - received = issued value + held + refund due + refunded, at every log index. A payment stands for issued stamps or is owed back,
//!   never both.
//! - A recorded payment never changes; a refund changes once, when it is settled.
//! - An order moves only along the arrows: `AwaitingPayment → Issued | Cancelled | Expired`, `Expired → Issued`,
//!   `Issued → Voided`.
//! - A stamp is on one document at most, for ever, and a document has at most one stamp of an order.

// The types are banned by `tests/tidy.rs`; this finds what has no type written beside it.
#![deny(clippy::float_arithmetic)]

pub mod command;
pub mod commands;
pub mod decision;
pub mod invariants;
pub mod ledger;
pub mod names;
pub mod order;
pub mod payment;
pub mod policy;
pub mod refund;
pub mod serial_code;
pub mod series;
pub mod stamping;
pub mod totals;

pub use command::Command;
pub use commands::{apply, clamp_time};
pub use decision::{Change, Decision, Outcome, Refusal, Reply};
pub use ledger::{LedgerView, MemoryLedger, Overlay};
pub use names::{
    AccountId, DocumentDigest, Gateway, LedgerTime, OrderId, PaymentId, PaymentName, Percent, Place, Quantity, Rupiah,
    SeriesCode, SettlementReference, StampNumber,
};
pub use order::{Issue, Order, OrderState};
pub use payment::{Payment, PaymentOutcome};
pub use policy::{Policy, PolicyTerms};
pub use refund::{Refund, RefundReason, Settlement};
pub use series::{KeyCheck, SerialRange, Series};
pub use stamping::Stamping;
pub use totals::{PaymentCounts, Totals};

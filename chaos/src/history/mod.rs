//! What happened in a run, as the tool saw it: one append-only file, and the folder that it lies in.
//!
//! Everything that is judged comes from here, so that a run can be judged again later, by a newer judge, without a cluster.
//! The file is framed and checksummed ([`writer`]); a torn or damaged tail is reported by the [`reader`], never read as the end.
//! A history that lacks its [`Phase::End`] mark is of a run that did not finish, and can never be judged clean.

pub mod cluster;
mod codec;
pub mod coded;
pub mod delimited;
pub mod faults_on;
pub mod folder;
pub mod lists;
pub mod reader;
pub mod record;
pub mod seen;
pub mod wire;
pub mod writer;

pub use cluster::{FaultEvent, FaultStage, MemberId, NodeRole, Phase, ProcessEvent, ProcessStep, StatusSample};
pub use delimited::{DelimitedReader, DelimitedWriter};
pub use faults_on::FaultsOn;
pub use folder::{Bounds, RequiredFault, RunFacts, RunFolder};
pub use lists::{OrderList, PaymentList, PaymentState, Period};
pub use reader::{HistoryError, HistoryReader};
pub use record::{
    Consistency, Digest, Invoke, MachineSync, OpId, OrderId, Outcome, PaymentName, Place, ProviderEvent, ProviderStep, Purpose,
    Read, ReadAnswer, Receipt, Record, Request, Return, SeriesCode, Text, WriteAnswer, Written,
};
pub use seen::{
    CodesSeen, LedgerTotals, OrderSeen, OrderState, PaymentOutcome, PaymentSeen, PolicySeen, RefundReason, RefundSeen,
    SerialsSeen, SettlementSeen, StampingSeen,
};
pub use writer::{HistoryClosed, HistoryWriter, Recorder, RunClock};

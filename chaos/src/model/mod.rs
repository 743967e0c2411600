//! The judge's own ledger: small, in memory, written from the comments of the protocol files.
//!
//! It replays the exported log in its order and says what each command must have been answered. It knows nothing of Raft,
//! of nodes or of time other than the log's; where the system under test agrees with it at every place, the log's order
//! explains every answer.

mod after_issue;
mod event;
mod ledger;
mod log;
mod reply;

pub use event::{event_of, expired};
pub use ledger::{Issued, Ledger, Order, Payment, Policy, Refund, Series, Settled};
pub use log::{Entry, Log, LoggedCommand, Outline, order_id, order_text, series_code, series_text};
pub use reply::{Answer, Reply};

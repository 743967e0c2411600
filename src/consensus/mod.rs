//! The glue over openraft: everything between "here are commands" and "they are applied on a majority".
//!
//! Generic over openraft's async runtime, over [`LogStore`](crate::storage::LogStore) and
//! [`LedgerStore`](crate::storage::LedgerStore), and over [`PeerLink`], so that the same code runs under a seeded simulation.
//! Callers see [`Node`] and the plain values of [`api`]; no openraft type leaves this module, except the runtimes.

pub mod admission;
mod agreed_time;
pub mod api;
mod calls;
mod codec;
mod config;
mod control;
mod cut_off;
mod disk_watch;
mod expiry;
mod first_failure;
mod flights;
mod floor_watch;
mod leadership;
mod lines;
mod log_store;
mod low_disks;
pub mod members;
mod membership;
pub mod metrics;
mod network;
pub mod node;
pub mod peer_link;
mod peers;
#[cfg(feature = "planted-bugs")]
mod planted_blocks;
#[cfg(feature = "planted-bugs")]
mod planted_refunds;
#[cfg(feature = "planted-bugs")]
mod planted_replies;
mod proposer;
#[cfg(test)]
mod proposer_bench;
#[cfg(test)]
mod proposer_order_tests;
#[cfg(test)]
mod proposer_tests;
mod raft_target;
mod reads;
mod state_machine;
mod status;
mod target;
mod types;
mod wire;

pub use api::*;
pub use lines::StreamOrder;
pub use members::{MemberChange, MemberError, MemberPlan, Quorum};
pub use metrics::Metrics;
pub use node::{Node, StatusChanges};
pub use openraft::AsyncRuntime;
/// The runtime of production; simulation brings `openraft_rt_sim::SimRuntime`.
pub use openraft_rt_tokio::TokioRuntime;
pub use peer_link::{LinkError, PeerLink, Peers, SnapshotSendError};

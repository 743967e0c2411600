//! The glue over openraft: everything between "here are commands" and "they are applied on a majority".
//!
//! Generic over openraft's async runtime, over [`LogStore`](crate::storage::LogStore) and
//! [`LedgerStore`](crate::storage::LedgerStore), and over [`PeerLink`], so that the same code runs under a seeded simulation.

pub mod peer_link;

pub use peer_link::{LinkError, PeerLink, Peers};

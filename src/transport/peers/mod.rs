//! Between the nodes of one cluster: [`client::GrpcPeers`] calls, [`server::Peers`] answers.
//!
//! Every call says of which cluster and node it comes. A node of another cluster is refused by name, before its message is looked
//! at: its log positions would be taken for ours.

pub mod client;
mod identity;
pub mod server;

pub use client::{GrpcPeerLink, GrpcPeers};
pub use identity::ClusterIdentity;

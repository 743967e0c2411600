//! Between the nodes of one cluster: [`client::GrpcPeers`] calls, [`server::Peers`] answers.
//!
//! Every call says of which cluster and node it comes, and which node it is for. A node of another cluster is refused by name,
//! before its message is looked at: its log positions would be taken for ours. So is a call for another node: one node must
//! not answer for two.

pub mod client;
mod identity;
mod join;
pub mod server;

pub use client::{GrpcPeerLink, GrpcPeers};
pub use identity::ClusterIdentity;
pub(super) use join::{choose_cluster, join_members};

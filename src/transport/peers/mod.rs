//! Between the nodes of one cluster: [`client::GrpcPeers`] calls, [`server::Peers`] answers.
//!
//! Every call says of which cluster and node it comes, and which node it is for. A node of another cluster is refused by name,
//! before its message is looked at: its log positions would be taken for ours. So is a call for another node: one node must
//! not answer for two.

pub mod client;
pub mod contact;
mod identity;
mod join;
pub mod server;
pub mod token;

pub use client::{Dial, GrpcPeerLink, GrpcPeers};
pub use identity::{Ban, ClusterIdentity};
pub(super) use join::{choose_cluster, join_members};

//! What a node answers on: three ports of gRPC, one of HTTP, and its calls to other nodes.
//!
//! The only place that parses what callers send (`validate`) and the only one that names an error on the wire (`errors`). What a
//! call means is the domain's affair, where it is executed is consensus': a service here converts, asks the node, converts back.
//!
//! - client port: `IssuanceService` ([`issuance`]); writes of all three forms share one path ([`edge`]).
//! - operators' port: `AdminService` ([`admin`]), `MemberService` ([`members`]), `SupportService` ([`support`]).
//! - webhook port: notices of payment gateways over HTTP ([`gateways`]).
//! - peers' port: `PeerService` ([`peers`]), and [`peers::GrpcPeers`], the other end of it.
//!
//! Not here: TLS and roles (they come with the transport security), the HTTP port of metrics and probes (`operations`).

pub mod admin;
mod bodies;
pub mod calls;
pub mod deadline;
#[cfg(feature = "drill-controls")]
mod drill;
pub mod edge;
pub mod errors;
mod events;
mod exports;
mod gate;
pub mod gateways;
mod history;
mod incoming;
pub mod issuance;
pub mod ledger_node;
pub mod lists;
mod long_answers;
pub mod members;
pub mod peers;
pub mod read_threads;
pub mod server;
mod status;
pub mod support;
pub mod validate;
pub mod wire;

pub use calls::CallMetrics;
pub use edge::{Edge, OnStorageError};
pub use ledger_node::{ClusterNode, LedgerNode};
pub use peers::{ClusterIdentity, GrpcPeers};
pub use server::{ServeError, Signals, serve_admin, serve_client, serve_peers};

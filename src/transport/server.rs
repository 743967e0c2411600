//! The three listeners: their services, HTTP/2 settings, health and reflection.
//!
//! Each `serve_*` runs until `stop` turns true, then takes no new calls, finishes those under way, and returns. Whoever stops the
//! node bounds how long it waits for that.

use std::io;
use std::sync::Arc;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::{Connected, Router, TcpIncoming};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::limits;
use crate::proto;
use crate::proto::admin::admin_service_server::AdminServiceServer;
use crate::proto::admin::member_service_server::MemberServiceServer;
use crate::proto::admin::support_service_server::SupportServiceServer;
use crate::proto::raft::peer_service_server::PeerServiceServer;
use crate::proto::v1::issuance_service_server::IssuanceServiceServer;
use crate::transport::admin::Admin;
use crate::transport::calls::CallMetrics;
use crate::transport::edge::{Edge, OnStorageError};
use crate::transport::gate::{Door, Gate};
use crate::transport::incoming::connections;
use crate::transport::issuance::Issuance;
use crate::transport::ledger_node::{ClusterNode, LedgerNode};
use crate::transport::peers::ClusterIdentity;
use crate::transport::peers::server::Peers;
use crate::transport::support::LooksInside;

const ISSUANCE: &str = "stampede.v1.IssuanceService";
const ADMIN: &str = "stampede.admin.v1.AdminService";

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("the listener failed: {0}")]
    Listener(#[from] tonic::transport::Error),
    #[error("reflection: {0}")]
    Reflection(String),
}

/// A connection that tonic takes.
trait Incoming: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static {}

impl<C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static> Incoming for C {}

/// What the one who runs the node tells its ports.
#[derive(Debug, Clone)]
pub struct Signals {
    /// The health that `grpc.health.v1` reports: true is SERVING.
    pub serving: watch::Receiver<bool>,
    /// True closes the port.
    pub stop: watch::Receiver<bool>,
}

/// For peers, who are few.
fn settings() -> Server {
    Server::builder()
        .tcp_nodelay(true)
        .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(limits::CONNECTION_CALLS_MAX)
        .http2_keepalive_interval(Some(limits::HTTP2_KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::HTTP2_KEEP_ALIVE_TIMEOUT))
}

/// For whoever connects.
fn public_settings() -> Server {
    settings()
        .initial_stream_window_size(limits::PUBLIC_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::PUBLIC_CONNECTION_WINDOW_BYTES)
}

/// The clients' port: issuance, health, reflection.
///
/// # Errors
/// The listener failed.
pub async fn serve_client<N: LedgerNode>(
    listener: TcpListener,
    edge: Edge<N>,
    calls: Arc<CallMetrics>,
    signals: Signals,
) -> Result<(), ServeError> {
    let door = Door::of(edge.node().clone());
    let service = IssuanceServiceServer::new(Issuance::new(edge, calls.clone(), signals.stop.clone()))
        .max_decoding_message_size(limits::CLIENT_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::CLIENT_MESSAGE_BYTES_MAX);
    let turned_away = calls.clone();
    let router = public_settings().add_service(Gate::new(service, calls, door));
    let incoming =
        connections(listener, limits::CLIENT_CONNECTIONS_MAX, move || turned_away.client_connections_turned_away.add(1));
    serve_public(incoming, router, proto::CLIENT_DESCRIPTORS, ISSUANCE, signals).await
}

/// The operators' port: administration, members, support, health, reflection.
///
/// # Errors
/// The listener failed.
pub async fn serve_admin(
    listener: TcpListener,
    admin: Admin,
    node: Arc<dyn LooksInside>,
    signals: Signals,
) -> Result<(), ServeError> {
    let support = SupportServiceServer::new(admin.support(node)).max_decoding_message_size(limits::CLIENT_MESSAGE_BYTES_MAX);
    let members = MemberServiceServer::new(admin.members()).max_decoding_message_size(limits::CLIENT_MESSAGE_BYTES_MAX);
    let service = AdminServiceServer::new(admin).max_decoding_message_size(limits::CLIENT_MESSAGE_BYTES_MAX);
    let router = public_settings().add_service(service).add_service(members).add_service(support);
    #[cfg(feature = "drill-controls")]
    let router = router.add_service(super::drill::service());
    serve_public(TcpIncoming::from(listener).with_nodelay(Some(true)), router, proto::OPERATOR_DESCRIPTORS, ADMIN, signals)
        .await
}

/// The peers' port. Neither health nor reflection: nobody else has business here.
///
/// # Errors
/// The listener failed.
pub async fn serve_peers(
    listener: TcpListener,
    node: ClusterNode,
    identity: ClusterIdentity,
    calls: Arc<CallMetrics>,
    on_storage_error: OnStorageError,
    stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let service = PeerServiceServer::new(Peers::new(node, identity, calls, on_storage_error, stop.clone()))
        .max_decoding_message_size(limits::PEER_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(limits::PEER_MESSAGE_BYTES_MAX);
    serve(TcpIncoming::from(listener).with_nodelay(Some(true)), settings().add_service(service), stop).await
}

async fn serve_public<C: Incoming>(
    incoming: impl Stream<Item = io::Result<C>>,
    router: Router,
    descriptors: &'static [u8],
    service: &'static str,
    signals: Signals,
) -> Result<(), ServeError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let reflection = |error: tonic_reflection::server::Error| ServeError::Reflection(error.to_string());
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let health_service = health_service.max_decoding_message_size(limits::CALL_BYTES_MAX);
    let router = router
        .add_service(health_service)
        .add_service(described().build_v1().map_err(reflection)?.max_decoding_message_size(limits::CALL_BYTES_MAX))
        .add_service(described().build_v1alpha().map_err(reflection)?.max_decoding_message_size(limits::CALL_BYTES_MAX));
    let Signals { serving, stop } = signals;
    tokio::select! {
        () = report_health(health, service, serving) => unreachable!("health is reported until the port is closed"),
        served = serve(incoming, router, stop) => served,
    }
}

async fn serve<C: Incoming>(
    incoming: impl Stream<Item = io::Result<C>>,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let stopped = async move {
        // A sender that is gone closes nothing.
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    Ok(router.serve_with_incoming_shutdown(incoming, stopped).await?)
}

/// Never ends.
async fn report_health(health: HealthReporter, service: &'static str, mut serving: watch::Receiver<bool>) {
    loop {
        let status = if *serving.borrow_and_update() { ServingStatus::Serving } else { ServingStatus::NotServing };
        health.set_service_status("", status).await;
        health.set_service_status(service, status).await;
        if serving.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

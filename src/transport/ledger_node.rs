//! What the client services ask of a node. [`crate::consensus::Node`] is the one that counts; tests bring one whose answers
//! are scripted, for what a healthy cluster does not show.

use std::future::Future;
use std::time::Duration;

use crate::consensus::admission::Class;
use crate::consensus::{
    AsyncRuntime, Consistency, Node, PeerLink, Peers, Read, ReadError, StreamOrder, SubmitError, Submitted, TokioRuntime,
};
use crate::domain::{Command, LedgerView};
use crate::storage::{LedgerStore, LogStore, RocksLedger, RocksLog, StorageError};
use crate::transport::peers::GrpcPeers;

/// The node of production.
pub type ClusterNode = Node<TokioRuntime, RocksLog, RocksLedger, GrpcPeers>;

pub trait LedgerNode: Clone + Send + Sync + 'static {
    type View: LedgerView<Error = StorageError> + Send + Sync + 'static;

    /// See [`Node::submit`].
    fn submit(&self, commands: Vec<Command>, within: Duration) -> impl Future<Output = Result<Submitted, SubmitError>> + Send;

    /// See [`Node::submit_on`].
    fn submit_on(
        &self,
        _stream: &StreamOrder,
        commands: Vec<Command>,
        within: Duration,
    ) -> impl Future<Output = Result<Submitted, SubmitError>> + Send {
        self.submit(commands, within)
    }

    /// See [`Node::read`].
    fn read(
        &self,
        consistency: Consistency,
        within: Duration,
    ) -> impl Future<Output = Result<Read<Self::View>, ReadError>> + Send;

    /// Counts a call that was turned away before it was submitted.
    fn shed(&self, _class: Class) {}

    /// See [`Node::refuses_new_orders`].
    fn refuses_new_orders(&self) -> bool {
        false
    }

    /// Counts a new order that was turned away before it was submitted, because the disks are low.
    fn disk_low(&self) {}

    /// Where clients reach a member.
    fn client_address(&self, node_id: u64) -> Option<String>;
}

impl<RT, L, S, P> LedgerNode for Node<RT, L, S, P>
where
    RT: AsyncRuntime,
    L: LogStore,
    S: LedgerStore,
    P: Peers,
    P::Link: PeerLink<Snapshot = S::Snapshot>,
{
    type View = S::View;

    async fn submit(&self, commands: Vec<Command>, within: Duration) -> Result<Submitted, SubmitError> {
        Self::submit(self, commands, within).await
    }

    async fn submit_on(
        &self,
        stream: &StreamOrder,
        commands: Vec<Command>,
        within: Duration,
    ) -> Result<Submitted, SubmitError> {
        Self::submit_on(self, stream, commands, within).await
    }

    async fn read(&self, consistency: Consistency, within: Duration) -> Result<Read<S::View>, ReadError> {
        Self::read(self, consistency, within).await
    }

    fn shed(&self, class: Class) {
        self.metrics().shed.of(class).add(1);
    }

    fn refuses_new_orders(&self) -> bool {
        Self::refuses_new_orders(self)
    }

    fn disk_low(&self) {
        self.metrics().refused_disk_low.add(1);
    }

    fn client_address(&self, node_id: u64) -> Option<String> {
        self.status().members.into_iter().find(|member| member.node_id == node_id).map(|member| member.client_address)
    }
}

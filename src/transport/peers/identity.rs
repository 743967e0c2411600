//! Who this node is to its peers, and who they must be to it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic_types::StatusExt;

use crate::storage::data_dir::NodeIdentity;
use crate::storage::{DataDir, LedgerMeta, StorageError};
use crate::transport::errors::{ERROR_DOMAIN, Failure, Reason};

const CLUSTER_ID: &str = "stampede-cluster-id";
const CLUSTER_NAME: &str = "stampede-cluster-name";
const NODE_ID: &str = "stampede-node-id";
const TO_NODE_ID: &str = "stampede-to-node-id";
const PEER_ADDRESS: &str = "stampede-peer-address";

/// The identity in the data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClusterIdentity {
    data: Arc<DataDir>,
    /// Into the cluster of one of these a node without a cluster may be taken.
    members: Arc<[u64]>,
    /// Where others reach this node, as its configuration has it; empty: not known.
    peer_address: Arc<str>,
    /// Why a member will have nothing to do with this node, ever.
    banned: watch::Sender<Option<Ban>>,
    /// The last refusal that was logged: peers ask again many times a second.
    logged: Arc<Mutex<String>>,
}

/// What another member said, and nothing that is done here can mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ban {
    /// This node was removed from its cluster.
    Removed(String),
    /// This node's disk is another node's, too.
    Copied(String),
    /// This node's disk is of another cluster than those that its configuration names.
    Foreign(String),
}

/// A cluster, as its members know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::transport) struct Cluster {
    pub(in crate::transport) id: String,
    pub(in crate::transport) name: String,
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.name)
    }
}

impl Cluster {
    /// Puts it on a call, in place of the one that is there.
    pub(super) fn sign(&self, metadata: &mut MetadataMap) {
        put(metadata, CLUSTER_ID, &self.id);
        put(metadata, CLUSTER_NAME, &self.name);
    }
}

/// In the refusal of a caller that has this node's id.
pub(super) const IS_THIS_NODE: &str = "which is this node";

fn put(metadata: &mut MetadataMap, key: &'static str, value: &str) {
    // Ids and names are ASCII by their checks; what is not cannot be sent, and the peer refuses the call.
    if let Ok(value) = value.parse::<MetadataValue<Ascii>>() {
        metadata.insert(key, value);
    }
}

/// What a caller says of itself and of whom it calls.
struct Caller<'a> {
    cluster_id: &'a str,
    cluster_name: &'a str,
    node_id: u64,
    to_node_id: u64,
    /// Empty if the caller does not say.
    peer_address: &'a str,
}

impl ClusterIdentity {
    /// `members` are the node ids of the configuration.
    #[must_use]
    pub fn new(data: Arc<DataDir>, members: impl IntoIterator<Item = u64>) -> Self {
        let (members, peer_address) = (members.into_iter().collect(), Arc::from(""));
        Self { data, members, peer_address, banned: watch::Sender::new(None), logged: Arc::default() }
    }

    /// Says to others where they reach this node, so that they know a copy of its disk elsewhere.
    #[must_use]
    pub fn reached_at(self, peer_address: &str) -> Self {
        Self { peer_address: peer_address.into(), ..self }
    }

    /// Completes when a member has said that this node can never take part again.
    pub async fn banned(&self) -> Ban {
        let mut banned = self.banned.subscribe();
        let told = banned.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
        // The sender is this value's own.
        told.unwrap_or_else(|| unreachable!("a ban is waited for while nobody can tell one"))
    }

    /// What a member answered to a call of this node.
    pub(super) fn heed(&self, status: &Status) {
        let reason = status.get_details_error_info().filter(|info| info.domain == ERROR_DOMAIN).map(|info| info.reason);
        let message = status.message().to_owned();
        let ban = match reason.as_deref() {
            Some(reason) if reason == Reason::MemberRemoved.name() => Ban::Removed(message),
            Some(reason) if reason == Reason::DiskCopied.name() => Ban::Copied(message),
            _ => return,
        };
        self.ban(ban);
    }

    pub(super) fn ban(&self, ban: Ban) {
        self.banned.send_replace(Some(ban));
    }

    #[must_use]
    pub fn data(&self) -> &Arc<DataDir> {
        &self.data
    }

    /// Puts this node's identity on a call for node `to`.
    pub(super) fn sign(&self, metadata: &mut MetadataMap, to: u64) {
        let NodeIdentity { node_id, cluster_id, cluster_name, .. } = self.data.identity();
        Cluster { id: cluster_id, name: cluster_name }.sign(metadata);
        put(metadata, NODE_ID, &node_id.to_string());
        put(metadata, TO_NODE_ID, &to.to_string());
        if !self.peer_address.is_empty() {
            put(metadata, PEER_ADDRESS, &self.peer_address);
        }
    }

    /// Whom the node would be to a member that wants to take it into a cluster. Refuses whom `join` would, but for the cluster.
    ///
    /// # Errors
    /// `OTHER_CLUSTER` or `PEER_REFUSED`.
    pub(super) fn tell(&self, metadata: &MetadataMap) -> Result<NodeIdentity, Failure> {
        let caller = Caller::of(metadata);
        let ours = self.data.identity();
        let admitted = is_another(&caller, &ours).and_then(|()| is_for(&caller, &ours)).and_then(|()| self.is_member(&caller));
        admitted.inspect_err(|failure| self.log(failure)).map(|()| ours)
    }

    fn is_member(&self, caller: &Caller<'_>) -> Result<(), Failure> {
        if self.members.contains(&caller.node_id) {
            return Ok(());
        }
        let message = format!("node {} is no member in this node's configuration", caller.node_id);
        Err(Failure::new(Reason::OtherCluster, message))
    }

    /// Admits a call of a member of this cluster to this node. A node without a cluster admits nobody: either no cluster is
    /// made yet, or this node has lost its disk, and with it what it voted for and acknowledged under its id.
    ///
    /// `known`: what this node has applied. It goes by nothing newer, so that a leader which is being removed is heard until its
    /// removal is on a majority.
    ///
    /// # Errors
    /// `OTHER_CLUSTER`, naming both, `PEER_REFUSED`, `MEMBER_REMOVED` or `DISK_COPIED`.
    pub(super) fn admit(&self, metadata: &MetadataMap, known: &LedgerMeta) -> Result<(), Failure> {
        let caller = Caller::of(metadata);
        let ours = self.data.identity();
        check(&caller, &ours)
            .and_then(|()| if ours.cluster_id.is_empty() { Err(homeless(&caller, &ours)) } else { Ok(()) })
            .and_then(|()| standing(&caller, &ours, known))
            .inspect_err(|failure| self.log(failure))
    }

    /// Admits the call with which `init` takes this node into a cluster: its own, or its first.
    ///
    /// # Errors
    /// As of [`Self::admit`]; what `stop_for` makes of an identity that cannot be saved.
    pub(super) async fn join(
        &self,
        metadata: &MetadataMap,
        stop_for: impl FnOnce(StorageError) -> Failure,
    ) -> Result<(), Failure> {
        let caller = Caller::of(metadata);
        let ours = self.data.identity();
        check(&caller, &ours).and_then(|()| self.is_member(&caller)).inspect_err(|failure| self.log(failure))?;
        let cluster = Cluster { id: caller.cluster_id.to_owned(), name: caller.cluster_name.to_owned() };
        let adopted = self.adopt(cluster).await;
        adopted.map_err(|error| match error {
            // `Init`, or a peer of yet another cluster, was faster.
            StorageError::Unusable(already) => Failure::new(Reason::OtherCluster, already),
            error => stop_for(error),
        })
    }

    fn log(&self, failure: &Failure) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged != failure.message {
            logged.clone_from(&failure.message);
            tracing::warn!(event = "peer_refused", "{}", failure.message);
        }
    }

    /// Binds this node to a cluster, durably.
    pub(super) async fn adopt(&self, cluster: Cluster) -> Result<(), StorageError> {
        let (data, Cluster { id, name }) = (self.data.clone(), cluster.clone());
        let bound = tokio::task::spawn_blocking(move || data.set_cluster(&id, &name)).await;
        bound.map_err(|error| StorageError::Io { operation: "save the identity", cause: error.to_string() })??;
        let Cluster { id, name } = cluster;
        tracing::info!(
            event = "cluster_joined",
            cluster_id = id,
            cluster_name = name,
            "this node belongs to a cluster from now on"
        );
        Ok(())
    }
}

impl<'a> Caller<'a> {
    fn of(metadata: &'a MetadataMap) -> Self {
        let text = |key: &'static str| metadata.get(key).and_then(|value| value.to_str().ok()).unwrap_or("");
        Self {
            cluster_id: text(CLUSTER_ID),
            cluster_name: text(CLUSTER_NAME),
            // Node ids are from 1: no member is 0.
            node_id: text(NODE_ID).parse().unwrap_or(0),
            to_node_id: text(TO_NODE_ID).parse().unwrap_or(0),
            peer_address: text(PEER_ADDRESS),
        }
    }
}

/// That the call is for this node, and from another one of a cluster that may be this node's.
fn check(caller: &Caller<'_>, ours: &NodeIdentity) -> Result<(), Failure> {
    let refuse = |message| Err(Failure::new(Reason::OtherCluster, message));
    is_another(caller, ours)?;
    if caller.cluster_id.is_empty() {
        return refuse(format!("node {} belongs to no cluster yet", caller.node_id));
    }
    if !ours.cluster_id.is_empty() && caller.cluster_id != ours.cluster_id {
        return refuse(format!(
            "node {} belongs to cluster {} ({}), this node {} to cluster {} ({})",
            caller.node_id, caller.cluster_id, caller.cluster_name, ours.node_id, ours.cluster_id, ours.cluster_name
        ));
    }
    is_for(caller, ours)
}

fn is_another(caller: &Caller<'_>, ours: &NodeIdentity) -> Result<(), Failure> {
    if caller.node_id != ours.node_id {
        return Ok(());
    }
    let message = format!("the caller says that it is node {}, {IS_THIS_NODE}: one of the two disks is a copy", ours.node_id);
    Err(Failure::new(Reason::SameNode, message))
}

fn is_for(caller: &Caller<'_>, ours: &NodeIdentity) -> Result<(), Failure> {
    if caller.to_node_id == ours.node_id {
        return Ok(());
    }
    let message = format!(
        "node {} calls node {} at this address, where node {} is: an answer would count as the other's",
        caller.node_id, caller.to_node_id, ours.node_id
    );
    Err(Failure::new(Reason::PeerRefused, message))
}

/// Whether the log still knows the caller, and there.
fn standing(caller: &Caller<'_>, ours: &NodeIdentity, known: &LedgerMeta) -> Result<(), Failure> {
    let membership = known.membership.as_ref();
    if known.cluster.was_removed(caller.node_id, membership) {
        let message = format!(
            "node {} was removed from cluster {} ({}), and its id is never used again: empty its data directory, make a token with \
             `stampede member add`, and start it with `stampede node --join TOKEN`",
            caller.node_id, ours.cluster_id, ours.cluster_name
        );
        return Err(Failure::new(Reason::MemberRemoved, message));
    }
    let members = membership.and_then(|applied| applied.membership.as_ref()).map_or(&[][..], |membership| &membership.nodes);
    let member = members.iter().find(|member| member.node_id == caller.node_id);
    match member.filter(|member| !caller.peer_address.is_empty() && member.peer_address != caller.peer_address) {
        None => Ok(()),
        Some(member) => {
            Err(Failure::new(Reason::DiskCopied, copied(caller.node_id, &member.peer_address, caller.peer_address)))
        }
    }
}

/// Of a node that is a member at `known`, and says that it is at `claimed`.
pub(super) fn copied(node_id: u64, known: &str, claimed: &str) -> String {
    format!(
        "node {node_id} is a member at {known}, not at {claimed}: this disk is a copy of that node's, and two with one id could vote \
         twice: stop this one; for a node more empty its data directory, make a token with `stampede member add`, and start it with \
         `stampede node --join TOKEN`"
    )
}

fn homeless(caller: &Caller<'_>, ours: &NodeIdentity) -> Failure {
    let message = format!(
        "node {} of cluster {} ({}) calls, but this node {} belongs to no cluster: its disk was emptied, or it did not run when \
         the cluster was made; it must not vote under an id that may have voted before: `stampede member replace {} --with \
         HOST:PORT` of its peer address makes a token for a new member, and `stampede node --join TOKEN` without node.id starts it",
        caller.node_id, caller.cluster_id, caller.cluster_name, ours.node_id, ours.node_id
    );
    Failure::new(Reason::PeerRefused, message)
}

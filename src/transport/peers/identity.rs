//! Who this node is to its peers, and who they must be to it.

use std::sync::{Arc, Mutex, PoisonError};

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use crate::storage::data_dir::NodeIdentity;
use crate::storage::{DataDir, StorageError};
use crate::transport::errors::{Failure, Reason};

const CLUSTER_ID: &str = "stampede-cluster-id";
const CLUSTER_NAME: &str = "stampede-cluster-name";
const NODE_ID: &str = "stampede-node-id";
const TO_NODE_ID: &str = "stampede-to-node-id";

/// The identity in the data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClusterIdentity {
    data: Arc<DataDir>,
    /// Into the cluster of one of these a node without a cluster may be taken.
    members: Arc<[u64]>,
    /// The last refusal that was logged: peers ask again many times a second.
    logged: Arc<Mutex<String>>,
}

/// What a caller says of itself and of whom it calls.
struct Caller<'a> {
    cluster_id: &'a str,
    cluster_name: &'a str,
    node_id: u64,
    to_node_id: u64,
}

impl ClusterIdentity {
    /// `members` are the node ids of the configuration.
    #[must_use]
    pub fn new(data: Arc<DataDir>, members: impl IntoIterator<Item = u64>) -> Self {
        Self { data, members: members.into_iter().collect(), logged: Arc::default() }
    }

    #[must_use]
    pub fn data(&self) -> &Arc<DataDir> {
        &self.data
    }

    /// Puts this node's identity on a call for node `to`.
    pub(super) fn sign(&self, metadata: &mut MetadataMap, to: u64) {
        let identity = self.data.identity();
        let mut put = |key: &'static str, value: &str| {
            // Ids and names are ASCII by their checks; what is not cannot be sent, and the peer refuses the call.
            if let Ok(value) = value.parse::<MetadataValue<Ascii>>() {
                metadata.insert(key, value);
            }
        };
        put(CLUSTER_ID, &identity.cluster_id);
        put(CLUSTER_NAME, &identity.cluster_name);
        put(NODE_ID, &identity.node_id.to_string());
        put(TO_NODE_ID, &to.to_string());
    }

    /// Admits a call of a member of this cluster to this node. A node without a cluster admits nobody: either no cluster is
    /// made yet, or this node has lost its disk, and with it what it voted for and acknowledged under its id.
    ///
    /// # Errors
    /// `OTHER_CLUSTER`, naming both, or `PEER_REFUSED`.
    pub(super) fn admit(&self, metadata: &MetadataMap) -> Result<(), Failure> {
        let caller = Caller::of(metadata);
        let ours = self.data.identity();
        check(&caller, &ours)
            .and_then(|()| if ours.cluster_id.is_empty() { Err(homeless(&caller, &ours)) } else { Ok(()) })
            .inspect_err(|failure| self.log(failure))
    }

    /// Admits the call with which `init` takes this node into a cluster: its own, or its first.
    ///
    /// # Errors
    /// As of [`Self::admit`]; the identity cannot be saved.
    pub(super) async fn join(&self, metadata: &MetadataMap) -> Result<(), Failure> {
        let caller = Caller::of(metadata);
        let ours = self.data.identity();
        check(&caller, &ours).inspect_err(|failure| self.log(failure))?;
        if !self.members.contains(&caller.node_id) {
            let message = format!("node {} is no member in this node's configuration", caller.node_id);
            return Err(Failure::new(Reason::OtherCluster, message)).inspect_err(|failure| self.log(failure));
        }
        let adopted = self.adopt(caller.cluster_id.to_owned(), caller.cluster_name.to_owned()).await;
        adopted.map_err(|error| match error {
            // `Init`, or a peer of yet another cluster, was faster.
            StorageError::Unusable(already) => Failure::new(Reason::OtherCluster, already),
            error => error.into(),
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
    pub(in crate::transport) async fn adopt(&self, cluster_id: String, cluster_name: String) -> Result<(), StorageError> {
        let data = self.data.clone();
        tracing::info!(event = "cluster_joined", cluster_id, cluster_name, "this node belongs to a cluster from now on");
        let bound = tokio::task::spawn_blocking(move || data.set_cluster(&cluster_id, &cluster_name)).await;
        bound.map_err(|error| StorageError::Io { operation: "save the identity", cause: error.to_string() })?
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
        }
    }
}

/// That the call is for this node, and from another one of a cluster that may be this node's.
fn check(caller: &Caller<'_>, ours: &NodeIdentity) -> Result<(), Failure> {
    let refuse = |message| Err(Failure::new(Reason::OtherCluster, message));
    if caller.node_id == ours.node_id {
        return refuse(format!("the caller says that it is node {}, which is this node", ours.node_id));
    }
    if caller.cluster_id.is_empty() {
        return refuse(format!("node {} belongs to no cluster yet", caller.node_id));
    }
    if !ours.cluster_id.is_empty() && caller.cluster_id != ours.cluster_id {
        return refuse(format!(
            "node {} belongs to cluster {} ({}), this node {} to cluster {} ({})",
            caller.node_id, caller.cluster_id, caller.cluster_name, ours.node_id, ours.cluster_id, ours.cluster_name
        ));
    }
    if caller.to_node_id != ours.node_id {
        let message = format!(
            "node {} calls node {} at this address, where node {} is: an answer would count as the other's",
            caller.node_id, caller.to_node_id, ours.node_id
        );
        return Err(Failure::new(Reason::PeerRefused, message));
    }
    Ok(())
}

fn homeless(caller: &Caller<'_>, ours: &NodeIdentity) -> Failure {
    let message = format!(
        "node {} of cluster {} ({}) calls, but this node {} belongs to no cluster: its disk was emptied, or it did not run when \
         the cluster was made; it must not vote under an id that may have voted before: replace it by a new member with a new id",
        caller.node_id, caller.cluster_id, caller.cluster_name, ours.node_id
    );
    Failure::new(Reason::PeerRefused, message)
}

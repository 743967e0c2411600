//! Who this node is to its peers, and who they must be to it.

use std::sync::Arc;

use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use crate::storage::{DataDir, StorageError};
use crate::transport::errors::{Failure, Reason};

const CLUSTER_ID: &str = "stampede-cluster-id";
const CLUSTER_NAME: &str = "stampede-cluster-name";
const NODE_ID: &str = "stampede-node-id";

/// The identity in the data directory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ClusterIdentity {
    data: Arc<DataDir>,
    /// From these a node without a cluster takes the cluster's id.
    members: Arc<[u64]>,
}

/// What a caller says of itself.
struct Caller<'a> {
    cluster_id: &'a str,
    cluster_name: &'a str,
    node_id: u64,
}

impl ClusterIdentity {
    /// `members` are the node ids of the configuration.
    #[must_use]
    pub fn new(data: Arc<DataDir>, members: impl IntoIterator<Item = u64>) -> Self {
        Self { data, members: members.into_iter().collect() }
    }

    #[must_use]
    pub fn data(&self) -> &Arc<DataDir> {
        &self.data
    }

    /// Puts this node's identity on a call.
    pub(super) fn sign(&self, metadata: &mut MetadataMap) {
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
    }

    /// Admits a call of a member of this cluster. A node that has no cluster yet takes on that of a configured member, durably
    /// before the call is answered.
    ///
    /// # Errors
    /// `OTHER_CLUSTER`, naming both.
    pub(super) async fn admit(&self, metadata: &MetadataMap) -> Result<(), Failure> {
        let caller = Caller::of(metadata);
        let ours = self.data.identity();
        if caller.node_id == ours.node_id {
            return Err(refuse(format!("the caller says that it is node {}, which is this node", ours.node_id)));
        }
        if caller.cluster_id.is_empty() {
            return Err(refuse(format!("node {} belongs to no cluster yet", caller.node_id)));
        }
        if caller.cluster_id == ours.cluster_id {
            return Ok(());
        }
        if !ours.cluster_id.is_empty() {
            return Err(refuse(format!(
                "node {} belongs to cluster {} ({}), this node {} to cluster {} ({})",
                caller.node_id, caller.cluster_id, caller.cluster_name, ours.node_id, ours.cluster_id, ours.cluster_name
            )));
        }
        if !self.members.contains(&caller.node_id) {
            return Err(refuse(format!("node {} is no member in this node's configuration", caller.node_id)));
        }
        let adopted = self.adopt(caller.cluster_id.to_owned(), caller.cluster_name.to_owned()).await;
        adopted.map_err(|error| match error {
            // `Init`, or a peer of yet another cluster, was faster.
            StorageError::Unusable(already) => refuse(already),
            error => error.into(),
        })
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
        }
    }
}

fn refuse(message: String) -> Failure {
    tracing::warn!(event = "peer_refused", "{message}");
    Failure::new(Reason::OtherCluster, message)
}

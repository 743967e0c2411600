//! Who is heard: a member of the same cluster that means this node, and a node without a cluster by nobody but `init`.

use stampede::proto::admin::{InitRequest, NodeRole};
use stampede::proto::raft::peer_service_client::PeerServiceClient;
use stampede::proto::raft::{IdentifyRequest, IdentifyResponse, JoinRequest, VoteRequest};
use stampede::storage::StorageError;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::support::{TestNode, effect, info, start, start_with_series};

pub(crate) async fn peer(node: &TestNode) -> PeerServiceClient<Channel> {
    PeerServiceClient::connect(format!("http://{}", node.peer_address)).await.unwrap()
}

/// A call of node `from` of `cluster` for node `to`; the test's node is 1.
pub(crate) fn call<T>(message: T, cluster: &str, from: &str, to: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("stampede-cluster-id", cluster.parse().unwrap());
    request.metadata_mut().insert("stampede-cluster-name", "other".parse().unwrap());
    request.metadata_mut().insert("stampede-node-id", from.parse().unwrap());
    request.metadata_mut().insert("stampede-to-node-id", to.parse().unwrap());
    request
}

async fn pre_vote(node: &TestNode, cluster: &str, from: &str, to: &str) -> Result<(), Status> {
    let vote = VoteRequest { vote: Some(Default::default()), ..VoteRequest::default() };
    peer(node).await.pre_vote(call(vote, cluster, from, to)).await.map(drop)
}

async fn join(node: &TestNode, cluster: &str, from: &str) -> Result<(), Status> {
    peer(node).await.join(call(JoinRequest {}, cluster, from, "1")).await.map(drop)
}

async fn identify(node: &TestNode, from: &str, to: &str) -> Result<IdentifyResponse, Status> {
    // Who asks may be of no cluster yet.
    Ok(peer(node).await.identify(call(IdentifyRequest {}, "", from, to)).await?.into_inner())
}

#[tokio::test]
async fn a_node_of_another_cluster_is_refused_by_name() {
    let node = start_with_series().await;
    let ours = node.identity.data().identity().cluster_id;
    let status = pre_vote(&node, "another-cluster", "2", "1").await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::PermissionDenied, "OTHER_CLUSTER"));
    assert!(status.message().contains("another-cluster") && status.message().contains(&ours), "{status:?}");
    let status = join(&node, "another-cluster", "2").await.unwrap_err();
    assert_eq!(info(&status).reason, "OTHER_CLUSTER");
    let status = pre_vote(&node, &ours, "1", "1").await.unwrap_err();
    assert_eq!(info(&status).reason, "SAME_NODE");
    assert!(status.message().contains("which is this node"), "{status:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_call_for_another_node_is_not_answered_in_its_name() {
    let node = start_with_series().await;
    let ours = node.identity.data().identity().cluster_id;
    pre_vote(&node, &ours, "2", "1").await.unwrap();
    let status = pre_vote(&node, &ours, "2", "3").await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::FailedPrecondition, "PEER_REFUSED"));
    assert!(status.message().contains("node 2 calls node 3 at this address, where node 1 is"), "{status:?}");
    node.stop().await;
}

#[tokio::test]
async fn a_node_without_a_cluster_is_taken_into_one_by_join_and_by_a_configured_member_only() {
    let node = start().await;
    let status = pre_vote(&node, "cluster-x", "2", "1").await.unwrap_err();
    assert_eq!((status.code(), info(&status).reason.as_str()), (Code::FailedPrecondition, "PEER_REFUSED"));
    assert!(status.message().contains("this node 1 belongs to no cluster: its disk was emptied"), "{status:?}");
    assert_eq!(join(&node, "cluster-x", "9").await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(node.identity.data().identity().cluster_id, "");
    join(&node, "cluster-x", "2").await.unwrap();
    assert_eq!(node.identity.data().identity().cluster_id, "cluster-x");
    join(&node, "cluster-x", "3").await.expect("the same again is no change");
    // Whatever consensus says to it, the call was admitted.
    pre_vote(&node, "cluster-x", "2", "1").await.unwrap();
    node.stop().await;
}

#[tokio::test]
async fn a_node_tells_configured_members_of_which_cluster_it_is_and_whether_that_is_made() {
    let mut node = start().await;
    assert_eq!(identify(&node, "2", "1").await.unwrap(), IdentifyResponse::default());
    assert_eq!(info(&identify(&node, "9", "1").await.unwrap_err()).reason, "OTHER_CLUSTER");
    assert_eq!(info(&identify(&node, "2", "3").await.unwrap_err()).reason, "PEER_REFUSED");
    join(&node, "cluster-x", "2").await.unwrap();
    let told = identify(&node, "3", "1").await.unwrap();
    assert_eq!((told.cluster_id.as_str(), told.cluster_name.as_str(), told.made), ("cluster-x", "other", false));
    node.admin.init(InitRequest { cluster_name: "other".to_owned() }).await.unwrap();
    node.status_when(|status| status.role() == NodeRole::Leader).await;
    assert!(identify(&node, "2", "1").await.unwrap().made);
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_cannot_save_of_which_cluster_it_is_stops() {
    let mut node = start().await;
    // In the way of the file that becomes `NODE`.
    let in_the_way = node.dir.path().join("NODE.tmp");
    std::fs::create_dir(&in_the_way).unwrap();
    let joined = join(&node, "cluster-x", "2").await.unwrap_err();
    let made = node.admin.init(InitRequest { cluster_name: "test".to_owned() }).await.unwrap_err();
    for status in [joined, made] {
        assert_eq!((info(&status).reason.as_str(), effect(&status).as_str()), ("STORAGE_FAILED", "unknown"));
    }
    let told = node.take_storage_errors();
    assert!(matches!(told.as_slice(), [StorageError::Io { .. }, StorageError::Io { .. }]), "{told:?}");
    node.stop().await;
}

#[tokio::test]
async fn an_init_completes_the_cluster_that_another_began_under_its_name_alone() {
    let mut node = start().await;
    join(&node, "cluster-x", "2").await.unwrap();
    let status = node.admin.init(InitRequest { cluster_name: "test".to_owned() }).await.unwrap_err();
    assert_eq!((info(&status).reason.as_str(), effect(&status).as_str()), ("MEMBERS_INVALID", "none"));
    assert!(status.message().contains("cluster-x (other)"), "{status:?}");
    assert_eq!(node.identity.data().identity().cluster_name, "other");
    let made = node.admin.init(InitRequest { cluster_name: "other".to_owned() }).await.unwrap().into_inner();
    assert_eq!(made.cluster_id, "cluster-x");
    node.stop().await;
}

#[tokio::test]
async fn a_cluster_is_made_once() {
    let mut node = start().await;
    let init = || InitRequest { cluster_name: "test".to_owned() };
    let made = node.admin.init(init()).await.unwrap().into_inner();
    let status = node.status_when(|status| status.role() == NodeRole::Leader).await;
    assert_eq!(status.cluster_id, made.cluster_id);
    let again = node.admin.init(init()).await.unwrap_err();
    assert_eq!((again.code(), info(&again).reason.as_str()), (Code::FailedPrecondition, "ALREADY_INITIALIZED"));
    node.stop().await;
}

#[tokio::test]
async fn of_inits_that_race_one_makes_the_cluster_and_the_others_are_refused() {
    let node = start().await;
    let init = || {
        let mut admin = node.admin.clone();
        async move { admin.init(InitRequest { cluster_name: "test".to_owned() }).await }
    };
    let answers = futures_util::future::join_all((0..8).map(|_| init())).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    for status in answers.into_iter().filter_map(Result::err) {
        assert_eq!((status.code(), info(&status).reason.as_str()), (Code::FailedPrecondition, "ALREADY_INITIALIZED"));
    }
    node.stop().await;
}

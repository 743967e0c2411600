//! Tokens and the nodes that present them, as a cluster of one sees them; the others are only in its log.

use stampede::proto::admin::member_service_client::MemberServiceClient;
use stampede::proto::admin::{
    CreateJoinTokenRequest, CreateJoinTokenResponse, ListMembersRequest, PromoteMemberRequest, RemoveMemberRequest,
    ReplaceMemberRequest,
};
use stampede::proto::raft::{AdmitRequest, VoteRequest, admit_response};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::identity::{call, peer};
use crate::support::{TestNode, channel, effect, info, start, start_with_series};

const SECRET: &[u8] = &[7; 32];
const AN_HOUR_MS: i64 = 3_600_000;
/// Nobody listens there.
const ELSEWHERE: &str = "127.0.0.1:1";

async fn members(node: &TestNode) -> MemberServiceClient<Channel> {
    MemberServiceClient::new(channel(&node.admin_address).await)
}

async fn issue(node: &TestNode, token: u8, valid_for_ms: i64) -> Result<CreateJoinTokenResponse, Status> {
    let request = CreateJoinTokenRequest {
        token_id: vec![token; 16],
        secret_blake3: blake3::hash(SECRET).as_bytes().to_vec(),
        valid_for_ms,
    };
    Ok(members(node).await.create_join_token(request).await?.into_inner())
}

fn asks(node: &TestNode, token: u8, joiner: u8) -> AdmitRequest {
    AdmitRequest {
        token_id: vec![token; 16].into(),
        secret: SECRET.to_vec().into(),
        joiner: vec![joiner; 16].into(),
        peer_address: ELSEWHERE.to_owned(),
        client_address: ELSEWHERE.to_owned(),
        cluster_id: node.identity.data().identity().cluster_id,
    }
}

async fn admit(node: &TestNode, request: AdmitRequest) -> Result<u64, Status> {
    let answer = peer(node).await.admit(request).await?.into_inner();
    let Some(admit_response::Result::Admitted(admitted)) = answer.result else { panic!("it leads: {answer:?}") };
    assert_eq!(admitted.cluster_id, node.identity.data().identity().cluster_id);
    Ok(admitted.node_id)
}

fn told(refused: Result<impl std::fmt::Debug, Status>) -> (Code, String) {
    let status = refused.expect_err("refused");
    assert_eq!(effect(&status), "none", "{status:?}");
    (status.code(), info(&status).reason)
}

#[tokio::test]
async fn a_token_admits_one_node_under_one_id_however_often_it_asks() {
    let node = start_with_series().await;
    let issued = issue(&node, 1, AN_HOUR_MS).await.unwrap();
    assert_eq!(issued.peer_addresses.join(","), node.peer_address);
    assert_eq!(issue(&node, 1, AN_HOUR_MS).await.unwrap().expires_at_ms, issued.expires_at_ms, "the same again is no change");

    let wrong_secret = AdmitRequest { secret: vec![8; 32].into(), ..asks(&node, 1, 1) };
    let refused = (Code::PermissionDenied, "TOKEN_REFUSED".to_owned());
    assert_eq!(told(admit(&node, wrong_secret).await), refused);
    assert_eq!(told(admit(&node, asks(&node, 2, 1)).await), refused);
    let elsewhere = AdmitRequest { cluster_id: "another".to_owned(), ..asks(&node, 1, 1) };
    assert_eq!(told(admit(&node, elsewhere).await).1, "OTHER_CLUSTER");
    for bad in [
        AdmitRequest { joiner: vec![1; 15].into(), ..asks(&node, 1, 1) },
        AdmitRequest { peer_address: "nowhere".to_owned(), ..asks(&node, 1, 1) },
    ] {
        assert_eq!(told(admit(&node, bad).await).1, "INVALID_FIELD");
    }
    assert_eq!(told(issue(&node, 3, 1).await).1, "INVALID_FIELD", "a minute at least");

    assert_eq!(admit(&node, asks(&node, 1, 1)).await.unwrap(), 2);
    assert_eq!(admit(&node, asks(&node, 1, 1)).await.unwrap(), 2, "the same node again");
    assert_eq!(told(admit(&node, asks(&node, 1, 2)).await), refused, "another by the same token");
    let listed = members(&node).await.list_members(ListMembersRequest {}).await.unwrap().into_inner();
    let roles: Vec<_> = listed.members.iter().map(|member| (member.node_id, member.voter)).collect();
    assert_eq!(roles, [(1, true), (2, false)]);
    assert_eq!(listed.tokens.iter().map(|token| token.node_id).collect::<Vec<_>>(), [2]);
    node.stop().await;
}

#[tokio::test]
async fn a_member_is_heard_from_where_the_log_has_it_and_never_again_once_it_is_removed() {
    let node = start_with_series().await;
    let cluster = node.identity.data().identity().cluster_id;
    issue(&node, 1, AN_HOUR_MS).await.unwrap();
    assert_eq!(admit(&node, asks(&node, 1, 1)).await.unwrap(), 2);
    let votes = async |address: &str| {
        let vote = VoteRequest { vote: Some(Default::default()), ..VoteRequest::default() };
        let mut request = call(vote, &cluster, "2", "1");
        request.metadata_mut().insert("stampede-peer-address", address.parse().unwrap());
        peer(&node).await.pre_vote(request).await
    };
    votes(ELSEWHERE).await.unwrap();
    let copied = votes("127.0.0.1:2").await.unwrap_err();
    assert_eq!(info(&copied).reason, "DISK_COPIED");
    assert!(copied.message().contains("node 2 is a member at 127.0.0.1:1, not at 127.0.0.1:2"), "{copied:?}");

    let remove = |dry_run| RemoveMemberRequest { node_id: 2, dry_run };
    let planned = members(&node).await.remove_member(remove(true)).await.unwrap().into_inner().plan.unwrap();
    assert!(!planned.was_done);
    votes(ELSEWHERE).await.expect("a dry run changes nothing");
    members(&node).await.remove_member(remove(false)).await.unwrap();
    let removed = votes(ELSEWHERE).await.unwrap_err();
    assert_eq!(info(&removed).reason, "MEMBER_REMOVED");
    assert!(removed.message().contains("stampede member add"), "{removed:?}");
    let again = members(&node).await.remove_member(remove(false)).await.unwrap().into_inner().plan.unwrap();
    assert!(again.was_done);
    assert_eq!(told(admit(&node, asks(&node, 1, 1)).await).1, "TOKEN_REFUSED", "its token went with it");
    issue(&node, 2, AN_HOUR_MS).await.unwrap();
    assert_eq!(admit(&node, asks(&node, 2, 1)).await.unwrap(), 3, "an id is given once");
    node.stop().await;
}

#[tokio::test]
async fn what_may_not_change_is_refused_by_name() {
    let node = start_with_series().await;
    issue(&node, 1, AN_HOUR_MS).await.unwrap();
    admit(&node, asks(&node, 1, 1)).await.unwrap();
    let mut client = members(&node).await;
    let promote = PromoteMemberRequest { node_id: 2, dry_run: false };
    let behind = client.promote_member(promote).await.unwrap_err();
    assert_eq!(info(&behind).reason, "MEMBER_BEHIND");
    assert!(behind.message().contains("node 2 does not answer the leader"), "{behind:?}");
    let alone = client.remove_member(RemoveMemberRequest { node_id: 1, dry_run: false }).await.unwrap_err();
    assert_eq!(info(&alone).reason, "QUORUM_AT_RISK");
    assert!(alone.message().contains("leaves 0 voters, quorum 1"), "{alone:?}");
    assert_eq!(told(client.promote_member(PromoteMemberRequest { node_id: 9, dry_run: true }).await).1, "MEMBER_UNKNOWN");
    let itself = ReplaceMemberRequest { old_node_id: 2, new_node_id: 2, dry_run: true };
    assert_eq!(told(client.replace_member(itself).await).1, "INVALID_FIELD");
    assert_eq!(told(client.remove_member(RemoveMemberRequest { node_id: 0, dry_run: true }).await).1, "INVALID_FIELD");
    node.stop().await;
}

#[tokio::test]
async fn without_a_cluster_there_is_nobody_to_ask() {
    let node = start().await;
    let refused = members(&node).await.list_members(ListMembersRequest {}).await.unwrap_err();
    assert_eq!((info(&refused).reason.as_str(), effect(&refused).as_str()), ("NOT_LEADER", "retry"));
    let request = AdmitRequest { cluster_id: String::new(), ..asks(&node, 1, 1) };
    assert_eq!(told(admit(&node, request).await).1, "OTHER_CLUSTER");
    node.stop().await;
}

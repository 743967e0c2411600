//! How a cluster gets its members: `init` takes each of them in before there is any log.
//!
//! That is the only time. Later, a node that belongs to no cluster is one that has lost its disk, or one that was not there,
//! which looks the same; it would vote and acknowledge a second time under its id. So all members must run when the cluster
//! is made, and `init` says who does not.

use futures_util::future::try_join_all;

use super::{ClusterIdentity, GrpcPeerLink};
use crate::consensus::LinkError;
use crate::limits;
use crate::proto::storage::MemberNode;
use crate::transport::errors::{Failure, Reason};

/// Takes all `members` into this node's cluster. The same call again completes what a failed one began.
///
/// # Errors
/// `MEMBERS_INVALID`, naming a member that does not answer or belongs to another cluster.
pub(in crate::transport) async fn join_members(identity: &ClusterIdentity, members: &[MemberNode]) -> Result<(), Failure> {
    let me = identity.data().identity().node_id;
    let others = members.iter().filter(|member| member.node_id != me);
    try_join_all(others.map(|member| join(identity, member))).await.map(drop)
}

async fn join(identity: &ClusterIdentity, member: &MemberNode) -> Result<(), Failure> {
    let MemberNode { node_id, peer_address, .. } = member;
    let joined = GrpcPeerLink::new(identity, *node_id, peer_address).join(limits::JOIN_WITHIN).await;
    joined.map(drop).map_err(|error| {
        let message = match error {
            LinkError::Refused(why) => format!("member {node_id} at {peer_address} refused to join: {why}"),
            LinkError::Unreachable(why) | LinkError::NoAnswer(why) => {
                format!("member {node_id} at {peer_address} does not answer ({why}): start every member, then init again")
            }
        };
        Failure::new(Reason::MembersInvalid, message)
    })
}

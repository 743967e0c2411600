//! How a cluster gets its members: `init` takes each of them in before there is any log.
//!
//! That is the only time. Later, a node that belongs to no cluster is one that has lost its disk, or one that was not there,
//! which looks the same; it would vote and acknowledge a second time under its id. So all members must run when the cluster
//! is made, and `init` says who does not.
//!
//! First all are asked which cluster they belong to, so that nobody is taken in while one is away, and a call that was cut short
//! is completed by the next one, at whichever member. Then they are taken in, in the order of their ids: the first one decides
//! between calls that race at different members, because it belongs to one cluster for ever, and who comes second has taken in
//! nobody.

use futures_util::future::try_join_all;

use super::identity::Cluster;
use super::{ClusterIdentity, GrpcPeerLink};
use crate::consensus::LinkError;
use crate::limits;
use crate::proto::storage::MemberNode;
use crate::storage::StorageError;
use crate::transport::errors::{Failure, Reason};

/// The cluster that `members` can be of: the one that some are of already, or a new one. Changes nothing.
///
/// # Errors
/// `ALREADY_INITIALIZED`; `MEMBERS_INVALID`, naming a member that does not answer or that does not fit.
pub(in crate::transport) async fn choose_cluster(
    identity: &ClusterIdentity,
    members: &[MemberNode],
    name: String,
) -> Result<Cluster, Failure> {
    let ours = identity.data().identity();
    let others = members.iter().filter(|member| member.node_id != ours.node_id);
    let others = try_join_all(others.map(|member| identify(identity, member))).await?;
    let ours = (ours.node_id, Cluster { id: ours.cluster_id, name: ours.cluster_name });
    let mut bound = std::iter::once(ours).chain(others).filter(|(_, cluster)| !cluster.id.is_empty());
    let Some((member, cluster)) = bound.next() else { return Ok(Cluster { id: uuid::Uuid::now_v7().to_string(), name }) };
    if let Some((other, another)) = bound.find(|(_, another)| *another != cluster) {
        let message = format!("member {member} belongs to cluster {cluster}, member {other} to cluster {another}");
        return Err(Failure::new(Reason::MembersInvalid, message));
    }
    if cluster.name != name {
        let message = format!("member {member} belongs to cluster {cluster} already: init again under that name, not {name}");
        return Err(Failure::new(Reason::MembersInvalid, message));
    }
    Ok(cluster)
}

async fn identify(identity: &ClusterIdentity, member: &MemberNode) -> Result<(u64, Cluster), Failure> {
    let MemberNode { node_id, peer_address, .. } = member;
    let told = GrpcPeerLink::new(identity, *node_id, peer_address).identify(limits::JOIN_WITHIN).await;
    let told = told.map_err(|error| Failure::new(Reason::MembersInvalid, untaken(member, error)))?;
    let cluster = Cluster { id: told.cluster_id, name: told.cluster_name };
    if told.made {
        let message = format!("member {node_id} at {peer_address} belongs to cluster {cluster}, which is made already");
        return Err(Failure::new(Reason::AlreadyInitialized, message));
    }
    Ok((*node_id, cluster))
}

/// Takes all `members`, this node among them, into `cluster`, durably.
///
/// # Errors
/// `ALREADY_INITIALIZED` or `MEMBERS_INVALID` if nobody was taken in, otherwise `INIT_INCOMPLETE`; what `stop_for` makes of this
/// node's identity that cannot be saved.
pub(in crate::transport) async fn join_members(
    identity: &ClusterIdentity,
    members: &[MemberNode],
    cluster: &Cluster,
    stop_for: impl Fn(StorageError) -> Failure,
) -> Result<(), Failure> {
    let me = identity.data().identity().node_id;
    let mut members: Vec<&MemberNode> = members.iter().collect();
    members.sort_unstable_by_key(|member| member.node_id);
    for (taken_in, member) in members.into_iter().enumerate() {
        let joined = if member.node_id == me {
            match identity.adopt(cluster.clone()).await {
                Err(StorageError::Unusable(already)) => Err(LinkError::Refused(already)),
                adopted => adopted.map_err(&stop_for).map(Ok)?,
            }
        } else {
            let link = GrpcPeerLink::new(identity, member.node_id, &member.peer_address);
            link.join(cluster, limits::JOIN_WITHIN).await.map(drop)
        };
        joined.map_err(|error| Failure::new(reason(taken_in, &error), untaken(member, error)))?;
    }
    Ok(())
}

/// Why the member after the first `taken_in` was not: with an effect, if there can be one.
fn reason(taken_in: usize, error: &LinkError) -> Reason {
    match (taken_in, error) {
        // It was of no other cluster a moment ago: another call was faster.
        (0, LinkError::Refused(_)) => Reason::AlreadyInitialized,
        (0, LinkError::Unreachable(_)) => Reason::MembersInvalid,
        _ => Reason::InitIncomplete,
    }
}

fn untaken(member: &MemberNode, error: LinkError) -> String {
    let MemberNode { node_id, peer_address, .. } = member;
    match error {
        LinkError::Refused(why) => format!("member {node_id} at {peer_address} refused to join: {why}"),
        LinkError::Unreachable(why) | LinkError::NoAnswer(why) => {
            format!("member {node_id} at {peer_address} does not answer ({why}): start every member, then init again")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::errors::Effect;

    #[test]
    fn a_member_that_was_not_taken_in_has_no_effect_only_if_nobody_was() {
        let refused = || LinkError::Refused("of another cluster".to_owned());
        let unreachable = || LinkError::Unreachable("no connection".to_owned());
        let no_answer = || LinkError::NoAnswer("in time".to_owned());
        let table = [
            (0, refused(), Reason::AlreadyInitialized, Effect::None),
            (0, unreachable(), Reason::MembersInvalid, Effect::None),
            // It may have arrived.
            (0, no_answer(), Reason::InitIncomplete, Effect::Unknown),
            (1, refused(), Reason::InitIncomplete, Effect::Unknown),
            (1, unreachable(), Reason::InitIncomplete, Effect::Unknown),
            (2, no_answer(), Reason::InitIncomplete, Effect::Unknown),
        ];
        for (taken_in, error, expected, effect) in table {
            let reason = reason(taken_in, &error);
            assert_eq!((reason, reason.effect()), (expected, effect), "{error} after {taken_in}");
        }
    }
}

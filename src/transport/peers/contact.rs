//! What a node asks of others before it takes part: for an id, by a token; and whether its disk is what its configuration takes it
//! for.

use tokio::time::sleep;
use tonic::Status;
use tonic_types::StatusExt;

use super::client::{Dial, GrpcPeerLink};
use super::identity::{Ban, ClusterIdentity, copied};
use crate::consensus::LinkError;
use crate::limits;
use crate::proto::raft::{AdmitRequest, Admitted, JoinToken, admit_response};
use crate::storage::LedgerMeta;
use crate::storage::data_dir::NodeIdentity;
use crate::transport::errors::{Effect, Reason};

/// Where a new node is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachedAt {
    pub peer: String,
    pub client: String,
}

/// Asks the members that the token names, and whom they name, until one has admitted this node. Waits as long as it takes while
/// nobody can: no leader, another change under way.
///
/// # Errors
/// A member's refusal that asking again does not change.
pub async fn present_token(token: &JoinToken, joiner: [u8; 16], at: &ReachedAt) -> Result<Admitted, String> {
    let request = AdmitRequest {
        token_id: token.token_id.clone(),
        secret: token.secret.clone(),
        joiner: joiner.to_vec().into(),
        peer_address: at.peer.clone(),
        client_address: at.client.clone(),
        cluster_id: token.cluster_id.clone(),
    };
    let mut said = String::new();
    let mut leader = String::new();
    loop {
        let named = std::mem::take(&mut leader);
        // A member that lost its disk knows no cluster: only what all say is so.
        let mut of_another = Vec::new();
        for address in std::iter::once(&named).filter(|named| !named.is_empty()).chain(&token.peer_addresses) {
            let told = match GrpcPeerLink::admit(address, request.clone(), limits::CALL_DEADLINE_DEFAULT).await {
                Ok(answer) => match answer.result {
                    Some(admit_response::Result::Admitted(admitted)) if admitted.node_id > 0 => return Ok(admitted),
                    Some(admit_response::Result::AskLeader(ask)) => {
                        leader = ask.peer_address;
                        "it does not lead".to_owned()
                    }
                    _ => "its answer makes no sense".to_owned(),
                },
                Err(status) if reason_of(&status) == Reason::OtherCluster.name() => {
                    of_another.push(address);
                    status.message().to_owned()
                }
                Err(status) if is_for_good(&status) => return Err(format!("{address}: {}", status.message())),
                Err(status) => status.message().to_owned(),
            };
            let told = format!("{address}: {told}");
            if told != said {
                tracing::info!(event = "waiting_for_admission", "not a member yet: {told}");
                said = told;
            }
        }
        if token.peer_addresses.iter().all(|address| of_another.contains(&address)) {
            return Err(said);
        }
        sleep(limits::JOIN_RETRY_PAUSE).await;
    }
}

fn reason_of(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

fn is_for_good(status: &Status) -> bool {
    let reason = reason_of(status);
    let passes = [Reason::ChangeInProgress, Reason::MembersFull];
    let known = Reason::ALL.iter().find(|known| known.name() == reason);
    known.is_some_and(|known| known.effect() == Effect::None && !passes.contains(known))
}

/// Whether the disk is another node's, too: one at another address, or a process that runs at this one; or of another cluster than
/// the members that the configuration names. Meant for the start, before the first vote.
///
/// # Errors
/// What is wrong, and what to do.
pub async fn check_disk(identity: &ClusterIdentity, at: &str, known: &LedgerMeta, named: &Named) -> Result<(), String> {
    let NodeIdentity { node_id, .. } = identity.data().identity();
    let members = known.membership.as_ref().and_then(|applied| applied.membership.as_ref());
    let Some(me) = members.and_then(|members| members.nodes.iter().find(|member| member.node_id == node_id)) else {
        return Ok(());
    };
    if me.peer_address != at {
        return Err(match named.tell_of_another_cluster(identity).await {
            Told::Another(message) => message,
            Told::Ours | Told::Nothing => copied(node_id, &me.peer_address, at),
        });
    }
    // This process does not listen yet: whoever answers there is another.
    match GrpcPeerLink::new(identity, node_id, at).identify(limits::PEER_CONNECT_TIMEOUT).await {
        Err(LinkError::Refused(message)) if message.contains(super::identity::IS_THIS_NODE) => Err(format!(
            "node {node_id} runs already, at {at}: this disk is a copy of its disk, and two with one id could vote twice: stop this \
             one; for a node more empty its data directory, make a token with `stampede member add`, and start it with `stampede \
             node --join TOKEN`"
        )),
        _ => Ok(()),
    }
}

/// The members that the configuration names, and where they are called.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Id and peer address.
    pub members: Vec<(u64, String)>,
    pub dial: Dial,
}

/// What the members that the configuration names say of their cluster.
enum Told {
    Ours,
    Another(String),
    Nothing,
}

impl Named {
    /// Bans this node when one of them is of another cluster than its disk. Ends when one has answered.
    pub async fn watch_for_foreign_disk(self, identity: ClusterIdentity) {
        let me = identity.data().identity().node_id;
        if self.members.iter().all(|(node_id, _)| *node_id == me) {
            return;
        }
        loop {
            match self.tell_of_another_cluster(&identity).await {
                Told::Ours => return,
                Told::Another(message) => return identity.ban(Ban::Foreign(message)),
                Told::Nothing => sleep(limits::JOIN_RETRY_PAUSE).await,
            }
        }
    }

    async fn tell_of_another_cluster(&self, identity: &ClusterIdentity) -> Told {
        let ours = identity.data().identity();
        if ours.cluster_id.is_empty() {
            return Told::Nothing;
        }
        for (node_id, address) in self.members.iter().filter(|(node_id, _)| *node_id != ours.node_id) {
            let link = GrpcPeerLink::new(identity, *node_id, self.dial.address(*node_id, address));
            let Ok(told) = link.identify(limits::PEER_CONNECT_TIMEOUT).await else { continue };
            if told.cluster_id == ours.cluster_id {
                return Told::Ours;
            }
            if told.made {
                return Told::Another(format!(
                    "the data directory {} is of cluster {} ({}), but node {node_id} at {address}, which the configuration names, is of \
                     cluster {} ({}): give this node its own directory; for a node more give it an empty one, make a token with \
                     `stampede member add`, and start it with `stampede node --join TOKEN`",
                    identity.data().path().display(),
                    ours.cluster_id,
                    ours.cluster_name,
                    told.cluster_id,
                    told.cluster_name
                ));
            }
        }
        Told::Nothing
    }
}

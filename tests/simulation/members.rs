//! An operator who puts a new node in the place of a member, while everything else happens: token, id, learner, one joint change.
//!
//! Every step is given again until it is found done, at whoever leads, as `member replace` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft_rt_sim::SimRuntime;
use stampede::consensus::{MemberChange, MemberError, MemberPlan};
use stampede::limits;
use stampede::proto::storage::MemberNode;

use crate::cluster::{Cluster, SPARE, SimNode};
use crate::world::{Dice, elapsed, sleep, trace};

const TOKEN: [u8; 16] = [1; 16];
const JOINER: [u8; 16] = [2; 16];
const SECRET: &[u8] = b"secret of the simulation";
/// Of one call.
const PATIENCE: Duration = Duration::from_millis(500);
/// Before the next, microseconds.
const PAUSE: (u64, u64) = (5_000, 60_000);
/// Before the operator begins, microseconds: at any time under the faults.
const BEGINS: (u64, u64) = (0, 4_000_000);

/// Begins what the swarm has drawn; true once it is done.
pub fn replacing(cluster: &Cluster) -> Arc<AtomicBool> {
    let is_done = Arc::new(AtomicBool::new(cluster.swarm.replaces.is_none()));
    if let Some(old) = cluster.swarm.replaces {
        let (cluster, done) = (cluster.clone(), is_done.clone());
        SimRuntime::spawn(async move {
            sleep(cluster.world.micros(Dice::Schedule, BEGINS)).await;
            replace(&cluster, old).await;
            done.store(true, Ordering::Release);
        });
    }
    is_done
}

/// After the heal it comes to its end.
pub async fn finished(cluster: &Cluster, is_done: &AtomicBool, deadline: Duration) {
    while !is_done.load(Ordering::Acquire) && !cluster.world.is_violated() {
        if elapsed() > deadline {
            cluster.world.violate("ReplacementStuck", format!("{:#?}", cluster.statuses()));
            return;
        }
        sleep(limits::PEER_BACKOFF).await;
    }
}

/// Puts [`SPARE`] in the place of `old`.
pub async fn replace(cluster: &Cluster, old: u64) {
    let secret = *blake3::hash(SECRET).as_bytes();
    let Some(_) =
        at_leader(
            cluster,
            |node| async move { node.issue_token(TOKEN, secret, limits::JOIN_TOKEN_VALID_MS_MAX, PATIENCE).await },
        )
        .await
    else {
        return;
    };
    let addresses =
        MemberNode { node_id: 0, peer_address: format!("n{SPARE}:peer"), client_address: format!("n{SPARE}:client") };
    let admit = |node: SimNode| {
        let addresses = addresses.clone();
        async move { node.admit(TOKEN, SECRET, JOINER, addresses, PATIENCE).await }
    };
    let Some(node_id) = at_leader(cluster, admit).await else { return };
    if node_id != SPARE {
        cluster.world.violate("IdMintedTwice", format!("the first id to be minted is {SPARE}, it was {node_id}"));
        return;
    }
    cluster.world.count("nodes joined");
    cluster.join(SPARE);
    cluster.start(SPARE).await;
    let change = MemberChange::Replace { old, new: SPARE };
    let Some(_) = at_leader(cluster, |node| swap(node, change)).await else { return };
    trace!(cluster.world, "n{old} is replaced by n{SPARE}");
    cluster.world.count("members replaced");
    cluster.retire(old);
}

async fn swap(node: SimNode, change: MemberChange) -> Result<MemberPlan, MemberError> {
    node.change_members(change, false, PATIENCE).await
}

/// Whoever leads is asked, until one answers. None: the run is over.
async fn at_leader<T, F>(cluster: &Cluster, ask: impl Fn(SimNode) -> F) -> Option<T>
where
    F: Future<Output = Result<T, MemberError>>,
{
    loop {
        if cluster.world.is_violated() {
            return None;
        }
        if let Some((node, life)) = cluster.leader().and_then(|leader| cluster.node(leader)) {
            let node_id = node.status().node_id;
            match ask(node).await {
                // An answer of a node that died meanwhile reaches nobody.
                Ok(answer) if cluster.lives(node_id, life) => return Some(answer),
                Ok(_) => {}
                Err(MemberError::Token(refusal)) => {
                    cluster.world.violate("TokenRefused", refusal.to_string());
                    return None;
                }
                Err(error) => trace!(cluster.world, "operator at n{node_id}: {error}"),
            }
        }
        sleep(cluster.world.micros(Dice::Schedule, PAUSE)).await;
    }
}

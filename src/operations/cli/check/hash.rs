//! `check hash`: whether replicas agree.
//!
//! Each node keeps the state digests of the log indexes that it applied last. As of the newest index that all of them know, the
//! digests must be one. The records on the disk are not read: `check invariants` does that, of one node.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::Global;
use super::super::connection::{Call, Servers};
use super::super::exit::{Code, Failure};
use super::super::output::{self, Record};
use crate::limits::DIGESTS_LISTED_MAX;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::{GetStatusRequest, ListDigestsRequest};

/// What one node has of itself.
#[derive(Debug, Clone)]
struct Replica {
    node_id: u64,
    cluster_id: String,
    /// By log index.
    digests: BTreeMap<u64, String>,
}

/// One row for each node that was named.
pub(super) async fn run(global: &Global) -> Result<(), Failure> {
    let mut asked = Vec::new();
    for address in &global.admin {
        let replica = replica(global, address).await.inspect_err(|failure| eprintln!("{address}: {}", failure.message)).ok();
        asked.push((address, replica));
    }
    let replicas: Vec<Replica> = asked.iter().filter_map(|(_, replica)| replica.clone()).collect();
    let index = newest_common(&replicas);
    let rows = asked.iter().map(|(address, replica)| describe(address, replica.as_ref(), index)).collect();
    output::print_records(global.output, &["admin", "node", "applied", "log_index", "digest"], rows);
    judge(&replicas, index, asked.len())
}

async fn replica(global: &Global, address: &str) -> Result<Replica, Failure> {
    let servers = Servers { addresses: vec![address.to_owned()], ..global.admins() };
    let call = Call::read("asking for the status");
    let status = servers.call(&call, async |to| Client::new(to.channel()).get_status(to.request(GetStatusRequest {})).await);
    let status = status.await?;
    let call = Call::read("asking for the digests");
    let all = ListDigestsRequest { from_index: 0 };
    let told = servers.call(&call, async |to| Client::new(to.channel()).list_digests(to.request(all)).await).await?;
    let digests = told.digests.into_iter().map(|known| (known.log_index, known.digest)).collect();
    Ok(Replica { node_id: status.node_id, cluster_id: status.cluster_id, digests })
}

fn newest_common(replicas: &[Replica]) -> Option<u64> {
    let (first, others) = replicas.split_first()?;
    let is_known_to_all = |index: &&u64| others.iter().all(|other| other.digests.contains_key(*index));
    first.digests.keys().rev().find(is_known_to_all).copied()
}

fn describe(address: &str, replica: Option<&Replica>, index: Option<u64>) -> Record {
    vec![
        ("admin", json!(address)),
        ("node", json!(replica.map(|replica| replica.node_id))),
        ("applied", json!(replica.and_then(|replica| replica.digests.keys().next_back()))),
        ("log_index", json!(replica.and(index))),
        ("digest", json!(replica.and_then(|replica| replica.digests.get(&index?)))),
    ]
}

fn judge(replicas: &[Replica], index: Option<u64>, asked: usize) -> Result<(), Failure> {
    let [first, others @ ..] = replicas else {
        return Err(Failure::new(Code::Unreachable, "no node answered", "check that they run, or name others with --admin"));
    };
    if let Some(other) = others.iter().find(|other| other.cluster_id != first.cluster_id) {
        let message = format!("nodes {} and {} belong to different clusters", first.node_id, other.node_id);
        return Err(Failure::new(Code::Unhealthy, message, "name the nodes of one cluster with --admin"));
    }
    let Some(index) = index else {
        let message = format!("the nodes have none of their last {DIGESTS_LISTED_MAX} log indexes in common");
        return Err(Failure::new(Code::Unhealthy, message, "see `stampede status`, and run it again when all have caught up"));
    };
    if let Some(message) = difference(replicas, index) {
        return Err(Failure::new(
            Code::VerificationFailed,
            message,
            "stop giving the odd ones calls; keep the data of all, and report this",
        ));
    }
    let silent = asked - replicas.len();
    if silent > 0 {
        let message =
            format!("{silent} of {asked} nodes did not answer; the others hold the same ledger as of log index {index}");
        return Err(Failure::new(Code::Unhealthy, message, "bring them back, then run it again"));
    }
    if others.is_empty() {
        let message = "one node alone agrees with itself";
        return Err(Failure::new(Code::Usage, message, "name the operator addresses of all members with --admin"));
    }
    Ok(())
}

/// Which nodes do not hold what most of them hold.
fn difference(replicas: &[Replica], index: u64) -> Option<String> {
    let mut holders: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for replica in replicas {
        holders.entry(replica.digests.get(&index)?).or_default().push(replica.node_id);
    }
    if holders.len() == 1 {
        return None;
    }
    let most = holders.values().map(Vec::len).max().unwrap_or(0);
    if most * 2 <= replicas.len() {
        let all: Vec<String> = replicas.iter().map(|replica| replica.node_id.to_string()).collect();
        return Some(format!("nodes {} hold different ledgers as of log index {index}", all.join(", ")));
    }
    let odd = holders.values().filter(|nodes| nodes.len() < most).flatten().map(ToString::to_string);
    Some(format!("node {} holds another ledger than most, as of log index {index}", odd.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(node_id: u64, digests: &[(u64, &str)]) -> Replica {
        let digests = digests.iter().map(|(index, digest)| (*index, (*digest).to_owned())).collect();
        Replica { node_id, cluster_id: "c".to_owned(), digests }
    }

    fn told(replicas: &[Replica], asked: usize) -> Option<(Code, String)> {
        judge(replicas, newest_common(replicas), asked).err().map(|failure| (failure.code, failure.message))
    }

    #[test]
    fn nodes_are_compared_as_of_the_newest_index_that_all_know() {
        let all = [replica(1, &[(4, "a"), (5, "b"), (6, "c")]), replica(2, &[(5, "b")]), replica(3, &[(4, "a"), (5, "b")])];
        assert_eq!((newest_common(&all), told(&all, 3)), (Some(5), None));
        let code = |replicas: &[Replica], asked| told(replicas, asked).map(|(code, _)| code);
        assert_eq!(code(&all, 4), Some(Code::Unhealthy), "one did not answer");
        assert_eq!(code(&[], 1), Some(Code::Unreachable));
        assert_eq!(code(&all[..1], 1), Some(Code::Usage));
        assert_eq!(code(&[replica(1, &[(4, "a")]), replica(2, &[(9, "b")])], 2), Some(Code::Unhealthy), "nothing in common");
        let stranger = Replica { cluster_id: "other".to_owned(), ..replica(4, &[(5, "b")]) };
        assert_eq!(code(&[all[0].clone(), stranger], 2), Some(Code::Unhealthy));
    }

    #[test]
    fn a_node_that_differs_from_most_is_named() {
        let all = [replica(1, &[(5, "b")]), replica(2, &[(5, "x")]), replica(3, &[(5, "b")])];
        let named = (Code::VerificationFailed, "node 2 holds another ledger than most, as of log index 5".to_owned());
        assert_eq!(told(&all, 3), Some(named));
        let named = (Code::VerificationFailed, "nodes 1, 2 hold different ledgers as of log index 5".to_owned());
        assert_eq!(told(&all[..2], 2), Some(named));
    }
}

//! `init`, `status` and `leader`: the cluster as its operators see it.

use clap::{Args, Subcommand};
use serde_json::json;
use tonic::Status;

use super::Global;
use super::connection::{Call, Servers};
use super::exit::{Code, Failure};
use super::order::short_name;
use super::output::{self, Record};
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::{GetStatusRequest, GetStatusResponse, InitRequest, NodeRole, TransferLeaderRequest};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// A name for people, 1 to 64 of a-z 0-9 -
    #[arg(long, default_value = "stampede")]
    name: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum LeaderCommand {
    /// Which node leads
    Show,
    /// Hand leadership to another node and wait until it has moved
    Transfer {
        /// Node id; the leader chooses the member that is furthest if not given
        #[arg(long)]
        to: Option<u64>,
    },
}

pub(super) async fn init(global: &Global, args: InitArgs) -> Result<(), Failure> {
    // All members must run: what one of them cannot do, no other can.
    let first = global.admin.iter().take(1).cloned().collect();
    let servers = Servers { addresses: first, ..global.admins() };
    let call = Call::write("making the cluster", "stampede status", format!("stampede init --name {}", args.name));
    let message = InitRequest { cluster_name: args.name.clone() };
    let made = servers.call(&call, async |to| Client::new(to.channel()).init(to.request(message.clone())).await).await;
    let cluster_id = match made {
        Ok(made) => made.cluster_id,
        // The cluster itself says whether it is there.
        Err(failure) if failure.code == Code::OutcomeUnknown => match status_of(global, &servers.addresses[0]).await {
            Ok(status) if is_made_as(&status, &args.name) => status.cluster_id,
            _ => return Err(failure),
        },
        Err(failure) => return Err(failure),
    };
    output::print_record(global.output, vec![("cluster_id", json!(cluster_id))]);
    Ok(())
}

fn is_made_as(status: &GetStatusResponse, name: &str) -> bool {
    status.role() != NodeRole::Uninitialized && status.cluster_name == name && !status.cluster_id.is_empty()
}

/// One row for each node that was named.
pub(super) async fn status(global: &Global) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut answers = Vec::new();
    for address in &global.admin {
        match status_of(global, address).await {
            Ok(status) => {
                rows.push(describe(address, &status));
                answers.push(status);
            }
            Err(failure) => {
                eprintln!("{address}: {}", failure.message);
                rows.push(vec![("admin", json!(address)), ("node", json!(null)), ("role", json!("unreachable"))]);
            }
        }
    }
    output::print_records(global.output, &COLUMNS, rows);
    judge(&answers, global.admin.len())
}

const COLUMNS: [&str; 12] =
    ["admin", "node", "role", "term", "leader", "last", "committed", "applied", "snapshot", "digest", "disk", "cluster"];

fn describe(address: &str, status: &GetStatusResponse) -> Record {
    let digest: String = status.digest.chars().take(12).collect();
    vec![
        ("admin", json!(address)),
        ("node", json!(status.node_id)),
        ("role", short_name(status.role().as_str_name(), "NODE_ROLE_")),
        ("term", json!(status.term)),
        ("leader", json!(status.hears_leader.then_some(status.leader_id))),
        ("last", json!(status.last_log_index)),
        ("committed", json!(status.committed_index)),
        ("applied", json!(status.applied_index)),
        ("snapshot", json!(status.snapshot_index)),
        ("digest", json!(digest)),
        ("disk", json!(if status.disk_low { "low" } else { "ok" })),
        ("cluster", json!(status.cluster_name)),
    ]
}

const UNFIT: &str = "did not answer, hear no leader, or have a disk that is low";
const BRING_BACK: &str = "bring them back, and make room on their disks";

/// The exit code of `status`: the worst that can be told from the nodes that were asked.
fn judge(answers: &[GetStatusResponse], asked: usize) -> Result<(), Failure> {
    if answers.is_empty() {
        return Err(Failure::new(Code::Unreachable, "no node answered", "check that they run, or name others with --admin"));
    }
    if let Some((message, next)) = what_is_wrong(answers) {
        return Err(Failure::new(Code::Unhealthy, message, next));
    }
    let voters = answers.iter().map(|status| status.members.iter().filter(|member| member.voter).count()).max().unwrap_or(0);
    // A node that hears no leader while others do is cut off from them: it counts for as little as a silent one. So does one whose
    // disk is low: when it is full, the node ends.
    let lost = asked - answers.iter().filter(|status| status.hears_leader && !status.disk_low).count();
    let unasked = voters.saturating_sub(asked);
    let (code, message, next) = match (lost, unasked) {
        (0, 0) => return Ok(()),
        (0, unasked) => (
            Code::OneLossFromStopping,
            format!("{unasked} of {voters} members were not asked: whether one more loss stops the cluster is not known"),
            "name the operator addresses of all members with --admin",
        ),
        // A majority is more than half; with exactly that many left, the next loss stops the cluster.
        (lost, _) if voters.saturating_sub(lost) == voters / 2 + 1 => {
            (Code::OneLossFromStopping, format!("{lost} of {asked} nodes {UNFIT}; one more loss stops the cluster"), BRING_BACK)
        }
        (lost, _) => (Code::Unhealthy, format!("{lost} of {asked} nodes {UNFIT}"), BRING_BACK),
    };
    Err(Failure::new(code, message, next))
}

/// What no loss of nodes explains, or leaves nothing that works, and what to do about it.
fn what_is_wrong(answers: &[GetStatusResponse]) -> Option<(String, &'static str)> {
    let without_cluster = answers.iter().find(|status| status.role() == NodeRole::Uninitialized);
    if answers.iter().all(|status| status.role() == NodeRole::Uninitialized) {
        return Some(("the cluster is not made yet".to_owned(), "stampede init --name NAME"));
    }
    if let Some(stopped) = answers.iter().find(|status| status.role() == NodeRole::Shutdown) {
        let message = format!("node {} has stopped after a fatal error", stopped.node_id);
        return Some((message, "its log says why; restart it, or replace it"));
    }
    if let Some(alone) = without_cluster {
        let message = format!("node {} belongs to no cluster, while others do", alone.node_id);
        return Some((message, "it must be a member, under its id and addresses; a lost disk comes back as a new member"));
    }
    for (at, one) in answers.iter().enumerate() {
        for other in &answers[at + 1..] {
            if one.cluster_id != other.cluster_id {
                let message = format!("nodes {} and {} belong to different clusters", one.node_id, other.node_id);
                return Some((message, "name the nodes of one cluster with --admin"));
            }
            if one.applied_index == other.applied_index && one.digest != other.digest {
                let (a, b, index) = (one.node_id, other.node_id, one.applied_index);
                let message = format!("nodes {a} and {b} hold different ledgers as of index {index}");
                return Some((message, "stop giving it calls; keep the data of both, and report this"));
            }
        }
    }
    if answers.iter().any(|status| status.refuses_new_orders) {
        let low: Vec<String> =
            answers.iter().filter(|status| status.disk_low).map(|status| status.node_id.to_string()).collect();
        let message =
            format!("new orders are refused (DISK_LOW): too few disks have room; low are those of nodes {}", low.join(", "));
        return Some((message, "make room on their disks, or enlarge them: orders are taken again by themselves"));
    }
    if answers.iter().all(|status| !status.hears_leader) {
        return Some(("no node hears a leader".to_owned(), "a majority must run and reach each other"));
    }
    None
}

pub(super) async fn leader(global: &Global, command: LeaderCommand) -> Result<(), Failure> {
    let leader_id = match command {
        LeaderCommand::Show => {
            let call = Call::read("asking who leads");
            let answer = global
                .admins()
                .call(&call, async |to| {
                    let answer = Client::new(to.channel()).get_status(to.request(GetStatusRequest {})).await?;
                    if answer.get_ref().hears_leader { Ok(answer) } else { Err(Status::unavailable("no leader is heard")) }
                })
                .await?;
            answer.leader_id
        }
        LeaderCommand::Transfer { to } => transfer(global, to).await?,
    };
    output::print_record(global.output, vec![("leader", json!(leader_id))]);
    Ok(())
}

/// Only the leader can hand over: the nodes are asked which of them leads.
async fn transfer(global: &Global, to: Option<u64>) -> Result<u64, Failure> {
    let mut leader = None;
    for address in &global.admin {
        if status_of(global, address).await.is_ok_and(|status| status.role() == NodeRole::Leader) {
            leader = Some(address.clone());
        }
    }
    let Some(leader) = leader else {
        return Err(Failure::new(Code::Failed, "none of the nodes named by --admin leads", "name all nodes with --admin"));
    };
    let servers = Servers { addresses: vec![leader], ..global.admins() };
    let again = to.map_or("stampede leader transfer".to_owned(), |to| format!("stampede leader transfer --to {to}"));
    let call = Call::write("moving leadership", "stampede leader show", again);
    let message = TransferLeaderRequest { to_node_id: to.unwrap_or(0) };
    let moved = servers.call(&call, async |to| Client::new(to.channel()).transfer_leader(to.request(message)).await).await?;
    Ok(moved.leader_id)
}

async fn status_of(global: &Global, address: &str) -> Result<GetStatusResponse, Failure> {
    let call = Call::read("asking for the status");
    let servers = Servers { addresses: vec![address.to_owned()], ..global.admins() };
    servers.call(&call, async |to| Client::new(to.channel()).get_status(to.request(GetStatusRequest {})).await).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::Member;

    fn node(hears_leader: bool) -> GetStatusResponse {
        let members = (1..=3).map(|node_id| Member { node_id, voter: true, ..Member::default() }).collect();
        GetStatusResponse {
            role: NodeRole::Follower.into(),
            cluster_id: "a".to_owned(),
            applied_index: 5,
            digest: "d1".to_owned(),
            leader_id: 1,
            hears_leader,
            members,
            ..GetStatusResponse::default()
        }
    }

    fn with_role(role: NodeRole) -> GetStatusResponse {
        GetStatusResponse { role: role.into(), ..node(true) }
    }

    #[test]
    fn the_exit_code_of_status_is_the_worst_that_can_be_told() {
        let other_cluster = GetStatusResponse { cluster_id: "b".to_owned(), ..node(true) };
        let other_ledger = GetStatusResponse { digest: "d2".to_owned(), ..node(true) };
        let low = || GetStatusResponse { disk_low: true, ..node(true) };
        let refuses = || GetStatusResponse { refuses_new_orders: true, ..low() };
        let behind = GetStatusResponse { applied_index: 4, digest: "d0".to_owned(), ..node(true) };
        let table = [
            (vec![node(true), node(true), node(true)], 3, None),
            (vec![node(true), node(true), behind], 3, None),
            (vec![node(true)], 1, Some(Code::OneLossFromStopping)),
            (vec![], 3, Some(Code::Unreachable)),
            (vec![with_role(NodeRole::Uninitialized); 3], 3, Some(Code::Unhealthy)),
            (vec![with_role(NodeRole::Uninitialized), node(true), node(true)], 3, Some(Code::Unhealthy)),
            (vec![with_role(NodeRole::Shutdown), node(true), node(true)], 3, Some(Code::Unhealthy)),
            (vec![node(true), node(true), other_cluster], 3, Some(Code::Unhealthy)),
            (vec![node(true), node(true), other_ledger], 3, Some(Code::Unhealthy)),
            (vec![node(false), node(false), node(false)], 3, Some(Code::Unhealthy)),
            (vec![node(true), node(true), node(false)], 3, Some(Code::OneLossFromStopping)),
            (vec![node(true), node(true), low()], 3, Some(Code::OneLossFromStopping)),
            (vec![refuses(), refuses(), refuses()], 3, Some(Code::Unhealthy)),
            (vec![node(true), node(true)], 3, Some(Code::OneLossFromStopping)),
            (vec![node(true), node(false)], 3, Some(Code::Unhealthy)),
            (vec![node(true)], 3, Some(Code::Unhealthy)),
        ];
        for (answers, asked, expected) in table {
            assert_eq!(judge(&answers, asked).err().map(|failure| failure.code), expected, "{answers:?}");
        }
    }

    #[test]
    fn a_cluster_that_is_there_under_the_name_is_the_one_that_was_asked_for() {
        let made = GetStatusResponse { cluster_name: "rush".to_owned(), ..node(true) };
        assert!(is_made_as(&made, "rush") && !is_made_as(&made, "other"));
        let bound = GetStatusResponse { role: NodeRole::Uninitialized.into(), ..made };
        assert!(!is_made_as(&bound, "rush"), "its directory is bound, and the cluster is not made");
    }
}

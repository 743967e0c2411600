//! `init`, `status` and `leader`: the cluster as its operators see it.

use clap::{Args, Subcommand};
use serde_json::json;
use tonic::Status;

use super::Global;
use super::connection::{Call, Servers, request};
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
    // One node, not the next one after it: two nodes that are both told to make a cluster could make two.
    let first = global.admin.iter().take(1).cloned().collect();
    let servers = Servers { addresses: first, ..global.admins() };
    let call = Call { doing: "making the cluster", ask: Some("stampede status".to_owned()) };
    let message = InitRequest { cluster_name: args.name };
    let made = servers.call(&call, async |channel| Client::new(channel).init(request(message.clone())).await).await?;
    output::print_record(global.output, vec![("cluster_id", json!(made.cluster_id))]);
    Ok(())
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

const COLUMNS: [&str; 11] =
    ["admin", "node", "role", "term", "leader", "last", "committed", "applied", "snapshot", "digest", "cluster"];

fn describe(address: &str, status: &GetStatusResponse) -> Record {
    let digest: String = status.digest.chars().take(12).collect();
    vec![
        ("admin", json!(address)),
        ("node", json!(status.node_id)),
        ("role", short_name(status.role().as_str_name(), "NODE_ROLE_")),
        ("term", json!(status.term)),
        ("leader", json!((status.leader_id != 0).then_some(status.leader_id))),
        ("last", json!(status.last_log_index)),
        ("committed", json!(status.committed_index)),
        ("applied", json!(status.applied_index)),
        ("snapshot", json!(status.snapshot_index)),
        ("digest", json!(digest)),
        ("cluster", json!(status.cluster_name)),
    ]
}

/// The exit code of `status`: the worst that can be told from the nodes that were asked.
fn judge(answers: &[GetStatusResponse], asked: usize) -> Result<(), Failure> {
    let silent = asked - answers.len();
    if answers.is_empty() {
        return Err(Failure::new(Code::Unreachable, "no node answered", "check that they run, or name others with --admin"));
    }
    if answers.iter().all(|status| status.role() == NodeRole::Uninitialized) {
        return Err(Failure::new(Code::Unhealthy, "the cluster is not made yet", "stampede init --name NAME"));
    }
    if let Some(stopped) = answers.iter().find(|status| status.role() == NodeRole::Shutdown) {
        let message = format!("node {} has stopped after a fatal error", stopped.node_id);
        return Err(Failure::new(Code::Unhealthy, message, "its log says why; restart it, or replace it"));
    }
    if answers.iter().all(|status| status.leader_id == 0) {
        return Err(Failure::new(Code::Unhealthy, "no node knows a leader", "a majority must run and reach each other"));
    }
    if silent == 0 {
        return Ok(());
    }
    let voters = answers.iter().map(|status| status.members.iter().filter(|member| member.voter).count()).max().unwrap_or(0);
    // A majority is more than half; with exactly that many left, the next loss stops the cluster.
    if voters.saturating_sub(silent) == voters / 2 + 1 {
        let message = format!("{silent} of {asked} nodes did not answer; one more loss stops the cluster");
        return Err(Failure::new(Code::OneLossFromStopping, message, "bring the silent node back"));
    }
    Err(Failure::new(Code::Unhealthy, format!("{silent} of {asked} nodes did not answer"), "bring the silent nodes back"))
}

pub(super) async fn leader(global: &Global, command: LeaderCommand) -> Result<(), Failure> {
    let leader_id = match command {
        LeaderCommand::Show => {
            let call = Call { doing: "asking who leads", ask: None };
            let answer = global
                .admins()
                .call(&call, async |channel| {
                    let answer = Client::new(channel).get_status(request(GetStatusRequest {})).await?;
                    if answer.get_ref().leader_id == 0 { Err(Status::unavailable("no leader is known")) } else { Ok(answer) }
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
    let call = Call { doing: "moving leadership", ask: Some("stampede leader show".to_owned()) };
    let message = TransferLeaderRequest { to_node_id: to.unwrap_or(0) };
    let moved = servers.call(&call, async |channel| Client::new(channel).transfer_leader(request(message)).await).await?;
    Ok(moved.leader_id)
}

async fn status_of(global: &Global, address: &str) -> Result<GetStatusResponse, Failure> {
    let call = Call { doing: "asking for the status", ask: None };
    let servers = Servers { addresses: vec![address.to_owned()], ..global.admins() };
    servers.call(&call, async |channel| Client::new(channel).get_status(request(GetStatusRequest {})).await).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::Member;

    fn node(leader_id: u64) -> GetStatusResponse {
        let members = (1..=3).map(|node_id| Member { node_id, voter: true, ..Member::default() }).collect();
        GetStatusResponse { role: NodeRole::Follower.into(), leader_id, members, ..GetStatusResponse::default() }
    }

    fn with_role(role: NodeRole) -> GetStatusResponse {
        GetStatusResponse { role: role.into(), ..node(1) }
    }

    #[test]
    fn the_exit_code_of_status_is_the_worst_that_can_be_told() {
        let table = [
            (vec![node(1), node(1), node(1)], None),
            (vec![node(1)], None),
            (vec![], Some(Code::Unreachable)),
            (vec![with_role(NodeRole::Uninitialized); 3], Some(Code::Unhealthy)),
            (vec![with_role(NodeRole::Shutdown), node(2), node(2)], Some(Code::Unhealthy)),
            (vec![node(0), node(0), node(0)], Some(Code::Unhealthy)),
        ];
        for (answers, expected) in table {
            let asked = answers.len();
            assert_eq!(judge(&answers, asked).err().map(|failure| failure.code), expected, "{answers:?}");
        }
        assert_eq!(judge(&[node(1), node(1)], 3).unwrap_err().code, Code::OneLossFromStopping);
        assert_eq!(judge(&[node(1)], 3).unwrap_err().code, Code::Unhealthy);
    }
}

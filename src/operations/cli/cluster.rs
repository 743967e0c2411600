//! `init` and `leader`: a cluster is made, and who leads it.

use clap::{Args, Subcommand};
use serde_json::json;
use tonic::Status;

use super::Global;
use super::connection::{Call, Servers};
use super::exit::{Code, Failure};
use super::output;
use super::status::status_of;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_is_there_under_the_name_is_the_one_that_was_asked_for() {
        let made = GetStatusResponse {
            cluster_name: "rush".to_owned(),
            cluster_id: "a".to_owned(),
            role: NodeRole::Follower.into(),
            ..GetStatusResponse::default()
        };
        assert!(is_made_as(&made, "rush") && !is_made_as(&made, "other"));
        let bound = GetStatusResponse { role: NodeRole::Uninitialized.into(), ..made };
        assert!(!is_made_as(&bound, "rush"), "its directory is bound, and the cluster is not made");
    }
}

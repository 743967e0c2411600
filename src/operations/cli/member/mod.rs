//! `member list|add|promote|remove|replace`: who is a member.
//!
//! Every step is the cluster's own and finds what is done already, so a command that was killed is given again.

mod plan;
mod replace;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tonic::{Request, Response, Status};

use self::plan::Confirmation;
use super::Global;
use super::connection::{Attempt, Call, Servers};
use super::exit::{Code, Failure};
use super::output::{self, Record};
use crate::proto::admin::member_service_client::MemberServiceClient;
use crate::proto::admin::{
    CreateJoinTokenRequest, ListMembersRequest, ListMembersResponse, Member, MemberPlan, PromoteMemberRequest,
    RemoveMemberRequest,
};
use crate::proto::raft::JoinToken;
use crate::transport::peers::token;

type Client = MemberServiceClient<tonic::transport::Channel>;

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Members as the leader sees them, and whether one may be lost
    List,
    /// Make a token by which one new node may join; it becomes a learner, without a vote
    Add(AddArgs),
    /// Give a learner its vote
    Promote(PromoteArgs),
    /// Take a member out for ever: its id is never used again
    Remove(RemoveArgs),
    /// Put a new node in the place of a member: joined, caught up, swapped in one change. Killed half-way, the same again goes on
    Replace(replace::ReplaceArgs),
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// How long the token is good for
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    valid_for: Duration,
}

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    node_id: u64,
    /// Say what would be done, and the quorum before and after; change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    node_id: u64,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) async fn run(global: &Global, command: MemberCommand) -> Result<(), Failure> {
    match command {
        MemberCommand::List => show(global).await,
        MemberCommand::Add(args) => add(global, &args).await,
        MemberCommand::Promote(args) => promote(global, &args).await,
        MemberCommand::Remove(args) => remove(global, &args).await,
        MemberCommand::Replace(args) => replace::run(global, &args).await,
    }
}

/// A call to the leader: the others name it, and the next is asked.
async fn ask<Q: Clone, A>(
    servers: &Servers,
    call: &Call,
    message: Q,
    send: impl AsyncFn(Client, Request<Q>) -> Result<Response<A>, Status>,
) -> Result<A, Failure> {
    servers
        .call(call, async |to: Attempt| {
            let request = to.request(message.clone());
            send(Client::new(to.channel()), request).await
        })
        .await
}

async fn list(servers: &Servers) -> Result<ListMembersResponse, Failure> {
    let call = Call::read("asking the leader for the members");
    ask(servers, &call, ListMembersRequest {}, async |mut client, request| client.list_members(request).await).await
}

async fn show(global: &Global) -> Result<(), Failure> {
    let members = list(&global.admins()).await?;
    let rows = members.members.iter().map(|member| describe(member, &members)).collect();
    output::print_records(global.output, &["node", "role", "reachable", "lag", "matched", "peer", "client"], rows);
    eprintln!("{}", plan::quorum(members.quorum.as_ref()));
    if members.joint {
        eprintln!("a change of the voters is under way, or was left half done: the command that began it finishes it");
    }
    for token in members.tokens.iter().filter(|token| token.node_id == 0) {
        let expires = u64::try_from(token.expires_at_ms).unwrap_or(0);
        let expires = std::time::UNIX_EPOCH + Duration::from_millis(expires);
        let (id, until) = (hex::encode(&token.token_id), humantime::format_rfc3339_seconds(expires));
        eprintln!("token {id} is open until {until}: nobody has joined by it");
    }
    Ok(())
}

fn describe(member: &Member, all: &ListMembersResponse) -> Record {
    let role = match member.voter {
        _ if member.node_id == all.leader_id => "leader",
        true => "voter",
        false => "learner",
    };
    vec![
        ("node", json!(member.node_id)),
        ("role", json!(role)),
        ("reachable", json!(member.heard)),
        ("lag", json!(member.lag_entries)),
        ("matched", json!(member.matched_index)),
        ("peer", json!(member.peer_address)),
        ("client", json!(member.client_address)),
    ]
}

async fn add(global: &Global, args: &AddArgs) -> Result<(), Failure> {
    let (text, expires_at_ms) = make_token(&global.admins(), args.valid_for).await?;
    output::print_record(global.output, vec![("token", json!(text)), ("expires_at_ms", json!(expires_at_ms))]);
    eprintln!(
        "start the new node with an empty data directory, without node.id in its configuration:\n  stampede node --config FILE --join \
         TOKEN\nthen see it catch up with `stampede member list`, and give it its vote with `stampede member promote ID`"
    );
    Ok(())
}

/// The secret is made here and goes to no member: only the new node presents it.
async fn make_token(servers: &Servers, valid_for: Duration) -> Result<(String, i64), Failure> {
    let (mut id, mut secret) = ([0; 16], [0; token::SECRET_BYTES]);
    for bytes in [&mut id[..], &mut secret[..]] {
        getrandom::fill(bytes).map_err(|error| {
            Failure::new(Code::Failed, format!("the system gives no random bytes: {error}"), "look at the machine")
        })?;
    }
    let message = CreateJoinTokenRequest {
        token_id: id.to_vec(),
        secret_blake3: blake3::hash(&secret).as_bytes().to_vec(),
        valid_for_ms: i64::try_from(valid_for.as_millis()).unwrap_or(i64::MAX),
    };
    let call = Call::write("making a token", "stampede member list", "stampede member add");
    let made = ask(servers, &call, message, async |mut client, request| client.create_join_token(request).await).await?;
    let text = token::encode(&JoinToken {
        cluster_id: made.cluster_id,
        cluster_name: made.cluster_name,
        token_id: id.to_vec().into(),
        secret: secret.to_vec().into(),
        peer_addresses: made.peer_addresses,
    });
    Ok((text, made.expires_at_ms))
}

async fn promote(global: &Global, args: &PromoteArgs) -> Result<(), Failure> {
    let again = format!("stampede member promote {}", args.node_id);
    let call = Call::write("promoting the node", "stampede member list", again);
    let message = PromoteMemberRequest { node_id: args.node_id, dry_run: args.dry_run };
    let servers = global.admins();
    let made = ask(&servers, &call, message, async |mut client, request| client.promote_member(request).await).await?;
    print(global, args.node_id, made.plan, args.dry_run);
    Ok(())
}

async fn remove(global: &Global, args: &RemoveArgs) -> Result<(), Failure> {
    let node_id = args.node_id;
    let again = format!("stampede member remove {node_id}");
    let call = Call::write("removing the node", "stampede member list", again);
    let servers = global.admins();
    let send = async |dry_run| {
        let message = RemoveMemberRequest { node_id, dry_run };
        ask(&servers, &call, message, async |mut client, request| client.remove_member(request).await).await
    };
    let planned = send(true).await?.plan;
    if args.confirmation.dry_run || planned.as_ref().is_some_and(|plan| plan.was_done) {
        print(global, node_id, planned, args.confirmation.dry_run);
        return Ok(());
    }
    eprintln!("{}", plan::words(&format!("removing node {node_id}, for ever"), planned.as_ref()));
    args.confirmation.ask(&list(&servers).await?.cluster_name)?;
    print(global, node_id, send(false).await?.plan, false);
    Ok(())
}

fn print(global: &Global, node_id: u64, made: Option<MemberPlan>, dry_run: bool) {
    output::print_record(global.output, plan::record(node_id, made.as_ref(), dry_run));
}

//! `member replace OLD --with NEW`: joined, caught up, swapped in one joint change with which the old one is gone.
//!
//! Nothing is remembered but in the cluster: each step looks for what is there already. So the command may be killed, and its leader
//! too, at any step, and the same again goes on.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::plan::{self, Confirmation, NodeOrAddress};
use super::{ask, list, make_token};
use crate::limits::{self, MEMBER_LOOK_PAUSE};
use crate::operations::cli::Global;
use crate::operations::cli::connection::{Call, Servers};
use crate::operations::cli::exit::{Code, Failure};
use crate::operations::cli::output;
use crate::proto::admin::{ListMembersResponse, Member, MemberPlan, ReplaceMemberRequest};

#[derive(Debug, Args)]
pub(in crate::operations::cli) struct ReplaceArgs {
    /// Id of the member that goes
    old: u64,
    /// The node that comes: its id if it has joined, otherwise the host:port at which the others will reach its peer listener
    #[arg(long, value_name = "ID|HOST:PORT")]
    with: NodeOrAddress,
    /// How long to wait for the new node to join and to catch up
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    wait: Duration,
    #[command(flatten)]
    confirmation: Confirmation,
}

pub(super) async fn run(global: &Global, args: &ReplaceArgs) -> Result<(), Failure> {
    let (servers, deadline) = (global.admins(), Instant::now() + args.wait);
    let members = list(&servers).await?;
    let found = new_member(&members, args);
    if found.is_none() && !is_member(&members, args.old) {
        let message = format!("node {} is no member, and neither is {}", args.old, shown(&args.with));
        return Err(Failure::new(Code::NotFound, message, "see who is with `stampede member list`"));
    }
    if args.confirmation.dry_run {
        return foretell(global, &servers, args, &members, found).await;
    }
    eprintln!("replacing node {} by {}: {}", args.old, shown(&args.with), plan::quorum(members.quorum.as_ref()));
    args.confirmation.ask(&members.cluster_name)?;
    let new = match found {
        Some(new) => new.node_id,
        None => joined(&servers, args, deadline).await?,
    };
    eprintln!("step 2 of 3: node {new} is a member; waiting until it has caught up");
    caught_up(&servers, args, new, deadline).await?;
    eprintln!("step 3 of 3: swapping nodes {} and {new} in one change", args.old);
    let made = swap(&servers, args.old, new, false).await?;
    output::print_record(global.output, plan::record(new, made.as_ref(), false));
    eprintln!("node {} is no member any more: its process ends by itself, and its id is never used again", args.old);
    Ok(())
}

fn shown(with: &NodeOrAddress) -> String {
    match with {
        NodeOrAddress::Node(id) => format!("node {id}"),
        NodeOrAddress::PeerAddress(address) => format!("a new node at {address}"),
    }
}

fn is_member(members: &ListMembersResponse, node_id: u64) -> bool {
    members.members.iter().any(|member| member.node_id == node_id)
}

/// The newest at the address, which may be that of the old one: a node that lost its disk comes back under another id.
fn new_member<'a>(members: &'a ListMembersResponse, args: &ReplaceArgs) -> Option<&'a Member> {
    let others = members.members.iter().filter(|member| member.node_id != args.old);
    let fits = |member: &&Member| match &args.with {
        NodeOrAddress::Node(id) => member.node_id == *id,
        NodeOrAddress::PeerAddress(address) => member.peer_address == *address,
    };
    others.filter(fits).max_by_key(|member| member.node_id)
}

/// Step 1: hands out a token, and waits for the node that is started with it.
async fn joined(servers: &Servers, args: &ReplaceArgs, deadline: Instant) -> Result<u64, Failure> {
    if let NodeOrAddress::Node(id) = args.with {
        let message = format!("node {id} is no member");
        return Err(Failure::new(Code::NotFound, message, "name its address, host:port, if it has yet to join"));
    }
    let (least, most) = (limits::JOIN_TOKEN_VALID_MS_MIN, limits::JOIN_TOKEN_VALID_MS_MAX);
    let valid_for = args.wait.clamp(Duration::from_millis(least), Duration::from_millis(most));
    let (token, _) = make_token(servers, valid_for).await?;
    eprintln!(
        "step 1 of 3: start the new node with an empty data directory, without node.id in its configuration:\n  stampede node --config \
         FILE --join {token}"
    );
    loop {
        if let Some(new) = new_member(&list(servers).await?, args) {
            return Ok(new.node_id);
        }
        pause(deadline, args, || format!("{} has not joined within {}", shown(&args.with), waited(args))).await?;
    }
}

/// Step 2: a voter that lacks much of the log would hold up every write that needs it.
async fn caught_up(servers: &Servers, args: &ReplaceArgs, new: u64, deadline: Instant) -> Result<(), Failure> {
    loop {
        let members = list(servers).await?;
        let Some(member) = members.members.iter().find(|member| member.node_id == new) else {
            let message = format!("node {new} is no member any more");
            return Err(Failure::new(Code::NotFound, message, "see who is with `stampede member list`"));
        };
        if member.voter || (member.heard && member.lag_entries <= members.promote_lag_entries_max) {
            return Ok(());
        }
        let lacks = || match member.heard {
            true => format!("node {new} still lacks {} log entries after {}", member.lag_entries, waited(args)),
            false => format!("node {new} did not answer the leader within {}", waited(args)),
        };
        pause(deadline, args, lacks).await?;
    }
}

fn waited(args: &ReplaceArgs) -> humantime::FormattedDuration {
    humantime::format_duration(args.wait)
}

async fn pause(deadline: Instant, args: &ReplaceArgs, late: impl FnOnce() -> String) -> Result<(), Failure> {
    if Instant::now() + MEMBER_LOOK_PAUSE > deadline {
        let with = match &args.with {
            NodeOrAddress::Node(id) => id.to_string(),
            NodeOrAddress::PeerAddress(address) => address.clone(),
        };
        let again = format!("the same again goes on from here: stampede member replace {} --with {with}", args.old);
        return Err(Failure::new(Code::TimedOut, late(), again));
    }
    sleep(MEMBER_LOOK_PAUSE).await;
    Ok(())
}

/// Step 3.
async fn swap(servers: &Servers, old: u64, new: u64, dry_run: bool) -> Result<Option<MemberPlan>, Failure> {
    let again = format!("stampede member replace {old} --with {new}");
    let call = Call::write("swapping the nodes", "stampede member list", again);
    let message = ReplaceMemberRequest { old_node_id: old, new_node_id: new, dry_run };
    let made = ask(servers, &call, message, async |mut client, request| client.replace_member(request).await).await?;
    Ok(made.plan)
}

async fn foretell(
    global: &Global,
    servers: &Servers,
    args: &ReplaceArgs,
    members: &ListMembersResponse,
    found: Option<&Member>,
) -> Result<(), Failure> {
    let Some(new) = found else {
        eprintln!(
            "would make a token, wait for {} to join and to catch up, and swap it with node {} in one change; now: {}",
            shown(&args.with),
            args.old,
            plan::quorum(members.quorum.as_ref())
        );
        return Ok(());
    };
    let planned = swap(servers, args.old, new.node_id, true).await?;
    output::print_record(global.output, plan::record(new.node_id, planned.as_ref(), true));
    Ok(())
}

//! `status` and `health`: the cluster as its operators see it, once or again and again.

use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Global;
use super::connection::{Call, Servers};
use super::exit::{Code, Failure};
use super::order::short_name;
use super::output::{self, Record};
use crate::limits::{HEALTH_LOOK_PAUSE, HEALTH_LOOK_WITHIN};
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::{GetStatusRequest, GetStatusResponse, NodeRole};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// Look again and again, so far apart, until Ctrl-C; a JSON array a look with -o json, a document with -o yaml
    #[arg(long, value_name = "EVERY", num_args = 0..=1, default_missing_value = "2s", value_parser = output::parse_every)]
    watch: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Wait, as long as --timeout says, until the cluster is healthy
    #[arg(long)]
    wait: bool,
    /// Content with a cluster that works and that one more loss stops
    #[arg(long)]
    allow_degraded: bool,
}

/// All nodes that were named, asked at once.
struct Look {
    rows: Vec<Record>,
    answers: Vec<GetStatusResponse>,
    /// Why the others did not answer.
    silent: Vec<String>,
}

/// One row for each node that was named.
pub(super) async fn status(global: &Global, args: &StatusArgs) -> Result<(), Failure> {
    let Some(every) = args.watch else {
        let look = look(global, global.timeout).await;
        output::print_records(global.output, &COLUMNS, look.rows);
        look.silent.iter().for_each(|told| eprintln!("{told}"));
        return judge(&look.answers, global.admin.len());
    };
    loop {
        // One that does not answer holds nobody up.
        let look = look(global, global.timeout.min(HEALTH_LOOK_WITHIN)).await;
        if output::print_look(global.output, &COLUMNS, look.rows).is_err() {
            return Ok(());
        }
        look.silent.iter().for_each(|told| eprintln!("{told}"));
        if let Err(failure) = judge(&look.answers, global.admin.len()) {
            eprintln!("{}", failure.message);
        }
        sleep(every).await;
    }
}

/// Exit code as of `status`; one line, or one object, that says why.
pub(super) async fn health(global: &Global, args: &HealthArgs) -> Result<(), Failure> {
    let deadline = Instant::now() + global.timeout;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let look = look(global, if args.wait { left.min(HEALTH_LOOK_WITHIN) } else { left }).await;
        let judged = judge(&look.answers, global.admin.len());
        let is_good = match &judged {
            Ok(()) => true,
            Err(failure) => args.allow_degraded && failure.code == Code::OneLossFromStopping,
        };
        let is_over = Instant::now() + HEALTH_LOOK_PAUSE >= deadline;
        if is_good || is_over || !args.wait {
            output::print_record(global.output, verdict(&look, &judged));
            return match judged {
                Err(failure) if !is_good && args.wait => Err(Failure::new(
                    Code::TimedOut,
                    format!("not healthy within {}: {}", humantime::format_duration(global.timeout), failure.message),
                    failure.next,
                )),
                Err(failure) if !is_good => Err(failure),
                _ => Ok(()),
            };
        }
        sleep(HEALTH_LOOK_PAUSE).await;
    }
}

fn verdict(look: &Look, judged: &Result<(), Failure>) -> Record {
    let word = match judged.as_ref().map_err(|failure| failure.code) {
        Ok(()) => "healthy",
        Err(Code::OneLossFromStopping) => "degraded",
        Err(Code::Unreachable) => "unreachable",
        Err(_) => "unhealthy",
    };
    let voters = voters(&look.answers);
    let leader = look.answers.iter().find(|status| status.hears_leader).map(|status| status.leader_id);
    vec![
        ("verdict", json!(word)),
        ("reason", json!(judged.as_ref().err().map(|failure| &failure.message))),
        ("leader", json!(leader)),
        ("voters", json!(voters)),
        ("asked", json!(look.answers.len() + look.silent.len())),
        ("hear_leader", json!(look.answers.iter().filter(|status| status.hears_leader).count())),
    ]
}

async fn look(global: &Global, within: Duration) -> Look {
    let asked = global.admin.iter().map(async |address| (address, status_within(global, address, within).await));
    let (mut rows, mut answers, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    let told = join_all(asked).await;
    // The leader alone knows what others lack.
    let leader = told.iter().filter_map(|(_, status)| status.as_ref().ok()).find(|status| status.role() == NodeRole::Leader);
    let leader = leader.cloned();
    for (address, status) in told {
        match status {
            Ok(status) => {
                rows.push(describe(address, &status, leader.as_ref()));
                answers.push(status);
            }
            Err(failure) => {
                silent.push(format!("{address}: {}", failure.message));
                rows.push(unreachable_row(address));
            }
        }
    }
    Look { rows, answers, silent }
}

const COLUMNS: [&str; 14] = [
    "admin",
    "node",
    "role",
    "term",
    "leader",
    "last",
    "committed",
    "applied",
    "lag",
    "snapshot",
    "digest",
    "disk",
    "version",
    "cluster",
];

fn describe(address: &str, status: &GetStatusResponse, leader: Option<&GetStatusResponse>) -> Record {
    let digest: String = status.digest.chars().take(12).collect();
    let known_to = |leader: &GetStatusResponse| leader.members.iter().find(|member| member.node_id == status.node_id).cloned();
    let lag = leader.and_then(known_to).map(|member| member.lag_entries);
    vec![
        ("admin", json!(address)),
        ("node", json!(status.node_id)),
        ("role", short_name(status.role().as_str_name(), "NODE_ROLE_")),
        ("term", json!(status.term)),
        ("leader", json!(status.hears_leader.then_some(status.leader_id))),
        ("last", json!(status.last_log_index)),
        ("committed", json!(status.committed_index)),
        ("applied", json!(status.applied_index)),
        ("lag", json!(lag)),
        ("snapshot", json!(status.snapshot_index)),
        ("digest", json!(digest)),
        ("disk", json!(if status.disk_low { "low" } else { "ok" })),
        ("version", json!(status.version)),
        ("cluster", json!(status.cluster_name)),
    ]
}

fn unreachable_row(address: &str) -> Record {
    let known = |column: &str| match column {
        "admin" => json!(address),
        "role" => json!("unreachable"),
        _ => json!(null),
    };
    COLUMNS.map(|column| (column, known(column))).to_vec()
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
    let voters = voters(answers);
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

fn voters(answers: &[GetStatusResponse]) -> usize {
    answers.iter().map(|status| status.members.iter().filter(|member| member.voter).count()).max().unwrap_or(0)
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

pub(super) async fn status_of(global: &Global, address: &str) -> Result<GetStatusResponse, Failure> {
    status_within(global, address, global.timeout).await
}

pub(super) async fn status_within(global: &Global, address: &str, within: Duration) -> Result<GetStatusResponse, Failure> {
    let call = Call::read("asking for the status");
    let servers = Servers { addresses: vec![address.to_owned()], within, ..global.admins() };
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
    fn the_lag_of_a_node_is_what_the_leader_says_it_lacks() {
        let member = |node_id, lag_entries| Member { node_id, lag_entries, ..Member::default() };
        let leader = GetStatusResponse { members: vec![member(1, 0), member(2, 7)], ..with_role(NodeRole::Leader) };
        let row = describe("a:1", &GetStatusResponse { node_id: 2, ..node(true) }, Some(&leader));
        assert_eq!(row.iter().find(|(name, _)| *name == "lag").unwrap().1, json!(7));
        assert!(row.iter().map(|(name, _)| *name).eq(COLUMNS));
        assert!(unreachable_row("a:1").iter().map(|(name, _)| *name).eq(COLUMNS));
    }
}

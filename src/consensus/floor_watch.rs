//! A leader looks whose disk is low, and acts on it ([`super::low_disks`]): it hands over to a voter that has room, or says that new
//! orders are refused until there is room again.
//!
//! A try to hand over is as at a stop: from then on this node refuses proposals and is silent, and openraft takes that back in no
//! later moment of the term. So it tries once in a term, and seldom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::metrics::RaftMetrics;
use openraft::type_config::TypeConfigExt;
use openraft::type_config::alias::InstantOf;
use openraft::{AsyncRuntime, Instant, Raft};

use super::leadership::{Leadership, has_answered};
use super::low_disks::{LowDisks, Verdict, Voter, judge};
use super::metrics::Metrics;
use super::state_machine::StateMachine;
use super::types::TypeConfig;
use crate::limits;
use crate::storage::LedgerStore;

/// This node as leader, of one term.
struct Office<RT: AsyncRuntime> {
    term: u64,
    since: InstantOf<TypeConfig<RT>>,
}

pub(super) async fn run<RT: AsyncRuntime, S: LedgerStore>(
    raft: Raft<TypeConfig<RT>, StateMachine<RT, S>>,
    disks: Arc<LowDisks>,
    metrics: Arc<Metrics>,
    heard_within: Duration,
    stopped: Arc<AtomicBool>,
) {
    let leadership = Leadership::<RT>::new(raft.server_metrics());
    let mut office: Option<Office<RT>> = None;
    let mut handed_over: Option<Office<RT>> = None;
    while !stopped.load(Ordering::Acquire) {
        TypeConfig::<RT>::sleep(limits::DISK_LOOK_INTERVAL).await;
        let now = TypeConfig::<RT>::now();
        let Some(term) = leadership.my_term() else { continue };
        let since = office.filter(|office| office.term == term).map_or(now, |office| office.since);
        office = Some(Office { term, since });
        // In that term nothing is proposed here any more.
        if handed_over.as_ref().is_some_and(|tried| tried.term == term) {
            continue;
        }
        let may_hand_over = handed_over.as_ref().is_none_or(|tried| tried.since.elapsed() > limits::DISK_LOW_HAND_OVER_PAUSE);
        // A new leader has not heard everybody yet.
        let is_new = since.elapsed() <= heard_within;
        let voters = voters(&raft.metrics().borrow_watched(), &disks, heard_within, is_new);
        let verdict = judge(*raft.node_id(), &voters, may_hand_over);
        say(&disks, term, verdict == Verdict::RefuseOrders, &voters);
        let Verdict::HandOverTo(to) = verdict else { continue };
        tracing::warn!(
            event = "disk_low_hand_over",
            term,
            to,
            "the disk of this leader is low: it hands over to a node with room"
        );
        metrics.disk_low_step_downs.add(1);
        handed_over = Some(Office { term, since: now });
        if raft.trigger().transfer_leader(to).await.is_err() {
            return;
        }
    }
}

/// To all, with the next appends; and to the log, once.
fn say(disks: &LowDisks, term: u64, refuses: bool, voters: &[Voter]) {
    if !disks.told(term, refuses) {
        return;
    }
    let of = |pick: fn(&Voter) -> bool| {
        let picked: Vec<String> = voters.iter().filter(|voter| pick(voter)).map(|voter| voter.node_id.to_string()).collect();
        picked.join(",")
    };
    let (low, silent) = (of(|voter| voter.is_low), of(|voter| !voter.is_heard));
    match refuses {
        true => tracing::error!(event = "new_orders_refused", low, silent, "too few disks have room: new orders are refused"),
        false => tracing::info!(event = "new_orders_taken", low, silent, "enough disks have room: new orders are taken again"),
    }
}

fn voters<RT: AsyncRuntime>(
    metrics: &RaftMetrics<TypeConfig<RT>>,
    disks: &LowDisks,
    heard_within: Duration,
    is_new: bool,
) -> Vec<Voter> {
    let next = metrics.last_log_index.map_or(0, |last| last + 1);
    let matched = |node_id| metrics.replication.as_ref()?.get(&node_id)?.as_ref().map(|matched| matched.index + 1);
    let voter = |node_id: u64| match node_id == metrics.id {
        true => Voter { node_id, is_low: disks.own(), is_heard: true, lag: 0 },
        false => Voter {
            node_id,
            is_low: disks.peer(node_id),
            is_heard: is_new || has_answered(metrics, node_id, heard_within),
            lag: next.saturating_sub(matched(node_id).unwrap_or(0)),
        },
    };
    metrics.membership_config.membership().voter_ids().map(voter).collect()
}

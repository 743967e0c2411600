//! Follows the node's status: counts what only a change shows, and writes a line for each change that matters.
//!
//! A peer that is away is one line when it has gone and one when it is back, however often it is called in between, and one that is
//! late is none. The leader tells of its followers, and followers of their leader: nobody else calls anybody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::consensus::NodeStatus;

/// What was seen since the process started.
#[derive(Debug)]
pub struct Seen {
    leader_changes: AtomicU64,
    /// The other members as configured: until there is a cluster.
    configured: Vec<u64>,
    others: Mutex<Others>,
}

/// Who is away, as far as this node can tell.
#[derive(Debug, Default)]
struct Others {
    leads_since: Option<Instant>,
    /// Since when each of those that are away is; kept while another leads, so that who led meanwhile need not tell.
    gone: BTreeMap<u64, Instant>,
    /// Of a follower.
    without_leader: Option<WithoutLeader>,
}

#[derive(Debug)]
struct WithoutLeader {
    since: Instant,
    /// For so long that a line was written.
    is_told: bool,
}

/// What a line is written of.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    Gone { peer: u64 },
    Back { peer: u64, after: Duration },
    LeaderLost,
    LeaderHeard { after: Duration },
}

impl Seen {
    #[must_use]
    pub fn new(configured: impl IntoIterator<Item = u64>) -> Self {
        Self { leader_changes: AtomicU64::new(0), configured: configured.into_iter().collect(), others: Mutex::default() }
    }

    #[must_use]
    pub fn leader_changes(&self) -> u64 {
        self.leader_changes.load(Relaxed)
    }

    /// The other members, with their names as labels: those of the cluster; before there is one, those of the configuration.
    #[must_use]
    pub fn peers(&self, status: &NodeStatus) -> Vec<(u64, String)> {
        let members = status.members.iter().map(|member| member.node_id).filter(|id| *id != status.node_id);
        let ids: Vec<u64> = if status.members.is_empty() { self.configured.clone() } else { members.collect() };
        ids.into_iter().map(|id| (id, id.to_string())).collect()
    }

    /// Compares two statuses, the newer last. `answer_within`: how long a follower may take to be heard.
    pub fn note(&self, before: &NodeStatus, now: &NodeStatus, answer_within: Duration) {
        self.note_others(now, answer_within);
        if now.leader != before.leader {
            if now.leader.is_some() {
                self.leader_changes.fetch_add(1, Relaxed);
            }
            tracing::info!(event = "leader_changed", leader = now.leader, term = now.term, "the leader is another");
        }
        if now.role != before.role {
            tracing::info!(event = "role_changed", role = ?now.role, term = now.term, "this node has another role");
        }
        if now.initialized && !before.initialized {
            tracing::info!(event = "cluster_made", "the cluster is made: this node has heard of it");
        }
        if now.snapshot != before.snapshot {
            tracing::info!(event = "snapshot", index = now.snapshot.map(|position| position.index), "a snapshot is durable");
        }
        if let (Some(reason), None) = (&now.fatal, &before.fatal) {
            tracing::error!(event = "fatal", reason, "this node cannot go on");
        }
    }

    fn note_others(&self, now: &NodeStatus, answer_within: Duration) {
        let changes = self.others.lock().unwrap_or_else(PoisonError::into_inner).look(now, answer_within, Instant::now());
        let (leader, term) = (now.leader, now.term);
        for change in changes {
            match change {
                Change::Gone { peer } => tracing::warn!(event = "peer_gone", peer, term, "a peer does not answer"),
                Change::Back { peer, after } => {
                    tracing::info!(event = "peer_back", peer, term, away_seconds = after.as_secs(), "a peer answers again");
                }
                Change::LeaderLost => tracing::warn!(event = "leader_lost", leader, term, "no leader is heard"),
                Change::LeaderHeard { after } => {
                    tracing::info!(
                        event = "leader_heard",
                        leader,
                        term,
                        away_seconds = after.as_secs(),
                        "a leader is heard again"
                    );
                }
            }
        }
    }
}

impl Others {
    fn look(&mut self, now: &NodeStatus, answer_within: Duration, at: Instant) -> Vec<Change> {
        let of_leader = self.look_for_leader(now, answer_within, at);
        of_leader.into_iter().chain(self.look_for_followers(now, answer_within, at)).collect()
    }

    fn look_for_leader(&mut self, now: &NodeStatus, answer_within: Duration, at: Instant) -> Option<Change> {
        if now.hears_leader || now.leads() || !now.initialized {
            let was = self.without_leader.take().filter(|without| without.is_told)?;
            return Some(Change::LeaderHeard { after: at.duration_since(was.since) });
        }
        let without = self.without_leader.get_or_insert(WithoutLeader { since: at, is_told: false });
        // An election is told by who wins it.
        if without.is_told || at.duration_since(without.since) < answer_within {
            return None;
        }
        without.is_told = true;
        Some(Change::LeaderLost)
    }

    fn look_for_followers(&mut self, now: &NodeStatus, answer_within: Duration, at: Instant) -> Vec<Change> {
        if !now.leads() {
            self.leads_since = None;
            return Vec::new();
        }
        // A new leader has heard nobody yet.
        let may_tell = at.duration_since(*self.leads_since.get_or_insert(at)) >= answer_within;
        self.gone.retain(|peer, _| now.members.iter().any(|member| member.node_id == *peer));
        let mut changes = Vec::new();
        for member in now.members.iter().filter(|member| member.node_id != now.node_id) {
            let peer = member.node_id;
            match (member.heard, self.gone.get(&peer)) {
                (Some(true), Some(since)) => {
                    changes.push(Change::Back { peer, after: at.duration_since(*since) });
                    self.gone.remove(&peer);
                }
                (Some(false), None) if may_tell => {
                    changes.push(Change::Gone { peer });
                    self.gone.insert(peer, at);
                }
                _ => {}
            }
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{MemberStatus, Role};
    use crate::operations::health::tests::healthy;

    #[test]
    fn a_leader_is_counted_when_it_becomes_known_and_not_when_it_is_lost() {
        let seen = Seen::new([1, 3]);
        let without = NodeStatus { leader: None, ..healthy() };
        let other = NodeStatus { leader: Some(3), ..healthy() };
        seen.note(&healthy(), &healthy(), WITHIN);
        seen.note(&healthy(), &without, WITHIN);
        assert_eq!(seen.leader_changes(), 0);
        seen.note(&without, &other, WITHIN);
        seen.note(&other, &healthy(), WITHIN);
        assert_eq!(seen.leader_changes(), 2);
    }

    const WITHIN: Duration = Duration::from_secs(1);

    /// Of node 2, as leader of those that it hears or not.
    fn leading(heard: &[(u64, bool)]) -> NodeStatus {
        let member = |(node_id, heard): &(u64, bool)| MemberStatus {
            node_id: *node_id,
            client_address: String::new(),
            peer_address: String::new(),
            voter: true,
            heard: Some(*heard),
            matched: None,
            clock_ahead_ms: None,
            disk_low: None,
        };
        NodeStatus { role: Role::Leader, members: heard.iter().map(member).collect(), ..healthy() }
    }

    #[test]
    fn a_peer_is_told_of_once_when_it_goes_and_once_when_it_is_back() {
        let (mut others, start) = (Others::default(), Instant::now());
        let mut look = |status: &NodeStatus, seconds| others.look(status, WITHIN, start + Duration::from_secs(seconds));
        let (all, without_3) = (leading(&[(1, true), (2, true), (3, true)]), leading(&[(1, true), (2, true), (3, false)]));
        assert_eq!(look(&without_3, 0), [], "a new leader has not asked yet");
        assert_eq!(look(&all, 1), []);
        assert_eq!(look(&without_3, 10), [Change::Gone { peer: 3 }]);
        assert_eq!(look(&without_3, 11), []);
        // While another leads it is not known, and nothing is told twice.
        assert_eq!(look(&healthy(), 12), []);
        assert_eq!(look(&without_3, 13), []);
        assert_eq!(look(&without_3, 20), []);
        assert_eq!(look(&all, 25), [Change::Back { peer: 3, after: Duration::from_secs(15) }]);
        assert_eq!(look(&without_3, 30), [Change::Gone { peer: 3 }]);
        assert_eq!(look(&leading(&[(1, true), (2, true)]), 31), [], "who is no member has not come back");
        assert_eq!(look(&all, 32), []);
    }

    #[test]
    fn a_leader_that_is_late_or_has_a_successor_is_no_line_and_one_that_stays_away_is_one() {
        let (mut others, start) = (Others::default(), Instant::now());
        let mut look = |status: &NodeStatus, ms| others.look(status, WITHIN, start + Duration::from_millis(ms));
        let without = NodeStatus { hears_leader: false, ..healthy() };
        let unmade = NodeStatus { initialized: false, ..without.clone() };
        assert_eq!(look(&unmade, 0), []);
        assert_eq!(look(&unmade, 5_000), [], "there is no cluster yet");
        assert_eq!(look(&without, 10_000), []);
        assert_eq!(look(&without, 10_999), []);
        assert_eq!(look(&healthy(), 11_000), []);
        assert_eq!(look(&without, 20_000), []);
        assert_eq!(look(&without, 21_000), [Change::LeaderLost]);
        assert_eq!(look(&without, 22_000), []);
        assert_eq!(
            look(&leading(&[(1, false), (2, true)]), 26_500),
            [Change::LeaderHeard { after: Duration::from_millis(6_500) }]
        );
    }
}

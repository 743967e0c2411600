//! What must hold at every moment, on every replica: looked at after each applied entry and at short intervals.
//!
//! Replicas are compared by contents: the entry and the ledger's digest at the same index, never by the index alone. What the
//! clients were told is the oracle's (`oracle.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use stampede::consensus::{NodeStatus, Role};
use stampede::domain::ledger::Edit;
use stampede::domain::{Change, MemoryLedger, invariants};
use stampede::storage::{CommittedEntry, EntryBody, LogPosition, StateDigest};

use crate::world::{World, unix_ms};

/// Applied entries between two looks at a whole ledger; more often would cost more than the run itself.
const APPLIED_PER_FULL_CHECK: u64 = 16;

/// What the first replica that applied an index made of it; every other one must make the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Applied {
    term: u64,
    entry: [u8; 32],
    digest: StateDigest,
}

#[derive(Default)]
struct State {
    applied: BTreeMap<u64, Applied>,
    leaders: BTreeMap<u64, u64>,
    /// By node and life.
    previous: BTreeMap<(u64, u64), NodeStatus>,
    /// By node, over all its lives: what is durable when it is told never goes back.
    snapshots: BTreeMap<u64, u64>,
    /// The same: term, and for whom the node voted in it.
    votes: BTreeMap<u64, (u64, Option<u64>)>,
    applies: u64,
}

/// Cheap to clone: clones share what was seen.
#[derive(Clone)]
pub struct Checks {
    world: World,
    state: Arc<Mutex<State>>,
}

fn index(position: Option<LogPosition>) -> u64 {
    position.map_or(0, |position| position.index)
}

impl Checks {
    pub fn new(world: World) -> Self {
        Self { world, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("one thread: nobody panicked while holding it")
    }

    /// A replica has applied `entry`, and its ledger's digest is `digest` after it.
    pub fn applied(&self, node_id: u64, entry: &CommittedEntry, digest: StateDigest) {
        let seen = Applied {
            term: entry.position.term,
            entry: *blake3::hash(format!("{:?}", entry.body).as_bytes()).as_bytes(),
            digest,
        };
        let index = entry.position.index;
        if let EntryBody::Commands(batch) = &entry.body
            && batch.proposed_at.0 > unix_ms()
        {
            let ahead_ms = batch.proposed_at.0 - unix_ms();
            self.world.violate("TimeAhead", format!("the stamp of index {index} is {ahead_ms} ms ahead: orders expire early"));
        }
        let mut state = self.lock();
        let first = state.applied.entry(index).or_insert_with(|| seen.clone()).clone();
        drop(state);
        if (first.term, first.entry) != (seen.term, seen.entry) {
            let detail =
                format!("n{node_id} applied another entry at index {index}: term {} after term {}", seen.term, first.term);
            self.world.violate("CommittedEntriesDiffer", detail);
        } else if first.digest != seen.digest {
            self.world.violate("ReplicasDiffer", format!("n{node_id} has another digest after index {index}"));
        }
    }

    /// An entry changed these records. Those that it made anew are left out: it may move them further at once.
    pub fn moved(&self, node_id: u64, edits: &[Edit]) {
        for edit in edits {
            let judged = match (&edit.before, &edit.after) {
                (Some(Change::Order(before)), Change::Order(after)) => {
                    invariants::order_moved_along_arrows(Some(before), Some(after))
                }
                (Some(Change::Payment(before)), Change::Payment(after)) => {
                    invariants::payment_never_changed(Some(before), Some(after))
                }
                (Some(Change::Refund(before)), Change::Refund(after)) => {
                    invariants::refund_only_settled(Some(before), Some(after))
                }
                (Some(Change::Stamping(before)), Change::Stamping(after)) => {
                    invariants::stamping_never_changed(Some(before), Some(after))
                }
                (Some(Change::Policy(before)), Change::Policy(after)) => {
                    invariants::policy_never_changed(Some(before), Some(after))
                }
                _ => Ok(()),
            };
            if let Err(violation) = judged {
                self.world.violate("LedgerInvariant", format!("n{node_id}: {violation}"));
            }
        }
    }

    /// A replica took over a whole ledger.
    pub fn installed(&self, node_id: u64, index: u64, digest: StateDigest) {
        let known = self.lock().applied.get(&index).cloned();
        match known {
            Some(applied) if applied.digest == digest => {}
            Some(_) => self.world.violate("ReplicasDiffer", format!("n{node_id} installed another state of index {index}")),
            None => self.world.violate("PhantomSnapshot", format!("n{node_id} installed index {index}, which nobody applied")),
        }
    }

    /// The domain's invariants over a replica's whole ledger, now and then.
    pub fn ledger_now_and_then(&self, node_id: u64, ledger: &MemoryLedger) {
        let is_due = {
            let mut state = self.lock();
            state.applies += 1;
            state.applies.is_multiple_of(APPLIED_PER_FULL_CHECK)
        };
        if is_due {
            self.ledger(node_id, ledger);
        }
    }

    pub fn ledger(&self, node_id: u64, ledger: &MemoryLedger) {
        for violation in invariants::violations(ledger) {
            self.world.violate("LedgerInvariant", format!("n{node_id}: {violation}"));
        }
    }

    /// A sample of what a node says of itself in its present life.
    pub fn status(&self, life: u64, status: &NodeStatus) {
        let node_id = status.node_id;
        let mut found = Vec::new();
        let mut state = self.lock();
        if status.role == Role::Leader {
            let leader = *state.leaders.entry(status.term).or_insert(node_id);
            if leader != node_id {
                found.push(("TwoLeadersInOneTerm", format!("n{leader} and n{node_id} lead in term {}", status.term)));
            }
        }
        if let Some(fatal) = &status.fatal {
            found.push(("NodeStopped", format!("n{node_id} stopped by itself: {fatal}")));
        }
        let [purged, snapshot, applied, committed] =
            [status.purged, status.snapshot, status.applied, status.committed].map(index);
        let last = status.last_log_index.unwrap_or_default();
        if ![purged, snapshot, applied, committed, last].is_sorted() {
            let detail = format!("purged {purged}, snapshot {snapshot}, applied {applied}, committed {committed}, last {last}");
            found.push(("LogOrder", format!("n{node_id}: {detail}")));
        }
        if let Some(before) = state.previous.insert((node_id, life), status.clone()) {
            found.extend(went_back(&before, status));
        }
        // Before it has read its disk, a node says term 0.
        if status.term > 0 {
            let earlier = state.votes.insert(node_id, (status.term, status.voted_for));
            found.extend(earlier.and_then(|earlier| vote_went_back(earlier, status)));
        }
        let newest = state.snapshots.entry(node_id).or_default();
        if snapshot < *newest {
            found.push(("WentBack", format!("n{node_id}: snapshot from {newest} to {snapshot}")));
        }
        *newest = snapshot;
        drop(state);
        for (name, detail) in found {
            self.world.violate(name, detail);
        }
    }
}

/// Within one life nothing goes back. Over a crash, all of this may: what was not synced is lost, and was promised to nobody. Of
/// term and vote see [`vote_went_back`].
fn went_back(before: &NodeStatus, now: &NodeStatus) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (what, earlier, later) in [
        ("committed", index(before.committed), index(now.committed)),
        ("applied", index(before.applied), index(now.applied)),
        ("purged", index(before.purged), index(now.purged)),
    ] {
        if later < earlier {
            found.push(("WentBack", format!("n{}: {what} from {earlier} to {later}", now.node_id)));
        }
    }
    found
}

/// Over all lives of a node: a vote that was told is on its disk.
fn vote_went_back((term, voted_for): (u64, Option<u64>), now: &NodeStatus) -> Option<(&'static str, String)> {
    if now.term < term {
        return Some(("WentBack", format!("n{}: term from {term} to {}", now.node_id, now.term)));
    }
    // A candidate that lost takes the winner of its term for the one it follows; openraft keeps both in one vote.
    let follows_the_winner = now.leader.is_some() && now.leader == now.voted_for;
    if now.term == term && voted_for.is_some() && voted_for != now.voted_for && !follows_the_winner {
        let detail = format!("n{} voted for {voted_for:?} and {:?} in term {term}", now.node_id, now.voted_for);
        return Some(("VoteChanged", detail));
    }
    None
}

#[cfg(test)]
mod tests {
    use openraft::AsyncRuntime;
    use openraft_rt_sim::SimRuntime;

    use super::*;

    fn status(term: u64, voted_for: u64, leader: Option<u64>) -> NodeStatus {
        NodeStatus {
            node_id: 1,
            role: Role::Follower,
            term,
            voted_for: Some(voted_for),
            leader,
            hears_leader: leader.is_some(),
            last_log_index: None,
            committed: None,
            applied: None,
            snapshot: None,
            purged: None,
            digest: StateDigest::default(),
            members: Vec::new(),
            joint: false,
            removed: false,
            initialized: true,
            draining: false,
            disk_low: false,
            refuses_new_orders: false,
            fatal: None,
        }
    }

    fn found(first: &NodeStatus, next: &NodeStatus) -> Vec<&'static str> {
        let world = World::new(0, false);
        let checks = Checks::new(world.clone());
        // A violation is traced at its virtual time.
        SimRuntime::with_seed(0).block_on(async {
            checks.status(0, first);
            // In its next life.
            checks.status(1, next);
        });
        world.violations().into_iter().map(|violation| violation.name).collect()
    }

    #[test]
    fn a_vote_that_a_crash_took_back_is_seen() {
        assert_eq!(found(&status(5, 1, None), &status(4, 2, Some(2))), ["WentBack"]);
        assert_eq!(found(&status(5, 1, None), &status(5, 3, None)), ["VoteChanged"]);
        assert!(found(&status(5, 1, None), &status(5, 3, Some(3))).is_empty(), "it lost, and follows");
        assert!(found(&status(5, 1, None), &status(6, 3, None)).is_empty());
        assert!(found(&status(5, 1, None), &NodeStatus { voted_for: None, ..status(0, 0, None) }).is_empty(), "not read yet");
    }
}

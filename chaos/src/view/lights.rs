//! Lights for the invariants that can be watched from what the nodes say of themselves: a hint while the run lasts.
//!
//! A red light stays red. It is no verdict: the judge has every sample and the log, and these have a few looks a second.

use std::collections::BTreeMap;
use std::time::Duration;

use super::model::{Light, Shows};
use crate::proto::admin::{GetStatusResponse, NodeRole, Totals};

/// Log indexes whose digests are remembered: those of some twenty minutes.
const DIGESTS_MAX: usize = 16_384;

type Statuses = [(u16, GetStatusResponse)];

/// What the light of V14 goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writes {
    /// Buyers come, and a majority is there that no fault keeps from working.
    pub(super) are_due: bool,
    /// Writes acknowledged since the start of the run.
    pub(super) acknowledged: u64,
}

pub(super) struct Lights {
    leaders: Leaders,
    digests: Digests,
    money: Money,
    writes: Quickness,
    /// By invariant: when it was first seen broken, and what was seen.
    broken: BTreeMap<&'static str, (Duration, String)>,
}

impl Lights {
    /// `first_success`: the bound of V14.
    pub(super) fn new(first_success: Duration) -> Self {
        Self {
            leaders: Leaders::default(),
            digests: Digests::default(),
            money: Money::default(),
            writes: Quickness { first_success, ..Quickness::default() },
            broken: BTreeMap::new(),
        }
    }

    pub(super) fn look(&mut self, at: Duration, statuses: &Statuses, writes: Writes) {
        let seen = [
            ("V16", self.leaders.look(statuses)),
            ("V13", self.digests.look(statuses)),
            ("V6", self.money.look(statuses)),
            ("V14", self.writes.look(at, writes)),
        ];
        for (invariant, seen) in seen {
            if let Some(seen) = seen {
                self.broken.entry(invariant).or_insert((at, seen));
            }
        }
    }

    pub(super) fn shown(&self) -> Vec<Light> {
        let light = |invariant, what, so_far| {
            let broken = self.broken.get(invariant).map(|(at, seen)| Shows::Broken { at: *at, seen: seen.clone() });
            Light { invariant, what, shows: broken.unwrap_or(so_far) }
        };
        vec![
            light("V16", "one leader a term", self.leaders.shows()),
            light("V13", "same digest at same index", self.digests.shows()),
            light("V6", "money adds up", self.money.shows()),
            light("V14", "writes are soon back", self.writes.shows()),
        ]
    }
}

/// V16
#[derive(Default)]
struct Leaders {
    of_terms: BTreeMap<u64, u64>,
    /// Of each member: a node that lost its disk comes back as another.
    terms: BTreeMap<u64, u64>,
}

impl Leaders {
    fn look(&mut self, statuses: &Statuses) -> Option<String> {
        let looks = statuses.iter().map(|(node, status)| self.look_at(*node, status));
        looks.fold(None, Option::or)
    }

    fn look_at(&mut self, node: u16, status: &GetStatusResponse) -> Option<String> {
        let (term, member) = (status.term, status.node_id);
        // Who is of no cluster has no term; a disk that was emptied may be why.
        if status.role() == NodeRole::Uninitialized {
            return None;
        }
        let before = self.terms.insert(member, term).unwrap_or_default();
        if term < before {
            return Some(format!("node {node} went back from term {before} to {term}"));
        }
        let GetStatusResponse { purged_index, snapshot_index, applied_index, committed_index, last_log_index, .. } = *status;
        let order = [purged_index, snapshot_index, applied_index, committed_index, last_log_index];
        if !order.is_sorted() {
            return Some(format!("node {node}: purged, snapshot, applied, committed, last are {order:?}"));
        }
        let leader = match status.role() {
            NodeRole::Leader => member,
            NodeRole::Candidate => 0,
            _ => status.leader_id,
        };
        if leader == 0 {
            return None;
        }
        let first = *self.of_terms.entry(term).or_insert(leader);
        (first != leader).then(|| format!("term {term} has leaders {first} and {leader}"))
    }

    fn shows(&self) -> Shows {
        match self.of_terms.len() {
            0 => Shows::Nothing("no leader yet".to_owned()),
            terms => Shows::Held(format!("terms with a leader: {terms}")),
        }
    }
}

/// V13
#[derive(Default)]
struct Digests {
    first: BTreeMap<u64, (u16, String)>,
    compared: u64,
}

impl Digests {
    fn look(&mut self, statuses: &Statuses) -> Option<String> {
        let mut differ = None;
        for (node, status) in statuses {
            let (index, digest) = (status.applied_index, &status.digest);
            // A node that has applied nothing yet has no digest to show.
            if digest.is_empty() || index == 0 {
                continue;
            }
            let (other, expected) = self.first.entry(index).or_insert_with(|| (*node, digest.clone()));
            self.compared += u64::from(other != node);
            if expected != digest {
                differ = differ.or(Some(format!("nodes {other} and {node} differ at index {index}")));
            }
        }
        while self.first.len() > DIGESTS_MAX {
            self.first.pop_first();
        }
        differ
    }

    fn shows(&self) -> Shows {
        match self.compared {
            0 => Shows::Nothing("no two nodes were seen at one index".to_owned()),
            compared => Shows::Held(format!("compared: {compared}")),
        }
    }
}

/// V6
#[derive(Default)]
struct Money {
    sums: u64,
}

impl Money {
    fn look(&mut self, statuses: &Statuses) -> Option<String> {
        let mut wrong = None;
        for (node, status) in statuses {
            let Some(totals) = &status.totals else { continue };
            self.sums += 1;
            let missing_idr = missing_idr(totals);
            if missing_idr != 0 {
                let index = status.applied_index;
                wrong = wrong.or(Some(format!("node {node} at index {index}: {missing_idr} IDR are in no sum")));
            }
        }
        wrong
    }

    fn shows(&self) -> Shows {
        match self.sums {
            0 => Shows::Nothing("no sums yet".to_owned()),
            sums => Shows::Held(format!("sums: {sums}")),
        }
    }
}

/// What was received and is neither issued for, held, due, nor paid back. Of sums that nobody has checked, so it may be anything.
fn missing_idr(totals: &Totals) -> i128 {
    let spent = [totals.issued_value_idr, totals.held_idr, totals.refund_due_idr, totals.refunded_idr];
    i128::from(totals.received_idr) - spent.into_iter().map(i128::from).sum::<i128>()
}

/// V14, its first half: from when a majority can work, a write is acknowledged within the bound.
#[derive(Default)]
struct Quickness {
    first_success: Duration,
    acknowledged: u64,
    /// Since when a write is due: the last acknowledgement, or the moment from which a majority could work.
    due_since: Option<Duration>,
    waited: Duration,
}

impl Quickness {
    fn look(&mut self, at: Duration, writes: Writes) -> Option<String> {
        let is_news = writes.acknowledged != std::mem::replace(&mut self.acknowledged, writes.acknowledged);
        if !writes.are_due {
            self.due_since = None;
            return None;
        }
        let since = if is_news { at } else { self.due_since.unwrap_or(at) };
        self.due_since = Some(since);
        self.waited = at.saturating_sub(since);
        // Within the bound is in time, at it too.
        (self.waited > self.first_success).then(|| {
            let allowed = humantime::format_duration(self.first_success);
            format!("a majority could work, and acknowledged nothing for more than {allowed}")
        })
    }

    fn shows(&self) -> Shows {
        match self.due_since {
            None => Shows::Nothing("nobody buys, or a fault has taken the majority".to_owned()),
            Some(_) => Shows::Held(format!("last acknowledged {:.1} s ago", self.waited.as_secs_f64())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_WRITES: Writes = Writes { are_due: false, acknowledged: 0 };

    fn at(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    fn of<'a>(lights: &'a [Light], invariant: &str) -> &'a Shows {
        &lights.iter().find(|light| light.invariant == invariant).unwrap().shows
    }

    /// What one light shows after looks a second apart.
    fn after(invariant: &str, looks: &[Vec<(u16, GetStatusResponse)>]) -> Shows {
        let mut lights = Lights::new(at(5));
        for (second, statuses) in (0..).zip(looks) {
            lights.look(at(second), statuses, NO_WRITES);
        }
        of(&lights.shown(), invariant).clone()
    }

    fn broken(at_s: u64, seen: &str) -> Shows {
        Shows::Broken { at: at(at_s), seen: seen.to_owned() }
    }

    #[test]
    fn before_anybody_says_anything_every_light_is_grey() {
        let lights = Lights::new(at(5)).shown();
        assert!(lights.iter().all(|light| matches!(light.shows, Shows::Nothing(_))), "{lights:?}");
    }

    #[test]
    fn two_leaders_of_one_term_are_red_and_of_two_terms_are_not() {
        let leads = |node_id, term| {
            let role = NodeRole::Leader.into();
            (u16::try_from(node_id).unwrap(), GetStatusResponse { node_id, term, role, ..GetStatusResponse::default() })
        };
        let follows = |term, leader_id| GetStatusResponse { node_id: 3, term, leader_id, ..GetStatusResponse::default() };
        let candidate = GetStatusResponse { role: NodeRole::Candidate.into(), ..follows(3, 9) };
        assert!(matches!(after("V16", &[vec![leads(1, 3), leads(2, 4), (3, candidate)]]), Shows::Held(_)));
        let two = broken(1, "term 3 has leaders 1 and 2");
        assert_eq!(after("V16", &[vec![leads(1, 3)], vec![leads(2, 3)], vec![leads(3, 4)]]), two, "and it stays");
        assert_eq!(after("V16", &[vec![leads(1, 3)], vec![(3, follows(3, 2))]]), two, "also as another says");
        let back = broken(1, "node 1 went back from term 3 to 2");
        assert_eq!(after("V16", &[vec![leads(1, 3)], vec![leads(1, 2)]]), back);
        let ahead = GetStatusResponse { applied_index: 2, committed_index: 1, last_log_index: 2, ..leads(1, 1).1 };
        assert!(matches!(after("V16", &[vec![(1, ahead)]]), Shows::Broken { .. }));
    }

    #[test]
    fn a_node_that_lost_its_disk_and_comes_back_as_another_member_is_not_red() {
        let says = |node_id, term, role: NodeRole| {
            vec![(3, GetStatusResponse { node_id, term, role: role.into(), ..GetStatusResponse::default() })]
        };
        let (was, waits) = (says(3, 5, NodeRole::Leader), says(3, 0, NodeRole::Uninitialized));
        let held = [was.clone(), waits, says(4, 1, NodeRole::Learner), says(4, 6, NodeRole::Leader)];
        assert!(matches!(after("V16", &held), Shows::Held(_)));
        assert!(matches!(after("V16", &[was, says(3, 4, NodeRole::Follower)]), Shows::Broken { .. }));
    }

    #[test]
    fn digests_that_differ_at_one_index_are_red() {
        let has = |applied_index, digest: &str| GetStatusResponse {
            applied_index,
            digest: digest.to_owned(),
            ..GetStatusResponse::default()
        };
        assert!(matches!(after("V13", &[vec![(1, has(7, "a")), (2, has(8, "b")), (3, has(0, ""))]]), Shows::Nothing(_)));
        assert!(matches!(after("V13", &[vec![(1, has(7, "a"))], vec![(2, has(7, "a"))]]), Shows::Held(_)));
        let differ = broken(1, "nodes 1 and 2 differ at index 7");
        assert_eq!(after("V13", &[vec![(1, has(7, "a"))], vec![(2, has(7, "b"))]]), differ);
    }

    #[test]
    fn money_that_is_in_no_sum_is_red() {
        let sums = |received_idr| GetStatusResponse {
            totals: Some(Totals {
                received_idr,
                issued_value_idr: 60,
                held_idr: 5,
                refund_due_idr: 15,
                refunded_idr: 20,
                ..Totals::default()
            }),
            ..GetStatusResponse::default()
        };
        assert!(matches!(after("V6", &[vec![(1, sums(100))]]), Shows::Held(_)));
        assert_eq!(after("V6", &[vec![(1, sums(101))]]), broken(0, "node 1 at index 0: 1 IDR are in no sum"));
    }

    /// What the light of V14 shows after looks: the second, whether writes are due, and how many were acknowledged.
    fn writes(looks: &[(u64, bool, u64)]) -> Shows {
        let mut lights = Lights::new(at(5));
        for &(second, are_due, acknowledged) in looks {
            lights.look(at(second), &[], Writes { are_due, acknowledged });
        }
        of(&lights.shown(), "V14").clone()
    }

    #[test]
    fn a_majority_that_acknowledges_nothing_for_longer_than_the_bound_is_red() {
        let held = |looks: &[_]| matches!(writes(looks), Shows::Held(_));
        assert!(held(&[(0, true, 0), (5, true, 0)]), "at the bound is in time");
        assert!(matches!(writes(&[(0, true, 0), (6, true, 0)]), Shows::Broken { at, .. } if at.as_secs() == 6));
        assert!(held(&[(0, true, 0), (4, true, 1), (9, true, 1)]), "from the last acknowledgement");
        assert!(held(&[(0, true, 0), (4, false, 0), (60, true, 0)]), "not counted while no majority can work");
        assert!(matches!(writes(&[(0, true, 0), (60, false, 0)]), Shows::Nothing(_)));
    }
}

//! Whose disk has less room than its floor, and whether new orders are taken in.
//!
//! What is committed is written to every voter's disk, so new orders must stop before a majority of the disks is full: what is left is
//! for the payments, stamps and refunds of what is ordered. Each node looks at its own disk, and tells with each answer to an append
//! and to a vote whether it is low; the leader decides for all, and tells with each append. A node that does not tell is not low:
//! it is of a version that does not know of it.
//!
//! Left to others: what a disk's floor is (`operations::disk_floor`), looking again and again (`floor_watch`), and a disk that is
//! full all the same, which ends its node (`FirstFailure`).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::limits;

#[derive(Debug, Default)]
pub(super) struct LowDisks {
    own: AtomicBool,
    /// Peers that said so with their last answer, at any time: a disk gets no room while its node is away, or the node tells it
    /// when it is back.
    peers: Mutex<BTreeSet<u64>>,
    /// What the leader last said of new orders: twice its term, and one more if it refuses them.
    word: AtomicU64,
}

impl LowDisks {
    pub(super) fn set_own(&self, is_low: bool) {
        self.own.store(is_low, Ordering::Relaxed);
    }

    pub(super) fn own(&self) -> bool {
        self.own.load(Ordering::Relaxed)
    }

    /// `peer` answered.
    pub(super) fn heard(&self, peer: u64, is_low: bool) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if is_low {
            peers.insert(peer)
        } else {
            peers.remove(&peer)
        };
    }

    pub(super) fn peer(&self, peer: u64) -> bool {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }

    /// The leader of `term`, which may be this node, refuses new orders or does not. Of an earlier term it no longer counts.
    /// True if it said otherwise before.
    pub(super) fn told(&self, term: u64, refuses: bool) -> bool {
        let word = (term << 1) | u64::from(refuses);
        let before = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| (term >= (old >> 1)).then_some(word));
        before.is_ok_and(|before| before & 1 != word & 1)
    }

    /// The term whose leader refuses new orders.
    pub(super) fn refused_in(&self) -> Option<u64> {
        let word = self.word.load(Ordering::Relaxed);
        (word & 1 == 1).then_some(word >> 1)
    }
}

/// A voter, as its leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Voter {
    pub(super) node_id: u64,
    pub(super) is_low: bool,
    /// It has answered lately; so has the leader.
    pub(super) is_heard: bool,
    /// Log entries that it may lack.
    pub(super) lag: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    TakeOrders,
    RefuseOrders,
    HandOverTo(u64),
}

/// What a leader does about new orders, and about its office. One that is silent may be low by the time it is back: those that
/// answer must have the room. `may_hand_over`: it has not tried lately.
pub(super) fn judge(me: u64, voters: &[Voter], may_hand_over: bool) -> Verdict {
    if !voters.iter().any(|voter| voter.is_low) {
        return Verdict::TakeOrders;
    }
    let with_room: Vec<&Voter> = voters.iter().filter(|voter| voter.is_heard && !voter.is_low).collect();
    // A majority is more than half of them.
    if with_room.len() <= voters.len() / 2 {
        return Verdict::RefuseOrders;
    }
    if with_room.iter().any(|voter| voter.node_id == me) {
        return Verdict::TakeOrders;
    }
    let able = with_room.iter().filter(|voter| voter.lag <= limits::TRANSFER_LAG_ENTRIES_MAX);
    match able.min_by_key(|voter| voter.lag) {
        Some(voter) if may_hand_over => Verdict::HandOverTo(voter.node_id),
        _ => Verdict::RefuseOrders,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u64 = 1;
    const BEHIND: u64 = limits::TRANSFER_LAG_ENTRIES_MAX + 1;

    fn voter(node_id: u64, is_low: bool) -> Voter {
        Voter { node_id, is_low, is_heard: true, lag: 0 }
    }

    /// `low` of as many voters as it is long, this node first.
    fn voters<const N: usize>(low: [bool; N]) -> [Voter; N] {
        let mut node_id = 0;
        low.map(|is_low| {
            node_id += 1;
            voter(node_id, is_low)
        })
    }

    #[test]
    fn orders_are_taken_as_long_as_a_majority_with_the_leader_has_room() {
        for (low, expected) in [
            ([false, false, false], Verdict::TakeOrders),
            ([false, true, false], Verdict::TakeOrders),
            ([true, false, false], Verdict::HandOverTo(2)),
            ([false, true, true], Verdict::RefuseOrders),
            ([true, true, false], Verdict::RefuseOrders),
            ([true, true, true], Verdict::RefuseOrders),
        ] {
            assert_eq!(judge(ME, &voters(low), true), expected, "{low:?}");
        }
        assert_eq!(judge(ME, &voters([true]), true), Verdict::RefuseOrders, "who is alone has nobody to hand over to");
        assert_eq!(judge(ME, &voters([false, true, true, false, false]), true), Verdict::TakeOrders);
        assert_eq!(judge(ME, &voters([false, true]), true), Verdict::RefuseOrders, "of two, both are the majority");
    }

    #[test]
    fn a_leader_hands_over_to_one_that_answers_has_room_and_lacks_least() {
        let behind = Voter { lag: BEHIND, ..voter(2, false) };
        assert_eq!(judge(ME, &[voter(ME, true), behind, voter(3, false)], true), Verdict::HandOverTo(3));
        let slow = Voter { lag: 5, ..voter(2, false) };
        assert_eq!(judge(ME, &[voter(ME, true), slow, voter(3, false)], true), Verdict::HandOverTo(3));
        let both_behind = [voter(ME, true), behind, Voter { node_id: 3, ..behind }];
        assert_eq!(judge(ME, &both_behind, true), Verdict::RefuseOrders);
        assert_eq!(judge(ME, &voters([true, false, false]), false), Verdict::RefuseOrders, "it tried a moment ago");
    }

    #[test]
    fn who_is_silent_lends_no_room_but_is_missed_only_when_another_is_low() {
        let silent = Voter { is_heard: false, ..voter(2, false) };
        assert_eq!(judge(ME, &[voter(ME, false), silent, voter(3, true)], true), Verdict::RefuseOrders);
        assert_eq!(judge(ME, &[voter(ME, false), silent, voter(3, false)], true), Verdict::TakeOrders);
    }

    #[test]
    fn the_word_of_an_earlier_leader_no_longer_counts() {
        let disks = LowDisks::default();
        assert_eq!(disks.refused_in(), None);
        assert!(disks.told(5, true));
        assert!(!disks.told(5, true), "nothing new");
        assert!(!disks.told(4, false), "of an earlier term");
        assert_eq!(disks.refused_in(), Some(5));
        assert!(disks.told(6, false));
        assert!(!disks.told(5, true), "of an earlier term");
        assert_eq!(disks.refused_in(), None);
    }

    #[test]
    fn a_peer_is_low_until_it_says_otherwise() {
        let disks = LowDisks::default();
        assert!(!disks.peer(2));
        disks.heard(2, true);
        assert!(disks.peer(2) && !disks.peer(3));
        disks.heard(2, false);
        assert!(!disks.peer(2));
    }
}

//! What a cluster knows of its members beyond who they are: which ids are spent, and by which tokens new nodes may join.
//!
//! It is the cluster's state, not the ledger's: the domain does not know of it. It stands beside the membership in the ledger's
//! meta, changes with the log like all that is replicated, and its commands leave audit records, outcomes included.
//!
//! - An id is minted here, once, and is below `next_node_id` from then on: it is never given again.
//! - The id of a node that was admitted and is no member yet is neither of a member nor of one that was removed.

use std::collections::BTreeMap;

use crate::domain::LedgerTime;
use crate::limits;
use crate::storage::{AppliedMembership, Membership};

/// Chosen by whoever asks for the token.
pub type TokenId = [u8; 16];
/// What a node without an id calls itself.
pub type Joiner = [u8; 16];

/// Beside the domain's commands, in entries of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterCommand {
    /// `secret`: BLAKE3 of what a node has to present.
    IssueToken {
        token: TokenId,
        secret: [u8; 32],
        valid_for_ms: u64,
    },
    AdmitNode {
        token: TokenId,
        joiner: Joiner,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterOutcome {
    TokenIssued { expires_at: LedgerTime },
    NodeAdmitted { node_id: u64 },
    Refused(ClusterRefusal),
}

/// In order of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClusterRefusal {
    #[error("no such token: it was never issued, has expired, or its node has got its vote or was removed")]
    TokenUnknown,
    #[error("the token has admitted another node, or stands for another secret: a token is for one")]
    TokenUsed,
    #[error("the token has expired")]
    TokenExpired,
    #[error("{} tokens are open: let some expire", limits::JOIN_TOKENS_MAX)]
    TokensFull,
    #[error("all node ids are spent")]
    IdsExhausted,
}

impl ClusterRefusal {
    pub const ALL: [Self; 5] = [Self::TokenUnknown, Self::TokenUsed, Self::TokenExpired, Self::TokensFull, Self::IdsExhausted];

    /// As it is stored and told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenUnknown => "TOKEN_UNKNOWN",
            Self::TokenUsed => "TOKEN_USED",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TokensFull => "TOKENS_FULL",
            Self::IdsExhausted => "IDS_EXHAUSTED",
        }
    }
}

/// See the module's comment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// Every id that was given since the first change of the membership is below; 0 before that.
    pub next_node_id: u64,
    pub tokens: BTreeMap<TokenId, Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub secret: [u8; 32],
    pub expires_at: LedgerTime,
    pub admitted: Option<Admitted>,
}

/// Who joined by a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    pub joiner: Joiner,
    pub node_id: u64,
    /// It has been in a membership: when it no longer is, it was removed.
    pub was_member: bool,
}

impl ClusterState {
    /// Before every other effect of the entry but its time, which `now` is.
    pub(super) fn apply(
        &mut self,
        command: &ClusterCommand,
        membership: Option<&AppliedMembership>,
        now: LedgerTime,
    ) -> ClusterOutcome {
        // At its expiry a token is good no more. Who was admitted and is no member yet may ask again for a while.
        let is_awaited = |token: &Token| token.admitted.is_some_and(|admitted| !admitted.was_member);
        let forgotten_at = |token: &Token| match is_awaited(token) {
            true => token.expires_at.0.saturating_add(limits::JOIN_TOKEN_VALID_MS_MAX),
            false => token.expires_at.0,
        };
        self.tokens.retain(|_, token| forgotten_at(token) > now.0);
        let outcome = match *command {
            ClusterCommand::IssueToken { token, secret, valid_for_ms } => self.issue(token, secret, valid_for_ms, now),
            ClusterCommand::AdmitNode { token, joiner } => self.admit(token, joiner, membership, now),
        };
        outcome.unwrap_or_else(ClusterOutcome::Refused)
    }

    fn issue(
        &mut self,
        token: TokenId,
        secret: [u8; 32],
        valid_for_ms: u64,
        now: LedgerTime,
    ) -> Result<ClusterOutcome, ClusterRefusal> {
        let told = |token: &Token| ClusterOutcome::TokenIssued { expires_at: token.expires_at };
        if let Some(issued) = self.tokens.get(&token) {
            return if issued.secret == secret { Ok(told(issued)) } else { Err(ClusterRefusal::TokenUsed) };
        }
        if self.tokens.len() >= limits::JOIN_TOKENS_MAX {
            return Err(ClusterRefusal::TokensFull);
        }
        let issued = Token { secret, expires_at: LedgerTime(now.0.saturating_add(valid_for_ms)), admitted: None };
        self.tokens.insert(token, issued);
        Ok(told(&issued))
    }

    fn admit(
        &mut self,
        token: TokenId,
        joiner: Joiner,
        membership: Option<&AppliedMembership>,
        now: LedgerTime,
    ) -> Result<ClusterOutcome, ClusterRefusal> {
        let node_id = self.next_node_id(membership);
        let token = self.tokens.get_mut(&token).ok_or(ClusterRefusal::TokenUnknown)?;
        let node_id = match token.admitted {
            // Also after the expiry: it has its id, and may not have heard of it.
            Some(admitted) if admitted.joiner == joiner => admitted.node_id,
            Some(_) => return Err(ClusterRefusal::TokenUsed),
            // At the very moment of the expiry it is over.
            None if token.expires_at <= now => return Err(ClusterRefusal::TokenExpired),
            None if node_id > limits::NODE_ID_MAX => return Err(ClusterRefusal::IdsExhausted),
            None => {
                token.admitted = Some(Admitted { joiner, node_id, was_member: false });
                self.next_node_id = node_id + 1;
                node_id
            }
        };
        Ok(ClusterOutcome::NodeAdmitted { node_id })
    }

    /// A new membership takes the place of `before`.
    pub(super) fn membership_changes(&mut self, before: Option<&AppliedMembership>, after: &Membership) {
        // The first one, that of `init`, leaves no record: ledgers without a change stay as they were in format 3.
        if before.is_some_and(|before| before.membership.is_some()) {
            self.next_node_id = self.next_node_id(before).max(above_all(after));
        }
        let is_member = |id: u64| after.nodes.iter().any(|node| node.node_id == id);
        let is_voter = |id: u64| after.voter_sets.iter().any(|set| set.node_ids.contains(&id));
        self.tokens.retain(|_, token| {
            let Some(admitted) = &mut token.admitted else { return true };
            let stays = is_member(admitted.node_id);
            let was_removed = admitted.was_member && !stays;
            admitted.was_member |= stays;
            // Who has a vote may have used it: whoever asks for that id once more has lost its disk, and must not get it again.
            !was_removed && !is_voter(admitted.node_id)
        });
    }

    /// Above every id that was ever given.
    #[must_use]
    pub fn next_node_id(&self, membership: Option<&AppliedMembership>) -> u64 {
        let members = membership.and_then(|applied| applied.membership.as_ref()).map_or(1, above_all);
        self.next_node_id.max(members)
    }

    /// Whether the id was a member's and is none's any more: it never will be again.
    #[must_use]
    pub fn was_removed(&self, node_id: u64, membership: Option<&AppliedMembership>) -> bool {
        let nodes = membership.and_then(|applied| applied.membership.as_ref()).map_or(&[][..], |membership| &membership.nodes);
        let is_member = nodes.iter().any(|node| node.node_id == node_id);
        let is_awaited = self.tokens.values().any(|token| token.admitted.is_some_and(|admitted| admitted.node_id == node_id));
        // With gaps between the ids of `init`, one that nobody ever had counts as removed: nobody may have it.
        !is_member && !is_awaited && !nodes.is_empty() && (1..self.next_node_id(membership)).contains(&node_id)
    }
}

fn above_all(membership: &Membership) -> u64 {
    membership.nodes.iter().map(|node| node.node_id).max().map_or(1, |highest| highest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::storage::{MemberNode, VoterSet};

    const NOW: LedgerTime = LedgerTime(1_000);

    fn of(ids: &[u64]) -> Membership {
        let nodes = ids.iter().map(|id| MemberNode { node_id: *id, ..MemberNode::default() }).collect();
        Membership { voter_sets: vec![VoterSet { node_ids: ids.to_vec() }], nodes }
    }

    fn applied(ids: &[u64]) -> AppliedMembership {
        AppliedMembership { position: None, membership: Some(of(ids)) }
    }

    fn issue(token: u8) -> ClusterCommand {
        ClusterCommand::IssueToken { token: [token; 16], secret: [token; 32], valid_for_ms: 500 }
    }

    fn admit(token: u8, joiner: u8) -> ClusterCommand {
        ClusterCommand::AdmitNode { token: [token; 16], joiner: [joiner; 16] }
    }

    fn admitted(node_id: u64) -> ClusterOutcome {
        ClusterOutcome::NodeAdmitted { node_id }
    }

    #[test]
    fn an_id_is_minted_once_for_one_node_and_told_again_to_the_same() {
        let (mut state, three) = (ClusterState::default(), applied(&[1, 2, 3]));
        let mut apply = |command, at| state.apply(&command, Some(&three), at);
        let refused = ClusterOutcome::Refused;
        assert_eq!(apply(admit(1, 1), NOW), refused(ClusterRefusal::TokenUnknown));
        let issued = ClusterOutcome::TokenIssued { expires_at: LedgerTime(1_500) };
        assert_eq!([apply(issue(1), NOW), apply(issue(1), LedgerTime(1_100))], [issued; 2]);
        assert_eq!([apply(admit(1, 1), NOW), apply(admit(1, 1), NOW)], [admitted(4); 2]);
        assert_eq!(apply(admit(1, 2), NOW), refused(ClusterRefusal::TokenUsed));
        apply(issue(2), NOW);
        assert_eq!(apply(admit(2, 2), NOW), admitted(5), "while 4 is not a member yet");
        apply(issue(3), NOW);
        assert_eq!(apply(admit(3, 3), LedgerTime(1_500)), refused(ClusterRefusal::TokenUnknown), "it has expired and is gone");
        assert_eq!(apply(admit(1, 1), LedgerTime(9_000)), admitted(4), "it may not have heard of it yet");
    }

    #[test]
    fn the_id_of_a_removed_member_is_never_minted_again() {
        let mut state = ClusterState::default();
        state.membership_changes(None, &of(&[1, 2, 3]));
        assert_eq!(state, ClusterState::default(), "as in format 3");
        state.membership_changes(Some(&applied(&[1, 2, 3])), &of(&[1, 2]));
        let two = applied(&[1, 2]);
        assert!(state.was_removed(3, Some(&two)) && !state.was_removed(2, Some(&two)) && !state.was_removed(4, Some(&two)));
        state.apply(&issue(1), Some(&two), NOW);
        assert_eq!(state.apply(&admit(1, 1), Some(&two), NOW), admitted(4));
        assert!(!state.was_removed(4, Some(&two)), "it is on its way");
        let with_learner = Membership { nodes: of(&[1, 2, 4]).nodes, ..of(&[1, 2]) };
        state.membership_changes(Some(&two), &with_learner);
        state.membership_changes(Some(&applied(&[1, 2, 4])), &of(&[1, 2]));
        assert!(state.was_removed(4, Some(&two)));
        assert_eq!(state.apply(&admit(1, 1), Some(&two), NOW), ClusterOutcome::Refused(ClusterRefusal::TokenUnknown));
        state.apply(&issue(2), Some(&two), NOW);
        assert_eq!(state.apply(&admit(2, 1), Some(&two), NOW), admitted(5));
    }

    #[test]
    fn who_has_a_vote_is_not_told_its_id_again() {
        let (mut state, three) = (ClusterState::default(), applied(&[1, 2, 3]));
        state.apply(&issue(1), Some(&three), NOW);
        assert_eq!(state.apply(&admit(1, 1), Some(&three), NOW), admitted(4));
        let with_learner = Membership { nodes: of(&[1, 2, 3, 4]).nodes, ..of(&[1, 2, 3]) };
        state.membership_changes(Some(&three), &with_learner);
        let four = AppliedMembership { position: None, membership: Some(with_learner) };
        assert_eq!(state.apply(&admit(1, 1), Some(&four), NOW), admitted(4), "a learner");
        // Already while the change is joint.
        let joint = Membership {
            voter_sets: [of(&[1, 2, 3]), of(&[1, 2, 4])].map(|of| of.voter_sets[0].clone()).into(),
            ..of(&[1, 2, 3, 4])
        };
        state.membership_changes(Some(&four), &joint);
        let refused = ClusterOutcome::Refused(ClusterRefusal::TokenUnknown);
        assert_eq!(state.apply(&admit(1, 1), Some(&four), NOW), refused);
    }

    #[test]
    fn open_tokens_are_bounded_and_make_room_when_they_expire() {
        let (mut state, three) = (ClusterState::default(), applied(&[1, 2, 3]));
        let most = u8::try_from(limits::JOIN_TOKENS_MAX).unwrap();
        for token in 0..most {
            assert!(matches!(state.apply(&issue(token), Some(&three), NOW), ClusterOutcome::TokenIssued { .. }));
        }
        let full = ClusterOutcome::Refused(ClusterRefusal::TokensFull);
        assert_eq!(state.apply(&issue(most), Some(&three), NOW), full);
        let later = LedgerTime(1_500);
        assert_eq!(
            state.apply(&issue(most), Some(&three), later),
            ClusterOutcome::TokenIssued { expires_at: LedgerTime(2_000) }
        );
        assert_eq!(state.tokens.len(), 1);
    }
}

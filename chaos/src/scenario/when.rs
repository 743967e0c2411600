//! Faults that fire when the product is in a state, not at a moment: `[[faults.when]]`.
//!
//! A state is what the leader says of itself (`GetStatus`), so that a fault can find the moment that is worst: while orders wait for
//! their payment, while a replica lacks what only a snapshot can give it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CrashPoint, FaultKind, Limit, Packets, Parameters, Span};
use crate::proto::admin::{GetStatusResponse, Member};

/// A condition, and the faults that fire when it is true. These may overlap; those of two conditions never do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultsWhen {
    /// So often at most.
    pub times: u32,
    /// So often all of its faults must have landed, or the run is inconclusive.
    #[serde(default = "once")]
    pub required: u32,
    /// It fires within this from the beginning of the phase. Without it: as long as there is time to undo its faults.
    pub within: Option<Span>,
    /// It fires so long after any other fault was undone, at the earliest.
    #[serde(default)]
    pub apart: Span,
    pub state: State,
    /// In the order in which they fire.
    pub faults: Vec<FaultWhen>,
}

const fn once() -> u32 {
    1
}

impl FaultsWhen {
    /// From its firing until the last of its faults is undone, as planned.
    #[must_use]
    pub fn length(&self) -> Span {
        let ends = self.fire_after().zip(&self.faults).map(|(at, fault)| at.get() + fault.lasts.get());
        ends.max().unwrap_or_default().into()
    }

    /// When each of its faults fires, from the moment at which the condition became true.
    pub fn fire_after(&self) -> impl Iterator<Item = Span> {
        self.faults.iter().scan(Span::default(), |at, fault| {
            *at = (at.get() + fault.after.get()).into();
            Some(*at)
        })
    }

    /// The last moment of the phase at which it may fire.
    #[must_use]
    pub fn fires_within(&self, phase: Span) -> Span {
        self.within.unwrap_or_else(|| phase.get().saturating_sub(self.length().get()).into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FaultWhen {
    pub kind: FaultKind,
    /// Behind the firing of the one before it.
    #[serde(default)]
    pub after: Span,
    pub lasts: Span,
    pub delay: Option<Span>,
    pub packets: Option<Packets>,
    pub offset: Option<Span>,
    pub point: Option<CrashPoint>,
    pub limit: Option<Limit>,
}

impl FaultWhen {
    #[must_use]
    pub const fn parameters(&self) -> Parameters {
        let Self { delay, packets, offset, point, limit, .. } = *self;
        Parameters { delay, packets, offset, point, limit }
    }
}

/// All of these at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct State(pub BTreeMap<Measure, Threshold>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    pub at_least: u64,
    /// Once it has fired, it fires again only after the measure was below this; without it, also if it just stays.
    pub again_below: Option<u64>,
}

/// What a leader says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    OrdersAwaitingPayment,
    OrdersIssued,
    /// Payments that are owed back and not settled.
    RefundsDue,
    /// Committed, and not applied.
    EntriesToApply,
    /// Applied since its last snapshot.
    EntriesSinceSnapshot,
    /// Of its log, what the voter lacks that is furthest behind.
    EntriesBehind,
    /// Members that lack what the leader has purged: only a snapshot can bring them up.
    MembersNeedSnapshot,
    Term,
}

impl Measure {
    #[must_use]
    pub fn of(self, leader: &GetStatusResponse) -> u64 {
        let totals = leader.totals.unwrap_or_default();
        // (Of whom a new leader has not heard yet, nothing is known.)
        let others = || leader.members.iter().filter(|member| member.node_id != leader.node_id && member.matched_index > 0);
        match self {
            Self::OrdersAwaitingPayment => totals.orders_awaiting_payment,
            Self::OrdersIssued => totals.orders_issued,
            Self::RefundsDue => totals.refunds_due,
            Self::EntriesToApply => leader.committed_index.saturating_sub(leader.applied_index),
            Self::EntriesSinceSnapshot => leader.applied_index.saturating_sub(leader.snapshot_index),
            Self::EntriesBehind => {
                let lacks = |member: &Member| leader.last_log_index.saturating_sub(member.matched_index);
                others().filter(|member| member.voter).map(lacks).max().unwrap_or_default()
            }
            Self::MembersNeedSnapshot => others().filter(|member| member.matched_index < leader.purged_index).map(|_| 1).sum(),
            Self::Term => leader.term,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::OrdersAwaitingPayment => "orders_awaiting_payment",
            Self::OrdersIssued => "orders_issued",
            Self::RefundsDue => "refunds_due",
            Self::EntriesToApply => "entries_to_apply",
            Self::EntriesSinceSnapshot => "entries_since_snapshot",
            Self::EntriesBehind => "entries_behind",
            Self::MembersNeedSnapshot => "members_need_snapshot",
            Self::Term => "term",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (measure, threshold)) in self.0.iter().enumerate() {
            let and = if at > 0 { " and " } else { "" };
            write!(f, "{and}{} >= {}", measure.name(), threshold.at_least)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::Totals;

    #[test]
    fn each_measure_is_what_the_leader_says_of_itself() {
        let member = |node_id, matched_index, voter| Member { node_id, matched_index, voter, ..Member::default() };
        let leader = GetStatusResponse {
            node_id: 1,
            term: 7,
            last_log_index: 1_000,
            committed_index: 990,
            applied_index: 970,
            snapshot_index: 900,
            purged_index: 850,
            // Two is behind the log, four is a learner, and of five nothing is known.
            members: vec![
                member(1, 1_000, true),
                member(2, 840, true),
                member(3, 980, true),
                member(4, 10, false),
                member(5, 0, true),
            ],
            totals: Some(Totals { orders_awaiting_payment: 50, orders_issued: 60, refunds_due: 3, ..Totals::default() }),
            ..GetStatusResponse::default()
        };
        for (measure, expected) in [
            (Measure::OrdersAwaitingPayment, 50),
            (Measure::OrdersIssued, 60),
            (Measure::RefundsDue, 3),
            (Measure::EntriesToApply, 20),
            (Measure::EntriesSinceSnapshot, 70),
            (Measure::EntriesBehind, 160),
            (Measure::MembersNeedSnapshot, 2),
            (Measure::Term, 7),
        ] {
            assert_eq!(measure.of(&leader), expected, "{}", measure.name());
            assert_eq!(toml::Value::try_from(measure).unwrap().as_str(), Some(measure.name()), "as scenarios write it");
        }
    }

    #[test]
    fn faults_fire_one_behind_the_other_and_are_undone_with_the_last() {
        let fault = |after, lasts| FaultWhen {
            kind: FaultKind::PauseLeader,
            after: Span::from_millis(after),
            lasts: Span::from_millis(lasts),
            delay: None,
            packets: None,
            offset: None,
            point: None,
            limit: None,
        };
        let faults = vec![fault(0, 2_000), fault(300, 100), fault(300, 500)];
        let when = FaultsWhen { times: 1, required: 1, within: None, apart: Span::default(), state: State::default(), faults };
        assert_eq!(when.fire_after().map(Span::ms).collect::<Vec<_>>(), [0, 300, 600]);
        assert_eq!((when.length().ms(), when.fires_within(Span::from_millis(9_000)).ms()), (2_000, 7_000));
    }
}

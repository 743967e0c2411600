//! V9: *refused* and *not done* really had no effect.
//!
//! Every effect in the log must come from a call that may have caused it: one that was answered as the first execution at
//! that place, or one whose outcome is unknown. If all calls that can have caused it said *refused*, *not done* or *already
//! there*, then one of them said so wrongly.

use super::idempotence::NaturalId;
use super::replay::outcome_text;
use super::{Case, Finding, Op};
use crate::history::{Outcome, Place};
use crate::model::LoggedCommand;

#[must_use]
pub fn refused_had_no_effect(case: &Case) -> Finding {
    let mut finding = Finding::new("V9", "refused and not done really had no effect");
    let evidence = case.evidence;
    if let Some(hole) = &evidence.log.hole {
        finding.unsure(hole.clone());
    }
    let heights = Heights::of(&evidence.ops);
    for (index, entry) in (evidence.log.first_index..).zip(&evidence.log.entries) {
        for (offset, command) in (0..).zip(&entry.commands) {
            let LoggedCommand::Client(request) = command else { continue };
            let place = Place { log_index: index, offset };
            let Some((_, reply)) = case.replay.at(&evidence.log, place) else { continue };
            if reply.replayed || !reply.answer.has_effect() {
                continue;
            }
            let Some(id) = NaturalId::of(request) else { continue };
            let calls: Vec<&Op> = match case.groups.get(&id) {
                Some(group) => group.iter().copied().filter(|op| op.invoke.request == *request).collect(),
                None => Vec::new(),
            };
            finding.checked += 1;
            if calls.iter().any(|op| may_have_caused(op, place, &heights)) {
                continue;
            }
            let ops: Vec<u64> = calls.iter().map(|op| op.id()).collect();
            finding.violated(&ops, Some(index), || match calls.iter().find_map(|op| denied(op)) {
                Some(text) => format!("the effect at {place} comes from a call that was answered: {text}"),
                None if calls.is_empty() => format!("nobody asked for the effect at {place}"),
                None => format!("no call says that it caused the effect at {place}"),
            });
        }
    }
    finding.checked += evidence.ops.iter().filter(|op| denied(op).is_some()).count() as u64;
    finding.or_unsure_if_empty("the log holds no effect and no call was refused")
}

/// A node repeats a call at the next leader when the one before was lost, so a call may be answered as the replay of itself.
/// It cannot be if the effect's index had been answered to somebody before the call was made.
fn may_have_caused(op: &Op, place: Place, heights: &Heights) -> bool {
    match op.known().map(|answer| &answer.outcome) {
        None => true,
        Some(Outcome::Written(written)) => {
            written.receipt.place == place && (!written.receipt.replayed || place.log_index > heights.before(op.invoke.at_ns))
        }
        Some(_) => false,
    }
}

/// How far the log was known to reach, over time.
struct Heights(Vec<(u64, u64)>);

impl Heights {
    fn of(ops: &[Op]) -> Self {
        let height = |op: &Op| {
            let answer = op.answers.first()?;
            match &answer.outcome {
                Outcome::Written(written) => Some((answer.at_ns, written.receipt.place.log_index)),
                _ => None,
            }
        };
        let mut heights: Vec<(u64, u64)> = ops.iter().filter_map(height).collect();
        heights.sort_unstable();
        let mut highest = 0;
        for (_, index) in &mut heights {
            highest = highest.max(*index);
            *index = highest;
        }
        Self(heights)
    }

    /// The highest index that had been answered before `at_ns`; 0 if none.
    fn before(&self, at_ns: u64) -> u64 {
        let count = self.0.partition_point(|(answered_ns, _)| *answered_ns < at_ns);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

fn denied(op: &Op) -> Option<String> {
    let outcome = &op.known()?.outcome;
    matches!(outcome, Outcome::Refused { .. } | Outcome::NotDone { .. }).then(|| outcome_text(outcome))
}

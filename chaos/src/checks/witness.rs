//! V11: linearizable, shown by a witness.
//!
//! Each answer carries its place in the log (a read the index that it is good for), so the order is known and need only be
//! confirmed: one place is one call; a call made now stands above everything that was answered before; and the model, run in
//! that order, answers the same. If all of that holds, the log's order *is* a linearization. Calls without an answer are in
//! the log or never happened; the log says which, so nothing is searched. (A mistake in this reasoning would show in
//! [`super::search`], which knows nothing of places.)

use super::differences::answer_difference;
use super::{Case, Evidence, Finding, Replay, search};
use crate::evidence::Command;
use crate::hash::Map;
use crate::history::{Outcome, Place, ReadAnswer, Written};

pub(super) fn finding() -> Finding {
    Finding::new("V11", "linearizable: the log's order explains every answer")
}

/// Of the lot: each answer beside the command at its place. (Their order in real time is [`super::sweep`]'s.)
#[must_use]
pub fn linearizable(case: &Case) -> Finding {
    let mut finding = finding();
    places(case, &mut finding);
    reads_have_a_mark(case, &mut finding);
    executed_as_often_as_answered(case, &mut finding);
    search::orders_can_be_explained(&case.lot.ops, &mut finding);
    finding
}

/// Each read beside the model at its index.
#[must_use]
pub fn reads_fit(evidence: &Evidence, replay: &Replay) -> Finding {
    let mut finding = finding();
    if let Some(hole) = &evidence.log.hole {
        finding.unsure(hole.clone());
    }
    finding.checked += replay.reads_checked;
    if replay.reads_checked == 0 && evidence.moments.iter().any(|moment| !moment.is_write()) {
        finding.unsure("reads were sent, and none of them could be checked");
    }
    for (op, index, fault) in &replay.read_faults {
        finding.violated(&[*op], Some(*index), || fault.clone());
    }
    finding.doubt(replay.reads_beyond, "reads are good for an index beyond the exported log");
    finding.unsure_if_empty("nothing was answered")
}

/// The place of an answer, and whether it says that it was the first there.
fn place_of(outcome: &Outcome) -> Option<(Place, bool)> {
    match outcome {
        Outcome::Written(written) => Some((written.receipt.place, !written.receipt.replayed)),
        Outcome::Refused { place: Some(place), .. } => Some((*place, true)),
        _ => None,
    }
}

/// Replicas applied more than was exported: the tool stopped too early, the system did nothing wrong.
fn log_is_short(evidence: &Evidence) -> bool {
    let scanned = evidence.scans.values().map(|scan| scan.header.applied_index);
    let sampled = evidence.statuses.iter().map(|sample| sample.applied_index);
    evidence.log.hole.is_some() || scanned.chain(sampled).max().is_some_and(|applied| evidence.log.last_index() < applied)
}

/// One place, one call; and what stands there is what was asked and answered.
fn places(case: &Case, finding: &mut Finding) {
    let log = &case.evidence.log;
    let is_short = log_is_short(case.evidence);
    let mut firsts: Vec<(Place, u64)> = Vec::new();
    let mut beyond = 0;
    for op in &case.lot.ops {
        for answer in &op.answers {
            let Some((place, first)) = place_of(&answer.outcome) else { continue };
            finding.checked += 1;
            if first {
                firsts.push((place, op.id()));
            }
            match case.lot.at(place) {
                None if log.holds(place) => finding.violated(&[op.id()], Some(place.log_index), || {
                    format!("{:?} was answered at {place}, where something else stands", op.invoke.request)
                }),
                None if is_short => beyond += 1,
                None => finding.violated(&[op.id()], Some(place.log_index), || {
                    format!("it was answered at {place}, and nothing stands there")
                }),
                Some(Command { request, .. }) if *request != op.invoke.request => {
                    finding.violated(&[op.id()], Some(place.log_index), || {
                        format!("{:?} was answered at {place}, where {request:?} stands", op.invoke.request)
                    });
                }
                Some(Command { reply, .. }) => {
                    // A second execution in the log is a replay there; its answer then names the first place, not this one.
                    let fault = if reply.replayed {
                        Some(format!("it was answered as the first execution at {place}, which is a replay of {}", reply.place))
                    } else {
                        answer_difference(&reply.answer, &answer.outcome)
                    };
                    if let Some(fault) = fault {
                        finding.violated(&[op.id()], Some(place.log_index), || fault);
                    }
                }
            }
        }
    }
    finding.doubt(beyond, "answers lie outside the exported log");
    firsts.sort_unstable();
    firsts.dedup();
    for pair in firsts.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let place = pair[0].0;
        finding.violated(&[pair[0].1, pair[1].1], Some(place.log_index), || format!("two calls were answered at {place}"));
    }
}

/// A read says what it is good for. Only a forged code is told without a read.
fn reads_have_a_mark(case: &Case, finding: &mut Finding) {
    for op in &case.lot.ops {
        for answer in &op.answers {
            if let Outcome::Read(read) = &answer.outcome
                && read.read_index.is_none()
                && read.answer != ReadAnswer::SerialForged
            {
                finding.violated(&[op.id()], None, || "a read does not say which log index it is good for".into());
            }
        }
    }
}

/// Who is answered as a replay was executed again: the log has an execution for each such call.
fn executed_as_often_as_answered(case: &Case, finding: &mut Finding) {
    if log_is_short(case.evidence) {
        return;
    }
    let mut replays: Map<Place, Vec<u64>> = Map::default();
    for op in &case.lot.ops {
        if let Some(Outcome::Written(Written { receipt, .. })) = op.known().map(|answer| &answer.outcome)
            && receipt.replayed
        {
            replays.entry(receipt.place).or_default().push(op.id());
        }
    }
    let mut executed_again: Map<Place, usize> = Map::default();
    for command in case.lot.commands.iter().filter(|command| command.reply.replayed) {
        *executed_again.entry(command.reply.place).or_default() += 1;
    }
    for (place, ops) in replays {
        finding.checked += 1;
        let again = executed_again.get(&place).copied().unwrap_or(0);
        if ops.len() > again {
            finding.violated(&ops, Some(place.log_index), || {
                format!("{} calls were answered as replays of {place}, which the log executes again {again} times", ops.len())
            });
        }
    }
}

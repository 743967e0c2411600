//! V11: linearizable, shown by a witness.
//!
//! Each answer carries its place in the log (a read the index that it is good for), so the order is known and need only be
//! confirmed: one place is one call; a call made now stands above everything that was answered before; and the model, run in
//! that order, answers the same. If all of that holds, the log's order *is* a linearization. Calls without an answer are in
//! the log or never happened; the log says which, so nothing is searched. (A mistake in this reasoning would show in
//! [`super::search`], which knows nothing of places.)

use super::differences::answer_difference;
use super::{Case, Evidence, Finding, Op, is_linearizable, search};
use crate::hash::Map;
use crate::history::{Outcome, Place, ReadAnswer, Written};
use crate::model::LoggedCommand;

#[must_use]
pub fn linearizable(case: &Case) -> Finding {
    let mut finding = Finding::new("V11", "linearizable: the log's order explains every answer");
    let log = &case.evidence.log;
    if let Some(hole) = &log.hole {
        finding.unsure(hole.clone());
    }
    places(case, &mut finding);
    sweep(case, &mut finding);
    finding.checked += case.replay.reads_checked;
    if case.replay.reads_checked == 0 && case.evidence.ops.iter().any(|op| !op.invoke.request.is_write()) {
        finding.unsure("reads were sent, and none of them could be checked");
    }
    reads_have_a_mark(case, &mut finding);
    executed_as_often_as_answered(case, &mut finding);
    for (op, index, fault) in &case.replay.read_faults {
        finding.violated(&[*op], Some(*index), || fault.clone());
    }
    if case.replay.reads_beyond > 0 {
        finding.unsure(format!("{} reads are good for an index beyond the exported log", case.replay.reads_beyond));
    }
    search::orders_can_be_explained(case.evidence, &mut finding);
    finding.or_unsure_if_empty("nothing was answered")
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
    for op in &case.evidence.ops {
        for answer in &op.answers {
            let Some((place, first)) = place_of(&answer.outcome) else { continue };
            finding.checked += 1;
            if first {
                firsts.push((place, op.id()));
            }
            match case.replay.at(log, place) {
                None if is_short => beyond += 1,
                None => finding.violated(&[op.id()], Some(place.log_index), || {
                    format!("it was answered at {place}, and nothing stands there")
                }),
                Some((command, _)) if *command != LoggedCommand::Client(op.invoke.request.clone()) => {
                    finding.violated(&[op.id()], Some(place.log_index), || {
                        format!("{:?} was answered at {place}, where {command:?} stands", op.invoke.request)
                    });
                }
                Some((_, reply)) => {
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
    if beyond > 0 {
        finding.unsure(format!("{beyond} answers lie outside the exported log"));
    }
    firsts.sort_unstable();
    firsts.dedup();
    for pair in firsts.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        let place = pair[0].0;
        finding.violated(&[pair[0].1, pair[1].1], Some(place.log_index), || format!("two calls were answered at {place}"));
    }
}

/// A read says what it is good for. Only a forged code is told without a read.
fn reads_have_a_mark(case: &Case, finding: &mut Finding) {
    for op in &case.evidence.ops {
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
    for op in &case.evidence.ops {
        if let Some(Outcome::Written(Written { receipt, .. })) = op.known().map(|answer| &answer.outcome)
            && receipt.replayed
        {
            replays.entry(receipt.place).or_default().push(op.id());
        }
    }
    for (place, ops) in replays {
        finding.checked += 1;
        let again = case.replay.executed_again(place);
        if ops.len() > again as usize {
            finding.violated(&ops, Some(place.log_index), || {
                format!("{} calls were answered as replays of {place}, which the log executes again {again} times", ops.len())
            });
        }
    }
}

struct Event<'a> {
    at_ns: u64,
    is_answer: bool,
    op: &'a Op,
    index: u64,
    kind: Kind,
}

#[derive(PartialEq, Clone, Copy)]
enum Kind {
    /// Executed or refused now: must stand above everything answered before.
    Write,
    /// Must be good for everything answered before.
    Read,
    /// A replay or a weaker read: says that its index exists, and no more.
    Weak,
}

/// In real time: nothing that was answered before a call was made may stand above it.
fn sweep(case: &Case, finding: &mut Finding) {
    let mut events = Vec::with_capacity(case.evidence.ops.len() * 2);
    for op in &case.evidence.ops {
        let Some(known) = op.known() else { continue };
        let (index, kind) = match &known.outcome {
            Outcome::Read(read) => match read.read_index {
                Some(index) if is_linearizable(&op.invoke.request) => (index, Kind::Read),
                Some(index) => (index, Kind::Weak),
                None => continue,
            },
            outcome => match place_of(outcome) {
                Some((place, true)) => (place.log_index, Kind::Write),
                Some((place, false)) => (place.log_index, Kind::Weak),
                None => continue,
            },
        };
        events.push(Event { at_ns: op.invoke.at_ns, is_answer: false, op, index, kind });
        events.push(Event { at_ns: known.at_ns, is_answer: true, op, index, kind });
    }
    // At equal times the call comes first: the two overlap.
    events.sort_unstable_by_key(|event| (event.at_ns, event.is_answer, event.op.id()));
    let mut floor = (0, 0);
    for event in events {
        if event.is_answer {
            floor = floor.max((event.index, event.op.id()));
            continue;
        }
        if floor.1 == 0 || event.kind == Kind::Weak {
            continue;
        }
        finding.checked += 1;
        // Strictly above for a write: commands of one entry were all proposed before any of them was answered.
        let holds = if event.kind == Kind::Write { event.index > floor.0 } else { event.index >= floor.0 };
        if !holds {
            finding.violated(&[floor.1, event.op.id()], Some(event.index), || {
                let what = if event.kind == Kind::Write { "a write stands" } else { "a read is good for" };
                format!("{what} at index {}, and index {} had been answered before it was asked", event.index, floor.0)
            });
        }
    }
}

//! V12: every unknown becomes known within a bound after the heal, by asking with the id that the caller holds.

use crate::hash::Map;

use super::{Case, Finding, Op};
use crate::history::{Outcome, PaymentName, Phase, Request};

/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;

/// What answers the question "what became of it?".
#[derive(PartialEq, Eq, Hash)]
enum Subject<'a> {
    Series([u8; 3]),
    Order([u8; 16]),
    Payment(&'a PaymentName),
}

fn subject(request: &Request) -> Option<Subject<'_>> {
    match request {
        Request::OpenSeries { series, .. } => Some(Subject::Series(*series)),
        Request::PlaceOrder { order, .. } | Request::CancelOrder { order } | Request::GetOrder { order, .. } => {
            Some(Subject::Order(*order))
        }
        Request::RecordPayment { payment, .. } | Request::GetPayment { payment, .. } => Some(Subject::Payment(payment)),
        Request::VerifySerial { .. } => None,
    }
}

#[must_use]
pub fn unknowns_become_known(case: &Case) -> Finding {
    let mut finding = Finding::new("V12", "every unknown becomes known after the heal, by asking with its id");
    let evidence = case.evidence;
    let Some(heal_ns) = evidence.phase_start(Phase::Heal) else {
        finding.unsure("the history has no heal mark");
        return finding;
    };
    let deadline_ns = heal_ns.saturating_add(evidence.facts.bounds.known_within_ms.saturating_mul(MS));
    let mut by_subject: Map<_, Vec<&Op>> = Map::default();
    for op in &evidence.ops {
        if let Some(subject) = subject(&op.invoke.request) {
            by_subject.entry(subject).or_default().push(op);
        }
    }
    for op in &evidence.ops {
        if !op.invoke.request.is_write()
            || op.answers.first().is_some_and(|answer| !matches!(answer.outcome, Outcome::Unknown { .. }))
        {
            continue;
        }
        finding.checked += 1;
        // A late answer of its own, or any answer to a call that was made after this one was given up.
        let asked = subject(&op.invoke.request).and_then(|subject| by_subject.get(&subject)).into_iter().flatten();
        let asked: Vec<&&Op> = asked.filter(|other| other.invoke.at_ns >= op.ended_ns() || other.id() == op.id()).collect();
        let known = asked.iter().filter_map(|other| knowledge(other)).min();
        match known {
            Some(known_ns) if known_ns <= deadline_ns => {}
            Some(known_ns) => finding
                .violated(&[op.id()], None, || format!("it became known {} ms after the heal", (known_ns - heal_ns) / MS)),
            None if asked.len() > 1 => {
                finding.unsure(format!("op {} stayed unknown: it was asked about and nothing answered", op.id()))
            }
            None => finding.unsure(format!("op {} stayed unknown: nobody asked", op.id())),
        }
    }
    finding
}

/// When a call told what is so. *Not done* tells nothing of an earlier call.
fn knowledge(op: &Op) -> Option<u64> {
    let known = op.known()?;
    (!matches!(known.outcome, Outcome::NotDone { .. })).then_some(known.at_ns)
}

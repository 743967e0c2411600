//! V12: every unknown becomes known within a bound after the heal, by asking with the id that the caller holds.

use crate::hash::Map;

use super::timeline::MS;
use super::{Case, Finding, Op, is_linearizable};
use crate::history::{Outcome, PaymentName, Phase, Purpose, Request};

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
    let bound_ns = evidence.facts.bounds.known_within_ms.saturating_mul(MS);
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
        // (What became of a cancel, the answer to another placing does not tell; a read does, unless it may be an old one.)
        let tells = |other: &Op| {
            let asked = &other.invoke.request;
            if asked.is_write() { *asked == op.invoke.request } else { is_linearizable(asked) }
        };
        let later = |other: &Op| other.invoke.at_ns >= op.ended_ns() || other.id() == op.id();
        let asked: Vec<&&Op> = asked.filter(|other| tells(other) && later(other)).collect();
        let known = asked.iter().filter_map(|other| Some((knowledge(other)?, other.invoke.purpose)));
        // Traffic goes on after the heal: nobody can ask about a call before it was given up.
        let ended_ns = if op.answers.is_empty() { heal_ns } else { op.ended_ns().max(heal_ns) };
        // A sender that gave up asks no more: until the tool's own question the system kept nobody waiting.
        let questions = asked.iter().filter(|other| other.invoke.purpose == Purpose::Ask);
        let question_ns = questions.map(|question| question.invoke.at_ns).min().unwrap_or(0);
        let took = |(known_ns, purpose): (u64, Purpose)| {
            known_ns.saturating_sub(if purpose == Purpose::Ask { question_ns.max(ended_ns) } else { ended_ns })
        };
        match known.min_by_key(|(known_ns, _)| *known_ns).map(took) {
            Some(took_ns) if took_ns <= bound_ns => {}
            Some(took_ns) => finding.violated(&[op.id()], None, || {
                let (took_ms, bound_ms) = (took_ns / MS, bound_ns / MS);
                format!("it became known {took_ms} ms after the heal, its end and the question, the bound is {bound_ms} ms")
            }),
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

//! V12: every unknown becomes known within a bound after the heal, by asking with the id that the caller holds; and what the
//! tool was told is not there, never comes.

use crate::hash::{Map, Set};

use super::idempotence::NaturalId;
use super::timeline::MS;
use super::{Case, Finding};
use crate::evidence::{Command, Op};
use crate::history::{OrderState, Outcome, PaymentName, Phase, Purpose, ReadAnswer, Request};

/// What answers the question "what became of it?".
#[derive(PartialEq, Eq, Hash)]
enum Subject<'a> {
    Series([u8; 3]),
    Order([u8; 16]),
    Payment(&'a PaymentName),
    Policy,
}

fn subject(request: &Request) -> Option<Subject<'_>> {
    match request {
        Request::OpenSeries { series, .. } => Some(Subject::Series(*series)),
        Request::PlaceOrder { order, .. }
        | Request::CancelOrder { order }
        | Request::VoidOrder { order }
        | Request::StampDocument { order, .. }
        | Request::GetOrder { order, .. } => Some(Subject::Order(*order)),
        Request::RecordPayment { payment, .. }
        | Request::SettleRefund { payment, .. }
        | Request::GetPayment { payment, .. } => Some(Subject::Payment(payment)),
        Request::SetPolicy { .. } | Request::GetPolicy => Some(Subject::Policy),
        Request::VerifySerial { .. } | Request::ListRefundsDue { .. } | Request::ListOrders(_) | Request::ListPayments(_) => {
            None
        }
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
    let given_up = || case.lot.ops.iter().filter(|op| op.invoke.request.is_write() && was_given_up(op));
    let subjects: Set<Subject<'_>> = given_up().filter_map(|op| subject(&op.invoke.request)).collect();
    for op in &case.lot.ops {
        if let Some(subject) = subject(&op.invoke.request).filter(|subject| subjects.contains(subject)) {
            by_subject.entry(subject).or_default().push(op);
        }
    }
    for op in given_up() {
        finding.checked += 1;
        // A late answer of its own, or any answer to a call that was made after this one was given up.
        let asked = subject(&op.invoke.request).and_then(|subject| by_subject.get(&subject)).into_iter().flatten();
        // (What became of a cancel, the answer to another placing does not tell; a read does, unless it may be an old one.)
        // (Which documents its stamps are on, an order does not show: that is asked by sending it again.)
        let is_stamp = matches!(op.invoke.request, Request::StampDocument { .. });
        let tells = |other: &Op| {
            let asked = &other.invoke.request;
            if asked.is_write() { *asked == op.invoke.request } else { asked.is_linearizable() && !is_stamp }
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
    denied_is_final(case, &by_subject, &mut finding);
    finding
}

/// The tool asks when no node can have a call any more that was given up, and behind a write that went through the log after
/// them all. What is denied then must not stand above the index that the denial is good for.
fn denied_is_final(case: &Case, by_subject: &Map<Subject<'_>, Vec<&Op>>, finding: &mut Finding) {
    let Some(barrier_ns) = case.evidence.fresh_write_ns else { return };
    let mut denials: Map<NaturalId<'_>, Vec<(&Op, &Op, u64)>> = Map::default();
    for op in case.lot.ops.iter().filter(|op| op.invoke.request.is_write() && op.known().is_none()) {
        let asked = subject(&op.invoke.request).and_then(|subject| by_subject.get(&subject)).into_iter().flatten();
        let questions = asked.filter(|other| other.invoke.purpose == Purpose::Ask && other.invoke.at_ns >= barrier_ns);
        for question in questions {
            if let Some(index) = denied_at(&op.invoke.request, question)
                && let Some(id) = NaturalId::of(&op.invoke.request)
            {
                denials.entry(id).or_default().push((op, question, index));
            }
        }
    }
    if denials.is_empty() {
        return;
    }
    for Command { place, request, reply } in &case.lot.commands {
        let effect = !reply.replayed && reply.answer.has_effect();
        let denied = NaturalId::of(request).filter(|_| effect).and_then(|id| denials.get(&id)).into_iter().flatten();
        let then_came = |(op, _, index): &&(&Op, &Op, u64)| op.invoke.request == *request && place.log_index > *index;
        for (op, question, index) in denied.filter(then_came) {
            finding.violated(&[op.id(), question.id()], Some(place.log_index), || {
                format!("it was not there at index {index}, long after it was given up, and took effect at {place}")
            });
        }
    }
}

/// The index as of which the answer to a question says that `request` had no effect.
fn denied_at(request: &Request, question: &Op) -> Option<u64> {
    let Outcome::Read(read) = &question.known()?.outcome else { return None };
    let is_denied = match (request, &read.answer) {
        (Request::CancelOrder { .. }, ReadAnswer::Order(order)) => order.state != OrderState::Cancelled,
        (Request::VoidOrder { .. }, ReadAnswer::Order(order)) => order.state != OrderState::Voided,
        (Request::SettleRefund { .. }, ReadAnswer::Payment(payment)) => {
            payment.refund.as_ref().is_none_or(|refund| refund.settled.is_none())
        }
        (Request::SetPolicy { version, .. }, ReadAnswer::Policy(policy)) => policy.version < *version,
        (_, answer) => *answer == ReadAnswer::Absent,
    };
    read.read_index.filter(|_| is_denied)
}

fn was_given_up(op: &Op) -> bool {
    op.answers.first().is_none_or(|answer| matches!(answer.outcome, Outcome::Unknown { .. }))
}

/// When a call told what is so. *Not done* tells nothing of an earlier call.
fn knowledge(op: &Op) -> Option<u64> {
    let known = op.known()?;
    (!matches!(known.outcome, Outcome::NotDone { .. })).then_some(known.at_ns)
}

#[cfg(test)]
mod tests;

//! V9: *refused* and *not done* really had no effect.
//!
//! Every command of a client in the log must have been sent by one, and every effect must come from a call that may have caused
//! it: one that was answered as the first execution at that place, or one whose outcome is unknown. If all calls that can have
//! caused it said *refused*, *not done* or *already there*, then one of them said so wrongly. And who refuses must say why, in
//! the words of the protocol, and where: the ledger alone refuses a valid request, and it refuses at a place in the log.

use super::differences::outcome_text;
use super::idempotence::NaturalId;
use super::reach::Reach;
use super::{Case, Finding};
use crate::evidence::{Command, Op};
use crate::history::{Invoke, Outcome, Place, Purpose, Request};

/// How a new order is turned away while the disks are low.
const DISK_LOW: &str = "DISK_LOW";
/// How a notice is refused that is not its gateway's.
const FORGED: &str = "FORGED";

#[must_use]
pub fn refused_had_no_effect(case: &Case) -> Finding {
    let mut finding = Finding::new("V9", "refused and not done really had no effect");
    let evidence = case.evidence;
    if let Some(hole) = &evidence.log.hole {
        finding.unsure(hole.clone());
    }
    commands_have_a_cause(case, &mut finding);
    refusals_are_the_ledgers(case, &mut finding);
    finding.checked += case.lot.ops.iter().filter(|op| denied(op).is_some()).count() as u64;
    finding.unsure_if_empty("the log holds no effect and no call was refused")
}

/// Every command of a client in the log was sent by one, and its effect, if it had any, is owned up to.
fn commands_have_a_cause(case: &Case, finding: &mut Finding) {
    let evidence = case.evidence;
    let mut unexplained = 0;
    for Command { place, request, reply } in &case.lot.commands {
        let place = *place;
        let Some(id) = NaturalId::of(request) else { continue };
        let group = || case.groups.get(&id).into_iter().flatten().copied();
        let same = || group().filter(|op| op.invoke.request == *request);
        // (Nobody's word but the gateway's may cause anything.)
        let is_forged = |op: &&Op| op.invoke.purpose == Purpose::Forged;
        let has_effect = !reply.replayed && reply.answer.has_effect();
        finding.checked += 1;
        // A replay or a refusal changes nothing: it need not be owned up to, but somebody must have sent it.
        let is_cause = if has_effect { may_have_caused } else { came_in_time };
        if same().any(|op| !is_forged(&op) && is_cause(op, place, case.reach)) {
            continue;
        }
        // What was answered from this place or from above it was called before that: the history has it. Above, the call
        // may be one that a cut history lacks.
        if evidence.lacks_calls || (evidence.history_is_cut && place.log_index > case.reach.end()) {
            unexplained += 1;
            continue;
        }
        let (forged, calls): (Vec<&Op>, Vec<&Op>) = same().partition(is_forged);
        let ops: Vec<u64> = calls.iter().chain(&forged).map(|op| op.id()).collect();
        finding.violated(&ops, Some(place.log_index), || match calls.iter().find_map(|op| denied(op)) {
            Some(text) if has_effect => format!("the effect at {place} comes from a call that was answered: {text}"),
            _ if calls.is_empty() && !forged.is_empty() => format!("a forged notice is the command at {place}"),
            _ if calls.is_empty() => format!("nobody sent the command at {place}"),
            _ if has_effect => format!("no call says that it caused the effect at {place}"),
            _ => format!("nobody sent the command at {place} before something above it was answered"),
        });
    }
    finding.doubt(unexplained, "commands of the log may come from calls that the history lacks");
}

/// No call can have caused what had been answered to somebody before it was made.
fn came_in_time(op: &Op, place: Place, reach: &Reach) -> bool {
    place.log_index > reach.before(op.invoke.at_ns)
}

/// A node repeats a call at the next leader when the one before was lost, so a call may be answered as the replay of itself.
fn may_have_caused(op: &Op, place: Place, reach: &Reach) -> bool {
    let in_time = || came_in_time(op, place, reach);
    match op.known().map(|answer| &answer.outcome) {
        None => in_time(),
        Some(Outcome::Written(written)) => written.receipt.place == place && (!written.receipt.replayed || in_time()),
        Some(_) => false,
    }
}

fn denied(op: &Op) -> Option<String> {
    let outcome = &op.known()?.outcome;
    matches!(outcome, Outcome::Refused { .. } | Outcome::NotDone { .. }).then(|| outcome_text(outcome))
}

/// The drill sends valid requests, so that nobody but the ledger may refuse one, and forged notices, which never get there.
fn refusals_are_the_ledgers(case: &Case, finding: &mut Finding) {
    let (forged, genuine): (Vec<&Op>, Vec<&Op>) = case.lot.ops.iter().partition(|op| op.invoke.purpose == Purpose::Forged);
    for op in forged {
        let other = |outcome: &Outcome| matches!(outcome, Outcome::Refused { reason, .. } if **reason != *FORGED);
        if let Some(answer) = op.answers.iter().find(|answer| other(&answer.outcome)) {
            finding.violated(&[op.id()], None, || format!("a forged notice was read: {}", outcome_text(&answer.outcome)));
        }
    }
    for op in genuine {
        let listed = refusals(&op.invoke.request);
        for answer in &op.answers {
            let for_room = matches!(&answer.outcome, Outcome::NotDone { reason } if **reason == *DISK_LOW);
            if for_room && !is_new_work(&op.invoke) {
                finding.violated(&[op.id()], None, || format!("told {DISK_LOW}, and is no new order"));
            }
            let Outcome::Refused { reason, place, .. } = &answer.outcome else { continue };
            let index = place.map(|place| place.log_index);
            if !listed.contains(&&**reason) {
                finding.violated(&[op.id()], index, || format!("refused, {reason}: the protocol lists no such refusal of it"));
            } else if place.is_none() && op.invoke.request.is_write() {
                finding.violated(&[op.id()], None, || format!("refused, {reason}, without the place in the log where it was"));
            }
        }
    }
}

/// What may be turned away while the disks are low: an order, and what was sent together with one and is no money.
fn is_new_work(invoke: &Invoke) -> bool {
    match invoke.request {
        Request::PlaceOrder { .. } => true,
        Request::CancelOrder { .. } | Request::VoidOrder { .. } | Request::StampDocument { .. } => invoke.batch != 0,
        _ => false,
    }
}

/// As the protocol files list them. A read is never refused: that an id is not known is an answer. But a list may be forgotten
/// between two of its pages.
fn refusals(request: &Request) -> &'static [&'static str] {
    match request {
        Request::OpenSeries { .. } => &["SERIES_REUSED"],
        Request::PlaceOrder { .. } => &["ORDER_ID_REUSED", "SERIES_UNKNOWN", "STOCK_EXHAUSTED"],
        Request::RecordPayment { .. } => &["PAYMENT_ID_REUSED"],
        Request::CancelOrder { .. } => &["ORDER_UNKNOWN", "ORDER_ISSUED", "ORDER_EXPIRED", "ORDER_VOIDED"],
        Request::VoidOrder { .. } => &["ORDER_UNKNOWN", "ORDER_NOT_ISSUED", "ORDER_STAMPED", "VOID_WINDOW_CLOSED"],
        Request::StampDocument { .. } => &["ORDER_UNKNOWN", "ORDER_NOT_ISSUED", "ORDER_VOIDED", "ORDER_EXHAUSTED"],
        Request::SettleRefund { .. } => &["REFUND_REUSED", "REFUND_UNKNOWN", "REFUND_AMOUNT_WRONG"],
        Request::SetPolicy { .. } => &["POLICY_VERSION_REUSED", "POLICY_VERSION_SKIPPED"],
        Request::ListOrders(list) if list.as_of.is_some() => &["LIST_EXPIRED"],
        Request::ListPayments(list) if list.as_of.is_some() => &["LIST_EXPIRED"],
        Request::GetOrder { .. }
        | Request::GetPayment { .. }
        | Request::VerifySerial { .. }
        | Request::GetPolicy
        | Request::ListRefundsDue { .. }
        | Request::ListOrders(_)
        | Request::ListPayments(_) => &[],
    }
}

#[cfg(test)]
mod tests;

//! Planted bug 4: what is owed back is decided from what this node happens to have applied, beside the log.

use super::api::Submitted;
use crate::domain::{Command, LedgerTime, LedgerView, Outcome, PaymentOutcome, Place, apply};

/// For each command, the refund that would be due if the payment were the next to be recorded here.
pub(super) fn due_here<V: LedgerView>(view: &V, commands: &[Command]) -> Vec<Option<PaymentOutcome>> {
    let place = Place { log_index: 0, offset: 0 };
    let refund = |command: &Command| match apply(view, place, LedgerTime(0), command).ok()?.reply.outcome {
        Outcome::PaymentRecorded(PaymentOutcome::Applied(_)) => None,
        Outcome::PaymentRecorded(refund) => Some(refund),
        _ => None,
    };
    commands.iter().map(refund).collect()
}

pub(super) fn told_in(mut submitted: Submitted, refunds: Vec<Option<PaymentOutcome>>) -> Submitted {
    for (reply, refund) in submitted.replies.iter_mut().zip(refunds) {
        if let (Outcome::PaymentRecorded(told), Some(refund)) = (&mut reply.outcome, refund) {
            *told = refund;
        }
    }
    submitted
}

//! What the checks over all calls of a run need of each: when it was made and answered, and where its answer stands. What was asked
//! and shown is in the lots.

use super::call::{Answered, Op};
use crate::history::{Outcome, PaymentOutcome, Purpose, Request};

/// How a node says that too much waits.
const OVERLOADED: &str = "OVERLOADED";
/// How a node says that it let a call in and had no time for it.
const NOT_IN_TIME: &str = "NOT_IN_TIME";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub invoked_ns: u64,
    /// When the schedule wanted it sent.
    pub intended_ns: u64,
    /// When the tool gave it up or had its answer; `u64::MAX`: never.
    pub ended_ns: u64,
    /// When the first answer came that says what happened; of use if `known` says that there was one.
    pub known_ns: u64,
    /// The log index that this answer names, if it names one.
    pub index: u64,
    pub op: u32,
    pub session: u32,
    pub node: u16,
    pub asked: Asked,
    pub purpose: Purpose,
    pub ended: Ended,
    pub known: Known,
    pub in_batch: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    NewOrder,
    Payment,
    OtherWrite,
    /// Of what is so now.
    Read,
    /// As `Read`: what is owed back.
    RefundsDue,
    /// Of what was so once.
    WeakRead,
}

/// The first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// None, or none that says what happened.
    Unknown,
    NotDone,
    Refused,
    /// Refused from a place in the log.
    RefusedThere,
    Written,
    Read,
}

/// The first answer that says what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    Nothing,
    NotDone,
    /// Not done, because too much waits.
    Shed,
    /// Not done, though it was let in.
    NotInTime,
    /// It names no place in the log.
    Placeless,
    Executed,
    /// Executed: a payment that was the first to issue its order.
    Issued,
    Replayed,
    RefusedThere,
    Read,
}

impl Moment {
    #[must_use]
    pub fn of(op: &Op) -> Self {
        let (invoke, known) = (&op.invoke, op.known());
        let (standing, index) = known.map_or((Known::Nothing, 0), |answer| Known::of(&answer.outcome));
        Self {
            invoked_ns: invoke.at_ns,
            intended_ns: invoke.intended_ns,
            ended_ns: op.ended_ns(),
            known_ns: known.map_or(0, |answer| answer.at_ns),
            index,
            op: u32::try_from(op.id()).expect("checked when it was read"),
            session: invoke.session,
            node: invoke.node,
            asked: Asked::of(&invoke.request),
            purpose: invoke.purpose,
            ended: op.answers.first().map_or(Ended::Unknown, Ended::of),
            known: standing,
            in_batch: invoke.batch != 0,
        }
    }

    #[must_use]
    pub const fn is_write(&self) -> bool {
        matches!(self.asked, Asked::NewOrder | Asked::Payment | Asked::OtherWrite)
    }

    /// It was answered with success.
    #[must_use]
    pub const fn is_written(&self) -> bool {
        matches!(self.known, Known::Executed | Known::Issued | Known::Replayed)
    }
}

impl Asked {
    fn of(request: &Request) -> Self {
        match request {
            Request::PlaceOrder { .. } => Self::NewOrder,
            Request::RecordPayment { .. } => Self::Payment,
            Request::ListRefundsDue { .. } => Self::RefundsDue,
            request if request.is_write() => Self::OtherWrite,
            request if request.is_linearizable() => Self::Read,
            _ => Self::WeakRead,
        }
    }
}

impl Ended {
    const fn of(answer: &Answered) -> Self {
        match &answer.outcome {
            Outcome::Written(_) => Self::Written,
            Outcome::Read(_) => Self::Read,
            Outcome::Refused { place: Some(_), .. } => Self::RefusedThere,
            Outcome::Refused { place: None, .. } => Self::Refused,
            Outcome::NotDone { .. } => Self::NotDone,
            Outcome::Unknown { .. } => Self::Unknown,
        }
    }
}

impl Known {
    /// With the index that the answer names.
    fn of(outcome: &Outcome) -> (Self, u64) {
        match outcome {
            Outcome::Written(written) => {
                let is_issue = written.answer.payment_outcome() == Some(PaymentOutcome::Applied);
                let known = match (written.receipt.replayed, is_issue) {
                    (true, _) => Self::Replayed,
                    (false, true) => Self::Issued,
                    (false, false) => Self::Executed,
                };
                (known, written.receipt.place.log_index)
            }
            Outcome::Refused { place: Some(place), .. } => (Self::RefusedThere, place.log_index),
            Outcome::Read(read) => read.read_index.map_or((Self::Placeless, 0), |index| (Self::Read, index)),
            Outcome::Refused { place: None, .. } => (Self::Placeless, 0),
            Outcome::NotDone { reason } if **reason == *OVERLOADED => (Self::Shed, 0),
            Outcome::NotDone { reason } if **reason == *NOT_IN_TIME => (Self::NotInTime, 0),
            Outcome::NotDone { .. } => (Self::NotDone, 0),
            Outcome::Unknown { .. } => (Self::Nothing, 0),
        }
    }
}

/// Executed, or refused, there.
#[must_use]
pub(super) const fn is_acknowledged(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Written(_) | Outcome::Refused { place: Some(_), .. })
}

/// The log index that an answer shows to be committed.
#[must_use]
pub(super) const fn shown_index(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Written(written) => Some(written.receipt.place.log_index),
        Outcome::Refused { place: Some(place), .. } => Some(place.log_index),
        Outcome::Read(read) => read.read_index,
        _ => None,
    }
}

//! One call, whole.

use smallvec::SmallVec;

use crate::history::coded::{Coded, Decoded, coded_struct};
use crate::history::{Invoke, Outcome};

/// One call and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// Among all calls of the run, in the order in which they were made.
    pub nth: u32,
    pub invoke: Invoke,
    /// Nearly always one.
    pub answers: SmallVec<[Answered; 1]>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub at_ns: u64,
    pub outcome: Outcome,
    /// To a call that the tool had given up.
    pub is_late: bool,
}

coded_struct! {
    Op { nth, invoke, answers }
    Answered { at_ns, outcome, is_late }
}

impl Op {
    /// The first answer that says what happened, late ones included. `None`: unknown.
    #[must_use]
    pub fn known(&self) -> Option<&Answered> {
        self.answers.iter().find(|answer| !matches!(answer.outcome, Outcome::Unknown { .. }))
    }

    #[must_use]
    pub fn id(&self) -> u64 {
        self.invoke.op.0
    }

    /// When the tool gave the call up or had its answer.
    #[must_use]
    pub fn ended_ns(&self) -> u64 {
        self.answers.first().map_or(u64::MAX, |answer| answer.at_ns)
    }
}

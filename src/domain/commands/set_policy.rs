//! `SetPolicy`: what voids give back from now on. The version is what it is known by: each follows the one before, so that two
//! operators cannot overwrite each other unseen. What is due already stays as it is.

use super::{Step, first_unequal};
use crate::domain::decision::{Change, Decision, Outcome, Refusal};
use crate::domain::ledger::LedgerView;
use crate::domain::policy::{Policy, PolicyTerms};

pub(super) fn decide<V: LedgerView>(view: &V, step: Step, terms: PolicyTerms) -> Result<Decision, V::Error> {
    if let Some(there) = view.policy(terms.version())? {
        return Ok(match first_difference(&there.terms, &terms) {
            Some(field) => Decision::refused(step.place, Refusal::PolicyVersionReused { field }),
            None => Decision::replayed(there.set, Outcome::PolicySet),
        });
    }
    let mut totals = view.totals()?;
    if totals.policy_version.checked_add(1) != Some(terms.version()) {
        return Ok(Decision::refused(step.place, Refusal::PolicyVersionSkipped));
    }

    totals.policy_version = terms.version();
    let policy = Policy { terms, set: step.place, set_at: step.now };
    Ok(Decision::done(step.place, Outcome::PolicySet, vec![Change::Policy(policy), Change::Totals(totals)]))
}

fn first_difference(there: &PolicyTerms, terms: &PolicyTerms) -> Option<&'static str> {
    first_unequal([
        ("void_refund_percent", there.void_refund_percent() == terms.void_refund_percent()),
        ("void_window_ms", there.void_window_ms() == terms.void_window_ms()),
    ])
}

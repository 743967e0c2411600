//! Issued XOR refunded: a payment stands for the stamps of an issued order, or for a refund, never for both and never for neither. A
//! refund changes once, when it is settled.

use super::Violation;
use crate::domain::ledger::MemoryLedger;
use crate::domain::order::OrderState;
use crate::domain::payment::{Payment, PaymentOutcome};
use crate::domain::policy::{Policy, PolicyTerms};
use crate::domain::refund::{Refund, RefundReason};

/// Judges every payment with its refund, and every refund with its payment.
#[must_use]
pub fn issued_or_refunded_never_both(ledger: &MemoryLedger) -> Vec<Violation> {
    let conflicts = ledger.all_payments().filter_map(|payment| {
        let conflict = conflict(ledger, payment, ledger.peek_refund(&payment.name))?;
        Some(Violation::RefundMisplaced { payment: payment.name.clone(), conflict })
    });
    let strays = ledger.all_refunds().filter(|refund| ledger.peek_payment(&refund.payment).is_none());
    let strays = strays.map(|refund| {
        let conflict = "has a refund and was never recorded";
        Violation::RefundMisplaced { payment: refund.payment.clone(), conflict }
    });
    conflicts.chain(strays).collect()
}

fn conflict(ledger: &MemoryLedger, payment: &Payment, refund: Option<&Refund>) -> Option<&'static str> {
    let is_voided = || {
        let order = ledger.peek_order(payment.order);
        order.is_some_and(|order| matches!(order.state, OrderState::Voided { .. }))
    };
    match (&payment.outcome, refund) {
        (_, Some(refund)) if refund.order != payment.order => Some("has a refund for another order"),
        (PaymentOutcome::Applied(_), None) => {
            is_voided().then_some("was applied, its order is voided, and nothing is owed back")
        }
        (PaymentOutcome::Applied(_), Some(refund)) => match refund.reason {
            RefundReason::Void if !is_voided() => Some("stands for issued stamps and for a refund"),
            RefundReason::Void => void_conflict(ledger, payment, refund),
            _ => Some("was applied, and has a refund that no void made"),
        },
        (_, None) => Some("issued nothing, and nothing is owed back"),
        (outcome, Some(refund)) if RefundReason::of(outcome) != Some(refund.reason) => Some("has a refund for another reason"),
        (_, Some(refund)) => (refund.amount != payment.amount).then_some("issued nothing, and is not owed back whole"),
    }
}

/// Counts anew what the policy in force at the void gives back, and whether it allowed the void.
fn void_conflict(ledger: &MemoryLedger, payment: &Payment, refund: &Refund) -> Option<&'static str> {
    let set_before = ledger.all_policies().filter(|policy| policy.set < refund.due);
    let terms = set_before.max_by_key(|policy| policy.set).map_or(PolicyTerms::INITIAL, |policy| policy.terms);
    let paid = u128::from(payment.amount.as_idr());
    let hundredths = paid * u128::from(terms.void_refund_percent().get());
    let rounded_up = hundredths / 100 + u128::from(hundredths % 100 > 0);
    if u128::from(refund.amount.as_idr()) != rounded_up {
        return Some("has a refund that its policy does not give");
    }
    let waited_ms = refund.due_at.0 - payment.recorded_at.0.min(refund.due_at.0);
    // Asked for in the last moment of the window is in time.
    (waited_ms > terms.void_window_ms()).then_some("was voided after its time")
}

/// Versions are 1, 2, 3 and so on, each set after the one before.
#[must_use]
pub fn policies_follow_each_other(ledger: &MemoryLedger) -> Vec<Violation> {
    let mut before = None;
    let misplaced = (1..).zip(ledger.all_policies()).filter(|(version, policy)| {
        let follows = policy.terms.version() == *version && before < Some(policy.set);
        before = Some(policy.set);
        !follows
    });
    misplaced.map(|(_, policy)| Violation::PolicyMisplaced { version: policy.terms.version() }).collect()
}

/// Judges one policy between two states of the ledger, however far apart.
///
/// # Errors
/// It vanished or was rewritten.
pub fn policy_never_changed(before: Option<&Policy>, after: Option<&Policy>) -> Result<(), Violation> {
    match before {
        Some(before) if after != Some(before) => Err(Violation::PolicyMisplaced { version: before.terms.version() }),
        _ => Ok(()),
    }
}

/// Judges one refund between two states of the ledger, however far apart.
///
/// # Errors
/// The refund vanished, was rewritten, or was settled twice.
pub fn refund_only_settled(before: Option<&Refund>, after: Option<&Refund>) -> Result<(), Violation> {
    let Some(before) = before else { return Ok(()) };
    let changed = match after {
        None => "vanished",
        Some(after) if after == before => return Ok(()),
        Some(_) if before.settled.is_some() => "was settled, and changed again",
        Some(after) if (Refund { settled: None, ..after.clone() }) == *before => return Ok(()),
        Some(_) => "was rewritten",
    };
    Err(Violation::RefundChanged { payment: before.payment.clone(), changed })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{clean, payment};
    use super::*;
    use crate::domain::{Change, Place, Rupiah};
    use crate::limits::VOID_WINDOW_MS_DEFAULT;

    fn damaged(id: &str, damage: impl FnOnce(&mut Refund)) -> Vec<Violation> {
        let mut ledger = clean();
        let mut refund = ledger.peek_refund(&payment(id)).expect("in the fixture").clone();
        damage(&mut refund);
        ledger.absorb(Change::Refund(refund));
        issued_or_refunded_never_both(&ledger)
    }

    fn named(id: &str, conflict: &'static str) -> Vec<Violation> {
        vec![Violation::RefundMisplaced { payment: payment(id), conflict }]
    }

    #[test]
    fn each_payment_of_a_clean_ledger_is_issued_or_owed_back() {
        assert_eq!(issued_or_refunded_never_both(&clean()), []);
    }

    #[test]
    fn a_refund_beside_issued_stamps_is_named() {
        let mut ledger = clean();
        let refund = ledger.peek_refund(&payment("p5")).expect("voided in the fixture").clone();
        let order = ledger.peek_payment(&payment("p1")).expect("in the fixture").order;
        ledger.absorb(Change::Refund(Refund { payment: payment("p1"), order, ..refund }));
        assert_eq!(issued_or_refunded_never_both(&ledger), named("p1", "stands for issued stamps and for a refund"));
    }

    #[test]
    fn a_refund_of_the_wrong_amount_or_reason_is_named() {
        let found = damaged("p4", |refund| refund.amount = Rupiah::from_idr(1));
        assert_eq!(found, named("p4", "issued nothing, and is not owed back whole"));
        let found = damaged("p4", |refund| refund.reason = RefundReason::NoStock);
        assert_eq!(found, named("p4", "has a refund for another reason"));
        for wrong in [22_499, 22_501] {
            let found = damaged("p5", |refund| refund.amount = Rupiah::from_idr(wrong));
            assert_eq!(found, named("p5", "has a refund that its policy does not give"));
        }
        let found = damaged("p5", |refund| refund.due_at.0 += VOID_WINDOW_MS_DEFAULT);
        assert_eq!(found, named("p5", "was voided after its time"));
    }

    #[test]
    fn a_policy_that_is_skipped_set_before_its_forerunner_or_rewritten_is_named() {
        let policy = |version, log_index| {
            let terms = PolicyTerms::new(version, 50, 1_000).expect("valid");
            Policy { terms, set: Place { log_index, offset: 0 }, set_at: crate::domain::LedgerTime(3_000) }
        };
        let ledger = |policies: &[Policy]| policies.iter().copied().map(Change::Policy).collect::<MemoryLedger>();
        let misplaced = |version| Violation::PolicyMisplaced { version };
        assert_eq!(policies_follow_each_other(&ledger(&[policy(1, 20), policy(2, 21)])), []);
        assert_eq!(policies_follow_each_other(&ledger(&[policy(2, 21)])), [misplaced(2)]);
        assert_eq!(policies_follow_each_other(&ledger(&[policy(1, 21), policy(2, 20)])), [misplaced(2)]);
        let (set, rewritten) = (policy(1, 20), policy(1, 21));
        assert_eq!((policy_never_changed(None, Some(&set)), policy_never_changed(Some(&set), Some(&set))), (Ok(()), Ok(())));
        assert_eq!(policy_never_changed(Some(&set), Some(&rewritten)), Err(misplaced(1)));
        assert_eq!(policy_never_changed(Some(&set), None), Err(misplaced(1)));
    }

    #[test]
    fn a_refund_that_is_missing_or_stands_alone_is_named() {
        let clean = clean();
        let without = |id: &str| {
            let is_it = |change: &Change| matches!(change, Change::Refund(refund) if refund.payment == payment(id));
            clean.clone().into_changes().into_iter().filter(|change| !is_it(change)).collect::<MemoryLedger>()
        };
        let found = issued_or_refunded_never_both(&without("p4"));
        assert_eq!(found, named("p4", "issued nothing, and nothing is owed back"));
        let found = issued_or_refunded_never_both(&without("p5"));
        assert_eq!(found, named("p5", "was applied, its order is voided, and nothing is owed back"));
        let found = damaged("p4", |refund| {
            refund.payment = payment("p9");
            refund.due = Place { log_index: 99, offset: 0 };
        });
        assert_eq!(found, named("p9", "has a refund and was never recorded"));
    }

    #[test]
    fn a_refund_changes_once_when_it_is_settled() {
        let ledger = clean();
        let settled = ledger.peek_refund(&payment("p3")).expect("in the fixture");
        let due = &Refund { settled: None, ..settled.clone() };
        for (before, after) in
            [(None, Some(due)), (Some(due), Some(due)), (Some(due), Some(settled)), (Some(settled), Some(settled))]
        {
            assert_eq!(refund_only_settled(before, after), Ok(()));
        }
        let changed = |changed| Err(Violation::RefundChanged { payment: payment("p3"), changed });
        assert_eq!(refund_only_settled(Some(due), None), changed("vanished"));
        assert_eq!(refund_only_settled(Some(settled), Some(due)), changed("was settled, and changed again"));
        let rewritten = Refund { amount: Rupiah::from_idr(1), ..due.clone() };
        assert_eq!(refund_only_settled(Some(due), Some(&rewritten)), changed("was rewritten"));
    }
}

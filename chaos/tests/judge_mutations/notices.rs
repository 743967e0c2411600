//! Notices of payment gateways, genuine and forged: V9, V17.

use super::*;

#[test]
fn v17_a_notice_that_was_accepted_without_a_word_of_where_the_money_is() {
    flags(&["V17", "V11"], |run| {
        let answer = answer(run, 50, is_noticed);
        let promised = WriteAnswer::Noticed { outcome: PaymentOutcome::Applied };
        *written(answer) = Written { receipt: Receipt::default(), answer: promised };
        Some(answer.op)
    });
}

#[test]
fn v17_a_forged_notice_that_was_accepted() {
    flags(&["V17"], |run| {
        let genuine = answer(run, 5, is_noticed).outcome.clone();
        let answer = answer(run, 3, is_forged);
        answer.outcome = genuine;
        Some(answer.op)
    });
}

#[test]
fn v9_a_forged_notice_that_was_read() {
    flags(&["V9"], |run| {
        let answer = answer(run, 3, is_forged);
        let place = Some(Place { log_index: 7, offset: 0 });
        answer.outcome = Outcome::Refused { reason: "PAYMENT_ID_REUSED".into(), field: "".into(), place, term: 1 };
        Some(answer.op)
    });
}

#[test]
fn v9_a_genuine_notice_that_was_taken_for_a_forgery() {
    flags(&["V9"], |run| {
        let answer = answer(run, 50, is_noticed);
        answer.outcome = Outcome::Refused { reason: "FORGED".into(), field: "".into(), place: None, term: 0 };
        Some(answer.op)
    });
}

#[test]
fn v9_an_effect_of_a_forged_notice() {
    flags(&["V9"], |run| {
        let op = answer(run, 500, is_issue).op;
        let calls = run.records.iter_mut().filter_map(|record| match record {
            Record::Invoke(invoke) if invoke.op == op => Some(invoke),
            _ => None,
        });
        calls.for_each(|invoke| invoke.purpose = Purpose::Forged);
        Some(op)
    });
}

fn is_noticed(outcome: &Outcome) -> bool {
    let is_notice = |written: &Written| {
        !written.receipt.replayed && written.answer == WriteAnswer::Noticed { outcome: PaymentOutcome::Applied }
    };
    matches!(outcome, Outcome::Written(written) if is_notice(written))
}

fn is_forged(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { reason, .. } if **reason == *"FORGED")
}

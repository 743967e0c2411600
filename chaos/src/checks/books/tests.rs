//! What the check of `books` catches, and what it lets pass.

use super::*;
use crate::checks::made::{
    AMOUNT_IDR, ORDER, at, call, judged, lot, name, pay, payment, records, refund, scan, unknown, written,
};
use crate::evidence::{Evidence, ScanRecords};
use crate::history::{OpId, PaymentOutcome, PaymentSeen, RefundReason, RefundSeen, Request, SettlementSeen, WriteAnswer};

/// What is there but for the books: calls, and the records of one replica, which has applied nine entries.
struct There {
    ops: Vec<Op>,
    records: ScanRecords,
    history_is_cut: bool,
}

fn event(step: ProviderStep, amount_idr: i64) -> ProviderEvent {
    ProviderEvent { at_ns: 1, payment: name("one"), order: ORDER, amount_idr, step }
}

fn charge() -> ProviderEvent {
    event(ProviderStep::ChargeAccepted, AMOUNT_IDR)
}

fn paid_out_as(reference: &str, amount_idr: i64) -> ProviderEvent {
    event(ProviderStep::PaidOut { reference: reference.into() }, amount_idr)
}

/// Violations, and what makes it unsure.
fn books(there: There, provider: Vec<ProviderEvent>) -> (u64, usize) {
    let scans = [(1, scan(1, 9))].into_iter().collect();
    let evidence = Evidence { scans, history_is_cut: there.history_is_cut, ..Evidence::default() };
    let mut lot = lot(there.ops);
    lot.provider = provider;
    lot.scans = [(1, there.records)].into_iter().collect();
    let finding = judged(&evidence, &lot, provider_and_ledger_agree);
    (finding.violations, finding.inconclusive.len())
}

fn accepted(log_index: u64) -> Op {
    call(1, [1, 2], pay("one"), written(log_index, WriteAnswer::Recorded { outcome: PaymentOutcome::Applied, serials: None }))
}

fn given_up() -> Op {
    call(1, [1, 2], pay("one"), unknown())
}

fn recorded(alter: impl FnOnce(&mut PaymentSeen)) -> ScanRecords {
    let mut seen = payment(PaymentOutcome::Applied);
    alter(&mut seen);
    records(&[], &[seen], &[])
}

#[test]
fn what_was_charged_and_accepted_is_recorded_as_it_was_charged() {
    let with = |op: Op, records: ScanRecords| books(There { ops: vec![op], records, history_is_cut: false }, vec![charge()]);
    assert_eq!(with(accepted(5), recorded(|_| {})), (0, 0));
    assert_eq!(with(given_up(), recorded(|_| {})), (0, 0));
    assert_eq!(with(accepted(5), recorded(|seen| seen.amount_idr += 1)), (1, 0));
    assert_eq!(with(accepted(5), recorded(|seen| seen.order = [2; 16])), (1, 0));
    let nothing = ScanRecords::default;
    assert_eq!(with(accepted(9), nothing()), (1, 0));
    assert_eq!(with(accepted(10), nothing()), (0, 0), "the replica was scanned before it had got there");
    assert_eq!(with(given_up(), nothing()), (0, 1), "nobody knows whether the notice arrived");
}

#[test]
fn what_is_recorded_was_charged() {
    let with =
        |history_is_cut, provider| books(There { ops: vec![accepted(5)], records: recorded(|_| {}), history_is_cut }, provider);
    let sent = || event(ProviderStep::NoticeSent { nth: 1, op: OpId(1) }, AMOUNT_IDR);
    assert_eq!(with(false, vec![]), (1, 0));
    assert_eq!(with(true, vec![]), (0, 1));
    assert_eq!(with(false, vec![sent()]), (0, 1), "the books lack a part");
    assert_eq!(with(false, vec![charge(), charge()]), (0, 1), "the tool's own mistake");
}

fn settlement(outcome: Outcome) -> Op {
    let request = Request::SettleRefund { payment: name("one"), amount_idr: AMOUNT_IDR, reference: "back".into() };
    call(2, [3, 4], request, outcome)
}

fn owed(settled_as: Option<&str>) -> RefundSeen {
    let settled = settled_as.map(|reference| SettlementSeen { reference: reference.into(), place: at(7), settled_at_ms: 70 });
    RefundSeen { settled, ..refund(RefundReason::AlreadyPaid) }
}

#[test]
fn what_was_paid_out_is_settled_and_what_is_settled_was_paid_out() {
    let with = |settlement: Op, refund: Option<RefundSeen>, provider: Vec<ProviderEvent>| {
        let refunds: Vec<RefundSeen> = refund.into_iter().collect();
        let records = records(&[], &[payment(PaymentOutcome::AlreadyPaid)], &refunds);
        let provider = [vec![charge()], provider].concat();
        books(There { ops: vec![accepted(5), settlement], records, history_is_cut: false }, provider)
    };
    let done = || settlement(written(7, WriteAnswer::RefundSettled));
    let paid = || vec![paid_out_as("back", AMOUNT_IDR)];
    assert_eq!(with(done(), Some(owed(Some("back"))), paid()), (0, 0));
    assert_eq!(with(done(), Some(owed(Some("other"))), paid()), (1, 0));
    assert_eq!(with(done(), Some(owed(Some("back"))), vec![paid_out_as("back", AMOUNT_IDR - 1)]), (1, 0));
    assert_eq!(with(done(), Some(owed(None)), paid()), (1, 0));
    assert_eq!(with(settlement(unknown()), Some(owed(None)), paid()), (0, 1), "nobody knows whether it was told");
    assert_eq!(with(done(), None, paid()), (1, 0));
    assert_eq!(with(done(), Some(owed(Some("back"))), [paid(), paid()].concat()), (0, 1), "the tool's own mistake");
    assert_eq!(with(done(), Some(owed(Some("back"))), vec![]), (1, 0));
    assert_eq!(with(done(), Some(owed(None)), vec![]), (0, 0));
}

#[test]
fn a_cut_history_may_lack_the_pay_out_of_what_is_settled() {
    let records = records(&[], &[payment(PaymentOutcome::AlreadyPaid)], &[owed(Some("back"))]);
    assert_eq!(books(There { ops: vec![accepted(5)], records, history_is_cut: true }, vec![charge()]), (0, 1));
}

#[test]
fn a_replica_that_is_behind_need_not_have_a_settlement_yet() {
    for (applied_index, expected) in [(9, 1), (8, 0)] {
        let scans = [(1, scan(1, applied_index)), (2, scan(2, 9))].into_iter().collect();
        let evidence = Evidence { scans, ..Evidence::default() };
        let mut lot = lot(vec![settlement(written(9, WriteAnswer::RefundSettled))]);
        lot.provider = vec![charge(), paid_out_as("back", AMOUNT_IDR)];
        let with = |refund| records(&[], &[payment(PaymentOutcome::AlreadyPaid)], &[refund]);
        lot.scans = [(1, with(owed(None))), (2, with(owed(Some("back"))))].into_iter().collect();
        assert_eq!(judged(&evidence, &lot, provider_and_ledger_agree).violations, expected, "{applied_index}");
    }
}

#[test]
fn the_books_and_the_calls_tell_the_same_of_a_notice() {
    let answered = |op, accepted| event(ProviderStep::NoticeAnswered { nth: 1, op: OpId(op), accepted }, AMOUNT_IDR);
    let with = |op: Op, answered| {
        books(There { ops: vec![op], records: recorded(|_| {}), history_is_cut: false }, vec![charge(), answered])
    };
    assert_eq!(with(accepted(5), answered(1, true)), (0, 0));
    assert_eq!(with(given_up(), answered(1, false)), (0, 0));
    assert_eq!(with(accepted(5), answered(1, false)), (0, 1));
    assert_eq!(with(given_up(), answered(1, true)), (0, 1));
    assert_eq!(with(accepted(5), answered(7, true)), (0, 1), "there is no such call");
    let mut late = accepted(5);
    late.answers[0].is_late = true;
    assert_eq!(with(late.clone(), answered(1, false)), (0, 0), "it was noted before the answer came");
    assert_eq!(with(late, answered(1, true)), (0, 0));
}

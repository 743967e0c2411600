//! What follows an issue: voids, stamps on documents, refunds, the policy. V2 to V12.

use stampede_chaos::proto::{admin, v1};

use super::ledger::in_scans;
use super::*;

fn is_void(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Written(Written { receipt: Receipt { replayed: false, .. }, answer: WriteAnswer::Voided { .. } })
    )
}

fn is_stamp(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Written(Written { receipt: Receipt { replayed: false, .. }, answer: WriteAnswer::Stamped { .. } })
    )
}

pub(super) fn is_repeated_stamp(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Written(Written { receipt: Receipt { replayed: true, .. }, answer: WriteAnswer::Stamped { .. } })
    )
}

fn is_settlement(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Written(Written { receipt: Receipt { replayed: false, .. }, answer: WriteAnswer::RefundSettled })
    )
}

fn is_refused_for(reason: &str) -> impl Fn(&Outcome) -> bool {
    move |outcome| matches!(outcome, Outcome::Refused { reason: told, .. } if **told == *reason)
}

pub(super) fn is_page(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::RefundsDue { refunds, .. }, .. }) if refunds.len() > 1)
}

#[test]
fn a_clean_run_has_all_that_follows_an_issue() {
    let verdict = holds(|run| {
        let outcomes: Vec<&Outcome> = run
            .records
            .iter()
            .filter_map(|record| if let Record::Return(answer) = record { Some(&answer.outcome) } else { None })
            .collect();
        let count = |wanted: &dyn Fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
        assert!(count(&is_void) > 50 && count(&is_stamp) > 100 && count(&is_repeated_stamp) > 20);
        assert!(count(&is_settlement) > 20 && count(&is_page) > 10);
        for reason in [
            "ORDER_NOT_ISSUED",
            "ORDER_STAMPED",
            "ORDER_VOIDED",
            "ORDER_EXHAUSTED",
            "REFUND_REUSED",
            "REFUND_AMOUNT_WRONG",
            "POLICY_VERSION_REUSED",
            "POLICY_VERSION_SKIPPED",
        ] {
            assert!(count(&is_refused_for(reason)) > 0, "no call is refused for {reason}");
        }
    });
    let failures: Vec<&str> = verdict.failures_2024.iter().map(|failure| failure.name.as_str()).collect();
    assert_eq!(failures, ["paid-but-no-quota", "paid-twice", "burned-stamp", "unreachable", "unknown"]);
}

#[test]
fn v2_a_voided_serial_that_is_sold_again() {
    flags(&["V2", "V11"], |run| {
        let op = answer(run, 5, is_void).op;
        let Request::VoidOrder { order: voided } = request_of(run, op) else { unreachable!() };
        let first = issued_numbers(run, voided);
        let answer = answer(run, 1_500, is_issue);
        let shown = serials(answer);
        shown.first_number = first;
        shown.codes = stampede_chaos::serial_code::SerialCodes::new(KEY).fold(SERIES, first, shown.quantity);
        Some(answer.op)
    });
}

/// First number of an order's serials, from a scan.
fn issued_numbers(run: &Run, wanted: OrderId) -> u64 {
    let text = stampede_chaos::model::order_text(wanted);
    let found = run.scans[&1].iter().find_map(|item| match &item.item {
        Some(Item::Order(order)) if order.order_id == text => order.serials.as_ref().map(|serials| serials.first_number),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn v2_and_v8_a_document_with_two_stamps() {
    flags(&["V2", "V8", "V11"], |run| {
        let answer = answer(run, 10, is_repeated_stamp);
        let WriteAnswer::Stamped { number, code, .. } = &mut written(answer).answer else { unreachable!() };
        *number += 1;
        *code = stampede_chaos::serial_code::SerialCodes::new(KEY).code(SERIES, *number).into();
        Some(answer.op)
    });
}

#[test]
fn v2_a_stamp_on_two_documents() {
    flags(&["V2"], |run| {
        in_scans(run, |items| {
            let stamping = items.iter_mut().find_map(|item| match &mut item.item {
                Some(Item::Stamping(stamping)) => Some(stamping),
                _ => None,
            });
            stamping.unwrap().document_sha256[31] ^= 1;
        });
        None
    });
}

#[test]
fn v3_a_stamp_whose_printed_code_is_not_its_own() {
    flags(&["V3"], |run| {
        let answer = answer(run, 10, is_stamp);
        let WriteAnswer::Stamped { number, code, .. } = &mut written(answer).answer else { unreachable!() };
        *code = stampede_chaos::serial_code::SerialCodes::new(KEY).code(SERIES, *number + 1).into();
        Some(answer.op)
    });
}

#[test]
fn v3_a_stamp_outside_its_series() {
    flags(&["V3", "V11"], |run| {
        let answer = answer(run, 10, is_stamp);
        let WriteAnswer::Stamped { number, code, .. } = &mut written(answer).answer else { unreachable!() };
        *number = 5;
        *code = stampede_chaos::serial_code::SerialCodes::new(KEY).code(SERIES, *number).into();
        Some(answer.op)
    });
}

fn is_issued_serial(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::SerialIssued { .. }, .. }))
}

#[test]
fn v2_a_serial_that_is_said_to_be_another_orders() {
    flags(&["V2", "V11"], |run| {
        let Outcome::Read(other) = answer(run, 0, is_issued_serial).outcome.clone() else { unreachable!() };
        let answer = answer(run, 200, is_issued_serial);
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        read.answer = other.answer;
        Some(answer.op)
    });
}

#[test]
fn v3_a_genuine_code_that_is_called_forged_and_a_forged_one_that_is_not() {
    flags(&["V3"], |run| {
        let answer = answer(run, 200, is_issued_serial);
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        read.answer = ReadAnswer::SerialForged;
        Some(answer.op)
    });
    flags(&["V3"], |run| {
        let index = last_index(run);
        let is_forged = |outcome: &Outcome| matches!(outcome, Outcome::Read(read) if read.answer == ReadAnswer::SerialForged);
        let answer = answer(run, 200, is_forged);
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        (read.read_index, read.answer) = (Some(index), ReadAnswer::SerialUnknown);
        Some(answer.op)
    });
}

#[test]
fn v4_orders_of_a_series_that_is_not_there() {
    flags(&["V4"], |run| {
        in_scans(run, |items| items.retain(|item| !matches!(item.item, Some(Item::Series(_)))));
        None
    });
}

#[test]
fn v4_a_series_that_forgets_what_was_voided() {
    flags(&["V4"], |run| {
        in_scans(run, |items| {
            for item in items {
                if let Some(Item::Series(series)) = &mut item.item {
                    series.voided = 0;
                }
            }
        });
        None
    });
}

pub(super) fn scanned_refund(items: &mut [admin::ScanLedgerResponse], reason: v1::RefundReason) -> &mut v1::Refund {
    let refund = items.iter_mut().find_map(|item| match &mut item.item {
        Some(Item::Refund(refund)) if refund.reason() == reason => Some(refund),
        _ => None,
    });
    refund.unwrap()
}

#[test]
fn v5_a_refund_beside_issued_stamps() {
    flags(&["V5"], |run| {
        in_scans(run, |items| {
            let voided = scanned_refund(items, v1::RefundReason::Void).order_id.clone();
            for item in items {
                if let Some(Item::Order(order)) = &mut item.item
                    && order.order_id == voided
                {
                    order.state = v1::OrderState::Issued.into();
                }
            }
        });
        None
    });
}

#[test]
fn v5_a_payment_that_issued_nothing_and_is_not_owed_back() {
    flags(&["V5", "V1"], |run| {
        in_scans(run, |items| {
            let name = scanned_refund(items, v1::RefundReason::AlreadyPaid).payment.clone();
            items.retain(|item| !matches!(&item.item, Some(Item::Refund(refund)) if refund.payment == name));
        });
        None
    });
}

#[test]
fn v5_and_v10_a_void_after_a_stamp() {
    flags(&["V5", "V10", "V11"], |run| {
        let refused = answer(run, 3, is_refused_for("ORDER_STAMPED"));
        let op = refused.op;
        let Outcome::Refused { place: Some(place), term, .. } = refused.outcome else { unreachable!() };
        let receipt = Receipt { place, replayed: false, term };
        refused.outcome = Outcome::Written(Written { receipt, answer: WriteAnswer::Voided { refund_idr: 7_500 } });
        Some(op)
    });
}

#[test]
fn v6_money_that_a_void_held_back_and_lost() {
    flags(&["V6"], |run| {
        let sample = run.records.iter_mut().rev().find_map(|record| match record {
            Record::Status(sample) => sample.totals.as_mut(),
            _ => None,
        });
        sample.unwrap().held_idr -= 1;
        None
    });
}

/// Of the provider's books.
fn paid_out(run: &mut Run, n: usize) -> &mut ProviderEvent {
    let events = run.records.iter_mut().filter_map(|record| match record {
        Record::Provider(event) if matches!(event.step, ProviderStep::PaidOut { .. }) => Some(event),
        _ => None,
    });
    events.into_iter().nth(n).unwrap()
}

#[test]
fn v7_a_refund_that_is_settled_and_that_nobody_paid() {
    flags(&["V7"], |run| {
        let payment = paid_out(run, 7).payment.clone();
        run.records.retain(|record| {
            !matches!(record, Record::Provider(ProviderEvent { payment: paid, step: ProviderStep::PaidOut { .. }, .. })
                if *paid == payment)
        });
        None
    });
}

#[test]
fn v7_and_v1_a_settlement_that_was_accepted_and_is_still_due() {
    flags(&["V7", "V1"], |run| {
        let op = answer(run, 7, is_settlement).op;
        let Request::SettleRefund { payment, .. } = request_of(run, op) else { unreachable!() };
        in_scans(run, |items| {
            for item in items {
                if let Some(Item::Refund(refund)) = &mut item.item
                    && refund.payment.as_ref().unwrap().payment_id == *payment.payment_id
                {
                    refund.settled = None;
                }
            }
        });
        Some(op)
    });
}

#[test]
fn v7_a_pay_out_of_another_amount_than_is_owed() {
    flags(&["V7"], |run| {
        paid_out(run, 7).amount_idr += 1;
        None
    });
}

#[test]
fn v8_a_refund_that_is_settled_twice() {
    flags(&["V8", "V11"], |run| {
        let answer = answer(run, 7, is_refused_for("REFUND_REUSED"));
        let Outcome::Refused { place: Some(place), term, .. } = answer.outcome else { unreachable!() };
        let receipt = Receipt { place, replayed: false, term };
        answer.outcome = Outcome::Written(Written { receipt, answer: WriteAnswer::RefundSettled });
        Some(answer.op)
    });
}

#[test]
fn v8_and_v11_a_void_that_gives_back_another_amount_when_asked_again() {
    flags(&["V8", "V11"], |run| {
        let is_replay = |outcome: &Outcome| {
            matches!(
                outcome,
                Outcome::Written(Written { receipt: Receipt { replayed: true, .. }, answer: WriteAnswer::Voided { .. } })
            )
        };
        let answer = answer(run, 3, is_replay);
        let WriteAnswer::Voided { refund_idr } = &mut written(answer).answer else { unreachable!() };
        *refund_idr += 1;
        Some(answer.op)
    });
}

#[test]
fn v9_a_stamp_that_was_refused_and_took_effect() {
    flags(&["V9"], |run| {
        let answer = answer(run, 20, is_stamp);
        let place = written(answer).receipt.place;
        answer.outcome = Outcome::Refused { reason: "ORDER_EXHAUSTED".into(), field: "".into(), place: Some(place), term: 1 };
        Some(answer.op)
    });
}

#[test]
fn v10_a_voided_order_that_is_issued_again() {
    flags(&["V10", "V11"], |run| {
        let is_voided = |outcome: &Outcome| matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::Order(order), .. }) if order.state == OrderState::Voided);
        let answer = answer(run, 5, is_voided);
        shown_order(answer).state = OrderState::Issued;
        Some(answer.op)
    });
}

#[test]
fn v11_a_page_of_what_is_owed_back_that_leaves_the_oldest_out() {
    flags(&["V11"], |run| {
        let answer = answer(run, 5, is_page);
        let Outcome::Read(Read { answer: ReadAnswer::RefundsDue { refunds, .. }, .. }) = &mut answer.outcome else {
            unreachable!()
        };
        refunds.remove(0);
        Some(answer.op)
    });
}

#[test]
fn v11_a_stamped_serial_that_is_shown_as_on_no_document() {
    flags(&["V11"], |run| {
        let is_stamped =
            |outcome: &Outcome| matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::SerialStamped { .. }, .. }));
        let answer = answer(run, 5, is_stamped);
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        let ReadAnswer::SerialStamped { order, issued_at_ms, .. } = read.answer else { unreachable!() };
        read.answer = ReadAnswer::SerialIssued { order, issued_at_ms };
        Some(answer.op)
    });
}

#[test]
fn v11_a_void_by_another_policy_than_the_one_in_force() {
    flags(&["V11"], |run| {
        let is_policy = |outcome: &Outcome| matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::Policy(_), .. }));
        let answer = answer(run, 0, is_policy);
        let Outcome::Read(Read { answer: ReadAnswer::Policy(policy), .. }) = &mut answer.outcome else { unreachable!() };
        policy.void_refund_percent += 1;
        Some(answer.op)
    });
}

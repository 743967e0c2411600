//! What the replicas hold: V1 to V7.

use stampede_chaos::proto::admin;
use stampede_chaos::proto::admin::logged_command::Command as Logged;

use super::*;

#[test]
fn v1_an_acknowledged_order_that_no_replica_holds() {
    flags(&["V1"], |run| {
        let answer = answer(run, 900, is_issue);
        let (op, first) = (answer.op, serials(answer).first_number);
        for scan in run.scans.values_mut() {
            scan.retain(|item| match &item.item {
                Some(Item::Order(order)) => order.serials.as_ref().is_none_or(|serials| serials.first_number != first),
                _ => true,
            });
        }
        Some(op)
    });
}

#[test]
fn v1_and_v13_an_acknowledged_order_that_one_replica_lost() {
    flags(&["V1", "V13"], |run| {
        run.scans.get_mut(&3).unwrap().retain(|item| !matches!(&item.item, Some(Item::Order(order)) if order.quantity == 3));
        None
    });
}

#[test]
fn v2_a_serial_for_two_orders() {
    flags(&["V2", "V11"], |run| {
        let other = serials(answer(run, 10, is_issue)).clone();
        let answer = answer(run, 400, is_issue);
        *serials(answer) = other;
        Some(answer.op)
    });
}

#[test]
fn v2_a_serial_that_only_a_late_answer_showed_for_another_order() {
    flags(&["V2"], |run| {
        let at_ns = run
            .records
            .iter()
            .filter_map(|record| if let Record::Return(answer) = record { Some(answer.at_ns) } else { None })
            .max()
            .unwrap();
        let mut late = answer(run, 10, is_issue).clone();
        let other = answer(run, 400, is_issue);
        late.op = other.op;
        late.at_ns = at_ns;
        other.outcome = Outcome::Unknown { why: "deadline".into() };
        let op = late.op;
        run.records.push(Record::LateReturn(late));
        Some(op)
    });
}

#[test]
fn v3_a_code_that_does_not_verify() {
    flags(&["V3"], |run| {
        let answer = answer(run, 77, is_issue);
        serials(answer).codes.fold ^= 1;
        Some(answer.op)
    });
}

/// All payments in one batch, of more codes than an answer has room for; the last answer to a repeated notice has none.
fn a_batch_beyond_its_codes(orders: u32) -> Run {
    let mut run = clean(SEED, orders, PER_ROUND);
    for record in &mut run.records {
        if let Record::Invoke(Invoke { batch, request: Request::RecordPayment { .. }, .. }) = record {
            *batch = 1;
        }
    }
    let repeated = run.records.iter_mut().rev().find_map(|record| match record {
        Record::Return(answer) if is_repeated_issue(&answer.outcome) => Some(answer),
        _ => None,
    });
    serials(repeated.unwrap()).codes = CodesSeen::default();
    run
}

#[test]
fn v3_v8_and_v17_an_answer_to_a_batch_may_lack_codes_beyond_its_bound_and_no_sooner() {
    let verdict = judged(&a_batch_beyond_its_codes(12_000));
    assert_eq!(verdict.exit(), Exit::Held, "{}", summary(&verdict));
    let verdict = judged(&a_batch_beyond_its_codes(ORDERS));
    let broken: Vec<&str> =
        verdict.invariants.iter().filter(|finding| finding.violations > 0).map(|finding| finding.id.as_str()).collect();
    assert_eq!(broken, ["V3"], "{}", summary(&verdict));
}

#[test]
fn v3_an_answer_to_a_call_of_its_own_that_lacks_its_codes() {
    flags(&["V3"], |run| {
        let answer = answer(run, 77, is_issue);
        serials(answer).codes = CodesSeen::default();
        Some(answer.op)
    });
}

#[test]
fn v3_a_serial_outside_its_series() {
    flags(&["V3"], |run| {
        let codes = stampede_chaos::serial_code::SerialCodes::new(KEY);
        let answer = answer(run, 77, is_issue);
        let shown = serials(answer);
        shown.first_number = 5;
        shown.codes = codes.fold(SERIES, 5, shown.quantity);
        Some(answer.op)
    });
}

#[test]
fn v4_a_series_that_counts_one_stamp_too_many() {
    flags(&["V4"], |run| {
        for scan in run.scans.values_mut() {
            for item in scan {
                if let Some(Item::Series(series)) = &mut item.item {
                    series.issued += 1;
                }
            }
        }
        None
    });
}

#[test]
fn v5_a_payment_that_was_issued_and_owed_back() {
    flags(&["V5", "V8", "V17"], |run| {
        let answer = answer(run, 30, is_repeated_issue);
        written(answer).answer = WriteAnswer::Recorded { outcome: PaymentOutcome::AlreadyPaid, serials: None };
        Some(answer.op)
    });
}

#[test]
fn v6_sums_that_miss_one_rupiah() {
    flags(&["V6"], |run| {
        let sample = run.records.iter_mut().rev().find_map(|record| match record {
            Record::Status(sample) => sample.totals.as_mut(),
            _ => None,
        });
        sample.unwrap().refund_due_idr += 1;
        None
    });
}

pub(super) fn in_scans(run: &mut Run, alter: impl Fn(&mut Vec<admin::ScanLedgerResponse>)) {
    run.scans.values_mut().for_each(alter);
}

fn scanned_order(items: &mut [admin::ScanLedgerResponse]) -> &mut stampede_chaos::proto::v1::Order {
    let orders = items.iter_mut().filter_map(|item| match &mut item.item {
        Some(Item::Order(order)) if order.paid_by.is_some() => Some(order),
        _ => None,
    });
    orders.into_iter().nth(700).unwrap()
}

#[test]
fn v1_a_record_that_is_not_what_the_log_makes_it() {
    flags(&["V1"], |run| {
        in_scans(run, |items| scanned_order(items).placed_at_ms += 1);
        None
    });
    flags(&["V1"], |run| {
        in_scans(run, |items| {
            if let Some(Item::Header(header)) = &mut items[0].item {
                header.totals.as_mut().unwrap().ledger_time_ms += 1;
            }
        });
        None
    });
}

#[test]
fn v1_each_kind_of_record_is_compared_with_the_log() {
    let changes: [fn(&mut Item) -> bool; 5] = [
        |item| {
            if let Item::Payment(seen) = item {
                seen.recorded_at_ms += 1;
                true
            } else {
                false
            }
        },
        |item| {
            if let Item::Refund(seen) = item {
                seen.due_at_ms += 1;
                true
            } else {
                false
            }
        },
        |item| {
            if let Item::Stamping(seen) = item {
                seen.stamped_at_ms += 1;
                true
            } else {
                false
            }
        },
        |item| {
            if let Item::Policy(seen) = item {
                seen.set_at_ms += 1;
                true
            } else {
                false
            }
        },
        |item| {
            if let Item::Series(seen) = item {
                seen.face_value_idr += 1;
                true
            } else {
                false
            }
        },
    ];
    for change in changes {
        flags(&["V1"], |run| {
            in_scans(run, |items| assert!(items.iter_mut().filter_map(|item| item.item.as_mut()).any(change)));
            None
        });
    }
}

#[test]
fn v1_an_acknowledgement_from_beyond_what_any_replica_has() {
    flags(&["V1", "V11"], |run| {
        let beyond = last_index(run) + 5;
        let answer = answer(run, 900, is_placed);
        written(answer).receipt.place.log_index = beyond;
        Some(answer.op)
    });
}

#[test]
fn v1_a_record_that_nothing_in_the_log_made() {
    flags(&["V1"], |run| {
        in_scans(run, |items| {
            let mut made_up = scanned_order(items).clone();
            made_up.order_id = "01890000-0000-7000-8000-000000000001".into();
            (made_up.paid_by, made_up.serials, made_up.settled) = (None, None, None);
            made_up.state = stampede_chaos::proto::v1::OrderState::Expired.into();
            items.push(admin::ScanLedgerResponse { item: Some(Item::Order(made_up)) });
        });
        None
    });
}

#[test]
fn v1_a_payment_that_only_an_unknown_call_made_and_no_replica_kept() {
    flags(&["V1"], |run| {
        // Nobody was told of it: the log alone has it.
        let op = answer(run, 900, is_issue).op;
        let Request::RecordPayment { payment, .. } = request_of(run, op) else { unreachable!() };
        for record in &mut run.records {
            if let Record::Return(answer) = record
                && matches!(&answer.outcome, Outcome::Written(Written { receipt: Receipt { .. }, .. }))
                && answer.op == op
            {
                answer.outcome = unknown();
            }
        }
        in_scans(run, |items| {
            items.retain(|item| match &item.item {
                Some(Item::Payment(kept)) => kept.name.as_ref().unwrap().payment_id != *payment.payment_id,
                _ => true,
            });
        });
        None
    });
}

#[test]
fn v3_and_v9_an_order_that_nobody_placed() {
    flags(&["V9", "V3"], |run| {
        let issue = answer(run, 400, is_issue).op;
        let Request::RecordPayment { order: wanted, .. } = request_of(run, issue) else { unreachable!() };
        let placed = |record: &Record| match record {
            Record::Invoke(Invoke { op, request: Request::PlaceOrder { order, .. }, .. }) if *order == wanted => Some(*op),
            _ => None,
        };
        let ops: Vec<OpId> = run.records.iter().filter_map(placed).collect();
        run.records.retain(|record| match record {
            Record::Invoke(invoke) => !ops.contains(&invoke.op),
            Record::Return(answer) => !ops.contains(&answer.op),
            _ => true,
        });
        None
    });
}

#[test]
fn v5_a_scan_with_an_issued_order_whose_payment_is_owed_back() {
    flags(&["V5"], |run| {
        in_scans(run, |items| {
            let payment = items.iter_mut().find_map(|item| match &mut item.item {
                Some(Item::Payment(payment)) if payment.outcome == 1 => Some(payment),
                _ => None,
            });
            payment.unwrap().outcome = stampede_chaos::proto::v1::PaymentOutcome::RefundDueAlreadyPaid.into();
        });
        None
    });
}

#[test]
fn v5_a_scan_with_a_key_that_is_there_twice() {
    let kinds: [fn(&Item) -> bool; 5] = [
        |item| matches!(item, Item::Order(_)),
        |item| matches!(item, Item::Payment(_)),
        |item| matches!(item, Item::Refund(_)),
        |item| matches!(item, Item::Stamping(_)),
        |item| matches!(item, Item::Policy(_)),
    ];
    for is_wanted in kinds {
        flags(&["V5"], |run| {
            in_scans(run, |items| {
                let again = items.iter().find(|item| item.item.as_ref().is_some_and(is_wanted)).unwrap().clone();
                items.push(again);
            });
            None
        });
    }
}

#[test]
fn v7_a_charge_that_was_accepted_and_is_not_in_the_ledger() {
    flags(&["V7", "V1"], |run| {
        let op = answer(run, 900, is_issue).op;
        let Request::RecordPayment { payment, .. } = request_of(run, op) else { unreachable!() };
        in_scans(run, |items| {
            items.retain(|item| match &item.item {
                Some(Item::Payment(kept)) => kept.name.as_ref().unwrap().payment_id != *payment.payment_id,
                _ => true,
            });
        });
        Some(op)
    });
}

/// Of the provider's books.
fn charged(run: &mut Run, n: usize) -> &mut ProviderEvent {
    let charges = run.records.iter_mut().filter_map(|record| match record {
        Record::Provider(event) if event.step == ProviderStep::ChargeAccepted => Some(event),
        _ => None,
    });
    charges.into_iter().nth(n).unwrap()
}

#[test]
fn v7_a_payment_of_another_amount_than_was_charged() {
    flags(&["V7"], |run| {
        charged(run, 500).amount_idr += 500;
        None
    });
}

#[test]
fn v7_a_payment_that_nobody_was_charged_for() {
    flags(&["V7"], |run| {
        let payment = charged(run, 500).payment.clone();
        run.records.retain(|record| !matches!(record, Record::Provider(event) if event.payment == payment));
        None
    });
}

#[test]
fn v7_books_that_lack_a_charge_they_have_notices_of_are_never_read_as_clean() {
    doubts("V7", |run| {
        let payment = charged(run, 500).payment.clone();
        run.records.retain(|record| {
            !matches!(record, Record::Provider(event) if event.payment == payment && event.step == ProviderStep::ChargeAccepted)
        });
    });
}

#[test]
fn v18_an_order_that_a_jump_of_the_leaders_clock_let_expire() {
    flags(&["V18"], |run| {
        // Right behind an entry of new orders: in the place of the first payment, and they all still wait.
        let is_order = |command: &admin::LoggedCommand| matches!(command.command, Some(Logged::PlaceOrder(_)));
        let has_orders = |entry: &admin::ExportLogResponse| entry.commands.len() > 1 && entry.commands.iter().all(is_order);
        let at = run.log.iter().position(has_orders).unwrap() + 1;
        run.log[at].proposed_at_ms += 3_600_000;
        run.log[at].commands[0].command = Some(Logged::ExpireOrders(admin::ExpireOrders { limit: 1_000 }));
        None
    });
}

//! The judge is judged: a clean run is held, and one altered record is flagged, by the right name, pointing at the guilty call.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "judge_support/mod.rs"]
mod support;

use stampede_chaos::checks::{Evidence, Finding, search};
use stampede_chaos::history::*;
use stampede_chaos::proto::admin::scan_ledger_response::Item;
use stampede_chaos::recheck::recheck;
use stampede_chaos::verdict::{Exit, Ruling, Verdict};
use support::{KEY, Run, SERIES, clean, clean_with};

const SEED: u64 = 7;
const ORDERS: u32 = 3_000;
const PER_ROUND: usize = 24;

fn judged(run: &Run) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    recheck(&run.write(&folder.path().join("run"))).unwrap()
}

fn summary(verdict: &Verdict) -> String {
    let broken = verdict.invariants.iter().filter(|finding| finding.violations > 0 || !finding.inconclusive.is_empty());
    broken.map(|finding| format!("{} {:?} {:?}\n", finding.id, finding.shown, finding.inconclusive)).collect()
}

/// Alters a clean run and expects each of `ids` to be violated; the first must point at call `guilty`, if there is one.
fn flags(ids: &[&str], alter: impl FnOnce(&mut Run) -> Option<OpId>) {
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    let guilty = alter(&mut run);
    let verdict = judged(&run);
    assert_eq!(verdict.exit(), Exit::Violated, "{}", summary(&verdict));
    for id in ids {
        let finding = verdict.invariants.iter().find(|finding| finding.id == *id).unwrap();
        assert!(finding.violations > 0, "{id} is silent: {}", summary(&verdict));
    }
    if let Some(guilty) = guilty {
        let first = verdict.invariants.iter().find(|finding| finding.id == ids[0]).unwrap();
        assert!(
            first.shown.iter().any(|shown| shown.ops.contains(&guilty.0)),
            "{} is not named: {}",
            guilty.0,
            summary(&verdict)
        );
    }
}

fn doubts(id: &str, alter: impl FnOnce(&mut Run)) {
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    alter(&mut run);
    let verdict = judged(&run);
    assert_eq!(verdict.exit(), Exit::Inconclusive, "{}", summary(&verdict));
    let finding = verdict.invariants.iter().find(|finding| finding.id == id).unwrap();
    assert!(!finding.inconclusive.is_empty(), "{}", summary(&verdict));
}

/// The n-th answer that `wanted` picks.
fn answer(run: &mut Run, n: usize, wanted: impl Fn(&Outcome) -> bool) -> &mut Return {
    let answers = run.records.iter_mut().filter_map(|record| match record {
        Record::Return(answer) if wanted(&answer.outcome) => Some(answer),
        _ => None,
    });
    answers.into_iter().nth(n).unwrap()
}

fn is_issue(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Written(Written {
            receipt: Receipt { replayed: false, .. },
            answer: WriteAnswer::Recorded { serials: Some(_), .. },
        })
    )
}

fn is_repeated_issue(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Written(Written {
            receipt: Receipt { replayed: true, .. },
            answer: WriteAnswer::Recorded { serials: Some(_), .. },
        })
    )
}

fn is_placed(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Written(Written { receipt: Receipt { replayed: false, .. }, answer: WriteAnswer::Placed { .. } })
    )
}

fn is_issued_order(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::Order(order), .. }) if order.state == OrderState::Issued)
}

fn written(answer: &mut Return) -> &mut Written {
    match &mut answer.outcome {
        Outcome::Written(written) => written,
        other => panic!("{other:?}"),
    }
}

fn serials(answer: &mut Return) -> &mut SerialsSeen {
    match &mut written(answer).answer {
        WriteAnswer::Recorded { serials: Some(serials), .. } => serials,
        other => panic!("{other:?}"),
    }
}

fn shown_order(answer: &mut Return) -> &mut OrderSeen {
    match &mut answer.outcome {
        Outcome::Read(Read { answer: ReadAnswer::Order(order), .. }) => order,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clean_runs_are_held() {
    for seed in 1..=5 {
        let verdict = judged(&clean(seed, ORDERS, PER_ROUND));
        assert_eq!(verdict.verdict, Ruling::Held, "seed {seed}: {}", summary(&verdict));
        assert_eq!(verdict.leader_kills, 2);
        assert!(verdict.orders_issued > 2_000);
        assert!(
            verdict.write_pause_ms.is_some_and(|pause| (300.0..400.0).contains(&pause.max)),
            "{:?}",
            verdict.write_pause_ms
        );
        assert!(verdict.invariants.iter().all(|finding| finding.checked > 0), "{:?}", verdict.invariants);
    }
}

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

#[test]
fn v8_and_v17_a_repeated_notice_with_an_effect_of_its_own() {
    flags(&["V17", "V8"], |run| {
        let answer = answer(run, 30, is_repeated_issue);
        let receipt = &mut written(answer).receipt;
        receipt.replayed = false;
        receipt.place.log_index += 1;
        Some(answer.op)
    });
}

#[test]
fn v9_a_call_that_was_refused_and_took_effect() {
    flags(&["V9"], |run| {
        let answer = answer(run, 500, is_issue);
        answer.outcome = Outcome::Refused { reason: "STOCK_EXHAUSTED".into(), field: "".into(), place: None, term: 1 };
        Some(answer.op)
    });
}

#[test]
fn v9_a_call_that_was_not_done_and_took_effect() {
    flags(&["V9"], |run| {
        let answer = answer(run, 500, is_placed);
        answer.outcome = Outcome::NotDone { reason: "NO_LEADER".into() };
        Some(answer.op)
    });
}

#[test]
fn v10_an_issued_order_that_waits_again() {
    flags(&["V10", "V11"], |run| {
        let answer = answer(run, 200, is_issued_order);
        shown_order(answer).state = OrderState::AwaitingPayment;
        Some(answer.op)
    });
}

#[test]
fn v10_and_v11_a_stale_read() {
    flags(&["V11", "V10"], |run| {
        let answer = answer(run, 2_000, is_issued_order);
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        read.read_index = read.read_index.map(|index| index - 10);
        Some(answer.op)
    });
}

#[test]
fn v11_two_answers_with_swapped_places() {
    flags(&["V11"], |run| {
        let other = written(answer(run, 100, is_placed)).receipt;
        let answer = answer(run, 600, is_placed);
        let op = answer.op;
        let mine = std::mem::replace(&mut written(answer).receipt, other);
        written(self::answer(run, 100, is_placed)).receipt = mine;
        Some(op)
    });
}

#[test]
fn v11_the_search_alone_finds_an_answer_that_no_order_of_calls_explains() {
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    let sampled = |answer: &&mut Return| match &answer.outcome {
        Outcome::Read(Read { answer: ReadAnswer::Order(order), .. }) => {
            order.state == OrderState::Issued && u16::from_be_bytes([order.order[14], order.order[15]]).is_multiple_of(100)
        }
        _ => false,
    };
    let answers =
        run.records.iter_mut().filter_map(|record| if let Record::Return(answer) = record { Some(answer) } else { None });
    let answer = answers.into_iter().find(sampled).unwrap();
    let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
    read.answer = ReadAnswer::Absent;
    let op = answer.op;
    let folder = tempfile::tempdir().unwrap();
    let evidence = Evidence::read(&run.write(&folder.path().join("run"))).unwrap();
    let mut finding = Finding::new("V11", "the search alone");
    search::orders_can_be_explained(&evidence, &mut finding);
    assert!(finding.shown.iter().any(|shown| shown.ops.contains(&op.0)), "{finding:?}");
}

#[test]
fn v13_a_replica_with_another_digest() {
    flags(&["V13"], |run| {
        let sample = run.records.iter_mut().find_map(|record| match record {
            Record::Status(sample) if sample.node == 2 => Some(sample),
            _ => None,
        });
        sample.unwrap().digest = "00ff".into();
        None
    });
}

#[test]
fn v13_a_replica_whose_records_are_not_what_its_digest_says() {
    flags(&["V13"], |run| {
        let Some(Item::Header(header)) = &mut run.scans.get_mut(&1).unwrap()[0].item else { unreachable!() };
        header.scanned_digest = "00ff".into();
        None
    });
}

#[test]
fn v14_writes_that_came_back_too_late() {
    flags(&["V14"], |run| {
        run.facts.bounds.first_success_ms = 100;
        None
    });
}

#[test]
fn v16_two_leaders_in_a_term() {
    flags(&["V16"], |run| {
        let sample = run.records.iter_mut().find_map(|record| match record {
            Record::Status(sample) if sample.role == NodeRole::Follower => Some(sample),
            _ => None,
        });
        sample.unwrap().role = NodeRole::Leader;
        None
    });
}

#[test]
fn v16_a_term_that_goes_back() {
    flags(&["V16"], |run| {
        let sample = run.records.iter_mut().rev().find_map(|record| match record {
            Record::Status(sample) => Some(sample),
            _ => None,
        });
        sample.unwrap().term -= 2;
        None
    });
}

#[test]
fn v12_a_call_whose_answer_is_gone_stays_unknown() {
    doubts("V12", |run| {
        let op =
            answer(run, 0, |outcome| matches!(outcome, Outcome::Written(Written { answer: WriteAnswer::SeriesOpened, .. }))).op;
        run.records.retain(|record| !matches!(record, Record::Return(answer) if answer.op == op));
    });
}

#[test]
fn v20_a_run_that_killed_too_few_leaders() {
    doubts("V20", |run| {
        run.records.retain(
            |record| !matches!(record, Record::Fault(event) if event.fault == 1 && event.stage == FaultStage::Effective),
        );
    });
}

#[test]
fn a_missing_call_record_is_never_read_as_clean() {
    doubts("V20", |run| {
        let at = run
            .records
            .iter()
            .position(|record| matches!(record, Record::Invoke(Invoke { request: Request::GetOrder { .. }, .. })));
        run.records.remove(at.unwrap());
    });
}

#[test]
fn a_run_that_did_not_finish_is_never_read_as_clean() {
    doubts("V20", |run| run.records.truncate(run.records.len() - 1));
}

#[test]
fn a_missing_scan_is_never_read_as_clean() {
    doubts("V1", |run| {
        run.scans.remove(&2);
    });
}

#[test]
fn a_hole_in_the_log_is_never_read_as_clean() {
    doubts("V11", |run| {
        run.log.remove(300);
    });
}

#[test]
fn a_torn_history_is_never_read_as_clean() {
    let folder = tempfile::tempdir().unwrap();
    let run = clean(SEED, ORDERS, PER_ROUND).write(&folder.path().join("run"));
    let bytes = std::fs::read(run.history()).unwrap();
    std::fs::write(run.history(), &bytes[..bytes.len() - 3]).unwrap();
    let verdict = recheck(&run).unwrap();
    assert_eq!(verdict.exit(), Exit::Inconclusive, "{}", summary(&verdict));
    assert!(summary(&verdict).contains("torn"));
}

#[test]
fn the_reports_say_what_the_verdict_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut made = clean(SEED, ORDERS, PER_ROUND);
    serials(answer(&mut made, 77, is_issue)).codes.fold ^= 1;
    let run = made.write(&folder.path().join("run"));
    let verdict = recheck(&run).unwrap();

    let read: Verdict = serde_json::from_slice(&std::fs::read(run.verdict()).unwrap()).unwrap();
    assert_eq!(read, verdict);
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(run.verdict()).unwrap()).unwrap();
    assert_eq!((&json["schema"], &json["verdict"], &json["leader_kills"]), (&1.into(), &"violated".into(), &2.into()));
    assert_eq!(json["faults"]["kill-leader"], 2);
    let junit = std::fs::read_to_string(run.junit()).unwrap();
    assert!(junit.contains("tests=\"17\"") && junit.contains("failures=\"1\""), "{junit}");
    let page = std::fs::read_to_string(run.report()).unwrap();
    assert!(page.contains("<h1 class=\"violated\">violated</h1>") && page.contains("the printed codes are not those"));
    assert!(!page.contains("http"), "the page needs no network");
}

/// Records of a call that came after all others, before the end mark.
fn append(run: &mut Run, at_ns: u64, purpose: Purpose, request: Request, ended_ns: u64, outcome: Outcome) -> OpId {
    let op = OpId(run.records.iter().filter(|record| matches!(record, Record::Invoke(_))).count() as u64 + 1);
    let invoke = Invoke { op, at_ns, intended_ns: at_ns, session: 5_000, node: 1, purpose, batch: 0, request };
    let end = run.records.len() - 1;
    run.records.insert(end, Record::Invoke(invoke));
    run.records.insert(end + 1, Record::Return(Return { op, at_ns: ended_ns, outcome }));
    op
}

fn heal_ns(run: &Run) -> u64 {
    let heal = run.records.iter().find_map(|record| match record {
        Record::Phase { at_ns, phase: Phase::Heal } => Some(*at_ns),
        _ => None,
    });
    heal.unwrap()
}

fn last_index(run: &Run) -> u64 {
    run.log.iter().map(|entry| entry.log_index).max().unwrap()
}

fn unknown() -> Outcome {
    Outcome::Unknown { why: "deadline".into() }
}

fn request_of(run: &Run, op: OpId) -> Request {
    let invoke = run.records.iter().find_map(|record| match record {
        Record::Invoke(invoke) if invoke.op == op => Some(invoke),
        _ => None,
    });
    invoke.unwrap().request.clone()
}

fn holds(alter: impl FnOnce(&mut Run)) -> Verdict {
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    alter(&mut run);
    let verdict = judged(&run);
    assert_eq!(verdict.exit(), Exit::Held, "{}", summary(&verdict));
    verdict
}

fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { place: Some(_), .. })
}

fn in_scans(run: &mut Run, alter: impl Fn(&mut Vec<stampede_chaos::proto::admin::ScanLedgerResponse>)) {
    run.scans.values_mut().for_each(alter);
}

fn scanned_order(items: &mut [stampede_chaos::proto::admin::ScanLedgerResponse]) -> &mut stampede_chaos::proto::v1::Order {
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
fn v1_a_record_that_nothing_in_the_log_made() {
    flags(&["V1"], |run| {
        in_scans(run, |items| {
            let mut made_up = scanned_order(items).clone();
            made_up.order_id = "01890000-0000-7000-8000-000000000001".into();
            (made_up.paid_by, made_up.serials, made_up.settled) = (None, None, None);
            made_up.state = stampede_chaos::proto::v1::OrderState::Expired.into();
            items.push(stampede_chaos::proto::admin::ScanLedgerResponse { item: Some(Item::Order(made_up)) });
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
    flags(&["V5"], |run| {
        in_scans(run, |items| {
            let again = items.last().unwrap().clone();
            items.push(again);
        });
        None
    });
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
fn v17_a_notice_that_was_accepted_and_does_not_stand_in_the_log() {
    flags(&["V17", "V11"], |run| {
        let answer = answer(run, 30, is_issue);
        written(answer).receipt.place.offset += 5_000;
        Some(answer.op)
    });
}

#[test]
fn v9_a_refusal_that_does_not_say_where() {
    flags(&["V9"], |run| {
        let answer = answer(run, 3, is_refused);
        let Outcome::Refused { place, .. } = &mut answer.outcome else { unreachable!() };
        *place = None;
        Some(answer.op)
    });
}

#[test]
fn v9_a_refusal_that_the_protocol_does_not_list() {
    flags(&["V9"], |run| {
        // A time-out, told as a refusal; it never reached the log.
        let op = run.records.iter().find_map(|record| match record {
            Record::Return(answer) if matches!(answer.outcome, Outcome::NotDone { .. }) => Some(answer.op),
            _ => None,
        });
        let answer = answer(run, 0, |outcome| matches!(outcome, Outcome::NotDone { .. }));
        answer.outcome = Outcome::Refused { reason: "OUTCOME_UNKNOWN".into(), field: "".into(), place: None, term: 0 };
        op
    });
}

#[test]
fn v9_an_unknown_call_that_came_after_the_effect_was_seen_does_not_excuse_it() {
    flags(&["V9"], |run| {
        let answer = answer(run, 500, is_placed);
        answer.outcome = Outcome::NotDone { reason: "NO_LEADER".into() };
        let op = answer.op;
        let (request, at_ns) = (request_of(run, op), heal_ns(run) + 50_000_000);
        append(run, at_ns, Purpose::Retry, request, at_ns + 1_000, unknown());
        Some(op)
    });
}

#[test]
fn v11_a_read_that_does_not_say_what_it_is_good_for() {
    for is_stale in [false, true] {
        flags(&["V11"], |run| {
            let answer = answer(run, 200, is_issued_order);
            let op = answer.op;
            let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
            read.read_index = None;
            for record in &mut run.records {
                if let Record::Invoke(Invoke { op: other, request: Request::GetOrder { consistency, .. }, .. }) = record
                    && *other == op
                    && is_stale
                {
                    *consistency = Consistency::Stale;
                }
            }
            Some(op)
        });
    }
}

#[test]
fn v11_a_first_execution_that_was_answered_as_a_replay() {
    flags(&["V11"], |run| {
        let answer =
            answer(run, 70, |outcome| matches!(outcome, Outcome::Written(Written { answer: WriteAnswer::Cancelled, .. })));
        written(answer).receipt.replayed = true;
        Some(answer.op)
    });
}

#[test]
fn v11_times_that_the_log_does_not_make() {
    flags(&["V11"], |run| {
        let answer = answer(run, 200, is_issued_order);
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        read.ledger_time_ms += 1;
        Some(answer.op)
    });
    flags(&["V11"], |run| {
        let answer =
            answer(run, 200, |outcome| matches!(outcome, Outcome::Read(Read { answer: ReadAnswer::SerialIssued { .. }, .. })));
        let Outcome::Read(Read { answer: ReadAnswer::SerialIssued { issued_at_ms, .. }, .. }) = &mut answer.outcome else {
            unreachable!()
        };
        *issued_at_ms += 1;
        Some(answer.op)
    });
}

/// A call that nobody answered, a second after the heal, and what was asked about it `after_ms` later.
fn unknown_and_asked(run: &mut Run, consistency: Consistency, after_ms: u64) -> OpId {
    run.facts.bounds.known_within_ms = 500;
    let (order, at_ns) = ([7; 16], heal_ns(run) + 1_000_000_000);
    let place = Request::PlaceOrder { order, account: "buyer".into(), series: SERIES, quantity: 1 };
    let op = append(run, at_ns, Purpose::Retry, place, at_ns + 1_000, unknown());
    let absent = Outcome::Read(Read { read_index: Some(last_index(run)), ledger_time_ms: 0, answer: ReadAnswer::Absent });
    let asked_ns = at_ns + after_ms * 1_000_000;
    append(run, asked_ns, Purpose::Ask, Request::GetOrder { order, consistency }, asked_ns + 1_000, absent);
    op
}

#[test]
fn v12_an_unknown_is_known_in_time_counted_from_its_end() {
    holds(|run| {
        unknown_and_asked(run, Consistency::Linearizable, 400);
    });
    flags(&["V12"], |run| Some(unknown_and_asked(run, Consistency::Linearizable, 600)));
}

#[test]
fn v12_an_old_state_tells_nothing_of_an_unknown() {
    doubts("V12", |run| {
        unknown_and_asked(run, Consistency::Stale, 400);
    });
}

#[test]
fn v14_latency_that_stays_high_after_a_fault() {
    flags(&["V14"], |run| {
        let killed_ns = run.records.iter().rev().find_map(|record| match record {
            Record::Fault(event) if event.stage == FaultStage::Injected => Some(event.at_ns),
            _ => None,
        });
        for record in &mut run.records {
            if let Record::Invoke(invoke) = record
                && Some(invoke.at_ns) > killed_ns
            {
                invoke.intended_ns = invoke.at_ns - 400_000_000;
            }
        }
        None
    });
}

#[test]
fn v14_no_fresh_write_succeeds() {
    flags(&["V14"], |run| {
        let fresh = run.records.iter().find_map(|record| match record {
            Record::Invoke(Invoke { op, purpose: Purpose::FreshWrite, .. }) => Some(*op),
            _ => None,
        });
        for record in &mut run.records {
            if let Record::Return(answer) = record
                && Some(answer.op) == fresh
            {
                answer.outcome = Outcome::NotDone { reason: "NO_LEADER".into() };
            }
        }
        fresh
    });
}

#[test]
fn v14_a_run_that_is_sold_out_is_not_dead() {
    let run = clean_with(SEED, ORDERS, PER_ROUND, 3_000);
    let verdict = judged(&run);
    assert_eq!(verdict.exit(), Exit::Held, "{}", summary(&verdict));
    assert!(verdict.calls.refused > 500, "{:?}", verdict.calls);
}

#[test]
fn v14_bounds_that_no_fault_leaves_time_to_break_show_nothing() {
    doubts("V14", |run| {
        (run.facts.bounds.first_success_ms, run.facts.bounds.p99_recovery_ms) = (60_000, 60_000);
    });
}

#[test]
fn v14_the_end_of_the_arrivals_ends_the_last_window() {
    // The last kill leaves two seconds of arrivals, and a heal that comes long after them adds nothing.
    doubts("V14", |run| {
        (run.facts.bounds.first_success_ms, run.facts.bounds.p99_recovery_ms) = (4_000, 4_000);
        let heal_ns = heal_ns(run);
        for record in &mut run.records {
            let at_ns = match record {
                Record::Phase { at_ns, .. } if *at_ns >= heal_ns => at_ns,
                Record::Invoke(invoke) if invoke.at_ns >= heal_ns => &mut invoke.at_ns,
                Record::Return(answer) if answer.at_ns >= heal_ns => &mut answer.at_ns,
                _ => continue,
            };
            *at_ns += 10_000_000_000;
        }
    });
}

#[test]
fn v16_an_answer_of_an_older_term_than_its_entry() {
    flags(&["V16"], |run| {
        let answer = answer(run, 1_500, is_placed);
        written(answer).receipt.term = 0;
        Some(answer.op)
    });
}

#[test]
fn v16_two_nodes_that_export_different_entries() {
    flags(&["V16"], |run| {
        run.log.last_mut().unwrap().term += 1;
        None
    });
}

#[test]
fn v20_faults_that_all_missed_show_nothing_even_if_none_was_required() {
    doubts("V20", |run| {
        run.facts.required_faults.clear();
        run.records.retain(|record| !matches!(record, Record::Fault(event) if event.stage == FaultStage::Effective));
    });
}

#[test]
fn v20_killing_all_nodes_hits_all_nodes() {
    doubts("V20", |run| {
        run.facts.required_faults = vec![RequiredFault { kind: "kill-all".into(), at_least: 1, role: String::new() }];
        for record in &mut run.records {
            if let Record::Fault(event) = record {
                event.kind = "kill-all".into();
            }
        }
    });
}

fn require_a_snapshot_install(run: &mut Run) {
    let kind = stampede_chaos::scenario::Required::SNAPSHOT_INSTALLS.to_owned();
    run.facts.required_faults.push(RequiredFault { kind, at_least: 1, role: String::new() });
}

#[test]
fn v20_a_snapshot_that_had_to_be_installed() {
    doubts("V20", require_a_snapshot_install);
    holds(|run| {
        require_a_snapshot_install(run);
        let (mut samples, mut installed) = (0, 0);
        for record in &mut run.records {
            if let Record::Status(sample) = record
                && sample.node == 2
            {
                samples += 1;
                if samples == 5 {
                    installed = sample.applied_index;
                }
                (sample.snapshot_index, sample.purged_index) = (installed, installed);
            }
        }
        assert!(installed > 0);
    });
}

#[test]
fn an_orderly_stop_is_no_leader_kill() {
    let verdict = holds(|run| {
        run.facts.required_faults[0].kind = "stop-leader".into();
        for record in &mut run.records {
            if let Record::Fault(event) = record {
                event.kind = "stop-leader".into();
            }
        }
    });
    assert_eq!((verdict.leader_kills, verdict.write_pause_ms), (0, None));
}

#[test]
fn orders_per_second_counts_what_was_issued_while_the_traffic_ran() {
    let verdict = holds(|run| {
        let half_ns = heal_ns(run) / 2;
        for record in &mut run.records {
            if let Record::Phase { at_ns, phase: Phase::Heal } = record {
                *at_ns = half_ns;
            }
        }
    });
    let in_traffic = verdict.orders_per_s * verdict.traffic_s;
    assert!(in_traffic < 0.7 * f64::from(u32::try_from(verdict.orders_issued).unwrap()), "{verdict:?}");
}

#[test]
fn a_doubled_return_is_never_read_as_clean() {
    doubts("V20", |run| {
        let answer = answer(run, 50, is_issue).clone();
        let end = run.records.len() - 1;
        run.records.insert(end, Record::Return(answer));
    });
}

#[test]
fn a_read_without_its_return_is_never_read_as_clean() {
    doubts("V20", |run| {
        let op = answer(run, 50, is_issued_order).op;
        run.records.retain(|record| !matches!(record, Record::Return(answer) if answer.op == op));
    });
}

#[test]
fn a_write_without_its_call_is_the_tools_failure_and_not_the_systems() {
    doubts("V9", |run| {
        let op = answer(run, 500, is_issue).op;
        run.records.retain(|record| !matches!(record, Record::Invoke(invoke) if invoke.op == op));
    });
}

#[test]
fn the_beginning_of_a_clean_history_is_inconclusive_wherever_it_ends() {
    let whole = clean(SEED, 400, PER_ROUND).records;
    let cuts = (0..whole.len() - 1).step_by(whole.len() / 150);
    let long = clean(SEED, ORDERS, PER_ROUND).records;
    let runs = cuts
        .map(|cut| (400, whole[..cut].to_vec()))
        .chain((1..20).map(|part| (ORDERS, long[..long.len() * part / 20].to_vec())));
    for (orders, records) in runs {
        let cut = records.len();
        let verdict = judged(&Run { records, ..clean(SEED, orders, PER_ROUND) });
        assert_eq!(verdict.exit(), Exit::Inconclusive, "{orders} orders, cut at {cut}: {}", summary(&verdict));
    }
}

#[test]
fn a_replica_that_was_scanned_too_early_is_the_tools_failure_and_not_the_systems() {
    doubts("V1", |run| {
        let items = run.scans.get_mut(&3).unwrap();
        items.truncate(1);
        let Some(Item::Header(header)) = &mut items[0].item else { unreachable!() };
        let totals = Some(stampede_chaos::proto::admin::Totals::default());
        *header = stampede_chaos::proto::admin::ScanHeader { node_id: 3, totals, ..Default::default() };
    });
}

#[test]
fn a_log_that_was_exported_too_early_is_the_tools_failure_and_not_the_systems() {
    doubts("V11", |run| run.log.truncate(200));
}

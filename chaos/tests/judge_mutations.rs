//! The judge is judged: a clean run is held, and one altered record is flagged, by the right name, pointing at the guilty call.

#![allow(clippy::unwrap_used, reason = "a test fails where it unwraps")]

#[path = "judge_support/mod.rs"]
mod support;

use stampede_chaos::history::*;
use stampede_chaos::proto::admin::scan_ledger_response::Item;
use stampede_chaos::recheck::recheck;
use stampede_chaos::verdict::{Exit, Judgement, Verdict};
use support::{KEY, Run, SERIES, clean};

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
        assert_eq!(verdict.verdict, Judgement::Held, "seed {seed}: {}", summary(&verdict));
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
    flags(&["V11"], |run| {
        // An answer that names no index: the witness has nothing to hold it against.
        let sampled = |answer: &&mut Return| match &answer.outcome {
            Outcome::Read(Read { answer: ReadAnswer::Order(order), .. }) => {
                order.state == OrderState::Issued && u16::from_be_bytes([order.order[14], order.order[15]]).is_multiple_of(100)
            }
            _ => false,
        };
        let answers =
            run.records.iter_mut().filter_map(|record| if let Record::Return(answer) = record { Some(answer) } else { None });
        let answer = answers.into_iter().find(|answer| sampled(answer)).unwrap();
        let Outcome::Read(read) = &mut answer.outcome else { unreachable!() };
        (read.read_index, read.answer) = (None, ReadAnswer::Absent);
        Some(answer.op)
    });
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
    assert!(junit.contains("tests=\"16\"") && junit.contains("failures=\"1\""), "{junit}");
    let page = std::fs::read_to_string(run.report()).unwrap();
    assert!(page.contains("<h1 class=\"violated\">violated</h1>") && page.contains("the printed codes are not those"));
    assert!(!page.contains("http"), "the page needs no network");
}

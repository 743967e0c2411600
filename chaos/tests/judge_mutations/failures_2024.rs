//! The five failures of September 2024: each is judged by its name, and a run that never came in the way of one says so.

use stampede_chaos::checks::failures_2024::Failure2024;
use stampede_chaos::proto::v1;
use stampede_chaos::scenario::FailureOf2024;

use super::after_issue::{is_page, is_repeated_stamp, scanned_refund};
use super::ledger::in_scans;
use super::*;

/// As a scenario that provokes all five.
fn provoking(alter: impl FnOnce(&mut Run)) -> Run {
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    run.facts.provoked = FailureOf2024::ALL.map(|failure| failure.name().to_owned()).to_vec();
    alter(&mut run);
    run
}

fn failure(verdict: &Verdict, wanted: FailureOf2024) -> &Failure2024 {
    verdict.failures_2024.iter().find(|failure| failure.name == wanted.name()).unwrap()
}

/// It happened, and the run is violated by its name, in the report for machines too.
fn happens(wanted: FailureOf2024, alter: impl FnOnce(&mut Run)) {
    let folder = tempfile::tempdir().unwrap();
    let run = provoking(alter).write(&folder.path().join("run"));
    let verdict = recheck(&run).unwrap();
    let found = failure(&verdict, wanted);
    assert!(found.violations > 0 && !found.shown.is_empty(), "{found:?}: {}", summary(&verdict));
    assert_eq!(verdict.exit(), Exit::Violated);
    let junit = std::fs::read_to_string(run.junit()).unwrap();
    let case = junit.split("<testcase ").find(|case| case.contains(&format!("name=\"{} ", wanted.name()))).unwrap();
    assert!(case.contains("<failure "), "{case}");
    let page = std::fs::read_to_string(run.report()).unwrap();
    assert!(page.contains(&format!("id=\"violations-{}\"", wanted.name())), "the page says what happened");
}

#[test]
fn a_clean_run_is_in_the_way_of_each_failure_and_none_happens() {
    let verdict = judged(&provoking(|_| {}));
    assert_eq!(verdict.exit(), Exit::Held, "{}", summary(&verdict));
    for one in FailureOf2024::ALL {
        let found = failure(&verdict, one);
        assert!(found.checked > 0 && found.violations == 0 && found.inconclusive.is_empty(), "{found:?}");
    }
}

#[test]
fn paid_but_no_quota_a_payment_that_was_taken_and_left_no_trace() {
    happens(FailureOf2024::PaidButNoQuota, |run| {
        in_scans(run, |items| {
            let name = scanned_refund(items, v1::RefundReason::AlreadyPaid).payment.clone();
            items.retain(|item| !matches!(&item.item, Some(Item::Refund(refund)) if refund.payment == name));
        });
    });
}

#[test]
fn paid_twice_a_second_payment_that_is_owed_back_in_part() {
    happens(FailureOf2024::PaidTwice, |run| {
        in_scans(run, |items| scanned_refund(items, v1::RefundReason::AlreadyPaid).amount_idr -= 1);
    });
}

#[test]
fn burned_stamp_a_document_that_gets_another_serial_after_a_broken_call() {
    happens(FailureOf2024::BurnedStamp, |run| {
        let repeated = answer(run, 10, is_repeated_stamp);
        let op = repeated.op;
        let WriteAnswer::Stamped { number, .. } = &mut written(repeated).answer else { unreachable!() };
        *number += 1;
        let request = request_of(run, op);
        let first = run.records.iter().find_map(|record| match record {
            Record::Invoke(invoke) if invoke.request == request => Some(invoke.op),
            _ => None,
        });
        answer_of(run, first.unwrap()).outcome = unknown();
    });
}

#[test]
fn unreachable_no_write_for_longer_than_the_bound_while_a_majority_is_up() {
    happens(FailureOf2024::Unreachable, |run| {
        run.facts.bounds.first_success_ms = 100;
        let killed_ns = run.records.iter().rev().find_map(|record| match record {
            Record::Fault(event) if event.stage == FaultStage::Injected => Some(event.at_ns),
            _ => None,
        });
        // Who was answered 300 ms after the kill had called before it.
        let waited = killed_ns.unwrap()..killed_ns.unwrap() + 350_000_000;
        for record in &mut run.records {
            if let Record::Invoke(invoke) = record
                && waited.contains(&invoke.at_ns)
            {
                invoke.at_ns -= 290_000_000;
                invoke.intended_ns = invoke.at_ns;
            }
        }
    });
}

#[test]
fn unknown_a_page_of_what_is_owed_back_that_leaves_the_oldest_out() {
    happens(FailureOf2024::Unknown, |run| {
        let answer = answer(run, 5, is_page);
        let Outcome::Read(Read { answer: ReadAnswer::RefundsDue { refunds, .. }, .. }) = &mut answer.outcome else {
            unreachable!()
        };
        refunds.remove(0);
    });
}

#[test]
fn a_failure_that_the_scenario_provokes_and_the_run_was_never_in_the_way_of_is_unsure() {
    let shape = Shape { orders: 600, per_round: 12, capacity: 1_000_000, plain_percent: 100, audit_rounds: 15 };
    let folder = tempfile::tempdir().unwrap();
    let run = write_clean(SEED, shape, &folder.path().join("run"));
    // State, and whether it is an error for machines.
    let burned = || {
        let state = failure(&recheck(&run).unwrap(), FailureOf2024::BurnedStamp).state();
        let junit = std::fs::read_to_string(run.junit()).unwrap();
        let case = junit.split("<testcase ").find(|case| case.contains("name=\"burned-stamp ")).unwrap();
        (state, case.contains("<error "))
    };
    assert_eq!(burned(), ("not tried".to_owned(), false), "nobody stamps, and nobody said that somebody would");
    let mut facts = RunFacts::read(&run).unwrap();
    facts.provoked.push(FailureOf2024::BurnedStamp.name().to_owned());
    facts.write(&run).unwrap();
    assert_eq!(burned(), ("unsure".to_owned(), true));
}

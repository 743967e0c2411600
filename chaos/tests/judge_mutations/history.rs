//! Files that are not whole: the tool failed, which is never read as clean, and never as the system's failure.

use super::*;

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
fn a_log_without_its_beginning_is_the_tools_failure_and_not_the_systems() {
    doubts("V11", |run| run.log.retain(|entry| entry.log_index >= 300));
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
fn an_issued_order_whose_placing_the_history_lacks_is_the_tools_failure_and_not_the_systems() {
    doubts("V3", |run| {
        let issue = answer(run, 400, is_issue).op;
        let Request::RecordPayment { order: wanted, .. } = request_of(run, issue) else { unreachable!() };
        run.records.retain(|record| {
            !matches!(record, Record::Invoke(Invoke { request: Request::PlaceOrder { order, .. }, .. }) if *order == wanted)
        });
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
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    run.log.truncate(200);
    let verdict = judged(&run);
    assert_eq!(verdict.exit(), Exit::Inconclusive, "{}", summary(&verdict));
    let v11 = verdict.invariants.iter().find(|finding| finding.id == "V11").unwrap();
    for why in ["answers lie outside the exported log", "reads are good for an index beyond the exported log"] {
        assert!(v11.inconclusive.iter().any(|told| told.contains(why)), "{why}: {v11:?}");
    }
}

#[test]
fn a_short_log_excuses_no_answer_from_a_place_where_it_has_something_else() {
    let mut run = clean(SEED, ORDERS, PER_ROUND);
    run.log.truncate(200);
    // (Of several orders, for they are judged in lots.)
    let moved = (400..408).map(|nth| {
        let elsewhere = written(answer(&mut run, nth - 380, is_placed)).receipt;
        let answer = answer(&mut run, nth, is_placed);
        written(answer).receipt = Receipt { replayed: true, ..elsewhere };
        answer.op.0
    });
    let moved: Vec<u64> = moved.collect();
    let verdict = judged(&run);
    let v11 = verdict.invariants.iter().find(|finding| finding.id == "V11").unwrap();
    let named: Vec<u64> = v11.shown.iter().flat_map(|shown| shown.ops.clone()).collect();
    assert!(moved.iter().all(|op| named.contains(op)), "{moved:?}: {}", summary(&verdict));
}

#[test]
fn a_run_that_read_nothing_need_not_show_what_reads_would_have_shown() {
    holds(|run| {
        let reads: std::collections::HashSet<OpId> = run
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Invoke(invoke) if !invoke.request.is_write() => Some(invoke.op),
                _ => None,
            })
            .collect();
        run.records.retain(|record| match record {
            Record::Invoke(invoke) => !reads.contains(&invoke.op),
            Record::Return(answer) => !reads.contains(&answer.op),
            _ => true,
        });
    });
}

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

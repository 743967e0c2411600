//! V14: from the moment a majority is healthy, writes succeed within one bound and are as quick as before within another.
//!
//! A window that the next fault or the end of the arrivals cuts below a bound shows nothing of that bound and is not counted:
//! a scenario in which no window can fail a bound is inconclusive. So is a window that fails one while the tool itself was late.

use std::ops::Range;

use super::timeline::{Acknowledged, MS, Window, arrivals_end, windows};
use super::{Evidence, Finding};
use crate::evidence::Moment;
use crate::figures::percentile;
use crate::history::{Bounds, FaultStage, Purpose};
use crate::limits;

/// Width of a latency window.
pub(super) const WINDOW_NS: u64 = 1_000 * MS;
/// Writes that a window needs for a 99th percentile to mean something.
const WINDOW_WRITES_MIN: usize = 20;

#[must_use]
pub fn bounded_recovery(evidence: &Evidence, writes: &[Acknowledged]) -> Finding {
    let mut finding = Finding::new("V14", "writes succeed soon after a majority is healthy, and are quick again");
    let bounds = &evidence.facts.bounds;
    let windows = windows(evidence);
    let arrivals_end_ns = arrivals_end(evidence);
    let quick_ns = quick_ns(evidence, writes);
    let (mut successes, mut latencies) = (0, 0);
    for (at, window) in windows.iter().enumerate() {
        let next_ns = windows.get(at + 1).map_or(u64::MAX, |next| next.fired_ns).min(arrivals_end_ns);
        let Some(healthy_ns) = window.healthy_ns else {
            finding.unsure(format!("fault {}: a majority was never healthy again", window.fault));
            continue;
        };
        // Below a bound, the next fault or the end of the arrivals excuses whatever is seen.
        let leaves = |bound_ms: u64| next_ns.saturating_sub(healthy_ns) >= bound_ms.saturating_mul(MS);
        if leaves(bounds.first_success_ms) {
            successes += 1;
            first_success(evidence, writes, window, healthy_ns, &mut finding);
        }
        if leaves(bounds.p99_recovery_ms)
            && let Some(quick_ns) = quick_ns
            && let Some(is_quick) = quick_again(writes, window, healthy_ns, bounds.p99_recovery_ms.saturating_mul(MS), quick_ns)
        {
            latencies += 1;
            if !is_quick {
                let (quick_ms, bound_ms) = (quick_ns / MS, bounds.p99_recovery_ms);
                let why = format!("p99 was not back at {quick_ms} ms within {bound_ms} ms");
                late(evidence, window, healthy_ns, bound_ms, &why, &mut finding);
            }
        }
    }
    finding.checked += successes + latencies;
    if successes == 0 && !windows.is_empty() {
        finding.unsure("no fault left time enough to break bounds.first_success of the scenario");
    }
    if latencies == 0 && !windows.is_empty() {
        finding.unsure("no fault left time enough, or writes enough, to break bounds.p99_back of the scenario");
    }
    fresh_writes(evidence, &mut finding);
    finding
}

fn first_success(evidence: &Evidence, writes: &[Acknowledged], window: &Window, healthy_ns: u64, finding: &mut Finding) {
    let bound_ms = evidence.facts.bounds.first_success_ms;
    // The acknowledgement must come after the majority was healthy; the call may be older and have waited.
    let at = writes.partition_point(|write| write.returned_ns < healthy_ns);
    let first_ns = writes[at..].iter().find(|write| write.invoked_ns >= window.fired_ns).map(|write| write.returned_ns);
    let took_ns = first_ns.map_or(u64::MAX, |first_ns| first_ns - healthy_ns);
    if took_ns > bound_ms.saturating_mul(MS) {
        let took = first_ns.map_or("never".into(), |_| format!("after {} ms", took_ns / MS));
        let why = format!("the first write succeeded {took}, the bound is {bound_ms} ms");
        late(evidence, window, healthy_ns, bound_ms, &why, finding);
    }
}

/// A bound was broken: by the system, if the tool itself was in time.
fn late(evidence: &Evidence, window: &Window, healthy_ns: u64, bound_ms: u64, why: &str, finding: &mut Finding) {
    let fault = window.fault;
    match tool_was_late(evidence, window.fired_ns..healthy_ns.saturating_add(bound_ms.saturating_mul(MS))) {
        Some(excuse) => finding.unsure(format!("fault {fault}: {why}; but {excuse}")),
        None => finding.violated(&[], None, || format!("fault {fault}: {why}")),
    }
}

/// Why what was seen in `window` may be the tool's doing, or the machine's. Of calls that go out one by one the first send waits for nothing but the
/// tool; what goes through a stream waits for that, and a repetition for what was before it.
pub(super) fn tool_was_late(evidence: &Evidence, window: Range<u64>) -> Option<String> {
    let calls = || evidence.moments.iter();
    if !calls().any(|call| call.is_write() && window.contains(&call.invoked_ns)) {
        return Some("no write was sent in that time".into());
    }
    let firsts = calls().filter(|call| call.purpose == Purpose::Traffic && !call.in_batch);
    let in_window = firsts.filter(|call| call.invoked_ns >= window.start && call.intended_ns < window.end);
    let lag_ms = in_window.map(|call| call.invoked_ns.saturating_sub(call.intended_ns)).max().unwrap_or(0) / MS;
    if u128::from(lag_ms) > limits::SEND_LAG_MAX.as_millis() {
        return Some(format!("the tool itself sent up to {lag_ms} ms too late"));
    }
    let in_window = evidence.machine_syncs.iter().filter(|sync| sync.at_ns < window.end && sync.end_ns() > window.start);
    let sync_ms = in_window.map(|sync| sync.took_ns).max().unwrap_or(0) / MS;
    (u128::from(sync_ms) > limits::MACHINE_SYNC_MAX.as_millis())
        .then(|| format!("the machine's own disk took {sync_ms} ms to sync {} bytes", limits::MACHINE_SYNC_BYTES))
}

/// What counts as back at the baseline. `None`: there were no faults, or too few writes before them.
pub(super) fn quick_ns(evidence: &Evidence, writes: &[Acknowledged]) -> Option<u64> {
    baseline(evidence, writes).map(|baseline_ns| quick(baseline_ns, &evidence.facts.bounds))
}

/// The 99th percentile before the first fault.
fn baseline(evidence: &Evidence, writes: &[Acknowledged]) -> Option<u64> {
    let first_fault =
        evidence.faults.iter().filter(|event| event.stage == FaultStage::Injected).map(|event| event.at_ns).min()?;
    p99(writes.iter().filter(|write| write.returned_ns < first_fault).map(Acknowledged::latency_ns).collect())
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a latency, scaled")]
fn quick(baseline_ns: u64, bounds: &Bounds) -> u64 {
    ((baseline_ns as f64 * bounds.p99_factor) as u64).max(bounds.p99_floor_ms.saturating_mul(MS))
}

/// Whether the writes that were sent after the fault fired were quick again within the bound. `None`: the rate is too low to say,
/// or nothing succeeded, which [`first_success`] says.
fn quick_again(writes: &[Acknowledged], window: &Window, healthy_ns: u64, bound_ns: u64, quick_ns: u64) -> Option<bool> {
    let mut seen = None;
    for start_ns in (healthy_ns..healthy_ns + bound_ns).step_by(usize::try_from(WINDOW_NS).unwrap_or(usize::MAX)) {
        let Some(p99_ns) = p99_of_window(writes, window.fired_ns, start_ns) else { continue };
        if p99_ns <= quick_ns {
            return Some(true);
        }
        seen = Some(false);
    }
    seen
}

/// Of the second from `start_ns` on. `None` if there are too few to say.
pub(super) fn p99_of_window(writes: &[Acknowledged], fired_ns: u64, start_ns: u64) -> Option<u64> {
    let from = writes.partition_point(|write| write.returned_ns < start_ns);
    let to = writes.partition_point(|write| write.returned_ns < start_ns + WINDOW_NS);
    // What was sent before, the fault did not touch: its answer was on its way.
    let after = writes[from..to].iter().filter(|write| write.invoked_ns >= fired_ns);
    p99(after.map(Acknowledged::latency_ns).collect())
}

/// `None` if there are too few to say.
fn p99(mut latencies_ns: Vec<u64>) -> Option<u64> {
    if latencies_ns.len() < WINDOW_WRITES_MIN {
        return None;
    }
    latencies_ns.sort_unstable();
    percentile(&latencies_ns, 99)
}

/// After the heal, the cluster takes writes.
fn fresh_writes(evidence: &Evidence, finding: &mut Finding) {
    let fresh: Vec<&Moment> = evidence.moments.iter().filter(|call| call.purpose == Purpose::FreshWrite).collect();
    finding.checked += fresh.len() as u64;
    if fresh.is_empty() || evidence.fresh_write_ns.is_some() {
        return;
    }
    if evidence.history_is_cut {
        return finding.unsure("the history ends before a fresh write was answered");
    }
    let ops: Vec<u64> = fresh.iter().map(|call| call.op.into()).collect();
    finding.violated(&ops, None, || "no fresh write succeeded after the heal".into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::timeline::acknowledged_writes;
    use crate::history::{FaultEvent, NodeRole, ProcessEvent, ProcessStep, RunFacts};

    fn written(sent_ms: u64, answered_ms: u64) -> Acknowledged {
        let invoked_ns = sent_ms * MS;
        Acknowledged { intended_ns: invoked_ns, invoked_ns, returned_ns: answered_ms * MS }
    }

    #[test]
    fn quick_answers_to_what_was_sent_before_the_fault_are_no_recovery() {
        let fired_ns = 1_000 * MS;
        let window = Window {
            fault: 1,
            kind: "kill-leader".into(),
            fired_ns,
            healthy_ns: Some(fired_ns),
            undone_ns: fired_ns,
            on_leader: true,
            targets: 1,
        };
        let before = vec![written(998, 1_001); WINDOW_WRITES_MIN];
        let slow = vec![written(1_100, 2_900); WINDOW_WRITES_MIN];
        let quick = vec![written(1_500, 1_510); WINDOW_WRITES_MIN];
        let back = |writes: &[&[Acknowledged]]| quick_again(&writes.concat(), &window, fired_ns, 3_000 * MS, 250 * MS);
        assert_eq!(back(&[&before, &slow]), Some(false));
        assert_eq!(back(&[&before, &quick, &slow]), Some(true));
        assert_eq!(back(&[&before]), None, "nothing that was sent after the fault was answered");
    }

    /// A call of a buyer's, milliseconds; it was never answered if it ended at `u64::MAX`.
    fn call(op: u64, sent_ms: u64, ended_ms: u64) -> crate::evidence::Op {
        use crate::checks::made;
        let outcome = made::written(5, crate::history::WriteAnswer::Placed { amount_idr: 1, expires_at_ms: 1 });
        let mut op = made::call(op, [sent_ms * MS, ended_ms.saturating_mul(MS)], made::place(3), outcome);
        if ended_ms == u64::MAX {
            op.answers.clear();
        }
        op
    }

    /// The leader is killed after a second. Buyers come every 10 ms until `end_ms`; who comes after the kill is answered when
    /// `answered` says.
    fn killed(end_ms: u64, answered: impl Fn(u64) -> u64) -> Evidence {
        let before = (0..100).map(|nth| call(nth, nth * 10, nth * 10 + 5));
        let after = (100..end_ms / 10).map(|nth| call(nth, nth * 10, answered(nth * 10)));
        let fault = |stage| FaultEvent {
            at_ns: 1_000 * MS,
            fault: 1,
            stage,
            kind: "kill-leader".into(),
            node: 1,
            role: NodeRole::Leader,
            term: 1,
        };
        let ready = |node| ProcessEvent { at_ns: 0, node, step: ProcessStep::Ready };
        let bounds =
            Bounds { first_success_ms: 500, p99_recovery_ms: 2_000, p99_factor: 2.0, p99_floor_ms: 50, ..Bounds::default() };
        Evidence {
            moments: before.chain(after).map(|op| Moment::of(&op)).collect(),
            faults: vec![
                FaultEvent { at_ns: 0, ..fault(FaultStage::Planned) },
                fault(FaultStage::Injected),
                fault(FaultStage::Effective),
            ],
            processes: [1, 2, 3].map(ready).to_vec(),
            facts: RunFacts { nodes: vec![1, 2, 3], bounds, ..RunFacts::default() },
            ..Evidence::default()
        }
    }

    /// What was looked at, broken, and unsure.
    fn judged(evidence: &Evidence) -> (u64, u64, usize) {
        let finding = bounded_recovery(evidence, &acknowledged_writes(evidence));
        (finding.checked, finding.violations, finding.inconclusive.len())
    }

    const LONG_MS: u64 = 8_000;

    #[test]
    fn the_first_write_after_a_fault_succeeds_within_its_bound() {
        // Nothing is answered before, all at once then.
        let first_at = |first_ms: u64| judged(&killed(LONG_MS, move |sent_ms| first_ms.max(sent_ms + 5)));
        assert_eq!(first_at(1_500), (2, 0, 0));
        assert_eq!(first_at(1_501), (2, 1, 0));
        // Nothing is ever answered: how quick it would have been, nobody can say.
        assert_eq!(judged(&killed(LONG_MS, |_| u64::MAX)), (1, 1, 1));
    }

    #[test]
    fn writes_are_quick_again_within_their_bound() {
        // Who comes before is answered 300 ms later, and the seconds that count begin with the kill.
        let slow_until =
            |until_ms: u64| judged(&killed(LONG_MS, move |sent_ms| sent_ms + if sent_ms < until_ms { 300 } else { 5 }));
        assert_eq!(slow_until(1_690), (2, 0, 0));
        assert_eq!(slow_until(2_000), (2, 1, 0));
        assert_eq!(slow_until(LONG_MS), (2, 1, 0));
        let floor = judged(&killed(LONG_MS, |sent_ms| sent_ms + 50));
        let above = judged(&killed(LONG_MS, |sent_ms| sent_ms + 51));
        assert_eq!((floor, above), ((2, 0, 0), (2, 1, 0)));
        let mut by_factor = killed(LONG_MS, |sent_ms| sent_ms + 51);
        by_factor.facts.bounds.p99_factor = 11.0;
        assert_eq!(judged(&by_factor), (2, 0, 0), "eleven times what it was before");
    }

    #[test]
    fn a_write_counts_from_when_a_majority_is_healthy() {
        // The third node is ready 200 ms after the kill; whoever was answered before that was answered by nobody knows whom.
        let first_at = |first_ms: u64| {
            let mut evidence = killed(LONG_MS, move |sent_ms| if sent_ms == 1_050 { 1_100 } else { first_ms.max(sent_ms + 5) });
            evidence.processes[2].at_ns = 1_200 * MS;
            judged(&evidence).1
        };
        assert_eq!((first_at(1_700), first_at(1_701)), (0, 1));
        let at_that_moment = |sent_ms: u64| if sent_ms == 1_050 { 1_200 } else { 1_800.max(sent_ms + 5) };
        let mut evidence = killed(LONG_MS, at_that_moment);
        evidence.processes[2].at_ns = 1_200 * MS;
        assert_eq!(judged(&evidence).1, 0);
    }

    #[test]
    fn a_second_has_the_writes_that_were_answered_in_it() {
        let at = |answered_ms: u64| vec![written(answered_ms - 5, answered_ms); WINDOW_WRITES_MIN];
        let p99 = |writes: &[Acknowledged]| p99_of_window(writes, 0, 1_000 * MS);
        assert_eq!((p99(&at(999)), p99(&at(1_000))), (None, Some(5 * MS)));
        assert_eq!((p99(&at(1_999)), p99(&at(2_000))), (Some(5 * MS), None));
    }

    #[test]
    fn the_baseline_is_of_what_was_answered_before_the_fault() {
        let evidence = killed(2_000, |_| u64::MAX);
        let before = |last_ms| {
            let writes = [vec![written(100, 105); WINDOW_WRITES_MIN - 1], vec![written(900, last_ms)]].concat();
            baseline(&evidence, &writes).is_some()
        };
        assert!(before(999) && !before(1_000));
    }

    #[test]
    fn what_is_late_is_told_in_milliseconds() {
        let told = |evidence: &Evidence| bounded_recovery(evidence, &acknowledged_writes(evidence)).shown[0].text.clone();
        let slow = killed(LONG_MS, |sent_ms| sent_ms + 300);
        assert!(told(&slow).contains("p99 was not back at 50 ms within 2000 ms"), "{}", told(&slow));
        let late = killed(LONG_MS, |sent_ms| 1_600.max(sent_ms + 5));
        assert!(told(&late).contains("succeeded after 600 ms, the bound is 500 ms"), "{}", told(&late));
    }

    #[test]
    fn where_the_tool_sent_reads_alone_no_write_was_late() {
        let mut evidence = killed(LONG_MS, |_| u64::MAX);
        for call in evidence.moments.iter_mut().filter(|call| (1_000 * MS..1_500 * MS).contains(&call.invoked_ns)) {
            call.asked = crate::evidence::Asked::Read;
        }
        assert_eq!(judged(&evidence), (1, 0, 2));
    }

    #[test]
    fn the_next_fault_or_the_last_arrival_excuses_what_lies_behind_it() {
        let silent = |end_ms| killed(end_ms, |_| u64::MAX);
        // The last buyer comes ten milliseconds before the end.
        assert_eq!(judged(&silent(1_510)).1, 1);
        assert_eq!(judged(&silent(1_500)), (0, 0, 2));
        let cut_by = |at_ms| {
            let mut evidence = silent(LONG_MS);
            let next: Vec<FaultEvent> =
                evidence.faults.iter().map(|event| FaultEvent { fault: 2, at_ns: at_ms * MS, ..event.clone() }).collect();
            evidence.faults.extend(next);
            // Only the first is looked at: nothing is left after the other.
            evidence.moments.retain(|call| call.invoked_ns <= (at_ms + 100) * MS);
            judged(&evidence).1
        };
        assert_eq!((cut_by(1_500), cut_by(1_499)), (1, 0));
    }

    #[test]
    fn where_a_majority_is_never_healthy_again_nothing_is_known() {
        let mut evidence = killed(LONG_MS, |sent_ms| sent_ms + 5);
        evidence.processes.truncate(1);
        let (checked, violations, unsure) = judged(&evidence);
        assert_eq!((checked, violations, unsure), (0, 0, 3), "and neither bound could be broken");
    }

    #[test]
    fn what_the_tool_sent_too_late_is_its_own() {
        let late = |late_ms: u64| {
            let mut evidence = killed(LONG_MS, |_| u64::MAX);
            let call = evidence.moments.iter_mut().find(|call| call.invoked_ns > 1_200 * MS).unwrap();
            call.intended_ns = call.invoked_ns - late_ms * MS;
            judged(&evidence).1
        };
        assert_eq!((late(200), late(201)), (1, 0));
        // Of streams and repetitions, the wait is not the tool's.
        for alter in [|call: &mut Moment| call.in_batch = true, |call: &mut Moment| call.purpose = Purpose::Retry] {
            let mut evidence = killed(LONG_MS, |_| u64::MAX);
            let call = evidence.moments.iter_mut().find(|call| call.invoked_ns > 1_200 * MS).unwrap();
            call.intended_ns = call.invoked_ns - 300 * MS;
            alter(call);
            assert_eq!(judged(&evidence).1, 1);
        }
        // What was sent before the fault, or wanted only after the bound, excuses nothing.
        for (sent_ms, violations) in [(990, 1), (1_000, 0), (1_790, 0), (1_800, 1)] {
            let mut evidence = killed(LONG_MS, |_| u64::MAX);
            let call = evidence.moments.iter_mut().find(|call| call.invoked_ns == sent_ms * MS).unwrap();
            call.intended_ns = call.invoked_ns - 300 * MS;
            assert_eq!(judged(&evidence).1, violations, "{sent_ms}");
        }
    }

    #[test]
    fn a_fresh_write_succeeds_after_the_heal_or_the_history_is_cut() {
        let fresh = |fresh_write_ns, history_is_cut| {
            let mut call = call(7, 10, u64::MAX);
            call.invoke.purpose = Purpose::FreshWrite;
            let moments = vec![Moment::of(&call)];
            let mut finding = Finding::new("V14", "");
            fresh_writes(&Evidence { moments, fresh_write_ns, history_is_cut, ..Evidence::default() }, &mut finding);
            (finding.checked, finding.violations, finding.inconclusive.len())
        };
        assert_eq!((fresh(Some(20), false), fresh(None, false), fresh(None, true)), ((1, 0, 0), (1, 1, 0), (1, 0, 1)));
        let mut none = Finding::new("V14", "");
        fresh_writes(&Evidence::default(), &mut none);
        assert_eq!((none.checked, none.violations), (0, 0));
    }
}

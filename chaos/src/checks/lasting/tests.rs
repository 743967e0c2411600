//! What the check of `lasting` catches, and what it lets pass.

use super::*;
use crate::checks::made::{call, pay, place, refused, unknown, written};
use crate::evidence::Op;
use crate::history::{Bounds, FaultEvent, NodeRole, Outcome, RunFacts, WriteAnswer};

const QUICK_NS: u64 = 50 * MS;

fn placed() -> Outcome {
    written(5, WriteAnswer::Placed { amount_idr: 1, expires_at_ms: 1 })
}

/// Somebody wants an order at one moment, in a session of its own, and has its answer after so long.
fn wish(session: u32, came_ms: u64, took_ms: u64) -> Op {
    let times = [came_ms * MS, (came_ms + took_ms) * MS];
    let mut op = call(u64::from(session), times, place(3), placed());
    op.invoke.session = session;
    op
}

fn moments(ops: &[Op]) -> Vec<Moment> {
    ops.iter().map(Moment::of).collect()
}

/// Of what came from 100 to 200 ms: how many, how many in time, and who was not.
fn served(ops: &[Op]) -> (usize, usize, Vec<u64>) {
    let evidence = Evidence { moments: moments(ops), ..Evidence::default() };
    let served = Served::of(&evidence, Asked::NewOrder, 100 * MS..200 * MS, QUICK_NS);
    (served.asked, served.in_time, served.late)
}

#[test]
fn who_came_is_served_in_time_if_some_attempt_was_answered_quickly() {
    assert_eq!(served(&[wish(1, 100, 50), wish(2, 199, 51)]), (2, 1, vec![2]));
    assert_eq!(served(&[wish(1, 99, 1), wish(2, 200, 1)]), (0, 0, vec![]));
    // Sold out is an answer, not to be done is none.
    let with = |outcome| call(1, [100 * MS, 101 * MS], place(3), outcome);
    assert_eq!(served(&[with(refused("STOCK_EXHAUSTED"))]), (1, 1, vec![]));
    assert_eq!(served(&[with(unknown())]), (1, 0, vec![1]));
    assert_eq!(served(&[with(Outcome::NotDone { reason: "NO_LEADER".into() })]), (1, 0, vec![1]));
    // Who asks again asks for the same, from the same moment on.
    let again = |op: u64, ended_ms: u64| {
        let mut op = call(op, [120 * MS, ended_ms * MS], place(3), placed());
        (op.invoke.intended_ns, op.invoke.purpose) = (100 * MS, Purpose::Retry);
        op
    };
    assert_eq!(served(&[with(unknown()), again(2, 150)]), (1, 1, vec![]));
    assert_eq!(served(&[with(unknown()), again(2, 151)]), (1, 0, vec![1]));
    assert_eq!(served(&[again(2, 150), again(3, 160)]), (1, 1, vec![]), "the first was quick enough");
    let mut on_purpose = wish(1, 150, 1);
    on_purpose.invoke.purpose = Purpose::Duplicate;
    let payment = call(2, [150 * MS, 151 * MS], pay("one"), placed());
    assert_eq!(served(&[on_purpose, payment]), (0, 0, vec![]));
}

/// What is looked at, broken, unsure, and told: so many of a hundred were served before and after.
fn compared((before_asked, before): (usize, usize), (after_asked, after): (usize, usize)) -> (u64, u64, usize, String) {
    let served = |asked, in_time| Served { asked, in_time, late: vec![7] };
    let evidence = Evidence { moments: moments(&[wish(1, 150, 1)]), ..Evidence::default() };
    let mut finding = Finding::default();
    let window = 100 * MS..200 * MS;
    compare(&evidence, &served(before_asked, before), (served(after_asked, after), window), "orders", &mut finding);
    let text = finding.shown.first().map(|shown| shown.text.clone()).unwrap_or_default();
    (finding.checked, finding.violations, finding.inconclusive.len(), text)
}

#[test]
fn as_large_a_share_is_served_as_before() {
    let short = |before, after| {
        let (checked, violations, unsure, _) = compared(before, after);
        (checked, violations, unsure)
    };
    assert_eq!(short((100, 80), (200, 152)), (200, 0, 0));
    assert_eq!(short((100, 80), (200, 151)), (200, 1, 0));
    assert_eq!(short((100, 80), (200, 200)), (200, 0, 0));
    // So few say nothing.
    assert_eq!(
        [short((50, 50), (50, 0)), short((49, 49), (50, 0)), short((50, 50), (49, 0))],
        [(50, 1, 0), (0, 0, 1), (0, 0, 1)]
    );
    let (.., text) = compared((100, 80), (200, 151));
    assert!(text.starts_with("75.5 % of the orders") && text.contains("80.0 % before"), "{text}");
}

/// Buyers come every millisecond; a fault from 1,000 to 1,100 ms; from then on, answers take this long, until 5,000 ms.
fn a_run(healed_at: &[u16], took_ms: u64) -> (u64, u64, usize) {
    let orders = (0..5_000).map(|at| wish(u32::try_from(at).expect("few"), at, if at < 1_000 { 5 } else { took_ms }));
    let payments = (0..5_000).map(|at| {
        let mut op = call(at, [at * MS, (at + 5) * MS], pay("one"), placed());
        op.invoke.session = u32::try_from(10_000 + at).expect("few");
        op
    });
    let ops: Vec<Op> = orders.chain(payments).collect();
    let event = |stage, node, at_ms| FaultEvent {
        at_ns: at_ms * MS,
        fault: 1,
        stage,
        kind: "kill-leader".into(),
        node,
        role: NodeRole::Leader,
        term: 1,
    };
    let mut faults = vec![event(FaultStage::Planned, 1, 0), event(FaultStage::Injected, 1, 1_000)];
    faults.extend(healed_at.iter().map(|node| event(FaultStage::Healed, *node, 1_100)));
    let bounds = Bounds { whole_again_ms: Some(1_000), p99_factor: 2.0, p99_floor_ms: 50, ..Bounds::default() };
    let facts = RunFacts { nodes: vec![1, 2, 3], bounds, ..RunFacts::default() };
    let evidence = Evidence { moments: moments(&ops), faults, facts, ..Evidence::default() };
    let writes = crate::checks::timeline::acknowledged_writes(&evidence);
    let finding = no_lasting_damage(&evidence, &writes);
    (finding.checked, finding.violations, finding.inconclusive.len())
}

#[test]
fn long_after_the_last_fault_was_over_buyers_are_served_as_before_the_first() {
    // From 2,100 ms to when the last buyers might not have been waited for, at 4,949.
    let looked_at = 2 * (4_949 - 2_100);
    assert_eq!(a_run(&[1], 50), (looked_at, 0, 0));
    assert_eq!(a_run(&[1], 51), (looked_at, 1, 0));
    assert_eq!([a_run(&[], 50), a_run(&[2], 50)], [(0, 0, 1); 2], "it was never over at node 1");
}

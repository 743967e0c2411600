//! V22: under more load than it can serve, the cluster goes on issuing about what it can, and money that was paid is not turned
//! away where new orders are let in (G10; the second half is `shedding`'s).
//!
//! Goodput is judged in scenarios that bring such a load: those with `bounds.goodput_share`. What was issued a second during the surge
//! (the phase of the faults, behind the time in which the queues fill up) is held against the best that the same run showed in any
//! `PEAK_NS` of its arrivals, the surge included: what the warm-up was *offered* is no peak. So the arrivals must climb through what
//! the cluster can serve, as `arrivals = "surge"` does. A machine that slows the tool down, too, is not the cluster's doing: such a
//! surge leaves the run inconclusive.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::recovery::tool_was_late;
use super::shedding::payments_are_let_in;
use super::timeline::MS;
use super::{Evidence, Finding};
use crate::evidence::{Asked, Known, Moment};
use crate::figures::tenths;
use crate::history::{Phase, Purpose};

/// Share of the surge that is not counted.
const SETTLING_PARTS: u64 = 4;
/// What a peak lasts: one that is shorter may be a queue that runs empty, and the longer it is the less of it is noise.
const PEAK_NS: u64 = 4_000 * MS;

/// Of a run with a surge: what was issued, and what was offered. Orders a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Goodput {
    /// The most in any four seconds of the run's arrivals.
    pub peak_per_s: f64,
    /// In the surge, behind its first quarter.
    pub surge_per_s: f64,
    /// New orders that buyers wanted to place in that time.
    pub offered_per_s: f64,
}

#[must_use]
pub fn overload_is_shed_in_order(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("V22", "under overload: goodput stays, and no payment is shed where orders are let in");
    let share = evidence.facts.bounds.goodput_share;
    payments_are_let_in(evidence, share.is_some(), &mut finding);
    if let Some(share) = share {
        judge_goodput(evidence, share, &mut finding);
    }
    finding
}

/// `None`: the run has no surge, or not all of its phases.
#[must_use]
pub fn goodput(evidence: &Evidence) -> Option<Goodput> {
    evidence.facts.bounds.goodput_share?;
    let surge = counted(&surge(evidence)?);
    let arrivals = evidence.phase_start(Phase::WarmUp)?..surge.end;
    let of = |asked, at_ns: fn(&Moment) -> u64, counts: fn(&Moment) -> bool| {
        let calls = evidence.moments.iter().filter(move |call| call.asked == asked && counts(call));
        let mut times: Vec<u64> = calls.map(at_ns).collect();
        times.sort_unstable();
        times
    };
    let issues = of(Asked::Payment, |call| call.known_ns, |call| call.known == Known::Issued);
    let offered = of(Asked::NewOrder, |call| call.intended_ns, |call| call.purpose == Purpose::Traffic);
    Some(Goodput {
        peak_per_s: tenths(peak(&issues, &arrivals)),
        surge_per_s: tenths(per_s(&issues, &surge)),
        offered_per_s: tenths(per_s(&offered, &surge)),
    })
}

fn judge_goodput(evidence: &Evidence, share: f64, finding: &mut Finding) {
    let (Some(surge), Some(goodput)) = (surge(evidence), goodput(evidence)) else {
        finding.unsure("the phases of the run are not known");
        return;
    };
    finding.checked += 1;
    let is_shed = |call: &&Moment| call.asked == Asked::NewOrder && call.known == Known::Shed;
    if !evidence.moments.iter().any(|call| is_shed(&call)) {
        finding.unsure("no order was turned away: there was no overload");
    }
    let Goodput { peak_per_s, surge_per_s, offered_per_s } = goodput;
    if surge_per_s < share * peak_per_s {
        let why = format!("{surge_per_s} orders/s were issued of {offered_per_s} offered, at the run's best {peak_per_s}");
        match tool_was_late(evidence, surge) {
            Some(excuse) => finding.unsure(format!("{why}; but {excuse}")),
            None => finding.violated(&[], None, || why),
        }
    }
}

fn surge(evidence: &Evidence) -> Option<Range<u64>> {
    Some(evidence.phase_start(Phase::Faults)?..evidence.phase_start(Phase::Heal)?)
}

/// Behind the time in which the load changed.
fn counted(surge: &Range<u64>) -> Range<u64> {
    surge.start + surge.end.saturating_sub(surge.start) / SETTLING_PARTS..surge.end
}

/// `times_ns` in their order.
fn per_s(times_ns: &[u64], within: &Range<u64>) -> f64 {
    let count = times_ns.partition_point(|at| *at < within.end) - times_ns.partition_point(|at| *at < within.start);
    let length_ms = within.end.saturating_sub(within.start) / MS;
    if length_ms == 0 { 0.0 } else { count as f64 * 1_000.0 / length_ms as f64 }
}

/// In the best stretch of [`PEAK_NS`] that is all within.
fn peak(times_ns: &[u64], within: &Range<u64>) -> f64 {
    let starts = times_ns.iter().filter(|at| **at >= within.start && *at + PEAK_NS <= within.end);
    starts.map(|start| per_s(times_ns, &(*start..start + PEAK_NS))).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Ended;

    const S: u64 = 1_000 * MS;

    fn call(at_ns: u64, asked: Asked, known: Known) -> Moment {
        Moment {
            invoked_ns: at_ns,
            intended_ns: at_ns,
            ended_ns: at_ns,
            known_ns: at_ns,
            index: 0,
            op: 0,
            session: 0,
            node: 1,
            asked,
            purpose: Purpose::Traffic,
            ended: Ended::Written,
            known,
            in_batch: false,
        }
    }

    /// A warm-up of ten seconds and a surge of twenty, in each of which so many orders were issued in each second.
    fn run(issued_per_s: impl Fn(u64) -> u64) -> Evidence {
        let mut evidence = Evidence {
            phases: vec![(0, Phase::WarmUp), (10 * S, Phase::Faults), (30 * S, Phase::Heal)],
            ..Evidence::default()
        };
        evidence.facts.bounds.goodput_share = Some(0.9);
        for second in 0..30 {
            let count = issued_per_s(second);
            let at = |nth| second * S + nth * S / count;
            evidence.moments.extend((0..count).map(|nth| call(at(nth), Asked::Payment, Known::Issued)));
            // Twice as many come as are served.
            evidence.moments.extend((0..2 * count).map(|nth| call(at(nth / 2), Asked::NewOrder, Known::Shed)));
        }
        evidence
    }

    fn judged(evidence: &Evidence) -> (u64, Vec<String>) {
        let finding = overload_is_shed_in_order(evidence);
        (finding.violations, finding.inconclusive)
    }

    #[test]
    fn what_the_surge_issues_is_held_against_the_best_that_the_run_showed() {
        assert_eq!(judged(&run(|_| 100)), (0, vec![]));
        // The warm-up was offered little; the surge begins with what the cluster can, and does not keep it.
        let falls = |second| {
            if second < 10 {
                48
            } else if second < 15 {
                100
            } else {
                49
            }
        };
        assert_eq!(judged(&run(falls)).0, 1, "at 49 % of the peak");
        let goodput = goodput(&run(falls)).unwrap();
        assert_eq!((goodput.peak_per_s, goodput.surge_per_s, goodput.offered_per_s), (100.0, 49.0, 98.0));
        let stays = |second| {
            if second < 10 {
                48
            } else if second < 15 {
                100
            } else {
                91
            }
        };
        assert_eq!(judged(&run(stays)), (0, vec![]));
    }

    #[test]
    fn a_second_that_is_quicker_than_all_others_is_no_peak() {
        assert_eq!(judged(&run(|second| if second == 12 { 130 } else { 100 })), (0, vec![]));
    }

    #[test]
    fn a_surge_in_which_the_tool_itself_was_slow_or_nothing_was_turned_away_shows_nothing() {
        let falls = |second| if second < 12 { 100 } else { 49 };
        let mut evidence = run(falls);
        let late = evidence.moments.iter_mut().find(|call| call.invoked_ns > 20 * S).unwrap();
        late.invoked_ns += S;
        let (violations, unsure) = judged(&evidence);
        assert!(violations == 0 && unsure[0].contains("the tool itself"), "{unsure:?}");
        let mut evidence = run(|_| 100);
        evidence.moments.retain(|call| call.known != Known::Shed);
        assert_eq!(judged(&evidence), (0, vec!["no order was turned away: there was no overload".to_owned()]));
    }
}

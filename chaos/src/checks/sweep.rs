//! All calls of the run in real time, for V10 and V11: nothing that was answered before a call was made may stand above it.

use super::{Evidence, Finding, sessions, witness};
use crate::evidence::{Asked, Known, Moment};
use crate::hash::Map;

/// The highest index so far, and the op that was answered with it; (0, 0): none.
type Floor = (u64, u32);

/// Of the whole run, and of each session.
#[must_use]
pub fn in_real_time(evidence: &Evidence) -> [Finding; 2] {
    let (mut of_run, mut of_sessions) = (witness::finding(), sessions::finding());
    let (calls, answers) = in_time(&evidence.moments);
    let mut answers = answers.into_iter().peekable();
    let mut floor: Floor = (0, 0);
    let mut floors: Map<u32, Floor> = Map::default();
    for call in calls {
        // At equal times the call comes first: the two overlap.
        while let Some(answer) = answers.next_if(|answer| answer.known_ns < call.invoked_ns) {
            let reached = (answer.index, answer.op);
            floor = floor.max(reached);
            if answer.is_written() || is_good_for_now(answer) {
                let of_session = floors.entry(answer.session).or_default();
                *of_session = reached.max(*of_session);
            }
        }
        above_all_before(call, floor, &mut of_run);
        if is_good_for_now(call) {
            session_goes_on(call, floors.get(&call.session).copied().unwrap_or_default(), &mut of_sessions);
        }
    }
    [of_sessions, of_run]
}

/// Calls that an answer names an index of: as they were made, and as they were answered.
fn in_time(moments: &[Moment]) -> (Vec<&Moment>, Vec<&Moment>) {
    let names_one = |moment: &&Moment| {
        !matches!(moment.known, Known::Nothing | Known::NotDone | Known::Shed | Known::NotInTime | Known::Placeless)
    };
    let mut calls: Vec<&Moment> = moments.iter().filter(names_one).collect();
    let mut answers = calls.clone();
    // Both are nearly in their order as they are: a stable sort takes little.
    calls.sort_by_key(|moment| (moment.invoked_ns, moment.op));
    answers.sort_by_key(|moment| (moment.known_ns, moment.op));
    (calls, answers)
}

/// A read of what is so when it is asked.
fn is_good_for_now(moment: &Moment) -> bool {
    moment.known == Known::Read && matches!(moment.asked, Asked::Read | Asked::RefundsDue)
}

fn above_all_before(call: &Moment, floor: Floor, finding: &mut Finding) {
    let (index, op) = floor;
    let is_first = matches!(call.known, Known::Executed | Known::Issued | Known::RefusedThere);
    // A replay or a weaker read says that its index exists, and no more.
    if op == 0 || !(is_first || is_good_for_now(call)) {
        return;
    }
    finding.checked += 1;
    // Strictly above for a write: commands of one entry were all proposed before any of them was answered.
    let holds = if is_first { call.index > index } else { call.index >= index };
    if !holds {
        finding.violated(&[op.into(), call.op.into()], Some(call.index), || {
            let what = if is_first { "a write stands" } else { "a read is good for" };
            format!("{what} at index {}, and index {index} had been answered before it was asked", call.index)
        });
    }
}

/// Within a session, a linearizable read is good for everything that the session was answered before it asked.
fn session_goes_on(call: &Moment, (index, op): Floor, finding: &mut Finding) {
    finding.checked += 1;
    if call.index < index {
        finding.violated(&[op.into(), call.op.into()], Some(call.index), || {
            format!("a session read at index {} after it had been answered at index {index}", call.index)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::made::{call, place, written};
    use crate::evidence::Op;
    use crate::history::{Consistency, Outcome, Read, ReadAnswer, Request, WriteAnswer};

    const FIRST_WRITE: u64 = 10;

    fn write(op: u64, times: [u64; 2], index: u64) -> Op {
        call(op, times, place(3), written(index, WriteAnswer::Placed { amount_idr: 1, expires_at_ms: 1 }))
    }

    fn read(op: u64, times: [u64; 2], index: u64, consistency: Consistency) -> Op {
        let read = Read { read_index: Some(index), ledger_time_ms: 1, answer: ReadAnswer::Absent };
        call(op, times, Request::GetOrder { order: [1; 16], consistency }, Outcome::Read(read))
    }

    fn replay(op: u64, times: [u64; 2], index: u64) -> Op {
        let mut op = write(op, times, index);
        let Outcome::Written(written) = &mut op.answers[0].outcome else { unreachable!() };
        written.receipt.replayed = true;
        op
    }

    /// What is looked at and broken, of sessions and of the run, by a call behind a write at index 10 that was answered at 20.
    fn behind(second: Op) -> ([u64; 2], [u64; 2]) {
        let ops = [write(1, [10, 20], FIRST_WRITE), second];
        let moments = ops.iter().map(Moment::of).collect();
        let [of_sessions, of_run] = in_real_time(&Evidence { moments, ..Evidence::default() });
        ([of_sessions.checked, of_sessions.violations], [of_run.checked, of_run.violations])
    }

    fn of_another_session(mut op: Op) -> Op {
        op.invoke.session = 2;
        op
    }

    #[test]
    fn a_call_stands_above_all_that_was_answered_before_it() {
        let now = Consistency::Linearizable;
        for (second, expected) in [
            (write(2, [21, 30], 11), [1, 0]),
            (write(2, [21, 30], 10), [1, 1]),
            (write(2, [21, 30], 9), [1, 1]),
            // Who was called when the other was answered overlaps with it.
            (write(2, [20, 30], 9), [0, 0]),
            (read(2, [21, 30], 10, now), [1, 0]),
            (read(2, [21, 30], 11, now), [1, 0]),
            (read(2, [21, 30], 9, now), [1, 1]),
            (read(2, [21, 30], 9, Consistency::Stale), [0, 0]),
            (replay(2, [21, 30], 9), [0, 0]),
        ] {
            assert_eq!(behind(of_another_session(second.clone())).1, expected, "{second:?}");
        }
    }

    #[test]
    fn a_session_reads_what_it_was_answered_before() {
        let now = Consistency::Linearizable;
        for (second, expected) in [
            (read(2, [21, 30], 10, now), [1, 0]),
            (read(2, [21, 30], 9, now), [1, 1]),
            (read(2, [21, 30], 9, Consistency::Stale), [0, 0]),
            (of_another_session(read(2, [21, 30], 9, now)), [1, 0]),
            (write(2, [21, 30], 9), [0, 0]),
        ] {
            assert_eq!(behind(second.clone()).0, expected, "{second:?}");
        }
    }

    #[test]
    fn the_floor_is_the_highest_answer_and_not_the_last() {
        let of_run = |ops: &[Op]| {
            let moments = ops.iter().map(Moment::of).collect();
            let [of_sessions, of_run] = in_real_time(&Evidence { moments, ..Evidence::default() });
            (of_sessions.violations, of_run.violations)
        };
        // The third was called when the first, at 12, and the second, at 10, were answered; the order of the file is another.
        let first = of_another_session(write(1, [1, 20], 12));
        let second = write(2, [2, 22], 10);
        for (third, expected) in [
            (read(3, [25, 30], 11, Consistency::Linearizable), (0, 1)),
            (read(3, [25, 30], 12, Consistency::Linearizable), (0, 0)),
            (read(3, [25, 30], 9, Consistency::Linearizable), (1, 1)),
        ] {
            assert_eq!(of_run(&[third.clone(), second.clone(), first.clone()]), expected, "{third:?}");
        }
        // A read that was good for more than its session's later answer.
        let far = read(1, [1, 20], 12, Consistency::Linearizable);
        let near = read(3, [25, 30], 11, Consistency::Linearizable);
        assert_eq!(of_run(&[far, second, near]), (1, 1));
    }
}

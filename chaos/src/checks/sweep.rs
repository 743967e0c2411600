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

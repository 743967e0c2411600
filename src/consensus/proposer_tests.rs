//! What becomes of a call: shared entries, failed attempts, deadlines.

use openraft::async_runtime::watch::WatchSender as _;

use super::admission::Class;
use super::api::{RetryReason, SubmitError, UnknownReason};
use super::proposer_bench::{Bench, End, LONG, ME, OTHER, SHORT, Submitting, answer, seen};
use crate::domain::{Outcome, Refusal};
use crate::limits;

#[tokio::test]
async fn calls_that_wait_at_the_same_time_share_one_entry() {
    let mut bench = Bench::new(Some(ME), [End::Done(Outcome::OrderCancelled), End::Done(Outcome::OrderCancelled)]);
    let first = bench.submit(LONG);
    assert_eq!(bench.batch().await, 1, "nobody waits for company");
    let others: Vec<_> = (0..5).map(|_| bench.submit(LONG)).collect();
    bench.queued(5).await;
    bench.let_go.add_permits(2);
    assert_eq!(bench.batch().await, 5);
    for submitting in others.into_iter().chain([first]) {
        assert_eq!(answer(submitting).await.expect("done").replies.len(), 1);
    }
    assert_eq!(bench.metrics.entries_proposed.get(), 2);
}

#[tokio::test]
async fn what_comes_back_to_a_stopped_node_is_answered() {
    let mut bench = Bench::new(Some(ME), [End::NotDone]);
    let submitting = bench.submit(LONG);
    bench.batch().await;
    bench.proposer.stop("the end");
    bench.let_go.add_permits(1);
    assert_eq!(answer(submitting).await, Err(SubmitError::Stopped("the end".into())));
}

#[tokio::test]
async fn a_refusal_that_an_earlier_attempt_may_yet_undo_is_unknown() {
    let reused = Refusal::OrderIdReused { field: "quantity" };
    for (refusal, may_change) in [
        (Refusal::SeriesUnknown, true),
        (Refusal::StockExhausted, true),
        (Refusal::OrderUnknown, true),
        (Refusal::RefundUnknown, true),
        (Refusal::OrderNotIssued, true),
        (Refusal::VoidWindowClosed, true),
        (Refusal::PolicyVersionSkipped, true),
        (reused, false),
        (Refusal::OrderIssued, false),
        (Refusal::OrderExpired, false),
        (Refusal::OrderVoided, false),
        (Refusal::OrderStamped, false),
        (Refusal::OrderExhausted, false),
        (Refusal::RefundAmountWrong, false),
    ] {
        let refused = || End::Done(Outcome::Refused(refusal));
        let once = Bench::new(Some(ME), [refused()]);
        once.let_go.add_permits(1);
        assert!(answer(once.submit(LONG)).await.is_ok(), "{refusal} at the only attempt stands");
        let twice = Bench::new(Some(ME), [End::Unknown, refused()]);
        twice.let_go.add_permits(2);
        let answered = answer(twice.submit(LONG)).await;
        let unknown = SubmitError::Unknown { leader: Some(ME), reason: UnknownReason::LeaderChanged };
        assert_eq!(answered.as_ref().err(), may_change.then_some(&unknown), "{refusal}");
        assert_eq!(twice.metrics.batches_repeated.get(), 1);
    }
    let not_done = Bench::new(Some(ME), [End::NotDone, End::Done(Outcome::Refused(Refusal::OrderUnknown))]);
    not_done.let_go.add_permits(2);
    assert!(answer(not_done.submit(LONG)).await.is_ok(), "the first attempt surely did nothing");
    assert_eq!(not_done.metrics.batches_repeated.get(), 0, "its fate was known");
}

#[tokio::test]
async fn a_call_whose_time_is_over_leaves_the_queue_also_behind_one_that_goes_on_waiting() {
    let bench = Bench::new(None, []);
    let patient = bench.submit(LONG);
    bench.queued(1).await;
    let retry = Err(SubmitError::Retry { leader: None, reason: RetryReason::NoLeader });
    assert_eq!(answer(bench.submit(SHORT)).await, retry);
    assert_eq!(bench.metrics.queued_commands.get(), 1);
    patient.abort();
}

#[tokio::test]
async fn who_waits_behind_a_leader_that_stalls_is_told_so_and_not_that_there_is_none() {
    let bench = Bench::new(Some(ME), []);
    let unknown = SubmitError::Unknown { leader: Some(ME), reason: UnknownReason::Deadline };
    assert_eq!(answer(bench.submit(SHORT)).await, Err(unknown), "it is on its way");
    let waits = SubmitError::Retry { leader: Some(ME), reason: RetryReason::NotInTime };
    assert_eq!(answer(bench.submit(SHORT)).await, Err(waits), "there is room for one entry alone");
    assert_eq!(bench.metrics.not_in_time.of(Class::Confirmation).get(), 1);
    bench.leadership.send(seen(None)).expect("the proposer looks");
    let nobody = SubmitError::Retry { leader: None, reason: RetryReason::NoLeader };
    assert_eq!(answer(bench.submit(SHORT)).await, Err(nobody));
}

#[tokio::test]
async fn a_leader_without_a_majority_says_that_there_is_no_leader_and_sends_nobody_to_itself() {
    let nobody = SubmitError::Retry { leader: None, reason: RetryReason::NoLeader };
    let stuck = Bench::where_leader_hears(false, Some(ME), []);
    let on_its_way = stuck.submit(LONG);
    while stuck.metrics.entries_in_flight.get() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(answer(stuck.submit(SHORT)).await, Err(nobody.clone()), "it waits behind what a majority would have to hold");
    on_its_way.abort();

    // openraft refuses what a leader proposes after its lease: here as the leader sees it, and as a follower does.
    for (leader, room) in [(ME, 1), (OTHER, limits::FORWARDS_IN_FLIGHT_MAX)] {
        let mut refuses = Bench::new(Some(leader), [End::NotDone]);
        refuses.let_go.add_permits(1);
        let mut waiting = vec![refuses.submit(LONG)];
        assert_eq!(refuses.batch().await, 1, "this is the one that is not done");
        while waiting.len() <= room {
            assert_eq!(refuses.batch().await, 1);
            waiting.push(refuses.submit(LONG));
        }
        refuses.queued(1).await;
        assert_eq!(answer(refuses.submit(SHORT)).await, Err(nobody.clone()), "leader {leader}");
        waiting.iter().for_each(Submitting::abort);
    }
}

#[tokio::test]
async fn what_an_earlier_leader_did_not_do_is_no_reason_under_the_next() {
    let mut bench = Bench::new(Some(OTHER), [End::NotDone]);
    let waiting = bench.submit(LONG);
    bench.batch().await;
    bench.leadership.send(seen(Some(ME))).expect("the proposer looks");
    bench.let_go.add_permits(1);
    assert_eq!(bench.batch().await, 1, "it is proposed again, and stalls");
    let waits = SubmitError::Retry { leader: Some(ME), reason: RetryReason::NotInTime };
    assert_eq!(answer(bench.submit(SHORT)).await, Err(waits));
    waiting.abort();
}

#[tokio::test]
async fn a_leader_that_does_not_answer_does_not_hold_a_batch_until_its_callers_give_up() {
    let mut bench = Bench::new(Some(OTHER), []);
    let submitting = bench.submit(LONG);
    let within = bench.batches.recv().await.expect("it is sent").forwarded_within;
    assert!(within.is_some_and(|within| within <= limits::FORWARD_ANSWER_WITHIN), "{within:?}");
    submitting.abort();
}

//! Who is let in, and who is next.

use super::admission::Class;
use super::api::{RetryReason, SubmitError};
use super::lines::StreamOrder;
use super::proposer_bench::{Bench, CONFIRMATION, End, LONG, ME, OTHER, Submitting, answer, cancel_order, done, place_order};
use crate::limits;

#[tokio::test]
async fn money_is_shed_last_and_a_new_order_before_it() {
    let mut bench = Bench::new(Some(ME), []);
    let mut waiting = vec![bench.submit(LONG)];
    assert_eq!(bench.batch().await, 1, "there is room for one entry alone, and it stalls");
    let one_of = |class| match class {
        Class::Confirmation => vec![CONFIRMATION],
        Class::Stamping => vec![cancel_order()],
        Class::NewOrder => vec![place_order()],
        Class::Batch => vec![place_order(), cancel_order()],
    };
    let mut queued = 0;
    for full in Class::ALL.into_iter().rev() {
        let fill = full.queue_commands_max() - queued;
        waiting.push(bench.submit_all(vec![CONFIRMATION; fill], LONG, false));
        queued += fill;
        bench.queued(queued as u64).await;
        for class in Class::ALL.into_iter().filter(|class| *class >= full) {
            assert_eq!(answer(bench.submit_all(one_of(class), LONG, false)).await, Err(OVERLOADED), "{class:?}");
            assert!(bench.metrics.shed.of(class).get() > 0);
        }
        for class in Class::ALL.into_iter().filter(|class| *class < full) {
            assert_eq!(bench.metrics.shed.of(class).get(), 0, "{class:?} has room while {full:?} has none");
        }
    }
    waiting.iter().for_each(Submitting::abort);
}

const OVERLOADED: SubmitError = SubmitError::Retry { leader: Some(ME), reason: RetryReason::Overloaded };

#[tokio::test]
async fn neither_beside_money_nor_from_a_peer_do_new_orders_come_in_where_money_alone_does() {
    let mut bench = Bench::new(Some(ME), []);
    let mut waiting = vec![bench.submit(LONG)];
    assert_eq!(bench.batch().await, 1, "there is room for one entry alone, and it stalls");
    let full = limits::QUEUE_NEW_ORDER_COMMANDS_MAX;
    waiting.push(bench.submit_all(vec![CONFIRMATION; full], LONG, false));
    bench.queued(full as u64).await;
    let mut mixed = vec![place_order(); 999];
    mixed.push(CONFIRMATION);
    for from_peer in [false, true] {
        assert_eq!(answer(bench.submit_all(mixed.clone(), LONG, from_peer)).await, Err(OVERLOADED));
        assert_eq!(answer(bench.submit_all(vec![place_order(); 2], LONG, from_peer)).await, Err(OVERLOADED));
    }
    waiting.extend([false, true].map(|from_peer| bench.submit_all(vec![CONFIRMATION; 1_000], LONG, from_peer)));
    bench.queued(full as u64 + 2_000).await;
    assert_eq!(bench.metrics.shed.of(Class::Confirmation).get(), 0);
    waiting.iter().for_each(Submitting::abort);
}

#[tokio::test]
async fn a_call_of_any_size_comes_in_where_the_smallest_would() {
    let mut bench = Bench::new(Some(ME), []);
    let stalled = bench.submit(LONG);
    assert_eq!(bench.batch().await, 1);
    let nearly = limits::QUEUE_COMMANDS_MAX - 1;
    let waiting = [bench.submit_all(vec![CONFIRMATION; nearly], LONG, false)];
    bench.queued(nearly as u64).await;
    let large = bench.submit_all(vec![CONFIRMATION; limits::BATCH_COMMANDS_MAX], LONG, false);
    bench.queued((nearly + limits::BATCH_COMMANDS_MAX) as u64).await;
    assert_eq!(answer(bench.submit(LONG)).await, Err(OVERLOADED), "and there it ends");
    waiting.iter().chain([&large, &stalled]).for_each(Submitting::abort);
}

#[tokio::test]
async fn while_reads_are_turned_away_new_orders_are_too() {
    let mut bench = Bench::new(Some(ME), [done(), done(), done()]);
    let read = bench.reads.clone().try_acquire_owned().expect("there is room for one");
    for commands in [vec![place_order()], vec![place_order(); 2]] {
        assert_eq!(answer(bench.submit_all(commands, LONG, false)).await, Err(OVERLOADED));
    }
    bench.let_go.add_permits(3);
    for commands in [vec![CONFIRMATION], vec![cancel_order()]] {
        assert!(answer(bench.submit_all(commands, LONG, false)).await.is_ok());
        bench.batch().await;
    }
    drop(read);
    assert!(answer(bench.submit_all(vec![place_order()], LONG, false)).await.is_ok());
}

#[tokio::test]
async fn money_overtakes_what_came_before_it_and_a_batch_everything_else_lets_pass() {
    let mut bench = Bench::new(Some(ME), [done(), done(), done()]);
    let mut waiting = vec![bench.submit(LONG)];
    bench.batch().await;
    let mut queued = 0;
    for commands in [vec![place_order(); 998], vec![place_order()], vec![cancel_order()], vec![CONFIRMATION]] {
        queued += commands.len() as u64;
        waiting.push(bench.submit_all(commands, LONG, false));
        bench.queued(queued).await;
    }
    bench.let_go.add_permits(3);
    assert_eq!(bench.told().await, [CONFIRMATION, cancel_order(), place_order()], "998 more do not fit");
    assert_eq!(bench.batch().await, 998);
    for submitting in waiting {
        assert!(answer(submitting).await.is_ok());
    }
}

#[tokio::test]
async fn batches_of_a_stream_come_back_to_their_order() {
    let mut bench = Bench::with(2, true, Some(ME), [End::NotDone, End::NotDone, done(), done()]);
    let stream = StreamOrder::default();
    let order = bench.submit_on(&stream, place_order()).await;
    assert_eq!(bench.told().await, [place_order()]);
    let payment = bench.submit_on(&stream, CONFIRMATION).await;
    assert_eq!(bench.told().await, [CONFIRMATION], "one behind the other");
    bench.let_go.add_permits(1);
    bench.queued(1).await;
    let alone = bench.submit_all(vec![cancel_order()], LONG, false);
    assert_eq!(bench.told().await, [cancel_order()], "the order waits until its payment is back, and keeps nobody else");
    bench.let_go.add_permits(3);
    assert_eq!(bench.told().await, [place_order(), CONFIRMATION]);
    for submitting in [order, payment, alone] {
        assert!(answer(submitting).await.is_ok());
    }
}

#[tokio::test]
async fn batches_of_a_stream_do_not_overtake_each_other_on_the_way_to_the_leader_and_keep_back_nobody_else() {
    let mut bench = Bench::new(Some(OTHER), [done(), done(), done()]);
    let stream = StreamOrder::default();
    let order = bench.submit_on(&stream, place_order()).await;
    assert_eq!(bench.told().await, [place_order()]);
    let payment = bench.submit_on(&stream, CONFIRMATION).await;
    let alone = bench.submit_all(vec![cancel_order()], LONG, false);
    assert_eq!(bench.told().await, [cancel_order()], "the payment waits for its order's answer");
    bench.let_go.add_permits(3);
    assert_eq!(bench.told().await, [CONFIRMATION]);
    for submitting in [order, payment, alone] {
        assert!(answer(submitting).await.is_ok());
    }
}

#[tokio::test]
async fn new_orders_on_their_way_to_the_leader_keep_no_payment_here() {
    let mut bench = Bench::new(Some(OTHER), []);
    let mut waiting = Vec::new();
    for _ in 0..limits::FORWARDS_IN_FLIGHT_MAX {
        waiting.push(bench.submit_all(vec![place_order()], LONG, false));
        assert_eq!(bench.told().await, [place_order()]);
    }
    waiting.push(bench.submit_all(vec![place_order()], LONG, false));
    bench.queued(1).await;
    waiting.push(bench.submit(LONG));
    assert_eq!(bench.told().await, [CONFIRMATION], "alone: the leader has a bound for each class");
    waiting.iter().for_each(Submitting::abort);
}

#[tokio::test]
async fn what_the_leader_has_no_room_for_is_not_sent_again_and_its_caller_told_at_once() {
    let bench = Bench::new(Some(OTHER), [End::Overloaded, End::Unknown, End::Overloaded, done()]);
    bench.let_go.add_permits(1);
    let overloaded = SubmitError::Retry { leader: Some(OTHER), reason: RetryReason::Overloaded };
    assert_eq!(answer(bench.submit_all(vec![place_order()], LONG, false)).await, Err(overloaded));
    assert_eq!(bench.metrics.shed.of(Class::NewOrder).get(), 1);
    bench.let_go.add_permits(3);
    assert!(answer(bench.submit(LONG)).await.is_ok(), "of what may have happened nobody says that it did not");
}

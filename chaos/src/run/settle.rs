//! After the heal: fresh writes must succeed, every unknown is asked about, the replicas must come together.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{bail, ensure};
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::client::Way;
use crate::cluster::Cluster;
use crate::history::{Consistency, HistoryClosed, Outcome, Purpose, Request};
use crate::limits;
use crate::scenario::{Clients, Scenario, Share};
use crate::traffic::Market;
use crate::traffic::persist::Wish;
use crate::traffic::plan;

/// Sessions of questions start here; those of buyers are below, those of deliveries above.
const FIRST_SESSION: u32 = 1 << 30;
/// Between two looks whether the replicas agree.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// Beyond its payment window, an order is expired by the leader within this.
const EXPIRY_SLACK: Duration = Duration::from_secs(5);
/// Orders of a longer window are not waited for: they stay as they are.
const WINDOW_AWAITED_MAX: Duration = Duration::from_secs(30);

/// Waits until nobody has a call any more that was given up: what is not there from then on, behind one more write, never comes.
pub(super) async fn outlast_what_was_given_up(market: &Market) {
    market.client.wait_silent().await;
    let is_any_left = !market.left_unknown.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
    if is_any_left {
        tokio::time::sleep(server_deadline(&market.clients)).await;
    }
}

/// The longest that a node still works for a caller that is gone.
fn server_deadline(clients: &Clients) -> Duration {
    if clients.deadline_on_wire == Share::default() {
        return limits::SERVER_DEADLINE;
    }
    clients.attempt_deadline.get().clamp(limits::SERVER_DEADLINE, limits::SERVER_DEADLINE_MAX)
}

/// Looks up, by the id that was sent, what became of each request that its sender gave up. What is not known at the end of
/// `bound` stays unknown, and the judge says so.
///
/// # Errors
/// The history can no longer be written.
pub(super) async fn ask_unknowns(market: &Market, bound: Duration) -> Result<(), HistoryClosed> {
    let left = std::mem::take(&mut *market.left_unknown.lock().unwrap_or_else(PoisonError::into_inner));
    let questions = left.into_iter().filter_map(|request| question(&request)).zip(FIRST_SESSION..);
    let asking = futures_util::stream::iter(questions)
        .map(|(request, session)| async move {
            let first_node = usize::try_from(session).unwrap_or_default();
            let way = Way::Unary { deadline_on_wire: false };
            let intended_ns = market.client.recorder().now_ns();
            market.until_known(Wish { session, intended_ns, purpose: Purpose::Ask, request, first_node, way }).await.map(drop)
        })
        .buffer_unordered(limits::ASK_IN_FLIGHT_MAX)
        .fold(Ok(()), |all, one| async move { all.and(one) });
    tokio::time::timeout(bound, asking).await.unwrap_or(Ok(()))
}

/// A read has no effect that could be unknown. What no read shows is asked for by sending it again.
fn question(request: &Request) -> Option<Request> {
    let consistency = Consistency::Linearizable;
    match request {
        Request::PlaceOrder { order, .. } | Request::CancelOrder { order } | Request::VoidOrder { order } => {
            Some(Request::GetOrder { order: *order, consistency })
        }
        Request::RecordPayment { payment, .. } | Request::SettleRefund { payment, .. } => {
            Some(Request::GetPayment { payment: payment.clone(), consistency })
        }
        Request::SetPolicy { .. } => Some(Request::GetPolicy),
        Request::StampDocument { .. } => Some(request.clone()),
        Request::OpenSeries { .. }
        | Request::GetOrder { .. }
        | Request::GetPayment { .. }
        | Request::VerifySerial { .. }
        | Request::GetPolicy
        | Request::ListRefundsDue { .. }
        | Request::ListOrders(_)
        | Request::ListPayments(_) => None,
    }
}

/// New orders, placed and paid through every node in turn.
pub(super) async fn buy_fresh(market: &Arc<Market>, scenario: &Scenario, seed: u64, epoch_ms: u64) -> anyhow::Result<()> {
    for number in (scenario.buyers() + 1..).take(limits::FRESH_ORDERS as usize) {
        let elapsed_ms = market.client.recorder().now_ns() / 1_000_000;
        let buyer = plan::buyer(scenario, seed, number, epoch_ms + elapsed_ms);
        let place = Wish {
            session: number,
            intended_ns: market.client.recorder().now_ns(),
            purpose: Purpose::FreshWrite,
            request: buyer.place(),
            first_node: number as usize,
            way: Way::Unary { deadline_on_wire: false },
        };
        match market.until_known(place).await? {
            Some(Outcome::Written(_)) => {}
            // A series that is sold out refuses, also when all is well.
            Some(Outcome::Refused { .. }) => continue,
            other => bail!("a fresh order did not get through after the heal: {other:?}"),
        }
        let mut charge = buyer.payments[0].clone();
        (charge.notice_delay_ms, charge.repeat_after_ms) = (0, None);
        let answer = tokio::time::timeout(scenario.bounds.known.get(), market.provider.charge(market, charge)).await;
        ensure!(
            matches!(answer, Ok(Ok(Outcome::Written(_)))),
            "a fresh payment did not get through after the heal: {answer:?}"
        );
    }
    Ok(())
}

/// Waits until no order waits for its payment and every replica has applied the same.
pub(super) async fn converge(cluster: &Cluster, payment_window: Duration) -> anyhow::Result<()> {
    let start = Instant::now();
    let expiry = if payment_window <= WINDOW_AWAITED_MAX { payment_window + EXPIRY_SLACK } else { Duration::ZERO };
    let mut before = None;
    loop {
        let statuses = cluster.statuses().await;
        let positions: Vec<(u64, u64)> =
            statuses.iter().map(|(_, status)| (status.applied_index, status.last_log_index)).collect();
        let are_equal = positions.len() == cluster.nodes().len()
            && positions.iter().all(|(applied, last)| (applied, last) == (&positions[0].0, applied));
        let waiting: u64 = statuses.iter().map(|(_, status)| status.totals.unwrap_or_default().orders_awaiting_payment).sum();
        let is_quiet = waiting == 0 || start.elapsed() > expiry;
        // Twice the same: nothing is on its way any more.
        if are_equal && is_quiet && before.as_ref() == Some(&positions) {
            return Ok(());
        }
        if start.elapsed() > limits::CONVERGE_DEADLINE {
            bail!("the replicas did not come together: (applied, last) are {positions:?}");
        }
        before = Some(positions);
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Span;

    #[test]
    fn a_node_works_for_a_caller_that_is_gone_as_long_as_it_was_told_or_by_itself() {
        let (mut scenario, _) = Scenario::load("smoke").unwrap();
        let mut deadline = |attempt_ms, told: &str| {
            scenario.clients.attempt_deadline = Span::from_millis(attempt_ms);
            scenario.clients.deadline_on_wire = Share::try_from(told.to_owned()).unwrap();
            server_deadline(&scenario.clients).as_secs()
        };
        assert_eq!([deadline(400, "0%"), deadline(90_000, "0%")], [5, 5], "it was told nothing");
        assert_eq!([deadline(400, "20%"), deadline(9_000, "20%"), deadline(90_000, "20%")], [5, 9, 60]);
    }
}

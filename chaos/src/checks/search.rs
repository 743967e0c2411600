//! The ordinary search for a linearization, order by order: is there *any* sequence of an order's calls that fits real time
//! and the answers? It uses no place, no index and no log, so it guards the reasoning of [`super::witness`].
//!
//! After Wing and Gong, with Lowe's memory of visited states. Orders are independent objects but for the stock and the
//! clock, so a refusal for want of stock and an expiry are allowed to happen at any time. Searched are all orders with an
//! unknown call and one in a hundred of the rest.

use crate::hash::{Map, Set};

use super::Finding;
use crate::evidence::Op;
use crate::history::{
    Consistency, OrderId, OrderState, Outcome, PaymentName, PaymentOutcome, Purpose, ReadAnswer, Request, WriteAnswer,
};
use crate::model::order_text;

/// Calls of one order that a search takes on: one bit each.
const CALLS_MAX: usize = 64;
/// States that one search visits before it gives up.
const STATES_MAX: usize = 200_000;
/// Of the orders without an unknown call, one in so many is searched.
const SAMPLE_ONE_IN: u16 = 100;

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct State {
    /// `None`: not placed.
    order: Option<OrderState>,
    /// Who placed it: calls with an equal body share a number.
    body: Option<usize>,
    first_number: Option<u64>,
    payments: Vec<(usize, PaymentOutcome)>,
    /// The n-th is on the n-th stamp.
    documents: Vec<usize>,
    /// What a void was shown to give back.
    refund_idr: Option<i64>,
}

struct Call<'a> {
    op: &'a Op,
    invoked_ns: u64,
    /// `u64::MAX`: unknown, it may take effect at any time or never.
    returned_ns: u64,
    outcome: Option<&'a Outcome>,
    /// Of a place: number of its body; of a payment: number of its name; of a stamp: number of its document.
    number: usize,
}

/// `ops`: all that concern an order are among them.
pub fn orders_can_be_explained(ops: &[Op], finding: &mut Finding) {
    let mut left_out = 0;
    for (order, ops) in to_be_searched(ops) {
        let calls = calls(&ops);
        let is_explained = if calls.len() > CALLS_MAX { None } else { explain(&calls) };
        let Some(is_explained) = is_explained else {
            left_out += 1;
            continue;
        };
        finding.checked += 1;
        if !is_explained {
            let ids: Vec<u64> = ops.iter().map(|op| op.id()).collect();
            finding.violated(&ids, None, || {
                format!("no sequence of the calls of order {} explains their answers", order_text(order))
            });
        }
    }
    finding.doubt(left_out, "orders were left out by the search: too many calls, or too many states");
}

/// All orders with an unknown call, and the sample.
fn to_be_searched(ops: &[Op]) -> Map<OrderId, Vec<&Op>> {
    let of_orders = || ops.iter().filter_map(|op| Some((order_of(&op.invoke.request)?, op)));
    let in_sample = |order: OrderId| u16::from_be_bytes([order[14], order[15]]).is_multiple_of(SAMPLE_ONE_IN);
    let wanted: Set<OrderId> =
        of_orders().filter(|(order, op)| in_sample(*order) || op.known().is_none()).map(|(order, _)| order).collect();
    let mut by_order: Map<OrderId, Vec<&Op>> = Map::default();
    for (order, op) in of_orders().filter(|(order, _)| wanted.contains(order)) {
        by_order.entry(order).or_default().push(op);
    }
    by_order
}

fn order_of(request: &Request) -> Option<OrderId> {
    match request {
        Request::PlaceOrder { order, .. }
        | Request::RecordPayment { order, .. }
        | Request::CancelOrder { order }
        | Request::VoidOrder { order }
        | Request::StampDocument { order, .. }
        | Request::GetOrder { order, consistency: Consistency::Linearizable } => Some(*order),
        _ => None,
    }
}

fn calls<'a>(ops: &[&'a Op]) -> Vec<Call<'a>> {
    let mut bodies: Vec<&Request> = Vec::new();
    let mut payments: Vec<&PaymentName> = Vec::new();
    let mut calls = Vec::new();
    for op in ops {
        let answer = op.known();
        let outcome = answer.map(|answer| &answer.outcome);
        let is_read = matches!(op.invoke.request, Request::GetOrder { .. });
        // What was not done, and reads and forgeries without an answer, constrain nothing. A payment's id may collide with another
        // order's: that refusal says nothing of this one.
        let says_nothing = match outcome {
            Some(Outcome::NotDone { .. }) => true,
            Some(Outcome::Refused { reason, .. }) => !REASONS.contains(&&**reason),
            Some(_) => false,
            None => is_read || op.invoke.purpose == Purpose::Forged,
        };
        if says_nothing {
            continue;
        }
        let number = match &op.invoke.request {
            Request::RecordPayment { payment, .. } => number_of(&mut payments, payment),
            request => number_of(&mut bodies, request),
        };
        let returned_ns = answer.map_or(u64::MAX, |answer| answer.at_ns);
        calls.push(Call { op, invoked_ns: op.invoke.at_ns, returned_ns, outcome, number });
    }
    calls
}

/// Refusals that tell an order's state.
const REASONS: [&str; 11] = [
    "ORDER_ID_REUSED",
    "SERIES_UNKNOWN",
    "STOCK_EXHAUSTED",
    "ORDER_UNKNOWN",
    "ORDER_ISSUED",
    "ORDER_EXPIRED",
    "ORDER_VOIDED",
    "ORDER_NOT_ISSUED",
    "ORDER_STAMPED",
    "ORDER_EXHAUSTED",
    "VOID_WINDOW_CLOSED",
];

fn number_of<'a, T: PartialEq>(seen: &mut Vec<&'a T>, wanted: &'a T) -> usize {
    seen.iter().position(|there| *there == wanted).unwrap_or_else(|| {
        seen.push(wanted);
        seen.len() - 1
    })
}

/// `None`: given up.
fn explain(calls: &[Call]) -> Option<bool> {
    let must = (0..calls.len()).filter(|at| calls[*at].outcome.is_some()).fold(0_u64, |mask, at| mask | 1 << at);
    let mut visited = Set::default();
    let mut open = vec![(0_u64, State::default())];
    while let Some((done, state)) = open.pop() {
        if done & must == must {
            return Some(true);
        }
        if !visited.insert((done, state.clone())) {
            continue;
        }
        if visited.len() > STATES_MAX {
            return None;
        }
        let left = |at: &usize| done & (1 << at) == 0;
        // Whoever was answered first among the rest bounds who may come next.
        let first_answer = (0..calls.len()).filter(left).map(|at| calls[at].returned_ns).min().unwrap_or(u64::MAX);
        for at in (0..calls.len()).filter(left).filter(|at| calls[*at].invoked_ns <= first_answer) {
            for before in [Some(state.clone()), expired(&state)].into_iter().flatten() {
                open.extend(step(before, &calls[at]).map(|after| (done | 1 << at, after)));
            }
        }
    }
    Some(false)
}

fn expired(state: &State) -> Option<State> {
    (state.order == Some(OrderState::AwaitingPayment)).then(|| State { order: Some(OrderState::Expired), ..state.clone() })
}

/// The state after a call, if its answer can be given in this state. (An unknown call may also be refused for reasons that
/// lie outside the order; that is the same as never having happened.)
fn step(mut state: State, call: &Call) -> Option<State> {
    if let Some(Outcome::Refused { reason, .. }) = call.outcome {
        return may_refuse(&state, reason, call).then_some(state);
    }
    match &call.op.invoke.request {
        Request::PlaceOrder { .. } => {
            if state.order.is_none() {
                (state.order, state.body) = (Some(OrderState::AwaitingPayment), Some(call.number));
            }
            (state.body == Some(call.number)).then_some(state)
        }
        Request::CancelOrder { .. } => match state.order {
            Some(OrderState::AwaitingPayment | OrderState::Cancelled) => {
                state.order = Some(OrderState::Cancelled);
                Some(state)
            }
            _ => None,
        },
        Request::RecordPayment { .. } => pay(state, call),
        Request::VoidOrder { .. } => void(state, call),
        Request::StampDocument { .. } => stamp(state, call),
        Request::GetOrder { .. } => match call.outcome {
            Some(Outcome::Read(read)) => match &read.answer {
                ReadAnswer::Absent => state.order.is_none().then_some(state),
                ReadAnswer::Order(seen) => {
                    let first = seen.serials.as_ref().map(|serials| serials.first_number);
                    let fits = state.order == Some(seen.state)
                        && (state.first_number.is_none() || state.first_number == first)
                        && seen.stamped as usize == state.documents.len();
                    state.first_number = first;
                    fits.then_some(state)
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

fn may_refuse(state: &State, reason: &str, call: &Call) -> bool {
    let is_issued = state.order == Some(OrderState::Issued);
    match reason {
        "ORDER_ID_REUSED" => state.body.is_some_and(|body| body != call.number),
        // Of an order that is there, the refusals to place it say that it is there.
        "SERIES_UNKNOWN" | "STOCK_EXHAUSTED" | "ORDER_UNKNOWN" => state.order.is_none(),
        "ORDER_ISSUED" => is_issued,
        "ORDER_VOIDED" => state.order == Some(OrderState::Voided),
        "ORDER_NOT_ISSUED" => state.order.is_some_and(|order| !matches!(order, OrderState::Issued | OrderState::Voided)),
        "ORDER_STAMPED" => is_issued && !state.documents.is_empty(),
        // How many there are lies outside this state.
        "ORDER_EXHAUSTED" => is_issued && !state.documents.is_empty() && !state.documents.contains(&call.number),
        // The clock and the policy lie outside this state.
        "VOID_WINDOW_CLOSED" => is_issued && state.documents.is_empty(),
        _ => state.order == Some(OrderState::Expired),
    }
}

fn void(mut state: State, call: &Call) -> Option<State> {
    match state.order {
        Some(OrderState::Issued) if state.documents.is_empty() => state.order = Some(OrderState::Voided),
        Some(OrderState::Voided) => {}
        _ => return None,
    }
    if let Some(Outcome::Written(written)) = call.outcome {
        let WriteAnswer::Voided { refund_idr } = written.answer else { return None };
        if state.refund_idr.is_some_and(|before| before != refund_idr) {
            return None;
        }
        state.refund_idr = Some(refund_idr);
    }
    Some(state)
}

fn stamp(mut state: State, call: &Call) -> Option<State> {
    if state.order != Some(OrderState::Issued) {
        return None;
    }
    let at = state.documents.iter().position(|document| *document == call.number).unwrap_or_else(|| {
        state.documents.push(call.number);
        state.documents.len() - 1
    });
    if let Some(Outcome::Written(written)) = call.outcome {
        let WriteAnswer::Stamped { number, .. } = written.answer else { return None };
        let first_number = number.checked_sub(at as u64)?;
        if state.first_number.is_some_and(|first| first != first_number) {
            return None;
        }
        state.first_number = Some(first_number);
    }
    Some(state)
}

fn pay(mut state: State, call: &Call) -> Option<State> {
    let seen = match call.outcome {
        Some(Outcome::Written(written)) => match &written.answer {
            WriteAnswer::Recorded { outcome, serials } => {
                Some((*outcome, serials.as_ref().map(|serials| serials.first_number)))
            }
            WriteAnswer::Noticed { outcome } => Some((*outcome, state.first_number)),
            _ => return None,
        },
        _ => None,
    };
    let outcome = match state.payments.iter().find(|(number, _)| *number == call.number) {
        Some((_, outcome)) => *outcome,
        None => {
            let outcome = match (state.order, seen) {
                (None, _) => PaymentOutcome::OrderUnknown,
                (Some(OrderState::Cancelled), _) => PaymentOutcome::OrderCancelled,
                (Some(OrderState::Voided), _) => PaymentOutcome::OrderVoided,
                (Some(OrderState::Issued), _) => PaymentOutcome::AlreadyPaid,
                // Amount and stock lie outside this state: believe the answer, as far as it is one of these.
                (_, Some((PaymentOutcome::WrongAmount, _))) => PaymentOutcome::WrongAmount,
                (Some(OrderState::Expired), Some((PaymentOutcome::NoStock, _))) => PaymentOutcome::NoStock,
                _ => PaymentOutcome::Applied,
            };
            state.payments.push((call.number, outcome));
            if outcome == PaymentOutcome::Applied {
                state.order = Some(OrderState::Issued);
            }
            outcome
        }
    };
    if let Some((seen, first)) = seen {
        if seen != outcome
            || (outcome == PaymentOutcome::Applied && state.first_number.is_some() && state.first_number != first)
        {
            return None;
        }
        state.first_number = state.first_number.or(first);
    }
    Some(state)
}

#[cfg(test)]
mod tests;

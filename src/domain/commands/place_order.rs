//! `PlaceOrder`: an account wants stamps. They are reserved at once, so that a payment in time cannot fail for lack of stock.

use super::{Step, first_unequal};
use crate::domain::decision::{Change, Decision, Outcome, Refusal};
use crate::domain::ledger::LedgerView;
use crate::domain::names::{AccountId, OrderId, Quantity, SeriesCode};
use crate::domain::order::{Order, OrderState};

pub(super) fn decide<V: LedgerView>(
    view: &V,
    step: Step,
    id: OrderId,
    account: &AccountId,
    series: SeriesCode,
    quantity: Quantity,
) -> Result<Decision, V::Error> {
    if let Some(placed) = view.order(id)? {
        return Ok(match first_difference(&placed, account, series, quantity) {
            Some(field) => Decision::refused(step.place, Refusal::OrderIdReused { field }),
            None => Decision::replayed(placed.placed, placed_outcome(&placed)),
        });
    }
    let Some(mut series) = view.series(series)? else {
        return Ok(Decision::refused(step.place, Refusal::SeriesUnknown));
    };
    if series.free() < u64::from(quantity.get()) {
        return Ok(Decision::refused(step.place, Refusal::StockExhausted));
    }

    series.reserve(quantity);
    let order = Order {
        id,
        account: account.clone(),
        series: series.code,
        quantity,
        amount: series.face_value.times(quantity),
        placed: step.place,
        placed_at: step.now,
        expires_at: series.expiry(step.now),
        state: OrderState::AwaitingPayment,
    };
    let mut totals = view.totals()?;
    totals.count_order(None, &order);
    let outcome = placed_outcome(&order);
    Ok(Decision::done(step.place, outcome, vec![Change::Series(series), Change::Order(order), Change::Totals(totals)]))
}

fn placed_outcome(order: &Order) -> Outcome {
    Outcome::OrderPlaced { amount: order.amount, expires_at: order.expires_at }
}

fn first_difference(placed: &Order, account: &AccountId, series: SeriesCode, quantity: Quantity) -> Option<&'static str> {
    first_unequal([
        ("account_id", placed.account == *account),
        ("series_code", placed.series == series),
        ("quantity", placed.quantity == quantity),
    ])
}

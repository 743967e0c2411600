//! One file per command. [`apply`] is the only way in.
//!
//! Every command first asks whether its id is already there: then the answer is the original one (same body) or a refusal
//! (another body), whatever else would hold. Only after that come the other refusals, in the order of
//! [`Refusal`](super::decision::Refusal). A refusal changes nothing.

mod cancel_order;
mod expire_orders;
mod open_series;
mod place_order;
mod record_payment;
mod set_policy;
mod settle_refund;
mod stamp_document;
mod void_order;

use super::command::Command;
use super::decision::{Change, Decision};
use super::ledger::LedgerView;
use super::names::{LedgerTime, Place, SeriesCode};
use super::policy::PolicyTerms;
use super::series::Series;
use super::totals::Totals;

/// Decides one command at `place`, with the ledger's clock at `now` (already clamped: never before the ledger's time).
///
/// # Errors
/// The view could not be read. Refusals are no errors: they are outcomes.
pub fn apply<V: LedgerView>(view: &V, place: Place, now: LedgerTime, command: &Command) -> Result<Decision, V::Error> {
    let step = Step { place, now };
    match command {
        Command::OpenSeries(terms) => open_series::decide(view, step, terms),
        Command::PlaceOrder { order, account, series, quantity } => {
            place_order::decide(view, step, *order, account, *series, *quantity)
        }
        Command::RecordPayment { payment, order, amount } => record_payment::decide(view, step, payment, *order, *amount),
        Command::CancelOrder { order } => cancel_order::decide(view, step, *order),
        Command::VoidOrder { order } => void_order::decide(view, step, *order),
        Command::StampDocument { order, document } => stamp_document::decide(view, step, *order, *document),
        Command::SettleRefund { payment, amount, reference } => settle_refund::decide(view, step, payment, *amount, reference),
        Command::SetPolicy(terms) => set_policy::decide(view, step, *terms),
        Command::ExpireOrders { limit } => expire_orders::decide(view, step, *limit),
    }
}

/// The ledger's time for an entry that was proposed at `proposed_at`, and the change that keeps it, if it moves. Storage asks
/// once for each entry, before its commands: a leader whose clock is behind cannot take the ledger back in time.
///
/// # Errors
/// The view could not be read.
pub fn clamp_time<V: LedgerView>(view: &V, proposed_at: LedgerTime) -> Result<(LedgerTime, Option<Change>), V::Error> {
    let totals = view.totals()?;
    if proposed_at <= totals.ledger_time {
        return Ok((totals.ledger_time, None));
    }
    Ok((proposed_at, Some(Change::Totals(Totals { ledger_time: proposed_at, ..totals }))))
}

/// Where and when a command is executed.
#[derive(Clone, Copy)]
struct Step {
    place: Place,
    now: LedgerTime,
}

/// The first field whose value is not that of the record with the same id, by its name in the request.
fn first_unequal<const N: usize>(fields: [(&'static str, bool); N]) -> Option<&'static str> {
    fields.into_iter().find_map(|(field, is_same)| (!is_same).then_some(field))
}

/// The series of an order.
fn series_of_order<V: LedgerView>(view: &V, code: SeriesCode) -> Result<Series, V::Error> {
    Ok(view.series(code)?.expect("an order is placed in a series that exists, and no series is ever removed"))
}

/// The policy that holds for what is decided now.
fn policy_in_force<V: LedgerView>(view: &V, totals: &Totals) -> Result<PolicyTerms, V::Error> {
    if totals.policy_version == 0 {
        return Ok(PolicyTerms::INITIAL);
    }
    Ok(view.policy(totals.policy_version)?.expect("the version in force was set, and no policy is ever removed").terms)
}

//! The operator's part of a run: the series that are sold, and a policy in its middle.

use anyhow::{Context, bail};

use crate::client::Way;
use crate::history::{HistoryClosed, Outcome, Purpose, Request};
use crate::scenario::{Policy, Series, Span};
use crate::traffic::Market;
use crate::traffic::persist::Wish;

/// Session of the operator: buyers start at 1.
const SESSION: u32 = 0;

/// # Errors
/// It is refused, or does not become known.
pub async fn open_series(market: &Market, series: &Series, payment_window: Span) -> anyhow::Result<()> {
    let request = Request::OpenSeries {
        series: series.code.as_bytes().try_into().context("a series code of three characters")?,
        first_number: series.first_number,
        capacity: series.capacity,
        face_value_idr: i64::from(series.face_value_idr),
        payment_window_ms: i64::try_from(payment_window.ms()).context("payment_window")?,
    };
    match ask(market, Purpose::Traffic, request).await? {
        Some(Outcome::Written(_)) => Ok(()),
        Some(Outcome::Refused { reason, .. }) => bail!("series {} was refused: {reason}", series.code),
        other => bail!("series {} could not be opened: {other:?}", series.code),
    }
}

/// Sets the first policy, again on purpose, and once otherwise and once too early, which must be refused.
///
/// # Errors
/// The history can no longer be written.
pub async fn set_policy(market: &Market, policy: &Policy) -> Result<(), HistoryClosed> {
    let void_window_ms = i64::try_from(policy.void_window.ms()).expect("checked: at most 366 days");
    let percent = policy.void_refund_percent;
    let set = |version, void_refund_percent| Request::SetPolicy { version, void_refund_percent, void_window_ms };
    let other_percent = if percent == 100 { 99 } else { percent + 1 };
    ask(market, Purpose::Traffic, Request::GetPolicy).await?;
    ask(market, Purpose::Conflict, set(2, percent)).await?;
    ask(market, Purpose::Traffic, set(1, percent)).await?;
    ask(market, Purpose::Duplicate, set(1, percent)).await?;
    ask(market, Purpose::Conflict, set(1, other_percent)).await?;
    ask(market, Purpose::Traffic, Request::GetPolicy).await.map(drop)
}

async fn ask(market: &Market, purpose: Purpose, request: Request) -> Result<Option<Outcome>, HistoryClosed> {
    let intended_ns = market.client.recorder().now_ns();
    let way = Way::Unary { deadline_on_wire: false };
    market.until_known(Wish { session: SESSION, intended_ns, purpose, request, first_node: 0, way }).await
}

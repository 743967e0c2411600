//! Of the replicated ledger: equal on all nodes at the same log index.

use std::fmt;

use super::LedgerFigures;
use super::page::Page;

pub(super) fn encode(page: &mut Page<'_>, figures: &LedgerFigures) -> fmt::Result {
    let totals = &figures.totals;
    page.gauges(
        "stampede_orders",
        "Orders by state",
        [
            ([("state", "awaiting_payment")], totals.orders_awaiting_payment),
            ([("state", "issued")], totals.orders_issued),
            ([("state", "cancelled")], totals.orders_cancelled),
            ([("state", "expired")], totals.orders_expired),
        ],
    )?;
    page.counters(
        "stampede_payments",
        "Payments recorded, by what became of them",
        [([("outcome", "applied")], totals.payments_applied), ([("outcome", "refund_due")], totals.payments_refund_due)],
    )?;
    page.gauge("stampede_refunds_due_orders", "Payments that are owed back", totals.payments_refund_due)?;
    page.gauge("stampede_refunds_due_amount_idr", "Money owed back", totals.refund_due.as_idr())?;
    page.gauge("stampede_received_idr", "Money received: issued value and refunds due together", totals.received.as_idr())?;
    page.gauge("stampede_issued_value_idr", "Money that stamps were issued for", totals.issued_value.as_idr())?;
    // A payment and its stamps are one step of the ledger. Every payment that was applied issued one order.
    let paid_not_issued = totals.payments_applied.saturating_sub(totals.orders_issued);
    page.gauge("stampede_paid_not_issued_orders", "Paid orders without stamps: 0 by design", paid_not_issued)?;
    page.gauge(
        "stampede_ledger_time_seconds",
        "The ledger's clock, Unix time",
        super::page::as_f64(totals.ledger_time.0) / 1e3,
    )?;
    encode_series(page, figures)
}

fn encode_series(page: &mut Page<'_>, figures: &LedgerFigures) -> fmt::Result {
    let all = || figures.series.iter().map(|series| ([("series", series.code.as_str())], series));
    page.counters("stampede_serials_issued", "Stamps issued", all().map(|(labels, series)| (labels, series.issued)))?;
    page.gauges(
        "stampede_stock_capacity_serials",
        "Stamps of the series, whatever became of them",
        all().map(|(labels, series)| (labels, series.capacity)),
    )?;
    page.gauges(
        "stampede_stock_free_serials",
        "Stamps that can be ordered",
        all().map(|(labels, series)| (labels, series.free())),
    )?;
    page.gauges(
        "stampede_stock_reserved_serials",
        "Stamps promised to orders that wait for their payment",
        all().map(|(labels, series)| (labels, series.reserved)),
    )
}

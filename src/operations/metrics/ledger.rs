//! Of the replicated ledger: equal on all nodes at the same log index.

use std::fmt;

use super::LedgerFigures;
use super::page::Page;

pub(super) fn encode(page: &mut Page<'_>, figures: &LedgerFigures) -> fmt::Result {
    let (totals, payments) = (&figures.totals, &figures.totals.payments);
    page.gauges(
        "stampede_orders",
        "Orders by state",
        [
            ([("state", "awaiting_payment")], totals.orders_awaiting_payment),
            ([("state", "issued")], totals.orders_issued),
            ([("state", "cancelled")], totals.orders_cancelled),
            ([("state", "expired")], totals.orders_expired),
            ([("state", "voided")], totals.orders_voided),
        ],
    )?;
    page.counters(
        "stampede_payments",
        "Payments recorded, by what became of them",
        [
            ([("outcome", "applied")], payments.applied),
            ([("outcome", "refund_due_order_unknown")], payments.order_unknown),
            ([("outcome", "refund_due_order_cancelled")], payments.order_cancelled),
            ([("outcome", "refund_due_order_voided")], payments.order_voided),
            ([("outcome", "refund_due_already_paid")], payments.already_paid),
            ([("outcome", "refund_due_wrong_amount")], payments.wrong_amount),
            ([("outcome", "refund_due_no_stock")], payments.no_stock),
        ],
    )?;
    encode_money(page, figures)?;
    // A payment and its stamps are one step of the ledger. Every payment that was applied issued one order; an order that none
    // was applied to is counted in `stampede_invariant_violations`.
    let paid_not_issued = payments.applied.saturating_sub(totals.orders_issued + totals.orders_voided);
    page.gauge(
        "stampede_paid_not_issued_orders",
        "Paid orders without stamps, by the sums of applied payments and issued orders: 0 by design",
        paid_not_issued,
    )?;
    page.gauge(
        "stampede_ledger_time_seconds",
        "The ledger's clock, Unix time",
        super::page::as_f64(totals.ledger_time.0) / 1e3,
    )?;
    page.counter("stampede_documents_stamped", "Stamps put on documents", totals.stampings)?;
    encode_series(page, figures)
}

fn encode_money(page: &mut Page<'_>, figures: &LedgerFigures) -> fmt::Result {
    let totals = &figures.totals;
    let due = || figures.refunds_due.by_reason().map(|(reason, due)| ([("reason", reason.name())], due));
    page.gauges(
        "stampede_refunds_due_orders",
        "Payments that are owed back now, by why they have no stamps",
        due().map(|(labels, due)| (labels, due.refunds)),
    )?;
    page.gauges(
        "stampede_refunds_due_amount_idr",
        "Money owed back now, by why",
        due().map(|(labels, due)| (labels, u64::try_from(due.amount_idr).unwrap_or(u64::MAX))),
    )?;
    let oldest = figures.oldest_refund_due_at.map_or(0, |due_at| totals.ledger_time.0.saturating_sub(due_at.0));
    page.gauge(
        "stampede_oldest_refund_due_age_seconds",
        "How long the oldest refund is due, by the ledger's clock; 0 if none is",
        super::page::as_f64(oldest) / 1e3,
    )?;
    page.counter("stampede_refunds_settled", "Refunds that were paid out", totals.refunds_settled)?;
    page.gauge("stampede_refunded_idr", "Money paid back", totals.refunded.as_idr())?;
    page.gauge("stampede_held_idr", "Money that voids did not give back", totals.held.as_idr())?;
    page.gauge(
        "stampede_received_idr",
        "Money received: issued value, held, refunds due and refunded together",
        totals.received.as_idr(),
    )?;
    page.gauge("stampede_issued_value_idr", "Money that stamps are issued for", totals.issued_value().as_idr())
}

fn encode_series(page: &mut Page<'_>, figures: &LedgerFigures) -> fmt::Result {
    let all = || figures.series.iter().map(|series| ([("series", series.code.as_str())], series));
    page.counters(
        "stampede_serials_issued",
        "Stamps issued, also those that are void since",
        all().map(|(labels, series)| (labels, series.given_out())),
    )?;
    page.counters(
        "stampede_serials_voided",
        "Stamps issued once and void since",
        all().map(|(labels, series)| (labels, series.voided)),
    )?;
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

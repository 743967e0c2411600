//! Shared by the domain's tests: short ways to write names and commands, and a ledger that executes them.

use stampede::domain::series::SeriesTerms;
use stampede::domain::{
    AccountId, Command, DocumentDigest, Gateway, LedgerTime, LedgerView, MemoryLedger, OrderId, PaymentId, PaymentName, Place,
    PolicyTerms, Quantity, Reply, Rupiah, SeriesCode, SettlementReference, StampNumber, apply, clamp_time,
};

pub(crate) const FACE_VALUE_IDR: u64 = 10_000;
pub(crate) const PAYMENT_WINDOW_MS: u64 = 1_000;

pub(crate) fn order_id(number: u8) -> OrderId {
    OrderId::from_bytes([number; 16])
}

pub(crate) fn series_code(code: &str) -> SeriesCode {
    SeriesCode::new(code).expect("valid")
}

pub(crate) fn stamp(number: u64) -> StampNumber {
    StampNumber::new(number).expect("valid")
}

pub(crate) fn quantity(stamps: u32) -> Quantity {
    Quantity::new(stamps).expect("valid")
}

pub(crate) fn payment_name(id: &str) -> PaymentName {
    PaymentName { gateway: Gateway::new("midtrans").expect("valid"), payment_id: PaymentId::new(id).expect("valid") }
}

pub(crate) fn terms(code: &str, first_number: u64, capacity: u64) -> SeriesTerms {
    SeriesTerms::new(series_code(code), stamp(first_number), capacity, FACE_VALUE_IDR, PAYMENT_WINDOW_MS, [7; 8])
        .expect("valid")
}

pub(crate) fn open(code: &str, first_number: u64, capacity: u64) -> Command {
    Command::OpenSeries(terms(code, first_number, capacity))
}

pub(crate) fn place(order: u8, account: &str, series: &str, stamps: u32) -> Command {
    Command::PlaceOrder {
        order: order_id(order),
        account: AccountId::new(account).expect("valid"),
        series: series_code(series),
        quantity: quantity(stamps),
    }
}

pub(crate) fn pay(payment: &str, order: u8, amount_idr: u64) -> Command {
    pay_through("midtrans", payment, order, amount_idr)
}

pub(crate) fn pay_through(gateway: &str, payment: &str, order: u8, amount_idr: u64) -> Command {
    let gateway = Gateway::new(gateway).expect("valid");
    let payment = PaymentName { gateway, ..payment_name(payment) };
    Command::RecordPayment { payment, order: order_id(order), amount: Rupiah::from_idr(amount_idr) }
}

pub(crate) fn cancel(order: u8) -> Command {
    Command::CancelOrder { order: order_id(order) }
}

pub(crate) fn void(order: u8) -> Command {
    Command::VoidOrder { order: order_id(order) }
}

pub(crate) fn document(number: u8) -> DocumentDigest {
    DocumentDigest::from_bytes([number; 32])
}

pub(crate) fn stamp_document(order: u8, number: u8) -> Command {
    Command::StampDocument { order: order_id(order), document: document(number) }
}

pub(crate) fn settle(payment: &str, amount_idr: u64, reference: &str) -> Command {
    let reference = SettlementReference::new(reference).expect("valid");
    Command::SettleRefund { payment: payment_name(payment), amount: Rupiah::from_idr(amount_idr), reference }
}

pub(crate) fn set_policy(version: u32, void_refund_percent: u32, void_window_ms: i64) -> Command {
    Command::SetPolicy(PolicyTerms::new(version, void_refund_percent, void_window_ms).expect("valid"))
}

pub(crate) fn expire(limit: u32) -> Command {
    Command::ExpireOrders { limit }
}

/// Executes one command as an entry of its own, as storage does: clock first.
pub(crate) fn execute(ledger: &mut MemoryLedger, log_index: u64, proposed_at: u64, command: &Command) -> Reply {
    let Ok((now, clock)) = clamp_time(ledger, LedgerTime(proposed_at));
    clock.into_iter().for_each(|change| ledger.absorb(change));
    let Ok(decision) = apply(ledger, Place { log_index, offset: 0 }, now, command);
    decision.changes.into_iter().for_each(|change| ledger.absorb(change));
    decision.reply
}

pub(crate) fn ledger_time(ledger: &MemoryLedger) -> u64 {
    let Ok(totals) = ledger.totals();
    totals.ledger_time.0
}

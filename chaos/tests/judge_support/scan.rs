//! As it goes over the wire: the scan of a replica, and commands of the log.

use std::collections::BTreeMap;

use stampede_chaos::history::*;
use stampede_chaos::model::{order_text, series_text};
use stampede_chaos::proto::{admin, v1};

use super::Maker;

impl Maker {
    pub(super) fn scan(&self) -> Vec<admin::ScanLedgerResponse> {
        use admin::scan_ledger_response::Item;
        let totals = self.ledger.totals;
        let header = admin::ScanHeader {
            node_id: 0,
            applied_index: self.index(),
            digest: digest(self.index()),
            scanned_digest: digest(self.index()),
            totals: Some(admin::Totals {
                orders_awaiting_payment: totals.orders_awaiting_payment,
                orders_issued: totals.orders_issued,
                orders_cancelled: totals.orders_cancelled,
                orders_expired: totals.orders_expired,
                serials_issued: totals.serials_issued,
                payments_applied: totals.payments_applied,
                payments_refund_due: totals.payments_refund_due,
                received_idr: totals.received_idr,
                issued_value_idr: totals.issued_value_idr,
                refund_due_idr: totals.refund_due_idr,
                ledger_time_ms: self.ledger.now_ms,
            }),
        };
        let mut items = vec![Item::Header(header)];
        for (code, series) in &self.ledger.series {
            items.push(Item::Series(admin::Series {
                series_code: series_text(*code),
                first_number: series.first_number,
                capacity: series.capacity,
                face_value_idr: series.face_value_idr,
                payment_window_ms: series.payment_window_ms,
                issued: series.issued,
                reserved: series.reserved,
                opened: Some(position(series.opened)),
            }));
        }
        let orders: BTreeMap<_, _> = self.ledger.orders.iter().collect();
        items.extend(orders.into_iter().map(|(id, order)| Item::Order(self.wire_order(*id, order, false))));
        let payments: BTreeMap<_, _> = self.ledger.payments.iter().collect();
        items.extend(payments.into_iter().map(|(name, payment)| {
            Item::Payment(v1::Payment {
                name: Some(wire_name(name)),
                order_id: order_text(payment.order),
                amount_idr: payment.amount_idr,
                outcome: payment.outcome as i32 + 1,
                recorded: Some(position(payment.recorded)),
                recorded_at_ms: payment.recorded_at_ms,
            })
        }));
        items.into_iter().map(|item| admin::ScanLedgerResponse { item: Some(item) }).collect()
    }

    pub(super) fn wire_order(&self, id: OrderId, order: &stampede_chaos::model::Order, with_codes: bool) -> v1::Order {
        let serials = order.issued.as_ref().map(|(first_number, _)| v1::SerialRange {
            series_code: series_text(order.series),
            first_number: *first_number,
            quantity: order.quantity,
            codes: (0..u64::from(order.quantity))
                .filter(|_| with_codes)
                .map(|at| self.codes.code(order.series, first_number + at))
                .collect(),
        });
        v1::Order {
            order_id: order_text(id),
            account_id: order.account.to_string(),
            series_code: series_text(order.series),
            quantity: order.quantity,
            amount_idr: order.amount_idr,
            state: order.state as i32 + 1,
            placed: Some(position(order.placed)),
            placed_at_ms: order.placed_at_ms,
            expires_at_ms: order.expires_at_ms,
            settled: order.settled.map(|settled| position(settled.place)),
            settled_at_ms: order.settled.map_or(0, |settled| settled.at_ms),
            serials,
            paid_by: order.issued.as_ref().map(|(_, name)| wire_name(name)),
        }
    }
}

pub(super) fn with_node(mut scan: Vec<admin::ScanLedgerResponse>, node: u16) -> Vec<admin::ScanLedgerResponse> {
    if let Some(admin::scan_ledger_response::Item::Header(header)) = &mut scan[0].item {
        header.node_id = node.into();
    }
    scan
}

pub(super) fn digest(index: u64) -> String {
    format!("{index:064x}")
}

fn position(place: Place) -> v1::Position {
    v1::Position { log_index: place.log_index, offset: place.offset }
}

fn wire_name(name: &PaymentName) -> v1::PaymentName {
    v1::PaymentName { gateway: name.gateway.to_string(), payment_id: name.payment_id.to_string() }
}

pub(super) fn wire_command(request: &Request) -> admin::LoggedCommand {
    use admin::logged_command::Command;
    let command = match request.clone() {
        Request::OpenSeries { series, first_number, capacity, face_value_idr, payment_window_ms } => {
            let series_code = series_text(series);
            Command::OpenSeries(admin::OpenSeriesRequest {
                series_code,
                first_number,
                capacity,
                face_value_idr,
                payment_window_ms,
            })
        }
        Request::PlaceOrder { order, account, series, quantity } => Command::PlaceOrder(v1::PlaceOrderRequest {
            order_id: order_text(order),
            account_id: account.into(),
            series_code: series_text(series),
            quantity,
        }),
        Request::RecordPayment { payment, order, amount_idr } => Command::RecordPayment(v1::RecordPaymentRequest {
            gateway: payment.gateway.into(),
            payment_id: payment.payment_id.into(),
            order_id: order_text(order),
            amount_idr,
        }),
        Request::CancelOrder { order } => Command::CancelOrder(v1::CancelOrderRequest { order_id: order_text(order) }),
        _ => unreachable!("reads are not logged"),
    };
    admin::LoggedCommand { command: Some(command) }
}

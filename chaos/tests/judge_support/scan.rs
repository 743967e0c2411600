//! As it goes over the wire: the scan of a replica, and commands of the log.

use std::collections::BTreeMap;

use stampede_chaos::history::*;
use stampede_chaos::model::{order_text, series_text};
use stampede_chaos::proto::{admin, v1};

use super::Maker;

impl Maker {
    /// Without the node that shows it.
    pub(super) fn scan(&self) -> impl Iterator<Item = admin::ScanLedgerResponse> {
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
                orders_voided: totals.orders_voided,
                serials_voided: totals.serials_voided,
                stampings: totals.stampings,
                refunds_due: totals.refunds_due,
                refunds_settled: totals.refunds_settled,
                held_idr: totals.held_idr,
                refunded_idr: totals.refunded_idr,
                policy_version: totals.policy_version,
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
                voided: series.voided,
            }));
        }
        let orders: BTreeMap<_, _> = self.ledger.orders.iter().collect();
        let orders = orders.into_iter().map(|(id, order)| Item::Order(self.wire_order(*id, order, false)));
        let payments: BTreeMap<_, _> = self.ledger.payments.iter().collect();
        let payments = payments.into_iter().map(|(name, payment)| {
            Item::Payment(v1::Payment {
                name: Some(wire_name(name)),
                order_id: order_text(payment.order),
                amount_idr: payment.amount_idr,
                outcome: payment.outcome as i32 + 1,
                recorded: Some(position(payment.recorded)),
                recorded_at_ms: payment.recorded_at_ms,
                refund: None,
            })
        });
        let items = items.into_iter().chain(orders).chain(payments).chain(self.scanned_after_issue());
        items.map(|item| admin::ScanLedgerResponse { item: Some(item) })
    }

    fn scanned_after_issue(&self) -> impl Iterator<Item = admin::scan_ledger_response::Item> {
        use admin::scan_ledger_response::Item;
        let refunds: BTreeMap<_, _> = self.ledger.refunds.iter().collect();
        let refunds = refunds.into_iter().map(|(name, refund)| {
            Item::Refund(v1::Refund {
                payment: Some(wire_name(name)),
                order_id: order_text(refund.order),
                amount_idr: refund.amount_idr,
                reason: refund.reason as i32 + 1,
                due: Some(position(refund.due.place)),
                due_at_ms: refund.due.at_ms,
                settled: refund.settled.as_ref().map(|(reference, settled)| v1::Settlement {
                    reference: reference.to_string(),
                    position: Some(position(settled.place)),
                    settled_at_ms: settled.at_ms,
                }),
            })
        });
        let orders: BTreeMap<_, _> = self.ledger.orders.iter().collect();
        let issued = orders.into_iter().filter_map(|(id, order)| Some((id, order, order.issued.as_ref()?)));
        let stampings = issued.flat_map(|(id, order, issued)| {
            issued.documents.iter().zip(issued.first_number..).map(|((document, stamped), number)| {
                Item::Stamping(admin::Stamping {
                    order_id: order_text(*id),
                    document_sha256: document.to_vec(),
                    series_code: series_text(order.series),
                    number,
                    position: Some(position(stamped.place)),
                    stamped_at_ms: stamped.at_ms,
                })
            })
        });
        let policies = (1..).zip(&self.ledger.policies).map(|(version, policy)| {
            Item::Policy(admin::Policy {
                version,
                void_refund_percent: policy.void_refund_percent,
                void_window_ms: policy.void_window_ms,
                set: policy.set.map(|set| position(set.place)),
                set_at_ms: policy.set.map_or(0, |set| set.at_ms),
            })
        });
        refunds.chain(stampings).chain(policies)
    }

    pub(super) fn wire_order(&self, id: OrderId, order: &stampede_chaos::model::Order, with_codes: bool) -> v1::Order {
        let serials = order.issued.as_ref().map(|issued| v1::SerialRange {
            series_code: series_text(order.series),
            first_number: issued.first_number,
            quantity: order.quantity,
            codes: (0..u64::from(order.quantity))
                .filter(|_| with_codes)
                .map(|at| self.codes.code(order.series, issued.first_number + at))
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
            paid_by: order.issued.as_ref().map(|issued| wire_name(&issued.paid_by)),
            issued_at_ms: order.issued.as_ref().map_or(0, |issued| issued.at_ms),
            stamped: order.issued.as_ref().map_or(0, |issued| u32::try_from(issued.documents.len()).unwrap()),
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
        Request::VoidOrder { order } => Command::VoidOrder(v1::VoidOrderRequest { order_id: order_text(order) }),
        Request::StampDocument { order, document } => {
            Command::StampDocument(v1::StampDocumentRequest { order_id: order_text(order), document_sha256: document.to_vec() })
        }
        Request::SettleRefund { payment, amount_idr, reference } => Command::SettleRefund(admin::SettleRefundRequest {
            gateway: payment.gateway.into(),
            payment_id: payment.payment_id.into(),
            amount_idr,
            reference: reference.into(),
        }),
        Request::SetPolicy { version, void_refund_percent, void_window_ms } => {
            Command::SetPolicy(admin::SetPolicyRequest { version, void_refund_percent, void_window_ms })
        }
        _ => unreachable!("reads are not logged"),
    };
    admin::LoggedCommand { command: Some(command) }
}

//! Calls, answers and log entries in words.

use crate::history::{OrderList, Outcome, PaymentList, PaymentName, Purpose, ReadAnswer, Request, WriteAnswer};
use crate::model::{LoggedCommand, order_text, series_text};

pub(super) fn request(request: &Request) -> String {
    match request {
        Request::OpenSeries { series, first_number, capacity, .. } => {
            format!("open series {} with {capacity} stamps from {first_number}", series_text(*series))
        }
        Request::PlaceOrder { order, account, series, quantity } => {
            format!("place order {} of {account}: {quantity} of {}", order_text(*order), series_text(*series))
        }
        Request::RecordPayment { payment, order, amount_idr } => {
            format!("record payment {} of {amount_idr} IDR for order {}", name(payment), order_text(*order))
        }
        Request::CancelOrder { order } => format!("cancel order {}", order_text(*order)),
        Request::VoidOrder { order } => format!("void order {}", order_text(*order)),
        Request::StampDocument { order, document } => {
            let document: String = document[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            format!("stamp document {document}… by order {}", order_text(*order))
        }
        Request::SettleRefund { payment, amount_idr, reference } => {
            format!("settle refund of {amount_idr} IDR for payment {}, reference {reference}", name(payment))
        }
        Request::SetPolicy { version, void_refund_percent, void_window_ms } => {
            format!("set policy {version}: void within {void_window_ms} ms, {void_refund_percent} % back")
        }
        Request::GetOrder { order, consistency } => format!("get order {} ({consistency:?})", order_text(*order)),
        Request::GetPayment { payment, consistency } => format!("get payment {} ({consistency:?})", name(payment)),
        Request::VerifySerial { code, consistency, .. } => format!("verify serial {code} ({consistency:?})"),
        Request::GetPolicy => "get policy".into(),
        Request::ListRefundsDue { page_size, .. } => format!("list refunds due, {page_size} a page"),
        Request::ListOrders(list) => list_orders(list),
        Request::ListPayments(list) => list_payments(list),
    }
}

fn list_orders(list: &OrderList) -> String {
    let of = list.account.as_ref().map(|account| format!(" of {account}")).unwrap_or_default();
    format!("list orders{of}{}, {} a page", as_of(list.as_of), list.page_size)
}

fn list_payments(list: &PaymentList) -> String {
    let of = list.gateway.as_ref().map(|gateway| format!(" of {gateway}")).unwrap_or_default();
    format!("list payments{of}{}, {} a page", as_of(list.as_of), list.page_size)
}

fn as_of(index: Option<u64>) -> String {
    index.map(|index| format!(" as of {index}")).unwrap_or_default()
}

fn name(payment: &PaymentName) -> String {
    format!("{}/{}", payment.gateway, payment.payment_id)
}

pub(super) fn command(command: &LoggedCommand) -> String {
    match command {
        LoggedCommand::Client(of_client) => request(of_client),
        LoggedCommand::ExpireOrders { limit } => format!("expire up to {limit} orders"),
    }
}

pub(super) const fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Traffic => "traffic",
        Purpose::Retry => "retry",
        Purpose::Duplicate => "duplicate on purpose",
        Purpose::Conflict => "same id, other body",
        Purpose::Ask => "asked after the heal",
        Purpose::FreshWrite => "fresh write after the heal",
        Purpose::Forged => "forged notice",
    }
}

pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Written(written) => {
            let replayed = if written.receipt.replayed { " (a replay)" } else { "" };
            format!(
                "{} at {} in term {}{replayed}",
                written_answer(&written.answer),
                written.receipt.place,
                written.receipt.term
            )
        }
        Outcome::Read(read) => {
            let index = read.read_index.map_or("no index".into(), |index| format!("index {index}"));
            format!("{} at {index}", read_answer(&read.answer))
        }
        Outcome::Refused { reason, field, place, .. } => {
            let field = if field.is_empty() { String::new() } else { format!(" ({field})") };
            let place = place.map(|place| format!(" at {place}")).unwrap_or_default();
            format!("refused: {reason}{field}{place}")
        }
        Outcome::NotDone { reason } => format!("not done: {reason}"),
        Outcome::Unknown { why } => format!("unknown: {why}"),
    }
}

fn written_answer(answer: &WriteAnswer) -> String {
    match answer {
        WriteAnswer::SeriesOpened => "series opened".into(),
        WriteAnswer::Placed { amount_idr, .. } => format!("placed for {amount_idr} IDR"),
        WriteAnswer::Recorded { outcome, serials: Some(serials) } => {
            let series = series_text(serials.series);
            format!("payment {outcome:?}, {} serials of {series} from {}", serials.quantity, serials.first_number)
        }
        WriteAnswer::Recorded { outcome, serials: None } | WriteAnswer::Noticed { outcome } => format!("payment {outcome:?}"),
        WriteAnswer::Cancelled => "cancelled".into(),
        WriteAnswer::Voided { refund_idr } => format!("voided, {refund_idr} IDR owed back"),
        WriteAnswer::Stamped { series, number, .. } => format!("stamped with {}-{number}", series_text(*series)),
        WriteAnswer::RefundSettled => "refund settled".into(),
        WriteAnswer::PolicySet => "policy set".into(),
    }
}

fn read_answer(answer: &ReadAnswer) -> String {
    match answer {
        ReadAnswer::Absent => "absent".into(),
        ReadAnswer::Order(order) => match &order.serials {
            Some(serials) => format!("order {:?}, {} serials from {}", order.state, serials.quantity, serials.first_number),
            None => format!("order {:?}", order.state),
        },
        ReadAnswer::Payment(payment) => format!("payment {:?} of {} IDR", payment.outcome, payment.amount_idr),
        ReadAnswer::SerialForged => "serial forged".into(),
        ReadAnswer::SerialUnknown => "serial unknown".into(),
        ReadAnswer::SerialIssued { order, .. } => format!("serial issued to order {}", order_text(*order)),
        ReadAnswer::SerialStamped { order, .. } => format!("serial of order {}, on a document", order_text(*order)),
        ReadAnswer::SerialVoided { order, .. } => format!("serial of order {}, voided", order_text(*order)),
        ReadAnswer::Policy(policy) => format!("policy {}", policy.version),
        ReadAnswer::RefundsDue { refunds, .. } => format!("{} refunds due", refunds.len()),
        ReadAnswer::Orders { orders, .. } => format!("{} orders", orders.len()),
        ReadAnswer::Payments { payments, .. } => format!("{} payments", payments.len()),
    }
}

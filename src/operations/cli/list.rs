//! `order list`, `payment list`: everything that fits a filter, as of one moment.

use std::cell::RefCell;
use std::time::SystemTime;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Global;
use super::connection::Call;
use super::exit::Failure;
use super::order::short_name;
use super::output::{self, Record};
use crate::limits::PAGE_SIZE_MAX;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::{ListOrdersRequest, ListPaymentsRequest, PaymentState};
use crate::proto::v1::{Order, OrderState, Payment, PaymentOutcome, RefundReason};

#[derive(Debug, Args)]
pub(super) struct OrdersArgs {
    /// Only orders in this state; may be given several times
    #[arg(long)]
    state: Vec<OrderStateArg>,
    /// Only orders of this account
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct PaymentsArgs {
    /// Only payments in this state; may be given several times
    #[arg(long)]
    state: Vec<PaymentStateArg>,
    /// Only payments of this gateway
    #[arg(long)]
    gateway: Option<String>,
    /// Only payments for orders of this account
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// From this time on, such as 2024-09-02T07:00:00Z, or Unix milliseconds
    #[arg(long, value_parser = parse_time)]
    from: Option<i64>,
    /// Before this time
    #[arg(long, value_parser = parse_time)]
    until: Option<i64>,
    /// At most so many; all if not given
    #[arg(long)]
    limit: Option<usize>,
}

impl Common {
    /// No more than are wanted.
    fn page_size(&self) -> u32 {
        let wanted = self.limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(PAGE_SIZE_MAX);
        wanted.clamp(1, PAGE_SIZE_MAX)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderStateArg {
    AwaitingPayment,
    Issued,
    Cancelled,
    Expired,
    Voided,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PaymentStateArg {
    Applied,
    RefundDue,
    Refunded,
}

/// Unix milliseconds.
fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse() {
        return Ok(ms);
    }
    let time = humantime::parse_rfc3339_weak(text).map_err(|error| format!("must be such as 2024-09-02T07:00:00Z: {error}"))?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| "must be 1970 or later".to_owned())?;
    i64::try_from(since.as_millis()).map_err(|_| "is too late".to_owned())
}

pub(super) async fn orders(global: &Global, args: OrdersArgs) -> Result<(), Failure> {
    let states = args.state.iter().map(|state| match state {
        OrderStateArg::AwaitingPayment => OrderState::AwaitingPayment.into(),
        OrderStateArg::Issued => OrderState::Issued.into(),
        OrderStateArg::Cancelled => OrderState::Cancelled.into(),
        OrderStateArg::Expired => OrderState::Expired.into(),
        OrderStateArg::Voided => OrderState::Voided.into(),
    });
    let mut request = ListOrdersRequest {
        page_size: args.common.page_size(),
        page_token: String::new(),
        states: states.collect(),
        account_id: args.account.unwrap_or_default(),
        placed_from_ms: args.common.from.unwrap_or(0),
        placed_until_ms: args.common.until.unwrap_or(0),
    };
    let mut list = Listed::up_to(args.common.limit);
    let mut admins = global.admins();
    loop {
        let call = Call::read("listing orders");
        let asked = RefCell::default();
        let page = admins
            .call(&call, async |to| {
                asked.replace(vec![to.address().to_owned()]);
                Client::new(to.channel()).list_orders(to.request(request.clone())).await
            })
            .await?;
        // The node that has the first page has the others.
        admins.addresses = asked.into_inner();
        let read_index = page.mark.unwrap_or_default().read_index;
        if list.is_full_with(page.orders.into_iter().map(describe_order), read_index, &page.next_page_token) {
            break;
        }
        request.page_token = page.next_page_token;
    }
    list.print(
        global,
        "orders",
        &["order_id", "account_id", "series", "quantity", "amount_idr", "state", "placed_at_ms", "paid_by"],
    );
    Ok(())
}

pub(super) async fn payments(global: &Global, args: PaymentsArgs) -> Result<(), Failure> {
    let states = args.state.iter().map(|state| match state {
        PaymentStateArg::Applied => PaymentState::Applied.into(),
        PaymentStateArg::RefundDue => PaymentState::RefundDue.into(),
        PaymentStateArg::Refunded => PaymentState::Refunded.into(),
    });
    let mut request = ListPaymentsRequest {
        page_size: args.common.page_size(),
        page_token: String::new(),
        states: states.collect(),
        gateway: args.gateway.unwrap_or_default(),
        recorded_from_ms: args.common.from.unwrap_or(0),
        recorded_until_ms: args.common.until.unwrap_or(0),
        account_id: args.account.unwrap_or_default(),
    };
    let mut list = Listed::up_to(args.common.limit);
    let mut admins = global.admins();
    loop {
        let call = Call::read("listing payments");
        let asked = RefCell::default();
        let page = admins
            .call(&call, async |to| {
                asked.replace(vec![to.address().to_owned()]);
                Client::new(to.channel()).list_payments(to.request(request.clone())).await
            })
            .await?;
        // The node that has the first page has the others.
        admins.addresses = asked.into_inner();
        let read_index = page.mark.unwrap_or_default().read_index;
        if list.is_full_with(page.payments.into_iter().map(describe_payment), read_index, &page.next_page_token) {
            break;
        }
        request.page_token = page.next_page_token;
    }
    list.print(global, "payments", &["payment", "order_id", "amount_idr", "outcome", "recorded_at_ms", "owed_for", "refunded"]);
    Ok(())
}

/// What the pages had so far.
struct Listed {
    records: Vec<Record>,
    limit: usize,
    are_more: bool,
    read_index: u64,
}

impl Listed {
    fn up_to(limit: Option<usize>) -> Self {
        Self { records: Vec::new(), limit: limit.unwrap_or(usize::MAX), are_more: false, read_index: 0 }
    }

    /// True if no further page is wanted.
    fn is_full_with(&mut self, page: impl Iterator<Item = Record>, read_index: u64, next_page_token: &str) -> bool {
        self.records.extend(page);
        self.are_more = !next_page_token.is_empty() || self.records.len() > self.limit;
        self.records.truncate(self.limit);
        self.read_index = read_index;
        next_page_token.is_empty() || self.records.len() >= self.limit
    }

    fn print(self, global: &Global, what: &str, columns: &[&str]) {
        let (count, more) = (self.records.len(), if self.are_more { "; there are more" } else { "" });
        output::print_records(global.output, columns, self.records);
        eprintln!("{count} {what} as of log index {}{more}", self.read_index);
    }
}

fn describe_order(order: Order) -> Record {
    let state = order.state().as_str_name();
    vec![
        ("order_id", json!(order.order_id)),
        ("account_id", json!(order.account_id)),
        ("series", json!(order.series_code)),
        ("quantity", json!(order.quantity)),
        ("amount_idr", json!(order.amount_idr)),
        ("state", short_name(state, "ORDER_STATE_")),
        ("placed_at_ms", json!(order.placed_at_ms)),
        ("paid_by", json!(order.paid_by.map(|payment| format!("{}/{}", payment.gateway, payment.payment_id)))),
    ]
}

fn describe_payment(payment: Payment) -> Record {
    let outcome = PaymentOutcome::try_from(payment.outcome).unwrap_or_default();
    let name = payment.name.unwrap_or_default();
    let reason = payment.refund.as_ref().map(|refund| RefundReason::try_from(refund.reason).unwrap_or_default());
    vec![
        ("payment", json!(format!("{}/{}", name.gateway, name.payment_id))),
        ("order_id", json!(payment.order_id)),
        ("amount_idr", json!(payment.amount_idr)),
        ("outcome", short_name(outcome.as_str_name(), "PAYMENT_OUTCOME_")),
        ("recorded_at_ms", json!(payment.recorded_at_ms)),
        ("owed_for", reason.map_or(json!(null), |reason| short_name(reason.as_str_name(), "REFUND_REASON_"))),
        ("refunded", json!(payment.refund.is_some_and(|refund| refund.settled.is_some()))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_milliseconds_or_as_people_write_it() {
        assert_eq!(parse_time("1725260400000"), Ok(1_725_260_400_000));
        assert_eq!(parse_time("2024-09-02T07:00:00Z"), Ok(1_725_260_400_000));
        assert!(parse_time("yesterday").is_err());
    }
}

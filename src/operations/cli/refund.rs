//! `refund list|settle`: which payments have no stamps, and why; and that the money went back.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Global;
use super::connection::Call;
use super::exit::Failure;
use super::order::{describe_receipt, short_name};
use super::output::{self, Record};
use crate::limits::PAGE_SIZE_MAX;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::{ListRefundsDueRequest, SettleRefundRequest};
use crate::proto::v1::{Refund, RefundReason};

#[derive(Debug, Subcommand)]
pub(super) enum RefundCommand {
    /// What is owed back and not paid out yet, oldest first
    List {
        /// At most so many; all if not given
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Record that a refund was paid out
    Settle(SettleArgs),
}

#[derive(Debug, Args)]
pub(super) struct SettleArgs {
    /// Gateway and its payment id, as `refund list` shows them: gateway/payment-id
    #[arg(value_name = "GATEWAY/PAYMENT_ID", value_parser = parse_payment)]
    payment: (String, String),
    /// What was paid out, in whole rupiah: it must be what is owed
    #[arg(long)]
    amount_idr: i64,
    /// The transfer's name in the books of whoever paid it out: never a person's name or account number
    #[arg(long)]
    reference: String,
}

fn parse_payment(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('/').map(|(gateway, payment_id)| (gateway.to_owned(), payment_id.to_owned()));
    parts.ok_or_else(|| "must be gateway/payment-id".to_owned())
}

const COLUMNS: [&str; 5] = ["payment", "order_id", "amount_idr", "reason", "due_at_ms"];

pub(super) async fn run(global: &Global, command: RefundCommand) -> Result<(), Failure> {
    match command {
        RefundCommand::List { limit } => list(global, limit.unwrap_or(usize::MAX)).await,
        RefundCommand::Settle(args) => settle(global, args).await,
    }
}

async fn list(global: &Global, limit: usize) -> Result<(), Failure> {
    let call = Call::read("listing the refunds due");
    let mut refunds: Vec<Refund> = Vec::new();
    let mut page_token = String::new();
    loop {
        let message = ListRefundsDueRequest { page_size: PAGE_SIZE_MAX, page_token };
        let page = global
            .admins()
            .call(&call, async |to| Client::new(to.channel()).list_refunds_due(to.request(message.clone())).await)
            .await?;
        refunds.extend(page.refunds);
        page_token = page.next_page_token;
        if page_token.is_empty() || refunds.len() >= limit {
            break;
        }
    }
    let are_more = !page_token.is_empty() || refunds.len() > limit;
    refunds.truncate(limit);
    let count = refunds.len();
    let sum: i64 = refunds.iter().map(|refund| refund.amount_idr).fold(0, i64::saturating_add);
    output::print_records(global.output, &COLUMNS, refunds.into_iter().map(describe).collect());
    match are_more {
        false => eprintln!("{count} refunds due, Rp{sum} together"),
        true => eprintln!("the oldest {count} refunds due, Rp{sum} together; there are more"),
    }
    Ok(())
}

fn describe(refund: Refund) -> Record {
    let reason = RefundReason::try_from(refund.reason).unwrap_or_default();
    let payment = refund.payment.unwrap_or_default();
    vec![
        ("payment", json!(format!("{}/{}", payment.gateway, payment.payment_id))),
        ("order_id", json!(refund.order_id)),
        ("amount_idr", json!(refund.amount_idr)),
        ("reason", short_name(reason.as_str_name(), "REFUND_REASON_")),
        ("due_at_ms", json!(refund.due_at_ms)),
    ]
}

async fn settle(global: &Global, args: SettleArgs) -> Result<(), Failure> {
    let SettleArgs { payment: (gateway, payment_id), amount_idr, reference } = args;
    let payment = format!("{gateway}/{payment_id}");
    let again = format!("stampede refund settle {payment} --amount-idr {amount_idr} --reference {reference}");
    let call = Call::write("settling the refund", "stampede refund list", again);
    let message = SettleRefundRequest { gateway, payment_id, amount_idr, reference: reference.clone() };
    let settled = global
        .admins()
        .call(&call, async |to| Client::new(to.channel()).settle_refund(to.request(message.clone())).await)
        .await?;
    let mut record = vec![("payment", json!(payment)), ("amount_idr", json!(amount_idr)), ("reference", json!(reference))];
    record.extend(describe_receipt(settled.receipt));
    output::print_record(global.output, record);
    Ok(())
}

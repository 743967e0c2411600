//! `order place|pay|get|cancel|void`.
//!
//! Ids are made here, before the first send, and told at once: whatever happens to the connection, the caller can ask.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Global;
use super::connection::Call;
use super::exit::Failure;
use super::list;
use super::output::{self, Record};
use crate::proto::v1::issuance_service_client::IssuanceServiceClient as Client;
use crate::proto::v1::{
    CancelOrderRequest, GetOrderRequest, Order, OrderState, PaymentOutcome, PlaceOrderRequest, ReadConsistency, Receipt,
    RecordPaymentRequest, SerialRange, VoidOrderRequest,
};

#[derive(Debug, Subcommand)]
pub(super) enum OrderCommand {
    /// Reserve stamps of a series
    Place(PlaceArgs),
    /// Record a payment, which issues the stamps
    Pay(PayArgs),
    /// Orders by their id, as of one moment
    List(list::OrdersArgs),
    /// Show an order
    Get(GetArgs),
    /// Give up an order that waits for its payment
    Cancel { order_id: Uuid },
    /// Give an issued order back, whole, before any of its stamps is used
    Void { order_id: Uuid },
}

#[derive(Debug, Args)]
pub(super) struct PlaceArgs {
    /// Code of the series
    #[arg(long)]
    series: String,
    /// Number of stamps
    #[arg(long, default_value_t = 1)]
    quantity: u32,
    /// Who buys: an opaque id, never a person's name or number
    #[arg(long, default_value = "cli")]
    account: String,
    /// UUID of the order; made if not given. Give the same again to repeat an order safely
    #[arg(long)]
    order_id: Option<Uuid>,
}

#[derive(Debug, Args)]
pub(super) struct PayArgs {
    order_id: Uuid,
    /// In whole rupiah; what the order costs if not given
    #[arg(long)]
    amount_idr: Option<i64>,
    #[arg(long, default_value = "manual")]
    gateway: String,
    /// The gateway's id of the payment; made if not given. Give the same again to repeat a notice safely
    #[arg(long)]
    payment_id: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct GetArgs {
    order_id: Uuid,
    /// What the asked node has applied, at once, even without a leader
    #[arg(long)]
    stale: bool,
}

pub(super) async fn run(global: &Global, command: OrderCommand) -> Result<(), Failure> {
    let record = match command {
        OrderCommand::Place(args) => place(global, args).await?,
        OrderCommand::Pay(args) => pay(global, args).await?,
        OrderCommand::List(args) => return list::orders(global, args).await,
        OrderCommand::Get(args) => describe(get(global, args.order_id, args.stale).await?),
        OrderCommand::Cancel { order_id } => cancel(global, order_id).await?,
        OrderCommand::Void { order_id } => void(global, order_id).await?,
    };
    output::print_record(global.output, record);
    Ok(())
}

async fn place(global: &Global, args: PlaceArgs) -> Result<Record, Failure> {
    let order_id = args.order_id.unwrap_or_else(Uuid::now_v7).to_string();
    eprintln!("placing order {order_id}");
    let again = format!(
        "stampede order place --order-id {order_id} --series {} --quantity {} --account {}",
        args.series, args.quantity, args.account
    );
    let call = Call::write("placing the order", format!("stampede order get {order_id}"), again);
    let message = PlaceOrderRequest {
        order_id: order_id.clone(),
        account_id: args.account,
        series_code: args.series,
        quantity: args.quantity,
    };
    let placed = global
        .servers()
        .call(&call, async |to| Client::new(to.channel()).place_order(to.request(message.clone())).await)
        .await?;
    let mut record = vec![
        ("order_id", json!(order_id)),
        ("amount_idr", json!(placed.amount_idr)),
        ("expires_at_ms", json!(placed.expires_at_ms)),
    ];
    record.extend(describe_receipt(placed.receipt));
    Ok(record)
}

async fn pay(global: &Global, args: PayArgs) -> Result<Record, Failure> {
    let amount_idr = match args.amount_idr {
        Some(amount) => amount,
        None => get(global, args.order_id, false).await?.amount_idr,
    };
    let payment_id = args.payment_id.unwrap_or_else(|| Uuid::now_v7().to_string());
    eprintln!("recording payment {}/{payment_id} of Rp{amount_idr}", args.gateway);
    let again = format!(
        "stampede order pay {} --gateway {} --payment-id {payment_id} --amount-idr {amount_idr}",
        args.order_id, args.gateway
    );
    let call = Call::write("recording the payment", format!("stampede order get {}", args.order_id), again);
    let message = RecordPaymentRequest {
        gateway: args.gateway.clone(),
        payment_id: payment_id.clone(),
        order_id: args.order_id.to_string(),
        amount_idr,
    };
    let recorded = global
        .servers()
        .call(&call, async |to| Client::new(to.channel()).record_payment(to.request(message.clone())).await)
        .await?;
    let outcome = PaymentOutcome::try_from(recorded.outcome).unwrap_or_default();
    let mut record = vec![
        ("order_id", json!(args.order_id.to_string())),
        ("gateway", json!(args.gateway)),
        ("payment_id", json!(payment_id)),
        ("outcome", short_name(outcome.as_str_name(), "PAYMENT_OUTCOME_")),
    ];
    record.extend(describe_serials(recorded.serials));
    record.extend(describe_receipt(recorded.receipt));
    Ok(record)
}

async fn get(global: &Global, order_id: Uuid, is_stale: bool) -> Result<Order, Failure> {
    let consistency = if is_stale { ReadConsistency::Stale } else { ReadConsistency::Linearizable };
    let message = GetOrderRequest { order_id: order_id.to_string(), consistency: consistency.into() };
    let call = Call::read("reading the order");
    let got =
        global.servers().call(&call, async |to| Client::new(to.channel()).get_order(to.request(message.clone())).await).await?;
    Ok(got.order.unwrap_or_default())
}

async fn cancel(global: &Global, order_id: Uuid) -> Result<Record, Failure> {
    let again = format!("stampede order cancel {order_id}");
    let call = Call::write("cancelling the order", format!("stampede order get {order_id}"), again);
    let message = CancelOrderRequest { order_id: order_id.to_string() };
    let cancelled = global
        .servers()
        .call(&call, async |to| Client::new(to.channel()).cancel_order(to.request(message.clone())).await)
        .await?;
    let mut record = vec![("order_id", json!(order_id.to_string())), ("state", json!("cancelled"))];
    record.extend(describe_receipt(cancelled.receipt));
    Ok(record)
}

async fn void(global: &Global, order_id: Uuid) -> Result<Record, Failure> {
    let again = format!("stampede order void {order_id}");
    let call = Call::write("voiding the order", format!("stampede order get {order_id}"), again);
    let message = VoidOrderRequest { order_id: order_id.to_string() };
    let voided = global
        .servers()
        .call(&call, async |to| Client::new(to.channel()).void_order(to.request(message.clone())).await)
        .await?;
    let mut record =
        vec![("order_id", json!(order_id.to_string())), ("state", json!("voided")), ("refund_idr", json!(voided.refund_idr))];
    record.extend(describe_receipt(voided.receipt));
    Ok(record)
}

fn describe(order: Order) -> Record {
    let state = OrderState::try_from(order.state).unwrap_or_default();
    let paid_by = order.paid_by.map(|name| format!("{}/{}", name.gateway, name.payment_id));
    let mut record = vec![
        ("order_id", json!(order.order_id)),
        ("state", short_name(state.as_str_name(), "ORDER_STATE_")),
        ("account_id", json!(order.account_id)),
        ("series", json!(order.series_code)),
        ("quantity", json!(order.quantity)),
        ("amount_idr", json!(order.amount_idr)),
        ("placed_at_ms", json!(order.placed_at_ms)),
        ("expires_at_ms", json!(order.expires_at_ms)),
        ("paid_by", json!(paid_by)),
        ("stamped", json!(order.stamped)),
    ];
    record.extend(describe_serials(order.serials));
    record
}

fn describe_serials(serials: Option<SerialRange>) -> Record {
    vec![
        ("first_number", json!(serials.as_ref().map(|range| range.first_number))),
        ("codes", json!(serials.map(|range| range.codes).unwrap_or_default())),
    ]
}

pub(super) fn describe_receipt(receipt: Option<Receipt>) -> Record {
    let receipt = receipt.unwrap_or_default();
    let position = receipt.position.unwrap_or_default();
    vec![
        ("log_index", json!(position.log_index)),
        ("offset", json!(position.offset)),
        ("replayed", json!(receipt.replayed)),
        ("term", json!(receipt.term)),
    ]
}

/// `ORDER_STATE_ISSUED` is `issued`.
pub(super) fn short_name(name: &str, prefix: &str) -> Value {
    json!(name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase())
}

//! `events`: what happens to the ledger, as it happens.

use std::io::Write;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::Streaming;

use super::Global;
use super::connection::Call;
use super::exit::Failure;
use super::order::short_name;
use crate::limits::WATCH_PROGRESS_INTERVAL;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::ledger_event::Event;
use crate::proto::admin::{LedgerEntry, WatchLedgerRequest, WatchLedgerResponse};

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// The first log index to tell of. To go on after a break: the last that was told, without the events of it that are known
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// End after so many events, and the others of the last log entry
    #[arg(long)]
    limit: Option<u64>,
}

/// One JSON object a line, whatever `--output` says: a table has an end. Goes on at the next server when one ends.
pub(super) async fn run(global: &Global, args: EventsArgs) -> Result<(), Failure> {
    let mut next = WatchLedgerRequest { from_index: args.from, after: Vec::new() };
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let call = Call::read("watching the ledger");
        let request = next.clone();
        let mut answers = global
            .admins()
            .call(&call, async |to| Client::new(to.channel()).watch_ledger(to.request(request.clone())).await)
            .await?;
        if print_until_broken_off(&mut answers, &mut next, &mut left).await.is_err() {
            // Nobody reads on (`| head`): that is no error of ours.
            return Ok(());
        }
    }
    Ok(())
}

/// # Errors
/// Standard output is closed.
async fn print_until_broken_off(
    answers: &mut Streaming<WatchLedgerResponse>,
    next: &mut WatchLedgerRequest,
    left: &mut u64,
) -> std::io::Result<()> {
    loop {
        // Marks come all the time: without one the server is gone.
        let Ok(answer) = timeout(3 * WATCH_PROGRESS_INTERVAL, answers.message()).await else { return Ok(()) };
        match answer {
            Ok(Some(answer)) => {
                for line in answer.entry.iter().flat_map(lines) {
                    writeln!(std::io::stdout(), "{line}")?;
                    *left = left.saturating_sub(1);
                }
                if answer.next_index != next.from_index {
                    *next = WatchLedgerRequest { from_index: answer.next_index, after: answer.next_after };
                }
                if *left == 0 {
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(status) => {
                eprintln!("broken off at log index {}: {}", next.from_index, status.message());
                return Ok(());
            }
        }
    }
}

fn lines(entry: &LedgerEntry) -> Vec<Value> {
    let line = |event: &crate::proto::admin::LedgerEvent| {
        let (name, mut line) = describe(event.event.as_ref()?);
        line["event"] = json!(name);
        line["log_index"] = json!(entry.log_index);
        line["offset"] = json!(event.offset);
        line["ledger_time_ms"] = json!(entry.ledger_time_ms);
        Some(line)
    };
    entry.events.iter().filter_map(line).collect()
}

fn describe(event: &Event) -> (&'static str, Value) {
    match event {
        Event::SeriesOpened(series) => (
            "series_opened",
            json!({"series": series.series_code, "first_number": series.first_number, "capacity": series.capacity,
                "face_value_idr": series.face_value_idr, "payment_window_ms": series.payment_window_ms}),
        ),
        Event::OrderPlaced(order) => (
            "order_placed",
            json!({"order_id": order.order_id, "account_id": order.account_id, "series": order.series_code,
                "quantity": order.quantity, "amount_idr": order.amount_idr, "expires_at_ms": order.expires_at_ms}),
        ),
        Event::PaymentRecorded(paid) => {
            let name = paid.payment.clone().unwrap_or_default();
            let serials = paid.serials.as_ref();
            (
                "payment_recorded",
                json!({"payment": format!("{}/{}", name.gateway, name.payment_id), "order_id": paid.order_id,
                    "amount_idr": paid.amount_idr, "outcome": short_name(paid.outcome().as_str_name(), "PAYMENT_OUTCOME_"),
                    "series": serials.map(|serials| &serials.series_code), "first_number": serials.map(|serials| serials.first_number),
                    "stamps": serials.map(|serials| serials.quantity)}),
            )
        }
        Event::OrderCancelled(order) => ("order_cancelled", json!({"order_id": order.order_id})),
        Event::OrderExpired(order) => ("order_expired", json!({"order_id": order.order_id})),
        Event::OrderVoided(order) => ("order_voided", json!({"order_id": order.order_id, "refund_due_idr": order.refund_idr})),
        Event::DocumentStamped(stamp) => (
            "document_stamped",
            json!({"order_id": stamp.order_id, "document_sha256": hex::encode(&stamp.document_sha256),
                "series": stamp.series_code, "number": stamp.number}),
        ),
        Event::RefundSettled(refund) => (
            "refund_settled",
            json!({"payment": format!("{}/{}", refund.gateway, refund.payment_id), "amount_idr": refund.amount_idr,
                "reference": refund.reference}),
        ),
        Event::PolicySet(policy) => (
            "policy_set",
            json!({"version": policy.version, "void_refund_percent": policy.void_refund_percent,
                "void_window_ms": policy.void_window_ms}),
        ),
    }
}

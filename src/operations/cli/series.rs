//! `series open|list`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Global;
use super::connection::Call;
use super::exit::Failure;
use super::order::describe_receipt;
use super::output;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::{ListSeriesRequest, OpenSeriesRequest};

#[derive(Debug, Subcommand)]
pub(super) enum SeriesCommand {
    /// Open a series; the same again is answered the same
    Open(OpenArgs),
    /// All series with what is left
    List,
}

#[derive(Debug, Args)]
pub(super) struct OpenArgs {
    /// Three characters of 0-9 A-Z without I L O U
    code: String,
    /// How many stamps
    #[arg(long)]
    capacity: u64,
    #[arg(long, default_value_t = 0)]
    first_number: u64,
    /// Rupiah of one stamp
    #[arg(long, default_value_t = 10_000)]
    face_value: i64,
    /// How long an order waits for its payment
    #[arg(long, default_value = "1day", value_parser = humantime::parse_duration)]
    payment_window: Duration,
}

pub(super) async fn run(global: &Global, command: SeriesCommand) -> Result<(), Failure> {
    match command {
        SeriesCommand::Open(args) => open(global, args).await,
        SeriesCommand::List => list(global).await,
    }
}

async fn open(global: &Global, args: OpenArgs) -> Result<(), Failure> {
    let again = format!(
        "stampede series open {} --capacity {} --first-number {} --face-value {} --payment-window {}",
        args.code,
        args.capacity,
        args.first_number,
        args.face_value,
        humantime::format_duration(args.payment_window).to_string().replace(' ', "")
    );
    let call = Call::write("opening the series", "stampede series list", again);
    let message = OpenSeriesRequest {
        series_code: args.code.clone(),
        first_number: args.first_number,
        capacity: args.capacity,
        face_value_idr: args.face_value,
        payment_window_ms: i64::try_from(args.payment_window.as_millis()).unwrap_or(i64::MAX),
    };
    let opened = global
        .admins()
        .call(&call, async |to| Client::new(to.channel()).open_series(to.request(message.clone())).await)
        .await?;
    let mut record = vec![("series", json!(args.code)), ("capacity", json!(args.capacity))];
    record.extend(describe_receipt(opened.receipt));
    output::print_record(global.output, record);
    Ok(())
}

async fn list(global: &Global) -> Result<(), Failure> {
    let call = Call::read("listing the series");
    let listed = global
        .admins()
        .call(&call, async |to| Client::new(to.channel()).list_series(to.request(ListSeriesRequest {})).await)
        .await?;
    let rows = listed.series.into_iter().map(|series| {
        let taken = [series.issued, series.voided, series.reserved].into_iter().fold(0, u64::saturating_add);
        let free = series.capacity.saturating_sub(taken);
        vec![
            ("series", json!(series.series_code)),
            ("first_number", json!(series.first_number)),
            ("capacity", json!(series.capacity)),
            ("issued", json!(series.issued)),
            ("voided", json!(series.voided)),
            ("reserved", json!(series.reserved)),
            ("free", json!(free)),
            ("face_value_idr", json!(series.face_value_idr)),
            ("payment_window_ms", json!(series.payment_window_ms)),
        ]
    });
    let columns =
        ["series", "first_number", "capacity", "issued", "voided", "reserved", "free", "face_value_idr", "payment_window_ms"];
    output::print_records(global.output, &columns, rows.collect());
    Ok(())
}

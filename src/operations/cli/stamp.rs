//! `stamp verify`: is this code one of ours, and is it issued?

use clap::Subcommand;
use serde_json::json;

use super::Global;
use super::connection::Call;
use super::exit::{Code, Failure};
use super::order::short_name;
use super::output;
use crate::proto::v1::issuance_service_client::IssuanceServiceClient as Client;
use crate::proto::v1::{SerialStatus, VerifySerialRequest};

#[derive(Debug, Subcommand)]
pub(super) enum StampCommand {
    /// Tell forged, unknown and issued codes apart; exit code 12 unless it is issued
    Verify {
        /// 22 characters, as printed
        code: String,
    },
}

pub(super) async fn run(global: &Global, command: StampCommand) -> Result<(), Failure> {
    let StampCommand::Verify { code } = command;
    let message = VerifySerialRequest { code: code.clone(), ..VerifySerialRequest::default() };
    let call = Call::read("verifying the code");
    let answer = global
        .servers()
        .call(&call, async |to| Client::new(to.channel()).verify_serial(to.request(message.clone())).await)
        .await?;
    let status = SerialStatus::try_from(answer.status).unwrap_or_default();
    let order_id = (status == SerialStatus::Issued).then_some(answer.order_id);
    let issued_at_ms = (status == SerialStatus::Issued).then_some(answer.issued_at_ms);
    output::print_record(
        global.output,
        vec![
            ("code", json!(code)),
            ("status", short_name(status.as_str_name(), "SERIAL_STATUS_")),
            ("order_id", json!(order_id)),
            ("issued_at_ms", json!(issued_at_ms)),
        ],
    );
    let message = match status {
        SerialStatus::Issued => return Ok(()),
        SerialStatus::Unknown => "the code is genuine, but its stamp is not issued",
        _ => "the code was never given out by this system",
    };
    Err(Failure::new(Code::VerificationFailed, message, "compare it with the document, character by character"))
}

//! `audit export`, `audit verify`: the record of everything that was ever asked and answered, taken out, and held to the rules.

mod export;
mod line;
mod progress;
mod verify;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

pub(super) use self::export::records_from;
use super::connection::Call;
use super::exit::Failure;
use super::{Global, output};
use crate::proto::admin::GetStatusRequest;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::storage::AuditName;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Write the audit record to a file: one JSON object for each log entry, with every command and its outcome. A file that is
    /// there is gone on with, so the same command again fetches what is new
    Export {
        file: PathBuf,
        /// Begin a new file with this log index; `verify` can hold such a file to its chain alone
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// The name of the newest entry, which stands for all before it. Noted somewhere else, it convicts whoever rewrites history
    Head,
    /// Check an exported file, without a cluster: that no entry was changed, or left out or put in between others, that the outcomes
    /// are what the rules make of the commands, and that money and serial numbers add up. Exit code 12 if not. A file whose last
    /// entries were cut off is whole as far as it goes: only --known-head tells
    Verify {
        file: PathBuf,
        /// An audit_head that was noted earlier, of `audit head`, `audit export` or `audit verify`: the file must contain it. One of
        /// the day of the export shows that the end of the file is there
        #[arg(long, value_name = "HEX", value_parser = verify::parse_head)]
        known_head: Option<AuditName>,
        /// The file begins later than with entry 0: hold it to its chain alone
        #[arg(long)]
        chain_only: bool,
    },
}

pub(super) async fn run(global: &Global, command: AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Export { file, from } => export::run(global, &file, from).await,
        AuditCommand::Head => head(global).await,
        AuditCommand::Verify { file, known_head, chain_only } => verify::run(global, &file, known_head, chain_only),
    }
}

async fn head(global: &Global) -> Result<(), Failure> {
    let call = Call::read("asking for the newest audit record");
    let admins = global.admins();
    let status =
        admins.call(&call, async |to| Client::new(to.channel()).get_status(to.request(GetStatusRequest {})).await).await?;
    output::print_record(
        global.output,
        vec![
            ("node", json!(status.node_id)),
            ("log_index", json!(status.applied_index)),
            ("audit_head", json!(status.audit_head)),
            ("state_digest", json!(status.digest)),
        ],
    );
    Ok(())
}

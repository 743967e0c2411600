//! `settings get|set`: what is the same on all nodes, because it is replicated. (What is of one node stands in its files: `config`.)

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Global;
use super::connection::Call;
use super::exit::Failure;
use super::order::describe_receipt;
use super::output;
use crate::proto::admin::admin_service_client::AdminServiceClient as Client;
use crate::proto::admin::{GetPolicyRequest, Policy, SetPolicyRequest};

#[derive(Debug, Subcommand)]
pub(super) enum SettingsCommand {
    /// The policy in force: what a void gives back, and until when
    Get,
    /// Set the policy; what is not given stays as it is. Refunds that are due stay as they are
    Set(SetArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct SetArgs {
    /// What a void gives back of what was paid, in percent
    #[arg(long)]
    void_refund_percent: Option<u32>,
    /// How long after its issue an order may be voided
    #[arg(long, value_parser = humantime::parse_duration)]
    void_window: Option<Duration>,
    /// Version that this one makes; the next one if not given. Give the same again, with the same terms, to repeat it safely
    #[arg(long, requires_all = ["void_refund_percent", "void_window"])]
    version: Option<u32>,
}

pub(super) async fn run(global: &Global, command: SettingsCommand) -> Result<(), Failure> {
    let record = match command {
        SettingsCommand::Get => {
            let policy = get(global).await?;
            vec![
                ("policy_version", json!(policy.version)),
                ("void_refund_percent", json!(policy.void_refund_percent)),
                ("void_window", json!(window(policy.void_window_ms))),
                ("set_at_ms", json!(policy.set.map(|_| policy.set_at_ms))),
            ]
        }
        SettingsCommand::Set(args) => set(global, args).await?,
    };
    output::print_record(global.output, record);
    Ok(())
}

async fn get(global: &Global) -> Result<Policy, Failure> {
    let call = Call::read("reading the policy");
    let got = global
        .admins()
        .call(&call, async |to| Client::new(to.channel()).get_policy(to.request(GetPolicyRequest {})).await)
        .await?;
    Ok(got.policy.unwrap_or_default())
}

async fn set(global: &Global, args: SetArgs) -> Result<output::Record, Failure> {
    let now = get(global).await?;
    let given_ms = args.void_window.map(|window| i64::try_from(window.as_millis()).unwrap_or(i64::MAX));
    let message = SetPolicyRequest {
        version: args.version.unwrap_or(now.version.saturating_add(1)),
        void_refund_percent: args.void_refund_percent.unwrap_or(now.void_refund_percent),
        void_window_ms: given_ms.unwrap_or(now.void_window_ms),
    };
    let again = format!(
        "stampede settings set --version {} --void-refund-percent {} --void-window {}",
        message.version,
        message.void_refund_percent,
        window(message.void_window_ms).replace(' ', "")
    );
    let call = Call::write("setting the policy", "stampede settings get", again);
    let set = global.admins().call(&call, async |to| Client::new(to.channel()).set_policy(to.request(message)).await).await?;
    let mut record = vec![
        ("policy_version", json!(message.version)),
        ("void_refund_percent", json!(message.void_refund_percent)),
        ("void_window", json!(window(message.void_window_ms))),
    ];
    record.extend(describe_receipt(set.receipt));
    Ok(record)
}

fn window(ms: i64) -> String {
    humantime::format_duration(Duration::from_millis(u64::try_from(ms).unwrap_or(0))).to_string()
}

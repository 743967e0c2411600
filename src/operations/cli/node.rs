//! `node`: reads the configuration, then lives until it is told to stop.

use super::exit::{Code, Failure};
use super::{ConfigArgs, configuration};
use crate::operations::node::stop::StopRequests;
use crate::operations::{node, telemetry};

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
    let cannot = |error| Failure::new(Code::Failed, format!("cannot start: {error}"), "look at the machine's limits");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // 0 is the runtime's own choice: one for each core.
    match usize::try_from(loaded.config.node.worker_threads) {
        Ok(threads) if threads > 0 => drop(runtime.worker_threads(threads)),
        _ => {}
    }
    let runtime = runtime.enable_all().build().map_err(cannot)?;
    let ended = runtime.block_on(async {
        let requests = StopRequests::listen(args.exit_with_stdin).map_err(cannot)?;
        node::run(&loaded, requests).await
    });
    // What hangs in a blocking call must not keep the process: what was acknowledged is on disk.
    runtime.shutdown_timeout(crate::limits::RUNTIME_SHUTDOWN_TIMEOUT);
    ended
}

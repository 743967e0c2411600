//! `node`: reads the configuration, then lives until it is told to stop.

use std::num::NonZero;

use tokio::runtime::Runtime;

use super::exit::{Code, Failure};
use super::{ConfigArgs, configuration};
use crate::limits::RUNTIME_SHUTDOWN_TIMEOUT;
use crate::operations::node::stop::StopRequests;
use crate::operations::{node, telemetry};

#[derive(Debug, clap::Args)]
pub(super) struct NodeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Join a cluster by this token, which `stampede member add` prints; of a node that has joined it is not asked
    #[arg(long, value_name = "TOKEN", env = "STAMPEDE_JOIN", hide_env_values = true)]
    join: Option<String>,
    /// Stop when standard input closes: a parent process that dies takes the node with it
    #[arg(long)]
    exit_with_stdin: bool,
}

pub(super) fn run(args: &NodeArgs) -> Result<(), Failure> {
    let loaded = configuration::load(&args.config)?;
    let log = telemetry::start(&loaded.config.log);
    let cannot = |error| Failure::new(Code::Failed, format!("cannot start: {error}"), "look at the machine's limits");
    // Consensus, its peers and the operators have threads of their own: a rush of clients fills every queue of its runtime, and
    // heartbeats that wait in one cost the leader its office.
    // Half of the cores are enough for one Raft group: on two cores a second thread costs more wake-ups than it does work.
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let consensus = runtime((cores / 2).max(1), "consensus").map_err(cannot)?;
    let asked = usize::try_from(loaded.config.node.worker_threads).unwrap_or(0);
    let clients = runtime(if asked == 0 { cores } else { asked }, "clients").map_err(cannot)?;
    let ended = consensus.block_on(async {
        let requests = StopRequests::listen(args.exit_with_stdin).map_err(cannot)?;
        node::run(&loaded, &log, args.join.as_deref(), requests, clients.handle()).await
    });
    // What hangs in a blocking call must not keep the process: what was acknowledged is on disk.
    clients.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT / 2);
    consensus.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT / 2);
    ended
}

fn runtime(worker_threads: usize, name: &str) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(worker_threads).thread_name(name).enable_all().build()
}

//! Where the proposer's batches go, and how an attempt at one ends. Apart from openraft, so that the rules of the queue can be read,
//! and tested, without it; `raft_target` is the real one.

use std::time::Duration;

use openraft::AsyncRuntime;
use tokio::sync::oneshot;

use super::api::RetryReason;
use super::leadership::Leadership;
use crate::domain::{Command, Reply};

/// How one attempt at a batch ended.
#[derive(Debug)]
pub(super) enum Attempt {
    Done {
        term: u64,
        replies: Vec<Reply>,
    },
    /// Surely not proposed.
    NotDone(RetryReason),
    /// May have been proposed, may be committed yet.
    Unknown,
    /// This node cannot go on.
    Stopped(String),
}

pub(super) trait Target<RT: AsyncRuntime>: Send + Sync + 'static {
    fn leadership(&self) -> Leadership<RT>;

    /// As leader: without a majority nothing that it proposes is done.
    fn hears_a_majority(&self) -> bool;

    /// Proposes in this node, which leads in `term`. Drops `sent` when its place before all that is proposed later is certain.
    fn propose(
        &self,
        term: u64,
        commands: Vec<Command>,
        sent: oneshot::Sender<()>,
    ) -> impl Future<Output = (Attempt, Returned)> + Send;

    /// Sends to another node, which leads in `term`.
    fn forward(&self, leader: u64, term: u64, commands: &[Command], within: Duration) -> impl Future<Output = Attempt> + Send;
}

/// The commands of an attempt that may have to be made again.
pub(super) type Returned = Option<Vec<Command>>;

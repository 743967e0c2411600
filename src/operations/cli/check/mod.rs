//! `check hash`, `check invariants`: a running cluster, held to its rules.

mod hash;
mod invariants;

use clap::Subcommand;

use super::Global;
use super::exit::Failure;

#[derive(Debug, Subcommand)]
pub(super) enum CheckCommand {
    /// Whether the nodes hold the same ledger: compares their state digests as of one log index. Name all of them with --admin. Exit
    /// code 12 if one differs
    Hash,
    /// Read the whole ledger of a node and its whole history, and check that money, serial numbers, refunds and stamps add up.
    /// Needs as much memory here as the ledger has records. Exit code 12 if something does not hold
    Invariants,
}

pub(super) async fn run(global: &Global, command: &CheckCommand) -> Result<(), Failure> {
    match command {
        CheckCommand::Hash => hash::run(global).await,
        CheckCommand::Invariants => invariants::run(global).await,
    }
}

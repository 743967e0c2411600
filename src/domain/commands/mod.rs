//! One file per command. [`apply`] is the only way in.

use super::command::Command;
use super::decision::Decision;
use super::ledger::LedgerView;
use super::names::{LedgerTime, Place};

/// Decides one command at `place`, with the ledger's clock at `now` (already clamped: never before the ledger's time).
///
/// # Errors
/// The view could not be read. Refusals are no errors: they are outcomes.
pub fn apply<V: LedgerView>(view: &V, place: Place, now: LedgerTime, command: &Command) -> Result<Decision, V::Error> {
    let _ = (view, place, now, command);
    unreachable!("contract only")
}

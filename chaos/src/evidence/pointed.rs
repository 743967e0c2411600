//! The calls and log entries that violations point at, whole, for people: read again from the files, for only these.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use smallvec::SmallVec;

use super::{Answered, Op};
use crate::checks::Finding;
use crate::history::{HistoryReader, Outcome, Place, Record, RunFolder};
use crate::model::{Entry, Log};

/// Calls that are read; a page of more is read by nobody. As many entries.
const READ_MAX: usize = 500;

#[derive(Debug, Default)]
pub struct Pointed {
    /// By their ids.
    pub ops: BTreeMap<u64, Op>,
    /// By their indexes: those of findings, and those in which the calls stand.
    pub entries: BTreeMap<u64, Entry>,
}

impl Pointed {
    /// # Errors
    /// A file that was read before cannot be read again.
    pub fn read(folder: &RunFolder, log: &Log, findings: &[Finding]) -> io::Result<Self> {
        let shown = || findings.iter().flat_map(|finding| &finding.shown);
        let wanted: BTreeSet<u64> = shown().flat_map(|shown| shown.ops.iter().copied()).take(READ_MAX).collect();
        let ops = if wanted.is_empty() { BTreeMap::new() } else { read_ops(folder, &wanted)? };
        let of_ops = ops.values().flat_map(places).map(|place| place.log_index);
        let indexes: BTreeSet<u64> = shown().filter_map(|shown| shown.log_index).chain(of_ops).take(READ_MAX).collect();
        Ok(Self { ops, entries: log.read_some(&indexes)? })
    }
}

fn read_ops(folder: &RunFolder, wanted: &BTreeSet<u64>) -> io::Result<BTreeMap<u64, Op>> {
    let mut ops: BTreeMap<u64, Op> = BTreeMap::new();
    let history = HistoryReader::open(&folder.history()).map_err(io::Error::other)?;
    // Behind a damaged record nothing is read, here as before.
    for record in history.map_while(Result::ok) {
        let (answer, is_late) = match record {
            Record::Invoke(invoke) if wanted.contains(&invoke.op.0) => {
                ops.insert(invoke.op.0, Op { nth: 0, invoke, answers: SmallVec::new() });
                continue;
            }
            Record::Return(answer) => (answer, false),
            Record::LateReturn(answer) => (answer, true),
            _ => continue,
        };
        if let Some(op) = ops.get_mut(&answer.op.0) {
            op.answers.push(Answered { at_ns: answer.at_ns, outcome: answer.outcome, is_late });
        }
    }
    Ok(ops)
}

/// Where a call stands, as its answers say.
pub fn places(op: &Op) -> impl Iterator<Item = Place> {
    let place = |outcome: &Outcome| match outcome {
        Outcome::Written(written) => Some(written.receipt.place),
        Outcome::Refused { place, .. } => *place,
        Outcome::Read(_) | Outcome::NotDone { .. } | Outcome::Unknown { .. } => None,
    };
    op.answers.iter().filter_map(move |answer| place(&answer.outcome))
}

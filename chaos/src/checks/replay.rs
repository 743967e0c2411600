//! The judge's model, run once over the exported log: what each command must have been answered, the sums at each index,
//! what each read must have shown at the index that it claims to be good for, and what each replica must hold at its scan's.

use super::evidence::{Evidence, Op};
use super::{reads, records};
use crate::hash::Map;
use crate::history::{LedgerTotals, Outcome, Place, Read, Request};
use crate::model::{Ledger, Log, LoggedCommand, Reply};
use crate::serial_code::SerialCodes;

pub struct Replay {
    first_index: u64,
    /// For each entry, for each of its commands.
    replies: Vec<Vec<Reply>>,
    /// After each entry.
    totals: Vec<LedgerTotals>,
    /// How often the log executes again what stands first at a place.
    again: Map<Place, u32>,
    /// After the last.
    pub ledger: Ledger,
    pub records_checked: u64,
    /// Records of scans that are not the model's: node, index, how.
    pub record_faults: Vec<(u16, u64, String)>,
    /// Nodes whose scan is of an index outside the exported log.
    pub scans_beyond: Vec<u16>,
    pub reads_checked: u64,
    /// Reads that the model contradicts: op, index, how.
    pub read_faults: Vec<(u64, u64, String)>,
    /// Reads of an index beyond the exported log.
    pub reads_beyond: u64,
}

impl Replay {
    #[must_use]
    pub fn run(evidence: &Evidence, codes: &SerialCodes) -> Self {
        let log = &evidence.log;
        let mut replay = Self {
            first_index: log.first_index,
            replies: Vec::with_capacity(log.entries.len()),
            totals: Vec::with_capacity(log.entries.len()),
            again: Map::default(),
            ledger: Ledger::default(),
            records_checked: 0,
            record_faults: Vec::new(),
            scans_beyond: Vec::new(),
            reads_checked: 0,
            read_faults: Vec::new(),
            reads_beyond: 0,
        };
        let mut reads = reads_by_index(evidence).into_iter().peekable();
        let mut scans: Vec<_> = evidence.distinct_scans().collect();
        scans.sort_by_key(|(_, scan)| scan.header.applied_index);
        let mut scans = scans.into_iter().peekable();
        for (index, entry) in (log.first_index..).zip(&log.entries) {
            while let Some((_, op, read)) = reads.next_if(|(at, ..)| *at < index) {
                replay.check_read(op, read, codes);
            }
            let places = (0..).map(|offset| Place { log_index: index, offset });
            let ledger = &mut replay.ledger;
            let replies: Vec<Reply> = places
                .zip(&entry.commands)
                .map(|(place, command)| ledger.apply(place, entry.proposed_at_ms, command))
                .collect();
            for reply in replies.iter().filter(|reply| reply.replayed) {
                *replay.again.entry(reply.place).or_default() += 1;
            }
            replay.replies.push(replies);
            replay.totals.push(replay.ledger.totals);
            while let Some((node, scan)) = scans.next_if(|(_, scan)| scan.header.applied_index == index) {
                replay.records_checked += records::compare(&replay.ledger, node, scan, &mut replay.record_faults);
            }
        }
        replay.scans_beyond = scans.map(|(node, _)| node).collect();
        let last = log.last_index();
        for (at, op, read) in reads {
            if at > last {
                replay.reads_beyond += 1;
            } else {
                replay.check_read(op, read, codes);
            }
        }
        replay
    }

    /// What stands at a place, and what it must have been answered.
    #[must_use]
    pub fn at<'a>(&'a self, log: &'a Log, place: Place) -> Option<(&'a LoggedCommand, &'a Reply)> {
        let offset = place.offset as usize;
        let command = log.entry(place.log_index)?.commands.get(offset)?;
        let entry = usize::try_from(place.log_index.checked_sub(self.first_index)?).ok()?;
        Some((command, self.replies.get(entry)?.get(offset)?))
    }

    /// What clients (or the operator) sent, in the order of the log, and what it must have been answered.
    pub fn client_commands<'a>(&'a self, log: &'a Log) -> impl Iterator<Item = (Place, &'a Request, &'a Reply)> {
        let entries = (log.first_index..).zip(log.entries.iter().zip(&self.replies));
        entries.flat_map(|(log_index, (entry, replies))| {
            let places = (0..).map(move |offset| Place { log_index, offset });
            places.zip(entry.commands.iter().zip(replies)).filter_map(|(place, (command, reply))| match command {
                LoggedCommand::Client(request) => Some((place, request, reply)),
                LoggedCommand::ExpireOrders { .. } => None,
            })
        })
    }

    /// How often the log executes again what stands first at `place`.
    #[must_use]
    pub fn executed_again(&self, place: Place) -> u32 {
        self.again.get(&place).copied().unwrap_or(0)
    }

    #[must_use]
    pub fn totals_at(&self, index: u64) -> Option<&LedgerTotals> {
        self.totals.get(usize::try_from(index.checked_sub(self.first_index)?).ok()?)
    }

    fn check_read(&mut self, op: &Op, read: &Read, codes: &SerialCodes) {
        self.reads_checked += 1;
        if let Some(fault) = reads::fault(&self.ledger, &op.invoke.request, read, codes) {
            self.read_faults.push((op.id(), read.read_index.unwrap_or(0), fault));
        }
    }
}

fn reads_by_index(evidence: &Evidence) -> Vec<(u64, &Op, &Read)> {
    let mut reads = Vec::new();
    for op in &evidence.ops {
        for answer in &op.answers {
            if let Outcome::Read(read) = &answer.outcome
                && let Some(index) = read.read_index
            {
                reads.push((index, op, read));
            }
        }
    }
    reads.sort_by_key(|(index, op, _)| (*index, op.id()));
    reads
}

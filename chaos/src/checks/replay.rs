//! The judge's model, run once over the exported log: what each command must have been answered, the sums at the indexes that
//! samples name, what each read must have shown at the index that it claims to be good for, and what each replica must hold at its
//! scan's. Commands with their answers, and the model's records, go to the lots.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::watched::Watch;
use super::{Finding, reads, records};
use crate::evidence::reads::ReadAt;
use crate::evidence::{Command, Evidence, Expiry, Links, Modelled, Parts, Piece, Scratch, Sorted, Sorter, ahead};
use crate::hash::Map;
use crate::history::{LedgerTotals, OrderId, Place, Request};
use crate::model::{Answer, Entry, Ledger, LoggedCommand, Reply};
use crate::serial_code::SerialCodes;

/// Entries that are read ahead at once: each may hold a thousand commands.
const ENTRIES_AT_ONCE: usize = 32;
/// Entries that wait to be handed out: the model goes on meanwhile.
const HANDED_MAX: usize = 256;
/// Records of the model that are handed out at once.
const RECORDS_AT_ONCE: usize = 1_024;

#[derive(Debug, Default)]
pub struct Replay {
    /// After each entry that a sample or a scan names.
    totals: Map<u64, LedgerTotals>,
    pub records_checked: u64,
    /// What belongs to no order and is not the model's, in scans: node, index, how.
    pub record_faults: Vec<(u16, u64, String)>,
    /// Nodes whose scan is of an index outside the exported log.
    pub scans_beyond: Vec<u16>,
    pub reads_checked: u64,
    /// Reads that the model contradicts: op, index, how.
    pub read_faults: Vec<(u64, u64, String)>,
    /// Of these, lists of what is owed back.
    pub wrong_refund_lists: u64,
    /// Reads of an index beyond the exported log.
    pub reads_beyond: u64,
}

/// What follows an execution, on a thread of its own.
enum Handed {
    Entry(Executed),
    Model(u64, Vec<Modelled>),
}

/// An entry of the log, executed.
pub(super) struct Executed {
    pub(super) log_index: u64,
    pub(super) term: u64,
    pub(super) commands: Vec<(LoggedCommand, Reply)>,
    expired: Vec<(OrderId, Expiry)>,
}

impl Replay {
    /// With what the watcher was told (V21); adds a part to the lots.
    ///
    /// # Errors
    /// What was sorted cannot be read, or what is sorted cannot be written.
    pub fn run(
        evidence: &Evidence,
        parts: &mut Parts,
        codes: &SerialCodes,
        scratch: &Scratch,
        events: &Path,
    ) -> io::Result<(Self, Finding)> {
        let commands = Sorter::create(scratch, "commands", parts.lots)?;
        let Parts { links, reads, pieces, .. } = parts;
        let links: &Links = links;
        let (handed, taken) = sync_channel(HANDED_MAX);
        let (replay, sorted) = std::thread::scope(|scope| {
            let hand_out = scope.spawn(move || hand_out(taken, links, commands, Watch::open(events)));
            let entries = evidence.log.read_entries().map(|entries| ahead(scope, ENTRIES_AT_ONCE, entries));
            let replay = entries.and_then(|entries| Self::execute(evidence, entries, reads, codes, &handed));
            drop(handed);
            (replay, hand_out.join().expect("it does not panic"))
        });
        let (sorted, watch) = sorted?;
        pieces.push(sorted);
        Ok((replay?, watch.finish(&evidence.log)))
    }

    fn execute(
        evidence: &Evidence,
        entries: impl Iterator<Item = io::Result<(u64, Entry)>>,
        reads: &mut crate::evidence::Reads,
        codes: &SerialCodes,
        handed: &SyncSender<Handed>,
    ) -> io::Result<Self> {
        let log = &evidence.log;
        let mut replay = Self::default();
        let mut ledger = Ledger::with_room(evidence.placings, evidence.payments);
        let sampled = evidence.statuses.iter().map(|sample| sample.applied_index);
        let scanned: BTreeSet<u64> = evidence.scans.values().map(|scan| scan.header.applied_index).collect();
        let wanted: BTreeSet<u64> = sampled.chain(scanned.iter().copied()).collect();
        for entry in entries {
            let (log_index, entry) = entry?;
            while let Some(read) = reads.next_below(log_index)? {
                replay.check_read(&ledger, &read, codes);
            }
            let (term, executed) = (entry.term, execute(&mut ledger, log_index, entry.proposed_at_ms, entry.commands));
            let expired = expired(&ledger, log_index, &executed);
            hand(handed, Handed::Entry(Executed { log_index, term, commands: executed, expired }));
            if wanted.contains(&log_index) {
                replay.totals.insert(log_index, ledger.totals);
            }
            if scanned.contains(&log_index) {
                for (node, scan) in evidence.distinct_scans().filter(|(_, scan)| scan.header.applied_index == log_index) {
                    replay.records_checked += records::compare_common(&ledger, node, scan, &mut replay.record_faults);
                }
                hand_model(&ledger, log_index, handed);
            }
        }
        let beyond = evidence.distinct_scans().filter(|(_, scan)| log.entry(scan.header.applied_index).is_none());
        replay.scans_beyond = beyond.map(|(node, _)| node).collect();
        while let Some(read) = reads.next_of_all()? {
            if read.index > log.last_index() {
                replay.reads_beyond += 1;
            } else {
                replay.check_read(&ledger, &read, codes);
            }
        }
        Ok(replay)
    }

    #[must_use]
    pub fn totals_at(&self, index: u64) -> Option<&LedgerTotals> {
        self.totals.get(&index)
    }

    fn check_read(&mut self, ledger: &Ledger, read: &ReadAt, codes: &SerialCodes) {
        self.reads_checked += 1;
        if let Some(fault) = reads::fault(ledger, &read.request, &read.read, codes) {
            self.read_faults.push((read.op, read.index, fault));
            self.wrong_refund_lists += u64::from(matches!(read.request, Request::ListRefundsDue { .. }));
        }
    }
}

fn execute(ledger: &mut Ledger, log_index: u64, at_ms: i64, commands: Vec<LoggedCommand>) -> Vec<(LoggedCommand, Reply)> {
    ledger.take_time(at_ms);
    let places = (0..).map(|offset| Place { log_index, offset });
    let executed = places.zip(commands).map(|(place, command)| {
        let reply = ledger.apply(place, at_ms, &command);
        (command, reply)
    });
    executed.collect()
}

fn expired(ledger: &Ledger, log_index: u64, commands: &[(LoggedCommand, Reply)]) -> Vec<(OrderId, Expiry)> {
    let mut expired = Vec::new();
    for (offset, (_, reply)) in (0..).zip(commands) {
        let Answer::Expired { orders } = &reply.answer else { continue };
        let place = Place { log_index, offset };
        expired.extend(orders.iter().map(|id| {
            let order = &ledger.orders[id];
            (*id, Expiry { place, window_ms: order.expires_at_ms.saturating_sub(order.placed_at_ms) })
        }));
    }
    expired
}

fn hand_model(ledger: &Ledger, log_index: u64, handed: &SyncSender<Handed>) {
    let orders = ledger.orders.iter().map(|(id, order)| Modelled::Order(*id, order.clone()));
    let payments = ledger.payments.iter().map(|(name, payment)| Modelled::Payment(name.clone(), payment.clone()));
    let refunds = ledger.refunds.iter().map(|(name, refund)| Modelled::Refund(name.clone(), refund.clone()));
    let mut records = orders.chain(payments).chain(refunds);
    loop {
        let some: Vec<Modelled> = records.by_ref().take(RECORDS_AT_ONCE).collect();
        if some.is_empty() {
            return;
        }
        hand(handed, Handed::Model(log_index, some));
    }
}

fn hand(handed: &SyncSender<Handed>, what: Handed) {
    // Whoever takes it has failed otherwise, and says so at its end.
    let _ = handed.send(what);
}

fn hand_out(
    taken: Receiver<Handed>,
    links: &Links,
    mut lots: Sorter<Piece>,
    mut watch: Watch,
) -> io::Result<(Sorted<Piece>, Watch)> {
    for handed in taken {
        match handed {
            Handed::Entry(executed) => {
                watch.entry(&executed);
                for (order, expiry) in executed.expired {
                    lots.put(links.of_order(order), &Piece::Expired(order, expiry))?;
                }
                for (offset, (command, reply)) in (0..).zip(executed.commands) {
                    let LoggedCommand::Client(request) = command else { continue };
                    let place = Place { log_index: executed.log_index, offset };
                    let lot = links.of_request(&request).unwrap_or(0);
                    lots.put(lot, &Piece::Command(Command { place, request, reply }))?;
                }
            }
            Handed::Model(log_index, records) => {
                for record in records {
                    let lot = match &record {
                        Modelled::Order(id, _) => links.of_order(*id),
                        Modelled::Payment(name, payment) => links.of_payment(name, Some(payment.order)),
                        Modelled::Refund(name, refund) => links.of_payment(name, Some(refund.order)),
                    };
                    lots.put(lot, &Piece::Model(log_index, record))?;
                }
            }
        }
    }
    Ok((lots.finish()?, watch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_a_join_token_takes_the_ledgers_time_on_and_a_blank_one_does_not() {
        let mut ledger = Ledger::default();
        assert!(execute(&mut ledger, 7, 1_000, Vec::new()).is_empty());
        assert_eq!(ledger.now_ms, 1_000);
        execute(&mut ledger, 8, 0, Vec::new());
        assert_eq!(ledger.now_ms, 1_000);
    }
}

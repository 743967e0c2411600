//! V21: whoever watches the ledger is told what the log makes of its commands: each event once, in order, whatever nodes died
//! meanwhile.

use std::io;
use std::path::Path;

use prost::Message;

use super::{Case, Finding};
use crate::history::{DelimitedReader, Place};
use crate::model::{LoggedCommand, event_of, expired};
use crate::proto::admin::{LedgerEntry, LedgerEvent, WatchLedgerResponse};

/// What was told of one log entry; the events by their hash, because a run has many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub log_index: u64,
    pub term: u64,
    events: [u8; 32],
}

impl Told {
    fn of(log_index: u64, term: u64, events: Vec<LedgerEvent>) -> Self {
        let encoded = LedgerEntry { events, ..LedgerEntry::default() }.encode_to_vec();
        Self { log_index, term, events: *blake3::hash(&encoded).as_bytes() }
    }
}

/// In the order in which it was told.
///
/// # Errors
/// The file is missing or torn.
pub fn read(path: &Path) -> io::Result<Vec<Told>> {
    let mut told = Vec::new();
    for answer in DelimitedReader::<WatchLedgerResponse>::open(path)? {
        if let Some(entry) = answer?.entry {
            told.push(Told::of(entry.log_index, entry.term, entry.events));
        }
    }
    Ok(told)
}

#[must_use]
pub fn watched_what_the_log_makes(case: &Case) -> Finding {
    let mut finding = Finding::new("V21", "who watches is told every event of the log, once and in order");
    let (log, told) = match &case.evidence.watched {
        Ok(told) => (&case.evidence.log, told),
        Err(cause) => {
            finding.unsure(cause.clone());
            return finding;
        }
    };
    if let Some(hole) = &log.hole {
        finding.unsure(hole.clone());
    }
    let mut told = told.iter().peekable();
    for index in log.first_index..=log.last_index() {
        let expected = expected(case, index);
        finding.checked += u64::from(expected.is_some());
        while let Some(early) = told.next_if(|told| told.log_index < index) {
            finding
                .violated(&[], Some(early.log_index), || "an entry was told of again, or out of order, or has no event".into());
        }
        match (expected, told.next_if(|told| told.log_index == index)) {
            (None, None) => {}
            (Some(expected), Some(told)) if expected == *told => {}
            (Some(_), Some(_)) => {
                finding.violated(&[], Some(index), || "the events told of the entry are not the log's".into())
            }
            (Some(_), None) => finding.violated(&[], Some(index), || "the entry's events were not told".into()),
            (None, Some(_)) => finding.violated(&[], Some(index), || "events were told of an entry that has none".into()),
        }
    }
    finding.or_unsure_if_empty("the log has no event")
}

/// `None`: nothing happened.
fn expected(case: &Case, log_index: u64) -> Option<Told> {
    let entry = case.evidence.log.entry(log_index)?;
    let mut events = Vec::new();
    for (offset, command) in (0..).zip(&entry.commands) {
        let place = Place { log_index, offset };
        let (_, reply) = case.replay.at(&case.evidence.log, place)?;
        let mut push = |event| events.push(LedgerEvent { offset, event: Some(event) });
        match command {
            LoggedCommand::Client(request) => event_of(request, reply).into_iter().for_each(&mut push),
            LoggedCommand::ExpireOrders { .. } => {
                case.replay.ledger.expired_at.get(&place).into_iter().flatten().for_each(|order| push(expired(*order)));
            }
        }
    }
    (!events.is_empty()).then(|| Told::of(log_index, entry.term, events))
}

//! V21: whoever watches the ledger is told what the log makes of its commands: each event once, in order, whatever nodes died
//! meanwhile.

use std::path::Path;

use super::Finding;
use super::replay::Executed;
use crate::history::DelimitedReader;
use crate::model::{Answer, Log, LoggedCommand, event_of, expired};
use crate::proto::admin::{LedgerEntry, LedgerEvent, WatchLedgerResponse};

/// Follows what was told, beside the log.
pub(super) struct Watch {
    told: Option<DelimitedReader<WatchLedgerResponse>>,
    next: Option<LedgerEntry>,
    finding: Finding,
    /// The file is missing or torn: nobody knows what was told.
    unreadable: Option<String>,
}

impl Watch {
    pub(super) fn open(path: &Path) -> Self {
        let finding = Finding::new("V21", "who watches is told every event of the log, once and in order");
        let mut watch = Self { told: None, next: None, finding, unreadable: None };
        match DelimitedReader::open(path) {
            Ok(told) => watch.told = Some(told),
            Err(cause) => watch.unreadable = Some(format!("events.bin: {cause}")),
        }
        watch.step();
        watch
    }

    /// To the next entry that something was told of, in the order in which it was told.
    fn step(&mut self) -> Option<LedgerEntry> {
        let before = self.next.take();
        for answer in self.told.iter_mut().flatten() {
            match answer {
                Ok(WatchLedgerResponse { entry: Some(entry), .. }) => {
                    self.next = Some(entry);
                    break;
                }
                Ok(_) => {}
                Err(cause) => self.unreadable = Some(format!("events.bin: {cause}")),
            }
        }
        before
    }

    fn step_if(&mut self, wanted: impl FnOnce(&LedgerEntry) -> bool) -> Option<LedgerEntry> {
        if self.next.as_ref().is_some_and(wanted) { self.step() } else { None }
    }

    /// Entries come in the order of the log.
    pub(super) fn entry(&mut self, executed: &Executed) {
        let index = executed.log_index;
        let expected = events(executed);
        self.finding.checked += u64::from(!expected.is_empty());
        while let Some(early) = self.step_if(|told| told.log_index < index) {
            let text = || "an entry was told of again, or out of order, or has no event".into();
            self.finding.violated(&[], Some(early.log_index), text);
        }
        let told = self.step_if(|told| told.log_index == index);
        let is_same = told.as_ref().is_some_and(|told| (told.term, &told.events) == (executed.term, &expected));
        let fault = match (expected.is_empty(), told) {
            (true, None) => return,
            (false, Some(_)) if is_same => return,
            (false, Some(_)) => "the events told of the entry are not the log's",
            (false, None) => "the entry's events were not told",
            (true, Some(_)) => "events were told of an entry that has none",
        };
        self.finding.violated(&[], Some(index), || fault.into());
    }

    pub(super) fn finish(mut self, log: &Log) -> Finding {
        // What lies beyond the log is not compared, but it must be there whole.
        while self.step().is_some() {}
        if let Some(cause) = self.unreadable {
            let mut unknown = Finding::new(&self.finding.id, &self.finding.name);
            unknown.unsure(cause);
            return unknown;
        }
        if let Some(hole) = &log.hole {
            self.finding.unsure(hole.clone());
        }
        self.finding.unsure_if_empty("the log has no event")
    }
}

fn events(executed: &Executed) -> Vec<LedgerEvent> {
    let mut events = Vec::new();
    for (offset, (command, reply)) in (0..).zip(&executed.commands) {
        let mut push = |event| events.push(LedgerEvent { offset, event: Some(event) });
        match (command, &reply.answer) {
            (LoggedCommand::Client(request), _) => event_of(request, reply).into_iter().for_each(&mut push),
            (LoggedCommand::ExpireOrders { .. }, Answer::Expired { orders }) => {
                orders.iter().for_each(|order| push(expired(*order)));
            }
            (LoggedCommand::ExpireOrders { .. }, _) => {}
        }
    }
    events
}

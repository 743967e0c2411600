//! The batches that are on their way, to this node's log or to the leader: how many more may go, and of whom.

use super::admission::Class;
use super::lines::Open;
use crate::limits;

/// A leader, and the term that it leads in.
pub(super) type Under = (u64, u64);

/// How a batch was sent.
#[derive(Clone, Copy)]
pub(super) struct Flight {
    pub(super) under: Under,
    /// This node leads.
    pub(super) here: bool,
    /// Of its first call; when it goes to another node, of all.
    pub(super) line: Class,
    pub(super) of_streams: bool,
}

#[derive(Default)]
pub(super) struct Flights {
    under_way: usize,
    /// Those of them that were sent to another node, by their line: what is low there must not keep what is high here.
    forwards: [usize; Class::ALL.len()],
    /// Those of them with batches of streams.
    of_streams: usize,
    /// What all of these were proposed under by this node, one behind the other, if none of them has failed.
    streams_under: Option<Under>,
}

impl Flights {
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Who may go to this leader now.
    pub(super) fn open(&self, under: Under, here: bool, entries_in_flight_max: usize) -> Open {
        let lines = match here {
            true => [self.under_way < entries_in_flight_max; Class::ALL.len()],
            false => self.forwards.map(|forwards| forwards < limits::FORWARDS_IN_FLIGHT_MAX),
        };
        // To another node they might arrive in another order; and what failed comes back, to its place.
        let streams = self.of_streams == 0 || here && self.streams_under == Some(under);
        Open { lines, streams }
    }

    pub(super) fn take_off(&mut self, flight: Flight) {
        self.under_way += 1;
        self.forwards[flight.line as usize] += usize::from(!flight.here);
        if flight.of_streams {
            self.of_streams += 1;
            self.streams_under = flight.here.then_some(flight.under);
        }
    }

    pub(super) fn land(&mut self, flight: Flight) {
        self.under_way -= 1;
        self.forwards[flight.line as usize] -= usize::from(!flight.here);
        self.of_streams -= usize::from(flight.of_streams);
    }

    /// It did nothing, or nobody knows. Until all of streams are back, none goes: they go again in their order.
    pub(super) fn failed(&mut self, flight: Flight) {
        if flight.of_streams {
            self.streams_under = None;
        }
    }
}

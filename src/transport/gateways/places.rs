//! The places for connections. When none is left, the connection that has waited longest for its other end makes room: whoever
//! only opens connections, or sends notices byte by byte, keeps no gateway out. A notice that came whole keeps its place until it is
//! answered. (Not so many places for each address: behind a proxy all gateways have the same one.)

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub(super) struct Places {
    places_max: usize,
    held: Mutex<Held>,
}

/// By number of the connection.
#[derive(Default)]
struct Held {
    by: BTreeMap<u64, Arc<Notify>>,
    /// Those that wait for their other end, by the turn in which they began to, longest first.
    waiting: BTreeMap<u64, u64>,
    turns: u64,
}

impl Held {
    fn turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }
}

/// One connection's. Clones are the same place; with the last it is free.
#[derive(Clone)]
pub(super) struct Place(Arc<Inner>);

struct Inner {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
    /// The turn in which it began to wait.
    since: Mutex<u64>,
}

/// A notice that came whole, until it is answered.
pub(super) struct Answering(Place);

impl Places {
    pub(super) fn new(places_max: usize) -> Arc<Self> {
        Arc::new(Self { places_max, held: Mutex::default() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, and whether another connection had to go for it. None: all have a notice to answer.
    pub(super) fn take(self: &Arc<Self>) -> Option<(Place, bool)> {
        let mut held = self.held();
        let is_full = held.by.len() >= self.places_max;
        if is_full {
            let (_, longest) = held.waiting.pop_first()?;
            if let Some(leave) = held.by.remove(&longest) {
                leave.notify_one();
            }
        }
        let (number, leave) = (held.turn(), Arc::new(Notify::new()));
        held.by.insert(number, leave.clone());
        held.waiting.insert(number, number);
        drop(held);
        Some((Place(Arc::new(Inner { places: self.clone(), number, leave, since: Mutex::new(number) })), is_full))
    }
}

impl Place {
    /// Returns when another connection has got this place.
    pub(super) async fn is_lost(&self) {
        self.0.leave.notified().await;
    }

    pub(super) fn answering(&self) -> Answering {
        self.0.places.held().waiting.remove(&self.0.since());
        Answering(self.clone())
    }
}

impl Inner {
    fn since(&self) -> MutexGuard<'_, u64> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let place = &self.0.0;
        let mut held = place.places.held();
        if held.by.contains_key(&place.number) {
            let turn = held.turn();
            *place.since() = turn;
            held.waiting.insert(turn, place.number);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let since = *self.since();
        let mut held = self.places.held();
        held.waiting.remove(&since);
        held.by.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_waited_longest_makes_room_and_who_is_being_answered_does_not() {
        let places = Places::new(3);
        let take = || places.take();
        let (oldest, _) = take().expect("free");
        let (answered, _) = take().expect("free");
        let (newest, another_went) = take().expect("free");
        assert!(!another_went);
        let answering = answered.answering();
        drop(oldest.answering());
        let is_lost = |place: &Place| place.is_lost().now_or_never().is_some();

        let (_next, another_went) = take().expect("one makes room");
        assert!(another_went && is_lost(&newest) && !is_lost(&oldest), "the oldest waits since its last answer");
        let _another = take().expect("one makes room");
        assert!(is_lost(&oldest) && !is_lost(&answered));
        drop(answering);
    }

    #[test]
    fn where_all_are_being_answered_nobody_makes_room_until_one_has_left() {
        let places = Places::new(1);
        let (only, _) = places.take().expect("free");
        let answering = only.answering();
        assert!(places.take().is_none());
        drop((answering, only));
        assert!(places.take().is_some_and(|(_, another_went)| !another_went));
    }
}

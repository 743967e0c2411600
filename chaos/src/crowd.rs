//! Counts tasks that run on their own: how many may be there at once, when all have left, and how to send them away.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub struct Crowd {
    places: Arc<Semaphore>,
    places_max: u32,
    sent_away: watch::Sender<()>,
}

impl Crowd {
    #[must_use]
    pub fn new(places_max: u32) -> Self {
        let places = usize::try_from(places_max).expect("32 bits fit");
        Self { places: Arc::new(Semaphore::new(places)), places_max, sent_away: watch::Sender::new(()) }
    }

    /// Runs a task of the crowd; false if every place is taken, and the task is dropped.
    pub fn admit(&self, task: impl Future<Output = ()> + Send + 'static) -> bool {
        let Some(place) = self.enter() else { return false };
        let mut sent_away = self.sent_away.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = task => {}
                // Fails only when the crowd itself is gone: then nobody waits for the task either.
                _ = sent_away.changed() => {}
            }
            drop(place);
        });
        true
    }

    /// A place for something that is no task of its own; held until it is dropped.
    #[must_use]
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Waits until every place is free.
    pub async fn wait_empty(&self) {
        let _all = self.places.acquire_many(self.places_max).await;
    }

    /// Drops every task that is there at the point where it waits; all have left when it returns.
    pub async fn send_away(&self) {
        self.sent_away.send_replace(());
        self.wait_empty().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct NotesItsEnd(Arc<AtomicBool>);

    impl Drop for NotesItsEnd {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn who_waits_for_ever_leaves_when_sent_away() {
        let crowd = Crowd::new(2);
        let has_ended = Arc::new(AtomicBool::new(false));
        let note = NotesItsEnd(Arc::clone(&has_ended));
        assert!(crowd.admit(async move {
            std::future::pending::<()>().await;
            drop(note);
        }));
        assert!(crowd.admit(async {}));
        crowd.send_away().await;
        assert!(has_ended.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn nobody_is_admitted_beyond_the_places() {
        let crowd = Crowd::new(1);
        let place = crowd.enter();
        assert!(place.is_some() && !crowd.admit(async {}));
        drop(place);
        assert!(crowd.admit(async {}));
        crowd.wait_empty().await;
    }
}

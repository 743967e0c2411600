//! Threads that read the ledger for calls.
//!
//! A point read from RocksDB takes microseconds from memory and milliseconds from a disk that stalls: a few of the latter on the
//! async workers would stop every call of the node, heartbeats included. These threads are few, their queue is bounded, and a
//! thread that is awake takes the next read without being woken, which `spawn_blocking` (a thread for each waiting read, up to
//! 512) does not give.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use crate::limits;

type Job = Box<dyn FnOnce() + Send>;

/// Why a read has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRun {
    #[error("too many reads are waiting already")]
    Overloaded,
    /// A bug of ours, or a store in a state that cannot be: the node cannot go on.
    #[error("a read of the ledger panicked")]
    Panicked,
}

/// Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct ReadThreads {
    jobs: SyncSender<Job>,
    history: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl ReadThreads {
    /// # Errors
    /// The operating system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(limits::READS_WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..limits::READ_THREADS {
            let waiting = waiting.clone();
            std::thread::Builder::new().name(format!("ledger-read-{number}")).spawn(move || work(&waiting))?;
        }
        Ok(Self {
            jobs,
            history: Arc::new(Semaphore::new(limits::HISTORY_READ_THREADS)),
            room: Arc::new(Semaphore::new(limits::READS_WAITING_MAX)),
        })
    }

    /// The next read is turned away.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.room.available_permits() == 0
    }

    /// Runs `read` on one of the threads. Whoever stops waiting does not stop it.
    ///
    /// # Errors
    /// See [`NotRun`].
    pub async fn run<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, NotRun> {
        let place = self.room.clone().try_acquire_owned().map_err(|_| NotRun::Overloaded)?;
        let (done, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            drop(place);
            // A caller that hung up does not need the answer.
            drop(done.send(read()));
        });
        self.jobs.try_send(job).map_err(|_| NotRun::Overloaded)?;
        answer.await.map_err(|_| NotRun::Panicked)
    }

    /// The same, of a page of history: in turn, on [`limits::HISTORY_READ_THREADS`] of the threads at once.
    ///
    /// # Errors
    /// See [`NotRun`].
    pub async fn run_page<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, NotRun> {
        let turn = self.history.clone().acquire_owned().await.expect("it is never closed");
        // The turn is over when the page is read, also if its caller has stopped waiting.
        self.run(move || (read(), turn).0).await
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting: one thread waits for work, the others for their turn to wait.
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The panic is on standard error, and its caller sees that no answer comes; the thread goes on for the others.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_read_that_panics_is_told_and_leaves_the_threads_to_the_others() {
        let threads = ReadThreads::start().unwrap();
        // More than there are threads.
        for _ in 0..=limits::READ_THREADS {
            assert_eq!(threads.run(|| panic!("as the test wants")).await, Err::<(), _>(NotRun::Panicked));
        }
        assert_eq!(threads.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn pages_of_history_that_take_long_leave_a_thread_to_the_others() {
        let threads = ReadThreads::start().unwrap();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        // As many as there are threads, and asked for first.
        let pages = (0..limits::READ_THREADS).map(|_| {
            let held = held.clone();
            threads.run_page(move || held.lock().unwrap().recv().is_err())
        });
        let others = async {
            let read = tokio::time::timeout(Duration::from_secs(20), threads.run(|| 7)).await;
            drop(release);
            read
        };
        let (pages, read) = futures_util::future::join(futures_util::future::join_all(pages), others).await;
        assert_eq!(read, Ok(Ok(7)), "read while the pages were being read");
        assert_eq!(pages, vec![Ok(true); limits::READ_THREADS], "and each page was read in the end");
    }
}

//! Answers that take as long as the ledger or the log is large, and as their caller takes to read them: scans, exports, and
//! events for those who watch; and what a node tells of itself.
//!
//! Each holds memory or a snapshot of the store, and a scan a thread that other blocking work needs too. So few run at once, and
//! one whose caller has stopped reading is given up: it ends with an error, never as if it were complete.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::{SendTimeoutError, TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::limits;
use crate::transport::errors::{Failure, Reason};

pub(super) struct LongAnswers {
    /// For people.
    what: &'static str,
    places: Arc<Semaphore>,
    places_max: usize,
    /// How long one record may wait for the caller.
    read_within: Duration,
    /// True: the port closes, and no answer goes on.
    stop: watch::Receiver<bool>,
}

impl LongAnswers {
    /// Scans and exports.
    pub(super) fn whole(stop: watch::Receiver<bool>) -> Self {
        Self::new("scans and exports", limits::LONG_ANSWERS_MAX, stop)
    }

    /// Those who watch.
    pub(super) fn watches(stop: watch::Receiver<bool>) -> Self {
        Self::new("watches", limits::WATCHES_MAX, stop)
    }

    /// What a node tells of itself.
    pub(super) fn debug_bundles(stop: watch::Receiver<bool>) -> Self {
        Self::new("debug bundles", limits::DEBUG_BUNDLES_MAX, stop)
    }

    fn new(what: &'static str, places_max: usize, stop: watch::Receiver<bool>) -> Self {
        let places = Arc::new(Semaphore::new(places_max));
        Self { what, places, places_max, read_within: limits::LONG_ANSWER_READ_WITHIN, stop }
    }

    /// # Errors
    /// `OVERLOADED`: as many as may run are running.
    pub(super) fn begin(&self) -> Result<LongAnswer, Failure> {
        let place =
            self.places.clone().try_acquire_owned().map_err(|_| {
                Failure::new(Reason::Overloaded, format!("{} {} are running already", self.places_max, self.what))
            })?;
        Ok(LongAnswer { place, read_within: self.read_within, stop: self.stop.clone() })
    }
}

/// One that may run; its place is free again when it has ended.
pub(super) struct LongAnswer {
    place: OwnedSemaphorePermit,
    read_within: Duration,
    stop: watch::Receiver<bool>,
}

impl LongAnswer {
    /// What `produce` gives to the reader, at most `ahead` ahead of it, on a blocking thread of its own.
    pub(super) fn of_blocking<T: Send + 'static>(
        self,
        ahead: usize,
        produce: impl FnOnce(&Reader<T>) -> Result<(), Status> + Send + 'static,
    ) -> BoxStream<'static, Result<T, Status>> {
        let (reader, records) = self.channel(ahead);
        let produced = tokio::task::spawn_blocking(move || {
            let _place = self.place;
            produce(&reader)
        });
        read(records, produced)
    }

    /// The same answers, at most `ahead` of them read ahead of the caller, and held to its pace. A caller that does not read on
    /// is told the log index of the first answer that it did not get.
    pub(super) fn of_stream<T: Send + 'static>(
        self,
        mut answers: impl Stream<Item = Result<T, Status>> + Send + Unpin + 'static,
        ahead: usize,
        log_index: fn(&T) -> u64,
    ) -> BoxStream<'static, Result<T, Status>> {
        let (reader, records) = self.channel(ahead);
        let produced = tokio::spawn(async move {
            let _place = self.place;
            // Who hangs up is noticed also while there is nothing to tell.
            let mut stop = reader.stop.clone();
            while let Some(answer) = tokio::select! {
                () = reader.records.closed() => return Err(hung_up()),
                answer = answers.next() => answer,
            } {
                let answer = answer?;
                let next_index = log_index(&answer);
                // Before it is given: where to go on is then where this one begins, whatever kind of answer it is.
                if *stop.borrow() {
                    return Err(draining(next_index));
                }
                let given = tokio::select! {
                    biased;
                    given = reader.give(answer) => given,
                    () = stopped(&mut stop) => return Err(draining(next_index)),
                };
                given.map_err(|unread| reader.refusal(unread, Some(log_index)))?;
            }
            Ok(())
        });
        read(records, produced)
    }

    fn channel<T>(&self, ahead: usize) -> (Reader<T>, mpsc::Receiver<T>) {
        let (records, read) = mpsc::channel(ahead);
        (Reader { records, read_within: self.read_within, stop: self.stop.clone() }, read)
    }
}

/// The caller, as whoever produces its answer sees it.
pub(super) struct Reader<T> {
    records: mpsc::Sender<T>,
    read_within: Duration,
    stop: watch::Receiver<bool>,
}

impl<T> Reader<T> {
    /// # Errors
    /// The caller has hung up, or stopped reading.
    async fn give(&self, record: T) -> Result<(), SendTimeoutError<T>> {
        self.records.send_timeout(record, self.read_within).await
    }

    fn refusal(&self, unread: SendTimeoutError<T>, log_index: Option<fn(&T) -> u64>) -> Status {
        let SendTimeoutError::Timeout(record) = unread else { return hung_up() };
        let message = format!("nothing of the answer was read for {}", humantime::format_duration(self.read_within));
        let failure = Failure::new(Reason::Overloaded, message);
        log_index.map(|log_index| failure.clone().with("next_index", log_index(&record))).unwrap_or(failure).status()
    }

    /// On a thread that may block, of the runtime.
    ///
    /// # Errors
    /// The caller has hung up, or stopped reading.
    pub(super) fn give_blocking(&self, record: T) -> Result<(), Status> {
        match self.records.try_send(record) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(hung_up()),
            Err(TrySendError::Full(record)) => {
                Handle::current().block_on(self.give(record)).map_err(|unread| self.refusal(unread, None))
            }
        }
    }
}

/// Completes when the port closes. A sender that is gone closes nothing.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn draining(next_index: u64) -> Status {
    Failure::new(Reason::Draining, "the node is stopping: go on at another").with("next_index", next_index).status()
}

/// Nobody is left to read it.
fn hung_up() -> Status {
    Status::cancelled("the caller has hung up")
}

/// The records, then the error that ended them, if one did.
fn read<T: Send + 'static>(
    records: mpsc::Receiver<T>,
    produced: JoinHandle<Result<(), Status>>,
) -> BoxStream<'static, Result<T, Status>> {
    let end = stream::once(produced).filter_map(|ended| async move {
        let ended = ended.unwrap_or_else(|lost| Err(Failure::new(Reason::NodeStopped, lost.to_string()).status()));
        ended.err().map(Err)
    });
    ReceiverStream::new(records).map(Ok).chain(end).boxed()
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::StatusExt;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    fn one_at_a_time() -> LongAnswers {
        let (_, stop) = watch::channel(false);
        LongAnswers { read_within: SHORT, ..LongAnswers::new("answers", 1, stop) }
    }

    fn endless(answer: LongAnswer, is_blocking: bool) -> BoxStream<'static, Result<u64, Status>> {
        if is_blocking {
            return answer.of_blocking(limits::LONG_ANSWER_RECORDS_AHEAD, |reader| {
                (0..).try_for_each(|record| reader.give_blocking(record))
            });
        }
        answer.of_stream(stream::iter((0..).map(Ok)), limits::LONG_ANSWER_RECORDS_AHEAD, |record| *record)
    }

    async fn free(answers: &LongAnswers) -> LongAnswer {
        loop {
            if let Ok(answer) = answers.begin() {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_stops_reading_holds_no_place_and_is_told_that_the_answer_is_not_complete() {
        for is_blocking in [true, false] {
            let answers = one_at_a_time();
            let unread = endless(answers.begin().unwrap(), is_blocking);
            drop(free(&answers).await);
            let mut read: Vec<_> = unread.collect().await;
            let end = read.pop().unwrap().unwrap_err();
            assert_eq!(end.code(), Code::ResourceExhausted);
            // A stream of log entries says where to go on.
            let next = end.get_details_error_info().unwrap().metadata.get("next_index").cloned();
            let behind = limits::LONG_ANSWER_RECORDS_AHEAD.to_string();
            assert_eq!(next, (!is_blocking).then_some(behind));
            assert_eq!(read.len(), limits::LONG_ANSWER_RECORDS_AHEAD);
            assert!(read.into_iter().map(Result::unwrap).eq(0..limits::LONG_ANSWER_RECORDS_AHEAD as u64));
        }
    }

    #[tokio::test]
    async fn one_that_its_caller_reads_goes_on_and_one_too_many_is_turned_away() {
        for is_blocking in [true, false] {
            let answers = LongAnswers { read_within: Duration::from_secs(60), ..one_at_a_time() };
            let mut read = endless(answers.begin().unwrap(), is_blocking);
            for record in 0..10 * limits::LONG_ANSWER_RECORDS_AHEAD as u64 {
                assert_eq!(read.next().await.unwrap().unwrap(), record);
            }
            let Err(turned_away) = answers.begin() else { panic!("there is one place") };
            assert_eq!(turned_away.reason, Reason::Overloaded);
            drop(read);
            free(&answers).await;
        }
    }

    #[tokio::test]
    async fn a_stop_ends_one_that_nobody_reads_and_one_that_is_read_and_says_where_to_go_on() {
        for reads in [false, true] {
            let (stopping, stop) = watch::channel(false);
            let answers = LongAnswers { read_within: Duration::from_secs(60), ..LongAnswers::new("answers", 1, stop) };
            // Every second answer is a mark: it tells where the answer behind it begins.
            let begins_at = |record: &u64| record.div_ceil(2);
            let ahead = limits::LONG_ANSWER_RECORDS_AHEAD;
            let mut answer = answers.begin().unwrap().of_stream(stream::iter((0..).map(Ok)), ahead, begins_at);
            let mut next: u64 = 0;
            while reads && next < 100 {
                assert_eq!(answer.next().await.unwrap().unwrap(), next);
                next += 1;
            }
            stopping.send_replace(true);
            drop(free(&answers).await);
            let end = loop {
                match answer.next().await.unwrap() {
                    Ok(record) => assert_eq!(record, std::mem::replace(&mut next, record + 1)),
                    Err(status) => break status,
                }
            };
            let info = end.get_details_error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.metadata["next_index"].clone()), ("DRAINING", begins_at(&next).to_string()));
        }
    }

    #[tokio::test]
    async fn one_that_ends_early_says_so() {
        let panics = one_at_a_time().begin().unwrap().of_blocking(1, |reader| {
            reader.give_blocking(1)?;
            panic!("as the test wants")
        });
        let read: Vec<Result<u64, Status>> = panics.collect().await;
        assert!(read[0].is_ok() && read[1].is_err(), "{read:?}");
        let whole = one_at_a_time().begin().unwrap().of_blocking(1, |reader| reader.give_blocking(1));
        assert_eq!(whole.map(Result::unwrap).collect::<Vec<u64>>().await, [1]);
    }
}

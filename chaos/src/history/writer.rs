//! Writes a history: callers hand records over and go on, one thread puts them into the file.
//!
//! What is on file when: records are written in the order in which they were handed over, and reach the operating system as
//! soon as the writer's queue is empty, at the latest after `BATCH_BYTES_MAX`. A crash of the tool loses what was still in
//! the queue, so a call may have been sent whose `Invoke` is not on file; but then the `End` mark is not there either, and a
//! history without it is never judged clean. [`HistoryWriter::finish`] syncs the file.
//!
//! A full queue makes callers wait: the tool slows down rather than forget. A failed write stops the thread, and every later
//! hand-over fails: the run ends as the tool's own failure.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::codec;
use super::faults_on::FaultsOn;
use super::record::{OpId, Record};

/// First bytes of a history file: name and format version.
pub(super) const MAGIC: &[u8; 8] = b"STPHIS\0\x02";
/// Before each record: its length and the CRC-32 of its bytes, both 32 bits, little-endian.
pub(super) const FRAME_BYTES: usize = 8;
/// Records that wait for the writer thread: a second of the heaviest load that the tool makes.
const QUEUE_RECORDS_MAX: usize = 65_536;
/// Bytes of one write to the file.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// The one clock of a run.
#[derive(Debug, Clone, Copy)]
pub struct RunClock(Instant);

impl RunClock {
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start of the run.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The run's time of an instant; 0 if it lies before the start.
    #[must_use]
    pub fn ns_of(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.0).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The writer has stopped: [`HistoryWriter::finish`] says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the history can no longer be written")]
pub struct HistoryClosed;

/// Hands records over. Cheap to clone; one for each task.
#[derive(Debug, Clone)]
pub struct Recorder {
    queue: SyncSender<Record>,
    next_op: Arc<AtomicU64>,
    clock: RunClock,
    faults: FaultsOn,
}

impl Recorder {
    #[must_use]
    pub fn next_op(&self) -> OpId {
        OpId(self.next_op.fetch_add(1, Ordering::Relaxed))
    }

    /// Calls that were given a number.
    #[must_use]
    pub fn ops_so_far(&self) -> u64 {
        self.next_op.load(Ordering::Relaxed) - 1
    }

    #[must_use]
    pub fn faults(&self) -> &FaultsOn {
        &self.faults
    }

    #[must_use]
    pub fn clock(&self) -> RunClock {
        self.clock
    }

    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// An `Invoke` is handed over before its call is sent, a `Return` after its call has answered.
    ///
    /// # Errors
    /// The writer has stopped; the run cannot go on.
    pub fn record(&self, record: Record) -> Result<(), HistoryClosed> {
        if let Record::Fault(event) = &record {
            self.faults.note(event);
        }
        self.queue.send(record).map_err(|_| HistoryClosed)
    }
}

/// Owns the file and the thread.
pub struct HistoryWriter {
    queue: SyncSender<Record>,
    thread: JoinHandle<io::Result<()>>,
}

impl HistoryWriter {
    /// # Errors
    /// The file exists already or cannot be made, or the thread cannot be started.
    pub fn create(path: &Path, clock: RunClock) -> io::Result<(Self, Recorder)> {
        let mut file = File::create_new(path)?;
        file.write_all(MAGIC)?;
        let (queue, records) = sync_channel(QUEUE_RECORDS_MAX);
        let thread = std::thread::Builder::new().name("history".into()).spawn(move || write_all(&records, file))?;
        let recorder =
            Recorder { queue: queue.clone(), next_op: Arc::new(AtomicU64::new(1)), clock, faults: FaultsOn::default() };
        Ok((Self { queue, thread }, recorder))
    }

    /// Waits until every recorder is dropped and every record is written and synced. It blocks: from async code, call it on
    /// a thread of its own.
    ///
    /// # Errors
    /// A write or the sync failed: the file is torn.
    pub fn finish(self) -> io::Result<()> {
        drop(self.queue);
        self.thread.join().map_err(|_| io::Error::other("the history's thread panicked"))?
    }
}

fn write_all(records: &Receiver<Record>, mut file: File) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH_BYTES_MAX + 4_096);
    loop {
        match records.try_recv() {
            Ok(record) => {
                frame(&record, &mut batch)?;
                if batch.len() < BATCH_BYTES_MAX {
                    continue;
                }
            }
            Err(TryRecvError::Empty) if batch.is_empty() => match records.recv() {
                Ok(record) => {
                    frame(&record, &mut batch)?;
                    continue;
                }
                Err(_) => return file.sync_all(),
            },
            Err(_) => {}
        }
        file.write_all(&batch)?;
        if batch.is_empty() {
            return file.sync_all();
        }
        batch.clear();
    }
}

fn frame(record: &Record, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES]);
    codec::encode(record, out);
    let body = &out[start + FRAME_BYTES..];
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let checksum = crc32fast::hash(body);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + FRAME_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

//! Answered reads, sorted by the log index that they are good for, so that the model can be asked as of that index.

use std::io;

use super::call::Op;
use super::spill::{Scratch, Sorted, Sorter};
use crate::history::coded::{Coded, Decoded, coded_struct};
use crate::history::{Read, Request};

/// So many parts of the log, each with its own file; the last has what is beyond.
const SHELVES: u64 = 192;
/// Log indexes of a shelf, at least: narrower ones would have next to nothing.
const WIDTH_MIN: u64 = 4_096;

/// A read that names an index.
#[derive(Debug)]
pub struct ReadAt {
    pub index: u64,
    pub op: u64,
    pub request: Request,
    pub read: Read,
}

coded_struct! {
    ReadAt { index, op, request, read }
}

/// Where they are put.
pub struct Shelves {
    sorter: Sorter<ReadAt>,
    /// Log indexes of a shelf.
    width: u64,
}

impl Shelves {
    /// For reads up to the log's `last_index`, the same part of the log on each shelf: one at a time is in memory.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn create(scratch: &Scratch, last_index: u64) -> io::Result<Self> {
        let files = usize::try_from(SHELVES).expect("few");
        let width = (last_index / SHELVES + 1).max(WIDTH_MIN);
        Ok(Self { sorter: Sorter::create(scratch, "reads", files)?, width })
    }

    pub(super) fn put(&mut self, op: &Op, read: &Read) -> io::Result<()> {
        let Some(index) = read.read_index else { return Ok(()) };
        self.put_at(&ReadAt { index, op: op.id(), request: op.invoke.request.clone(), read: read.clone() })
    }

    fn put_at(&mut self, read: &ReadAt) -> io::Result<()> {
        let shelf = usize::try_from((read.index / self.width).min(SHELVES - 1)).expect("few");
        self.sorter.put(shelf, read)
    }

    /// # Errors
    /// The files cannot be written.
    pub fn finish(self) -> io::Result<Reads> {
        Ok(Reads { files: self.sorter.finish()?, width: self.width, next_file: 0, sorted: Vec::new() })
    }
}

/// Hands the reads out, lowest index first.
pub struct Reads {
    files: Sorted<ReadAt>,
    width: u64,
    next_file: u64,
    /// Of the last file that was read, the highest index first.
    sorted: Vec<ReadAt>,
}

impl Reads {
    /// The next one of an index below `index`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next_below(&mut self, index: u64) -> io::Result<Option<ReadAt>> {
        while self.sorted.is_empty() && self.next_file < SHELVES && self.next_file * self.width < index {
            self.open_next()?;
        }
        Ok(self.sorted.pop_if(|read| read.index < index))
    }

    /// The next one, whatever its index.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next_of_all(&mut self) -> io::Result<Option<ReadAt>> {
        while self.sorted.is_empty() && self.next_file < SHELVES {
            self.open_next()?;
        }
        Ok(self.sorted.pop())
    }

    fn open_next(&mut self) -> io::Result<()> {
        let file = usize::try_from(self.next_file).expect("few");
        self.files.read(file, |read| self.sorted.push(read))?;
        self.sorted.sort_unstable_by_key(|read| std::cmp::Reverse((read.index, read.op)));
        self.next_file += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ReadAnswer;

    #[test]
    fn of_a_long_log_a_small_part_of_the_reads_is_in_memory_at_once() {
        const LAST_INDEX: u64 = 10_000_000;
        const READS: u64 = 10_000;
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::create(folder.path().join("judging")).unwrap();
        let mut shelves = Shelves::create(&scratch, LAST_INDEX).unwrap();
        let step = LAST_INDEX / READS;
        for index in (0..=READS).rev().map(|nth| nth * step) {
            let read = Read { read_index: Some(index), ledger_time_ms: 0, answer: ReadAnswer::Absent };
            shelves.put_at(&ReadAt { index, op: 1, request: Request::GetPolicy, read }).unwrap();
        }
        let mut reads = shelves.finish().unwrap();
        let (mut expected, mut held_max) = (0, 0);
        while let Some(read) = reads.next_below(LAST_INDEX).unwrap() {
            assert_eq!(read.index, expected);
            expected += step;
            held_max = held_max.max(reads.sorted.len());
        }
        assert_eq!(expected, LAST_INDEX, "in the order of the log, but for the last");
        assert!(held_max < 2 * (READS / SHELVES) as usize, "{held_max} at once");
        assert_eq!(reads.next_of_all().unwrap().map(|read| read.index), Some(LAST_INDEX));
    }
}

//! Answered reads, sorted by the log index that they are good for, so that the model can be asked as of that index.

use std::io;

use super::call::Op;
use super::spill::{Scratch, Sorted, Sorter};
use crate::history::coded::{Coded, Decoded, coded_struct};
use crate::history::{Read, Request};

/// So many parts of the log, each with its own file...
const SHELVES: u64 = 192;
/// ...and of so many log indexes; the last has what is beyond.
const WIDTH: u64 = 4_096;

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
}

impl Shelves {
    /// # Errors
    /// The files cannot be made.
    pub fn create(scratch: &Scratch) -> io::Result<Self> {
        let files = usize::try_from(SHELVES).expect("few");
        Ok(Self { sorter: Sorter::create(scratch, "reads", files)? })
    }

    pub(super) fn put(&mut self, op: &Op, read: &Read) -> io::Result<()> {
        let Some(index) = read.read_index else { return Ok(()) };
        let shelf = usize::try_from((index / WIDTH).min(SHELVES - 1)).expect("few");
        self.sorter.put(shelf, &ReadAt { index, op: op.id(), request: op.invoke.request.clone(), read: read.clone() })
    }

    /// # Errors
    /// The files cannot be written.
    pub fn finish(self) -> io::Result<Reads> {
        Ok(Reads { files: self.sorter.finish()?, next_file: 0, sorted: Vec::new() })
    }
}

/// Hands the reads out, lowest index first.
pub struct Reads {
    files: Sorted<ReadAt>,
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
        while self.sorted.is_empty() && self.next_file < SHELVES && self.next_file * WIDTH < index {
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

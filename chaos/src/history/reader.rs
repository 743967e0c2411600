//! Streams the records of a history file, and tells damage from the end.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::codec;
use super::coded::Malformed;
use super::record::{OrderId, PaymentName, Record};
use super::writer::{FRAME_BYTES, MAGIC};

/// Bytes of one record: far above an answer with long texts.
const RECORD_BYTES_MAX: u32 = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("the history cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("this is no history file of a known format")]
    Format,
    /// The file ends within a record: the tool died, or the copy is not whole.
    #[error("the history is torn after record {after_records}, at byte {at_byte}")]
    Torn { after_records: u64, at_byte: u64 },
    #[error("record {record} of the history is damaged, at byte {at_byte}: {what}")]
    Damaged { record: u64, at_byte: u64, what: &'static str },
}

/// An iterator over the records. After an error there are no more: what follows damage cannot be told from noise.
#[derive(Debug)]
pub struct HistoryReader<R = BufReader<File>> {
    input: R,
    body: Vec<u8>,
    records: u64,
    at_byte: u64,
    ended: bool,
}

impl HistoryReader {
    /// # Errors
    /// The file cannot be opened, or does not begin as a history.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        Self::new(BufReader::with_capacity(1 << 20, File::open(path)?))
    }
}

impl<R: Read> HistoryReader<R> {
    /// # Errors
    /// The input does not begin as a history.
    pub fn new(mut input: R) -> Result<Self, HistoryError> {
        let mut magic = [0; MAGIC.len()];
        if read_up_to(&mut input, &mut magic)? < magic.len() || magic != *MAGIC {
            return Err(HistoryError::Format);
        }
        Ok(Self { input, body: Vec::new(), records: 0, at_byte: MAGIC.len() as u64, ended: false })
    }

    fn read_one(&mut self) -> Result<Option<Record>, HistoryError> {
        if !self.read_body()? {
            return Ok(None);
        }
        let record = codec::decode(&self.body).map_err(|Malformed(what)| self.damaged(what))?;
        self.step();
        Ok(Some(record))
    }

    /// Skips to the next call that records a payment; quicker than to read all records for it.
    ///
    /// # Errors
    /// As of the iterator.
    pub fn next_recorded_payment(&mut self) -> Result<Option<(PaymentName, OrderId)>, HistoryError> {
        while self.read_body()? {
            let found = codec::recorded_payment(&self.body).map_err(|Malformed(what)| self.damaged(what))?;
            self.step();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Fills `body` with the next record's bytes; false at the end.
    fn read_body(&mut self) -> Result<bool, HistoryError> {
        let mut head = [0; FRAME_BYTES];
        match read_up_to(&mut self.input, &mut head)? {
            0 => return Ok(false),
            FRAME_BYTES => {}
            _ => return Err(self.torn()),
        }
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let checksum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if length > RECORD_BYTES_MAX {
            return Err(self.damaged("its length is impossible"));
        }
        self.body.resize(length as usize, 0);
        if read_up_to(&mut self.input, &mut self.body)? < self.body.len() {
            return Err(self.torn());
        }
        if crc32fast::hash(&self.body) != checksum {
            return Err(self.damaged("its checksum differs"));
        }
        Ok(true)
    }

    /// Behind the record in `body`.
    fn step(&mut self) {
        self.records += 1;
        self.at_byte += (FRAME_BYTES + self.body.len()) as u64;
    }

    fn torn(&self) -> HistoryError {
        HistoryError::Torn { after_records: self.records, at_byte: self.at_byte }
    }

    fn damaged(&self, what: &'static str) -> HistoryError {
        HistoryError::Damaged { record: self.records + 1, at_byte: self.at_byte, what }
    }
}

impl<R: Read> Iterator for HistoryReader<R> {
    type Item = Result<Record, HistoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.read_one().transpose();
        self.ended = !matches!(record, Some(Ok(_)));
        record
    }
}

/// Fills `buffer` as far as the input reaches; the number of bytes tells a clean end from a torn one.
fn read_up_to(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::super::{HistoryWriter, Phase, RunClock};
    use super::*;

    fn a_history_of(records: u64) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.bin");
        let (writer, recorder) = HistoryWriter::create(&path, RunClock::start()).unwrap();
        for at_ns in 0..records {
            recorder.record(Record::Phase { at_ns, phase: Phase::Faults }).unwrap();
        }
        drop(recorder);
        writer.finish().unwrap();
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn what_was_written_is_read_in_its_order() {
        let bytes = a_history_of(100_000);
        let times: Vec<_> = HistoryReader::new(bytes.as_slice())
            .unwrap()
            .map(|record| match record.unwrap() {
                Record::Phase { at_ns, .. } => at_ns,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(times.into_iter().eq(0..100_000));
    }

    #[test]
    fn every_cut_but_between_records_is_reported_as_torn() {
        let bytes = a_history_of(3);
        let frame = (bytes.len() - MAGIC.len()) / 3;
        for length in MAGIC.len()..bytes.len() {
            let read: Vec<_> = HistoryReader::new(&bytes[..length]).unwrap().collect();
            let is_whole = (length - MAGIC.len()).is_multiple_of(frame);
            assert_eq!(read.iter().all(Result::is_ok), is_whole, "cut at {length}");
            if !is_whole {
                assert!(matches!(read.last(), Some(Err(HistoryError::Torn { .. }))), "cut at {length}");
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_never_read_as_a_record_or_an_end() {
        let clean = a_history_of(3);
        for position in MAGIC.len()..clean.len() {
            for bit in 0..8 {
                let mut bytes = clean.clone();
                bytes[position] ^= 1 << bit;
                assert!(
                    HistoryReader::new(bytes.as_slice()).unwrap().any(|record| record.is_err()),
                    "byte {position} bit {bit}"
                );
            }
        }
    }
}

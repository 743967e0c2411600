//! Files of length-delimited protobuf messages: the exported log, the scans.
//!
//! A file is written under a name of its own and gets its real name when it is complete, so that half a scan is never taken
//! for a scan. The exported log is appended to while the run lasts; the judge asks whether it reaches far enough.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use prost::Message;

/// Bytes of one message: far above a log entry of a thousand commands.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub struct DelimitedWriter {
    file: BufWriter<File>,
    unfinished: PathBuf,
    path: PathBuf,
}

impl DelimitedWriter {
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let unfinished = path.with_extension("unfinished");
        Ok(Self { file: BufWriter::new(File::create(&unfinished)?), unfinished, path: path.to_owned() })
    }

    /// # Errors
    /// The write failed; the file keeps its unfinished name.
    pub fn write(&mut self, message: &impl Message) -> io::Result<()> {
        self.file.write_all(&message.encode_length_delimited_to_vec())
    }

    /// Syncs the file and gives it its name.
    ///
    /// # Errors
    /// A write, the sync or the rename failed; the file keeps its unfinished name.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.unfinished, &self.path)
    }
}

/// Streams the messages of a file; a torn or unreadable one is an error, and ends it.
pub struct DelimitedReader<M> {
    file: BufReader<File>,
    buffer: Vec<u8>,
    failed: bool,
    of: PhantomData<M>,
}

impl<M: Message + Default> DelimitedReader<M> {
    /// # Errors
    /// The file is not there or cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = BufReader::with_capacity(1 << 18, File::open(path)?);
        Ok(Self { file, buffer: Vec::new(), failed: false, of: PhantomData })
    }

    /// Of the bytes that were not read yet.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn fingerprint_of_the_rest(mut self) -> io::Result<[u8; 32]> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut self.file)?;
        Ok(*hasher.finalize().as_bytes())
    }

    fn read_one(&mut self) -> io::Result<Option<M>> {
        let Some(bytes) = self.read_length()? else { return Ok(None) };
        if bytes > MESSAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {bytes} bytes")));
        }
        self.buffer.resize(usize::try_from(bytes).expect("bounded above"), 0);
        self.file.read_exact(&mut self.buffer)?;
        M::decode(self.buffer.as_slice()).map(Some).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
    }

    /// `None` at the end of the file, which is only before a message's first byte.
    fn read_length(&mut self) -> io::Result<Option<u64>> {
        let mut length = 0;
        for shift in (0..63).step_by(7) {
            let mut byte = [0];
            if self.file.read(&mut byte)? == 0 {
                return if shift == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
            length |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return Ok(Some(length));
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a message length without an end"))
    }
}

impl<M: Message + Default> Iterator for DelimitedReader<M> {
    type Item = io::Result<M>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let message = self.read_one().transpose();
        self.failed = matches!(message, Some(Err(_)));
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::ExportLogResponse;

    #[test]
    fn a_torn_file_is_an_error_and_not_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.bin");
        let mut writer = DelimitedWriter::create(&path).unwrap();
        for log_index in 300..303 {
            writer.write(&ExportLogResponse { log_index, term: 4, ..Default::default() }).unwrap();
        }
        assert!(!path.exists(), "an unfinished file has no name");
        writer.finish().unwrap();

        let whole: Vec<_> = DelimitedReader::<ExportLogResponse>::open(&path).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(whole.iter().map(|entry| entry.log_index).collect::<Vec<_>>(), [300, 301, 302]);

        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let torn: Vec<_> = DelimitedReader::<ExportLogResponse>::open(&path).unwrap().collect();
        assert!(torn[..2].iter().all(Result::is_ok));
        assert!(torn[2].is_err());
    }
}

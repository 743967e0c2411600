//! Sending and receiving: the files of the manifest one after another, in chunks that do not cross from one file into the
//! next.
//!
//! An error of the sender is about its own disk, and ends it. An error of the receiver is about the transfer, not about this node:
//! the call is refused, what had arrived is removed.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{RocksSnapshot, io, sync_dir};
use crate::limits;
use crate::proto::storage::{SnapshotFile, SnapshotManifest};
use crate::storage::codec::corrupt;
use crate::storage::files::create_dir;
use crate::storage::{StorageError, crash_point};

impl RocksSnapshot {
    /// The bytes of all files in the manifest's order. Read ahead of the consumer on a thread that may block; needs a tokio
    /// runtime.
    #[must_use]
    pub fn chunks(&self) -> ReceiverStream<Result<Bytes, StorageError>> {
        let (chunks, stream) = mpsc::channel(limits::SNAPSHOT_CHUNKS_AHEAD);
        let snapshot = self.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = snapshot.send_to(&chunks) {
                // A consumer that has gone needs no error.
                let _ = chunks.blocking_send(Err(error));
            }
        });
        ReceiverStream::new(stream)
    }

    /// Damage is found here, before its file is sent whole: every receiver would refuse it, and none could tell whose it is.
    fn send_to(&self, chunks: &mpsc::Sender<Result<Bytes, StorageError>>) -> Result<(), StorageError> {
        for file in &self.manifest().files {
            let unread = |error| self.unread(file, error);
            let mut reader = File::open(self.dir().join(&file.name)).map_err(unread)?;
            let mut hasher = blake3::Hasher::new();
            let mut left = file.size_bytes;
            while left > 0 {
                let size =
                    usize::try_from(left).map_or(limits::SNAPSHOT_CHUNK_BYTES, |left| left.min(limits::SNAPSHOT_CHUNK_BYTES));
                let mut chunk = vec![0; size];
                reader.read_exact(&mut chunk).map_err(unread)?;
                hasher.update(&chunk);
                left -= size as u64;
                if left == 0 && hasher.finalize().as_bytes() != file.blake3.as_ref() {
                    return Err(self.damaged(file, "it differs from the manifest"));
                }
                if chunks.blocking_send(Ok(chunk.into())).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn unread(&self, file: &SnapshotFile, error: std::io::Error) -> StorageError {
        match error.kind() {
            // The manifest was written after the file, and says how long that is.
            ErrorKind::NotFound | ErrorKind::UnexpectedEof => self.damaged(file, error),
            _ => io("read a snapshot's file")(error),
        }
    }

    fn damaged(&self, file: &SnapshotFile, cause: impl Display) -> StorageError {
        corrupt(&format!("{} of snapshot {}", file.name, self.name()), cause)
    }
}

/// A snapshot on its way in. Dropped before [`Self::finish`], it leaves nothing behind.
pub struct SnapshotReceiver {
    /// None while a blocking thread works on it, and for ever after an error.
    receiving: Option<Receiving>,
}

impl SnapshotReceiver {
    pub(super) fn create(dir: PathBuf, manifest: SnapshotManifest) -> Result<Self, StorageError> {
        create_dir(&dir)?;
        // Retired from the start: the directory goes with the last handle, unless an install adopts it.
        let snapshot = RocksSnapshot::new(dir, manifest, true)?;
        let mut receiving = Receiving { snapshot, index: 0, open: None };
        receiving.skip_to_bytes()?;
        Ok(Self { receiving: Some(receiving) })
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// It does not fit the manifest, or cannot be written; the transfer is over.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        let mut receiving = self.take()?;
        let written = tokio::task::spawn_blocking(move || receiving.write(&chunk).map(|()| receiving));
        self.receiving = Some(written.await.map_err(io("receive a snapshot"))??);
        Ok(())
    }

    /// After the last chunk: everything that the manifest names is here, checked and synced.
    ///
    /// # Errors
    /// Files are missing.
    pub async fn finish(mut self) -> Result<RocksSnapshot, StorageError> {
        let receiving = self.take()?;
        tokio::task::spawn_blocking(move || receiving.finish()).await.map_err(io("receive a snapshot"))?
    }

    fn take(&mut self) -> Result<Receiving, StorageError> {
        self.receiving.take().ok_or_else(|| corrupt("received snapshot", "the transfer has already failed"))
    }
}

struct Receiving {
    snapshot: RocksSnapshot,
    /// Of the file that the next byte belongs to.
    index: usize,
    open: Option<Incoming>,
}

struct Incoming {
    file: File,
    hasher: blake3::Hasher,
}

impl Receiving {
    fn current(&self) -> Option<&SnapshotFile> {
        self.snapshot.manifest().files.get(self.index)
    }

    fn write(&mut self, chunk: &[u8]) -> Result<(), StorageError> {
        let Some(expected) = self.current().cloned() else {
            return Err(corrupt("received snapshot", "it has more bytes than its manifest"));
        };
        let mut incoming = match self.open.take() {
            Some(incoming) => incoming,
            None => self.create(&expected.name)?,
        };
        incoming.file.write_all(chunk).map_err(io("write a snapshot's file"))?;
        incoming.hasher.update(chunk);
        if incoming.hasher.count() < expected.size_bytes {
            self.open = Some(incoming);
            return Ok(());
        }
        // More than its size is a chunk that crosses into the next file.
        close(&incoming, &expected)?;
        self.index += 1;
        self.skip_to_bytes()
    }

    fn create(&self, name: &str) -> Result<Incoming, StorageError> {
        let file = fs::OpenOptions::new().write(true).create_new(true).open(self.snapshot.dir().join(name));
        Ok(Incoming { file: file.map_err(io("create a snapshot's file"))?, hasher: blake3::Hasher::new() })
    }

    /// Empty files have no chunks.
    fn skip_to_bytes(&mut self) -> Result<(), StorageError> {
        while let Some(empty) = self.current().filter(|file| file.size_bytes == 0).cloned() {
            close(&self.create(&empty.name)?, &empty)?;
            self.index += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<RocksSnapshot, StorageError> {
        if let Some(missing) = self.current() {
            return Err(corrupt("received snapshot", format_args!("it ends before the end of {}", missing.name)));
        }
        crash_point::reach("snapshot.receive.before_finish");
        super::write_manifest(&self.snapshot.dir(), self.snapshot.manifest())?;
        sync_dir(&self.snapshot.dir())?;
        Ok(self.snapshot)
    }
}

fn close(incoming: &Incoming, expected: &SnapshotFile) -> Result<(), StorageError> {
    let hash = incoming.hasher.finalize();
    if incoming.hasher.count() != expected.size_bytes || hash.as_bytes() != expected.blake3.as_ref() {
        return Err(corrupt("received snapshot", format_args!("{} differs from the manifest", expected.name)));
    }
    incoming.file.sync_all().map_err(io("sync a snapshot's file"))
}

//! Values that no memory holds at once, sorted into files: written one by one, read back a file at a time.
//!
//! The files lie beside the run while it is judged, and are gone after it. They are this judge's own, so they carry no checksum: who
//! else judges the run waits.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use crate::history::coded::Coded;

/// Of each open file.
const BUFFER_BYTES: usize = 32 * 1024;

/// A folder for such files, gone when dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// The folder that it lies in, locked.
    _run: File,
}

impl Scratch {
    /// Waits for whoever else has it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let run = File::open(path.parent().unwrap_or(&path))?;
        run.lock()?;
        // Left by a judge that was killed.
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir(&path)?;
        Ok(Self { path, _run: run })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is removed by the next judge of this run.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Writes values of one kind.
pub struct Sorter<T> {
    files: Vec<BufWriter<File>>,
    paths: Vec<PathBuf>,
    buffer: Vec<u8>,
    of: PhantomData<T>,
}

impl<T> Sorter<T> {
    /// # Errors
    /// A file cannot be made.
    pub fn create(scratch: &Scratch, name: &str, files: usize) -> io::Result<Self> {
        let paths: Vec<PathBuf> = (0..files).map(|at| scratch.path().join(format!("{name}-{at}"))).collect();
        let create = |path: &PathBuf| Ok(BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?));
        let files = paths.iter().map(create).collect::<io::Result<_>>()?;
        Ok(Self { files, paths, buffer: Vec::new(), of: PhantomData })
    }

    #[must_use]
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> io::Result<Sorted<T>> {
        for file in self.files {
            file.into_inner().map_err(io::IntoInnerError::into_error)?;
        }
        Ok(Sorted { paths: self.paths, of: PhantomData })
    }
}

impl<T: Coded> Sorter<T> {
    /// # Errors
    /// The file cannot be written.
    pub fn put(&mut self, file: usize, value: &T) -> io::Result<()> {
        self.buffer.clear();
        value.put(&mut self.buffer);
        self.files[file].write_all(&self.buffer)
    }
}

/// What a [`Sorter`] wrote.
#[derive(Debug)]
pub struct Sorted<T> {
    paths: Vec<PathBuf>,
    of: PhantomData<T>,
}

impl<T: Coded> Sorted<T> {
    /// Calls `take` with each value of a file, in the order in which they were put.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was written.
    pub fn read(&self, file: usize, mut take: impl FnMut(T)) -> io::Result<()> {
        let bytes = std::fs::read(&self.paths[file])?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            take(T::get(&mut rest).map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed.0))?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_judges_of_one_run_judge_one_after_the_other() {
        let run = tempfile::tempdir().unwrap();
        let another = File::open(run.path()).unwrap();
        let scratch = Scratch::create(run.path().join("judging")).unwrap();
        assert!(another.try_lock().is_err(), "it waits");
        drop(scratch);
        another.try_lock().unwrap();
        assert!(!run.path().join("judging").exists());
    }
}

//! Tries the disk under the run's folder the whole time, beside the nodes: their data is on it, or on files of it.
//!
//! A machine whose disk stands still for half a second makes any system late. Without this a verdict of V14 would say as much of the
//! neighbours as of the system.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use crate::history::{MachineSync, Record, Recorder};
use crate::limits;

/// Ends by an error alone: the disk is broken, or the history is closed.
pub(super) async fn watch(folder: &Path, recorder: &Recorder) -> anyhow::Error {
    match watch_until_it_fails(folder, recorder).await {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

async fn watch_until_it_fails(folder: &Path, recorder: &Recorder) -> anyhow::Result<Infallible> {
    // Nobody else's, and gone with the run.
    let file = Arc::new(tempfile::tempfile_in(folder)?);
    let mut ticks = tokio::time::interval(limits::MACHINE_SYNC_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (file, at_ns) = (file.clone(), recorder.now_ns());
        tokio::task::spawn_blocking(move || sync_a_little(&file)).await??;
        let took_ns = recorder.now_ns().saturating_sub(at_ns);
        recorder.record(Record::MachineSync(MachineSync { at_ns, took_ns }))?;
    }
}

fn sync_a_little(file: &File) -> io::Result<()> {
    file.write_all_at(&[0x5a; limits::MACHINE_SYNC_BYTES], 0)?;
    file.sync_data()
}

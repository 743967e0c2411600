//! Stops a run that takes too long or too much disk.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::time::Instant;

use crate::limits;
use crate::scenario::Guards;

/// Returns the reason when a guard trips; never otherwise.
pub(super) async fn trip(guards: &Guards, folder: &Path) -> String {
    let deadline = Instant::now() + guards.wall_time.get();
    loop {
        tokio::time::sleep_until(deadline.min(Instant::now() + limits::GUARD_INTERVAL)).await;
        if Instant::now() >= deadline {
            return format!("guards.wall_time: the run took longer than {}", guards.wall_time);
        }
        let bytes = bytes_below(folder);
        if bytes > guards.disk.bytes() {
            return format!("guards.disk: the run's folder has {} MiB, {} allowed", bytes >> 20, guards.disk);
        }
    }
}

/// On the disk of `folder`: holes in files are none, and what is mounted within is counted by the file that it is in. Files that go
/// while they are counted are not counted.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(device) = std::fs::metadata(folder).map(|metadata| metadata.dev()) else { return 0 };
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() && metadata.dev() == device => bytes_below(&entry.path()),
            // Blocks are of 512 bytes, whatever the file system's own are (stat(2)).
            Ok(metadata) if metadata.is_file() => metadata.blocks() * 512,
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Size, Span};

    #[tokio::test]
    async fn a_folder_that_grows_too_large_trips_the_guard() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("big"), vec![0; 2048]).unwrap();
        let guards = Guards { wall_time: Span::from_millis(60_000), disk: Size::try_from("1KiB".to_owned()).unwrap() };
        assert!(trip(&guards, folder.path()).await.starts_with("guards.disk"));
        let guards = Guards { wall_time: Span::from_millis(5), ..Guards::default() };
        assert!(trip(&guards, folder.path()).await.starts_with("guards.wall_time"));
    }
}

//! The process and its machine, as the kernel tells of them. Nothing of other processes, no command line, no environment.

use std::path::Path;

use crate::limits::DEBUG_FILE_BYTES_MAX;
use crate::storage::end_of_file;

/// Name in a bundle, and where it is read. What a kernel does not have is left out.
const FILES: [(&str, &str); 11] = [
    ("process/status.txt", "/proc/self/status"),
    ("process/limits.txt", "/proc/self/limits"),
    ("process/io.txt", "/proc/self/io"),
    ("process/schedstat.txt", "/proc/self/schedstat"),
    ("machine/kernel.txt", "/proc/sys/kernel/osrelease"),
    ("machine/loadavg.txt", "/proc/loadavg"),
    ("machine/meminfo.txt", "/proc/meminfo"),
    ("machine/diskstats.txt", "/proc/diskstats"),
    ("machine/pressure-cpu.txt", "/proc/pressure/cpu"),
    ("machine/pressure-io.txt", "/proc/pressure/io"),
    ("machine/pressure-memory.txt", "/proc/pressure/memory"),
];

pub(super) fn files() -> Vec<(String, Vec<u8>)> {
    let read = |(name, path): (&str, &str)| Some((name.to_owned(), from_kernel(Path::new(path)).ok()?));
    FILES.into_iter().filter_map(read).collect()
}

/// The kernel makes such a file when it is read, and says that it is empty: there is no end to begin at.
fn from_kernel(path: &Path) -> std::io::Result<Vec<u8>> {
    end_of_file(path, DEBUG_FILE_BYTES_MAX)
}

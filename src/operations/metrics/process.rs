//! The process as the kernel sees it, under the names that Prometheus clients share. Where there is no `/proc`, only the start
//! time is known.

use std::fmt;
use std::fs;

use super::page::{Page, as_f64};

/// `USER_HZ`, in which `/proc` counts CPU time: 100 on every Linux that we build for.
const TICKS_PER_SECOND: f64 = 100.0;
/// User and system time in `/proc/self/stat`, counted from after the name in parentheses.
const STAT_UTIME: usize = 11;
const STAT_STIME: usize = 12;

pub(super) fn encode(page: &mut Page<'_>, started_at_ms: u64) -> fmt::Result {
    page.gauge("process_start_time_seconds", "Unix time at which the process started", as_f64(started_at_ms) / 1e3)?;
    if let Some(seconds) = cpu_seconds() {
        page.counter_of_seconds("process_cpu_seconds", "User and system CPU time", seconds)?;
    }
    if let Some(bytes) = status_number("VmRSS:").map(|kib| kib * 1024) {
        page.gauge("process_resident_memory_bytes", "Resident memory", bytes)?;
    }
    if let Some(bytes) = status_number("VmSize:").map(|kib| kib * 1024) {
        page.gauge("process_virtual_memory_bytes", "Virtual memory", bytes)?;
    }
    if let Some(count) = fs::read_dir("/proc/self/fd").ok().map(Iterator::count) {
        page.gauge("process_open_fds", "Open file descriptors", count)?;
    }
    if let Some(count) = open_files_max() {
        page.gauge("process_max_fds", "File descriptors that may be open", count)?;
    }
    if let Some(count) = status_number("Threads:") {
        page.gauge("process_threads", "Threads", count)?;
    }
    Ok(())
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name may contain spaces; it ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(as_f64(ticks(STAT_UTIME)? + ticks(STAT_STIME)?) / TICKS_PER_SECOND)
}

/// The soft limit; none if there is no limit.
fn open_files_max() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn status_number(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

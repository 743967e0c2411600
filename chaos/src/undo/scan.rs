//! What the machine itself shows of a run: mounts and loop devices of its files, processes that name them.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What is there of the run in `folder`. The watchdog, which ends by itself, is not counted.
#[must_use]
pub fn scan(folder: &Path) -> Vec<String> {
    // Without its folder nothing can be there: a file system cannot be mounted in none, and no file can be in use by its name.
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let mounts = mounts().into_iter().filter(|at| at.starts_with(&folder)).map(|at| format!("the mount {}", at.display()));
    let loops = loop_files().into_iter().filter(|file| file.starts_with(&folder));
    let loops = loops.map(|file| format!("the loop device of {}", file.display()));
    let processes = processes_naming(&folder).into_iter().map(|pid| format!("process {pid}"));
    mounts.chain(loops).chain(processes).collect()
}

#[must_use]
pub fn is_mounted(at: &Path) -> bool {
    mounts().iter().any(|mount| mount == at)
}

/// Mount points of this process' namespace. None on a system without `/proc`.
fn mounts() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // Field 5 (proc_pid_mountinfo(5)); a blank is written as \040.
    let at = |line: &str| line.split(' ').nth(4).map(|at| PathBuf::from(at.replace("\\040", " ")));
    table.lines().filter_map(at).collect()
}

/// Files behind loop devices.
fn loop_files() -> Vec<PathBuf> {
    let Ok(devices) = fs::read_dir("/sys/block") else { return Vec::new() };
    let file = |device: fs::DirEntry| fs::read_to_string(device.path().join("loop/backing_file")).ok();
    devices.flatten().filter_map(file).map(|file| PathBuf::from(file.trim_end())).collect()
}

fn processes_naming(folder: &Path) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names = |pid: &u32| {
        // (Of a process that ended it is empty.)
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let mut arguments = line.split(|byte| *byte == 0);
        arguments.any(|argument| argument.starts_with(folder.as_os_str().as_bytes())) && is_node(&line)
    };
    pids.filter(names).collect()
}

/// As the tool starts it. (Others may name the folder: who looks at it.)
fn is_node(command_line: &[u8]) -> bool {
    command_line.split(|byte| *byte == 0).nth(1) == Some(b"node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_which_nothing_runs_is_clean() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(scan(folder.path()), Vec::<String>::new());
        assert!(!is_mounted(folder.path()) && (cfg!(not(target_os = "linux")) || is_mounted(Path::new("/"))));
    }
}

//! What the machine itself shows of a run: mounts and loop devices of its files, processes that name them, network namespaces in
//! which somebody is. (In one in which nobody is nothing can be seen any more, and its end is the kernel's.)

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::namespace;
use crate::network::link_of;

/// What is there of the run in `folder`. The watchdog, which ends by itself, is not counted.
///
/// # Errors
/// The machine does not tell: then nobody knows that nothing is left.
pub fn scan(folder: &Path) -> io::Result<Vec<String>> {
    let folder = match folder.canonicalize() {
        // Without its folder nothing can be there: a file system cannot be mounted in none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?,
    };
    let mounts = mounts()?.into_iter().filter(|at| at.starts_with(&folder)).map(|at| format!("the mount {}", at.display()));
    let loops = loop_files()?.into_iter().filter(|file| file.starts_with(&folder));
    let loops = loops.map(|file| format!("the loop device of {}", file.display()));
    let processes = processes_naming(&folder)?.into_iter().map(|pid| format!("process {pid}"));
    let namespaces = namespace::within(&link_of(&folder))?;
    let namespaces = namespaces.into_iter().map(|pid| format!("the network namespace of process {pid}"));
    Ok(mounts.chain(loops).chain(processes).chain(namespaces).collect())
}

/// # Errors
/// The machine does not tell.
pub fn is_mounted(at: &Path) -> io::Result<bool> {
    Ok(mounts()?.iter().any(|mount| mount == at))
}

/// Of Linux alone: elsewhere the tool mounts nothing.
fn or_nothing_elsewhere<T>(found: io::Result<T>, nothing: T) -> io::Result<T> {
    if cfg!(target_os = "linux") { found } else { Ok(nothing) }
}

/// Mount points of this process' namespace.
fn mounts() -> io::Result<Vec<PathBuf>> {
    let table = or_nothing_elsewhere(fs::read_to_string("/proc/self/mountinfo"), String::new())?;
    // Field 5 (proc_pid_mountinfo(5)); a blank is written as \040.
    let at = |line: &str| line.split(' ').nth(4).map(|at| PathBuf::from(at.replace("\\040", " ")));
    Ok(table.lines().filter_map(at).collect())
}

/// Files behind loop devices.
fn loop_files() -> io::Result<Vec<PathBuf>> {
    let devices = match fs::read_dir("/sys/block") {
        // A container may hide them, and has none then.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        devices => devices?,
    };
    let file = |device: fs::DirEntry| fs::read_to_string(device.path().join("loop/backing_file")).ok();
    Ok(devices.flatten().filter_map(file).map(|file| PathBuf::from(file.trim_end())).collect())
}

pub(super) fn pids() -> io::Result<impl Iterator<Item = u32>> {
    let processes = match fs::read_dir("/proc") {
        Err(_) if !cfg!(target_os = "linux") => None,
        processes => Some(processes?),
    };
    Ok(processes.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

fn processes_naming(folder: &Path) -> io::Result<Vec<u32>> {
    let names = |pid: &u32| {
        // (Of a process that ended it is empty.)
        let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
        let mut arguments = line.split(|byte| *byte == 0);
        arguments.any(|argument| argument.starts_with(folder.as_os_str().as_bytes())) && is_node(&line)
    };
    Ok(pids()?.filter(names).collect())
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
        assert_eq!(scan(folder.path()).unwrap(), Vec::<String>::new());
        assert!(!is_mounted(folder.path()).unwrap());
        assert_eq!(is_mounted(Path::new("/")).unwrap(), cfg!(target_os = "linux"));
    }
}

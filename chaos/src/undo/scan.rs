//! What the machine itself shows of a run: mounts and loop devices of its files, processes that name them, disks that are half lost,
//! control groups that are called after it, network namespaces in which somebody is. (In one in which nobody is nothing can be seen any more, and its end is the kernel's.)

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::{emptied, name_of, namespace};
use crate::resources;

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
    let processes = processes_of(&folder)?.into_iter().map(|pid| format!("process {pid}"));
    let namespaces = namespace::within(&name_of(&folder))?;
    let namespaces = namespaces.into_iter().map(|pid| format!("the network namespace of process {pid}"));
    let groups = resources::groups_of(&folder)?.into_iter().map(|at| format!("the control group {}", at.display()));
    let emptied = emptied::half_gone(&folder)?.into_iter().map(|at| format!("the rest of a lost disk, {}", at.display()));
    Ok(mounts.chain(loops).chain(processes).chain(emptied).chain(namespaces).chain(groups).collect())
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

fn mounts() -> io::Result<Vec<PathBuf>> {
    Ok(mount_table()?.into_iter().map(|mount| mount.at).collect())
}

/// One line of this process' namespace of mounts.
pub(crate) struct Mount {
    pub(crate) at: PathBuf,
    /// What of the file system is there.
    pub(crate) root: PathBuf,
    pub(crate) kind: String,
    /// Of the file system.
    pub(crate) options: String,
}

/// # Errors
/// The machine does not tell.
pub(crate) fn mount_table() -> io::Result<Vec<Mount>> {
    let table = or_nothing_elsewhere(fs::read("/proc/self/mountinfo"), Vec::new())?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(mount).collect())
}

/// proc_pid_mountinfo(5): root and mount point are fields 4 and 5, type and options stand behind a hyphen.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|byte| *byte == b' ').map(unescaped);
    let (root, at) = (path(words.nth(3)?), path(words.next()?));
    let mut behind = words.skip_while(|word| word != b"-").skip(1);
    let mut text = |nth| behind.nth(nth).map(|word| String::from_utf8_lossy(&word).into_owned());
    Some(Mount { at, root, kind: text(0)?, options: text(1)? })
}

fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

/// Blanks, tabs, line ends and backslashes are written as a backslash and three octal digits there.
fn unescaped(mut field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((first, rest)) = field.split_first() {
        let escaped = match (first, rest) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        field = if escaped.is_some() { &rest[3..] } else { rest };
    }
    bytes
}

/// Files behind loop devices.
fn loop_files() -> io::Result<Vec<PathBuf>> {
    let devices = match fs::read_dir("/sys/block") {
        // A container may hide them, and has none then.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        devices => devices?,
    };
    let file = |device: fs::DirEntry| fs::read(device.path().join("loop/backing_file")).ok();
    Ok(devices.flatten().filter_map(file).map(|file| path(file.strip_suffix(b"\n").unwrap_or(&file).to_vec())).collect())
}

pub(super) fn pids() -> io::Result<impl Iterator<Item = u32>> {
    let processes = match fs::read_dir("/proc") {
        Err(_) if !cfg!(target_os = "linux") => None,
        processes => Some(processes?),
    };
    Ok(processes.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// Processes that the tool started for the run in `folder`, but for the watchdog.
pub(super) fn processes_of(folder: &Path) -> io::Result<Vec<u32>> {
    let is_its = |pid: &u32| is_started_for(folder, &command_line(*pid)) || is_a_command_in(folder, *pid);
    Ok(pids()?.filter(is_its).collect())
}

/// Of a process that ended it is empty.
fn command_line(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// As the tool starts it: a node, or what makes and mounts its disk. (Others may name the folder: who looks at it.)
fn is_started_for(folder: &Path, command_line: &[u8]) -> bool {
    let mut words = command_line.split(|byte| *byte == 0);
    let is_ours = matches!((words.next(), words.next()), (Some(b"mount" | b"mkfs.ext4"), _) | (_, Some(b"node")));
    is_ours && names(folder, command_line)
}

/// As the tool gives one in an operator's place: it names nothing of the run, and works in its folder.
fn is_a_command_in(folder: &Path, pid: u32) -> bool {
    command_line(pid).split(|byte| *byte == 0).nth(1) == Some(b"member") && works_in(folder, pid)
}

fn works_in(folder: &Path, pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|at| at.starts_with(folder))
}

fn names(folder: &Path, command_line: &[u8]) -> bool {
    command_line.split(|byte| *byte == 0).any(|word| Path::new(OsStr::from_bytes(word)).starts_with(folder))
}

/// It names the folder, works in it, or is in a network namespace or a control group of the run.
pub(super) fn is_of(folder: &Path, pid: u32) -> bool {
    names(folder, &command_line(pid))
        || resources::is_in_a_group_of(folder, pid)
        || works_in(folder, pid)
        || namespace::sees(pid, &name_of(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_found_whatever_its_name() {
        assert_eq!(unescaped(br"/a\040b\011c\012d\134e/\377\09"), b"/a b\tc\nd\\e/\xff\\09");
    }

    #[test]
    fn a_line_of_the_table_of_mounts_says_what_is_mounted_where() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 shared:3 - cgroup cgroup rw,cpu,cpuacct";
        let Mount { at, root, kind, options } = mount(line).unwrap();
        assert_eq!((at, root), (PathBuf::from("/mnt 2"), PathBuf::from("/mnt1")));
        assert_eq!((kind.as_str(), options.as_str()), ("cgroup", "rw,cpu,cpuacct"));
        assert!(mount(b"").is_none() && mount(b"36 35 98:0 / / rw").is_none());
    }

    #[test]
    fn a_node_of_a_run_is_not_taken_for_one_of_a_run_whose_name_begins_alike() {
        let line = b"/bin/stampede\0node\0--config\0/drills/run2/nodes/node-1/node.toml\0";
        assert!(is_started_for(Path::new("/drills/run2"), line));
        assert!(!is_started_for(Path::new("/drills/run"), line));
        assert!(
            !is_started_for(Path::new("/drills/run2"), b"less\0/drills/run2/nodes/node-1/stderr.log\0"),
            "somebody looks at it"
        );
    }

    #[test]
    fn a_folder_in_which_nothing_runs_is_clean() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(scan(folder.path()).unwrap(), Vec::<String>::new());
        assert!(!is_mounted(folder.path()).unwrap());
        assert_eq!(is_mounted(Path::new("/")).unwrap(), cfg!(target_os = "linux"));
    }
}

//! Where the machine lets control groups be made, and what their files are called: version 1 has a tree for each controller,
//! version 2 one for all (cgroups(7); the kernel's `admin-guide/cgroup-v1` and `admin-guide/cgroup-v2.rst`).
//!
//! A group is made as near to the tool's own as can be, so that whatever limits the tool limits its nodes still. Nothing is switched
//! on that is not on already: a group of version 2 that lets no controller through to its children is none to make one in.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::undo::mount_table;

/// Of the file system's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

const CPU: &str = "cpu";
const MEMORY: &str = "memory";

/// Where groups are made: the same place for both in version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) version: Version,
    pub(super) cpu: PathBuf,
    pub(super) memory: PathBuf,
}

/// A mounted tree.
#[derive(Debug, PartialEq, Eq)]
struct Tree {
    version: Version,
    at: PathBuf,
    /// What of the whole tree is mounted there.
    root: PathBuf,
    /// Of version 1.
    controllers: Vec<String>,
}

/// # Errors
/// No tree has both controllers for groups below the tool's own, or above it.
pub(super) fn places() -> anyhow::Result<Places> {
    let own = fs::read_to_string("/proc/self/cgroup").context("reading /proc/self/cgroup")?;
    find(&trees()?, &own, |group| fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default())
}

/// `passed_on`: the controllers that a group of version 2 lets through to its children.
fn find(trees: &[Tree], own: &str, passed_on: impl Fn(&Path) -> String) -> anyhow::Result<Places> {
    let one = |controller: &str| {
        let tree = trees.iter().find(|tree| tree.controllers.iter().any(|name| name == controller))?;
        Some(own_group(tree, own_path(own, |names| names.split(',').any(|name| name == controller))?))
    };
    if let Some(cpu) = one(CPU)
        && let Some(memory) = one(MEMORY)
    {
        return Ok(Places { version: Version::One, cpu, memory });
    }
    let two = trees.iter().find(|tree| tree.version == Version::Two);
    let Some((tree, path)) = two.zip(own_path(own, str::is_empty)) else { bail!("no control groups are mounted here") };
    let lets_through = |group: &&Path| {
        let names = passed_on(group);
        [CPU, MEMORY].iter().all(|wanted| names.split_whitespace().any(|name| name == *wanted))
    };
    let own = own_group(tree, path);
    let place = own.ancestors().take_while(|group| group.starts_with(&tree.at)).find(lets_through);
    let place = place
        .with_context(|| format!("no control group from {} upwards has both cpu and memory for its children", own.display()))?;
    Ok(Places { version: Version::Two, cpu: place.to_owned(), memory: place.to_owned() })
}

/// `/proc/self/cgroup`: a number, names of controllers (none in version 2), and a path, with colons between.
fn own_path(own: &str, is_wanted: impl Fn(&str) -> bool) -> Option<&Path> {
    let mut lines = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    lines.find(|(names, _)| is_wanted(names)).map(|(_, path)| Path::new(path))
}

/// The root of what is mounted, if the tool's own is not below it.
fn own_group(tree: &Tree, path: &Path) -> PathBuf {
    path.strip_prefix(&tree.root).map_or_else(|_| tree.at.clone(), |below| tree.at.join(below))
}

/// Both versions may be there at once.
fn trees() -> io::Result<Vec<Tree>> {
    Ok(mount_table()?.into_iter().filter_map(|mount| tree(mount.kind, mount.at, mount.root, &mount.options)).collect())
}

fn tree(kind: String, at: PathBuf, root: PathBuf, options: &str) -> Option<Tree> {
    let version = match kind.as_str() {
        "cgroup" => Version::One,
        "cgroup2" => Version::Two,
        _ => return None,
    };
    let controllers = if version == Version::One { options.split(',').map(str::to_owned).collect() } else { Vec::new() };
    Some(Tree { version, at, root, controllers })
}

/// Groups whose names begin so, wherever they are.
///
/// # Errors
/// The machine does not tell.
pub(super) fn groups_named(prefix: &str) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for tree in trees()? {
        collect(&tree.at, prefix, &mut found);
    }
    Ok(found)
}

/// What goes in this moment, or may not be looked into, has none of ours.
fn collect(group: &Path, prefix: &str, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            found.insert(entry.path());
        }
        collect(&entry.path(), prefix, found);
    }
}

/// It is a directory of a tree of groups, by its path.
///
/// # Errors
/// The machine does not tell.
pub(super) fn is_in_a_tree(group: &Path) -> io::Result<bool> {
    Ok(trees()?.iter().any(|tree| group.starts_with(&tree.at) && group != tree.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, at: &str, root: &str, options: &str) -> Tree {
        tree(kind.into(), at.into(), root.into(), options).unwrap()
    }

    #[test]
    fn of_version_1_each_controller_has_its_tree_and_the_tool_its_own_group_there() {
        let trees = [
            of("cgroup2", "/sys/fs/cgroup/unified", "/", "rw"),
            of("cgroup", "/sys/fs/cgroup/cpu,cpuacct", "/", "rw,cpu,cpuacct"),
            of("cgroup", "/sys/fs/cgroup/memory", "/docker/7", "rw,memory"),
        ];
        let own = "9:name=systemd:/\n4:memory:/docker/7/job\n2:cpu,cpuacct:/jobs/1\n0::/user\n";
        let places = find(&trees, own, |_| "cpu memory".into()).unwrap();
        let (cpu, memory) = ("/sys/fs/cgroup/cpu,cpuacct/jobs/1".into(), "/sys/fs/cgroup/memory/job".into());
        assert_eq!(places, Places { version: Version::One, cpu, memory });
    }

    #[test]
    fn of_version_2_a_group_is_made_where_both_controllers_are_let_through() {
        let trees = [of("cgroup2", "/sys/fs/cgroup", "/", "rw,nsdelegate")];
        let own = "0::/user.slice/user-0.slice/session-1.scope\n";
        let passed_on = |group: &Path| match group.to_str() {
            Some("/sys/fs/cgroup/user.slice/user-0.slice") => "pids memory\n".to_owned(),
            Some("/sys/fs/cgroup/user.slice") => "cpu memory pids\n".to_owned(),
            Some("/sys/fs/cgroup") => "cpuset cpu io memory pids\n".to_owned(),
            _ => "\n".to_owned(),
        };
        let places = find(&trees, own, passed_on).unwrap();
        let place = PathBuf::from("/sys/fs/cgroup/user.slice");
        assert_eq!(places, Places { version: Version::Two, cpu: place.clone(), memory: place });
        let error = find(&trees, own, |_| "pids\n".into()).unwrap_err();
        assert!(error.to_string().contains("no control group from /sys/fs/cgroup/user.slice"), "{error}");
        assert!(find(&[], own, |_| String::new()).is_err());
    }

    #[test]
    fn what_is_no_tree_of_groups_has_no_groups() {
        assert_eq!(tree("ext4".into(), "/".into(), "/".into(), "rw,cpu,memory"), None);
        assert!(!is_in_a_tree(Path::new("/tmp/drill-1")).unwrap() && !is_in_a_tree(Path::new("/")).unwrap());
        assert_eq!(groups_named("no group is named so").unwrap(), BTreeSet::new());
    }
}

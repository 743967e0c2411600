//! A node with a small disk of its own: a file system in memory that only its process sees, and that is gone when the process is.
//!
//! Needs the right to mount: root's, or that of a user namespace.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::harness::Cluster;

/// How a process gets a mount table of its own: as root, or as whoever may be root in a namespace.
const WAYS: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];
/// Lets go of the disks of drills that run meanwhile, which could not be taken away before this process ends; mounts so many
/// mebibytes on a directory; and runs the rest.
const SCRIPT: &str = r#"
    awk '$1 ~ "^/dev/loop" { print $2 }' /proc/self/mounts | xargs -r umount -l
    mount -t tmpfs -o size="$0"m node "$1" && shift && exec "$@""#;

fn with_disk(way: &[&str], mib: u32, at: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(way).args(["sh", "-c", SCRIPT]).arg(mib.to_string()).arg(at);
    command
}

/// Where nobody may mount, a test says so and shows nothing; on a machine that is there to test (`CI=true`) that is a failure.
pub(crate) fn way_to_mount() -> Option<&'static [&'static str]> {
    let folder = tempfile::tempdir().unwrap();
    let works = |way: &&&[&str]| {
        let output = with_disk(way, 1, folder.path().to_str().unwrap()).arg("true").output();
        output.is_ok_and(|output| output.status.success())
    };
    let way = WAYS.iter().find(works).copied();
    if way.is_none() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI=true, and nobody may mount a file system");
        eprintln!("nothing is shown of disks here: nobody may mount a file system");
    }
    way
}

/// Mebibytes of such a disk: what a node takes at its start, and some.
const DISK_MIB: u32 = 512;

/// The data directory of a running node, as its process sees it.
pub(crate) struct OwnDisk {
    at: PathBuf,
}

impl OwnDisk {
    pub(crate) fn start(cluster: &mut Cluster, node: u64, way: &[&str]) -> Self {
        let data = cluster.data_dir(node);
        fs::create_dir_all(&data).unwrap();
        let data = data.to_str().unwrap().to_owned();
        let process = cluster.start_within(node, with_disk(way, DISK_MIB, &data));
        Self { at: PathBuf::from(format!("/proc/{process}/root{data}")) }
    }

    /// Takes room until so many mebibytes are left.
    pub(crate) fn leave(&self, mib: u64) {
        let stat = statvfs(&self.at).unwrap();
        let taken = (stat.f_bavail * stat.f_frsize).checked_sub(mib << 20).expect("there is more than that");
        let filler = File::create(self.filler()).unwrap();
        fallocate(&filler, FallocateFlags::empty(), 0, taken).unwrap();
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

//! A disk for one node: an ext4 file system in a file, mounted from a loop device, that can stand still, fail, and lose its power.
//!
//! Needs root, on Linux. What was synced outlives a power cut and what was not does not, because it is a real file system that is
//! shut down under the node and mounted again. Every mount and every freeze is in the run's undo journal before it is made.
//!
//! Whoever writes to a frozen file system cannot be killed, so the watchdog thaws it too, whatever becomes of this process.

mod ioctl;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::fcntl::posix_fallocate;
use nix::sys::statvfs::statvfs;

use crate::cluster::watchdog::Watchdog;
use crate::limits;
use crate::probe;
use crate::undo::{self, Journal, Undo};
use ioctl::Kept;

pub use ioctl::thaw;

pub struct Disk {
    image: PathBuf,
    at: PathBuf,
    is_mounted: AtomicBool,
    /// Shut down since it was mounted: until it is mounted again, every access fails.
    is_dead: AtomicBool,
    journal: Journal,
    watchdog: Watchdog,
}

impl Disk {
    /// Within a node's own directory.
    pub const IMAGE: &str = "disk.img";

    /// An empty one of so many bytes, mounted below `directory`.
    ///
    /// # Errors
    /// No root, no `mkfs.ext4`, no free loop device, no room.
    pub fn make(directory: &Path, bytes: u64, journal: Journal, watchdog: Watchdog) -> anyhow::Result<Self> {
        let disk = Self {
            image: directory.join(Self::IMAGE),
            at: directory.join("disk"),
            is_mounted: AtomicBool::new(false),
            is_dead: AtomicBool::new(false),
            journal,
            watchdog,
        };
        File::create(&disk.image).and_then(|file| file.set_len(bytes)).context("making an image")?;
        std::fs::create_dir(&disk.at).context("making a mount point")?;
        // Nothing is left to be written later, by a thread of the kernel, into a measured run.
        let whole = "lazy_itable_init=0,lazy_journal_init=0";
        command("mkfs.ext4", &[&"-q", &"-F", &"-m", &"0", &"-N", &"16384", &"-E", &whole, &disk.image])?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where its files are.
    #[must_use]
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// It recovers from its journal, if it was not unmounted in order.
    ///
    /// # Errors
    /// The system refuses.
    pub fn mount(&self) -> anyhow::Result<()> {
        self.journal.will(&self.undo_mount()).context("writing the undo journal")?;
        command("mount", &[&"-t", &"ext4", &"-o", &"loop", &self.image, &self.at])?;
        self.is_mounted.store(true, Ordering::SeqCst);
        self.is_dead.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Nothing, if it is not mounted. The loop device goes with it.
    ///
    /// # Errors
    /// Somebody still uses it.
    pub fn unmount(&self) -> anyhow::Result<()> {
        if self.is_mounted() {
            unmount(&self.at)?;
            self.is_mounted.store(false, Ordering::SeqCst);
            self.journal.done(&self.undo_mount()).context("writing the undo journal")?;
        }
        Ok(())
    }

    #[must_use]
    pub fn is_mounted(&self) -> bool {
        self.is_mounted.load(Ordering::SeqCst)
    }

    /// Its power was cut, and it was not mounted again.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::SeqCst)
    }

    /// Mounted, alive, and with the room that it had, whatever a fault that was broken off had done to it. Its node must be gone if
    /// it is dead.
    ///
    /// # Errors
    /// The system refuses, or somebody still uses a dead one.
    pub fn revive(&self) -> anyhow::Result<()> {
        if self.is_dead() {
            self.unmount()?;
        }
        if !self.is_mounted() {
            self.mount()?;
        }
        self.make_room()
    }

    /// From now until it is mounted again every access fails, and what was not synced is gone.
    ///
    /// Who writes to it must be gone: a power cut leaves nobody to be told anything, and Linux tells an `fdatasync` that is under way
    /// meanwhile that it succeeded, and loses what it was for (ext4 of Linux 6.18: 20 times in 150 tries).
    ///
    /// # Errors
    /// The system refuses.
    pub fn cut_power(&self) -> anyhow::Result<()> {
        self.shut_down(Kept::Synced)
    }

    /// From now until it is mounted again every access fails; what was said to be synced is kept, also if it was under way.
    ///
    /// # Errors
    /// The system refuses.
    pub fn fail(&self) -> anyhow::Result<()> {
        self.shut_down(Kept::All)
    }

    fn shut_down(&self, kept: Kept) -> anyhow::Result<()> {
        self.is_dead.store(true, Ordering::SeqCst);
        ioctl::shut_down(&self.at, kept).with_context(|| format!("shutting {} down", self.at.display()))
    }

    /// Takes room until so many bytes are free, if more are.
    ///
    /// # Errors
    /// The system refuses.
    pub fn leave(&self, bytes: u64) -> anyhow::Result<()> {
        let stat = statvfs(&self.at).context("asking for the room on a disk")?;
        let taken = (stat.blocks_available() * stat.fragment_size()).saturating_sub(bytes);
        let filler = File::create(self.filler()).context("taking room on a disk")?;
        if taken > 0 {
            posix_fallocate(&filler, 0, i64::try_from(taken)?).context("taking room on a disk")?;
        }
        Ok(())
    }

    /// Takes what is free of it: who writes is told that there is no room.
    ///
    /// # Errors
    /// The system refuses.
    pub fn fill(&self) -> anyhow::Result<()> {
        let filler = File::create(self.filler()).context("filling a disk")?;
        let mut filled = 0;
        // Down to what a file system gives at least.
        for chunk in [64 << 20, 1 << 20, 4 << 10] {
            loop {
                match posix_fallocate(&filler, filled, chunk) {
                    Ok(()) => filled += chunk,
                    Err(Errno::ENOSPC) => break,
                    Err(error) => return Err(error).context("filling a disk"),
                }
            }
        }
        Ok(())
    }

    /// Takes the filler away, if there is one.
    ///
    /// # Errors
    /// The system refuses.
    pub fn make_room(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.filler()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("making room on a disk"),
            _ => Ok(()),
        }
    }

    fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }

    /// From when it returns nothing is written, and who writes waits: until [`Self::thaw`], and not much longer than `lasts`.
    ///
    /// # Errors
    /// The system refuses, or the watchdog is gone.
    pub fn freeze(&self, lasts: Duration) -> anyhow::Result<()> {
        self.journal.will(&self.undo_freeze()).context("writing the undo journal")?;
        self.watchdog.will_freeze(&self.at, lasts + limits::FREEZE_SLACK).context("telling the watchdog")?;
        ioctl::freeze(&self.at).with_context(|| format!("freezing {}", self.at.display()))
    }

    /// # Errors
    /// The system refuses; not, if it is not frozen.
    pub fn thaw(&self) -> anyhow::Result<()> {
        thaw(&self.at).with_context(|| format!("thawing {}", self.at.display()))?;
        self.watchdog.thawed(&self.at).context("telling the watchdog")?;
        self.journal.done(&self.undo_freeze()).context("writing the undo journal")
    }

    fn undo_mount(&self) -> Undo {
        Undo::Unmount { at: self.at.clone() }
    }

    fn undo_freeze(&self) -> Undo {
        Undo::Thaw { at: self.at.clone() }
    }
}

/// Why this machine gives no such disks; found by making one, in a folder below `runs` that is like a run's and goes with it. `tool`:
/// this program, for the watchdog.
///
/// # Errors
/// That it does not.
pub fn probe(runs: &Path, tool: &Path) -> anyhow::Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "needs root");
    probe::within(runs, tool, |folder, journal, watchdog| {
        let disk = Disk::make(folder, limits::PROBE_DISK_BYTES, journal.clone(), watchdog.clone())?;
        disk.freeze(Duration::ZERO)?;
        disk.thaw()?;
        disk.cut_power()
    })
}

/// Whether it was mounted, and this unmounted it.
///
/// # Errors
/// Somebody still uses it; not, if it is not mounted.
pub fn unmount(at: &Path) -> anyhow::Result<bool> {
    if !undo::is_mounted(at)? {
        return Ok(false);
    }
    let unmounted = command("umount", &[&at]);
    // Tool and watchdog may be at it in the same moment: one of them is told that it is not mounted.
    if unmounted.is_err() && !undo::is_mounted(at)? {
        return Ok(false);
    }
    unmounted.map(|()| true)
}

fn command(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(arguments.iter().map(|argument| (*argument).as_ref()))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {} ({})", said.trim(), output.status);
    Ok(())
}

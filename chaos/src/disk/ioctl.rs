//! What Linux can do to a mounted file system beside reading and writing. Each call is safe whatever its outcome: the numbers are
//! the kernel's own (`include/uapi/linux/fs.h`, `fs/ext4/ext4.h`), and no memory but one integer passes.
#![expect(unsafe_code, reason = "the kernel offers these as ioctl alone")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::errno::Errno;

mod call {
    nix::ioctl_readwrite!(freeze, b'X', 119, i32);
    nix::ioctl_readwrite!(thaw, b'X', 120, i32);
    nix::ioctl_read!(shut_down, b'X', 125, u32);
}

/// What is kept of what was written before a shutdown (`EXT4_GOING_FLAGS_*`).
#[derive(Debug, Clone, Copy)]
pub(super) enum Kept {
    /// Everything: the file system is frozen for a moment, so that whatever is under way has ended.
    All = 0,
    /// What was synced: nothing more is written, not even the file system's own journal.
    Synced = 2,
}

/// # Errors
/// It is no mount point, or the system refuses.
pub(super) fn freeze(at: &Path) -> io::Result<()> {
    let mount = File::open(at)?;
    let mut level = 0;
    // SAFETY: the descriptor is open, and the kernel takes a pointer to an integer.
    unsafe { call::freeze(mount.as_raw_fd(), &raw mut level) }?;
    Ok(())
}

/// One that is not frozen is left as it is.
///
/// # Errors
/// It is no mount point, or the system refuses.
pub fn thaw(at: &Path) -> io::Result<()> {
    let mount = File::open(at)?;
    let mut level = 0;
    // SAFETY: the descriptor is open, and the kernel takes a pointer to an integer.
    match unsafe { call::thaw(mount.as_raw_fd(), &raw mut level) } {
        Ok(_) | Err(Errno::EINVAL) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// # Errors
/// It is no ext4 file system, or the system refuses.
pub(super) fn shut_down(at: &Path, kept: Kept) -> io::Result<()> {
    let mount = File::open(at)?;
    let mut flags = kept as u32;
    // SAFETY: the descriptor is open, and the kernel takes a pointer to an integer.
    unsafe { call::shut_down(mount.as_raw_fd(), &raw mut flags) }?;
    Ok(())
}

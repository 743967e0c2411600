//! A network interface whose other end is a file: what the kernel sends through it is read there, and what is written there arrives.
#![expect(unsafe_code, reason = "the kernel offers to make one as ioctl alone")]

use std::ffi::c_char;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc::{self, ifreq};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

mod call {
    // The kernel's own numbers (`include/uapi/linux/if_tun.h`). What the first points at is larger than its name says.
    nix::ioctl_write_ptr!(set_interface, b'T', 202, i32);
    nix::ioctl_write_int!(set_persistent, b'T', 203);
}

/// Makes the interface `name` in the namespace of this thread, which stays there until the namespace goes: it is how the machine is
/// asked whose the namespace is.
///
/// # Errors
/// No root, no `/dev/net/tun`, or the name is taken or too long.
pub(super) fn open(name: &str) -> io::Result<File> {
    let device = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    // SAFETY: a structure of numbers, for which nothing but zeros is fine.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the interface name {name} is too long")));
    }
    for (at, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *at = c_char::from_ne_bytes([byte]);
    }
    // Packets as they are, with nothing before them.
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI).expect("flags of 16 bits");
    // SAFETY: the descriptor is open, and the kernel reads and writes this one structure.
    unsafe { call::set_interface(device.as_raw_fd(), (&raw mut request).cast::<i32>()) }?;
    // SAFETY: the descriptor is open, and the argument is a number.
    unsafe { call::set_persistent(device.as_raw_fd(), 1) }?;
    Ok(device)
}

/// The tool's end of one.
pub(super) struct Tun(AsyncFd<File>);

impl Tun {
    /// Within a tokio runtime.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub(super) fn new(device: File) -> io::Result<Self> {
        // SAFETY: a file owns its descriptor: the same one, open as long as it lives.
        Ok(Self(unsafe { AsyncFd::register_with_interest(device, Interest::READABLE) }?))
    }

    /// The length of the next packet.
    ///
    /// # Errors
    /// The interface is gone.
    pub(super) async fn read(&self, packet: &mut [u8]) -> io::Result<usize> {
        self.0.async_io(Interest::READABLE, |mut device| device.read(packet)).await
    }

    /// Never waits.
    ///
    /// # Errors
    /// It was not taken: the interface is down, or its packet is none.
    pub(super) fn write(&self, packet: &[u8]) -> io::Result<()> {
        self.0.get_ref().write(packet).map(drop)
    }
}

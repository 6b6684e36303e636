// SPDX-License-Identifier: Apache-2.0
//! Network interfaces.

use core::ffi::CStr;
use linux_raw_sys::ioctl::SIOCSIFFLAGS;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{self, Errno};
use syscalls::{Sysno, syscall};

use crate::errno;

/// `struct ifreq` with the flags of its union (`netdevice(7)`).
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest_of_union: [u8; 22],
}

/// Brings the interface `name` of `socket`'s network namespace up (`SIOCSIFFLAGS`, `netdevice(7)`).
///
/// # Errors
/// Those of the ioctl; `ENAMETOOLONG` for a name of 16 bytes or more.
pub fn interface_up(socket: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    const IFF_UP: u16 = 1;
    const IFF_RUNNING: u16 = 0x40;
    let mut request = InterfaceRequest { name: [0; 16], flags: IFF_UP | IFF_RUNNING, rest_of_union: [0; 22] };
    let bytes = name.to_bytes_with_nul();
    request.name.get_mut(..bytes.len()).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(bytes);
    // SAFETY: SIOCSIFFLAGS reads one struct ifreq, which is 40 bytes on 64-bit machines, as `InterfaceRequest` is.
    unsafe { syscall!(Sysno::ioctl, socket.as_raw_fd(), SIOCSIFFLAGS, &raw const request) }.map_err(errno)?;
    Ok(())
}

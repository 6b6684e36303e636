// SPDX-License-Identifier: Apache-2.0
//! Filters of system calls (`seccomp(2)`).

use rustix::fd::{FromRawFd, OwnedFd};
use rustix::io::{self, Errno};
use syscalls::{Sysno, syscall};

use crate::errno;

/// Gives a descriptor from which notifications are read (`SECCOMP_FILTER_FLAG_NEW_LISTENER`, Linux 5.0).
pub const SECCOMP_NEW_LISTENER: u32 = 1 << 3;

/// One instruction of a filter: `struct sock_filter` (`linux/filter.h`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub struct SockFilter {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// Puts the calling thread under a filter from now on (`SECCOMP_SET_MODE_FILTER`). `flags` are the kernel's
/// `SECCOMP_FILTER_FLAG_*`; with [`SECCOMP_NEW_LISTENER`] a descriptor comes back, close-on-exec.
///
/// # Errors
/// `EACCES` without `CAP_SYS_ADMIN` in the thread's user namespace and without `no_new_privs`; `EINVAL` for a program or
/// flags that this kernel does not take; `EBUSY` if there is a listener already; `ESRCH` if another thread cannot follow.
pub fn seccomp_set_mode_filter(flags: u32, program: &[SockFilter]) -> io::Result<Option<OwnedFd>> {
    #[repr(C)]
    struct SockFprog {
        len: u16,
        filter: *const SockFilter,
    }
    const SECCOMP_SET_MODE_FILTER: u32 = 1;
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let program = SockFprog { len, filter: program.as_ptr() };
    // SAFETY: the kernel copies `len` instructions from `filter`, which points at as many, during the call.
    let result = unsafe { syscall!(Sysno::seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match result.map_err(errno)? {
        // SAFETY: the kernel has made this descriptor for us alone.
        fd if flags & SECCOMP_NEW_LISTENER != 0 => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as i32) })),
        0 => Ok(None),
        _thread => Err(Errno::SRCH),
    }
}

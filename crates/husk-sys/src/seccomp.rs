// SPDX-License-Identifier: Apache-2.0
//! Filters of system calls (`seccomp(2)`).

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
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

/// A call that waits for an answer: `struct seccomp_notif`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// By which it is answered.
    pub id: u64,
    /// The thread that made it, as the reader's pid namespace numbers it; 0 if it has no number there.
    pub pid: u32,
    flags: u32,
    /// The number of the call.
    pub number: i32,
    /// The architecture, as AUDIT_ARCH_*.
    pub arch: u32,
    /// Where the caller is.
    pub instruction_pointer: u64,
    /// The arguments.
    pub args: [u64; 6],
}

/// What a call that was notified of comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationAnswer {
    /// It is made as if there were no filter. What its arguments point at may have changed since it was looked at.
    Continue,
    /// It fails.
    Error(Errno),
    /// It is not made, and gives this number.
    Value(i64),
}

const RECEIVE: u32 = 0xc050_2100; // SECCOMP_IOCTL_NOTIF_RECV
const SEND: u32 = 0xc018_2101; // SECCOMP_IOCTL_NOTIF_SEND

/// Waits for the next call that a filter with a listener gives to whoever has that listener (`seccomp_unotify(2)`).
///
/// # Errors
/// `ENOENT` if the caller is gone already; `EINTR`.
pub fn receive_notification(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    let mut notification = Notification::default();
    // SAFETY: the request reads and writes one struct seccomp_notif, which has the size and the layout of this one.
    unsafe { syscall!(Sysno::ioctl, listener.as_raw_fd(), RECEIVE, &raw mut notification) }.map_err(errno)?;
    Ok(notification)
}

/// Answers the notification `id`.
///
/// # Errors
/// `ENOENT` if the caller is gone.
pub fn answer_notification(listener: BorrowedFd<'_>, id: u64, answer: NotificationAnswer) -> io::Result<()> {
    #[repr(C)]
    struct Response {
        id: u64,
        val: i64,
        error: i32,
        flags: u32,
    }
    const CONTINUE: u32 = 1; // SECCOMP_USER_NOTIF_FLAG_CONTINUE
    let (val, error, flags) = match answer {
        NotificationAnswer::Continue => (0, 0, CONTINUE),
        NotificationAnswer::Error(errno) => (0, -errno.raw_os_error(), 0),
        NotificationAnswer::Value(value) => (value, 0, 0),
    };
    let response = Response { id, val, error, flags };
    // SAFETY: the request reads one struct seccomp_notif_resp, which this one is.
    unsafe { syscall!(Sysno::ioctl, listener.as_raw_fd(), SEND, &raw const response) }.map_err(errno)?;
    Ok(())
}

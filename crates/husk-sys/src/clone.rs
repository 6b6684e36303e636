// SPDX-License-Identifier: Apache-2.0
//! Processes: `clone3(2)` and `_exit(2)`.

use core::convert::Infallible;
use core::mem::size_of;
use linux_raw_sys::general::{CLONE_INTO_CGROUP, CLONE_PIDFD, clone_args};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{self, Errno};
use rustix::process::Pid;
use rustix::thread::UnshareFlags;
use syscalls::{Sysno, syscall};

use crate::errno;

/// What `clone3(2)` is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Clone<'fd> {
    /// The namespaces to make, `CLONE_NEW*`.
    pub namespaces: UnshareFlags,
    /// The cgroup v2 directory to start in (`CLONE_INTO_CGROUP`), the caller's if `None`.
    pub cgroup: Option<BorrowedFd<'fd>>,
    /// The signal that the parent gets when the child ends; 0 for none, and then only `__WCLONE` waits see it.
    pub exit_signal: u32,
}

/// A child made by [`clone3`].
#[derive(Debug)]
pub struct Cloned {
    /// Its id in the caller's pid namespace.
    pub pid: Pid,
    /// A descriptor that stands for it, close-on-exec, which no reuse of the id can redirect.
    pub pidfd: OwnedFd,
}

/// Makes a child process with a copy of the caller's memory and runs `child` in it.
///
/// libc does not know of the child: its cached thread id is stale there and its locks may be held by threads that do
/// not exist. So `child` may make system calls only: no allocation, no std I/O, no panic that unwinds. In a debug build
/// with [`crate::AllocationGuard`] installed, an allocation ends the child.
///
/// # Errors
/// Those of `clone3(2)`: `EPERM` and `ENOSPC` are the usual words for user namespaces that are switched off or used up.
pub fn clone3(args: &Clone<'_>, child: impl FnOnce() -> Infallible) -> io::Result<Cloned> {
    let mut pidfd: i32 = -1;
    let mut flags = u64::from(args.namespaces.bits()) | u64::from(CLONE_PIDFD);
    let mut cgroup = 0;
    if let Some(fd) = args.cgroup {
        flags |= CLONE_INTO_CGROUP;
        cgroup = fd.as_raw_fd() as u64;
    }
    let raw = clone_args {
        flags,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: u64::from(args.exit_signal),
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup,
    };
    // SAFETY: `raw` is a valid clone_args of the size given and `pidfd` outlives the call. Without CLONE_VM and without
    // a new stack this is fork(2): the child goes on with its own copy of this stack and never returns from `child`.
    let pid = unsafe { syscall!(Sysno::clone3, &raw const raw, size_of::<clone_args>()) }.map_err(errno)?;
    if pid == 0 {
        crate::forbid_allocation();
        child();
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::OVERFLOW)?;
    // SAFETY: the kernel has just put a new descriptor, which nobody else knows, into `pidfd`.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned { pid, pidfd })
}

/// Ends the calling process at once, without running anything of libc's (`_exit(2)`). Under a filter of system calls that does
/// not let it end so, it ends by a signal.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: exit_group takes no pointers, and returns only where it is refused.
        let _ = unsafe { syscall!(Sysno::exit_group, status) };
        // SAFETY: as above.
        let _ = unsafe { syscall!(Sysno::exit, status) };
        undefined_instruction();
    }
}

/// Raises SIGILL, for which no system call is needed.
fn undefined_instruction() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction touches neither memory nor registers; it faults.
    unsafe {
        core::arch::asm!("ud2", options(nomem, nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        core::arch::asm!("udf #0", options(nomem, nostack));
    }
}

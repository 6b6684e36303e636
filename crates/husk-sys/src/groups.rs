// SPDX-License-Identifier: Apache-2.0
//! The supplementary groups of a thread.

use rustix::io;
use syscalls::{Sysno, syscall};

use crate::errno;

/// Sets the supplementary groups of the calling thread (`setgroups(2)`). rustix takes ids in a type of its own, into which
/// the child would have to copy them, without knowing how many there will be.
///
/// # Errors
/// `EPERM` without CAP_SETGID, or where the user namespace forbids it; `EINVAL` for an id that it does not have, or for
/// more than 65,536.
pub fn setgroups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the kernel reads as many numbers of 32 bits as the slice has.
    unsafe { syscall!(Sysno::setgroups, groups.len(), groups.as_ptr()) }.map(drop).map_err(errno)
}

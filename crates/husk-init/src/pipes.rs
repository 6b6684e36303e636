// SPDX-License-Identifier: Apache-2.0
//! The pipes that a command gets as standard input, output and error.

use rustix::fd::BorrowedFd;
use rustix::fs::{Gid, Uid, fchown, fstatfs};
use rustix::io;
use rustix::stdio::{stderr, stdin, stdout};

/// The type of the file system that unnamed pipes are on (`linux/magic.h`).
const PIPEFS_MAGIC: i64 = 0x5049_5045;

/// Gives those of the three that are pipes to a user. A pipe has no name that anybody else could open, so nothing else changes
/// hands; a file or a device (`/dev/null`!) would change its owner for the whole host. A pipe that is not husk's to give stays
/// whose it is.
///
/// # Errors
/// Those of `fchown(2)` but `EPERM`.
pub fn own_pipes(uid: u32, gid: u32) -> io::Result<()> {
    for fd in [stdin(), stdout(), stderr()].into_iter().filter(|fd| is_pipe(*fd)) {
        match fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
            Ok(()) | Err(io::Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    fstatfs(fd).is_ok_and(|found| found.f_type == PIPEFS_MAGIC)
}

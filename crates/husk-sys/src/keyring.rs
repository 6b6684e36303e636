// SPDX-License-Identifier: Apache-2.0
//! Keyrings: `keyctl(2)`.

use core::ffi::CStr;
use rustix::io;
use syscalls::{Sysno, syscall};

use crate::errno;

/// Starts a session keyring of this name, or joins the one that there is (`keyctl_join_session_keyring(3)`).
///
/// # Errors
/// Those of `keyctl(2)`: `ENOSYS` from a kernel without keyrings, `EDQUOT` when a user has too many keys.
pub fn join_session_keyring(name: &CStr) -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: u32 = 1;
    // SAFETY: the kernel reads a string that ends in NUL and lives through the call.
    unsafe { syscall!(Sysno::keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) }.map(drop).map_err(errno)
}

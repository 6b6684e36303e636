// SPDX-License-Identifier: Apache-2.0
//! Becoming another program: `execve(2)` and `execveat(2)`, and `close_range(2)` and `unshare(2)` on the way there.

use core::ffi::{CStr, c_char, c_ulong};
use core::fmt;
use core::marker::PhantomData;
use linux_raw_sys::general::AT_EMPTY_PATH;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{self, Errno};
use rustix::thread::UnshareFlags;
use syscalls::{Sysno, syscall};

use crate::errno;

/// A borrowed C string in one machine word, as the kernel wants them in `argv` and `envp`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct ThinCStr<'a> {
    start: core::ptr::NonNull<c_char>,
    string: PhantomData<&'a CStr>,
}

impl<'a> ThinCStr<'a> {
    /// Borrows `string` without its length.
    pub fn new(string: &'a CStr) -> Self {
        // SAFETY: a CStr's pointer is never null.
        let start = unsafe { core::ptr::NonNull::new_unchecked(string.as_ptr().cast_mut()) };
        Self { start, string: PhantomData }
    }

    /// The string with its length again.
    pub fn to_cstr(self) -> &'a CStr {
        // SAFETY: `start` came from a CStr that lives for 'a.
        unsafe { CStr::from_ptr(self.start.as_ptr()) }
    }
}

impl fmt::Debug for ThinCStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_cstr().fmt(f)
    }
}

/// A list of strings that ends in a null pointer: what `execve(2)` takes for `argv` and `envp`.
///
/// `Option<ThinCStr>` has the size of a pointer and `None` is null, so the slice is the kernel's format already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringArray<'a>(&'a [Option<ThinCStr<'a>>]);

impl<'a> StringArray<'a> {
    /// Takes `strings`, whose last and only last element must be `None`.
    pub fn new(strings: &'a [Option<ThinCStr<'a>>]) -> Option<Self> {
        let (last, rest) = strings.split_last()?;
        (last.is_none() && rest.iter().all(Option::is_some)).then_some(Self(strings))
    }

    /// The strings, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a CStr> {
        self.0.iter().flatten().map(|s| s.to_cstr())
    }
}

/// Replaces the calling process by the program at `path`. Returns only if that fails (`execve(2)`).
pub fn execve(path: &CStr, argv: StringArray<'_>, envp: StringArray<'_>) -> Errno {
    // SAFETY: `path` is a C string, both arrays are null-terminated arrays of C strings, and all of them live across
    // the call.
    let result = unsafe { syscall!(Sysno::execve, path.as_ptr(), argv.0.as_ptr(), envp.0.as_ptr()) };
    match result {
        Ok(_) => Errno::INVAL,
        Err(e) => errno(e),
    }
}

/// Replaces the calling process by the program that `file` is open on, as a path or for reading. Returns only if that fails
/// (`execveat(2)` with `AT_EMPTY_PATH`).
pub fn execveat(file: BorrowedFd<'_>, argv: StringArray<'_>, envp: StringArray<'_>) -> Errno {
    // SAFETY: as for `execve`; the path is the empty C string.
    let result = unsafe {
        syscall!(
            Sysno::execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            argv.0.as_ptr(),
            envp.0.as_ptr(),
            AT_EMPTY_PATH
        )
    };
    match result {
        Ok(_) => Errno::INVAL,
        Err(e) => errno(e),
    }
}

/// Whether the kernel has given this process more rights than whoever executed it has: by a set-user-id or set-group-id bit, by
/// file capabilities or by a security module (`AT_SECURE` of `getauxval(3)`). Its arguments, environment and descriptors are
/// then an attacker's.
pub fn is_more_privileged_than_caller() -> bool {
    const AT_SECURE: c_ulong = 23;
    unsafe extern "C" {
        fn getauxval(kind: c_ulong) -> c_ulong;
    }
    // SAFETY: the C library's function takes any number and reads what the kernel left on this process's stack.
    unsafe { getauxval(AT_SECURE) != 0 }
}

/// The path of the working directory in `buffer`, without its NUL; it starts with `(unreachable)` where the directory is
/// outside the process's root (`getcwd(2)`, C library/kernel differences).
///
/// # Errors
/// `ERANGE` if the buffer is too small, `ENOENT` if the directory was removed.
pub fn getcwd(buffer: &mut [u8]) -> io::Result<&[u8]> {
    // SAFETY: the kernel writes at most the length given.
    let length = unsafe { syscall!(Sysno::getcwd, buffer.as_mut_ptr(), buffer.len()) }.map_err(errno)?;
    Ok(buffer[..length].strip_suffix(b"\0").unwrap_or(&buffer[..length]))
}

/// Marks every descriptor from `first` on close-on-exec (`close_range(2)`, Linux 5.11), so that none leaks into the
/// program that is executed next, whoever opened it.
///
/// # Errors
/// Those of `close_range(2)`.
pub fn close_range(first: u32) -> io::Result<()> {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    // SAFETY: no pointers; no descriptor is closed, so no owner in this process is affected.
    unsafe { syscall!(Sysno::close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) }.map_err(errno)?;
    Ok(())
}

/// Closes every descriptor from `first` on but `keep`, in a child of [`crate::clone3`] only, which owns nothing that would miss
/// them.
///
/// # Errors
/// Those of `close_range(2)`; `EPERM` in a process that [`crate::clone3`] did not make.
pub fn close_all_except<'f>(
    first: u32,
    keep: impl IntoIterator<Item = BorrowedFd<'f>, IntoIter: Clone>,
) -> io::Result<()> {
    if !crate::allocation::is_forbidden() {
        return Err(Errno::PERM);
    }
    let keep = keep.into_iter().map(|fd| fd.as_raw_fd() as u32);
    let mut first = first;
    // There is no heap here to sort them in.
    while let Some(next) = keep.clone().filter(|number| *number >= first).min() {
        if next > first {
            close(first, next - 1)?;
        }
        first = next + 1;
    }
    close(first, u32::MAX)
}

/// Closes one descriptor that this process has only because its memory and descriptors are copies of its parent's; in a child
/// of [`crate::clone3`] only.
///
/// # Errors
/// As [`close_all_except`].
pub fn close_in_child(fd: BorrowedFd<'_>) -> io::Result<()> {
    if !crate::allocation::is_forbidden() {
        return Err(Errno::PERM);
    }
    let number = fd.as_raw_fd() as u32;
    close(number, number)
}

fn close(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: no pointers. The descriptors' owners are in this process's copy of its parent's memory, and this process
    // runs none of their code again: `close_all_except` has checked that it is a child of clone3.
    unsafe { syscall!(Sysno::close_range, first, last, 0) }.map_err(errno)?;
    Ok(())
}

/// Moves the calling thread into new namespaces (`unshare(2)`). Only namespace flags are let through.
///
/// # Errors
/// Those of `unshare(2)`; `EINVAL` for a flag that is not a namespace.
pub fn unshare(namespaces: UnshareFlags) -> io::Result<()> {
    let allowed = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWUSER
        | UnshareFlags::NEWCGROUP
        | UnshareFlags::NEWTIME;
    if !allowed.contains(namespaces) {
        return Err(Errno::INVAL);
    }
    // SAFETY: unsharing a descriptor table is what would break owned descriptors, and is excluded above.
    unsafe { rustix::thread::unshare_unsafe(namespaces) }
}

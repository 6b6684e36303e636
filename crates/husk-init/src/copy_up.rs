// SPDX-License-Identifier: Apache-2.0
//! A copy of a directory of the image in a file system that is to cover it, from descriptor to descriptor.

use core::ffi::CStr;
use core::mem::MaybeUninit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, Stat, Uid, XattrFlags, chownat, fchmod, fchown, fgetxattr,
    flistxattr, fsetxattr, fstat, mkdirat, mknodat, openat, readlinkat_raw, sendfile, statat, symlinkat,
};
use rustix::io::Errno;

use crate::call::{At, Call, Fault};

/// How deep the directory may be: each level takes some of the stack.
const DEPTH: usize = 128;

/// The most bytes that are copied at once.
const CHUNK: usize = 1 << 30;

/// Copies all that is in `from` to `to`, with modes, owners, links, devices and extended attributes, and gives `to` the owner
/// of `from`.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let from = openat(from, c".", flags, Mode::empty()).at(Call::Openat)?;
    let to = openat(to, c".", flags, Mode::empty()).at(Call::Openat)?;
    let stat = fstat(&from).at(Call::Fstat)?;
    copy_entries(from.as_fd(), to.as_fd(), DEPTH)?;
    fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid))).at(Call::Fchown)
}

fn copy_entries(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<(), Fault> {
    let depth = depth.checked_sub(1).ok_or(Errno::LOOP).at(Call::Getdents)?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(from, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.at(Call::Getdents)?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            copy_entry(from, to, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<(), Fault> {
    let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fstat)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let source = openat(from, name, flags, Mode::empty()).at(Call::Openat)?;
            mkdirat(to, name, Mode::RWXU).at(Call::Mkdirat)?;
            let made = openat(to, name, flags, Mode::empty()).at(Call::Openat)?;
            copy_entries(source.as_fd(), made.as_fd(), depth)?;
            take_over(&source, &made, &stat)
        }
        FileType::RegularFile => copy_file(from, to, name),
        FileType::Symlink => copy_link(from, to, name, &stat),
        kind => {
            mknodat(to, name, kind, Mode::from_raw_mode(stat.st_mode), stat.st_rdev).at(Call::Mknodat)?;
            own(to, name, &stat)
        }
    }
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
    // What was a file a moment ago may be a FIFO by now, which would block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let source = openat(from, name, flags, Mode::empty()).at(Call::Openat)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(to, name, flags, Mode::RUSR | Mode::WUSR).at(Call::Openat)?;
    while sendfile(&made, &source, None, CHUNK).at(Call::Sendfile)? > 0 {}
    let stat = fstat(&source).at(Call::Fstat)?;
    take_over(&source, &made, &stat)
}

fn copy_link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Fault> {
    let mut buffer = [0u8; 4096];
    let room = buffer.len() - 1;
    let length = readlinkat_raw(from, name, &mut buffer[..room]).at(Call::Readlinkat)?;
    let target =
        CStr::from_bytes_with_nul(&buffer[..=length]).map_err(|_| Errno::INVAL).at(Call::Symlinkat)?;
    symlinkat(target, to, name).at(Call::Symlinkat)?;
    own(to, name, stat)
}

fn own(directory: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Fault> {
    let (uid, gid) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fchown)
}

/// Owner first: changing it clears the set-user-id bits and file capabilities (`chown(2)`).
fn take_over(source: &OwnedFd, made: &OwnedFd, stat: &Stat) -> Result<(), Fault> {
    fchown(made, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid))).at(Call::Fchown)?;
    fchmod(made, Mode::from_raw_mode(stat.st_mode)).at(Call::Fchmod)?;
    copy_attributes(source, made)
}

/// Copies the extended attributes that the new file system takes.
fn copy_attributes(source: &OwnedFd, made: &OwnedFd) -> Result<(), Fault> {
    let mut names = [0u8; 4096];
    let length = match flistxattr(source, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        listed => listed.at(Call::Flistxattr)?,
    };
    let mut value = [0u8; 4096];
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL).at(Call::Flistxattr)?;
        let length = fgetxattr(source, name, &mut value[..]).at(Call::Fgetxattr)?;
        match fsetxattr(made, name, &value[..length], XattrFlags::empty()) {
            // Labels are the security module's to give, and tmpfs knows no others than trusted ones on old kernels.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(Fault { call: Call::Fsetxattr, errno }),
        }
    }
    Ok(())
}

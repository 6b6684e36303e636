// SPDX-License-Identifier: Apache-2.0
//! Paths in a tree that an attacker owns.
//!
//! The attacker may put a symbolic link anywhere and exchange it for a directory while we look. So a path is never joined
//! to another and never looked up twice: `openat2(2)` walks it once, in the kernel, with the root's descriptor as a
//! ceiling that neither `..` nor an absolute link can pass (`RESOLVE_IN_ROOT`), and without the links of /proc that jump
//! (`RESOLVE_NO_MAGICLINKS`). What comes back is a descriptor, and everything after works on that.

use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, mkdirat, mknodat, openat, openat2,
    statat,
};
use rustix::io::Errno;

use crate::call::{At, Call, Fault};

/// The kernel gives up on a walk with EAGAIN when something was renamed under it; somebody who renames in a loop must not
/// keep us here for ever.
const TRIES: usize = 128;

/// Opens `path` beneath `root`.
pub(crate) fn open(root: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> Result<OwnedFd, Fault> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 1..TRIES {
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            result => return result.at(Call::Openat2),
        }
    }
    Err(Fault { call: Call::Openat2, errno: Errno::AGAIN })
}

/// Opens `path` beneath `root` as a place: to mount on or to look at, not to read.
pub(crate) fn place(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Fault> {
    open(root, path, OFlags::PATH)
}

/// Opens the directory that holds `path`'s last component, and gives that component.
pub(crate) fn parent<'p>(root: BorrowedFd<'_>, path: &'p CStr) -> Result<(OwnedFd, &'p CStr), Fault> {
    let bytes = path.to_bytes_with_nul();
    let slash = bytes.iter().rposition(|b| *b == b'/').unwrap_or(0);
    let name = if bytes.first() == Some(&b'/') || slash > 0 { &bytes[slash + 1..] } else { bytes };
    let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL).at(Call::Openat2)?;
    let mut buffer = PathBuffer::new();
    let directory = open(root, buffer.set(&bytes[..slash])?, OFlags::PATH | OFlags::DIRECTORY)?;
    Ok((directory, name))
}

/// Makes the directory `path` beneath `root` and those above it, as far as they are missing.
pub(crate) fn make_directories(root: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<OwnedFd, Fault> {
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let missing = |fault: &Fault| fault.errno == Errno::NOENT;
    match open(root, path, directory) {
        Err(fault) if missing(&fault) => {}
        result => return result,
    }
    let bytes = path.to_bytes();
    let mut buffer = PathBuffer::new();
    let mut deepest = open(root, c".", directory)?;
    let mut start = 0;
    for end in (0..=bytes.len()).filter(|i| bytes.get(*i).is_none_or(|b| *b == b'/')) {
        let (name, prefix) = (&bytes[start..end], &bytes[..end]);
        start = end + 1;
        if name.is_empty() {
            continue;
        }
        deepest = match open(root, buffer.set(prefix)?, directory) {
            Err(fault) if missing(&fault) => {
                // One component below a directory that is open: mkdirat follows no link in its last component.
                match mkdirat(deepest.as_fd(), buffer.set(name)?, Mode::from_raw_mode(mode)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(Fault { call: Call::Mkdirat, errno }),
                }
                open(root, buffer.set(prefix)?, directory)?
            }
            result => result?,
        };
    }
    Ok(deepest)
}

/// Makes the empty file `path` beneath `root` if nothing is there, and opens it as a place.
pub(crate) fn make_file(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Fault> {
    let (directory, name) = parent(root, path)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    match openat(&directory, name, flags, Mode::from_raw_mode(0o644)) {
        Ok(fd) => Ok(fd),
        Err(Errno::EXIST) => place(root, path),
        Err(errno) => Err(Fault { call: Call::Openat, errno }),
    }
}

/// Makes the device node `path` beneath `root`. One that is there already will do if it is the same.
pub(crate) fn make_node(
    root: BorrowedFd<'_>,
    path: &CStr,
    (mode, device): (u32, u64),
    owner: Option<(u32, u32)>,
) -> Result<(), Fault> {
    let (directory, name) = parent(root, path)?;
    let kind = FileType::from_raw_mode(mode);
    match mknodat(&directory, name, kind, Mode::from_raw_mode(mode), device) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let there = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fstat)?;
            let same = FileType::from_raw_mode(there.st_mode) == kind && there.st_rdev == device;
            if !same {
                return Err(Fault { call: Call::Mknodat, errno: Errno::EXIST });
            }
        }
        Err(errno) => return Err(Fault { call: Call::Mknodat, errno }),
    }
    let Some((uid, gid)) = owner else { return Ok(()) };
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    chownat(&directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fchown)
}

/// Room for a path that has to be cut, since there is no heap here.
struct PathBuffer([u8; 4096]);

impl PathBuffer {
    fn new() -> Self {
        Self([0; 4096])
    }

    /// `bytes` as a C string; the root for no bytes.
    fn set(&mut self, bytes: &[u8]) -> Result<&CStr, Fault> {
        let bytes = if bytes.is_empty() { b"/" } else { bytes };
        let room = self.0.get_mut(..=bytes.len()).ok_or(Errno::NAMETOOLONG).at(Call::Openat2)?;
        room[..bytes.len()].copy_from_slice(bytes);
        room[bytes.len()] = 0;
        CStr::from_bytes_with_nul(room).map_err(|_| Errno::INVAL).at(Call::Openat2)
    }
}

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
    readlinkat_raw, statat,
};
use rustix::io::Errno;

use crate::call::{At, Call, Fault};

/// The kernel gives up on a walk with EAGAIN when something was renamed under it; somebody who renames in a loop must not
/// keep us here for ever.
const TRIES: usize = 128;

/// How many links a path may go through (`path_resolution(7)`).
const LINKS: usize = 40;

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
    let (above, name) = split(path)?;
    Ok((open_parent(root, above)?, name))
}

/// The path of the directory that holds `path`'s last component, and that component.
pub(crate) fn split(path: &CStr) -> Result<(&[u8], &CStr), Fault> {
    let bytes = path.to_bytes_with_nul();
    let slash = bytes.iter().rposition(|b| *b == b'/').unwrap_or(0);
    let name = if bytes.first() == Some(&b'/') || slash > 0 { &bytes[slash + 1..] } else { bytes };
    let name = CStr::from_bytes_with_nul(name).map_err(|_| Errno::INVAL).at(Call::Openat2)?;
    Ok((&bytes[..slash], name))
}

/// Opens a directory by the first part of what [`split`] gives.
pub(crate) fn open_parent(root: BorrowedFd<'_>, above: &[u8]) -> Result<OwnedFd, Fault> {
    open(root, PathBuffer::of(&[above])?.c_str()?, OFlags::PATH | OFlags::DIRECTORY)
}

/// As [`make_directories`]: mostly nothing but the last one is missing, and it is made without being looked for or opened.
pub(crate) fn make_directory(root: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<(), Fault> {
    let is_made = |(above, name): (OwnedFd, &CStr)| mkdirat(above, name, Mode::from_raw_mode(mode)).is_ok();
    if parent(root, path).is_ok_and(is_made) {
        return Ok(());
    }
    make_directories(root, path, mode).map(drop)
}

/// Makes the directory `path` beneath `root` and those above it, as far as they are missing. What a link in it points at is
/// made too, as images rely on that have `/var/run -> /run` and no `/run`.
pub(crate) fn make_directories(root: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<OwnedFd, Fault> {
    match open(root, path, OFlags::PATH | OFlags::DIRECTORY) {
        Err(fault) if fault.errno == Errno::NOENT => {}
        result => return result,
    }
    if let Some(made) = make_last(root, path, mode) {
        return Ok(made);
    }
    let mut path = PathBuffer::of(&[path.to_bytes()])?;
    for _ in 0..LINKS {
        match make_missing(root, path.bytes(), mode)? {
            Made::Directory(made) => return Ok(made),
            Made::Detour(other) => path = other,
        }
    }
    Err(Fault { call: Call::Openat2, errno: Errno::LOOP })
}

/// What came of making directories.
#[allow(clippy::large_enum_variant, reason = "there is no heap here to put the larger one on")]
enum Made {
    /// The last of them.
    Directory(OwnedFd),
    /// One is a link that leads to nothing: the same path, with that link followed.
    Detour(PathBuffer),
}

/// Makes the last component of `path` beneath `root`, and opens it: mostly it is all that is missing. `None` if not.
fn make_last(root: BorrowedFd<'_>, path: &CStr, mode: u32) -> Option<OwnedFd> {
    let (above, name) = parent(root, path).ok()?;
    // Of a component that is there already, the last word is what is opened then.
    let _ = mkdirat(above, name, Mode::from_raw_mode(mode));
    open(root, path, OFlags::PATH | OFlags::DIRECTORY).ok()
}

fn make_missing(root: BorrowedFd<'_>, bytes: &[u8], mode: u32) -> Result<Made, Fault> {
    let directory = OFlags::PATH | OFlags::DIRECTORY;
    let missing = |fault: &Fault| fault.errno == Errno::NOENT;
    let mut deepest = open(root, c".", directory)?;
    let mut start = 0;
    for end in (0..=bytes.len()).filter(|i| bytes.get(*i).is_none_or(|b| *b == b'/')) {
        let (name, prefix, above) = (&bytes[start..end], &bytes[..end], &bytes[..start]);
        start = end + 1;
        if name.is_empty() {
            continue;
        }
        let prefix = PathBuffer::of(&[prefix])?;
        deepest = match open(root, prefix.c_str()?, directory) {
            Err(fault) if missing(&fault) => {
                let name = PathBuffer::of(&[name])?;
                // One component below a directory that is open: mkdirat follows no link in its last component.
                match mkdirat(deepest.as_fd(), name.c_str()?, Mode::from_raw_mode(mode)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(Fault { call: Call::Mkdirat, errno }),
                }
                match open(root, prefix.c_str()?, directory) {
                    Err(fault) if missing(&fault) => {
                        let rest = bytes.get(end..).unwrap_or_default();
                        return detour(deepest.as_fd(), name.c_str()?, above, rest).map(Made::Detour);
                    }
                    result => result?,
                }
            }
            result => result?,
        };
    }
    Ok(Made::Directory(deepest))
}

/// The path that `name` in `directory`, a link, leads to when `above` leads to that directory; then comes `rest`. It is walked
/// beneath the root as any other.
fn detour(directory: BorrowedFd<'_>, name: &CStr, above: &[u8], rest: &[u8]) -> Result<PathBuffer, Fault> {
    let mut link = [0u8; 4096];
    let length = readlinkat_raw(directory, name, &mut link[..]).at(Call::Readlinkat)?;
    let link = &link[..length];
    let above = if link.starts_with(b"/") { b"" } else { above };
    PathBuffer::of(&[above, b"/", link, rest])
}

/// Makes the empty file `path` beneath `root` if nothing is there, and opens it as a place.
pub(crate) fn make_file(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Fault> {
    let mut path = PathBuffer::of(&[path.to_bytes()])?;
    for _ in 0..LINKS {
        let (directory, name) = parent(root, path.c_str()?)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        match openat(&directory, name, flags, Mode::from_raw_mode(0o644)) {
            Ok(fd) => return Ok(fd),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Fault { call: Call::Openat, errno }),
        }
        match place(root, path.c_str()?) {
            Err(Fault { errno: Errno::NOENT, .. }) => {}
            result => return result,
        }
        let above = &path.bytes()[..path.bytes().len() - name.to_bytes().len()];
        let other = detour(directory.as_fd(), name, above, b"")?;
        let slash = other.bytes().iter().rposition(|b| *b == b'/').unwrap_or(0);
        make_directories(root, PathBuffer::of(&[&other.bytes()[..slash]])?.c_str()?, 0o755)?;
        path = other;
    }
    Err(Fault { call: Call::Openat2, errno: Errno::LOOP })
}

/// Makes the device node `name` in `directory`. One that is there already will do if it is the same.
pub(crate) fn make_node(
    (directory, name): (BorrowedFd<'_>, &CStr),
    (mode, device): (u32, u64),
    owner: Option<(u32, u32)>,
) -> Result<(), Fault> {
    let kind = FileType::from_raw_mode(mode);
    match mknodat(directory, name, kind, Mode::from_raw_mode(mode), device) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            let there = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fstat)?;
            let same = FileType::from_raw_mode(there.st_mode) == kind && there.st_rdev == device;
            if !same {
                return Err(Fault { call: Call::Mknodat, errno: Errno::EXIST });
            }
        }
        Err(errno) => return Err(Fault { call: Call::Mknodat, errno }),
    }
    let Some((uid, gid)) = owner else { return Ok(()) };
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fchown)
}

/// Room for a path that has to be cut or put together, since there is no heap here.
struct PathBuffer {
    bytes: [u8; 4096],
    length: usize,
}

impl PathBuffer {
    /// `parts` one after the other; the root for no bytes.
    fn of(parts: &[&[u8]]) -> Result<Self, Fault> {
        let mut path = Self { bytes: [0; 4096], length: 0 };
        for part in parts {
            let end = path.length + part.len();
            // One byte less, for the NUL at the end.
            let room = path.bytes[..4095].get_mut(path.length..end);
            room.ok_or(Errno::NAMETOOLONG).at(Call::Openat2)?.copy_from_slice(part);
            path.length = end;
        }
        if path.length == 0 {
            return Self::of(&[b"/"]);
        }
        Ok(path)
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn c_str(&self) -> Result<&CStr, Fault> {
        CStr::from_bytes_with_nul(&self.bytes[..=self.length]).map_err(|_| Errno::INVAL).at(Call::Openat2)
    }
}

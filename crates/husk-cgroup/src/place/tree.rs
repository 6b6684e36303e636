// SPDX-License-Identifier: Apache-2.0
//! The cgroups at a place and below it.
//!
//! Who has a cgroup of its own may make those below as deep as it likes, deeper than a path can be long and a process can have
//! descriptors. None of its processes is to be missed for that. So the way down is a step at a time, by descriptor, and nothing
//! here recurses.

use std::ffi::{CStr, CString, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, openat};
use rustix::io::Errno;

use crate::error::CgroupError;

/// A cgroup that is come by.
pub(super) struct Visited<'v> {
    /// Its directory.
    pub(super) directory: BorrowedFd<'v>,
    /// The directory above it, and its name there; `None` for the topmost.
    pub(super) entry: Option<(BorrowedFd<'v>, &'v CStr)>,
    /// Its path, which may be longer than the kernel takes one.
    pub(super) path: &'v Path,
}

/// A cgroup on the way down, and those below it that are still to be visited.
struct Level {
    name: CString,
    below: Vec<CString>,
}

/// Comes by the cgroup at `top` and all below it, by each before the one above it. One that is gone is passed over.
///
/// # Errors
/// One that cannot be opened or read, and the first error of `visit`.
pub(super) fn visit(
    top: &Path,
    mut visit: impl FnMut(&Visited<'_>) -> Result<(), CgroupError>,
) -> Result<(), CgroupError> {
    let Some(mut directory) = open(CWD, top, top)? else { return Ok(()) };
    let mut path = top.to_owned();
    let mut levels = vec![Level { name: CString::default(), below: below(&directory, &path)? }];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.below.pop() {
            path.push(OsStr::from_bytes(name.as_bytes()));
            match open(&directory, name.as_c_str(), &path)? {
                Some(lower) => {
                    levels.push(Level { below: below(&lower, &path)?, name });
                    directory = lower;
                }
                None => drop(path.pop()),
            }
            continue;
        }
        let Some(Level { name, .. }) = levels.pop() else { break };
        if levels.is_empty() {
            return visit(&Visited { directory: directory.as_fd(), entry: None, path: &path });
        }
        let above = open(&directory, c"..", &path)?;
        let above = above.ok_or_else(|| CgroupError::call("leaving", &path)(Errno::NOENT))?;
        let entry = Some((above.as_fd(), name.as_c_str()));
        visit(&Visited { directory: directory.as_fd(), entry, path: &path })?;
        path.pop();
        directory = above;
    }
    Ok(())
}

/// `None` if it is gone.
fn open(above: impl AsFd, name: impl rustix::path::Arg, path: &Path) -> Result<Option<OwnedFd>, CgroupError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(above, name, flags, Mode::empty()) {
        Ok(directory) => Ok(Some(directory)),
        Err(Errno::NOENT | Errno::NODEV) => Ok(None),
        Err(errno) => Err(CgroupError::call("opening", path)(errno)),
    }
}

/// The names of the cgroups in a directory; none if it was removed meanwhile.
fn below(directory: &OwnedFd, path: &Path) -> Result<Vec<CString>, CgroupError> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        match entry {
            Ok(entry) => {
                let is_cgroup = entry.file_type() == FileType::Directory
                    && !matches!(entry.file_name().to_bytes(), b"." | b"..");
                names.extend(is_cgroup.then(|| entry.file_name().to_owned()));
            }
            Err(Errno::NOENT | Errno::NODEV) => break,
            Err(errno) => return Err(CgroupError::call("reading", path)(errno)),
        }
    }
    Ok(names)
}

// SPDX-License-Identifier: Apache-2.0
//! `/proc`, read through descriptors.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC, fstatfs, openat, readlinkat};

use crate::namespace::Kind;
use crate::text::Text;

/// More than any file of a process has that is not endless: a mountinfo of 20,000 mounts.
const FILE_LIMIT: u64 = 8 << 20;

/// The directory of one process. It stands for that process: when the process ends it reads as nothing, also if another
/// gets its id.
#[derive(Debug)]
pub(crate) struct ProcessDirectory(OwnedFd);

/// `/proc`.
#[derive(Debug)]
pub(crate) struct Proc(OwnedFd);

impl Proc {
    /// # Errors
    /// There is none, or something else is mounted in its place.
    pub(crate) fn open() -> io::Result<Self> {
        let fd = rustix::fs::open("/proc", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        if fstatfs(&fd)?.f_type != PROC_SUPER_MAGIC {
            return Err(io::Error::other("/proc is not a proc file system"));
        }
        Ok(Self(fd))
    }

    /// The ids of all processes that are to be seen.
    pub(crate) fn ids(&self) -> io::Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(1024);
        for entry in rustix::fs::Dir::read_from(&self.0)? {
            ids.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(ids)
    }

    /// The id of husk itself there: another than `getpid(2)` says if this `/proc` is of another pid namespace.
    pub(crate) fn own_id(&self) -> Option<u32> {
        let target = readlinkat(&self.0, "self", Vec::with_capacity(16)).ok()?;
        target.to_str().ok()?.parse().ok()
    }

    /// The directory of a process, `None` if it is gone.
    pub(crate) fn process(&self, pid: u32) -> Option<ProcessDirectory> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.0, pid.to_string(), flags, Mode::empty()).ok().map(ProcessDirectory)
    }
}

impl ProcessDirectory {
    /// A file of the process, `None` if it cannot be read.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.read_at_most(name, FILE_LIMIT)
    }

    /// The beginning of a file of the process.
    pub(crate) fn read_at_most(&self, name: &str, limit: u64) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
        let file = File::from(openat(&self.0, name, flags, Mode::empty()).ok()?);
        let mut content = Vec::with_capacity(2048);
        file.take(limit).read_to_end(&mut content).ok()?;
        Some(content)
    }

    /// Where a link of the process points.
    pub(crate) fn link(&self, name: &str) -> Option<Text> {
        readlinkat(&self.0, name, Vec::with_capacity(64)).ok().map(|target| Text::new(target.into_bytes()))
    }

    /// The inode of one of its namespaces: the link says `mnt:[4026531832]`.
    pub(crate) fn namespace(&self, file: &str) -> Option<u64> {
        let link = self.link(file)?;
        let (_, inode) = std::str::from_utf8(link.bytes()).ok()?.split_once(":[")?;
        inode.strip_suffix(']')?.parse().ok()
    }

    /// Whether the process is still there, if only to be waited for.
    pub(crate) fn is_alive(&self) -> bool {
        rustix::fs::accessat(&self.0, "stat", rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty())
            .is_ok()
    }

    /// A descriptor of one of its namespaces: to ask it, not to enter it.
    pub(crate) fn open_namespace(&self, kind: Kind) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        openat(&self.0, kind.file(), flags, Mode::empty()).ok()
    }
}

impl AsFd for ProcessDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The root being filled: files made below one descriptor.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::Error;

/// A root under construction. Paths are relative, and no component of them is a symbolic link: callers pass
/// resolved ones, and nobody else can write here, for the directory is of mode 0700 until it is finished.
pub(super) struct Tree {
    root: OwnedFd,
    /// Where the root will be in the end, for error messages.
    dir: PathBuf,
    /// Content written so far.
    pub(super) bytes: u64,
}

impl Tree {
    pub(super) fn new(root: OwnedFd, dir: PathBuf) -> Tree {
        Tree { root, dir, bytes: 0 }
    }

    fn failed<E: Into<io::Error>>(&self, path: &Path) -> impl FnOnce(E) -> Error {
        move |source| Error::io("create", &self.dir.join(path))(source)
    }

    /// Makes a directory of exactly this mode. One that exists already stays as it is.
    pub(super) fn directory(&self, path: impl AsRef<Path>, mode: u32) -> Result<(), Error> {
        let path = path.as_ref();
        match fs::mkdirat(&self.root, path, Mode::RWXU) {
            // The umask had its say in mkdir.
            Ok(()) => fs::chmodat(&self.root, path, Mode::from_raw_mode(mode), AtFlags::empty())
                .map_err(self.failed(path)),
            Err(Errno::EXIST) if self.kind(path) == Some(FileType::Directory) => Ok(()),
            Err(e) => Err(self.failed(path)(e)),
        }
    }

    /// Makes a symbolic link. One that exists already must be the same.
    pub(super) fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<(), Error> {
        let (target, path) = (target.as_ref(), path.as_ref());
        match fs::symlinkat(target, &self.root, path) {
            Err(Errno::EXIST) if self.target(path).as_deref() == Some(target) => Ok(()),
            other => other.map_err(self.failed(path)),
        }
    }

    /// Writes a small file of mode 0644.
    pub(super) fn write(&mut self, path: impl AsRef<Path>, content: &str) -> Result<(), Error> {
        self.fill(path.as_ref(), 0o644, &mut content.as_bytes())
    }

    /// Copies an open file.
    pub(super) fn copy(&mut self, from: &mut File, path: impl AsRef<Path>, mode: u32) -> Result<(), Error> {
        // Set-user-id bits stay behind: files here belong to the caller, and setuid-to-the-caller is a
        // privilege that the original never gave. Extended attributes (file capabilities, labels) stay behind
        // for the same reason.
        self.fill(path.as_ref(), mode & 0o777, from)
    }

    fn fill<R: io::Read>(&mut self, path: &Path, mode: u32, from: &mut R) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&self.root, path, flags, Mode::RUSR | Mode::WUSR).map_err(self.failed(path))?;
        let mut file = File::from(fd);
        self.bytes += io::copy(from, &mut file).map_err(|e| Error::io("write", &self.dir.join(path))(e))?;
        fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(self.failed(path))
    }

    /// What is at this path, if anything.
    pub(super) fn kind(&self, path: &Path) -> Option<FileType> {
        let stat = fs::statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(FileType::from_raw_mode(stat.st_mode))
    }

    fn target(&self, path: &Path) -> Option<PathBuf> {
        let target = fs::readlinkat(&self.root, path, Vec::new()).ok()?;
        Some(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The file in which a caller finds a process id.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, renameat, unlinkat};
use rustix::io::{Errno, write};

use super::Error;

/// Everybody may read it.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);

/// A place for a pid file, held by its directory: the path may mean something else once a mount namespace was joined.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
}

impl PidFile {
    pub(crate) fn at(path: &Path) -> Result<Self, Error> {
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = || openat(CWD, above, flags, Mode::empty());
        let name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
        match open() {
            Ok(directory) => Ok(Self { path: path.to_owned(), directory, name }),
            Err(errno) => Err(failed(path, errno)),
        }
    }

    /// Writes a process id, digits alone, so that the file appears with it at once.
    pub(crate) fn write(&self, pid: i32) -> Result<(), Error> {
        let text = pid.to_string();
        // There may be a file already, or the file system may have none without a name.
        self.link(text.as_bytes())
            .or_else(|_| self.replace(text.as_bytes()))
            .map_err(|errno| failed(&self.path, errno))
    }

    /// By a file that has no name until it is complete: whoever is killed on the way leaves nothing.
    fn link(&self, text: &[u8]) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let file = openat(&self.directory, ".", flags, MODE)?;
        write(&file, text)?;
        linkat(&file, "", &self.directory, &self.name, AtFlags::EMPTY_PATH)
    }

    fn replace(&self, text: &[u8]) -> Result<(), Errno> {
        let mut beside = OsString::from(".");
        beside.push(&self.name);
        beside.push(".new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let put = || {
            let file = openat(&self.directory, &beside, flags, MODE)?;
            write(&file, text)?;
            renameat(&self.directory, &beside, &self.directory, &self.name)
        };
        put().inspect_err(|_| {
            let _ = unlinkat(&self.directory, &beside, AtFlags::empty());
        })
    }
}

fn failed(path: &Path, errno: Errno) -> Error {
    Error::File { doing: "write the process id to", path: path.to_owned(), errno }
}

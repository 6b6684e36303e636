// SPDX-License-Identifier: Apache-2.0
//! The file in which a caller finds a process id.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};
use rustix::io::{Errno, write};

use super::Error;

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
        let mut beside = OsString::from(".");
        beside.push(&self.name);
        beside.push(".new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let put = || {
            let file = openat(&self.directory, &beside, flags, mode)?;
            write(&file, pid.to_string().as_bytes())?;
            renameat(&self.directory, &beside, &self.directory, &self.name)
        };
        put().map_err(|errno| {
            let _ = unlinkat(&self.directory, &beside, AtFlags::empty());
            failed(&self.path, errno)
        })
    }
}

fn failed(path: &Path, errno: Errno) -> Error {
    Error::File { doing: "write the process id to", path: path.to_owned(), errno }
}

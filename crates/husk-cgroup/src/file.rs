// SPDX-License-Identifier: Apache-2.0
//! Reading and writing files of cgroups.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

/// What the kernel writes at once into most of its files, in bytes.
const PAGE: usize = 4096;

/// What the system said.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Writes `value` in one call, as the kernel wants it. A file that does not exist is not made: it would be refused with
/// EACCES instead of ENOENT.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), Errno> {
    write_to(&open_to_write(path)?, value)
}

pub(crate) fn open_to_write(path: &Path) -> Result<File, Errno> {
    OpenOptions::new().write(true).open(path).map_err(|error| errno(&error))
}

/// As [`write`], into an open file.
pub(crate) fn write_to(mut file: &File, value: &str) -> Result<(), Errno> {
    match file.write(value.as_bytes()) {
        Ok(count) if count == value.len() => Ok(()),
        Ok(_) => Err(Errno::IO),
        Err(error) => Err(errno(&error)),
    }
}

/// As [`write`], of a file in an open directory.
pub(crate) fn write_in(directory: BorrowedFd<'_>, name: &CStr, value: &str) -> Result<(), Errno> {
    let file = openat(directory, name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write_to(&file.into(), value)
}

/// The text of a file of the kernel's, mostly in two reads: such a file does not say how long it is.
pub(crate) fn read(path: &Path) -> Result<String, Errno> {
    text(File::open(path).map_err(|error| errno(&error))?)
}

/// As [`read`], of a file in an open directory.
pub(crate) fn read_in(directory: BorrowedFd<'_>, name: &CStr) -> Result<String, Errno> {
    text(openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into())
}

fn text(file: File) -> Result<String, Errno> {
    let mut text = String::with_capacity(PAGE);
    file.take(u64::MAX).read_to_string(&mut text).map_err(|error| errno(&error))?;
    Ok(text)
}

/// A file with one number; `max` is the largest.
pub(crate) fn number(path: &Path) -> Result<u64, Errno> {
    parse_number(&read(path)?).ok_or(Errno::INVAL)
}

/// `max`, and numbers too large, are the largest; −1 is, too.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let text = text.trim();
    if matches!(text, "max" | "-1") {
        return Some(u64::MAX);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The number beside `key` in a file of keys and numbers.
pub(crate) fn value_of(text: &str, key: &str) -> Option<u64> {
    pairs(text).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// Lines of a key and a number.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, parse_number(value)?))
    })
}

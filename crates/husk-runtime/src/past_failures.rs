// SPDX-License-Identifier: Apache-2.0
//! The last failures of this user's containers, kept for `husk why`: a log, not a part of any container. A start that succeeds
//! never comes here.
//!
//! Each is one small private file, `failures/NAME` in the directory that has the default root; of the newest few, no more.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::{Errno, Result};

use crate::rootfs::{create_data_directory, data_directory};

/// How many are kept.
const KEPT: usize = 16;

/// The greatest length of one.
const LENGTH: usize = 16 << 10;

/// A failure that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastFailure {
    /// The container's name.
    pub name: String,
    /// What was said.
    pub text: String,
    /// When.
    pub when: SystemTime,
}

/// Keeps what is to be said about the failure of container `name`. That it could not be kept is no failure of its own: whoever
/// is told of the failure now has lost nothing.
pub fn keep(name: &str, text: &str) {
    if let Ok(data) = data_directory()
        && create_data_directory(&data).is_ok()
    {
        let _ = keep_in(&data, name, text);
    }
}

/// The failure of container `name`, or the last one of any.
pub fn recall(name: Option<&str>) -> Option<PastFailure> {
    recall_in(&data_directory().ok()?, name)
}

fn keep_in(data: &Path, name: &str, text: &str) -> Result<()> {
    match fs::mkdir(data.join("failures"), Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let directory = open(data)?;
    let temporary = format!(".new-{}", std::process::id());
    // Nobody else can write in the directory, but an own husk may have died here with the same process id.
    let _ = fs::unlinkat(&directory, &temporary, AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(&directory, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
    let written = file.write_all(shortened(text).as_bytes()).map_err(|_| Errno::IO);
    let kept = written.and_then(|()| fs::renameat(&directory, &temporary, &directory, name));
    if kept.is_err() {
        let _ = fs::unlinkat(&directory, &temporary, AtFlags::empty());
    }
    forget_oldest(&directory);
    kept
}

/// The directory, if it is the caller's alone: XDG_DATA_HOME may name one of somebody else, who would then say where root's
/// file goes.
fn open(data: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = fs::open(data.join("failures"), flags, Mode::empty())?;
    let stat = fs::fstat(&directory)?;
    let own = stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o077 == 0;
    if own { Ok(directory) } else { Err(Errno::PERM) }
}

fn shortened(text: &str) -> &str {
    let end = (0..=text.len().min(LENGTH)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// The names in the directory, the newest first. Files that begin with a dot are being written.
fn names(directory: &OwnedFd) -> Vec<(SystemTime, String)> {
    let Ok(entries) = fs::Dir::read_from(directory) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    let when = |name: &String| {
        let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let nanoseconds = std::time::Duration::new(stat.st_mtime.try_into().ok()?, stat.st_mtime_nsec as u32);
        SystemTime::UNIX_EPOCH.checked_add(nanoseconds)
    };
    let names = names.filter(|name| !name.starts_with('.'));
    let mut names: Vec<_> = names.filter_map(|name| when(&name).map(|when| (when, name))).collect();
    names.sort();
    names.reverse();
    names
}

fn forget_oldest(directory: &OwnedFd) {
    for (_, name) in names(directory).into_iter().skip(KEPT) {
        let _ = fs::unlinkat(directory, name, AtFlags::empty());
    }
}

fn recall_in(data: &Path, name: Option<&str>) -> Option<PastFailure> {
    let directory = open(data).ok()?;
    let mut names = names(&directory).into_iter();
    let (when, name) = names.find(|(_, known)| name.is_none_or(|name| name == known))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(fs::openat(&directory, &name, flags, Mode::empty()).ok()?);
    let mut text = Vec::new();
    file.take(LENGTH as u64).read_to_end(&mut text).ok()?;
    Some(PastFailure { name, text: String::from_utf8_lossy(&text).into_owned(), when })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn the_newest_few_are_kept_and_the_last_is_recalled() {
        let data = tempfile::tempdir().expect("a directory");
        assert_eq!(recall_in(data.path(), None), None);
        for number in 0..KEPT + 3 {
            keep_in(data.path(), &format!("c{number:02}"), &format!("text {number}")).expect("kept");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let last = recall_in(data.path(), None).expect("a past failure");
        assert_eq!((last.name.as_str(), last.text.as_str()), ("c18", "text 18"));
        assert_eq!(recall_in(data.path(), Some("c03")).expect("a past failure").text, "text 3");
        assert_eq!(recall_in(data.path(), Some("c02")), None, "it was the oldest");
        let directory = data.path().join("failures");
        assert_eq!(std::fs::read_dir(&directory).expect("a directory").count(), KEPT);
        let mode = |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&directory.join("c18"))), (0o700, 0o600));
    }

    #[test]
    fn a_container_has_one_and_it_is_short() {
        let data = tempfile::tempdir().expect("a directory");
        keep_in(data.path(), "c", "old").expect("kept");
        keep_in(data.path(), "c", &"é".repeat(LENGTH)).expect("kept");
        let failure = recall_in(data.path(), Some("c")).expect("a past failure");
        assert_eq!(failure.text.len(), LENGTH);
        assert_eq!(std::fs::read_dir(data.path().join("failures")).expect("a directory").count(), 1);
    }

    #[test]
    fn nothing_is_written_where_others_can_or_through_a_link() {
        let data = tempfile::tempdir().expect("a directory");
        let directory = data.path().join("failures");
        std::fs::create_dir(&directory).expect("a directory");
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o777)).expect("chmod");
        assert_eq!(keep_in(data.path(), "c", "text"), Err(Errno::PERM));
        std::fs::remove_dir(&directory).expect("it is empty");
        let elsewhere = tempfile::tempdir().expect("a directory");
        symlink(elsewhere.path(), &directory).expect("a link");
        assert!(keep_in(data.path(), "c", "text").is_err());
        assert_eq!(std::fs::read_dir(elsewhere.path()).expect("a directory").count(), 0);
    }
}

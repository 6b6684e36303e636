// SPDX-License-Identifier: Apache-2.0
//! How a process gets in: opened beforehand, by the parent; done by the child, or by `clone3`.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::{Directory, Place};
use crate::error::CgroupError;
use crate::file;
use crate::hierarchy::own_path;
use crate::limits::Hierarchy;

/// The way in. All descriptors are close-on-exec.
#[derive(Debug)]
pub struct Entry {
    /// The directory of version 2, for `CLONE_INTO_CGROUP`.
    pub directory: Option<OwnedFd>,
    /// The `tasks` files of version 1, one for each hierarchy. The child, while it has one thread, writes `0` into each: a
    /// parent that wrote the child's pid into `cgroup.procs` would wait milliseconds for a lock.
    pub tasks: Vec<OwnedFd>,
}

impl Place {
    /// Opens the way in.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn open(&self) -> Result<Entry, CgroupError> {
        self.open_with(None)
    }

    /// Opens the way in for one more process beside `init`. On version 2 a container that has made cgroups of its own (a systemd
    /// does) can have no processes in its topmost; then it is the cgroup that `init` is in.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn open_beside(&self, init: i32) -> Result<Entry, CgroupError> {
        let beside = self.v2().and_then(|directory| {
            let text = file::read(Path::new(&format!("/proc/{init}/cgroup"))).ok()?;
            let of_init = place_of(directory, &text)?;
            of_init.is_dir().then_some(of_init)
        });
        self.open_with(beside)
    }

    fn open_with(&self, v2: Option<PathBuf>) -> Result<Entry, CgroupError> {
        let directory = self.v2().map(|directory| v2.unwrap_or_else(|| directory.path.clone()));
        let directory = directory.map(|path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(&path, flags, Mode::empty()).map_err(CgroupError::call("opening", &path))
        });
        let tasks = self.directories.iter().filter(|directory| !directory.is_v2()).map(|directory| {
            let path = directory.file("tasks");
            rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(CgroupError::call("opening", &path))
        });
        Ok(Entry { directory: directory.transpose()?, tasks: tasks.collect::<Result<_, _>>()? })
    }

    /// Whether the process `pid` is in the container's cgroups, in the hierarchy that counts.
    pub fn has(&self, pid: i32) -> bool {
        let Ok(text) = file::read(Path::new(&format!("/proc/{pid}/cgroup"))) else { return false };
        let directory = match self.version {
            Hierarchy::V2 => self.v2(),
            Hierarchy::V1 => self.v1_of_processes(),
        };
        directory.is_some_and(|directory| place_of(directory, &text).is_some())
    }
}

/// The directory that a process is in, if it is the container's or one below; `text` is its `/proc/PID/cgroup`.
fn place_of(directory: &Directory, text: &str) -> Option<PathBuf> {
    let controller = directory.controllers.first().map_or("", String::as_str);
    let theirs = own_path(text, controller)?;
    let container = directory.path.strip_prefix(&directory.mount).ok()?;
    // Where only a part of a hierarchy is mounted, the paths of processes begin above the mount.
    let at = theirs.ancestors().find(|path| path.ends_with(container))?;
    let rest = theirs.strip_prefix(at).ok()?;
    Some(if rest.as_os_str().is_empty() { directory.path.clone() } else { directory.path.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_found_in_the_container_and_below_it() {
        let directory = Directory {
            controllers: Vec::new(),
            mount: "/sys/fs/cgroup".into(),
            path: "/sys/fs/cgroup/a/b".into(),
        };
        let of = |own| place_of(&directory, own);
        assert_eq!(of("1:pids:/x\n0::/a/b\n"), Some("/sys/fs/cgroup/a/b".into()));
        assert_eq!(of("0::/a/b/init.scope"), Some("/sys/fs/cgroup/a/b/init.scope".into()));
        assert_eq!(of("0::/docker/x/a/b/c"), Some("/sys/fs/cgroup/a/b/c".into()));
        assert_eq!(of("0::/a"), None);
        assert_eq!(of("0::/a/bb"), None);
    }
}

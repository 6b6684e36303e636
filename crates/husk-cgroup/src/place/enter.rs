// SPDX-License-Identifier: Apache-2.0
//! How a process gets in: opened beforehand, by the parent; done by the child, or by `clone3`.

use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

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
    /// The `tasks` files of version 1, one for each hierarchy; of version 2 `cgroup.procs`, if `clone3` cannot. The child, while it has one thread, writes `0` into each: a
    /// parent that wrote the child's pid into `cgroup.procs` would wait milliseconds for a lock.
    pub tasks: Vec<OwnedFd>,
}

impl Place {
    /// Opens the way in.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn open(&self) -> Result<Entry, CgroupError> {
        let directory = self.v2().map(|directory| {
            let (path, flags) = (&directory.path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC);
            rustix::fs::open(path, flags, Mode::empty()).map_err(CgroupError::call("opening", path))
        });
        let tasks = self.directories.iter().filter(|directory| !directory.is_v2()).map(|directory| {
            let path = directory.file("tasks");
            rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(CgroupError::call("opening", &path))
        });
        Ok(Entry { directory: directory.transpose()?, tasks: tasks.collect::<Result<_, _>>()? })
    }

    /// Opens the way in for a child of a process that will have entered another user namespace by then. `clone3` asks what the
    /// process may do at that moment; a file, what it could when it opened it (Linux 5.16, commit 1756d7994ad8).
    ///
    /// # Errors
    /// As [`Place::open`].
    pub fn open_beforehand(&self) -> Result<Entry, CgroupError> {
        let mut entry = self.open()?;
        if let (Some(directory), Some(v2)) = (entry.directory.take(), self.v2()) {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let procs = rustix::fs::openat(&directory, "cgroup.procs", flags, Mode::empty());
            entry.tasks.push(procs.map_err(CgroupError::call("opening", &v2.file("cgroup.procs")))?);
        }
        Ok(entry)
    }

    /// The same place, but on version 2 the cgroup that `init` is in: in a container that has made cgroups of its own (a systemd
    /// does) the topmost can have no processes.
    #[must_use]
    pub fn beside(&self, init: i32) -> Self {
        let mut place = self.clone();
        let text = file::read(Path::new(&format!("/proc/{init}/cgroup"))).unwrap_or_default();
        for directory in place.directories.iter_mut().filter(|directory| directory.is_v2()) {
            if let Some(of_init) = place_of(directory, &text).filter(|path| path.is_dir()) {
                directory.path = of_init;
            }
        }
        place
    }

    /// Whether this process may put one of its children beside `init`: on version 2 that takes the right to write
    /// `cgroup.procs` of the lowest cgroup that is above both (`cgroup-v2.rst`, "Delegation Containment").
    pub fn may_enter(&self, init: i32) -> bool {
        let Some(directory) = self.v2().filter(|_| self.version == Hierarchy::V2) else { return true };
        let own = |pid: &str| {
            let text = file::read(Path::new(&format!("/proc/{pid}/cgroup"))).ok()?;
            own_path(&text, "")
        };
        let (Some(from), Some(to)) = (own("self"), own(&init.to_string())) else { return false };
        let above: PathBuf = from
            .components()
            .zip(to.components())
            .take_while(|(from, to)| from == to)
            .map(|(part, _)| part)
            .collect();
        // Paths begin with a slash.
        let above = above.strip_prefix("/").unwrap_or(&above);
        let procs = directory.mount.join(above).join("cgroup.procs");
        rustix::fs::access(&procs, rustix::fs::Access::WRITE_OK).is_ok()
    }

    /// The same place with cgroups below the container's own, which are there already, in all hierarchies or in those of the
    /// controllers that are named.
    ///
    /// # Errors
    /// A path that leads out of the container's cgroup, a controller that has no hierarchy of its own, a cgroup that is not there.
    pub fn inside(&self, chosen: &[SubCgroup]) -> Result<Self, CgroupError> {
        let mut place = self.clone();
        for SubCgroup { controllers, path } in chosen {
            if Path::new(path).components().any(|part| part == Component::ParentDir) {
                return Err(CgroupError::Outside(path.clone()));
            }
            let below = path.trim_start_matches('/');
            for controller in controllers {
                let has = |directory: &&mut Directory| directory.controllers.contains(controller);
                let of_controller = place.directories.iter_mut().find(has);
                let unknown = || CgroupError::NoSubsystem(controller.clone());
                of_controller.ok_or_else(unknown)?.enter(below)?;
            }
            if controllers.is_empty() {
                // Where the controllers are in version 1, nobody makes cgroups in version 2.
                let version = place.version;
                let counts = |directory: &&mut Directory| !directory.is_v2() || version == Hierarchy::V2;
                place
                    .directories
                    .iter_mut()
                    .filter(counts)
                    .try_for_each(|directory| directory.enter(below))?;
            }
        }
        Ok(place)
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

/// A cgroup below a container's, for one more process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubCgroup {
    /// In the hierarchies of which controllers of version 1; in all if there are none.
    pub controllers: Vec<String>,
    /// Its path, from the container's.
    pub path: String,
}

impl Directory {
    fn enter(&mut self, below: &str) -> Result<(), CgroupError> {
        let path = self.path.join(below);
        if !path.is_dir() {
            return Err(CgroupError::call("entering", &path)(Errno::NOENT));
        }
        self.path = path;
        Ok(())
    }
}

/// The directory that a process is in, if it is the container's or one below; `text` is its `/proc/PID/cgroup`.
pub(super) fn place_of(directory: &Directory, text: &str) -> Option<PathBuf> {
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

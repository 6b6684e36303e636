// SPDX-License-Identifier: Apache-2.0
//! Cgroups that go with their container. Unlike all else that it has, they do not go by themselves: husk removes them, its guard
//! if husk was killed, and if both were, the next husk that makes one beside them.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use husk_cgroup::{CgroupError, MemoryKills, Place};
use husk_init::PassingCgroup;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Dir, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// The cgroups of a container that go with it.
#[derive(Debug)]
pub(crate) struct Passing {
    place: Place,
    directories: Vec<Directory>,
}

/// One of them.
#[derive(Debug)]
struct Directory {
    /// Locked as long as husk or its guard lives.
    directory: OwnedFd,
    /// Its name, then those of the directories above it that were made for it.
    names: Vec<CString>,
}

impl Passing {
    /// Those of `place`, which have been made.
    ///
    /// # Errors
    /// One cannot be opened, or is being removed.
    pub(crate) fn of(place: &Place) -> Result<Self, CgroupError> {
        let directory = |path: &Path| {
            let directory = open(CWD, path)?;
            flock(&directory, FlockOperation::NonBlockingLockShared)?;
            let made =
                path.ancestors().skip(1).take_while(|above| place.made().iter().any(|made| made == above));
            let names = std::iter::once(path).chain(made).filter_map(Path::file_name);
            let names = names.filter_map(|name| CString::new(name.as_bytes()).ok()).collect();
            Ok(Directory { directory, names })
        };
        let opened = place.directories().iter().map(|known| {
            directory(&known.path).map_err(|errno| CgroupError::call("opening", &known.path)(errno))
        });
        Ok(Self { place: place.clone(), directories: opened.collect::<Result<_, _>>()? })
    }

    /// Processes that the kernel has killed in them for want of memory.
    pub(crate) fn memory_kills(&self) -> Option<MemoryKills> {
        self.place.memory_kills()
    }

    /// The names in each, for [`Self::cgroups`].
    pub(crate) fn names(&self) -> Vec<Vec<&CStr>> {
        self.directories.iter().map(|known| known.names.iter().map(CString::as_c_str).collect()).collect()
    }

    /// In the form that the guard takes.
    pub(crate) fn cgroups<'a>(&'a self, names: &'a [Vec<&'a CStr>]) -> Vec<PassingCgroup<'a>> {
        let pairs = self.directories.iter().zip(names);
        pairs.map(|(known, names)| PassingCgroup { directory: known.directory.as_fd(), names }).collect()
    }

    /// Removes what runs have left that were killed together with their guard: cgroups beside these that are empty, have a name such
    /// as `husk-4711-NAME`, no process 4711, and nobody who holds them.
    pub(crate) fn sweep(&self) {
        for known in &self.directories {
            let _ = sweep_beside(&known.directory);
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let names = self.names();
        for cgroup in self.cgroups(&names) {
            // Whoever outlives the container, without a pid namespace of its own, keeps them.
            let _ = cgroup.remove();
        }
    }
}

fn sweep_beside(directory: &OwnedFd) -> Result<(), Errno> {
    let above = open(directory, c"..")?;
    for entry in Dir::read_from(&above)? {
        let entry = entry?;
        let name = entry.file_name();
        if maker(name).is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH)) {
            let _ = remove_unheld(&above, name);
        }
    }
    Ok(())
}

/// The process that made a cgroup of that name, if one of husk's did.
fn maker(name: &CStr) -> Option<Pid> {
    let (number, _) = name.to_str().ok()?.strip_prefix("husk-")?.split_once('-')?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| digits).and_then(Pid::from_raw)
}

fn remove_unheld(above: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    let directory = open(above, name)?;
    // The process may be one of another pid namespace, and alive there: then it, or its guard, holds the lock.
    flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    PassingCgroup { directory: directory.as_fd(), names: &[name] }.remove()
}

fn open(parent: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    openat(parent, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_who_made_it() {
        let pid = |name: &CStr| maker(name).map(|pid| pid.as_raw_nonzero().get());
        assert_eq!(pid(c"husk-4711-neat-duck"), Some(4711));
        for other in [
            c"husk-test-1",
            c"husk-+1-a",
            c"husk-0-a",
            c"husk-4711",
            c"4711-a",
            c"husk--1-a",
            c"husk-99999999999-a",
        ] {
            assert_eq!(pid(other), None, "{other:?}");
        }
    }
}

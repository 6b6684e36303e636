// SPDX-License-Identifier: Apache-2.0
//! Taking the directories of a container away.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;

use super::{Place, tree};
use crate::error::CgroupError;

/// How long a cgroup may stay busy after its last process is gone: the kernel lets go of it a moment later.
const LIMIT: Duration = Duration::from_secs(2);

/// How long between two looks at whether anybody is still in it.
const PAUSE: Duration = Duration::from_millis(5);

impl Place {
    /// Removes the container's cgroups with those below them, and directories above that were made for it and that nobody
    /// else uses by now. What is gone already is no error. Processes are not ended: see [`Place::kill`].
    ///
    /// # Errors
    /// A cgroup stays busy.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(500);
        loop {
            let failed = self.directories.iter().filter_map(|directory| remove(&directory.path).err()).next();
            let Some(error) = failed else { break };
            if error.errno() != Some(Errno::BUSY) || start.elapsed() > LIMIT {
                return Err(error);
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        self.remove_above();
        Ok(())
    }

    /// As [`Self::remove`], if nothing is in any of them, neither processes nor cgroups. Whether they are all gone now.
    pub fn remove_unused(&self) -> bool {
        let are_gone = self.directories.iter().all(|directory| gone(CWD, &directory.path).is_ok());
        if are_gone {
            self.remove_above();
        }
        are_gone
    }

    fn remove_above(&self) {
        for path in self.made.iter().rev() {
            // Another container may be in it.
            let _ = rustix::fs::rmdir(path);
        }
    }

    /// As [`Place::remove`], unless processes are in it, and stay for longer than it takes to end: those of another, who has the same
    /// path.
    ///
    /// # Errors
    /// As [`Place::remove`].
    pub fn remove_unless_used(&self) -> Result<(), CgroupError> {
        let start = Instant::now();
        while !self.pids()?.is_empty() {
            if start.elapsed() > LIMIT {
                return Ok(());
            }
            sleep(PAUSE);
        }
        self.remove()
    }
}

fn remove(path: &Path) -> Result<(), CgroupError> {
    if gone(CWD, path) == Ok(()) {
        return Ok(());
    }
    tree::visit(path, |cgroup| {
        let removed = match cgroup.entry {
            Some((above, name)) => gone(above, name),
            None => gone(CWD, path),
        };
        removed.map_err(CgroupError::call("removing", cgroup.path))
    })
}

fn gone(above: BorrowedFd<'_>, name: impl Arg) -> Result<(), Errno> {
    match unlinkat(above, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

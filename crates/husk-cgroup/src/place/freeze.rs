// SPDX-License-Identifier: Apache-2.0
//! Pausing and going on.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Directory, Place, tree};
use crate::error::CgroupError;
use crate::file;
use crate::limits::Hierarchy;

/// How long it is waited for.
const LIMIT: Duration = Duration::from_secs(2);

/// How long between two looks at version 1's freezer, which tells nobody when it is done.
const PAUSE: Duration = Duration::from_millis(1);

/// After so many looks the freezer is opened and closed again: a process that is being made just then can keep it from
/// ever getting done (`freezer-subsystem.rst`).
const LOOKS: usize = 50;

impl Place {
    /// Stops all processes where they are, and waits until they stand still.
    ///
    /// # Errors
    /// There is no freezer; it is not done in time, and then they go on.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        let directory = self.freezer()?;
        let result = match self.version {
            Hierarchy::V1 => freeze_v1(directory),
            Hierarchy::V2 => set_v2(directory, true),
        };
        if matches!(result, Err(CgroupError::Freezer { .. })) {
            self.thaw()?;
        }
        result
    }

    /// Lets all processes go on.
    ///
    /// # Errors
    /// There is no freezer; a cgroup above is frozen itself.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        let directory = self.freezer()?;
        match self.version {
            Hierarchy::V1 => thaw_v1(directory),
            Hierarchy::V2 => set_v2(directory, false),
        }
    }

    /// Lets all processes go on, also those that were frozen in a cgroup below: on version 1 who is frozen does not die, and each
    /// cgroup keeps a freezing of its own.
    ///
    /// # Errors
    /// As [`Place::thaw`].
    pub(super) fn thaw_to_die(&self) -> Result<(), CgroupError> {
        let directory = self.freezer()?;
        if self.version == Hierarchy::V1 {
            tree::visit(&directory.path, |cgroup| {
                if cgroup.entry.is_some() {
                    // One that is gone by now has nobody in it.
                    let _ = file::write_in(cgroup.directory, c"freezer.state", "THAWED");
                }
                Ok(())
            })?;
        }
        self.thaw()
    }

    /// Whether the container is paused, or about to be. Without a freezer nothing ever is.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        let Ok(directory) = self.freezer() else { return Ok(false) };
        let name = match self.version {
            Hierarchy::V1 => "freezer.self_freezing",
            Hierarchy::V2 => "cgroup.freeze",
        };
        let path = directory.file(name);
        match file::read(&path) {
            Ok(text) => Ok(text.trim() == "1"),
            Err(Errno::NOENT | Errno::NODEV) => Ok(false),
            Err(errno) => Err(CgroupError::call("reading", &path)(errno)),
        }
    }

    /// Whether who enters stands still: it is frozen itself, or a cgroup above is.
    pub(super) fn stands_still(&self, directory: &Directory) -> bool {
        let state = |name| file::read(&directory.file(name)).unwrap_or_default();
        match self.version {
            Hierarchy::V1 => !matches!(state("freezer.state").trim(), "THAWED" | ""),
            Hierarchy::V2 => file::value_of(&state("cgroup.events"), "frozen") == Some(1),
        }
    }

    pub(super) fn freezer(&self) -> Result<&Directory, CgroupError> {
        self.directory("freezer").ok_or(CgroupError::NoFreezer)
    }
}

fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    file::write(path, value).map_err(CgroupError::call("writing", path))
}

fn late(directory: &Directory, wanted: &'static str) -> CgroupError {
    CgroupError::Freezer { path: directory.path.clone(), wanted, seconds: LIMIT.as_secs() }
}

fn freeze_v1(directory: &Directory) -> Result<(), CgroupError> {
    let state = directory.file("freezer.state");
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        write(&state, "FROZEN")?;
        for _ in 0..LOOKS {
            let text = file::read(&state).map_err(CgroupError::call("reading", &state))?;
            if text.trim() == "FROZEN" {
                return Ok(());
            }
            sleep(PAUSE);
        }
        write(&state, "THAWED")?;
    }
    Err(late(directory, "frozen"))
}

fn thaw_v1(directory: &Directory) -> Result<(), CgroupError> {
    let state = directory.file("freezer.state");
    write(&state, "THAWED")?;
    let text = file::read(&state).map_err(CgroupError::call("reading", &state))?;
    // Otherwise it is a cgroup above that is frozen.
    if text.trim() == "THAWED" { Ok(()) } else { Err(late(directory, "thawed")) }
}

/// `cgroup.events` tells by POLLPRI when it has changed.
fn set_v2(directory: &Directory, frozen: bool) -> Result<(), CgroupError> {
    let events = directory.file("cgroup.events");
    let fd = rustix::fs::open(&events, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(CgroupError::call("opening", &events))?;
    write(&directory.file("cgroup.freeze"), if frozen { "1" } else { "0" })?;
    let start = Instant::now();
    loop {
        let mut buffer = [0; 256];
        let count = rustix::io::pread(&fd, &mut buffer, 0).map_err(CgroupError::call("reading", &events))?;
        let text = String::from_utf8_lossy(&buffer[..count]);
        if file::value_of(&text, "frozen") == Some(frozen.into()) {
            return Ok(());
        }
        let left = LIMIT.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(late(directory, if frozen { "frozen" } else { "thawed" }));
        }
        wait(&fd, left)?;
    }
}

fn wait(fd: &rustix::fd::OwnedFd, left: Duration) -> Result<(), CgroupError> {
    let timeout = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
    match poll(&mut [PollFd::new(fd, PollFlags::PRI)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(CgroupError::call("waiting for", Path::new("cgroup.events"))(errno)),
    }
}

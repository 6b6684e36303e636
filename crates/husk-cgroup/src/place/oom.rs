// SPDX-License-Identifier: Apache-2.0
//! Notice of processes that the kernel killed for memory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{Directory, Place};
use crate::error::CgroupError;
use crate::file;
use crate::limits::Hierarchy;

/// Something that [`OomWatch`] has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OomEvent {
    /// The kernel has run out of what the limit leaves, and killed.
    Oom,
    /// Nothing that matters.
    Nothing,
    /// The cgroup is gone: there will be no more.
    Gone,
}

/// Processes of a container that the kernel has killed for want of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryKills {
    /// How many.
    pub kills: u64,
    /// The most that was in use, in bytes, if the kernel tells (on version 2 since Linux 5.19).
    pub peak: Option<u64>,
    /// Whose limit it was.
    pub limit: Option<MemoryLimit>,
}

/// What the cgroup above a container's has counted so far. A scope of systemd's goes with its last process, and its own counts with it.
#[derive(Debug)]
pub struct CountAbove {
    above: PathBuf,
    before: Counts,
    /// The container's own limit, and those further up.
    limits: Vec<MemoryLimit>,
}

/// `memory.events`, which counts what happens in a cgroup and below, and `memory.events.local`, in itself (`cgroup-v2.rst`).
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    kills: u64,
    /// How often a limit was reached below it.
    hits_below: u64,
}

impl Counts {
    fn read(cgroup: &Path) -> Option<Self> {
        let events = |name| file::read(&cgroup.join(name)).ok();
        let all = events("memory.events")?;
        let hits = |text: &str| file::value_of(text, "oom").unwrap_or(0);
        let own_hits = events("memory.events.local").map_or(0, |text| hits(&text));
        let kills = file::value_of(&all, "oom_kill")?;
        Some(Self { kills, hits_below: hits(&all).saturating_sub(own_hits) })
    }
}

impl CountAbove {
    /// What the kernel has killed since for want of memory, as far as it can have been in the container's cgroup: somebody has been killed
    /// in one of those below that one above. It is for the caller to know that a process of the container's was.
    pub fn kills(&self) -> Option<MemoryKills> {
        let now = Counts::read(&self.above)?;
        let kills = now.kills.checked_sub(self.before.kills).filter(|kills| *kills > 0)?;
        let is_own = now.hits_below > self.before.hits_below;
        let limit = self.limits.iter().find(|limit| is_own || !limit.is_own).cloned();
        Some(MemoryKills { kills, peak: None, limit })
    }
}

/// A limit of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Whether it is that of the container's own cgroup, and not of one above.
    pub is_own: bool,
    /// The cgroup.
    pub directory: PathBuf,
    /// In bytes.
    pub bytes: u64,
}

/// Watches a container's memory. Poll it for reading, then ask [`OomWatch::take`].
#[derive(Debug)]
pub struct OomWatch {
    notice: OwnedFd,
    /// Version 1: the file must stay open.
    _control: Option<OwnedFd>,
    /// `memory.events`, or on version 1 `memory.oom_control`.
    counter: PathBuf,
    seen: u64,
    version: Hierarchy,
}

impl Place {
    /// How many processes the kernel has killed since the cgroup was made, because its limit of memory was reached. `None`
    /// without the controller.
    pub fn oom_kills(&self) -> Option<u64> {
        let path = self.oom_counter()?;
        file::value_of(&file::read(&path).ok()?, "oom_kill")
    }

    /// Processes that the kernel has killed for want of memory. `None` if it has killed none, or nobody counts.
    pub fn memory_kills(&self) -> Option<MemoryKills> {
        let kills = self.oom_kills().filter(|kills| *kills > 0)?;
        let directory = self.directory("memory")?;
        let peak = match self.version {
            Hierarchy::V1 => "memory.max_usage_in_bytes",
            Hierarchy::V2 => "memory.peak",
        };
        let peak = file::number(&directory.file(peak)).ok();
        let is_own = self.has_reached_its_limit(directory, peak);
        let limit = self.memory_limits(directory).find(|limit| is_own || !limit.is_own);
        // A scope of systemd's may have gone since it was asked for its kills, and whose limit it was is not known then.
        let is_told = limit.is_some() || directory.path.exists();
        is_told.then_some(MemoryKills { kills, peak, limit })
    }

    /// Counts what the cgroup above has counted, on version 2. `None` without the controller there.
    pub fn count_above(&self) -> Option<CountAbove> {
        let directory = self.v2().filter(|_| self.version == Hierarchy::V2)?;
        let above = directory.path.parent()?.to_owned();
        let before = Counts::read(&above)?;
        Some(CountAbove { above, before, limits: self.memory_limits(directory).collect() })
    }

    /// The limits of a cgroup and of those above it.
    fn memory_limits(&self, directory: &Directory) -> impl Iterator<Item = MemoryLimit> {
        let levels = directory.path.ancestors().take_while(|path| path.starts_with(&directory.mount));
        levels.filter_map(|path| {
            let bytes = self.memory_limit(path)?;
            Some(MemoryLimit { is_own: path == directory.path, directory: path.to_owned(), bytes })
        })
    }

    fn has_reached_its_limit(&self, directory: &Directory, peak: Option<u64>) -> bool {
        if self.version == Hierarchy::V2 {
            let events = file::read(&directory.file("memory.events")).unwrap_or_default();
            return file::value_of(&events, "oom").is_some_and(|hits| hits > 0);
        }
        // memory.failcnt counts, but not where memory and swap together have the same limit, which is reached first, and has no
        // such count any more (seen with Linux 6.18). What is asked for at once, and refused, is not in the peak.
        const AT_ONCE: u64 = 1 << 20;
        let is_near = |(peak, limit): (u64, u64)| peak.saturating_add(AT_ONCE) >= limit;
        file::number(&directory.file("memory.failcnt")).is_ok_and(|hits| hits > 0)
            || peak.zip(self.memory_limit(&directory.path)).is_some_and(is_near)
    }

    fn memory_limit(&self, cgroup: &Path) -> Option<u64> {
        /// What version 1 writes for none is the greatest multiple of the page size that fits, whatever that is.
        const NO_LIMIT: u64 = 1 << 62;
        let name = match self.version {
            Hierarchy::V1 => "memory.limit_in_bytes",
            Hierarchy::V2 => "memory.max",
        };
        file::number(&cgroup.join(name)).ok().filter(|bytes| *bytes < NO_LIMIT)
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// The controller memory is not there; a call failed.
    pub fn watch_oom(&self) -> Result<OomWatch, CgroupError> {
        let counter = self.oom_counter().ok_or_else(|| CgroupError::NoController {
            origin: "events".to_owned(),
            controller: "memory".to_owned(),
        })?;
        let failed = |errno| CgroupError::call("watching", &counter)(errno);
        let (notice, control) = match self.version {
            Hierarchy::V1 => v1(&counter).map(|(notice, control)| (notice, Some(control))).map_err(failed)?,
            Hierarchy::V2 => (v2(&counter).map_err(failed)?, None),
        };
        let seen = self.oom_kills().unwrap_or(0);
        Ok(OomWatch { notice, _control: control, counter, seen, version: self.version })
    }

    fn oom_counter(&self) -> Option<PathBuf> {
        let name = match self.version {
            Hierarchy::V1 => "memory.oom_control",
            Hierarchy::V2 => "memory.events",
        };
        self.directory("memory").map(|directory| directory.file(name))
    }
}

/// An eventfd that is told of each time the limit is hit (`cgroup-v1/memory.rst`, "OOM Control").
fn v1(control: &Path) -> Result<(OwnedFd, OwnedFd), Errno> {
    let notice = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let control_fd = rustix::fs::open(control, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let words = format!("{} {}", notice.as_raw_fd(), control_fd.as_raw_fd());
    file::write(&control.with_file_name("cgroup.event_control"), &words)?;
    Ok((notice, control_fd))
}

/// `memory.events` and `cgroup.events` tell inotify when they change (`cgroup-v2.rst`).
fn v2(events: &Path) -> Result<OwnedFd, Errno> {
    let notice = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&notice, events, WatchFlags::MODIFY)?;
    inotify::add_watch(&notice, events.with_file_name("cgroup.events"), WatchFlags::MODIFY)?;
    Ok(notice)
}

impl OomWatch {
    /// What has happened, after the descriptor has become readable.
    pub fn take(&mut self) -> OomEvent {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        while matches!(rustix::io::read(&self.notice, &mut buffer), Ok((read, _)) if !read.is_empty()) {}
        let Ok(text) = file::read(&self.counter) else { return OomEvent::Gone };
        let kills = file::value_of(&text, "oom_kill").unwrap_or(0);
        // Version 1 tells of each time, also where killing is disabled.
        let told = self.version == Hierarchy::V1 || kills > self.seen;
        self.seen = kills;
        if told {
            return OomEvent::Oom;
        }
        // The last process has left.
        let populated = file::read(&self.counter.with_file_name("cgroup.events"));
        match populated.map(|text| file::value_of(&text, "populated")) {
            Ok(Some(0)) | Err(_) => OomEvent::Gone,
            Ok(_) => OomEvent::Nothing,
        }
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notice.as_fd()
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Notice of processes that the kernel killed for memory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
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

/// What tells of kills for want of memory in a scope of systemd's, which goes with its last process, and its own counts with it.
#[derive(Debug)]
pub struct ScopeWatch {
    place: Place,
    after: Option<AfterScope>,
    /// The scope's own limit, and those further up.
    limits: Vec<MemoryLimit>,
}

/// What is still known when the scope is gone.
#[derive(Debug)]
enum AfterScope {
    /// On version 2, what the cgroup above has counted before.
    Above { above: PathBuf, before: Counts },
    /// On version 1, where nobody counts for those below, what the kernel has told.
    Notice { notice: OwnedFd, _control: OwnedFd },
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

impl ScopeWatch {
    /// Processes of the scope that the kernel has killed for want of memory, as far as the scope is there to be asked.
    pub fn kills(&self) -> Option<MemoryKills> {
        self.place.memory_kills()
    }

    /// As [`Self::kills`], when it is known that a process of the scope was killed by somebody: what is known otherwise counts too if
    /// the scope is gone.
    pub fn kills_of_killed(&self) -> Option<MemoryKills> {
        // Of version 1 systemd takes one directory after the other.
        let is_there = || self.place.directory("memory").is_some_and(|directory| directory.path.exists());
        self.kills().or_else(|| if is_there() { None } else { self.kills_of_gone() })
    }

    fn kills_of_gone(&self) -> Option<MemoryKills> {
        let (kills, limit) = match self.after.as_ref()? {
            AfterScope::Above { above, before } => {
                let now = Counts::read(above)?;
                let kills = now.kills.checked_sub(before.kills).filter(|kills| *kills > 0)?;
                let is_own = now.hits_below > before.hits_below;
                (kills, self.limits.iter().find(|limit| is_own || !limit.is_own))
            }
            // Which of several limits was reached is not told.
            AfterScope::Notice { notice, .. } if has_told_of_kill(notice) => {
                (1, self.limits.iter().min_by_key(|limit| limit.bytes))
            }
            AfterScope::Notice { .. } => return None,
        };
        Some(MemoryKills { kills, peak: None, limit: limit.cloned() })
    }
}

/// Whether the kernel has told of a kill in a cgroup of version 1 that is gone. It tells of each, and in the end, a moment later, once of
/// the end of the cgroup.
fn has_told_of_kill(notice: &OwnedFd) -> bool {
    const A_MOMENT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
    let mut told = 0;
    while told < 2 {
        match poll(&mut [PollFd::new(notice, PollFlags::IN)], Some(&A_MOMENT)) {
            Ok(1..) => {}
            Err(Errno::INTR) => continue,
            Ok(0) | Err(_) => return false,
        }
        let mut count = [0; 8];
        if rustix::io::read(notice, &mut count).is_err() {
            return false;
        }
        told += u64::from_ne_bytes(count);
    }
    true
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

    /// Begins to watch what is killed in a scope of systemd's for want of memory.
    pub fn watch_scope(&self) -> ScopeWatch {
        let limits = self.directory("memory").map(|directory| self.memory_limits(directory).collect());
        let after = match self.version {
            Hierarchy::V1 => self
                .oom_counter()
                .and_then(|counter| v1(&counter).ok())
                .map(|(notice, control)| AfterScope::Notice { notice, _control: control }),
            Hierarchy::V2 => self.v2().and_then(|directory| {
                let above = directory.path.parent()?.to_owned();
                Some(AfterScope::Above { before: Counts::read(&above)?, above })
            }),
        };
        ScopeWatch { place: self.clone(), after, limits: limits.unwrap_or_default() }
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

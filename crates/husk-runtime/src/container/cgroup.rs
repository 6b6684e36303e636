// SPDX-License-Identifier: Apache-2.0
//! What is done to a container's processes all at once, and what is known of them together.

use std::time::{Duration, Instant};

use husk_cgroup::stats::Stats;
use husk_cgroup::systemd::Asked;
use husk_cgroup::{OomEvent, Place, device, limits};
use husk_spec::oci::{ContainerId, IntelRdt, Resources, Status};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;

use super::resource_group::Change;
use super::{Entry, Error, Record, StateRoot};

/// A container that runs or waits to be started, and its cgroups.
struct Running {
    entry: Entry,
    record: Record,
    place: Place,
    status: Status,
}

impl Running {
    fn open(root: &StateRoot, id: &ContainerId, doing: &'static str) -> Result<Self, Error> {
        let entry = root.open(id)?;
        let record = entry.record()?;
        let status = entry.condition(record.as_ref()).status;
        let Some(record) = record.filter(|_| !matches!(status, Status::Stopped | Status::Creating)) else {
            return Err(Error::NotRunning { id: id.to_string(), status });
        };
        match record.cgroup.clone() {
            Some(place) => Ok(Self { entry, record, place, status }),
            None => Err(Error::NoCgroup { doing, id: id.to_string() }),
        }
    }
}

/// Freezes a container's processes.
///
/// # Errors
/// A container that does not run, or has no cgroup of its own.
pub fn pause(root: &StateRoot, id: &ContainerId) -> Result<(), Error> {
    let running = Running::open(root, id, "pause")?;
    match running.status {
        Status::Paused => Err(Error::Condition { doing: "pause", status: Status::Paused }),
        _ => Ok(running.place.freeze()?),
    }
}

/// Lets a container's processes go on.
///
/// # Errors
/// A container that is not paused.
pub fn resume(root: &StateRoot, id: &ContainerId) -> Result<(), Error> {
    let running = Running::open(root, id, "resume")?;
    match running.status {
        Status::Paused => Ok(running.place.thaw()?),
        status => Err(Error::Condition { doing: "resume", status }),
    }
}

/// The ids on the host of a container's processes. One that has stopped has none but those that outlive the first, without a pid
/// namespace.
///
/// # Errors
/// A container that is only being made, or has no cgroup of its own.
pub fn processes(root: &StateRoot, id: &ContainerId) -> Result<Vec<i32>, Error> {
    let entry = root.open(id)?;
    let record = entry.record()?;
    if entry.condition(record.as_ref()).status == Status::Stopped {
        let place = record.as_ref().and_then(Record::own_cgroup);
        return place.map_or(Ok(Vec::new()), |place| Ok(place.pids()?));
    }
    Ok(Running::open(root, id, "list the processes of")?.place.pids()?)
}

/// Changes what a container's cgroups limit, and its group of the resource control file system. What is not named stays as it is,
/// and all of it where one thing is refused.
///
/// # Errors
/// A container that does not run, or a limit that cannot be set.
pub fn update(
    root: &StateRoot,
    id: &ContainerId,
    resources: Resources,
    schemas: &IntelRdt,
) -> Result<(), Error> {
    let running = Running::open(root, id, "update")?;
    running.entry.lock()?;
    let group = Change::make(&running.entry, schemas)?;
    match (update_cgroups(&running, resources), group) {
        (Ok(()), Some(group)) => group.join_all(|| Ok(running.place.pids()?)),
        (Err(error), Some(group)) => Err(group.undone(error)),
        (result, None) => result,
    }
}

fn update_cgroups(running: &Running, mut resources: Resources) -> Result<(), Error> {
    running.place.complete(&mut resources);
    let limits = limits::files(&resources, running.place.version())
        .map_err(|error| Error::Limit { problem: error.to_string() })?;
    let devices = Some(&resources.devices).filter(|devices| !devices.is_empty());
    let devices = devices.map(|devices| device::rules(devices)).transpose();
    let devices = devices.map_err(|error| Error::Limit { problem: error.to_string() })?;
    let devices = devices.map(|rules| rules.into_iter().chain(device::DEFAULT).collect::<Vec<_>>());
    match &running.record.scope {
        Some(scope) => {
            let asked = Asked { limits: &limits, devices: devices.as_deref() };
            Ok(scope.update(&running.place, &asked)?)
        }
        None => Ok(running.place.update(&limits, devices.as_deref())?),
    }
}

/// What a container's processes have used.
///
/// # Errors
/// A container that does not run, or has no cgroup of its own.
pub fn statistics(root: &StateRoot, id: &ContainerId) -> Result<Stats, Error> {
    Ok(Running::open(root, id, "count what is used by")?.place.stats()?)
}

/// Something that is told of a container while it runs.
#[derive(Debug)]
pub enum Event {
    /// What its processes have used.
    Statistics(Box<Stats>),
    /// The kernel has run out of the memory that its limit leaves.
    OutOfMemory,
}

/// Tells of what happens to a container until it ends: statistics each `interval`, and each time that memory runs out.
///
/// # Errors
/// A container that does not run, or has no cgroup of its own; or the first error of `tell`.
pub fn watch<E: From<Error>>(
    root: &StateRoot,
    id: &ContainerId,
    interval: Duration,
    mut tell: impl FnMut(Event) -> Result<(), E>,
) -> Result<(), E> {
    let running = Running::open(root, id, "watch")?;
    let waiting = |errno| E::from(Error::Process { doing: "wait for the container".to_owned(), errno });
    let Some(init) = &running.record.init else { return Ok(()) };
    let Some(pidfd) = init.open().map_err(waiting)? else { return Ok(()) };
    let mut oom = running.place.watch_oom().ok();
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = vec![PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)];
        fds.extend(oom.as_ref().map(|oom| PollFd::from_borrowed_fd(oom.as_fd(), PollFlags::IN)));
        let ready = match poll(&mut fds, Some(&timeout)) {
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(waiting(errno)),
            Ok(ready) => ready,
        };
        let [ended, noticed] = [0, 1].map(|index| fds.get(index).is_some_and(|fd| !fd.revents().is_empty()));
        drop(fds);
        if noticed {
            match oom.as_mut().map(|oom| oom.take()) {
                Some(OomEvent::Oom) => tell(Event::OutOfMemory)?,
                Some(OomEvent::Gone) => oom = None,
                _ => {}
            }
        }
        if ended {
            return Ok(());
        }
        if ready == 0 {
            next += interval;
            match running.place.stats() {
                Ok(stats) => tell(Event::Statistics(Box::new(stats)))?,
                Err(_) => return Ok(()),
            }
        }
    }
}

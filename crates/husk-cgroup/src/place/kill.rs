// SPDX-License-Identifier: Apache-2.0
//! The processes of a container, and signals to all of them.

use std::collections::HashSet;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::tree::{self, Visited};
use super::{Directory, Place};
use crate::error::CgroupError;
use crate::file;
use crate::limits::Hierarchy;

/// How long the dead are waited for.
const LIMIT: Duration = Duration::from_secs(10);

impl Place {
    /// The processes of the container, also in cgroups below its own, as this process's pid namespace numbers them, in
    /// ascending order. Those it cannot see are left out.
    ///
    /// # Errors
    /// A list cannot be read.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        let Some(directory) = self.of_processes() else { return Ok(Vec::new()) };
        let mut pids = Vec::new();
        tree::visit(&directory.path, |cgroup| {
            pids.extend(processes(cgroup)?);
            Ok(())
        })?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids.into_iter().filter(|pid| *pid > 0).collect())
    }

    /// Sends a signal to all processes. While it does, they are frozen, if they can be, so that none is made meanwhile that
    /// would be missed.
    ///
    /// # Errors
    /// The processes cannot be listed, or one of them must not be signalled.
    pub fn signal_all(&self, signal: Signal) -> Result<(), CgroupError> {
        let was_frozen = self.is_frozen().unwrap_or(false);
        let frozen = was_frozen || self.freeze().is_ok();
        let result = self.signal_each(signal, frozen);
        // Who is frozen does not die: SIGKILL comes into force when thawed, on version 1.
        if frozen && signal == Signal::KILL {
            self.thaw_to_die()?;
        } else if frozen && !was_frozen {
            self.thaw()?;
        }
        result
    }

    /// Kills all processes, and waits until they are gone. A fork bomb is no exception. Without processes it does nothing.
    ///
    /// # Errors
    /// One must not be killed; one does not die in ten seconds, because it waits in the kernel.
    pub fn kill(&self) -> Result<(), CgroupError> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(200);
        loop {
            if self.is_empty()? {
                return Ok(());
            }
            if start.elapsed() > LIMIT {
                let pid = self.pids()?.first().copied().unwrap_or_default();
                let path = self.of_processes().map(|directory| directory.path.clone()).unwrap_or_default();
                return Err(CgroupError::Alive { path, pid, seconds: LIMIT.as_secs() });
            }
            self.kill_once()?;
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    fn kill_once(&self) -> Result<(), CgroupError> {
        let Some(directory) = self.v2().filter(|_| self.version == Hierarchy::V2) else {
            return self.signal_all(Signal::KILL);
        };
        let path = directory.file("cgroup.kill");
        match file::write(&path, "1") {
            // Gone in between; or a threaded cgroup, which has no such file.
            Err(Errno::NODEV) => Ok(()),
            Err(Errno::NOENT | Errno::OPNOTSUPP) => self.signal_all(Signal::KILL),
            result => result.map_err(CgroupError::call("writing", &path)),
        }
    }

    /// Also processes that are dead and not yet waited for hold a cgroup, but are in no list.
    fn is_empty(&self) -> Result<bool, CgroupError> {
        if self.version == Hierarchy::V2
            && let Some(directory) = self.v2()
            && let Ok(text) = file::read(&directory.file("cgroup.events"))
        {
            return Ok(file::value_of(&text, "populated") == Some(0));
        }
        Ok(self.pids()?.is_empty())
    }

    /// A number of a process that is not frozen may be another's by the time it is signalled. Its pidfd is not, if the process
    /// is still in the list after that was opened.
    fn signal_each(&self, signal: Signal, frozen: bool) -> Result<(), CgroupError> {
        let pids = self.pids()?;
        if frozen {
            return pids.into_iter().try_for_each(|pid| sent(pid, |pid| kill_process(pid, signal)));
        }
        let opened: Vec<_> = pids
            .into_iter()
            .filter_map(|pid| Some((pid, pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?)))
            .collect();
        let still: HashSet<_> = self.pids()?.into_iter().collect();
        opened
            .into_iter()
            .filter(|(pid, _)| still.contains(pid))
            .try_for_each(|(pid, fd)| sent(pid, |_| pidfd_send_signal(&fd, signal)))
    }

    fn of_processes(&self) -> Option<&Directory> {
        match self.version {
            Hierarchy::V2 => self.v2(),
            Hierarchy::V1 => self.v1_of_processes(),
        }
    }

    /// Any hierarchy has all processes; but a privileged one may have left some of them. So first those that are hard to
    /// leave: nobody means to, and a cgroup of them holds the container back.
    pub(super) fn v1_of_processes(&self) -> Option<&Directory> {
        let preferred =
            ["freezer", "devices", "pids", "memory"].iter().filter_map(|name| self.directory(name));
        let any = self.directories.iter().filter(|directory| !directory.is_v2());
        preferred.chain(any).find(|directory| directory.path.is_dir())
    }
}

/// The processes of one cgroup. A cgroup that is gone has none.
pub(super) fn processes(cgroup: &Visited<'_>) -> Result<Vec<i32>, CgroupError> {
    let text = match file::read_in(cgroup.directory, c"cgroup.procs") {
        Err(Errno::NOENT | Errno::NODEV) => return Ok(Vec::new()),
        // A threaded cgroup lists threads.
        Err(Errno::OPNOTSUPP) => file::read_in(cgroup.directory, c"cgroup.threads"),
        result => result,
    };
    let text = text.map_err(CgroupError::call("reading", &cgroup.path.join("cgroup.procs")))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

fn sent(pid: i32, send: impl Fn(Pid) -> rustix::io::Result<()>) -> Result<(), CgroupError> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    match send(pid) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => {
            let path = format!("/proc/{}", pid.as_raw_nonzero());
            Err(CgroupError::call("signalling", Path::new(&path))(errno))
        }
    }
}

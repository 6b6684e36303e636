// SPDX-License-Identifier: Apache-2.0
//! A further process in a container.

use std::path::Path;

use husk_cgroup::{Place, SubCgroup};
use husk_plan::{Arena, Host};
use husk_spec::oci::{ContainerId, Lowering, Process, Status, SystemdCgroup};
use husk_spec::{Cgroup, Given, Lifetime, Stdio, Terminal, UserNamespace};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::agent::Agent;
use super::command::Becoming;
use super::create::{await_exec, profile};
use super::descriptor_socket::{DescriptorSocket, OwedPidfd, Purpose};
use super::pid_file::PidFile;
use super::{Error, StateRoot, start};
use crate::End;
use crate::start::{Container, Inheritance, Maker};
use crate::supervise::{self, Signals};
use crate::terminal::HostTerminal;

/// A process that is to run in a container.
#[derive(Clone, Copy, Debug)]
pub struct Exec<'a> {
    /// The container.
    pub id: &'a ContainerId,
    /// The process; that of the container's configuration, changed, or one of its own.
    pub process: &'a Process,
    /// Where its process id is written.
    pub pid_file: Option<&'a Path>,
    /// The socket to which the master of its terminal is sent.
    pub console_socket: Option<&'a Path>,
    /// The socket to which a pidfd of it is sent.
    pub pidfd_socket: Option<&'a Path>,
    /// The number of descriptors after the three standard ones that are passed on.
    pub preserved_descriptors: u32,
    /// Cgroups below the container's that it runs in; beside the first process if there are none.
    pub cgroups: &'a [SubCgroup],
    /// Whether it lives on by itself.
    pub detach: bool,
    /// Whether a container whose processes are frozen will do: the new one is then frozen with them.
    pub ignore_paused: bool,
}

/// Runs a process in a container. Returns how it ended, `None` if it was let go.
///
/// # Errors
/// A container that does not run, a command that cannot be executed.
pub fn exec(root: &StateRoot, exec: &Exec<'_>) -> Result<Option<End>, Error> {
    let supervise = |errno| Error::Run(crate::Error::Supervise(errno));
    let entry = root.open(exec.id)?;
    let record = entry.record()?;
    let condition = entry.condition(record.as_ref());
    let not_running = |status| Error::NotRunning { id: exec.id.to_string(), status };
    let Some((record, init)) =
        record.as_ref().and_then(|record| record.init.as_ref().map(|init| (record, init)))
    else {
        return Err(not_running(condition.status));
    };
    // As long as this is open and alive, its paths in /proc are the container's.
    let pidfd = init.open().map_err(supervise)?;
    let Some(pidfd) = pidfd.filter(|_| condition.status != Status::Creating) else {
        return Err(not_running(condition.status));
    };
    if condition.status == Status::Paused && !exec.ignore_paused {
        return Err(Error::Paused);
    }
    let spec = start::spec(&entry)?;
    let with = Lowering {
        id: exec.id.as_str(),
        bundle: Path::new("/"),
        lifetime: Lifetime::Detached,
        no_pivot: false,
        no_new_keyring: true,
        systemd_cgroup: SystemdCgroup::No,
        preserved_descriptors: exec.preserved_descriptors,
    };
    let mut config = spec.lower_exec(exec.process, init.pid, &with)?;
    let place = record.cgroup.as_ref().filter(|place| place.exists());
    let seat = match (place, exec.cgroups) {
        (None, []) => None,
        (None, _) => return Err(Error::NoCgroup { doing: "enter a cgroup of", id: exec.id.to_string() }),
        (Some(place), []) => Some(place.beside(init.pid)),
        (Some(place), cgroups) => Some(place.inside(cgroups)?),
    };
    let scope = match (&record.scope, place, &seat) {
        (Some(scope), Some(place), Some(seat)) if !place.may_enter(init.pid) => {
            Some((scope, scope.open(place, seat)?))
        }
        _ => None,
    };
    if let Some((scope, _)) = &scope {
        let value = Cgroup::Scope { unit: scope.unit.clone() };
        config.cgroup = Some(Given::default(value, "the container's cgroup"));
    }
    let container_root = root_of(init.pid).map_err(supervise)?;
    let host = Host::probe(&config)?.with_accounts_of(container_root.as_fd());
    let arena = Arena::new();
    let plan = husk_plan::plan(&config, &host, &arena)?;
    let agent = Agent::of(profile(&spec))?;
    let signals = Signals::take().map_err(supervise)?;
    let connect = |path| DescriptorSocket::connect(path, Purpose::Terminal);
    let mut joining = Joining {
        container: pidfd,
        pid: None,
        pid_file: exec.pid_file.map(PidFile::at).transpose()?,
        console: exec.console_socket.map(connect).transpose()?,
        pidfd: exec.pidfd_socket.map(|path| OwedPidfd::to(path, Purpose::Exec)).transpose()?,
        master: None,
        failure: None,
    };
    let stdio = if exec.process.terminal && joining.console.is_none() {
        vec![Stdio::Input, Stdio::Output, Stdio::Error]
    } else {
        Vec::new()
    };
    let host = HostTerminal::new(&Terminal { stdio, size: None, inherit_settings: false });
    let open = match config.namespaces.user.value {
        UserNamespace::Join(_) => Place::open_beforehand,
        _ => Place::open,
    };
    let cgroup = seat.filter(|_| scope.is_none()).map(|seat| open(&seat)).transpose()?;
    let scope = scope.as_ref().map(|(_, entry)| entry);
    let inheritance = Inheritance { cgroup: cgroup.as_ref(), scope, ..Inheritance::default() };
    let made = crate::start::make(&plan, inheritance, &mut joining);
    let mut container = match (made, joining.failure.take()) {
        (Ok(container), _) => container,
        (Err(_), Some(error)) => return Err(error),
        (Err(error), None) => return Err(Error::Run(error)),
    };
    let pid = container.pid.as_raw_nonzero().get();
    let becoming = Becoming { pid, profile: profile(&spec), agent, state: record.for_hooks(condition) };
    await_exec(&plan, &mut container, becoming)?;
    if exec.detach {
        container.let_go();
        return Ok(None);
    }
    let end = supervise::stay_with_command(&plan, container, host, (joining.master, None), &signals)?;
    Ok(Some(end))
}

fn root_of(pid: i32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(format!("/proc/{pid}/root"), flags, Mode::empty())
}

/// A process on its way into a container.
struct Joining {
    /// The container's first process.
    container: OwnedFd,
    pid: Option<i32>,
    pid_file: Option<PidFile>,
    console: Option<DescriptorSocket>,
    pidfd: Option<OwedPidfd>,
    master: Option<OwnedFd>,
    failure: Option<Error>,
}

impl Joining {
    fn keep(&mut self, result: Result<(), Error>) -> Result<(), crate::Error> {
        result.map_err(|error| {
            self.failure = Some(error);
            crate::Error::Supervise(Errno::CANCELED)
        })
    }

    /// Had the container ended while its namespaces were looked up by its process id, they may be a stranger's.
    fn check_container(&self) -> Result<(), Error> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::from_borrowed_fd(self.container.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(0) => Ok(()),
            _ => Err(Error::Process {
                doing: "join the container: it has ended".to_owned(),
                errno: Errno::SRCH,
            }),
        }
    }
}

impl Maker for Joining {
    fn begins(&mut self) -> Result<(), crate::Error> {
        Ok(())
    }

    fn placed(&mut self, _: &Place) -> Result<(), crate::Error> {
        Ok(())
    }

    fn made(&mut self, container: &Container) -> Result<(), crate::Error> {
        self.pid = Some(container.pid.as_raw_nonzero().get());
        let checked = self.check_container().and_then(|()| match &mut self.pidfd {
            Some(owed) => owed.keep(&container.pidfd),
            None => Ok(()),
        });
        self.keep(checked)
    }

    fn terminal(&mut self, master: OwnedFd) -> Result<(), crate::Error> {
        match self.console.take() {
            Some(console) => {
                let sent = console.send(&master);
                self.keep(sent)
            }
            None => {
                self.master = Some(master);
                Ok(())
            }
        }
    }

    fn mounted(&mut self) -> Result<(), crate::Error> {
        Ok(())
    }

    fn ready(&mut self) -> Result<(), crate::Error> {
        let sent = self.pidfd.take().map_or(Ok(()), OwedPidfd::send);
        let written = sent.and_then(|()| match (&self.pid_file, self.pid) {
            (Some(file), Some(pid)) => file.write(pid),
            _ => Ok(()),
        });
        self.keep(written)
    }
}

// SPDX-License-Identifier: Apache-2.0
//! A further process in a container.

use std::path::Path;

use husk_plan::{Arena, Host};
use husk_spec::oci::{ContainerId, Lowering, Process, Status};
use husk_spec::{Lifetime, Stdio, Terminal};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::console::Console;
use super::create::await_exec;
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
    /// The number of descriptors after the three standard ones that are passed on.
    pub preserved_descriptors: u32,
    /// Whether it lives on by itself.
    pub detach: bool,
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
    let Some(init) = record.as_ref().and_then(|record| record.init.as_ref()) else {
        return Err(not_running(condition.status));
    };
    // As long as this is open and alive, its paths in /proc are the container's.
    let pidfd = init.open().map_err(supervise)?;
    let Some(pidfd) = pidfd.filter(|_| condition.status != Status::Creating) else {
        return Err(not_running(condition.status));
    };
    let spec = start::spec(&entry)?;
    let with = Lowering {
        id: exec.id.as_str(),
        bundle: Path::new("/"),
        lifetime: Lifetime::Detached,
        no_pivot: false,
        no_new_keyring: true,
        preserved_descriptors: exec.preserved_descriptors,
    };
    let config = spec.lower_exec(exec.process, init.pid, &with)?;
    let container_root = root_of(init.pid).map_err(supervise)?;
    let host = Host::probe(&config)?.with_accounts_of(container_root.as_fd());
    let arena = Arena::new();
    let plan = husk_plan::plan(&config, &host, &arena)?;
    let signals = Signals::take().map_err(supervise)?;
    let mut joining = Joining {
        container: pidfd,
        pid: None,
        pid_file: exec.pid_file.map(PidFile::at).transpose()?,
        console: exec.console_socket.map(Console::connect).transpose()?,
        master: None,
        failure: None,
    };
    let stdio = if exec.process.terminal && joining.console.is_none() {
        vec![Stdio::Input, Stdio::Output, Stdio::Error]
    } else {
        Vec::new()
    };
    let host = HostTerminal::new(&Terminal { stdio, size: None, inherit_settings: false });
    let made = crate::start::make(&plan, Inheritance::default(), &mut joining);
    let mut container = match (made, joining.failure.take()) {
        (Ok(container), _) => container,
        (Err(_), Some(error)) => return Err(error),
        (Err(error), None) => return Err(Error::Run(error)),
    };
    await_exec(&plan, &mut container)?;
    if exec.detach {
        container.let_go();
        return Ok(None);
    }
    let end = supervise::stay_with_command(&plan, container, host, joining.master, &signals)?;
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
    console: Option<Console>,
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
    fn made(&mut self, container: &Container) -> Result<(), crate::Error> {
        self.pid = Some(container.pid.as_raw_nonzero().get());
        let checked = self.check_container();
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
        let written = match (&self.pid_file, self.pid) {
            (Some(file), Some(pid)) => file.write(pid),
            _ => Ok(()),
        };
        self.keep(written)
    }
}

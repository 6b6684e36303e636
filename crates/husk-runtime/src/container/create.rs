// SPDX-License-Identifier: Apache-2.0
//! Making a container.

use std::ffi::OsStr;
use std::path::Path;

use husk_cgroup::{MemoryKills, Place, ScopeWatch};
use husk_init::Step;
use husk_plan::{Action, CgroupPlan, Plan};
use husk_spec::oci::{ContainerId, Seccomp, Spec, State, Status};
use husk_spec::{Stdio, Terminal};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use rustix::process::{Signal, geteuid};

use super::agent::Agent;
use super::command::Becoming;
use super::descriptor_socket::{DescriptorSocket, OwedPidfd, Purpose};
use super::directory::START_SOCKET;
use super::notify::{self, Notify};
use super::pid_file::PidFile;
use super::{Condition, Entry, Error, InitProcess, Record, StateRoot, delete, hooks, timestamp};
use crate::End;
use crate::start::{self, Container, Inheritance, Maker};
use crate::supervise::{self, Signals};
use crate::terminal::HostTerminal;
use crate::why::{Setting, killed_for_memory};

/// A container that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Making<'a> {
    /// Its id.
    pub id: &'a ContainerId,
    /// Its bundle. Absolute.
    pub bundle: &'a Path,
    /// Its root. Absolute.
    pub rootfs: &'a Path,
    /// Its configuration, as it was read.
    pub config: &'a [u8],
    /// Its configuration.
    pub spec: &'a Spec,
    /// What is to be done.
    pub plan: &'a Plan<'a>,
    /// Where its process id is written.
    pub pid_file: Option<&'a Path>,
    /// The socket to which the master of its terminal is sent.
    pub console_socket: Option<&'a Path>,
    /// The socket to which a pidfd of its first process is sent.
    pub pidfd_socket: Option<&'a Path>,
    /// Who on the host waits for the container's word that it is ready (`NOTIFY_SOCKET`), if its configuration has the mount of
    /// [`super::notify::INSIDE`] for that.
    pub notify: Option<&'a OsStr>,
}

/// What happens to a container whose command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It lives on by itself.
    Detach,
    /// It is stayed with until it ends, and then deleted unless it is to be kept.
    Stay {
        /// Whether its state stays when it has ended.
        keep: bool,
    },
}

/// Makes a container, which then waits for [`super::start`]. `warn` is told of poststop hooks that failed when it could not be
/// made.
///
/// # Errors
/// Whatever kept it from being made; nothing is left of the attempt.
pub fn create(root: &StateRoot, making: &Making<'_>, warn: &dyn Fn(&str)) -> Result<(), Error> {
    let entry = root.make(making.id)?;
    match make(&entry, making) {
        Ok((container, _)) => {
            container.let_go();
            Ok(())
        }
        Err(error) => Err(discard(entry, making, error, warn)),
    }
}

/// Makes a container and runs its command. Returns how that ended, `None` if the container was let go. `warn` is told of poststop
/// hooks that failed, which changes nothing.
///
/// # Errors
/// As [`create`].
pub fn run(
    root: &StateRoot,
    making: &Making<'_>,
    then: Then,
    warn: &dyn Fn(&str),
) -> Result<Option<End>, Error> {
    let supervise = |errno| Error::Run(crate::Error::Supervise(errno));
    let signals = Signals::take().map_err(supervise)?;
    let entry = root.make(making.id)?;
    let started = make(&entry, making).and_then(|(mut container, mut creation)| {
        let becoming = Becoming {
            pid: container.pid.as_raw_nonzero().get(),
            profile: creation.profile(),
            agent: creation.agent.take(),
            state: creation.state(Status::Creating),
        };
        await_exec(making.plan, &mut container, becoming)?;
        creation.announce()?;
        hooks::run(poststart(making.spec), "poststart", &creation.state(Status::Running))?;
        Ok((container, creation.master, creation.notify, creation.record))
    });
    let (container, master, notify, record) = match started {
        Ok(started) => started,
        Err(error) => return Err(discard(entry, making, error, warn)),
    };
    entry.unlock();
    let Then::Stay { keep } = then else {
        let pid = container.pid.as_raw_nonzero().get();
        container.let_go();
        // Whoever waits for that word has lost nothing but it: the container runs.
        let _ = notify.map(|notify| notify.pass_on(pid));
        return Ok(None);
    };
    let stdio = if master.is_some() { vec![Stdio::Input, Stdio::Output, Stdio::Error] } else { Vec::new() };
    let host = HostTerminal::new(&Terminal { stdio, size: None, inherit_settings: false });
    let end = supervise::stay_with_command(making.plan, container, host, (master, notify), &signals);
    if keep && end.is_ok() {
        return Ok(end.map(Some)?);
    }
    // Also one that could not be stayed with has ended.
    let taken = take_away_ended(entry, record, making.spec, warn);
    let end = end?;
    taken.map(|()| Some(end))
}

/// Takes away a container that has ended; `record` is what this call has written down last, and nobody else has changed that.
fn take_away_ended(entry: Entry, record: Record, spec: &Spec, warn: &dyn Fn(&str)) -> Result<(), Error> {
    match entry.lock() {
        // Somebody else has deleted it.
        Err(Error::NoSuchContainer { .. }) => return Ok(()),
        locked => locked?,
    }
    let warnings = delete::take_away(entry, Some(record), Some(spec))?;
    warnings.iter().for_each(|warning| warn(warning));
    Ok(())
}

/// Takes away what there is of a container that could not be made.
fn discard(entry: Entry, making: &Making<'_>, error: Error, warn: &dyn Fn(&str)) -> Error {
    // What is to be said is why it could not be made; delete --force finds what cannot be taken away now.
    let record = entry.record().ok().flatten();
    let error = for_memory(error, || record.as_ref()?.cgroup.as_ref()?.memory_kills());
    let warnings = delete::take_away(entry, record, Some(making.spec)).unwrap_or_default();
    warnings.iter().for_each(|warning| warn(warning));
    error
}

/// The error with what the kernel has killed for want of memory, if there is such a reason for it.
fn for_memory(error: Error, kills: impl FnOnce() -> Option<MemoryKills>) -> Error {
    if let Error::KilledForMemory { .. } = error {
        return error;
    }
    match kills() {
        Some(kills) => Error::KilledForMemory {
            error: Box::new(error),
            killed: killed_for_memory(&kills, Setting::Field),
        },
        None => error,
    }
}

/// What decides about the system calls of a container's processes.
pub(crate) fn profile(spec: &Spec) -> Option<&Seccomp> {
    spec.linux.as_ref()?.seccomp.as_ref()
}

pub(crate) fn poststart(spec: &Spec) -> &[husk_spec::oci::Hook] {
    spec.hooks.as_ref().map_or(&[], |hooks| hooks.poststart.as_slice())
}

pub(crate) fn await_exec(
    plan: &Plan<'_>,
    container: &mut Container,
    becoming: Becoming<'_>,
) -> Result<(), Error> {
    let Some(link) = &container.link else {
        return Err(Error::Run(crate::Error::Supervise(Errno::BADF)));
    };
    becoming.wait(link, |failure, root| Error::Run(supervise::failed(plan, &failure, root)))?;
    container.link = None;
    Ok(())
}

fn make<'m>(entry: &'m Entry, making: &'m Making<'m>) -> Result<(Container, Creation<'m>), Error> {
    let mut creation = Creation::new(entry, making)?;
    let awaits = creation.record.start_step.is_some();
    if let Some(host) = making.notify {
        notify::prepare(entry)?;
        creation.notify = if awaits { None } else { Notify::listen(entry, host)? };
    }
    let socket = awaits.then(|| listen_for_start(entry)).transpose()?;
    let states = creation.states.iter().map(OwnedFd::try_clone).collect::<Result<Vec<_>, _>>();
    let states = states.map_err(|_| entry.failed("open", "", Errno::MFILE))?;
    let start = socket.as_ref().map(AsFd::as_fd);
    let description = creation.record.scope_description();
    let inheritance = Inheritance {
        states: &states,
        start,
        lock: Some(entry.fd()),
        description: &description,
        ..Inheritance::default()
    };
    let container = start::make(making.plan, inheritance, &mut creation);
    match (container, creation.failure.take()) {
        (Ok(container), _) => Ok((container, creation)),
        (Err(error), failure) => {
            // Who is in a cgroup that was refused is another's.
            if !creation.is_placed {
                creation.record.cgroup = None;
            }
            entry.write_record(&creation.record)?;
            let was_killed = matches!(error, crate::Error::Ended { signal: Some(signal), .. } if signal == Signal::KILL.as_raw());
            let kills = || match &creation.scope {
                Some(scope) if was_killed => scope.kills_of_killed(),
                _ => creation.record.cgroup.as_ref().and_then(Place::memory_kills),
            };
            Err(for_memory(failure.unwrap_or(Error::Run(error)), kills))
        }
    }
}

fn listen_for_start(entry: &Entry) -> Result<OwnedFd, Error> {
    let failed = |errno| entry.failed("listen on", START_SOCKET, errno);
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(failed)?;
    bind(&socket, &start_address(entry).map_err(failed)?).map_err(failed)?;
    listen(&socket, 8).map_err(failed)?;
    Ok(socket)
}

/// The address of the socket of the start: by the directory's descriptor, since the path may be longer than an address.
pub(crate) fn start_address(entry: &Entry) -> Result<SocketAddrUnix, Errno> {
    use rustix::fd::AsRawFd;
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{START_SOCKET}", entry.fd().as_raw_fd()).as_str())
}

/// A container in the making.
struct Creation<'m> {
    entry: &'m Entry,
    making: &'m Making<'m>,
    record: Record,
    /// The state while it is being made, and when it is made, for the hooks that its own process runs.
    states: Vec<OwnedFd>,
    /// Who answers the notifications of its filter; whoever starts it connects, if that is another call.
    agent: Option<Agent>,
    pidfd: Option<OwedPidfd>,
    /// The master of its terminal, if nobody else was given it.
    master: Option<OwnedFd>,
    /// Who is told when it is ready, if nobody else starts it.
    notify: Option<Notify>,
    /// Whether it is written down what is to be made.
    is_recorded: bool,
    /// Whether its cgroups are there, and its own.
    is_placed: bool,
    /// Who was killed for want of memory in a cgroup that goes with its last process.
    scope: Option<ScopeWatch>,
    /// Why this side could not go on.
    failure: Option<Error>,
}

impl<'m> Creation<'m> {
    fn new(entry: &'m Entry, making: &'m Making<'m>) -> Result<Self, Error> {
        let (steps, _) = making.plan.program();
        let number = |wanted: fn(&Step<'_>) -> bool| steps.iter().position(wanted).map(|index| index as u32);
        let has_hooks =
            making.plan.steps.iter().any(|step| matches!(step.action, Action::Child(Step::Hook(_))));
        let states = if has_hooks { vec![hooks::state_file(), hooks::state_file()] } else { Vec::new() };
        let states = states.into_iter().collect::<Result<Vec<_>, _>>();
        let record = Record {
            oci_version: making.spec.oci_version.clone(),
            id: making.id.to_string(),
            bundle: making.bundle.to_owned(),
            rootfs: making.rootfs.to_owned(),
            created: timestamp(),
            owner: geteuid().as_raw(),
            annotations: making.spec.annotations.clone(),
            cgroup: making.plan.cgroup.as_ref().and_then(|cgroup| cgroup.place().cloned()),
            scope: making.plan.cgroup.as_ref().and_then(|cgroup| cgroup.scope().cloned()),
            making: true,
            start_step: number(|step| matches!(step, Step::AwaitStart { .. })),
            init: None,
        };
        let states = states.map_err(|errno| entry.failed("make a file for the state of", "", errno))?;
        let agent = if record.start_step.is_none() { Agent::of(profile(making.spec))? } else { None };
        let pidfd = making.pidfd_socket.map(|path| OwedPidfd::to(path, Purpose::Init)).transpose()?;
        Ok(Self {
            entry,
            making,
            record,
            states,
            agent,
            pidfd,
            master: None,
            notify: None,
            is_recorded: false,
            is_placed: false,
            scope: None,
            failure: None,
        })
    }

    fn profile(&self) -> Option<&'m Seccomp> {
        profile(self.making.spec)
    }

    fn state(&self, status: Status) -> State {
        let pid = self.record.init.as_ref().map(|init| init.pid);
        self.record.for_hooks(Condition { status, pid })
    }

    /// Keeps the reason for the caller, and says that there is one.
    fn keep(&mut self, result: Result<(), Error>) -> Result<(), crate::Error> {
        result.map_err(|error| {
            self.failure = Some(error);
            crate::Error::Supervise(Errno::CANCELED)
        })
    }

    fn write_state(&self, number: usize, status: Status) -> Result<(), Error> {
        let Some(file) = self.states.get(number) else { return Ok(()) };
        hooks::write_state(file, &self.state(status))
            .map_err(|errno| self.entry.failed("write a file for the state of", "", errno))
    }

    fn run_hooks(&self) -> Result<(), Error> {
        self.entry.write_record(&self.record)?;
        self.write_state(0, Status::Creating)?;
        let Some(all) = &self.making.spec.hooks else { return Ok(()) };
        let state = self.state(Status::Creating);
        hooks::run(&all.prestart, "prestart", &state)?;
        Ok(hooks::run(&all.create_runtime, "createRuntime", &state)?)
    }

    fn record(&mut self) -> Result<(), Error> {
        if !self.is_recorded {
            self.entry.write_config(self.making.config)?;
            self.entry.write_undo(&self.record)?;
            self.is_recorded = true;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.write_state(1, Status::Created)?;
        self.record.making = false;
        if self.record.start_step.is_some() {
            self.announce()?;
        }
        self.entry.write_record(&self.record)
    }

    /// Tells whoever has asked for it which process is the container's first.
    fn announce(&mut self) -> Result<(), Error> {
        if let Some(pidfd) = self.pidfd.take() {
            pidfd.send()?;
        }
        match (self.making.pid_file, &self.record.init) {
            (Some(path), Some(init)) => PidFile::at(path)?.write(init.pid),
            _ => Ok(()),
        }
    }
}

impl Maker for Creation<'_> {
    fn begins(&mut self) -> Result<(), crate::Error> {
        let recorded = self.record();
        self.keep(recorded)
    }

    fn placed(&mut self, place: &Place) -> Result<(), crate::Error> {
        self.is_placed = true;
        self.record.cgroup = Some(place.clone());
        self.scope = self.record.scope.as_ref().map(|_| place.watch_scope());
        let written = match (place.is_of_known_scope(), place.made()) {
            (true, _) => self.entry.write_record(&self.record),
            // What husk makes itself is written down already, but for those above.
            (false, []) => Ok(()),
            (false, made) => {
                let planned = self.making.plan.cgroup.as_ref().and_then(CgroupPlan::place);
                let cgroup = planned.map(|planned| planned.clone().having_made(made));
                self.entry.rewrite_undo(&Record { cgroup, ..self.record.clone() })
            }
        };
        self.keep(written)
    }

    fn made(&mut self, container: &Container) -> Result<(), crate::Error> {
        let init = InitProcess::of(container.pid).map_err(|errno| Error::Process {
            doing: "look at the container's first process in /proc".to_owned(),
            errno,
        });
        let kept = init.map(|init| self.record.init = Some(init));
        let kept = kept.and_then(|()| match &mut self.pidfd {
            Some(owed) => owed.keep(&container.pidfd),
            None => Ok(()),
        });
        self.keep(kept)
    }

    fn terminal(&mut self, master: OwnedFd) -> Result<(), crate::Error> {
        // Not before: whatever is open when the first process is made, that has open as well.
        match self.making.console_socket {
            Some(path) => {
                let socket = DescriptorSocket::connect(path, Purpose::Terminal);
                let sent = socket.and_then(|socket| socket.send(&master));
                self.keep(sent)
            }
            None => {
                self.master = Some(master);
                Ok(())
            }
        }
    }

    fn mounted(&mut self) -> Result<(), crate::Error> {
        let done = self.run_hooks();
        self.keep(done)
    }

    fn ready(&mut self) -> Result<(), crate::Error> {
        let done = self.commit();
        self.keep(done)
    }
}

pub(crate) fn send_go(link: &OwnedFd) -> Result<(), Errno> {
    rustix::net::send(link, b"G", SendFlags::NOSIGNAL).map(drop)
}

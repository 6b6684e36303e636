// SPDX-License-Identifier: Apache-2.0
//! husk's own half of a plan, from the first effect to the guard.

use husk_cgroup::limits::Hierarchy;
use husk_cgroup::systemd::{Asked, ScopeEntry};
use husk_cgroup::{Entry, MemoryKills, Place};
use husk_init::{Call, Guard, Program, own_pipes, stand_by, stand_guard};
use husk_plan::{Action, HostStep, IdMaps, Need, Plan, TreeMaps, explain};
use husk_spec::{IdMapping, NamespaceKind};
use husk_sys::{Clone, Cloned, MountChange, clone3, mount_setattr};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, getpid, pidfd_send_signal, set_dumpable_behavior,
    waitid,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::End;
use crate::claim::{self, Claimed};
use crate::error::Error;
use crate::id_map;
use crate::link::{Heard, Link};
use crate::net_device;
use crate::passing::Passing;
use crate::resctrl;
use crate::stopwatch::Stopwatch;
use crate::supervise;
use crate::terminal::HostTerminal;

/// A container whose first process has been made.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    /// `None` once the child has become the command.
    pub(crate) link: Option<Link>,
    guard: Option<GuardProcess>,
    ids: Option<Claimed>,
    passing: Option<Passing>,
    reaped: bool,
}

/// The guard, and the end of the pipe whose closing tells it that husk is gone.
#[derive(Debug)]
struct GuardProcess {
    pidfd: OwnedFd,
    _alive: OwnedFd,
}

impl Container {
    /// Lets go of the container, which lives on without husk.
    pub(crate) fn let_go(mut self) {
        self.reaped = true;
    }

    fn new(cloned: Cloned, link: Link, ids: Option<Claimed>) -> Self {
        Self {
            pid: cloned.pid,
            pidfd: cloned.pidfd,
            link: Some(link),
            guard: None,
            ids,
            passing: None,
            reaped: false,
        }
    }

    /// Processes that the kernel has killed in its cgroup for want of memory.
    pub(crate) fn memory_kills(&self) -> Option<MemoryKills> {
        self.passing.as_ref().and_then(Passing::memory_kills)
    }

    /// The signal that the first process was killed by; it is ending already. That it is waited for later changes nothing.
    fn killed_by(&self) -> Option<i32> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(self.pidfd.as_fd()), options).ok()??.terminating_signal()
    }

    /// Waits for the end of the first process.
    pub(crate) fn wait(&mut self) -> Result<End, Errno> {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => {
                    self.reaped = true;
                    let killed =
                        status.terminating_signal().map(|signal| End::Killed { signal, by_husk: false });
                    return Ok(killed.unwrap_or(End::Exited(status.exit_status().unwrap_or(255) as u8)));
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Drop for Container {
    /// Ends what still runs, then the guard. With its first process a pid namespace dies, and with the last process every
    /// other namespace and all mounts.
    fn drop(&mut self) {
        if !self.reaped {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
            let _ = self.wait();
        }
        // As long as husk may be killed in this, the guard is there to finish it.
        drop(self.passing.take());
        if let Some(guard) = self.guard.take() {
            let _ = pidfd_send_signal(&guard.pidfd, Signal::KILL);
            let _ = waitid(WaitId::PidFd(guard.pidfd.as_fd()), WaitIdOptions::EXITED);
        }
        drop(self.ids.take());
    }
}

/// What husk has got hold of before there is a container.
#[derive(Default)]
struct Acquired {
    ids: Option<Claimed>,
    trees: Vec<OwnedFd>,
    proc: Option<OwnedFd>,
    cgroup_namespace: Option<OwnedFd>,
    place: Option<Place>,
    cgroup: Option<Entry>,
    /// By which a group of the resource control file system is joined.
    tasks: Vec<OwnedFd>,
    passing: Option<Passing>,
    placeholder: Option<Placeholder>,
}

/// A process that keeps a scope from being empty until the child is in it.
struct Placeholder(Cloned);

impl Placeholder {
    fn new() -> Result<Self, Errno> {
        let parent = getpid();
        let args = Clone {
            namespaces: UnshareFlags::empty(),
            cgroup: None,
            exit_signal: Signal::CHILD.as_raw() as u32,
        };
        clone3(&args, || stand_by(parent)).map(Self)
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.0.pidfd, Signal::KILL);
        let _ = waitid(WaitId::PidFd(self.0.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

/// What the child is given beside its program.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Inheritance<'a> {
    /// Files with the container's state, for hooks.
    pub(crate) states: &'a [OwnedFd],
    /// The listening socket on which the start of the command is awaited.
    pub(crate) start: Option<BorrowedFd<'a>>,
    /// The way into cgroups that are there.
    pub(crate) cgroup: Option<&'a Entry>,
    /// The way into a scope by systemd.
    pub(crate) scope: Option<&'a ScopeEntry>,
    /// By what a scope is known again.
    pub(crate) description: &'a str,
    /// The lock on the container, which the child must not keep.
    pub(crate) lock: Option<BorrowedFd<'a>>,
}

/// Who makes a container that is to live on: what is done where the plan waits for it.
pub(crate) trait Maker {
    /// Something is about to be made that this process may not live to take away, or the first process is there. It may be called
    /// more than once.
    fn begins(&mut self) -> Result<(), Error>;

    /// Its cgroups are there.
    fn placed(&mut self, place: &Place) -> Result<(), Error>;

    /// The container's first process is there.
    fn made(&mut self, container: &Container) -> Result<(), Error>;

    /// It has made its terminal.
    fn terminal(&mut self, master: OwnedFd) -> Result<(), Error>;

    /// Everything is mounted, and the root not yet entered.
    fn mounted(&mut self) -> Result<(), Error>;

    /// It is ready, and stays so without husk once this has returned.
    fn ready(&mut self) -> Result<(), Error>;
}

/// Carries out husk's half of `plan`.
pub(crate) fn start(
    plan: &Plan<'_>,
    inheritance: Inheritance<'_>,
    terminal: &HostTerminal,
    stopwatch: &Stopwatch,
) -> Result<Container, Error> {
    carry_out(plan, inheritance, Some(terminal), None, stopwatch)
}

/// Carries out husk's half of `plan` for a container that is to live on.
pub(crate) fn make(
    plan: &Plan<'_>,
    inheritance: Inheritance<'_>,
    maker: &mut dyn Maker,
) -> Result<Container, Error> {
    carry_out(plan, inheritance, None, Some(maker), &Stopwatch::default())
}

fn carry_out(
    plan: &Plan<'_>,
    inheritance: Inheritance<'_>,
    terminal: Option<&HostTerminal>,
    maker: Option<&mut dyn Maker>,
    stopwatch: &Stopwatch,
) -> Result<Container, Error> {
    let acquired = Acquired::default();
    let mut half = Half { plan, inheritance, terminal, maker, container: None, acquired };
    match half.take_all(stopwatch) {
        Ok(()) => half.container.ok_or(Error::Supervise(Errno::INVAL)),
        Err(error) => Err(half.with_hint(error)),
    }
}

/// husk's half of a plan, as far as it has got.
struct Half<'p, 'm> {
    plan: &'p Plan<'p>,
    inheritance: Inheritance<'p>,
    terminal: Option<&'p HostTerminal>,
    maker: Option<&'m mut dyn Maker>,
    /// From the clone on.
    container: Option<Container>,
    acquired: Acquired,
}

impl Half<'_, '_> {
    fn take_all(&mut self, stopwatch: &Stopwatch) -> Result<(), Error> {
        for (index, planned) in self.plan.steps.iter().enumerate() {
            let Action::Host(step) = &planned.action else { continue };
            match step {
                HostStep::Clone { namespaces } => self.clone(index, *namespaces, stopwatch)?,
                step => self.take(index, step)?,
            }
            stopwatch.done(index);
        }
        Ok(())
    }

    /// The error, with what to do about a child that has been killed for the cgroup that it started in.
    fn with_hint(&self, mut error: Error) -> Error {
        let entry = self.inheritance.cgroup.or(self.acquired.cgroup.as_ref());
        if let Error::Ended { signal: Some(signal), hint, .. } = &mut error
            && *signal == Signal::KILL.as_raw()
            && entry.and_then(|entry| entry.directory.as_ref()).is_some_and(kills_newcomers)
        {
            *hint = Some(KILLED_CGROUP.to_owned());
        }
        error
    }

    /// Takes a step before or after the clone.
    fn take(&mut self, index: usize, step: &HostStep<'_>) -> Result<(), Error> {
        let plan = self.plan;
        let failed = |call: Call, errno| Error::step(plan, index, call.name(), errno, b"");
        if let Some(maker) = &mut self.maker
            && leaves_something(step)
        {
            maker.begins()?;
        }
        match (step, &mut self.container) {
            (HostStep::EnterScope { .. }, _) => enter_scope(plan, index),
            (HostStep::MakeCgroup { only, .. }, _) => self.make_cgroup(index, *only),
            (HostStep::StartScope { .. }, None) => self.hold_scope(index),
            (HostStep::StartScope { .. }, Some(container)) => {
                let pid = container.pid;
                self.start_scope(index, pid).map_err(|error| self.last_word().unwrap_or(error))
            }
            (HostStep::LimitCgroup { .. } | HostStep::LimitDevices { .. }, _) => {
                limit_if_possible(plan, index, step, &mut self.acquired)
            }
            (step, None) => acquire(plan, index, step, &mut self.acquired),
            (HostStep::AttachToScope { .. }, Some(container)) => {
                let entry = self.inheritance.scope.ok_or(Error::Supervise(Errno::BADF))?;
                entry
                    .attach(container.pid.as_raw_nonzero().get())
                    .map_err(|error| Error::cgroup(plan, index, &error))
            }
            (HostStep::HandOverCgroup, Some(container)) => hand_over_cgroup(container, &mut self.acquired)
                .map_err(|errno| last_word(plan, container).unwrap_or(failed(Call::Sendmsg, errno))),
            (HostStep::Hooks | HostStep::Commit, Some(container)) => match &mut self.maker {
                Some(maker) => meet(plan, index, step, container, *maker),
                // Whoever stays with it meets it there, and hears of its terminal before that.
                None => Ok(()),
            },
            (HostStep::Guard, Some(container)) => {
                let terminal = self.terminal.ok_or(Error::Supervise(Errno::INVAL))?;
                let guard = guard(container, terminal).map_err(|errno| failed(Call::Clone3, errno))?;
                container.guard = Some(guard);
                Ok(())
            }
            (step, Some(container)) => attend(plan, index, step, container, &self.acquired)
                .map_err(|error| last_word(plan, container).unwrap_or(error)),
        }
    }

    fn last_word(&self) -> Option<Error> {
        last_word(self.plan, self.container.as_ref()?)
    }

    fn clone(&mut self, index: usize, namespaces: UnshareFlags, stopwatch: &Stopwatch) -> Result<(), Error> {
        let (cloned, link) = clone(self.plan, namespaces, &self.acquired, self.inheritance, stopwatch)
            .map_err(|(call, errno)| Error::step(self.plan, index, call.name(), errno, b""))?;
        let ids = self.acquired.ids.take();
        let container = self.container.insert(Container::new(cloned, link, ids));
        container.passing = self.acquired.passing.take();
        self.acquired.placeholder = None;
        if let Some(maker) = &mut self.maker {
            maker.begins()?;
            maker.made(container)?;
        }
        Ok(())
    }

    fn make_cgroup(&mut self, index: usize, only: Option<Hierarchy>) -> Result<(), Error> {
        make_cgroup(self.plan, index, only, self.maker.is_none(), &mut self.acquired)?;
        match (&mut self.maker, &self.acquired.place) {
            (Some(maker), Some(place)) => maker.placed(place),
            _ => Ok(()),
        }
    }

    /// Has systemd make a scope around the process `pid`.
    fn start_scope(&mut self, index: usize, pid: Pid) -> Result<(), Error> {
        let beside = self.acquired.place.take();
        let place = start_scope(self.plan, index, pid, self.inheritance, beside)?;
        if let Some(maker) = &mut self.maker {
            maker.placed(&place)?;
        }
        self.acquired.place = Some(place);
        Ok(())
    }

    /// Has systemd make a scope before there is a child, around a process that holds its place.
    fn hold_scope(&mut self, index: usize) -> Result<(), Error> {
        let failed = |errno| Error::step(self.plan, index, Call::Clone3.name(), errno, b"");
        let holder = Placeholder::new().map_err(failed)?;
        let pid = holder.0.pid;
        self.acquired.placeholder = Some(holder);
        self.start_scope(index, pid)?;
        let entry = self.acquired.place.as_ref().map(Place::open).transpose();
        self.acquired.cgroup = entry.map_err(|error| Error::cgroup(self.plan, index, &error))?;
        Ok(())
    }
}

const KILLED_CGROUP: &str = "cgroup.kill was written once in the container's cgroup or in the caller's own, and since then the kernel kills \
     every process that is started from the one in the other: remove that cgroup, or call from another";

/// Whether the kernel kills a process that starts in this cgroup of version 2: it takes the number of kills from the
/// caller's cgroup, compares it with the new one's, and takes a difference for a kill in between (`kill_seq` in
/// `cgroup_css_set_fork` and `cgroup_post_fork` of `kernel/cgroup/cgroup.c`, seen on Linux 6.12 and 6.18).
fn kills_newcomers(directory: &OwnedFd) -> bool {
    let args = Clone {
        namespaces: UnshareFlags::empty(),
        cgroup: Some(directory.as_fd()),
        exit_signal: Signal::CHILD.as_raw() as u32,
    };
    let Ok(newcomer) = clone3(&args, || husk_sys::exit(0)) else { return false };
    let end = waitid(WaitId::PidFd(newcomer.pidfd.as_fd()), WaitIdOptions::EXITED);
    end.ok().flatten().and_then(|end| end.terminating_signal()) == Some(Signal::KILL.as_raw())
}

/// Whether what the step makes stays when husk is killed.
fn leaves_something(step: &HostStep<'_>) -> bool {
    matches!(
        step,
        HostStep::StartScope { .. } | HostStep::MakeCgroup { .. } | HostStep::PrepareResourceGroup(_)
    )
}

/// A child that has died already cannot be told anything; why is what it has said on the link.
fn unless_dead(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::PIPE { Ok(()) } else { Err(errno) }
}

/// Has the user's systemd make a scope around husk, in which there is room for the container's cgroup.
fn enter_scope(plan: &Plan<'_>, index: usize) -> Result<(), Error> {
    let Some(scope) = plan.cgroup.as_ref().and_then(|cgroup| cgroup.around.as_ref()) else { return Ok(()) };
    let description = format!("husk run, process {}", getpid().as_raw_nonzero());
    scope.enter(&description).map_err(|error| Error::cgroup(plan, index, &error))
}

/// Makes the container's cgroups, or those of one version after those of the other, and opens the way in. If they go with the container,
/// nobody else will take them away.
fn make_cgroup(
    plan: &Plan<'_>,
    index: usize,
    only: Option<Hierarchy>,
    passes: bool,
    acquired: &mut Acquired,
) -> Result<(), Error> {
    let Some(cgroup) = &plan.cgroup else { return Ok(()) };
    let Some(whole) = cgroup.place() else { return Ok(()) };
    let mut place = only.map_or_else(|| whole.clone(), |version| whole.part(version));
    let controllers: Vec<_> = cgroup.controllers.iter().map(String::as_str).collect();
    let mut is_ours = false;
    let made = place.create(&controllers).and_then(|()| {
        is_ours = true;
        acquired.passing = passes.then(|| Passing::of(&place)).transpose()?;
        if let Some(uid) = cgroup.owner {
            place.delegate(uid)?;
        }
        place.open()
    });
    match made {
        Ok(entry) => {
            acquired.place = Some(match acquired.place.take() {
                Some(other) => place.with(other),
                None => place,
            });
            let before = acquired.cgroup.take().and_then(|entry| entry.directory);
            acquired.cgroup = Some(Entry { directory: entry.directory.or(before), ..entry });
            Ok(())
        }
        Err(error) => {
            acquired.passing = None;
            if is_ours {
                let _ = place.remove();
            }
            match cgroup.need {
                Need::Always => Err(Error::cgroup(plan, index, &cgroup.said(&error))),
                Need::IfPossible => Ok(()),
            }
        }
    }
}

/// Has systemd make a scope around a process. systemd takes it away when its last process has left.
fn start_scope(
    plan: &Plan<'_>,
    index: usize,
    pid: Pid,
    inheritance: Inheritance<'_>,
    beside: Option<Place>,
) -> Result<Place, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::cgroup(plan, index, error);
    let none = || Error::Supervise(Errno::INVAL);
    let cgroup = plan.cgroup.as_ref().ok_or_else(none)?;
    let scope = cgroup.scope().ok_or_else(none)?;
    let pid = pid.as_raw_nonzero().get();
    let asked = Asked { limits: &cgroup.limits, devices: cgroup.devices.as_deref() };
    let place = scope.start(pid, &asked, inheritance.description, beside).map_err(|error| failed(&error))?;
    if let Some(uid) = cgroup.owner {
        place.delegate(uid).map_err(|error| failed(&error))?;
    }
    Ok(place)
}

/// Writes what the container's cgroups limit.
fn limit(plan: &Plan<'_>, index: usize, step: &HostStep<'_>, acquired: &Acquired) -> Result<(), Error> {
    let (Some(place), Some(cgroup)) = (&acquired.place, &plan.cgroup) else { return Ok(()) };
    let done = match (step, &cgroup.devices) {
        (HostStep::LimitDevices { .. }, Some(rules)) => place.set_devices(rules),
        (HostStep::LimitDevices { .. }, None) => Ok(()),
        _ => place.apply(&cgroup.limits.writes),
    };
    done.map_err(|error| Error::cgroup(plan, index, &cgroup.said(&error)))
}

/// As [`limit`]; where nobody asked for limits, the container does without them, and without the cgroup.
fn limit_if_possible(
    plan: &Plan<'_>,
    index: usize,
    step: &HostStep<'_>,
    acquired: &mut Acquired,
) -> Result<(), Error> {
    match limit(plan, index, step, acquired) {
        Err(_) if plan.cgroup.as_ref().is_some_and(|cgroup| cgroup.need == Need::IfPossible) => {
            (acquired.place, acquired.cgroup, acquired.passing) = (None, None, None);
            Ok(())
        }
        result => result,
    }
}

/// Sends the child the files by which it enters its cgroups; none if it has to do without.
fn hand_over_cgroup(container: &mut Container, acquired: &mut Acquired) -> Result<(), Errno> {
    container.passing = acquired.passing.take();
    let tasks = acquired.cgroup.as_mut().map(|entry| std::mem::take(&mut entry.tasks)).unwrap_or_default();
    match &container.link {
        Some(link) => link.hand_over(&tasks).or_else(unless_dead),
        None => Ok(()),
    }
}

/// The steps before the clone.
fn acquire(plan: &Plan<'_>, index: usize, step: &HostStep<'_>, acquired: &mut Acquired) -> Result<(), Error> {
    let failed = |call: Call, errno| Error::step(plan, index, call.name(), errno, b"");
    match step {
        HostStep::ClaimIds(wanted) => {
            let claimed = claim::claim(wanted).map_err(|errno| failed(Call::Socket, errno))?;
            let doing = || explain::describe(&plan.steps[index]);
            acquired.ids = Some(claimed.ok_or_else(|| Error::NoFreeIds { doing: doing() })?);
        }
        HostStep::OomScoreAdj(value) => {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let file = open(c"/proc/self/oom_score_adj", flags, Mode::empty())
                .map_err(|errno| failed(Call::Open, errno))?;
            rustix::io::write(&file, value.to_bytes()).map_err(|errno| failed(Call::Write, errno))?;
        }
        HostStep::Processors(processors) => {
            husk_sys::sched_setaffinity(processors).map_err(|errno| failed(Call::SchedSetaffinity, errno))?;
        }
        HostStep::OpenRoot { path, .. } => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let root = open(*path, flags, Mode::empty()).map_err(|errno| failed(Call::Open, errno))?;
            acquired.trees.push(root);
        }
        HostStep::PrepareTree { source, recursive, propagation, .. } => {
            let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            flags.set(OpenTreeFlags::AT_RECURSIVE, *recursive);
            let tree = open_tree(CWD, *source, flags).map_err(|errno| failed(Call::OpenTree, errno))?;
            // The copy of a shared mount is shared too: what is mounted below it would travel between host and container, and
            // pivot_root(2) refuses such a root.
            let private =
                MountChange { propagation: Some(*propagation), recursive: *recursive, ..MountChange::NONE };
            mount_setattr(tree.as_fd(), c"", &private).map_err(|errno| failed(Call::MountSetattr, errno))?;
            acquired.trees.push(tree);
        }
        HostStep::MapTree { number, recursive, through: TreeMaps::Joined(path) } => {
            let namespace = open(*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| failed(Call::Open, errno))?;
            map_tree(&acquired.trees, *number, *recursive, &namespace)
                .map_err(|errno| failed(Call::MountSetattr, errno))?;
        }
        HostStep::MapTree { number, recursive, through: TreeMaps::Own { uids, gids } } => {
            let namespace =
                id_map::make_user_namespace(uids, gids).map_err(|(call, errno)| failed(call, errno))?;
            map_tree(&acquired.trees, *number, *recursive, &namespace)
                .map_err(|errno| failed(Call::MountSetattr, errno))?;
        }
        HostStep::PrepareResourceGroup(group) => {
            acquired.tasks = resctrl::prepare(group)
                .map_err(|found| Error::step(plan, index, found.call.name(), found.errno, &found.words))?;
        }
        HostStep::MoveDevice { device, name, namespace: Some(path) } => {
            let namespace = open(*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| failed(Call::Open, errno))?;
            net_device::move_device(device, name, &namespace)
                .map_err(|(call, errno)| Error::step(plan, index, call, errno, b""))?;
        }
        HostStep::OpenCgroupNamespace { path } => {
            let namespace = open(*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| failed(Call::Open, errno))?;
            acquired.cgroup_namespace = Some(namespace);
        }
        HostStep::Join { kind, path } => {
            // From here on, processes in that namespace could otherwise trace husk.
            set_dumpable_behavior(DumpableBehavior::NotDumpable)
                .map_err(|errno| failed(Call::Prctl, errno))?;
            let namespace = open(*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| failed(Call::Open, errno))?;
            if *kind == NamespaceKind::Mount {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let proc = open(c"/proc", flags, Mode::empty()).map_err(|errno| failed(Call::Open, errno))?;
                acquired.proc = Some(proc);
            }
            move_into_link_name_space(namespace.as_fd(), Some(link_type(*kind)))
                .map_err(|errno| failed(Call::Setns, errno))?;
        }
        _ => return Err(Error::Supervise(Errno::INVAL)),
    }
    Ok(())
}

fn link_type(kind: NamespaceKind) -> LinkNameSpaceType {
    match kind {
        NamespaceKind::User => LinkNameSpaceType::User,
        NamespaceKind::Mount => LinkNameSpaceType::Mount,
        NamespaceKind::Pid => LinkNameSpaceType::ProcessID,
        NamespaceKind::Network => LinkNameSpaceType::Network,
        NamespaceKind::Ipc => LinkNameSpaceType::InterProcessCommunication,
        NamespaceKind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        NamespaceKind::Cgroup => LinkNameSpaceType::ControlGroup,
        NamespaceKind::Time => LinkNameSpaceType::Time,
    }
}

fn clone(
    plan: &Plan<'_>,
    namespaces: UnshareFlags,
    acquired: &Acquired,
    inheritance: Inheritance<'_>,
    stopwatch: &Stopwatch,
) -> Result<(Cloned, Link), (Call, Errno)> {
    let (link, childs_link) = Link::pair().map_err(|errno| (Call::Socket, errno))?;
    let (steps, numbers) = plan.program();
    let entry = inheritance.cgroup.or(acquired.cgroup.as_ref());
    let parents_own: Vec<_> = inheritance.lock.into_iter().chain([link.as_fd()]).collect();
    let program = Program {
        steps: &steps,
        prepared: &acquired.trees,
        tasks: entry.map_or(&[], |entry| &entry.tasks),
        cgroup_namespace: acquired.cgroup_namespace.as_ref().map(AsFd::as_fd),
        proc: acquired.proc.as_ref().map(AsFd::as_fd),
        states: inheritance.states,
        start: inheritance.start,
        link: childs_link.as_fd(),
        parents_own: &parents_own,
        times: numbers.first().and_then(|first| stopwatch.of_child(*first)),
    };
    let cgroup = entry.and_then(|entry| entry.directory.as_ref()).map(AsFd::as_fd);
    let args = Clone { namespaces, cgroup, exit_signal: Signal::CHILD.as_raw() as u32 };
    let cloned = clone3(&args, || husk_init::run(&program)).map_err(|errno| (Call::Clone3, errno))?;
    Ok((cloned, link))
}

/// Why the child is dead, if it is: what husk wanted to do to it has failed for that reason.
fn last_word(plan: &Plan<'_>, container: &Container) -> Option<Error> {
    let link = container.link.as_ref()?;
    let mut fds = [PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).ok().filter(|ready| *ready > 0)?;
    match link.hear() {
        Ok(Heard::Failure(failure, root)) => Some(supervise::failed(plan, &failure, root)),
        _ => None,
    }
}

/// Meets the child where it waits: hears what it has to say until it does, does what is to be done, and lets it go on.
fn meet(
    plan: &Plan<'_>,
    index: usize,
    step: &HostStep<'_>,
    container: &Container,
    maker: &mut dyn Maker,
) -> Result<(), Error> {
    let failed = |call: Call, errno| Error::step(plan, index, call.name(), errno, b"");
    let Some(link) = &container.link else { return Err(Error::Supervise(Errno::BADF)) };
    loop {
        match link.hear().map_err(|errno| failed(Call::Recv, errno))? {
            Heard::Terminal(master) => maker.terminal(master)?,
            Heard::Paused => break,
            Heard::Failure(failure, root) => return Err(supervise::failed(plan, &failure, root)),
            Heard::Listener(_) => return Err(failed(Call::Recv, Errno::BADMSG)),
            Heard::End => return Err(Error::ended(plan, index, container.killed_by())),
        }
    }
    match step {
        HostStep::Hooks => maker.mounted()?,
        _ => maker.ready()?,
    }
    link.release().map_err(|errno| last_word(plan, container).unwrap_or(failed(Call::Sendmsg, errno)))
}

/// The steps after the clone.
fn attend(
    plan: &Plan<'_>,
    index: usize,
    step: &HostStep<'_>,
    container: &mut Container,
    acquired: &Acquired,
) -> Result<(), Error> {
    let failed = |call: Call, errno| Error::step(plan, index, call.name(), errno, b"");
    match step {
        HostStep::MapIds(maps) => map_ids(plan, index, maps, container),
        HostStep::OwnPipes { uid, gid } => {
            let first = container.ids.as_ref().map_or(0, |ids| ids.first);
            own_pipes(first + uid, first + gid).map_err(|errno| failed(Call::Fchown, errno))
        }
        HostStep::MapTree { number, recursive, through: TreeMaps::Container } => {
            let namespace =
                id_map::open_user_namespace(container.pid).map_err(|errno| failed(Call::Open, errno))?;
            map_tree(&acquired.trees, *number, *recursive, &namespace)
                .map_err(|errno| failed(Call::MountSetattr, errno))
        }
        HostStep::JoinResourceGroup => {
            resctrl::join(&acquired.tasks, container.pid).map_err(|errno| failed(Call::Write, errno))
        }
        HostStep::MoveDevice { device, name, namespace: None } => {
            let path = format!("/proc/{}/ns/net", container.pid.as_raw_nonzero());
            let namespace = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .map_err(|errno| failed(Call::Open, errno))?;
            net_device::move_device(device, name, &namespace)
                .map_err(|(call, errno)| Error::step(plan, index, call, errno, b""))
        }
        HostStep::Release => match &container.link {
            Some(link) => link.release().or_else(unless_dead).map_err(|errno| failed(Call::Sendmsg, errno)),
            None => Ok(()),
        },
        HostStep::SweepCgroups => {
            container.passing.iter().for_each(Passing::sweep);
            Ok(())
        }
        _ => Err(Error::Supervise(Errno::INVAL)),
    }
}

fn map_ids(plan: &Plan<'_>, index: usize, maps: &IdMaps<'_>, container: &Container) -> Result<(), Error> {
    let pid = container.pid;
    let written = match *maps {
        IdMaps::Claimed { count } => {
            let outside = container.ids.as_ref().map_or(0, |ids| ids.first);
            let map = [IdMapping { inside: 0, outside, count }];
            id_map::write(pid, &map, &map, false)
        }
        IdMaps::Written { uids, gids, deny_setgroups } => id_map::write(pid, uids, gids, deny_setgroups),
        IdMaps::ByHelpers { uids, gids, helpers } => {
            return id_map::have_written(pid, uids, gids, helpers).map_err(|failed| Error::Helper {
                doing: explain::describe(&plan.steps[index]),
                helper: failed.helper,
                said: failed.said,
            });
        }
    };
    written.map_err(|errno| Error::step(plan, index, Call::Write.name(), errno, b""))
}

fn map_tree(trees: &[OwnedFd], number: usize, recursive: bool, namespace: &OwnedFd) -> Result<(), Errno> {
    let tree = trees.get(number).ok_or(Errno::BADF)?;
    let change = MountChange { idmap: Some(namespace.as_fd()), recursive, ..MountChange::NONE };
    mount_setattr(tree.as_fd(), c"", &change)
}

fn guard(container: &Container, terminal: &HostTerminal) -> Result<GuardProcess, Errno> {
    let (husk, alive) = pipe_with(PipeFlags::CLOEXEC)?;
    let names = container.passing.as_ref().map(Passing::names).unwrap_or_default();
    let cgroups = container.passing.as_ref().map(|passing| passing.cgroups(&names)).unwrap_or_default();
    let guard = Guard {
        husk: husk.as_fd(),
        container: container.pidfd.as_fd(),
        terminal: terminal.to_restore(),
        cgroups: &cgroups,
    };
    let args =
        Clone { namespaces: UnshareFlags::empty(), cgroup: None, exit_signal: Signal::CHILD.as_raw() as u32 };
    let cloned = clone3(&args, || stand_guard(&guard))?;
    Ok(GuardProcess { pidfd: cloned.pidfd, _alive: alive })
}

// SPDX-License-Identifier: Apache-2.0
//! The interpreter.

use core::convert::Infallible;
use core::ffi::CStr;
use core::sync::atomic::{AtomicU64, Ordering};
use husk_sys::{
    MountChange, Propagation, SignalSet, close_all_except, close_in_child, close_range, default_dispositions,
    execve, exit, getcwd, interface_up, ioprio_set, mount_setattr, now, personality, sched_setaffinity,
    sched_setattr, seccomp_set_mode_filter, set_mempolicy, set_signal_mask, unshare,
};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, accessat, fstatfs, open,
    openat, openat2, stat, symlinkat,
};
use rustix::io::{Errno, read, write};
use rustix::mount::MountAttrFlags;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socket_with};
use rustix::process::{
    DumpableBehavior, Rlimit, Signal, fchdir, set_dumpable_behavior, set_parent_process_death_signal,
    setrlimit, setsid, umask,
};
use rustix::system::{setdomainname, sethostname};
use rustix::thread::{
    LinkNameSpaceType, UnshareFlags, move_into_link_name_space, set_keep_capabilities, set_no_new_privs,
};

use crate::call::{At, Call, Fault};
use crate::failure::{Failure, LOG, Message};
use crate::root::{self, Root};
use crate::step::{Attributes, Exec, Step, SyscallFilter};
use crate::{OWN_FAILURE, beneath, cgroup, hook, identity, mounts, own_pipes, reap, start, terminal};

/// What a child has to do, and what it has to do it with.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The steps, in order. The last is [`Step::Exec`].
    pub steps: &'a [Step<'a>],
    /// The detached mounts that the parent has prepared.
    pub prepared: &'a [OwnedFd],
    /// The `tasks` files of the container's cgroups of version 1.
    pub tasks: &'a [OwnedFd],
    /// The cgroup namespace that is to be entered, if one is.
    pub cgroup_namespace: Option<BorrowedFd<'a>>,
    /// The host's /proc, where this process has it no longer when it needs it.
    pub proc: Option<BorrowedFd<'a>>,
    /// Files with the container's state, for hooks.
    pub states: &'a [OwnedFd],
    /// The listening socket on which the start of the command is awaited.
    pub start: Option<BorrowedFd<'a>>,
    /// The child's end of the `SOCK_SEQPACKET` pair to the parent; close-on-exec.
    pub link: BorrowedFd<'a>,
    /// What is the parent's alone and must end with it, and would not as long as the child holds a copy: its end of the link, its
    /// locks.
    pub parents_own: &'a [BorrowedFd<'a>],
    /// Where to write down, for each step, when it was done (nanoseconds of `husk_sys::now`), if anybody wants to know.
    pub times: Option<&'a [AtomicU64]>,
}

/// The host's /proc.
enum Proc<'a> {
    Given(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Proc<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Given(fd) => *fd,
            Self::Opened(fd) => fd.as_fd(),
        }
    }
}

/// What the steps that are done have left for those that follow.
pub(crate) struct World<'a> {
    program: &'a Program<'a>,
    root: Option<Root<'a>>,
    scratch: Option<OwnedFd>,
    proc: Option<Proc<'a>>,
    terminal: Option<OwnedFd>,
    empty: Option<OwnedFd>,
    /// The directory in which the last step made something, by its path, if this step may make something there too.
    directory: Option<(&'a [u8], OwnedFd)>,
    starter: Option<OwnedFd>,
    log: ([u8; LOG], usize),
}

impl<'a> World<'a> {
    /// The link to whoever wants to know how it goes: the parent or, later, who starts the command.
    pub(crate) fn link(&self) -> BorrowedFd<'_> {
        self.starter.as_ref().map_or(self.program.link, AsFd::as_fd)
    }

    pub(crate) fn start_socket(&self) -> Result<BorrowedFd<'a>, Fault> {
        self.program.start.ok_or(Errno::BADF).at(Call::Accept)
    }

    /// Closes what only the parent had a use for: all from `first` on but what is needed to be started.
    pub(crate) fn close_all_but_for_start(&self, first: u32) -> Result<(), Fault> {
        let needed = self.program.states.iter().map(AsFd::as_fd).chain(self.program.start);
        close_all_except(first, needed).at(Call::CloseRange)
    }

    pub(crate) fn set_starter(&mut self, starter: OwnedFd) {
        self.starter = Some(starter);
    }

    pub(crate) fn state(&self, number: usize) -> Result<BorrowedFd<'a>, Fault> {
        self.program.states.get(number).map(AsFd::as_fd).ok_or(Errno::BADF).at(Call::Lseek)
    }

    pub(crate) fn prepared(&self, number: usize) -> Result<BorrowedFd<'a>, Fault> {
        self.program.prepared.get(number).map(AsFd::as_fd).ok_or(Errno::BADF).at(Call::OpenTree)
    }

    pub(crate) fn root(&self) -> Result<BorrowedFd<'_>, Fault> {
        self.root.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF).at(Call::Openat2)
    }

    pub(crate) fn set_root(&mut self, root: Root<'a>) {
        self.root = Some(root);
    }

    pub(crate) fn scratch(&self) -> Result<BorrowedFd<'_>, Fault> {
        self.scratch.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF).at(Call::Fchdir)
    }

    pub(crate) fn set_scratch(&mut self, scratch: OwnedFd) {
        self.scratch = Some(scratch);
    }

    pub(crate) fn terminal(&self) -> Result<BorrowedFd<'_>, Fault> {
        self.terminal.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF).at(Call::TerminalPeer)
    }

    pub(crate) fn set_terminal(&mut self, terminal: OwnedFd) {
        self.terminal = Some(terminal);
    }

    /// The empty directory that hides others, once there is one.
    pub(crate) fn empty(&self) -> Option<BorrowedFd<'_>> {
        self.empty.as_ref().map(AsFd::as_fd)
    }

    pub(crate) fn set_empty(&mut self, empty: OwnedFd) {
        self.empty = Some(empty);
    }

    /// The directory that holds `path`'s last component, and that component. Nodes and links come many to a directory: it is opened
    /// once, and kept until a step does something else.
    pub(crate) fn parent(&mut self, path: &'a CStr) -> Result<(BorrowedFd<'_>, &'a CStr), Fault> {
        let (above, name) = beneath::split(path)?;
        if self.directory.as_ref().is_none_or(|(known, _)| *known != above) {
            self.directory = Some((above, beneath::open_parent(self.root()?, above)?));
        }
        let (_, directory) = self.directory.as_ref().ok_or(Errno::BADF).at(Call::Openat2)?;
        Ok((directory.as_fd(), name))
    }

    fn proc(&self) -> Result<BorrowedFd<'_>, Fault> {
        self.proc.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF).at(Call::Openat)
    }

    /// Keeps the end of what a program had to say.
    pub(crate) fn keep_words(&mut self, words: &[u8]) {
        let end = &words[words.len().saturating_sub(LOG)..];
        self.log.0[..end.len()].copy_from_slice(end);
        self.log.1 = end.len();
    }

    /// Keeps what the kernel has to say about a file system context that failed.
    pub(crate) fn keep_log(&mut self, context: BorrowedFd<'_>) {
        let (bytes, length) = &mut self.log;
        while let Ok(read) = read(context, &mut bytes[*length..]) {
            *length += read;
            if read == 0 || *length == bytes.len() {
                break;
            }
        }
    }
}

/// Carries `program` out. Ends in `execve` or, after telling the parent why, in `_exit`.
pub fn run(program: &Program<'_>) -> Infallible {
    for fd in program.parents_own {
        let _ = close_in_child(*fd);
    }
    let world = World {
        program,
        root: None,
        scratch: None,
        proc: None,
        terminal: None,
        empty: None,
        directory: None,
        starter: None,
        log: ([0; LOG], 0),
    };
    go_on(world, 0)
}

/// Carries out the steps from number `first` on.
fn go_on(mut world: World<'_>, first: usize) -> Infallible {
    let steps = world.program.steps;
    for (number, step) in steps.iter().enumerate().skip(first) {
        let result = match step {
            Step::FindCommand(exec) => match find_command(exec) {
                Ok(()) => Ok(()),
                Err(refusal) => exit(refusal.tell(&world, number, Call::Faccessat)),
            },
            Step::Exec(exec) => exit(become_command(&world, number, exec)),
            Step::BecomeInit => {
                return match reap::become_init(|| go_on(world, number + 1)) {
                    Ok(never) => never,
                    Err(_) => exit(OWN_FAILURE),
                };
            }
            step => carry_out(&mut world, step),
        };
        if let Err(fault) = result {
            let failure = Failure::new(number as u32, fault.call, fault.errno);
            let failure = failure.with_log(&world.log.0[..world.log.1]);
            let _ = terminal::send(world.link(), Message::Failure(failure), None);
            exit(OWN_FAILURE);
        }
        if let Some(time) = world.program.times.and_then(|times| times.get(number)) {
            time.store(now(), Ordering::Relaxed);
        }
    }
    exit(OWN_FAILURE)
}

fn carry_out<'a>(world: &mut World<'a>, step: &Step<'a>) -> Result<(), Fault> {
    if !matches!(step, Step::Symlink { .. } | Step::MakeNode { .. }) {
        world.directory = None;
    }
    match *step {
        Step::DieWithParent => die_with_parent(world),
        Step::AwaitParent => await_parent(world),
        Step::EnterCgroup => world.program.tasks.iter().try_for_each(cgroup::enter),
        Step::AwaitCgroup => cgroup::await_and_enter(world.link()),
        Step::Namespaces(namespaces) => unshare(namespaces).at(Call::Unshare),
        Step::CgroupNamespace => unshare(UnshareFlags::NEWCGROUP).at(Call::Unshare),
        Step::JoinCgroupNamespace => {
            let namespace = world.program.cgroup_namespace.ok_or(Errno::BADF).at(Call::Setns)?;
            move_into_link_name_space(namespace, Some(LinkNameSpaceType::ControlGroup)).at(Call::Setns)
        }
        Step::MountAttributes { target, attributes } => {
            mounts::set_attributes(beneath::place(world.root()?, target)?.as_fd(), attributes, false)
        }
        Step::TimeNamespace { offsets } => enter_time_namespace(world, offsets),
        Step::BeOpaque => set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Call::Prctl),
        Step::LoopbackUp => bring_loopback_up(),
        Step::Hostname(name) => sethostname(name.to_bytes()).at(Call::Sethostname),
        Step::Domainname(name) => setdomainname(name.to_bytes()).at(Call::Setdomainname),
        Step::Propagation(propagation) => propagate(propagation, true),
        Step::Scratch { ref filesystem, mode } => root::make_scratch(world, filesystem, mode),
        Step::Lower(source) => root::attach_lower(world, source),
        Step::Overlay(ref filesystem) => root::overlay(world, filesystem),
        Step::DetachScratch => root::detach_scratch(),
        Step::OverlayRoot => root::attach_overlay(world),
        Step::Root { source, recursive, attach } => root::take(world, source, recursive, attach),
        Step::CurrentRoot => root::take_current(world),
        Step::RootAttributes(set) => {
            let attributes = Attributes { set, clear: MountAttrFlags::empty() };
            mounts::set_attributes(world.root()?, attributes, false)
        }
        Step::RootPropagation { propagation, recursive } => propagate(propagation, recursive),
        Step::MakeDirectory { path, mode } => beneath::make_directory(world.root()?, path, mode),
        Step::MakeFile { path } => beneath::make_file(world.root()?, path).map(drop),
        Step::Symlink { path, to } => {
            let (directory, name) = world.parent(path)?;
            match symlinkat(to, directory, name) {
                // What is there already is the image's own choice.
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(errno) => Err(Fault { call: Call::Symlinkat, errno }),
            }
        }
        Step::MakeNode { path, mode, device, owner } => {
            beneath::make_node(world.parent(path)?, (mode, device), owner)
        }
        Step::Mount { ref filesystem, target, cover, propagation } => {
            mounts::mount(world, filesystem, (target, cover), propagation)
        }
        Step::MountByText { kind, source, options, attributes, target, propagation } => {
            let place = mounts::target(world, target, OFlags::empty())?;
            mounts::mount_by_text(place, (kind, source, options), attributes)?;
            mounts::propagate_at(world, target, propagation)
        }
        Step::Reconfigure { target, options } => mounts::reconfigure(world, target, options),
        Step::Bind { source, target, recursive, attributes, recursive_attributes, propagation } => {
            let tree = mounts::Tree { source, recursive, attributes, recursive_attributes, propagation };
            mounts::bind(world, &tree, target)
        }
        Step::Processors(processors) => sched_setaffinity(processors).at(Call::SchedSetaffinity),
        Step::Scheduler(ref attr) => sched_setattr(attr).at(Call::SchedSetattr),
        Step::IoPriority { class, level } => ioprio_set(class, level).at(Call::IoprioSet),
        Step::MemoryPolicy { mode, nodes } => set_mempolicy(mode, nodes).at(Call::SetMempolicy),
        Step::Personality(domain) => personality(domain).at(Call::Personality),
        Step::ApparmorProfile { file, word } => write_in_proc(world, file, word),
        Step::SelinuxLabel(label) => write_in_proc(world, c"self/attr/exec", label),
        Step::KeyLabel(label) => write_in_proc(world, c"self/attr/keycreate", label),
        Step::Keyring(name) => join_session_keyring(name),
        Step::OpenProc => open_proc(world),
        Step::Sysctl { path, value } => write_sysctl(world, path, value),
        Step::Mask { path } => mounts::mask(world, path),
        Step::ReadOnly { path, recursive } => mounts::make_readonly(world, path, recursive),
        Step::OpenTerminal { size, inherit_settings } => terminal::open(world, size, inherit_settings),
        Step::PivotRoot => root::pivot(world),
        Step::DetachOldRoot => root::detach_old(),
        Step::Chroot => root::change(world),
        Step::NewSession => setsid().map(drop).at(Call::Setsid),
        Step::ControllingTerminal => terminal::control(world),
        Step::TerminalStdio { which } => terminal::take_stdio(world, which),
        Step::OwnTerminal { uid } => terminal::own(world, uid),
        Step::OwnPipes { uid, gid } => own_pipes(uid, gid).at(Call::Fchown),
        Step::Rlimit { resource, soft, hard } => {
            setrlimit(resource, Rlimit { current: soft, maximum: hard }).at(Call::Prlimit)
        }
        Step::Umask(mask) => {
            umask(Mode::from_raw_mode(mask));
            Ok(())
        }
        Step::WorkingDirectory(path) => change_directory(path),
        Step::BoundingSet(set) => identity::bound(set),
        Step::KeepCapabilities => set_keep_capabilities(true).at(Call::Prctl),
        Step::Groups(groups) => identity::set_groups(groups),
        Step::Gid(gid) => identity::set_gid(gid),
        Step::Uid(uid) => identity::set_uid(uid),
        Step::Capabilities(ref sets) => identity::set_capability_sets(sets),
        Step::NoNewPrivileges => set_no_new_privs(true).at(Call::Prctl),
        Step::Verify(ref privileges) => identity::verify(privileges),
        Step::ResetSignals => reset_signals(),
        Step::TellMounted => tell_parent(world),
        Step::Pause | Step::AwaitHooks | Step::AwaitCommit => {
            if matches!(step, Step::AwaitCommit) && world.program.start.is_some() {
                start::hold_signals()?;
            }
            tell_parent(world)?;
            await_parent(world)
        }
        Step::Hook(ref program) => hook::run(world, program),
        Step::ForgetParent => set_parent_process_death_signal(None).at(Call::Prctl),
        Step::AwaitStart { first } => start::await_start(world, first),
        Step::CloseDescriptors { first } => close_range(first).at(Call::CloseRange),
        Step::Seccomp(ref filter) => filter_calls(world, filter),
        // `go_on` has dealt with these.
        Step::FindCommand(_) | Step::BecomeInit | Step::Exec(_) => Ok(()),
    }
}

fn die_with_parent(world: &World<'_>) -> Result<(), Fault> {
    set_parent_process_death_signal(Some(Signal::KILL)).at(Call::Prctl)?;
    // The parent may have died before the call: then nothing comes but the end of the link.
    let mut byte = [0];
    match recv(world.link(), &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => exit(OWN_FAILURE),
        _ => Ok(()),
    }
}

/// Starts a session keyring; a kernel without keyrings has none to share either.
fn join_session_keyring(name: &CStr) -> Result<(), Fault> {
    match husk_sys::join_session_keyring(name) {
        Ok(()) | Err(Errno::NOSYS) => Ok(()),
        Err(errno) => Err(Fault { call: Call::Keyctl, errno }),
    }
}

/// Looks for the command as [`become_command`] will, so that what is missing is said when the container is made and not when it
/// is started.
fn find_command(exec: &Exec<'_>) -> Result<(), Refusal> {
    let mut refusal = Refusal::NONE;
    for (candidate, path) in exec.candidates.iter().enumerate() {
        match accessat(CWD, *path, Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) if is_file(path) => return Ok(()),
            Ok(()) => refusal.note(candidate, Errno::ACCESS),
            Err(errno) => refusal.note(candidate, errno),
        }
    }
    Err(refusal)
}

fn is_file(path: &CStr) -> bool {
    stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// Tells the parent that this process has come to the step where it is expected.
fn tell_parent(world: &World<'_>) -> Result<(), Fault> {
    terminal::send(world.link(), Message::Paused, None).at(Call::Sendmsg)
}

pub(crate) fn await_parent(world: &World<'_>) -> Result<(), Fault> {
    let mut byte = [0];
    loop {
        match recv(world.link(), &mut byte, RecvFlags::empty()) {
            Ok((_, 0)) => exit(OWN_FAILURE),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Fault { call: Call::Recv, errno }),
        }
    }
}

/// The offsets of a time namespace can only be set before anything runs in it, so `clone3` cannot make it: it is unshared,
/// set, and entered by `setns(2)` (time_namespaces(7)).
fn enter_time_namespace(world: &World<'_>, offsets: &CStr) -> Result<(), Fault> {
    unshare(UnshareFlags::NEWTIME).at(Call::Unshare)?;
    let file = open_in_proc(world.proc()?, c"self/timens_offsets", OFlags::WRONLY)?;
    write(&file, offsets.to_bytes()).at(Call::Write)?;
    let namespace = openat(world.proc()?, c"self/ns/time_for_children", OFlags::CLOEXEC, Mode::empty())
        .at(Call::Openat)?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Time)).at(Call::Setns)
}

fn bring_loopback_up() -> Result<(), Fault> {
    let socket =
        socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).at(Call::Socket)?;
    interface_up(socket.as_fd(), c"lo").at(Call::InterfaceUp)
}

fn propagate(propagation: Propagation, recursive: bool) -> Result<(), Fault> {
    let change = MountChange { propagation: Some(propagation), recursive, ..MountChange::NONE };
    mount_setattr(CWD, c"/", &change).at(Call::MountSetattr)
}

/// The host's /proc, as it is before the pivot: nothing of the container's can stand in front of it, and what belongs to a
/// process's namespaces it shows for the process that looks.
fn open_proc(world: &mut World<'_>) -> Result<(), Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = match world.program.proc {
        Some(proc) => Proc::Given(proc),
        None => Proc::Opened(open(c"/proc", flags, Mode::empty()).at(Call::Open)?),
    };
    if fstatfs(proc.as_fd()).at(Call::Fstatfs)?.f_type != PROC_SUPER_MAGIC {
        return Err(Fault { call: Call::Fstatfs, errno: Errno::MEDIUMTYPE });
    }
    world.proc = Some(proc);
    Ok(())
}

/// Opens a file of /proc itself: not one that somebody has mounted there (`RESOLVE_NO_XDEV`; CVE-2019-16884 and its kin).
fn open_in_proc(proc: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> Result<OwnedFd, Fault> {
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
    openat2(proc, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve).at(Call::Openat2)
}

/// Writes to a file of /proc itself, in one call: half a word means something else.
fn write_in_proc(world: &World<'_>, path: &CStr, value: &CStr) -> Result<(), Fault> {
    let file = open_in_proc(world.proc()?, path, OFlags::WRONLY)?;
    write(&file, value.to_bytes()).map(drop).at(Call::Write)
}

fn write_sysctl(world: &World<'_>, path: &CStr, value: &CStr) -> Result<(), Fault> {
    let sys = open_in_proc(world.proc()?, c"sys", OFlags::PATH)?;
    let file = open_in_proc(sys.as_fd(), path, OFlags::WRONLY)?;
    write(&file, value.to_bytes()).map(drop).at(Call::Write)
}

/// A working directory outside the root, such as one reached through a descriptor that leaked, would be a way out of
/// the container (CVE-2024-21626), and one of husk's own may lead beneath a mask: so no link of /proc is followed. Were it
/// outside nevertheless, the kernel would name it `(unreachable)`, and not with a slash.
fn change_directory(path: &CStr) -> Result<(), Fault> {
    let root =
        open(c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(Call::Open)?;
    let directory = beneath::open(root.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY)?;
    fchdir(directory).at(Call::Fchdir)?;
    let mut buffer = [0u8; 4097];
    if getcwd(&mut buffer).at(Call::Getcwd)?.starts_with(b"/") {
        Ok(())
    } else {
        Err(Fault { call: Call::Getcwd, errno: Errno::XDEV })
    }
}

/// A command expects no signal blocked, and none ignored. The parent blocked what it reads from a descriptor; Rust's runtime
/// ignores SIGPIPE, and whoever started husk may have ignored others, as `nohup` does: that survives `execve(2)`.
fn reset_signals() -> Result<(), Fault> {
    default_dispositions().at(Call::RtSigaction)?;
    set_signal_mask(SignalSet::EMPTY).map(drop).at(Call::RtSigprocmask)
}

/// From the first call on, the parent may be long at it: it sends the listener on, whose owner then decides about our execve.
fn filter_calls(world: &World<'_>, filter: &SyscallFilter<'_>) -> Result<(), Fault> {
    match seccomp_set_mode_filter(filter.flags, filter.instructions).at(Call::Seccomp)? {
        Some(listener) => {
            let sent = terminal::send(world.link(), Message::Listener, Some(&listener)).at(Call::Sendmsg);
            // It closes on exec. Closing it here would be one more call that the filter has to let pass.
            core::mem::forget(listener);
            sent
        }
        None => Ok(()),
    }
}

/// Tries the candidates in order, as `execvp(3)` does. Returns, as an exit status, only if none could be executed.
fn become_command(world: &World<'_>, number: usize, exec: &Exec<'_>) -> i32 {
    let mut refusal = Refusal::NONE;
    for (candidate, path) in exec.candidates.iter().enumerate() {
        let errno = execve(path, exec.arguments, exec.environment);
        refusal.note(candidate, errno);
        if !is_absent(errno) && errno != Errno::ACCESS {
            break;
        }
    }
    refusal.tell(world, number, Call::Execve)
}

/// Why none of the candidates can be executed: one that is not there is passed over, one that may not be executed is remembered.
struct Refusal {
    candidate: u32,
    errno: Errno,
}

impl Refusal {
    const NONE: Self = Self { candidate: 0, errno: Errno::NOENT };

    fn note(&mut self, candidate: usize, errno: Errno) {
        if !is_absent(errno) || self.errno == Errno::NOENT {
            *self = Self { candidate: candidate as u32, errno };
        }
    }

    /// Returns the exit status.
    fn tell(self, world: &World<'_>, number: usize, call: Call) -> i32 {
        let mut failure = Failure::new(number as u32, call, self.errno);
        failure.candidate = self.candidate;
        tell_with_root(world, failure);
        OWN_FAILURE
    }
}

fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR)
}

/// Tells a failure whose reason is in the root, which is there for the other side to look at as long as this process is. A word to
/// go on may be under way already: what is waited for is the end.
fn tell_with_root(world: &World<'_>, failure: Failure) {
    let root = open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok();
    let _ = terminal::send(world.link(), Message::Failure(failure), root.as_ref());
    while recv(world.link(), &mut [0], RecvFlags::empty()).is_ok_and(|(_, length)| length > 0) {}
}

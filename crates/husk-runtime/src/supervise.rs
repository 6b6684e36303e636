// SPDX-License-Identifier: Apache-2.0
//! Staying with a container until it ends: the link, signals, the terminal.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use husk_init::{Failure, Step};
use husk_plan::{Action, Plan, PlannedStep};
use husk_sys::{SignalSet, default_disposition, is_ignored, read_signals, set_signal_mask, signalfd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, pidfd_send_signal};
use rustix::stdio::stdin;

use crate::container::notify::{Notify, Told};
use crate::container::process;
use crate::error::Error;
use crate::link::{Heard, Link};
use crate::own_binary;
use crate::pause::{Next, Stop, Stops};
use crate::start::Container;
use crate::stopwatch::Stopwatch;
use crate::terminal::{HostTerminal, Relay};
use crate::why_exec::Attempt;
use crate::{End, Ended};

/// How often a terminal that nobody inside holds open is looked at again.
const HUNG_UP: Duration = Duration::from_millis(100);

/// How many chunks of output a container can leave in its terminal at most.
const OUTPUT_LEFT: usize = 64;

/// How many messages a container can leave in its socket at most: `net.unix.max_dgram_qlen` of most hosts, and one more.
const WORDS_LEFT: usize = 513;

/// The signals that ask a program to end.
const ENDING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// The signals that are passed on to the container, blocked and read from a descriptor.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: OwnedFd,
    before: SignalSet,
}

impl Signals {
    /// Takes all signals but those that mean husk itself: faults, the end of a child, and the stops of job control; and but
    /// those of the ending ones that whoever started husk had it ignore, as `nohup` does, and a shell without job control for
    /// what runs in its background. Blocked, they would no longer be dropped, and end the container that was to stay.
    pub(crate) fn take() -> Result<Self, Errno> {
        let own = [
            Signal::SEGV,
            Signal::BUS,
            Signal::FPE,
            Signal::ILL,
            Signal::TRAP,
            Signal::ABORT,
            Signal::SYS,
            Signal::CHILD,
            Signal::PIPE,
            Signal::URG,
            Signal::TSTP,
            Signal::TTIN,
            Signal::TTOU,
            Signal::CONT,
        ];
        let mut set = own.into_iter().fold(SignalSet::ALL, SignalSet::without);
        for signal in ENDING {
            if is_ignored(signal)? {
                set = set.without(signal);
            }
        }
        // Whoever started husk may have ignored it, and then the kernel reaps the container before husk can ask how it ended.
        default_disposition(Signal::CHILD)?;
        let before = set_signal_mask(set)?;
        Ok(Self { fd: signalfd(set)?, before })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = set_signal_mask(self.before);
    }
}

/// A container that is attended to.
struct Attended<'p> {
    plan: &'p Plan<'p>,
    container: Container,
    /// Until the container has a terminal, what one needs.
    host: Option<HostTerminal>,
    relay: Option<Relay>,
    /// Whether husk's small PID 1 is the first process: no signal is lost on it, though while it waits for one the kernel shows
    /// it as neither blocking nor handling any.
    init: bool,
    /// The signal by which husk ended the container in the kernel's stead.
    ended_by: Option<Signal>,
    stopwatch: &'p Stopwatch,
    stops: Stops<'p>,
    listen: Option<Listen<'p>>,
    notified: Notified,
}

/// The container's word that it is ready.
#[derive(Default)]
enum Notified {
    /// Nobody waits for it.
    #[default]
    No,
    /// The host waits for it.
    Awaited(Notify),
    /// The host was told.
    Told(Told),
}

/// What is done with the listener of the child's filter of system calls.
pub(crate) type Listen<'p> = &'p dyn Fn(OwnedFd);

/// Stays with `container` until it ends; returns how it did.
pub(crate) fn stay<'p>(
    plan: &'p Plan<'p>,
    container: Container,
    host: HostTerminal,
    signals: &Signals,
    stopwatch: &'p Stopwatch,
    (stops, listen): (Stops<'p>, Option<Listen<'p>>),
) -> Result<Ended, Error> {
    let is_init = |planned: &PlannedStep<'_>| matches!(planned.action, Action::Child(Step::BecomeInit));
    let init = plan.steps.iter().any(is_init);
    let mut attended = Attended {
        plan,
        container,
        host: Some(host),
        relay: None,
        init,
        ended_by: None,
        stopwatch,
        stops,
        listen,
        notified: Notified::No,
    };
    while !attended.attend(signals)? {}
    attended.finish()
}

/// Stays with a container whose command runs until it ends, and passes on what goes through its terminal if this husk was given
/// that, and its word that it is ready to whoever waits for that. A signal that the command's PID 1 does not take is lost, as engines expect.
pub(crate) fn stay_with_command<'p>(
    plan: &'p Plan<'p>,
    container: Container,
    host: HostTerminal,
    (master, notify): (Option<OwnedFd>, Option<Notify>),
    signals: &Signals,
) -> Result<End, Error> {
    let relay = master.map(|master| Relay::new(host, master)).transpose().map_err(Error::Supervise)?;
    let stopwatch = Stopwatch::default();
    let mut attended = Attended {
        plan,
        container,
        host: None,
        relay,
        init: true,
        ended_by: None,
        stopwatch: &stopwatch,
        stops: Stops::default(),
        listen: None,
        notified: notify.map_or(Notified::No, Notified::Awaited),
    };
    if let Some(relay) = &mut attended.relay {
        relay.resize();
        relay.begin().map_err(Error::Terminal)?;
    }
    while !attended.attend(signals)? {}
    attended.finish().map(|ended| ended.end)
}

/// What there is to do, as `poll(2)` says.
struct Events {
    link: bool,
    signals: bool,
    ended: bool,
    input: bool,
    output: bool,
    room: bool,
    notified: bool,
}

impl Attended<'_> {
    /// Waits for something to happen and deals with it. True when the container has ended.
    fn attend(&mut self, signals: &Signals) -> Result<bool, Error> {
        let events = self.wait(signals.fd.as_fd()).map_err(Error::Supervise)?;
        if events.link {
            self.listen(signals)?;
            return Ok(false); // whatever else happened, the link's word comes first
        }
        if events.signals {
            self.pass_signals(signals)?;
        }
        if events.notified {
            self.hear_notified();
        }
        if let Some(relay) = &mut self.relay {
            let signal = if events.input { relay.take_input() } else { None };
            let in_front = signal.filter(|_| relay.foreground() == Some(self.container.pid));
            if events.room {
                relay.pass_input();
            }
            if events.output {
                relay.pass_output();
            }
            relay.tell_end();
            if let Some(signal) = in_front {
                self.end_if_lost(signal);
            }
        }
        // The terminal hangs up: what writes to it learns that, as from a pipe without a reader.
        self.relay.take_if(|relay| relay.is_over());
        Ok(events.ended)
    }

    fn wait(&self, signals: BorrowedFd<'_>) -> Result<Events, Errno> {
        let mut fds = Vec::with_capacity(6);
        let mut add = |fd, flags| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            fds.len() - 1
        };
        let signalled = add(signals, PollFlags::IN);
        let ended = add(self.container.pidfd.as_fd(), PollFlags::IN);
        let link = self.container.link.as_ref().map(|link| add(link.as_fd(), PollFlags::IN));
        let relay = self.relay.as_ref().filter(|_| link.is_none());
        let master = relay.map(|relay| {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, relay.has_typed());
            add(relay.master(), flags)
        });
        let input = relay.filter(|relay| relay.wants_input()).map(|_| add(stdin(), PollFlags::IN));
        let notified = match &self.notified {
            Notified::Awaited(notify) => Some(add(notify.inside(), PollFlags::IN)),
            Notified::No | Notified::Told(_) => None,
        };
        let due = self.relay.as_ref().filter(|_| link.is_none()).and_then(Relay::end_is_due);
        let timeout = due.map(timespec);
        loop {
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        let happened = |index: Option<usize>| index.map_or(PollFlags::empty(), |index| fds[index].revents());
        let ready = |index| !happened(index).is_empty();
        let master = happened(master);
        let events = Events {
            link: ready(link),
            signals: ready(Some(signalled)),
            ended: ready(Some(ended)),
            input: ready(input),
            output: master.contains(PollFlags::IN),
            room: master.contains(PollFlags::OUT),
            notified: ready(notified),
        };
        if master.contains(PollFlags::HUP) && !events.output && !events.ended {
            pause(signals, HUNG_UP);
        }
        Ok(events)
    }

    /// Passes on the word that it is ready, if that is what it says; false if it says nothing. Whoever waits for that word has lost
    /// nothing but it.
    fn hear_notified(&mut self) -> bool {
        let Notified::Awaited(notify) = &self.notified else { return false };
        match notify.hear(self.container.pid) {
            Ok(None) => return true,
            Ok(Some(told)) => self.notified = Notified::Told(told),
            Err(Errno::AGAIN) => {}
            Err(_) => self.notified = Notified::No,
        }
        false
    }

    /// Hears what the child has to say.
    fn listen(&mut self, signals: &Signals) -> Result<(), Error> {
        let Some(link) = &self.container.link else { return Ok(()) };
        match link.hear().map_err(Error::Supervise)? {
            Heard::Terminal(master) => {
                if let Some(host) = self.host.take() {
                    self.relay = Some(Relay::new(host, master).map_err(Error::Supervise)?);
                }
            }
            Heard::Listener(listener) => self.listen.ok_or(Error::Supervise(Errno::BADMSG))?(listener),
            Heard::Paused => return self.meet(signals),
            Heard::Failure(failure, root) => return Err(failed(self.plan, &failure, root)),
            Heard::End => {
                // The exec cannot say itself when it is done.
                self.stopwatch.done(self.plan.steps.len() - 1);
                self.container.link = None;
                if own_binary::is_run_by(self.container.pid) {
                    return Err(Error::OwnProgram);
                }
                if let Some(relay) = &mut self.relay {
                    relay.begin().map_err(Error::Terminal)?;
                }
                // The link ends with the process, too, if that is killed before.
                let runs = process::has_executed(self.container.pid.as_raw_nonzero().get()) != Some(false);
                if let Some(hooks) = self.stops.hooks.as_mut().filter(|_| runs && !self.stops.is_over) {
                    hooks.started(self.container.pid)?;
                }
            }
        }
        Ok(())
    }

    /// Does what the child waits for.
    fn meet(&mut self, signals: &Signals) -> Result<(), Error> {
        match (self.stops.next.pop_front(), &mut self.stops.hooks) {
            (Some(Stop::Look), _) => self.pause(signals),
            (Some(Stop::Hooks(number)), Some(hooks)) => {
                hooks.mounted(self.container.pid)?;
                self.stopwatch.done(number);
                self.let_go_on()
            }
            _ => Err(Error::Supervise(Errno::BADMSG)),
        }
    }

    fn let_go_on(&self) -> Result<(), Error> {
        match self.container.link.as_ref().map_or(Ok(()), Link::release) {
            Ok(()) | Err(Errno::PIPE) => Ok(()),
            Err(errno) => Err(Error::Supervise(errno)),
        }
    }

    /// Asks how to go on. Meanwhile husk takes signals as any program does: Ctrl-C ends it, and the container with it.
    fn pause(&mut self, signals: &Signals) -> Result<(), Error> {
        let pid = self.container.pid.as_raw_nonzero().get();
        let Some(pauses) = &mut self.stops.pauses else { return Err(Error::Supervise(Errno::BADMSG)) };
        let taken = set_signal_mask(signals.before).map_err(Error::Supervise)?;
        let next = pauses.ask(pid);
        set_signal_mask(taken).map_err(Error::Supervise)?;
        if next == Next::GoOn {
            return self.let_go_on();
        }
        self.relay = None;
        self.stops.is_over = true;
        pidfd_send_signal(&self.container.pidfd, Signal::KILL).map_err(Error::Supervise)
    }

    fn pass_signals(&mut self, signals: &Signals) -> Result<(), Error> {
        let mut buffer = [None; 16];
        if read_signals(signals.fd.as_fd(), &mut buffer).is_err() {
            return Ok(());
        }
        for info in buffer.into_iter().flatten() {
            self.pass_signal(info.signal)?;
        }
        Ok(())
    }

    fn pass_signal(&mut self, signal: Signal) -> Result<(), Error> {
        let ends = ENDING.contains(&signal);
        if self.container.link.is_some() {
            // There is no command yet that could be told.
            return if ends { Err(Error::Interrupted(signal.as_raw())) } else { Ok(()) };
        }
        if let Some(relay) = &mut self.relay {
            if signal == Signal::WINCH {
                relay.resize();
                return Ok(());
            }
            if relay.type_signal(signal) {
                let in_front = relay.foreground() == Some(self.container.pid);
                relay.pass_input();
                if in_front {
                    self.end_if_lost(signal);
                }
                return Ok(());
            }
        }
        let _ = pidfd_send_signal(&self.container.pidfd, signal);
        if ends {
            self.end_if_lost(signal);
        }
        Ok(())
    }

    /// Does what `signal` would have done to the command, had the kernel not dropped it.
    fn end_if_lost(&mut self, signal: Signal) {
        if !self.init && is_lost_on(self.container.pid, signal) {
            self.ended_by = Some(signal);
            let _ = pidfd_send_signal(&self.container.pidfd, Signal::KILL);
        }
    }

    fn finish(mut self) -> Result<Ended, Error> {
        if let Some(relay) = &mut self.relay {
            // More than a terminal holds back is by somebody who outlives the container, with --share pid.
            for _ in 0..OUTPUT_LEFT {
                if !relay.pass_output() {
                    break;
                }
            }
        }
        let _ = (0..WORDS_LEFT).take_while(|_| self.hear_notified()).count();
        if let Notified::Told(told) = &self.notified {
            let _ = told.wait();
        }
        let end = self.container.wait().map_err(Error::Supervise)?;
        let end = self.ended_by.map_or(end, |signal| End::Killed { signal: signal.as_raw(), by_husk: true });
        Ok(Ended { end, memory: self.container.memory_kills(end) })
    }
}

fn pause(signals: BorrowedFd<'_>, time: Duration) {
    let _ = poll(&mut [PollFd::from_borrowed_fd(signals, PollFlags::IN)], Some(&timespec(time)));
}

/// A time of less than a second.
fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) }
}

/// Whether the kernel drops `signal` on its way to `pid`: a PID 1 that has no handler gets none of the signals whose default
/// is to end a process (pid_namespaces(7)). Nobody who sends SIGTERM means that, so husk does what the default would.
fn is_lost_on(pid: Pid, signal: Signal) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())) else {
        return false;
    };
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let is_init = field("NSpid:").is_some_and(|pids| {
        pids.split_ascii_whitespace().nth(1).is_some() && pids.split_ascii_whitespace().last() == Some("1")
    });
    let set = |name| {
        let bits = field(name).and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        SignalSet::from_bits(bits.unwrap_or(u64::MAX))
    };
    is_init && ["SigCgt:", "SigIgn:", "SigBlk:"].iter().all(|name| !set(name).contains(signal))
}

/// The error that a failure in the child is.
pub(crate) fn failed(plan: &Plan<'_>, failure: &Failure, root: Option<OwnedFd>) -> Error {
    let (steps, numbers) = plan.program();
    let number = failure.step as usize;
    match (steps.get(number), root) {
        (Some(Step::Exec(exec) | Step::FindCommand(exec)), Some(root)) => {
            let directory = steps.iter().rev().find_map(|step| match step {
                Step::WorkingDirectory(path) => Some(path.to_bytes()),
                _ => None,
            });
            let candidates: Vec<_> = exec.candidates.iter().map(|path| path.to_bytes()).collect();
            let name = exec.arguments.iter().next().map_or(&b""[..], |name| name.to_bytes());
            let attempt = Attempt { directory: directory.unwrap_or(b"/"), name, candidates: &candidates };
            attempt.failed(failure, root.as_fd())
        }
        (Some(Step::Hook(hook)), _) => {
            let index = numbers.get(number).copied().unwrap_or(0);
            let path = PathBuf::from(OsStr::from_bytes(hook.exec.candidates[0].to_bytes()));
            Error::hook(plan.steps[index].origin.to_string(), path, failure)
                .unwrap_or_else(|| Error::step(plan, index, failure.call.name(), failure.errno, b""))
        }
        _ => {
            let index = numbers.get(number).copied().unwrap_or(0);
            Error::step(plan, index, failure.call.name(), failure.errno, failure.kernel_log())
        }
    }
}

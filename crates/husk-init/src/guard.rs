// SPDX-License-Identifier: Apache-2.0
//! The guard: a process beside husk that outlives it by a moment.
//!
//! A parent-death signal is not enough to end a container whose husk was killed: the kernel forgets it when the command
//! changes its user id, as `su` does, and the command itself may switch it off. And a terminal in raw mode stays so. The
//! guard holds one end of a pipe whose other end only husk has: when that closes, husk is gone.

use core::convert::Infallible;

use crate::PassingCgroup;
use husk_sys::{SignalSet, close_all_except, exit, set_signal_mask};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid, pidfd_send_signal, set_parent_process_death_signal, setsid};
use rustix::termios::{OptionalActions, Termios, tcsetattr};

/// What a guard watches over.
#[derive(Clone, Copy, Debug)]
pub struct Guard<'a> {
    /// The reading end of a pipe that ends when husk does.
    pub husk: BorrowedFd<'a>,
    /// The container's first process.
    pub container: BorrowedFd<'a>,
    /// The caller's terminal and the settings that it must have again.
    pub terminal: Option<(BorrowedFd<'a>, &'a Termios)>,
    /// The cgroups that go with the container.
    pub cgroups: &'a [PassingCgroup<'a>],
}

/// Does nothing until `parent`, which has made this process by `clone3`, ends it or ends itself.
pub fn stand_by(parent: Pid) -> Infallible {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _ = set_signal_mask(SignalSet::ALL);
    // The parent may have ended before the call.
    while getppid() == Some(parent) {
        let _ = poll(&mut [], None);
    }
    exit(0)
}

/// Stands guard until the container or husk ends; runs in a process of its own, made by `clone3`.
pub fn stand_guard(guard: &Guard<'_>) -> Infallible {
    // A session of its own: neither the terminal's signals nor a kill of husk's process group reach it.
    let _ = setsid();
    let _ = set_signal_mask(SignalSet::ALL);
    let terminal = guard.terminal.map_or(guard.husk, |(fd, _)| fd);
    let cgroups = guard.cgroups.iter().map(|cgroup| cgroup.directory);
    let _ = close_all_except(0, [guard.husk, guard.container, terminal].into_iter().chain(cgroups));
    if husk_ends_first(guard) {
        let _ = pidfd_send_signal(guard.container, Signal::KILL);
        if let Some((terminal, settings)) = guard.terminal {
            let _ = tcsetattr(terminal, OptionalActions::Flush, settings);
        }
        if !guard.cgroups.is_empty() {
            await_end(guard.container);
            for cgroup in guard.cgroups {
                let _ = cgroup.remove();
            }
        }
    }
    exit(0)
}

/// With its first process, a pid namespace has ended.
fn await_end(container: BorrowedFd<'_>) {
    let mut fds = [PollFd::from_borrowed_fd(container, PollFlags::IN)];
    while matches!(poll(&mut fds, None), Err(Errno::INTR)) {}
}

fn husk_ends_first(guard: &Guard<'_>) -> bool {
    let mut fds = [
        PollFd::from_borrowed_fd(guard.husk, PollFlags::IN),
        PollFd::from_borrowed_fd(guard.container, PollFlags::IN),
    ];
    loop {
        match poll(&mut fds, None) {
            Ok(_) if !fds[0].revents().is_empty() => return true,
            // The container is over, but the terminal is husk's to restore, and its cgroups husk's to remove: stay until that is done.
            Ok(_) if !fds[1].revents().is_empty() => {
                if guard.terminal.is_none() && guard.cgroups.is_empty() {
                    return false;
                }
                fds[1] = PollFd::from_borrowed_fd(guard.husk, PollFlags::empty());
            }
            _ => {}
        }
    }
}

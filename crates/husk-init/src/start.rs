// SPDX-License-Identifier: Apache-2.0
//! Waiting to be started: the process is made, and its command comes when somebody asks for it.

use husk_sys::{SignalSet, exit, set_signal_mask, signalfd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use rustix::process::Signal;

use crate::call::{At, Call, Fault};
use crate::run::{World, await_parent};

/// The signals that would end a process. As PID 1 of its namespace this one has no handler for them, and the kernel would drop
/// them (pid_namespaces(7)).
const ENDING: [Signal; 6] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];

/// Keeps the signals that would end a process for [`await_start`]: once the creator has returned, anybody may send one.
pub(crate) fn hold_signals() -> Result<(), Fault> {
    set_signal_mask(ending()).map(drop).at(Call::RtSigprocmask)
}

fn ending() -> SignalSet {
    ENDING.into_iter().fold(SignalSet::EMPTY, SignalSet::with)
}

/// Carries out [`crate::Step::AwaitStart`].
pub(crate) fn await_start(world: &mut World<'_>, first: u32) -> Result<(), Fault> {
    let socket = world.start_socket()?;
    world.close_all_but_for_start(first)?;
    let ending = ending();
    let before = set_signal_mask(ending).at(Call::RtSigprocmask)?;
    let signals = signalfd(ending).at(Call::RtSigprocmask)?;
    wait(socket, signals.as_fd())?;
    let starter = accept_with(socket, SocketFlags::CLOEXEC).at(Call::Accept)?;
    world.set_starter(starter);
    set_signal_mask(before).map(drop).at(Call::RtSigprocmask)?;
    await_parent(world)
}

fn wait(socket: BorrowedFd<'_>, signals: BorrowedFd<'_>) -> Result<(), Fault> {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(socket, PollFlags::IN),
            PollFd::from_borrowed_fd(signals, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Fault { call: Call::Poll, errno }),
        }
        if !fds[1].revents().is_empty() {
            let mut infos = [None; 16];
            let signal = husk_sys::read_signals(signals, &mut infos).ok().and(infos[0]);
            exit(128 + signal.map_or(Signal::KILL.as_raw(), |info| info.signal.as_raw()));
        }
        if !fds[0].revents().is_empty() {
            return Ok(());
        }
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The small PID 1: forwards signals to the command, reaps whatever is orphaned to it, and ends as the command ended.

use core::convert::Infallible;
use husk_sys::{Clone, SignalSet, clone3, close_all_except, exit, set_signal_mask, wait_signal};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, pidfd_send_signal, wait};
use rustix::thread::UnshareFlags;

use crate::call::{At, Call, Fault};

/// Carries out [`crate::Step::BecomeInit`]: `command` goes on in a child, this process stays as PID 1.
pub(crate) fn become_init(command: impl FnOnce() -> Infallible) -> Result<Infallible, Fault> {
    let mask = set_signal_mask(SignalSet::ALL).at(Call::RtSigprocmask)?;
    let args =
        Clone { namespaces: UnshareFlags::empty(), cgroup: None, exit_signal: Signal::CHILD.as_raw() as u32 };
    let child = clone3(&args, || {
        let _ = set_signal_mask(mask);
        command()
    })
    .at(Call::Clone3)?;
    // Whatever stays open here would keep the link, and the readers of the command's pipes, waiting.
    close_all_except(0, [child.pidfd.as_fd()]).at(Call::CloseRange)?;
    attend(child.pid, child.pidfd.as_fd())
}

/// Waits on `command` and on all that is orphaned to PID 1, until `command` ends.
fn attend(command: Pid, pidfd: BorrowedFd<'_>) -> ! {
    loop {
        match wait_signal(SignalSet::ALL) {
            Ok(Signal::CHILD) => reap(command),
            Ok(signal) => {
                let _ = pidfd_send_signal(pidfd, signal);
            }
            Err(_) => {}
        }
    }
}

/// Reaps all that have ended; ends with the command. One SIGCHLD can stand for many.
fn reap(command: Pid) {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == command {
            exit(code(status));
        }
    }
}

/// The exit status that says the same: the command's own, or 128 + N for signal N.
fn code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        .unwrap_or(crate::OWN_FAILURE)
}

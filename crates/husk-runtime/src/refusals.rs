// SPDX-License-Identifier: Apache-2.0
//! Which system calls a seccomp profile refuses to a command that runs under it, and by which rule.
//!
//! The plan's filter asks husk where it would have refused ([`Plan::with_refusals_told`]); husk writes it down and answers as the
//! profile would have. A refusal that ends the process ends it by SIGKILL here, and not by SIGSYS.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use husk_plan::seccomp::{self, Call};
use husk_spec::oci::{Action, Seccomp};
use husk_sys::{Notification, NotificationAnswer, answer_notification, receive_notification};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use husk_plan::Plan;
use husk_spec::Terminal;

use crate::stopwatch::Stopwatch;
use crate::{BundleHooks, Ended, Error};

/// A call that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its name, or its number if it has none.
    pub call: String,
    /// What says so: `linux.seccomp.syscalls[3].names[0] has SCMP_ACT_ERRNO(1) for mkdir`.
    pub by: String,
    /// The name of the program to which it first was (`/proc/PID/comm`), if that could be read.
    pub program: Option<String>,
    /// How often it was.
    pub times: u64,
}

/// Runs a plan made by [`Plan::with_refusals_told`] for `profile` to its end. Returns how it ended, and what was
/// refused, in the order in which it first was.
///
/// # Errors
/// As [`crate::run`].
pub fn run_told(
    plan: &Plan<'_>,
    terminal: &Terminal,
    hooks: Option<&mut BundleHooks>,
    profile: &Seccomp,
) -> Result<(Ended, Vec<Refusal>), Error> {
    let (stop, stopped) = pipe_with(PipeFlags::CLOEXEC).map_err(Error::Supervise)?;
    let witness = Witness { profile, refusals: Mutex::default(), stop: &stop };
    let ended = std::thread::scope(|scope| {
        let listen = |listener| {
            let witness = &witness;
            listen_in(scope, witness, listener)
        };
        let ended = crate::attend(plan, terminal, hooks, &Stopwatch::default(), None, Some(&listen));
        drop(stopped);
        ended
    })?;
    Ok((ended, witness.refusals.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

fn listen_in<'s>(scope: &'s Scope<'s, '_>, witness: &'s Witness<'_>, listener: OwnedFd) {
    scope.spawn(move || witness.listen(&listener));
}

/// Who answers, and writes down what.
struct Witness<'a> {
    profile: &'a Seccomp,
    refusals: Mutex<Vec<Refusal>>,
    /// Hangs up when there is nobody left to answer.
    stop: &'a OwnedFd,
}

impl Witness<'_> {
    fn listen(&self, listener: &OwnedFd) {
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.stop.as_fd(), PollFlags::IN),
            ];
            match poll(&mut fds, None::<&Timespec>) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            if fds[0].revents().contains(PollFlags::IN) {
                // The caller may be gone by the time that it is looked at, or answered.
                if let Ok(notification) = receive_notification(listener.as_fd()) {
                    let answer = self.judge(&notification);
                    let _ = answer_notification(listener.as_fd(), notification.id, answer);
                }
            } else if !fds[0].revents().is_empty() || !fds[1].revents().is_empty() {
                return;
            }
        }
    }

    fn judge(&self, notification: &Notification) -> NotificationAnswer {
        let call =
            Call { number: notification.number as u32, arch: notification.arch, args: notification.args };
        // A plan was made of the profile, so it has a meaning.
        let Ok(verdict) = seccomp::verdict(self.profile, &call) else { return NotificationAnswer::Continue };
        self.note(&verdict, notification.pid);
        match verdict.action {
            Some(Action::KillProcess | Action::KillThread | Action::Trap) => {
                end(notification.pid);
                NotificationAnswer::Error(Errno::NOSYS)
            }
            Some(Action::Errno) => match verdict.errno {
                // The kernel takes no 0 for an error: the call is not made, and gives 0.
                0 => NotificationAnswer::Value(0),
                errno => NotificationAnswer::Error(Errno::from_raw_os_error(errno)),
            },
            _ => NotificationAnswer::Error(Errno::NOSYS),
        }
    }

    fn note(&self, verdict: &seccomp::Verdict, pid: u32) {
        let mut refusals = self.lock();
        match refusals.iter_mut().find(|refusal| refusal.by == verdict.words) {
            Some(refusal) => refusal.times += 1,
            None => {
                let program = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
                let program = program.map(|name| name.trim_end().to_owned());
                let (call, by) = (verdict.call.clone(), verdict.words.clone());
                refusals.push(Refusal { call, by, program, times: 1 });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Refusal>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its caller waits for the answer: the number is still its own.
fn end(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

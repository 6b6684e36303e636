// SPDX-License-Identifier: Apache-2.0
//! Hooks that run in the container's namespaces: programs of somebody else's, between two steps.

use core::convert::Infallible;
use husk_sys::{
    Clone, Cloned, SignalSet, clone3, default_dispositions, execve, exit, monotonic, set_signal_mask,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, SeekFrom, seek};
use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, umask, waitid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::thread::UnshareFlags;

use crate::call::{At, Call, Fault};
use crate::run::World;
use crate::step::Hook;

/// The exit status by which the hook's process says that it could not execute it.
const NOT_EXECUTED: i32 = 127;

/// How much of the end of what a hook wrote is kept.
const WORDS: usize = 512;

/// How many chunks of output a hook that has ended can have left in the pipe.
const LEFT: usize = 128;

/// Carries out [`crate::Step::Hook`].
pub(crate) fn run(world: &mut World<'_>, hook: &Hook<'_>) -> Result<(), Fault> {
    let state = world.state(hook.state)?;
    seek(state, SeekFrom::Start(0)).at(Call::Lseek)?;
    let (words, its_words) = pipe_with(PipeFlags::CLOEXEC).at(Call::Pipe2)?;
    let (error, its_error) = pipe_with(PipeFlags::CLOEXEC).at(Call::Pipe2)?;
    let args =
        Clone { namespaces: UnshareFlags::empty(), cgroup: None, exit_signal: Signal::CHILD.as_raw() as u32 };
    let child =
        clone3(&args, || become_hook(hook, state, its_words.as_fd(), its_error.as_fd())).at(Call::Clone3)?;
    drop((its_words, its_error));
    let mut end = Words { bytes: [0; WORDS], length: 0 };
    let ended = attend(&child, &words, hook.timeout, &mut end);
    let mut errno = [0; 4];
    let result = match (read(&error, &mut errno), ended) {
        (Ok(4), _) => {
            let errno = i32::from_ne_bytes(errno).clamp(1, 4095);
            Err(Fault { call: Call::HookExecve, errno: Errno::from_raw_os_error(errno) })
        }
        (_, ended) => ended,
    };
    if result.is_err() {
        world.keep_words(&end.bytes[..end.length]);
    }
    result
}

/// What the hook's process does.
fn become_hook(
    hook: &Hook<'_>,
    state: BorrowedFd<'_>,
    words: BorrowedFd<'_>,
    error: BorrowedFd<'_>,
) -> Infallible {
    let errno = prepare(hook.umask, state, words)
        .err()
        .unwrap_or_else(|| execve(hook.exec.candidates[0], hook.exec.arguments, hook.exec.environment));
    let _ = write(error, &errno.raw_os_error().to_ne_bytes());
    exit(NOT_EXECUTED)
}

fn prepare(mask: u32, state: BorrowedFd<'_>, words: BorrowedFd<'_>) -> Result<(), Errno> {
    umask(Mode::from_raw_mode(mask));
    dup2_stdin(state)?;
    dup2_stdout(words)?;
    dup2_stderr(words)?;
    husk_sys::close_range(3)?;
    default_dispositions()?;
    set_signal_mask(SignalSet::EMPTY).map(drop)
}

/// The last of what a hook wrote.
struct Words {
    bytes: [u8; WORDS],
    length: usize,
}

impl Words {
    fn take(&mut self, new: &[u8]) {
        let new = &new[new.len().saturating_sub(WORDS)..];
        let kept = self.length.min(WORDS - new.len());
        self.bytes.copy_within(self.length - kept..self.length, 0);
        self.bytes[kept..kept + new.len()].copy_from_slice(new);
        self.length = kept + new.len();
    }
}

/// Waits for the hook to end, and hears what it writes meanwhile.
fn attend(child: &Cloned, words: &OwnedFd, timeout: Option<u32>, end: &mut Words) -> Result<(), Fault> {
    let until = timeout.map(|seconds| monotonic() + u64::from(seconds) * 1_000_000_000);
    let (mut hears, mut left) = (true, LEFT);
    loop {
        let time = until.map(|until| until.saturating_sub(monotonic()));
        let time = time.map(|time| Timespec {
            tv_sec: (time / 1_000_000_000) as i64,
            tv_nsec: (time % 1_000_000_000) as i64,
        });
        let mut fds = [
            PollFd::from_borrowed_fd(child.pidfd.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(words.as_fd(), PollFlags::IN),
        ];
        // A pipe that has no writer left is always ready.
        let heard = if hears { 2 } else { 1 };
        match poll(&mut fds[..heard], time.as_ref()) {
            Ok(0) => {
                let _ = pidfd_send_signal(&child.pidfd, Signal::KILL);
                let _ = wait(child);
                return Err(Fault { call: Call::HookTimeout, errno: Errno::TIMEDOUT });
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Fault { call: Call::Poll, errno }),
        }
        let (ended, readable) = (!fds[0].revents().is_empty(), hears && !fds[1].revents().is_empty());
        if readable {
            let mut bytes = [0; WORDS];
            match read(words, &mut bytes) {
                Ok(0) => hears = false,
                Ok(length) => end.take(&bytes[..length]),
                Err(_) => {}
            }
            // Whoever the hook left behind may go on writing for ever.
            left = if ended { left - 1 } else { left };
        }
        if ended && (!readable || left == 0) {
            return wait(child);
        }
    }
}

fn wait(child: &Cloned) -> Result<(), Fault> {
    loop {
        match waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED) {
            Ok(Some(status)) => {
                return match (status.exit_status(), status.terminating_signal()) {
                    (Some(0), _) => Ok(()),
                    (Some(code), _) => failed(Call::HookExit, code),
                    (None, signal) => failed(Call::HookSignal, signal.unwrap_or(0)),
                };
            }
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Fault { call: Call::Waitid, errno }),
        }
    }
}

/// The number travels in the errno's place.
fn failed(call: Call, number: i32) -> Result<(), Fault> {
    Err(Fault { call, errno: Errno::from_raw_os_error(number.clamp(1, 4095)) })
}

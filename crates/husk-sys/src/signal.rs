// SPDX-License-Identifier: Apache-2.0
//! Signals: masks, dispositions and `signalfd(2)`, by raw system calls, because after `clone3` libc's own are not safe.

use core::mem::{size_of, size_of_val};
use core::ptr::null_mut;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io;
use rustix::process::Signal;
use syscalls::{Sysno, syscall};

use crate::errno;

/// The kernel's last signal (`_NSIG`), and those whose disposition is fixed.
const LAST: i32 = 64;
const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;
const UNCHANGING: [i32; 2] = [Signal::KILL.as_raw(), Signal::STOP.as_raw()];

/// A set of signals, the kernel's 64-bit `sigset_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Every signal.
    pub const ALL: Self = Self(u64::MAX);

    /// This set and `signal`.
    #[must_use]
    pub fn with(self, signal: Signal) -> Self {
        Self(self.0 | Self::bit(signal))
    }

    /// This set without `signal`.
    #[must_use]
    pub fn without(self, signal: Signal) -> Self {
        Self(self.0 & !Self::bit(signal))
    }

    /// Whether `signal` is in the set.
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// The set with these bits: bit N-1 stands for signal N, as in the `Sig*` lines of `/proc/PID/status`.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    fn bit(signal: Signal) -> u64 {
        1 << (signal.as_raw() - 1)
    }
}

/// Replaces the calling thread's signal mask and returns the old one (`rt_sigprocmask(2)`, `SIG_SETMASK`).
///
/// # Errors
/// None that a valid caller can meet.
pub fn set_signal_mask(mask: SignalSet) -> io::Result<SignalSet> {
    const SIG_SETMASK: i32 = 2;
    let mut old = SignalSet::EMPTY;
    // SAFETY: both pointers are to 8-byte kernel signal sets that live across the call.
    unsafe {
        syscall!(Sysno::rt_sigprocmask, SIG_SETMASK, &raw const mask, &raw mut old, size_of::<SignalSet>())
    }
    .map_err(errno)?;
    Ok(old)
}

/// Gives `signal` its default disposition again (`rt_sigaction(2)`, `SIG_DFL`).
///
/// # Errors
/// `EINVAL` for `SIGKILL` and `SIGSTOP`.
pub fn default_disposition(signal: Signal) -> io::Result<()> {
    set_disposition(signal.as_raw(), SIG_DFL)
}

/// Ignores `signal` from now on (`rt_sigaction(2)`, `SIG_IGN`).
///
/// # Errors
/// `EINVAL` for `SIGKILL` and `SIGSTOP`.
pub fn ignore(signal: Signal) -> io::Result<()> {
    set_disposition(signal.as_raw(), SIG_IGN)
}

/// Whether the calling process ignores `signal` (`rt_sigaction(2)`, `SIG_IGN`), as one may have been made to by whoever executed
/// it.
///
/// # Errors
/// None that a valid caller can meet.
pub fn is_ignored(signal: Signal) -> io::Result<bool> {
    let mut action = [0u64; 4]; // the kernel's struct sigaction, which begins with the handler
    // SAFETY: the kernel writes one struct sigaction (at most 32 bytes on every 64-bit machine) and reads no new one.
    unsafe {
        syscall!(
            Sysno::rt_sigaction,
            signal.as_raw(),
            null_mut::<u64>(),
            action.as_mut_ptr(),
            size_of::<SignalSet>()
        )
    }
    .map_err(errno)?;
    Ok(action[0] == SIG_IGN)
}

/// Gives every signal its default disposition again; two of them, KILL and STOP, never have another.
///
/// # Errors
/// None that a valid caller can meet.
pub fn default_dispositions() -> io::Result<()> {
    (1..=LAST)
        .filter(|signal| !UNCHANGING.contains(signal))
        .try_for_each(|signal| set_disposition(signal, SIG_DFL))
}

fn set_disposition(signal: i32, handler: u64) -> io::Result<()> {
    let action = [handler, 0, 0, 0]; // the kernel's struct sigaction: no flags, no restorer, empty mask
    // SAFETY: the kernel reads one struct sigaction (at most 32 bytes on every 64-bit machine) and writes no old one.
    unsafe {
        syscall!(Sysno::rt_sigaction, signal, action.as_ptr(), null_mut::<u64>(), size_of::<SignalSet>())
    }
    .map_err(errno)?;
    Ok(())
}

/// A descriptor from which the signals of `set`, which must be blocked, can be read (`signalfd4(2)`); close-on-exec and
/// non-blocking.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn signalfd(set: SignalSet) -> io::Result<OwnedFd> {
    const SFD_CLOEXEC: u32 = 0o2_000_000;
    const SFD_NONBLOCK: u32 = 0o4_000;
    // SAFETY: `set` is an 8-byte kernel signal set; the descriptor returned is new.
    let fd = unsafe {
        syscall!(Sysno::signalfd4, -1i32, &raw const set, size_of::<SignalSet>(), SFD_CLOEXEC | SFD_NONBLOCK)
    }
    .map_err(errno)?;
    // SAFETY: as above: the kernel made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// `struct signalfd_siginfo`, as far as husk reads it.
#[derive(Clone, Copy)]
#[repr(C)]
struct RawInfo {
    signo: u32,
    errno: i32,
    code: i32,
    pid: u32,
    rest: [u8; 112],
}

/// A signal that was read from a [`signalfd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalInfo {
    /// Which.
    pub signal: Signal,
    /// Who sent it, 0 for the kernel.
    pub sender: u32,
}

/// Reads pending signals from `fd`, a [`signalfd`], into `buffer` and returns how many there were.
///
/// # Errors
/// `EAGAIN` when no signal is pending.
pub fn read_signals(fd: BorrowedFd<'_>, buffer: &mut [Option<SignalInfo>; 16]) -> io::Result<usize> {
    let mut raw = [RawInfo { signo: 0, errno: 0, code: 0, pid: 0, rest: [0; 112] }; 16];
    // SAFETY: the kernel writes at most the size given into `raw`.
    let read = unsafe { syscall!(Sysno::read, fd.as_raw_fd(), raw.as_mut_ptr(), size_of_val(&raw)) }
        .map_err(errno)?;
    let count = read / size_of::<RawInfo>();
    buffer.fill(None);
    for (slot, info) in buffer.iter_mut().zip(&raw[..count]) {
        *slot = signal_of_number(info.signo).map(|signal| SignalInfo { signal, sender: info.pid });
    }
    Ok(count)
}

/// Waits until a signal of `set`, which must be blocked, is pending, and takes it (`rt_sigtimedwait(2)`).
///
/// # Errors
/// `EINTR` when the process was stopped and continued meanwhile.
pub fn wait_signal(set: SignalSet) -> io::Result<Signal> {
    // SAFETY: `set` is an 8-byte kernel signal set; a null siginfo and a null timeout are allowed.
    let number = unsafe {
        syscall!(
            Sysno::rt_sigtimedwait,
            &raw const set,
            null_mut::<u8>(),
            null_mut::<u8>(),
            size_of::<SignalSet>()
        )
    }
    .map_err(errno)?;
    u32::try_from(number).ok().and_then(signal_of_number).ok_or(io::Errno::RANGE)
}

/// The signal with this number, from 1 to 64: real-time signals have no names in rustix.
pub fn signal_of_number(number: u32) -> Option<Signal> {
    let number = i32::try_from(number).ok().filter(|n| (1..=64).contains(n))?;
    // SAFETY: the number is in the kernel's range. Those that libc keeps for its own threads mean nothing here: husk
    // changes and sends signals by raw system calls alone.
    Some(unsafe { Signal::from_raw_unchecked(number) })
}

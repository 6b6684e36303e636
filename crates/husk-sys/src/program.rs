// SPDX-License-Identifier: Apache-2.0
//! The start of a program without Rust's own, for one that is started thousands of times a day.
//!
//! Rust's start asks where the stack ends, by way of libc, which reads `/proc/self/maps` for it with all of `scanf(3)`; makes a
//! second stack, to say a word when the first overflows; and names a thread. That costs 0.1 ms of each start, and 170 kB of
//! libc in a static program. What is left to do by hand are two things that Rust's library counts on.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{BorrowedFd, RawFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io;
use rustix::process::Signal;

use crate::signal::ignore;

const STANDARD: [RawFd; 3] = [0, 1, 2];

/// Makes `$run`, a `fn() -> u8`, the program's start and what it returns the exit status. For a crate with `#![no_main]`.
#[macro_export]
macro_rules! program {
    ($run:path) => {
        /// What libc calls.
        #[unsafe(no_mangle)]
        extern "C" fn main() -> i32 {
            match $crate::begin() {
                Ok(()) => i32::from($run()),
                Err(_) => 1,
            }
        }
    };
}

/// What Rust's library counts on: that nothing which is opened gets the number of a standard descriptor, since it would be
/// printed to, and that a reader who is gone is an error and not a signal.
///
/// # Errors
/// A standard descriptor is closed, and `/dev/null` cannot take its place.
pub fn begin() -> io::Result<()> {
    // SAFETY: poll(2) says of a number that is not open that it is none, and that is all that is done with it.
    let mut standard = STANDARD
        .map(|fd| PollFd::from_borrowed_fd(unsafe { BorrowedFd::borrow_raw(fd) }, PollFlags::empty()));
    poll(&mut standard, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    for fd in standard {
        if fd.revents().contains(PollFlags::NVAL) {
            // It gets the lowest number that is free, which is this one, and keeps it.
            core::mem::forget(open(c"/dev/null", OFlags::RDWR, Mode::empty())?);
        }
    }
    ignore(Signal::PIPE)
}

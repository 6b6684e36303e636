// SPDX-License-Identifier: Apache-2.0
//! Memory that a process and the children that `clone3` makes of it have in common, and a clock for what is put there.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::AtomicU64;
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use syscalls::{Sysno, syscall};

/// Numbers in shared memory, 0 at first.
#[derive(Debug)]
pub struct SharedNumbers {
    start: NonNull<AtomicU64>,
    count: usize,
}

impl SharedNumbers {
    /// Makes `count` of them.
    ///
    /// # Errors
    /// Those of `mmap(2)`; `EINVAL` for none.
    pub fn new(count: usize) -> io::Result<Self> {
        let length = count.checked_mul(size_of::<AtomicU64>()).ok_or(Errno::OVERFLOW)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping where the kernel likes it touches no memory that is in use.
        let start = unsafe { mmap_anonymous(null_mut(), length, access, MapFlags::SHARED) }?;
        NonNull::new(start.cast()).map(|start| Self { start, count }).ok_or(Errno::FAULT)
    }

    /// The numbers.
    pub fn as_slice(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has room for `count` numbers, is zeroed, aligned to a page, and lives as long as `self`;
        // whoever shares it has atomic access only.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

impl Drop for SharedNumbers {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and what borrowed from it is gone.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
    }
}

/// Nanoseconds on CLOCK_REALTIME, the one clock that is the same in every time namespace; by the system call, since a child
/// of `clone3` cannot count on libc's way through the vDSO.
pub fn now() -> u64 {
    const CLOCK_REALTIME: u32 = 0;
    nanoseconds(CLOCK_REALTIME)
}

/// Nanoseconds on CLOCK_MONOTONIC, which nobody sets: for what one process waits for. By the system call, as [`now`].
pub fn monotonic() -> u64 {
    const CLOCK_MONOTONIC: u32 = 1;
    nanoseconds(CLOCK_MONOTONIC)
}

fn nanoseconds(clock: u32) -> u64 {
    let mut time = [0i64; 2]; // the kernel's struct timespec: seconds and nanoseconds
    // SAFETY: the kernel writes one struct timespec of two 64-bit numbers.
    let _ = unsafe { syscall!(Sysno::clock_gettime, clock, time.as_mut_ptr()) };
    (time[0] as u64).wrapping_mul(1_000_000_000).wrapping_add(time[1] as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::Ordering::Relaxed;

    #[test]
    fn the_clock_goes_on_and_the_numbers_stay() {
        let numbers = SharedNumbers::new(600).unwrap();
        let first = now();
        numbers.as_slice()[599].store(first, Relaxed);
        assert_eq!(numbers.as_slice().iter().map(|n| n.load(Relaxed)).sum::<u64>(), first);
        assert!(first > 0 && now() >= first);
        let since_boot = monotonic();
        assert!(
            since_boot > 0 && monotonic() >= since_boot && since_boot < first,
            "the time of day is later"
        );
        assert!(SharedNumbers::new(0).is_err());
    }
}

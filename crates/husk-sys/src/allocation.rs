// SPDX-License-Identifier: Apache-2.0
//! The proof, in debug builds, that the child of `clone3` never allocates.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicBool, Ordering};
use syscalls::{Sysno, syscall};

/// True in a process made by [`crate::clone3`]. Memory is copied, so a parent never sees its child's value.
static FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// From here on the calling process must not allocate.
pub fn forbid_allocation() {
    FORBIDDEN.store(true, Ordering::Relaxed);
}

pub(crate) fn is_forbidden() -> bool {
    FORBIDDEN.load(Ordering::Relaxed)
}

/// A global allocator that ends the process with a message if it allocates after [`forbid_allocation`]: another thread
/// may have held the allocator's lock when the process was copied, and then it would hang once in a thousand starts.
#[derive(Debug)]
pub struct AllocationGuard<A>(pub A);

fn check() {
    if is_forbidden() {
        let message = b"husk: bug: allocation between clone3 and execve\n";
        // SAFETY: the buffer is valid for its length.
        let _ = unsafe { syscall!(Sysno::write, 2, message.as_ptr(), message.len()) };
        crate::exit(134);
    }
}

// SAFETY: every call is passed on unchanged to an allocator that keeps the contract.
unsafe impl<A: GlobalAlloc> GlobalAlloc for AllocationGuard<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        check();
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check();
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

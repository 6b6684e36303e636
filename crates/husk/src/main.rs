// SPDX-License-Identifier: Apache-2.0
//! husk, the program: all of it is in the library, but for the allocator of debug builds.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Proves, in debug builds, that nothing allocates between `clone3` and `execve`.
#[cfg(debug_assertions)]
#[global_allocator]
static ALLOCATOR: husk_sys::AllocationGuard<std::alloc::System> =
    husk_sys::AllocationGuard(std::alloc::System);

fn main() -> ExitCode {
    husk::main()
}

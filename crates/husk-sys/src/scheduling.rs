// SPDX-License-Identifier: Apache-2.0
//! How the kernel treats a process beside others: its scheduler, processors, I/O, memory and execution domain.

use rustix::io;
use syscalls::{Sysno, syscall};

use crate::errno;

/// What `sched_setattr(2)` sets, with the kernel's own numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttr {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// −20 to 19.
    pub nice: i32,
    /// 1 to 99 where the policy has a priority.
    pub priority: u32,
    /// Nanoseconds.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// The kernel's `struct sched_attr` (`linux/sched/types.h`), with the fields of Linux 5.3.
#[repr(C)]
struct KernelSchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    util_min: u32,
    util_max: u32,
}

/// Sets how the calling thread is scheduled (`sched_setattr(2)`).
///
/// # Errors
/// Those of `sched_setattr(2)`: `EPERM` for what needs CAP_SYS_NICE or is not in the cgroup's gift.
pub fn sched_setattr(attr: &SchedAttr) -> io::Result<()> {
    let attr = KernelSchedAttr {
        size: size_of::<KernelSchedAttr>() as u32,
        policy: attr.policy,
        flags: attr.flags,
        nice: attr.nice,
        priority: attr.priority,
        runtime: attr.runtime,
        deadline: attr.deadline,
        period: attr.period,
        util_min: 0,
        util_max: 0,
    };
    // SAFETY: the kernel reads `size` bytes of a structure that lives through the call.
    unsafe { syscall!(Sysno::sched_setattr, 0, &raw const attr, 0) }.map(drop).map_err(errno)
}

/// Lets the calling thread run on the processors alone whose bits are set (`sched_setaffinity(2)`).
///
/// # Errors
/// `EINVAL` if none of them is there.
pub fn sched_setaffinity(processors: &[u64]) -> io::Result<()> {
    // SAFETY: the kernel reads as many bytes as the slice has.
    unsafe { syscall!(Sysno::sched_setaffinity, 0, size_of_val(processors), processors.as_ptr()) }
        .map(drop)
        .map_err(errno)
}

/// Sets the I/O priority of the calling thread: a class, and a level within it (`ioprio_set(2)`).
///
/// # Errors
/// `EPERM` for the real-time class without CAP_SYS_NICE and CAP_SYS_ADMIN.
pub fn ioprio_set(class: u8, level: u8) -> io::Result<()> {
    const IOPRIO_WHO_PROCESS: u32 = 1;
    const IOPRIO_CLASS_SHIFT: u32 = 13;
    let priority = u32::from(class) << IOPRIO_CLASS_SHIFT | u32::from(level);
    // SAFETY: no pointers.
    unsafe { syscall!(Sysno::ioprio_set, IOPRIO_WHO_PROCESS, 0, priority) }.map(drop).map_err(errno)
}

/// Sets from which nodes the calling thread gets its memory: `MPOL_*` with `MPOL_F_*`, and the nodes whose bits are set
/// (`set_mempolicy(2)`).
///
/// # Errors
/// `EINVAL` for a node that is not there, `ENOSYS` from a kernel without NUMA.
pub fn set_mempolicy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    // The kernel takes one bit less than it is told, and for none a null pointer (mm/mempolicy.c, get_nodes).
    let bits = nodes.len() * 64 + 1;
    let mask = if nodes.is_empty() { core::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the kernel reads at most `bits` - 1 bits, which the slice has.
    unsafe { syscall!(Sysno::set_mempolicy, mode, mask, bits) }.map(drop).map_err(errno)
}

/// Sets the execution domain of the calling process (`personality(2)`).
///
/// # Errors
/// Those of `personality(2)`.
pub fn personality(domain: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    unsafe { syscall!(Sysno::personality, domain) }.map(drop).map_err(errno)
}

// SPDX-License-Identifier: Apache-2.0
//! The system calls that rustix lacks, and nothing else.
//!
//! This is the only crate of husk with `unsafe` in it. Each function is one system call with owned or borrowed
//! descriptors and typed flags; policy lives elsewhere. `no_std`, because the child between `clone3` and `execve`
//! uses it too.
#![no_std]
#![allow(unsafe_code, reason = "raw system calls are what this crate is for")]

mod allocation;
mod bpf;
mod clone;
mod entry;
mod exec;
mod keyring;
mod mount;
mod namespace;
mod net;
mod program;
mod scheduling;
mod seccomp;
mod shared;
mod signal;
mod trial;

pub use allocation::{AllocationGuard, forbid_allocation};
pub use bpf::{
    BpfInstruction, attach_device_program, attached_device_programs, detach_device_program,
    load_device_program, program_by_id, program_name,
};
pub use clone::{Clone, Cloned, clone3, exit};
pub use entry::move_to_read_only_mount;
pub use exec::{
    StringArray, ThinCStr, close_all_except, close_in_child, close_range, execve, execveat, getcwd,
    is_more_privileged_than_caller, unshare,
};
pub use keyring::join_session_keyring;
pub use mount::{MountChange, MountStatus, Propagation, listmount, mount_setattr, statmount};
pub use namespace::{
    mount_namespace_id, namespace_of, namespace_type, owner_of_user_namespace, owning_user_namespace,
    parent_namespace, pid_in_namespace,
};
pub use net::interface_up;
pub use program::begin;
pub use scheduling::{SchedAttr, ioprio_set, personality, sched_setaffinity, sched_setattr, set_mempolicy};
pub use seccomp::{
    Notification, NotificationAnswer, SECCOMP_NEW_LISTENER, SockFilter, answer_notification,
    receive_notification, seccomp_set_mode_filter,
};
pub use shared::{SharedNumbers, monotonic, now};
pub use signal::{
    SignalInfo, SignalSet, default_disposition, default_dispositions, ignore, is_ignored, read_signals,
    set_signal_mask, signal_of_number, signalfd, wait_signal,
};
pub use trial::{Trial, errno_name, landlock_abi, system_call_name};

use rustix::io::Errno;

/// Turns the error of a raw system call into the error type that all of husk uses.
fn errno(e: syscalls::Errno) -> Errno {
    Errno::from_raw_os_error(e.into_raw())
}

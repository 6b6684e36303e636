// SPDX-License-Identifier: Apache-2.0
//! What runs between `clone3` and `execve`: the interpreter of steps.
//!
//! A plan's child half is a list of [`Step`]s, its instruction set. [`run`] carries them out in order and ends in
//! `execve` or `_exit`. It makes system calls and nothing else: no allocation, no libc, no environment, no decisions about
//! kernels or policy, which the planner made before. An error is a [`Failure`], a few bytes to the parent, which owns
//! the plan and has all of std to render it with.
#![no_std]
#![forbid(unsafe_code)]

mod beneath;
mod call;
mod cgroup;
mod copy_up;
mod failure;
mod guard;
mod hook;
mod identity;
mod mounts;
mod pipes;
mod reap;
mod root;
mod run;
mod start;
mod step;
mod terminal;

pub use call::Call;
pub use cgroup::{MOST_CGROUPS, PassingCgroup};
pub use failure::{Failure, Message};
pub use guard::{Guard, stand_by, stand_guard};
pub use husk_sys::{Propagation, SchedAttr, SockFilter, StringArray, ThinCStr};
pub use pipes::own_pipes;
pub use run::{Program, run};
pub use step::{
    Attach, Attributes, Cover, Exec, Filesystem, FsOption, Hook, Privileges, ProcessCapabilities, Source,
    Step, SyscallFilter,
};

/// The exit status of husk's own failures.
pub const OWN_FAILURE: i32 = 125;

// SPDX-License-Identifier: Apache-2.0
//! From the seccomp profile of the OCI specification to a BPF program for `seccomp(2)`.
//!
//! [`compile`] means by a profile what runc with libseccomp 2.5 means by it; docs/seccomp.md says what that is, and
//! names each difference. It reads nothing but its arguments. [`explain()`] says which rule decides about a call, from
//! the same rules that the program is made of.
#![forbid(unsafe_code)]

mod abi;
mod action;
mod assemble;
mod bpf;
mod calls;
mod compile;
mod condition;
mod decision;
mod error;
mod explain;
mod policy;
mod rules;
mod search;

pub use abi::name as arch_name;
pub use action::Outcome;
pub use bpf::{Instruction, SeccompData, run};
pub use calls::{call_name, call_number};
pub use compile::{Filter, FilterFlags, compile};
pub use error::SeccompError;
pub use explain::{Reason, Verdict, always_passes, explain};
pub use rules::RuleOrigin;

use husk_spec::oci::{Action, Arch, Operator, SeccompFlag};

/// What a profile may ask for: what `features` lists.
#[derive(Clone, Copy, Debug)]
pub struct Supported {
    /// The actions.
    pub actions: &'static [Action],
    /// The comparisons.
    pub operators: &'static [Operator],
    /// The architectures whose calls are known.
    pub archs: &'static [Arch],
    /// The flags that are understood. [`SeccompFlag::Tsync`] changes nothing: a container starts with one thread.
    pub flags: &'static [SeccompFlag],
}

/// What this build supports.
pub const SUPPORTED: Supported = Supported {
    actions: action::ALL,
    operators: condition::OPERATORS,
    archs: &abi::ARCHS,
    flags: compile::FLAGS,
};

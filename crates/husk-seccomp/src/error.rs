// SPDX-License-Identifier: Apache-2.0
//! Why a profile cannot be made a filter.

use husk_spec::oci::Arch;

use crate::abi::name as arch_name;
use crate::action::Outcome;
use crate::bpf::MAX_INSTRUCTIONS;
use crate::rules::RuleOrigin;

/// Why not. Fields are named as from the profile on: `syscalls[3].args[0].index`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    /// An architecture without a table of calls.
    #[error("architectures: the calls of {} are not known here; leave it out", arch_name(*.0))]
    UnknownArch(Arch),
    /// An architecture that reads arguments the other way round.
    #[error(
        "architectures: {} has another byte order than this machine's {}: one filter cannot be for both; leave it out",
        arch_name(*.arch),
        arch_name(*.native)
    )]
    ByteOrder {
        /// The one of the profile.
        arch: Arch,
        /// The machine's.
        native: Arch,
    },
    /// NOTIFY for everything.
    #[error(
        "defaultAction: SCMP_ACT_NOTIFY cannot be used as default action: what sends the listener's descriptor would wait for the listener; name the calls in a rule"
    )]
    NotifyByDefault,
    /// NOTIFY for the call that hands the listener over.
    #[error(
        "{origin}: SCMP_ACT_NOTIFY cannot be used for the write syscall: the listener's descriptor could not be sent"
    )]
    NotifyForWrite {
        /// The rule.
        origin: RuleOrigin,
    },
    /// A call without a name.
    #[error("{origin}: empty string is not a valid syscall; leave it out")]
    EmptyName {
        /// The rule.
        origin: RuleOrigin,
    },
    /// A seventh argument.
    #[error(
        "syscalls[{syscall}].args[{arg}].index: {index}: syscalls only have up to 6 arguments, from 0 to 5"
    )]
    ArgumentIndex {
        /// The rule's place.
        syscall: usize,
        /// The condition's.
        arg: usize,
        /// The index asked for.
        index: u32,
    },
    /// Two rules that want different things of the same call.
    #[error(
        "{second}: {second_outcome} for {call}, but {first} wants {first_outcome} under conditions that are the same or narrower; make one of them more exact, or leave it out"
    )]
    Conflict {
        /// What the call is.
        call: String,
        /// The rule that comes first.
        first: RuleOrigin,
        /// What it wants.
        first_outcome: Outcome,
        /// The one that contradicts.
        second: RuleOrigin,
        /// What that wants.
        second_outcome: Outcome,
    },
    /// More than the kernel takes.
    #[error(
        "syscalls: the filter would have more than the {MAX_INSTRUCTIONS} instructions that the kernel takes; use fewer conditions or architectures"
    )]
    TooLong,
}

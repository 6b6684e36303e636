// SPDX-License-Identifier: Apache-2.0
//! The filter of a profile.

use husk_spec::oci::{Action, Arch, Seccomp, SeccompFlag};

use crate::abi::Abi;
use crate::action::Outcome;
use crate::assemble::assemble;
use crate::bpf::{Instruction, SeccompData, run};
use crate::decision::Graph;
use crate::error::SeccompError;
use crate::policy::Policy;
use crate::rules::RuleOrigin;
use crate::search::leaves;

/// The flags that are understood.
pub(crate) const FLAGS: &[SeccompFlag] =
    &[SeccompFlag::Tsync, SeccompFlag::Log, SeccompFlag::SpecAllow, SeccompFlag::WaitKillableRecv];

/// Those of a profile that says nothing of flags.
const DEFAULT_FLAGS: &[SeccompFlag] = &[SeccompFlag::SpecAllow];

/// Flags of `seccomp(2)`, SECCOMP_FILTER_FLAG_*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterFlags(u32);

impl FilterFlags {
    /// SECCOMP_FILTER_FLAG_LOG: log what the filter does not allow.
    pub const LOG: Self = Self(1 << 1);
    /// SECCOMP_FILTER_FLAG_SPEC_ALLOW: no mitigation of speculative store bypass.
    pub const SPEC_ALLOW: Self = Self(1 << 2);
    /// SECCOMP_FILTER_FLAG_NEW_LISTENER: the call gives a descriptor that notifications are read from.
    pub const NEW_LISTENER: Self = Self(1 << 3);
    /// SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: only a fatal signal interrupts a call once it has been notified of.
    pub const WAIT_KILLABLE_RECV: Self = Self(1 << 5);

    /// As the kernel takes them.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn of(profile: &Seccomp, notify: bool) -> Self {
        let flags = profile.flags.as_deref().unwrap_or(DEFAULT_FLAGS);
        let own = flags.iter().map(|flag| match flag {
            SeccompFlag::Tsync => Self::default(),
            SeccompFlag::Log => Self::LOG,
            SeccompFlag::SpecAllow => Self::SPEC_ALLOW,
            // Without a listener nothing waits, and the kernel refuses the flag.
            SeccompFlag::WaitKillableRecv if notify => Self::WAIT_KILLABLE_RECV,
            SeccompFlag::WaitKillableRecv => Self::default(),
        });
        let listener = if notify { Self::NEW_LISTENER } else { Self::default() };
        Self(own.fold(listener.0, |flags, flag| flags | flag.0))
    }
}

/// What `seccomp(2)` takes, made from a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The program, at most 4096 instructions.
    pub instructions: Vec<Instruction>,
    /// The flags to load it with.
    pub flags: FilterFlags,
    /// Whether a rule has SCMP_ACT_NOTIFY, so that a listener is needed.
    pub notify: bool,
    /// Names that no architecture of the filter can have: passed over, as the specification's users expect, and worth a
    /// warning.
    pub unknown_calls: Vec<RuleOrigin>,
    big_endian: bool,
}

impl Filter {
    /// What the filter answers to a call; the number is taken as the kernel takes it.
    pub fn decide(&self, data: &SeccompData) -> Outcome {
        Outcome(
            run(&self.instructions, data, self.big_endian)
                .expect("a compiled program is one that the kernel loads"),
        )
    }
}

/// Makes the filter of a profile, for a machine of the architecture `native` and those that the profile names.
///
/// # Errors
/// A [`SeccompError`] that names the field and the reason.
pub fn compile(profile: &Seccomp, native: Arch) -> Result<Filter, SeccompError> {
    let policy = Policy::new(profile, native)?;
    let mut graph = Graph::default();
    let mut archs: Vec<(u32, _)> = Vec::new();
    for abi in &policy.abis {
        let audit = abi.abi.audit;
        if archs.iter().all(|(other, _)| *other != audit) {
            archs.push((audit, leaves(&policy, audit, &mut graph)));
        }
    }
    let foreign = graph.answer(Outcome::FOREIGN);
    let instructions = assemble(&graph, &archs, foreign)?;
    let notify = profile.syscalls.iter().any(|rule| rule.action == Action::Notify && !rule.names.is_empty());
    Ok(Filter {
        instructions,
        flags: FilterFlags::of(profile, notify),
        notify,
        unknown_calls: policy.unknown,
        big_endian: Abi::of(native).is_some_and(|abi| abi.big_endian),
    })
}

// SPDX-License-Identifier: Apache-2.0
//! How the kernel treats a process beside others, in words.

use husk_init::SchedAttr;
use husk_spec::NumberSet;
use husk_spec::oci::{MemoryPolicyMode, SchedulerPolicy};

/// A list of processors or nodes.
pub(crate) fn numbers(words: &[u64]) -> String {
    NumberSet::from_words(words).to_string()
}

pub(super) fn scheduler(attr: &SchedAttr) -> String {
    let name = policy_name(attr.policy);
    let with = match SchedulerPolicy::from_number(attr.policy) {
        Some(SchedulerPolicy::SchedFifo | SchedulerPolicy::SchedRr) => {
            format!(" with priority {}", attr.priority)
        }
        Some(SchedulerPolicy::SchedDeadline) => format!(
            ": {} ns of each {} ns, within {} ns",
            attr.runtime,
            if attr.period == 0 { attr.deadline } else { attr.period },
            attr.deadline
        ),
        Some(SchedulerPolicy::SchedOther | SchedulerPolicy::SchedBatch) => {
            format!(" with nice value {}", attr.nice)
        }
        _ => String::new(),
    };
    format!("have it scheduled by {name}{with}")
}

pub(crate) fn policy_name(number: u32) -> &'static str {
    SchedulerPolicy::from_number(number).map_or("an unknown policy", SchedulerPolicy::name)
}

/// The class and the level of an I/O priority, as ionice(1) names them.
pub(super) fn io_priority(class: u8, level: u8) -> String {
    match class {
        1 => format!("have its I/O done in real time, level {level}"),
        2 => format!("have its I/O done at best effort, level {level}"),
        _ => "have its I/O done when nobody else has any".to_owned(),
    }
}

/// The mode of a memory policy by its number, which flags may be a part of.
pub(crate) fn memory_mode(mode: u32) -> &'static str {
    const MODE: u32 = 0x1fff;
    let is_it = |one: &MemoryPolicyMode| one.number() == mode & MODE;
    match MemoryPolicyMode::ALL.into_iter().find(is_it) {
        Some(MemoryPolicyMode::MpolDefault) | None => "MPOL_DEFAULT",
        Some(MemoryPolicyMode::MpolBind) => "MPOL_BIND",
        Some(MemoryPolicyMode::MpolInterleave) => "MPOL_INTERLEAVE",
        Some(MemoryPolicyMode::MpolWeightedInterleave) => "MPOL_WEIGHTED_INTERLEAVE",
        Some(MemoryPolicyMode::MpolPreferred) => "MPOL_PREFERRED",
        Some(MemoryPolicyMode::MpolPreferredMany) => "MPOL_PREFERRED_MANY",
        Some(MemoryPolicyMode::MpolLocal) => "MPOL_LOCAL",
    }
}

pub(super) fn memory_policy(mode: u32, nodes: &[u64]) -> String {
    let from = match numbers(nodes) {
        none if none.is_empty() => String::new(),
        some => format!(", nodes {some}"),
    };
    format!("give it memory by {}{from}", memory_mode(mode))
}

/// An execution domain (`linux/personality.h`).
pub(crate) fn domain(number: u32) -> &'static str {
    if number == 8 { "PER_LINUX32" } else { "PER_LINUX" }
}

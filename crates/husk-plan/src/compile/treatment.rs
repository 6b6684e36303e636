// SPDX-License-Identifier: Apache-2.0
//! How the kernel treats the process beside others: scheduling, execution domain, labels of security modules. All of it before the
//! process gives its rights up, and before a filter could refuse the calls.

use husk_init::{SchedAttr, Step};
use husk_spec::oci::{MemoryPolicyFlag, Scheduler, SchedulerFlag};
use husk_spec::{Given, MemoryPolicy, Origin};

use super::Compiler;
use crate::PlanError;
use crate::plan::{HostStep, Stage};

/// Types of file systems whose files SELinux labels by its own rules; the option `context` is none of theirs.
const LABELLED_BY_RULE: [&str; 3] = ["proc", "sysfs", "mqueue"];

impl<'a> Compiler<'a, '_> {
    /// The processors on which the process begins: those of husk, from which it has them.
    pub(super) fn take_first_processors(&mut self) {
        if let Some(Given { value, origin }) = &self.config.process.scheduling.first_processors {
            let processors = self.arena.slice(value.words());
            self.before(Stage::Prepare, HostStep::Processors(processors), origin);
        }
    }

    /// How readily it is killed, which it has from husk as well.
    pub(super) fn take_oom_score(&mut self) -> Result<(), PlanError> {
        if let Some(Given { value, origin }) = &self.config.process.oom_score_adj {
            let value = self.arena.cstr(value.to_string())?;
            self.before(Stage::Prepare, HostStep::OomScoreAdj(value), origin);
        }
        Ok(())
    }

    /// Whether something is to be written about the process in /proc.
    pub(super) fn has_labels(&self) -> bool {
        let labels = &self.config.process.labels;
        labels.apparmor.is_some() || labels.selinux.is_some()
    }

    pub(super) fn schedule(&mut self) {
        let process = &self.config.process;
        let scheduling = &process.scheduling;
        if let Some(Given { value, origin }) = &scheduling.processors {
            let processors = self.arena.slice(value.words());
            self.child(Stage::Identity, Step::Processors(processors), origin);
        }
        if let Some(Given { value, origin }) = &scheduling.scheduler {
            self.child(Stage::Identity, Step::Scheduler(sched_attr(value)), origin);
        }
        if let Some(Given { value, origin }) = &scheduling.io_priority {
            let (class, level) = (value.class.number(), value.priority.clamp(0, 7) as u8);
            self.child(Stage::Identity, Step::IoPriority { class, level }, origin);
        }
        if let Some(Given { value, origin }) = &scheduling.memory_policy {
            let step = self.memory_policy(value);
            self.child(Stage::Identity, step, origin);
        }
        if let Some(Given { value, origin }) = &process.personality {
            self.child(Stage::Identity, Step::Personality(value.number()), origin);
        }
    }

    fn memory_policy(&self, policy: &MemoryPolicy) -> Step<'a> {
        let flags = policy.flags.iter().copied().map(MemoryPolicyFlag::bit).fold(0, |all, bit| all | bit);
        let nodes = if policy.nodes.is_empty() { &[] } else { policy.nodes.words() };
        Step::MemoryPolicy { mode: policy.mode.number() | flags, nodes: self.arena.slice(nodes) }
    }

    /// What the security modules are told. A label that cannot be had is an error: somebody relies on it.
    pub(super) fn label(&mut self) -> Result<(), PlanError> {
        let labels = &self.config.process.labels;
        if let Some(Given { value, origin }) = &labels.selinux {
            if !self.host.selinux {
                return Err(missing(origin, "selinux label", "SELinux"));
            }
            let label = self.arena.cstr(value)?;
            if self.config.process.keyring.is_some() {
                self.child(Stage::Identity, Step::KeyLabel(label), origin);
            }
            self.child(Stage::Identity, Step::SelinuxLabel(label), origin);
        }
        if let Some(Given { value, origin }) = &labels.apparmor {
            let Some(file) = self.host.apparmor else {
                return Err(missing(origin, "apparmor profile", "AppArmor"));
            };
            let word = self.arena.cstr(format!("exec {value}"))?;
            self.child(Stage::Identity, Step::ApparmorProfile { file, word }, origin);
        }
        Ok(())
    }

    /// The SELinux label of a new file system of type `kind`.
    pub(super) fn mount_label(&self, kind: &str) -> Result<Option<&str>, PlanError> {
        let Some(Given { value, origin }) = &self.config.mount_label else { return Ok(None) };
        if !self.host.selinux {
            return Err(missing(origin, "selinux label of mounts", "SELinux"));
        }
        Ok((!LABELLED_BY_RULE.contains(&kind)).then_some(value.as_str()))
    }
}

fn missing(origin: &Origin, what: &str, module: &str) -> PlanError {
    PlanError::Contradiction {
        origin: origin.clone(),
        problem: format!("{what} is specified, but {module} is disabled or not supported by this kernel"),
        hint: format!("leave it out, or boot a kernel with {module}"),
    }
}

fn sched_attr(scheduler: &Scheduler) -> SchedAttr {
    SchedAttr {
        policy: scheduler.policy.number(),
        flags: scheduler.flags.iter().copied().map(SchedulerFlag::bit).fold(0, |all, bit| all | bit),
        nice: scheduler.nice.unwrap_or(0),
        priority: scheduler.priority.unwrap_or(0).unsigned_abs(),
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
    }
}

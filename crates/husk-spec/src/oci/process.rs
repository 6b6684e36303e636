// SPDX-License-Identifier: Apache-2.0
//! `process`.

use serde::{Deserialize, Serialize};

use super::{is_false, non_empty, or_default};

/// What runs in a container; also the whole of an `exec --process` file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// Whether it has a terminal of its own.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub terminal: bool,
    /// The terminal's size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Who it runs as.
    #[serde(deserialize_with = "or_default")]
    pub user: User,
    /// The command and its arguments.
    #[serde(deserialize_with = "or_default")]
    pub args: Vec<String>,
    /// The whole environment: `NAME=value`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The working directory, absolute.
    #[serde(deserialize_with = "or_default")]
    pub cwd: String,
    /// Its five sets of capabilities; all are empty if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Resource limits.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// Whether set-user-id programs and file capabilities have no effect.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub no_new_privileges: bool,
    /// The AppArmor profile.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub apparmor_profile: Option<String>,
    /// How readily the kernel kills it when memory is short, −1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// The SELinux label.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub selinux_label: Option<String>,
    /// The I/O priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// The scheduling policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// The processors of `exec` before and after it joins the container's cgroup.
    #[serde(rename = "execCPUAffinity", skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
}

impl Process {
    /// This process of an exec, with what it leaves open as the container has it. That is what runc takes over from the
    /// container, and the limits too, which runc leaves as the caller has them; a terminal, a user or an environment are each
    /// process's own.
    #[must_use]
    pub fn completed_by(mut self, container: &Self) -> Self {
        let take = container.clone();
        self.capabilities = self.capabilities.or(take.capabilities);
        if self.rlimits.is_empty() {
            self.rlimits = take.rlimits;
        }
        self.user.umask = self.user.umask.or(take.user.umask);
        self.oom_score_adj = self.oom_score_adj.or(take.oom_score_adj);
        self.apparmor_profile = self.apparmor_profile.or(take.apparmor_profile);
        self.selinux_label = self.selinux_label.or(take.selinux_label);
        self.scheduler = self.scheduler.or(take.scheduler);
        self.io_priority = self.io_priority.or(take.io_priority);
        self.exec_cpu_affinity = self.exec_cpu_affinity.or(take.exec_cpu_affinity);
        self
    }
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsoleSize {
    /// Rows.
    #[serde(deserialize_with = "or_default")]
    pub height: u16,
    /// Columns.
    #[serde(deserialize_with = "or_default")]
    pub width: u16,
}

/// Who a process runs as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// The user id inside.
    #[serde(deserialize_with = "or_default")]
    pub uid: u32,
    /// The group id inside.
    #[serde(deserialize_with = "or_default")]
    pub gid: u32,
    /// The file mode creation mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

/// The five sets of `capabilities(7)`, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub struct Capabilities {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub bounding: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub effective: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub inheritable: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub permitted: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub ambient: Vec<String>,
}

impl Capabilities {
    /// The five sets with their names.
    pub fn sets(&self) -> [(&'static str, &[String]); 5] {
        [
            ("bounding", &self.bounding),
            ("effective", &self.effective),
            ("inheritable", &self.inheritable),
            ("permitted", &self.permitted),
            ("ambient", &self.ambient),
        ]
    }

    /// The capability with exactly this name, `CAP_KILL`: what runc would leave out, `kill`, is not granted either.
    pub fn known(name: &str) -> Option<crate::Capability> {
        let capability: crate::Capability = name.parse().ok()?;
        (capability.name() == name).then_some(capability)
    }

    /// Those of `names` that are known.
    pub fn known_of(names: &[String]) -> crate::Capabilities {
        names.iter().filter_map(|name| Self::known(name)).collect()
    }
}

/// A limit of `setrlimit(2)`; `u64::MAX` is unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE`.
    #[serde(rename = "type")]
    pub kind: crate::Resource,
    /// How far it may be raised.
    pub hard: u64,
    /// The limit that counts.
    pub soft: u64,
}

/// An I/O priority (`ioprio_set(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoPriority {
    /// The class.
    pub class: IoClass,
    /// 0 (first) to 7 within the class.
    #[serde(default, deserialize_with = "or_default")]
    pub priority: i32,
}

/// A class of I/O priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum IoClass {
    #[serde(rename = "IOPRIO_CLASS_RT")]
    RealTime,
    #[serde(rename = "IOPRIO_CLASS_BE")]
    BestEffort,
    #[serde(rename = "IOPRIO_CLASS_IDLE")]
    Idle,
}

impl IoClass {
    /// Its number (`linux/ioprio.h`).
    pub fn number(self) -> u8 {
        match self {
            Self::RealTime => 1,
            Self::BestEffort => 2,
            Self::Idle => 3,
        }
    }
}

/// How a process is scheduled (`sched_setattr(2)`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduler {
    /// The policy.
    pub policy: SchedulerPolicy,
    /// −20 to 19, for SCHED_OTHER and SCHED_BATCH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// 1 to 99, for SCHED_FIFO and SCHED_RR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// `SCHED_FLAG_*`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<SchedulerFlag>,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<u64>,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
}

/// A scheduling policy (`sched(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum SchedulerPolicy {
    SchedOther,
    SchedFifo,
    SchedRr,
    SchedBatch,
    SchedIso,
    SchedIdle,
    SchedDeadline,
}

impl SchedulerPolicy {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SchedOther,
        Self::SchedFifo,
        Self::SchedRr,
        Self::SchedBatch,
        Self::SchedIso,
        Self::SchedIdle,
        Self::SchedDeadline,
    ];

    /// Its number (`linux/sched.h`).
    pub fn number(self) -> u32 {
        match self {
            Self::SchedOther => 0,
            Self::SchedFifo => 1,
            Self::SchedRr => 2,
            Self::SchedBatch => 3,
            Self::SchedIso => 4,
            Self::SchedIdle => 5,
            Self::SchedDeadline => 6,
        }
    }

    /// The policy with that number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.number() == number)
    }

    /// Its name, as everybody writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SchedOther => "SCHED_OTHER",
            Self::SchedFifo => "SCHED_FIFO",
            Self::SchedRr => "SCHED_RR",
            Self::SchedBatch => "SCHED_BATCH",
            Self::SchedIso => "SCHED_ISO",
            Self::SchedIdle => "SCHED_IDLE",
            Self::SchedDeadline => "SCHED_DEADLINE",
        }
    }
}

/// A flag of `sched_setattr(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum SchedulerFlag {
    SchedFlagResetOnFork,
    SchedFlagReclaim,
    SchedFlagDlOverrun,
    SchedFlagKeepPolicy,
    SchedFlagKeepParams,
    SchedFlagUtilClampMin,
    SchedFlagUtilClampMax,
}

impl SchedulerFlag {
    /// Its bit (`linux/sched.h`).
    pub fn bit(self) -> u64 {
        match self {
            Self::SchedFlagResetOnFork => 0x01,
            Self::SchedFlagReclaim => 0x02,
            Self::SchedFlagDlOverrun => 0x04,
            Self::SchedFlagKeepPolicy => 0x08,
            Self::SchedFlagKeepParams => 0x10,
            Self::SchedFlagUtilClampMin => 0x20,
            Self::SchedFlagUtilClampMax => 0x40,
        }
    }
}

/// The processors of an `exec`: lists such as `0-3,7`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecCpuAffinity {
    /// Before it joins the container's cgroup.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub initial: Option<String>,
    /// After it.
    #[serde(rename = "final", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

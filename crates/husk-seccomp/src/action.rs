// SPDX-License-Identifier: Apache-2.0
//! Actions as the values that a filter returns (`linux/seccomp.h`, SECCOMP_RET_*).

use std::fmt::{self, Display};

use husk_spec::oci::Action;

const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;
const DATA: u32 = 0xffff;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// All of them.
pub(crate) const ALL: &[Action] = &[
    Action::KillProcess,
    Action::KillThread,
    Action::Trap,
    Action::Errno,
    Action::Notify,
    Action::Trace,
    Action::Log,
    Action::Allow,
];

/// What a filter answers: the value itself, as the kernel takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome(pub u32);

impl Outcome {
    /// What a call of an architecture that the filter is not for gets: libseccomp's default for it.
    pub(crate) const FOREIGN: Self = Self(KILL_THREAD);
    /// What a call gets that is newer than the profile.
    pub(crate) const NEWER: Self = Self(ERRNO | ENOSYS);

    /// The value of an action of a profile. Of `errno` the lower 16 bits count; without it, it is EPERM.
    pub fn new(action: Action, errno: Option<u32>) -> Self {
        let data = errno.unwrap_or(EPERM) & DATA;
        Self(match action {
            Action::KillProcess => KILL_PROCESS,
            Action::KillThread => KILL_THREAD,
            Action::Trap => TRAP,
            Action::Errno => ERRNO | data,
            Action::Notify => NOTIFY,
            Action::Trace => TRACE | data,
            Action::Log => LOG,
            Action::Allow => ALLOW,
        })
    }

    /// The action; none for a value that this crate's filters do not return.
    pub fn action(self) -> Option<Action> {
        Some(match self.0 & !DATA {
            KILL_PROCESS => Action::KillProcess,
            KILL_THREAD => Action::KillThread,
            TRAP => Action::Trap,
            ERRNO => Action::Errno,
            NOTIFY => Action::Notify,
            TRACE => Action::Trace,
            LOG => Action::Log,
            ALLOW => Action::Allow,
            _ => return None,
        })
    }

    /// The error that the caller sees, if it is one.
    pub fn errno(self) -> Option<u32> {
        (self.0 & !DATA == ERRNO).then_some(self.0 & DATA)
    }

    /// Whether the call is made: allowed, or only logged.
    pub fn lets_pass(self) -> bool {
        matches!(self.0 & !DATA, ALLOW | LOG)
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.0 & DATA;
        match self.action() {
            Some(Action::KillProcess) => f.write_str("SCMP_ACT_KILL_PROCESS"),
            Some(Action::KillThread) => f.write_str("SCMP_ACT_KILL_THREAD"),
            Some(Action::Trap) => f.write_str("SCMP_ACT_TRAP"),
            Some(Action::Errno) => write!(f, "SCMP_ACT_ERRNO({data})"),
            Some(Action::Notify) => f.write_str("SCMP_ACT_NOTIFY"),
            Some(Action::Trace) => write!(f, "SCMP_ACT_TRACE({data})"),
            Some(Action::Log) => f.write_str("SCMP_ACT_LOG"),
            Some(Action::Allow) => f.write_str("SCMP_ACT_ALLOW"),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}

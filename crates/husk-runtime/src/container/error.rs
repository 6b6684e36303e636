// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with a container that has a state.

use std::path::PathBuf;

use husk_cgroup::CgroupError;
use husk_cgroup::systemd::SystemdError;
use husk_plan::{PlanError, in_words};
use husk_spec::InvalidConfig;
use husk_spec::oci::Status;
use rustix::io::Errno;

use crate::why::Setting;

/// Why something could not be done to a container.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no container of that id.
    #[error("container does not exist: there is no {id:?} in {}", .root.display())]
    NoSuchContainer {
        /// The id.
        id: String,
        /// Where containers are looked for.
        root: PathBuf,
    },
    /// Others than this user can write where the states of containers are.
    #[error("cannot trust the states of containers in {}: {problem}", .root.display())]
    ForeignRoot {
        /// Where.
        root: PathBuf,
        /// Why.
        problem: String,
    },
    /// There is one already.
    #[error("container with id exists: {id:?} is in {} already", .root.display())]
    Exists {
        /// The id.
        id: String,
        /// Where.
        root: PathBuf,
    },
    /// It is in no condition for that.
    #[error("cannot {doing} a container that is {}", .status.name())]
    Condition {
        /// What was to be done.
        doing: &'static str,
        /// The condition that it is in.
        status: Status,
    },
    /// Another call is at it.
    #[error("container {id:?} is busy: another call has been at it for {seconds} s")]
    Busy {
        /// The id.
        id: String,
        /// How long this call waited.
        seconds: u64,
    },
    /// It is paused, and nothing runs in it.
    #[error(
        "cannot exec in a paused container (use --ignore-paused to override): what is run would wait too"
    )]
    Paused,
    /// Its first process has ended.
    #[error("container not running: {id:?} is {}", .status.name())]
    NotRunning {
        /// The id.
        id: String,
        /// The condition that it is in.
        status: Status,
    },
    /// Something in the state directory, or another file of husk's own, could not be read or written.
    #[error("cannot {doing} {}: {}", .path.display(), in_words(.errno))]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        errno: Errno,
    },
    /// The state cannot be understood.
    #[error("the state of {id:?} is damaged: {problem}; delete --force takes it away")]
    Damaged {
        /// The id.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There are processes where the container's cgroup may have been.
    #[error(
        "the state of {id:?} is damaged, and does not say whether process {pid} is the container's, as its cgroup suggests"
    )]
    WhoseProcess {
        /// The id.
        id: String,
        /// The process.
        pid: i32,
    },
    /// The configuration has no meaning.
    #[error(transparent)]
    Invalid(#[from] InvalidConfig),
    /// The configuration cannot be carried out here.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It has no cgroup of its own, and what was to be done needs one.
    #[error("cannot {doing} {id:?}: it has no cgroup of its own")]
    NoCgroup {
        /// What was to be done.
        doing: &'static str,
        /// The id.
        id: String,
    },
    /// A limit that its cgroups cannot set.
    #[error("{problem}")]
    Limit {
        /// Which field, and what is wrong with it.
        problem: String,
    },
    /// Its cgroups could not be read, written, or taken away.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// systemd, which has made its cgroup, did not do what it was asked.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// A step failed.
    #[error(transparent)]
    Run(#[from] crate::Error),
    /// A filter of system calls that does not let the command be executed.
    #[error("permission denied: cannot execute the command: {call} failed ({}): {by}", in_words(.errno))]
    RefusedByFilter {
        /// The call that it refuses.
        call: &'static str,
        /// The rule.
        by: String,
        /// What the call said.
        errno: Errno,
    },
    /// A filter of system calls under which the process ended before it was the command.
    #[error("the process ended under its seccomp filter before the command ran{}", listed(.in_the_way))]
    EndedByFilter {
        /// What the filter says of the calls that were to come, where it does not let them pass.
        in_the_way: Vec<String>,
    },
    /// It could not be made, and the kernel has killed in it for want of memory.
    #[error("{error}: {killed}")]
    KilledForMemory {
        /// What could not be done.
        error: Box<Error>,
        /// Whose limit was reached, and how much that is.
        killed: String,
    },
    /// A signal could not be sent, or a process not be waited for.
    #[error("cannot {doing}: {}", in_words(.errno))]
    Process {
        /// What was being done.
        doing: String,
        /// Why not.
        errno: Errno,
    },
    /// It did not end.
    #[error("cannot delete {id:?}: its process {pid} does not end, {seconds} s after SIGKILL")]
    Survives {
        /// The id.
        id: String,
        /// The process.
        pid: i32,
        /// How long it was waited for.
        seconds: u64,
    },
}

fn listed(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Run(error) => error.hint(),
            Self::Plan(error) => error.hint(),
            Self::RefusedByFilter { call, .. } => Some(format!("allow {call} in linux.seccomp")),
            Self::EndedByFilter { .. } => Some(
                "linux.seccomp has to allow execve; and sendmsg and exit_group, to say what fails; without noNewPrivileges \
                 capset, capget and prctl as well"
                    .to_owned(),
            ),
            Self::KilledForMemory { .. } => Some(format!("a greater {}", Setting::Field.name())),
            Self::ForeignRoot { .. } => Some("name a directory of your own with --root".to_owned()),
            Self::NoCgroup { .. } => Some(
                "an ordinary user's container has one where a cgroup was delegated to the user, as in a session of systemd: \
                 systemd-run --user --scope -p Delegate=yes husk-oci run …"
                    .to_owned(),
            ),
            Self::WhoseProcess { .. } => Some("end it, and try again".to_owned()),
            Self::Condition { doing: "delete", .. } => Some("kill it first, or delete --force".to_owned()),
            Self::Exists { .. } => Some("delete it first, or take another id".to_owned()),
            _ => None,
        }
    }
}

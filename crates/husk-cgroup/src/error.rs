// SPDX-License-Identifier: Apache-2.0
//! What can go wrong with the cgroups of a host.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::device::attach::DeviceProgramError;
use crate::device::v1::HoleInRule;

/// Why a cgroup could not be had, changed, read or taken away.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No hierarchy is mounted.
    #[error("no cgroups are mounted here; mount them: mount -t cgroup2 none /sys/fs/cgroup")]
    NoHierarchy,
    /// `cgroupsPath` names the top of the hierarchies.
    #[error(
        "linux.cgroupsPath: {0:?} is the top of the hierarchies, which cannot be a container's; name a cgroup below it"
    )]
    Top(String),
    /// A call on a file or directory failed.
    #[error("{action} {}: {}{}", path.display(), in_words(errno), hint(*errno, path))]
    Call {
        /// What was tried: `mkdir`, `reading`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What came of it.
        errno: Errno,
    },
    /// A cgroup for a further process is not in the container's.
    #[error("{0:?} is no cgroup below the container's: a path with .. leads out of it")]
    Outside(String),
    /// A controller that no hierarchy of version 1 has.
    #[error(
        "the controller {0} has no hierarchy of its own here: a path is for one controller on cgroup v1 alone; leave it out"
    )]
    NoSubsystem(String),
    /// A limit was not taken.
    #[error("{origin}: writing {value:?} to {}: {}{}", path.display(), in_words(errno), hint(*errno, path))]
    Write {
        /// The field that asks for it.
        origin: String,
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// What an update had written before it was refused could not be put back.
    #[error("{error}; what was written before that could not be put back: {why}")]
    NotPutBack {
        /// Why it was refused.
        error: Box<Self>,
        /// Why it could not.
        why: Box<Self>,
    },
    /// Device rules of version 1 that were replaced could not be put back.
    #[error("{} does not tell what of all devices is denied", path.display())]
    DevicesNotTold {
        /// The file.
        path: PathBuf,
    },
    /// A controller is not mounted, or the kernel has none of that name.
    #[error("{origin}: the controller {controller} is not mounted here{}", unmounted(controller))]
    NoController {
        /// The field that needs it.
        origin: String,
        /// Its name.
        controller: String,
    },
    /// A controller is not passed down to the container's cgroup.
    #[error("the controller {controller} ends at {}: {reason}", level.display())]
    NotDelegated {
        /// Its name.
        controller: String,
        /// The lowest cgroup on the way that has it.
        level: PathBuf,
        /// Why it goes no further, and what to do.
        reason: String,
    },
    /// The cgroup is in the middle of a threaded one.
    #[error("{} is inside a threaded cgroup, where whole processes cannot be placed; choose another linux.cgroupsPath", .0.display())]
    Threaded(PathBuf),
    /// systemd has its scopes in another place.
    #[error(
        "systemd has put the process into {}, and not into {}; choose another linux.cgroupsPath, or leave out --systemd-cgroup",
        found.display(), expected.display()
    )]
    Elsewhere {
        /// Where it should be.
        expected: PathBuf,
        /// The path of the process's cgroup in systemd's hierarchy.
        found: PathBuf,
    },
    /// Processes are there already.
    #[error("the cgroup {} has processes in it already (one is {pid}); choose another linux.cgroupsPath", path.display())]
    Occupied {
        /// The cgroup.
        path: PathBuf,
        /// One of them.
        pid: i32,
    },
    /// It is frozen, by itself or from above: who enters it stands still.
    #[error("the cgroup {} is frozen, or one above it: nothing would run in it; thaw it ({}), or choose another linux.cgroupsPath", .0.display(), thawing(.0))]
    Frozen(PathBuf),
    /// An update below what is in use.
    #[error(
        "{field}: the new limit of {limit} bytes is not above the {usage} bytes in use; the update was refused as memory.checkBeforeUpdate asks"
    )]
    InUse {
        /// The field.
        field: &'static str,
        /// The limit in bytes.
        limit: u64,
        /// Bytes in use.
        usage: u64,
    },
    /// Freezing or thawing did not end in time.
    #[error("{} is not {wanted} after {seconds} s; a process in it waits for the kernel and cannot be stopped", path.display())]
    Freezer {
        /// The cgroup.
        path: PathBuf,
        /// `frozen` or `thawed`.
        wanted: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A process outlives being killed.
    #[error("process {pid} in {} was killed and has not ended after {seconds} s: it waits for the kernel (a disk, a network file system)", path.display())]
    Alive {
        /// The cgroup.
        path: PathBuf,
        /// The process.
        pid: i32,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The cgroup has no freezer.
    #[error("the controller freezer is not mounted here, so that nothing can be paused")]
    NoFreezer,
    /// Device rules that version 1 cannot follow.
    #[error("linux.resources.devices: {0}")]
    DeviceRules(#[from] HoleInRule),
    /// The kernel did not take the program for the device rules.
    #[error("linux.resources.devices: {0}")]
    DeviceProgram(#[from] DeviceProgramError),
    /// Device rules were written and are not in force.
    #[error("linux.resources.devices: {} says after writing that {line:?} is missing or too much; the cgroup above may not allow it", path.display())]
    DeviceList {
        /// The file that was read back.
        path: PathBuf,
        /// The line that would still have to be written.
        line: String,
    },
}

impl CgroupError {
    /// What the system said, where a call failed.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Call { errno, .. } | Self::Write { errno, .. } => Some(*errno),
            Self::DeviceProgram(
                DeviceProgramError::Call { errno, .. } | DeviceProgramError::Verifier { errno, .. },
            ) => Some(*errno),
            _ => None,
        }
    }

    /// Whether privilege is missing. Without limits a container may then do without a cgroup.
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), Some(Errno::ACCESS | Errno::PERM | Errno::ROFS))
            || matches!(self, Self::NotDelegated { .. })
    }

    /// The error of a call that `action` made on `path`.
    pub fn call(action: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Call { action, path: path.to_owned(), errno }
    }
}

/// How a user's own systemd is given controllers, as `docs/cgroups.md` has it.
pub(crate) const DELEGATE: &str = "as root, put [Service] and Delegate=cpu cpuset io memory pids into \
     /etc/systemd/system/user@.service.d/delegate.conf, run systemctl daemon-reload and log in again";

const NO_NAME: &str = "no cgroup can have such a name";

/// An error of the system, an [`Errno`] or [`std::io::Error`], in the C library's words alone: Rust appends its number.
pub fn in_words(error: impl Display) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn hint(errno: Errno, path: &Path) -> String {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let text = match (errno, file) {
        (Errno::ACCESS | Errno::PERM, _) if is_v2(path) => format!(
            "this cgroup is not yours to divide; where systemd runs, a part of your session is (systemd-run --user --scope -p \
             Delegate=yes COMMAND). If that lacks a controller, {DELEGATE}"
        ),
        (Errno::ACCESS | Errno::PERM, _) => {
            "this cgroup is not yours to divide: those of version 1 are root's. Run it as root, or boot \
             the host with version 2 (systemd.unified_cgroup_hierarchy=1), of which a user can have a part"
                .to_owned()
        }
        (Errno::ROFS, _) => "cgroups are mounted read-only here".to_owned(),
        (Errno::NOENT, "memory.memsw.limit_in_bytes") => {
            "the kernel does not count swap (boot with swapaccount=1)".to_owned()
        }
        (Errno::NOENT, _) if file.contains("bfq") => "the kernel has no scheduler with weights".to_owned(),
        (Errno::NOENT, _) if file.starts_with("cgroup.") => {
            "this is no cgroup, or no longer: somebody else has taken it away, or mounted something over it".to_owned()
        }
        (Errno::NOENT, _) if file.contains('.') => "the kernel has no such limit".to_owned(),
        (Errno::BUSY, "memory.limit_in_bytes" | "memory.memsw.limit_in_bytes") => {
            "more is in use, and cannot be reclaimed".to_owned()
        }
        (Errno::INVAL, "memory.limit_in_bytes" | "memory.memsw.limit_in_bytes") => {
            "memory must not exceed memory and swap together: give both".to_owned()
        }
        (Errno::BUSY, "cgroup.subtree_control") => {
            "a cgroup with processes in it cannot give controllers to those below".to_owned()
        }
        (Errno::INVAL, "cpu.cfs_quota_us" | "cpu.cfs_period_us" | "cpu.cfs_burst_us" | "cpu.max" | "cpu.max.burst") => {
            "in microseconds, a quota is 1000 or more, a period 1000 to 1000000, a burst no more than the quota; and no cgroup has a \
             greater part of its period than the one above"
                .to_owned()
        }
        (Errno::INVAL, "cpu.rt_runtime_us" | "cpu.rt_period_us") => {
            "the cgroup above must have as much real time itself (its cpu.rt_runtime_us)".to_owned()
        }
        (Errno::INVAL, "cpu.shares" | "cpu.weight") => {
            "a group that runs only when nothing else does has no share: set cpu.idle to 0 with it".to_owned()
        }
        (Errno::INVAL, "cpuset.cpus" | "cpuset.mems") => {
            "it takes a list such as 0-2,7, of no more than the cgroup above has".to_owned()
        }
        (Errno::RANGE, "cpuset.cpus" | "cpuset.mems") => {
            "the kernel knows no such number".to_owned()
        }
        // The last of them is below a file that every cgroup has.
        (Errno::INVAL, _) if file.contains('\n') => NO_NAME.to_owned(),
        (Errno::NAMETOOLONG | Errno::NOTDIR, _) => NO_NAME.to_owned(),
        (Errno::NODEV | Errno::NXIO, _) => "there is no such device".to_owned(),
        (Errno::INVAL | Errno::RANGE, _) => "the kernel does not take this value".to_owned(),
        _ => return String::new(),
    };
    format!(": {text}")
}

fn thawing(path: &Path) -> String {
    let (value, file) = if is_v2(path) { ("0", "cgroup.freeze") } else { ("THAWED", "freezer.state") };
    format!("echo {value} > {}", path.join(file).display())
}

/// Whether a directory above is one of version 2.
fn is_v2(path: &Path) -> bool {
    path.ancestors().skip(1).any(|above| above.join("cgroup.controllers").exists())
}

fn unmounted(controller: &str) -> &'static str {
    match controller {
        "hugetlb" | "rdma" | "net_cls" | "net_prio" => {
            "; mount it below /sys/fs/cgroup if the kernel has it (see /proc/cgroups), or leave the limit out"
        }
        _ => "; see /proc/self/mountinfo for those that are, or leave the limit out",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_failed_is_told_in_words_with_its_reason() {
        let told =
            |path: &str, errno| CgroupError::Call { action: "reading", path: path.into(), errno }.to_string();
        assert!(
            told("/nowhere/fz/cgroup.procs", Errno::NOENT).starts_with(
                "reading /nowhere/fz/cgroup.procs: No such file or directory: this is no cgroup"
            )
        );
        let limit = told("/nowhere/fz/cpu.idle", Errno::NOENT);
        assert_eq!(
            limit,
            "reading /nowhere/fz/cpu.idle: No such file or directory: the kernel has no such limit"
        );
    }

    /// The kernel has one answer for what is no list and for what is not there.
    #[test]
    fn a_refused_set_of_processors_is_said_to_be_a_list() {
        let error = CgroupError::Write {
            origin: "linux.resources.cpu.cpus".to_owned(),
            path: PathBuf::from("/none/cpuset.cpus"),
            value: "0-".to_owned(),
            errno: Errno::INVAL,
        };
        let said = error.to_string();
        assert!(said.contains("0-2,7") && said.contains("above has"), "{said}");
    }
}

// SPDX-License-Identifier: Apache-2.0
//! What is to be seen of a running process, and of the host that it is compared with.

use std::ffi::OsString;
use std::path::PathBuf;

use husk_spec::{Capabilities, IdMapping, NamespaceKind, Rlimit};

/// What is to be seen of a running process.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What to call it.
    pub name: String,
    /// Its id as the reader has it.
    pub pid: u32,
    /// Its ids, from the reader's pid namespace to its own.
    pub pids: Vec<u32>,
    /// Whether the other processes of its container come from it.
    pub is_first: bool,
    /// Who made its container, if that is known.
    pub maker: Option<String>,
    /// Its namespaces, in any order; those that may not be looked at are left out.
    pub namespaces: Vec<(NamespaceKind, Whose)>,
    /// The ids of a user namespace that is not the host's.
    pub ids: ObservedIds,
    /// Its network interfaces but loopback.
    pub interfaces: Vec<OsString>,
    /// Whether its loopback interface is up.
    pub is_loopback_up: bool,
    /// How far its clocks are set off, in the format of `/proc/PID/timens_offsets`; empty if they are not.
    pub clocks: String,
    /// Its root; `None` if it may not be looked at.
    pub root: Option<ObservedRoot>,
    /// Its mounts.
    pub mounts: Vec<ObservedMount>,
    /// The host's.
    pub host_mounts: Vec<ObservedMount>,
    /// Who it is and what it may do.
    pub process: ObservedProcess,
    /// Files in `/proc` that the reader may not read.
    pub unreadable: Vec<String>,
    /// Whether the reader is root, and so may read whatever can be read.
    pub is_reader_root: bool,
}

/// Whose a namespace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The host's.
    Host,
    /// Of its container alone.
    Own,
    /// Another container's too.
    Shared {
        /// A process of that container.
        pid: u32,
        /// What that is called.
        name: String,
    },
}

/// The ids of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedIds {
    /// Which user ids inside are which outside.
    pub uids: Vec<IdMapping>,
    /// The same of groups.
    pub gids: Vec<IdMapping>,
    /// Whether groups may be set.
    pub may_set_groups: bool,
    /// The user, outside, who made the namespace.
    pub owner: Option<u32>,
}

/// A root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedRoot {
    /// Its path in the mount namespace: `/`, unless it was changed by `chroot(2)`.
    pub path: PathBuf,
    /// The same directory on the host, if it is to be found there.
    pub on_host: Option<PathBuf>,
    /// Whether it is the host's own.
    pub is_host: bool,
}

/// A line of `/proc/PID/mountinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedMount {
    /// Its id.
    pub id: u32,
    /// The id of the mount that it is on.
    pub parent: u32,
    /// The number of its file system's device.
    pub device: (u32, u32),
    /// The directory or file of the file system that is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// Options of the mount.
    pub options: String,
    /// `shared:N`, `master:N`, or nothing.
    pub propagation: String,
    /// The type of the file system.
    pub kind: String,
    /// What was mounted.
    pub source: OsString,
    /// Options of the file system.
    pub fs_options: OsString,
}

/// Who a process is and what it may do.
#[derive(Clone, Debug, Default)]
pub struct ObservedProcess {
    /// Its user, as its own namespace numbers users; `None` if it is not mapped there.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Its other groups, without those that are not mapped.
    pub groups: Vec<u32>,
    /// Whether those are the caller's too.
    pub has_the_callers_groups: bool,
    /// Its file mode creation mask, if it differs from the caller's.
    pub umask: Option<u32>,
    /// Whether it leads a session.
    pub leads_session: bool,
    /// Its limits, as far as they differ from the caller's.
    pub rlimits: Vec<Rlimit>,
    /// Its working directory, as it sees it.
    pub directory: Option<PathBuf>,
    /// Its capabilities.
    pub capabilities: Option<ObservedCapabilities>,
    /// `no_new_privs`, unless the caller has it too.
    pub no_new_privileges: bool,
    /// How its system calls are filtered.
    pub seccomp: ObservedSeccomp,
    /// The label of a security module, if it differs from the caller's.
    pub label: Option<OsString>,
    /// Its cgroups, as far as they differ from the caller's.
    pub cgroups: Vec<ObservedCgroup>,
    /// How readily it is killed when memory runs out, if that differs from the caller's.
    pub oom_score: Option<i32>,
    /// Its command line.
    pub arguments: Vec<OsString>,
    /// The variables that it was started with, `NAME=VALUE`.
    pub environment: Vec<OsString>,
}

/// The capabilities of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObservedCapabilities {
    /// What it may do.
    pub effective: Capabilities,
    /// What it may make effective.
    pub permitted: Capabilities,
    /// What it passes on to programs that ask for it.
    pub inheritable: Capabilities,
    /// The most that a program can get.
    pub bounding: Capabilities,
    /// What it passes on to every program.
    pub ambient: Capabilities,
    /// The bounding set that it began with: all in a user namespace that is not the host's, else the caller's.
    pub first_bounding: Capabilities,
}

/// How system calls are filtered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObservedSeccomp {
    /// Not, or not more than the caller's.
    #[default]
    Off,
    /// All but four are refused.
    Strict,
    /// By this many programs, if the kernel tells.
    Filters(Option<u32>),
}

/// A place among the cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedCgroup {
    /// The path below the top of the hierarchy.
    pub path: OsString,
    /// Its directories on the host: version 1 has one in each hierarchy.
    pub directories: Vec<PathBuf>,
    /// What that lets it have, in words.
    pub limits: String,
}

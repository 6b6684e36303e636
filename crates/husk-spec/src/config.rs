// SPDX-License-Identifier: Apache-2.0
//! [`Config`]: what a container is asked to be.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::oci::{self, IoPriority, MemoryPolicyFlag, MemoryPolicyMode, PersonalityDomain, Scheduler};
use crate::{Capabilities, Given, MountFlags, NumberSet, Propagation, Rlimit};

/// What a container is asked to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The container's name, in messages and, unless `hostname` says otherwise, its host name.
    pub name: String,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Its file system. `None` only where the mount namespace is joined.
    pub root: Option<Root>,
    /// How the root is entered.
    pub enter_root: Given<EnterRoot>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// The host name inside, `None` to leave what the UTS namespace has.
    pub hostname: Option<Given<String>>,
    /// The NIS domain name inside, `None` to leave what the UTS namespace has.
    pub domainname: Option<Given<String>>,
    /// How the host's mounts, which a new mount namespace begins with, relate to the host from then on.
    pub propagation: Given<Propagation>,
    /// What the root mount's propagation becomes at the end.
    pub root_propagation: Option<Given<(Propagation, Recursive)>>,
    /// The mounts after the root, in order.
    pub mounts: Vec<Given<Mount>>,
    /// Device nodes below `/dev`.
    pub devices: Vec<Given<Device>>,
    /// Symbolic links to make below `/dev`: (path, what it points at).
    pub links: Vec<Given<(PathBuf, PathBuf)>>,
    /// Its group of the resource control file system (resctrl).
    pub resource_group: Option<Given<ResourceGroup>>,
    /// Network devices of husk's network namespace that move into the container's.
    pub net_devices: Vec<Given<NetDevice>>,
    /// Kernel parameters of the container's namespaces.
    pub sysctls: Vec<Given<Sysctl>>,
    /// Paths that are hidden; those that do not exist are passed over.
    pub masked_paths: Given<Vec<PathBuf>>,
    /// Paths that are made read-only; those that do not exist are passed over.
    pub readonly_paths: Given<Vec<PathBuf>>,
    /// Its cgroups, the caller's if `None`.
    pub cgroup: Option<Given<Cgroup>>,
    /// The SELinux label of the file systems that are made for the container.
    pub mount_label: Option<Given<String>>,
    /// Programs that run in the container's namespaces on the way.
    pub hooks: Hooks,
    /// What runs inside.
    pub process: Process,
}

/// The cgroups of a container's processes.
#[derive(Clone, Debug, PartialEq)]
pub enum Cgroup {
    /// Cgroups of its own.
    New {
        /// Where: absolute from the top of each hierarchy, relative from the caller's; by the container's name if `None`.
        path: Option<String>,
        /// What they limit.
        resources: Box<oci::Resources>,
        /// If systemd is asked for them.
        systemd: Option<ScopeWanted>,
    },
    /// A cgroup of its own that goes when it ends.
    Passing(Box<PassingCgroup>),
    /// Those of a container that is there, which the caller has opened.
    Existing,
    /// That of a container that is there, into which only systemd may move a process; the caller has opened the way.
    Scope {
        /// The unit.
        unit: String,
    },
}

/// What is asked of systemd for the scope that is to be a container's cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeWanted {
    /// The properties that annotations name, each with its value as GVariant's text format has it.
    pub properties: Vec<(String, String)>,
    /// Whether the form of `linux.cgroupsPath` alone says so: then husk makes the cgroup where systemd cannot be asked.
    pub by_form: bool,
}

/// The cgroup of a container that somebody stays with: made for the limits that are wanted, and on version 1 in no other hierarchy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PassingCgroup {
    /// In which cgroup it is made: absolute from the top of each hierarchy, relative from the caller's; beside the caller if `None`.
    pub parent: Option<String>,
    /// What it limits.
    pub resources: oci::Resources,
    /// The limits that somebody asked for: the field of `linux.resources` and the option in its stead. All others are defaults, which
    /// the container can do without.
    pub asked: Vec<(&'static str, &'static str)>,
}

impl PassingCgroup {
    /// Whether somebody asked for the limit that stems from this field (`linux.resources.memory.limit`).
    pub fn asks_for(&self, origin: &str) -> bool {
        self.asked
            .iter()
            .any(|(field, _)| origin.strip_prefix("linux.").is_some_and(|origin| origin.starts_with(field)))
    }
}

/// How long a container lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as whoever started it: when that process ends, however, the container does.
    Attached,
    /// As long as its first process, which goes on when whoever made it is gone.
    Detached,
    /// As `Detached`; and before the command it waits until somebody starts it.
    Created,
}

/// Whether the mounts below are meant too.
pub type Recursive = bool;

/// Programs that run in the container's namespaces on the way to the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Whether whoever makes the container has something to do when everything is mounted and the root not yet entered.
    pub outside: Option<Given<()>>,
    /// Before the root is entered: the paths are the host's.
    pub create_container: Vec<Given<Hook>>,
    /// Right before the command: the paths are the container's.
    pub start_container: Vec<Given<Hook>>,
}

/// A program to run, with the container's state on its standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// An absolute path.
    pub path: PathBuf,
    /// Its arguments, the name first.
    pub args: Vec<OsString>,
    /// Its whole environment: `NAME=value`.
    pub environment: Vec<OsString>,
    /// Seconds after which it is killed; `None` for as long as it takes.
    pub timeout: Option<u32>,
}

/// A container's file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The directory on the host. Absolute.
    pub path: Given<PathBuf>,
    /// Where writes go.
    pub writes: Given<Writes>,
    /// Whether the files are to be shown through the container's id maps where they can, so that they keep their owners on disk.
    pub idmap: bool,
}

/// Where writes to the root file system go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// To the directory itself.
    Through,
    /// To an overlay in memory that goes with the container.
    Ephemeral,
    /// Nowhere: the root is read-only.
    Refused,
}

/// How a container's root is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnterRoot {
    /// `pivot_root(2)`, and the old root is unmounted: it is gone.
    Pivot,
    /// `chroot(2)`: the old root stays mounted underneath, and CAP_SYS_CHROOT is enough to get back to it.
    Chroot,
    /// `chroot(2)` to the root of this process, which is none that the mount namespace leads to.
    OfProcess(i32),
}

/// The kinds of namespaces (`namespaces(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum NamespaceKind {
    User,
    Mount,
    Pid,
    Network,
    Ipc,
    Uts,
    Cgroup,
    Time,
}

impl NamespaceKind {
    /// All of them, in the order in which they must be joined: the user namespace first, because it gives the right to
    /// join those that it owns; the mount namespace last, because paths mean something else afterwards.
    pub const ALL: [Self; 8] =
        [Self::User, Self::Pid, Self::Network, Self::Ipc, Self::Uts, Self::Cgroup, Self::Time, Self::Mount];

    /// Its name below `/proc/PID/ns`.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Mount => "mnt",
            Self::Pid => "pid",
            Self::Network => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The kind with this name: that below `/proc/PID/ns`, or the longer one of the OCI specification.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "user" => Self::User,
            "mnt" | "mount" => Self::Mount,
            "pid" => Self::Pid,
            "net" | "network" => Self::Network,
            "ipc" => Self::Ipc,
            "uts" => Self::Uts,
            "cgroup" => Self::Cgroup,
            "time" => Self::Time,
            _ => return None,
        })
    }
}

/// Where a namespace comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// A new one.
    New,
    /// The one that husk itself is in.
    Host,
    /// An existing one: a path such as `/proc/PID/ns/net`.
    Join(PathBuf),
}

/// A container's namespaces but the user namespace, which is richer.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespaces {
    /// The user namespace.
    pub user: Given<UserNamespace>,
    /// The mount namespace. Never the host's.
    pub mount: Given<Namespace>,
    /// The pid namespace.
    pub pid: Given<Namespace>,
    /// The network namespace. A new one has a loopback interface that is up, and no other.
    pub network: Given<Namespace>,
    /// The IPC namespace.
    pub ipc: Given<Namespace>,
    /// The UTS namespace.
    pub uts: Given<Namespace>,
    /// The cgroup namespace.
    pub cgroup: Given<Namespace>,
    /// The time namespace.
    pub time: Given<Namespace>,
    /// The clocks of a new time namespace.
    pub time_offsets: TimeOffsets,
    /// The id maps that a joined user namespace must have, if that is known.
    pub joined_maps: Option<Given<JoinedMaps>>,
}

impl Namespaces {
    /// All but the user namespace.
    pub fn but_user(&self) -> [(NamespaceKind, &Given<Namespace>); 7] {
        [
            (NamespaceKind::Mount, &self.mount),
            (NamespaceKind::Pid, &self.pid),
            (NamespaceKind::Network, &self.network),
            (NamespaceKind::Ipc, &self.ipc),
            (NamespaceKind::Uts, &self.uts),
            (NamespaceKind::Cgroup, &self.cgroup),
            (NamespaceKind::Time, &self.time),
        ]
    }

    /// The one of this kind; `None` for the user namespace.
    pub fn get_mut(&mut self, kind: NamespaceKind) -> Option<&mut Given<Namespace>> {
        Some(match kind {
            NamespaceKind::User => return None,
            NamespaceKind::Mount => &mut self.mount,
            NamespaceKind::Pid => &mut self.pid,
            NamespaceKind::Network => &mut self.network,
            NamespaceKind::Ipc => &mut self.ipc,
            NamespaceKind::Uts => &mut self.uts,
            NamespaceKind::Cgroup => &mut self.cgroup,
            NamespaceKind::Time => &mut self.time,
        })
    }
}

/// A container's user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserNamespace {
    /// A new one with the widest maps that this user can have here.
    Auto,
    /// A new one with the caller's own ids alone.
    Single,
    /// A new one with these maps.
    Mapped {
        /// User ids.
        uids: Vec<IdMapping>,
        /// Group ids.
        gids: Vec<IdMapping>,
    },
    /// The one that husk itself is in.
    Host,
    /// An existing one.
    Join(PathBuf),
}

/// One line of an id map (`user_namespaces(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdMapping {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside, in the namespace of husk.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The id maps that a joined user namespace must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMaps {
    /// User ids; whatever it has if empty.
    pub uids: Vec<IdMapping>,
    /// Group ids; whatever it has if empty.
    pub gids: Vec<IdMapping>,
}

/// How far the clocks of a time namespace are from the host's (`time_namespaces(7)`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeOffsets {
    /// CLOCK_MONOTONIC.
    pub monotonic: Option<Given<TimeOffset>>,
    /// CLOCK_BOOTTIME.
    pub boottime: Option<Given<TimeOffset>>,
}

/// A distance in time; the nanoseconds add to the seconds also when those are negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    /// Seconds, negative for the past.
    pub seconds: i64,
    /// Nanoseconds, below 10⁹.
    pub nanoseconds: u32,
}

/// A mount after the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// A new instance of a file system.
    Filesystem(FilesystemMount),
    /// A part of the host's file tree.
    Bind(BindMount),
    /// The container's cgroups.
    Cgroup(CgroupMount),
    /// None: what is mounted there already gets other options.
    Remount(Remount),
}

impl Mount {
    /// Where, in the container. Absolute.
    pub fn target(&self) -> &PathBuf {
        match self {
            Self::Filesystem(mount) => &mount.target,
            Self::Bind(mount) => &mount.target,
            Self::Cgroup(mount) => &mount.target,
            Self::Remount(mount) => &mount.target,
        }
    }
}

/// Other options for what is mounted already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remount {
    /// Where, in the container. Absolute.
    pub target: PathBuf,
    /// Attributes of the mount, which has no others then.
    pub flags: MountFlags,
    /// Options for the file system itself, which all of its mounts share; `None` to leave it alone.
    pub file_system: Option<Vec<(String, Option<String>)>>,
}

/// The container's cgroups, as a file tree: one of version 2, or one for each hierarchy of version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    /// Where, in the container. Absolute.
    pub target: PathBuf,
    /// Attributes of the mounts.
    pub flags: MountFlags,
    /// How mounts travel between it and its peers; as the kernel has it if `None`.
    pub propagation: Option<(Propagation, Recursive)>,
}

/// A new instance of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesystemMount {
    /// The type: `proc`, `sysfs`, `tmpfs`, `devpts`, `mqueue`.
    pub kind: String,
    /// What mountinfo shows as its source, or the device that it is on; the type if `None`.
    pub source: Option<String>,
    /// Where, in the container. Absolute.
    pub target: PathBuf,
    /// Options for the file system: (`size`, `64k`); a flag has no value.
    pub options: Vec<(String, Option<String>)>,
    /// Attributes of the mount.
    pub flags: MountFlags,
    /// How mounts travel between it and its peers, one after the other; as the kernel has it if empty.
    pub propagation: Vec<(Propagation, Recursive)>,
    /// Whether it begins with a copy of what it covers.
    pub copy_up: bool,
    /// Whether its root takes the permission bits of the directory that it covers, if there is one.
    pub keep_mode: bool,
}

/// A part of the host's file tree, shown in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMount {
    /// What, on the host. Absolute.
    pub source: PathBuf,
    /// Where, in the container. Absolute.
    pub target: PathBuf,
    /// Whether the mounts below come along.
    pub recursive: bool,
    /// Through which id maps the files are shown.
    pub idmap: BindIdmap,
    /// Attributes of the mount.
    pub flags: MountFlags,
    /// Attributes of the mount and of all below it.
    pub recursive_flags: MountFlags,
    /// How mounts travel between it and its peers, one after the other; as between the namespace's mounts and the host's if
    /// empty.
    pub propagation: Vec<(Propagation, Recursive)>,
    /// Whether it is a peer of the host's own mount, so that what is mounted in it turns up on the host.
    pub shared_with_host: bool,
}

/// Through which id maps the files of a bind mount are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindIdmap {
    /// None.
    Off,
    /// The container's, if that can be, so that they keep their owners.
    WherePossible,
    /// The container's.
    Container {
        /// Whether the mounts below are meant too.
        recursive: Recursive,
    },
    /// These: an owner that stands inside is shown as the one outside.
    Own {
        /// User ids.
        uids: Vec<IdMapping>,
        /// Group ids.
        gids: Vec<IdMapping>,
        /// Whether the mounts below are meant too.
        recursive: Recursive,
    },
}

/// A device in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The node on the host, which is shown where no new one can be made.
    pub source: PathBuf,
    /// The node in the container.
    pub target: PathBuf,
    /// What the node is; what the host's is if `None`.
    pub node: Option<Node>,
}

/// A device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its type and permission bits, as in `st_mode`.
    pub mode: u32,
    /// The device number; 0 for a FIFO.
    pub device: u64,
    /// Its owner inside.
    pub uid: u32,
    /// Its group inside.
    pub gid: u32,
}

/// A group of the resource control file system: a class of service for caches and the memory bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceGroup {
    /// Its directory; the container's name if `None`, and then it is the container's own.
    pub name: Option<String>,
    /// Lines of its `schemata`.
    pub schemata: Vec<String>,
    /// Whether the container has a group for monitoring in it.
    pub monitoring: bool,
    /// Whether the container is in it already, so that nothing is made.
    pub exists: bool,
}

/// A network device that moves into the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name outside.
    pub device: String,
    /// Its name inside.
    pub name: String,
}

/// A kernel parameter: `net.ipv4.ping_group_range`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Its name with dots; a slash in it stands for a dot in a part of the name (`sysctl.d(5)`).
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Sysctl {
    /// The file below `/proc/sys`.
    pub fn path(&self) -> String {
        let swapped = |c| match c {
            '.' => '/',
            '/' => '.',
            other => other,
        };
        self.name.chars().map(swapped).collect()
    }

    /// The kind of namespace that this parameter belongs to; `None` for one of the whole machine.
    pub fn namespace(&self) -> Option<NamespaceKind> {
        match self.name.as_str() {
            "kernel.hostname" | "kernel.domainname" => Some(NamespaceKind::Uts),
            "kernel.msgmax"
            | "kernel.msgmnb"
            | "kernel.msgmni"
            | "kernel.msg_next_id"
            | "kernel.sem"
            | "kernel.sem_next_id"
            | "kernel.shmall"
            | "kernel.shmmax"
            | "kernel.shmmni"
            | "kernel.shm_next_id"
            | "kernel.shm_rmid_forced" => Some(NamespaceKind::Ipc),
            name if name.starts_with("fs.mqueue.") => Some(NamespaceKind::Ipc),
            name if name.starts_with("net.") => Some(NamespaceKind::Network),
            name if name.starts_with("user.") => Some(NamespaceKind::User),
            _ => None,
        }
    }
}

/// What runs in a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// The command and its arguments. Never empty.
    pub args: Given<Vec<OsString>>,
    /// Its whole environment.
    pub environment: Vec<Given<Environment>>,
    /// The working directory inside; the user's home or `/` if `None`.
    pub working_directory: Option<Given<PathBuf>>,
    /// Whether the working directory is made where there is none.
    pub make_working_directory: bool,
    /// Who it runs as.
    pub user: Given<User>,
    /// HOME of a user whom the container's `passwd` does not have; `/root` for root and `/` for others if `None`.
    pub default_home: Option<PathBuf>,
    /// File mode creation mask, unchanged if `None`.
    pub umask: Option<u32>,
    /// Its capabilities.
    pub capabilities: Given<Grant>,
    /// Whether set-user-id programs and file capabilities have no effect.
    pub no_new_privileges: Given<bool>,
    /// What happens at which system call; all are let through if `None`.
    pub seccomp: Option<Given<oci::Seccomp>>,
    /// Resource limits.
    pub rlimits: Vec<Given<Rlimit>>,
    /// How the kernel treats it beside others.
    pub scheduling: Scheduling,
    /// The execution domain; the caller's if `None`.
    pub personality: Option<Given<PersonalityDomain>>,
    /// What security modules know it by.
    pub labels: Labels,
    /// How readily the kernel kills it when memory is short, −1000 to 1000; unchanged if `None`.
    pub oom_score_adj: Option<Given<i32>>,
    /// The name of the session keyring that it gets; the caller's stays if `None`.
    pub keyring: Option<Given<String>>,
    /// How many descriptors after the three standard ones are passed on.
    pub preserved_descriptors: u32,
    /// Whether husk's small PID 1 stands before the command.
    pub init: Option<Given<()>>,
    /// Its terminal.
    pub terminal: Terminal,
}

/// How the kernel treats a process beside others; as it treats the caller where `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheduling {
    /// Its policy, and what belongs to that.
    pub scheduler: Option<Given<Scheduler>>,
    /// When its I/O has its turn.
    pub io_priority: Option<Given<IoPriority>>,
    /// The nodes from which it gets its memory.
    pub memory_policy: Option<Given<MemoryPolicy>>,
    /// The processors on which it begins, before it is in its cgroup.
    pub first_processors: Option<Given<NumberSet>>,
    /// The processors on which it runs from then on.
    pub processors: Option<Given<NumberSet>>,
}

/// From which nodes a process gets its memory (`set_mempolicy(2)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryPolicy {
    /// The mode.
    pub mode: MemoryPolicyMode,
    /// Flags of the mode.
    pub flags: Vec<MemoryPolicyFlag>,
    /// The nodes; none for a mode that takes none.
    pub nodes: NumberSet,
}

/// What security modules know a process by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// The AppArmor profile that confines it.
    pub apparmor: Option<Given<String>>,
    /// Its SELinux label.
    pub selinux: Option<Given<String>>,
}

/// Which capabilities a process gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// As everywhere on Linux: these are the bounding set, root has them all, and others none. Nothing is inheritable or
    /// ambient.
    Bounded(Capabilities),
    /// Exactly these sets.
    Sets(CapabilitySets),
}

/// The five sets of `capabilities(7)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub struct CapabilitySets {
    pub bounding: Capabilities,
    pub effective: Capabilities,
    pub permitted: Capabilities,
    pub inheritable: Capabilities,
    pub ambient: Capabilities,
}

/// A variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its name: not empty, no `=`, no NUL.
    pub name: OsString,
    /// Its value.
    pub value: OsString,
}

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// As given: `root`, `1000`, `www-data:adm`. Looked up in the container's `passwd` and `group`.
    Named(String),
    /// By number.
    Numeric {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// Supplementary groups.
        groups: Vec<u32>,
    },
}

/// Standard input, output or error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Stdio {
    Input,
    Output,
    Error,
}

/// The terminal of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Which of the three the container's own terminal takes the place of; the others are passed on as they are. No
    /// terminal is made if empty.
    pub stdio: Vec<Stdio>,
    /// Columns and rows, if known.
    pub size: Option<(u16, u16)>,
    /// Whether it begins with the settings of the caller's terminal.
    pub inherit_settings: bool,
}

/// A configuration that no kernel could carry out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {problem}")]
pub struct InvalidConfig {
    /// Where it says so.
    pub origin: crate::Origin,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_parameter_belongs_to_a_namespace_or_to_the_machine() {
        let namespace = |name: &str| Sysctl { name: name.to_owned(), value: String::new() }.namespace();
        assert_eq!(namespace("net.ipv4.ip_forward"), Some(NamespaceKind::Network));
        assert_eq!(namespace("kernel.shmmax"), Some(NamespaceKind::Ipc));
        assert_eq!(namespace("fs.mqueue.msg_max"), Some(NamespaceKind::Ipc));
        assert_eq!(namespace("kernel.domainname"), Some(NamespaceKind::Uts));
        assert_eq!(namespace("user.max_user_namespaces"), Some(NamespaceKind::User));
        assert_eq!(namespace("kernel.core_pattern"), None);
        assert_eq!(namespace("vm.swappiness"), None);
        assert_eq!(namespace("network"), None);
    }

    #[test]
    fn a_slash_in_a_name_with_dots_is_a_dot_of_the_file() {
        let path = |name: &str| Sysctl { name: name.to_owned(), value: String::new() }.path();
        assert_eq!(path("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path("net.ipv4.conf.eth0/100.forwarding"), "net/ipv4/conf/eth0.100/forwarding");
    }
}

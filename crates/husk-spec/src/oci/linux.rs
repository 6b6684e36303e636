// SPDX-License-Identifier: Apache-2.0
//! `linux`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Resources, Seccomp, is_false, non_empty, or_default, word};

/// What only Linux has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Linux {
    /// User ids of a new user namespace.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of a new user namespace.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel parameters of the container's namespaces.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, String>,
    /// What the cgroup limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The cgroup: a path, or `slice:prefix:name` with the systemd driver.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub cgroups_path: Option<String>,
    /// Namespaces; the runtime's own where a kind is not listed.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Namespace>,
    /// Device nodes beside the default ones.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Network devices to move in, by their names outside.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub net_devices: BTreeMap<String, NetDevice>,
    /// The filter of system calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// How mounts travel between the root and the host.
    #[serde(deserialize_with = "word", skip_serializing_if = "Option::is_none")]
    pub rootfs_propagation: Option<RootfsPropagation>,
    /// Paths that are hidden.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub masked_paths: Vec<String>,
    /// Paths that are made read-only.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub readonly_paths: Vec<String>,
    /// The SELinux label of mounts.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub mount_label: Option<String>,
    /// Intel's resource director.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    /// The execution domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// The NUMA memory policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicy>,
    /// Clocks of a new time namespace: `monotonic` and `boottime`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub time_offsets: BTreeMap<String, TimeOffset>,
}

/// A namespace: a new one without a path, an existing one with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    /// A file that stands for it.
    #[serde(default, deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// The kinds of namespaces, by the specification's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum NamespaceKind {
    Cgroup,
    Ipc,
    Mount,
    Network,
    Pid,
    Time,
    User,
    Uts,
}

impl NamespaceKind {
    /// Its name in the specification.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Ipc => "ipc",
            Self::Mount => "mount",
            Self::Network => "network",
            Self::Pid => "pid",
            Self::Time => "time",
            Self::User => "user",
            Self::Uts => "uts",
        }
    }
}

impl From<crate::NamespaceKind> for NamespaceKind {
    fn from(kind: crate::NamespaceKind) -> Self {
        match kind {
            crate::NamespaceKind::User => Self::User,
            crate::NamespaceKind::Mount => Self::Mount,
            crate::NamespaceKind::Pid => Self::Pid,
            crate::NamespaceKind::Network => Self::Network,
            crate::NamespaceKind::Ipc => Self::Ipc,
            crate::NamespaceKind::Uts => Self::Uts,
            crate::NamespaceKind::Cgroup => Self::Cgroup,
            crate::NamespaceKind::Time => Self::Time,
        }
    }
}

/// A line of an id map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMapping {
    /// The first id inside.
    #[serde(rename = "containerID")]
    pub inside: u32,
    /// The first id outside.
    #[serde(rename = "hostID")]
    pub outside: u32,
    /// How many.
    pub size: u32,
}

/// How far a clock of a time namespace is from the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeOffset {
    /// Seconds.
    #[serde(deserialize_with = "or_default")]
    pub secs: i64,
    /// Nanoseconds, added to the seconds.
    #[serde(deserialize_with = "or_default")]
    pub nanosecs: u32,
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// What kind of node.
    #[serde(rename = "type")]
    pub kind: DeviceKind,
    /// Where, inside. Absolute.
    pub path: String,
    /// The major number.
    #[serde(default, deserialize_with = "or_default")]
    pub major: i64,
    /// The minor number.
    #[serde(default, deserialize_with = "or_default")]
    pub minor: i64,
    /// Permissions of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<u32>,
    /// The owner inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The group inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

/// A kind of device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum DeviceKind {
    #[serde(rename = "b")]
    Block,
    #[serde(rename = "c", alias = "u")]
    Character,
    #[serde(rename = "p")]
    Fifo,
}

/// A network device to move into the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetDevice {
    /// Its name inside; unchanged if absent.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How mounts travel between the root and the host (`mount_namespaces(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum RootfsPropagation {
    Shared,
    Rshared,
    Slave,
    Rslave,
    Private,
    Rprivate,
    Unbindable,
    Runbindable,
}

/// An execution domain (`personality(2)`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Personality {
    /// The domain.
    pub domain: PersonalityDomain,
    /// Reserved by the specification: none is defined.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

/// An execution domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum PersonalityDomain {
    #[serde(rename = "LINUX")]
    Linux,
    #[serde(rename = "LINUX32")]
    Linux32,
}

impl PersonalityDomain {
    /// Its number (`linux/personality.h`).
    pub fn number(self) -> u32 {
        match self {
            Self::Linux => 0,
            Self::Linux32 => 8,
        }
    }
}

/// A NUMA memory policy (`set_mempolicy(2)`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// The mode.
    pub mode: MemoryPolicyMode,
    /// Nodes: a list such as `0-3,7`.
    #[serde(default, deserialize_with = "or_default")]
    pub nodes: String,
    /// `MPOL_F_*`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<MemoryPolicyFlag>,
}

/// A mode of a memory policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum MemoryPolicyMode {
    MpolDefault,
    MpolBind,
    MpolInterleave,
    MpolWeightedInterleave,
    MpolPreferred,
    MpolPreferredMany,
    MpolLocal,
}

impl MemoryPolicyMode {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::MpolDefault,
        Self::MpolBind,
        Self::MpolInterleave,
        Self::MpolWeightedInterleave,
        Self::MpolPreferred,
        Self::MpolPreferredMany,
        Self::MpolLocal,
    ];

    /// Its number (`linux/mempolicy.h`).
    pub fn number(self) -> u32 {
        match self {
            Self::MpolDefault => 0,
            Self::MpolPreferred => 1,
            Self::MpolBind => 2,
            Self::MpolInterleave => 3,
            Self::MpolLocal => 4,
            Self::MpolPreferredMany => 5,
            Self::MpolWeightedInterleave => 6,
        }
    }
}

/// A flag of a memory policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum MemoryPolicyFlag {
    MpolFNumaBalancing,
    MpolFRelativeNodes,
    MpolFStaticNodes,
}

impl MemoryPolicyFlag {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MpolFNumaBalancing, Self::MpolFRelativeNodes, Self::MpolFStaticNodes];

    /// Its bit (`linux/mempolicy.h`), which goes along with the mode.
    pub fn bit(self) -> u32 {
        match self {
            Self::MpolFNumaBalancing => 1 << 13,
            Self::MpolFRelativeNodes => 1 << 14,
            Self::MpolFStaticNodes => 1 << 15,
        }
    }
}

/// Intel's resource director (`resctrl`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IntelRdt {
    /// The class of service; the container's id if absent, the default class for `/`.
    #[serde(rename = "closID", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub clos_id: Option<String>,
    /// Lines of the group's `schemata`, written as they are, after the two below.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub schemata: Vec<String>,
    /// `L3:0=7f0;1=1f`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub l3_cache_schema: Option<String>,
    /// `MB:0=20;1=70`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub mem_bw_schema: Option<String>,
    /// Whether a monitoring group is made for the container.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub enable_monitoring: bool,
}

impl IntelRdt {
    /// The directory of the class in the resource control file system, if it is not the container's own: for the default class that
    /// file system itself.
    pub fn class(&self) -> Option<&str> {
        self.clos_id.as_deref().map(|class| if class == "/" { "." } else { class })
    }

    /// What is written into the group's `schemata`. Of a cache schema that has lines for the memory bus as well, those of its own
    /// field take the place (`config-linux.md`, intelRdt); the kernel takes none twice.
    pub fn lines(&self) -> Vec<String> {
        let bus = self.mem_bw_schema.as_deref();
        let is_replaced = |line: &&str| bus.is_some() && line.trim_start().starts_with("MB:");
        let cache =
            self.l3_cache_schema.iter().flat_map(|text| text.lines()).filter(|line| !is_replaced(line));
        cache.chain(bus).map(str::to_owned).chain(self.schemata.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_bus_is_limited_by_its_own_field() {
        let rdt = |l3: Option<&str>, bus: Option<&str>| IntelRdt {
            l3_cache_schema: l3.map(str::to_owned),
            mem_bw_schema: bus.map(str::to_owned),
            schemata: vec!["L2:0=f".to_owned()],
            ..IntelRdt::default()
        };
        let both = Some("L3:0=f\nMB:0=10");
        assert_eq!(rdt(both, Some("MB:0=20")).lines(), ["L3:0=f", "MB:0=20", "L2:0=f"]);
        assert_eq!(rdt(both, None).lines(), ["L3:0=f", "MB:0=10", "L2:0=f"]);
        assert_eq!(rdt(None, Some("MB:0=20")).lines(), ["MB:0=20", "L2:0=f"]);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! The data of the OCI runtime specification 1.3, as far as it concerns Linux.
//!
//! Fields of other platforms and unknown properties are ignored, as the specification asks for. A `null` stands for an
//! absent value, as engines written in Go produce it.

mod example;
mod features;
mod id;
mod json_path;
mod linux;
mod lower;
mod objects;
mod process;
mod read;
mod resources;
mod seccomp;
mod state;
mod user_ids;
mod validate;

pub use example::{example, rootless};
pub use features::{
    CgroupFeatures, Enabled, Features, IntelRdtFeatures, LinuxFeatures, MemoryPolicyFeatures,
    MountExtensions, SeccompFeatures,
};
pub use id::{ContainerId, InvalidContainerId};
pub use linux::{
    Device, DeviceKind, IdMapping, IntelRdt, Linux, MemoryPolicy, MemoryPolicyFlag, MemoryPolicyMode,
    Namespace, NamespaceKind, NetDevice, Personality, PersonalityDomain, RootfsPropagation, TimeOffset,
};
pub use lower::{Lowering, SystemdCgroup, UNIT_PROPERTY};
pub use process::{
    Capabilities, ConsoleSize, ExecCpuAffinity, IoClass, IoPriority, Process, Rlimit, Scheduler,
    SchedulerFlag, SchedulerPolicy, User,
};
pub use read::{MAX_BYTES, ReadError};
pub use resources::{
    BlockIo, Cpu, DeviceRule, DeviceRuleKind, HugepageLimit, Memory, Network, NetworkPriority, Pids, Rdma,
    Resources, ThrottleDevice, WeightDevice,
};
pub use seccomp::{Action, Arch, Argument, Operator, Seccomp, SeccompFlag, Syscall};
pub use state::{ContainerProcessState, State, Status};
pub use user_ids::UserIds;
pub use validate::{InvalidSpec, Warning, validate, validate_process};

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The version of the specification that husk implements.
pub const VERSION: &str = "1.3.0";

/// A bundle's `config.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// The version of the specification that the configuration follows.
    #[serde(deserialize_with = "or_default")]
    pub oci_version: String,
    /// What runs. It is required by `start`, not by `create`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The root file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// The host name inside.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The NIS domain name inside.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Mounts after the root, in order.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Programs to run at points of the container's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Words of whoever made the configuration.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// The root file system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Root {
    /// Its directory, absolute or relative to the bundle.
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    /// Whether it is mounted read-only.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_false")]
    pub readonly: bool,
}

/// A mount.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// Where, inside. A relative path is taken from `/`.
    #[serde(deserialize_with = "or_default")]
    pub destination: String,
    /// The type of the file system.
    #[serde(rename = "type", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A device name, or the file or directory of a bind mount, relative to the bundle.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Options of `mount(8)` and of the file system.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// User ids of an idmapped mount.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of an idmapped mount.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

impl Mount {
    /// Whether it shows a part of the host's files: by an option, or, as crun takes it, by the type alone.
    pub fn is_bind(&self) -> bool {
        let means_bind = |word: &str| matches!(word, "bind" | "rbind");
        self.options.iter().any(|word| means_bind(word)) || self.kind.as_deref().is_some_and(means_bind)
    }
}

/// Programs to run at points of a container's life.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// After the namespaces are made, before `pivot_root`, outside. Deprecated in favour of the next two.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub prestart: Vec<Hook>,
    /// After the namespaces are made, before `pivot_root`, outside.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub create_runtime: Vec<Hook>,
    /// The same moment, but in the container's namespaces, with the host's paths.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub create_container: Vec<Hook>,
    /// In the container, before the command.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub start_container: Vec<Hook>,
    /// Outside, after the command has started.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// Outside, after the container has been deleted.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

impl Hooks {
    /// The kinds, in the order of a container's life.
    pub const KINDS: [&str; 6] =
        ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

    /// The hooks of each kind, in the order of [`Hooks::KINDS`].
    pub fn all(&self) -> [(&'static str, &[Hook]); 6] {
        let lists: [&[Hook]; 6] = [
            &self.prestart,
            &self.create_runtime,
            &self.create_container,
            &self.start_container,
            &self.poststart,
            &self.poststop,
        ];
        std::array::from_fn(|index| (Self::KINDS[index], lists[index]))
    }
}

/// A program that is run at a point of a container's life, with the container's state on its standard input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// An absolute path.
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    /// Its arguments, the name first.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its whole environment: `NAME=value`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Seconds after which it is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// Takes `null` for the default.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Takes the empty string and `null` for nothing, as a program in Go cannot tell them from an absent string.
pub(crate) fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()))
}

/// Takes the empty string and `null` for nothing, also where one of a few words is expected.
pub(crate) fn word<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_option(Word(PhantomData))
}

/// Refuses a word while it is read, so that the parser knows where.
struct Word<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Word<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
        if word.is_empty() { Ok(None) } else { T::deserialize(word.into_deserializer()).map(Some) }
    }
}

pub(crate) fn is_false(value: &bool) -> bool {
    !value
}

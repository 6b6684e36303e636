// SPDX-License-Identifier: Apache-2.0
//! What a container is asked to be: pure data, the same for a command line and for an OCI bundle.
//!
//! Command lines and `config.json` are both lowered to one [`Config`]. What somebody typed ends there; what it means on this host
//! is the planner's. Every part that a person can ask for carries its [`Origin`], so that an explanation or an error can
//! say where it came from.
#![forbid(unsafe_code)]

mod capability;
mod config;
mod mount_option;
mod number_set;
pub mod oci;
mod origin;
mod path;
mod rlimit;

pub use capability::{Capabilities, Capability, UnknownCapability};
pub use config::{
    BindIdmap, BindMount, CapabilitySets, Cgroup, CgroupMount, Config, Device, EnterRoot, Environment,
    FilesystemMount, Grant, Hook, Hooks, IdMapping, InvalidConfig, JoinedMaps, Labels, Lifetime,
    MemoryPolicy, Mount, Namespace, NamespaceKind, Namespaces, NetDevice, Node, PassingCgroup, Process,
    Recursive, Remount, ResourceGroup, Root, Scheduling, ScopeWanted, Stdio, Sysctl, Terminal, TimeOffset,
    TimeOffsets, User, UserNamespace, Writes,
};
pub use mount_option::{Idmap, MountFlags, MountOptions, Propagation, SuperblockFlag, UnknownMountOption};
pub use number_set::{InvalidNumberSet, NumberSet};
pub use origin::{Given, Origin};
pub use path::normalized;
pub use rlimit::{Resource, Rlimit, UnknownResource};

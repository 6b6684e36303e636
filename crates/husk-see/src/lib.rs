// SPDX-License-Identifier: Apache-2.0
//! What the processes of this host see: their namespaces, root file systems, ids, capabilities, limits.
//!
//! It reads `/proc`, `/sys/fs/cgroup` and the namespaces' descriptors. It writes nothing, traces nobody and enters no
//! namespace, so it can look at any container, whoever made it, without touching it. What the caller may not read is
//! `None`; a process that ends meanwhile is left out.
//!
//! Names, command lines and paths were chosen by those who are looked at: see [`Text`].
#![forbid(unsafe_code)]

mod capability;
mod cgroup;
mod container;
mod details;
mod difference;
mod engine;
mod id_map;
mod kernel;
mod machine;
mod mountinfo;
mod namespace;
mod process;
mod procfs;
mod root;
mod status;
mod text;

pub use capability::CapabilitySet;
pub use cgroup::{Cgroup, Encounters, Limit, Limits};
pub use container::{Container, Rooted, Seen};
pub use details::{Details, ResourceLimit};
pub use difference::{Difference, Facts, Topic, compare};
pub use engine::{Engine, HUSK_FLAGS, Maker};
pub use id_map::{IdMap, IdRange};
pub use machine::{Host, Machine};
pub use mountinfo::Mount;
pub use namespace::{Kind, Namespaces};
pub use process::Process;
pub use root::Root;
pub use status::{Capabilities, Seccomp, Status};
pub use text::{Text, is_invisible};

/// The parsers, for tests with hostile bytes.
#[doc(hidden)]
pub mod parse {
    pub use crate::cgroup::parse as cgroup;
    pub use crate::id_map::parse as id_map;
    pub use crate::mountinfo::parse as mountinfo;
    pub use crate::status::parse as status;
}

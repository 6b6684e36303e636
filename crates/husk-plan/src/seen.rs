// SPDX-License-Identifier: Apache-2.0
//! What a running process shows and husk itself never does: the rest of the words that it takes to tell how any process
//! came to what it sees.

use std::ffi::CStr;

use husk_spec::{Capabilities, IdMapping};
use rustix::mount::MountAttrFlags;

use crate::plan::Actor;

/// Something that was done to a running process, for which husk has no step. It is told, never carried out.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// A user namespace whose maps do not have the user who made it as root.
    ForeignMaps {
        /// User ids.
        uids: &'a [IdMapping],
        /// Group ids.
        gids: &'a [IdMapping],
    },
    /// A user namespace of which no id is mapped.
    NoMaps,
    /// A host name of its own, which only those inside can ask for.
    HostName {
        /// What the variable HOSTNAME says.
        variable: Option<&'a CStr>,
    },
    /// A network interface besides loopback.
    Interface(&'a CStr),
    /// A root that cannot be made again from outside.
    LostRoot {
        /// The type of the file system.
        kind: &'a CStr,
        /// Its directory that is the root.
        directory: &'a CStr,
        /// Why it cannot be made again.
        why: &'static str,
    },
    /// A part of the container's own tree, mounted a second time.
    InnerBind {
        /// What.
        source: &'a CStr,
        /// Where.
        target: &'a CStr,
        /// Its attributes.
        set: MountAttrFlags,
    },
    /// A mount of something that has no path on the host.
    LostMount {
        /// The type of the file system.
        kind: &'a CStr,
        /// Its directory or file that is mounted.
        directory: &'a CStr,
        /// Where.
        target: &'a CStr,
    },
    /// A terminal of its own at `/dev/console`.
    Console,
    /// Links, device nodes and other files in file systems that began empty.
    Files,
    /// Kernel parameters of namespaces of its own, which only those inside can read.
    Parameters,
    /// Other attributes than the same mount has on the host.
    Attributes {
        /// Which mount.
        target: &'a CStr,
        /// What is set.
        set: MountAttrFlags,
        /// What is cleared.
        clear: MountAttrFlags,
    },
    /// Another root than the top of the mount namespace.
    ChangeRoot {
        /// Where the mount namespace has it.
        path: &'a CStr,
    },
    /// A working directory, checked by nobody.
    Directory(&'a CStr),
    /// Sets of capabilities that are not those which an exec leaves.
    Capabilities {
        /// What it may do.
        effective: Capabilities,
        /// What it may make effective.
        permitted: Capabilities,
        /// What it passes on to programs that ask for it.
        inheritable: Capabilities,
        /// What it passes on to every program.
        ambient: Capabilities,
    },
    /// Only `read`, `write`, `_exit` and `sigreturn`.
    SeccompStrict,
    /// Filters of system calls.
    SeccompFilters {
        /// How many, if the kernel tells.
        count: Option<u32>,
    },
    /// A label of AppArmor, SELinux or Smack.
    Label(&'a CStr),
    /// A place among the cgroups.
    Cgroup {
        /// The path below the top of the hierarchy.
        path: &'a CStr,
        /// Its directories on the host: version 1 has one in each hierarchy.
        directories: &'a [&'a CStr],
        /// What that lets it have, in words; may be empty.
        limits: &'a CStr,
    },
    /// How readily it is killed when memory runs out.
    OomScore(i32),
}

impl Seen<'_> {
    /// Who did it, as far as that follows from what it is.
    pub fn actor(&self) -> Actor {
        match self {
            Self::ForeignMaps { .. } | Self::Interface(_) | Self::Cgroup { .. } => Actor::Husk,
            _ => Actor::Container,
        }
    }
}

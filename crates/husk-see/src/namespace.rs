// SPDX-License-Identifier: Apache-2.0
//! The eight kinds of namespaces, and a process's set of them.

use std::fmt;
use std::ops::{Index, IndexMut};
use std::os::fd::OwnedFd;

use rustix::fs::fstat;

use crate::procfs::ProcessDirectory;

/// A kind of namespace (`namespaces(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ids and capabilities.
    User,
    /// Mounts.
    Mnt,
    /// Process ids.
    Pid,
    /// Host name.
    Uts,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Network.
    Net,
    /// The top of the cgroups that are seen.
    Cgroup,
    /// Boot-time and monotonic clocks.
    Time,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] =
        [Self::User, Self::Mnt, Self::Pid, Self::Uts, Self::Ipc, Self::Net, Self::Cgroup, Self::Time];

    /// As `/proc/PID/ns` names it.
    pub fn name(self) -> &'static str {
        &self.file()[3..]
    }

    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::User => "ns/user",
            Self::Mnt => "ns/mnt",
            Self::Pid => "ns/pid",
            Self::Uts => "ns/uts",
            Self::Ipc => "ns/ipc",
            Self::Net => "ns/net",
            Self::Cgroup => "ns/cgroup",
            Self::Time => "ns/time",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The namespaces of a process, by inode; `None` where the caller may not look, or the kernel lacks the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Namespaces([Option<u64>; 8]);

impl Namespaces {
    /// Those of the process with this directory.
    pub(crate) fn of(directory: &ProcessDirectory) -> Self {
        // If the first cannot be read, none can: the kernel asks the same question for each (ptrace(2), access mode).
        let Some(user) = directory.namespace(Kind::User.file()) else { return Self::default() };
        let mut all = Self(Kind::ALL.map(|kind| match kind {
            Kind::User => None,
            _ => directory.namespace(kind.file()),
        }));
        all[Kind::User] = Some(user);
        all
    }

    /// Those that these descriptors, in the order of [`Kind::ALL`], stand for.
    pub(crate) fn behind(descriptors: &[Option<OwnedFd>; 8]) -> Self {
        Self(descriptors.each_ref().map(|descriptor| inode(descriptor.as_ref()?)))
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.0 == [None; 8]
    }

    /// How many both are known to share.
    pub(crate) fn common(&self, other: &Self) -> usize {
        Kind::ALL.into_iter().filter(|kind| self[*kind].is_some() && self[*kind] == other[*kind]).count()
    }
}

/// The inode of the namespace that a descriptor stands for.
pub(crate) fn inode(namespace: &OwnedFd) -> Option<u64> {
    fstat(namespace).ok().map(|stat| stat.st_ino)
}

impl Index<Kind> for Namespaces {
    type Output = Option<u64>;

    fn index(&self, kind: Kind) -> &Option<u64> {
        &self.0[kind as usize]
    }
}

impl IndexMut<Kind> for Namespaces {
    fn index_mut(&mut self, kind: Kind) -> &mut Option<u64> {
        &mut self.0[kind as usize]
    }
}

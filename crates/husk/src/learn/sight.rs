// SPDX-License-Identifier: Apache-2.0
//! What there is at one moment, as far as the lessons ask. Nothing but data and questions about it.

use std::path::PathBuf;

use husk_see::{CapabilitySet, IdMap, Kind, Limits, Mount, Namespaces};

/// Programs that are shells, by the names of their processes.
pub(super) const SHELLS: [&str; 6] = ["sh", "bash", "ash", "dash", "zsh", "busybox"];

/// The names that busybox is given in the lessons.
pub(super) const APPLETS: [&str; 11] =
    ["sh", "ls", "ps", "echo", "hostname", "cat", "sleep", "mkdir", "mount", "umount", "chroot"];

/// The namespaces that a container by hand has to have of its own.
pub(super) const NEEDED: [Kind; 4] = [Kind::Pid, Kind::Uts, Kind::Ipc, Kind::Mnt];

/// Everything at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    /// husk itself, which is where the person's shells are, too.
    pub(crate) here: Member,
    /// The name of the machine.
    pub(crate) host_name: String,
    /// The directory to be the root.
    pub(crate) tree: Tree,
    /// The container by hand: the first process first.
    pub(crate) container: Vec<Member>,
    /// A process with new namespaces, but not a pid namespace.
    pub(crate) stray: Option<Member>,
    /// Containers that `unshare` made elsewhere: the first process, and its working directory.
    pub(crate) others: Vec<(u32, PathBuf)>,
    /// Each `unshare` that the person has started as root, by `sudo` or so, and that husk may not look at.
    pub(crate) of_root: Vec<u32>,
}

/// The directory to be the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Whether it is there.
    pub(crate) is_there: bool,
    /// Which of `bin` and `proc` it lacks.
    pub(crate) lacks: Vec<&'static str>,
    /// Its busybox.
    pub(crate) busybox: Busybox,
    /// Which names busybox has not been given.
    pub(crate) unnamed: Vec<&'static str>,
    /// Who owns the file `mine`, for the host.
    pub(crate) owner_of_mine: Option<u32>,
    /// A directory of the same name where a shell is, that is another one.
    pub(crate) elsewhere: Option<PathBuf>,
}

/// A file to be the container's only program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Busybox {
    /// Not there.
    #[default]
    Absent,
    /// Not a program, or one for another machine.
    Unfit,
    /// Its mode does not let it be executed.
    NotExecutable,
    /// It needs this other file.
    Needs(String),
    /// It can be started, and has so many bytes.
    Sound(u64),
}

/// Where a process has its root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RootAt {
    /// It is the host's.
    Host,
    /// The directory of the lessons.
    Tree,
    /// Somewhere else, or husk may not look.
    #[default]
    Elsewhere,
}

/// A process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    pub(crate) pid: u32,
    /// Its number in its own pid namespace.
    pub(crate) inside: u32,
    pub(crate) parent: u32,
    pub(crate) name: String,
    pub(crate) namespaces: Namespaces,
    /// The pid namespace that its children will be in.
    pub(crate) childrens_pid: Option<u64>,
    pub(crate) root: RootAt,
    /// Whether its root is not the top of its mount namespace.
    pub(crate) is_chroot: bool,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) capabilities: Option<CapabilitySet>,
    pub(crate) uid_map: Option<IdMap>,
    pub(crate) limits: Limits,
}

impl Member {
    /// Its `/proc`, and whether that is another than `other`'s.
    pub(super) fn has_own_proc(&self, at: &[u8], other: &Self) -> bool {
        let proc = |member: &Self, at: &[u8]| {
            let there = member.mounts.iter().rfind(|mount| mount.point.bytes() == at)?;
            there.fs_type.is("proc").then_some(there.device)
        };
        proc(self, at).is_some_and(|device| Some(device) != proc(other, b"/proc"))
    }

    /// Whether something is mounted there, as its own list of mounts has it.
    pub(super) fn has_mount_at(&self, place: &str) -> bool {
        self.mounts.iter().any(|mount| mount.point.is(place))
    }

    /// How many of its mounts are shared, with whomever.
    pub(super) fn shared_mounts(&self) -> usize {
        self.mounts.iter().filter(|mount| peer_group(mount).is_some()).count()
    }

    /// Whether something that it mounts would appear with `other`.
    pub(super) fn shares_mounts_with(&self, other: &Self) -> bool {
        let groups: Vec<_> = other.mounts.iter().filter_map(peer_group).collect();
        self.mounts.iter().filter_map(peer_group).any(|group| groups.contains(&group))
    }

    pub(super) fn is_shell(&self) -> bool {
        SHELLS.contains(&&*self.name)
    }
}

/// The number of the peer group that a mount is shared in (`mount_namespaces(7)`).
pub(super) fn peer_group(mount: &Mount) -> Option<&[u8]> {
    mount.propagation.bytes().split(|byte| *byte == b' ').find_map(|word| word.strip_prefix(b"shared:"))
}

impl Sight {
    /// The first process of the container.
    pub(crate) fn init(&self) -> Option<&Member> {
        self.container.first()
    }

    /// The process in the new root that the person types into: the last shell there.
    pub(crate) fn inside(&self) -> Option<&Member> {
        let rooted = || self.container.iter().filter(|member| member.root == RootAt::Tree);
        rooted().rfind(|member| member.is_shell()).or_else(|| rooted().next())
    }

    /// The process with the host's root that came from inside the new one.
    pub(crate) fn escaped(&self) -> Option<&Member> {
        let parent =
            |member: &&Member| self.container.iter().find(|candidate| candidate.pid == member.parent);
        let came_from_inside =
            |member: &&Member| parent(member).is_some_and(|parent| parent.root == RootAt::Tree);
        let on_host = |member: &&Member| member.root == RootAt::Host;
        self.container.iter().filter(on_host).find(came_from_inside)
    }

    /// How many shells lie between the person and the first process.
    pub(crate) fn depth(&self) -> usize {
        self.container.iter().skip(1).filter(|member| member.is_shell()).count()
    }

    /// The namespaces that the first process has not of its own, of those that it needs.
    pub(crate) fn missing(&self) -> Vec<Kind> {
        let Some(init) = self.init() else { return NEEDED.to_vec() };
        NEEDED.into_iter().filter(|kind| init.namespaces[*kind] == self.here.namespaces[*kind]).collect()
    }

    /// Whether `member` has a namespace that is not husk's.
    pub(crate) fn is_own(&self, member: &Member, kind: Kind) -> bool {
        member.namespaces[kind].is_some() && member.namespaces[kind] != self.here.namespaces[kind]
    }

    /// Whether the root that husk has is mounted in the container as well.
    pub(crate) fn old_root_is_mounted(&self) -> bool {
        let Some(old) = self.here.mounts.iter().rfind(|mount| mount.point.is("/")) else { return true };
        let is_old = |mount: &Mount| mount.device == old.device && mount.root == old.root;
        self.init().is_none_or(|init| init.mounts.iter().any(is_old))
    }

    /// The processes of the container with this name.
    pub(crate) fn named<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s Member> {
        self.container.iter().filter(move |member| member.name == name)
    }
}

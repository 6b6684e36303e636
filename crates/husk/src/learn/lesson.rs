// SPDX-License-Identifier: Apache-2.0
//! The lessons, in their order: what each is built on, and when it is done.

use husk_see::Kind;

use super::sight::{Busybox, Member, RootAt, Sight};
use super::workshop::Workshop;

/// A lesson.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lesson {
    /// A directory with `bin` and `proc`.
    Tree,
    /// busybox in it.
    Busybox,
    /// The names of busybox.
    Names,
    /// A shell in new namespaces.
    Unshare,
    /// No mount travels.
    Private,
    /// A proc file system for the new root.
    Proc,
    /// A shell in the new root.
    Chroot,
    /// A process with two numbers.
    Numbers,
    /// The host name.
    HostName,
    /// The way out of a chroot.
    Escape,
    /// `pivot_root`.
    Pivot,
    /// The network.
    Network,
    /// Who root is.
    Ids,
    /// What root may do.
    Capabilities,
    /// How much it may use.
    Limits,
}

/// What has to be there before a lesson makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing but the lessons before.
    Nothing,
    /// A shell in new namespaces.
    Container,
    /// A process in the new root.
    Inside,
}

/// How many processes the last lesson starts.
const CROWD: usize = 10;

impl Lesson {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 15] = [
        Self::Tree,
        Self::Busybox,
        Self::Names,
        Self::Unshare,
        Self::Private,
        Self::Proc,
        Self::Chroot,
        Self::Numbers,
        Self::HostName,
        Self::Escape,
        Self::Pivot,
        Self::Network,
        Self::Ids,
        Self::Capabilities,
        Self::Limits,
    ];

    /// Its number, from 1.
    pub(crate) fn number(self) -> usize {
        self as usize + 1
    }

    /// Its name in the file that remembers where one stopped.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Busybox => "busybox",
            Self::Names => "names",
            Self::Unshare => "unshare",
            Self::Private => "private",
            Self::Proc => "proc",
            Self::Chroot => "chroot",
            Self::Numbers => "numbers",
            Self::HostName => "hostname",
            Self::Escape => "escape",
            Self::Pivot => "pivot",
            Self::Network => "network",
            Self::Ids => "ids",
            Self::Capabilities => "capabilities",
            Self::Limits => "limits",
        }
    }

    /// Whether it makes something that later lessons build on, and which can be gone again; the others only show something.
    pub(super) fn builds(self) -> bool {
        self <= Self::Chroot || self == Self::Pivot
    }

    /// Whether it can be passed over.
    pub(super) fn may_be_skipped(self) -> bool {
        !self.builds() || matches!(self, Self::Private | Self::Pivot)
    }

    pub(super) fn need(self) -> Need {
        match self {
            Self::Tree | Self::Busybox | Self::Names | Self::Unshare => Need::Nothing,
            Self::Private | Self::Proc | Self::Chroot | Self::Pivot => Need::Container,
            _ => Need::Inside,
        }
    }

    /// Whether what the lesson is about is so.
    pub(super) fn holds(self, sight: &Sight, workshop: &Workshop) -> bool {
        let init = |is_so: &dyn Fn(&Member) -> bool| sight.init().is_some_and(is_so);
        match self {
            Self::Tree => sight.tree.is_there && sight.tree.lacks.is_empty(),
            Self::Busybox => matches!(sight.tree.busybox, Busybox::Sound(_)),
            Self::Names => sight.tree.unnamed.is_empty(),
            Self::Unshare => {
                sight.missing().is_empty() && init(&|init| init.has_own_proc(b"/proc", &sight.here))
            }
            Self::Private => init(&|init| !init.shares_mounts_with(&sight.here)),
            Self::Proc => init(&|init| has_proc_in_tree(init, sight, workshop)),
            Self::Chroot => sight.inside().is_some(),
            Self::Numbers => sight.named("sleep").any(|sleep| sleep.root == RootAt::Tree),
            // The kernel tells the name only to those inside.
            Self::HostName => false,
            Self::Escape => sight.escaped().is_some(),
            Self::Pivot => {
                init(&|init| init.root == RootAt::Tree && !init.is_chroot) && !sight.old_root_is_mounted()
            }
            Self::Network => sight.inside().is_some_and(|inside| sight.is_own(inside, Kind::Net)),
            Self::Ids => sight.tree.owner_of_mine.is_some(),
            Self::Capabilities => sight.inside().is_some_and(|inside| inside.has_mount_at("/more")),
            Self::Limits => sight.named("sleep").count() >= CROWD,
        }
    }
}

/// Whether the new root has a `/proc` of its own: below the old root before the pivot, at its place after it.
fn has_proc_in_tree(init: &Member, sight: &Sight, workshop: &Workshop) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let before = workshop.tree().join("proc");
    match init.root {
        RootAt::Tree => init.has_own_proc(b"/proc", &sight.here),
        _ => init.has_own_proc(before.as_os_str().as_bytes(), &sight.here),
    }
}

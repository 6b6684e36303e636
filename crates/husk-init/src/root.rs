// SPDX-License-Identifier: Apache-2.0
//! The container's root: making it, and entering it.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, fchmod, mkdirat, open, openat};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use crate::call::{At, Call, Fault};
use crate::mounts;
use crate::run::World;
use crate::step::{Attach, Filesystem, Source};

/// The mount that becomes the container's root.
pub(crate) enum Root<'a> {
    Made(OwnedFd),
    Prepared(BorrowedFd<'a>),
}

impl AsFd for Root<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Made(fd) => fd.as_fd(),
            Self::Prepared(fd) => *fd,
        }
    }
}

fn tree<'a>(world: &World<'a>, source: Source<'_>, recursive: bool) -> Result<Root<'a>, Fault> {
    match source {
        Source::Prepared(number) => world.prepared(number).map(Root::Prepared),
        Source::Host(path) => mounts::copy(CWD, path, recursive).map(Root::Made),
        Source::Terminal => world.terminal().and_then(|fd| mounts::copy(fd, c"", false)).map(Root::Made),
    }
}

/// Carries out [`crate::Step::Root`].
pub(crate) fn take(
    world: &mut World<'_>,
    source: Source<'_>,
    recursive: bool,
    attach: Attach<'_>,
) -> Result<(), Fault> {
    let root = tree(world, source, recursive)?;
    match attach {
        Attach::OverRoot => mounts::attach_over_root(root.as_fd())?,
        Attach::At(path) => mounts::attach_at(root.as_fd(), path)?,
        Attach::Nowhere => {}
    }
    world.set_root(root);
    Ok(())
}

/// Carries out [`crate::Step::CurrentRoot`].
pub(crate) fn take_current(world: &mut World<'_>) -> Result<(), Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    world.set_root(Root::Made(open(c"/", flags, Mode::empty()).at(Call::Open)?));
    Ok(())
}

/// Carries out [`crate::Step::Scratch`].
pub(crate) fn make_scratch(
    world: &mut World<'_>,
    filesystem: &Filesystem<'_>,
    mode: u32,
) -> Result<(), Fault> {
    let scratch = mounts::make(world, filesystem)?;
    for name in [c"lower", c"upper", c"work"] {
        mkdirat(&scratch, name, Mode::from_raw_mode(0o755)).at(Call::Mkdirat)?;
    }
    let upper = openat(&scratch, c"upper", OFlags::CLOEXEC, Mode::empty()).at(Call::Openat)?;
    fchmod(&upper, Mode::from_raw_mode(mode)).at(Call::Fchmod)?;
    world.set_scratch(scratch);
    Ok(())
}

/// Carries out [`crate::Step::Lower`]. Layers must be mounted in this namespace to be layers, and the scratch space is, but
/// only after the tree was copied: a copy of the host's root would have the scratch space on top.
pub(crate) fn attach_lower(world: &World<'_>, source: Source<'_>) -> Result<(), Fault> {
    let lower = tree(world, source, true)?;
    mounts::attach_over_root(world.scratch()?)?;
    let place = crate::beneath::place(world.scratch()?, c"lower")?;
    mounts::attach(lower.as_fd(), place.as_fd())
}

/// Carries out [`crate::Step::Overlay`]. The layers' paths are relative to the scratch space: no /proc is needed to name
/// them, and no host path is looked up again.
pub(crate) fn overlay(world: &mut World<'_>, filesystem: &Filesystem<'_>) -> Result<(), Fault> {
    fchdir(world.scratch()?).at(Call::Fchdir)?;
    let overlay = mounts::make(world, filesystem)?;
    world.set_root(Root::Made(overlay));
    Ok(())
}

/// Carries out [`crate::Step::DetachScratch`]. Left there, it would be what `DetachOldRoot` finds on top and unmounts in the
/// old root's place.
pub(crate) fn detach_scratch() -> Result<(), Fault> {
    unmount(c"/", UnmountFlags::DETACH).at(Call::Umount2)
}

/// Carries out [`crate::Step::OverlayRoot`].
pub(crate) fn attach_overlay(world: &World<'_>) -> Result<(), Fault> {
    mounts::attach_over_root(world.root()?)
}

/// Carries out [`crate::Step::PivotRoot`]: `pivot_root(".", ".")` puts the old root on top of the new one, so that no
/// directory is needed to keep it in (pivot_root(2), "pivot_root(".", ".")").
pub(crate) fn pivot(world: &World<'_>) -> Result<(), Fault> {
    fchdir(world.root()?).at(Call::Fchdir)?;
    pivot_root(c".", c".").at(Call::PivotRoot)
}

/// Carries out [`crate::Step::DetachOldRoot`].
pub(crate) fn detach_old() -> Result<(), Fault> {
    unmount(c".", UnmountFlags::DETACH).at(Call::Umount2)?;
    chdir(c"/").at(Call::Chdir)
}

/// Carries out [`crate::Step::Chroot`].
pub(crate) fn change(world: &World<'_>) -> Result<(), Fault> {
    fchdir(world.root()?).at(Call::Fchdir)?;
    chroot(c".").at(Call::Chroot)?;
    chdir(c"/").at(Call::Chdir)
}

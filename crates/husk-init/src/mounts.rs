// SPDX-License-Identifier: Apache-2.0
//! Mounts: made detached, changed while nobody can see them, then moved to a place that is a descriptor.

use core::ffi::CStr;
use husk_sys::{MountChange, Propagation, mount_setattr};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, OFlags, PROC_SUPER_MAGIC, fstat, fstatfs};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick,
    move_mount, open_tree,
};
use rustix::process::{chdir, fchdir};

use crate::call::{At, Call, Fault};
use crate::run::World;
use crate::step::{Attributes, Cover, Filesystem, FsOption, Source};
use crate::{beneath, copy_up};

/// Makes a file system and a detached mount of it.
pub(crate) fn make(world: &mut World<'_>, filesystem: &Filesystem<'_>) -> Result<OwnedFd, Fault> {
    let context = fsopen(filesystem.kind, FsOpenFlags::FSOPEN_CLOEXEC).at(Call::Fsopen)?;
    configure(context.as_fd(), filesystem).inspect_err(|_| world.keep_log(context.as_fd()))
}

fn configure(context: BorrowedFd<'_>, filesystem: &Filesystem<'_>) -> Result<OwnedFd, Fault> {
    fsconfig_set_string(context, c"source", filesystem.source).at(Call::Fsconfig)?;
    set_options(context, filesystem.options)?;
    fsconfig_create(context).at(Call::Fsconfig)?;
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, filesystem.attributes).at(Call::Fsmount)
}

fn set_options(context: BorrowedFd<'_>, options: &[FsOption<'_>]) -> Result<(), Fault> {
    options.iter().try_for_each(|option| {
        match option.value {
            Some(value) => fsconfig_set_string(context, option.key, value),
            None => fsconfig_set_flag(context, option.key),
        }
        .at(Call::Fsconfig)
    })
}

/// A detached copy of the mount at `path` below `dir`, or at `dir` itself if `path` is empty.
pub(crate) fn copy(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd, Fault> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_EMPTY_PATH, path.is_empty());
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(dir, path, flags).at(Call::OpenTree)
}

/// Attaches a detached mount to a place.
pub(crate) fn attach(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), Fault> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", place, c"", flags).at(Call::MoveMount)
}

/// Attaches a detached mount on top of the namespace's root, which every process has, whatever else it has. Absolute paths
/// go on underneath it, since this process's root stays what it was.
pub(crate) fn attach_over_root(mount: BorrowedFd<'_>) -> Result<(), Fault> {
    move_mount(mount, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).at(Call::MoveMount)
}

/// Attaches a detached mount at a path of the host's, as this process still sees it.
pub(crate) fn attach_at(mount: BorrowedFd<'_>, path: &CStr) -> Result<(), Fault> {
    move_mount(mount, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).at(Call::MoveMount)
}

pub(crate) fn set_attributes(
    mount: BorrowedFd<'_>,
    Attributes { set, clear }: Attributes,
    recursive: bool,
) -> Result<(), Fault> {
    if set.is_empty() && clear.is_empty() {
        return Ok(());
    }
    let change = MountChange { set, clear, recursive, ..MountChange::NONE };
    mount_setattr(mount, c"", &change).at(Call::MountSetattr)
}

fn propagate(mount: BorrowedFd<'_>, to: &[(Propagation, bool)]) -> Result<(), Fault> {
    to.iter().try_for_each(|(propagation, recursive)| {
        let change =
            MountChange { propagation: Some(*propagation), recursive: *recursive, ..MountChange::NONE };
        mount_setattr(mount, c"", &change).at(Call::MountSetattr)
    })
}

/// As [`set_attributes`] and [`propagate`] of the mount alone, in one call if it can be: most binds have both, and containers many
/// binds.
fn set_attributes_and_propagate(
    mount: BorrowedFd<'_>,
    Attributes { set, clear }: Attributes,
    to: &[(Propagation, bool)],
) -> Result<(), Fault> {
    let [(propagation, false), rest @ ..] = to else {
        set_attributes(mount, Attributes { set, clear }, false)?;
        return propagate(mount, to);
    };
    let change = MountChange { set, clear, propagation: Some(*propagation), ..MountChange::NONE };
    mount_setattr(mount, c"", &change).at(Call::MountSetattr)?;
    propagate(mount, rest)
}

/// Changes the propagation of what is mounted at a path.
pub(crate) fn propagate_at(world: &World<'_>, path: &CStr, to: &[(Propagation, bool)]) -> Result<(), Fault> {
    propagate(target(world, path, OFlags::empty())?.as_fd(), to)
}

/// The place at `path`. A link in the image may lead from anywhere into a /proc that is mounted already, whose files husk and
/// the container's programs trust (CVE-2023-27561): there only what the plan itself puts at or below /proc is mounted.
pub(crate) fn target(world: &World<'_>, path: &CStr, flags: OFlags) -> Result<OwnedFd, Fault> {
    let place = beneath::open(world.root()?, path, OFlags::PATH | flags)?;
    let is_in_proc = matches!(path.to_bytes(), b"/proc" | [b'/', b'p', b'r', b'o', b'c', b'/', ..]);
    if !is_in_proc && fstatfs(&place).at(Call::Fstatfs)?.f_type == PROC_SUPER_MAGIC {
        return Err(Fault { call: Call::Fstatfs, errno: Errno::MEDIUMTYPE });
    }
    Ok(place)
}

/// Carries out [`crate::Step::Mount`].
pub(crate) fn mount(
    world: &mut World<'_>,
    filesystem: &Filesystem<'_>,
    (path, cover): (&CStr, Cover),
    propagation: &[(Propagation, bool)],
) -> Result<(), Fault> {
    let flags = if cover == Cover::NoLink { OFlags::NOFOLLOW } else { OFlags::empty() };
    let place = target(world, path, flags)?;
    let keeps_mode = matches!(cover, Cover::KeepMode | Cover::CopyUp { keep_mode: true });
    let kept = if keeps_mode { fstat(&place).at(Call::Fstat)?.st_mode & 0o7777 } else { 0 };
    let digits = octal(kept);
    let value = CStr::from_bytes_with_nul(&digits).map_err(|_| Errno::INVAL).at(Call::Fsconfig)?;
    let mode = [FsOption { key: c"mode", value: Some(value) }];
    let begin: &[FsOption<'_>] = if keeps_mode { &mode } else { &[] };
    let context = fsopen(filesystem.kind, FsOpenFlags::FSOPEN_CLOEXEC).at(Call::Fsopen)?;
    let made = set_options(context.as_fd(), begin).and_then(|()| configure(context.as_fd(), filesystem));
    let mount = made.inspect_err(|_| world.keep_log(context.as_fd()))?;
    if matches!(cover, Cover::CopyUp { .. }) {
        copy_up::copy(place.as_fd(), mount.as_fd())?;
    }
    propagate(mount.as_fd(), propagation)?;
    attach(mount.as_fd(), place.as_fd())
}

/// Four octal digits and a NUL.
fn octal(mode: u32) -> [u8; 5] {
    let digit = |shift: u32| b'0' + (mode >> shift & 7) as u8;
    [digit(9), digit(6), digit(3), digit(0), 0]
}

/// Carries out [`crate::Step::MountByText`] but for the propagation. The place is the working directory for the moment, so that
/// no path is looked up again; a mount point of a file system is a directory.
pub(crate) fn mount_by_text(
    place: OwnedFd,
    (kind, source, options): (&CStr, &CStr, &CStr),
    attributes: MountAttrFlags,
) -> Result<(), Fault> {
    fchdir(&place).at(Call::Fchdir)?;
    let mounted = rustix::mount::mount(source, c".", kind, old_flags(attributes), Some(options));
    chdir(c"/").at(Call::Chdir)?;
    mounted.at(Call::Mount)
}

/// The same attributes as `mount(2)` has them.
fn old_flags(attributes: MountAttrFlags) -> MountFlags {
    const FLAGS: [(MountAttrFlags, MountFlags); 8] = [
        (MountAttrFlags::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (MountAttrFlags::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (MountAttrFlags::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (MountAttrFlags::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
        (MountAttrFlags::MOUNT_ATTR_NOATIME, MountFlags::NOATIME),
        (MountAttrFlags::MOUNT_ATTR_STRICTATIME, MountFlags::STRICTATIME),
        (MountAttrFlags::MOUNT_ATTR_NODIRATIME, MountFlags::NODIRATIME),
        (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, MountFlags::from_bits_retain(256)), // MS_NOSYMFOLLOW
    ];
    let has = |(new, _): &&(MountAttrFlags, MountFlags)| attributes.contains(*new);
    FLAGS.iter().filter(has).fold(MountFlags::empty(), |all, (_, old)| all | *old)
}

/// Carries out [`crate::Step::Reconfigure`].
pub(crate) fn reconfigure(world: &mut World<'_>, path: &CStr, options: &[FsOption<'_>]) -> Result<(), Fault> {
    let place = target(world, path, OFlags::empty())?;
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let context = fspick(&place, c"", flags).at(Call::Fspick)?;
    let done = set_options(context.as_fd(), options)
        .and_then(|()| fsconfig_reconfigure(context.as_fd()).at(Call::Fsconfig));
    done.inspect_err(|_| world.keep_log(context.as_fd()))
}

/// What [`crate::Step::Bind`] binds, and how.
pub(crate) struct Tree<'a> {
    pub(crate) source: Source<'a>,
    pub(crate) recursive: bool,
    pub(crate) attributes: Attributes,
    pub(crate) recursive_attributes: Attributes,
    pub(crate) propagation: &'a [(Propagation, bool)],
}

/// Carries out [`crate::Step::Bind`].
pub(crate) fn bind(world: &World<'_>, tree: &Tree<'_>, path: &CStr) -> Result<(), Fault> {
    let copied;
    let mount = match tree.source {
        Source::Prepared(number) => world.prepared(number)?,
        Source::Host(path) => {
            copied = copy(CWD, path, tree.recursive)?;
            copied.as_fd()
        }
        Source::Terminal => {
            copied = copy(world.terminal()?, c"", false)?;
            copied.as_fd()
        }
    };
    set_attributes(mount, tree.recursive_attributes, tree.recursive)?;
    set_attributes_and_propagate(mount, tree.attributes, tree.propagation)?;
    attach(mount, target(world, path, OFlags::empty())?.as_fd())
}

/// The place of a path that need not exist.
fn place_if_there(root: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>, Fault> {
    match beneath::place(root, path) {
        Ok(place) => Ok(Some(place)),
        Err(Fault { errno: Errno::NOENT | Errno::NOTDIR, .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Carries out [`crate::Step::Mask`].
pub(crate) fn mask(world: &mut World<'_>, path: &CStr) -> Result<(), Fault> {
    let Some(place) = place_if_there(world.root()?, path)? else { return Ok(()) };
    let kind = FileType::from_raw_mode(fstat(&place).at(Call::Fstat)?.st_mode);
    if kind != FileType::Directory {
        // The host's, looked up in the host's tree: one in the container's own /dev could be anything.
        let null = copy(CWD, c"/dev/null", false)?;
        // It is the host's own node: a container with the host's ids could otherwise take its mode or its owner away.
        let set = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        set_attributes(null.as_fd(), Attributes { set, clear: MountAttrFlags::empty() }, false)?;
        return attach(null.as_fd(), place.as_fd());
    }
    // One empty directory serves for all. It is copied from where it is attached first, because a mount that is attached
    // nowhere can be copied by recent kernels only.
    if let Some(empty) = world.empty() {
        let empty = copy(empty, c"", false)?;
        return attach(empty.as_fd(), place.as_fd());
    }
    let empty = make_empty(world)?;
    attach(empty.as_fd(), place.as_fd())?;
    world.set_empty(empty);
    Ok(())
}

/// A directory in which there is nothing and can be nothing.
fn make_empty(world: &mut World<'_>) -> Result<OwnedFd, Fault> {
    let size = FsOption { key: c"size", value: Some(c"0") };
    let inodes = FsOption { key: c"nr_inodes", value: Some(c"1") };
    let empty = Filesystem {
        kind: c"tmpfs",
        source: c"masked",
        options: &[size, inodes],
        attributes: MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    };
    make(world, &empty)
}

/// Carries out [`crate::Step::ReadOnly`].
pub(crate) fn make_readonly(world: &World<'_>, path: &CStr, recursive: bool) -> Result<(), Fault> {
    let Some(place) = place_if_there(world.root()?, path)? else { return Ok(()) };
    let mount = copy(place.as_fd(), c"", true)?;
    let readonly = Attributes { set: MountAttrFlags::MOUNT_ATTR_RDONLY, clear: MountAttrFlags::empty() };
    set_attributes(mount.as_fd(), readonly, recursive)?;
    attach(mount.as_fd(), place.as_fd())
}

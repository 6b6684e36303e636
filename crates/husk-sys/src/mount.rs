// SPDX-License-Identifier: Apache-2.0
//! `mount_setattr(2)`.

use core::ffi::CStr;
use core::mem::size_of;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_RECURSIVE, mount_attr};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io;
use rustix::mount::MountAttrFlags;
use syscalls::{Sysno, syscall};

use crate::errno;

/// How mount events travel between a mount and its copies (`mount_namespaces(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Both ways.
    Shared,
    /// From the master only.
    Slave,
    /// Not at all.
    Private,
    /// Not at all, and it cannot be bind-mounted.
    Unbindable,
}

impl Propagation {
    fn bits(self) -> u64 {
        match self {
            Self::Shared => 1 << 20,
            Self::Slave => 1 << 19,
            Self::Private => 1 << 18,
            Self::Unbindable => 1 << 17,
        }
    }
}

/// What is to change about a mount.
#[derive(Clone, Copy, Debug)]
pub struct MountChange<'fd> {
    /// Attributes to set.
    pub set: MountAttrFlags,
    /// Attributes to clear first. An access time in `set` needs `MOUNT_ATTR__ATIME` here.
    pub clear: MountAttrFlags,
    /// The new propagation, unchanged if `None`.
    pub propagation: Option<Propagation>,
    /// The user namespace whose id maps the mount is to show its files through (an idmapped mount, Linux 5.12). The mount
    /// must not be attached anywhere yet.
    pub idmap: Option<BorrowedFd<'fd>>,
    /// Whether the mounts below change as well.
    pub recursive: bool,
}

impl MountChange<'_> {
    /// No change, of one mount.
    pub const NONE: Self = Self {
        set: MountAttrFlags::empty(),
        clear: MountAttrFlags::empty(),
        propagation: None,
        idmap: None,
        recursive: false,
    };
}

/// Changes the attributes of the mount at `path` below `dir`, or of `dir` itself if `path` is empty
/// (`mount_setattr(2)`, Linux 5.12).
///
/// # Errors
/// Those of `mount_setattr(2)`; `EINVAL` for an idmapping on a file system that knows none.
pub fn mount_setattr(dir: BorrowedFd<'_>, path: &CStr, change: &MountChange<'_>) -> io::Result<()> {
    let mut set = u64::from(change.set.bits());
    let mut userns_fd = 0;
    if let Some(fd) = change.idmap {
        set |= u64::from(MountAttrFlags::MOUNT_ATTR_IDMAP.bits());
        userns_fd = fd.as_raw_fd() as u64;
    }
    let attr = mount_attr {
        attr_set: set,
        attr_clr: u64::from(change.clear.bits()),
        propagation: change.propagation.map_or(0, Propagation::bits),
        userns_fd,
    };
    let flags = AT_EMPTY_PATH | if change.recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: `path` is a C string and `attr` a mount_attr of the size given; both live across the call.
    unsafe {
        syscall!(
            Sysno::mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<mount_attr>()
        )
    }
    .map_err(errno)?;
    Ok(())
}

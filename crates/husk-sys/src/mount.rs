// SPDX-License-Identifier: Apache-2.0
//! `mount_setattr(2)` and `statmount(2)`.

use core::ffi::CStr;
use core::mem::{offset_of, size_of};
use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_RECURSIVE, STATMOUNT_FS_TYPE, STATMOUNT_MNT_POINT, STATMOUNT_MNT_ROOT,
    STATMOUNT_SB_BASIC, STATMOUNT_SB_SOURCE, mnt_id_req, mount_attr, statmount as statmount_raw,
};
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

/// What [`statmount`] tells of a mount. Paths are as the top of the mount's namespace sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountStatus<'b> {
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// The type of the file system.
    pub fs_type: &'b [u8],
    /// The directory of the file system that is mounted.
    pub root: &'b [u8],
    /// Where it is mounted.
    pub point: &'b [u8],
    /// What was mounted; empty on kernels that do not tell it here.
    pub source: &'b [u8],
}

/// Looks up the mount with the unique id `mount` in the mount namespace `namespace` ([`crate::mount_namespace_id`]) or, if
/// that is 0, in the caller's (`statmount(2)`, Linux 6.8; other namespaces: 6.11).
///
/// # Errors
/// `ENOENT` if there is none; `EPERM` if the caller may not look; `ENOSYS`; `EOVERFLOW` if `buffer` is too small.
pub fn statmount(mount: u64, namespace: u64, buffer: &mut [u8]) -> io::Result<MountStatus<'_>> {
    let request = mnt_id_req {
        size: size_of::<mnt_id_req>() as u32,
        spare: 0,
        mnt_id: mount,
        param: u64::from(
            STATMOUNT_SB_BASIC
                | STATMOUNT_MNT_ROOT
                | STATMOUNT_MNT_POINT
                | STATMOUNT_FS_TYPE
                | STATMOUNT_SB_SOURCE,
        ),
        mnt_ns_id: namespace,
    };
    buffer.fill(0);
    // SAFETY: `request` is a mnt_id_req of the size in it; the kernel writes at most the length given into `buffer`.
    unsafe { syscall!(Sysno::statmount, &raw const request, buffer.as_mut_ptr(), buffer.len(), 0) }
        .map_err(errno)?;
    Ok(read_status(buffer))
}

/// Reads what the kernel has written; a field that it does not fill is 0, and then the string is empty.
fn read_status(buffer: &[u8]) -> MountStatus<'_> {
    let number = |offset: usize| {
        let bytes = buffer.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    };
    let mask = number(offset_of!(statmount_raw, mask));
    let string = |bit: u32, offset: usize| -> &[u8] {
        let start = offset_of!(statmount_raw, str_) + number(offset) as usize;
        let rest = if mask & bit == 0 { &[] } else { buffer.get(start..).unwrap_or_default() };
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    };
    MountStatus {
        device: (
            number(offset_of!(statmount_raw, sb_dev_major)),
            number(offset_of!(statmount_raw, sb_dev_minor)),
        ),
        fs_type: string(STATMOUNT_FS_TYPE, offset_of!(statmount_raw, fs_type)),
        root: string(STATMOUNT_MNT_ROOT, offset_of!(statmount_raw, mnt_root)),
        point: string(STATMOUNT_MNT_POINT, offset_of!(statmount_raw, mnt_point)),
        source: string(STATMOUNT_SB_SOURCE, offset_of!(statmount_raw, sb_source)),
    }
}

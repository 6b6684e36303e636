// SPDX-License-Identifier: Apache-2.0
//! `mount_setattr(2)`, `statmount(2)` and `listmount(2)`.

use core::ffi::CStr;
use core::mem::{offset_of, size_of};
use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_RECURSIVE, LSMT_ROOT, STATMOUNT_FS_SUBTYPE, STATMOUNT_FS_TYPE, STATMOUNT_MNT_BASIC,
    STATMOUNT_MNT_GIDMAP, STATMOUNT_MNT_OPTS, STATMOUNT_MNT_POINT, STATMOUNT_MNT_ROOT, STATMOUNT_MNT_UIDMAP,
    STATMOUNT_PROPAGATE_FROM, STATMOUNT_SB_BASIC, STATMOUNT_SB_SOURCE, STATMOUNT_SUPPORTED_MASK, mnt_id_req,
    mount_attr, statmount as statmount_raw,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountStatus<'b> {
    /// Its unique id, and that of the mount it is mounted on.
    pub unique_ids: (u64, u64),
    /// The ids of both in `/proc/PID/mountinfo`, which are reused.
    pub ids: (u32, u32),
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// Flags of the file system, as `mount(2)` takes them: `MS_RDONLY`, `MS_SYNCHRONOUS`, `MS_DIRSYNC`, `MS_LAZYTIME`.
    pub fs_flags: u32,
    /// Attributes of this mount.
    pub attributes: MountAttrFlags,
    /// The peer group whose members share their events with it.
    pub peer_group: Option<u64>,
    /// The peer group that sends it events.
    pub master: Option<u64>,
    /// The closest peer group above `master` that the caller's own root sees.
    pub propagate_from: Option<u64>,
    /// Whether it cannot be bind-mounted.
    pub is_unbindable: bool,
    /// The type of the file system.
    pub fs_type: &'b [u8],
    /// What follows the type after a dot: `sshfs` of `fuse.sshfs`.
    pub fs_subtype: &'b [u8],
    /// The directory of the file system that is mounted.
    pub root: &'b [u8],
    /// Where it is mounted.
    pub point: &'b [u8],
    /// What was mounted; empty on kernels that do not tell it here.
    pub source: &'b [u8],
    /// Options of the file system beside its flags, as `/proc/PID/mountinfo` writes them, with a comma between two; empty on
    /// kernels that do not tell them here.
    pub fs_options: &'b [u8],
    /// How an idmapped mount shows owners: a range a string, `FIRST SHOWN-AS COUNT`, each ended by a NUL. `SHOWN-AS` is as the
    /// caller's user namespace numbers users; ranges that it does not have are missing.
    pub uid_map: &'b [u8],
    /// The same of groups.
    pub gid_map: &'b [u8],
    /// Whether this kernel tells all of these, and an empty one is empty (`STATMOUNT_SUPPORTED_MASK`, Linux 6.15).
    pub is_complete: bool,
}

impl<'b> MountStatus<'b> {
    /// Reads what [`statmount`] has written; a field that it does not fill is 0, and then the string is empty.
    pub fn read(buffer: &'b [u8]) -> Self {
        let fields = Fields(buffer);
        let number = |offset: usize| fields.number(offset);
        let long = |offset: usize| fields.long(offset);
        let string = |bit: u32, offset: usize| fields.string(bit, offset);
        let strings = |bit: u32, count: usize, offset: usize| fields.strings(bit, number(count), offset);
        let group = |offset: usize| Some(long(offset)).filter(|group| *group != 0);
        Self {
            unique_ids: (
                long(offset_of!(statmount_raw, mnt_id)),
                long(offset_of!(statmount_raw, mnt_parent_id)),
            ),
            ids: (
                number(offset_of!(statmount_raw, mnt_id_old)),
                number(offset_of!(statmount_raw, mnt_parent_id_old)),
            ),
            device: (
                number(offset_of!(statmount_raw, sb_dev_major)),
                number(offset_of!(statmount_raw, sb_dev_minor)),
            ),
            fs_flags: number(offset_of!(statmount_raw, sb_flags)),
            attributes: MountAttrFlags::from_bits_retain(number(offset_of!(statmount_raw, mnt_attr))),
            peer_group: group(offset_of!(statmount_raw, mnt_peer_group)),
            master: group(offset_of!(statmount_raw, mnt_master)),
            propagate_from: group(offset_of!(statmount_raw, propagate_from)),
            is_unbindable: long(offset_of!(statmount_raw, mnt_propagation)) & Propagation::Unbindable.bits()
                != 0,
            fs_type: string(STATMOUNT_FS_TYPE, offset_of!(statmount_raw, fs_type)),
            fs_subtype: string(STATMOUNT_FS_SUBTYPE, offset_of!(statmount_raw, fs_subtype)),
            root: string(STATMOUNT_MNT_ROOT, offset_of!(statmount_raw, mnt_root)),
            point: string(STATMOUNT_MNT_POINT, offset_of!(statmount_raw, mnt_point)),
            source: string(STATMOUNT_SB_SOURCE, offset_of!(statmount_raw, sb_source)),
            fs_options: string(STATMOUNT_MNT_OPTS, offset_of!(statmount_raw, mnt_opts)),
            uid_map: strings(
                STATMOUNT_MNT_UIDMAP,
                offset_of!(statmount_raw, mnt_uidmap_num),
                offset_of!(statmount_raw, mnt_uidmap),
            ),
            gid_map: strings(
                STATMOUNT_MNT_GIDMAP,
                offset_of!(statmount_raw, mnt_gidmap_num),
                offset_of!(statmount_raw, mnt_gidmap),
            ),
            is_complete: long(offset_of!(statmount_raw, supported_mask)) & u64::from(STATUS)
                == u64::from(STATUS),
        }
    }
}

/// All that [`MountStatus`] has.
const STATUS: u32 = STATMOUNT_SB_BASIC
    | STATMOUNT_MNT_BASIC
    | STATMOUNT_PROPAGATE_FROM
    | STATMOUNT_MNT_ROOT
    | STATMOUNT_MNT_POINT
    | STATMOUNT_FS_TYPE
    | STATMOUNT_FS_SUBTYPE
    | STATMOUNT_SB_SOURCE
    | STATMOUNT_MNT_OPTS
    | STATMOUNT_MNT_UIDMAP
    | STATMOUNT_MNT_GIDMAP;

/// Looks up the mount with the unique id `mount` in the mount namespace `namespace` ([`crate::mount_namespace_id`]) or, if
/// that is 0, in the caller's (`statmount(2)`, Linux 6.8; other namespaces: 6.11), for [`MountStatus::read`].
///
/// # Errors
/// `ENOENT` if there is none, and for a namespace whose root was mounted before the namespace was made (`grab_requested_root` in
/// `fs/namespace.c`, Linux 6.18); `EPERM` if the caller may not look; `ENOSYS`; `EOVERFLOW` if `buffer` is too small.
pub fn statmount(mount: u64, namespace: u64, buffer: &mut [u8]) -> io::Result<()> {
    let request = request(mount, u64::from(STATUS | STATMOUNT_SUPPORTED_MASK), namespace);
    // The strings are only as long as they are; what is before them is always written.
    let fixed = offset_of!(statmount_raw, str_).min(buffer.len());
    buffer[..fixed].fill(0);
    // SAFETY: `request` is a mnt_id_req of the size in it; the kernel writes at most the length given into `buffer`.
    unsafe { syscall!(Sysno::statmount, &raw const request, buffer.as_mut_ptr(), buffer.len(), 0) }
        .map_err(errno)?;
    Ok(())
}

/// Writes the unique ids of the mounts of the mount namespace `namespace` (0: the caller's) into `ids`, in ascending order,
/// from the first above `after` on, and says how many there were: fewer than fit if those are the last (`listmount(2)`,
/// Linux 6.8; other namespaces: 6.11).
///
/// # Errors
/// `ENOENT` as with [`statmount`]; `EPERM` if the caller may not look: it needs `CAP_SYS_ADMIN` in the user namespace
/// that owns it; `ENOSYS`.
pub fn listmount(namespace: u64, after: u64, ids: &mut [u64]) -> io::Result<usize> {
    let request = request(LSMT_ROOT as u64, after, namespace);
    // SAFETY: `request` is a mnt_id_req of the size in it; the kernel writes at most as many numbers as are given into `ids`.
    let count = unsafe { syscall!(Sysno::listmount, &raw const request, ids.as_mut_ptr(), ids.len(), 0) };
    count.map_err(errno)
}

fn request(mnt_id: u64, param: u64, mnt_ns_id: u64) -> mnt_id_req {
    mnt_id_req { size: size_of::<mnt_id_req>() as u32, spare: 0, mnt_id, param, mnt_ns_id }
}

/// The buffer of `statmount(2)`: numbers, and behind them the strings that some of the numbers are offsets of.
#[derive(Clone, Copy)]
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn number(self, offset: usize) -> u32 {
        let bytes = self.0.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_ne_bytes)
    }

    fn long(self, offset: usize) -> u64 {
        let bytes = self.0.get(offset..offset + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_ne_bytes)
    }

    /// All from the start of a string on, nothing if the kernel has not told it.
    fn from(self, bit: u32, offset: usize) -> &'b [u8] {
        if self.long(offset_of!(statmount_raw, mask)) & u64::from(bit) == 0 {
            return &[];
        }
        let start = offset_of!(statmount_raw, str_) + self.number(offset) as usize;
        self.0.get(start..).unwrap_or_default()
    }

    fn string(self, bit: u32, offset: usize) -> &'b [u8] {
        self.from(bit, offset).split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// So many strings, each with its NUL.
    fn strings(self, bit: u32, count: u32, offset: usize) -> &'b [u8] {
        let all = self.from(bit, offset);
        let ends = all.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(index, _)| index + 1);
        let end = if count == 0 { None } else { ends.take(count as usize).last() };
        &all[..end.unwrap_or(0)]
    }
}

// SPDX-License-Identifier: Apache-2.0
//! Questions to a namespace's descriptor, as `/proc/PID/ns/*` opens it (`ioctl_nsfs(2)`). None of them enters it.

use linux_raw_sys::ioctl::{NS_GET_NSTYPE, NS_GET_OWNER_UID, NS_GET_PARENT, NS_GET_USERNS};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io;
use rustix::thread::UnshareFlags;
use syscalls::{Sysno, syscall};

use crate::errno;

/// The user namespace that owns `namespace` (`NS_GET_USERNS`, Linux 4.9); close-on-exec.
///
/// # Errors
/// `EPERM` if it is not the caller's or one below.
pub fn owning_user_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    related(namespace, NS_GET_USERNS)
}

/// The namespace that the pid or user namespace `namespace` was made in (`NS_GET_PARENT`, Linux 4.9); close-on-exec.
///
/// # Errors
/// `EPERM` if it is not the caller's or one below; `EINVAL` for a kind that does not nest.
pub fn parent_namespace(namespace: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    related(namespace, NS_GET_PARENT)
}

/// The kind of the namespace `namespace`, as the flag that makes a new one (`NS_GET_NSTYPE`, Linux 4.11).
///
/// # Errors
/// `ENOTTY` for what is no namespace.
pub fn namespace_type(namespace: BorrowedFd<'_>) -> io::Result<UnshareFlags> {
    // SAFETY: this request takes no argument and returns a number.
    let kind = unsafe { syscall!(Sysno::ioctl, namespace.as_raw_fd(), NS_GET_NSTYPE) }.map_err(errno)?;
    Ok(UnshareFlags::from_bits_retain(kind as u32))
}

fn related(object: BorrowedFd<'_>, request: u32) -> io::Result<OwnedFd> {
    // SAFETY: these requests take no argument, or 0, and make a new descriptor.
    let fd = unsafe { syscall!(Sysno::ioctl, object.as_raw_fd(), request, 0) }.map_err(errno)?;
    // SAFETY: the kernel has made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The user that made the user namespace `namespace`, as the caller's user namespace numbers users
/// (`NS_GET_OWNER_UID`, Linux 4.11).
///
/// # Errors
/// `EINVAL` for any other kind of namespace.
pub fn owner_of_user_namespace(namespace: BorrowedFd<'_>) -> io::Result<u32> {
    let mut uid = 0u32;
    // SAFETY: the kernel writes one uid_t, and `uid` outlives the call.
    unsafe { syscall!(Sysno::ioctl, namespace.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) }
        .map_err(errno)?;
    Ok(uid)
}

/// The 64-bit id of the mount namespace `namespace`, as [`crate::statmount`] takes it (`NS_GET_MNTNS_ID`, Linux 6.11).
///
/// # Errors
/// `EINVAL` for any other kind of namespace; `ENOTTY` before Linux 6.11.
pub fn mount_namespace_id(namespace: BorrowedFd<'_>) -> io::Result<u64> {
    const NS_GET_MNTNS_ID: u32 = 0x8008_b705; // _IOR(NSIO, 0x5, __u64): the headers of linux-raw-sys lack it
    let mut id = 0u64;
    // SAFETY: the kernel writes one u64, and `id` outlives the call.
    unsafe { syscall!(Sysno::ioctl, namespace.as_raw_fd(), NS_GET_MNTNS_ID, &raw mut id) }.map_err(errno)?;
    Ok(id)
}

/// The id of the process `pid` in the pid namespace `namespace`: `pid` is as the caller's pid namespace numbers processes
/// (`NS_GET_TGID_IN_PIDNS`, Linux 6.11).
///
/// # Errors
/// `ESRCH` if there is no such process, or not in that namespace; `EINVAL` for any other kind; `ENOTTY` before Linux 6.11.
pub fn pid_in_namespace(namespace: BorrowedFd<'_>, pid: u32) -> io::Result<u32> {
    const NS_GET_TGID_IN_PIDNS: u32 = 0x8004_b709; // _IOR(NSIO, 0x9, int)
    // SAFETY: this request takes a number and returns one.
    let pid = unsafe { syscall!(Sysno::ioctl, namespace.as_raw_fd(), NS_GET_TGID_IN_PIDNS, pid) };
    Ok(pid.map_err(errno)? as u32)
}

/// A namespace of the process that the pidfd `process` stands for, by its kind: the flag that makes a new one; close-on-exec
/// (`PIDFD_GET_MNT_NAMESPACE` and the like, Linux 6.11).
///
/// # Errors
/// `ESRCH` if the process is gone; `EACCES` if the caller may not look (`ptrace(2)`, `PTRACE_MODE_READ_FSCREDS`); `EOPNOTSUPP`
/// if this kernel has no such namespaces; `ENOTTY` before Linux 6.11; `EINVAL` for no or several kinds.
pub fn namespace_of(process: BorrowedFd<'_>, kind: UnshareFlags) -> io::Result<OwnedFd> {
    const PIDFS_IOCTL: u32 = 0xff00; // _IO(0xFF, N) is 0xff00 + N
    let number = match kind {
        UnshareFlags::NEWCGROUP => 1,
        UnshareFlags::NEWIPC => 2,
        UnshareFlags::NEWNS => 3,
        UnshareFlags::NEWNET => 4,
        UnshareFlags::NEWPID => 5,
        UnshareFlags::NEWTIME => 7,
        UnshareFlags::NEWUSER => 9,
        UnshareFlags::NEWUTS => 10,
        _ => return Err(io::Errno::INVAL),
    };
    related(process, PIDFS_IOCTL + number)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, fstat, open, statx};
    use rustix::io::Errno;
    use std::os::fd::AsFd;

    fn own(kind: &str) -> OwnedFd {
        open(std::format!("/proc/self/ns/{kind}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    #[test]
    fn a_namespace_is_owned_by_a_user_namespace_that_a_user_has_made() {
        let user = owning_user_namespace(own("uts").as_fd());
        match user {
            Ok(user) => {
                assert_eq!(fstat(&user).unwrap().st_ino, fstat(own("user")).unwrap().st_ino);
                owner_of_user_namespace(user.as_fd()).unwrap();
            }
            // Of the user namespace around a container nothing is told to those inside.
            Err(errno) => assert_eq!(errno, Errno::PERM),
        }
        assert_eq!(owner_of_user_namespace(own("uts").as_fd()), Err(Errno::INVAL));
        assert_eq!(parent_namespace(own("uts").as_fd()).unwrap_err(), Errno::INVAL);
    }

    #[test]
    fn a_namespace_has_a_kind() {
        assert_eq!(namespace_type(own("uts").as_fd()), Ok(UnshareFlags::NEWUTS));
        assert_eq!(namespace_type(own("net").as_fd()), Ok(UnshareFlags::NEWNET));
        let file = open("/proc/self/status", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        assert_eq!(namespace_type(file.as_fd()), Err(Errno::NOTTY));
    }

    #[test]
    fn a_mount_is_found_by_its_unique_id() {
        const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
        let root = statx(CWD, "/proc", AtFlags::empty(), MNT_ID_UNIQUE).unwrap();
        let (Ok(namespace), true) =
            (mount_namespace_id(own("mnt").as_fd()), root.stx_mask & MNT_ID_UNIQUE.bits() != 0)
        else {
            return; // this kernel is older than 6.11
        };
        let mut buffer = [0; 4096];
        crate::statmount(root.stx_mnt_id, namespace, &mut buffer).unwrap();
        let status = crate::MountStatus::read(&buffer);
        assert_eq!((status.fs_type, status.point, status.root), (&b"proc"[..], &b"/proc"[..], &b"/"[..]));
        assert_eq!(status.device, (root.stx_dev_major, root.stx_dev_minor));
        assert_eq!(crate::statmount(root.stx_mnt_id, namespace, &mut [0; 16]), Err(Errno::OVERFLOW));
        let mut ids = [0; 4096];
        let count = crate::listmount(namespace, 0, &mut ids).unwrap();
        assert!(ids[..count].contains(&root.stx_mnt_id) && ids[..count].is_sorted());
        // In parts, it is the same list.
        let mut parts = std::vec![];
        let mut part = [0; 3];
        loop {
            let count = crate::listmount(namespace, parts.last().copied().unwrap_or(0), &mut part).unwrap();
            parts.extend_from_slice(&part[..count]);
            if count < part.len() {
                break;
            }
        }
        assert_eq!(parts, ids[..count]);
    }

    #[test]
    fn a_process_has_an_id_and_namespaces() {
        let process = rustix::process::getpid();
        let number = process.as_raw_nonzero().get() as u32;
        match pid_in_namespace(own("pid").as_fd(), number) {
            Ok(pid) => assert_eq!(pid, number),
            Err(errno) => return assert_eq!(errno, Errno::NOTTY, "this kernel is older than 6.11"),
        }
        assert_eq!(pid_in_namespace(own("uts").as_fd(), number), Err(Errno::INVAL));
        let process = rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).unwrap();
        for (name, kind) in [
            ("cgroup", UnshareFlags::NEWCGROUP),
            ("ipc", UnshareFlags::NEWIPC),
            ("mnt", UnshareFlags::NEWNS),
            ("net", UnshareFlags::NEWNET),
            ("pid", UnshareFlags::NEWPID),
            ("time", UnshareFlags::NEWTIME),
            ("user", UnshareFlags::NEWUSER),
            ("uts", UnshareFlags::NEWUTS),
        ] {
            let namespace = namespace_of(process.as_fd(), kind).unwrap();
            assert_eq!(fstat(&namespace).unwrap().st_ino, fstat(own(name)).unwrap().st_ino, "{name}");
        }
        assert_eq!(namespace_of(process.as_fd(), UnshareFlags::FILES).unwrap_err(), Errno::INVAL);
    }
}

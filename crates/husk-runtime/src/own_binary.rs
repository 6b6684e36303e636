// SPDX-License-Identifier: Apache-2.0
//! The runtime's own program file, kept from being written by a container (CVE-2019-5736).
//!
//! On its way into a container the runtime is a process there, and `/proc/PID/exe` of that process leads to the program's file
//! on the host, past every mount namespace. A container can make it stay: its command can be `/proc/self/exe`, or a script or an
//! ELF file that names that as its interpreter, and then the runtime's program runs on in the container as an ordinary process.
//! Whoever has the file open when the last process of the program ends may write to it, if its owner and mode let them, and the
//! next start of the runtime runs the attacker's code with the host's rights.
//!
//! The cure is to run from a place where nobody can write whoever they are: a detached read-only mount of the file, or a sealed
//! copy where only root may mount. The process looks at the place that it runs from and not at a mark in its environment, which
//! an attacker could set.
//!
//! A program that root starts is there already when it comes here ([`husk_sys::move_to_read_only_mount`]): going there before libc
//! starts is cheaper than asking whether it is needed. This is the rule that holds whether or not that worked.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use husk_plan::{JoinedUser, in_words};
use husk_sys::{MountChange, StringArray, ThinCStr, execveat, mount_setattr};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, IFlags, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, StatxFlags,
    fcntl_add_seals, fcntl_get_seals, fstat, fstatvfs, ioctl_getflags, memfd_create, open, sendfile, statx,
};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};
use rustix::process::{Pid, geteuid};
use rustix::thread::set_name;

/// This process's program file: a link of /proc that the kernel follows to the file itself, whatever has its name by now.
const SELF: &str = "/proc/self/exe";

/// A copy that cannot be changed any more.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// As much as one `sendfile(2)` may copy, in bytes.
const CHUNK: usize = 1 << 30;

/// The program's file cannot be kept from the container.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep this program's own file from being written by the container: {doing}: {}", in_words(.errno))]
pub struct Unprotected {
    doing: &'static str,
    errno: Errno,
}

/// User ids: first and count.
type Range = (u32, u32);

/// Makes sure that a container with these user ids (as this process's user namespace numbers them) cannot write the file that
/// this process runs from: returns if it cannot, else executes this program again from where nobody can. Call it before anything
/// that the second run would do again. The ids are asked for only if it depends on them, which it does not in the second run.
///
/// # Errors
/// No /proc, or a kernel that lets the program neither be mounted nor copied.
pub fn protect(uids: impl FnOnce() -> Vec<Range>) -> Result<(), Unprotected> {
    let file =
        open(SELF, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(at("open /proc/self/exe"))?;
    let place = Place::of(file.as_fd())?;
    if place.is_sealed || place.is_read_only {
        take_name_of_call();
    }
    if place.is_fixed() || !can_be_written(&place, &uids()) {
        return Ok(());
    }
    let safe = match read_only_mount(file.as_fd()) {
        Ok(mount) => mount,
        Err(_) => sealed_copy()?,
    };
    Err(again(safe.as_fd()))
}

/// Who is executed by a descriptor is named after that before Linux 6.14, and after the file since then: `memfd:husk`. `ps`, and
/// `husk see`, shall find the program that was called.
fn take_name_of_call() {
    let called = std::env::args_os().next().map(PathBuf::from);
    let name =
        called.as_deref().and_then(Path::file_name).and_then(|name| CString::new(name.as_bytes()).ok());
    if let Some(name) = name {
        let _ = set_name(&name);
    }
}

/// Whether the command that `pid` has just become is this program's own file, by the mount that this process has it from, and that
/// could be written with this user's ids. An ordinary user's containers have those, and to run from a safe place would cost each of
/// them milliseconds; so what would leave the file to others is not run. The container has no other way to it: a mount of its own that
/// shows the file is the person's choice. Who joins another's user namespace can see to it there, and does run from a safe place.
///
/// Root's containers have other ids, or husk runs from a safe place.
pub(crate) fn is_run_by(pid: Pid) -> bool {
    let user = geteuid();
    if user.is_root() {
        return false;
    }
    let identity = |path: &str| {
        let found = statx(CWD, path, AtFlags::empty(), StatxFlags::INO | StatxFlags::MNT_ID).ok()?;
        Some((found.stx_dev_major, found.stx_dev_minor, found.stx_ino, found.stx_mnt_id))
    };
    // Where that is not to be seen from here, nobody inside can follow it either.
    let Some(its) = identity(&format!("/proc/{}/exe", pid.as_raw_nonzero())) else { return false };
    if identity(SELF) != Some(its) {
        return false;
    }
    let place = open(SELF, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(at("open /proc/self/exe"))
        .and_then(|file| Place::of(file.as_fd()));
    place.is_ok_and(|place| can_be_written(&place, &[(user.as_raw(), 1)]))
}

/// The user ids of the user namespace at `path`, all there are if the path is none of `/proc/PID/ns/user`.
pub fn uids_of(path: &Path) -> Vec<Range> {
    let ranges = |user: JoinedUser| user.uid_map.iter().map(|map| (map.outside, map.count)).collect();
    JoinedUser::at(path).map_or(ALL.to_vec(), ranges)
}

/// Every user id.
pub const ALL: [Range; 1] = [(0, u32::MAX)];

/// Where a program runs from, as far as it decides who can write there.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The mount that it is reached by, or the file system, is read-only.
    is_read_only: bool,
    /// It is a copy in memory with [`SEALS`].
    is_sealed: bool,
    /// It has the immutable attribute (`chattr +i`).
    is_immutable: bool,
    /// Its owner.
    owner: u32,
    /// Its permission bits.
    mode: u32,
}

/// The rule.
///
/// Nobody writes through a read-only mount: the file is reached by the mount that the runtime was executed from, and that is in
/// no mount namespace of the container's, where it could be made writable again. A sealed copy cannot be written by anyone, nor
/// an immutable file as long as nobody clears the attribute, which takes CAP_LINUX_IMMUTABLE over the host.
///
/// Else it is up to owner and mode. The owner may give itself the right to write, so that its bits do not matter; and a
/// capability of a user namespace holds for a file only if the namespace maps the owner (capabilities(7), user_namespaces(7)):
/// one that does not map it has but the rights of others. The group's bits are taken for anybody's, because with an access
/// control list they are the mask of all that it grants, to whomever (acl(5)). Without a user namespace of its own, a container
/// has every id at its disposal, whatever its first process has: set-user-id programs and later processes have others.
fn can_be_written(place: &Place, uids: &[Range]) -> bool {
    if place.is_fixed() {
        return false;
    }
    let has = |(first, count): &Range| place.owner.checked_sub(*first).is_some_and(|offset| offset < *count);
    place.mode & 0o022 != 0 || uids.iter().any(has)
}

impl Place {
    /// Whether nobody can write, whoever they are.
    fn is_fixed(&self) -> bool {
        self.is_read_only || self.is_sealed || self.is_immutable
    }

    fn of(file: BorrowedFd<'_>) -> Result<Self, Unprotected> {
        let stat = fstat(file).map_err(at("look at /proc/self/exe"))?;
        let flags = fstatvfs(file).map_err(at("look at the mount of /proc/self/exe"))?.f_flag;
        // A file that may be executed and not read tells neither; it is then taken to have neither.
        let readable = open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok();
        let readable = readable.as_ref();
        Ok(Self {
            is_read_only: flags.contains(StatVfsMountFlags::RDONLY),
            is_sealed: readable
                .and_then(|file| fcntl_get_seals(file).ok())
                .is_some_and(|seals| seals.contains(SEALS)),
            is_immutable: readable
                .and_then(|file| ioctl_getflags(file).ok())
                .is_some_and(|flags| flags.contains(IFlags::IMMUTABLE)),
            owner: stat.st_uid,
            mode: stat.st_mode,
        })
    }
}

/// A mount of the file that is attached nowhere and that nobody can write through.
fn read_only_mount(file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let mount = open_tree(file, c"", flags)?;
    let set = MountAttrFlags::MOUNT_ATTR_RDONLY;
    mount_setattr(mount.as_fd(), c"", &MountChange { set, ..MountChange::NONE })?;
    Ok(mount)
}

/// A copy of the program in memory that nobody can change any more.
fn sealed_copy() -> Result<OwnedFd, Unprotected> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let name = c"husk";
    let copy = match memfd_create(name, flags | MemfdFlags::EXEC) {
        // A kernel before 6.3 does not know the flag, and lets every such file be executed.
        Err(Errno::INVAL) => memfd_create(name, flags),
        copy => copy,
    };
    let copy = copy.map_err(at("make a file in memory"))?;
    let file =
        open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(at("read /proc/self/exe"))?;
    while sendfile(&copy, &file, None, CHUNK).map_err(at("copy /proc/self/exe"))? > 0 {}
    fcntl_add_seals(&copy, SEALS).map_err(at("seal the copy"))?;
    Ok(copy)
}

/// Executes `program` with this process's arguments and environment. Returns if that fails.
fn again(program: BorrowedFd<'_>) -> Unprotected {
    let text = |string: OsString| CString::new(string.into_vec()).unwrap_or_default();
    let arguments: Vec<CString> = std::env::args_os().map(text).collect();
    let variable = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        text(name)
    };
    let variables: Vec<CString> = std::env::vars_os().map(variable).collect();
    let (arguments, variables) = (array(&arguments), array(&variables));
    let errno = match (StringArray::new(&arguments), StringArray::new(&variables)) {
        (Some(arguments), Some(variables)) => execveat(program, arguments, variables),
        _ => Errno::INVAL,
    };
    at("execute it from a safe place")(errno)
}

fn array(strings: &[CString]) -> Vec<Option<ThinCStr<'_>>> {
    strings.iter().map(|string| Some(ThinCStr::new(string))).chain([None]).collect()
}

fn at(doing: &'static str) -> impl Fn(Errno) -> Unprotected {
    move |errno| Unprotected { doing, errno }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a package installs it: root's, and nobody else may write.
    const INSTALLED: Place =
        Place { is_read_only: false, is_sealed: false, is_immutable: false, owner: 0, mode: 0o100_755 };

    /// As `cargo install` does it for user 1000.
    const OWN: Place = Place { owner: 1000, ..INSTALLED };

    /// The ids of a container of an ordinary user: its own as root, and subordinate ones.
    const ROOTLESS: [Range; 2] = [(1000, 1), (100_000, 65536)];

    #[test]
    fn whoever_has_the_owners_id_can_write() {
        assert!(can_be_written(&INSTALLED, &ALL));
        assert!(can_be_written(&INSTALLED, &[(100_000, 65536), (0, 1)]));
        assert!(can_be_written(&OWN, &ROOTLESS));
        assert!(
            can_be_written(&Place { mode: 0o100_555, ..INSTALLED }, &ALL),
            "an owner can change the mode"
        );
        assert!(can_be_written(&Place { owner: 165_535, ..INSTALLED }, &ROOTLESS), "the last of a range");
    }

    #[test]
    fn others_can_write_if_the_mode_lets_them() {
        assert!(!can_be_written(&INSTALLED, &ROOTLESS));
        assert!(!can_be_written(&OWN, &[(0, 1000), (1001, 9)]));
        assert!(!can_be_written(&Place { owner: 165_536, ..INSTALLED }, &ROOTLESS), "beyond the range");
        assert!(!can_be_written(&INSTALLED, &[]));
        assert!(can_be_written(&Place { mode: 0o100_757, ..INSTALLED }, &ROOTLESS), "anybody");
        assert!(
            can_be_written(&Place { mode: 0o100_775, ..INSTALLED }, &ROOTLESS),
            "a group or an ACL's mask"
        );
        assert!(can_be_written(&Place { mode: 0o100_757, ..INSTALLED }, &[]), "anybody, whatever is mapped");
    }

    #[test]
    fn nobody_writes_to_a_safe_place() {
        let open = Place { mode: 0o100_777, ..INSTALLED };
        for place in [
            Place { is_read_only: true, ..open },
            Place { is_sealed: true, ..open },
            Place { is_immutable: true, ..open },
        ] {
            assert!(!can_be_written(&place, &ALL), "{place:?}");
        }
    }

    #[test]
    fn a_sealed_copy_is_known_as_one_and_nothing_else_is() {
        let copy = sealed_copy().expect("a file in memory");
        assert!(fcntl_get_seals(&copy).expect("seals").contains(SEALS));
        assert_eq!(rustix::io::pwrite(&copy, b"x", 0), Err(Errno::PERM));
        let file = open(SELF, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("/proc");
        let own = Place::of(file.as_fd()).expect("a test's own file");
        assert!(!own.is_sealed && !own.is_immutable, "{own:?}");
        assert_eq!(fstat(&copy).expect("stat").st_size, fstat(&file).expect("stat").st_size);
    }

    #[test]
    fn the_ids_of_a_namespace_that_cannot_be_told_are_all() {
        assert_eq!(uids_of(Path::new("/run/netns/x")), ALL);
        assert_eq!(uids_of(Path::new("/proc/0/ns/user")), ALL);
        let own = JoinedUser::at(Path::new("/proc/self/ns/user")).expect("/proc");
        assert_eq!(uids_of(Path::new("/proc/self/ns/user")).len(), own.uid_map.len());
    }
}

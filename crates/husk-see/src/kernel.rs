// SPDX-License-Identifier: Apache-2.0
//! What the kernel tells by calls of its own, where it does, so that `/proc` need not be read for it.
//!
//! Which of the two is taken where, and what each costs, is in docs/see.md.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use husk_sys::MountStatus;
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
use rustix::thread::UnshareFlags;

use crate::id_map::{self, IdMap};
use crate::mountinfo::{Mount, unescaped};
use crate::namespace::Kind;
use crate::procfs::ProcessDirectory;
use crate::text::{Text, beneath, join};

/// `STATX_MNT_ID_UNIQUE` (Linux 6.8), which rustix has no name for.
const UNIQUE_MOUNT_ID: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// Enough for a mount with long options; more is made where it is not.
const STATUS_SIZE: usize = 8192;

/// The most that is made.
const STATUS_LIMIT: usize = 1 << 20;

/// Which of them there are: asked once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kernel {
    /// `listmount(2)`, and `statmount(2)` with all that a mountinfo has (Linux 6.15).
    pub(crate) tells_mounts: bool,
    /// The namespaces behind a pidfd, and its id in each of them (Linux 6.11).
    tells_processes: bool,
}

impl Kernel {
    /// `own` is the id of husk in the `/proc` that is read.
    pub(crate) fn probe(own: u32) -> Self {
        let mut statuses = Statuses::of(0);
        let root = statx(CWD, "/", AtFlags::empty(), UNIQUE_MOUNT_ID).ok().and_then(unique);
        let is_complete = root.is_some_and(|id| statuses.look(id).is_some_and(|it| it.is_complete));
        // An id from a /proc of another pid namespace stands for another process here.
        let is_own = getpid().as_raw_nonzero().get().unsigned_abs() == own;
        Self {
            tells_mounts: is_complete && husk_sys::listmount(0, 0, &mut [0]).is_ok(),
            tells_processes: is_own && tells_processes(own),
        }
    }

    /// Descriptors of the namespaces of a process, in the order of [`Kind::ALL`]: to ask them, not to enter them. `None` where
    /// the caller may not look, or the kernel lacks the kind.
    pub(crate) fn namespaces(self, pid: u32, directory: &ProcessDirectory) -> [Option<OwnedFd>; 8] {
        // `directory`, which was open before, proves that the id has not become another's.
        match pidfd(pid).filter(|_| self.tells_processes && directory.is_alive()) {
            Some(process) => Kind::ALL.map(|kind| husk_sys::namespace_of(process.as_fd(), flag(kind)).ok()),
            None => Kind::ALL.map(|kind| directory.open_namespace(kind)),
        }
    }

    /// The id of a process in husk's own pid namespace, and in each one below, to `innermost`, its own.
    pub(crate) fn pids(self, pid: u32, innermost: &OwnedFd) -> Option<Vec<u32>> {
        if self.tells_processes { pids(pid, innermost) } else { None }
    }

    /// The mounts that a process sees, as its mountinfo has them, and the id maps of idmapped ones.
    pub(crate) fn mounts(self, directory: &ProcessDirectory) -> Option<Vec<Mount>> {
        if !self.tells_mounts {
            return None;
        }
        let (root, namespace) = root_mount(directory)?;
        let path = directory.link("root")?;
        let mut statuses = Statuses::of(namespace);
        let mut all = Vec::new();
        for id in list(namespace)? {
            // One that is gone meanwhile is left out.
            let Some(status) = statuses.look(id) else { continue };
            all.push((status.unique_ids, mount(&status)));
        }
        let has_root = all.iter().any(|((id, _), _)| *id == root);
        has_root.then(|| below(all, root, &path))
    }
}

fn tells_processes(own: u32) -> bool {
    let namespace = pidfd(own).and_then(|own| husk_sys::namespace_of(own.as_fd(), UnshareFlags::NEWPID).ok());
    namespace.is_some_and(|namespace| pids(own, &namespace) == Some(vec![own]))
}

fn pidfd(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid.try_into().ok()?)?, PidfdFlags::empty()).ok()
}

/// A pid or user namespace and those that it was made in, up to the last that may be seen. The kernel nests 33 at most.
pub(crate) fn nesting(namespace: &OwnedFd) -> impl Iterator<Item = OwnedFd> {
    let parent = |namespace: &OwnedFd| husk_sys::parent_namespace(namespace.as_fd()).ok();
    std::iter::successors(namespace.try_clone().ok(), parent).take(40)
}

fn pids(pid: u32, innermost: &OwnedFd) -> Option<Vec<u32>> {
    let id = |namespace: OwnedFd| husk_sys::pid_in_namespace(namespace.as_fd(), pid).ok();
    let mut pids = nesting(innermost).map(id).collect::<Option<Vec<u32>>>()?;
    pids.reverse();
    (pids.first() == Some(&pid)).then_some(pids)
}

fn flag(kind: Kind) -> UnshareFlags {
    match kind {
        Kind::User => UnshareFlags::NEWUSER,
        Kind::Mnt => UnshareFlags::NEWNS,
        Kind::Pid => UnshareFlags::NEWPID,
        Kind::Uts => UnshareFlags::NEWUTS,
        Kind::Ipc => UnshareFlags::NEWIPC,
        Kind::Net => UnshareFlags::NEWNET,
        Kind::Cgroup => UnshareFlags::NEWCGROUP,
        Kind::Time => UnshareFlags::NEWTIME,
    }
}

fn unique(status: rustix::fs::Statx) -> Option<u64> {
    (status.stx_mask & UNIQUE_MOUNT_ID.bits() != 0).then_some(status.stx_mnt_id)
}

/// The mount that the root of a process is in, and its mount namespace, by the ids that are never used again.
fn root_mount(directory: &ProcessDirectory) -> Option<(u64, u64)> {
    // DONT_SYNC: a file system of somebody's own (FUSE) is not asked, and so cannot keep husk waiting.
    let root = unique(statx(directory, "root", AtFlags::STATX_DONT_SYNC, UNIQUE_MOUNT_ID).ok()?)?;
    let namespace = directory.open_namespace(Kind::Mnt)?;
    Some((root, husk_sys::mount_namespace_id(namespace.as_fd()).ok()?))
}

/// The mount that the root of a process is in, its place as the top of the mount namespace sees it. Before Linux 6.15 without
/// options of the file system, and perhaps without a source.
pub(crate) fn covering_mount(directory: &ProcessDirectory) -> Option<Mount> {
    let (root, namespace) = root_mount(directory)?;
    Statuses::of(namespace).look(root).map(|status| mount(&status))
}

fn list(namespace: u64) -> Option<Vec<u64>> {
    let mut all = Vec::new();
    let mut some = [0; 512];
    loop {
        let count = husk_sys::listmount(namespace, all.last().copied().unwrap_or(0), &mut some).ok()?;
        all.extend_from_slice(some.get(..count)?);
        if count < some.len() {
            return Some(all);
        }
    }
}

/// The mounts of a namespace, one after the other.
struct Statuses {
    namespace: u64,
    buffer: Vec<u8>,
}

impl Statuses {
    fn of(namespace: u64) -> Self {
        Self { namespace, buffer: vec![0; STATUS_SIZE] }
    }

    fn look(&mut self, mount: u64) -> Option<MountStatus<'_>> {
        loop {
            match husk_sys::statmount(mount, self.namespace, &mut self.buffer) {
                Ok(()) => return Some(MountStatus::read(&self.buffer)),
                Err(Errno::OVERFLOW) if self.buffer.len() < STATUS_LIMIT => {
                    self.buffer.resize(self.buffer.len() * 4, 0);
                }
                Err(_) => return None,
            }
        }
    }
}

/// What a line of a mountinfo says of it (`fs/proc_namespace.c`).
fn mount(status: &MountStatus<'_>) -> Mount {
    let mut fs_type = status.fs_type.to_vec();
    if !status.fs_subtype.is_empty() {
        fs_type.extend([b".", status.fs_subtype].concat());
    }
    Mount {
        id: status.ids.0,
        parent: status.ids.1,
        device: status.device,
        root: status.root.into(),
        point: status.point.into(),
        options: options(status.attributes),
        propagation: propagation(status),
        fs_type: fs_type.into(),
        source: status.source.into(),
        fs_options: fs_options(status),
        uid_map: id_maps(status.uid_map),
        gid_map: id_maps(status.gid_map),
    }
}

fn options(attributes: MountAttrFlags) -> Text {
    let has = |attribute: MountAttrFlags| attributes.contains(attribute);
    let access_time = attributes & MountAttrFlags::MOUNT_ATTR__ATIME;
    let words = [
        (has(MountAttrFlags::MOUNT_ATTR_RDONLY), "ro"),
        (!has(MountAttrFlags::MOUNT_ATTR_RDONLY), "rw"),
        (has(MountAttrFlags::MOUNT_ATTR_NOSUID), "nosuid"),
        (has(MountAttrFlags::MOUNT_ATTR_NODEV), "nodev"),
        (has(MountAttrFlags::MOUNT_ATTR_NOEXEC), "noexec"),
        (access_time == MountAttrFlags::MOUNT_ATTR_NOATIME, "noatime"),
        (has(MountAttrFlags::MOUNT_ATTR_NODIRATIME), "nodiratime"),
        (access_time == MountAttrFlags::MOUNT_ATTR_RELATIME, "relatime"),
        (has(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW), "nosymfollow"),
        (has(MountAttrFlags::MOUNT_ATTR_IDMAP), "idmapped"),
    ];
    let words: Vec<_> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    words.join(",").into()
}

fn propagation(status: &MountStatus<'_>) -> Text {
    let group = |name: &str, group: Option<u64>| group.map(|group| format!("{name}:{group}"));
    let words = [
        group("shared", status.peer_group),
        group("master", status.master),
        group("propagate_from", status.propagate_from.filter(|from| Some(*from) != status.master)),
        status.is_unbindable.then(|| "unbindable".to_owned()),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ").into()
}

fn fs_options(status: &MountStatus<'_>) -> Text {
    const FLAGS: [(u32, &[u8]); 3] = [(1 << 4, b"sync"), (1 << 7, b"dirsync"), (1 << 25, b"lazytime")];
    let access: &[u8] = if status.fs_flags & 1 == 0 { b"rw" } else { b"ro" };
    let flags = FLAGS.into_iter().filter(|(flag, _)| status.fs_flags & flag != 0).map(|(_, word)| word);
    let told = unescaped(status.fs_options);
    let others = (!told.is_empty()).then_some(told.bytes());
    let words: Vec<&[u8]> = std::iter::once(access).chain(flags).chain(others).collect();
    words.join(&b',').into()
}

/// `None` for a mount that is not idmapped.
fn id_maps(ranges: &[u8]) -> Option<IdMap> {
    let lines: Vec<u8> = ranges.iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }).collect();
    Some(id_map::parse(&lines)).filter(|map| !map.0.is_empty())
}

/// Those that are seen from `path`, the root of a process, which is in the mount with the unique id `root`; with their
/// places as seen from there.
fn below(all: Vec<((u64, u64), Mount)>, root: u64, path: &Text) -> Vec<Mount> {
    let parents: HashMap<u64, (u64, Text)> =
        all.iter().map(|((id, parent), mount)| (*id, (*parent, mount.point.clone()))).collect();
    let is_seen = |mut id: u64| {
        // Bounded, since the mounts were not read at one moment.
        for _ in 0..=parents.len() {
            let Some((parent, point)) = parents.get(&id) else { return false };
            if id == root {
                return point == path;
            }
            if *parent == root {
                return beneath(path, point).is_some();
            }
            id = *parent;
        }
        false
    };
    let seen = all.into_iter().filter(|((id, _), _)| is_seen(*id));
    let placed = seen.filter_map(|(_, mount)| {
        let point = join(&"/".into(), &beneath(path, &mount.point)?);
        Some(Mount { point, ..mount })
    });
    placed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(id: u64, parent: u64, point: &str) -> ((u64, u64), Mount) {
        let line = format!("{id} {parent} 0:1 / {point} rw - tmpfs none rw");
        ((id, parent), crate::mountinfo::parse(line.as_bytes()).remove(0))
    }

    fn points(root: u64, path: &str) -> Vec<String> {
        let all = vec![
            at(1, 0, "/"),
            at(2, 1, "/box"),
            at(3, 2, "/box/proc"),
            at(4, 1, "/box/over"),
            at(5, 2, "/box/over/it"),
            at(6, 2, "/boxes"),
            at(7, 3, "/box/proc/sys"),
            at(8, 9, "/box/lost"),
        ];
        below(all, root, &path.into()).iter().map(|mount| mount.point.to_string()).collect()
    }

    #[test]
    fn what_is_below_a_root() {
        assert_eq!(points(2, "/box"), ["/", "/proc", "/over/it", "/proc/sys"], "by the mount, not the name");
        assert_eq!(
            points(2, "/box/proc"),
            ["/", "/sys"],
            "a directory below the top has no mount of its own"
        );
        assert_eq!(points(3, "/box/proc"), ["/", "/sys"]);
        assert_eq!(points(10, "/box"), Vec::<String>::new());
    }

    #[test]
    fn the_words_of_a_mountinfo() {
        use MountAttrFlags as Is;
        let all = options(
            Is::MOUNT_ATTR_RDONLY | Is::MOUNT_ATTR_NOSUID | Is::MOUNT_ATTR_NODEV | Is::MOUNT_ATTR_NOEXEC,
        );
        assert!(all.is("ro,nosuid,nodev,noexec,relatime"), "{all}");
        let all = options(Is::MOUNT_ATTR_STRICTATIME | Is::MOUNT_ATTR_NODIRATIME | Is::MOUNT_ATTR_IDMAP);
        assert!(all.is("rw,nodiratime,idmapped"), "{all}");
        let all = options(Is::MOUNT_ATTR_NOATIME | Is::MOUNT_ATTR_NOSYMFOLLOW);
        assert!(all.is("rw,noatime,nosymfollow"), "{all}");
        let ranges = id_maps(b"0 100000 1\x001 200000 65535\0").expect("a map");
        assert_eq!((ranges.outside(0), ranges.outside(2)), (Some(100_000), Some(200_001)));
        assert_eq!(id_maps(b""), None);
    }
}

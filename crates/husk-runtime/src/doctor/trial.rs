// SPDX-License-Identifier: Apache-2.0
//! What only trying tells: system calls that cannot do anything, and namespaces made in children that end at once. The kernel
//! takes back whatever they made with them.

use std::ffi::CStr;
use std::path::Path;

use husk_plan::CLONE_FLAGS;
use husk_spec::{IdMapping, NamespaceKind};
use husk_sys::{Clone, MountChange, Propagation, Trial, clone3, exit, landlock_abi, mount_setattr};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::CWD;
use rustix::io::{self, Errno, read, write};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsmount,
    fsopen, move_mount, open_tree,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Pid, Signal, Uid, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use rustix::thread::{UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::id_map;

/// The result of a trial; `None` if it could not be made because one before it failed.
pub type Tried = Option<Result<(), Errno>>;

/// The user and group that an ordinary user is tried as, when root asks: the overflow id, which every machine has.
const NOBODY: u32 = 65_534;

/// What the trials showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trials {
    /// How each system call refused arguments that every kernel refuses.
    pub calls: Vec<(Trial, Option<Errno>)>,
    /// Landlock's version.
    pub landlock: Option<u32>,
    /// A process in a new user namespace.
    pub user_namespace: Tried,
    /// A process in a new user namespace and one of another kind.
    pub kinds: Vec<(NamespaceKind, Tried)>,
    /// Writing the id maps of that user namespace.
    pub maps: Tried,
    /// Changing a mount in it.
    pub mounts: Tried,
    /// A new proc in it.
    pub proc: Tried,
    /// A new sysfs in it.
    pub sysfs: Tried,
    /// A new tmpfs in it.
    pub tmpfs: Tried,
    /// As root: an ordinary user's user namespace.
    pub ordinary: Tried,
    /// As root: changing a mount in that.
    pub ordinary_mounts: Tried,
    /// As root: a copy of the mount that the default root is on, with its files shown through id maps.
    pub idmap: Tried,
}

impl Trials {
    /// Tries. `data` is where the default root is or would be; `privileged` as in [`husk_plan::Host`].
    pub fn make(privileged: bool, data: Option<&Path>) -> Self {
        let calls = Trial::ALL.map(|trial| (trial, trial.errno())).to_vec();
        let mut trials = Self { calls, landlock: landlock_abi().ok(), ..Self::default() };
        // Where clone3 is hidden there is nothing to try with.
        trials.user_namespace = Some(ending_at_once(UnshareFlags::NEWUSER));
        if trials.user_namespace == Some(Ok(())) {
            let kinds = NamespaceKind::ALL.into_iter().filter(|kind| *kind != NamespaceKind::User);
            trials.kinds =
                kinds.map(|kind| (kind, Some(ending_at_once(UnshareFlags::NEWUSER | flag(kind))))).collect();
            trials.inside(privileged, data);
        }
        if privileged {
            trials.as_ordinary_user();
        }
        trials
    }

    /// How a kind of namespace went.
    pub fn kind(&self, kind: NamespaceKind) -> Tried {
        self.kinds.iter().find(|(known, _)| *known == kind).and_then(|(_, tried)| *tried)
    }

    /// In a child of its own in new user, mount, pid and network namespaces, as a container's first process is.
    fn inside(&mut self, privileged: bool, data: Option<&Path>) {
        let namespaces =
            UnshareFlags::NEWUSER | UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWNET;
        let Ok(child) = Child::new(namespaces, || {
            [
                new_mount(c"proc").map(drop),
                new_mount(c"sysfs").map(drop),
                new_mount(c"tmpfs").map(drop),
                change_mounts(),
            ]
        }) else {
            return;
        };
        let map = |outside| [IdMapping { inside: 0, outside, count: 1 }];
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        self.maps = Some(id_map::write(child.pid, &map(uid), &map(gid), !privileged));
        self.idmap =
            data.filter(|_| privileged && self.maps == Some(Ok(()))).map(|data| idmap(child.pid, data));
        [self.proc, self.sysfs, self.tmpfs, self.mounts] = child.results();
    }

    fn as_ordinary_user(&mut self) {
        let Ok(child) = Child::new(UnshareFlags::empty(), || {
            [
                become_nobody().and_then(|()| husk_sys::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)),
                change_mounts(),
            ]
        }) else {
            return;
        };
        [self.ordinary, self.ordinary_mounts] = child.results();
        self.ordinary_mounts = self.ordinary_mounts.filter(|_| self.ordinary == Some(Ok(())));
    }
}

fn flag(kind: NamespaceKind) -> UnshareFlags {
    CLONE_FLAGS.into_iter().filter(|(known, _)| *known == kind).map(|(_, flag)| flag).collect()
}

fn ending_at_once(namespaces: UnshareFlags) -> io::Result<()> {
    let child = clone3(&arguments(namespaces), || exit(0))?;
    waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).map(drop)
}

fn arguments(namespaces: UnshareFlags) -> Clone<'static> {
    Clone { namespaces, cgroup: None, exit_signal: Signal::CHILD.as_raw() as u32 }
}

/// A child that waits for a word, tries N things, says how each went, and ends.
struct Child<const N: usize> {
    pid: Pid,
    pidfd: OwnedFd,
    go: OwnedFd,
    said: OwnedFd,
}

impl<const N: usize> Child<N> {
    /// `trials` runs in the child: system calls only.
    fn new(namespaces: UnshareFlags, trials: impl FnOnce() -> [io::Result<()>; N]) -> io::Result<Self> {
        let (wait, go) = pipe_with(PipeFlags::CLOEXEC)?;
        let (said, say) = pipe_with(PipeFlags::CLOEXEC)?;
        let child = clone3(&arguments(namespaces), || {
            // Should husk be killed, the child must not wait for ever: it holds the other end of the pipe too.
            let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
            if read(&wait, &mut [0; 1]) != Ok(1) {
                exit(1)
            }
            for result in trials() {
                let errno = result.err().map_or(0, Errno::raw_os_error);
                let _ = write(&say, &errno.to_ne_bytes());
            }
            exit(0)
        })?;
        Ok(Self { pid: child.pid, pidfd: child.pidfd, go, said })
    }

    fn results(self) -> [Tried; N] {
        let _ = write(&self.go, b"1");
        let ended = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        let mut results = [None; N];
        if ended.is_ok() {
            results.iter_mut().for_each(|result| *result = heard(self.said.as_fd()));
        }
        results
    }
}

impl<const N: usize> Drop for Child<N> {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }
}

/// The child has ended, and with it every writer: an empty pipe ends.
fn heard(said: BorrowedFd<'_>) -> Tried {
    let mut bytes = [0; 4];
    if read(said, &mut bytes) != Ok(4) {
        return None;
    }
    match i32::from_ne_bytes(bytes) {
        0 => Some(Ok(())),
        errno => Some(Err(Errno::from_raw_os_error(errno))),
    }
}

/// Changes mounts in both ways that there are: their attributes, and what is mounted where. AppArmor minds the second alone.
/// Whoever calls this is in a mount namespace that goes with it, and the root that is covered is that one's.
fn change_mounts() -> io::Result<()> {
    let private =
        MountChange { propagation: Some(Propagation::Private), recursive: true, ..MountChange::NONE };
    mount_setattr(CWD, c"/", &private)?;
    let mount = new_mount(c"tmpfs")?;
    move_mount(mount.as_fd(), c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// A new file system, attached nowhere.
fn new_mount(kind: &CStr) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

fn become_nobody() -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}

/// Shows a detached copy of the mount that `path` or the nearest directory above it is on through the id maps of `pid`.
fn idmap(pid: Pid, path: &Path) -> io::Result<()> {
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, there, flags)?;
    let namespace = id_map::open_user_namespace(pid)?;
    let change = MountChange { idmap: Some(namespace.as_fd()), ..MountChange::NONE };
    mount_setattr(tree.as_fd(), c"", &change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_is_heard() {
        let child = Child::new(UnshareFlags::empty(), || [Ok(()), Err(Errno::PERM)]).expect("a child");
        assert_eq!(child.results(), [Some(Ok(())), Some(Err(Errno::PERM))]);
    }
}

// SPDX-License-Identifier: Apache-2.0
//! One look at the kernel and at the directory.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use husk_runtime::elf;
use husk_see::{Details, Engine, Kind, Machine, Process, Text};

use super::sight::{APPLETS, Busybox, Member, RootAt, SHELLS, Sight, Tree};
use super::workshop::{NAME, Workshop};

/// Looks at everything that the lessons ask about. `None` if `/proc` does not show husk itself.
pub(crate) fn look(machine: &Machine, workshop: &Workshop) -> Option<Sight> {
    let here = member(machine, workshop, machine.process(machine.own_id())?)?.0;
    let mut tree = tree(&workshop.tree());
    if !tree.is_there {
        tree.elsewhere = elsewhere(machine, workshop);
    }
    let is_apart = |process: &&Process| {
        !process.is_kernel
            && !process.namespaces.is_unknown()
            && process.namespaces != here.namespaces
            && may_be_by_hand(machine, process)
    };
    let apart = machine.processes.iter().filter(is_apart);
    let mut apart: Vec<(Member, bool)> =
        apart.filter_map(|process| member(machine, workshop, process)).collect();
    let stray = stray(&apart, &here).cloned();
    let container = container_at(&apart, &here);
    apart.retain(|(member, _)| Some(member.namespaces[Kind::Pid]) == container);
    let mut container: Vec<Member> = apart.into_iter().map(|(member, _)| member).collect();
    container.sort_by_key(|member| member.inside);
    // Without its first process a pid namespace is dead.
    if container.first().is_none_or(|first| first.inside != 1) {
        container.clear();
    }
    Some(Sight {
        host_name: machine.host.name.to_string(),
        tree,
        stray,
        others: others(machine, &container),
        of_root: of_root(machine),
        container,
        here,
    })
}

/// The process of a container that has the most of it: of those with a root of their own the first, for in a container by hand
/// the first process of all may still have the host's.
pub(crate) fn fullest(machine: &Machine, container: usize) -> u32 {
    let container = &machine.containers[container];
    let is_own = |rooted: &&husk_see::Rooted| rooted.root.as_ref().is_some_and(|root| !root.is_host);
    let rooted = container.roots.iter().find(is_own);
    rooted.and_then(|rooted| rooted.processes.first().copied()).unwrap_or(container.id)
}

/// Whether a process may be of a container that a person typed: the engines' are passed over without a look.
fn may_be_by_hand(machine: &Machine, process: &Process) -> bool {
    machine.container_of(process.pid).is_none_or(|container| {
        use Engine::{Containerd, CriO, Docker, Husk, Kubernetes, Podman};
        let engine = machine.containers[container].maker.engine;
        !matches!(engine, Husk | Docker | Podman | Containerd | CriO | Kubernetes)
    })
}

/// A process, and whether it is in the directory of the lessons.
fn member(machine: &Machine, workshop: &Workshop, process: &Process) -> Option<(Member, bool)> {
    let details = machine.details(process.pid)?;
    let root = match machine.has_root(process.pid, &workshop.tree()) {
        Some(true) => RootAt::Tree,
        _ if machine.has_root(process.pid, Path::new("/")) == Some(true) => RootAt::Host,
        _ => RootAt::Elsewhere,
    };
    let is_here = root == RootAt::Tree
        || details.directory.as_ref().is_some_and(|at| path(at).starts_with(&workshop.directory));
    let is_chroot = details.root.as_ref().is_some_and(husk_see::Root::is_chroot);
    let Details { status, mounts, uid_map, limits, .. } = details;
    let member = Member {
        pid: process.pid,
        inside: process.pid_inside(),
        parent: process.parent,
        name: process.name.to_string(),
        namespaces: process.namespaces,
        childrens_pid: process.childrens_pid,
        root,
        is_chroot,
        mounts: mounts.unwrap_or_default(),
        capabilities: status.capabilities.map(|sets| sets.effective),
        uid_map,
        limits,
    };
    Some((member, is_here))
}

/// The pid namespace of the container: that of a process in its root, or else of the last one that was made in the directory.
fn container_at(apart: &[(Member, bool)], here: &Member) -> Option<Option<u64>> {
    let its_own = |(member, is_here): &&(Member, bool)| {
        *is_here && member.namespaces[Kind::Pid] != here.namespaces[Kind::Pid]
    };
    let best =
        apart.iter().filter(its_own).max_by_key(|(member, _)| (member.root == RootAt::Tree, member.pid));
    best.map(|(member, _)| member.namespaces[Kind::Pid])
}

/// A process in the directory with new namespaces but the old pid namespace, and not because it waits for a container.
fn stray<'m>(apart: &'m [(Member, bool)], here: &Member) -> Option<&'m Member> {
    let is_stray = |(member, is_here): &&(Member, bool)| {
        *is_here
            && member.namespaces[Kind::Pid] == here.namespaces[Kind::Pid]
            && !matches!(&*member.name, "unshare" | "sudo")
    };
    apart.iter().find(is_stray).map(|(member, _)| member)
}

/// The containers that the caller's `unshare` made and that are not in the directory: first those that come from where husk comes
/// from too (a terminal's program, a session), and the newest first.
fn others(machine: &Machine, container: &[Member]) -> Vec<(u32, PathBuf)> {
    let own = rustix::process::geteuid().as_raw();
    let line = |pid| ancestors(machine, pid).map(|process| process.pid).collect::<Vec<_>>();
    let here = line(std::process::id());
    let is_near = |pid: u32| line(pid).iter().any(|pid| *pid != 1 && here.contains(pid));
    let is_other = |other: &&husk_see::Container| {
        other.maker.engine == Engine::Unshare
            && machine.process(other.id).is_some_and(|process| process.uid == own)
            && !other.processes.iter().any(|pid| container.iter().any(|member| member.pid == *pid))
    };
    let place = |other: &husk_see::Container| Some((other.id, path(&machine.details(other.id)?.directory?)));
    let mut others: Vec<_> = machine.containers.iter().filter(is_other).filter_map(place).collect();
    others.sort_by_key(|(pid, _)| std::cmp::Reverse((is_near(*pid), *pid)));
    others
}

/// The parent of a process, its parent, and so on. Bounded, since the parts were not read at one moment.
fn ancestors(machine: &Machine, pid: u32) -> impl Iterator<Item = &Process> {
    let parent = |pid: u32| machine.process(machine.process(pid)?.parent);
    std::iter::successors(parent(pid), move |process| parent(process.pid)).take(64)
}

/// Root's `unshare` below a process of somebody who is not root.
fn of_root(machine: &Machine) -> Vec<u32> {
    let own = rustix::process::geteuid().as_raw();
    let is_below_own = |process: &&Process| ancestors(machine, process.pid).any(|above| above.uid == own);
    let is_of_root = |process: &&Process| {
        own != 0 && process.uid == 0 && process.namespaces.is_unknown() && process.name.is("unshare")
    };
    let all = machine.processes.iter().filter(is_of_root);
    all.filter(is_below_own).map(|process| process.pid).collect()
}

/// A directory of the same name, made where a shell is.
fn elsewhere(machine: &Machine, workshop: &Workshop) -> Option<PathBuf> {
    let is_shell = |process: &&Process| SHELLS.iter().any(|shell| process.name.is(shell));
    let shells = machine.processes.iter().filter(is_shell);
    let mut places = shells.filter_map(|shell| Some(path(&machine.details(shell.pid)?.directory?)));
    places.find_map(|place| {
        let other = place.join(NAME);
        (place != workshop.directory && other.join("bin").is_dir()).then_some(other)
    })
}

fn tree(tree: &Path) -> Tree {
    let busybox = busybox(&tree.join("bin/busybox"));
    let unnamed = |name: &&str| !tree.join("bin").join(name).exists();
    Tree {
        is_there: tree.is_dir(),
        lacks: ["bin", "proc"].into_iter().filter(|name| !tree.join(name).is_dir()).collect(),
        unnamed: APPLETS.into_iter().filter(unnamed).collect(),
        owner_of_mine: fs::symlink_metadata(tree.join("mine")).ok().map(|metadata| metadata.uid()),
        busybox,
        elsewhere: None,
    }
}

fn busybox(path: &Path) -> Busybox {
    let Ok(metadata) = fs::metadata(path) else { return Busybox::Absent };
    // Opening a pipe would wait for a writer.
    let file = metadata.is_file().then(|| File::open(path).ok()).flatten();
    let image = file.and_then(|file| elf::read(&file).ok());
    let Some(image) = image.filter(|image| image.arch.runs_here()) else { return Busybox::Unfit };
    match image.interpreter {
        _ if metadata.permissions().mode() & 0o111 == 0 => Busybox::NotExecutable,
        Some(interpreter) => Busybox::Needs(Text::from(interpreter).to_string()),
        None => Busybox::Sound(metadata.len()),
    }
}

fn path(text: &Text) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(text.bytes()))
}

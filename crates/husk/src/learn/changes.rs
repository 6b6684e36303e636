// SPDX-License-Identifier: Apache-2.0
//! What has changed when a lesson is done, and why that matters.

use husk_see::{CapabilitySet, Kind, Limit, Limits};

use super::lesson::Lesson;
use super::sight::{APPLETS, Busybox, Member, Sight};
use super::words::{count, list, shown};
use super::workshop::Workshop;
use crate::view::words::bytes;

/// What has changed, and why it matters.
pub(super) fn done(lesson: Lesson, sight: &Sight, workshop: &Workshop) -> Vec<String> {
    let inside = sight.inside();
    match lesson {
        Lesson::Tree => vec![format!(
            "{} is there. To the host it is a directory like any other.",
            shown(workshop.tree().display())
        )],
        Lesson::Busybox => {
            let size = match sight.tree.busybox {
                Busybox::Sound(size) => size,
                _ => 0,
            };
            vec![format!(
                "It is a static program of {} KiB: the kernel can start it where there is nothing else at \
                 all.",
                size >> 10
            )]
        }
        Lesson::Names => vec![format!(
            "{} names, one file. That is a whole root file system, if a small one. So far nothing is \
             contained in it.",
            APPLETS.len()
        )],
        Lesson::Unshare => unshare_done(sight),
        Lesson::Private => vec![private_words(sight)],
        Lesson::Proc => vec![
            "It is mounted in there, and only in there: for every other terminal mycontainer/proc is still \
             empty, because the mounts of the new namespace are its own."
                .to_owned(),
        ],
        Lesson::Chroot => inside.map_or_else(Vec::new, |shell| chroot_done(shell, sight, workshop)),
        Lesson::Numbers => numbers_done(sight),
        Lesson::HostName => vec![format!(
            "And this machine is still called {}: the new name is in the container's uts namespace alone.",
            shown(&sight.host_name)
        )],
        Lesson::Escape => escape_done(sight, workshop),
        Lesson::Pivot => pivot_done(sight),
        Lesson::Network => vec![
            "Only lo is left, the loopback, and it is down: nothing comes in or out. Whoever wants more \
             has to lay a cable from outside: a pair of virtual devices, one end in each namespace (ip \
             link add type veth). Engines do that for each container."
                .to_owned(),
        ],
        Lesson::Ids => ids_done(sight),
        Lesson::Capabilities => {
            inside.map_or_else(Vec::new, |shell| capabilities_done(shell, sight, workshop))
        }
        Lesson::Limits => inside.map_or_else(Vec::new, |shell| limits_done(shell, sight)),
    }
}

/// What is said where a lesson is done before it begins.
pub(super) fn already(lesson: Lesson, sight: &Sight, workshop: &Workshop) -> Vec<String> {
    let nothing = "Nothing to type here: this is so already.".to_owned();
    [vec![nothing], done(lesson, sight, workshop)].concat()
}

/// What is said where something is gone.
pub(super) fn lost(sight: &Sight) -> String {
    let what = match sight.init() {
        None => {
            "The container has ended: its first process is gone, and with it all the others and all \
             mounts. Only the directory is left. Make the container again:"
        }
        Some(_) => "The shell in mycontainer is gone. Start one again:",
    };
    what.to_owned()
}

fn unshare_done(sight: &Sight) -> Vec<String> {
    let Some(init) = sight.init() else { return Vec::new() };
    let of = |is_own: bool| {
        let kinds = Kind::ALL
            .into_iter()
            .filter(|kind| init.namespaces[*kind].is_some() && sight.is_own(init, *kind) == is_own);
        kinds.map(Kind::name).collect::<Vec<_>>()
    };
    vec![
        format!(
            "{} is process {} of this machine, and process {} in its new pid namespace: `echo $$` there \
             says so, and `ps` shows no process of the host's.",
            init.name, init.pid, init.inside
        ),
        format!("Its own namespaces: {}. The host's, as before: {}.", list(&of(true)), list(&of(false))),
    ]
}

fn private_words(sight: &Sight) -> String {
    let inside = sight.init().map_or(0, |init| init.mounts.len());
    let host = sight.here.shared_mounts();
    let host = match host {
        0 => "On this machine none is shared outside either; on most machines systemd shares them all."
            .to_owned(),
        shared => format!("Outside the same command counts {shared}."),
    };
    format!(
        "None of the {} in the container is shared with the host. {host}",
        count(inside, "mount", "mounts")
    )
}

fn chroot_done(shell: &Member, sight: &Sight, workshop: &Workshop) -> Vec<String> {
    let parent = sight.init().map_or_else(String::new, |init| {
        format!(" Process 1 in there ({}) still has the host's root: it has not moved.", init.name)
    });
    vec![format!(
        "{} is process {} here and {} inside, and its / is {}.{parent}",
        shell.name,
        shell.pid,
        shell.inside,
        shown(workshop.tree().display())
    )]
}

fn numbers_done(sight: &Sight) -> Vec<String> {
    let Some(sleep) = sight.named("sleep").last() else { return Vec::new() };
    let echo = sight.inside().map_or_else(String::new, |shell| format!("`echo $$` says {}. ", shell.inside));
    vec![
        format!(
            "`ls /` shows what you made, and no more. {echo}`ps` shows the processes of the pid namespace, \
             and none else."
        ),
        format!(
            "sleep is process {} inside and process {} here. It is one and the same: a container's \
             processes are processes of the host. They only see less.",
            sleep.inside, sleep.pid
        ),
    ]
}

fn escape_done(sight: &Sight, workshop: &Workshop) -> Vec<String> {
    let who = sight
        .escaped()
        .map_or_else(String::new, |shell| format!("Process {} came from inside mycontainer and ", shell.pid));
    let rights = match workshop.is_root {
        true => "with the rights of root",
        false => "with no rights but yours, thanks to the user namespace",
    };
    vec![format!(
        "{who}has the host's whole disk as its /, {rights}. chroot is no wall. The wall comes next: a \
         mount namespace in which the old root does not exist."
    )]
}

fn pivot_done(sight: &Sight) -> Vec<String> {
    let mounts = sight.init().map_or(0, |init| init.mounts.len());
    vec![format!(
        "Process 1 has mycontainer as its root, and of the host's mounts none is left in there: {} in all. \
         `ls /old` is empty, and /proc/1/root leads nowhere but to /.",
        count(mounts, "mount", "mounts")
    )]
}

fn ids_done(sight: &Sight) -> Vec<String> {
    let owner = sight.tree.owner_of_mine.unwrap_or(0);
    let map = sight.inside().and_then(|shell| shell.uid_map.as_ref()).and_then(|map| map.outside(0));
    match map {
        Some(0) | None => vec![
            format!(
                "On the host the file belongs to user {owner}, and uid_map says that every user is itself: \
                 root in there is root out here. Whoever finds a way out is root of the machine."
            ),
            "A user namespace would make it somebody without rights (unshare --user). `husk run` always \
             makes one."
                .to_owned(),
        ],
        Some(uid) => vec![format!(
            "On the host the file belongs to user {owner}, and uid_map says that user 0 inside is user \
             {uid} outside: root in there is you out here. Other users do not exist in there; for that \
             somebody with rights has to map more ids, which `husk run` does with your range in \
             /etc/subuid, if you have one."
        )],
    }
}

fn capabilities_done(shell: &Member, sight: &Sight, workshop: &Workshop) -> Vec<String> {
    let set = shell.capabilities.unwrap_or_default();
    let many = format!("It has: {} of {}", set.0.count_ones(), CapabilitySet::ALL.0.count_ones());
    let text = match workshop.is_root && !sight.is_own(shell, Kind::User) {
        true => format!(
            "{many}, and over the whole machine: to set the clock (SYS_TIME), to load code into the kernel \
             (SYS_MODULE), to make a device file of the disk (MKNOD)."
        ),
        false => format!(
            "{many}, but only over what belongs to its user namespace: not over the clock, the disks or \
             the kernel. Still, each lets it reach more of the kernel's code, where faults may be."
        ),
    };
    vec![format!("{text} A program needs few of them or none: `husk run` leaves a short list.")]
}

fn limits_done(shell: &Member, sight: &Sight) -> Vec<String> {
    vec![format!(
        "Nobody stopped it at ten, and what does not stop at ten need not stop at a million. Limits are \
         set on cgroups, groups of processes that the kernel counts for. This container is in the one that \
         your shell was in, with {}. Engines give each container one of its own. ({} in the container now; \
         they end with it.)",
        limits(&shell.limits),
        count(sight.container.len(), "process", "processes")
    )]
}

/// `no limit of memory and at most 4915 processes`.
fn limits(limits: &Limits) -> String {
    let memory = match limits.memory {
        Limit::At(number) => format!("at most {} of memory", bytes(number)),
        Limit::None => "no limit of memory".to_owned(),
        Limit::Unknown => "a limit of memory that husk may not read".to_owned(),
    };
    let processes = match limits.processes {
        Limit::At(number) => format!("at most {number} processes"),
        Limit::None => "no limit of processes".to_owned(),
        Limit::Unknown => "a limit of processes that husk may not read".to_owned(),
    };
    format!("{memory} and {processes}")
}

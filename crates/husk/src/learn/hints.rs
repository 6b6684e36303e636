// SPDX-License-Identifier: Apache-2.0
//! What looks wrong, and how to mend it.

use std::path::PathBuf;

use husk_see::Kind;

use super::lesson::Lesson;
use super::sight::{APPLETS, Busybox, Member, RootAt, Sight};
use super::words::{list, shown};
use super::workshop::Workshop;

/// What is wrong, as far as it can be seen. `known` are the containers that were there before the lesson began.
pub(super) fn diagnose(
    lesson: Lesson,
    sight: &Sight,
    workshop: &Workshop,
    host_name: &str,
    known: &[u32],
) -> Option<String> {
    if lesson == Lesson::HostName && sight.host_name != host_name {
        return Some(format!(
            "This machine itself is now called {}: the command was typed in a shell outside of the \
             container, and as root there. `hostname {}` gives the old name back.",
            sight.host_name,
            shown(host_name)
        ));
    }
    match lesson {
        Lesson::Tree => tree(sight, workshop),
        Lesson::Busybox => busybox(sight),
        Lesson::Names => names(sight),
        Lesson::Unshare => unshare(sight, workshop, known),
        Lesson::Proc => sight.inside().filter(|inside| inside.is_chroot).map(|_| {
            "There is a shell in mycontainer already. It has to wait: leave it with `exit`, and mount \
             first."
                .to_owned()
        }),
        Lesson::Pivot => pivot(sight),
        _ => None,
    }
}

fn tree(sight: &Sight, workshop: &Workshop) -> Option<String> {
    if let Some(elsewhere) = &sight.tree.elsewhere {
        return Some(format!(
            "There is a new directory {}, but husk looks for {}. Type the cd first, then the mkdir.",
            shown(elsewhere.display()),
            shown(workshop.tree().display())
        ));
    }
    let lacks = &sight.tree.lacks;
    (sight.tree.is_there && !lacks.is_empty()).then(|| {
        format!(
            "mycontainer is there, but it still lacks {}: mkdir mycontainer/{}",
            lacks.join(" and "),
            lacks[0]
        )
    })
}

fn busybox(sight: &Sight) -> Option<String> {
    match &sight.tree.busybox {
        Busybox::Needs(loader) => Some(format!(
            "This busybox cannot start without {}, which mycontainer does not have. It takes a static one: \
             on Debian and Ubuntu the package busybox-static has it. Install it and copy again.",
            shown(loader)
        )),
        Busybox::NotExecutable => Some(
            "mycontainer/bin/busybox is there, but nobody may execute it: chmod +x mycontainer/bin/busybox"
                .to_owned(),
        ),
        Busybox::Unfit => Some(
            "mycontainer/bin/busybox is there, but it is no program that this machine can start. Copy it \
             again, with cp."
                .to_owned(),
        ),
        _ => None,
    }
}

fn names(sight: &Sight) -> Option<String> {
    let missing = &sight.tree.unnamed;
    (missing.len() < APPLETS.len()).then(|| {
        format!(
            "Some names are there; not yet: {}. Type the whole line, from `for` to `done`.",
            missing.join(" ")
        )
    })
}

fn unshare(sight: &Sight, workshop: &Workshop, known: &[u32]) -> Option<String> {
    if let Some(init) = sight.init() {
        let missing = sight.missing();
        if !missing.is_empty() {
            return Some(format!(
                "Process {} is in a new pid namespace, but shares {} with the host: an option is missing. \
                 Leave it with `exit` and type the whole line.",
                init.pid,
                list(&missing.iter().map(|kind| kind.name()).collect::<Vec<_>>())
            ));
        }
        return Some(
            "The namespaces are there, but /proc in them is still the host's, because --mount-proc was \
             left out: `mount -t proc proc /proc` in the new shell mends it."
                .to_owned(),
        );
    }
    if let Some(stray) = &sight.stray {
        return Some(stray_words(stray, sight));
    }
    if let Some(pid) = sight.of_root.iter().find(|pid| !known.contains(pid)) {
        return Some(format!(
            "Process {pid} is an unshare of root's, and husk may not look into it, because you are not \
             root here. Either leave it with `exit` and type the line as it stands above, or end this and \
             start `sudo husk learn`."
        ));
    }
    other(sight, known).map(|(pid, place)| {
        format!(
            "Process {pid} has new namespaces, but it is in {}, and the lessons are in {}. Leave it with \
             `exit`, then cd there and type the line again.",
            shown(place.display()),
            shown(workshop.directory.display())
        )
    })
}

fn stray_words(stray: &Member, sight: &Sight) -> String {
    let own: Vec<_> =
        Kind::ALL.into_iter().filter(|kind| sight.is_own(stray, *kind)).map(|kind| kind.name()).collect();
    let pid = stray.pid;
    if stray.childrens_pid != stray.namespaces[Kind::Pid] {
        return format!(
            "Process {pid} has asked for a new pid namespace but is not in it: only its children will be, \
             which is what --fork is for. Leave it with `exit` and type the whole line."
        );
    }
    format!(
        "Process {pid} has new namespaces ({}), but none for process numbers. Leave it with `exit` and \
         type the whole line, with --pid and --fork.",
        list(&own)
    )
}

fn other<'s>(sight: &'s Sight, known: &[u32]) -> Option<&'s (u32, PathBuf)> {
    sight.others.iter().find(|(pid, _)| !known.contains(pid))
}

fn pivot(sight: &Sight) -> Option<String> {
    let init = sight.init()?;
    (init.root == RootAt::Tree && !init.is_chroot)
        .then(|| "The root is swapped; the old one is still mounted in there: `umount -l /old`.".to_owned())
}

/// What usually helps, where nothing is plainly wrong.
pub(super) fn usual(lesson: Lesson, sight: &Sight, workshop: &Workshop) -> String {
    let user = "It is the other terminal that you type in, not this one. Each line ends with Enter.";
    match lesson {
        Lesson::Tree => user.to_owned(),
        Lesson::Names => format!(
            "{user} If your shell is fish or csh, type `bash` first: the line is in the language of sh."
        ),
        Lesson::Busybox => format!(
            "{user} If cp says `No such file`, you are not in {}: cd there first.",
            shown(workshop.directory.display())
        ),
        Lesson::Unshare if workshop.is_root => format!(
            "{user} `unshare: unshare failed: Operation not permitted` means that you are not root there, \
             or in somebody else's container: `husk doctor` says what this host allows."
        ),
        Lesson::Unshare => format!(
            "{user} `Operation not permitted` means that this host does not let ordinary users make user \
             namespaces, or lets them mount no /proc: `husk doctor users` says which. With root's rights, \
             end this (q) and start `sudo husk learn`."
        ),
        Lesson::Private | Lesson::Proc => format!(
            "The line belongs into the shell that unshare has started: `echo $$` says 1 there. Its \
             directory has to be {}.",
            shown(workshop.directory.display())
        ),
        Lesson::Chroot => "If chroot says `No such file or directory`, bin/sh in mycontainer is missing or \
                           is not busybox: `ls -l mycontainer/bin` shows it. If it says `Permission \
                           denied`, this file system may be mounted noexec: end this (q) and begin in \
                           another directory, with --restart."
            .to_owned(),
        Lesson::Numbers => "If a command is not found, the shell looks in the host's directories: `export \
                            PATH=/bin`. husk waits for a process named sleep in there."
            .to_owned(),
        Lesson::HostName => {
            "Look at what the second `hostname` prints in the other terminal, and press Enter here."
                .to_owned()
        }
        Lesson::Escape => format!(
            "The line belongs into the shell whose `/` is mycontainer. husk waits for a shell that comes \
             from there and has the host's root. If /bin/{} is not found, take /bin/sh.",
            workshop.shell
        ),
        Lesson::Pivot => match sight.depth() {
            0 => "`pivot_root: Invalid argument` means that the directory is no mount: the line with \
                  --rbind is missing; or that this machine has its root in an initramfs, which cannot be \
                  swapped: pass over this lesson (s)."
                .to_owned(),
            depth => format!(
                "First back to the first shell, where `echo $$` says 1: {depth} times `exit`, not once \
                 more, for that would end the container."
            ),
        },
        Lesson::Network => "exec replaces the shell by a program that makes a network namespace and starts \
                            a shell again. husk waits for a process in mycontainer with a network \
                            namespace of its own."
            .to_owned(),
        Lesson::Ids => "husk waits for the file /mine in the container.".to_owned(),
        Lesson::Capabilities => "husk waits for a mount on /more in the container. If mount is not \
                                 permitted, the container lacks CAP_SYS_ADMIN, which is well: pass over \
                                 the lesson (s)."
            .to_owned(),
        Lesson::Limits => format!(
            "husk waits for ten processes named sleep in there; there are {}.",
            sight.named("sleep").count()
        ),
    }
}

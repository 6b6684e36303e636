// SPDX-License-Identifier: Apache-2.0
//! What the lessons say. The reader has never made a container: each word of the field is explained where it first appears.

use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use husk_plan::shell::quote;
use husk_see::Text;

use super::lesson::Lesson;
use super::progress::Progress;
use super::sight::{APPLETS, Sight};
use super::workshop::Workshop;

/// What is said of a lesson that cannot be passed over.
pub(super) const CANNOT_SKIP: &str = "The lessons after this one build on it, so it cannot be passed over. \
                                      h: a hint. q: end; husk learn goes on from here.";

/// A name or a path, harmless to a terminal.
pub(super) fn shown(name: impl Display) -> String {
    Text::from(name.to_string()).to_string()
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// `1 shell`, `2 shells`.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}

fn path(path: &Path) -> String {
    quote(path.as_os_str().as_bytes())
}

/// The name of a lesson.
pub(crate) fn title(lesson: Lesson) -> &'static str {
    match lesson {
        Lesson::Tree => "A directory to live in",
        Lesson::Busybox => "One program",
        Lesson::Names => "Many names for it",
        Lesson::Unshare => "New namespaces",
        Lesson::Private => "Mounts that stay inside",
        Lesson::Proc => "A view of the processes",
        Lesson::Chroot => "A new root",
        Lesson::Numbers => "Look round: one process, two numbers",
        Lesson::HostName => "A name of its own",
        Lesson::Escape => "What is missing: the way back is open",
        Lesson::Pivot => "Leave the old root behind",
        Lesson::Network => "What is missing: a network of its own",
        Lesson::Ids => "What is missing: who root is",
        Lesson::Capabilities => "What is missing: fewer rights",
        Lesson::Limits => "What is missing: limits",
    }
}

/// Why something is to be typed.
pub(super) fn task(lesson: Lesson, sight: &Sight, workshop: &Workshop) -> Vec<String> {
    let text = match lesson {
        Lesson::Tree => "A container takes a directory for its whole disk: what is / inside is this \
                         directory outside. Make one, with a place for programs and one for the kernel's \
                         view of the processes. Type in the other terminal:"
            .to_owned(),
        Lesson::Busybox => busybox_task(workshop),
        Lesson::Names => "busybox looks at the name that it is started by, and is then that command. Give \
                          it some names; each is a link to the one file:"
            .to_owned(),
        Lesson::Unshare => unshare_task(workshop),
        Lesson::Private => private_task(sight),
        Lesson::Proc => "`ps` and others read /proc, where the kernel shows processes as files. In \
                         mycontainer that directory is still empty. Mount the kernel's view on it, in the same \
                         shell:"
            .to_owned(),
        Lesson::Chroot => "The files are still the host's. chroot starts a program for which / is another \
                           directory:"
            .to_owned(),
        Lesson::Numbers => {
            "You are inside. Look round, and leave a process running in the background:".to_owned()
        }
        Lesson::HostName => "The host name has a namespace of its own (uts). Ask for it, change it, ask \
                             again:"
            .to_owned(),
        Lesson::Escape => "chroot has moved / for one program. The old root is still mounted, and process \
                           1 still has it: through /proc/1/root it is within reach. Go through that door:"
            .to_owned(),
        Lesson::Pivot => pivot_task(sight),
        Lesson::Network => "The container has the host's network: it sees its devices, can listen on its \
                            ports, and can talk to what listens on the host alone. Look, make a network \
                            namespace, look again:"
            .to_owned(),
        Lesson::Ids => "Inside you are root, user 0. Is that the root of the whole machine? \
                        /proc/self/uid_map says which user inside is which outside (and how many in a \
                        row). Look, and make a file:"
            .to_owned(),
        Lesson::Capabilities => "What root may do is cut into some forty rights, the capabilities. To \
                                 mount takes one of them, CAP_SYS_ADMIN. Try whether the container has it:"
            .to_owned(),
        Lesson::Limits => "The last thing: how much may it use? Start ten processes:".to_owned(),
    };
    vec![text]
}

fn busybox_task(workshop: &Workshop) -> String {
    let why = "Inside, the host's programs will be out of sight, and with them the libraries that they \
               need. busybox is one file that needs no other and can be sh, ls, ps and many commands more.";
    match workshop.busybox {
        Some(_) => format!("{why} Copy it:"),
        None => format!(
            "{why} This machine has none, so install it first (that line is for Debian and Ubuntu), then \
             copy it:"
        ),
    }
}

fn unshare_task(workshop: &Workshop) -> String {
    let user = match workshop.is_root {
        true => "",
        false => {
            "--user --map-root-user: new user ids, in which you are root. That is what lets an ordinary \
             user make the others. "
        }
    };
    format!(
        "What a process sees of the machine, the kernel keeps in namespaces. So far all your processes are \
         in the same ones. Start a shell in new ones: process numbers (--pid), host name (--uts), shared \
         memory (--ipc) and mounts (--mount). {user}--fork lets the shell be the first process in there, \
         and --mount-proc gives it a /proc that shows the new process numbers:"
    )
}

fn private_task(sight: &Sight) -> String {
    let shared = "A mount can be shared between namespaces: what is mounted in one of them then appears in the \
                  others, too.";
    let here = "in the shell that unshare has started, where you type from now on";
    match sight.init().is_some_and(|init| init.shares_mounts_with(&sight.here)) {
        true => format!("{shared} Those of the container are shared with the host. Stop that, {here}:"),
        false => format!(
            "{shared} unshare has seen to it that those of the container are not shared with the host; by hand \
             that is `mount --make-rprivate /`. Count the shared ones, {here}:"
        ),
    }
}

fn pivot_task(sight: &Sight) -> String {
    let back = match sight.depth() {
        0 => String::new(),
        depth => format!("First leave {}, back to the first shell. Then ", count(depth, "shell", "shells")),
    };
    let text = "make mycontainer a mount, because pivot_root wants one; let pivot_root swap the roots, for \
                all processes of the mount namespace at once; start a shell from the new root; and take \
                the old root away:";
    match back.is_empty() {
        true => format!("In the first shell: {text}"),
        false => format!("{back}{text}"),
    }
}

/// What to type, a line each.
pub(super) fn commands(lesson: Lesson, sight: &Sight, workshop: &Workshop) -> Vec<String> {
    let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    match lesson {
        Lesson::Tree => {
            vec![
                format!("cd {}", path(&workshop.directory)),
                "mkdir -p mycontainer/bin mycontainer/proc".to_owned(),
            ]
        }
        Lesson::Busybox => match &workshop.busybox {
            Some(busybox) => vec![format!("cp {} mycontainer/bin/busybox", path(busybox))],
            None => owned(&[
                "sudo apt-get install busybox-static",
                "cp \"$(command -v busybox)\" mycontainer/bin/busybox",
            ]),
        },
        Lesson::Names => {
            vec![format!("for name in {}; do ln -sf busybox mycontainer/bin/$name; done", APPLETS.join(" "))]
        }
        Lesson::Unshare => vec![unshare_command(workshop)],
        Lesson::Private => match sight.init().is_some_and(|init| init.shares_mounts_with(&sight.here)) {
            true => owned(&["mount --make-rprivate /"]),
            false => owned(&["grep -c shared: /proc/self/mountinfo"]),
        },
        Lesson::Proc => owned(&["mount -t proc proc mycontainer/proc"]),
        Lesson::Chroot => vec![format!("{} mycontainer /bin/sh", workshop.chroot)],
        Lesson::Numbers => owned(&["ls /", "echo $$", "sleep 1000 &", "ps"]),
        Lesson::HostName => owned(&["hostname", "hostname sag", "hostname"]),
        Lesson::Escape => vec![format!("chroot /proc/1/root /bin/{}", workshop.shell), "ls /".to_owned()],
        Lesson::Pivot => {
            let mut lines = vec!["exit".to_owned(); sight.depth()];
            lines.extend(owned(&[
                "mount --rbind mycontainer mycontainer",
                "cd mycontainer",
                "mkdir -p old",
                "bin/busybox pivot_root . old",
                "exec /bin/sh",
                "umount -l /old",
            ]));
            lines
        }
        Lesson::Network => {
            owned(&["cat /proc/net/dev", "exec busybox unshare --net sh", "cat /proc/net/dev"])
        }
        Lesson::Ids => owned(&["cat /proc/self/uid_map", "echo hello > /mine"]),
        Lesson::Capabilities => owned(&["mkdir -p /more", "mount -t tmpfs more /more"]),
        Lesson::Limits => owned(&["for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done"]),
    }
}

fn unshare_command(workshop: &Workshop) -> String {
    let sudo = if workshop.through_sudo { "sudo " } else { "" };
    let user = if workshop.is_root { "" } else { "--user --map-root-user " };
    format!("{sudo}unshare {user}--pid --uts --ipc --mount --fork --mount-proc {}", workshop.shell)
}

/// What is said at the very beginning.
pub(crate) fn opening(workshop: &Workshop) -> Vec<String> {
    let right = match workshop.is_root {
        true => "",
        false => " You need no rights for it: husk shows the way that an ordinary user can go.",
    };
    vec![
        format!(
            "A container is a process that sees other files, processes, users and names than the rest of \
             the machine. Here you make one by hand, with commands that every Linux has.{right}"
        ),
        String::new(),
        "Open a second terminal on this machine: you type there. This one shows the next command, watches \
         what the kernel says of your processes, and tells what has changed. It cannot see what you type, \
         and it changes nothing."
            .to_owned(),
    ]
}

/// What is said to somebody who has been here before.
pub(crate) fn going_on(progress: &Progress) -> String {
    let directory = shown(progress.directory.display());
    match Lesson::ALL.into_iter().all(|lesson| progress.is_past(lesson)) {
        true => format!(
            "You have been through all the lessons, in {directory}. If the container has ended, what \
             follows makes it again; `husk learn --restart` begins at the beginning."
        ),
        false => {
            format!("Going on where you stopped, in {directory}. (`husk learn --restart` begins again.)")
        }
    }
}

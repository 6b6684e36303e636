// SPDX-License-Identifier: Apache-2.0
//! Containers that were made without husk, and the processes in them.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{Caller, PATIENCE, Running};

/// The descendant of a process whose command line begins with `part`, once there is one.
#[track_caller]
pub fn descendant(of: u32, part: &str) -> u32 {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(pid) = below(of).into_iter().find(|pid| command_line(*pid).starts_with(part)) {
            return pid;
        }
        sleep(Duration::from_millis(5));
    }
    panic!(
        "{of} has no descendant {part:?}: {:?}",
        below(of).into_iter().map(command_line).collect::<Vec<_>>()
    );
}

fn below(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    children.flat_map(|child: u32| [vec![child], below(child)].concat()).collect()
}

/// The command line of a process, its words separated by spaces.
pub fn command_line(pid: u32) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).replace('\0', " ")
}

/// A shell in new pid, uts, ipc and mount namespaces at the host's root, and below it one that `chroot` has put into
/// `root`, process 9 of the namespace. Root's, or in a user namespace.
#[track_caller]
pub fn classic_pair(caller: &Caller<'_>, root: &Path) -> (Running, u32, u32) {
    let user: &[&str] = if caller.is_root() { &[] } else { &["--user", "--map-root-user"] };
    let namespaces = ["--pid", "--uts", "--ipc", "--mount", "--fork", "--mount-proc"];
    let script = format!(
        "for i in 1 2 3 4 5 6 7; do /bin/true; done; chroot {} /bin/sh -c 'read classic; true'; true",
        root.display()
    );
    let command = caller.command("unshare").args(user).args(namespaces).args(["bash", "-c", &script]);
    let running = command.start();
    let inner = descendant(running.pid(), "/bin/sh -c read classic");
    let outer = descendant(running.pid(), "bash -c for i");
    (running, outer, inner)
}

// SPDX-License-Identifier: Apache-2.0
//! What the verbs do, one file each.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod features;
pub(crate) mod help;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod ps;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod update;
pub(crate) mod version;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use husk_runtime::container::StateRoot;
use rustix::process::geteuid;

use crate::command_line::Globals;
use crate::failure::Failure;

/// Where somebody waits for a container's word that it is ready (`sd_notify(3)`).
fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())
}

/// The directory with the states of containers: as asked for, else `/run/husk`, or the user's own for somebody who is not root.
pub(crate) fn state_root(globals: &Globals) -> StateRoot {
    let own = || {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
        match runtime {
            Some(runtime) if !geteuid().is_root() || is_users_root() => PathBuf::from(runtime).join("husk"),
            _ if geteuid().is_root() => PathBuf::from("/run/husk"),
            _ => PathBuf::from(format!("/tmp/husk-{}", geteuid().as_raw())),
        }
    };
    StateRoot::new(globals.root.clone().unwrap_or_else(own))
}

/// Whether root is an ordinary user in a user namespace, where Podman calls its runtime: `/run` is not theirs. Root of a whole
/// system in one is called root also by USER; runc goes by the same.
fn is_users_root() -> bool {
    let has_all_ids = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
    let is_mapped = std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !has_all_ids(map));
    is_mapped && std::env::var_os("USER").is_none_or(|user| user != "root")
}

/// Whose terminal it is to be: husk's own caller's as long as husk stays, else that of whoever listens on the console socket.
fn check_terminal(terminal: bool, detaches: bool, socket: Option<&Path>) -> Result<(), Failure> {
    match (terminal && detaches, socket) {
        (true, None) => Err(Failure::new(
            "cannot allocate a terminal without a console socket for a process that is let go: give --console-socket",
        )),
        (false, Some(_)) => Err(Failure::new(
            "cannot use the console socket: it is for a process with a terminal (process.terminal, exec --tty) that is let go \
             (create, --detach)",
        )),
        _ => Ok(()),
    }
}

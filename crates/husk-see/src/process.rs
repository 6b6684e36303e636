// SPDX-License-Identifier: Apache-2.0
//! A process, as far as it takes to know where it belongs.

use crate::namespace::{Kind, Namespaces};
use crate::procfs::ProcessDirectory;
use crate::status::{self, Status};
use crate::text::Text;

/// Enough of a command line to know who it is.
const COMMAND_LIMIT: u64 = 4096;

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its id in the pid namespace that husk looks at.
    pub pid: u32,
    /// Its parent's, 0 for none.
    pub parent: u32,
    /// The name of its thread.
    pub name: Text,
    /// Its command line, or the first 4 KiB of it. Empty for the kernel's threads, and for processes that have nothing to
    /// do with a container: reading it takes longer than all else.
    pub command: Vec<Text>,
    /// Its effective user id, as husk's user namespace numbers users.
    pub uid: u32,
    /// Its id in the pid namespace that husk looks at, and in each one below, to its own.
    pub pids: Vec<u32>,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// The pid namespace that its children will be in: another one after `unshare --pid`.
    pub childrens_pid: Option<u64>,
    /// Whether it is a thread of the kernel's.
    pub is_kernel: bool,
}

impl Process {
    /// `None` if it is gone.
    pub(crate) fn of(pid: u32, directory: &ProcessDirectory) -> Option<Self> {
        let status = status::parse(&directory.read("status")?)?;
        let process = Self::with_status(pid, directory, &status);
        // On its way out a process gives up its mounts, and what holds them, before its ids.
        let is_leaving = process.namespaces[Kind::User].is_some() && process.namespaces[Kind::Mnt].is_none();
        (!status.has_ended && !is_leaving).then_some(process)
    }

    fn with_status(pid: u32, directory: &ProcessDirectory, status: &Status) -> Self {
        // The kernel's threads are always the host's.
        let namespaces =
            if status.is_kernel && pid != 2 { Namespaces::default() } else { Namespaces::of(directory) };
        let childrens_pid =
            if namespaces.is_unknown() { None } else { directory.namespace("ns/pid_for_children") };
        Self {
            pid,
            parent: status.parent,
            name: status.name.clone(),
            command: Vec::new(),
            uid: status.uids[1],
            pids: if status.pids.is_empty() { vec![pid] } else { status.pids.clone() },
            namespaces,
            childrens_pid,
            is_kernel: status.is_kernel,
        }
    }

    pub(crate) fn read_command(&mut self, directory: &ProcessDirectory) {
        let command = directory.read_at_most("cmdline", COMMAND_LIMIT);
        self.command = command.map(words).unwrap_or_default();
    }

    /// Its id in its own pid namespace.
    pub fn pid_inside(&self) -> u32 {
        self.pids.last().copied().unwrap_or(self.pid)
    }

    /// The name of the program it was started as: the last part of its first word.
    pub(crate) fn program(&self) -> Text {
        self.command.first().map_or_else(|| self.name.clone(), Text::base_name)
    }
}

/// The words of a command line: each ends in a NUL, and the last may be cut off.
pub(crate) fn words(mut content: Vec<u8>) -> Vec<Text> {
    if content.last() == Some(&0) {
        content.pop();
    }
    if content.is_empty() {
        return Vec::new();
    }
    content.split(|byte| *byte == 0).map(Text::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_command_line() {
        let words = |content: &[u8]| words(content.to_vec());
        assert_eq!(words(b"sh\0-c\0\0"), [Text::from("sh"), "-c".into(), "".into()]);
        assert_eq!(words(b"sh\0cut o"), [Text::from("sh"), "cut o".into()]);
        assert!(words(b"").is_empty() && words(b"\0").is_empty());
    }
}

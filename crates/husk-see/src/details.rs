// SPDX-License-Identifier: Apache-2.0
//! Everything about one process.

use std::os::fd::{AsFd, OwnedFd};

use crate::cgroup::{self, Cgroup, Limits};
use crate::id_map::{self, IdMap};
use crate::kernel::{self, Kernel};
use crate::machine;
use crate::mountinfo::Mount;
use crate::namespace::{Kind, Namespaces, inode};
use crate::process::words;
use crate::procfs::ProcessDirectory;
use crate::root::Root;
use crate::status::{self, Status};
use crate::text::Text;

/// Everything about one process that can be known from outside. `None` is what the caller may not see, or what the kernel
/// does not tell.
#[derive(Clone, Debug)]
pub struct Details {
    /// Its id.
    pub pid: u32,
    /// What everybody may read.
    pub status: Status,
    /// Its command line.
    pub command: Vec<Text>,
    /// The file that it executes, as it sees the path.
    pub executable: Option<Text>,
    /// Its working directory.
    pub directory: Option<Text>,
    /// Its namespaces, by inode.
    pub namespaces: Namespaces,
    /// The user namespace that owns each, by inode, in the order of [`Kind::ALL`].
    pub owners: [Option<u64>; 8],
    /// Its user namespace and those around it, innermost first, as far as the caller may see.
    pub user_nesting: Vec<u64>,
    /// The user that made its user namespace.
    pub user_owner: Option<u32>,
    /// Its root file system.
    pub root: Option<Root>,
    /// Its mounts.
    pub mounts: Option<Vec<Mount>>,
    /// Its host name: only if it is husk's own, since the kernel tells it to those inside alone.
    pub host_name: Option<Text>,
    /// Which user ids are which.
    pub uid_map: Option<IdMap>,
    /// Which group ids are which.
    pub gid_map: Option<IdMap>,
    /// Whether `setgroups(2)` is allowed in its user namespace.
    pub setgroups: Option<bool>,
    /// Its places among the cgroups.
    pub cgroups: Vec<Cgroup>,
    /// What those let it have.
    pub limits: Limits,
    /// Its own limits (`getrlimit(2)`).
    pub resource_limits: Vec<ResourceLimit>,
    /// The network interfaces of its network namespace.
    pub interfaces: Option<Vec<Text>>,
    /// Whether its loopback interface is up, and so has addresses.
    pub is_loopback_up: Option<bool>,
    /// How far the clocks of its time namespace are set off, a line for each that is: `monotonic 3600 0`.
    pub clocks: Option<Text>,
    /// The label of AppArmor, SELinux or Smack.
    pub label: Option<Text>,
    /// How readily it is killed when memory runs out.
    pub oom_score: Option<i32>,
    /// The environment that it was started with, or what it has since made of it.
    pub environment: Option<Vec<(Text, Text)>>,
}

/// A limit of a process's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// The kernel's name: `Max open files`.
    pub name: Text,
    /// The limit that holds.
    pub soft: Text,
    /// The most that it may be raised to.
    pub hard: Text,
}

impl Details {
    pub(crate) fn of(
        pid: u32,
        directory: &ProcessDirectory,
        kernel: Kernel,
        root: Option<Root>,
        host_name: Option<Text>,
        host: &[Mount],
    ) -> Option<Self> {
        let mut status = status::parse(&directory.read("status")?)?;
        let namespaces = kernel.namespaces(pid, directory);
        let namespace = |kind: Kind| namespaces[kind as usize].as_ref();
        if let Some(pids) = namespace(Kind::Pid).and_then(|innermost| kernel.pids(pid, innermost)) {
            status.pids = pids;
        }
        let map = |name| directory.read(name).map(|content| id_map::parse(&content));
        let cgroups = cgroup::parse(&directory.read("cgroup").unwrap_or_default());
        let user = namespace(Kind::User);
        Some(Self {
            pid,
            status,
            command: words(directory.read("cmdline").unwrap_or_default()),
            executable: directory.link("exe"),
            directory: directory.link("cwd"),
            namespaces: Namespaces::behind(&namespaces),
            owners: Kind::ALL.map(|kind| owner(namespace(kind)?)),
            user_owner: user.and_then(|user| husk_sys::owner_of_user_namespace(user.as_fd()).ok()),
            user_nesting: user.map(nesting).unwrap_or_default(),
            root,
            mounts: machine::mounts(directory, kernel),
            host_name,
            uid_map: map("uid_map"),
            gid_map: map("gid_map"),
            setgroups: directory.read("setgroups").map(|content| content.starts_with(b"allow")),
            limits: Limits::of(&cgroups, host),
            cgroups,
            resource_limits: resource_limits(&directory.read("limits").unwrap_or_default()),
            interfaces: directory.read("net/dev").map(|content| interfaces(&content)),
            is_loopback_up: directory.read("net/fib_trie").map(|content| has_loopback_address(&content)),
            clocks: directory.read("timens_offsets").map(|content| clocks(&content)),
            label: label(directory),
            oom_score: number(directory.read("oom_score_adj")),
            environment: directory.read("environ").map(environment),
        })
    }
}

fn owner(namespace: &OwnedFd) -> Option<u64> {
    inode(&husk_sys::owning_user_namespace(namespace.as_fd()).ok()?)
}

/// A namespace and those that it was made in, up to the last that may be seen.
fn nesting(namespace: &OwnedFd) -> Vec<u64> {
    kernel::nesting(namespace).filter_map(|namespace| inode(&namespace)).collect()
}

fn number(content: Option<Vec<u8>>) -> Option<i32> {
    String::from_utf8(content?).ok()?.trim().parse().ok()
}

fn label(directory: &ProcessDirectory) -> Option<Text> {
    let content = directory.read("attr/current")?;
    Some(Text::from(content.trim_ascii_end().strip_suffix(b"\0").unwrap_or(content.trim_ascii_end())))
        .filter(|label| !label.is_empty())
}

fn environment(content: Vec<u8>) -> Vec<(Text, Text)> {
    let variable = |word: Text| {
        let equals = word.bytes().iter().position(|byte| *byte == b'=')?;
        Some((Text::from(&word.bytes()[..equals]), Text::from(&word.bytes()[equals + 1..])))
    };
    words(content).into_iter().filter_map(variable).collect()
}

/// `/proc/PID/net/dev`: two lines of headings, then `NAME: figures` for each interface.
fn interfaces(content: &[u8]) -> Vec<Text> {
    let name = |line: &[u8]| {
        let colon = line.iter().rposition(|byte| *byte == b':')?;
        Some(Text::from(line[..colon].trim_ascii())).filter(|name| !name.is_empty())
    };
    content.split(|byte| *byte == b'\n').skip(2).filter_map(name).collect()
}

/// `/proc/PID/net/fib_trie`: an interface has its addresses among the routes only while it is up.
fn has_loopback_address(content: &[u8]) -> bool {
    String::from_utf8_lossy(content).lines().any(|line| line.trim() == "|-- 127.0.0.1")
}

/// `/proc/PID/timens_offsets` (`time_namespaces(7)`), without the clocks that are not set off.
fn clocks(content: &[u8]) -> Text {
    let text = String::from_utf8_lossy(content);
    let line = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [_, "0", "0"] => None,
            [clock, seconds, nanoseconds] => Some(format!("{clock} {seconds} {nanoseconds}\n")),
            _ => None,
        }
    };
    Text::from(text.lines().filter_map(line).collect::<String>())
}

/// `/proc/PID/limits`: a table whose columns begin where their headings do.
fn resource_limits(content: &[u8]) -> Vec<ResourceLimit> {
    let text = String::from_utf8_lossy(content);
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    let (Some(soft), Some(hard), Some(units)) =
        (heading.find("Soft Limit"), heading.find("Hard Limit"), heading.find("Units"))
    else {
        return Vec::new();
    };
    let limit = |line: &str| {
        let column = |from: usize, to: usize| {
            Some(Text::from(line.get(from..to.min(line.len()))?.trim())).filter(|text| !text.is_empty())
        };
        Some(ResourceLimit { name: column(0, soft)?, soft: column(soft, hard)?, hard: column(hard, units)? })
    };
    lines.filter_map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_limits_of_a_process() {
        let content = b"Limit                     Soft Limit           Hard Limit           Units     \n\
            Max cpu time              unlimited            unlimited            seconds   \n\
            Max nice priority         0                    5                    \n";
        let limits = resource_limits(content);
        assert_eq!(limits.len(), 2);
        assert!(limits[0].name.is("Max cpu time") && limits[0].soft.is("unlimited"));
        assert!(limits[1].name.is("Max nice priority") && limits[1].hard.is("5"));
    }

    #[test]
    fn the_environment() {
        let variables = environment(b"A=1\0no variable\0B=x=y\0C=\0".to_vec());
        let expected = [("A", "1"), ("B", "x=y"), ("C", "")];
        assert_eq!(variables, expected.map(|(name, value)| (name.into(), value.into())));
    }

    #[test]
    fn the_network_and_the_clocks() {
        let content = b"Inter-|   Receive\n face |bytes\n    lo:       0       0\n eth0.1: 5 6\n\n";
        assert_eq!(interfaces(content), [Text::from("lo"), "eth0.1".into()]);
        assert!(has_loopback_address(b"Main:\n  +-- 127.0.0.0/8 2 0 2\n        |-- 127.0.0.1\n"));
        assert!(!has_loopback_address(b"Main:\n  |-- 10.127.0.0.1\n"));
        let offsets = b"monotonic        3600  0\nboottime  0  0\n";
        assert!(clocks(offsets).is("monotonic 3600 0\n") && clocks(b"monotonic 0 0\n").is_empty());
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_no_harm(bytes: Vec<u8>, line: String) {
            let _ = environment(bytes.clone());
            let _ = resource_limits(&bytes);
            let _ = (interfaces(&bytes), has_loopback_address(&bytes), clocks(&bytes));
            let _ = resource_limits(format!("Limit Soft Limit Hard Limit Units\n{line}").as_bytes());
        }
    }
}

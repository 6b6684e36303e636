// SPDX-License-Identifier: Apache-2.0
//! The words for what husk itself never does.

use husk_spec::MountFlags;

use super::{ranges, text, words};
use crate::seen::Seen;

pub(super) fn sentence(seen: &Seen<'_>) -> String {
    match seen {
        Seen::ForeignMaps { uids, gids } => {
            format!("map user ids {} and group ids {}", ranges(uids), ranges(gids))
        }
        Seen::NoMaps => "map no ids: everybody is nobody inside".to_owned(),
        Seen::HostName { variable: Some(name) } => format!(
            "perhaps set the host name to {}: its variable HOSTNAME says so, but the kernel tells the name to those inside \
             alone",
            text(name)
        ),
        Seen::HostName { variable: None } => {
            "perhaps set the host name, to what only those inside can ask for".to_owned()
        }
        Seen::Interface(name) => format!("give it the network interface {}", text(name)),
        Seen::LostRoot { kind, directory, why } => {
            format!("make the directory {} of the file system {} the root: {why}", text(directory), text(kind))
        }
        Seen::InnerBind { source, target, set } => {
            let with = words(MountFlags::set(*set));
            let with = if with.is_empty() { with } else { format!(", {with}") };
            format!("bind {} of the container itself to {}{with}", text(source), text(target))
        }
        Seen::LostMount { kind, directory, target } => format!(
            "mount {} of the file system {} on {}, which the host has mounted nowhere",
            text(directory),
            text(kind),
            text(target)
        ),
        Seen::Console => "make a pseudo-terminal in the container's /dev/pts and bind it to /dev/console".to_owned(),
        Seen::Files => "perhaps make links, device nodes and files in the new file systems: the kernel shows mounts alone"
            .to_owned(),
        Seen::Parameters => {
            "perhaps set kernel parameters of the new namespaces, which only those inside can read".to_owned()
        }
        Seen::Attributes { target, set, clear } => {
            let options = MountFlags { set: *set, clear: *clear }.options().join(", ");
            format!("change the mount at {} to {options}", text(target))
        }
        Seen::ChangeRoot { path } => {
            format!("change the root to {}, and leave all else mounted (chroot)", text(path))
        }
        Seen::Directory(path) => format!("change to {}", text(path)),
        Seen::Capabilities { effective, permitted, inheritable, ambient } => format!(
            "have these capabilities: permitted {permitted}; effective {effective}; inheritable {inheritable}; ambient \
             {ambient}"
        ),
        Seen::SeccompStrict => "allow itself no system calls but read, write and exit (seccomp)".to_owned(),
        Seen::SeccompFilters { count } => {
            let filters = match count {
                None => "filters".to_owned(),
                Some(1) => "a filter".to_owned(),
                Some(count) => format!("{count} filters"),
            };
            format!("filter system calls by {filters} (seccomp), of which the kernel does not show the rules")
        }
        Seen::Label(label) => format!("take the label {} of the host's security module", text(label)),
        Seen::Cgroup { path, limits, .. } => {
            let limits = if limits.is_empty() { String::new() } else { format!(": {}", text(limits)) };
            format!("put it into the cgroup {}{limits}", text(path))
        }
        Seen::OomScore(score) => {
            let how = if *score > 0 { "sooner" } else { "later" };
            format!("be killed {how} than others when memory runs out (by {})", score.unsigned_abs())
        }
    }
}
